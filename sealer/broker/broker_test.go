package broker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/internal/fault"
	"github.com/filecoin-venus/venus/rpc"
	"github.com/filecoin-venus/venus/sealer/db"
	"github.com/filecoin-venus/venus/sealer/sched"
	"github.com/filecoin-venus/venus/sealer/sector"
	"github.com/filecoin-venus/venus/sealer/task"
	"github.com/filecoin-venus/venus/worker"
	"github.com/filecoin-venus/venus/worker/bus"
	"github.com/filecoin-venus/venus/worker/bus/bustest"
)

// rig is a queue with its broker on the sealer's own NATS.
type rig struct {
	t     *testing.T
	dir   string
	store *db.DB
	nats  *Embedded
	q     *task.Queue
	url   string
	login bus.Login // with URLs, a cluster is used instead of nats
	stop  func()
}

func newRig(t *testing.T, login ...bus.Login) *rig {
	r := &rig{t: t, dir: t.TempDir()}
	for _, r.login = range login {
	}
	var err error
	r.store, err = db.Open(t.Context(), db.Config{Path: filepath.Join(r.dir, "db")})
	require.NoError(t, err)
	t.Cleanup(func() { _ = r.store.Close() })
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	r.url = "http://" + l.Addr().String()
	r.up(l)
	t.Cleanup(func() { r.stop() })
	return r
}

// up starts everything as the sealer does.
func (r *rig) up(l net.Listener) {
	var err error
	r.nats, err = StartEmbedded(filepath.Join(r.dir, "nats"), clock.Real())
	require.NoError(r.t, err)
	r.q, err = task.New(r.t.Context(), r.store, clock.Real(), 10*time.Second)
	require.NoError(r.t, err)
	b, err := New(Config{Bus: "test", Embedded: r.nats, Login: r.login}, r.q, clock.Real())
	require.NoError(r.t, err)
	srv := rpc.NewServer(rpc.Options{Verify: func(_ context.Context, token string) (rpc.Caller, error) {
		if token != "right" {
			return rpc.Caller{}, rpc.ErrBadToken
		}
		return rpc.Caller{Perms: api.AllPermissions()}, nil
	}})
	srv.Handle(worker.BusPath, r.nats.Handler(srv))
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { b.Run(ctx) })
	wg.Go(func() { _ = srv.Serve(l) })
	wg.Go(func() {
		for clock.Real().Sleep(ctx, 100*time.Millisecond) == nil {
			_ = r.q.Sweep(ctx)
		}
	})
	r.stop = func() {
		cancel()
		require.NoError(r.t, b.Close())
		require.NoError(r.t, r.nats.Close())
		end, done := context.WithTimeout(context.Background(), time.Second)
		defer done()
		_ = srv.Shutdown(end)
		wg.Wait()
		r.stop = func() {}
	}
}

// restart ends the sealer and starts it again at the same address.
func (r *rig) restart() {
	r.stop()
	l, err := net.Listen("tcp", r.url[len("http://"):])
	require.NoError(r.t, err)
	r.up(l)
}

func (r *rig) ensure(n abi.SectorNumber, kind sector.TaskKind, input []byte) string {
	id := abi.SectorID{Miner: 1000, Number: n}
	in := worker.Task{ID: task.ID(id, kind, 1), Sector: id, Kind: kind, Attempt: 1, Input: input}
	require.NoError(r.t, r.q.Ensure(r.t.Context(), in))
	return in.ID
}

func (r *rig) client() *bus.Client {
	conn, err := bus.Connect(worker.Welcome{Bus: "test", URLs: r.login.URLs}, r.url, "right", "test", r.login)
	require.NoError(r.t, err)
	r.t.Cleanup(conn.Close)
	c, err := bus.NewClient(conn, "test")
	require.NoError(r.t, err)
	return c
}

// echo returns its input, doubled.
type echo struct {
	mu   sync.Mutex
	runs map[string]int
	gate chan struct{}
	// kinds are those it takes beside sealing.
	kinds []sector.TaskKind
}

func (e *echo) Run(ctx context.Context, t worker.Task) (worker.Result, error) {
	e.mu.Lock()
	e.runs[t.ID]++
	e.mu.Unlock()
	if e.gate != nil {
		select {
		case <-e.gate:
		case <-ctx.Done():
			return worker.Result{}, ctx.Err()
		}
	}
	return worker.Result{Output: append(bytes.Clone(t.Input), t.Input...)}, nil
}

// work runs an executor until the test or stop ends.
func (r *rig) work(id string, p worker.Prover) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	kinds := sector.TaskKinds()
	if e, ok := p.(*echo); ok {
		kinds = append(kinds, e.kinds...)
	}
	e := &worker.Executor{Source: r.client(), Prover: p, Clock: clock.Real(), Info: worker.Info{ID: id, Hostname: id, Kinds: kinds, Slots: 4}}
	var wg sync.WaitGroup
	wg.Go(func() { e.Run(ctx, ctx) })
	stop = func() {
		cancel()
		wg.Wait()
	}
	r.t.Cleanup(stop)
	return stop
}

// done waits until n tasks ended well and returns their outputs.
func (r *rig) done(n int) map[string][]byte {
	out := map[string][]byte{}
	if !assert.Eventually(r.t, func() bool { return len(r.q.Ended()) >= n }, 2*time.Minute, 10*time.Millisecond) {
		r.t.Fatalf("not all of %d are done: %+v", n, r.q.Entries())
	}
	for _, e := range r.q.Ended() {
		require.Equal(r.t, task.Done, e.State, e.Reason)
		out[e.Task.ID] = e.Result.Output
	}
	return out
}

func TestTasksOverNATS(t *testing.T) {
	r := newRig(t)
	p := &echo{runs: map[string]int{}}
	for i := range 3 {
		r.work(fmt.Sprint("w", i), p)
	}
	want := map[string][]byte{}
	for i := range 10 {
		in := bytes.Repeat([]byte{byte(i)}, 1+i*70_000) // from a byte to more than a message holds
		want[r.ensure(abi.SectorNumber(i), sector.TaskPreCommit2, in)] = append(bytes.Clone(in), in...)
	}
	require.Equal(t, want, r.done(10))
	for id, n := range p.runs {
		require.Equal(t, 1, n, id)
	}
}

// TestOffersOverNATS carries the statement of a window proof of 2349 sectors, which is more than a message holds.
func TestOffersOverNATS(t *testing.T) {
	r := newRig(t)
	p := &echo{runs: map[string]int{}, kinds: []sector.TaskKind{sched.WindowPoSt}}
	r.work("w", p)
	require.Eventually(t, func() bool { return len(r.q.Workers()) == 1 }, time.Minute, 10*time.Millisecond)
	changed := make(chan struct{}, 10)
	in := bytes.Repeat([]byte("sector"), 150_000)
	could, err := r.q.Offer(t.Context(), task.Offer{Task: worker.Task{ID: "t01000-WDP-1", Kind: sched.WindowPoSt, Input: in}, Changed: func() { changed <- struct{}{} }})
	require.NoError(t, err)
	require.True(t, could)
	for e, ok := (task.Entry{}), true; e.State != task.Done; e, ok = r.q.Offered("t01000-WDP-1") {
		require.True(t, ok)
		select {
		case <-changed:
		case <-time.After(time.Minute):
			t.Fatalf("it stands still: %+v", r.q.Entries())
		}
	}
	e, _ := r.q.Offered("t01000-WDP-1")
	require.Equal(t, "w", e.Host)
	require.Equal(t, append(bytes.Clone(in), in...), e.Result.Output)
}

// TestTasksOverTLS uses a server of somebody else, by user and password over TLS.
// While the password is wrong the sealer lives, says what to do, and says no
// secret; once it is right tasks flow.
func TestTasksOverTLS(t *testing.T) {
	authority := bustest.NewAuthority(t)
	serve := func(password string, port int) (int, func()) {
		return bustest.Serve(t, server.Options{
			Port: port, JetStream: true, StoreDir: t.TempDir(), TLSConfig: authority.TLS("127.0.0.1", time.Now().Add(time.Hour)),
			Users: []*server.User{{Username: "venus", Password: password}},
		})
	}
	port, stop := serve("other-canary", 0)
	ca, err := os.ReadFile(authority.File())
	require.NoError(t, err)
	told := make(chan struct{})
	tell := sync.OnceFunc(func() { close(told) })
	bustest.Listen(t, func(line string) {
		if strings.Contains(line, "canary") {
			t.Errorf("a secret shows: %s", line)
		}
		if strings.Contains(line, "refuses these credentials") && strings.Contains(line, "PasswordFile") {
			tell()
		}
	})
	r := newRig(t, bus.Login{URLs: []string{fmt.Sprintf("tls://127.0.0.1:%d", port)}, User: "venus", Password: "own-canary", CA: string(ca)})
	select {
	case <-told:
	case <-time.After(time.Minute):
		t.Fatal("nothing is said of the refusal")
	}
	stop()
	serve("own-canary", port)
	p := &echo{runs: map[string]int{}}
	r.work("w", p)
	id := r.ensure(1, sector.TaskPreCommit2, []byte{1})
	require.Equal(t, []byte{1, 1}, r.done(1)[id])
}

// TestSealerRestarts ends the sealer while a worker works. The worker goes on,
// hands its outcome in, and does nothing twice.
func TestSealerRestarts(t *testing.T) {
	r := newRig(t)
	p := &echo{runs: map[string]int{}, gate: make(chan struct{})}
	r.work("w", p)
	id := r.ensure(1, sector.TaskPreCommit2, []byte{7})
	r.running(p, id)
	r.restart()
	close(p.gate)
	require.Equal(t, []byte{7, 7}, r.done(1)[id])
	require.Equal(t, 1, p.runs[id])
}

func (r *rig) running(p *echo, id string) {
	require.Eventually(r.t, func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.runs[id] > 0
	}, time.Minute, 5*time.Millisecond)
}

// TestLostStreams takes every stream away, and then the server's whole folder.
// The database makes up for all of it.
func TestLostStreams(t *testing.T) {
	r := newRig(t)
	p := &echo{runs: map[string]int{}}
	first := r.ensure(1, sector.TaskPreCommit2, []byte{1})
	r.work("w", p)
	require.Contains(t, r.done(1), first)
	require.NoError(t, r.q.Forget(t.Context(), first))

	conn, err := nats.Connect("", nats.InProcessServer(r.nats))
	require.NoError(t, err)
	defer conn.Close()
	js, err := jetstream.New(conn)
	require.NoError(t, err)
	for _, s := range []string{bus.Bus("test").Tasks(), bus.Bus("test").Outcomes()} {
		require.NoError(t, js.DeleteStream(t.Context(), s))
	}
	require.NoError(t, js.DeleteObjectStore(t.Context(), bus.Bus("test").Bulk()))
	large := bytes.Repeat([]byte{2}, 600_000)
	second := r.ensure(2, sector.TaskPreCommit2, large)
	require.Len(t, r.done(1)[second], 1_200_000)
	require.NoError(t, r.q.Forget(t.Context(), second))

	r.stop()
	require.NoError(t, os.RemoveAll(filepath.Join(r.dir, "nats")))
	require.NoError(t, os.WriteFile(filepath.Join(r.dir, "nats"), []byte("no folder"), 0o600))
	r.restart()
	aside, err := filepath.Glob(filepath.Join(r.dir, "nats.broken-*"))
	require.NoError(t, err)
	require.Len(t, aside, 1, "what cannot be used is put aside")
	third := r.ensure(3, sector.TaskPreCommit2, []byte{3})
	require.Equal(t, []byte{3, 3}, r.done(1)[third])
}

// TestOutcomesAreStoredBeforeTheyLeaveTheStream loses the answer of the queue.
func TestOutcomesAreStoredBeforeTheyLeaveTheStream(t *testing.T) {
	r := newRig(t)
	var mu sync.Mutex
	hits := 0
	defer fault.Arm("broker/stored", func() error {
		mu.Lock()
		defer mu.Unlock()
		if hits++; hits == 1 {
			return fault.ErrInjected
		}
		return nil
	})()
	p := &echo{runs: map[string]int{}}
	r.work("w", p)
	id := r.ensure(1, sector.TaskPreCommit2, []byte{1})
	require.Equal(t, []byte{1, 1}, r.done(1)[id])
	require.Eventually(t, func() bool {
		mu.Lock()
		defer mu.Unlock()
		return hits >= 2
	}, time.Minute, 5*time.Millisecond, "it comes again")
	require.Len(t, r.q.Ended(), 1)
}

// TestDeadWorkerOverNATS cuts a worker off; its task moves on, and what it hands
// in later is dropped.
func TestDeadWorkerOverNATS(t *testing.T) {
	r := newRig(t)
	dead := r.client()
	beat := func() error {
		_, err := dead.Beat(t.Context(), worker.Beat{Info: worker.Info{ID: "dead", Kinds: sector.TaskKinds()}})
		return err
	}
	require.Eventually(t, func() bool { return beat() == nil }, 10*time.Second, 20*time.Millisecond, "the broker comes up")
	id := r.ensure(1, sector.TaskPreCommit2, []byte{1})
	got, err := dead.Next(t.Context(), "dead")
	require.NoError(t, err)
	require.Equal(t, id, got.ID)
	p := &echo{runs: map[string]int{}}
	r.work("w", p)
	require.Equal(t, []byte{1, 1}, r.done(1)[id])
	require.NoError(t, dead.HandIn(t.Context(), worker.Outcome{Worker: "dead", Lease: got.Lease(), Result: worker.Result{Output: []byte("late")}}))
	after := r.ensure(2, sector.TaskPreCommit2, []byte{2}) // its outcome comes after the late one
	require.Equal(t, map[string][]byte{id: {1, 1}, after: {2, 2}}, r.done(2))
}

func FuzzMessages(f *testing.F) {
	f.Add([]byte(`{"Task":{"ID":"a"}}`))
	f.Add([]byte(`{"Outcome":{"Worker":"w","Lease":{"Task":"a","Fence":1}},"Bulk":"x"}`))
	f.Add([]byte(`{"Info":{"ID":"w"},"Holds":[{"Task":"a","Fence":18446744073709551615}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := bus.Decode(data)
		if err != nil {
			require.True(t, errors.Is(err, bus.ErrMessage))
		} else {
			require.NotEqual(t, m.Task == nil, m.Outcome == nil)
		}
		store, err := db.Open(t.Context(), db.Config{Path: filepath.Join(t.TempDir(), "db")})
		require.NoError(t, err)
		defer store.Close()
		q, err := task.New(t.Context(), store, clock.NewSim(time.Unix(1e9, 0)), time.Second)
		require.NoError(t, err)
		(&Broker{queue: q}).answer(t.Context(), data)
		if m.Outcome != nil {
			require.NoError(t, q.HandIn(t.Context(), *m.Outcome), "nobody's outcome changes nothing")
		}
	})
}

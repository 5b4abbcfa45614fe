package spread

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/proof"
	"github.com/ipfs/go-cid"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/sealer/db"
	"github.com/filecoin-venus/venus/sealer/sched"
	"github.com/filecoin-venus/venus/sealer/sealertest"
	"github.com/filecoin-venus/venus/sealer/sector"
	"github.com/filecoin-venus/venus/sealer/task"
	"github.com/filecoin-venus/venus/sealer/wdpost"
	"github.com/filecoin-venus/venus/worker"
)

// takes is how long a partition takes, wherever it is proven.
const takes = time.Minute

// farm is a prover with a real queue, a sealer's machine and workers, all in one bubble of time. A proof is the name of what
// it proves.
type farm struct {
	t     *testing.T
	q     *task.Queue
	p     *Prover
	began time.Time

	mu    sync.Mutex
	told  []string
	here  int                       // proofs made here, of a partition or more
	bad   map[abi.SectorNumber]bool // damaged
	dirs  map[abi.SectorNumber]string
	asked map[string]int // tasks by host
	hangs bool           // what is looked at does
}

const ttl = 30 * time.Second

func inFarm(t *testing.T, mode Mode, f func(t *testing.T, f *farm)) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		store, err := db.Open(ctx, db.Config{Path: filepath.Join(dir, "db")})
		require.NoError(t, err)
		x := &farm{t: t, began: time.Now(), bad: map[abi.SectorNumber]bool{}, dirs: map[abi.SectorNumber]string{}, asked: map[string]int{}}
		x.q, err = task.New(ctx, store, clock.Real(), ttl)
		require.NoError(t, err)
		x.q.Paths = func() []worker.Path { return []worker.Path{{ID: "shared", Dir: worker.OwnPrefix + "shared"}} }
		x.p = New(Config{Miner: sealertest.MinerID, Mode: mode, Slots: 1}, Parts{Here: x, Queue: x.q, Verifier: x, Clock: clock.Real(), Told: x.note})
		var wg sync.WaitGroup
		wg.Go(func() {
			for clock.Real().Sleep(ctx, time.Second) == nil {
				_ = x.q.Sweep(ctx)
			}
		})
		defer func() {
			cancel()
			wg.Wait()
			require.NoError(t, store.Close())
		}()
		f(t, x)
	})
}

func (f *farm) note(host, outcome string, _ time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.told = append(f.told, host+" "+outcome)
}

func (f *farm) Check(context.Context, []proof.SectorInfo) (map[abi.SectorNumber]string, error) {
	return nil, nil
}

func (f *farm) Look(ctx context.Context, list []proof.SectorInfo) (map[abi.SectorNumber]string, error) {
	if f.hangs {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	out := map[abi.SectorNumber]string{}
	for _, s := range list {
		if f.bad[s.SectorNumber] {
			out[s.SectorNumber] = "damaged"
		}
	}
	return out, nil
}

func (f *farm) Find(s proof.SectorInfo) (worker.Files, []string, bool) {
	dir := f.dirs[s.SectorNumber]
	if dir == "" {
		dir = worker.OwnPrefix + "shared"
	}
	return worker.Files{Sealed: dir + "/sealed/x", Cache: dir + "/cache/x"}, []string{dir, dir}, dir != "bucket"
}

// prove leaves damaged sectors out.
func (f *farm) prove(first int, numbers []abi.SectorNumber, r abi.PoStRandomness) (b []byte, faulty []abi.SectorNumber) {
	for n := range slices.Chunk(numbers, 2) {
		var good []abi.SectorNumber
		for _, x := range n {
			if f.bad[x] {
				faulty = append(faulty, x)
			} else {
				good = append(good, x)
			}
		}
		if len(good) > 0 {
			b = append(b, fmt.Sprintf("[%d %v %s]", first, good, r)...)
		}
		first++
	}
	return b, faulty
}

func (f *farm) WindowPoStFrom(ctx context.Context, first int, list []proof.SectorInfo, r abi.PoStRandomness) ([]proof.PoStProof, []abi.SectorNumber, error) {
	f.mu.Lock()
	f.here++
	f.mu.Unlock()
	if err := clock.Real().Sleep(ctx, time.Duration((len(list)+1)/2)*takes); err != nil {
		return nil, nil, err
	}
	b, faulty := f.prove(first, numbersOf(list), r)
	if len(b) == 0 {
		return nil, faulty, errors.New("nothing can be proven")
	}
	return []proof.PoStProof{{ProofBytes: b}}, faulty, nil
}

func numbersOf(list []proof.SectorInfo) (out []abi.SectorNumber) {
	for _, s := range list {
		out = append(out, s.SectorNumber)
	}
	return out
}

func (f *farm) VerifyWindowPoStFrom(_ context.Context, first int, i proof.WindowPoStVerifyInfo) (bool, error) {
	want, _ := f.prove(first, numbersOf(i.ChallengedSectors), i.Randomness)
	return string(want) == string(i.Proofs[0].ProofBytes), nil
}

// machine is a worker. How says how it behaves.
type machine struct {
	f    *farm
	host string
	how  string
	stop context.CancelFunc
}

func (m machine) Run(ctx context.Context, t worker.Task) (worker.Result, error) {
	m.f.mu.Lock()
	m.f.asked[m.host]++
	m.f.mu.Unlock()
	w, err := worker.ParseWindow(t)
	if err != nil {
		return worker.Result{}, err
	}
	var numbers []abi.SectorNumber
	for _, s := range w.Sectors {
		numbers = append(numbers, s.Number)
	}
	switch m.how {
	case "fails":
		return worker.Result{}, errors.New("no parameter files")
	case "hangs":
		<-ctx.Done()
		return worker.Result{}, ctx.Err()
	case "dies":
		m.stop()
		return worker.Result{}, ctx.Err()
	}
	if err := clock.Real().Sleep(ctx, takes); err != nil {
		return worker.Result{}, err
	}
	b, faulty := m.f.prove(w.First, numbers, w.Randomness)
	switch m.how {
	case "lies":
		b = []byte("a proof")
	case "blind":
		b, faulty = nil, numbers[:1]
	case "skips":
		b, _ = m.f.prove(w.First, numbers[1:], w.Randomness)
	}
	return worker.Result{Proof: b, Faulty: faulty}, nil
}

// deaf is a source that is cut off when its context ends, as by kill -9.
type deaf struct {
	*task.Queue
	ctx context.Context
}

func (d deaf) Beat(ctx context.Context, b worker.Beat) (worker.Orders, error) {
	if d.ctx.Err() != nil {
		return worker.Orders{}, d.ctx.Err()
	}
	return d.Queue.Beat(ctx, b)
}

func (d deaf) HandIn(ctx context.Context, o worker.Outcome) error {
	if d.ctx.Err() != nil {
		return d.ctx.Err()
	}
	return d.Queue.HandIn(ctx, o)
}

// hire starts a worker that does one task at a time, until the returned function is called.
func (f *farm) hire(host, how string) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	link, cut := context.WithCancel(context.Background())
	e := &worker.Executor{
		Source: deaf{f.q, link}, Prover: machine{f, host, how, cut}, Clock: clock.Real(), Own: []worker.Path{{ID: "shared", Dir: "/shared"}},
		Info: worker.Info{ID: "id-" + host, Hostname: host, Kinds: []sector.TaskKind{sched.WindowPoSt}, Slots: 1},
	}
	var wg sync.WaitGroup
	wg.Go(func() { e.Run(ctx, ctx) })
	synctest.Wait()
	return func() {
		cut()
		cancel()
		wg.Wait()
	}
}

var comm = sealertest.Cid("replica")

// work is a window proof of n sectors, the last one standing in for another, with an hour left.
func work(n int) wdpost.Work {
	w := wdpost.Work{Randomness: abi.PoStRandomness("challenge"), By: time.Now().Add(time.Hour)}
	for i := range n {
		w.Sectors = append(w.Sectors, info(abi.SectorNumber(i), comm))
	}
	w.Sectors = append(w.Sectors, w.Sectors[0])
	return w
}

func info(n abi.SectorNumber, c cid.Cid) proof.SectorInfo {
	return proof.SectorInfo{SealProof: abi.RegisteredSealProof_StackedDrg2KiBV1_1, SectorNumber: n, SealedCID: c}
}

// TestWhoProves asks for window proofs of farms that differ in their workers.
func TestWhoProves(t *testing.T) {
	type hand struct{ host, how string }
	for name, c := range map[string]struct {
		mode    Mode
		workers []hand
		sectors int
		bad     []abi.SectorNumber
		dirs    map[abi.SectorNumber]string

		by     string // who proved each part, in order
		told   []string
		faulty []abi.SectorNumber
		none   bool // no proof comes with the faults
		err    string
		within time.Duration
	}{
		"a worker":             {mode: Prefer, workers: []hand{{"a", ""}}, sectors: 2, by: "a", told: []string{"a proven"}, within: takes},
		"two workers":          {mode: Prefer, workers: []hand{{"a", ""}, {"b", ""}}, sectors: 4, by: "a,b", told: []string{"a proven", "b proven"}, within: takes},
		"worker and sealer":    {mode: Prefer, workers: []hand{{"a", ""}}, sectors: 3, by: "a,-", told: []string{" proven", "a proven"}, within: takes},
		"three by two":         {mode: Only, workers: []hand{{"a", ""}, {"b", ""}}, sectors: 5, by: "a,b,?", told: nil, within: 2 * takes},
		"no worker":            {mode: Prefer, sectors: 4, by: "-", told: []string{" proven"}, within: 2 * takes},
		"the sealer alone":     {mode: Local, workers: []hand{{"a", ""}}, sectors: 2, by: "-", told: []string{" proven"}, within: takes},
		"out of reach":         {mode: Prefer, workers: []hand{{"a", ""}}, sectors: 2, dirs: map[abi.SectorNumber]string{1: "elsewhere"}, by: "-", told: []string{" proven"}, within: takes},
		"in a bucket":          {mode: Prefer, workers: []hand{{"a", ""}}, sectors: 4, dirs: map[abi.SectorNumber]string{1: "bucket"}, by: "-,a", told: []string{" proven", "a proven"}, within: takes},
		"a liar":               {mode: Prefer, workers: []hand{{"a", "lies"}}, sectors: 2, by: "-", told: []string{"a refused", " proven"}, within: 2 * takes},
		"a liar and another":   {mode: Only, workers: []hand{{"a", "lies"}, {"b", ""}}, sectors: 2, by: "b", told: []string{"a refused", "b proven"}, within: 2 * takes},
		"one that skips":       {mode: Prefer, workers: []hand{{"a", "skips"}}, sectors: 2, by: "-", told: []string{"a refused", " proven"}, within: 2 * takes},
		"false faults":         {mode: Prefer, workers: []hand{{"a", "blind"}}, sectors: 2, by: "-", told: []string{"a refused", " proven"}, within: 2 * takes},
		"true faults":          {mode: Prefer, workers: []hand{{"a", ""}}, sectors: 2, bad: []abi.SectorNumber{1}, by: "a", told: []string{"a proven"}, faulty: []abi.SectorNumber{1}, within: takes},
		"all of one is faulty": {mode: Prefer, workers: []hand{{"a", ""}}, sectors: 2, bad: []abi.SectorNumber{0, 1}, told: []string{"a proven"}, faulty: []abi.SectorNumber{0, 1}, none: true, within: takes},
		"faults in one of two": {mode: Prefer, workers: []hand{{"a", ""}, {"b", ""}}, sectors: 4, bad: []abi.SectorNumber{1}, told: nil, faulty: []abi.SectorNumber{1}, none: true, within: takes},
		"faults seen here":     {mode: Local, sectors: 2, bad: []abi.SectorNumber{0}, by: "-", told: []string{" proven"}, faulty: []abi.SectorNumber{0}, within: takes},
		"it fails":             {mode: Prefer, workers: []hand{{"a", "fails"}}, sectors: 2, by: "-", told: []string{"a failed", " proven"}, within: takes},
		"it hangs":             {mode: Prefer, workers: []hand{{"a", "hangs"}}, sectors: 2, by: "-", told: []string{"a late", " proven"}, within: 15*time.Minute + takes},
		"it dies":              {mode: Prefer, workers: []hand{{"a", "dies"}}, sectors: 2, by: "-", told: []string{"a lost", " proven"}, within: ttl + takes + 2*time.Second},
		"nobody there":         {mode: Only, sectors: 2, err: "no worker is here that makes window proofs"},
		"only a liar there":    {mode: Only, workers: []hand{{"a", "lies"}}, sectors: 2, err: "a: its proof does not hold"},
		"only one that hangs":  {mode: Only, workers: []hand{{"a", "hangs"}}, sectors: 2, err: "workers did not make a window proof within 1h0m0s"},
	} {
		t.Run(name, func(t *testing.T) {
			inFarm(t, c.mode, func(t *testing.T, f *farm) {
				for _, n := range c.bad {
					f.bad[n] = true
				}
				if c.dirs != nil {
					f.dirs = c.dirs
				}
				for _, h := range c.workers {
					defer f.hire(h.host, h.how)()
				}
				w := work(c.sectors)
				start := time.Now()
				made, err := f.p.WindowPoSt(t.Context(), w)
				if c.err != "" {
					require.ErrorContains(t, err, c.err)
					require.Zero(t, f.here)
					return
				}
				require.NoError(t, err)
				require.LessOrEqual(t, time.Since(start), c.within)
				require.Equal(t, c.faulty, made.Faulty)
				slices.Sort(f.told)
				slices.Sort(c.told)
				if c.told != nil {
					require.Equal(t, c.told, f.told)
				}
				require.Empty(t, f.q.Entries(), "something stays offered")
				if c.none {
					require.Empty(t, made.Proofs)
					return
				}
				f.holds(w, made)
				require.Regexp(t, "^"+byOf(c.by)+"$", hostsOf(made))
			})
		})
	}
}

func byOf(text string) string {
	out := ""
	for _, c := range text {
		if c == '?' {
			out += "[ab]"
		} else {
			out += string(c)
		}
	}
	return out
}

func hostsOf(m wdpost.Made) (out string) {
	for i, p := range m.Parts {
		if i > 0 {
			out += ","
		}
		if p.Host == "" {
			p.Host = "-"
		}
		out += p.Host
	}
	return out
}

// holds verifies a whole proof.
func (f *farm) holds(w wdpost.Work, made wdpost.Made) {
	list := slices.DeleteFunc(slices.Clone(w.Sectors[:len(w.Sectors)-1]), func(s proof.SectorInfo) bool { return slices.Contains(made.Faulty, s.SectorNumber) })
	ok, err := f.VerifyWindowPoStFrom(f.t.Context(), 0, proof.WindowPoStVerifyInfo{Randomness: w.Randomness, Proofs: made.Proofs, ChallengedSectors: list})
	require.NoError(f.t, err)
	require.True(f.t, ok, "%s", made.Proofs[0].ProofBytes)
}

// TestPassedOver asks a worker that lied again an hour later, and not before.
func TestPassedOver(t *testing.T) {
	inFarm(t, Prefer, func(t *testing.T, f *farm) {
		defer f.hire("a", "lies")()
		for i, want := range []int{1, 1, 2} {
			w := work(2)
			w.Randomness = fmt.Append(nil, i)
			made, err := f.p.WindowPoSt(t.Context(), w)
			require.NoError(t, err)
			require.Equal(t, "-", hostsOf(made))
			require.Equal(t, want, f.asked["a"], "call %d", i)
			require.Equal(t, "its proof does not hold", f.p.PassedOver()["a"].Why)
			if i == 1 {
				require.NoError(t, clock.Real().Sleep(t.Context(), passOver))
				require.Empty(t, f.p.PassedOver())
			}
		}
		require.Equal(t, 3, f.here)
	})
}

// TestLookTakesTooLong has a worker call sectors faulty that take for ever to look at: the proof does not wait for that.
func TestLookTakesTooLong(t *testing.T) {
	inFarm(t, Prefer, func(t *testing.T, f *farm) {
		f.hangs = true
		defer f.hire("a", "blind")()
		start := time.Now()
		made, err := f.p.WindowPoSt(t.Context(), work(2))
		require.NoError(t, err)
		require.Equal(t, "-", hostsOf(made))
		require.Equal(t, []string{"a late", " proven"}, f.told)
		require.LessOrEqual(t, time.Since(start), 15*time.Minute+takes)
	})
}

// TestLittleTime asks no worker when there is just enough time to make the proof here.
func TestLittleTime(t *testing.T) {
	inFarm(t, Prefer, func(t *testing.T, f *farm) {
		w := work(2)
		_, err := f.p.WindowPoSt(t.Context(), w) // measures what it takes here
		require.NoError(t, err)
		defer f.hire("a", "hangs")()
		w.By = time.Now().Add(takes + takes/2)
		made, err := f.p.WindowPoSt(t.Context(), w)
		require.NoError(t, err)
		require.Equal(t, "-", hostsOf(made))
		require.Zero(t, f.asked["a"])
		w.By, w.Others = time.Now().Add(5*takes), 1
		made, err = f.p.WindowPoSt(t.Context(), w)
		require.NoError(t, err)
		require.Contains(t, made.Parts[0].Before, "a: it did not make a window proof within 2m0s")
		require.True(t, time.Now().Add(takes).Before(w.By), "there is time left for the other one")
	})
}

// TestFaultsCostOnePartition proves the same statement again but for a partition that turned out faulty: what was proven
// before it is not proven twice.
func TestFaultsCostOnePartition(t *testing.T) {
	inFarm(t, Prefer, func(t *testing.T, f *farm) {
		defer f.hire("a", "")()
		f.bad[3] = true
		w := work(4)
		made, err := f.p.WindowPoSt(t.Context(), w)
		require.NoError(t, err)
		require.Equal(t, []abi.SectorNumber{3}, made.Faulty)
		require.NoError(t, clock.Real().Sleep(t.Context(), time.Second))
		before := f.asked["a"] + f.here
		w.Sectors = slices.Delete(w.Sectors, 3, 4)
		made, err = f.p.WindowPoSt(t.Context(), w)
		require.NoError(t, err)
		require.LessOrEqual(t, f.asked["a"]+f.here-before, 2)
		require.Len(t, made.Parts, 2)
		require.Empty(t, made.Faulty)
		// A third time nothing is left to be proven.
		before = f.asked["a"] + f.here
		again, err := f.p.WindowPoSt(t.Context(), w)
		require.NoError(t, err)
		require.Equal(t, before, f.asked["a"]+f.here)
		require.Equal(t, made.Proofs, again.Proofs)
		w.Anew = true
		_, err = f.p.WindowPoSt(t.Context(), w)
		require.NoError(t, err)
		require.Equal(t, before+2, f.asked["a"]+f.here, "a rehearsal measures")
		before += 2
		w.Randomness = abi.PoStRandomness("another")
		_, err = f.p.WindowPoSt(t.Context(), w)
		require.NoError(t, err)
		require.Equal(t, before+2, f.asked["a"]+f.here)
	})
}

// TestGivenUp ends a proof that nobody wants any more: nothing stays offered, and the worker lets go of it.
func TestGivenUp(t *testing.T) {
	inFarm(t, Prefer, func(t *testing.T, f *farm) {
		defer f.hire("a", "hangs")()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := f.p.WindowPoSt(ctx, work(2))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Empty(t, f.q.Entries())
		require.NoError(t, clock.Real().Sleep(t.Context(), ttl))
		made, err := f.p.WindowPoSt(t.Context(), work(2))
		require.NoError(t, err)
		require.Equal(t, 2, f.asked["a"], "that was not its fault")
		require.Equal(t, "-", hostsOf(made))
	})
}

func TestModes(t *testing.T) {
	for text, want := range map[string]Mode{"": Prefer, "local": Local, "prefer": Prefer, "only": Only} {
		m, err := ParseMode(text)
		require.NoError(t, err)
		require.Equal(t, want, m)
	}
	_, err := ParseMode("remote")
	require.ErrorContains(t, err, "want local, prefer or only")
}

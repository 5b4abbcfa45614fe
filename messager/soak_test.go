package messager

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/internal/fault"
	"github.com/filecoin-venus/venus/messager/machine"
	"github.com/filecoin-venus/venus/messager/store"
	"github.com/filecoin-venus/venus/types"
)

const (
	soakEnv     = "VENUS_SOAK"      // how long, such as 10m; without it a few seconds
	soakSeedEnv = "VENUS_SOAK_SEED" // a seed that was printed
	soakShort   = 4 * time.Second
	soakEpoch   = 400 * time.Millisecond
	soakRate    = 200 // messages a second, over all senders
	soakWallets = 5
	soakSenders = 50
	soakClients = 40
	// soakSettle is how long everything may take to land once all is well.
	soakSettle = 2 * time.Minute
)

// soak runs two messagers as they are in production, on the real clock, with a node
// and wallets that somebody keeps breaking.
type soak struct {
	t        *testing.T
	rnd      *rand.Rand
	at       store.Config
	node     *modelNode
	wallets  []*modelWallet
	senders  []address.Address
	walletOf map[address.Address]string

	mu       sync.Mutex
	running  []*soaked
	accepted []string
}

// soaked is one messager and what ends it.
type soaked struct {
	s    *Service
	db   *store.DB
	stop func()
}

func newSoak(t *testing.T, seed uint64) *soak {
	clk := clock.Real()
	k := &soak{
		t: t, rnd: rand.New(rand.NewPCG(seed, 1)), node: newModelNode(clk.Now), walletOf: map[address.Address]string{},
		at: store.Config{Type: store.SQLite, Path: filepath.Join(t.TempDir(), "m.db"), Key: databaseKeyOf(t)}, running: make([]*soaked, 2),
	}
	k.node.epoch = soakEpoch
	k.node.baseFee = big.NewInt(100_000)
	k.node.passing = func(d time.Duration) { _ = clk.Sleep(context.Background(), d) }
	for w := range soakWallets {
		mw := newModelWallet(w)
		k.wallets = append(k.wallets, mw)
		for range soakSenders / soakWallets {
			a := mw.newKey(t)
			k.node.balances[a] = big.Mul(fil, big.NewInt(1000))
			k.senders = append(k.senders, a)
			k.walletOf[a] = fmt.Sprint("w", w)
		}
	}
	for i := range k.running {
		k.start(i)
	}
	for w := range k.wallets {
		require.NoError(t, k.running[0].s.addWallet(context.Background(), store.Wallet{Name: fmt.Sprint("w", w), URL: strconv.Itoa(w), Token: "t"}))
	}
	return k
}

// start begins the i-th messager, as the start of its process does.
func (k *soak) start(i int) {
	db, err := store.Open(context.Background(), k.at)
	require.NoError(k.t, err)
	s, err := New(context.Background(), Options{
		DB: db, Nodes: []Endpoint{{"model", k.node}}, Clock: clock.Real(), Holder: fmt.Sprint("messager", i),
		DialWallet: func(url, _ string) (Signer, func(), error) {
			w, err := strconv.Atoi(url)
			return k.wallets[w], func() {}, err
		},
		DialNode: func(string, string) (Publisher, func(), error) { return k.node, func() {}, nil },
	})
	require.NoError(k.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for s.Run(ctx) != nil && ctx.Err() == nil {
			_ = clock.Real().Sleep(ctx, 50*time.Millisecond) // the database was away at the start
		}
	}()
	k.mu.Lock()
	defer k.mu.Unlock()
	k.running[i] = &soaked{s: s, db: db, stop: func() { cancel(); <-ended; _ = db.Close() }}
}

// restart ends a messager and starts it again.
func (k *soak) restart(i int) {
	k.mu.Lock()
	old := k.running[i]
	k.running[i] = nil
	k.mu.Unlock()
	old.stop()
	k.start(i)
}

func (k *soak) any(n int) *soaked {
	k.mu.Lock()
	defer k.mu.Unlock()
	if r := k.running[n%2]; r != nil {
		return r
	}
	return k.running[(n+1)%2]
}

// offer pushes every so often until ctx ends, each message until it is accepted.
func (k *soak) offer(ctx context.Context, client, clients int) {
	pause := time.Second * time.Duration(clients) / soakRate
	for i := 0; clock.Real().Sleep(ctx, pause) == nil; i++ {
		id, from := fmt.Sprint("s", client, "-", i), k.senders[(client+i*clients)%len(k.senders)]
		m := &types.Message{From: from, To: from, Value: big.Zero(), Method: 16}
		if i%7 == 0 {
			m.To, m.Method = addressOf(k.t, 1000), 5
		}
		for try := 0; ; try++ {
			_, err := k.any(client+try).s.Accept(context.Background(), id, "soak", k.walletOf[from], m, machine.Limits{})
			if err == nil {
				break
			}
			_ = clock.Real().Sleep(context.Background(), 20*time.Millisecond)
		}
		k.mu.Lock()
		k.accepted = append(k.accepted, id)
		k.mu.Unlock()
	}
}

// mine makes a block every epoch until ctx ends.
func (k *soak) mine(ctx context.Context) {
	for clock.Real().Sleep(ctx, soakEpoch) == nil {
		k.node.setHead(k.node.mine(k.node.Head(), 0, nil))
	}
}

// trouble breaks something, and returns what mends it.
func (k *soak) trouble() (name string, mend func()) {
	set := func(f func()) {
		k.node.mu.Lock()
		defer k.node.mu.Unlock()
		f()
	}
	w := k.wallets[k.rnd.IntN(len(k.wallets))]
	switch k.rnd.IntN(11) {
	case 0:
		k.node.setFail("*", errAway)
		k.node.dropSubs()
		return "node gone", func() { k.node.setFail("*", nil) }
	case 1:
		method := []string{"MpoolBatchPush", "MpoolPush", "ChainGetParentMessages", "StateSearchMsg", "MpoolGetNonce", "ChainGetPath"}[k.rnd.IntN(6)]
		k.node.setFail(method, errAway)
		return method + " fails", func() { k.node.setFail(method, nil) }
	case 2:
		set(func() { k.node.late = 300 * time.Millisecond })
		return "node slow", func() { set(func() { k.node.late = 0 }) }
	case 3:
		w.set(errAway)
		return "wallet gone", func() { w.set(nil) }
	case 4:
		k.node.losePool()
		return "pool lost", func() {}
	case 5:
		ts := k.node.Head()
		depth := 1 + k.rnd.IntN(8)
		for i := 0; i < depth && ts.Height() > 0; i++ {
			ts = k.node.tipsetOf(ts.Parents())
		}
		for range depth + 1 {
			ts = k.node.mine(ts, 0, nil)
		}
		k.node.setHead(ts)
		return fmt.Sprint("reorg of ", depth), func() {}
	case 6:
		set(func() { k.node.baseFee = big.NewInt(10_000_000) })
		return "base fee a hundred times higher", func() { set(func() { k.node.baseFee = big.NewInt(100_000) }) }
	case 7:
		i := k.rnd.IntN(2)
		k.restart(i)
		return fmt.Sprint("restart of messager ", i), func() {}
	case 8:
		k.node.dropSubs()
		return "subscriptions dropped", func() {}
	case 9:
		return "database takes no writes", fault.Arm("messager/begin", func() error { return errors.New("bad connection") })
	default:
		n := 0
		var mu sync.Mutex
		return "answers of commits are lost", fault.Arm("messager/committed", func() error {
			mu.Lock()
			defer mu.Unlock()
			if n++; n%5 == 0 {
				return errors.New("bad connection")
			}
			return nil
		})
	}
}

// TestSoak offers 200 messages a second to two messagers on one database for 50
// senders in 5 wallets while things break at random. Everything accepted lands.
func TestSoak(t *testing.T) {
	long, seed := soakShort, uint64(clock.Real().Now().UnixNano())
	var err error
	if v := os.Getenv(soakEnv); v != "" {
		long, err = time.ParseDuration(v)
		require.NoError(t, err)
	}
	if v := os.Getenv(soakSeedEnv); v != "" {
		seed, err = strconv.ParseUint(v, 10, 64)
		require.NoError(t, err)
	}
	t.Logf("%s=%d, %s long; %s=10m makes it longer", soakSeedEnv, seed, long, soakEnv)
	k := newSoak(t, seed)
	mining, stopMining := context.WithCancel(t.Context())
	offering, stopOffering := context.WithTimeout(t.Context(), long)
	defer stopOffering()
	var world, clients sync.WaitGroup
	world.Go(func() { k.mine(mining) })
	for c := range soakClients {
		clients.Go(func() { k.offer(offering, c, soakClients) })
	}
	for clock.Real().Sleep(offering, time.Duration(k.rnd.IntN(600))*time.Millisecond) == nil {
		name, mend := k.trouble()
		hold := time.Duration(200+k.rnd.IntN(1500)) * time.Millisecond
		t.Logf("%s for %s", name, hold)
		_ = clock.Real().Sleep(offering, hold)
		mend()
	}
	clients.Wait()
	took := k.settle()
	stopMining()
	world.Wait()
	t.Logf("%d messages, %d tipsets, everything landed %s after the last trouble", len(k.accepted), k.node.Head().Height(), took)
	p := &play{t: t, node: k.node, rigs: []*rig{{Service: k.running[0].s, t: t, node: k.node, db: k.running[0].db}}, accepted: k.accepted, senders: k.senders}
	p.check()
	for _, r := range k.running {
		r.stop()
	}
	require.NotEmpty(t, k.accepted) // how many depends on the machine
}

// settle waits until everything is decided.
func (k *soak) settle() time.Duration {
	start := clock.Real().Now()
	for {
		n, err := k.running[0].db.Count(context.Background(), store.Query{States: []machine.State{machine.Queued, machine.Signed, machine.Pending}})
		require.NoError(k.t, err)
		took := clock.Real().Now().Sub(start)
		if n == 0 {
			return took
		}
		if took > soakSettle {
			stuck, err := k.running[0].db.List(context.Background(), store.Query{States: []machine.State{machine.Queued, machine.Signed, machine.Pending}, Limit: 1, Ascending: true})
			require.NoError(k.t, err)
			e, err := k.running[0].s.Explain(context.Background(), stuck[0].ID)
			k.t.Fatalf("%d messages are not decided %s after the last trouble; the first: %+v %v", n, took, e, err)
		}
		_ = clock.Real().Sleep(context.Background(), 100*time.Millisecond)
	}
}

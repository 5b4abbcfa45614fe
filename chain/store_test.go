package chain

import (
	"context"
	"errors"
	"fmt"
	"math/rand"
	"testing"

	"github.com/filecoin-project/go-state-types/abi"
	fbig "github.com/filecoin-project/go-state-types/big"
	"github.com/ipfs/go-cid"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/internal/fault"
	"github.com/filecoin-venus/venus/internal/vectors"
	"github.com/filecoin-venus/venus/ipld"
	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/types"
)

func localNetwork(t testing.TB) params.Network {
	t.Helper()
	n, err := params.ByName("local")
	require.NoError(t, err)
	return n
}

// newStore opens an empty store over the given parts and gives it a genesis.
func newStore(t testing.TB, blocks ipld.Blockstore, meta Meta) *Store {
	t.Helper()
	s, err := Open(context.Background(), Config{Network: localNetwork(t), Blocks: blocks, Meta: meta})
	require.ErrorIs(t, err, ErrNoGenesis)
	require.NoError(t, s.SetGenesis(context.Background(), genesisHeader(t)))
	return s
}

func genesisHeader(t testing.TB) *types.BlockHeader {
	t.Helper()
	g := header(t, 0, "genesis", 0)
	g.BeaconEntries = []types.BeaconEntry{{Round: 0, Data: make([]byte, 32)}}
	return g
}

// extend puts a child of parent on the store and fixes its weight, which tests without power state cannot compute.
func extend(t testing.TB, s *Store, parent *types.TipSet, height abi.ChainEpoch, name string, weight int64) *types.TipSet {
	t.Helper()
	h := header(t, 1000, name, height, parent.Cids()...)
	require.NoError(t, s.PutHeader(context.Background(), h))
	ts := tipset(t, h)
	s.weights.Add(ts.Key(), fbig.NewInt(weight))
	return ts
}

func TestGenesisIsForGood(t *testing.T) {
	ctx := context.Background()
	s := newStore(t, ipld.NewMemory(), NewMemoryMeta())
	require.Equal(t, s.Genesis(), s.Head())
	require.NoError(t, s.SetGenesis(ctx, genesisHeader(t)))
	other := genesisHeader(t)
	other.Timestamp = 77
	require.ErrorIs(t, s.SetGenesis(ctx, other), ErrOtherGenesis)
	high := genesisHeader(t)
	high.Height = 3
	require.Error(t, s.SetGenesis(ctx, high))
}

func TestNamedGenesisIsDemanded(t *testing.T) {
	net := localNetwork(t)
	net.GenesisCID = someCid(t, 9).String()
	s, err := Open(context.Background(), Config{Network: net, Blocks: ipld.NewMemory(), Meta: NewMemoryMeta()})
	require.ErrorIs(t, err, ErrNoGenesis)
	require.ErrorIs(t, s.SetGenesis(context.Background(), genesisHeader(t)), ErrOtherGenesis)
}

// Crash points: whatever line the process dies at, the head on disk is the old or the new one, and nobody heard of a head
// that is not on disk.
func TestHeadIsDurableBeforeVisible(t *testing.T) {
	ctx := context.Background()
	for _, point := range []string{"chain/headPersist", "chain/headNotify"} {
		dir := t.TempDir()
		meta, err := OpenMeta(dir)
		require.NoError(t, err)
		blocks := ipld.NewMemory()
		s := newStore(t, blocks, meta)
		one := extend(t, s, s.Genesis(), 1, "one", 1)
		two := extend(t, s, one, 2, "two", 2)
		require.NoError(t, s.SetHead(ctx, one))
		sub := s.Subscribe()
		require.Equal(t, []HeadChange{{Current, one}}, <-sub.Changes())

		crash := errors.New("crash")
		disarm := fault.Arm(point, func() error { return crash })
		require.ErrorIs(t, s.SetHead(ctx, two), crash)
		disarm()
		require.Empty(t, sub.Changes(), "a head was announced before it was recorded")
		require.NoError(t, meta.Close())

		meta, err = OpenMeta(dir)
		require.NoError(t, err)
		again, err := Open(ctx, Config{Network: localNetwork(t), Blocks: blocks, Meta: meta})
		require.NoError(t, err)
		want := map[string]*types.TipSet{"chain/headPersist": one, "chain/headNotify": two}[point]
		require.True(t, again.Head().Equals(want), point)
		require.NoError(t, meta.Close())
	}
}

func TestMetaKit(t *testing.T) {
	ctx := context.Background()
	disk, err := OpenMeta(t.TempDir())
	require.NoError(t, err)
	defer func() { require.NoError(t, disk.Close()) }()
	for name, m := range map[string]Meta{"memory": NewMemoryMeta(), "badger": disk} {
		t.Run(name, func(t *testing.T) {
			v, err := m.Get(ctx, []byte("none"))
			require.NoError(t, err)
			require.Nil(t, v)
			for _, k := range []string{"b/2", "a", "b/1", "c"} {
				require.NoError(t, m.Put(ctx, Entry{[]byte(k), []byte("=" + k)}))
			}
			var seen []string
			require.NoError(t, m.Scan(ctx, []byte("b/"), func(k, v []byte) error {
				seen = append(seen, string(k)+string(v))
				return nil
			}))
			require.Equal(t, []string{"b/1=b/1", "b/2=b/2"}, seen)
			stop := errors.New("stop")
			require.ErrorIs(t, m.Scan(ctx, nil, func(_, _ []byte) error { return stop }), stop)
			require.NoError(t, m.Delete(ctx, []byte("a"), []byte("never")))
			v, err = m.Get(ctx, []byte("a"))
			require.NoError(t, err)
			require.Nil(t, v)
		})
	}
}

func TestHeadChangesConnect(t *testing.T) {
	ctx := context.Background()
	s := newStore(t, ipld.NewMemory(), NewMemoryMeta())
	sub := s.Subscribe()
	rng := rand.New(rand.NewSource(1))
	known := []*types.TipSet{s.Genesis()}
	for i := range 200 {
		parent := known[rng.Intn(len(known))]
		ts := extend(t, s, parent, parent.Height()+1+abi.ChainEpoch(rng.Intn(3)), fmt.Sprint(i), int64(i))
		known = append(known, ts)
		require.NoError(t, s.SetHead(ctx, ts))
		if i%50 == 49 {
			followAll(t, sub, s)
		}
	}
	sub.Close()
	sub.Close()
	require.NoError(t, sub.Err())
}

// followAll keeps a chain by the changes alone and compares its end with the head.
func followAll(t *testing.T, sub *Subscription, s *Store) {
	t.Helper()
	var at *types.TipSet
	for len(sub.Changes()) > 0 {
		for _, c := range <-sub.Changes() {
			switch c.Kind {
			case Current:
				at = c.TipSet
			case Apply:
				if at != nil {
					require.True(t, c.TipSet.IsChildOf(at))
				}
				at = c.TipSet
			case Revert:
				if at != nil {
					require.True(t, c.TipSet.Equals(at))
				}
				parent, err := s.Parent(context.Background(), c.TipSet)
				require.NoError(t, err)
				at = parent
			}
		}
	}
	require.True(t, at.Equals(s.Head()))
}

func TestSlowSubscriberIsDropped(t *testing.T) {
	ctx := context.Background()
	s := newStore(t, ipld.NewMemory(), NewMemoryMeta())
	slow := s.Subscribe()
	at := s.Genesis()
	for i := range subscriptionDepth + 2 {
		at = extend(t, s, at, at.Height()+1, fmt.Sprint(i), 1)
		require.NoError(t, s.SetHead(ctx, at))
	}
	n := 0
	for range slow.Changes() {
		n++
	}
	require.Equal(t, subscriptionDepth, n, "what was queued is still delivered")
	require.ErrorIs(t, slow.Err(), ErrSlowSubscriber)
}

func TestFinalityStopsLongForks(t *testing.T) {
	ctx := context.Background()
	for _, depth := range []abi.ChainEpoch{119, 120, 121} {
		s := newStore(t, ipld.NewMemory(), NewMemoryMeta())
		root := extend(t, s, s.Genesis(), 1, "root", 1)
		require.NoError(t, s.SetHead(ctx, root))
		head := extend(t, s, root, root.Height()+depth, "ours", 10)
		require.NoError(t, s.SetHead(ctx, head))
		rival := extend(t, s, root, head.Height(), "theirs", 11)
		changed, err := s.Consider(ctx, rival)
		if depth > s.net.Finality {
			require.ErrorIs(t, err, ErrForkTooLong)
			require.True(t, s.Head().Equals(head))
			continue
		}
		require.NoError(t, err)
		require.True(t, changed)
		require.True(t, s.Head().Equals(rival))
	}
}

func TestAcceptCompletesTipsets(t *testing.T) {
	ctx := context.Background()
	s := newStore(t, ipld.NewMemory(), NewMemoryMeta())
	parents := s.Genesis().Cids()
	a, b, c := header(t, 1000, "a", 1, parents...), header(t, 1001, "b", 1, parents...), header(t, 1002, "c", 1, parents...)
	twin := header(t, 1000, "twin", 1, parents...)
	for _, set := range [][]*types.BlockHeader{{a}, {a, b}, {twin, b}, {a, b, c}} {
		s.weights.Add(tipset(t, set...).Key(), fbig.NewInt(int64(len(set))))
	}
	s.weights.Add(s.Genesis().Key(), fbig.Zero())
	for _, h := range []*types.BlockHeader{a, b, twin, c} {
		_, _, err := s.Accept(ctx, h)
		require.NoError(t, err)
	}
	require.True(t, s.Head().Equals(tipset(t, a, b, c)), "the twin of miner 1000 came second and stays out")
	ts, err := s.Expand(b)
	require.NoError(t, err)
	require.Len(t, ts.Blocks(), 3)
}

func TestAncestorsAgainstADumbWalk(t *testing.T) {
	ctx := context.Background()
	s := newStore(t, ipld.NewMemory(), NewMemoryMeta())
	rng := rand.New(rand.NewSource(7))
	line := []*types.TipSet{s.Genesis()}
	for h := abi.ChainEpoch(1); h < 700; h++ {
		if rng.Intn(4) == 0 || (h > 250 && h < 420) {
			continue // null rounds, and one long run of them
		}
		line = append(line, extend(t, s, line[len(line)-1], h, fmt.Sprint(h), 1))
	}
	for range 3000 {
		from := line[rng.Intn(len(line))]
		h := abi.ChainEpoch(rng.Intn(int(from.Height()) + 1))
		var after, before *types.TipSet
		for _, ts := range line {
			if ts.Height() > from.Height() {
				break
			}
			if ts.Height() <= h {
				before = ts
			}
			if ts.Height() >= h && after == nil {
				after = ts
			}
		}
		got, err := s.AtOrAfter(ctx, from, h)
		require.NoError(t, err)
		require.True(t, got.Equals(after), "from %d to %d: %d, want %d", from.Height(), h, got.Height(), after.Height())
		got, err = s.AtOrBefore(ctx, from, h)
		require.NoError(t, err)
		require.True(t, got.Equals(before), "from %d to %d", from.Height(), h)
	}
	_, err := s.AtOrAfter(ctx, line[3], line[3].Height()+1)
	require.Error(t, err)
	ts, err := s.AtOrAfter(ctx, line[3], -5)
	require.NoError(t, err)
	require.True(t, ts.Equals(s.Genesis()))
}

func TestMissingBlocksHaveAName(t *testing.T) {
	ctx := context.Background()
	s := newStore(t, ipld.NewMemory(), NewMemoryMeta())
	_, err := s.TipSet(ctx, types.NewTipSetKey(someCid(t, 99)))
	require.ErrorIs(t, err, ErrMissingBlock)
	a, b := header(t, 1000, "a", 1, s.Genesis().Cids()...), header(t, 1001, "b", 1, s.Genesis().Cids()...)
	require.NoError(t, s.PutHeader(ctx, a))
	require.NoError(t, s.PutHeader(ctx, b))
	good := tipset(t, a, b).Cids()
	_, err = s.TipSet(ctx, types.NewTipSetKey(good[1], good[0]))
	require.ErrorIs(t, err, ErrNotATipSet)
	ok, err := s.Has(ctx, types.NewTipSetKey(good...))
	require.NoError(t, err)
	require.True(t, ok)
}

func TestMessageRootVectors(t *testing.T) {
	var file struct {
		Cases []struct {
			Raw  string   `json:"raw"`
			Bls  []string `json:"bls_messages"`
			Secp []string `json:"secp_messages"`
			Root string   `json:"messages"`
		} `json:"cases"`
	}
	vectors.JSON(t, "chain/block-headers.json", &file)
	parse := func(in []string) (out []cid.Cid) {
		for _, x := range in {
			c, err := cid.Decode(x)
			require.NoError(t, err)
			out = append(out, c)
		}
		return out
	}
	withMessages := 0
	for _, c := range file.Cases {
		root, err := MessageRootOf(context.Background(), parse(c.Bls), parse(c.Secp))
		require.NoError(t, err)
		require.Equal(t, c.Root, root.String())
		if len(c.Bls)+len(c.Secp) > 0 {
			withMessages++
		}
	}
	require.Len(t, file.Cases, 24)
	require.Positive(t, withMessages)
	vectors.Count(t, "chain/block-headers.json", len(file.Cases))
	t.Logf("%d message roots, %d of blocks with messages", len(file.Cases), withMessages)
}

func TestMetaWithoutRoom(t *testing.T) {
	ctx := context.Background()
	m, err := OpenMeta(t.TempDir())
	require.NoError(t, err)
	defer func() { require.NoError(t, m.Close()) }()
	require.NoError(t, m.Put(ctx, Entry{[]byte("a"), []byte("1")}))
	full := errors.New("full")
	m.Guard(func() error { return full })
	require.ErrorIs(t, m.Put(ctx, Entry{[]byte("a"), []byte("2")}), full)
	v, err := m.Get(ctx, []byte("a"))
	require.NoError(t, err)
	require.Equal(t, "1", string(v))
}

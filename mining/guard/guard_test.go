package guard

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"testing"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/ipfs/go-cid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/filecoin-venus/venus/internal/fault"
	"github.com/filecoin-venus/venus/types"
)

func name(s string) cid.Cid {
	c, err := types.CidPrefix.Sum([]byte(s))
	if err != nil {
		panic(err)
	}
	return c
}

func key(names ...string) types.TipSetKey {
	cids := make([]cid.Cid, len(names))
	for i, n := range names {
		cids[i] = name(n)
	}
	return types.NewTipSetKey(cids...)
}

func miner(t testing.TB) address.Address {
	a, err := address.NewIDAddress(1000)
	require.NoError(t, err)
	return a
}

func open(t testing.TB, dir string) *Guard {
	t.Helper()
	g, err := Open(dir, miner(t))
	require.NoError(t, err)
	t.Cleanup(func() { _ = g.Close() })
	return g
}

func prop(epoch int, digest string, parentEpoch int, parents, grand types.TipSetKey) Proposal {
	return Proposal{Epoch: abi.ChainEpoch(epoch), Digest: digest, ParentEpoch: abi.ChainEpoch(parentEpoch), Parents: parents, Grandparents: grand}
}

// One own block A at epoch 10 on parents {p9}, whose parents are {p8}; then a proposal is judged.
func TestRules(t *testing.T) {
	own := prop(10, "a", 9, key("p9"), key("p8"))
	for title, c := range map[string]struct {
		p    Proposal
		void bool
		want Verdict
	}{
		"the same bytes again":                        {p: own, want: Same},
		"the same bytes again, void":                  {p: own, void: true, want: Same},
		"another block at the epoch":                  {p: prop(10, "b", 9, key("p9"), key("p8")), want: SecondBlock},
		"another block at the epoch, other base":      {p: prop(10, "b", 9, key("q9"), key("q8")), want: SecondBlock},
		"another block at the epoch, void":            {p: prop(10, "b", 9, key("q9"), key("q8")), void: true, want: SecondBlock},
		"same parents, next epoch":                    {p: prop(11, "b", 9, key("p9"), key("p8")), want: SameParents},
		"same parents, earlier epoch":                 {p: prop(9, "b", 8, key("p9"), key("p8")), want: SameParents},
		"same parents, next epoch, void":              {p: prop(11, "b", 9, key("p9"), key("p8")), void: true, want: Fresh},
		"on the own block":                            {p: prop(11, "b", 10, key("A"), key("p9")), want: Fresh},
		"on the own block and siblings":               {p: prop(11, "b", 10, key("A", "B"), key("p9")), want: Fresh},
		"on a sibling, own left out":                  {p: prop(11, "b", 10, key("B"), key("p9")), want: SkipsOwn},
		"on a sibling, own left out, null rounds":     {p: prop(14, "b", 10, key("B", "C"), key("p9")), want: SkipsOwn},
		"on a sibling, own void":                      {p: prop(11, "b", 10, key("B"), key("p9")), void: true, want: Fresh},
		"on another fork at the own height":           {p: prop(11, "b", 10, key("B"), key("q9")), want: Fresh},
		"on a tipset above, own orphaned":             {p: prop(12, "b", 11, key("B11"), key("B")), want: Fresh},
		"on the grandparent fork, wider parents":      {p: prop(11, "b", 9, key("p9", "q9"), key("p8")), want: Fresh},
		"beside the parents of the own block":         {p: prop(9, "b", 8, key("p8"), key("p7")), want: SkipsOwn},
		"far away":                                    {p: prop(500, "b", 499, key("z"), key("y")), want: Fresh},
		"an epoch before, on other parents, not seen": {p: prop(7, "b", 6, key("z"), key("y")), want: Fresh},
	} {
		for _, restart := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, restart %v", title, restart), func(t *testing.T) {
				dir := t.TempDir()
				g := open(t, dir)
				v, _, err := g.Propose(own, 1, []byte("template"))
				require.NoError(t, err)
				require.Equal(t, Fresh, v)
				require.NoError(t, g.Signed(10, name("A")))
				require.NoError(t, g.Outcome(10, Submitted, "", c.void))
				if restart {
					require.NoError(t, g.Close())
					g = open(t, dir)
				}
				v, why, err := g.Propose(c.p, 1, nil)
				require.NoError(t, err)
				require.Equal(t, c.want, v, why)
				require.Equal(t, v.Allowed(), why == "")
			})
		}
	}
}

// An own block whose signature is unknown may be out there: siblings of it are not built upon.
func TestUnknownSignature(t *testing.T) {
	g := open(t, t.TempDir())
	_, _, err := g.Propose(prop(10, "a", 9, key("p9"), key("p8")), 1, nil)
	require.NoError(t, err)
	v, _, err := g.Propose(prop(11, "b", 10, key("B"), key("p9")), 1, nil)
	require.NoError(t, err)
	require.Equal(t, SkipsOwn, v)
}

func TestFloor(t *testing.T) {
	dir := t.TempDir()
	g := open(t, dir)
	require.True(t, g.Fresh())
	require.NoError(t, g.RaiseFloor(20, "own blocks on the chain that the record lacks"))
	require.NoError(t, g.RaiseFloor(5, "lower"))
	require.NoError(t, g.Close())
	g = open(t, dir)
	require.False(t, g.Fresh())
	for epoch, want := range map[int]Verdict{5: BelowFloor, 20: BelowFloor, 21: Fresh} {
		v, _, err := g.Propose(prop(epoch, "x", epoch-1, key(fmt.Sprint("p", epoch)), key("g")), 1, nil)
		require.NoError(t, err)
		require.Equal(t, want, v, "epoch %d", epoch)
	}
}

// slashable says, by the definitions of the miner actor, whether blocks of one miner prove a fault.
type block struct {
	Proposal
	cid cid.Cid
}

func slashable(all []block) string {
	for _, a := range all {
		for _, b := range all {
			if a.Digest == b.Digest {
				continue
			}
			if a.Epoch == b.Epoch {
				return "double fork"
			}
			if a.Parents == b.Parents {
				return "time offset"
			}
			// b builds on a sibling of a (same parents, same height) and not on a.
			if b.ParentEpoch == a.Epoch && b.Grandparents == a.Parents && !slices.Contains(b.Parents.Cids(), a.cid) {
				return "parent grinding"
			}
		}
	}
	return ""
}

// On random trees with forks, null rounds and restarts nothing that passes the guard is ever a fault.
func TestNothingSlashablePasses(t *testing.T) {
	signed := 0
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "")
		require.NoError(t, err)
		g := open(t, dir)
		type node struct {
			key, parents types.TipSetKey
			height       int
		}
		tips := []node{{key("genesis"), key(), 0}}
		var passed []block
		for i := range rapid.IntRange(1, 30).Draw(rt, "steps") {
			base := tips[rapid.IntRange(max(0, len(tips)-6), len(tips)-1).Draw(rt, "base")]
			epoch := base.height + rapid.IntRange(1, 3).Draw(rt, "nulls")
			p := prop(epoch, fmt.Sprint("d", i), base.height, base.key, base.parents)
			v, _, err := g.Propose(p, 1, nil)
			if err != nil {
				rt.Fatal(err)
			}
			own := name(fmt.Sprint("own", i))
			if v == Fresh {
				if err := g.Signed(p.Epoch, own); err != nil {
					rt.Fatal(err)
				}
				passed = append(passed, block{p, own})
				signed++
			}
			if fault := slashable(passed); fault != "" {
				rt.Fatalf("the guard let a %s pass", fault)
			}
			// The world goes on: with the own block, with siblings, or with strangers only.
			if v == Fresh && rapid.Bool().Draw(rt, "own included") {
				tips = append(tips, node{types.NewTipSetKey(own), base.key, epoch}, node{types.NewTipSetKey(own, name(fmt.Sprint("s", i))), base.key, epoch})
			}
			tips = append(tips, node{key(fmt.Sprint("t", i)), base.key, epoch})
			if rapid.Bool().Draw(rt, "restart") {
				if err := g.Close(); err != nil {
					rt.Fatal(err)
				}
				g = open(t, dir)
			}
		}
	})
	require.Greater(t, signed, 100)
}

func TestTornLine(t *testing.T) {
	dir := t.TempDir()
	g := open(t, dir)
	_, _, err := g.Propose(prop(10, "a", 9, key("p9"), key("p8")), 1, []byte("t"))
	require.NoError(t, err)
	_, _, err = g.Propose(prop(11, "b", 10, key("q"), key("r")), 1, []byte("t"))
	require.NoError(t, err)
	require.NoError(t, g.Close())
	path := Path(dir, miner(t))
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	second := slices.Index(whole, '\n') + 1
	for cut := second; cut < len(whole); cut++ {
		require.NoError(t, os.WriteFile(path, whole[:cut], 0o600))
		g, err := Open(dir, miner(t))
		require.NoError(t, err)
		require.Len(t, g.Records(10), 1)
		require.NoError(t, g.Close())
	}
	for at := range second - 1 {
		bad := slices.Clone(whole)
		bad[at] ^= 1
		require.NoError(t, os.WriteFile(path, bad, 0o600))
		_, err := Open(dir, miner(t))
		require.ErrorContains(t, err, "damaged", "byte %d", at)
	}
}

func TestFailsClosed(t *testing.T) {
	dir := t.TempDir()
	g := open(t, dir)
	disarm := fault.Arm("mining/record", func() error { return errors.New("disk full") })
	_, _, err := g.Propose(prop(10, "a", 9, key("p"), key("q")), 1, nil)
	require.ErrorIs(t, err, ErrBroken)
	disarm()
	_, _, err = g.Propose(prop(11, "a", 9, key("p"), key("q")), 1, nil)
	require.ErrorIs(t, err, ErrBroken, "stays closed until opened again")
	require.NoError(t, open(t, dir).RaiseFloor(1, ""))
}

// The record is there after a kill at any moment after Propose returned.
func TestKilledAfterPropose(t *testing.T) {
	if dir := os.Getenv("GUARD_CHILD"); dir != "" {
		g := open(t, dir)
		_, _, err := g.Propose(prop(10, "a", 9, key("p9"), key("p8")), 1, []byte("t"))
		require.NoError(t, err)
		_ = fault.Point("mining/sign")
		t.Fatal("not killed")
	}
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0], "-test.run=^TestKilledAfterPropose$")
	cmd.Env = append(os.Environ(), "GUARD_CHILD="+dir, "VENUS_FAILPOINT=mining/sign=kill")
	out, err := cmd.CombinedOutput()
	require.Error(t, err, "%s", out)
	v, _, err := open(t, dir).Propose(prop(10, "b", 9, key("p9"), key("p8")), 1, nil)
	require.NoError(t, err)
	require.Equal(t, SecondBlock, v)
}

func TestCompaction(t *testing.T) {
	dir := t.TempDir()
	g := open(t, dir)
	for i := range kept + 50 {
		p := prop(i+1, fmt.Sprint("d", i), i, key(fmt.Sprint("p", i)), key("x"))
		require.NoError(t, g.write(&event{Kind: "intent", Epoch: p.Epoch, Parents: p.Parents.Cids(), Digest: p.Digest, Template: []byte("t")}, false))
		require.NoError(t, g.write(&event{Kind: "outcome", Epoch: p.Epoch, State: Landed}, false))
	}
	before := g.Records(kept)
	g.mu.Lock()
	size := g.size
	require.NoError(t, g.compact())
	require.Less(t, g.size, size)
	g.mu.Unlock()
	check := func(g *Guard) {
		require.Equal(t, before, g.Records(kept))
		v, _, err := g.Propose(prop(50, "other", 49, key("fresh"), key("x")), 1, nil)
		require.NoError(t, err)
		require.Equal(t, BelowFloor, v, "what was forgotten is below the floor")
		v, _, err = g.Propose(prop(51, "other", 49, key("fresh"), key("x")), 1, nil)
		require.NoError(t, err)
		require.Equal(t, SecondBlock, v)
	}
	check(g)
	require.NoError(t, g.Close())
	check(open(t, dir))
}

// The file of a miner that wins all the time stays small, and its rules hold across every rewriting.
func TestCompactsWhileRunning(t *testing.T) {
	dir, err := os.MkdirTemp("/dev/shm", "guard")
	if err != nil {
		dir = t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	g := open(t, dir)
	g.limit = 20_000
	biggest := int64(0)
	for i := range 300 {
		p := prop(i+1, fmt.Sprint("d", i), i, key(fmt.Sprint("p", i)), key("x"))
		v, why, err := g.Propose(p, 1, make([]byte, 500))
		require.NoError(t, err)
		require.Equal(t, Fresh, v, why)
		require.NoError(t, g.Signed(p.Epoch, name(fmt.Sprint("b", i))))
		require.NoError(t, g.Outcome(p.Epoch, Landed, "", false))
		biggest = max(biggest, g.size)
		if g.limit == compactAbove {
			g.limit = max(20_000, 2*g.size)
		}
	}
	require.Less(t, biggest, int64(300_000))
	require.Less(t, g.size, int64(200_000))
	require.NoError(t, g.Close())
	g = open(t, dir)
	require.Len(t, g.Records(1000), 300)
	v, _, err := g.Propose(prop(7, "other", 6, key("fresh"), key("x")), 1, nil)
	require.NoError(t, err)
	require.Equal(t, SecondBlock, v)
}

func TestRecords(t *testing.T) {
	dir := t.TempDir()
	g := open(t, dir)
	for _, e := range []int{3, 7, 5} {
		_, _, err := g.Propose(prop(e, fmt.Sprint(e), e-1, key(fmt.Sprint(e)), key("x")), int64(e), []byte("t"))
		require.NoError(t, err)
	}
	require.NoError(t, g.Signed(7, name("B7")))
	require.NoError(t, g.Outcome(5, Failed, "no signature", false))
	require.NoError(t, g.Close())
	got := open(t, dir).Records(2)
	require.Len(t, got, 2)
	require.EqualValues(t, 7, got[0].Epoch)
	require.Equal(t, name("B7"), got[0].Block)
	require.Equal(t, []byte("t"), got[0].Template)
	require.Equal(t, Failed, got[1].State)
	require.Equal(t, "no signature", got[1].Err)
	require.Nil(t, got[1].Template)
	require.True(t, g.Knows(7, name("B7")))
	require.False(t, g.Knows(7, name("other")))
	require.False(t, g.Knows(8, name("B7")))
}

func FuzzLoad(f *testing.F) {
	good, err := formatLine(&event{Kind: "floor", Epoch: 3})
	require.NoError(f, err)
	f.Add(good)
	f.Add([]byte("00000000 {}\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(Path(dir, miner(t)), raw, 0o600); err != nil {
			t.Fatal(err)
		}
		g, err := Open(dir, miner(t))
		if err == nil {
			_ = g.Close()
		}
	})
}

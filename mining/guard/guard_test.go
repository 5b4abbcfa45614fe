package guard

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/ipfs/go-cid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/filecoin-venus/venus/types"
)

func name(s string) cid.Cid { return types.Sum([]byte(s)) }

func key(names ...string) types.TipSetKey {
	cids := make([]cid.Cid, len(names))
	for i, n := range names {
		cids[i] = name(n)
	}
	return types.NewTipSetKey(cids...)
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
		t.Run(title, func(t *testing.T) {
			e := Entry{Epoch: own.Epoch, Parents: own.Parents, ParentEpoch: own.ParentEpoch, Grandparents: own.Grandparents, Digest: own.Digest, Block: name("A"), Void: c.void}
			v, why := Judge(0, []Entry{e}, c.p)
			require.Equal(t, c.want, v, why)
			require.Equal(t, v.Allowed(), why == "")
			if v != Fresh {
				require.True(t, c.p.Touches(e.Epoch, e.ParentEpoch), "the entry would not have been read")
			}
			e.Block = cid.Undef
			if v, _ := Judge(0, []Entry{e}, c.p); c.want == SkipsOwn {
				require.Equal(t, SkipsOwn, v, "an own block whose signature is unknown may be out there")
			}
		})
	}
}

func TestFloor(t *testing.T) {
	e := Entry{Epoch: 15, Digest: "d", Parents: key("p"), ParentEpoch: 14}
	for epoch, want := range map[int]Verdict{5: BelowFloor, 20: BelowFloor, 21: Fresh} {
		v, _ := Judge(20, []Entry{e}, prop(epoch, "x", epoch-1, key(fmt.Sprint("p", epoch)), key("g")))
		require.Equal(t, want, v, "epoch %d", epoch)
	}
	v, _ := Judge(20, []Entry{e}, prop(15, "d", 14, key("p"), key("g")))
	require.Equal(t, Same, v, "what was signed may be sent again, below the floor too")
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

// On random trees with forks and null rounds nothing that passes is ever a fault, though Judge sees only what Touches names.
func TestNothingSlashablePasses(t *testing.T) {
	signed := 0
	rapid.Check(t, func(rt *rapid.T) {
		type node struct {
			key, parents types.TipSetKey
			height       int
		}
		tips := []node{{key("genesis"), key(), 0}}
		var passed []block
		for i := range rapid.IntRange(1, 40).Draw(rt, "steps") {
			base := tips[rapid.IntRange(max(0, len(tips)-6), len(tips)-1).Draw(rt, "base")]
			epoch := base.height + rapid.IntRange(1, 3).Draw(rt, "nulls")
			p := prop(epoch, fmt.Sprint("d", i), base.height, base.key, base.parents)
			var own []Entry
			for _, b := range passed {
				if p.Touches(b.Epoch, b.ParentEpoch) {
					own = append(own, Entry{Epoch: b.Epoch, Parents: b.Parents, ParentEpoch: b.ParentEpoch, Grandparents: b.Grandparents, Digest: b.Digest, Block: b.cid})
				}
			}
			v, _ := Judge(0, own, p)
			mine := name(fmt.Sprint("own", i))
			if v == Fresh {
				passed = append(passed, block{p, mine})
				signed++
			}
			if fault := slashable(passed); fault != "" {
				rt.Fatalf("the guard let a %s pass", fault)
			}
			// The world goes on: with the own block, with siblings, or with strangers only.
			if v == Fresh && rapid.Bool().Draw(rt, "own included") {
				tips = append(tips, node{types.NewTipSetKey(mine), base.key, epoch}, node{types.NewTipSetKey(mine, name(fmt.Sprint("s", i))), base.key, epoch})
			}
			tips = append(tips, node{key(fmt.Sprint("t", i)), base.key, epoch})
		}
	})
	require.Greater(t, signed, 100)
}

func sample(t testing.TB) *File {
	t.Helper()
	a, err := address.NewIDAddress(1000)
	require.NoError(t, err)
	b := name("block")
	f := &File{Network: "local", Exported: time.Unix(1_700_000_000, 5), Miners: []FileMiner{{Miner: a, Floor: 7, Blocks: []FileBlock{
		{Epoch: 10, ParentEpoch: 9, Parents: key("p"), Grandparents: key("g"), Digest: strings.Repeat("ab", 32), Block: &b, WinCount: 1, State: "landed"},
		{Epoch: 12, ParentEpoch: 10, Parents: key("q", "r"), Grandparents: key("p"), Digest: strings.Repeat("cd", 32), Void: true, State: "failed", Reason: "why"},
	}}}}
	require.NoError(t, f.Seal())
	return f
}

func TestFileIsReadBack(t *testing.T) {
	f := sample(t)
	raw, err := json.MarshalIndent(f, "", "  ")
	require.NoError(t, err)
	got, err := Decode(raw)
	require.NoError(t, err)
	require.Equal(t, f, got)
	require.EqualValues(t, 12, f.Miners[0].Last())

	for i, old := range []string{`"Floor": 7`, `"Epoch": 10,`, `"local"`, "abab", `"landed"`} {
		_, err := Decode([]byte(strings.Replace(string(raw), old, strings.NewReplacer("7", "6", "10", "11", "local", "lokal", "abab", "abac", "landed", "lost").Replace(old), 1)))
		require.ErrorContains(t, err, "checksum", "edit %d", i)
	}
	_, err = Decode(append(raw, "{}"...))
	require.ErrorContains(t, err, "follows")
	_, err = Decode([]byte(strings.Replace(string(raw), `"Floor"`, `"Ceiling"`, 1)))
	require.ErrorContains(t, err, "no record")
}

// What is sealed properly and nonsense is refused too: the rules rely on it.
func TestFileOfNonsense(t *testing.T) {
	for what, spoil := range map[string]func(f *File){
		"version":  func(f *File) { f.Version = 2 },
		"twice":    func(f *File) { f.Miners = append(f.Miners, f.Miners[0]) },
		"digest":   func(f *File) { f.Miners[0].Blocks[0].Digest = "ab" },
		"above":    func(f *File) { f.Miners[0].Blocks[0].ParentEpoch = 10 },
		"floor":    func(f *File) { f.Miners[0].Floor = -1 },
		"blocks":   func(f *File) { f.Miners[0].Blocks[1].Epoch = 10; f.Miners[0].Blocks[1].ParentEpoch = 9 },
		"no state": func(f *File) { f.Miners[0].Blocks[0].State = strings.Repeat("x", 17) },
	} {
		t.Run(what, func(t *testing.T) {
			f := sample(t)
			spoil(f)
			version := f.Version
			require.NoError(t, f.Seal())
			if f.Version != version {
				f.Version = version
				sum, err := f.sum()
				require.NoError(t, err)
				f.Sum = sum
			}
			require.ErrorContains(t, f.Verify(), what)
		})
	}
}

func FuzzDecode(f *testing.F) {
	raw, err := json.Marshal(sample(f))
	require.NoError(f, err)
	f.Add(raw)
	f.Add([]byte("{}"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, err := Decode(raw)
		if err != nil {
			return
		}
		again, err := json.Marshal(got)
		require.NoError(t, err)
		same, err := Decode(again)
		require.NoError(t, err)
		require.Equal(t, got.Sum, same.Sum)
	})
}

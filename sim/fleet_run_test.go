package sim

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"math/rand"
	"os"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/filecoin-project/go-bitfield"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/consensus"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/state"
	"github.com/filecoin-venus/venus/types"
	"github.com/filecoin-venus/venus/vm"
)

// The environment makes the simulation long: the number of epochs, and another seed.
const (
	fleetEpochsEnv = "VENUS_MINING_SIM"
	fleetSeedEnv   = "VENUS_MINING_SEED"
)

// Faults come in spans of spanEpochs. At any time three of ten miners have one: those of a program with all its miners,
// those of sealers with one. A third of them nobody can survive: both nodes are dead, both sealers, blocks come later than
// an epoch, the clock is three seconds wrong. The others must cost nothing.
const (
	spanEpochs    = 5
	programFaults = 0.18
	sealerFaults  = 0.146
	longOutages   = 0.0005 // of a span, for both sealers of a miner and two windows: its deadlines are lost
	outageEpochs  = 40
)

// touchedAfter is how many epochs after a fault that nobody survives still feel it: connections come back with pauses.
const touchedAfter = 4

// troubles applies faults from the seed.
type troubles struct {
	f *fleet
	// touched are the epochs of each miner for which nothing is promised.
	touched []map[abi.ChainEpoch]bool
	counts  map[string]int
	faulty  int // miners' epochs with any fault
	ends    map[int]abi.ChainEpoch
}

func newTroubles(f *fleet) *troubles {
	tr := &troubles{f: f, counts: map[string]int{}, ends: map[int]abi.ChainEpoch{}}
	for range f.miners {
		tr.touched = append(tr.touched, map[abi.ChainEpoch]bool{})
	}
	return tr
}

func (tr *troubles) rng(kind string, i int, epoch abi.ChainEpoch) *rand.Rand {
	return rand.New(rand.NewSource(int64(tr.f.hash(kind, i, epoch))))
}

func (tr *troubles) touch(miner int, from abi.ChainEpoch, epochs abi.ChainEpoch) {
	for e := from - 1; e < from+epochs+touchedAfter; e++ {
		tr.touched[miner][e] = true
	}
}

// span ends the faults of the span before and begins those of the next.
func (tr *troubles) span(ctx context.Context, from abi.ChainEpoch) {
	ill := map[int]bool{}
	for i, p := range tr.f.programs {
		p.skew.Store(0)
		for _, n := range p.nodes {
			n.set(ctx, false)
			n.mu.Lock()
			n.late = 0
			n.mu.Unlock()
		}
		rng := tr.rng("program", i, from)
		if rng.Float64() >= programFaults {
			continue
		}
		deadly := rng.Intn(3) == 0
		for k := i; k < len(tr.f.miners); k += len(tr.f.programs) {
			ill[k] = true
			if deadly {
				tr.touch(k, from, spanEpochs)
			}
		}
		tr.strikeProgram(ctx, p, rng, deadly)
	}
	for i, m := range tr.f.miners {
		if from < tr.ends[i] {
			ill[i] = true
			continue
		}
		for _, s := range m.sealers {
			s.off.Store(false)
			s.slow.Store(0)
		}
		rng := tr.rng("sealer", i, from)
		switch x := rng.Float64(); {
		case x < longOutages:
			tr.counts["long outage of both sealers"]++
			tr.ends[i], ill[i] = from+outageEpochs, true
			tr.touch(i, from, outageEpochs)
			m.sealers[0].off.Store(true)
			m.sealers[1].off.Store(true)
		case x < sealerFaults:
			ill[i] = true
			deadly := rng.Intn(3) == 0
			if deadly {
				tr.touch(i, from, spanEpochs)
			}
			tr.strikeSealers(m, rng, deadly)
		}
	}
	tr.faulty += len(ill) * spanEpochs
}

func (tr *troubles) count(kind string, deadly bool) {
	if deadly {
		kind = "deadly " + kind
	}
	tr.counts[kind]++
}

func (tr *troubles) strikeProgram(ctx context.Context, p *fleetProgram, rng *rand.Rand, deadly bool) {
	switch rng.Intn(3) {
	case 0:
		tr.count("dead node", deadly)
		p.nodes[rng.Intn(2)].set(ctx, true)
		if deadly {
			p.nodes[0].set(ctx, true)
			p.nodes[1].set(ctx, true)
		}
	case 1:
		tr.count("late base", deadly)
		late := time.Duration(100+rng.Intn(400)) * time.Millisecond
		if deadly {
			late = time.Duration(1200+rng.Intn(1300)) * time.Millisecond
		}
		for _, n := range p.nodes {
			n.mu.Lock()
			n.late = late
			n.mu.Unlock()
		}
	case 2:
		tr.count("clock skew", deadly)
		skew := time.Duration(100+rng.Intn(300)) * time.Millisecond
		if deadly {
			skew = 3 * time.Second
		}
		p.skew.Store(int64(skew) * int64(1-2*rng.Intn(2)))
	}
}

func (tr *troubles) strikeSealers(m *fleetMiner, rng *rand.Rand, deadly bool) {
	hit := m.sealers[:1]
	if deadly {
		hit = m.sealers[:]
	}
	if rng.Intn(2) == 0 {
		tr.count("dead sealer", deadly)
		for _, s := range hit {
			s.off.Store(true)
		}
		return
	}
	tr.count("slow prover", deadly)
	for _, s := range hit {
		s.slow.Store(int64(1500+rng.Intn(2500)) * int64(time.Millisecond))
	}
}

// TestFleetUnderFaults: fifty miners of ten programs mine and prove under faults: elections are won as often as power
// promises, every block that could be made is in the chain, nobody ever signs what proves a consensus fault, and every
// deadline is proven or told of before it closes. VENUS_MINING_SIM=5000 makes it long, a quarter of an hour and more.
func TestFleetUnderFaults(t *testing.T) {
	epochs, seed := abi.ChainEpoch(60), int64(20261130)
	if n, err := strconv.ParseInt(os.Getenv(fleetEpochsEnv), 10, 64); err == nil {
		epochs = abi.ChainEpoch(n)
	}
	if n, err := strconv.ParseInt(os.Getenv(fleetSeedEnv), 10, 64); err == nil {
		seed = n
	}
	t.Logf("seed %d, %d epochs, %s and %s change them", seed, epochs, fleetEpochsEnv, fleetSeedEnv)
	synctest.Test(t, func(t *testing.T) {
		sleepUntil(t.Context(), 0)
		f := newFleet(t, Config{Miners: 50, Seed: seed, Quiet: true}, 10)
		tr := newTroubles(f)
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		f.start(ctx, &wg)
		began := f.w.Store.Head().Height()
		for e := abi.ChainEpoch(1); e <= epochs; e++ {
			sleepUntil(ctx, float64(e)-0.5)
			if e%spanEpochs == 0 {
				tr.span(ctx, e)
			}
			if e%100 == 0 {
				t.Logf("epoch %d: head %d, %d blocks judged", e, f.w.Store.Head().Height(), len(f.admitted))
			}
		}
		sleepUntil(ctx, float64(epochs)+0.9)
		require.Zero(t, began)
		stop()
		wg.Wait()
		sleepUntil(t.Context(), float64(epochs)+10) // what is under way arrives
		f.judge(t, tr, epochs)
	})
}

func sleepUntil(ctx context.Context, epochs float64) {
	at := time.Unix(genesisTime, 0).Add(time.Duration(epochs * float64(time.Second)))
	_ = clock.Real().Sleep(ctx, at.Sub(clock.Real().Now()))
}

// judge holds the run against what was promised.
func (f *fleet) judge(t *testing.T, tr *troubles, epochs abi.ChainEpoch) {
	ctx := context.Background()
	head := f.w.Store.Head()
	share := 100 * float64(tr.faulty) / float64(int(epochs/spanEpochs)*spanEpochs*len(f.miners))
	t.Logf("head %d of %d; %.1f %% of all miners' epochs with a fault: %v", head.Height(), epochs, share, tr.counts)
	require.GreaterOrEqual(t, head.Height(), epochs-3, "the chain keeps up")
	require.InDelta(t, 30, share, 8)

	landed, blocks := f.landed(ctx, t, head)
	elections, all := f.scores(ctx, t, tr, head, landed)
	t.Logf("%d blocks in the chain; landed where nothing was in the way: %s", blocks, &all)
	t.Logf("elections won of those held: %s", &elections)
	f.losses(t, tr, head, landed)
	require.LessOrEqual(t, max(elections.sigmas(), -elections.sigmas()), 3.0)
	require.LessOrEqual(t, max(all.sigmas(), -all.sigmas()), 3.0)

	require.NoError(t, f.w.audit(ctx), "the invariants of the actors")

	pairs := f.noFault(t)
	t.Logf("%d pairs of blocks of one miner judged by the rules of consensus faults: none proves one", pairs)
	due, lost := f.deadlines(ctx, t, head)
	t.Logf("%d deadlines with sectors to prove closed, %d of them lost, each told of before", due, lost)
}

// landed lists the epochs of the chain at which each miner has a block.
func (f *fleet) landed(ctx context.Context, t *testing.T, head *types.TipSet) (out []map[abi.ChainEpoch]bool, blocks int) {
	for range f.miners {
		out = append(out, map[abi.ChainEpoch]bool{})
	}
	for ts := head; ts.Height() > 0; {
		for _, b := range ts.Blocks() {
			blocks++
			out[slices.IndexFunc(f.miners, func(m *fleetMiner) bool { return m.ID == b.Miner })][b.Height] = true
		}
		parent, err := f.w.Store.Parent(ctx, ts)
		require.NoError(t, err)
		ts = parent
	}
	return out, blocks
}

// scores compares elections won, as the programs counted them, and blocks landed with what the miners' power promised.
func (f *fleet) scores(ctx context.Context, t *testing.T, tr *troubles, head *types.TipSet, landed []map[abi.ChainEpoch]bool) (elections, blocks score) {
	const steady = 20 // epochs for which power is taken as the same
	for i, m := range f.miners {
		var chance float64
		per := score{}
		for e := abi.ChainEpoch(2); e <= head.Height()-10; e++ {
			if e%steady == 2 {
				base, err := f.w.Store.AtOrBefore(ctx, head, e-1)
				require.NoError(t, err)
				info, err := f.producer.Draw(ctx, m.ID, e, base)
				require.NoError(t, err)
				chance = 0
				if info != nil && info.EligibleForMining {
					chance = chanceOf(info)
				}
			}
			if !tr.touched[i][e] {
				blocks.add(chance, landed[i][e])
				per.add(chance, landed[i][e])
			}
		}
		// Of fifty miners one lies beyond 3 sigmas now and then: 4.5 are one in three thousand.
		require.LessOrEqual(t, max(per.sigmas(), -per.sigmas()), 4.5, "%s: %s", m.ID, &per)
		st := m.tally
		elections.got += st.Won
		elections.mean += st.Chance
		elections.variance += st.Chance * (1 - st.Chance/float64(max(1, st.Rounds)))
	}
	return elections, blocks
}

// losses tells why wins did not land though nothing was in the way.
func (f *fleet) losses(t *testing.T, tr *troubles, head *types.TipSet, landed []map[abi.ChainEpoch]bool) {
	won, lost := 0, map[string]int{}
	for i, m := range f.miners {
		for _, w := range m.wins {
			if tr.touched[i][w.Epoch] || w.Epoch > head.Height()-10 || w.Epoch < 2 {
				continue
			}
			if won++; !landed[i][w.Epoch] {
				lost[string(w.State)+": "+digits.ReplaceAllString(w.Reason, "N")]++
			}
		}
	}
	t.Logf("of %d elections won where nothing was in the way, lost: %v", won, lost)
	all := 0
	for _, n := range lost {
		all += n
	}
	require.LessOrEqual(t, all, 1+won/100, "%v", lost)
}

// digits are taken out of reasons, so that like ones count together.
var digits = regexp.MustCompile(`[0-9]+|baf[a-z2-7]+`)

func chanceOf(info *consensus.MiningBase) float64 {
	m := new(Miner)
	m.expect(info)
	return -math.Expm1(-m.stats.Expected)
}

// noFault holds all blocks of a miner that anybody can have seen, within some epochs of each other, with every witness
// there is, against the rules by which the chain punishes. A block that its own nodes refused was seen by nobody; and yet
// there is no second signature of its epoch.
func (f *fleet) noFault(t *testing.T) (pairs int) {
	const apart = 20
	siblings, refused := map[string][][]byte{}, 0
	group := func(h *types.BlockHeader) string { return fmt.Sprint(h.Height, types.NewTipSetKey(h.Parents...)) }
	for _, m := range f.miners {
		epochs := map[abi.ChainEpoch]*types.BlockHeader{}
		for _, h := range m.signed {
			if other := epochs[h.Height]; other != nil {
				require.Equal(t, other.Cid(), h.Cid(), "%s signed two blocks of epoch %d", m.ID, h.Height)
			}
			epochs[h.Height] = h
			raw, err := h.Serialize()
			require.NoError(t, err)
			siblings[group(h)] = append(siblings[group(h)], raw)
		}
		m.signed = slices.DeleteFunc(m.signed, func(h *types.BlockHeader) bool {
			a := f.admitted[h.Cid()]
			if a != nil && a.err != nil {
				refused++
			}
			return a != nil && a.err != nil
		})
	}
	t.Logf("%d blocks were refused by the nodes of those who signed them", refused)
	for _, m := range f.miners {
		slices.SortFunc(m.signed, func(a, b *types.BlockHeader) int { return int(a.Height - b.Height) })
		for i, a := range m.signed {
			for _, b := range m.signed[i+1:] {
				if b.Height > a.Height+apart || a.Cid() == b.Cid() {
					continue
				}
				pairs++
				for _, witness := range append([][]byte{nil}, siblings[group(a)]...) {
					kind, err := vm.FaultKind(a, b, witness)
					require.ErrorContains(t, err, "no consensus fault", "%s can be slashed (%d) for its blocks of %d and %d", m.ID, kind, a.Height, b.Height)
				}
			}
		}
	}
	// The judge is not blind.
	other := *f.miners[len(f.miners)-1].signed[0]
	forged := other
	forged.Timestamp++
	require.False(t, bytes.Equal(other.Cid().Bytes(), forged.Cid().Bytes()))
	_, err := vm.FaultKind(&other, &forged, nil)
	require.NoError(t, err)
	return pairs
}

// deadlines looks at every deadline that closed before head: what was to be proven when it opened must not be faulty after
// it closed, or the operator was told while it was open.
func (f *fleet) deadlines(ctx context.Context, t *testing.T, head *types.TipSet) (due, lost int) {
	for _, m := range f.miners {
		for at := abi.ChainEpoch(1); ; {
			base, err := f.w.Store.AtOrBefore(ctx, head, at)
			require.NoError(t, err)
			before, err := f.after(ctx, base)
			require.NoError(t, err)
			di, err := before.ProvingDeadline(ctx, m.ID, at)
			require.NoError(t, err)
			if di.Close+2 > head.Height() {
				break
			}
			end, err := f.w.Store.AtOrAfter(ctx, head, di.Close)
			require.NoError(t, err)
			after, err := f.after(ctx, end)
			require.NoError(t, err)
			if at >= di.Open {
				want, bad := f.unproven(ctx, t, m, di.Index, before, after)
				if want {
					due++
				}
				if bad {
					lost++
					closing := time.Unix(genesisTime, 0).Add(time.Duration(di.Close) * f.w.Net.BlockDelay)
					require.True(t, m.saw(di.Index, di.Close, closing), "%s lost deadline %d [%d,%d) without a word: %v", m.ID, di.Index, di.Open, di.Close, m.alerts)
				}
			}
			if at < di.Open {
				at = di.Open
			} else {
				at = di.Close
			}
		}
	}
	return due, lost
}

// unproven tells whether a deadline had sectors to prove in the state before its window, and whether any of them is faulty in
// the state after it.
func (f *fleet) unproven(ctx context.Context, t *testing.T, m *fleetMiner, index uint64, before, after *state.View) (due, lost bool) {
	was, err := before.Deadline(ctx, m.ID, index)
	require.NoError(t, err)
	is, err := after.Deadline(ctx, m.ID, index)
	require.NoError(t, err)
	for i, p := range was.Partitions {
		idle, err := bitfield.SubtractBitField(p.Faulty, p.Recovering)
		require.NoError(t, err)
		want, err := bitfield.SubtractBitField(p.Live, idle)
		require.NoError(t, err)
		none, err := want.IsEmpty()
		require.NoError(t, err)
		bad, err := bitfield.IntersectBitField(want, is.Partitions[i].Faulty)
		require.NoError(t, err)
		good, err := bad.IsEmpty()
		require.NoError(t, err)
		due, lost = due || !none, lost || !good
	}
	return due, lost
}

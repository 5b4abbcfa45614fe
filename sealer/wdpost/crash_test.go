package wdpost_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/internal/fault"
)

// durableSteps reads from the source which failpoints there are.
func durableSteps(t *testing.T) []string {
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	mark := regexp.MustCompile(`fault\.Point\("(wdpost/[a-z]+)"\)`)
	var out []string
	for _, f := range files {
		b, err := os.ReadFile(f)
		require.NoError(t, err)
		for _, m := range mark.FindAllSubmatch(b, -1) {
			out = append(out, string(m[1]))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// eventful sets up a life of 160 epochs with all that is stored: proofs of several partitions, a sector to be declared
// faulty, one to be declared recovered, and a deadline that is lost.
func (r *rig) eventful() {
	for n, place := range [][2]uint64{{2, 0}, {2, 1}, {3, 0}, {6, 0}, {6, 0}, {7, 0}, {7, 0}} {
		r.chain.AddSector(abi.SectorNumber(n), place[0], place[1])
	}
	r.chain.Fault(3, true)
	r.prover.Change(func() { r.prover.Bad[2], r.prover.Bad[5] = true, true })
}

// outcome is what the chain has in the end, and what was sent for it.
func (r *rig) outcome() string {
	m := r.chain.Messager()
	return fmt.Sprintf("%d active, %d partitions missed; proofs %d of %d landed, faults %d of %d, recoveries %d of %d", r.chain.Active(), r.chain.Missed(),
		m.Landed(submit.SubmitWindowedPoSt), len(m.Pushed(submit.SubmitWindowedPoSt)), m.Landed(submit.DeclareFaults), len(m.Pushed(submit.DeclareFaults)),
		m.Landed(submit.DeclareFaultsRecovered), len(m.Pushed(submit.DeclareFaultsRecovered)))
}

const (
	eventfulEpochs = 160
	eventfulEnd    = "5 active, 1 partitions missed; proofs 4 of 4 landed, faults 1 of 1, recoveries 1 of 1"
)

func TestEventfulLife(t *testing.T) {
	bubbleWithFaults(t, func(t *testing.T, r *rig) {
		r.tick(eventfulEpochs)
		require.Equal(t, eventfulEnd, r.outcome())
		require.Equal(t, 1, r.lost)
	})
}

func bubbleWithFaults(t *testing.T, f func(t *testing.T, r *rig)) {
	bubble(t, func(t *testing.T, r *rig) {
		r.stop()
		r.faults = true
		r.eventful()
		r.up()
		f(t, r)
	})
}

// TestDeathAtEveryDurableStep ends the process at every passage of every failpoint; the chain has the same in the end, and
// nothing was sent twice for it.
func TestDeathAtEveryDurableStep(t *testing.T) {
	steps := durableSteps(t)
	require.Equal(t, []string{"wdpost/declare", "wdpost/declared", "wdpost/intent", "wdpost/plan", "wdpost/planned", "wdpost/pushed", "wdpost/report"}, steps)
	for _, step := range steps {
		t.Run(step, func(t *testing.T) {
			deaths := 0
			for passage := int64(1); deaths == int(passage)-1 && passage <= 6; passage++ {
				if dieAt(t, step, passage) {
					deaths++
				}
			}
			require.NotZero(t, deaths, "nothing passes it")
			t.Logf("%d deaths", deaths)
		})
	}
}

// dieAt tells whether there was such a passage.
func dieAt(t *testing.T, step string, passage int64) (died bool) {
	bubbleWithFaults(t, func(t *testing.T, r *rig) {
		var passed atomic.Int64
		defer fault.Arm(step, func() error {
			if passed.Add(1) != passage {
				return nil
			}
			r.die()
			return fault.ErrInjected
		})()
		for range eventfulEpochs {
			r.tick(1)
			if passed.Load() >= passage && !died {
				died = true
				r.up()
				synctest.Wait()
			}
		}
		require.Equal(t, eventfulEnd, r.outcome(), "died at passage %d of %s", passage, step)
	})
	return died
}

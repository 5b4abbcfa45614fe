package pipeline_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/internal/fault"
	"github.com/filecoin-venus/venus/internal/fault/faulttest"
	"github.com/filecoin-venus/venus/sealer/sector"
)

// failpoints are all marks of durable steps on a sector's way.
func failpoints(t *testing.T) []string {
	all := faulttest.Marks(t, 10, "*.go", "../store/*.go", "../task/*.go", "../../worker/*.go")
	return slices.DeleteFunc(all, func(mark string) bool { return offTheWay[mark] != "" })
}

// offTheWay are marks that no sector passes in its life, and who breaks them.
var offTheWay = map[string]string{
	"sealer/settle": "TestRestoredSectors",
	// These are passed by operators and between file systems: sealer/store.TestCrashAtEveryPassage.
	"sealer/pieces": "TestCrashInEveryStepOfAnUpdate", "sealer/update-dropped": "TestCrashInEveryStepOfAnUpdate", "sealer/key-released": "TestCrashInEveryStepOfAnUpdate",
	"store/attach": "sealer/store", "store/detach": "sealer/store", "store/chunk": "sealer/store", "store/mark": "sealer/store", "store/part": "sealer/store",
}

// crashes has the sealer die at two passages of a mark from the k-th on.
type crashes struct {
	r *rig
	k int

	disarm func()

	mu      sync.Mutex
	passed  int
	crashed bool
}

// crashAt arms a mark until disarm.
func (r *rig) crashAt(point string, k int) *crashes {
	c := &crashes{r: r, k: k}
	c.disarm = fault.Arm(point, func() error {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.passed++; c.passed >= k && c.passed < k+2 {
			c.crashed = true
			return fault.ErrInjected
		}
		return nil
	})
	return c
}

// tick lets an epoch pass, and starts the sealer again if it died.
func (c *crashes) tick() {
	c.r.tick()
	c.mu.Lock()
	again := c.crashed
	c.crashed = false
	c.mu.Unlock()
	if again {
		c.r.restart()
	}
}

// hit tells whether the sealer died.
func (c *crashes) hit() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.passed >= c.k
}

// atPassages runs lives that die at passages of a mark. It must be passed; one that is not passed so often ends the row.
func atPassages(t *testing.T, point string, passages []int, life func(t *testing.T, k int) (hit bool)) {
	for i, k := range passages {
		hit := false
		t.Run(fmt.Sprintf("%s-%d", strings.ReplaceAll(point, "/", "-"), k), func(t *testing.T) { hit = life(t, k) })
		if !hit || t.Failed() {
			require.Positive(t, i, "mark %s is never passed", point)
			break
		}
	}
}

// TestCrashInEveryStep lives five sectors' lives from pledge to the end of one of
// them: four share their messages, one has its own. At the first, third and 17th
// passage of every mark the sealer dies and starts again, twice in a row. The
// chain always ends in the same state, and nothing was sent in vain.
func TestCrashInEveryStep(t *testing.T) {
	for _, point := range failpoints(t) {
		atPassages(t, point, []int{1, 3, 17}, func(t *testing.T, k int) (hit bool) {
			sharing(t, func(t *testing.T, r *rig) { hit = r.crashingLife(point, k) })
			return hit
		})
	}
}

// crashingLife lives all lives with crashes at two passages of a mark from the
// k-th on, and tells whether there was one.
func (r *rig) crashingLife(point string, k int) bool {
	t := r.t
	for _, kind := range []sector.Kind{sector.KindPreCommit, sector.KindCommit} {
		r.batch[kind] = sector.BatchRule{Min: 4, Max: 4, MaxWait: 10 * time.Second, Slack: 100, Above: big.NewInt(100)}
	}
	r.chain.Change(func() { r.chain.FirstDeadline = 47 })
	r.restart()
	c := r.crashAt(point, k)
	defer c.disarm()
	reach := func(want map[abi.SectorNumber]sector.State) {
		for range 400 {
			there := true
			for _, rec := range r.p.List() {
				there = there && rec.State == want[rec.Number]
			}
			if there {
				return
			}
			c.tick()
		}
		for _, rec := range r.p.List() {
			t.Errorf("sector %d is in %s, not %s; last error: %s", rec.Number, rec.State, want[rec.Number], rec.LastErr)
		}
		t.FailNow()
	}
	want := map[abi.SectorNumber]sector.State{}
	for range 5 {
		want[r.pledge()] = sector.Proving
	}
	reach(want)
	last := r.p.List()[4].Number
	for range 5 { // a crash may take the operator's wish along; he gives it again
		if rec, err := r.p.Get(last); err == nil && rec.State != sector.Proving {
			break
		}
		_ = r.p.Apply(t.Context(), last, sector.Terminate{}, nil) // judged by the state above
		c.tick()
	}
	want[last] = sector.Removed
	reach(want)
	m := r.chain.Messager()
	for _, method := range []abi.MethodNum{
		builtin.MethodsMiner.PreCommitSector, builtin.MethodsMiner.PreCommitSectorBatch, builtin.MethodsMiner.ProveCommitSector,
		builtin.MethodsMiner.ProveCommitAggregate, builtin.MethodsMiner.TerminateSectors,
	} {
		require.Len(t, m.Pushed(method), m.Landed(method), "a message of method %d was sent in vain", method)
	}
	require.Equal(t, 1, m.Landed(builtin.MethodsMiner.TerminateSectors))
	for n := range want {
		require.True(t, r.chain.Info(n).SealedCID.Defined(), "sector %d is proven", n)
	}
	require.Equal(t, []abi.SectorNumber{last}, r.chain.Ended())
	require.NoFileExists(t, filepath.Join(r.dir, "store", "sealed", fmt.Sprintf("s-t01000-%d", last)))
	return c.hit()
}

package pipeline_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/proofs/seal"
	"github.com/filecoin-venus/venus/sealer/pipeline"
	"github.com/filecoin-venus/venus/sealer/sealertest"
	"github.com/filecoin-venus/venus/sealer/sector"
	"github.com/filecoin-venus/venus/worker"
)

// liar is a worker whose memory is bad: what it tells of one kind of task is wrong.
type liar struct {
	worker.Prover
	kind sector.TaskKind
	mu   sync.Mutex
	lied int
}

func (l *liar) Run(ctx context.Context, t worker.Task) (worker.Result, error) {
	r, err := l.Prover.Run(ctx, t)
	if t.Kind == l.kind && err == nil {
		l.mu.Lock()
		l.lied++
		l.mu.Unlock()
		other := sealertest.Cid("a flipped bit")
		if r.CommR != nil {
			r.CommR = &other
		}
		if r.Proof != nil {
			r.Proof = other.Hash()
		}
	}
	return r, err
}

// work adds a worker until stop.
func (r *rig) work(host string, p worker.Prover, kinds ...sector.TaskKind) (stop func()) {
	e := &worker.Executor{Source: r.q, Prover: p, Clock: clock.Real(), Info: worker.Info{ID: host + "-1", Hostname: host, Kinds: kinds, Slots: 2}}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { e.Run(ctx, ctx) })
	return func() {
		cancel()
		wg.Wait()
	}
}

// TestLyingWorker: a commitment that is not that of the files, or a proof that does not hold, goes nowhere; another worker
// does the work, and the reason is told where an operator looks.
func TestLyingWorker(t *testing.T) {
	for _, kind := range []sector.TaskKind{sector.TaskPreCommit2, sector.TaskCommit2} {
		t.Run(string(kind), func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				r := newRigOn(t, dir, func(r *rig) { r.idle = true })
				defer func() { r.stop() }()
				bad := &liar{Prover: r.prover, kind: kind}
				defer r.work("bad", bad, kind)() // takes the fewest kinds: it suits best
				var rest []sector.TaskKind
				for _, k := range sector.TaskKinds() {
					if k != kind {
						rest = append(rest, k)
					}
				}
				defer r.work("rest", r.prover, rest...)()
				n := r.pledge()
				refused := map[sector.TaskKind]sector.State{sector.TaskPreCommit2: sector.SealPreCommit2Failed, sector.TaskCommit2: sector.ComputeProofFailed}[kind]
				rec := r.until(n, refused, 60)
				require.Contains(t, rec.LastErr, "what the worker on bad made is refused: its ")
				require.Empty(t, r.chain.Messager().Pushed(builtin.MethodsMiner.ProveCommitSector))
				if kind == sector.TaskPreCommit2 {
					require.Empty(t, r.chain.Messager().Pushed(builtin.MethodsMiner.PreCommitSector))
					require.Nil(t, rec.CommR)
				}

				// There is no other: it is asked again.
				for range 200 {
					r.tick()
					if bad.lied > 1 {
						break
					}
				}
				require.Greater(t, bad.lied, 1)

				defer r.work("good", r.prover, kind)()
				synctest.Wait()
				lied := bad.lied
				r.until(n, sector.Proving, 200)
				require.Equal(t, lied, bad.lied, "now another does it")
				r.oneMessageEach(1)
			})
		})
	}
}

// glance is a look into files that fails the first time, as while their worker is lost and comes back.
type glance struct {
	pipeline.Replicas
	mu    sync.Mutex
	looks int
}

func (g *glance) CheckProvable(ctx context.Context, sectors []seal.SectorRef, slow bool) (map[abi.SectorID]string, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.looks++; g.looks == 1 {
		return map[abi.SectorID]string{sectors[0].ID: "p_aux: no worker is here that has it"}, nil
	}
	return g.Replicas.CheckProvable(ctx, sectors, slow)
}

// TestUnreadableForAMoment: files that cannot be read just now are looked at again, and their worker is no liar.
func TestUnreadableForAMoment(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		g := new(glance)
		r := newRigOn(t, dir, func(r *rig) { g.Replicas, r.replicas = r.prover, g })
		defer func() { r.stop() }()
		n := r.pledge()
		r.until(n, sector.Proving, 200)
		require.Equal(t, 2, g.looks)
		require.Equal(t, 1, r.prover.Runs[sector.TaskPreCommit2], "nothing is made again")
		rec, err := r.p.Get(n)
		require.NoError(t, err)
		require.Empty(t, rec.LastErr)
	})
}

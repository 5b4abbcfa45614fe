package service

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/proof"

	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/proofs/seal"
	"github.com/filecoin-venus/venus/sealer/sched"
	"github.com/filecoin-venus/venus/sealer/sector"
	"github.com/filecoin-venus/venus/sealer/store"
	"github.com/filecoin-venus/venus/worker"
)

// fileProver is spread.Here: it proves from the sector files of the attached paths.
type fileProver struct {
	miner    abi.ActorID
	store    *store.Store
	sealer   *seal.Sealer
	clk      clock.Clock
	timeout  time.Duration
	parallel int
	// reserve keeps what a proof takes from being given to sealing, until release.
	reserve func(kind sector.TaskKind, proof abi.RegisteredSealProof) (release func())
	// found is told what a look at sectors' files gave; deep if they were read.
	found func(ctx context.Context, looked []proof.SectorInfo, bad map[abi.SectorNumber]string, deep bool)
}

// ref finds the files of a sector.
func (p *fileProver) ref(s proof.SectorInfo) (seal.SectorRef, error) {
	id := abi.SectorID{Miner: p.miner, Number: s.SectorNumber}
	return replica(p.store, p.sealer, seal.Sector{ID: id, Proof: s.SealProof}, s.SealedCID)
}

// Check looks at each sector's files; one that takes too long is bad, and the
// read that hangs is left behind.
func (p *fileProver) Check(ctx context.Context, sectors []proof.SectorInfo) (map[abi.SectorNumber]string, error) {
	return p.check(ctx, sectors, false)
}

func (p *fileProver) check(ctx context.Context, sectors []proof.SectorInfo, slow bool) (map[abi.SectorNumber]string, error) {
	var (
		mu    sync.Mutex
		wg    sync.WaitGroup
		bad   = map[abi.SectorNumber]string{}
		slots = make(chan struct{}, max(p.parallel, 1))
	)
	for _, s := range sectors {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			if why := p.checkOne(ctx, s, slow); why != "" {
				mu.Lock()
				bad[s.SectorNumber] = why
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		return bad, ctx.Err()
	}
	if p.found != nil {
		p.found(ctx, sectors, bad, slow)
	}
	return bad, nil
}

func (p *fileProver) checkOne(ctx context.Context, s proof.SectorInfo, slow bool) string {
	ref, err := p.ref(s)
	if err != nil {
		return err.Error()
	}
	done := make(chan string, 1)
	go func() {
		defer func() {
			if r := recover(); r != nil {
				done <- fmt.Sprintf("the check panicked: %v", r)
			}
		}()
		bad, err := p.sealer.CheckProvable(ctx, []seal.SectorRef{ref}, slow)
		if err != nil {
			done <- err.Error()
			return
		}
		done <- bad[ref.ID]
	}()
	timer := p.clk.NewTimer(p.timeout)
	defer timer.Stop()
	select {
	case why := <-done:
		return why
	case <-timer.C():
		return fmt.Sprintf("its files could not be read within %s", p.timeout)
	case <-ctx.Done():
		return ctx.Err().Error()
	}
}

// Look is Check that reads leaves, too.
func (p *fileProver) Look(ctx context.Context, sectors []proof.SectorInfo) (map[abi.SectorNumber]string, error) {
	return p.check(ctx, sectors, true)
}

// Find implements spread.Here: objects in buckets have names that only this process understands.
func (p *fileProver) Find(s proof.SectorInfo) (worker.Files, []string, bool) {
	ref, err := p.ref(s)
	if err != nil {
		return worker.Files{}, nil, false
	}
	f := worker.Files{Sealed: ref.Paths.Sealed, Cache: ref.Paths.Cache}
	var dirs []string
	paths := p.store.Paths()
	for _, name := range []string{f.Sealed, f.Cache} {
		i := slices.IndexFunc(paths, func(x store.Path) bool { return strings.HasPrefix(name, x.Dir+"/") })
		if i < 0 {
			return worker.Files{}, nil, false
		}
		dirs = append(dirs, paths[i].Dir)
	}
	return f, dirs, true
}

// WindowPoStFrom proves the sectors whose files are found.
func (p *fileProver) WindowPoStFrom(ctx context.Context, first int, sectors []proof.SectorInfo, r abi.PoStRandomness) ([]proof.PoStProof, []abi.SectorNumber, error) {
	var (
		refs    []seal.SectorRef
		missing []abi.SectorNumber
	)
	for _, s := range sectors {
		ref, err := p.ref(s)
		switch {
		case errors.Is(err, store.ErrAbsent):
			missing = append(missing, s.SectorNumber)
		case err != nil:
			return nil, nil, err
		default:
			refs = append(refs, ref)
		}
	}
	if len(missing) > 0 {
		return nil, missing, nil
	}
	if len(refs) > 0 {
		defer p.reserve(sched.WindowPoSt, refs[0].Sector.Proof)()
	}
	proofs, faulty, err := p.sealer.WindowPoStFrom(ctx, p.miner, first, refs, r)
	var bad []abi.SectorNumber
	for _, id := range faulty {
		bad = append(bad, id.Number)
	}
	return proofs, bad, err
}

// WinningPoSt proves the challenged sectors of a block.
func (p *fileProver) WinningPoSt(ctx context.Context, sectors []proof.SectorInfo, r abi.PoStRandomness) ([]proof.PoStProof, error) {
	refs := make([]seal.SectorRef, 0, len(sectors))
	for _, s := range sectors {
		ref, err := p.ref(s)
		if err != nil {
			return nil, err
		}
		refs = append(refs, ref)
	}
	if len(refs) > 0 {
		defer p.reserve(sched.WinningPoSt, refs[0].Sector.Proof)()
	}
	return p.sealer.WinningPoSt(ctx, p.miner, refs, r)
}

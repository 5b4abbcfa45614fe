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

	"github.com/filecoin-venus/venus/api"
	sealerapi "github.com/filecoin-venus/venus/api/sealer"
	"github.com/filecoin-venus/venus/proofs/seal"
	"github.com/filecoin-venus/venus/sealer/config"
	"github.com/filecoin-venus/venus/sealer/sector"
	"github.com/filecoin-venus/venus/sealer/store"
)

// openStorage reads the list of paths and indexes what they hold.
func (s *Service) openStorage() error {
	o, err := s.cfg.Storage.Options(s.opts.Clock)
	if err != nil {
		return err
	}
	o.Call = s.callPath
	if s.store, err = store.OpenWith(s.repo.Path(store.FileName), o); err != nil {
		return err
	}
	s.moves = make(chan struct{}, 1)
	for _, p := range s.store.Problems() {
		log.Warnf("storage: %s", p)
	}
	if len(s.store.Paths()) == 0 {
		log.Warn("no storage path is attached: attach one with 'venus-sealer storage attach --init --store --seal PATH'")
	}
	return nil
}

// callPath asks the worker that has a path.
func (s *Service) callPath(ctx context.Context, id string, request []byte) ([]byte, error) {
	if s.broker == nil {
		return nil, errors.New("the sealer is still starting")
	}
	return s.broker.CallPath(ctx, id, request)
}

// backgroundStorage looks after the paths and goes on with moves.
func (s *Service) backgroundStorage(ctx context.Context) {
	for _, r := range s.pipeline.List() {
		if r.State.Sealing() {
			s.store.Reserve(r.ID(), s.size)
		}
	}
	every, err := config.Span("Storage.LookEvery", s.cfg.Storage.LookEvery, 10*time.Second)
	if err != nil {
		log.Errorf("%v; every 10s then", err)
		every = 10 * time.Second
	}
	s.wg.Go(func() { s.store.Watch(ctx, every, s.pipeline.Poke) })
	s.wg.Go(func() { s.carryMoves(ctx) })
}

// moveRetry lies between two tries of a move that failed.
const moveRetry = time.Minute

// moveIdle lies between two looks when nothing is known to wait: sectors of which a
// move is noted may be back at rest.
const moveIdle = 10 * time.Minute

// carryMoves does the moves that were asked for, one at a time: disks are what
// they wait for. One that fails is tried again and waits for nobody.
func (s *Service) carryMoves(ctx context.Context) {
	for {
		failed := false
		for _, id := range s.store.Planned() {
			if s.fate(id) != store.Settled { // the pipeline does its own
				continue
			}
			err := s.store.Carry(ctx, id)
			switch {
			case errors.Is(err, store.ErrDetached):
				log.Warn(err)
			case err != nil && ctx.Err() == nil:
				log.Errorf("%v; it is tried again in %s", err, moveRetry)
				failed = true
			}
		}
		pause := moveRetry
		if !failed {
			pause = moveIdle
		}
		t := s.opts.Clock.NewTimer(pause)
		select {
		case <-s.moves:
		case <-t.C():
		case <-ctx.Done():
			t.Stop()
			return
		}
		t.Stop()
	}
}

// fate is what the records say of a sector's files.
func (s *Service) fate(id abi.SectorID) store.Fate {
	if id.Miner != s.actorID {
		return store.Unknown
	}
	r, err := s.pipeline.Get(id.Number)
	switch {
	case err != nil:
		return store.Unknown
	case r.State == sector.Removed:
		return store.Removed
	case r.State.Sealing(), r.State.Updating(), r.State == sector.Removing, r.State == sector.RemoveFailed, r.State == sector.FailedUnrecoverable:
		return store.Sealing
	}
	return store.Settled
}

// StorageAttach makes a folder or a bucket a storage path.
func (s *Service) StorageAttach(_ context.Context, spec sealerapi.StorageSpec) (sealerapi.StorageInfo, error) {
	p, err := s.store.Attach(StoreSpec(spec))
	if err != nil {
		return sealerapi.StorageInfo{}, api.Errorf(api.CodeInvalid, "%w", err)
	}
	s.pipeline.Poke()
	return StorageInfo(p), nil
}

// StoreSpec is a wire specification as the store takes it.
func StoreSpec(spec sealerapi.StorageSpec) store.Spec {
	out := store.Spec{Dir: spec.Path, Init: spec.Init, CanSeal: spec.CanSeal, CanStore: spec.CanStore, Weight: spec.Weight, MaxStorage: spec.MaxStorage}
	if spec.S3 != nil {
		out.S3 = store.S3(*spec.S3)
	}
	return out
}

// StorageInfo is a path's settings on the wire.
func StorageInfo(p store.Path) sealerapi.StorageInfo {
	return sealerapi.StorageInfo{ID: p.ID, URLs: []string{}, Weight: p.Weight, CanSeal: p.CanSeal, CanStore: p.CanStore}
}

// StorageDetach forgets a path.
func (s *Service) StorageDetach(_ context.Context, id string) error {
	if err := s.store.Detach(id); err != nil {
		return api.Errorf(api.CodeNotFound, "%w", err).WithHint("see 'venus-sealer storage list'")
	}
	return nil
}

// StorageList lists which files each path holds.
func (s *Service) StorageList(context.Context) (map[string][]sealerapi.StorageDecl, error) {
	out := map[string][]sealerapi.StorageDecl{}
	for _, p := range s.store.Paths() {
		out[p.ID] = []sealerapi.StorageDecl{}
		for _, d := range s.store.Holds(p.ID) {
			out[p.ID] = append(out[p.ID], sealerapi.StorageDecl{Miner: d.Sector.Miner, Number: d.Sector.Number, SectorFileType: int(d.Type)})
		}
	}
	return out, nil
}

// StorageLocal returns the folder of each path.
func (s *Service) StorageLocal(context.Context) (map[string]string, error) {
	out := map[string]string{}
	for _, p := range s.store.Paths() {
		out[p.ID] = p.Dir
	}
	return out, nil
}

func (s *Service) path(id string) (store.Path, error) {
	for _, p := range s.store.Paths() {
		if p.ID == id {
			return p, nil
		}
	}
	return store.Path{}, api.Errorf(api.CodeNotFound, "storage path %s is not attached", id).WithHint("see 'venus-sealer storage list'")
}

// StorageInfo returns the settings of a path.
func (s *Service) StorageInfo(_ context.Context, id string) (sealerapi.StorageInfo, error) {
	p, err := s.path(id)
	return StorageInfo(p), err
}

// StorageStat measures a path.
func (s *Service) StorageStat(_ context.Context, id string) (sealerapi.FsStat, error) {
	if _, err := s.path(id); err != nil {
		return sealerapi.FsStat{}, err
	}
	st, _, err := s.stat(id)
	return st, err
}

func (s *Service) stat(id string) (sealerapi.FsStat, string, error) {
	st, err := s.store.Measure(id)
	if err != nil {
		return sealerapi.FsStat{}, "", err
	}
	reserved, err := s.store.Reserved(id)
	return sealerapi.FsStat{Capacity: st.Capacity, Available: st.Available, Reserved: reserved}, s.store.Full(st), err
}

// StorageFindSector lists the paths that hold files of a sector.
func (s *Service) StorageFindSector(_ context.Context, id abi.SectorID, fileType int) ([]sealerapi.SectorStorageInfo, error) {
	out := []sealerapi.SectorStorageInfo{}
	for _, p := range s.store.Paths() {
		for _, d := range s.store.Holds(p.ID) {
			if d.Sector == id && int(d.Type)&fileType != 0 {
				out = append(out, sealerapi.SectorStorageInfo{ID: p.ID, URLs: []string{}, Weight: p.Weight, CanSeal: p.CanSeal, CanStore: p.CanStore, Primary: true})
				break
			}
		}
	}
	return out, nil
}

// StoragePaths tells all of every path. A disk that does not answer makes its own
// path away, not the list late by more than one time-out.
func (s *Service) StoragePaths(context.Context) ([]sealerapi.StoragePath, error) {
	paths := s.store.Paths()
	out := make([]sealerapi.StoragePath, len(paths))
	var wg sync.WaitGroup
	for i, p := range paths {
		out[i] = sealerapi.StoragePath{StorageInfo: StorageInfo(p), Path: p.Dir, MaxStorage: p.MaxStorage, Away: p.Away, Stray: s.store.Stray(p.ID)}
		for _, d := range s.store.Holds(p.ID) {
			switch d.Type {
			case store.Unsealed:
				out[i].Unsealed++
			case store.Sealed, store.Update:
				out[i].Sealed++
			case store.Cache, store.UpdateCache:
				out[i].Caches++
			}
		}
		if p.Away != "" {
			continue
		}
		wg.Go(func() {
			var err error
			if out[i].Stat, out[i].Full, err = s.stat(p.ID); err != nil {
				out[i].Away = err.Error()
			}
		})
	}
	wg.Wait()
	for _, dir := range s.store.Detached() {
		x := sealerapi.StoragePath{StorageInfo: sealerapi.StorageInfo{URLs: []string{}}, Path: dir, Detached: true, Stray: []string{}}
		for _, w := range s.queue.Workers() {
			if slices.Contains(w.Info.Own, strings.TrimPrefix(dir, store.AfarPrefix)) {
				x.Offered = w.Info.Hostname
			}
		}
		out = append(out, x)
	}
	for dir, why := range s.store.Lost() {
		out = append(out, sealerapi.StoragePath{StorageInfo: sealerapi.StorageInfo{URLs: []string{}}, Path: dir, Away: why, Stray: []string{}})
	}
	return out, nil
}

// settled refuses sectors whose files are being made or deleted.
func (s *Service) settled(n abi.SectorNumber) (sector.Record, error) {
	r, err := s.pipeline.Get(n)
	if err != nil {
		return r, missing(err)
	}
	if s.fate(r.ID()) != store.Settled {
		return r, api.Errorf(api.CodePrecondition, "sector %d is in state %s: its files are not at rest", n, r.State).WithHint("see 'venus-sealer sectors why %d'", n)
	}
	return r, nil
}

// StorageMove notes a move and begins it.
func (s *Service) StorageMove(_ context.Context, n abi.SectorNumber, to string) error {
	r, err := s.settled(n)
	if err != nil {
		return err
	}
	switch err := s.store.Plan(r.ID(), to); {
	case errors.Is(err, store.ErrAbsent), errors.Is(err, store.ErrDetached):
		return api.Errorf(api.CodeNotFound, "%w", err).WithHint("see 'venus-sealer storage list' and 'venus-sealer storage find %d'", n)
	case err != nil:
		return api.Errorf(api.CodePrecondition, "%w", err).WithHint("see 'venus-sealer storage list'")
	}
	select {
	case s.moves <- struct{}{}:
	default: // it is poked already
	}
	return nil
}

// StorageTransfers lists moves; those that wait for their turn have no beginning.
func (s *Service) StorageTransfers(context.Context) ([]sealerapi.StorageTransfer, error) {
	out := []sealerapi.StorageTransfer{}
	under := map[abi.SectorID]bool{}
	for _, t := range s.store.Transfers() {
		out = append(out, sealerapi.StorageTransfer{Sector: t.Sector.Number, To: t.To, Began: t.Began, Ended: t.Ended, Done: t.Done(), Total: t.Total, Err: t.Err})
		under[t.Sector] = under[t.Sector] || t.Ended.IsZero()
	}
	for _, id := range s.store.Planned() {
		if !under[id] {
			out = append(out, sealerapi.StorageTransfer{Sector: id.Number})
		}
	}
	return out, nil
}

// StorageVerify checks the files of a sealed sector. One that an earlier look had found bad, say while its disk was away, and that
// is good now is not called faulty until its next window.
func (s *Service) StorageVerify(ctx context.Context, n abi.SectorNumber, deep bool) (sealerapi.StorageVerdict, error) {
	v, err := s.verify(ctx, n, deep)
	if err == nil && v.Why == "" {
		s.findings(ctx, []proof.SectorInfo{{SectorNumber: n}}, nil, deep)
	}
	return v, err
}

func (s *Service) verify(ctx context.Context, n abi.SectorNumber, deep bool) (sealerapi.StorageVerdict, error) {
	v := sealerapi.StorageVerdict{Sector: n, Checked: "sizes, p_aux against the commitment, the tree's root, some opened leaves"}
	r, err := s.settled(n)
	if err != nil {
		return v, err
	}
	if r.CommR == nil {
		v.Why = "it is not sealed"
		return v, nil
	}
	if f, err := s.store.Find(r.ID(), store.Unsealed); err == nil {
		if v.Unsealed = s.checkUnsealed(ctx, r, f.Unsealed, deep); ctx.Err() != nil {
			return v, ctx.Err()
		}
	}
	ref, err := replica(s.store, s.sealer, seal.Sector{ID: r.ID(), Proof: r.SealProof}, *r.CommR)
	if err != nil {
		v.Why = err.Error()
		return v, nil
	}
	bad, err := s.sealer.CheckProvable(ctx, []seal.SectorRef{ref}, true)
	if err != nil {
		return v, err
	}
	v.Why = bad[r.ID()]
	if v.Why != "" || !deep {
		return v, nil
	}
	v.Checked = "every byte of the sealed file, of the tree at rest and of the unsealed copy if there is one"
	if err := s.sealer.CheckReplica(ctx, ref); err != nil {
		if ctx.Err() != nil {
			return v, ctx.Err()
		}
		v.Why = err.Error()
	}
	return v, nil
}

// checkUnsealed tells what is wrong with a sector's unsealed copy.
func (s *Service) checkUnsealed(ctx context.Context, r sector.Record, file string, deep bool) string {
	if file == "" || r.CommD == nil {
		return ""
	}
	err := s.sealer.CheckUnsealed(ctx, seal.Sector{ID: r.ID(), Proof: r.SealProof}, file, *r.CommD, deep)
	if err == nil {
		return ""
	}
	if r.Update != nil {
		return fmt.Sprintf("%v: the chain does not prove this copy and the sector is not faulty, but no data can be served from it, and the sealed file alone does not give it again: bring a good copy back", err)
	}
	return fmt.Sprintf("%v: the chain does not prove this copy and the sector is not faulty, but no data can be served from it; delete it, the sealed file holds the same data", err)
}

func (s *Service) wasteOut(list []store.Waste) []sealerapi.StorageWaste {
	out := []sealerapi.StorageWaste{}
	for _, w := range list {
		out = append(out, sealerapi.StorageWaste{Path: w.Path, Name: w.Name, Sector: w.Sector.Number, Bytes: w.Bytes, Why: w.Why})
	}
	return out
}

// StorageGarbage lists what can go.
func (s *Service) StorageGarbage(context.Context) ([]sealerapi.StorageWaste, error) {
	list, err := s.store.Garbage(s.fate)
	if err != nil && len(list) > 0 {
		log.Warnf("storage gc: %v", err) // the paths that answer are told
		err = nil
	}
	return s.wasteOut(list), err
}

// StorageCollect deletes what was listed and agreed to.
func (s *Service) StorageCollect(_ context.Context, names []string) ([]sealerapi.StorageWaste, error) {
	list, err := s.store.Garbage(s.fate)
	if err != nil && len(list) == 0 {
		return nil, err
	}
	want := map[string]bool{}
	for _, n := range names {
		want[n] = true
	}
	var agreed []store.Waste
	for _, w := range list {
		if want[w.Name] {
			agreed = append(agreed, w)
		}
	}
	done, err := s.store.Collect(agreed, s.fate)
	for _, w := range done {
		log.Infof("storage gc: deleted %s (%s)", w.Name, w.Why)
	}
	return s.wasteOut(done), err
}

package pipeline

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/filecoin-project/go-state-types/abi"

	"github.com/filecoin-venus/venus/proofs/seal"
	"github.com/filecoin-venus/venus/sealer/db"
	"github.com/filecoin-venus/venus/sealer/sector"
	"github.com/filecoin-venus/venus/sealer/store"
	"github.com/filecoin-venus/venus/sealer/task"
	"github.com/filecoin-venus/venus/worker"
)

// ensureTask hands proof work to the queue.
func (p *Pipeline) ensureTask(ctx context.Context, rec sector.Record, x sector.RunTask) error {
	t := worker.Task{
		ID: task.ID(rec.ID(), x.Kind, x.Attempt), Sector: rec.ID(), SealProof: rec.SealProof, Kind: x.Kind, Attempt: x.Attempt,
		Pieces: rec.Pieces, Ticket: rec.Ticket.Value, Seed: rec.Seed.Value, CommD: rec.CommD, CommR: rec.CommR,
	}
	if p.queued(t.ID) { // its files have their place, which may be away just now
		return p.parts.Queue.Ensure(ctx, t)
	}
	var (
		files store.Files
		err   error
	)
	if rec.Redo && x.Kind == sector.TaskAddPiece {
		// What is left of the old files must not be taken for finished work.
		if err := p.wipe(rec.ID()); err != nil {
			return err
		}
	}
	if rec.State.Updating() {
		return p.ensureUpdate(ctx, rec, t)
	}
	switch x.Kind {
	case sector.TaskCommit1, sector.TaskFinalize:
		if files, err = p.parts.Store.Find(rec.ID(), store.Sealed, store.Cache); err != nil {
			files, err = p.seat(rec.ID(), err, store.Sealed, store.Cache)
		}
	case sector.TaskCommit2:
	default:
		place := p.parts.Store.Place
		if x.Kind == sector.TaskAddPiece {
			place = p.parts.Store.PlaceAnew
		}
		if files, err = place(rec.ID(), p.cfg.SectorSize); err != nil {
			files, err = p.seat(rec.ID(), err)
		}
	}
	if err != nil {
		return err
	}
	t.Files = worker.Files(files.Only(store.Unsealed, store.Sealed, store.Cache))
	switch x.Kind {
	case sector.TaskPreCommit2:
		t.Input, err = p.parts.DB.Artifact(ctx, rec.Number, string(sector.TaskPreCommit1))
	case sector.TaskCommit2:
		t.Input, err = p.parts.DB.Artifact(ctx, rec.Number, string(sector.TaskCommit1))
	}
	if err != nil {
		return err
	}
	return p.parts.Queue.Ensure(ctx, t)
}

// seat is where a sector lies with a worker that is away: the task waits for it.
// Otherwise err stays.
func (p *Pipeline) seat(id abi.SectorID, err error, want ...store.FileType) (store.Files, error) {
	if files, ok := p.parts.Store.Seat(id, want...); ok {
		return files, nil
	}
	return store.Files{}, err
}

// wipe deletes a sector's files and what tasks were making of them.
func (p *Pipeline) wipe(id abi.SectorID) error {
	if err := p.parts.Store.Remove(id); err != nil {
		return err
	}
	return p.dropWork(id)
}

// dropWork deletes what tasks were making of a sector.
func (p *Pipeline) dropWork(id abi.SectorID) error {
	for _, path := range p.parts.Store.Paths() {
		if afar, err := p.removeAfar(path, id); err != nil {
			return err
		} else if afar {
			continue
		}
		if err := worker.RemoveWork(path.Dir, store.SectorName(id)); err != nil {
			return err
		}
	}
	return nil
}

// removeAfar removes the folders of a sector's tasks from a worker's path, if it is one.
func (p *Pipeline) removeAfar(path store.Path, id abi.SectorID) (bool, error) {
	if path.Away != "" {
		return true, nil // nothing is reached there
	}
	return p.parts.Store.Afar(path.Dir, worker.WorkRemove, store.SectorName(id))
}

// adopt takes over what a task made, where it lies.
func (p *Pipeline) adopt(t worker.Task) (afar bool, err error) {
	if !t.Writes() {
		return false, nil
	}
	if afar, err := p.parts.Store.Afar(t.Root(), worker.WorkAdopt, t.Bare()); afar {
		return true, err
	}
	return false, worker.Adopt(t)
}

// queued tells whether the queue knows a task.
func (p *Pipeline) queued(id string) bool {
	return slices.ContainsFunc(p.parts.Queue.Entries(), func(e task.Entry) bool { return e.Task.ID == id })
}

// takeOutcomes applies the results of ended tasks.
func (p *Pipeline) takeOutcomes(ctx context.Context, wg *sync.WaitGroup) {
	for _, e := range p.parts.Queue.Ended() {
		p.mu.Lock()
		busy := p.taking[e.Task.ID]
		p.taking[e.Task.ID] = true
		p.mu.Unlock()
		if busy {
			continue
		}
		wg.Go(func() {
			err := p.takeOutcome(ctx, e)
			p.mu.Lock()
			delete(p.taking, e.Task.ID)
			p.mu.Unlock()
			if err != nil && ctx.Err() == nil {
				log.Errorf("cannot take the result of task %s: %v", e.Task.ID, err)
			}
		})
	}
}

func (p *Pipeline) takeOutcome(ctx context.Context, e task.Entry) error {
	afar := strings.HasPrefix(e.Task.Root(), worker.OwnPrefix) // it is read only once it is taken over
	refused := false
	if !afar {
		refused, _ = p.judge(ctx, &e) // an error fails the task
	}
	if e.State == task.Done {
		afar, err := p.adopt(e.Task)
		if afar && err != nil && !errors.Is(err, store.ErrDetached) {
			return err // its worker is away: the task stays until it is back, or its path is detached
		}
		if err != nil {
			e.State, e.Reason = task.Failed, fmt.Sprintf("take over what worker %s made: %v", e.Host, err)
		}
	}
	if afar {
		var err error
		if refused, err = p.judge(ctx, &e); err != nil && !errors.Is(err, store.ErrDetached) {
			return err // as above
		}
	}
	ev, artifacts := p.outcome(ctx, e)
	if failed, ok := ev.(sector.TaskFailed); ok {
		failed.Refused = refused
		ev = failed
	}
	err := p.Apply(ctx, e.Task.Sector.Number, ev, artifacts)
	if err != nil && !errors.Is(err, sector.ErrIgnored) && !errors.Is(err, db.ErrNotFound) {
		return err // the task stays; it is taken again at the next look
	}
	return p.parts.Queue.Forget(ctx, e.Task.ID)
}

// outcome turns an ended task into an event and what to keep of its result. A
// result that lacks what it must hold counts as a failure.
func (p *Pipeline) outcome(ctx context.Context, e task.Entry) (sector.Event, map[string][]byte) {
	t, res := e.Task, e.Result
	fail := func(format string, args ...any) (sector.Event, map[string][]byte) {
		return sector.TaskFailed{Kind: t.Kind, Attempt: t.Attempt, Err: fmt.Sprintf(format, args...)}, nil
	}
	full := func(path, why string) (sector.Event, map[string][]byte) {
		why = fmt.Sprintf("there is no room for what task %s writes%s: %s; free some, or attach another path ('venus-sealer storage attach')", t.Kind, path, why)
		return sector.TaskFailed{Kind: t.Kind, Attempt: t.Attempt, Err: why, Full: true}, nil
	}
	switch {
	case e.State == task.Failed && e.Full:
		return full(fmt.Sprintf(" to %s (worker on %s)", t.Path(), e.Host), e.Reason)
	case e.State == task.Failed:
		return fail("%s", e.Reason)
	}
	p.parts.Store.Declare(t.Sector, store.Files(t.Files))
	done := sector.TaskDone{Kind: t.Kind, Attempt: t.Attempt}
	keep := map[string][]byte{}
	switch t.Kind {
	case sector.TaskAddPiece:
		if len(res.Pieces) == 0 {
			return fail("worker %s returned no piece", e.Host)
		}
		done.Pieces = res.Pieces
	case sector.TaskPreCommit1, sector.TaskCommit1:
		if len(res.Output) == 0 {
			return fail("worker %s returned nothing", e.Host)
		}
		keep[string(t.Kind)] = res.Output
	case sector.TaskPreCommit2, sector.TaskReplicaUpdate:
		if res.CommD == nil || res.CommR == nil {
			return fail("worker %s returned no commitments", e.Host)
		}
		done.CommD, done.CommR = *res.CommD, *res.CommR
		if t.Kind == sector.TaskPreCommit2 {
			keep[string(sector.TaskPreCommit1)] = nil
		}
	case sector.TaskCommit2, sector.TaskProveUpdate:
		if len(res.Proof) == 0 {
			return fail("worker %s returned no proof", e.Host)
		}
		done.Proof = res.Proof
	case sector.TaskFinalize:
		if t.Files.UpdateCache != "" {
			p.parts.Store.Release(t.Sector) // it rests where it was made
			return done, nil
		}
		switch err := p.rest(ctx, t.Sector); {
		case err != nil && (worker.NoRoom(err) || errors.Is(err, store.ErrNoSpace)):
			return full("", err.Error())
		case err != nil:
			return fail("%v", err)
		}
		keep[string(sector.TaskCommit1)] = nil
	}
	return done, keep
}

// judge turns what a worker made into a failure when it is wrong, or when that cannot be found out, which is the error.
func (p *Pipeline) judge(ctx context.Context, e *task.Entry) (refused bool, err error) {
	if e.State != task.Done {
		return false, nil
	}
	why, err := p.refuse(ctx, *e)
	switch {
	case err != nil:
		e.State, e.Reason = task.Failed, fmt.Sprintf("look into what worker %s made: %v", e.Host, err)
	case why != "":
		log.Errorw("what a worker made is refused", "task", e.Task.ID, "host", e.Host, "worker", e.Worker, "why", why)
		p.parts.Queue.Refuse(*e, why)
		e.State, e.Reason = task.Failed, fmt.Sprintf("what the worker on %s made is refused: %s", e.Host, why)
	}
	return why != "", err
}

// refuse looks into what a worker made before anything is done with it: whether a
// replica's files are those of its commitment, whether a proof holds. It tells why
// not; an error means that this could not be found out.
func (p *Pipeline) refuse(ctx context.Context, e task.Entry) (string, error) {
	t, res := e.Task, e.Result
	switch {
	case t.Kind == sector.TaskPreCommit2 && res.CommR != nil && p.parts.Replicas != nil:
		files := t.Work()
		if _, err := os.Stat(files.Sealed); err != nil {
			files = t.Files // it is taken over
		}
		ref := seal.SectorRef{Sector: seal.Sector{ID: t.Sector, Proof: t.SealProof}, SealedCID: *res.CommR, Paths: files.Key()}
		why, err := p.unsound(ctx, t, ref)
		if why == "" || err != nil {
			return "", err
		}
		return "its files are not those of the CommR that it told: " + why, nil
	case t.Kind == sector.TaskCommit2 && len(res.Proof) > 0:
		rec, err := p.Get(t.Sector.Number)
		if err != nil || rec.TaskAttempt != t.Attempt || rec.CommR == nil || rec.CommD == nil {
			return "", nil // nobody awaits it
		}
		rec.Proof = res.Proof
		ev, err := p.checkProof(ctx, rec)
		if err != nil {
			return "", nil // it is checked again before it is sent
		}
		if ev != nil {
			return "its proof does not hold", nil
		}
	case t.Kind == sector.TaskReplicaUpdate || t.Kind == sector.TaskProveUpdate:
		return p.refuseUpdate(ctx, e)
	}
	return "", nil
}

// unsound tells what is wrong with a replica's files. Files that could not be read for a moment, as those of a worker that is
// lost and comes back, are no lie: they are looked at twice, and the path must answer between.
func (p *Pipeline) unsound(ctx context.Context, t worker.Task, ref seal.SectorRef) (why string, err error) {
	for range 2 {
		bad, err := p.parts.Replicas.CheckProvable(ctx, []seal.SectorRef{ref}, true)
		if err != nil || bad[t.Sector] == "" {
			return "", err
		}
		why = bad[t.Sector]
		if _, err := p.parts.Store.Measure(t.Root()); err != nil {
			return "", fmt.Errorf("%s: %w", why, err)
		}
	}
	return why, nil
}

// rest brings a finalized sector to its storage path. A sector without deals
// holds only zeros: its unsealed copy can be had again at no cost.
func (p *Pipeline) rest(ctx context.Context, id abi.SectorID) error {
	if rec, err := p.Get(id.Number); err == nil && len(rec.Deals) > 0 {
		return p.parts.Store.Rest(ctx, id, p.cfg.SectorSize, store.Unsealed) // its data is served from there
	}
	if err := p.parts.Store.DropUnsealed(id); err != nil {
		return err
	}
	return p.parts.Store.Rest(ctx, id, p.cfg.SectorSize)
}

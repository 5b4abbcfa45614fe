package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/filecoin-project/go-state-types/abi"

	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/params"
	keys "github.com/filecoin-venus/venus/proofs/params"
	"github.com/filecoin-venus/venus/proofs/prove"
	"github.com/filecoin-venus/venus/proofs/seal"
	"github.com/filecoin-venus/venus/sealer/sched"
	"github.com/filecoin-venus/venus/sealer/sector"
)

// Options choose how a sealer works.
type Options struct {
	// ParentCache is the folder of parent caches; empty keeps parents in memory, which is possible up to 8 MiB sectors.
	ParentCache string
	// Proofs is the proof backend. Empty is the network's own: the trapdoor on a private network, parameter files
	// everywhere else.
	Proofs prove.Backend
	// Open opens the files of sectors at rest; nil opens them on the file system (proofs/seal).
	Open func(name string) (seal.File, error)
	// SectorTimeout is how long one sector may take to be opened for a proof of spacetime; 0 is for ever.
	SectorTimeout time.Duration
	// Clock is nil for the machine's.
	Clock clock.Clock
}

// BackendOf is the proof backend of a network unless another is asked for.
func BackendOf(network params.Network, asked prove.Backend) prove.Backend {
	switch {
	case asked != "":
		return asked
	case network.Devnet:
		return prove.Trapdoor
	}
	return prove.CRS
}

// NewSealer makes the prover of a network's proofs and logs how its proofs are
// made. Where the network does not allow the backend, the sealer can do
// everything but the SNARKs, and refused tells why.
func NewSealer(network params.Network, o Options) (s *seal.Sealer, refused error) {
	if o.Clock == nil {
		o.Clock = clock.Real()
	}
	cfg := seal.Config{ParentCache: o.ParentCache, Open: o.Open, SectorTimeout: o.SectorTimeout, Clock: o.Clock, Progress: (&progressLog{clock: o.Clock, say: log.Infof}).take}
	backend := BackendOf(network, o.Proofs)
	p, err := prove.New(network, backend)
	if err == nil {
		cfg.Prover = p
		logBackend(network, backend)
	}
	return seal.New(cfg), err
}

func logBackend(network params.Network, backend prove.Backend) {
	switch {
	case backend == prove.Trapdoor:
		log.Infof("proofs of network %s are made with the trapdoor: no parameter files", network.Name)
	case network.Devnet:
		log.Infof("proofs of network %s are made with parameter files in %s (crs); missing ones are made at first use", network.Name, keys.CacheDir())
	default:
		log.Infof("proofs of network %s are made with Filecoin's parameter files in %s (crs); `venus-worker proofs params --network %s` tells if all are there", network.Name, keys.CacheDir(), network.Name)
	}
}

// SealProver does tasks with package proofs/seal.
type SealProver struct {
	Sealer *seal.Sealer
	// Own are the paths that only this machine reaches, for window proofs.
	Own []Path
}

// Run implements Prover. What it makes lies in the task's own folder until the
// sealer adopts it.
func (p SealProver) Run(ctx context.Context, t Task) (Result, error) {
	s := seal.Sector{ID: t.Sector, Proof: t.SealProof}
	files := t.Files
	if t.Writes() {
		if err := t.prepare(); err != nil {
			return Result{}, err
		}
		files = t.Work()
	}
	paths := files.Key()
	switch t.Kind {
	case sector.TaskAddPiece:
		size, err := t.SealProof.SectorSize()
		if err != nil {
			return Result{}, fmt.Errorf("size of %s: %w", s, err)
		}
		piece, err := p.Sealer.AddPiece(ctx, s, paths, nil, abi.PaddedPieceSize(size).Unpadded(), nil)
		return Result{Pieces: []abi.PieceInfo{piece}}, err
	case sector.TaskPreCommit1:
		out, err := p.Sealer.PreCommit1(ctx, s, paths, t.Ticket, t.Pieces)
		if err != nil {
			return Result{}, err
		}
		b, err := json.Marshal(out)
		if err != nil {
			return Result{}, fmt.Errorf("encode output of PC1: %w", err)
		}
		return Result{Output: b}, nil
	case sector.TaskPreCommit2:
		var in seal.PreCommit1Out
		if err := json.Unmarshal(t.Input, &in); err != nil {
			return Result{}, fmt.Errorf("decode output of PC1: %w", err)
		}
		c, err := p.Sealer.PreCommit2(ctx, s, paths, in)
		if err != nil {
			return Result{}, err
		}
		return Result{CommD: &c.Unsealed, CommR: &c.Sealed}, nil
	case sector.TaskCommit1:
		if t.CommD == nil || t.CommR == nil {
			return Result{}, errors.New("the task carries no commitments")
		}
		out, err := p.Sealer.Commit1(ctx, s, paths, t.Ticket, t.Seed, t.Pieces, seal.SectorCids{Unsealed: *t.CommD, Sealed: *t.CommR})
		return Result{Output: out}, err
	case sector.TaskCommit2:
		proof, err := p.Sealer.Commit2(ctx, s, t.Input)
		return Result{Proof: proof}, err
	case sector.TaskFinalize:
		if files.UpdateCache != "" {
			paths = files.Updated()
		}
		return Result{}, p.Sealer.Finalize(ctx, paths)
	case sched.WindowPoSt:
		return p.window(ctx, t)
	case sector.TaskReplicaUpdate, sector.TaskProveUpdate:
		return p.update(ctx, s, t, files)
	}
	return Result{}, fmt.Errorf("this worker does not know the task %q; update it", t.Kind)
}

// update makes or proves the new replica of a sector that takes data in. Of the old one nothing is changed.
func (p SealProver) update(ctx context.Context, s seal.Sector, t Task, files Files) (Result, error) {
	if t.Key == nil || t.Kind == sector.TaskProveUpdate && (t.CommD == nil || t.CommR == nil) {
		return Result{}, errors.New("the task carries no commitments")
	}
	if t.Kind == sector.TaskReplicaUpdate {
		c, err := p.Sealer.ReplicaUpdate(ctx, s, t.Files.Key(), files.Updated(), *t.Key, t.Pieces)
		if err != nil {
			return Result{}, err
		}
		return Result{CommD: &c.Unsealed, CommR: &c.Sealed}, nil
	}
	cids := seal.UpdateCids{Key: *t.Key, SectorCids: seal.SectorCids{Unsealed: *t.CommD, Sealed: *t.CommR}}
	opened, err := p.Sealer.ProveReplicaUpdate1(ctx, s, t.Files.Key(), files.Updated(), cids)
	if err != nil {
		return Result{}, err
	}
	proof, err := p.Sealer.ProveReplicaUpdate2(ctx, s, cids, opened)
	return Result{Proof: proof}, err
}

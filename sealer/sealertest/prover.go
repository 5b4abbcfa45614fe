package sealertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/crypto"
	"github.com/filecoin-project/go-state-types/proof"
	"github.com/ipfs/go-cid"

	"github.com/filecoin-venus/venus/proofs/seal"
	"github.com/filecoin-venus/venus/sealer/sector"
	"github.com/filecoin-venus/venus/sealer/wdpost"
	"github.com/filecoin-venus/venus/worker"
)

const (
	seedTag   = crypto.DomainSeparationTag_InteractiveSealChallengeSeed
	windowTag = crypto.DomainSeparationTag_WindowedPoStChallengeSeed
	commitTag = crypto.DomainSeparationTag_PoStChainCommit
)

func entropy() []byte {
	var b bytes.Buffer
	m := Miner()
	if err := m.MarshalCBOR(&b); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// SealProof is what the model takes for a proof of replication.
func SealProof(commR cid.Cid, seed []byte) []byte {
	return Cid("seal" + commR.String() + string(seed)).Hash()
}

// WindowProof is what the model takes for a window proof.
func WindowProof(challenge []byte) []byte { return Cid("window" + string(challenge)).Hash() }

// Prover does every task in no time and proves nothing. It writes small files
// into the task's own folder. Its exported fields are changed inside Change.
type Prover struct {
	mu sync.Mutex
	// Bad names sectors whose files are damaged.
	Bad map[abi.SectorNumber]bool
	// Hidden names sectors whose damage shows only while they are proven: window proofs leave them out.
	Hidden map[abi.SectorNumber]bool
	// Fail, if set, makes runs fail.
	Fail func(t worker.Task) error
	// Lie, if set, spoils what a task made.
	Lie func(t worker.Task, made *worker.Result) error
	// Runs counts tasks by kind, Proofs window proofs.
	Runs   map[sector.TaskKind]int
	Proofs int
	// Gate, if set, holds window proofs until it is closed.
	Gate chan struct{}
	// Reject makes the verifier refuse everything.
	Reject bool
}

// NewProver makes a prover.
func NewProver() *Prover {
	return &Prover{Bad: map[abi.SectorNumber]bool{}, Runs: map[sector.TaskKind]int{}}
}

// Change runs f while nobody looks at the prover.
func (p *Prover) Change(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
}

// Run implements worker.Prover.
func (p *Prover) Run(_ context.Context, t worker.Task) (worker.Result, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	made, err := p.run(t)
	if err == nil && p.Lie != nil {
		err = p.Lie(t, &made)
	}
	return made, err
}

func (p *Prover) run(t worker.Task) (worker.Result, error) {
	p.Runs[t.Kind]++
	if p.Fail != nil {
		if err := p.Fail(t); err != nil {
			return worker.Result{}, err
		}
	}
	commD, commR := Cid("zeros"), Cid(fmt.Sprintf("replica %d %x", t.Sector.Number, t.Ticket))
	work := t.Work()
	write := func(file string) error {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		return os.WriteFile(file, []byte(t.ID), 0o644)
	}
	switch t.Kind {
	case sector.TaskAddPiece:
		return worker.Result{Pieces: []abi.PieceInfo{{Size: 2048, PieceCID: commD}}}, write(work.Unsealed)
	case sector.TaskPreCommit1:
		return worker.Result{Output: []byte("layers")}, nil
	case sector.TaskPreCommit2:
		if string(t.Input) != "layers" {
			return worker.Result{}, fmt.Errorf("input %q", t.Input)
		}
		if err := write(filepath.Join(work.Cache, "p_aux")); err != nil {
			return worker.Result{}, err
		}
		if err := write(work.Sealed); err != nil {
			return worker.Result{}, err
		}
		return worker.Result{CommD: &commD, CommR: &commR}, os.WriteFile(work.Sealed, []byte(commR.String()), 0o644)
	case sector.TaskCommit1:
		return worker.Result{Output: append([]byte("vanilla"), t.Seed...)}, nil
	case sector.TaskCommit2:
		return worker.Result{Proof: SealProof(*t.CommR, bytes.TrimPrefix(t.Input, []byte("vanilla")))}, nil
	case sector.TaskReplicaUpdate, sector.TaskProveUpdate:
		return p.update(t)
	}
	return worker.Result{}, nil
}

// CheckProvable implements pipeline.Replicas: the model's sealed files hold their commitment.
func (p *Prover) CheckProvable(_ context.Context, sectors []seal.SectorRef, _ bool) (map[abi.SectorID]string, error) {
	bad := map[abi.SectorID]string{}
	for _, ref := range sectors {
		b, err := os.ReadFile(ref.Paths.Sealed)
		switch {
		case err != nil:
			bad[ref.ID] = err.Error()
		case string(b) != ref.SealedCID.String():
			bad[ref.ID] = "the tree's root is " + string(b)
		}
	}
	return bad, nil
}

// Check implements wdpost.Prover.
func (p *Prover) Check(_ context.Context, list []proof.SectorInfo) (map[abi.SectorNumber]string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := map[abi.SectorNumber]string{}
	for _, s := range list {
		if p.Bad[s.SectorNumber] {
			out[s.SectorNumber] = "damaged"
		}
	}
	return out, nil
}

// WindowPoSt implements wdpost.Prover.
func (p *Prover) WindowPoSt(ctx context.Context, w wdpost.Work) (wdpost.Made, error) {
	p.mu.Lock()
	gate := p.Gate
	p.Proofs++
	var faulty []abi.SectorNumber
	for _, s := range w.Sectors {
		if p.Hidden[s.SectorNumber] {
			faulty = append(faulty, s.SectorNumber)
		}
	}
	p.mu.Unlock()
	if len(faulty) > 0 && len(faulty) == len(w.Sectors) {
		return wdpost.Made{Faulty: faulty}, errors.New("no sector could be proven")
	}
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			return wdpost.Made{}, ctx.Err()
		}
	}
	proofs := []proof.PoStProof{{PoStProof: abi.RegisteredPoStProof_StackedDrgWindow2KiBV1, ProofBytes: WindowProof(w.Randomness)}}
	return wdpost.Made{Proofs: proofs, Faulty: faulty}, nil
}

// VerifySeal implements pipeline.Verifier.
func (p *Prover) VerifySeal(_ context.Context, i proof.SealVerifyInfo) (bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.Reject && bytes.Equal(i.Proof, SealProof(i.SealedCID, i.InteractiveRandomness)), nil
}

// AggregateSeals implements pipeline.Aggregator.
func (p *Prover) AggregateSeals(_ context.Context, _ proof.AggregateSealVerifyProofAndInfos, proofs [][]byte) ([]byte, error) {
	return AggregateProof(proofs), nil
}

// VerifyWindowPoSt implements wdpost.Verifier.
func (p *Prover) VerifyWindowPoSt(_ context.Context, i proof.WindowPoStVerifyInfo) (bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.Reject && bytes.Equal(i.Proofs[0].ProofBytes, WindowProof(i.Randomness)), nil
}

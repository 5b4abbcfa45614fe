package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/ipfs/go-cid"

	"github.com/filecoin-venus/venus/proofs/seal"
)

// Window is what a window proof is asked for: partitions of one proof, from the First on.
type Window struct {
	Miner      abi.ActorID
	Randomness abi.PoStRandomness
	First      int
	Sectors    []WindowSector
}

// WindowSector is a sector to be proven: what the chain has of it, and where the sealed file and the cache of that replica lie.
type WindowSector struct {
	Number abi.SectorNumber
	Proof  abi.RegisteredSealProof
	CommR  cid.Cid
	Files  Files
}

// ParseWindow reads what a window proof's task asks for.
func ParseWindow(t Task) (Window, error) {
	var w Window
	if err := json.Unmarshal(t.Input, &w); err != nil {
		return w, fmt.Errorf("decode what is to be proven: %w", err)
	}
	return w, nil
}

// window makes a window proof from files of paths that this machine reaches.
func (p SealProver) window(ctx context.Context, t Task) (Result, error) {
	w, err := ParseWindow(t)
	if err != nil {
		return Result{}, err
	}
	refs := make([]seal.SectorRef, len(w.Sectors))
	for i, s := range w.Sectors {
		id := abi.SectorID{Miner: w.Miner, Number: s.Number}
		refs[i] = seal.SectorRef{Sector: seal.Sector{ID: id, Proof: s.Proof}, SealedCID: s.CommR, Paths: Task{Files: s.Files}.In(p.Own).Files.Key()}
	}
	proofs, faulty, err := p.Sealer.WindowPoStFrom(ctx, w.Miner, w.First, refs, w.Randomness)
	var res Result
	for _, id := range faulty {
		res.Faulty = append(res.Faulty, id.Number)
	}
	if errors.Is(err, seal.ErrNothingProvable) {
		return res, nil // the sealer looks for itself
	}
	if err != nil {
		return Result{}, err
	}
	res.Proof = proofs[0].ProofBytes
	return res, nil
}

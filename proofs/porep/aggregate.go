package porep

import (
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/proof"

	"github.com/filecoin-venus/venus/proofs/shape"
)

// Aggregate is what prover and verifier agree on about sectors whose proofs are aggregated, all of one miner and type, in
// the order of the proofs.
type Aggregate []Statement

// AggregateOf reads the chain's form of an aggregate's statement, but for the proof; the order of the sectors is kept.
func AggregateOf(info proof.AggregateSealVerifyProofAndInfos) (Aggregate, error) {
	if len(info.Infos) == 0 {
		return nil, errors.New("aggregate of no sectors")
	}
	out := make(Aggregate, len(info.Infos))
	for i, s := range info.Infos {
		var err error
		out[i], err = StatementOf(proof.SealVerifyInfo{
			SealProof: info.SealProof, SectorID: abi.SectorID{Miner: info.Miner, Number: s.Number},
			Randomness: s.Randomness, InteractiveRandomness: s.InteractiveRandomness, SealedCID: s.SealedCID, UnsealedCID: s.UnsealedCID,
		})
		if err != nil {
			return nil, fmt.Errorf("sector %d: %w", s.Number, err)
		}
	}
	return out, nil
}

// Digest is what an aggregate is bound to: the SHA-256 of seed and CommR of every sector, in order (rust-fil-proofs,
// filecoin-proofs/src/api/seal.rs).
func (a Aggregate) Digest() [sha256.Size]byte {
	h := sha256.New()
	for i := range a {
		h.Write(a[i].Seed[:])
		h.Write(a[i].CommR[:])
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// NumProofs is the number of proofs: one for each partition of every sector.
func (a Aggregate) NumProofs() (int, error) {
	sh, err := shape.OfSeal(a[0].SealProof)
	return len(a) * sh.Partitions, err
}

// PublicInputs are the circuit inputs of the k-th proof, without the leading ONE: the proofs go sector by sector, the
// partitions of a sector in order.
func (a Aggregate) PublicInputs(k int) ([]fr.Element, error) {
	sh, err := shape.OfSeal(a[0].SealProof)
	if err != nil {
		return nil, err
	}
	return a[k/sh.Partitions].PublicInputs(k % sh.Partitions)
}

// Package update is the replica update (a sealed sector without data takes data in, FIP-0019) before any circuit: the
// encoding and its two inverses, challenges, the openings that a prover puts into the circuit, their check, and the
// circuit's public inputs.
//
// Start at Encoder for what happens to the bytes, then at Statement (what both sides know), Vanilla and Prove. The variant
// whose data tree is hashed with SHA-256 is built, the one that actors know; fact sheet "proofs", sections 4 and 5.5.
//
// Invariants: CommC of the sector stays; everything random follows from the three commitments of the statement, so that a
// proof needs no ticket; every opening in a Vanilla that Check accepted belongs to the commitments of its statement.
package update

import (
	"fmt"
	"math/bits"

	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/proof"

	"github.com/filecoin-venus/venus/proofs/commp"
	"github.com/filecoin-venus/venus/proofs/fr32"
	"github.com/filecoin-venus/venus/proofs/poseidon"
	"github.com/filecoin-venus/venus/proofs/shape"
)

// Statement is what prover and verifier agree on about one update.
type Statement struct {
	UpdateProof abi.RegisteredUpdateProof `json:"updateProof"`
	// CommROld is the sealed commitment that the chain has, CommRNew the one that takes its place.
	CommROld fr32.Node `json:"commROld"`
	CommRNew fr32.Node `json:"commRNew"`
	// CommD is the commitment of the new data.
	CommD fr32.Node `json:"commD"`
}

// StatementOf takes the commitments out of the chain's form of an update statement.
func StatementOf(info proof.ReplicaUpdateInfo) (st Statement, err error) {
	if _, err := shape.OfUpdate(info.UpdateProofType); err != nil {
		return st, err
	}
	st.UpdateProof = info.UpdateProofType
	if st.CommROld, err = commp.FromSealedCID(info.OldSealedSectorCID); err != nil {
		return st, fmt.Errorf("old sealed CID: %w", err)
	}
	if st.CommRNew, err = commp.FromSealedCID(info.NewSealedSectorCID); err != nil {
		return st, fmt.Errorf("new sealed CID: %w", err)
	}
	if st.CommD, err = commp.FromCID(info.NewUnsealedSectorCID); err != nil {
		return st, fmt.Errorf("new unsealed CID: %w", err)
	}
	return st, nil
}

// digestBits is how many bits of a digest serve as randomness, from the lowest.
const digestBits = fr.Bits - 1

// PerDigest is how many challenges of a shape are cut from one digest, and Digests how many digests a partition needs.
func PerDigest(u shape.Update) int { return digestBits / (u.IndexBits() - u.PartitionBits()) }

// Digests is how many digests the challenges of one partition are cut from.
func Digests(u shape.Update) int { return (u.UpdateChallenges + PerDigest(u) - 1) / PerDigest(u) }

// challengesOf are the nodes challenged in partition k: pieces of digests over the new commitment and a running number,
// lowest bits first, in front of them the number of the partition.
func challengesOf(u shape.Update, commRNew fr.Element, k int) []uint64 {
	width, per := u.IndexBits()-u.PartitionBits(), PerDigest(u)
	out := make([]uint64, u.UpdateChallenges)
	var limbs [5]uint64 // one more, so that a cut may reach over the end
	for i := range out {
		if i%per == 0 {
			digest := poseidon.HashPair(commRNew, fr.NewElement(uint64(k*Digests(u)+i/per)))
			b := digest.Bits()
			copy(limbs[:], b[:])
		}
		at := i % per * width
		word, off := at/64, at%64
		v := limbs[word] >> off
		if off > 0 {
			v |= limbs[word+1] << (64 - off)
		}
		out[i] = v&(1<<width-1) | uint64(k)<<width
	}
	return out
}

// Challenges are the nodes challenged in one partition.
func (s Statement) Challenges(partition int) ([]uint64, error) {
	u, err := shape.OfUpdate(s.UpdateProof)
	if err != nil {
		return nil, err
	}
	if partition < 0 || partition >= u.UpdatePartitions {
		return nil, fmt.Errorf("partition %d of %d", partition, u.UpdatePartitions)
	}
	commR, err := s.CommRNew.Element()
	if err != nil {
		return nil, fmt.Errorf("new CommR: %w", err)
	}
	return challengesOf(u, commR, partition), nil
}

// PublicInputs are the circuit inputs of one partition without the leading ONE: its number with the chosen width's bit in
// front, old CommR, CommD, new CommR.
func (s Statement) PublicInputs(partition int) ([]fr.Element, error) {
	u, err := shape.OfUpdate(s.UpdateProof)
	if err != nil {
		return nil, err
	}
	out := []fr.Element{fr.NewElement(Selector(u, partition))}
	for _, n := range []fr32.Node{s.CommROld, s.CommD, s.CommRNew} {
		e, err := n.Element()
		if err != nil {
			return nil, fmt.Errorf("public input: %w", err)
		}
		out = append(out, e)
	}
	return out, nil
}

// Selector is the first public input of a partition: its number in the low bits and, in front of them, one bit set among
// the choices of a width.
func Selector(u shape.Update, partition int) uint64 {
	return uint64(partition) | 1<<(u.PartitionBits()+u.Select)
}

// high is the leading part of a node's index that chooses its factor.
func high(u shape.Update, node uint64) uint64 {
	return node >> (bits.Len64(u.Nodes()) - 1 - u.HighBits)
}

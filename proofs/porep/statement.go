package porep

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/big"

	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"
	"github.com/filecoin-project/go-address"
	commcid "github.com/filecoin-project/go-fil-commcid"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/proof"
	"github.com/filecoin-venus/venus/proofs/fr32"
	"github.com/filecoin-venus/venus/proofs/sdr"
	"github.com/filecoin-venus/venus/proofs/shape"
)

// Statement is what prover and verifier agree on about one sealed sector.
type Statement struct {
	SealProof abi.RegisteredSealProof `json:"sealProof"`
	ReplicaID fr32.Node               `json:"replicaID"`
	CommD     fr32.Node               `json:"commD"`
	CommR     fr32.Node               `json:"commR"`
	// Seed is the interactive randomness as the chain gives it, not truncated.
	Seed fr32.Node `json:"seed"`
}

// ProverID is the payload of a miner's ID address, zero padded to 32 bytes.
func ProverID(miner abi.ActorID) (fr32.Node, error) {
	addr, err := address.NewIDAddress(uint64(miner))
	if err != nil {
		return fr32.Node{}, fmt.Errorf("prover id of miner %d: %w", miner, err)
	}
	var id fr32.Node
	copy(id[:], addr.Payload())
	return id, nil
}

// ReplicaID binds a replica to its prover, sector number, ticket, data and proof type.
func ReplicaID(s shape.Seal, prover fr32.Node, sector abi.SectorNumber, ticket []byte, commD fr32.Node) fr32.Node {
	buf := make([]byte, 0, 136)
	buf = append(buf, prover[:]...)
	buf = binary.BigEndian.AppendUint64(buf, uint64(sector))
	buf = append(buf, ticket...)
	buf = append(buf, commD[:]...)
	buf = append(buf, s.PoRepID[:]...)
	return fr32.Trunc(sha256.Sum256(buf))
}

// ChallengeNode is the j-th interactive challenge of a whole proof (j counts through all partitions): a node in 1..nodes-1.
func ChallengeNode(replicaID, seed fr32.Node, j uint32, nodes uint64) uint64 {
	buf := make([]byte, 0, 68)
	buf = append(buf, replicaID[:]...)
	buf = append(buf, seed[:]...)
	buf = binary.LittleEndian.AppendUint32(buf, j)
	h := sha256.Sum256(buf)
	for i := range 16 {
		h[i], h[31-i] = h[31-i], h[i]
	}
	c := new(big.Int).SetBytes(h[:])
	return c.Mod(c, new(big.Int).SetUint64(nodes-1)).Uint64() + 1
}

// Challenges are the nodes challenged in one partition.
func (s Statement) Challenges(partition int) ([]uint64, error) {
	sh, err := shape.OfSeal(s.SealProof)
	if err != nil {
		return nil, err
	}
	out := make([]uint64, sh.ChallengesPerPartition)
	for i := range out {
		j := uint32(partition*sh.ChallengesPerPartition + i)
		out[i] = ChallengeNode(s.ReplicaID, s.Seed, j, sh.Nodes())
	}
	return out, nil
}

// PublicInputs are the circuit inputs of one partition without the leading ONE: replica id, CommD, CommR, then per
// challenge the node, its 6 base and 8 expander parents, and the node three times more.
func (s Statement) PublicInputs(partition int) ([]fr.Element, error) {
	sh, err := shape.OfSeal(s.SealProof)
	if err != nil {
		return nil, err
	}
	out := make([]fr.Element, 0, 3+18*sh.ChallengesPerPartition)
	for _, n := range []fr32.Node{s.ReplicaID, s.CommD, s.CommR} {
		e, err := n.Element()
		if err != nil {
			return nil, fmt.Errorf("public input: %w", err)
		}
		out = append(out, e)
	}
	challenges, err := s.Challenges(partition)
	if err != nil {
		return nil, err
	}
	graph := sdr.NewGraph(sh)
	for _, c := range challenges {
		p := graph.Parents(uint32(c))
		out = append(out, fr.NewElement(c))
		for _, n := range p {
			out = append(out, fr.NewElement(uint64(n)))
		}
		for range 3 {
			out = append(out, fr.NewElement(c))
		}
	}
	return out, nil
}

// StatementOf reads the chain's form of a seal statement: the replica id is computed from it, the commitments are taken
// out of their CIDs.
func StatementOf(info proof.SealVerifyInfo) (Statement, error) {
	sh, err := shape.OfSeal(info.SealProof)
	if err != nil {
		return Statement{}, err
	}
	commD, err := commcid.CIDToDataCommitmentV1(info.UnsealedCID)
	if err != nil {
		return Statement{}, fmt.Errorf("unsealed CID %s: %w", info.UnsealedCID, err)
	}
	commR, err := commcid.CIDToReplicaCommitmentV1(info.SealedCID)
	if err != nil {
		return Statement{}, fmt.Errorf("sealed CID %s: %w", info.SealedCID, err)
	}
	if len(info.Randomness) != 32 || len(info.InteractiveRandomness) != 32 {
		return Statement{}, fmt.Errorf("ticket of %d bytes, seed of %d: want 32 each", len(info.Randomness), len(info.InteractiveRandomness))
	}
	prover, err := ProverID(info.Miner)
	if err != nil {
		return Statement{}, err
	}
	st := Statement{SealProof: info.SealProof, CommD: fr32.Node(commD), CommR: fr32.Node(commR), Seed: fr32.Node(info.InteractiveRandomness)}
	st.ReplicaID = ReplicaID(sh, prover, info.Number, info.Randomness, st.CommD)
	return st, nil
}

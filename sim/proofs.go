package sim

import (
	"bytes"
	"context"
	"encoding/binary"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/proof"
	"golang.org/x/crypto/blake2b"
)

// proofSize is the length of a single real proof.
const proofSize = 192

// Verifier stands in for the verification of storage proofs: a proof holds when it is the digest of its statement. It
// satisfies the verifier interfaces of packages vm and consensus.
type Verifier struct{}

// digest stretches a hash of the parts to the length of a proof.
func digest(label string, parts ...[]byte) []byte {
	h, err := blake2b.NewXOF(proofSize, nil)
	if err != nil {
		panic("sim: blake2b without key: " + err.Error())
	}
	write := func(b []byte) {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(b)))
		// A hash takes any bytes.
		_, _ = h.Write(n[:])
		_, _ = h.Write(b)
	}
	write([]byte(label))
	for _, p := range parts {
		write(p)
	}
	out := make([]byte, proofSize)
	_, _ = h.Read(out)
	return out
}

func number(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// postProof is the stand-in for a winning or window proof.
func postProof(label string, randomness []byte, prover abi.ActorID, sectors []proof.SectorInfo) []byte {
	r := bytes.Clone(randomness)
	if len(r) == 32 {
		r[31] &= 0x3f // provers and machines differ in who cuts the seed to a field element
	}
	parts := [][]byte{r, number(uint64(prover))}
	for _, s := range sectors {
		parts = append(parts, number(uint64(s.SectorNumber)), s.SealedCID.Bytes())
	}
	return digest(label, parts...)
}

func sealProof(info proof.SealVerifyInfo) []byte {
	return digest("seal", number(uint64(info.Miner)), number(uint64(info.Number)), info.Randomness, info.InteractiveRandomness, info.SealedCID.Bytes(), info.UnsealedCID.Bytes())
}

// VerifyWinningPoSt accepts the one stand-in proof of the statement, of the sectors' winning proof type.
func (Verifier) VerifyWinningPoSt(_ context.Context, info proof.WinningPoStVerifyInfo) (bool, error) {
	if len(info.Proofs) != 1 || len(info.ChallengedSectors) == 0 {
		return false, nil
	}
	want, err := info.ChallengedSectors[0].SealProof.RegisteredWinningPoStProof()
	if err != nil || info.Proofs[0].PoStProof != want {
		return false, nil
	}
	return bytes.Equal(info.Proofs[0].ProofBytes, postProof("winning", info.Randomness, info.Prover, info.ChallengedSectors)), nil
}

// VerifyWinningPoStBatch answers for each.
func (v Verifier) VerifyWinningPoStBatch(ctx context.Context, infos []proof.WinningPoStVerifyInfo) (out []bool, err error) {
	for _, info := range infos {
		ok, err := v.VerifyWinningPoSt(ctx, info)
		if err != nil {
			return nil, err
		}
		out = append(out, ok)
	}
	return out, nil
}

// VerifyWindowPoSt accepts the one stand-in proof of the statement, of the sectors' window proof type.
func (Verifier) VerifyWindowPoSt(_ context.Context, info proof.WindowPoStVerifyInfo) (bool, error) {
	if len(info.Proofs) != 1 || len(info.ChallengedSectors) == 0 {
		return false, nil
	}
	want, err := info.ChallengedSectors[0].SealProof.RegisteredWindowPoStProof()
	if err != nil || info.Proofs[0].PoStProof != want {
		return false, nil
	}
	return bytes.Equal(info.Proofs[0].ProofBytes, postProof("window", info.Randomness, info.Prover, info.ChallengedSectors)), nil
}

// VerifySeal accepts the stand-in proof of the statement.
func (Verifier) VerifySeal(_ context.Context, info proof.SealVerifyInfo) (bool, error) {
	return bytes.Equal(info.Proof, sealProof(info)), nil
}

// VerifySealBatch answers for each.
func (v Verifier) VerifySealBatch(ctx context.Context, infos []proof.SealVerifyInfo) ([]bool, error) {
	out := make([]bool, len(infos))
	for i, info := range infos {
		ok, err := v.VerifySeal(ctx, info)
		if err != nil {
			return nil, err
		}
		out[i] = ok
	}
	return out, nil
}

// aggregateProof is the stand-in for the proof of many seals at once.
func aggregateProof(agg proof.AggregateSealVerifyProofAndInfos) []byte {
	parts := [][]byte{number(uint64(agg.Miner)), number(uint64(agg.SealProof))}
	for _, i := range agg.Infos {
		parts = append(parts, number(uint64(i.Number)), i.Randomness, i.InteractiveRandomness, i.SealedCID.Bytes(), i.UnsealedCID.Bytes())
	}
	return digest("aggregate", parts...)
}

func updateProof(info proof.ReplicaUpdateInfo) []byte {
	return digest("update", number(uint64(info.UpdateProofType)), info.OldSealedSectorCID.Bytes(), info.NewSealedSectorCID.Bytes(), info.NewUnsealedSectorCID.Bytes())
}

// VerifyAggregateSeals accepts the stand-in proof of the statement.
func (Verifier) VerifyAggregateSeals(_ context.Context, info proof.AggregateSealVerifyProofAndInfos) (bool, error) {
	return bytes.Equal(info.Proof, aggregateProof(info)), nil
}

// VerifyReplicaUpdate accepts the stand-in proof of the statement.
func (Verifier) VerifyReplicaUpdate(_ context.Context, info proof.ReplicaUpdateInfo) (bool, error) {
	return bytes.Equal(info.Proof, updateProof(info)), nil
}

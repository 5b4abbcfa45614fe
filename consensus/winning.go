package consensus

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/proof"

	"github.com/filecoin-venus/venus/state"
)

// ErrNoSectors: a miner has no active sector to prove, so it cannot win.
var ErrNoSectors = errors.New("miner has no active sectors")

// winningIndex picks one of count sectors from the randomness of a winning proof (node-nv15.md 3.5).
func winningIndex(randomness []byte, miner abi.ActorID, count uint64) uint64 {
	// The prover's id is the payload of its ID address, left aligned in 32 bytes.
	var prover [32]byte
	binary.PutUvarint(prover[:], uint64(miner))
	h := sha256.New()
	h.Write(prover[:])
	h.Write(randomness)
	h.Write(make([]byte, 8)) // the number of the challenge: there is one, number 0
	return binary.LittleEndian.Uint64(h.Sum(nil)[:8]) % count
}

// WinningSectors returns the sectors that a miner must prove for a block drawn with randomness, as of a lookback state: one
// of its active sectors. ErrNoSectors when there is none.
func WinningSectors(ctx context.Context, view *state.View, miner address.Address, randomness []byte) ([]proof.ExtendedSectorInfo, error) {
	active, err := view.ActiveSectors(ctx, miner)
	if err != nil {
		return nil, err
	}
	count, err := active.Count()
	if err != nil {
		return nil, fmt.Errorf("active sectors of %s: %w", miner, err)
	}
	if count == 0 {
		return nil, fmt.Errorf("%s: %w", miner, ErrNoSectors)
	}
	id, err := address.IDFromAddress(miner)
	if err != nil {
		return nil, fmt.Errorf("winning sectors of %s: %w", miner, err)
	}
	one, err := active.Slice(winningIndex(randomness, abi.ActorID(id), count), 1)
	if err != nil {
		return nil, fmt.Errorf("winning sectors of %s: %w", miner, err)
	}
	infos, err := view.Sectors(ctx, miner, &one)
	if err != nil {
		return nil, err
	}
	out := make([]proof.ExtendedSectorInfo, len(infos))
	for i, s := range infos {
		out[i] = proof.ExtendedSectorInfo{SealProof: s.SealProof, SectorNumber: s.SectorNumber, SectorKey: s.SectorKeyCID, SealedCID: s.SealedCID}
	}
	return out, nil
}

// plainSectors drops what only a prover needs.
func plainSectors(in []proof.ExtendedSectorInfo) []proof.SectorInfo {
	out := make([]proof.SectorInfo, len(in))
	for i, s := range in {
		out[i] = proof.SectorInfo{SealProof: s.SealProof, SectorNumber: s.SectorNumber, SealedCID: s.SealedCID}
	}
	return out
}

// Eligible tells whether a miner may mine on a base tipset (node-nv15.md 3.4): minimum power in the state before the
// lookback tipset; power, no debt and no running fault in the state before the base tipset. A miner without a claim at the
// lookback is state.ErrNoClaim.
func Eligible(ctx context.Context, lookback, base *state.View, miner address.Address, baseHeight abi.ChainEpoch) (bool, error) {
	ok, err := lookback.HasMinPower(ctx, miner)
	if err != nil || !ok {
		return false, err
	}
	return base.EligibleToMine(ctx, miner, baseHeight)
}

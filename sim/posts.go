package sim

import (
	"bytes"
	"context"
	"fmt"

	"github.com/filecoin-project/go-bitfield"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	gscrypto "github.com/filecoin-project/go-state-types/crypto"
	"github.com/filecoin-project/go-state-types/dline"
	"github.com/filecoin-project/go-state-types/proof"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/miner"

	"github.com/filecoin-venus/venus/state"
	"github.com/filecoin-venus/venus/types"
)

// postRecord follows the window proof of one deadline.
type postRecord struct {
	miner  *Miner
	close  abi.ChainEpoch
	landed bool
}

const postGasLimit = 2_000_000_000

// sendPosts lets every miner prove the deadline that is open after head, once.
func (w *World) sendPosts(ctx context.Context, head *types.TipSet, after *state.View) error {
	for _, m := range w.Miners {
		if m.idle {
			continue
		}
		if err := w.sendPost(ctx, m, head, after); err != nil {
			return fmt.Errorf("window proof of %s at epoch %d: %w", m.ID, head.Height(), err)
		}
	}
	return nil
}

func (w *World) sendPost(ctx context.Context, m *Miner, head *types.TipSet, after *state.View) error {
	di, err := after.ProvingDeadline(ctx, m.ID, head.Height())
	if err != nil {
		return err
	}
	if head.Height() < di.Open || m.sent[di.Open] != nil {
		return nil
	}
	dl, err := after.Deadline(ctx, m.ID, di.Index)
	if err != nil {
		return err
	}
	parts, sectors, err := toProve(dl)
	if err != nil {
		return err
	}
	if len(parts) == 0 {
		return nil
	}
	msg, err := w.postMessage(ctx, m, di, head, after, parts, sectors)
	if err != nil {
		return err
	}
	sm, err := w.pool.add(m.Key, msg)
	if err != nil {
		return err
	}
	record := &postRecord{miner: m, close: di.Close}
	m.sent[di.Open] = record
	w.messages[sm.Cid().KeyString()] = record
	return nil
}

// toProve lists the partitions of a deadline that have sectors to prove, and those sectors.
func toProve(dl state.Deadline) ([]miner.PoStPartition, bitfield.BitField, error) {
	var parts []miner.PoStPartition
	var sets []bitfield.BitField
	for i, p := range dl.Partitions {
		good, err := bitfield.SubtractBitField(p.Live, p.Faulty)
		if err != nil {
			return nil, bitfield.BitField{}, err
		}
		empty, err := good.IsEmpty()
		if err != nil {
			return nil, bitfield.BitField{}, err
		}
		if !empty {
			parts = append(parts, miner.PoStPartition{Index: uint64(i), Skipped: bitfield.New()})
			sets = append(sets, good)
		}
	}
	all, err := bitfield.MultiMerge(sets...)
	return parts, all, err
}

func (w *World) postMessage(ctx context.Context, m *Miner, di *dline.Info, head *types.TipSet, after *state.View, parts []miner.PoStPartition, sectors bitfield.BitField) (types.Message, error) {
	infos, err := after.Sectors(ctx, m.ID, &sectors)
	if err != nil {
		return types.Message{}, err
	}
	proven := make([]proof.SectorInfo, len(infos))
	for i, s := range infos {
		proven[i] = proof.SectorInfo{SealProof: s.SealProof, SectorNumber: s.SectorNumber, SealedCID: s.SealedCID}
	}
	var entropy bytes.Buffer
	if err := m.ID.MarshalCBOR(&entropy); err != nil {
		return types.Message{}, err
	}
	rand := w.Exec.Randomness(head)
	seed, err := rand.BeaconRandomness(ctx, gscrypto.DomainSeparationTag_WindowedPoStChallengeSeed, di.Challenge, entropy.Bytes())
	if err != nil {
		return types.Message{}, err
	}
	commit, err := rand.TicketRandomness(ctx, gscrypto.DomainSeparationTag_PoStChainCommit, head.Height(), nil)
	if err != nil {
		return types.Message{}, err
	}
	kind, err := proven[0].SealProof.RegisteredWindowPoStProof()
	if err != nil {
		return types.Message{}, err
	}
	args := miner.SubmitWindowedPoStParams{
		Deadline: di.Index, Partitions: parts, ChainCommitEpoch: head.Height(), ChainCommitRand: commit,
		Proofs: []proof.PoStProof{{PoStProof: kind, ProofBytes: postProof("window", seed, m.Actor, proven)}},
	}
	var body bytes.Buffer
	if err := args.MarshalCBOR(&body); err != nil {
		return types.Message{}, err
	}
	return message(m.ID, big.Zero(), builtin.MethodsMiner.SubmitWindowedPoSt, body.Bytes(), postGasLimit), nil
}

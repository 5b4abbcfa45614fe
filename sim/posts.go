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
	"github.com/filecoin-project/go-state-types/exitcode"
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

const postGasLimit = 1_500_000_000

// postPlan is what a miner does about one deadline.
type postPlan struct {
	di    *dline.Info
	parts []miner.PoStPartition
	// challenged are the sectors that the proof is about, in the order of the statement.
	challenged []proof.SectorInfo
	// recovers tells that the proof brings faulty sectors back and is therefore verified at once.
	recovers bool
	// bad makes the proof one that does not hold.
	bad bool
}

// sendPosts lets every miner prove the deadline that is open after head, once.
func (w *World) sendPosts(ctx context.Context, head *types.TipSet, after *state.View) error {
	for _, m := range w.Miners {
		if m.idle || head.Height() < m.postsFrom {
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
	if m.postsFrom = di.Open; head.Height() < di.Open {
		return nil
	}
	m.postsFrom = di.Close
	dl, err := after.Deadline(ctx, m.ID, di.Index)
	if err != nil {
		return err
	}
	var skip func(p state.Partition) (bitfield.BitField, error)
	frail := w.ops != nil && !m.ops.steadfast
	if frail {
		if w.ops.chance(missedPosts) {
			return nil
		}
		skip = w.ops.skipped
	}
	plan, err := w.planPost(ctx, m, after, di, dl, skip)
	if err != nil || plan == nil {
		return err
	}
	plan.bad = frail && !plan.recovers && w.ops.chance(badPosts)
	msg, err := w.postMessage(ctx, m, plan, head)
	if err != nil {
		return err
	}
	from := m.Key
	if w.ops != nil {
		if from, err = w.ops.caller(&turn{ctx, head, after}, m); err != nil {
			return err
		}
	}
	record := &postRecord{miner: m, close: di.Close}
	m.sent[di.Open] = record
	sm, err := w.pool.add(from, msg)
	if err != nil {
		return err
	}
	w.sent[sm.Cid()] = w.postDraft(m, plan, record, from, msg)
	return nil
}

// postDraft follows a window proof. Late ones are refused; and after null rounds the miner may have changed hands.
func (w *World) postDraft(m *Miner, plan *postPlan, record *postRecord, from Key, msg types.Message) *draft {
	d := &draft{kind: kindPost, from: from, msg: msg}
	if w.ops != nil {
		d.stats = w.ops.stats[kindPost]
		d.stats.Sent++
	}
	d.judge = func(x *execution) (exits, error) {
		switch {
		case x.epoch >= plan.di.Close:
			return exits{exitcode.ErrIllegalArgument, exitcode.ErrIllegalState}, nil
		case x.nulls > 0 || m.ops.handedOver == x.epoch:
			return exits{exitcode.Ok, exitcode.SysErrForbidden}, nil
		}
		return only(exitcode.Ok), nil
	}
	d.done = func(x *execution) error {
		record.landed = x.ok()
		if x.ok() && plan.bad {
			m.ops.bad = append(m.ops.bad, badPost{deadline: plan.di.Index, close: plan.di.Close})
		}
		return nil
	}
	return d
}

// planPost chooses the partitions of a deadline that have anything to prove. skip, which may be nil, names sectors that
// the miner lost without having declared it.
func (w *World) planPost(ctx context.Context, m *Miner, after *state.View, di *dline.Info, dl state.Deadline, skip func(state.Partition) (bitfield.BitField, error)) (*postPlan, error) {
	plan := &postPlan{di: di}
	var sets, ignored []bitfield.BitField
	for i, p := range dl.Partitions {
		skipped := bitfield.New()
		var err error
		if skip != nil {
			if skipped, err = skip(p); err != nil {
				return nil, err
			}
		}
		recovered, err := bitfield.SubtractBitField(p.Recovering, skipped)
		if err != nil {
			return nil, err
		}
		faulty, err := bitfield.MergeBitFields(p.Faulty, skipped)
		if err == nil {
			faulty, err = bitfield.SubtractBitField(faulty, recovered)
		}
		if err != nil {
			return nil, err
		}
		gone, err := bitfield.MergeBitFields(faulty, p.Terminated)
		if err != nil {
			return nil, err
		}
		if good, err := bitfield.SubtractBitField(p.All, gone); err != nil {
			return nil, err
		} else if none, err := good.IsEmpty(); err != nil || none {
			if err != nil {
				return nil, err
			}
			continue
		}
		if none, err := recovered.IsEmpty(); err != nil {
			return nil, err
		} else if !none {
			plan.recovers = true
		}
		plan.parts = append(plan.parts, miner.PoStPartition{Index: uint64(i), Skipped: skipped})
		sets, ignored = append(sets, p.All), append(ignored, gone)
	}
	if len(plan.parts) == 0 {
		return nil, nil
	}
	all, err := bitfield.MultiMerge(sets...)
	if err != nil {
		return nil, err
	}
	gone, err := bitfield.MultiMerge(ignored...)
	if err != nil {
		return nil, err
	}
	plan.challenged, err = challengedSectors(ctx, m, after, all, gone)
	return plan, err
}

// challengedSectors lists the sectors of a proof in ascending order. The first good one stands in for each that is gone
// (actors-v7-miner.md 4.9).
func challengedSectors(ctx context.Context, m *Miner, after *state.View, all, gone bitfield.BitField) ([]proof.SectorInfo, error) {
	good, err := bitfield.SubtractBitField(all, gone)
	if err != nil {
		return nil, err
	}
	infos, err := after.Sectors(ctx, m.ID, &good)
	if err != nil {
		return nil, err
	}
	known := make(map[uint64]proof.SectorInfo, len(infos))
	var standIn proof.SectorInfo
	for i, s := range infos {
		info := proof.SectorInfo{SealProof: s.SealProof, SectorNumber: s.SectorNumber, SealedCID: s.SealedCID}
		known[uint64(s.SectorNumber)] = info
		if i == 0 {
			standIn = info
		}
	}
	var out []proof.SectorInfo
	err = all.ForEach(func(n uint64) error {
		info, ok := known[n]
		if !ok {
			info = standIn
		}
		out = append(out, info)
		return nil
	})
	return out, err
}

func (w *World) postMessage(ctx context.Context, m *Miner, plan *postPlan, head *types.TipSet) (types.Message, error) {
	var entropy bytes.Buffer
	if err := m.ID.MarshalCBOR(&entropy); err != nil {
		return types.Message{}, err
	}
	rand := w.Exec.Randomness(head)
	seed, err := rand.BeaconRandomness(ctx, gscrypto.DomainSeparationTag_WindowedPoStChallengeSeed, plan.di.Challenge, entropy.Bytes())
	if err != nil {
		return types.Message{}, err
	}
	commit, err := rand.TicketRandomness(ctx, gscrypto.DomainSeparationTag_PoStChainCommit, head.Height(), nil)
	if err != nil {
		return types.Message{}, err
	}
	kind, err := plan.challenged[0].SealProof.RegisteredWindowPoStProof()
	if err != nil {
		return types.Message{}, err
	}
	answer := postProof("window", seed, m.Actor, plan.challenged)
	if plan.bad {
		answer[0] ^= 1
	}
	return call(m.ID, big.Zero(), builtin.MethodsMiner.SubmitWindowedPoSt, &miner.SubmitWindowedPoStParams{
		Deadline: plan.di.Index, Partitions: plan.parts, ChainCommitEpoch: head.Height(), ChainCommitRand: commit,
		Proofs: []proof.PoStProof{{PoStProof: kind, ProofBytes: answer}},
	}, postGasLimit)
}

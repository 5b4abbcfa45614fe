package consensus

import (
	"context"
	"errors"
	"fmt"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	gscrypto "github.com/filecoin-project/go-state-types/crypto"
	"github.com/filecoin-project/go-state-types/proof"

	"github.com/filecoin-venus/venus/beacon"
	"github.com/filecoin-venus/venus/chain"
	"github.com/filecoin-venus/venus/crypto"
	"github.com/filecoin-venus/venus/state"
	"github.com/filecoin-venus/venus/types"
)

// Producer serves the mining side: what a miner needs for a round, and the block after a win.
type Producer struct {
	store  *chain.Store
	exec   *chain.Executor
	beacon beacon.Schedule
}

// NewProducer makes a producer over an executor's chain.
func NewProducer(exec *chain.Executor, schedule beacon.Schedule) *Producer {
	return &Producer{store: exec.Store(), exec: exec, beacon: schedule}
}

// MiningBase is what a miner needs to try for a block (node-nv15.md 5.1). Power is quality-adjusted, in bytes.
type MiningBase struct {
	MinerPower        big.Int
	NetworkPower      big.Int
	Sectors           []proof.ExtendedSectorInfo
	WorkerKey         address.Address
	SectorSize        abi.SectorSize
	PrevBeaconEntry   types.BeaconEntry
	BeaconEntries     []types.BeaconEntry
	EligibleForMining bool
}

// Beacon is the entry that the round draws from.
func (b *MiningBase) Beacon() types.BeaconEntry {
	if n := len(b.BeaconEntries); n > 0 {
		return b.BeaconEntries[n-1]
	}
	return b.PrevBeaconEntry
}

// MiningBase gathers what a miner needs for a round on a base tipset. It waits for the round's beacon entries. The result
// is nil, without error, when the miner cannot win yet: it is too young for the lookback or has no active sectors there.
func (p *Producer) MiningBase(ctx context.Context, miner address.Address, round abi.ChainEpoch, base *types.TipSet) (*MiningBase, error) {
	out, then, err := p.draw(ctx, miner, round, base)
	if out == nil || err != nil {
		return nil, err
	}
	wrap := func(err error) error { return fmt.Errorf("mining base of %s for epoch %d: %w", miner, round, err) }
	random, err := WinningPoStRandomness(out.Beacon(), round, miner)
	if err != nil {
		return nil, wrap(err)
	}
	out.Sectors, err = WinningSectors(ctx, then, miner, random)
	if errors.Is(err, ErrNoSectors) {
		return nil, nil
	}
	if err != nil {
		return nil, wrap(err)
	}
	return out, nil
}

// Draw is MiningBase without the sectors: all that tells whether a miner wins a round, for those who try for many.
func (p *Producer) Draw(ctx context.Context, miner address.Address, round abi.ChainEpoch, base *types.TipSet) (*MiningBase, error) {
	out, _, err := p.draw(ctx, miner, round, base)
	return out, err
}

// draw also returns the state at the lookback.
func (p *Producer) draw(ctx context.Context, miner address.Address, round abi.ChainEpoch, base *types.TipSet) (*MiningBase, *state.View, error) {
	wrap := func(err error) error { return fmt.Errorf("mining base of %s for epoch %d: %w", miner, round, err) }
	if round <= base.Height() {
		return nil, nil, wrap(fmt.Errorf("the base tipset stands at %d already", base.Height()))
	}
	var out MiningBase
	var err error
	if out.PrevBeaconEntry, err = p.store.LatestBeaconEntry(ctx, base); err != nil {
		return nil, nil, wrap(err)
	}
	if out.BeaconEntries, err = p.beacon.Entries(ctx, round, base.Height(), out.PrevBeaconEntry); err != nil {
		return nil, nil, wrap(err)
	}
	lookback, root, err := p.exec.Lookback(ctx, base, round)
	if err != nil {
		return nil, nil, wrap(err)
	}
	then, before := p.store.View(root), p.store.View(base.ParentState())
	info, err := then.MinerInfo(ctx, miner)
	if errors.Is(err, state.ErrActorNotFound) {
		if _, err := before.Actor(ctx, miner); err == nil {
			return nil, nil, nil
		}
	}
	if err != nil {
		return nil, nil, wrap(err)
	}
	out.SectorSize = info.SectorSize
	out.MinerPower, out.NetworkPower, err = electionPower(ctx, then, miner)
	if errors.Is(err, state.ErrNoClaim) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, wrap(err)
	}
	if out.WorkerKey, err = then.ResolveToKey(ctx, info.Worker); err != nil {
		return nil, nil, wrap(err)
	}
	out.EligibleForMining, err = Eligible(ctx, p.store.View(lookback.ParentState()), before, miner, base.Height())
	if errors.Is(err, state.ErrNoClaim) || errors.Is(err, state.ErrActorNotFound) {
		out.EligibleForMining, err = false, nil
	}
	if err != nil {
		return nil, nil, wrap(err)
	}
	return &out, then, nil
}

// BlockTemplate is a won election, to be made into a block.
type BlockTemplate struct {
	Miner            address.Address
	Parents          types.TipSetKey
	Ticket           *types.Ticket
	Eproof           *types.ElectionProof
	BeaconValues     []types.BeaconEntry
	Messages         []*types.SignedMessage
	Epoch            abi.ChainEpoch
	Timestamp        uint64
	WinningPoStProof []proof.PoStProof
}

// CreateBlock makes the block of a template: it executes the parents, stores the messages and fills the header, all but the
// signature. It does not judge the template: a bad one gives a block that fails validation.
func (p *Producer) CreateBlock(ctx context.Context, t *BlockTemplate) (*types.FullBlock, error) {
	wrap := func(err error) error { return fmt.Errorf("create block of %s at epoch %d: %w", t.Miner, t.Epoch, err) }
	base, err := p.store.TipSet(ctx, t.Parents)
	if err != nil {
		return nil, wrap(err)
	}
	res, err := p.exec.Execute(ctx, base)
	if err != nil {
		return nil, wrap(err)
	}
	full := &types.FullBlock{Header: &types.BlockHeader{
		Miner: t.Miner, Ticket: t.Ticket, ElectionProof: t.Eproof, BeaconEntries: t.BeaconValues, WinPoStProof: t.WinningPoStProof,
		Parents: base.Cids(), Height: t.Epoch, Timestamp: t.Timestamp,
		ParentStateRoot: res.State, ParentMessageReceipts: res.Receipts,
	}}
	h := full.Header
	if h.ParentWeight, err = p.store.Weigh(ctx, base); err != nil {
		return nil, wrap(err)
	}
	if h.ParentBaseFee, err = p.store.NextBaseFee(ctx, base); err != nil {
		return nil, wrap(err)
	}
	aggregate, err := splitMessages(t.Messages, full)
	if err != nil {
		return nil, wrap(err)
	}
	h.BLSAggregate = &gscrypto.Signature{Type: gscrypto.SigTypeBLS, Data: aggregate}
	if h.Messages, err = chain.MessageRoot(ctx, full.BlsMessages, full.SecpkMessages); err != nil {
		return nil, wrap(err)
	}
	if err := p.store.PutFullBlock(ctx, full); err != nil {
		return nil, wrap(err)
	}
	return full, nil
}

// splitMessages fills the two lists of a block in the given order and returns the aggregate of the BLS signatures.
func splitMessages(msgs []*types.SignedMessage, into *types.FullBlock) ([]byte, error) {
	var sigs [][]byte
	for _, m := range msgs {
		switch m.Signature.Type {
		case gscrypto.SigTypeBLS:
			into.BlsMessages = append(into.BlsMessages, &m.Message)
			sigs = append(sigs, m.Signature.Data)
		case gscrypto.SigTypeSecp256k1:
			into.SecpkMessages = append(into.SecpkMessages, m)
		default:
			return nil, fmt.Errorf("message %s has a signature of type %d", m.Cid(), m.Signature.Type)
		}
	}
	agg, err := crypto.AggregateBLS(sigs)
	if err != nil {
		return nil, fmt.Errorf("aggregate signatures: %w", err)
	}
	return agg, nil
}

// BlockMsgOf lists a block's messages by CID, the form gossip carries.
func BlockMsgOf(b *types.FullBlock) *types.BlockMsg {
	out := &types.BlockMsg{Header: b.Header}
	for _, m := range b.BlsMessages {
		out.BlsMessages = append(out.BlsMessages, m.Cid())
	}
	for _, m := range b.SecpkMessages {
		out.SecpkMessages = append(out.SecpkMessages, m.Cid())
	}
	return out
}

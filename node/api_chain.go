package node

import (
	"context"
	"errors"
	"fmt"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/go-state-types/crypto"
	"github.com/ipfs/go-cid"

	"github.com/filecoin-venus/venus/api"
	apinode "github.com/filecoin-venus/venus/api/node"
	"github.com/filecoin-venus/venus/chain"
	"github.com/filecoin-venus/venus/ipld"
	"github.com/filecoin-venus/venus/types"
)

type chainAPI struct{ reader }

func (a chainAPI) ChainHead(context.Context) (*types.TipSet, error) { return a.store.Head(), nil }

func (a chainAPI) ChainGetGenesis(context.Context) (*types.TipSet, error) {
	return a.store.Genesis(), nil
}

func (a chainAPI) ChainNotify(ctx context.Context) (<-chan []*apinode.HeadChange, error) {
	sub := a.store.Subscribe()
	out := make(chan []*apinode.HeadChange)
	go func() {
		defer close(out)
		defer sub.Close()
		for {
			select {
			case changes, ok := <-sub.Changes():
				if !ok {
					if err := sub.Err(); err != nil {
						log.Warnw("a subscriber of head changes is dropped", "reason", err)
					}
					return
				}
				select {
				case out <- wireChanges(changes):
				case <-ctx.Done():
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	return out, nil
}

func wireChanges(changes []chain.HeadChange) []*apinode.HeadChange {
	out := make([]*apinode.HeadChange, len(changes))
	for i, c := range changes {
		out[i] = &apinode.HeadChange{Type: string(c.Kind), Val: c.TipSet}
	}
	return out
}

func (a chainAPI) ChainGetTipSet(ctx context.Context, key types.TipSetKey) (*types.TipSet, error) {
	return a.tipset(ctx, key)
}

func (a chainAPI) ChainGetTipSetByHeight(ctx context.Context, h abi.ChainEpoch, key types.TipSetKey) (*types.TipSet, error) {
	return a.ancestor(ctx, key, h, false)
}

func (a chainAPI) ChainGetTipSetAfterHeight(ctx context.Context, h abi.ChainEpoch, key types.TipSetKey) (*types.TipSet, error) {
	return a.ancestor(ctx, key, h, true)
}

func (a chainAPI) ChainGetBlock(ctx context.Context, c cid.Cid) (*types.BlockHeader, error) {
	h, err := a.store.Header(ctx, c)
	if errors.Is(err, chain.ErrMissingBlock) {
		return nil, api.Errorf(api.CodeNotFound, "block %s is not in this node's chain", c)
	}
	return h, err
}

func (a chainAPI) ChainGetBlockMessages(ctx context.Context, block cid.Cid) (*apinode.BlockMessages, error) {
	h, err := a.ChainGetBlock(ctx, block)
	if err != nil {
		return nil, err
	}
	full, err := a.store.FullBlock(ctx, h)
	if err != nil {
		return nil, err
	}
	out := &apinode.BlockMessages{BlsMessages: full.BlsMessages, SecpkMessages: full.SecpkMessages}
	for _, m := range (chain.BlockMessages{Bls: full.BlsMessages, Secpk: full.SecpkMessages}).All() {
		out.Cids = append(out.Cids, m.Cid())
	}
	return out, nil
}

func (a chainAPI) ChainGetMessage(ctx context.Context, c cid.Cid) (*types.Message, error) {
	m, err := a.store.Message(ctx, c)
	if errors.Is(err, chain.ErrMissingMessage) {
		return nil, api.Errorf(api.CodeNotFound, "message %s has not been seen by this node", c)
	}
	if err != nil {
		return nil, err
	}
	return m.VMMessage(), nil
}

func (a chainAPI) executed(ctx context.Context, ts *types.TipSet) ([]apinode.Message, error) {
	lists, err := a.store.ExecutionList(ctx, ts)
	if err != nil {
		return nil, err
	}
	var out []apinode.Message
	for _, b := range lists {
		for _, m := range b.All() {
			out = append(out, apinode.Message{Cid: m.Cid(), Message: m.VMMessage()})
		}
	}
	return out, nil
}

func (a chainAPI) ChainGetMessagesInTipset(ctx context.Context, key types.TipSetKey) ([]apinode.Message, error) {
	ts, err := a.tipset(ctx, key)
	if err != nil {
		return nil, err
	}
	if ts.Height() == 0 {
		return nil, nil
	}
	return a.executed(ctx, ts)
}

// parentOf loads a block and the tipset it builds on; nil for a genesis.
func (a chainAPI) parentOf(ctx context.Context, block cid.Cid) (*types.BlockHeader, *types.TipSet, error) {
	h, err := a.ChainGetBlock(ctx, block)
	if err != nil || h.Height == 0 {
		return h, nil, err
	}
	parent, err := a.store.TipSet(ctx, types.NewTipSetKey(h.Parents...))
	return h, parent, err
}

func (a chainAPI) ChainGetParentMessages(ctx context.Context, block cid.Cid) ([]apinode.Message, error) {
	_, parent, err := a.parentOf(ctx, block)
	if err != nil || parent == nil || parent.Height() == 0 {
		return nil, err
	}
	return a.executed(ctx, parent)
}

func (a chainAPI) ChainGetParentReceipts(ctx context.Context, block cid.Cid) ([]*types.MessageReceipt, error) {
	h, parent, err := a.parentOf(ctx, block)
	if err != nil || parent == nil || parent.Height() == 0 {
		return nil, err
	}
	list, err := a.store.Receipts(ctx, h.ParentMessageReceipts)
	if err != nil {
		return nil, err
	}
	out := make([]*types.MessageReceipt, len(list))
	for i := range list {
		out[i] = &list[i]
	}
	return out, nil
}

func (a chainAPI) ChainGetPath(ctx context.Context, from, to types.TipSetKey) ([]*apinode.HeadChange, error) {
	src, err := a.tipset(ctx, from)
	if err != nil {
		return nil, err
	}
	dst, err := a.tipset(ctx, to)
	if err != nil {
		return nil, err
	}
	revert, apply, err := a.store.Path(ctx, src, dst)
	if err != nil {
		return nil, err
	}
	out := make([]*apinode.HeadChange, 0, len(revert)+len(apply))
	for _, ts := range revert {
		out = append(out, &apinode.HeadChange{Type: apinode.HeadRevert, Val: ts})
	}
	for _, ts := range apply {
		out = append(out, &apinode.HeadChange{Type: apinode.HeadApply, Val: ts})
	}
	return out, nil
}

func (a chainAPI) ChainTipSetWeight(ctx context.Context, key types.TipSetKey) (big.Int, error) {
	ts, err := a.tipset(ctx, key)
	if err != nil {
		return big.Int{}, err
	}
	return a.store.Weigh(ctx, ts)
}

func (a chainAPI) ChainSetHead(ctx context.Context, key types.TipSetKey) error {
	if key.IsEmpty() {
		return api.Errorf(api.CodeInvalid, "set head: name a tipset")
	}
	ts, err := a.tipset(ctx, key)
	if err != nil {
		return err
	}
	err = a.store.SetHead(ctx, ts)
	if errors.Is(err, chain.ErrCheckpoint) {
		return api.Errorf(api.CodePrecondition, "%w", err).WithHint("lift the checkpoint first: SyncCheckpoint of the genesis")
	}
	return err
}

func (a chainAPI) ChainReadObj(ctx context.Context, c cid.Cid) ([]byte, error) {
	b, err := a.store.Blocks().Get(ctx, c)
	if errors.Is(err, ipld.ErrNotFound) {
		return nil, api.Errorf(api.CodeNotFound, "object %s is not in this node's store", c)
	}
	return b, err
}

func (a chainAPI) ChainHasObj(ctx context.Context, c cid.Cid) (bool, error) {
	return a.store.Blocks().Has(ctx, c)
}

func (a chainAPI) ChainStatObj(ctx context.Context, obj, base cid.Cid) (apinode.ObjStat, error) {
	known := map[cid.Cid]struct{}{}
	if base.Defined() {
		if err := ipld.Walk(ctx, a.store.Blocks(), func(c cid.Cid, _ []byte) error { known[c] = struct{}{}; return nil }, base); err != nil {
			return apinode.ObjStat{}, fmt.Errorf("walk base: %w", err)
		}
	}
	if !obj.Defined() {
		return apinode.ObjStat{}, api.Errorf(api.CodeInvalid, "stat: name an object")
	}
	var out apinode.ObjStat
	err := ipld.Walk(ctx, a.store.Blocks(), func(c cid.Cid, data []byte) error {
		if _, ok := known[c]; !ok {
			out.Size += uint64(len(data))
			out.Links++
		}
		return nil
	}, obj)
	if errors.Is(err, ipld.ErrNotFound) {
		return apinode.ObjStat{}, api.Errorf(api.CodeNotFound, "object %s, or a part of it, is not in this node's store: %w", obj, err)
	}
	if err != nil {
		return apinode.ObjStat{}, fmt.Errorf("walk object: %w", err)
	}
	return out, nil
}

func (a chainAPI) BlockTime(context.Context) (apinode.Duration, error) { return a.net.BlockDelay, nil }

func (a chainAPI) ProtocolParameters(context.Context) (*apinode.ProtocolParams, error) {
	out := &apinode.ProtocolParams{Network: a.net.GenesisName, BlockTime: a.net.BlockDelay}
	for _, s := range a.net.SectorSizes {
		out.SupportedSectors = append(out.SupportedSectors, apinode.SectorSizeInfo{Size: s, MaxPieceSize: abi.PaddedPieceSize(s).Unpadded()})
	}
	return out, nil
}

func (a chainAPI) ticketRandomness(ctx context.Context, key types.TipSetKey, tag crypto.DomainSeparationTag, epoch abi.ChainEpoch, entropy []byte) (abi.Randomness, error) {
	ts, err := a.tipset(ctx, key)
	if err != nil {
		return nil, err
	}
	return a.exec.Randomness(ts).TicketRandomness(ctx, tag, epoch, entropy)
}

func (a chainAPI) beaconRandomness(ctx context.Context, key types.TipSetKey, tag crypto.DomainSeparationTag, epoch abi.ChainEpoch, entropy []byte) (abi.Randomness, error) {
	ts, err := a.tipset(ctx, key)
	if err != nil {
		return nil, err
	}
	return a.exec.Randomness(ts).BeaconRandomness(ctx, tag, epoch, entropy)
}

func (a chainAPI) ChainGetRandomnessFromTickets(ctx context.Context, key types.TipSetKey, tag crypto.DomainSeparationTag, epoch abi.ChainEpoch, entropy []byte) (abi.Randomness, error) {
	return a.ticketRandomness(ctx, key, tag, epoch, entropy)
}

func (a chainAPI) ChainGetRandomnessFromBeacon(ctx context.Context, key types.TipSetKey, tag crypto.DomainSeparationTag, epoch abi.ChainEpoch, entropy []byte) (abi.Randomness, error) {
	return a.beaconRandomness(ctx, key, tag, epoch, entropy)
}

func (a chainAPI) StateGetRandomnessFromTickets(ctx context.Context, tag crypto.DomainSeparationTag, epoch abi.ChainEpoch, entropy []byte, key types.TipSetKey) (abi.Randomness, error) {
	return a.ticketRandomness(ctx, key, tag, epoch, entropy)
}

func (a chainAPI) StateGetRandomnessFromBeacon(ctx context.Context, tag crypto.DomainSeparationTag, epoch abi.ChainEpoch, entropy []byte, key types.TipSetKey) (abi.Randomness, error) {
	return a.beaconRandomness(ctx, key, tag, epoch, entropy)
}

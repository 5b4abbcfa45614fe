package node

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/ipfs/go-cid"

	"github.com/filecoin-venus/venus/api"
	apinode "github.com/filecoin-venus/venus/api/node"
	"github.com/filecoin-venus/venus/chain"
	"github.com/filecoin-venus/venus/chainsync"
	"github.com/filecoin-venus/venus/consensus"
	"github.com/filecoin-venus/venus/types"
)

type syncAPI struct {
	reader
	sync     *chainsync.Syncer
	validate *consensus.Validator
	own      *ownBlocks
	gossip   *gossip
}

func (a syncAPI) SyncState(context.Context) (*apinode.SyncState, error) {
	st := a.sync.State()
	stage := map[chainsync.Stage]int{
		chainsync.Idle: apinode.StageIdle, chainsync.FetchingHeaders: apinode.StageHeaders, chainsync.FetchingMessages: apinode.StageMessages,
		chainsync.Complete: apinode.StageComplete, chainsync.Failed: apinode.StageError,
	}[st.Stage]
	return &apinode.SyncState{ActiveSyncs: []apinode.ActiveSync{{
		Base: st.Base, Target: st.Head, Stage: stage, Height: st.Height, Start: st.Start, End: st.End, Message: st.Message,
	}}}, nil
}

// ownBlocks remembers what our miners submitted, as a last guard behind
// venus-miner's own record: one miner, one block a height.
type ownBlocks struct {
	mu   sync.Mutex
	seen map[ownKey]cid.Cid
}

type ownKey struct {
	miner  address.Address
	height int64
}

// ownMemory bounds the heights remembered.
const ownMemory = 2048

// claim notes a block before it is judged, so that of two at once only one goes
// on.
func (o *ownBlocks) claim(h *types.BlockHeader) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	k := ownKey{h.Miner, int64(h.Height)}
	if old, ok := o.seen[k]; ok && old != h.Cid() {
		return api.Errorf(api.CodeConflict, "miner %s already submitted block %s at height %d: a second one would be slashed", h.Miner, old, h.Height)
	}
	o.seen[k] = h.Cid()
	return nil
}

// release forgets a block that was refused for good: nobody else has seen it,
// and a stranger's forgery must not keep the miner from its height.
func (o *ownBlocks) release(h *types.BlockHeader) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if k := (ownKey{h.Miner, int64(h.Height)}); o.seen[k] == h.Cid() {
		delete(o.seen, k)
	}
}

// keep forgets heights far below a block that was accepted; one that was not
// could claim any height.
func (o *ownBlocks) keep(h *types.BlockHeader) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for key := range o.seen {
		if key.height < int64(h.Height)-ownMemory {
			delete(o.seen, key)
		}
	}
}

// SyncSubmitBlock judges the block like any other, makes it part of our chain
// and then publishes it: what we would refuse we do not send.
func (a syncAPI) SyncSubmitBlock(ctx context.Context, b *types.BlockMsg) error {
	if b == nil || b.Header == nil {
		return api.Errorf(api.CodeInvalid, "submit block: no block")
	}
	full, err := a.store.AssembleBlock(ctx, b)
	if err != nil {
		return fmt.Errorf("submit block %s: %w", b.Cid(), err)
	}
	root, err := chain.MessageRootOf(ctx, b.BlsMessages, b.SecpkMessages)
	if err != nil {
		return err
	}
	if root != b.Header.Messages {
		return api.Errorf(api.CodeInvalid, "submit block %s: its messages make the root %s, the header says %s", b.Cid(), root, b.Header.Messages)
	}
	if err := a.own.claim(b.Header); err != nil {
		return err
	}
	if err := a.sync.Submit(ctx, full); err != nil {
		_, broken := consensus.IsReject(err)
		if broken || errors.Is(err, chainsync.ErrBad) || errors.Is(err, chainsync.ErrFuture) {
			a.own.release(b.Header)
		}
		if broken || errors.Is(err, chainsync.ErrBad) {
			return api.Errorf(api.CodeInvalid, "%w", err) // for good: the miner need not send it again
		}
		return err
	}
	a.own.keep(b.Header)
	return a.gossip.publishBlock(ctx, b)
}

func (a syncAPI) SyncIncomingBlocks(ctx context.Context) (<-chan *types.BlockHeader, error) {
	c, stop := a.sync.Incoming()
	context.AfterFunc(ctx, stop)
	return c, nil
}

func (a syncAPI) SyncCheckBad(_ context.Context, c cid.Cid) (string, error) {
	reason, _ := a.sync.Bad(c)
	return reason, nil
}

func (a syncAPI) SyncMarkBad(_ context.Context, c cid.Cid) error {
	if !c.Defined() {
		return api.Errorf(api.CodeInvalid, "mark bad: name a block")
	}
	a.sync.MarkBad(c, "marked by the operator")
	return nil
}

func (a syncAPI) SyncUnmarkBad(_ context.Context, c cid.Cid) error {
	if !c.Defined() {
		return api.Errorf(api.CodeInvalid, "unmark bad: name a block")
	}
	a.sync.UnmarkBad(c)
	return nil
}

func (a syncAPI) SyncUnmarkAllBad(context.Context) error {
	a.sync.UnmarkBad(cid.Undef)
	return nil
}

func (a syncAPI) SyncCheckpoint(ctx context.Context, key types.TipSetKey) error {
	if key.IsEmpty() {
		return api.Errorf(api.CodeInvalid, "checkpoint: name a tipset")
	}
	ts, err := a.tipset(ctx, key)
	if err != nil {
		return err
	}
	err = a.store.SetCheckpoint(ctx, ts)
	if errors.Is(err, chain.ErrCheckpoint) {
		return api.Errorf(api.CodePrecondition, "%w", err).WithHint("make a tipset above it the head first (ChainSetHead)")
	}
	return err
}

func (a syncAPI) SyncValidateTipset(ctx context.Context, key types.TipSetKey) (bool, error) {
	ts, err := a.tipset(ctx, key)
	if err != nil {
		return false, err
	}
	if ts.Key() == a.store.Genesis().Key() {
		return true, nil // what the network starts from follows no rules but its own
	}
	for _, h := range ts.Blocks() {
		full, err := a.store.FullBlock(ctx, h)
		if err != nil {
			return false, err
		}
		if err := a.validate.ValidateBlock(ctx, full); err != nil {
			return false, err
		}
	}
	return true, nil
}

func (a syncAPI) NodeStatus(ctx context.Context, withChain bool) (apinode.NodeStatus, error) {
	head := a.store.Head()
	behind := a.clock.Now().Sub(time.Unix(int64(head.MinTimestamp()), 0))
	out := apinode.NodeStatus{SyncStatus: apinode.NodeSyncStatus{Epoch: uint64(head.Height()), Behind: uint64(max(behind, 0) / a.net.BlockDelay)}}
	out.PeerStatus = a.gossip.peers()
	if !withChain {
		return out, nil
	}
	ts, blocks := head, 0
	for i := 1; ts.Height() > 0 && i <= int(a.net.Finality); i++ {
		blocks += len(ts.Blocks())
		if i <= 100 {
			out.ChainStatus.BlocksPerTipsetLast100 = float64(blocks) / float64(i)
		}
		out.ChainStatus.BlocksPerTipsetLastFinality = float64(blocks) / float64(i)
		var err error
		if ts, err = a.store.Parent(ctx, ts); err != nil {
			return out, err
		}
	}
	return out, nil
}

package sim

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-bitfield"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	gscrypto "github.com/filecoin-project/go-state-types/crypto"
	"github.com/filecoin-project/go-state-types/dline"
	"github.com/ipfs/go-cid"

	"github.com/filecoin-venus/venus/api"
	nodeapi "github.com/filecoin-venus/venus/api/node"
	"github.com/filecoin-venus/venus/chain"
	"github.com/filecoin-venus/venus/consensus"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/state"
	"github.com/filecoin-venus/venus/types"
)

// errDead is what calls to a dead node meet.
var errDead = api.Errorf(api.CodeUnavailable, "connection refused")

// fleetNode is a node as its clients see it: it stores and judges blocks with all others, and has a head of its own, of the
// blocks that reached it.
type fleetNode struct {
	f    *fleet
	name string

	mu     sync.Mutex
	dead   bool
	late   time.Duration // what blocks take to it beyond the usual
	heard  map[cid.Cid]bool
	groups map[string][]*types.BlockHeader // of one height and parents
	head   *types.TipSet
	weight big.Int
	moved  chan struct{}
}

func newFleetNode(f *fleet, name string) *fleetNode {
	return &fleetNode{
		f: f, name: name, heard: map[cid.Cid]bool{}, groups: map[string][]*types.BlockHeader{}, head: f.w.Store.Genesis(), weight: big.Zero(), moved: make(chan struct{}),
	}
}

// hear takes a block from a peer, and asks for the ancestors that it lacks.
func (n *fleetNode) hear(ctx context.Context, h *types.BlockHeader) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.dead {
		n.take(ctx, h)
	}
}

func (n *fleetNode) take(ctx context.Context, h *types.BlockHeader) {
	if n.heard[h.Cid()] || h.Height == 0 {
		return
	}
	n.heard[h.Cid()] = true
	for _, p := range h.Parents {
		if !n.heard[p] {
			parent, err := n.f.w.Store.Header(ctx, p)
			n.f.must(err)
			n.take(ctx, parent)
		}
	}
	group := fmt.Sprint(h.Height, types.NewTipSetKey(h.Parents...))
	n.groups[group] = append(n.groups[group], h)
	ts, err := types.NewTipSet(n.groups[group])
	n.f.must(err)
	weight, err := n.f.w.Store.Weigh(ctx, ts)
	n.f.must(err)
	if chain.Prefers(ts, weight, n.head, n.weight) {
		n.head, n.weight = ts, weight
		close(n.moved)
		n.moved = make(chan struct{})
	}
}

// set kills or revives the node; one that comes back fetches what it missed.
func (n *fleetNode) set(ctx context.Context, dead bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.dead == dead {
		return
	}
	n.dead = dead
	for _, h := range n.f.w.Store.Head().Blocks() {
		if !dead {
			n.take(ctx, h)
		}
	}
	close(n.moved)
	n.moved = make(chan struct{})
}

func (n *fleetNode) alive() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.dead {
		return errDead
	}
	return nil
}

// notify tells of heads, at most one in a while.
func (n *fleetNode) notify(ctx context.Context, pause time.Duration) (<-chan []*nodeapi.HeadChange, error) {
	if err := n.alive(); err != nil {
		return nil, err
	}
	out := make(chan []*nodeapi.HeadChange)
	go func() {
		defer close(out)
		var last types.TipSetKey
		for {
			n.mu.Lock()
			head, moved, dead := n.head, n.moved, n.dead
			n.mu.Unlock()
			if dead {
				return
			}
			if head.Key() != last {
				select {
				case out <- []*nodeapi.HeadChange{{Type: nodeapi.HeadApply, Val: head}}:
					last = head.Key()
				case <-ctx.Done():
					return
				}
			}
			select {
			case <-moved:
			case <-ctx.Done():
				return
			}
			if clock.Real().Sleep(ctx, pause) != nil {
				return
			}
		}
	}()
	return out, nil
}

// ChainNotify implements mining.HeadSource.
func (n *fleetNode) ChainNotify(ctx context.Context) (<-chan []*nodeapi.HeadChange, error) {
	return n.notify(ctx, 0)
}

// ChainHead implements mining.HeadSource.
func (n *fleetNode) ChainHead(context.Context) (*types.TipSet, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.dead {
		return nil, errDead
	}
	return n.head, nil
}

// tipset finds a tipset that the node knows; the head for the empty key.
func (n *fleetNode) tipset(ctx context.Context, k types.TipSetKey) (*types.TipSet, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.dead {
		return nil, errDead
	}
	if k.IsEmpty() {
		return n.head, nil
	}
	for _, c := range k.Cids() {
		if !n.heard[c] && k != n.f.w.Store.Genesis().Key() {
			return nil, api.Errorf(api.CodeNotFound, "tipset %s not found", k)
		}
	}
	return n.f.w.Store.TipSet(ctx, k)
}

func (n *fleetNode) view(ctx context.Context, k types.TipSetKey) (*state.View, *types.TipSet, error) {
	ts, err := n.tipset(ctx, k)
	if err != nil {
		return nil, nil, err
	}
	v, err := n.f.after(ctx, ts)
	return v, ts, err
}

// ChainTipSetWeight implements mining.HeadSource.
func (n *fleetNode) ChainTipSetWeight(ctx context.Context, k types.TipSetKey) (big.Int, error) {
	ts, err := n.tipset(ctx, k)
	if err != nil {
		return big.Int{}, err
	}
	return n.f.w.Store.Weigh(ctx, ts)
}

// BeaconGetEntry implements mining.Beacon.
func (n *fleetNode) BeaconGetEntry(ctx context.Context, epoch abi.ChainEpoch) (*types.BeaconEntry, error) {
	if err := n.alive(); err != nil {
		return nil, err
	}
	src := n.f.schedule.At(epoch)
	e, err := src.Entry(ctx, src.MaxRoundForEpoch(epoch))
	return &e, err
}

// MinerGetBaseInfo implements mining.Producer.
func (n *fleetNode) MinerGetBaseInfo(ctx context.Context, m address.Address, epoch abi.ChainEpoch, k types.TipSetKey) (*nodeapi.MiningBaseInfo, error) {
	ts, err := n.tipset(ctx, k)
	if err != nil {
		return nil, err
	}
	b, err := n.f.producer.MiningBase(ctx, m, epoch, ts)
	if err != nil || b == nil {
		return nil, err
	}
	return &nodeapi.MiningBaseInfo{
		MinerPower: b.MinerPower, NetworkPower: b.NetworkPower, Sectors: b.Sectors, WorkerKey: b.WorkerKey, SectorSize: b.SectorSize,
		PrevBeaconEntry: b.PrevBeaconEntry, BeaconEntries: b.BeaconEntries, EligibleForMining: b.EligibleForMining,
	}, nil
}

// MpoolSelects implements mining.Producer: each block of one answer gets other messages.
func (n *fleetNode) MpoolSelects(ctx context.Context, k types.TipSetKey, qualities []float64) ([][]*types.SignedMessage, error) {
	v, _, err := n.view(ctx, k)
	if err != nil {
		return nil, err
	}
	return n.f.pick(ctx, v, len(qualities))
}

// MinerCreateBlock implements mining.Producer.
func (n *fleetNode) MinerCreateBlock(ctx context.Context, t *nodeapi.BlockTemplate) (*types.BlockMsg, error) {
	if _, err := n.tipset(ctx, t.Parents); err != nil {
		return nil, err
	}
	full, err := n.f.producer.CreateBlock(ctx, &consensus.BlockTemplate{
		Miner: t.Miner, Parents: t.Parents, Ticket: t.Ticket, Eproof: t.Eproof, BeaconValues: t.BeaconValues, Messages: t.Messages,
		Epoch: t.Epoch, Timestamp: t.Timestamp, WinningPoStProof: t.WinningPoStProof,
	})
	if err != nil {
		return nil, err
	}
	return consensus.BlockMsgOf(full), nil
}

// SyncSubmitBlock implements mining.Producer: the block is judged by all rules, then stored and told to everybody.
func (n *fleetNode) SyncSubmitBlock(ctx context.Context, b *types.BlockMsg) error {
	if _, err := n.tipset(ctx, types.NewTipSetKey(b.Header.Parents...)); err != nil {
		return err
	}
	if err := n.f.admit(ctx, b); err != nil {
		return api.Errorf(api.CodeInvalid, "block refused: %w", err)
	}
	n.hear(ctx, b.Header)
	return nil
}

// ChainGetTipSet implements mining.Past.
func (n *fleetNode) ChainGetTipSet(ctx context.Context, k types.TipSetKey) (*types.TipSet, error) {
	return n.tipset(ctx, k)
}

// ChainGetTipSetByHeight implements mining.Past.
func (n *fleetNode) ChainGetTipSetByHeight(ctx context.Context, h abi.ChainEpoch, k types.TipSetKey) (*types.TipSet, error) {
	ts, err := n.tipset(ctx, k)
	if err != nil {
		return nil, err
	}
	return n.f.w.Store.AtOrBefore(ctx, ts, h)
}

// SyncState implements mining.Past.
func (n *fleetNode) SyncState(context.Context) (*nodeapi.SyncState, error) {
	return new(nodeapi.SyncState), n.alive()
}

// StateMinerWorkerAddress implements mining.Registry.
func (n *fleetNode) StateMinerWorkerAddress(ctx context.Context, m address.Address, k types.TipSetKey) (address.Address, error) {
	v, _, err := n.view(ctx, k)
	if err != nil {
		return address.Undef, err
	}
	return v.MinerWorkerKey(ctx, m)
}

// StateLookupID implements mining.Registry.
func (n *fleetNode) StateLookupID(ctx context.Context, a address.Address, k types.TipSetKey) (address.Address, error) {
	v, _, err := n.view(ctx, k)
	if err != nil {
		return address.Undef, err
	}
	return v.LookupID(ctx, a)
}

// sealerNode is a node as a sealer sees it, which looks at heads twice in an epoch.
type sealerNode struct{ *fleetNode }

// ChainNotify implements heads.Chain.
func (n sealerNode) ChainNotify(ctx context.Context) (<-chan []*nodeapi.HeadChange, error) {
	return n.notify(ctx, n.f.w.Net.BlockDelay/2)
}

// StateMinerInfo implements messages.Chain.
func (n sealerNode) StateMinerInfo(ctx context.Context, m address.Address, k types.TipSetKey) (nodeapi.MinerInfo, error) {
	v, _, err := n.view(ctx, k)
	if err != nil {
		return nodeapi.MinerInfo{}, err
	}
	info, err := v.MinerInfo(ctx, m)
	if err != nil {
		return nodeapi.MinerInfo{}, err
	}
	return nodeapi.MinerInfo{Owner: info.Owner, Worker: info.Worker, ControlAddresses: info.ControlAddresses}, nil
}

// StateAccountKey implements messages.Chain.
func (n sealerNode) StateAccountKey(ctx context.Context, a address.Address, k types.TipSetKey) (address.Address, error) {
	v, _, err := n.view(ctx, k)
	if err != nil {
		return address.Undef, err
	}
	return v.ResolveToKey(ctx, a)
}

// WalletBalance implements messages.Chain.
func (n sealerNode) WalletBalance(ctx context.Context, a address.Address) (abi.TokenAmount, error) {
	v, _, err := n.view(ctx, types.EmptyTSK)
	if err != nil {
		return big.Zero(), err
	}
	return v.Balance(ctx, a)
}

// StateCall implements messages.Chain. Window proofs and declarations are not tried before they are sent.
func (n sealerNode) StateCall(context.Context, *types.Message, types.TipSetKey) (*nodeapi.InvocResult, error) {
	return nil, api.Errorf(api.CodeUnsupported, "nobody asks this")
}

// StateMinerProvingDeadline implements wdpost.Deadlines.
func (n sealerNode) StateMinerProvingDeadline(ctx context.Context, m address.Address, k types.TipSetKey) (*dline.Info, error) {
	v, ts, err := n.view(ctx, k)
	if err != nil {
		return nil, err
	}
	return v.ProvingDeadline(ctx, m, ts.Height())
}

// StateMinerDeadlines implements wdpost.Deadlines.
func (n sealerNode) StateMinerDeadlines(ctx context.Context, m address.Address, k types.TipSetKey) ([]nodeapi.Deadline, error) {
	v, _, err := n.view(ctx, k)
	if err != nil {
		return nil, err
	}
	list, err := v.Deadlines(ctx, m)
	out := make([]nodeapi.Deadline, len(list))
	for i, d := range list {
		out[i] = nodeapi.Deadline{PostSubmissions: d.PostSubmissions, DisputableProofCount: d.DisputableProofs}
	}
	return out, err
}

// StateMinerPartitions implements wdpost.Deadlines.
func (n sealerNode) StateMinerPartitions(ctx context.Context, m address.Address, index uint64, k types.TipSetKey) ([]nodeapi.Partition, error) {
	v, _, err := n.view(ctx, k)
	if err != nil {
		return nil, err
	}
	d, err := v.Deadline(ctx, m, index)
	out := make([]nodeapi.Partition, len(d.Partitions))
	for i, p := range d.Partitions {
		out[i] = nodeapi.Partition{AllSectors: p.All, FaultySectors: p.Faulty, RecoveringSectors: p.Recovering, LiveSectors: p.Live, ActiveSectors: p.Active}
	}
	return out, err
}

// StateMinerSectors implements wdpost.Deadlines.
func (n sealerNode) StateMinerSectors(ctx context.Context, m address.Address, only *bitfield.BitField, k types.TipSetKey) ([]*nodeapi.SectorOnChainInfo, error) {
	v, _, err := n.view(ctx, k)
	if err != nil {
		return nil, err
	}
	list, err := v.Sectors(ctx, m, only)
	out := make([]*nodeapi.SectorOnChainInfo, len(list))
	for i, s := range list {
		out[i] = &nodeapi.SectorOnChainInfo{SectorNumber: s.SectorNumber, SealProof: s.SealProof, SealedCID: s.SealedCID, Activation: s.Activation, Expiration: s.Expiration}
	}
	return out, err
}

// StateGetRandomnessFromTickets implements wdpost.Randomness.
func (n sealerNode) StateGetRandomnessFromTickets(ctx context.Context, tag gscrypto.DomainSeparationTag, e abi.ChainEpoch, entropy []byte, k types.TipSetKey) (abi.Randomness, error) {
	ts, err := n.tipset(ctx, k)
	if err != nil {
		return nil, err
	}
	return n.f.w.Exec.Randomness(ts).TicketRandomness(ctx, tag, e, entropy)
}

// StateGetRandomnessFromBeacon implements wdpost.Randomness.
func (n sealerNode) StateGetRandomnessFromBeacon(ctx context.Context, tag gscrypto.DomainSeparationTag, e abi.ChainEpoch, entropy []byte, k types.TipSetKey) (abi.Randomness, error) {
	ts, err := n.tipset(ctx, k)
	if err != nil {
		return nil, err
	}
	return n.f.w.Exec.Randomness(ts).BeaconRandomness(ctx, tag, e, entropy)
}

var errNotThere = errors.New("the machine is off")

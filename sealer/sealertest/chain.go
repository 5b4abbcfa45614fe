// Package sealertest is a small model of everything around a sealer, for tests
// only: a chain with one miner, a messager, and a prover that proves nothing.
//
// Start at NewChain and Chain.Tick. The model keeps the rules that a sealer can
// get wrong (numbers used once, challenge delays, windows, fault cutoffs, reorgs)
// and none of the rest.
package sealertest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-bitfield"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/go-state-types/crypto"
	"github.com/filecoin-project/go-state-types/dline"
	"github.com/filecoin-project/go-state-types/exitcode"
	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/api/node"
	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/types"
)

// Actors of the model.
const (
	MinerID  = 1000
	WorkerID = 101
	OwnerID  = 100
)

// Miner is the address of the model's miner.
func Miner() address.Address { return must(address.NewIDAddress(MinerID)) }

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// Cid makes a CID out of a name.
func Cid(name string) cid.Cid {
	return cid.NewCidV1(cid.Raw, must(multihash.Sum([]byte(name), multihash.BLAKE2B_MIN+31, -1)))
}

// state is what a reorg takes back.
type state struct {
	pre       map[abi.SectorNumber]node.SectorPreCommitOnChainInfo
	sectors   map[abi.SectorNumber]node.SectorOnChainInfo
	place     map[abi.SectorNumber]node.SectorLocation
	allocated map[abi.SectorNumber]bool
	faulty    map[abi.SectorNumber]bool
	recover   map[abi.SectorNumber]bool
	active    map[abi.SectorNumber]bool
	ended     map[abi.SectorNumber]bool
	posted    map[uint64]map[uint64]bool
	landed    map[string]receipt
	deals     map[abi.DealID]node.MarketDeal
}

func (s state) clone() state {
	c := state{
		pre: maps.Clone(s.pre), sectors: maps.Clone(s.sectors), place: maps.Clone(s.place), allocated: maps.Clone(s.allocated), faulty: maps.Clone(s.faulty),
		recover: maps.Clone(s.recover), active: maps.Clone(s.active), ended: maps.Clone(s.ended), landed: maps.Clone(s.landed), deals: maps.Clone(s.deals), posted: map[uint64]map[uint64]bool{},
	}
	for d, p := range s.posted {
		c.posted[d] = maps.Clone(p)
	}
	return c
}

// Chain is the model. Its exported fields, and its Messager's, are changed inside
// Change.
type Chain struct {
	Network params.Network
	// SectorSize is that of the miner, 2 KiB unless it is set to another of the network's before anybody asks.
	SectorSize abi.SectorSize
	// Balance is what the worker has.
	Balance abi.TokenAmount
	// Down makes every call fail.
	Down bool
	// Refuse names sectors whose pre-commits fail.
	Refuse map[abi.SectorNumber]bool
	// AnyProof has the model take real proofs, which it cannot judge: the test does.
	// Then nobody is faulty either.
	AnyProof bool
	// AnyWindow is AnyProof for window proofs alone, with deadlines that are missed.
	AnyWindow bool
	// FirstDeadline is where new sectors are proven from, two a partition.
	FirstDeadline uint64

	mu     sync.Mutex
	now    state
	past   []state // by height
	heads  []*types.TipSet
	fork   int
	subs   []chan []*node.HeadChange
	msgs   *Messager
	missed int
}

// NewChain starts a chain at a height.
func NewChain(n params.Network, height abi.ChainEpoch, at time.Time) *Chain {
	c := &Chain{Network: n, SectorSize: 2 << 10, Balance: types.NewFIL(100).Atto(), now: state{
		pre: map[abi.SectorNumber]node.SectorPreCommitOnChainInfo{}, sectors: map[abi.SectorNumber]node.SectorOnChainInfo{}, place: map[abi.SectorNumber]node.SectorLocation{},
		allocated: map[abi.SectorNumber]bool{}, faulty: map[abi.SectorNumber]bool{}, recover: map[abi.SectorNumber]bool{}, active: map[abi.SectorNumber]bool{}, ended: map[abi.SectorNumber]bool{},
		posted: map[uint64]map[uint64]bool{}, landed: map[string]receipt{}, deals: map[abi.DealID]node.MarketDeal{},
	}}
	c.msgs = &Messager{chain: c, by: map[string]*queued{}}
	c.heads = []*types.TipSet{c.tipset(height, cid.Undef, at)}
	c.past = []state{c.now.clone()}
	return c
}

// Change runs f while nobody looks at the model.
func (c *Chain) Change(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
}

// Messager is the messager of this chain.
func (c *Chain) Messager() *Messager { return c.msgs }

func (c *Chain) tipset(h abi.ChainEpoch, parent cid.Cid, at time.Time) *types.TipSet {
	parents := []cid.Cid{Cid("genesis")}
	if parent.Defined() {
		parents = []cid.Cid{parent}
	}
	ticket := binary.BigEndian.AppendUint64([]byte{byte(c.fork)}, uint64(h))
	return must(types.NewTipSet([]*types.BlockHeader{{
		Miner: Miner(), Ticket: &types.Ticket{VRFProof: ticket}, ElectionProof: &types.ElectionProof{}, Parents: parents, ParentWeight: big.NewInt(int64(h)), Height: h,
		ParentStateRoot: Cid("s"), ParentMessageReceipts: Cid("r"), Messages: Cid("m"), Timestamp: uint64(at.Unix()), ParentBaseFee: big.NewInt(100),
	}}))
}

func (c *Chain) head() *types.TipSet { return c.heads[len(c.heads)-1] }

// Height is the head's.
func (c *Chain) Height() abi.ChainEpoch {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.head().Height()
}

// Missed counts the partitions that closed unproven.
func (c *Chain) Missed() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.missed
}

// Tick appends one epoch: queued messages are executed, ended deadlines judged.
func (c *Chain) Tick(at time.Time) {
	c.mu.Lock()
	h := c.head().Height() + 1
	c.msgs.execute(c, h)
	c.cron(h)
	c.heads = append(c.heads, c.tipset(h, c.head().Cids()[0], at))
	c.past = append(c.past, c.now.clone())
	change := []*node.HeadChange{{Type: node.HeadApply, Val: c.head()}}
	c.publish(change)
	c.mu.Unlock()
}

// Reorg takes n epochs back and replaces them by as many empty ones; messages
// that had landed in them wait again.
func (c *Chain) Reorg(n int, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fork++
	var change []*node.HeadChange
	for range n {
		change = append(change, &node.HeadChange{Type: node.HeadRevert, Val: c.head()})
		c.heads, c.past = c.heads[:len(c.heads)-1], c.past[:len(c.past)-1]
	}
	c.now = c.past[len(c.past)-1].clone()
	for range n {
		h := c.head().Height() + 1
		c.cron(h)
		c.heads = append(c.heads, c.tipset(h, c.head().Cids()[0], at))
		c.past = append(c.past, c.now.clone())
		change = append(change, &node.HeadChange{Type: node.HeadApply, Val: c.head()})
	}
	c.publish(change)
}

func (c *Chain) publish(change []*node.HeadChange) {
	for _, s := range c.subs {
		select {
		case s <- change:
		default: // a reader that is gone
		}
	}
}

// deadline is the one open at a height; the proving period starts at 0.
func (c *Chain) deadline(h abi.ChainEpoch) *dline.Info {
	w := c.Network.ChallengeWindow
	start := h - h%c.Network.ProvingPeriod()
	return dline.NewInfo(start, uint64((h-start)/w), h, params.PostDeadlines, c.Network.ProvingPeriod(), w, params.PostChallengeLookback, 70)
}

// cron judges the deadline that ends with epoch h.
func (c *Chain) cron(h abi.ChainEpoch) {
	d := c.deadline(h)
	if c.AnyProof || d.Last() != h {
		return
	}
	for n, s := range c.now.sectors {
		if c.now.place[n].Deadline == d.Index && s.Expiration <= h {
			c.end(n)
		}
	}
	for p, list := range c.partitions(d.Index) {
		if c.now.posted[d.Index][uint64(p)] {
			continue
		}
		lost := false
		for _, n := range list {
			if c.now.ended[n] {
				continue
			}
			if !c.now.faulty[n] || c.now.recover[n] {
				lost = true
			}
			c.now.faulty[n], c.now.active[n] = true, false
			delete(c.now.recover, n)
		}
		if lost {
			c.missed++
		}
	}
	delete(c.now.posted, d.Index)
}

// partitions lists the sectors of a deadline, by partition.
func (c *Chain) partitions(deadline uint64) [][]abi.SectorNumber {
	var out [][]abi.SectorNumber
	for n, loc := range c.now.place {
		if loc.Deadline != deadline {
			continue
		}
		for uint64(len(out)) <= loc.Partition {
			out = append(out, nil)
		}
		out[loc.Partition] = append(out[loc.Partition], n)
	}
	for _, p := range out {
		slices.Sort(p)
	}
	return out
}

var errDown = api.Errorf(api.CodeUnavailable, "the node is away")

// enter takes the lock; the returned function gives it back, also after an error.
func (c *Chain) enter() (func(), error) {
	c.mu.Lock()
	if c.Down {
		return c.mu.Unlock, errDown
	}
	return c.mu.Unlock, nil
}

// ChainHead implements the node's method.
func (c *Chain) ChainHead(context.Context) (*types.TipSet, error) {
	done, err := c.enter()
	defer done()
	if err != nil {
		return nil, err
	}
	return c.head(), nil
}

// ChainNotify implements the node's method.
func (c *Chain) ChainNotify(ctx context.Context) (<-chan []*node.HeadChange, error) {
	done, err := c.enter()
	defer done()
	if err != nil {
		return nil, err
	}
	ch := make(chan []*node.HeadChange, 64)
	ch <- []*node.HeadChange{{Type: node.HeadCurrent, Val: c.head()}}
	c.subs = append(c.subs, ch)
	context.AfterFunc(ctx, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.subs = slices.DeleteFunc(c.subs, func(o chan []*node.HeadChange) bool { return o == ch })
		close(ch)
	})
	return ch, nil
}

// StateMinerInfo implements the node's method.
func (c *Chain) StateMinerInfo(context.Context, address.Address, types.TipSetKey) (node.MinerInfo, error) {
	done, err := c.enter()
	defer done()
	return node.MinerInfo{
		Owner: must(address.NewIDAddress(OwnerID)), Worker: must(address.NewIDAddress(WorkerID)), SectorSize: c.SectorSize, WindowPoStPartitionSectors: 2,
		WindowPoStProofType: must(must(c.Network.SealProof(c.SectorSize)).RegisteredWindowPoStProof()),
	}, err
}

// StateCall implements the node's method for messages to the miner.
func (c *Chain) StateCall(_ context.Context, m *types.Message, _ types.TipSetKey) (*node.InvocResult, error) {
	done, err := c.enter()
	defer done()
	if err != nil {
		return nil, err
	}
	before := c.now
	c.now = before.clone()
	err = c.run(m, c.head().Height()+1)
	c.now = before
	out := &node.InvocResult{MsgRct: &types.MessageReceipt{}}
	if err != nil {
		out.MsgRct.ExitCode, out.Error = exitcode.ErrIllegalArgument, err.Error()
	}
	return out, nil
}

// StateAccountKey implements the node's method; keys are the addresses themselves.
func (c *Chain) StateAccountKey(_ context.Context, a address.Address, _ types.TipSetKey) (address.Address, error) {
	done, err := c.enter()
	defer done()
	return a, err
}

// WalletBalance implements the node's method.
func (c *Chain) WalletBalance(_ context.Context, a address.Address) (abi.TokenAmount, error) {
	done, err := c.enter()
	defer done()
	if err != nil || a != must(address.NewIDAddress(WorkerID)) {
		return big.Zero(), err
	}
	return c.Balance, nil
}

// draw depends on the tag, the epoch, the fork that the epoch lies on, and the entropy.
func (c *Chain) draw(tag crypto.DomainSeparationTag, epoch abi.ChainEpoch, entropy []byte, withFork bool) (abi.Randomness, error) {
	if epoch > c.head().Height() {
		return nil, fmt.Errorf("epoch %d is in the future", epoch)
	}
	fork := byte(0)
	if first := c.heads[0].Height(); withFork && epoch >= first {
		fork = c.heads[epoch-first].Blocks()[0].Ticket.VRFProof[0]
	}
	return abi.Randomness(Cid(fmt.Sprint(tag, epoch, entropy, fork)).Hash()[:32]), nil
}

// StateGetRandomnessFromTickets implements the node's method; a reorg changes it.
func (c *Chain) StateGetRandomnessFromTickets(_ context.Context, tag crypto.DomainSeparationTag, epoch abi.ChainEpoch, entropy []byte, _ types.TipSetKey) (abi.Randomness, error) {
	done, err := c.enter()
	defer done()
	if err != nil {
		return nil, err
	}
	return c.draw(tag, epoch, entropy, true)
}

// StateGetRandomnessFromBeacon implements the node's method; a reorg does not change it.
func (c *Chain) StateGetRandomnessFromBeacon(_ context.Context, tag crypto.DomainSeparationTag, epoch abi.ChainEpoch, entropy []byte, _ types.TipSetKey) (abi.Randomness, error) {
	done, err := c.enter()
	defer done()
	if err != nil {
		return nil, err
	}
	return c.draw(tag, epoch, entropy, false)
}

// StateMinerSectorAllocated implements the node's method.
func (c *Chain) StateMinerSectorAllocated(_ context.Context, _ address.Address, n abi.SectorNumber, _ types.TipSetKey) (bool, error) {
	done, err := c.enter()
	defer done()
	return c.now.allocated[n], err
}

// StateSectorPreCommitInfo implements the node's method.
func (c *Chain) StateSectorPreCommitInfo(_ context.Context, _ address.Address, n abi.SectorNumber, _ types.TipSetKey) (node.SectorPreCommitOnChainInfo, error) {
	done, err := c.enter()
	defer done()
	p, ok := c.now.pre[n]
	if err == nil && !ok {
		err = api.Errorf(api.CodeNotFound, "no pre-commit of sector %d", n)
	}
	return p, err
}

// StateSectorGetInfo implements the node's method.
func (c *Chain) StateSectorGetInfo(_ context.Context, _ address.Address, n abi.SectorNumber, _ types.TipSetKey) (*node.SectorOnChainInfo, error) {
	done, err := c.enter()
	defer done()
	if s, ok := c.now.sectors[n]; ok && err == nil {
		return &s, nil
	}
	return nil, err
}

// StateMinerPreCommitDepositForPower implements the node's method.
func (c *Chain) StateMinerPreCommitDepositForPower(context.Context, address.Address, node.SectorPreCommitInfo, types.TipSetKey) (abi.TokenAmount, error) {
	done, err := c.enter()
	defer done()
	return types.NewFIL(1).Atto(), err
}

// StateMinerInitialPledgeCollateral implements the node's method.
func (c *Chain) StateMinerInitialPledgeCollateral(context.Context, address.Address, node.SectorPreCommitInfo, types.TipSetKey) (abi.TokenAmount, error) {
	done, err := c.enter()
	defer done()
	return types.NewFIL(3).Atto(), err
}

// StateMinerProvingDeadline implements the node's method.
func (c *Chain) StateMinerProvingDeadline(context.Context, address.Address, types.TipSetKey) (*dline.Info, error) {
	done, err := c.enter()
	defer done()
	return c.deadline(c.head().Height()), err
}

// StateMinerDeadlines implements the node's method.
func (c *Chain) StateMinerDeadlines(context.Context, address.Address, types.TipSetKey) ([]node.Deadline, error) {
	done, err := c.enter()
	defer done()
	out := make([]node.Deadline, params.PostDeadlines)
	for i := range out {
		out[i].PostSubmissions = bitfield.New()
		for p := range c.now.posted[uint64(i)] {
			out[i].PostSubmissions.Set(p)
		}
	}
	return out, err
}

// StateMinerPartitions implements the node's method.
func (c *Chain) StateMinerPartitions(_ context.Context, _ address.Address, deadline uint64, _ types.TipSetKey) ([]node.Partition, error) {
	done, err := c.enter()
	defer done()
	var out []node.Partition
	for _, list := range c.partitions(deadline) {
		p := node.Partition{AllSectors: bitfield.New(), LiveSectors: bitfield.New(), FaultySectors: bitfield.New(), RecoveringSectors: bitfield.New(), ActiveSectors: bitfield.New()}
		for _, n := range list {
			p.AllSectors.Set(uint64(n))
			if c.now.ended[n] {
				continue
			}
			p.LiveSectors.Set(uint64(n))
			if c.now.faulty[n] {
				p.FaultySectors.Set(uint64(n))
			}
			if c.now.recover[n] {
				p.RecoveringSectors.Set(uint64(n))
			}
			if c.now.active[n] {
				p.ActiveSectors.Set(uint64(n))
			}
		}
		out = append(out, p)
	}
	return out, err
}

// StateMinerSectors implements the node's method.
func (c *Chain) StateMinerSectors(_ context.Context, _ address.Address, filter *bitfield.BitField, _ types.TipSetKey) ([]*node.SectorOnChainInfo, error) {
	done, err := c.enter()
	defer done()
	var out []*node.SectorOnChainInfo
	for n, s := range c.now.sectors {
		in := true
		if filter != nil {
			if in, err = filter.IsSet(uint64(n)); err != nil {
				return nil, err
			}
		}
		if in {
			out = append(out, &s)
		}
	}
	slices.SortFunc(out, func(a, b *node.SectorOnChainInfo) int { return int(int64(a.SectorNumber) - int64(b.SectorNumber)) })
	return out, err
}

// Active counts the sectors that have power.
func (c *Chain) Active() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, a := range c.now.active {
		if a {
			n++
		}
	}
	return n
}

// end takes a sector out of what must be proven.
func (c *Chain) end(n abi.SectorNumber) {
	c.now.ended[n] = true
	delete(c.now.active, n)
	delete(c.now.faulty, n)
	delete(c.now.recover, n)
}

// End ends a sector before its time.
func (c *Chain) End(n abi.SectorNumber) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.end(n)
}

// Fault makes a sector faulty, or well again.
func (c *Chain) Fault(n abi.SectorNumber, faulty bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.now.faulty, n)
	if faulty {
		c.now.faulty[n] = true
	}
	c.now.active[n] = !faulty
}

// Allocated are the sector numbers that were used.
func (c *Chain) Allocated() bitfield.BitField {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := bitfield.New()
	for n := range c.now.allocated {
		b.Set(uint64(n))
	}
	return b
}

// Ended lists the sectors that need not be proven any more.
func (c *Chain) Ended() []abi.SectorNumber {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Sorted(maps.Keys(c.now.ended))
}

// Place puts a sector into another deadline.
func (c *Chain) Place(n abi.SectorNumber, deadline uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now.place[n] = node.SectorLocation{Deadline: deadline}
}

// Info is the chain's record of a sector.
func (c *Chain) Info(n abi.SectorNumber) node.SectorOnChainInfo {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now.sectors[n]
}

// AddSector puts a proven sector of another origin on the chain.
func (c *Chain) AddSector(n abi.SectorNumber, deadline, partition uint64) {
	c.AddSealed(n, deadline, partition, Cid(fmt.Sprint("sealed", n)))
}

// AddSealed puts a proven sector with a replica of its own on the chain.
func (c *Chain) AddSealed(n abi.SectorNumber, deadline, partition uint64, commR cid.Cid) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now.allocated[n], c.now.active[n] = true, true
	c.now.sectors[n] = node.SectorOnChainInfo{SectorNumber: n, SealProof: abi.RegisteredSealProof_StackedDrg2KiBV1_1, SealedCID: commR, Activation: 1, Expiration: 1e6, InitialPledge: types.NewFIL(2).Atto()}
	c.now.place[n] = node.SectorLocation{Deadline: deadline, Partition: partition}
}

// errIllegal is an exit of the actors: 16, illegal argument.
var errIllegal = errors.New("illegal argument")

package sealertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sort"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/exitcode"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/miner"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/api/messager"
	"github.com/filecoin-venus/venus/api/node"
	"github.com/filecoin-venus/venus/types"
)

type receipt struct {
	exit   exitcode.ExitCode
	height abi.ChainEpoch
}

type queued struct {
	id     string
	msg    *types.Message
	expire abi.ChainEpoch
	failed string
	order  int
}

// Messager is the model's messager: what is pushed lands in the next epoch.
type Messager struct {
	chain *Chain
	by    map[string]*queued
	// Down makes every call fail.
	Down bool
	// Hold keeps messages from landing.
	Hold bool
	// Exit, if set, decides the exit code of a message before it is executed.
	Exit func(m *types.Message) exitcode.ExitCode
	// LoseAnswer makes the next pushes succeed and answer with an error.
	LoseAnswer int
	order      int
}

var errAway = api.Errorf(api.CodeUnavailable, "the messager is away")

// PushMessageWithId implements the messager's method.
func (m *Messager) PushMessageWithId(_ context.Context, id string, msg *types.Message, meta *messager.MsgMeta, _ string) (string, error) { //nolint:revive // the field's spelling
	m.chain.mu.Lock()
	defer m.chain.mu.Unlock()
	if m.Down {
		return "", errAway
	}
	if old, ok := m.by[id]; ok {
		if !bytes.Equal(old.msg.Params, msg.Params) {
			return "", api.Errorf(api.CodeConflict, "another message has the id %s", id)
		}
		return id, nil
	}
	m.order++
	m.by[id] = &queued{id: id, msg: msg, expire: meta.ExpireEpoch, order: m.order}
	if m.LoseAnswer > 0 {
		m.LoseAnswer--
		return "", errAway
	}
	return id, nil
}

// HasMessageByUid implements the messager's method.
func (m *Messager) HasMessageByUid(_ context.Context, id string) (bool, error) { //nolint:revive // the field's spelling
	m.chain.mu.Lock()
	defer m.chain.mu.Unlock()
	if m.Down {
		return false, errAway
	}
	return m.by[id] != nil, nil
}

// GetMessageByUid implements the messager's method.
func (m *Messager) GetMessageByUid(_ context.Context, id string) (*messager.Message, error) { //nolint:revive // the field's spelling
	m.chain.mu.Lock()
	defer m.chain.mu.Unlock()
	if m.Down {
		return nil, errAway
	}
	q := m.by[id]
	if q == nil {
		return nil, api.Errorf(api.CodeNotFound, "no message %s", id)
	}
	out := &messager.Message{ID: id, To: q.msg.To, From: q.msg.From, Value: q.msg.Value, Method: q.msg.Method, Params: q.msg.Params, State: messager.StatePending}
	c := Cid(id)
	out.SignedCid = &c
	if r, ok := m.chain.now.landed[id]; ok {
		out.State, out.Height, out.Confidence = messager.StateOnChain, int64(r.height), int64(m.chain.head().Height()-r.height)
		out.Receipt = &types.MessageReceipt{ExitCode: r.exit}
	} else if q.failed != "" {
		out.State, out.ErrorMsg = messager.StateFailed, q.failed
	}
	return out, nil
}

// HasWalletAddress implements the messager's method; the wallet holds all keys.
func (m *Messager) HasWalletAddress(context.Context, string, address.Address) (bool, error) {
	m.chain.mu.Lock()
	defer m.chain.mu.Unlock()
	if m.Down {
		return false, errAway
	}
	return true, nil
}

// Pushed lists the messages of a method that were pushed, in order.
func (m *Messager) Pushed(method abi.MethodNum) []*types.Message {
	m.chain.mu.Lock()
	defer m.chain.mu.Unlock()
	var list []*queued
	for _, q := range m.by {
		if q.msg.Method == method {
			list = append(list, q)
		}
	}
	sort.Slice(list, func(i, j int) bool { return list[i].order < list[j].order })
	var out []*types.Message
	for _, q := range list {
		out = append(out, q.msg)
	}
	return out
}

// Landed counts the messages of a method that the chain executed with exit 0.
func (m *Messager) Landed(method abi.MethodNum) int {
	m.chain.mu.Lock()
	defer m.chain.mu.Unlock()
	n := 0
	for id, r := range m.chain.now.landed {
		if m.by[id].msg.Method == method && r.exit == exitcode.Ok {
			n++
		}
	}
	return n
}

// execute runs what is queued, in order. The chain's lock is held.
func (m *Messager) execute(c *Chain, h abi.ChainEpoch) {
	if m.Hold {
		return
	}
	var list []*queued
	for id, q := range m.by {
		if _, done := c.now.landed[id]; !done && q.failed == "" {
			list = append(list, q)
		}
	}
	sort.Slice(list, func(i, j int) bool { return list[i].order < list[j].order })
	for _, q := range list {
		if q.expire > 0 && h >= q.expire {
			q.failed = "the message expired"
			continue
		}
		exit := exitcode.Ok
		if m.Exit != nil {
			exit = m.Exit(q.msg)
		}
		if exit == exitcode.Ok {
			if err := c.run(q.msg, h); err != nil {
				exit = exitcode.ErrIllegalArgument
			}
		}
		c.now.landed[q.id] = receipt{exit: exit, height: h}
	}
}

func (c *Chain) preCommit(p miner.PreCommitSectorParams, h abi.ChainEpoch) error {
	if c.Refuse[p.SectorNumber] || c.now.allocated[p.SectorNumber] || p.SealRandEpoch >= h || p.SealRandEpoch < h-c.Network.MaxPreCommitRandLookback {
		return errIllegal
	}
	c.now.allocated[p.SectorNumber] = true
	c.now.pre[p.SectorNumber] = node.SectorPreCommitOnChainInfo{PreCommitEpoch: h, PreCommitDeposit: types.NewFIL(1).Atto(), Info: node.SectorPreCommitInfo{
		SealProof: p.SealProof, SectorNumber: p.SectorNumber, SealedCID: p.SealedCID, SealRandEpoch: p.SealRandEpoch, Expiration: p.Expiration, DealIDs: p.DealIDs,
	}}
	return nil
}

func (c *Chain) proveCommit(p miner.ProveCommitSectorParams, h abi.ChainEpoch) error {
	pre, ok := c.now.pre[p.SectorNumber]
	if !ok || h <= pre.PreCommitEpoch+c.Network.PreCommitChallengeDelay || h > pre.PreCommitEpoch+c.Network.MaxProveCommitDuration {
		return errIllegal
	}
	delete(c.now.pre, p.SectorNumber)
	seed, err := c.draw(seedTag, pre.PreCommitEpoch+c.Network.PreCommitChallengeDelay, entropy(), false)
	if err != nil {
		return err
	}
	if !c.AnyProof && !bytes.Equal(p.Proof, SealProof(pre.Info.SealedCID, seed)) {
		c.now.pre[p.SectorNumber] = pre
		return nil // the cron drops a bad proof without a word
	}
	if !c.activate(pre.Info.DealIDs, pre.Info.Expiration, h) {
		c.now.pre[p.SectorNumber] = pre
		return nil // the cron drops a sector whose deals cannot be had, too
	}
	c.now.sectors[p.SectorNumber] = node.SectorOnChainInfo{DealIDs: pre.Info.DealIDs, SectorNumber: p.SectorNumber, SealProof: pre.Info.SealProof, SealedCID: pre.Info.SealedCID, Activation: h, Expiration: pre.Info.Expiration, InitialPledge: types.NewFIL(2).Atto()}
	k := uint64(len(c.now.place))
	c.now.place[p.SectorNumber] = node.SectorLocation{Deadline: (c.FirstDeadline + k/4) % 48, Partition: k % 4 / 2}
	return nil
}

func (c *Chain) submit(p miner.SubmitWindowedPoStParams, h abi.ChainEpoch) error {
	d := c.deadline(h)
	if p.Deadline != d.Index || p.ChainCommitEpoch < d.Challenge || p.ChainCommitEpoch >= h {
		return errors.Join(errIllegal, fmt.Errorf("deadline %d at %d", p.Deadline, h))
	}
	commit, err := c.draw(commitTag, p.ChainCommitEpoch, nil, true)
	if err != nil || !bytes.Equal(commit, p.ChainCommitRand) {
		return errors.Join(errIllegal, err)
	}
	parts := c.partitions(d.Index)
	proven := 0
	for _, x := range p.Partitions {
		if x.Index >= uint64(len(parts)) || c.now.posted[d.Index][x.Index] {
			return errIllegal
		}
		for _, n := range parts[x.Index] {
			skipped, err := x.Skipped.IsSet(uint64(n))
			if err != nil {
				return err
			}
			if !skipped && (!c.now.faulty[n] || c.now.recover[n]) {
				proven++
			}
		}
	}
	challenge, err := c.draw(windowTag, d.Challenge, entropy(), false)
	if err != nil {
		return err
	}
	if proven == 0 || len(p.Proofs) != 1 || !c.AnyProof && !c.AnyWindow && !bytes.Equal(p.Proofs[0].ProofBytes, WindowProof(challenge)) {
		return errIllegal
	}
	for _, x := range p.Partitions {
		if c.now.posted[d.Index] == nil {
			c.now.posted[d.Index] = map[uint64]bool{}
		}
		c.now.posted[d.Index][x.Index] = true
		for _, n := range parts[x.Index] {
			skipped, err := x.Skipped.IsSet(uint64(n))
			if err != nil {
				return err
			}
			c.settle(n, skipped)
		}
	}
	return nil
}

func (c *Chain) settle(n abi.SectorNumber, skipped bool) {
	if skipped {
		c.now.faulty[n], c.now.active[n] = true, false
	} else if !c.now.faulty[n] || c.now.recover[n] {
		delete(c.now.faulty, n)
		c.now.active[n] = true
	}
	delete(c.now.recover, n)
}

// cutoff refuses declarations that come too late.
func (c *Chain) cutoff(deadline uint64, h abi.ChainEpoch) error {
	d := c.deadline(h)
	d.Open += abi.ChainEpoch((deadline+48-d.Index)%48) * d.WPoStChallengeWindow
	if deadline == d.Index {
		return errIllegal
	}
	if h >= d.Open-70 {
		return errIllegal
	}
	return nil
}

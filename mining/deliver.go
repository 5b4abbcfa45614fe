package mining

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"

	"github.com/filecoin-venus/venus/api"
	walletapi "github.com/filecoin-venus/venus/api/wallet"
	"github.com/filecoin-venus/venus/internal/fault"
	"github.com/filecoin-venus/venus/mining/guard"
	"github.com/filecoin-venus/venus/mining/record"
	"github.com/filecoin-venus/venus/types"
)

const (
	// settleDepth is how many epochs later a block is looked for on the chain.
	settleDepth = 5
	// reconcileDepth is how many tipsets back the chain is searched for own blocks that the record lacks.
	reconcileDepth = 120
	// floorMargin is how many epochs above the present nothing is signed when the record may have holes.
	floorMargin = 5
	// liveEvery is how often a record is told that it is in use; one unused for longer than trustGap may be an old copy.
	liveEvery, trustGap = time.Minute, 5 * time.Minute
	// settleTimeout bounds the questions about an old block.
	settleTimeout = 5 * time.Second
	// submitTries is how often a block is sent to a node that cannot be reached.
	submitTries = 3
	// maxFailures is how often a node may fail at a block, for a reason of its own, until it counts as refused.
	maxFailures = 10
	// resendTries is how often an own block is sent again when the head goes back to its parents.
	resendTries = 3
)

// bringOut records a block, has it signed and submits it. The order is the point: record, sign, submit.
func (m *runner) bringOut(ctx context.Context, round abi.ChainEpoch, block *types.BlockMsg, wins int64, worker address.Address) outcome {
	raw, digest, err := signingBytes(block.Header)
	if err != nil {
		return m.fail(ctx, round, "%w", err)
	}
	template, err := block.Serialize()
	if err != nil {
		return m.fail(ctx, round, "%w", err)
	}
	rctx, cancel := context.WithTimeout(ctx, writeTimeout) // a database that hangs costs the block, not the miner
	defer cancel()
	verdict, why, err := m.record.Propose(rctx, guard.Proposal{
		Epoch: round, Parents: m.base.Key(), ParentEpoch: m.base.Height(), Grandparents: m.base.Parents(), Digest: digest,
	}, wins, template)
	if err != nil {
		return m.fail(ctx, round, "%w", err)
	}
	if !verdict.Allowed() {
		return m.refused(ctx, round, verdict, why, worker)
	}
	if err := fault.Point("mining/sign"); err != nil {
		return m.fail(ctx, round, "%w", err)
	}
	m.open = append(m.open, round)
	m.done = max(m.done, round)
	if err := m.deliver(ctx, round, block, raw, worker); err != nil {
		return m.fail(ctx, round, "%w", err)
	}
	m.said = ""
	m.mark(round, "block %s was signed and submitted, %s after its time", block.Header.Cid(), m.clock.Now().Sub(m.blockTime(round)).Round(time.Millisecond))
	m.succeeded(round)
	m.state.went(round, "won %d: block %s submitted", wins, block.Header.Cid())
	log.Infof("%s won epoch %d (%d): block %s on %d, %d messages", m.addr, round, wins, block.Header.Cid(), m.base.Height(),
		len(block.BlsMessages)+len(block.SecpkMessages))
	return passed
}

// deliver signs and submits recorded bytes.
func (m *runner) deliver(ctx context.Context, round abi.ChainEpoch, block *types.BlockMsg, raw []byte, worker address.Address) error {
	sig, err := m.services.Wallet.WalletSign(ctx, worker, raw, walletapi.MsgMeta{Type: walletapi.TypeBlock})
	if err != nil {
		// It stays to be signed: the same bytes are tried again while the head is the same.
		m.outcome(ctx, round, record.Signing, "not signed: "+err.Error(), false)
		return fmt.Errorf("block signature from the wallet: %w", err)
	}
	block.Header.BlockSig = sig
	rctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	if err := m.record.Signed(rctx, round, block.Header.Cid()); err != nil {
		return err
	}
	if err := fault.Point("mining/submit"); err != nil {
		return err
	}
	err = m.submit(ctx, block)
	if perr := fault.Point("mining/acked"); perr != nil {
		return perr
	}
	if err == nil {
		m.meters.submitted(m.clock.Now().Sub(time.Unix(int64(block.Header.Timestamp), 0)))
		m.outcome(ctx, round, record.Submitted, "", false)
		return nil
	}
	// A node that refused the block for good has shown it to nobody. Otherwise it may be out: then the same bytes are
	// sent again while the head is the same.
	if m.refusedForGood(round, err) {
		m.outcome(ctx, round, record.Failed, err.Error(), true)
	} else {
		m.outcome(ctx, round, record.Signing, "not submitted: "+err.Error(), false)
	}
	return fmt.Errorf("submit block: %w", err)
}

// answered tells whether an error is what the node itself said.
func answered(err error) bool {
	var e *api.Error
	return errors.As(err, &e) && e.Code != api.CodeUnavailable && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled)
}

// refusedForGood tells whether the node will never take a block: it said so, or it failed at it again and again.
func (m *runner) refusedForGood(round abi.ChainEpoch, err error) bool {
	if !answered(err) {
		return false
	}
	if refusal(err) {
		return true
	}
	m.failures[round]++
	return m.failures[round] >= maxFailures
}

// refusal tells whether a node said that it does not take a block, and has shown it to nobody.
func refusal(err error) bool {
	if !answered(err) {
		return false
	}
	switch api.Explain(err).Code {
	case api.CodeInvalid, api.CodeConflict, api.CodePermission, api.CodeUnauthenticated:
		return true
	}
	return false
}

func (m *runner) submit(ctx context.Context, block *types.BlockMsg) error {
	for try := 1; ; try++ {
		err := m.nodes.SyncSubmitBlock(ctx, block)
		if err == nil || answered(err) || try == submitTries || ctx.Err() != nil {
			return err
		}
		if m.clock.Sleep(ctx, m.timing.BlockDelay/10) != nil {
			return err
		}
	}
}

func (m *runner) outcome(ctx context.Context, round abi.ChainEpoch, s record.State, reason string, void bool) {
	m.meters.block(m.addr, s)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
	defer cancel()
	if err := m.record.Outcome(ctx, round, s, reason, void); err != nil {
		log.Errorf("%s: %s", m.addr, err)
	}
}

// refused handles a block that must not be signed. When an own block with these parents stands in the way and the chain
// does not have it, that block is sent again, bit for bit: a crash or a node that lost its last blocks is healed so.
func (m *runner) refused(ctx context.Context, round abi.ChainEpoch, v guard.Verdict, why string, worker address.Address) outcome {
	own, err := m.record.On(ctx, m.base.Key(), m.base.Height())
	if err != nil {
		return m.fail(ctx, round, "%w", err)
	}
	for _, r := range own {
		if r.Template == nil || r.Void || m.resent[r.Epoch] >= resendTries {
			continue
		}
		if r.State == record.Submitted {
			m.resent[r.Epoch]++
		}
		if err := m.resend(ctx, r, worker); err != nil {
			return m.fail(ctx, round, "send the own block of epoch %d again: %w", r.Epoch, err)
		}
		m.done = max(m.done, r.Epoch)
		m.state.went(r.Epoch, "the recorded block was sent again")
		return passed
	}
	return m.fail(ctx, round, "won, but must not sign (%s): %s", v, why)
}

func (m *runner) resend(ctx context.Context, r record.Block, worker address.Address) error {
	block, err := types.DecodeBlockMsg(r.Template)
	if err != nil {
		return err
	}
	raw, digest, err := signingBytes(block.Header)
	if err != nil {
		return err
	}
	if digest != r.Digest {
		return errors.New("the recorded bytes do not fit their record")
	}
	if !slices.Contains(m.open, r.Epoch) {
		m.open = append(m.open, r.Epoch)
	}
	log.Warnf("%s: sending the recorded block of epoch %d again", m.addr, r.Epoch)
	return m.deliver(ctx, r.Epoch, block, raw, worker)
}

// settle looks once per step whether the oldest open block is on the chain.
func (m *runner) settle(ctx context.Context, head *types.TipSet) {
	if len(m.open) == 0 {
		return
	}
	slices.Sort(m.open)
	epoch := m.open[0]
	if head.Height() < epoch+settleDepth {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	ts, err := m.nodes.ChainGetTipSetByHeight(ctx, epoch, head.Key())
	if err != nil {
		log.Debugf("%s: look for the block of epoch %d: %s", m.addr, epoch, err)
		return
	}
	b, ok, err := m.record.At(ctx, epoch)
	if err != nil {
		log.Warnf("%s: %s", m.addr, err)
		return
	}
	m.open = m.open[1:]
	if !ok || b.State == record.Landed || b.State == record.Failed {
		return
	}
	state, why := fate(b, ts)
	m.outcome(ctx, epoch, state, why, false)
	if state != record.Landed {
		log.Warnf("%s: the block of epoch %d is %s: %s", m.addr, epoch, state, why)
	}
}

// fate tells what became of a block, given the chain's tipset at its height or, in a null round, the one before.
func fate(b record.Block, ts *types.TipSet) (record.State, string) {
	there := ts.Height() == b.Epoch
	before := ""
	if b.Reason != "" {
		before = " (" + b.Reason + ")"
	}
	switch {
	case !b.Block.Defined():
		return record.Failed, "it was never signed" + before
	case there && ts.Contains(b.Block):
		return record.Landed, ""
	case there && ts.Parents() == b.Parents:
		return record.Orphaned, fmt.Sprintf("the next miners built on %d other blocks of the epoch and not on this one: it reached them too late%s", len(ts.Blocks()), before)
	case there:
		return record.Orphaned, fmt.Sprintf("the chain's %d blocks of the epoch stand on another base than the %d blocks of ours%s", len(ts.Blocks()), len(b.Parents.Cids()), before)
	case ts.Key() == b.Parents:
		return record.Orphaned, "the chain has no block at this epoch: nobody heard of ours in time" + before
	}
	return record.Orphaned, "the chain has no block at this epoch and left our base" + before
}

// reconcile compares the chain behind the head with the record. A record that may have holes, because it is new, was not
// written for long, or lacks own blocks that the chain has, lets nothing be signed until a little above the head:
// another program or an earlier life of this one may have signed up to there.
func (m *runner) reconcile(ctx context.Context, head *types.TipSet) error {
	if err := m.held(ctx); err != nil {
		return err
	}
	why, err := m.doubt(ctx, head)
	if err != nil {
		return fmt.Errorf("compare the record of signed blocks with the chain: %w", err)
	}
	if why != "" && head.Height() > 0 {
		floor := present(head, m.clock.Now(), m.timing.BlockDelay) + floorMargin
		log.Warnf("%s: %s: nothing is signed up to epoch %d", m.addr, why, floor)
		if err := m.record.RaiseFloor(ctx, floor, why); err != nil {
			return err
		}
	}
	if err := m.record.Abandon(ctx, head.Height()+1); err != nil {
		return err
	}
	open, err := m.record.Unsettled(ctx)
	if err != nil {
		return err
	}
	for _, b := range open {
		if !slices.Contains(m.open, b.Epoch) {
			m.open = append(m.open, b.Epoch)
		}
	}
	m.reconciled = true
	return nil
}

// doubt says why the record may lack own blocks, "" when nothing speaks for it.
func (m *runner) doubt(ctx context.Context, head *types.TipSet) (string, error) {
	st, err := m.record.Status(ctx)
	if err != nil {
		return "", err
	}
	idle := m.clock.Now().Sub(st.Alive)
	switch {
	case st.Alive.IsZero():
		return "the record of signed blocks is new", nil
	case idle > trustGap:
		return fmt.Sprintf("the record of signed blocks was last used %s ago and may be an old copy", idle.Round(time.Second)), nil
	}
	ts := head
	for range reconcileDepth {
		for _, b := range ts.Blocks() {
			if b.Miner != m.addr {
				continue
			}
			if known, err := m.record.Knows(ctx, b.Height, b.Cid()); err != nil || !known {
				return fmt.Sprintf("the chain holds the own block %s of epoch %d that the record lacks", b.Cid(), b.Height), err
			}
		}
		if ts.Height() == 0 || ts.Parents().IsEmpty() {
			return "", nil
		}
		if ts, err = m.nodes.ChainGetTipSet(ctx, ts.Parents()); err != nil {
			return "", err
		}
	}
	return "", nil
}

// present is the epoch it is, by the clock, or by the head of a chain that stands still.
func present(head *types.TipSet, now time.Time, delay time.Duration) abi.ChainEpoch {
	past := now.Sub(time.Unix(int64(head.MinTimestamp()), 0))
	if past < 0 || past >= oldHead*delay {
		return head.Height()
	}
	return head.Height() + abi.ChainEpoch(past/delay)
}

package mining

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/ipfs/go-cid"

	"github.com/filecoin-venus/venus/api"
	walletapi "github.com/filecoin-venus/venus/api/wallet"
	"github.com/filecoin-venus/venus/internal/fault"
	"github.com/filecoin-venus/venus/mining/guard"
	"github.com/filecoin-venus/venus/types"
)

const (
	// settleDepth is how many epochs later a block is looked for on the chain.
	settleDepth = 5
	// reconcileDepth is how many tipsets back the chain is searched for own blocks that the record lacks.
	reconcileDepth = 120
	// floorMargin is how many epochs above the head nothing is signed when the record lacks own blocks: another
	// process may have signed there lately.
	floorMargin = 5
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
	verdict, why, err := m.guard.Propose(guard.Proposal{
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
		m.outcome(round, guard.Signing, "not signed: "+err.Error(), false)
		return fmt.Errorf("block signature from the wallet: %w", err)
	}
	block.Header.BlockSig = sig
	if err := m.guard.Signed(round, block.Header.Cid()); err != nil {
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
		m.outcome(round, guard.Submitted, "", false)
		return nil
	}
	// A node that refused the block for good has shown it to nobody. Otherwise it may be out: then the same bytes are
	// sent again while the head is the same.
	if m.refusedForGood(round, err) {
		m.outcome(round, guard.Failed, err.Error(), true)
	} else {
		m.outcome(round, guard.Signing, "not submitted: "+err.Error(), false)
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
	switch api.Explain(err).Code {
	case api.CodeInvalid, api.CodeConflict, api.CodePermission, api.CodeUnauthenticated:
		return true
	}
	m.failures[round]++
	return m.failures[round] >= maxFailures
}

func (m *runner) submit(ctx context.Context, block *types.BlockMsg) error {
	for try := 1; ; try++ {
		err := m.producer.SyncSubmitBlock(ctx, block)
		if err == nil || answered(err) || try == submitTries || ctx.Err() != nil {
			return err
		}
		if m.clock.Sleep(ctx, m.timing.BlockDelay/10) != nil {
			return err
		}
	}
}

func (m *runner) outcome(round abi.ChainEpoch, s guard.State, reason string, void bool) {
	if err := m.guard.Outcome(round, s, reason, void); err != nil {
		log.Errorf("%s: %s", m.addr, err)
	}
}

// refused handles a block that must not be signed. When an own block with these parents stands in the way and the chain
// does not have it, that block is sent again, bit for bit: a crash or a node that lost its last blocks is healed so.
func (m *runner) refused(ctx context.Context, round abi.ChainEpoch, v guard.Verdict, why string, worker address.Address) outcome {
	for _, r := range m.guard.Records(reconcileDepth) {
		if r.Parents != m.base.Key() || r.Template == nil || r.Void || m.resent[r.Epoch] >= resendTries {
			continue
		}
		if r.State == guard.Submitted {
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

func (m *runner) resend(ctx context.Context, r guard.Record, worker address.Address) error {
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
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	ts, err := m.past.ChainGetTipSetByHeight(ctx, epoch, head.Key())
	if err != nil {
		log.Debugf("%s: look for the block of epoch %d: %s", m.addr, epoch, err)
		return
	}
	m.open = m.open[1:]
	for _, r := range m.guard.Records(reconcileDepth) {
		if r.Epoch != epoch || r.State == guard.Landed {
			continue
		}
		if ts.Height() == epoch && r.Block.Defined() && slices.Contains(ts.Cids(), r.Block) {
			m.outcome(epoch, guard.Landed, "", false)
		} else if r.State != guard.Failed {
			m.outcome(epoch, guard.Lost, "the chain went on without the block", false)
		}
		return
	}
}

// reconcile compares the chain behind the head with the record. Own blocks that the record lacks mean that it was lost,
// restored from an old backup, or that another process mines: then nothing is signed until a little above the head.
func (m *runner) reconcile(ctx context.Context, head *types.TipSet) error {
	var unknown []cid.Cid
	ts := head
	for range reconcileDepth {
		for _, b := range ts.Blocks() {
			if b.Miner == m.addr && !m.guard.Knows(b.Height, b.Cid()) {
				unknown = append(unknown, b.Cid())
			}
		}
		if ts.Height() == 0 || ts.Parents().IsEmpty() {
			break
		}
		parent, err := m.past.ChainGetTipSet(ctx, ts.Parents())
		if err != nil {
			return err
		}
		ts = parent
	}
	if len(unknown) > 0 && head.Height() > 0 {
		floor := head.Height() + floorMargin
		log.Warnf("%s: the chain holds %d own blocks that the record lacks (%s, …): nothing is signed up to epoch %d", m.addr, len(unknown), unknown[0], floor)
		if err := m.guard.RaiseFloor(floor, fmt.Sprintf("own block %s is on the chain and not in the record", unknown[0])); err != nil {
			return err
		}
	}
	m.reconciled = true
	return nil
}

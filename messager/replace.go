package messager

import (
	"context"
	"errors"
	"fmt"

	"github.com/filecoin-project/go-state-types/big"
	"github.com/ipfs/go-cid"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/internal/fault"
	"github.com/filecoin-venus/venus/messager/machine"
	"github.com/filecoin-venus/venus/messager/store"
	"github.com/filecoin-venus/venus/types"
)

const (
	premiumBlocks = 10
	feeCapBlocks  = 20
)

// replaceStuck signs the lowest pending message again when its price no longer
// meets the market. All later ones only wait for it.
func (w *worker) replaceStuck(ctx context.Context, sender store.Sender, underway []machine.Message) (bool, error) {
	s := w.s
	head := s.Head()
	if head == nil || len(underway) == 0 {
		return false, nil
	}
	now := s.clk.Now()
	// Without a price the question is only whether anything waits for long.
	if machine.Stuck(underway, now, s.epochTime(), head.ParentBaseFee(), big.NewInt(1<<62)) == nil {
		return false, nil
	}
	premium, feeCap, err := s.market(ctx, &underway[0].Msg)
	if err != nil {
		return false, err
	}
	stuck := machine.Stuck(underway, now, s.epochTime(), head.ParentBaseFee(), premium)
	if stuck == nil || stuck.NextTry.After(now) || stuck.Wallet == "" {
		return false, nil
	}
	shared := s.sharedLimits()
	msg, err := machine.Reprice(&stuck.Msg, premium, feeCap, machine.Resolve(stuck, shared.rules, sender.Limits, shared.Limits))
	if err != nil {
		return false, s.apply(ctx, []change{{stuck.ID, machine.PushFailed{Reason: machine.FeeLimit, Text: err.Error()}}}, nil)
	}
	budget := machine.Budget{PerDay: shared.ReplaceBudget, Day: sender.ReplacedDay, Spent: sender.ReplacedSum}
	if err := budget.Take(stuck, msg, now); err != nil {
		return false, s.apply(ctx, []change{{stuck.ID, machine.PushFailed{Reason: machine.FeeLimit, Text: err.Error()}}}, nil)
	}
	sig, err := s.wallets.sign(ctx, stuck.Wallet, msg)
	if err != nil && ctx.Err() == nil {
		return false, s.apply(ctx, []change{{stuck.ID, machine.PushFailed{Reason: signReason(err), Text: err.Error()}}}, nil)
	}
	if err != nil {
		return false, err
	}
	again := machine.Repriced{Msg: *msg, Sig: *sig, Why: fmt.Sprintf("stuck at base fee %s", head.ParentBaseFee())}
	if _, err = s.storeAgain(ctx, stuck, again, &budget); errors.Is(err, store.ErrStale) {
		return true, nil
	}
	return err == nil, err
}

// market asks the node what gets a message in now.
func (s *Service) market(ctx context.Context, m *types.Message) (premium, feeCap big.Int, err error) {
	cctx, cancel := context.WithTimeout(ctx, nodeTimeout)
	defer cancel()
	if premium, err = s.node().GasEstimateGasPremium(cctx, premiumBlocks, m.From, m.GasLimit, types.EmptyTSK); err != nil {
		return premium, feeCap, fmt.Errorf("ask the node for the premium: %w", err)
	}
	probe := *m
	probe.GasPremium = premium
	if feeCap, err = s.node().GasEstimateFeeCap(cctx, &probe, feeCapBlocks, types.EmptyTSK); err != nil {
		return premium, feeCap, fmt.Errorf("ask the node for the fee cap: %w", err)
	}
	return premium, feeCap, nil
}

// storeAgain stores that a message was signed again under its nonce, the new attempt
// over the one that was read, and budget if not nil; if that message changed
// meanwhile, ErrStale and nothing happened. The sender's worker pushes it.
func (s *Service) storeAgain(ctx context.Context, m *machine.Message, again machine.Repriced, budget *machine.Budget) (cid.Cid, error) {
	next, note, err := m.Step(again, s.clk.Now())
	if err != nil {
		return cid.Undef, err
	}
	lease := nonceLease(m.Msg.From)
	fence, err := s.acquire(ctx, lease)
	if err != nil {
		return cid.Undef, err
	}
	err = s.db.Update(ctx, func(tx *store.Tx) error {
		if err := tx.Fence(lease, fence); err != nil {
			return err
		}
		n := next
		if budget != nil {
			if err := tx.Replaced(m.Msg.From, budget.Day, budget.Spent); err != nil {
				return err
			}
		}
		if err := tx.Change(m, &n, note); err != nil {
			return err
		}
		return tx.Attempt(&n)
	})
	if err != nil {
		return cid.Undef, err
	}
	s.meters.event(note.Kind, &next)
	s.hub.tell(m.ID)
	return next.SignedCid, fault.Point("messager/repriced")
}

// Price is what an operator asks of a replacement. Zero values are estimated.
type Price struct {
	// Auto takes the market's price.
	Auto bool
	// MaxFee, attoFIL, bounds it instead of the message's limits.
	MaxFee          big.Int
	GasLimit        int64
	Premium, FeeCap big.Int
}

// Replace signs a message that is under way again with a higher price and returns
// the new signed CID.
func (s *Service) Replace(ctx context.Context, id string, p Price) (cid.Cid, error) {
	m, err := s.Message(ctx, id)
	if err != nil {
		return cid.Undef, err
	}
	if m.State != machine.Signed && m.State != machine.Pending {
		return cid.Undef, api.Errorf(api.CodePrecondition, "message %s is %s: only a message under way can be replaced", id, m.State)
	}
	if fence, err := s.acquire(ctx, nonceLease(m.Msg.From)); err != nil {
		return cid.Undef, err
	} else if fence == 0 {
		return cid.Undef, s.notHolder(ctx, nonceLease(m.Msg.From))
	}
	sender, err := s.db.Sender(ctx, m.Msg.From)
	if err != nil {
		return cid.Undef, fmt.Errorf("load sender: %w", err)
	}
	if m.Wallet == "" {
		return cid.Undef, api.Errorf(api.CodePrecondition, "message %s was signed elsewhere", id).WithHint("have it signed there with a higher price and push that")
	}
	shared := s.sharedLimits()
	fees := machine.Resolve(&m, shared.rules, sender.Limits, shared.Limits)
	if p.MaxFee.Int != nil && p.MaxFee.Sign() > 0 {
		fees.MaxFee, fees.MaxFeeFrom = p.MaxFee, "call"
	}
	old := m.Msg
	if p.GasLimit > 0 {
		old.GasLimit = p.GasLimit
	}
	premium, feeCap := p.Premium, p.FeeCap
	if p.Auto || premium.Int == nil || feeCap.Int == nil || premium.IsZero() || feeCap.IsZero() {
		if premium, feeCap, err = s.market(ctx, &old); err != nil {
			return cid.Undef, err
		}
	} else if least := machine.MinReplacement(m.Msg.GasPremium); premium.LessThan(least) {
		return cid.Undef, api.Errorf(api.CodeInvalid, "premium %s is too low: pools ask for at least %s", premium, least)
	}
	msg, err := machine.Reprice(&old, premium, feeCap, fees)
	if err != nil {
		return cid.Undef, api.Errorf(api.CodeLimit, "%s", err.Error()).WithHint("raise --max-fee")
	}
	sig, err := s.wallets.sign(ctx, m.Wallet, msg)
	if err != nil {
		return cid.Undef, err
	}
	c, err := s.storeAgain(ctx, &m, machine.Repriced{Msg: *msg, Sig: *sig, Why: "by the operator"}, nil)
	if errors.Is(err, store.ErrStale) {
		return cid.Undef, api.Errorf(api.CodeConflict, "message %s changed meanwhile", id).WithHint("look at it and try again")
	}
	if err != nil {
		return cid.Undef, err
	}
	s.worker(m.Msg.From).wake()
	return c, nil
}

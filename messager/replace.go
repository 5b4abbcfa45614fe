package messager

import (
	"context"
	"errors"
	"fmt"

	"github.com/filecoin-project/go-state-types/big"
	"github.com/ipfs/go-cid"

	"github.com/filecoin-venus/venus/api"
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
func (w *worker) replaceStuck(ctx context.Context, underway []machine.Message) (bool, error) {
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
	if stuck == nil || stuck.NextTry.After(now) {
		return false, nil
	}
	fees, err := w.fees(ctx, stuck)
	if err != nil {
		return false, err
	}
	msg, err := machine.Reprice(&stuck.Msg, premium, feeCap, fees)
	if err != nil {
		return false, s.apply(ctx, []change{{stuck.ID, machine.PushFailed{Reason: machine.FeeLimit, Text: err.Error()}}}, nil)
	}
	_, err = s.signAgain(ctx, stuck, msg, fmt.Sprintf("stuck at base fee %s", head.ParentBaseFee()))
	if errors.Is(err, store.ErrStale) {
		return true, nil
	}
	if err != nil {
		return false, s.apply(ctx, []change{{stuck.ID, machine.PushFailed{Reason: signReason(err), Text: err.Error()}}}, nil)
	}
	return true, nil
}

func (w *worker) fees(ctx context.Context, m *machine.Message) (machine.Fees, error) {
	sender, err := w.s.db.Sender(ctx, w.addr)
	if err != nil {
		return machine.Fees{}, fmt.Errorf("load sender: %w", err)
	}
	return machine.Resolve(m, sender.Limits, w.s.sharedLimits().Limits), nil
}

// market asks the node what gets a message in now.
func (s *Service) market(ctx context.Context, m *types.Message) (premium, feeCap big.Int, err error) {
	cctx, cancel := context.WithTimeout(ctx, nodeTimeout)
	defer cancel()
	if premium, err = s.o.Node.GasEstimateGasPremium(cctx, premiumBlocks, m.From, m.GasLimit, types.EmptyTSK); err != nil {
		return premium, feeCap, fmt.Errorf("ask the node for the premium: %w", err)
	}
	probe := *m
	probe.GasPremium = premium
	if feeCap, err = s.o.Node.GasEstimateFeeCap(cctx, &probe, feeCapBlocks, types.EmptyTSK); err != nil {
		return premium, feeCap, fmt.Errorf("ask the node for the fee cap: %w", err)
	}
	return premium, feeCap, nil
}

// signAgain has a message signed again under its nonce and stores the new attempt
// over the one that was read; if that changed meanwhile, ErrStale and nothing
// happened. The sender's worker pushes it.
func (s *Service) signAgain(ctx context.Context, m *machine.Message, msg *types.Message, why string) (cid.Cid, error) {
	sig, err := s.wallets.sign(ctx, m.Wallet, msg)
	if err != nil {
		return cid.Undef, err
	}
	next, note, err := m.Step(machine.Repriced{Msg: *msg, Sig: *sig, Why: why}, s.clk.Now())
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
		if err := tx.Write(&n, note); err != nil {
			return err
		}
		return tx.Attempt(&n)
	})
	if err != nil {
		return cid.Undef, err
	}
	s.hub.tell(m.ID)
	return next.SignedCid, nil
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
	fees := machine.Resolve(&m, sender.Limits, s.sharedLimits().Limits)
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
	c, err := s.signAgain(ctx, &m, msg, "by the operator")
	if errors.Is(err, store.ErrStale) {
		return cid.Undef, api.Errorf(api.CodeConflict, "message %s changed meanwhile", id).WithHint("look at it and try again")
	}
	if err != nil {
		return cid.Undef, err
	}
	s.worker(m.Msg.From).wake()
	return c, nil
}

package messager

import (
	"context"
	"errors"
	"fmt"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"

	"github.com/filecoin-venus/venus/api"
	msgapi "github.com/filecoin-venus/venus/api/messager"
	"github.com/filecoin-venus/venus/messager/machine"
	"github.com/filecoin-venus/venus/messager/store"
	"github.com/filecoin-venus/venus/rpc"
)

// GetSharedParams returns the shared limits.
func (a *API) GetSharedParams(context.Context) (*msgapi.SharedParams, error) {
	sh := a.s.sharedLimits()
	return &msgapi.SharedParams{
		GasOverEstimation: sh.GasOverEstimation, MaxFee: zeroIfNil(sh.MaxFee).String(), MaxFeeCap: zeroIfNil(sh.MaxFeeCap).String(), SelMsgNum: sh.SelNum,
		GlobalMsgNum: sh.GlobalNum, ReplaceBudget: zeroIfNil(sh.ReplaceBudget).String(),
	}, nil
}

// SetSharedParams replaces the shared limits.
func (a *API) SetSharedParams(ctx context.Context, p *msgapi.SharedParams) (*msgapi.SharedParams, error) {
	if err := forAll(ctx); err != nil {
		return nil, err
	}
	if p == nil || p.GasOverEstimation < 1 || p.SelMsgNum == 0 {
		return nil, api.Errorf(api.CodeInvalid, "gasOverEstimation must be at least 1 and selMsgNum at least 1").WithHint("get the current values first and change only what you mean to")
	}
	fee, err := atto("maxFee", p.MaxFee)
	if err != nil {
		return nil, err
	}
	feeCap, err := atto("maxFeeCap", p.MaxFeeCap)
	if err != nil {
		return nil, err
	}
	if fee.IsZero() {
		return nil, api.Errorf(api.CodeInvalid, "maxFee must be above 0: with it no message could be sent")
	}
	budget, err := atto("replaceBudget", p.ReplaceBudget)
	if err != nil {
		return nil, err
	}
	sh := Shared{GlobalNum: p.GlobalMsgNum, ReplaceBudget: budget, Limits: machine.Limits{GasOverEstimation: p.GasOverEstimation, MaxFee: fee, MaxFeeCap: feeCap}, SelNum: p.SelMsgNum}
	if err := a.s.db.Update(ctx, func(tx *store.Tx) error { return tx.PutSetting(sharedName, sh) }); err != nil {
		return nil, fmt.Errorf("store shared limits: %w", err)
	}
	if err := a.refresh(ctx); err != nil {
		return nil, err
	}
	return a.GetSharedParams(ctx)
}

// RefreshSharedParams reads the shared limits again.
func (a *API) RefreshSharedParams(ctx context.Context) error {
	if err := forAll(ctx); err != nil {
		return err
	}
	return a.refresh(ctx)
}

func (a *API) refresh(ctx context.Context) error {
	if err := a.s.loadShared(ctx); err != nil {
		return err
	}
	a.s.wakeAll()
	return nil
}

// SaveNode adds a node to publish through.
func (a *API) SaveNode(ctx context.Context, n msgapi.NodeSpec) error {
	if err := forAll(ctx); err != nil {
		return err
	}
	if n.Name == "" || n.URL == "" {
		return api.Errorf(api.CodeInvalid, "name and url cannot be empty")
	}
	err := a.s.db.Update(ctx, func(tx *store.Tx) error {
		return tx.AddNode(store.Node{Name: n.Name, URL: n.URL, Token: rpc.CleanToken(n.Token), Gossip: n.Gossip})
	})
	if errors.Is(err, store.ErrExists) {
		return api.Errorf(api.CodeConflict, "there is a node named %q already", n.Name)
	}
	if err == nil {
		a.s.extras.load(ctx)
	}
	return err
}

// GetNode returns such a node without its token.
func (a *API) GetNode(ctx context.Context, name string) (*msgapi.Node, error) {
	if err := forAll(ctx); err != nil {
		return nil, err
	}
	all, err := a.ListNode(ctx)
	if err != nil {
		return nil, err
	}
	for _, n := range all {
		if n.Name == name {
			return n, nil
		}
	}
	return nil, api.Errorf(api.CodeNotFound, "there is no node named %q", name)
}

// HasNode tells whether a node's name is taken.
func (a *API) HasNode(ctx context.Context, name string) (bool, error) {
	if err := forAll(ctx); err != nil {
		return false, err
	}
	_, err := a.GetNode(ctx, name)
	if api.Explain(err) != nil && api.Explain(err).Code == api.CodeNotFound {
		return false, nil
	}
	return err == nil, err
}

// ListNode lists such nodes without their tokens.
func (a *API) ListNode(ctx context.Context) ([]*msgapi.Node, error) {
	if err := forAll(ctx); err != nil {
		return nil, err
	}
	all, err := a.s.db.Nodes(ctx)
	if err != nil {
		return nil, err
	}
	out := []*msgapi.Node{}
	for _, n := range all {
		out = append(out, &msgapi.Node{Name: n.Name, URL: n.URL, Gossip: n.Gossip})
	}
	return out, nil
}

// DeleteNode forgets such a node.
func (a *API) DeleteNode(ctx context.Context, name string) error {
	if err := forAll(ctx); err != nil {
		return err
	}
	err := a.s.db.Update(ctx, func(tx *store.Tx) error { return tx.DropNode(name) })
	if errors.Is(err, store.ErrNotFound) {
		return api.Errorf(api.CodeNotFound, "there is no node named %q", name)
	}
	if err == nil {
		a.s.extras.load(ctx)
	}
	return err
}

// ListFeeRules lists the fee rules.
func (a *API) ListFeeRules(ctx context.Context) ([]*msgapi.FeeRule, error) {
	rules, err := a.s.db.Rules(ctx)
	if err != nil {
		return nil, err
	}
	out := []*msgapi.FeeRule{}
	t := tenantOf(ctx)
	for _, r := range rules {
		if t.owns(r.Sender) || r.Sender == address.Undef {
			out = append(out, wireRule(r))
		}
	}
	return out, nil
}

func wireRule(r machine.Rule) *msgapi.FeeRule {
	out := &msgapi.FeeRule{
		GasOverEstimation: r.Limits.GasOverEstimation, MaxFee: zeroIfNil(r.Limits.MaxFee).String(), MaxFeeCap: zeroIfNil(r.Limits.MaxFeeCap).String(),
	}
	if r.Sender != address.Undef {
		out.Sender = &r.Sender
	}
	if r.Actor != address.Undef {
		out.Actor = &r.Actor
	}
	if r.Method != machine.AnyMethod {
		out.Method = &r.Method
	}
	return out
}

// rule reads what a rule is about, with the sender in the form messages have it in.
func (a *API) rule(ctx context.Context, w *msgapi.FeeRule) (machine.Rule, error) {
	if w == nil {
		return machine.Rule{}, api.Errorf(api.CodeInvalid, "no rule given")
	}
	r := machine.Rule{Method: machine.AnyMethod}
	if w.Sender != nil && *w.Sender != address.Undef {
		var err error
		if r.Sender, err = a.own(ctx, *w.Sender); err != nil {
			return r, err
		}
	} else if err := forAll(ctx); err != nil {
		return r, err
	}
	if w.Actor != nil {
		r.Actor = *w.Actor
	}
	if w.Method != nil {
		r.Method = abi.MethodNum(*w.Method)
	}
	switch {
	case r.Actor != address.Undef || r.Method != machine.AnyMethod:
		return r, nil
	case r.Sender != address.Undef:
		return r, api.Errorf(api.CodeInvalid, "a rule needs an actor or a method").WithHint("limits of a sender alone are set with `venus-messager address set-fee-params`")
	}
	return r, api.Errorf(api.CodeInvalid, "a rule needs an actor or a method").WithHint("limits of all messages are set with `venus-messager share-params set`")
}

// SetFeeRule stores a fee rule.
func (a *API) SetFeeRule(ctx context.Context, w *msgapi.FeeRule) error {
	r, err := a.rule(ctx, w)
	if err != nil {
		return err
	}
	if w.GasOverEstimation != 0 && w.GasOverEstimation < 1 {
		return api.Errorf(api.CodeInvalid, "gasOverEstimation %v is below 1", w.GasOverEstimation)
	}
	r.Limits.GasOverEstimation = w.GasOverEstimation
	if r.Limits.MaxFee, err = atto("maxFee", w.MaxFee); err != nil {
		return err
	}
	if r.Limits.MaxFeeCap, err = atto("maxFeeCap", w.MaxFeeCap); err != nil {
		return err
	}
	if err := a.s.db.Update(ctx, func(tx *store.Tx) error { return tx.PutRule(r) }); err != nil {
		return err
	}
	return a.refresh(ctx)
}

// DeleteFeeRule forgets a fee rule.
func (a *API) DeleteFeeRule(ctx context.Context, w *msgapi.FeeRule) error {
	r, err := a.rule(ctx, w)
	if err != nil {
		return err
	}
	err = a.s.db.Update(ctx, func(tx *store.Tx) error { return tx.DropRule(r) })
	if errors.Is(err, store.ErrNotFound) {
		return api.Errorf(api.CodeNotFound, "there is no %s", r.String()).WithHint("see `venus-messager fee-rule list`")
	}
	if err != nil {
		return err
	}
	return a.refresh(ctx)
}

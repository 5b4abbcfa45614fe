package messager

import (
	"context"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/ipfs/go-cid"

	"github.com/filecoin-venus/venus/api"
	msgapi "github.com/filecoin-venus/venus/api/messager"
	"github.com/filecoin-venus/venus/messager/machine"
	"github.com/filecoin-venus/venus/rpc"
	"github.com/filecoin-venus/venus/rpc/daemon"
	"github.com/filecoin-venus/venus/types"
)

// API serves a Service under the contract of api/messager: it converts, and
// leaves the work to the Service.
type API struct {
	*daemon.Base
	s *Service
}

var _ msgapi.Messager = (*API)(nil)

// NewAPI makes the API of a service.
func NewAPI(s *Service, tokens daemon.Tokens, version string) *API {
	return &API{s: s, Base: daemon.New(daemon.Options{
		Program: "venus-messager", Version: version, APIVersion: msgapi.Version,
		Namespace: msgapi.Namespace, Proxy: new(msgapi.MessagerProxy), Tokens: tokens,
	})}
}

// PushMessage queues a message and returns its id once it is durable.
func (a *API) PushMessage(ctx context.Context, msg *types.Message, meta *msgapi.MsgMeta, walletName string) (string, error) {
	return a.push(ctx, "", msg, meta, walletName)
}

// PushMessageWithId queues a message under the caller's id.
//
//nolint:revive // the field's spelling
func (a *API) PushMessageWithId(ctx context.Context, id string, msg *types.Message, meta *msgapi.MsgMeta, walletName string) (string, error) {
	if id == "" {
		return "", api.Errorf(api.CodeInvalid, "the id is empty").WithHint("use PushMessage to get one")
	}
	return a.push(ctx, id, msg, meta, walletName)
}

func (a *API) push(ctx context.Context, id string, msg *types.Message, meta *msgapi.MsgMeta, walletName string) (string, error) {
	caller, _ := rpc.CallerFrom(ctx)
	if msg != nil && msg.From != address.Undef {
		if err := a.sender(ctx, msg.From); err != nil {
			return "", err
		}
	}
	var lim machine.Limits
	if meta != nil {
		lim = machine.Limits{ExpireEpoch: meta.ExpireEpoch, GasOverEstimation: meta.GasOverEstimation, MaxFee: meta.MaxFee, MaxFeeCap: meta.MaxFeeCap}
		if lim.GasOverEstimation != 0 && lim.GasOverEstimation < 1 {
			return "", api.Errorf(api.CodeInvalid, "gasOverEstimation %v is below 1", lim.GasOverEstimation)
		}
	}
	return a.s.Accept(ctx, id, caller.Name, walletName, msg, lim)
}

// PushSignedMessage takes a message that was signed elsewhere.
func (a *API) PushSignedMessage(ctx context.Context, msg *types.SignedMessage) (string, error) {
	caller, _ := rpc.CallerFrom(ctx)
	if msg != nil && msg.Message.From != address.Undef {
		if err := a.sender(ctx, msg.Message.From); err != nil {
			return "", err
		}
	}
	return a.s.AcceptSigned(ctx, caller.Name, msg)
}

// ReplaceMessage signs a message under way again and returns its new CID.
func (a *API) ReplaceMessage(ctx context.Context, id string, auto bool, maxFee string, gasLimit int64, gasPremium, gasFeecap string) (cid.Cid, error) {
	if err := a.mine(ctx, id); err != nil {
		return cid.Undef, err
	}
	p := Price{Auto: auto, GasLimit: gasLimit}
	for _, x := range []struct {
		name, text string
		into       *big.Int
	}{{"maxFee", maxFee, &p.MaxFee}, {"gasPremium", gasPremium, &p.Premium}, {"gasFeecap", gasFeecap, &p.FeeCap}} {
		v, err := atto(x.name, x.text)
		if err != nil {
			return cid.Undef, err
		}
		*x.into = v
	}
	return a.s.Replace(ctx, id, p)
}

// atto reads a decimal amount of attoFIL; "" is zero.
func atto(name, text string) (big.Int, error) {
	if text == "" {
		return big.Zero(), nil
	}
	v, err := big.FromString(text)
	if err != nil || v.Sign() < 0 {
		return big.Zero(), api.Errorf(api.CodeInvalid, "%s %q is not an amount in attoFIL", name, text).WithHint("write a whole number, for example 7000000000000000")
	}
	return v, nil
}

// RepublishMessage pushes a message under way again.
func (a *API) RepublishMessage(ctx context.Context, id string) error {
	if err := a.mine(ctx, id); err != nil {
		return err
	}
	return a.s.Republish(ctx, id)
}

// MarkBadMessage gives up a queued message.
func (a *API) MarkBadMessage(ctx context.Context, id string) error {
	if err := a.mine(ctx, id); err != nil {
		return err
	}
	return a.s.MarkBad(ctx, id)
}

// UpdateFilledMessageByID asks the chain for the fate of a message.
func (a *API) UpdateFilledMessageByID(ctx context.Context, id string) error {
	if err := a.mine(ctx, id); err != nil {
		return err
	}
	return a.s.Reconcile(ctx, id)
}

// UpdateAllFilledMessage asks the chain for the fate of all messages.
func (a *API) UpdateAllFilledMessage(ctx context.Context) (int, error) {
	if err := forAll(ctx); err != nil {
		return 0, err
	}
	return a.s.ReconcileAll(ctx)
}

// key turns any form of an address into the form that messages are stored under.
func (a *API) key(ctx context.Context, addr address.Address) (address.Address, error) {
	if addr == address.Undef {
		return addr, api.Errorf(api.CodeInvalid, "no address given")
	}
	return a.s.keyOf(ctx, addr)
}

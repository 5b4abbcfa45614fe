package messager

import (
	"context"
	"sync"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/google/uuid"
	"github.com/ipfs/go-cid"
	logging "github.com/ipfs/go-log/v2"

	"github.com/filecoin-venus/venus/api"
	msgapi "github.com/filecoin-venus/venus/api/messager"
	"github.com/filecoin-venus/venus/messager/machine"
	"github.com/filecoin-venus/venus/rpc"
	"github.com/filecoin-venus/venus/types"
)

// Tokens are the messager's own tokens; auth/localtoken satisfies it.
type Tokens interface {
	New(perms []api.Permission) ([]byte, error)
	Verify(token string) ([]api.Permission, error)
}

// API serves a Service under the contract of api/messager: it converts, and
// leaves the work to the Service.
type API struct {
	s       *Service
	tokens  Tokens
	version string
	session string
	closing chan struct{}
	once    sync.Once
}

var _ msgapi.Messager = (*API)(nil)

// NewAPI makes the API of a service.
func NewAPI(s *Service, tokens Tokens, version string) *API {
	return &API{s: s, tokens: tokens, version: version, session: uuid.NewString(), closing: make(chan struct{})}
}

// Done is closed when a caller asked for shutdown.
func (a *API) Done() <-chan struct{} { return a.closing }

// Version names the program.
func (a *API) Version(context.Context) (api.Version, error) {
	return api.Version{Version: a.version, APIVersion: msgapi.Version}, nil
}

// Session is new at every start.
func (a *API) Session(context.Context) (string, error) { return a.session, nil }

// Discover describes the methods.
func (a *API) Discover(context.Context) (map[string]any, error) {
	return rpc.Describe("venus-messager", a.version, msgapi.Namespace, new(msgapi.MessagerProxy))
}

// Closing gives a channel that closes when the messager stops.
func (a *API) Closing(context.Context) (<-chan struct{}, error) { return a.closing, nil }

// Shutdown stops the messager.
func (a *API) Shutdown(context.Context) error {
	a.once.Do(func() { close(a.closing) })
	return nil
}

// LogList names the log systems.
func (a *API) LogList(context.Context) ([]string, error) { return logging.GetSubsystems(), nil }

// LogSetLevel sets the level of one log system, or of all with "*".
func (a *API) LogSetLevel(_ context.Context, system, level string) error {
	if err := logging.SetLogLevel(system, level); err != nil {
		return api.Errorf(api.CodeInvalid, "set log level: %w", err)
	}
	return nil
}

// AuthVerify returns the permissions of one of this messager's own tokens.
func (a *API) AuthVerify(_ context.Context, token string) ([]api.Permission, error) {
	return a.tokens.Verify(token)
}

// AuthNew makes a token.
func (a *API) AuthNew(_ context.Context, perms []api.Permission) ([]byte, error) {
	for _, p := range perms {
		if _, err := api.ParsePermission(string(p)); err != nil {
			return nil, api.Errorf(api.CodeInvalid, "%w", err)
		}
	}
	if len(perms) == 0 {
		return nil, api.Errorf(api.CodeInvalid, "a token without permissions is of no use")
	}
	return a.tokens.New(perms)
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
	var lim machine.Limits
	if meta != nil {
		lim = machine.Limits{ExpireEpoch: meta.ExpireEpoch, GasOverEstimation: meta.GasOverEstimation, MaxFee: meta.MaxFee, MaxFeeCap: meta.MaxFeeCap}
		if lim.GasOverEstimation != 0 && lim.GasOverEstimation < 1 {
			return "", api.Errorf(api.CodeInvalid, "gasOverEstimation %v is below 1", lim.GasOverEstimation)
		}
	}
	return a.s.Accept(ctx, id, caller.Name, walletName, msg, lim)
}

// ReplaceMessage signs a message under way again and returns its new CID.
func (a *API) ReplaceMessage(ctx context.Context, id string, auto bool, maxFee string, gasLimit int64, gasPremium, gasFeecap string) (cid.Cid, error) {
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
func (a *API) RepublishMessage(ctx context.Context, id string) error { return a.s.Republish(ctx, id) }

// MarkBadMessage gives up a queued message.
func (a *API) MarkBadMessage(ctx context.Context, id string) error { return a.s.MarkBad(ctx, id) }

// UpdateFilledMessageByID asks the chain for the fate of a message.
func (a *API) UpdateFilledMessageByID(ctx context.Context, id string) error {
	return a.s.Reconcile(ctx, id)
}

// UpdateAllFilledMessage asks the chain for the fate of all messages.
func (a *API) UpdateAllFilledMessage(ctx context.Context) (int, error) { return a.s.ReconcileAll(ctx) }

// key turns any form of an address into the form that messages are stored under.
func (a *API) key(ctx context.Context, addr address.Address) (address.Address, error) {
	if addr == address.Undef {
		return addr, api.Errorf(api.CodeInvalid, "no address given")
	}
	return a.s.keyOf(ctx, addr)
}

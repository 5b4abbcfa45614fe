package messager

import (
	"context"
	"slices"

	"github.com/filecoin-project/go-address"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/messager/machine"
	"github.com/filecoin-venus/venus/rpc"
)

// tenant is what a caller may see and touch: the addresses that venus-auth gives its
// user, or all of them. What belongs to others does not exist for it.
type tenant struct {
	// all: the caller is not limited to any addresses.
	all     bool
	signers []address.Address
}

func tenantOf(ctx context.Context) tenant {
	caller, ok := rpc.CallerFrom(ctx)
	if !ok || caller.Scope == nil || caller.Scope.Signers == nil {
		return tenant{all: true} // within the process, or not limited
	}
	return tenant{signers: caller.Scope.Signers}
}

func (t tenant) owns(a address.Address) bool { return t.all || slices.Contains(t.signers, a) }

// owned keeps the addresses of a filter that the tenant owns; no filter means all it
// owns. none tells that nothing is left to look for.
func (t tenant) owned(filter []address.Address) (keep []address.Address, none bool) {
	if t.all {
		return filter, false
	}
	if len(filter) == 0 {
		return t.signers, len(t.signers) == 0
	}
	for _, a := range filter {
		if t.owns(a) {
			keep = append(keep, a)
		}
	}
	return keep, len(keep) == 0
}

// forAll refuses a caller that is limited to some addresses what concerns all.
func forAll(ctx context.Context) error {
	if tenantOf(ctx).all {
		return nil
	}
	return api.Errorf(api.CodePermission, "this token is limited to the addresses of its user, and this concerns all").
		WithHint("use a token without a scope")
}

// message returns a message by id that the caller may see; any other is unknown.
func (a *API) message(ctx context.Context, id string) (machine.Message, error) {
	m, err := a.s.Message(ctx, id)
	if err == nil && !tenantOf(ctx).owns(m.Msg.From) {
		return machine.Message{}, api.Errorf(api.CodeNotFound, "message %s is unknown", id).WithHint("see `venus-messager msg list`")
	}
	return m, err
}

// mine is nil if the caller may touch the message.
func (a *API) mine(ctx context.Context, id string) error {
	_, err := a.message(ctx, id)
	return err
}

// own turns an address of the caller's into the form that messages are stored under;
// one of somebody else's is unknown.
func (a *API) own(ctx context.Context, addr address.Address) (address.Address, error) {
	key, err := a.key(ctx, addr)
	if err == nil && !tenantOf(ctx).owns(key) {
		return address.Undef, api.Errorf(api.CodeNotFound, "address %s is unknown", key).WithHint("see `venus-messager address list`")
	}
	return key, err
}

// sender refuses to send from an address that is not the caller's.
func (a *API) sender(ctx context.Context, from address.Address) error {
	t := tenantOf(ctx)
	if t.all {
		return nil
	}
	key, err := a.key(ctx, from)
	if err == nil && !t.owns(key) {
		err = api.Errorf(api.CodePermission, "address %s does not belong to the user of this token", key).
			WithHint("have it registered with `venus-auth user signer add`, or send from an address of your own")
	}
	return err
}

// Shutdown asks the messager to stop.
func (a *API) Shutdown(ctx context.Context) error {
	if err := forAll(ctx); err != nil {
		return err
	}
	return a.Base.Shutdown(ctx)
}

// LogSetLevel sets the level of one log system, or of all with "*".
func (a *API) LogSetLevel(ctx context.Context, system, level string) error {
	if err := forAll(ctx); err != nil {
		return err
	}
	return a.Base.LogSetLevel(ctx, system, level)
}

// AuthNew makes a token of this messager's own. Such tokens know no users, so a caller
// that is limited to some addresses gets none.
func (a *API) AuthNew(ctx context.Context, perms []api.Permission) ([]byte, error) {
	if err := forAll(ctx); err != nil {
		return nil, err
	}
	return a.Base.AuthNew(ctx, perms)
}

package state

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/account"
	init7 "github.com/filecoin-project/specs-actors/v7/actors/builtin/init"
	"github.com/filecoin-project/specs-actors/v7/actors/util/adt"
	"github.com/ipfs/go-cid"
	cbor "github.com/ipfs/go-ipld-cbor"

	"github.com/filecoin-venus/venus/types"
)

// ErrWrongActor says that the actor at an address is of another kind than the question needs.
var ErrWrongActor = errors.New("actor is of another kind")

// View answers questions about one state root: for consensus, services and people. It never writes. Safe for concurrent
// use; it reads lazily and remembers the actors it has seen, so keep one per question or per tipset, not for ever.
type View struct {
	store cbor.IpldStore
	root  cid.Cid

	mu   sync.Mutex
	tree *Tree
	// kept are objects that were read, by their CIDs; nil where they are not kept.
	kept map[cid.Cid]any
}

// NewView returns a view of the state under root. Nothing is read yet.
func NewView(store cbor.IpldStore, root cid.Cid) *View { return &View{store: store, root: root} }

// NewKeptView returns a view that also keeps the state objects of the actors it has seen. It is for the one who asks about the
// same few actors of a state again and again, and not for a tour of all of them.
func NewKeptView(store cbor.IpldStore, root cid.Cid) *View {
	return &View{store: store, root: root, kept: map[cid.Cid]any{}}
}

// Root is the state root that the view reads.
func (v *View) Root() cid.Cid { return v.root }

func (v *View) adt(ctx context.Context) adt.Store { return adt.WrapStore(ctx, v.store) }

// with runs fn on the tree, which is not safe for concurrent use by itself.
func (v *View) with(ctx context.Context, fn func(*Tree) error) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.tree == nil {
		t, err := Load(ctx, v.store, v.root)
		if err != nil {
			return err
		}
		v.tree = t
	}
	return fn(v.tree)
}

// Actor returns the record at an address of any form, or ErrActorNotFound.
func (v *View) Actor(ctx context.Context, addr address.Address) (*types.Actor, error) {
	var out *types.Actor
	err := v.with(ctx, func(t *Tree) (err error) {
		out, err = t.GetActor(ctx, addr)
		return err
	})
	return out, err
}

// ForEachActor visits every actor.
func (v *View) ForEachActor(ctx context.Context, fn func(id address.Address, act *types.Actor) error) error {
	return v.with(ctx, func(t *Tree) error { return t.ForEach(ctx, fn) })
}

// LookupID returns the ID form of an address, or ErrActorNotFound.
func (v *View) LookupID(ctx context.Context, addr address.Address) (address.Address, error) {
	var out address.Address
	err := v.with(ctx, func(t *Tree) (err error) {
		out, err = t.LookupID(ctx, addr)
		return err
	})
	return out, err
}

// ResolveToKey returns the key address of an account; key addresses come back as they are.
func (v *View) ResolveToKey(ctx context.Context, addr address.Address) (address.Address, error) {
	if p := addr.Protocol(); p == address.BLS || p == address.SECP256K1 {
		return addr, nil
	}
	_, st, err := stateOf[account.State](ctx, v, addr, builtin.AccountActorCodeID)
	if err != nil {
		return address.Undef, fmt.Errorf("key of %s: %w", addr, err)
	}
	return st.Address, nil
}

// RobustAddress returns the address that survives reorganisations: the key of an account, the f2 form of anything else
// known to the init actor.
func (v *View) RobustAddress(ctx context.Context, addr address.Address) (address.Address, error) {
	if addr.Protocol() != address.ID {
		return addr, nil
	}
	act, err := v.Actor(ctx, addr)
	if err != nil {
		return address.Undef, err
	}
	if act.Code == builtin.AccountActorCodeID {
		return v.ResolveToKey(ctx, addr)
	}
	want, err := address.IDFromAddress(addr)
	if err != nil {
		return address.Undef, err
	}
	book, err := v.addressBook(ctx)
	if err != nil {
		return address.Undef, err
	}
	var id actorNumber
	found := address.Undef
	err = book.ForEach(&id, func(key string) error {
		if uint64(id) != want {
			return nil
		}
		a, err := address.NewFromBytes([]byte(key))
		if err == nil {
			found = a
		}
		return err
	})
	if err != nil {
		return address.Undef, fmt.Errorf("search address map for %s: %w", addr, err)
	}
	if found == address.Undef {
		return address.Undef, fmt.Errorf("robust address of %s: %w", addr, ErrActorNotFound)
	}
	return found, nil
}

func (v *View) addressBook(ctx context.Context) (*adt.Map, error) {
	_, st, err := stateOf[init7.State](ctx, v, builtin.InitActorAddr, builtin.InitActorCodeID)
	if err != nil {
		return nil, fmt.Errorf("init state: %w", err)
	}
	book, err := adt.AsMap(v.adt(ctx), st.AddressMap, builtin.DefaultHamtBitwidth)
	if err != nil {
		return nil, fmt.Errorf("address map: %w", err)
	}
	return book, nil
}

// NetworkName is the name in the init actor's state.
func (v *View) NetworkName(ctx context.Context) (string, error) {
	_, st, err := stateOf[init7.State](ctx, v, builtin.InitActorAddr, builtin.InitActorCodeID)
	if err != nil {
		return "", fmt.Errorf("network name: %w", err)
	}
	return st.NetworkName, nil
}

// Balance is what an actor owns; zero for an address that nobody has used yet.
func (v *View) Balance(ctx context.Context, addr address.Address) (abi.TokenAmount, error) {
	act, err := v.Actor(ctx, addr)
	if errors.Is(err, ErrActorNotFound) {
		return abi.NewTokenAmount(0), nil
	}
	if err != nil {
		return abi.TokenAmount{}, err
	}
	return act.Balance, nil
}

// stateOf reads an actor's record and state object after checking that the actor is of the kind asked for. The object is the
// caller's, but not what it points to.
func stateOf[T any](ctx context.Context, v *View, addr address.Address, code cid.Cid) (*types.Actor, *T, error) {
	act, err := v.Actor(ctx, addr)
	if err != nil {
		return nil, nil, err
	}
	if act.Code != code {
		return nil, nil, fmt.Errorf("%s is %s, not %s: %w", addr, builtin.ActorNameByCode(act.Code), builtin.ActorNameByCode(code), ErrWrongActor)
	}
	st, err := loadObject[T](ctx, v, act.Head)
	if err != nil {
		return nil, nil, fmt.Errorf("load state of %s: %w", addr, err)
	}
	return act, st, nil
}

// loadObject reads an object of type T by its CID, or takes it from those that the view keeps.
func loadObject[T any](ctx context.Context, v *View, c cid.Cid) (*T, error) {
	if v.kept == nil {
		out := new(T)
		return out, v.store.Get(ctx, c, out)
	}
	v.mu.Lock()
	known, ok := v.kept[c].(*T)
	v.mu.Unlock()
	if !ok {
		known = new(T)
		if err := v.store.Get(ctx, c, known); err != nil {
			return nil, err
		}
		v.mu.Lock()
		v.kept[c] = known
		v.mu.Unlock()
	}
	out := *known
	return &out, nil
}

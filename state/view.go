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
}

// NewView returns a view of the state under root. Nothing is read yet.
func NewView(store cbor.IpldStore, root cid.Cid) *View { return &View{store: store, root: root} }

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
	var st account.State
	if err := v.load(ctx, addr, builtin.AccountActorCodeID, &st); err != nil {
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
	var st init7.State
	if err := v.load(ctx, builtin.InitActorAddr, builtin.InitActorCodeID, &st); err != nil {
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
	var st init7.State
	if err := v.load(ctx, builtin.InitActorAddr, builtin.InitActorCodeID, &st); err != nil {
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

// load reads an actor's state object after checking that the actor is of the kind asked for.
func (v *View) load(ctx context.Context, addr address.Address, code cid.Cid, into any) error {
	_, err := v.loadActor(ctx, addr, code, into)
	return err
}

func (v *View) loadActor(ctx context.Context, addr address.Address, code cid.Cid, into any) (*types.Actor, error) {
	act, err := v.Actor(ctx, addr)
	if err != nil {
		return nil, err
	}
	if act.Code != code {
		return nil, fmt.Errorf("%s is %s, not %s: %w", addr, builtin.ActorNameByCode(act.Code), builtin.ActorNameByCode(code), ErrWrongActor)
	}
	if err := v.store.Get(ctx, act.Head, into); err != nil {
		return nil, fmt.Errorf("load state of %s: %w", addr, err)
	}
	return act, nil
}

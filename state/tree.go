package state

import (
	"context"
	"errors"
	"fmt"
	"sort"

	"github.com/filecoin-project/go-address"
	hamt "github.com/filecoin-project/go-hamt-ipld/v3"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin"
	init7 "github.com/filecoin-project/specs-actors/v7/actors/builtin/init"
	"github.com/filecoin-project/specs-actors/v7/actors/util/adt"
	"github.com/ipfs/go-cid"
	cbor "github.com/ipfs/go-ipld-cbor"

	"github.com/filecoin-venus/venus/types"
)

// ErrActorNotFound says that no actor lives at an address, or that a key or
// actor address has no ID yet.
var ErrActorNotFound = errors.New("actor not found")

// ErrTreeVersion says that a tree has a layout this program cannot write.
var ErrTreeVersion = errors.New("unsupported state tree version")

// Tree is the table of all actors, keyed by ID address, over one state root.
// Changes live in memory until Flush. Not safe for concurrent use.
type Tree struct {
	store cbor.IpldStore
	root  types.StateRoot
	table actorTable

	// actors holds what was read or written since Load; see slot.
	actors map[address.Address]slot
	// ids remembers resolved addresses. Entries made after a snapshot go with it.
	ids map[address.Address]address.Address
	// journal holds the undo steps of every change, oldest first.
	journal []undo

	book addressBook
}

// actorTable is the persistent map below a tree.
type actorTable interface {
	find(ctx context.Context, key string, into *types.Actor) (bool, error)
	forEach(ctx context.Context, fn func(key string, act *types.Actor) error) error
}

// slot is the current in-memory record of one actor.
type slot struct {
	actor   types.Actor
	present bool
	dirty   bool
}

// undo restores one entry of actors or, for a fresh resolution, drops it.
type undo struct {
	addr    address.Address
	prev    slot
	had     bool
	isIDMap bool
}

// Mark is a point in a tree's history that Revert can return to.
type Mark int

// Load opens the tree under a state root of any version.
func Load(ctx context.Context, store cbor.IpldStore, root cid.Cid) (*Tree, error) {
	sr, err := loadRoot(ctx, store, root)
	if err != nil {
		return nil, fmt.Errorf("load state root %s: %w", root, err)
	}
	t := newTree(store, sr)
	if sr.Version < firstHamt3Version {
		t.table = &oldTable{store: store, root: sr.Actors}
		return t, nil
	}
	node, err := hamt.LoadNode(ctx, store, sr.Actors, hamtOptions()...)
	if err != nil {
		return nil, fmt.Errorf("load actors of state root %s: %w", root, err)
	}
	t.table = (*hamtTable)(node)
	return t, nil
}

// New makes an empty tree of the newest layout.
func New(ctx context.Context, store cbor.IpldStore) (*Tree, error) {
	info, err := store.Put(ctx, emptyArray{})
	if err != nil {
		return nil, fmt.Errorf("store state info: %w", err)
	}
	node, err := hamt.NewNode(store, hamtOptions()...)
	if err != nil {
		return nil, fmt.Errorf("make actors table: %w", err)
	}
	t := newTree(store, types.StateRoot{Version: types.StateTreeVersion4, Info: info})
	t.table = (*hamtTable)(node)
	return t, nil
}

func newTree(store cbor.IpldStore, sr types.StateRoot) *Tree {
	return &Tree{
		store:  store,
		root:   sr,
		actors: map[address.Address]slot{},
		ids:    map[address.Address]address.Address{},
	}
}

// Version is the layout of the tree: 4 since actors v5, 0 for a bare table.
func (t *Tree) Version() uint64 { return t.root.Version }

// Store is the object store the tree reads and writes.
func (t *Tree) Store() cbor.IpldStore { return t.store }

// GetActor returns a copy of the record at an address of any form, or
// ErrActorNotFound.
func (t *Tree) GetActor(ctx context.Context, addr address.Address) (*types.Actor, error) {
	id, err := t.LookupID(ctx, addr)
	if err != nil {
		return nil, err
	}
	s, err := t.load(ctx, id)
	if err != nil {
		return nil, err
	}
	if !s.present {
		return nil, fmt.Errorf("actor %s: %w", addr, ErrActorNotFound)
	}
	act := s.actor
	return &act, nil
}

// load brings the slot of an ID address into memory.
func (t *Tree) load(ctx context.Context, id address.Address) (slot, error) {
	if s, ok := t.actors[id]; ok {
		return s, nil
	}
	var s slot
	found, err := t.table.find(ctx, string(id.Bytes()), &s.actor)
	if err != nil {
		return slot{}, fmt.Errorf("read actor %s: %w", id, err)
	}
	s.present = found
	// A clean read needs no undo step: the table below cannot change.
	t.actors[id] = s
	return s, nil
}

// SetActor puts a record at an address that resolves to an ID.
func (t *Tree) SetActor(ctx context.Context, addr address.Address, act *types.Actor) error {
	id, err := t.LookupID(ctx, addr)
	if err != nil {
		return fmt.Errorf("set actor: %w", err)
	}
	t.put(id, slot{actor: *act, present: true, dirty: true})
	return nil
}

// DeleteActor removes the record at an address; ErrActorNotFound if none.
func (t *Tree) DeleteActor(ctx context.Context, addr address.Address) error {
	id, err := t.LookupID(ctx, addr)
	if err != nil {
		return fmt.Errorf("delete actor: %w", err)
	}
	s, err := t.load(ctx, id)
	if err != nil {
		return err
	}
	if !s.present {
		return fmt.Errorf("delete actor %s: %w", id, ErrActorNotFound)
	}
	t.put(id, slot{dirty: true})
	return nil
}

func (t *Tree) put(id address.Address, s slot) {
	prev, had := t.actors[id]
	t.journal = append(t.journal, undo{addr: id, prev: prev, had: had})
	t.actors[id] = s
}

// LookupID returns the ID form of an address; an ID address comes back as it
// is, existing or not. ErrActorNotFound if the init actor does not know it.
func (t *Tree) LookupID(ctx context.Context, addr address.Address) (address.Address, error) {
	if addr.Protocol() == address.ID {
		return addr, nil
	}
	if id, ok := t.ids[addr]; ok {
		return id, nil
	}
	if addr == address.Undef {
		return address.Undef, fmt.Errorf("undefined address: %w", ErrActorNotFound)
	}
	init, err := t.load(ctx, builtin.InitActorAddr)
	if err != nil {
		return address.Undef, err
	}
	if !init.present {
		return address.Undef, fmt.Errorf("resolve %s: no init actor: %w", addr, ErrActorNotFound)
	}
	id, found, err := t.book.find(ctx, t, init.actor.Head, addr)
	if err != nil {
		return address.Undef, fmt.Errorf("resolve %s: %w", addr, err)
	}
	if !found {
		return address.Undef, fmt.Errorf("resolve %s: %w", addr, ErrActorNotFound)
	}
	t.remember(addr, id)
	return id, nil
}

func (t *Tree) remember(addr, id address.Address) {
	t.journal = append(t.journal, undo{addr: addr, isIDMap: true})
	t.ids[addr] = id
}

// RegisterNewAddress gives an address the next free ID in the init actor's map.
// The actor itself is not created.
func (t *Tree) RegisterNewAddress(ctx context.Context, addr address.Address) (address.Address, error) {
	act, err := t.GetActor(ctx, builtin.InitActorAddr)
	if err != nil {
		return address.Undef, fmt.Errorf("register %s: %w", addr, err)
	}
	var st init7.State
	if err := t.store.Get(ctx, act.Head, &st); err != nil {
		return address.Undef, fmt.Errorf("register %s: load init state: %w", addr, err)
	}
	id, err := st.MapAddressToNewID(adt.WrapStore(ctx, t.store), addr)
	if err != nil {
		return address.Undef, fmt.Errorf("register %s: %w", addr, err)
	}
	if act.Head, err = t.store.Put(ctx, &st); err != nil {
		return address.Undef, fmt.Errorf("register %s: store init state: %w", addr, err)
	}
	t.put(builtin.InitActorAddr, slot{actor: *act, present: true, dirty: true})
	t.remember(addr, id)
	return id, nil
}

// Snapshot marks the present; constant time.
func (t *Tree) Snapshot() Mark { return Mark(len(t.journal)) }

// Revert undoes everything since the mark, in time proportional to the changes.
func (t *Tree) Revert(m Mark) {
	for i := len(t.journal) - 1; i >= int(m); i-- {
		u := t.journal[i]
		switch {
		case u.isIDMap:
			delete(t.ids, u.addr)
		case u.had:
			t.actors[u.addr] = u.prev
		default:
			delete(t.actors, u.addr)
		}
	}
	t.journal = t.journal[:m]
}

// Flush writes the changed records and returns the new state root. Marks taken
// before are void afterwards.
func (t *Tree) Flush(ctx context.Context) (cid.Cid, error) {
	table, ok := t.table.(*hamtTable)
	if !ok {
		return cid.Undef, fmt.Errorf("flush state tree: version %d: %w", t.root.Version, ErrTreeVersion)
	}
	if err := t.writeDirty(ctx, (*hamt.Node)(table)); err != nil {
		return cid.Undef, fmt.Errorf("flush state tree: %w", err)
	}
	actors, err := (*hamt.Node)(table).Write(ctx)
	if err != nil {
		return cid.Undef, fmt.Errorf("flush actors table: %w", err)
	}
	t.root.Actors = actors
	root, err := t.store.Put(ctx, &t.root)
	if err != nil {
		return cid.Undef, fmt.Errorf("store state root: %w", err)
	}
	t.journal = t.journal[:0]
	return root, nil
}

func (t *Tree) writeDirty(ctx context.Context, node *hamt.Node) error {
	dirty := make([]address.Address, 0, len(t.actors))
	for id, s := range t.actors {
		if s.dirty {
			dirty = append(dirty, id)
		}
	}
	sort.Slice(dirty, func(i, j int) bool {
		return string(dirty[i].Bytes()) < string(dirty[j].Bytes())
	})
	for _, id := range dirty {
		s := t.actors[id]
		key := string(id.Bytes())
		if s.present {
			if err := node.Set(ctx, key, &s.actor); err != nil {
				return fmt.Errorf("write actor %s: %w", id, err)
			}
		} else if _, err := node.Delete(ctx, key); err != nil {
			return fmt.Errorf("delete actor %s: %w", id, err)
		}
		s.dirty = false
		t.actors[id] = s
	}
	return nil
}

// ForEach visits every actor of the tree as last flushed, in the table's order.
// Unflushed changes make it fail rather than lie.
func (t *Tree) ForEach(ctx context.Context, fn func(id address.Address, act *types.Actor) error) error {
	for id, s := range t.actors {
		if s.dirty {
			return fmt.Errorf("walk state tree: actor %s is not flushed", id)
		}
	}
	return t.table.forEach(ctx, func(key string, act *types.Actor) error {
		id, err := address.NewFromBytes([]byte(key))
		if err != nil {
			return fmt.Errorf("walk state tree: key %x: %w", key, err)
		}
		return fn(id, act)
	})
}

// addressBook caches the init actor's map for the head it was read at.
type addressBook struct {
	head cid.Cid
	old  *oldTable
	book *adt.Map
}

func (b *addressBook) find(ctx context.Context, t *Tree, head cid.Cid, addr address.Address) (address.Address, bool, error) {
	if b.head != head {
		var st init7.State
		if err := t.store.Get(ctx, head, &st); err != nil {
			return address.Undef, false, fmt.Errorf("load init state: %w", err)
		}
		b.head = cid.Undef
		if t.root.Version < firstHamt3Version {
			b.old = &oldTable{store: t.store, root: st.AddressMap}
		} else {
			book, err := adt.AsMap(adt.WrapStore(ctx, t.store), st.AddressMap, builtin.DefaultHamtBitwidth)
			if err != nil {
				return address.Undef, false, fmt.Errorf("load address map: %w", err)
			}
			b.book = book
		}
		b.head = head
	}
	var id actorNumber
	var found bool
	var err error
	if b.old != nil {
		found, err = b.old.get(ctx, string(addr.Bytes()), &id)
	} else {
		found, err = b.book.Get(abi.AddrKey(addr), &id)
	}
	if err != nil || !found {
		return address.Undef, false, err
	}
	a, err := address.NewIDAddress(uint64(id))
	return a, err == nil, err
}

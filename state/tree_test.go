package state

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"testing"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin"
	init7 "github.com/filecoin-project/specs-actors/v7/actors/builtin/init"
	"github.com/ipfs/go-cid"
	"github.com/stretchr/testify/require"
	cbg "github.com/whyrusleeping/cbor-gen"
	"pgregory.net/rapid"

	"github.com/filecoin-venus/venus/ipld"
	"github.com/filecoin-venus/venus/types"
)

func treeID(n uint64) address.Address {
	a, err := address.NewIDAddress(n)
	if err != nil {
		panic(err)
	}
	return a
}

func treeKey(n byte) address.Address {
	a, err := address.NewSecp256k1Address([]byte{n})
	if err != nil {
		panic(err)
	}
	return a
}

// newTree makes an empty tree with an init actor.
func newTestTree(t require.TestingT) (*Tree, *ipld.Store) {
	ctx := context.Background()
	store := ipld.NewStore(ctx, ipld.NewMemory())
	tree, err := New(ctx, store)
	require.NoError(t, err)
	st, err := init7.ConstructState(store, "test")
	require.NoError(t, err)
	head, err := store.Put(ctx, st)
	require.NoError(t, err)
	require.NoError(t, tree.SetActor(ctx, builtin.InitActorAddr, &types.Actor{Code: builtin.InitActorCodeID, Head: head, Balance: big.Zero()}))
	return tree, store
}

// model is the plain idea of a tree: copies of maps.
type model struct {
	actors map[uint64]int64
	keys   map[byte]uint64
	next   uint64
}

func (m model) clone() model {
	c := model{actors: map[uint64]int64{}, keys: map[byte]uint64{}, next: m.next}
	for k, v := range m.actors {
		c.actors[k] = v
	}
	for k, v := range m.keys {
		c.keys[k] = v
	}
	return c
}

// run is a tree beside its model, with the snapshots of both.
type run struct {
	t     *rapid.T
	tree  *Tree
	now   model
	marks []Mark
	saved []model
}

func (r *run) step(ctx context.Context) {
	id := rapid.Uint64Range(100, 140).Draw(r.t, "id")
	key := rapid.ByteRange(0, 8).Draw(r.t, "key")
	switch rapid.IntRange(0, 6).Draw(r.t, "op") {
	case 0, 1:
		v := rapid.Int64Range(0, 3).Draw(r.t, "balance")
		require.NoError(r.t, r.tree.SetActor(ctx, treeID(id), &types.Actor{
			Code: builtin.AccountActorCodeID, Head: builtin.AccountActorCodeID, Balance: big.NewInt(v),
		}))
		r.now.actors[id] = v
	case 2:
		err := r.tree.DeleteActor(ctx, treeID(id))
		if _, ok := r.now.actors[id]; ok {
			require.NoError(r.t, err)
		} else {
			require.ErrorIs(r.t, err, ErrActorNotFound)
		}
		delete(r.now.actors, id)
	case 3:
		r.marks = append(r.marks, r.tree.Snapshot())
		r.saved = append(r.saved, r.now.clone())
	case 4:
		if len(r.marks) == 0 {
			return
		}
		n := rapid.IntRange(0, len(r.marks)-1).Draw(r.t, "mark")
		r.tree.Revert(r.marks[n])
		r.now = r.saved[n].clone()
		r.marks, r.saved = r.marks[:n], r.saved[:n]
	case 5:
		if _, ok := r.now.keys[key]; ok {
			return
		}
		got, err := r.tree.RegisterNewAddress(ctx, treeKey(key))
		require.NoError(r.t, err)
		require.Equal(r.t, treeID(r.now.next), got)
		r.now.keys[key] = r.now.next
		r.now.next++
	case 6:
		_, err := r.tree.Flush(ctx)
		require.NoError(r.t, err)
		r.marks, r.saved = nil, nil
	}
}

func (r *run) check(ctx context.Context, tree *Tree) {
	for id := uint64(100); id <= 140; id++ {
		act, err := tree.GetActor(ctx, treeID(id))
		if want, ok := r.now.actors[id]; ok {
			require.NoError(r.t, err)
			require.Equal(r.t, big.NewInt(want), act.Balance)
		} else {
			require.ErrorIs(r.t, err, ErrActorNotFound)
		}
	}
	for key := byte(0); key <= 8; key++ {
		id, err := tree.LookupID(ctx, treeKey(key))
		if want, ok := r.now.keys[key]; ok {
			require.NoError(r.t, err)
			require.Equal(r.t, treeID(want), id)
		} else {
			require.ErrorIs(r.t, err, ErrActorNotFound)
		}
	}
}

func TestTreeAgainstModel(t *testing.T) {
	ctx := context.Background()
	rapid.Check(t, func(rt *rapid.T) {
		tree, store := newTestTree(rt)
		r := &run{t: rt, tree: tree, now: model{actors: map[uint64]int64{}, keys: map[byte]uint64{}, next: 100}}
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			r.step(ctx)
		}
		r.check(ctx, tree)
		root, err := tree.Flush(ctx)
		require.NoError(rt, err)
		again, err := Load(ctx, store, root)
		require.NoError(rt, err)
		r.check(ctx, again)
		count := 0
		require.NoError(rt, again.ForEach(ctx, func(address.Address, *types.Actor) error { count++; return nil }))
		require.Equal(rt, len(r.now.actors)+1, count)
		same, err := again.Flush(ctx)
		require.NoError(rt, err)
		require.Equal(rt, root, same, "an unchanged tree keeps its root")
	})
}

func TestTreeHandsOutCopies(t *testing.T) {
	ctx := context.Background()
	tree, _ := newTestTree(t)
	require.NoError(t, tree.SetActor(ctx, treeID(100), &types.Actor{
		Code: builtin.AccountActorCodeID, Head: builtin.AccountActorCodeID, Balance: big.NewInt(5),
	}))
	act, err := tree.GetActor(ctx, treeID(100))
	require.NoError(t, err)
	act.Nonce, act.Balance = 9, big.NewInt(6)
	again, err := tree.GetActor(ctx, treeID(100))
	require.NoError(t, err)
	require.Zero(t, again.Nonce)
	require.Equal(t, big.NewInt(5), again.Balance)
	require.ErrorContains(t, tree.ForEach(ctx, func(address.Address, *types.Actor) error { return nil }), "not flushed")
}

func TestTreeUndefinedAddress(t *testing.T) {
	tree, _ := newTestTree(t)
	_, err := tree.GetActor(context.Background(), address.Undef)
	require.ErrorIs(t, err, ErrActorNotFound)
}

// object writes given CBOR.
type object []byte

func (o object) MarshalCBOR(w io.Writer) error {
	_, err := w.Write(o)
	return err
}

// oldBucketNode is a node of the old encoding with one bucket.
func oldBucketNode(t *testing.T, key address.Address, value cbg.CBORMarshaler) object {
	t.Helper()
	var b bytes.Buffer
	w := cbg.NewCborWriter(&b)
	bits := []byte{1}
	require.NoError(t, w.WriteMajorTypeHeader(cbg.MajArray, 2))
	require.NoError(t, cbg.WriteByteArray(w, bits))
	require.NoError(t, w.WriteMajorTypeHeader(cbg.MajArray, 1))
	require.NoError(t, w.WriteMajorTypeHeader(cbg.MajMap, 1))
	b.WriteString("\x611")
	require.NoError(t, w.WriteMajorTypeHeader(cbg.MajArray, 1))
	require.NoError(t, w.WriteMajorTypeHeader(cbg.MajArray, 2))
	require.NoError(t, cbg.WriteByteArray(w, key.Bytes()))
	require.NoError(t, value.MarshalCBOR(&b))
	return b.Bytes()
}

func TestOldTreesAreReadOnly(t *testing.T) {
	ctx := context.Background()
	store := ipld.NewStore(ctx, ipld.NewMemory())
	act := &types.Actor{Code: builtin.AccountActorCodeID, Head: builtin.AccountActorCodeID, Balance: big.NewInt(7)}
	root, err := store.Put(ctx, oldBucketNode(t, treeID(100), act))
	require.NoError(t, err)
	tree, err := Load(ctx, store, root)
	require.NoError(t, err)
	require.Zero(t, tree.Version())
	var seen []string
	require.NoError(t, tree.ForEach(ctx, func(a address.Address, got *types.Actor) error {
		seen = append(seen, fmt.Sprint(a, got.Balance))
		return nil
	}))
	require.Equal(t, []string{fmt.Sprint(treeID(100), 7)}, seen)
	_, err = tree.Flush(ctx)
	require.ErrorIs(t, err, ErrTreeVersion)
}

func TestLoadRefusesOtherObjects(t *testing.T) {
	ctx := context.Background()
	store := ipld.NewStore(ctx, ipld.NewMemory())
	for _, raw := range []string{"\x80", "\x82\x41\x00\x81\xa1\x612\x80", "\x83\x04\x00\x00"} {
		c, err := store.Put(ctx, object(raw))
		require.NoError(t, err)
		_, err = Load(ctx, store, c)
		require.Error(t, err, "%x", raw)
	}
	_, err := Load(ctx, store, cid.NewCidV1(cid.DagCBOR, builtin.AccountActorCodeID.Hash()))
	require.Error(t, err)
}

func FuzzOldNode(f *testing.F) {
	f.Add([]byte("\x82\x41\x01\x81\xa1\x611\x80"))
	f.Add([]byte("\x82\x44\xff\xff\xff\xff\x81\xa1\x611\x81\x82\x42\x00\x64\x80"))
	f.Fuzz(func(_ *testing.T, b []byte) {
		var n oldNode
		if n.UnmarshalCBOR(bytes.NewReader(b)) != nil {
			return
		}
		for i := range oldFanout {
			n.pointer(i)
		}
		var num actorNumber
		_ = num.UnmarshalCBOR(bytes.NewReader(b))
	})
}

func BenchmarkSnapshotRevert(b *testing.B) {
	ctx := context.Background()
	tree, _ := newTestTree(b)
	for i := range uint64(1000) {
		require.NoError(b, tree.SetActor(ctx, treeID(100+i), &types.Actor{
			Code: builtin.AccountActorCodeID, Head: builtin.AccountActorCodeID, Balance: big.Zero(),
		}))
	}
	act := &types.Actor{Code: builtin.AccountActorCodeID, Head: builtin.AccountActorCodeID, Balance: big.NewInt(1)}
	for b.Loop() {
		m := tree.Snapshot()
		if err := tree.SetActor(ctx, treeID(100), act); err != nil {
			b.Fatal(err)
		}
		tree.Revert(m)
	}
}

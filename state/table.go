package state

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	hamt "github.com/filecoin-project/go-hamt-ipld/v3"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin"
	"github.com/ipfs/go-cid"
	cbor "github.com/ipfs/go-ipld-cbor"
	cbg "github.com/whyrusleeping/cbor-gen"

	"github.com/filecoin-venus/venus/types"
)

// firstHamt3Version is the first tree layout whose nodes have the present HAMT
// encoding (node.md 6.5).
const firstHamt3Version = 2

const hashBits = sha256.Size * 8

func hamtOptions() []hamt.Option {
	return []hamt.Option{
		hamt.UseTreeBitWidth(builtin.DefaultHamtBitwidth),
		hamt.UseHashFunction(func(in []byte) []byte {
			sum := sha256.Sum256(in)
			return sum[:]
		}),
	}
}

// loadRoot reads a state root object. The oldest networks have no such object:
// their root is the actors table itself, told apart by its two fields.
func loadRoot(ctx context.Context, store cbor.IpldStore, root cid.Cid) (types.StateRoot, error) {
	var raw cbg.Deferred
	if err := store.Get(ctx, root, &raw); err != nil {
		return types.StateRoot{}, err
	}
	var sr types.StateRoot
	if err := sr.UnmarshalCBOR(bytes.NewReader(raw.Raw)); err == nil {
		return sr, nil
	}
	var node oldNode
	if err := node.UnmarshalCBOR(bytes.NewReader(raw.Raw)); err != nil {
		return types.StateRoot{}, fmt.Errorf("neither a state root nor a bare actors table: %w", err)
	}
	return types.StateRoot{Actors: root}, nil
}

// hamtTable is the actors table in the present encoding.
type hamtTable hamt.Node

func (h *hamtTable) find(ctx context.Context, key string, into *types.Actor) (bool, error) {
	return (*hamt.Node)(h).Find(ctx, key, into)
}

func (h *hamtTable) forEach(ctx context.Context, fn func(string, *types.Actor) error) error {
	return (*hamt.Node)(h).ForEach(ctx, func(key string, val *cbg.Deferred) error {
		return decodeActor(key, val, fn)
	})
}

func decodeActor(key string, val *cbg.Deferred, fn func(string, *types.Actor) error) error {
	var act types.Actor
	if err := act.UnmarshalCBOR(bytes.NewReader(val.Raw)); err != nil {
		return fmt.Errorf("decode actor at key %x: %w", key, err)
	}
	return fn(key, &act)
}

// oldTable reads the HAMT encoding of actors v0 and v2, where a pointer is a
// map {"0": link} or {"1": bucket}. It only reads.
type oldTable struct {
	store cbor.IpldStore
	root  cid.Cid
}

func (o *oldTable) find(ctx context.Context, key string, into *types.Actor) (bool, error) {
	return o.get(ctx, key, into)
}

func (o *oldTable) get(ctx context.Context, key string, into cbg.CBORUnmarshaler) (bool, error) {
	hash := sha256.Sum256([]byte(key))
	at := o.root
	for depth := 0; (depth+1)*builtin.DefaultHamtBitwidth <= hashBits; depth++ {
		var node oldNode
		if err := o.store.Get(ctx, at, &node); err != nil {
			return false, fmt.Errorf("load table node %s: %w", at, err)
		}
		p := node.pointer(hashSlice(hash[:], depth))
		switch {
		case p == nil:
			return false, nil
		case p.link.Defined():
			at = p.link
		default:
			for _, kv := range p.bucket {
				if kv.key == key {
					return true, into.UnmarshalCBOR(bytes.NewReader(kv.value.Raw))
				}
			}
			return false, nil
		}
	}
	return false, errors.New("table is deeper than its hash")
}

func (o *oldTable) forEach(ctx context.Context, fn func(string, *types.Actor) error) error {
	return o.walk(ctx, o.root, 0, fn)
}

func (o *oldTable) walk(ctx context.Context, at cid.Cid, depth int, fn func(string, *types.Actor) error) error {
	if (depth+1)*builtin.DefaultHamtBitwidth > hashBits {
		return errors.New("table is deeper than its hash")
	}
	var node oldNode
	if err := o.store.Get(ctx, at, &node); err != nil {
		return fmt.Errorf("load table node %s: %w", at, err)
	}
	for _, p := range node.pointers {
		if p.link.Defined() {
			if err := o.walk(ctx, p.link, depth+1, fn); err != nil {
				return err
			}
			continue
		}
		for i := range p.bucket {
			if err := decodeActor(p.bucket[i].key, &p.bucket[i].value, fn); err != nil {
				return err
			}
		}
	}
	return nil
}

// hashSlice returns the depth-th group of bits of the hash, as the table
// consumes them: from the most significant end.
func hashSlice(hash []byte, depth int) int {
	v := 0
	for i := depth * builtin.DefaultHamtBitwidth; i < (depth+1)*builtin.DefaultHamtBitwidth; i++ {
		v = v<<1 | int(hash[i/8]>>(7-i%8))&1
	}
	return v
}

// emptyArray is the CBOR array of no elements: the info of every state root.
type emptyArray struct{}

// MarshalCBOR writes the empty array.
func (emptyArray) MarshalCBOR(w io.Writer) error {
	return cbg.WriteMajorTypeHeader(w, cbg.MajArray, 0)
}

// actorNumber is the value of the init actor's address map.
type actorNumber uint64

// UnmarshalCBOR accepts what a signed or an unsigned integer field holds.
func (n *actorNumber) UnmarshalCBOR(r io.Reader) error {
	maj, v, err := cbg.CborReadHeader(r)
	if err != nil {
		return err
	}
	if maj != cbg.MajUnsignedInt {
		return fmt.Errorf("actor number: cbor major type %d", maj)
	}
	*n = actorNumber(v)
	return nil
}

// Package ipld stores content-addressed blocks: the objects of chain and state,
// each named by the CID of its bytes.
//
// Start at [Blockstore]. [OpenBadger] is the store of a node; [NewMemory] serves
// tests; [Buffered] collects what a tipset writes and flushes only what its new
// state root can reach; [NewStore] puts CBOR objects on top of any of them, the
// form that HAMT, AMT and the actors' library expect.
//
// Invariant: a block that a store returns has been put under its own CID; the
// stores themselves do not hash, whoever takes bytes from a stranger must
// ([CheckedBlock]).
package ipld

import (
	"context"
	"errors"
	"fmt"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	cbornode "github.com/ipfs/go-ipld-cbor"
	format "github.com/ipfs/go-ipld-format"
	mh "github.com/multiformats/go-multihash"
)

// ErrNotFound says that a store lacks a block. Errors that wrap it name the CID.
var ErrNotFound = errors.New("block not found")

// Blockstore keeps blocks by CID. Implementations are safe for concurrent use.
type Blockstore interface {
	// Get returns the bytes of a block, or an error that wraps ErrNotFound.
	// The caller must not change them.
	Get(ctx context.Context, c cid.Cid) ([]byte, error)
	Has(ctx context.Context, c cid.Cid) (bool, error)
	// Put stores a block; storing it again changes nothing.
	Put(ctx context.Context, c cid.Cid, data []byte) error
	// PutMany stores all blocks or fails; after a failure any part of them may
	// be there, which is harmless.
	PutMany(ctx context.Context, blks []blocks.Block) error
}

// CheckedBlock makes a block from foreign bytes: it fails unless they hash to c.
func CheckedBlock(c cid.Cid, data []byte) (blocks.Block, error) {
	got, err := c.Prefix().Sum(data)
	if err != nil {
		return nil, fmt.Errorf("hash block %s: %w", c, err)
	}
	if !got.Equals(c) {
		return nil, fmt.Errorf("block said to be %s hashes to %s", c, got)
	}
	return blocks.NewBlockWithCid(data, c)
}

// inline returns the content of an identity CID, which needs no store.
func inline(c cid.Cid) ([]byte, bool) {
	if c.Prefix().MhType != mh.IDENTITY {
		return nil, false
	}
	d, err := mh.Decode(c.Hash())
	if err != nil {
		return nil, false
	}
	return d.Digest, true
}

// absent is the error for a missing block. Its text is made only when read:
// buffers ask for many blocks that they do not hold.
type absent struct{ cid cid.Cid }

func (a absent) Error() string { return a.cid.String() + ": " + ErrNotFound.Error() }

func (a absent) Unwrap() error { return ErrNotFound }

func notFound(c cid.Cid) error { return absent{c} }

// Store puts and gets CBOR objects in a blockstore.
type Store struct {
	cbornode.IpldStore
	ctx context.Context
}

// NewStore makes an object store for the actors' library and the tree
// libraries. Its context is what their store interface hands out; reads and
// writes use the context of each call.
func NewStore(ctx context.Context, bs Blockstore) *Store {
	s := cbornode.NewCborStore(blockAdapter{bs})
	s.DefaultMultihash = mh.BLAKE2B_MIN + 31
	return &Store{IpldStore: s, ctx: ctx}
}

// Context is the context the store was made with.
func (s *Store) Context() context.Context { return s.ctx }

// blockAdapter speaks the block interface of the CBOR library.
type blockAdapter struct{ bs Blockstore }

func (a blockAdapter) Get(ctx context.Context, c cid.Cid) (blocks.Block, error) {
	b, err := a.bs.Get(ctx, c)
	if err != nil {
		if errors.Is(err, ErrNotFound) {
			// The tree libraries recognise this type, not our sentinel.
			return nil, missing{format.ErrNotFound{Cid: c}}
		}
		return nil, err
	}
	return blocks.NewBlockWithCid(b, c)
}

// missing is "not found" to both the libraries and errors.Is(err, ErrNotFound).
type missing struct{ format.ErrNotFound }

func (m missing) Unwrap() []error { return []error{m.ErrNotFound, ErrNotFound} }

func (a blockAdapter) Put(ctx context.Context, b blocks.Block) error {
	return a.bs.Put(ctx, b.Cid(), b.RawData())
}

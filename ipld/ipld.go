// Package ipld stores content-addressed blocks: the objects of chain and state,
// each named by the CID of its bytes.
//
// Start at [Blockstore]. [Disk] is the store of a node, made of [Pack] files and
// one that grows; [NewMemory] serves tests; [Buffered] collects what a tipset
// writes and flushes only what its new roots can reach; [NewStore] puts CBOR
// objects on top of any of them, the form that HAMT, AMT and the actors' library
// expect. [Sweep] walks graphs, [CARStream] reads archives.
//
// Invariant: a block that a store returns has been put under its own CID; writes
// are not hashed, whoever takes bytes from a stranger must ([CheckedBlock]).
package ipld

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	cbornode "github.com/ipfs/go-ipld-cbor"
	format "github.com/ipfs/go-ipld-format"
	mh "github.com/multiformats/go-multihash"
	cbg "github.com/whyrusleeping/cbor-gen"
	"golang.org/x/crypto/blake2b"

	"github.com/filecoin-venus/venus/types"
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

// shortestHash is how many bytes of a hash are enough to tell what a stranger
// wrote from what the name means; of none at all anything would be true.
const shortestHash = 20

// CheckedBlock makes a block from foreign bytes: it fails unless they hash to c.
func CheckedBlock(c cid.Cid, data []byte) (blocks.Block, error) {
	if err := checkHash(c, data); err != nil {
		return nil, err
	}
	return blocks.NewBlockWithCid(data, c)
}

// checkHash fails unless data hash to c.
func checkHash(c cid.Cid, data []byte) error {
	if s := c.KeyString(); ordinary(s) {
		if digest := blake2b.Sum256(data); string(digest[:]) != s[len(ordinaryPrefix):] {
			return fmt.Errorf("block said to be %s hashes to %s", c, types.Sum(data))
		}
		return nil
	}
	p := c.Prefix()
	if p.MhType != mh.IDENTITY && p.MhLength < shortestHash {
		return fmt.Errorf("the name %s has %d bytes of a hash, too few", c, p.MhLength)
	}
	got, err := p.Sum(data)
	if err != nil {
		return fmt.Errorf("hash block %s: %w", c, err)
	}
	if !got.Equals(c) {
		return fmt.Errorf("block said to be %s hashes to %s", c, got)
	}
	return nil
}

// ordinaryPrefix is how the bytes of nearly every CID of the chain begin: version 1, dag-cbor, blake2b-256. They are told by
// it where to take a name apart would cost more than what is done with it.
var ordinaryPrefix = types.Sum(nil).KeyString()[:6]

// ordinaryLength is how long such a CID is, in bytes.
const ordinaryLength = 38

// ordinary tells whether the bytes of a CID are of that kind.
func ordinary[B string | []byte](name B) bool {
	return len(name) == ordinaryLength && string(name[:len(ordinaryPrefix)]) == ordinaryPrefix
}

// inline returns the content of an identity CID, which needs no store.
func inline(c cid.Cid) ([]byte, bool) {
	if ordinary(c.KeyString()) || c.Prefix().MhType != mh.IDENTITY {
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
	blocks Blockstore
	// other serves values that bring no codec of their own.
	other cbornode.IpldStore
	ctx   context.Context
}

// NewStore makes an object store for the actors' library and the tree
// libraries. Its context is what their store interface hands out; reads and
// writes use the context of each call.
func NewStore(ctx context.Context, bs Blockstore) *Store {
	s := cbornode.NewCborStore(blockAdapter{bs})
	s.DefaultMultihash = mh.BLAKE2B_MIN + 31
	return &Store{blocks: bs, other: s, ctx: ctx}
}

// Get reads an object. A block that is missing gives an error that both the
// tree libraries and errors.Is(err, ErrNotFound) recognise.
func (s *Store) Get(ctx context.Context, c cid.Cid, out any) error {
	u, ok := out.(cbg.CBORUnmarshaler)
	if !ok {
		return s.other.Get(ctx, c, out)
	}
	data, err := s.blocks.Get(ctx, c)
	if err != nil {
		return libraryError(c, err)
	}
	if err := u.UnmarshalCBOR(bytes.NewReader(data)); err != nil {
		return cbornode.NewSerializationError(err)
	}
	return nil
}

// Put stores an object and returns its CID.
func (s *Store) Put(ctx context.Context, v any) (cid.Cid, error) {
	m, ok := v.(cbg.CBORMarshaler)
	if !ok {
		return s.other.Put(ctx, v)
	}
	data, err := types.Encode(m)
	if err != nil {
		return cid.Undef, cbornode.NewSerializationError(err)
	}
	c := types.Sum(data)
	return c, s.blocks.Put(ctx, c, data)
}

// Context is the context the store was made with.
func (s *Store) Context() context.Context { return s.ctx }

// blockAdapter speaks the block interface of the CBOR library.
type blockAdapter struct{ bs Blockstore }

func (a blockAdapter) Get(ctx context.Context, c cid.Cid) (blocks.Block, error) {
	b, err := a.bs.Get(ctx, c)
	if err != nil {
		return nil, libraryError(c, err)
	}
	return blocks.NewBlockWithCid(b, c)
}

// libraryError makes a missing block one that the tree libraries recognise:
// they know this type, not our sentinel.
func libraryError(c cid.Cid, err error) error {
	if errors.Is(err, ErrNotFound) {
		return missing{format.ErrNotFound{Cid: c}}
	}
	return err
}

// missing is "not found" to both the libraries and errors.Is(err, ErrNotFound).
type missing struct{ format.ErrNotFound }

func (m missing) Unwrap() []error { return []error{m.ErrNotFound, ErrNotFound} }

func (a blockAdapter) Put(ctx context.Context, b blocks.Block) error {
	return a.bs.Put(ctx, b.Cid(), b.RawData())
}

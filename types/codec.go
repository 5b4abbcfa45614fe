package types

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/ipfs/go-cid"
	mh "github.com/multiformats/go-multihash"
	cbg "github.com/whyrusleeping/cbor-gen"
	"golang.org/x/crypto/blake2b"
)

// CidPrefix makes the CIDs of chain objects: CIDv1, dag-cbor, blake2b-256.
var CidPrefix = cid.Prefix{Version: 1, Codec: cid.DagCBOR, MhType: mh.BLAKE2B_MIN + 31, MhLength: 32}

// ErrTrailingBytes says that a decoder met more than the one object it was asked for.
var ErrTrailingBytes = errors.New("trailing bytes after object")

// Encode returns the CBOR form of an object.
func Encode(v cbg.CBORMarshaler) (out []byte, err error) {
	err = encoded(v, func(b []byte) { out = bytes.Clone(b) })
	return out, err
}

// encoded calls use with the CBOR form of an object, which is no longer there afterwards.
func encoded(v cbg.CBORMarshaler, use func(b []byte)) error {
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	s.buf.Reset()
	if err := v.MarshalCBOR(s.w); err != nil {
		return err
	}
	use(s.buf.Bytes())
	return nil
}

// scratch is where objects are encoded before their exact length is known:
// with thousands of them in a tipset, growing a buffer for each is what costs.
type scratch struct {
	buf bytes.Buffer
	w   *cbg.CborWriter
}

var scratches = sync.Pool{New: func() any {
	s := &scratch{}
	s.w = cbg.NewCborWriter(&s.buf)
	return s
}}

// Sum returns the CID of an encoded object: what CidPrefix.Sum returns, without
// the registry of hash functions in between.
func Sum(data []byte) cid.Cid {
	digest := blake2b.Sum256(data)
	hash := binary.AppendUvarint(make([]byte, 0, 5+len(digest)), mh.BLAKE2B_MIN+31)
	hash = append(hash, byte(len(digest)))
	return cid.NewCidV1(cid.DagCBOR, append(hash, digest[:]...))
}

func mustEncode(v cbg.CBORMarshaler, use func(b []byte)) {
	if err := encoded(v, use); err != nil {
		// Only a programmer can build a noun that has no encoding (an undefined
		// address, an absent CID); nothing read from outside gets here unencoded.
		panic(fmt.Sprintf("encode %T: %v", v, err))
	}
}

func cidOf(v cbg.CBORMarshaler) (c cid.Cid) {
	mustEncode(v, func(b []byte) { c = Sum(b) })
	return c
}

func lengthOf(v cbg.CBORMarshaler) (n int) {
	mustEncode(v, func(b []byte) { n = len(b) })
	return n
}

func decodeExact(b []byte, v cbg.CBORUnmarshaler) error {
	r := bytes.NewReader(b)
	if err := v.UnmarshalCBOR(r); err != nil {
		return err
	}
	if r.Len() != 0 {
		return fmt.Errorf("%d bytes: %w", r.Len(), ErrTrailingBytes)
	}
	return nil
}

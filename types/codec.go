package types

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/ipfs/go-cid"
	mh "github.com/multiformats/go-multihash"
	cbg "github.com/whyrusleeping/cbor-gen"
)

// CidPrefix makes the CIDs of chain objects: CIDv1, dag-cbor, blake2b-256.
var CidPrefix = cid.Prefix{Version: 1, Codec: cid.DagCBOR, MhType: mh.BLAKE2B_MIN + 31, MhLength: 32}

// ErrTrailingBytes says that a decoder met more than the one object it was asked for.
var ErrTrailingBytes = errors.New("trailing bytes after object")

func encode(v cbg.CBORMarshaler) []byte {
	var b bytes.Buffer
	if err := v.MarshalCBOR(&b); err != nil {
		// Only a programmer can build a noun that has no encoding (an undefined
		// address, an absent CID); nothing read from outside gets here unencoded.
		panic(fmt.Sprintf("encode %T: %v", v, err))
	}
	return b.Bytes()
}

func cidOf(v cbg.CBORMarshaler) cid.Cid {
	c, err := CidPrefix.Sum(encode(v))
	if err != nil {
		panic(fmt.Sprintf("hash %T: %v", v, err))
	}
	return c
}

func lengthOf(v cbg.CBORMarshaler) int { return len(encode(v)) }

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

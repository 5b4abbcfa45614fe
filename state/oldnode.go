package state

import (
	"errors"
	"fmt"
	"io"
	"math/big"

	"github.com/ipfs/go-cid"
	cbg "github.com/whyrusleeping/cbor-gen"
)

// Bounds of a table node in the old encoding: one pointer for each of 32
// branches, three entries in a bucket.
const (
	oldFanout    = 32
	oldBucketCap = 3
	oldKeyCap    = 1 << 10
)

var errOldNode = errors.New("malformed table node")

// oldNode is one node of an oldTable: a bit field of the branches in use and
// their pointers in order.
type oldNode struct {
	bits     big.Int
	pointers []oldPointer
}

type oldPointer struct {
	link   cid.Cid
	bucket []oldEntry
}

type oldEntry struct {
	key   string
	value cbg.Deferred
}

func (n *oldNode) pointer(branch int) *oldPointer {
	if n.bits.Bit(branch) == 0 {
		return nil
	}
	at := 0
	for b := 0; b < branch; b++ {
		at += int(n.bits.Bit(b))
	}
	if at >= len(n.pointers) {
		return nil
	}
	return &n.pointers[at]
}

// UnmarshalCBOR reads [bits, [pointer...]].
func (n *oldNode) UnmarshalCBOR(r io.Reader) error {
	cr := cbg.NewCborReader(r)
	if err := expect(cr, cbg.MajArray, 2); err != nil {
		return err
	}
	bits, err := cbg.ReadByteArray(cr, oldFanout/8)
	if err != nil {
		return fmt.Errorf("table node bits: %w", err)
	}
	n.bits.SetBytes(bits)
	maj, count, err := cr.ReadHeader()
	if err != nil {
		return err
	}
	if maj != cbg.MajArray || count > oldFanout {
		return fmt.Errorf("pointers %d/%d: %w", maj, count, errOldNode)
	}
	n.pointers = make([]oldPointer, count)
	for i := range n.pointers {
		if err := n.pointers[i].read(cr); err != nil {
			return fmt.Errorf("table pointer %d: %w", i, err)
		}
	}
	return nil
}

func (p *oldPointer) read(cr *cbg.CborReader) error {
	if err := expect(cr, cbg.MajMap, 1); err != nil {
		return err
	}
	kind, err := cbg.ReadStringWithMax(cr, 1)
	if err != nil {
		return err
	}
	switch kind {
	case "0":
		p.link, err = cbg.ReadCid(cr)
		return err
	case "1":
		return p.readBucket(cr)
	}
	return fmt.Errorf("pointer kind %q: %w", kind, errOldNode)
}

func (p *oldPointer) readBucket(cr *cbg.CborReader) error {
	maj, count, err := cr.ReadHeader()
	if err != nil {
		return err
	}
	if maj != cbg.MajArray || count > oldBucketCap {
		return fmt.Errorf("bucket %d/%d: %w", maj, count, errOldNode)
	}
	p.bucket = make([]oldEntry, count)
	for i := range p.bucket {
		if err := expect(cr, cbg.MajArray, 2); err != nil {
			return err
		}
		key, err := cbg.ReadByteArray(cr, oldKeyCap)
		if err != nil {
			return fmt.Errorf("bucket key: %w", err)
		}
		p.bucket[i].key = string(key)
		if err := p.bucket[i].value.UnmarshalCBOR(cr); err != nil {
			return fmt.Errorf("bucket value: %w", err)
		}
	}
	return nil
}

func expect(cr *cbg.CborReader, major byte, count uint64) error {
	maj, n, err := cr.ReadHeader()
	if err != nil {
		return err
	}
	if maj != major || n != count {
		return fmt.Errorf("cbor header %d/%d, want %d/%d: %w", maj, n, major, count, errOldNode)
	}
	return nil
}

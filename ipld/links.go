package ipld

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/ipfs/go-cid"
)

// Links lists the CIDs that a block holds, in the order of its bytes. Only
// dag-cbor has any. It fails on bytes that are not one CBOR item in the form
// that the chain's encoders write: definite lengths, heads as short as can be.
func Links(c cid.Cid, data []byte) ([]cid.Cid, error) {
	if !isCBOR(c) {
		return nil, nil
	}
	links, err := scanLinks(data)
	if err != nil {
		return nil, fmt.Errorf("read links of %s: %w", c, err)
	}
	return links, nil
}

// isCBOR tells whether a CID names dag-cbor.
func isCBOR(c cid.Cid) bool { return ordinary(c.KeyString()) || c.Prefix().Codec == cid.DagCBOR }

func scanLinks(data []byte) ([]cid.Cid, error) {
	var links []cid.Cid
	err := eachLink(data, func(raw []byte) error {
		c, err := linkCid(raw)
		links = append(links, c)
		return err
	})
	if err != nil {
		return nil, err
	}
	return links, nil
}

// linkCid reads the CID behind tag 42.
func linkCid(raw []byte) (cid.Cid, error) {
	c, err := cid.Cast(raw)
	if err != nil {
		return cid.Undef, fmt.Errorf("%w: %w", errCBORLink, err)
	}
	return c, nil
}

// The major types of CBOR (RFC 8949, 3.1) that have something after their head.
const (
	cborBytes = 2
	cborText  = 3
	cborArray = 4
	cborMap   = 5
	cborTag   = 6

	cidTag = 42
)

var (
	errCBORShort = errors.New("cbor ends early")
	errCBORHead  = errors.New("cbor head is indefinite, reserved or not the shortest")
	errCBORLink  = errors.New("cbor tag 42 is not before a CID in a byte string")
)

// eachLink visits the bytes behind every tag 42 of one item, which should be a
// CID, in their order. Nesting needs no stack, only the count of items still
// owed; each takes a byte at least, which bounds what a length may claim.
func eachLink(data []byte, visit func(raw []byte) error) error {
	for owed := uint64(1); owed > 0; owed-- {
		major, n, rest, err := cborHead(data)
		if err != nil {
			return err
		}
		data = rest
		left := uint64(len(data))
		switch major {
		case cborBytes, cborText:
			if n > left {
				return errCBORShort
			}
			data = data[n:]
		case cborArray:
			if n > left {
				return errCBORShort
			}
			owed += n
		case cborMap:
			if n > left/2 {
				return errCBORShort
			}
			owed += 2 * n
		case cborTag:
			owed++
			if n != cidTag {
				continue
			}
			var raw []byte
			if raw, data, err = cborLink(data); err != nil {
				return err
			}
			if err := visit(raw); err != nil {
				return err
			}
			owed--
		}
	}
	return nil
}

// cborLink reads the byte string behind tag 42: a zero byte, then the CID.
func cborLink(data []byte) (raw, rest []byte, err error) {
	major, n, rest, err := cborHead(data)
	if err != nil {
		return nil, nil, err
	}
	if major != cborBytes || n == 0 {
		return nil, nil, errCBORLink
	}
	if n > uint64(len(rest)) {
		return nil, nil, errCBORShort
	}
	if rest[0] != 0 {
		return nil, nil, errCBORLink
	}
	return rest[1:n], rest[n:], nil
}

// cborHead reads one head: major type and argument.
func cborHead(data []byte) (major byte, arg uint64, rest []byte, err error) {
	if len(data) == 0 {
		return 0, 0, nil, errCBORShort
	}
	major, low := data[0]>>5, data[0]&31
	data = data[1:]
	if low < 24 {
		return major, uint64(low), data, nil
	}
	if low > 27 {
		return 0, 0, nil, errCBORHead
	}
	size := 1 << (low - 24)
	if len(data) < size {
		return 0, 0, nil, errCBORShort
	}
	var least uint64
	switch size {
	case 1:
		arg, least = uint64(data[0]), 24
	case 2:
		arg, least = uint64(binary.BigEndian.Uint16(data)), math.MaxUint8+1
	case 4:
		arg, least = uint64(binary.BigEndian.Uint32(data)), math.MaxUint16+1
	default:
		arg, least = binary.BigEndian.Uint64(data), math.MaxUint32+1
	}
	if arg < least {
		return 0, 0, nil, errCBORHead
	}
	return major, arg, data[size:], nil
}

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
	if !ordinary(c.KeyString()) && c.Prefix().Codec != cid.DagCBOR {
		return nil, nil
	}
	links, err := scanLinks(data)
	if err != nil {
		return nil, fmt.Errorf("read links of %s: %w", c, err)
	}
	return links, nil
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

// scanLinks walks the items in the order of their bytes. Nesting needs no
// stack, only the count of items still owed; each takes a byte at least, which
// bounds what a length may claim.
func scanLinks(data []byte) ([]cid.Cid, error) {
	var links []cid.Cid
	for owed := uint64(1); owed > 0; owed-- {
		major, n, rest, err := cborHead(data)
		if err != nil {
			return nil, err
		}
		data = rest
		left := uint64(len(data))
		switch major {
		case cborBytes, cborText:
			if n > left {
				return nil, errCBORShort
			}
			data = data[n:]
		case cborArray:
			if n > left {
				return nil, errCBORShort
			}
			owed += n
		case cborMap:
			if n > left/2 {
				return nil, errCBORShort
			}
			owed += 2 * n
		case cborTag:
			owed++
			if n != cidTag {
				continue
			}
			var link cid.Cid
			if link, data, err = cborLink(data); err != nil {
				return nil, err
			}
			links = append(links, link)
			owed--
		}
	}
	return links, nil
}

// cborLink reads the byte string behind tag 42: a zero byte, then the CID.
func cborLink(data []byte) (cid.Cid, []byte, error) {
	major, n, rest, err := cborHead(data)
	if err != nil {
		return cid.Undef, nil, err
	}
	if major != cborBytes || n == 0 {
		return cid.Undef, nil, errCBORLink
	}
	if n > uint64(len(rest)) {
		return cid.Undef, nil, errCBORShort
	}
	if rest[0] != 0 {
		return cid.Undef, nil, errCBORLink
	}
	c, err := cid.Cast(rest[1:n])
	if err != nil {
		return cid.Undef, nil, fmt.Errorf("%w: %w", errCBORLink, err)
	}
	return c, rest[n:], nil
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

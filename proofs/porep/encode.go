package porep

import (
	"errors"
	"fmt"

	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"

	"github.com/filecoin-venus/venus/proofs/fr32"
)

// ErrNode marks bytes that are no canonical field element where one must stand.
var ErrNode = errors.New("bytes are no canonical field element")

// Encode writes data + labels, node by node modulo r, to dst; all three have the same length, a multiple of 32, and dst
// may be data. Labels are those of the last layer.
func Encode(dst, data, labels []byte) error {
	return combine(dst, data, labels, false)
}

// Decode is the inverse of Encode: it writes replica - labels to dst.
func Decode(dst, replica, labels []byte) error {
	return combine(dst, replica, labels, true)
}

// combine adds or subtracts. (An operation for parameter would put every node on the heap.)
func combine(dst, a, b []byte, subtract bool) error {
	if len(dst) != len(a) || len(a) != len(b) || len(a)%fr32.NodeSize != 0 {
		return fmt.Errorf("encode %d bytes with %d label bytes into %d", len(a), len(b), len(dst))
	}
	for i := 0; i < len(a); i += fr32.NodeSize {
		x, err := fr.LittleEndian.Element((*[32]byte)(a[i:]))
		if err != nil {
			return fmt.Errorf("node %d: %w", i/fr32.NodeSize, ErrNode)
		}
		y, err := fr.LittleEndian.Element((*[32]byte)(b[i:]))
		if err != nil {
			return fmt.Errorf("label %d: %w", i/fr32.NodeSize, ErrNode)
		}
		if subtract {
			x.Sub(&x, &y)
		} else {
			x.Add(&x, &y)
		}
		fr.LittleEndian.PutElement((*[32]byte)(dst[i:]), x)
	}
	return nil
}

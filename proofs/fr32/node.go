// Package fr32 holds the 32-byte node that every tree, label and commitment is made of, and the padding that turns user
// bytes into nodes.
//
// Start at Node and at Pad. Invariants: a node is the little-endian canonical form of a BLS12-381 scalar; 127 user bytes
// become 128 padded bytes, with the two highest bits of each node zero.
package fr32

import (
	"encoding/hex"
	"fmt"

	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"
)

// NodeSize is the number of bytes of a node.
const NodeSize = 32

// Node is one field element as stored on disk and in commitments: 32 bytes, little-endian. In text and JSON it is hex.
type Node [NodeSize]byte

// Element returns the field element; bytes at or above the modulus are an error.
func (n Node) Element() (fr.Element, error) {
	e, err := fr.LittleEndian.Element((*[NodeSize]byte)(&n))
	if err != nil {
		return e, fmt.Errorf("node %x: not a canonical field element", n[:])
	}
	return e, nil
}

// FromElement is the node of a field element.
func FromElement(e fr.Element) (n Node) {
	fr.LittleEndian.PutElement((*[NodeSize]byte)(&n), e)
	return n
}

// Trunc clears the two highest bits, which makes any 32-byte hash a valid node.
func Trunc(h [32]byte) Node {
	h[31] &= 0x3f
	return h
}

// String is the node in hex.
func (n Node) String() string { return hex.EncodeToString(n[:]) }

// MarshalText writes hex.
func (n Node) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, n[:]), nil }

// UnmarshalText reads exactly 64 hex digits.
func (n *Node) UnmarshalText(b []byte) error {
	if len(b) != 2*NodeSize {
		return fmt.Errorf("node of %d hex digits: want %d", len(b), 2*NodeSize)
	}
	if _, err := hex.Decode(n[:], b); err != nil {
		return fmt.Errorf("node: %w", err)
	}
	return nil
}

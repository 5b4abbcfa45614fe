package r1cs

import (
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"
)

// Row is one step of a Merkle path: the siblings of the node in slot order, without it, and the node's slot.
type Row struct {
	Siblings []fr.Element
	Slot     int
}

// Hash combines the children of a tree node.
type Hash func(s *System, children []Num) Num

// PoseidonNode hashes tree nodes of the Poseidon trees.
func PoseidonNode(s *System, children []Num) Num { return s.Poseidon(children) }

// Sha256Node hashes tree nodes of the SHA-256 tree: the children's bits, the digest cut to 254 bits.
func Sha256Node(s *System, children []Num) Num {
	bits := make([]Boolean, 0, 256*len(children))
	for i := range children {
		bits = append(bits, ReverseBytes(s.ToBits(children[i]))...)
	}
	return s.Sha256Num(bits)
}

// Sha256Num hashes bits and packs the digest, cut to 254 bits, into a number.
func (s *System) Sha256Num(bits []Boolean) Num {
	digest := s.SHA256(bits)
	return s.Pack(ReverseBytes(digest[:])[:packBits])
}

// Path enforces that leaf lies on path under root. The position is packed into inputs, lowest bit first.
// The path's slots are little-endian digits of the leaf's index; each row has 2^k-1 siblings.
func (s *System) Path(leaf Num, path []Row, root Num, hash Hash) {
	cur, position := s.climb(leaf, path, hash)
	s.PackInputs(position)
	s.Equal(cur, root)
}

// PublicPath is Path with its own allocations: the leaf before the path, the root after it, the root made an input last.
func (s *System) PublicPath(leaf fr.Element, path []Row, root fr.Element, hash Hash) {
	cur, position := s.climb(s.AllocNum(leaf), path, hash)
	s.PackInputs(position)
	r := s.AllocNum(root)
	s.Equal(cur, r)
	s.Inputize(r)
}

func (s *System) climb(cur Num, path []Row, hash Hash) (Num, []Boolean) {
	position := make([]Boolean, 0, 3*len(path))
	siblings := make([]Num, 0, 7)
	for _, row := range path {
		start := len(position)
		for i := 0; 1<<i < len(row.Siblings)+1; i++ {
			position = append(position, s.allocBit(uint8(row.Slot>>i)&1))
		}
		siblings = siblings[:0]
		for i := range row.Siblings {
			siblings = append(siblings, s.AllocNum(row.Siblings[i]))
		}
		cur = hash(s, s.Insert(cur, position[start:], siblings))
	}
	return cur, position
}

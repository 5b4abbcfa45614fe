package sdr

import "encoding/binary"

// appendParents appends the cache form of a parent list: 14 little-endian 32-bit numbers.
func appendParents(b []byte, p ParentList) []byte {
	for _, n := range p {
		b = binary.LittleEndian.AppendUint32(b, n)
	}
	return b
}

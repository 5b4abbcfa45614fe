package sdr

import (
	"encoding/binary"
	"math/bits"
)

// chacha8 returns the first two blocks of the ChaCha8 key stream (64-bit block counter from 0, zero nonce) as little-endian words.
func chacha8(key *[32]byte) (out [16]uint64) {
	var in [16]uint32
	in[0], in[1], in[2], in[3] = 0x61707865, 0x3320646e, 0x79622d32, 0x6b206574
	for i := range 8 {
		in[4+i] = binary.LittleEndian.Uint32(key[4*i:])
	}
	for block := range 2 {
		in[12] = uint32(block)
		x := in
		for range 4 {
			quarter(&x, 0, 4, 8, 12)
			quarter(&x, 1, 5, 9, 13)
			quarter(&x, 2, 6, 10, 14)
			quarter(&x, 3, 7, 11, 15)
			quarter(&x, 0, 5, 10, 15)
			quarter(&x, 1, 6, 11, 12)
			quarter(&x, 2, 7, 8, 13)
			quarter(&x, 3, 4, 9, 14)
		}
		for i := range 8 {
			lo, hi := x[2*i]+in[2*i], x[2*i+1]+in[2*i+1]
			out[8*block+i] = uint64(hi)<<32 | uint64(lo)
		}
	}
	return out
}

func quarter(x *[16]uint32, a, b, c, d int) {
	x[a] += x[b]
	x[d] = bits.RotateLeft32(x[d]^x[a], 16)
	x[c] += x[d]
	x[b] = bits.RotateLeft32(x[b]^x[c], 12)
	x[a] += x[b]
	x[d] = bits.RotateLeft32(x[d]^x[a], 8)
	x[c] += x[d]
	x[b] = bits.RotateLeft32(x[b]^x[c], 7)
}

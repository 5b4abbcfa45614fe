//go:build !amd64 || purego

package sdr

// wide: eight round functions at once need AVX-512.
const wide = false

func blake2bFirst8(out, words *[8]uint64, start *[16]uint64, second uint64) {
	panic("sdr: not available on this processor")
}

//go:build !purego

package sdr

import "golang.org/x/sys/cpu"

// wide tells whether eight round functions can be computed at once.
var wide = cpu.X86.HasAVX512F

// blake2bFirst8 writes to out the first digest words of unkeyed BLAKE2b-512 over eight messages of two 64-bit words
// (little-endian, as the hash reads them): words[i] and second. Start is the initial working state.
//
//go:noescape
func blake2bFirst8(out, words *[8]uint64, start *[16]uint64, second uint64)

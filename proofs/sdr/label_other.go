//go:build !amd64 || purego

package sdr

// fastLabels: hashLabel needs the SHA extensions of amd64.
const fastLabels = false

func hashLabel(out, header *byte, parents *uint32, cur, prev *byte, kept *schedules) {
	panic("sdr: not available on this processor")
}

//go:build !purego

package sdr

import "github.com/klauspost/cpuid/v2"

// fastLabels tells whether hashLabel can run.
var fastLabels = cpuid.CPU.Supports(cpuid.SHA, cpuid.SSE4, cpuid.SSSE3)

// hashLabel writes to out the label whose preimage starts with header (64 bytes) and goes on with the labels of parents:
// the six base parents out of the layer at cur, and the eight expander parents out of the layer at prev; with a nil prev
// the base parents alone. Numbers of parents are not checked against the layers. Kept is scratch.
//
//go:noescape
func hashLabel(out, header *byte, parents *uint32, cur, prev *byte, kept *schedules)

//go:build !amd64 || purego

package sdr

// prefetch has no counterpart here; labelling is right without it.
func prefetch(*byte, *uint32, int) {}

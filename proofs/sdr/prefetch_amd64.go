//go:build !purego

package sdr

// prefetch asks the processor to load count labels of a layer, numbered by nodes, ahead of their use. It changes nothing
// and never faults.
//
//go:noescape
func prefetch(layer *byte, nodes *uint32, count int)

//go:build !amd64 || purego

package g1

// wide: the functions below need AVX-512.
const wide = false

func begin(s *slot, dst, src *point, di, si *uint32, before, behind *octet) { panic(noWide) }

func finish(s *slot, dst, src *point, di, si *uint32, negative uint8, before, rest *octet, scratch *[3]octet) {
	panic(noWide)
}

func multiply(p *point, by *octet) { panic(noWide) }

const noWide = "g1: not available on this processor"

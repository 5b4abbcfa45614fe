//go:build !amd64 || purego

package wide

// wide: the functions below need AVX-512.
const wide = false

func begin(s *slot, dst, src *point, di, si *uint32, before, behind *octet) { panic(noWide) }

func finish(s *slot, dst, src *point, di, si *uint32, negative uint8, before, rest *octet, scratch *[3]octet) {
	panic(noWide)
}

func multiply(p *point, by *octet) { panic(noWide) }

func mul(z, x, y *octet) { panic(noWide) }

func squares(z, x *octet, n int) { panic(noWide) }

func add(z, x, y *octet, n int) { panic(noWide) }

func sub(z, x, y *octet, n int) { panic(noWide) }

func mulPair(z, x, y *pair) { panic(noWide) }

func squarePair(z, x *pair) { panic(noWide) }

func dot(z, x0, x1, x2 *pair, y0, y1, y2 *factor) { panic(noWide) }

const noWide = "wide: not available on this processor"

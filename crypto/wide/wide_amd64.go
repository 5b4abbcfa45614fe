//go:build !purego

package wide

import "golang.org/x/sys/cpu"

// wide tells whether the functions below can run.
var wide = cpu.X86.HasAVX512F && cpu.X86.HasAVX512DQ && cpu.X86.HasAVX512IFMA

// begin is the first half of eight additions dst[di[i]] += src[si[i]]: it puts what the second half needs of the x
// coordinates into s, and the product of before and their differences into behind.
//
//go:noescape
func begin(s *slot, dst, src *point, di, si *uint32, before, behind *octet)

// finish is the second half; slots are finished in the reverse order of their beginning. Negative has a bit for each
// point of src to be subtracted; before is what begin was given, rest the inverse of what it put behind, and is made the
// inverse of before.
//
//go:noescape
func finish(s *slot, dst, src *point, di, si *uint32, negative uint8, before, rest *octet, scratch *[3]octet)

// multiply multiplies both coordinates of eight points by the octet.
//
//go:noescape
func multiply(p *point, by *octet)

// mul sets z to x times y; any of them may be the same.
//
//go:noescape
func mul(z, x, y *octet)

// squares sets z to x squared n times, n at least 1.
//
//go:noescape
func squares(z, x *octet, n int)

// add and sub do n octets, one behind the other.
//
//go:noescape
func add(z, x, y *octet, n int)

//go:noescape
func sub(z, x, y *octet, n int)

// mulPair and squarePair are products of elements of the extension.
//
//go:noescape
func mulPair(z, x, y *pair)

//go:noescape
func squarePair(z, x *pair)

// dot sets z to x0*y0 + x1*y1 + x2*y2; it must be none of the factors.
//
//go:noescape
func dot(z, x0, x1, x2 *pair, y0, y1, y2 *factor)

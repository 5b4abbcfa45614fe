//go:build !amd64 || purego

package poseidon

// wide: the functions below need AVX-512.
const wide = false

func power5(x *octet, keys *limbs, n int)        { panic(noWide) }
func scaleAll(x *octet, by, keys *limbs, n int)  { panic(noWide) }
func dense(out, x *octet, matrix *limbs, n int)  { panic(noWide) }
func sparse(x *octet, first, rest *limbs, n int) { panic(noWide) }

const noWide = "poseidon: not available on this processor"

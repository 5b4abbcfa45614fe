//go:build !purego

package poseidon

import "golang.org/x/sys/cpu"

// wide tells whether the functions below can run.
var wide = cpu.X86.HasAVX512F && cpu.X86.HasAVX512IFMA

// power5 replaces n elements x[i] by x[i]^5 + keys[i].
//
//go:noescape
func power5(x *octet, keys *limbs, n int)

// scaleAll replaces n elements x[i] by x[i]*by + keys[i].
//
//go:noescape
func scaleAll(x *octet, by, keys *limbs, n int)

// dense sets out to the row vector x of n elements times a matrix of n columns of n constants.
//
//go:noescape
func dense(out, x *octet, matrix *limbs, n int)

// sparse replaces the row vector x of n elements by its product with a Sparse matrix, whose first column is first and
// whose first row, without the corner, is rest.
//
//go:noescape
func sparse(x *octet, first, rest *limbs, n int)

// Package g1 adds many points of BLS12-381's group G1: sums of multiples of given points, and multiples of one.
//
// Start at [Sum], which collects encoded points with their scalars, and at [Comb]. Both rest on adder: it adds pairs of
// affine points by the hundred, so that all share one inversion, eight at a time on the 52-bit multipliers of AVX-512.
// Where the processor has none, [Sum] leaves the work to the library, and there is no Comb.
package g1

// Package wide computes on BLS12-381 eight at a time, on the 52-bit multipliers of AVX-512: sums of points of G1 for the
// prover, hashes to G2 for those who verify signatures.
//
// Start at [Sum], which collects encoded points with their scalars, at [Comb], the multiples of one point, and at [HashToG2].
// Below them are octets, eight elements of the field side by side, and pairs of octets for its extension; adder adds affine
// points of G1 by the hundred, so that all share one inversion. Where the processor has no such multipliers, [Sum] and
// [HashToG2] leave the work to a library, and there is no Comb.
//
// What is made here is checked by other code before anybody believes it: proofs by their verifier, hashes by the curve.
package wide

// Package wide computes on BLS12-381 eight at a time, on the 52-bit multipliers of AVX-512: sums of points of G1 for provers;
// hashes to both groups, points decoded and combined, and Miller loops for those who verify signatures and proofs.
//
// Start at [Sum], which collects encoded points with their scalars, and [Comb], the multiples of one point; at [SumHashes],
// [DecodeG1], [CombineG1] and [MillerLoop]. Below them are octets, eight elements of the field side by side, and pairs of octets for
// its extension; adder adds affine points of G1 by the hundred, so that all share one inversion.
//
// What is made here is checked by other code before anybody acts on it, each function says how: proofs by their verifier, points
// by the library's equation of the curve, a product of pairings by the signature that nobody can find to a wrong one. What
// the lanes refuse, or cannot do, is the library's; so are all where the processor has no such multipliers.
package wide

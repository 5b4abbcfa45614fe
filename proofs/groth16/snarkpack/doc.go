// Package snarkpack checks aggregates of Groth16 proofs of one circuit: the inner-product argument that Filecoin calls
// SnarkPack (method 26 of the miner actor, ProveCommitAggregate), of logarithmic size and checked with one product of
// pairings. Aggregates are made in package prover/aggregate beside, so that programs which only verify link no prover.
//
// Start at [NewVerifier] and [Verifier.Verify]. The argument, for n proofs (A, B, C), n a power of two:
//
//   - A and B, and C alone, are committed to under keys v = h^(s^i) and w = g^(s^(n+i)), i < n, once with s = alpha and
//     once with s = beta; a commitment is a product of pairings. From the commitments follows a challenge r.
//   - The proofs hold if the product Z of e(A_i, B_i)^(r^i) equals what the verifying key makes of the public inputs and
//     of the sum of C_i^(r^i), both weighted alike.
//   - log2(n) rounds fold the right half of every list onto the left. Each round tells the cross terms, from which follows
//     the next challenge, until one A, B, C, v and w are left.
//   - The last v and w are commitments to polynomials that the challenges determine, which an opening at a last challenge
//     shows.
//
// Encoding, transcript and padding are those of bellperson (src/groth16/aggregate, 0.18 to 0.27) and rust-fil-proofs
// (filecoin-proofs/src/api/seal.rs, 11 to 19).
//
// Invariants: what leaves a parser is canonical and lies in its group; every size has one length.
package snarkpack

// Package poseidon is the Poseidon hash over the BLS12-381 scalar field with the parameters Filecoin uses for its
// column hashes, octrees and CommR.
//
// Start at Constants for what the hash is made of (also what a circuit builder needs), at Permute for the permutation,
// at Hash and Hash2 for one digest and at Batch for many digests of one arity.
//
// Invariants: width = arity + 1; state[0] holds the domain tag; the digest is state[1] after the permutation; S-box x^5;
// 8 full rounds, half before and half after the partial rounds. Constants are derived from the Grain LFSR once per
// arity, never read from a file, and never change afterwards: everything that a *Constants exports is read-only.
package poseidon

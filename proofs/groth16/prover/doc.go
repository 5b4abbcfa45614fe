// Package prover makes Groth16 proofs.
//
// Start at [Trapdoor], which knows the secret of the parameters and so needs no parameter file: it synthesises the whole
// circuit with its real witness, checks every row, and computes the proof's exponents directly. Only for private networks.
//
// Invariant: no prover returns a proof for a witness that leaves a row unsatisfied.
package prover

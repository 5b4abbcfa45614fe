// Package groth16 is the proof system as Filecoin uses it: proofs and verifying keys in the network's encodings, the
// verifier, and the derivation of a verifying key from a seed for private networks (fact sheet "proofs", 6 to 8).
//
// Start at [Prepare] and [PreparedKey.Verify]; at [Derive] for keys of private networks. Provers live in package prover
// below, so that programs which only verify do not link one. Package snarkpack checks many proofs aggregated into one.
//
// Invariants: a point that leaves a reader is on its curve, in the right subgroup and not at infinity; a proof is 192
// bytes and has one encoding.
package groth16

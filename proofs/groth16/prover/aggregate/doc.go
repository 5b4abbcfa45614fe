// Package aggregate makes aggregates of Groth16 proofs, which package snarkpack checks and describes.
//
// Start at [Keys.Aggregate]; [FromSecret] and [ReadKeys] make the commitment keys that it takes.
//
// Invariant: an aggregate does not tell whether its proofs hold; whoever makes one checks it before it leaves.
package aggregate

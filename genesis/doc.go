// Package genesis makes and imports the first block of a network.
//
// [Build] turns a [Template] (the JSON of the field's tools) into a state with
// actors v7 and a genesis header, the same bits on every machine and at every
// run: whatever the reference draws at random, the ticket and the key of the
// first verifier, is derived from the template, and the timestamp must stand in
// it. [WriteCAR] and [LoadCAR] carry a genesis as a file; LoadCAR also reads
// the public networks' files of older actor versions.
//
// Start at Build in build.go; the steps follow node-nv15.md section 4.
//
// Invariants: the sum of all balances is 2e9 FIL; sectors of the template are
// active from the first epoch; the actors' policy of the process must be that
// of the network (params/policy.Apply), which Build checks.
package genesis

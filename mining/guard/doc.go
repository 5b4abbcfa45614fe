// Package guard holds the rules that keep a miner from signing what it could be slashed for, and the file in which the
// record of signed blocks moves from one place to another. It is pure; package record keeps the record.
//
// Start reading at Judge. The rules, by heights and never by clocks (consensus faults of the miner actor):
//   - one block at an epoch: the same signing bytes again are welcome, others never;
//   - one epoch for a set of parents (time-offset mining);
//   - a block may not build on a sibling of an own block while leaving the own block out (parent grinding);
//   - nothing at or below the floor, which stands where the record may have holes: after a lost or restored record.
//
// Invariant: whatever passes Judge, given all entries that Touches names, forms no fault with anything that passed before.
package guard

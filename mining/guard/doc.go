// Package guard keeps a miner from signing what it could be slashed for.
//
// Start reading at History.Judge, the pure rules, and at Guard.Propose, which makes a decision durable before anybody is
// asked for a signature. A guard is one file per miner, an append-only list of checksummed JSON lines.
//
// The rules, by heights and never by clocks (consensus faults of the miner actor):
//   - one block at an epoch: the same signing bytes again are welcome, others never;
//   - one epoch for a set of parents (time-offset mining);
//   - a block may not build on a sibling of an own block while leaving the own block out (parent grinding);
//   - nothing at or below the floor, which stands where the record may have holes: after a lost or restored record.
//
// Invariants: Propose returns only with its record on disk; a file that cannot be read or written stops its miner and no
// other; forgetting old heights raises the floor.
package guard

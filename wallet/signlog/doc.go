// Package signlog is the wallet's append-only record of every decision to sign or to refuse.
//
// Start reading at Log.Append. A log is a folder of segments, 00000001.log upwards, each a list of JSON lines. Every
// line carries a running number and the hash of the line before it, so that a removed or altered line shows.
//
// Invariants:
//   - Append returns after the record is on disk: a signature leaves the wallet only with its record durable;
//   - after a failed write or fsync nothing is accepted any more until the log is opened again (fail closed);
//   - a torn last line, the mark of a crash, is cut off at Open: its signature never left;
//   - for each (signer, miner) the heights of signed blocks are remembered, and another block at a remembered height, or
//     any block below what is remembered, is refused (Append).
package signlog

// Package state is the table of actors and the reading of chain state.
//
// [Tree] is the machine's side: one state root opened with [Load], changed in
// memory, rolled back with Snapshot and Revert, written with Flush. It reads
// the layouts of all actor versions and writes those of actors v3 and later,
// keeping the version it found. Addresses of any form are resolved through the
// init actor's map; only ID addresses are keys.
//
// [View] is the reading side for consensus, services and people.
//
// Invariants: a reverted change leaves no trace in memory; Flush of an
// unchanged tree returns the root it was loaded from.
package state

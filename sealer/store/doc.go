// Package store knows where sector files lie: storage paths, which sector has
// which file where, and how a sealed sector gets to its resting place.
//
// Start at Open and Store.Attach. The list of paths is storage.json in the
// sealer's directory; each path carries sectorstore.json with its id and uses,
// and the folders unsealed/, sealed/ and cache/ with one entry per sector, named
// s-t0MINER-NUMBER (sealer-miner.md 4.1), so paths made by the field's other
// sealing programs can be attached as they are.
//
// Invariants: the index is rebuilt from the disk at Open and is never the only
// record; a stray name is reported and never fatal; a file arrives under a
// temporary name, is synced, then renamed, and only then does the source go;
// detaching deletes nothing.
package store

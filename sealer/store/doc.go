// Package store knows where sector files lie: storage paths, which sector has
// which file where, how files get from one path to another, and what of all that
// can go.
//
// Start at OpenWith and Store.Attach, then Store.Place (where a sector is sealed),
// Store.Rest and Store.Plan (where it goes), Store.Find and Store.OpenFile (where
// it is read). The list of paths is storage.json in the sealer's directory; each
// path carries sectorstore.json with its id and uses, and the folders unsealed/,
// sealed/ and cache/ with one entry per sector, named s-t0MINER-NUMBER
// (sealer-miner.md 4.1), so paths made by the field's other sealing programs can
// be attached as they are. A path is a folder, shared or not (local), a bucket
// (bucket), which proofs read by ranges, or a folder on a worker's machine (afar),
// which is reached through that worker.
//
// Invariants: the index is rebuilt from the disk and is never the only record; a
// stray name is reported, never fatal and never touched; a file arrives under a
// hidden name (in a bucket: without its mark), is synced and read back, then gets
// its name, and only then does the source go, name first; a move is noted in
// moves.json before its first byte, so that a restart goes on with it; nothing is
// asked of a disk with the store's lock held or without a time-out, so a disk that
// hangs takes only its own sectors out of use; detaching deletes nothing; nothing
// is written to a folder that does not carry its path's sectorstore.json, which is
// what an unmounted disk looks like.
package store

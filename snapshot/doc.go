// Package snapshot writes a chain to an archive and takes one in: the way a node starts that does not want to run the
// whole chain again.
//
// An archive is a CAR of version 1, compressed with zstd or not. Its roots are the blocks of the head; it holds every
// header down to the genesis, the genesis state, and states, receipts and messages of the newest epochs. Other programs of
// the field write and read the same.
//
// Start at [Export] and [Import]. [Open] reads archives from files and from the web, [Create] makes files.
//
// Invariants: an import changes nothing of a store before the whole archive was judged: every block hashed, every link of
// what is not a header followed, the headers a chain from the head down to our genesis, states and messages there for as
// many epochs as a node needs. Until then the blocks lie in a pack beside the store (ipld.Import), which an interrupted
// import goes on with. The head moves last. Memory is bounded by buffers: lists that grow with the archive are sorted on
// disk; only an export keeps a table in memory, of 16 bytes and its overhead for every block it has written.
package snapshot

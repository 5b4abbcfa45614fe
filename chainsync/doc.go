// Package chainsync brings the chain of the network into our store: it takes
// in gossiped blocks, follows heads that peers tell of, fetches what is missing
// and hands every block to validation before anything of it counts.
//
// Start at [Syncer.HearBlock] for the fast path (parents known, one block to
// judge) and [Syncer.Hear] for catching up, which fetches headers backwards to
// our chain and then judges forwards, a scout having the signatures of what
// comes next verified meanwhile.
//
// Invariants: a header is in the store only after it passed validation, so
// "the store has it" means "it is valid" also after a crash; a block is marked
// bad only for a consensus.Reject, never for a local failure; a fork deeper
// than finality is refused before its messages are fetched.
package chainsync

// Package mining is venus-miner: it wins elections for any number of miners and makes their blocks.
//
// Start reading at runner.step, one round of one miner; heads feeds all runners with the heaviest head that any node tells,
// nodes and sealers fall over from one to the next, Service is the API and Start wires the daemon. Package guard below holds
// the rules of what may be signed, package record decides and remembers what was signed and won.
//
// A round on a base tipset goes: base info from the node, election proof from the wallet, winning proof from the sealer
// (begun the moment the election is won, and verified: Checked), ticket from the wallet, messages and block from the node,
// record, signature, submission at the block's own timestamp. Whatever was computed for the round outlives a change of the
// base: only the ticket, the messages and the block depend on it.
//
// Invariants: every miner has a goroutine, services, a record and a state of its own, and no lock is held during a call,
// so that no miner ever waits for another; nothing is signed before it is recorded, and nothing at all while the record may
// have holes; tokens go in and never out.
package mining

// Package mining is venus-miner: it wins elections for any number of miners and makes their blocks.
//
// Start reading at runner.step, one round of one miner; heads feeds all runners with the node's head, Service is the API
// and Start wires the daemon. Package guard below decides and records what may be signed.
//
// A round on a base tipset goes: base info from the node, election proof from the wallet, winning proof from the sealer
// (begun the moment the election is won), ticket from the wallet, messages and block from the node, record, signature,
// submission at the block's own timestamp. Whatever was computed for the round outlives a change of the base: only the
// ticket, the messages and the block depend on it.
//
// Invariants: every miner has a goroutine, services, a record and a state of its own, and no lock is held during a call,
// so that no miner ever waits for another; nothing is signed before the guard has it on disk; tokens go in and never out.
package mining

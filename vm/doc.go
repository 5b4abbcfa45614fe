// Package vm is the machine that runs the built-in actors of network version
// 15: the runtime that specs-actors v7 asks for, to the last unit of gas
// (facts: node-nv15.md 1, 2; actors-v7-others.md 11-14).
//
// One [VM] executes one epoch over one state: New, then ApplyMessage for what
// blocks carry and ApplyImplicit for rewards and cron, then Flush. Everything
// it needs from outside comes by [Config]: blocks, randomness, proofs, the
// circulating supply and the state at a lookback.
//
// Start reading at ApplyMessage (apply.go), follow execution.send (send.go)
// into runtime (runtime.go, syscalls.go). Prices are in gas.go.
//
// Invariants: the same inputs give the same receipts and state root on every
// machine; a failure of this machine (a missing block, a prover that cannot
// answer) is an error of the call and never a receipt; gas is charged before
// the work it pays for; a rolled back call leaves nothing in the state but the
// gas it used and the count of actors it made.
package vm

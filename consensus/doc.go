// Package consensus decides which blocks belong to a chain, and makes new ones.
//
// Start at Validator.ValidateBlock, the list of all rules; each rule is a method of its own and refuses with a Reject that
// names it. Election (WinCount, tickets, eligibility, the sector of a winning proof) is pure and shared with the mining
// side: MiningBase tells a miner what it needs for a round, CreateBlock makes the unsigned block. Precheck verifies many
// blocks' signatures and proofs together ahead of their judgement, and decides nothing.
//
// Invariants: a Reject is a fact about the block, true on every node at all times; anything else that goes wrong (missing
// data, a full disk, an ended context, a beacon out of reach, a clock) is not a Reject and never condemns a block.
package consensus

// Package machine is the pure core of venus-messager: what a message is, how it
// moves from state to state, what it may cost, which one goes first and why one
// waits. It has no clock, no disk, no network and no goroutine.
//
// Start reading at Message.Step (step.go), the table of transitions; fees.go holds
// the one documented precedence of fee limits, lanes.go the order of sending,
// sender.go the nonce arithmetic, explain.go the plain words.
//
// Invariants:
//   - a message gets its nonce and its signature in the same step and keeps that
//     nonce for ever; only price and gas change when it is signed again;
//   - a message without a nonce can fail for good, one with a nonce can not: it
//     ends on chain or its nonce ends under another message;
//   - every step leaves a Note, so the history of a message is complete.
//
// Sources: auth-wallet-messager.md C5, C6, D; reliability.md 3.5.
package machine

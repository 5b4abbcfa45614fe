// Package p2p joins the network of peers: a libp2p host with the field's
// protocols on it. It knows bytes and peers, not chain rules; what a message
// means is told to it by functions it is given.
//
// Start at [New]. A [Host] dials and listens and knows its peers; [Host.Join]
// subscribes to the two gossip topics of a network, with a validator that runs
// before anything is forwarded; the sub-packages hello and exchange are the
// request protocols. What peers do wrong is remembered by [Host.Blame], with the
// weights of faults beside it (reputation.go).
//
// Invariant: nothing that a stranger sends reaches a handler unbounded in size
// or time, and a handler that panics costs that peer its stream, not us the
// process.
package p2p

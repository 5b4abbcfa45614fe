// Package beacon is the randomness beacon seen from a node and from a private network.
//
// Start reading at Info (what identifies a drand chain: key, period, start, scheme) and Scheme.Verify (one signature check
// per scheme); then Schedule, which says which chain of rounds an epoch draws from and which entries a block must carry;
// then Client (fetches from drand's HTTP API) and Server (answers that API for a network that runs its own one-key beacon).
//
// Invariants: an entry leaves this package as valid only after its signature was checked against the chain's public key;
// a round is never signed before its time; rounds and times are computed from an injected clock only.
package beacon

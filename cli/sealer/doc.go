// Package sealer is the command line of venus-sealer: sectors, storage, proofs
// and the miner's state of affairs, asked from a running sealer over its API.
//
// Start at App. The forms of `info` and `sectors list` are those of the
// deployment guide and are part of what the program promises. What needs more
// than the API (init, run, attaching a path while no sealer runs) is given by the
// main package as functions in Deps.
package sealer

// Package sealer is the contract of venus-sealer: one miner's sectors, storage
// and proofs (JSON-RPC namespace "Filecoin", path /rpc/v0, port 2345).
//
// Start reading at [Sealer]. Names and shapes are the original's (sheet
// sealer-miner.md 1b and appendix A). The protocol between sealer and workers
// is not here: it belongs to package worker.
package sealer

//go:generate go run ../../internal/apigen

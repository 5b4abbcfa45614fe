// Package mining is the contract of venus-miner: which miners produce blocks
// and how that goes (JSON-RPC namespace "Filecoin", path /rpc/v0, port 12308).
//
// Start reading at [Mining]. Tokens go in with a miner and never come out
// (sheet sealer-miner.md 6).
package mining

//go:generate go run ../../internal/apigen

// Package wallet is the contract of venus-wallet: keys that sign (JSON-RPC
// namespace "Filecoin", path /rpc/v0, port 5678).
//
// Start reading at [Wallet]. Signing is typed: [MsgMeta] says what is to be
// signed and carries enough for the wallet to compute the signed bytes itself,
// so that it can refuse (sheet auth-wallet-messager.md B3).
package wallet

//go:generate go run ../../internal/apigen

// Package messager is the contract of venus-messager: messages in, landed on
// the chain (JSON-RPC namespace "Message", path /rpc/v0, port 39812).
//
// Start reading at [Messager]. Names, order of arguments and the JSON of
// [Message] are the original's (sheet auth-wallet-messager.md C3), so that the
// sealers of the field can talk to it; what was added since tells why a message
// waits ([Message.ErrorMsg], [Explanation]). Wallet tokens go in and never out.
package messager

//go:generate go run ../../internal/apigen

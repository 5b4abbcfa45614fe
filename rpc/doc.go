// Package rpc carries the contracts of package api over the network: JSON-RPC
// 2.0 in the field's dialect, by HTTP POST and by WebSocket on the same path,
// with channels as results on WebSocket (sheet node.md 2.1). It knows no
// service.
//
// Start reading at [Server] (how a daemon serves) and [Dial] (how it is
// called; line.go for calls that share a connection). [Server.Exclude] answers for what is left out on purpose, [Health]
// for /livez, /readyz and /healthz; [Meter] hears what happens. [Guard] puts the permission check before every method of a proxy;
// [Verifier] is the one question asked about a token.
//
// Method lookup, decoding of parameters and encoding of results are the
// field's library go-jsonrpc. Its own WebSocket loop is not used on the server:
// it has no limit on frames, no deadline on writes, and a malformed cancel
// frame panics in it. Our loop (ws.go) reads frames, keeps limits, and closes a
// connection within a second of its token's end.
//
// Invariants: no caller is trusted for its address or for a header other than
// its token; a method runs only after its permission was checked; whatever a
// foreign byte does, it ends in an error answer; no token is logged.
package rpc

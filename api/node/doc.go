// Package node is the contract of the venus daemon: the chain as its clients
// see it (JSON-RPC namespace "Filecoin", paths /rpc/v1 and /rpc/v0).
//
// Start reading at [FullNode] (v1). It is made of topics: [Chain], [Objects],
// [Randomness], [State], [Calls], [MinerState], [Market], [Messages], [Mpool],
// [Gas], [Sync], [Miner], [Beacon], [Net], [Peers], [Multisig],
// [MultisigMessages], [Wallet], [Funds], [Alerts] and the root package's Common
// and Auth. [FullNodeV0] is the older dialect on /rpc/v0: the same, with the
// message searches and multisig calls of old (node-nv15.md 6.3); [V0] makes it
// from a FullNode. [Excluded] lists the field's methods that are not here, and why.
//
// An empty tipset key means the current head, everywhere. Permissions are the
// field's own table (node-nv15.md 6.6).
package node

//go:generate go run ../../internal/apigen

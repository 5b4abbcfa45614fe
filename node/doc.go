// Package node assembles the venus daemon from its parts and serves the chain
// to clients.
//
// Start at [New]: one function that wires store, executor, validator, pool,
// peers and syncer, and [Node.Close], which takes them apart in reverse. [API]
// is the contract of package api/node; its methods live in api_*.go, a file a
// topic, and only translate between wire shapes and the parts.
//
// Invariants: the node verifies proofs and never makes them; an answer to a
// question about an empty tipset key is about the head at that moment; what
// MpoolPush or SyncSubmitBlock acknowledges survives a crash.
package node

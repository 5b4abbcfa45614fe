// Package venus holds the commands that talk to a running node: chain, state,
// mpool, sync, net, wallet and auth. They know the contract (api/node) and the
// wire (rpc), nothing of the node itself.
//
// Start at [Commands]; [dial] finds the node.
package venus

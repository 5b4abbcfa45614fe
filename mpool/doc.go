// Package mpool is the message pool of a node: the messages that are signed and
// valid but not yet on the chain the node follows, and the choice of which of
// them a new block should carry.
//
// Start reading at Pool (pool.go): Push and Receive take messages in, HeadChange
// keeps the pool in step with the chain, Select fills a block. The decisions are
// pure and live apart from the shell: core.go holds the nonce lines and their
// limits, validity.go the rules a message must pass, chains.go and select.go the
// choice for a block, gas.go the fee estimates.
//
// Invariants:
//   - a line (one sender, by key address) never holds two messages of one nonce,
//     nor one below the nonce the chain expects;
//   - a message accepted from the node's own API is on disk before Push returns;
//   - nothing here runs a message or reads a state tree: the chain is seen
//     through the Chain and Simulator interfaces only.
//
// Sources: node.md 2.6 and 4.8-4.11, node-nv15.md 1.3 and 5.5-5.6.
package mpool

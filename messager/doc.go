// Package messager delivers messages for a cluster: it takes them by wallet name,
// gives them nonce and gas, has the wallet sign them, pushes them to a node and
// follows the chain until they are executed, whatever happens on the way.
//
// Start reading at Service (service.go). The life of a message: accept (accept.go)
// makes it durable, many at once (intake.go); its sender's worker (worker.go)
// estimates, has it signed and assigns the nonce; push.go hands it to the node;
// line.go repairs the line of nonces; follow.go sees it land; reconcile.go asks the
// chain when a notification may have been missed; replace.go signs a stuck one again.
// leases.go shares the work with other messagers, nodes.go chooses among nodes,
// tenancy.go keeps users apart. The rules are in package machine, the
// tables in package store, the RPC methods in the api_*.go files.
//
// Invariants:
//   - an id is returned only once its message is durable;
//   - one goroutine per sender gives out its nonces, under a lease on that sender
//     (leases.go), and writes nonce and signed bytes in one transaction before the
//     first push; whoever lost the lease meanwhile is refused by its fence;
//   - several messagers may share a database: one of them, under another lease,
//     follows the chain for all, and the senders are spread over those that have a
//     usable node;
//   - what was signed for a nonce is kept for ever, and is pushed until the chain
//     has passed that nonce;
//   - a wallet, a node or a message in trouble delays only what depends on it, and
//     every message that waits says why.
//
// Sources: auth-wallet-messager.md C and D; reliability.md 3.5 and 5.
package messager

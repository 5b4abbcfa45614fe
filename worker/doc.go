// Package worker runs the proof work of sealing: it pulls tasks from a sealer,
// keeps their leases alive, and brings back results.
//
// Start at Executor.Run. The same executor runs inside venus-sealer (Source is
// the sealer's queue) and in venus-worker processes (Source is TasksProxy, the
// same protocol over the sealer's RPC). The protocol is Source; its rules:
//
//   - a task is leased to one worker at a time; every lease has a fence, a number
//     that only grows, and calls with an old fence are answered with ErrLost;
//   - a lease that is not renewed within its TTL passes to another worker;
//   - the sealer has stored a result when TaskComplete returns nil, and a worker
//     repeats the call until it does: doing a task twice is harmless;
//   - a task carries everything it needs, so a worker holds no chain, no wallet
//     and no state of its own, and may come and go at any time.
//
// Sector files are on paths that sealer and worker share.
package worker

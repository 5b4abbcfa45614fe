// Package worker runs the proof work of sealing: it takes tasks from a sealer,
// tells that it is alive, and brings back results.
//
// Start at Executor.Run. The same executor runs inside venus-sealer, where its
// Source is the sealer's queue itself, and in venus-worker processes, where it is
// worker/bus.Client: the same protocol over NATS. The rules of the protocol:
//
//   - the sealer decides who does what; a task is leased to one worker at a time,
//     and every lease has a fence, a number that only grows;
//   - a worker tells of the leases it holds in its beats; one that is not told of
//     for its term passes to another worker, and who held it learns that it is over;
//   - an outcome counts only under the lease in force; handing it in again is
//     harmless, and a worker does so until a beat tells that the lease is over;
//   - a task writes into a folder that is named after its attempt and fence
//     (Task.Work), so that two workers at the same task never touch the same file;
//     Adopt takes over the folder of the one whose outcome counted;
//   - a task carries everything it needs, so a worker holds no chain, no wallet
//     and no state of its own, and may come and go at any time.
//
// Sector files are on paths that sealer and worker share; a worker tells which of
// the sealer's paths it can reach, and only gets tasks in those. Or they are on the
// worker's own paths (worker/own): a sector that was begun there is sealed by that
// worker to its end, and the sealer, which lists, reads and deletes there through
// it, fetches the finished files (sealer/store, afar.go).
package worker

// Package service is the venus-sealer daemon: it assembles the sector pipeline,
// the window proofs, the task queue and the storage paths of one miner, and
// serves them (contract: api/sealer; workers: package worker).
//
// Start at Start. Invariants: nothing of the chain is asked before node and
// messager answer; a service that is away is waited for, with its name in the
// log; every part is closed in reverse order of its start.
package service

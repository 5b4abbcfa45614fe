// Package cluster brings the real programs of a cluster up on one machine: a
// private network, its services, the first miner's sealer and a new miner, by
// the commands of the deployment guide.
//
// Start at [Journey.Run], the steps of `venus-cluster up`; each is done once,
// recorded ([State]) and skipped when the journey is run again. [Supervise] is
// the process that keeps the programs alive; [Control] talks to it over a
// socket in the cluster's folder. [Programs] lists what runs and how.
//
// Invariants: a cluster lives in one folder ([Layout]) and several live side by
// side; no secret appears on a command line, programs get them by file or
// environment; nothing is deleted.
package cluster

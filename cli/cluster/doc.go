// Package cluster holds the commands of venus-cluster: up, down, status, logs,
// faucet, and the hidden supervise that keeps the programs alive.
//
// Start at [App].
package cluster

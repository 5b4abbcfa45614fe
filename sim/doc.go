// Package sim mines a whole chain in one process on a simulated clock: the real genesis, machine, actors, elections,
// tickets, signatures, block rules, messages and window proofs' bookkeeping, at thousands of epochs a minute.
//
// Start at Run, which mines a number of epochs and reports; World is the chain with its miners for tests that want to
// drive it themselves.
//
// After every epoch, null rounds too, the state is held against all invariants of the actors (package state/check). With
// Config.Operations, miners and people send all kinds of messages as well: operator draws them from the table in
// operations.go, and a model in plain maps foretells how each exits. The first outcome or state that is not as foretold
// ends the run with an error that names the seed.
//
// In the tests a fleet of venus-miners and of sealers' window-proof planners, the programs' own parts, mines on such a chain
// under faults (fleet_run_test.go).
//
// The one thing that is not real are the proofs of storage: Verifier accepts as proof a digest of the statement. This
// package is the only place where that happens, and no program but the simulator imports it.
//
// Invariants: the same Config gives the same chain, bit for bit; the actors' policy of the process must be that of
// Network(cfg), set once by the caller (params/policy.Apply).
package sim

// Package wdpost keeps a miner's power: it proves every deadline in time.
//
// Start at Step and Due (plan.go): a pure planner. Step applies what happened (a
// new head, a finished proof, a pushed message, a chain fact) to a State; Due
// derives from the State alone which actions are called for now. The shell
// (shell.go) stores the State before it carries out what is due, runs each
// action at most once at a time, and feeds the outcome back. A process that dies
// anywhere resumes with the stored State.
//
// Invariants:
//   - the planner knows epochs, never the clock;
//   - whether a partition is proven is told by the chain's deadline record, not
//     by a receipt: a deadline that is proven is never proven again, and one that
//     a reorg un-proved is pushed again;
//   - proofs are stored before they are sent, message ids before they are used;
//   - a person is told of trouble while it can be mended (Alerts, alerts.go), never
//     after; a loss is reported (Report) once it is one;
//   - a message is never pushed when it could only land after the close, and
//     trouble is retried at every head until then.
package wdpost

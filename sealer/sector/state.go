package sector

import "sort"

// State names where a sector stands. The names are those operators know from
// the field's other sealing programs.
type State string

// The states of a sector, in the order of a healthy life.
const (
	// Packing fills the sector with zeros (task AP).
	Packing State = "Packing"
	// GetTicket reads the chain randomness that the replica is bound to.
	GetTicket State = "GetTicket"
	// PreCommit1 labels the graph (task PC1).
	PreCommit1 State = "PreCommit1"
	// PreCommit2 builds the trees and CommR (task PC2).
	PreCommit2 State = "PreCommit2"
	// PreCommitting pushes the PreCommitSector message.
	PreCommitting State = "PreCommitting"
	// PreCommitWait waits for that message to land.
	PreCommitWait State = "PreCommitWait"
	// WaitSeed waits for the interactive challenge's epoch.
	WaitSeed State = "WaitSeed"
	// Committing makes the proof (tasks C1, then C2).
	Committing State = "Committing"
	// SubmitCommit pushes the ProveCommitSector message.
	SubmitCommit State = "SubmitCommit"
	// CommitWait waits for that message to land and the chain to accept the proof.
	CommitWait State = "CommitWait"
	// FinalizeSector drops what only sealing needed and moves the rest to a store path.
	FinalizeSector State = "FinalizeSector"
	// Proving is the goal: window proofs keep the sector's power.
	Proving State = "Proving"
)

// The states of a sector in trouble. Each retries after a back-off, except
// FailedUnrecoverable, which a chain fact makes final.
const (
	PackingFailed        State = "PackingFailed"
	SealPreCommit1Failed State = "SealPreCommit1Failed"
	SealPreCommit2Failed State = "SealPreCommit2Failed"
	PreCommitFailed      State = "PreCommitFailed"
	ComputeProofFailed   State = "ComputeProofFailed"
	CommitFailed         State = "CommitFailed"
	FinalizeFailed       State = "FinalizeFailed"
	FailedUnrecoverable  State = "FailedUnrecoverable"
)

// order is the place of a state in lists and summaries.
var order = map[State]int{
	Packing: 1, GetTicket: 2, PreCommit1: 3, PreCommit2: 4, PreCommitting: 5, PreCommitWait: 6, WaitSeed: 7,
	Committing: 8, SubmitCommit: 9, CommitWait: 10, FinalizeSector: 11, Proving: 12,
	PackingFailed: 20, SealPreCommit1Failed: 21, SealPreCommit2Failed: 22, PreCommitFailed: 23,
	ComputeProofFailed: 24, CommitFailed: 25, FinalizeFailed: 26, FailedUnrecoverable: 27,
}

// States lists every state in pipeline order.
func States() []State {
	out := make([]State, 0, len(order))
	for s := range order {
		out = append(out, s)
	}
	sort.Slice(out, func(i, j int) bool { return order[out[i]] < order[out[j]] })
	return out
}

// Order is the state's place in the pipeline, for sorting; unknown names come last.
func (s State) Order() int {
	if n, ok := order[s]; ok {
		return n
	}
	return len(order) + 100
}

// Known tells whether the name is a state of this machine.
func (s State) Known() bool { _, ok := order[s]; return ok }

// Failed tells whether the state is one of the states of trouble.
func (s State) Failed() bool { return s.Order() >= 20 }

// Final tells whether the machine does nothing more by itself.
func (s State) Final() bool { return s == Proving || s == FailedUnrecoverable }

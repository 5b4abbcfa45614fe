package sector

import "sort"

// State names where a sector stands. The names are those operators know from
// the field's other sealing programs.
type State string

// The states of a sector, in the order of a healthy life.
const (
	// WaitDeals is a new sector that is offered to deals.
	WaitDeals State = "WaitDeals"
	// AddPiece writes the pieces of its deals into its unsealed file.
	AddPiece State = "AddPiece"
	// Packing fills a sector without deals with zeros (task AP).
	Packing State = "Packing"
	// GetTicket reads the chain randomness that the replica is bound to.
	GetTicket State = "GetTicket"
	// PreCommit1 labels the graph (task PC1).
	PreCommit1 State = "PreCommit1"
	// PreCommit2 builds the trees and CommR (task PC2).
	PreCommit2 State = "PreCommit2"
	// PreCommitting pushes a PreCommitSector message of its own.
	PreCommitting State = "PreCommitting"
	// SubmitPreCommitBatch waits for others to share a PreCommitSectorBatch message with, then for its push.
	SubmitPreCommitBatch State = "SubmitPreCommitBatch"
	// PreCommitWait waits for the sector's own message to land.
	PreCommitWait State = "PreCommitWait"
	// PreCommitBatchWait waits for the shared message to land.
	PreCommitBatchWait State = "PreCommitBatchWait"
	// WaitSeed waits for the interactive challenge's epoch.
	WaitSeed State = "WaitSeed"
	// Committing makes the proof (tasks C1, then C2).
	Committing State = "Committing"
	// SubmitCommit pushes a ProveCommitSector message of its own.
	SubmitCommit State = "SubmitCommit"
	// SubmitCommitAggregate waits for others to share a ProveCommitAggregate message with, then for its push.
	SubmitCommitAggregate State = "SubmitCommitAggregate"
	// CommitWait waits for the sector's own message to land and the chain to accept the proof.
	CommitWait State = "CommitWait"
	// CommitAggregateWait waits for the shared message to land.
	CommitAggregateWait State = "CommitAggregateWait"
	// FinalizeSector drops what only sealing needed and moves the rest to a store path.
	FinalizeSector State = "FinalizeSector"
	// Proving is the goal: window proofs keep the sector's power.
	Proving State = "Proving"
)

// The states of a proven sector that takes data in. Its old replica is proven until the chain has the new one.
const (
	// SnapDealsWaitDeals offers the sector to deals.
	SnapDealsWaitDeals State = "SnapDealsWaitDeals"
	// SnapDealsAddPiece writes the pieces of its deals into its unsealed file.
	SnapDealsAddPiece State = "SnapDealsAddPiece"
	// UpdateReplica encodes the data with the old replica (task RU).
	UpdateReplica State = "UpdateReplica"
	// ProveReplicaUpdate proves that the new replica is made so (task PRU).
	ProveReplicaUpdate State = "ProveReplicaUpdate"
	// SubmitReplicaUpdate pushes a ProveReplicaUpdates message.
	SubmitReplicaUpdate State = "SubmitReplicaUpdate"
	// ReplicaUpdateWait waits for that message to land.
	ReplicaUpdateWait State = "ReplicaUpdateWait"
	// FinalizeReplicaUpdate drops what only the update needed (task FIN).
	FinalizeReplicaUpdate State = "FinalizeReplicaUpdate"
	// UpdateActivating waits until no reorg can take the update back.
	UpdateActivating State = "UpdateActivating"
	// ReleaseSectorKey deletes the old replica.
	ReleaseSectorKey State = "ReleaseSectorKey"
)

// The states of a sector on its way out.
const (
	// Terminating waits for a TerminateSectors message, which sectors of several deadlines share.
	Terminating State = "Terminating"
	// TerminateWait waits for that message to land.
	TerminateWait State = "TerminateWait"
	// TerminateFinality waits until no reorg can bring the sector back; then its files go.
	TerminateFinality State = "TerminateFinality"
	// Expired is a sector whose life on the chain ended on time. Its files stay until the operator removes it.
	Expired State = "Expired"
	// Removing deletes the sector's files.
	Removing State = "Removing"
	// Removed is a sector without files; only its record and log are left.
	Removed State = "Removed"
)

// The states of a sector in trouble. Those named Failed retry after a back-off,
// except FailedUnrecoverable, which a chain fact makes final. The Fault states
// are of proven sectors whose proofs fail.
const (
	AddPieceFailed       State = "AddPieceFailed"
	PackingFailed        State = "PackingFailed"
	SealPreCommit1Failed State = "SealPreCommit1Failed"
	SealPreCommit2Failed State = "SealPreCommit2Failed"
	PreCommitFailed      State = "PreCommitFailed"
	ComputeProofFailed   State = "ComputeProofFailed"
	CommitFailed         State = "CommitFailed"
	FinalizeFailed       State = "FinalizeFailed"
	TerminateFailed      State = "TerminateFailed"
	RemoveFailed         State = "RemoveFailed"

	SnapDealsAddPieceFailed     State = "SnapDealsAddPieceFailed"
	ReplicaUpdateFailed         State = "ReplicaUpdateFailed"
	FinalizeReplicaUpdateFailed State = "FinalizeReplicaUpdateFailed"
	ReleaseSectorKeyFailed      State = "ReleaseSectorKeyFailed"
	// AbortUpgrade deletes what was made of an update that was given up; the sector is proven as before.
	AbortUpgrade State = "AbortUpgrade"

	// Faulty is a proven sector whose files we found bad; the chain does not know yet.
	Faulty State = "Faulty"
	// FaultReported is a sector that the chain counts as faulty.
	FaultReported State = "FaultReported"
	// FaultedFinal is a sector that the chain ended before its time: faulty for too long, or terminated elsewhere.
	FaultedFinal State = "FaultedFinal"
	// DealsExpired is a new sector whose deals started before it was proven: nothing can become of it.
	DealsExpired        State = "DealsExpired"
	FailedUnrecoverable State = "FailedUnrecoverable"
)

// firstFailed is the order of the first state of trouble.
const firstFailed = 59

// order is the place of a state in lists and summaries.
var order = map[State]int{
	WaitDeals: 1, AddPiece: 2, Packing: 3, GetTicket: 4, PreCommit1: 5, PreCommit2: 6, PreCommitting: 7, SubmitPreCommitBatch: 8,
	PreCommitWait: 9, PreCommitBatchWait: 10, WaitSeed: 11, Committing: 12, SubmitCommit: 13, SubmitCommitAggregate: 14,
	CommitWait: 15, CommitAggregateWait: 16, FinalizeSector: 17, Proving: 18,
	SnapDealsWaitDeals: 20, SnapDealsAddPiece: 21, UpdateReplica: 22, ProveReplicaUpdate: 23, SubmitReplicaUpdate: 24,
	ReplicaUpdateWait: 25, FinalizeReplicaUpdate: 26, UpdateActivating: 27, ReleaseSectorKey: 28,
	Terminating: 40, TerminateWait: 41, TerminateFinality: 42, Expired: 43, Removing: 44, Removed: 45,
	AddPieceFailed: firstFailed, PackingFailed: 60, SealPreCommit1Failed: 61, SealPreCommit2Failed: 62, PreCommitFailed: 63, ComputeProofFailed: 64,
	CommitFailed: 65, FinalizeFailed: 66, TerminateFailed: 67, RemoveFailed: 68,
	SnapDealsAddPieceFailed: 70, ReplicaUpdateFailed: 71, FinalizeReplicaUpdateFailed: 72, ReleaseSectorKeyFailed: 73, AbortUpgrade: 74,
	Faulty: 80, FaultReported: 81, FaultedFinal: 82, FailedUnrecoverable: 83, DealsExpired: 84,
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
func (s State) Failed() bool { return s.Order() >= firstFailed }

// Final tells whether the machine does nothing more by itself.
func (s State) Final() bool {
	switch s {
	case Proving, Expired, Removed, Faulty, FaultReported, FaultedFinal, FailedUnrecoverable, DealsExpired:
		return true
	}
	return false
}

// Sealing tells whether the state is before Proving, in trouble or not: whether
// the sector takes up room in the pipeline.
func (s State) Sealing() bool {
	return s.Order() < Proving.Order() || s.Failed() && s.Order() <= FinalizeFailed.Order()
}

// Updating tells whether the state is one of a proven sector that takes data in, in trouble or not.
func (s State) Updating() bool {
	o := s.Order()
	return o >= SnapDealsWaitDeals.Order() && o <= ReleaseSectorKey.Order() || o >= SnapDealsAddPieceFailed.Order() && o <= AbortUpgrade.Order()
}

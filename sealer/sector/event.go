package sector

import (
	"fmt"
	"strings"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/go-state-types/exitcode"
	"github.com/ipfs/go-cid"
)

// Event is something that happened to a sector. The String form is what the
// sector's log keeps.
type Event interface {
	fmt.Stringer
	isEvent()
}

// TaskKind names a piece of proof work.
type TaskKind string

// The kinds of proof work, with the field's short names.
const (
	TaskAddPiece   TaskKind = "AP"
	TaskPreCommit1 TaskKind = "PC1"
	TaskPreCommit2 TaskKind = "PC2"
	TaskCommit1    TaskKind = "C1"
	TaskCommit2    TaskKind = "C2"
	TaskFinalize   TaskKind = "FIN"
	// TaskReplicaUpdate encodes data into a sealed sector, TaskProveUpdate proves it.
	TaskReplicaUpdate TaskKind = "RU"
	TaskProveUpdate   TaskKind = "PRU"
)

// TaskKinds lists the kinds in pipeline order.
func TaskKinds() []TaskKind {
	return []TaskKind{TaskAddPiece, TaskPreCommit1, TaskPreCommit2, TaskCommit1, TaskCommit2, TaskFinalize, TaskReplicaUpdate, TaskProveUpdate}
}

type (
	// TaskDone brings the result of the awaited run of a task.
	TaskDone struct {
		Kind    TaskKind
		Attempt int
		Pieces  []abi.PieceInfo // AP
		CommD   cid.Cid         // PC2, RU
		CommR   cid.Cid         // PC2, RU
		Proof   []byte          // C2, PRU
	}
	// TaskFailed tells that the awaited run of a task gave an error; Full that there was no room to write, Refused that
	// what it gave was wrong.
	TaskFailed struct {
		Kind    TaskKind
		Attempt int
		Err     string
		Full    bool
		Refused bool
	}
	// TicketRead brings the ticket.
	TicketRead struct{ Ticket Randomness }
	// SeedRead brings the seed, read again for every submission.
	SeedRead struct{ Seed Randomness }
	// Pushed tells that the messager accepted the message durably.
	Pushed struct {
		ID    string
		Value big.Int
	}
	// Joined tells that the sector's message is one it shares with others.
	Joined struct{ ID string }
	// Alone tells that nothing is won by waiting for others to share a message with, or, with Why, that they would fail by it.
	Alone struct{ Why string }
	// Landed tells that the message landed with enough confidence.
	Landed struct {
		ID     string
		Cid    cid.Cid
		Exit   exitcode.ExitCode
		Height abi.ChainEpoch
	}
	// Dropped tells that the messager gave the message up: it can never land.
	Dropped struct {
		ID  string
		Err string
	}
	// OnChainPreCommitted is a chain fact: the sector's pre-commit exists.
	OnChainPreCommitted struct {
		Epoch abi.ChainEpoch
		CommR cid.Cid
	}
	// OnChainProven is a chain fact: the sector is in the miner's sector set.
	OnChainProven struct{ CommR cid.Cid }
	// OnChainAbsent is a chain fact: neither pre-commit nor sector exists.
	// Allocated tells whether the number is used up.
	OnChainAbsent struct{ Allocated bool }
	// OnChainLive is a chain fact: the sector must be proven.
	OnChainLive struct{ Faulty bool }
	// OnChainEnded is a chain fact: the sector is no longer the miner's. Early tells that it did not expire on time.
	OnChainEnded struct {
		At    abi.ChainEpoch
		Early bool
	}
	// Reconciled tells, after a restore, that the chain knows more of the sector than the record: an earlier life of
	// this sealer committed to a replica, or proved it. Ticket is that of the commitment.
	Reconciled struct {
		CommR  cid.Cid
		Ticket Randomness
		Proven bool
	}
	// ProofInvalid tells that our own check refused the proof.
	ProofInvalid struct{ Err string }
	// Failed tells that carrying out the due effect gave an error.
	Failed struct {
		Class Class
		Err   string
	}
	// Overdue tells that the head's height makes the present step pointless (see IsOverdue).
	Overdue struct{}
	// Later puts the due effect off without counting a failure.
	Later struct {
		Until time.Time
		Why   string
	}
	// FoundBad tells that our own look at the sector's files found them bad; Deep if it read them, not only looked
	// whether they are there.
	FoundBad struct {
		Err  string
		Deep bool
	}
	// FoundGood tells that it found them good. What was found by reading is only put right by reading.
	FoundGood struct{ Deep bool }
	// FilesRemoved tells that no file of the sector is left.
	FilesRemoved struct{}
	// Due tells that the back-off is over.
	Due struct{}
	// Retry is the operator's wish to try now.
	Retry struct{}
	// Force is the operator's wish for a state.
	Force struct{ To State }
	// Terminate is the operator's wish to end the sector on the chain, at a fee.
	Terminate struct{}
	// Remove is the operator's wish to delete the sector's files; with Abandon also when a deposit is lost by it.
	Remove struct{ Abandon bool }
	// Redo is the operator's wish to make the files of a proven sector anew.
	Redo struct{}
	// MarkForUpdate is the operator's wish to offer a proven sector without data for some.
	MarkForUpdate struct{}
	// AbortUpdate is the operator's wish to take such a sector back.
	AbortUpdate struct{}
	// TakeDeals gives deals to a sector that is offered.
	TakeDeals struct{ Deals []Deal }
	// StartPacking tells that a sector waits for no more deals.
	StartPacking struct{ Why string }
	// PiecesAdded tells that the unsealed file holds the pieces of the sector's deals, durably.
	PiecesAdded struct{}
	// GiveUp tells that an update cannot or shall not be sent, and was not.
	GiveUp struct{ Why string }
	// UpdateDropped tells that nothing is left of an update that was given up, and that it cannot land.
	UpdateDropped struct{}
	// KeyReleased tells that no file of the old replica is left.
	KeyReleased struct{}
)

func (TaskDone) isEvent()            {}
func (TaskFailed) isEvent()          {}
func (TicketRead) isEvent()          {}
func (SeedRead) isEvent()            {}
func (Pushed) isEvent()              {}
func (Landed) isEvent()              {}
func (Dropped) isEvent()             {}
func (OnChainPreCommitted) isEvent() {}
func (OnChainProven) isEvent()       {}
func (OnChainAbsent) isEvent()       {}
func (ProofInvalid) isEvent()        {}
func (Failed) isEvent()              {}
func (Due) isEvent()                 {}
func (Retry) isEvent()               {}
func (Force) isEvent()               {}
func (Joined) isEvent()              {}
func (Reconciled) isEvent()          {}
func (Alone) isEvent()               {}
func (OnChainLive) isEvent()         {}
func (OnChainEnded) isEvent()        {}
func (Overdue) isEvent()             {}
func (Later) isEvent()               {}
func (FoundBad) isEvent()            {}
func (FoundGood) isEvent()           {}
func (FilesRemoved) isEvent()        {}
func (Terminate) isEvent()           {}
func (Remove) isEvent()              {}
func (Redo) isEvent()                {}
func (MarkForUpdate) isEvent()       {}
func (AbortUpdate) isEvent()         {}
func (TakeDeals) isEvent()           {}
func (StartPacking) isEvent()        {}
func (PiecesAdded) isEvent()         {}
func (GiveUp) isEvent()              {}
func (UpdateDropped) isEvent()       {}
func (KeyReleased) isEvent()         {}

func (e TaskDone) String() string { return fmt.Sprintf("TaskDone %s #%d", e.Kind, e.Attempt) }
func (e TaskFailed) String() string {
	return fmt.Sprintf("TaskFailed %s #%d: %s", e.Kind, e.Attempt, e.Err)
}
func (e TicketRead) String() string { return fmt.Sprintf("TicketRead epoch %d", e.Ticket.Epoch) }
func (e SeedRead) String() string   { return fmt.Sprintf("SeedRead epoch %d", e.Seed.Epoch) }
func (e Pushed) String() string     { return fmt.Sprintf("Pushed %s", e.ID) }
func (e Landed) String() string     { return fmt.Sprintf("Landed %s exit %d", e.ID, e.Exit) }
func (e Dropped) String() string    { return fmt.Sprintf("Dropped %s: %s", e.ID, e.Err) }
func (e OnChainPreCommitted) String() string {
	return fmt.Sprintf("OnChainPreCommitted epoch %d", e.Epoch)
}
func (e OnChainProven) String() string { return "OnChainProven" }
func (e OnChainAbsent) String() string { return fmt.Sprintf("OnChainAbsent allocated=%v", e.Allocated) }
func (e ProofInvalid) String() string  { return "ProofInvalid: " + e.Err }
func (e Failed) String() string        { return fmt.Sprintf("Failed (%s): %s", e.Class, e.Err) }
func (e Due) String() string           { return "Due" }
func (e Retry) String() string         { return "Retry" }
func (e Force) String() string         { return "Force " + string(e.To) }
func (e Joined) String() string        { return "Joined " + e.ID }
func (e Alone) String() string         { return strings.TrimSpace("Alone " + e.Why) }
func (e OnChainLive) String() string   { return fmt.Sprintf("OnChainLive faulty=%v", e.Faulty) }
func (e OnChainEnded) String() string {
	return fmt.Sprintf("OnChainEnded epoch %d early=%v", e.At, e.Early)
}
func (e Reconciled) String() string    { return fmt.Sprintf("Reconciled proven=%v", e.Proven) }
func (e Overdue) String() string       { return "Overdue" }
func (e Later) String() string         { return "Later: " + e.Why }
func (e FoundBad) String() string      { return "FoundBad: " + e.Err }
func (e FoundGood) String() string     { return "FoundGood" }
func (e FilesRemoved) String() string  { return "FilesRemoved" }
func (e Terminate) String() string     { return "Terminate" }
func (e Remove) String() string        { return fmt.Sprintf("Remove abandon=%v", e.Abandon) }
func (e Redo) String() string          { return "Redo" }
func (e MarkForUpdate) String() string { return "MarkForUpdate" }
func (e AbortUpdate) String() string   { return "AbortUpdate" }
func (e TakeDeals) String() string {
	out := "TakeDeals"
	for _, d := range e.Deals {
		out += fmt.Sprintf(" %d", d.ID)
	}
	return out
}
func (e StartPacking) String() string  { return strings.TrimSpace("StartPacking " + e.Why) }
func (e PiecesAdded) String() string   { return "PiecesAdded" }
func (e GiveUp) String() string        { return strings.TrimSpace("GiveUp " + e.Why) }
func (e UpdateDropped) String() string { return "UpdateDropped" }
func (e KeyReleased) String() string   { return "KeyReleased" }

package sector

import (
	"fmt"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
)

// Effect is the one side effect that a stored record calls for. Carrying out
// any effect twice is harmless.
type Effect interface {
	fmt.Stringer
	isEffect()
}

type (
	// Nothing is due: the sector rests.
	Nothing struct{}
	// Wait asks for a Due event at a time.
	Wait struct{ Until time.Time }
	// RunTask asks for proof work; its id is (sector, kind, attempt).
	RunTask struct {
		Kind    TaskKind
		Attempt int
	}
	// ReadTicket asks for seal randomness and whether the number is free.
	ReadTicket struct{}
	// PushPreCommit asks for the message under the record's PreCommit.ID, unless
	// the chain already knows the pre-commit.
	PushPreCommit struct{ ID string }
	// AwaitMessage asks for the fate of a message.
	AwaitMessage struct {
		ID   string
		Kind Kind
	}
	// ReadSeed asks for the interactive randomness of Epoch once the head is at
	// least ReadyAt, and for the pre-commit to be still there.
	ReadSeed struct{ Epoch, ReadyAt abi.ChainEpoch }
	// PushCommit asks for the message under the record's Commit.ID after the
	// proof was verified and the seed compared, unless the sector is proven.
	PushCommit struct{ ID string }
	// CheckChain asks what the chain knows of the sector.
	CheckChain struct{}
	// AwaitBatch waits until the sender of batches decides (see Plan).
	AwaitBatch struct{ Kind Kind }
	// AwaitPush waits until a message that is shared with others is pushed.
	AwaitPush struct{ ID string }
	// CheckLife asks, once the head is at least ReadyAt, whether the chain still has the sector.
	CheckLife struct{ ReadyAt abi.ChainEpoch }
	// RemoveFiles asks for the end of all work on the sector, then of its files.
	RemoveFiles struct{}
	// AwaitDeals waits until deals are given to the sector, or it shall wait no more (see DealRule).
	AwaitDeals struct{}
	// AddPieces asks for the pieces of the sector's deals in its unsealed file.
	AddPieces struct{}
	// PushUpdate asks for the message under the record's UpdateMsg.ID, unless the chain has the update or cannot take it.
	PushUpdate struct{ ID string }
	// CheckUpdate asks at every head whether the chain has lost the update, and once the head is at least ReadyAt
	// whether it has it.
	CheckUpdate struct{ ReadyAt abi.ChainEpoch }
	// DropUpdate asks for the end of all work on an update and of its files, once the head is at least ReadyAt and
	// unless the chain has it.
	DropUpdate struct{ ReadyAt abi.ChainEpoch }
	// ReleaseKey asks for the end of the old replica's files, if the new one is sound.
	ReleaseKey struct{}
)

func (Nothing) isEffect()       {}
func (Wait) isEffect()          {}
func (RunTask) isEffect()       {}
func (ReadTicket) isEffect()    {}
func (PushPreCommit) isEffect() {}
func (AwaitMessage) isEffect()  {}
func (ReadSeed) isEffect()      {}
func (PushCommit) isEffect()    {}
func (CheckChain) isEffect()    {}
func (AwaitBatch) isEffect()    {}
func (AwaitPush) isEffect()     {}
func (CheckLife) isEffect()     {}
func (RemoveFiles) isEffect()   {}
func (AwaitDeals) isEffect()    {}
func (AddPieces) isEffect()     {}
func (PushUpdate) isEffect()    {}
func (CheckUpdate) isEffect()   {}
func (DropUpdate) isEffect()    {}
func (ReleaseKey) isEffect()    {}

func (Nothing) String() string         { return "nothing" }
func (e Wait) String() string          { return "wait until " + e.Until.UTC().Format(time.TimeOnly) }
func (e RunTask) String() string       { return fmt.Sprintf("run %s #%d", e.Kind, e.Attempt) }
func (ReadTicket) String() string      { return "read ticket" }
func (e PushPreCommit) String() string { return "push precommit " + e.ID }
func (e AwaitMessage) String() string  { return fmt.Sprintf("await %s %s", e.Kind, e.ID) }
func (e ReadSeed) String() string {
	return fmt.Sprintf("read seed of %d at head %d", e.Epoch, e.ReadyAt)
}
func (e PushCommit) String() string { return "push provecommit " + e.ID }
func (CheckChain) String() string   { return "check chain" }
func (e AwaitBatch) String() string { return fmt.Sprintf("await %s batch", e.Kind) }
func (e AwaitPush) String() string  { return "await push of " + e.ID }
func (e CheckLife) String() string  { return fmt.Sprintf("check life at head %d", e.ReadyAt) }
func (RemoveFiles) String() string  { return "remove files" }
func (AwaitDeals) String() string   { return "await deals" }
func (AddPieces) String() string    { return "add pieces" }
func (e PushUpdate) String() string { return "push replicaupdate " + e.ID }
func (e CheckUpdate) String() string {
	return fmt.Sprintf("check update at head %d", e.ReadyAt)
}
func (e DropUpdate) String() string {
	return fmt.Sprintf("drop update at head %d", e.ReadyAt)
}
func (ReleaseKey) String() string { return "release key" }

// DueEffect derives the due side effect from the record alone. Failure states
// always wait out a back-off first, so one without RetryAt is at its check.
func DueEffect(p Policy, r Record) Effect {
	if r.State.Final() {
		return Nothing{}
	}
	if !r.RetryAt.IsZero() {
		return Wait{Until: r.RetryAt}
	}
	if r.Parked != "" {
		return Nothing{} // the budget is used up; only the operator's Retry goes on
	}
	switch r.State {
	case WaitDeals:
		return AwaitDeals{}
	case AddPiece:
		return AddPieces{}
	case GetTicket:
		return ReadTicket{}
	case PreCommitting:
		return PushPreCommit{ID: r.PreCommit.ID}
	case SubmitPreCommitBatch:
		return shared(KindPreCommit, r.PreCommit)
	case PreCommitWait, PreCommitBatchWait:
		return AwaitMessage{ID: r.PreCommit.ID, Kind: KindPreCommit}
	case WaitSeed:
		return p.readSeed(r)
	case Committing:
		if r.HasC1 && !r.SeedChecked {
			return p.readSeed(r)
		}
	case SubmitCommit:
		return PushCommit{ID: r.Commit.ID}
	case SubmitCommitAggregate:
		return shared(KindCommit, r.Commit)
	case CommitWait, CommitAggregateWait:
		return AwaitMessage{ID: r.Commit.ID, Kind: KindCommit}
	case PreCommitFailed, CommitFailed:
		return CheckChain{}
	case Terminating:
		return shared(KindTerminate, r.Terminate)
	case TerminateWait:
		return AwaitMessage{ID: r.Terminate.ID, Kind: KindTerminate}
	case TerminateFinality:
		return CheckLife{ReadyAt: r.TerminatedAt + p.Finality}
	case TerminateFailed:
		return CheckLife{}
	case Removing:
		return RemoveFiles{}
	}
	if r.State.Updating() {
		if e := updateEffect(p, r); e != nil {
			return e
		}
	}
	if kind, ok := taskOf(r); ok {
		return RunTask{Kind: kind, Attempt: r.TaskAttempt}
	}
	return Nothing{}
}

// updateEffect is the due effect of a sector that takes data in, nil where that is a task.
func updateEffect(p Policy, r Record) Effect {
	switch r.State {
	case SnapDealsWaitDeals:
		return AwaitDeals{}
	case SnapDealsAddPiece:
		return AddPieces{}
	case SubmitReplicaUpdate:
		return PushUpdate{ID: r.UpdateMsg.ID}
	case ReplicaUpdateWait:
		return AwaitMessage{ID: r.UpdateMsg.ID, Kind: KindUpdate}
	case ReplicaUpdateFailed:
		return CheckChain{}
	case UpdateActivating:
		return CheckUpdate{ReadyAt: r.Update.Landed + p.Finality}
	case ReleaseSectorKey:
		return ReleaseKey{}
	case AbortUpgrade:
		if r.Update.Sent {
			return DropUpdate{ReadyAt: r.Update.GivenUp + p.Finality}
		}
		return DropUpdate{}
	}
	return nil
}

func (p Policy) readSeed(r Record) Effect {
	seed := r.PreCommitEpoch + p.PreCommitChallengeDelay
	return ReadSeed{Epoch: seed, ReadyAt: seed + p.SeedConfidence}
}

// shared is the effect of a state in which a message is shared with others: it
// has no id until the batch is made.
func shared(kind Kind, m Message) Effect {
	if m.ID == "" {
		return AwaitBatch{Kind: kind}
	}
	return AwaitPush{ID: m.ID}
}

// taskOf is the proof work that the record waits for.
func taskOf(r Record) (TaskKind, bool) {
	switch r.State {
	case Packing:
		return TaskAddPiece, true
	case PreCommit1:
		return TaskPreCommit1, true
	case PreCommit2:
		return TaskPreCommit2, true
	case Committing:
		if r.HasC1 {
			return TaskCommit2, true
		}
		return TaskCommit1, true
	case FinalizeSector, FinalizeReplicaUpdate:
		return TaskFinalize, true
	case UpdateReplica:
		return TaskReplicaUpdate, true
	case ProveReplicaUpdate:
		return TaskProveUpdate, true
	}
	return "", false
}

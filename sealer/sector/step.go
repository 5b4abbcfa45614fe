package sector

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/exitcode"
)

// ErrIgnored is returned for an event that the record's state does not expect:
// a late result, a repeated answer, a wish that makes no sense. The record is
// unchanged.
var ErrIgnored = errors.New("event not expected in this state")

// Now is the moment of an event: wall time for back-offs, the head's height for
// expiries.
type Now struct {
	Time  time.Time
	Epoch abi.ChainEpoch
}

// step carries one application of an event.
type step struct {
	p   Policy
	now Now
	r   Record
}

// Step applies an event. On ErrIgnored the returned record equals the given one.
func Step(p Policy, r Record, now Now, ev Event) (Record, error) {
	s := &step{p: p, now: now, r: r.clone()}
	if !s.apply(ev) {
		return r, fmt.Errorf("sector %d in %s: %s: %w", r.Number, r.State, ev, ErrIgnored)
	}
	switch {
	case s.r.LastErr == "" || s.r.troubled():
		s.r.Overcome = time.Time{}
	case s.r.Overcome.IsZero() || s.r.LastErr != r.LastErr:
		s.r.Overcome = now.Time
	}
	s.r.UpdatedAt = now.Time
	if s.r.State != r.State {
		s.r.Since = now.Time
	}
	return s.r, nil
}

// apply dispatches: the operator's and the clock's events first, then the chain
// facts that mean the same in many states, then the state's own.
func (s *step) apply(ev Event) bool {
	switch e := ev.(type) {
	case Force, Terminate, Remove, Redo, MarkForUpdate, AbortUpdate:
		return s.wish(ev)
	case Retry, Due:
		return s.resume(ev)
	case Later:
		return s.later(e)
	case Overdue:
		return s.overdue()
	case Failed:
		return s.failed(e)
	case TaskDone:
		return s.taskDone(e)
	case TaskFailed:
		return s.taskFailed(e)
	case OnChainProven:
		return s.onChainProven(e)
	case OnChainPreCommitted:
		return s.onChainPreCommitted(e)
	case OnChainAbsent:
		return s.onChainAbsent(e)
	case OnChainLive:
		return s.onChainLive(e)
	case OnChainEnded:
		return s.onChainEnded(e)
	case FoundBad, FoundGood:
		return s.found(ev)
	case Reconciled:
		return s.reconciled(e)
	case Pushed:
		return s.pushed(e)
	case Landed:
		return s.landed(e)
	case Dropped:
		return s.dropped(e)
	}
	if !s.r.RetryAt.IsZero() {
		return false // an answer to an effect that was given up
	}
	switch e := ev.(type) {
	case TicketRead:
		return s.ticketRead(e)
	case Joined:
		return s.joined(e)
	case Alone:
		return s.alone(e)
	case SeedRead:
		return s.seedRead(e)
	case ProofInvalid:
		return s.proofInvalid(e)
	case FilesRemoved:
		return s.r.State == Removing && s.to(Removed)
	case TakeDeals, StartPacking, PiecesAdded, GiveUp, UpdateDropped, KeyReleased:
		return s.update(ev)
	}
	return false
}

// update dispatches the events of a sector that takes data in.
func (s *step) update(ev Event) bool {
	switch e := ev.(type) {
	case TakeDeals:
		return s.takeDeals(e)
	case StartPacking:
		return s.startPacking()
	case PiecesAdded:
		return s.piecesAdded()
	case GiveUp:
		switch {
		case Begun(s.r.Deals, s.now.Epoch) && slices.Contains([]State{PreCommitting, SubmitPreCommitBatch, SubmitCommit, SubmitCommitAggregate}, s.r.State):
			return s.dealsExpired()
		case s.r.State != SubmitReplicaUpdate:
			return false
		case s.r.Update.Begun(s.now.Epoch):
			return s.expired()
		}
		return s.giveUp("", e.Why)
	case UpdateDropped:
		return s.updateDropped()
	}
	return s.keyReleased()
}

// to moves to a state of work and forgets the failures of the step before.
func (s *step) to(st State) bool {
	s.r.State, s.r.Tries, s.r.RetryAt = st, 0, time.Time{}
	s.r.Parked = ""
	return true
}

// retry moves to a state of work after a failure: the count of failures stays.
func (s *step) retry(st State) bool {
	tries := s.r.Tries
	s.to(st)
	s.r.Tries = tries
	return true
}

// trouble moves to a state of failure with the next back-off.
func (s *step) trouble(st State, class Class, err string) bool {
	s.r.State = st
	s.r.LastErr, s.r.LastClass, s.r.Parked = err, class, ""
	s.r.Tries++
	s.r.RetryAt = s.now.Time.Add(s.p.backoff(s.r.Tries, s.r.Number))
	return true
}

// park stops until the operator acts.
func (s *step) park(why string) bool {
	s.r.LastClass, s.r.Parked, s.r.RetryAt = Operator, why, time.Time{}
	return true
}

// end makes the sector unrecoverable by a chain fact.
func (s *step) end(err string) bool {
	s.to(FailedUnrecoverable)
	s.r.LastErr, s.r.LastClass = err, ChainFact
	return true
}

// newTask gives the next run of proof work a number of its own.
func (s *step) newTask() { s.r.TaskAttempt++ }

// reseal begins again from the ticket. The number stays: it was never used on chain.
func (s *step) reseal() bool {
	s.r.Restarts++
	s.r.Solo = false
	s.r.Ticket = Randomness{}
	s.r.CommD, s.r.CommR, s.r.HasC1, s.r.Proof, s.r.PC2Fails = nil, nil, false, nil, 0
	s.newTask()
	s.retry(GetTicket)
	if s.p.ResealBudget > 0 && s.r.Restarts%s.p.ResealBudget == 0 {
		s.r.LastErr = fmt.Sprintf("the ticket grew too old %d times before the pre-commit could land", s.r.Restarts)
		return s.park(s.r.LastErr + "; sealing is slower than a ticket lives: seal fewer sectors at once or add workers, then retry the sector")
	}
	return true
}

func (s *step) ticketRead(e TicketRead) bool {
	if s.r.State != GetTicket {
		return false
	}
	s.r.Ticket = e.Ticket
	s.newTask()
	return s.to(PreCommit1)
}

// taskDone takes the result of the awaited run; results of other runs are ignored.
func (s *step) taskDone(e TaskDone) bool {
	kind, ok := taskOf(s.r)
	if !ok || kind != e.Kind || e.Attempt != s.r.TaskAttempt {
		return false
	}
	s.newTask()
	switch e.Kind {
	case TaskAddPiece:
		s.r.Pieces = append([]abi.PieceInfo(nil), e.Pieces...)
		if s.r.Redo {
			return s.to(PreCommit1) // from the ticket that the replica on the chain is bound to
		}
		return s.to(GetTicket)
	case TaskPreCommit1:
		if s.ticketExpired() {
			return s.reseal()
		}
		return s.to(PreCommit2)
	case TaskPreCommit2:
		if s.r.Redo {
			return s.redone(e)
		}
		d, r := e.CommD, e.CommR
		s.r.CommD, s.r.CommR = &d, &r
		if s.ticketExpired() {
			return s.reseal()
		}
		return s.preCommit(false)
	case TaskCommit1:
		s.r.HasC1, s.r.SeedChecked = true, false
		return s.to(Committing)
	case TaskCommit2:
		s.r.Proof = bytes.Clone(e.Proof)
		return s.submit(false)
	case TaskReplicaUpdate:
		d, r := e.CommD, e.CommR
		s.r.Update.CommD, s.r.Update.CommR = &d, &r
		return s.to(ProveReplicaUpdate)
	case TaskProveUpdate:
		s.r.Update.Proof = bytes.Clone(e.Proof)
		return s.sendUpdate(false)
	default: // TaskFinalize
		if s.r.State == FinalizeReplicaUpdate {
			return s.to(UpdateActivating)
		}
		s.r.Redo = false
		return s.to(Proving)
	}
}

// ticketExpired tells whether the replica cannot be committed to any more; a
// replica made anew is committed already.
func (s *step) ticketExpired() bool { return !s.r.Redo && s.p.TicketExpired(s.r, s.now.Epoch) }

var failedState = map[TaskKind]State{
	TaskAddPiece: PackingFailed, TaskPreCommit1: SealPreCommit1Failed, TaskPreCommit2: SealPreCommit2Failed,
	TaskCommit1: ComputeProofFailed, TaskCommit2: ComputeProofFailed, TaskFinalize: FinalizeFailed,
	TaskReplicaUpdate: ReplicaUpdateFailed, TaskProveUpdate: ReplicaUpdateFailed,
}

// failed is where the sector goes when the task that it waits for fails.
func (r Record) failed(kind TaskKind) State {
	if r.State == FinalizeReplicaUpdate {
		return FinalizeReplicaUpdateFailed
	}
	return failedState[kind]
}

func (s *step) taskFailed(e TaskFailed) bool {
	kind, ok := taskOf(s.r)
	if !ok || kind != e.Kind || e.Attempt != s.r.TaskAttempt {
		return false
	}
	s.newTask()
	if e.Full {
		// Nothing is wrong with the sector: it waits for room however long that takes.
		s.trouble(s.r.failed(e.Kind), Operator, e.Err)
		s.r.Parked = e.Err
		return true
	}
	if s.r.LastClass == Operator {
		s.r.Tries = 0 // those were waits for room
	}
	if e.Kind == TaskCommit2 && e.Refused {
		return s.invalid(e.Err)
	}
	if e.Kind == TaskPreCommit2 {
		s.r.PC2Fails++
	}
	s.trouble(s.r.failed(e.Kind), Transient, e.Err)
	if e.Kind == TaskProveUpdate && s.r.Tries%3 == 0 {
		s.r.Update.CommD, s.r.Update.CommR = nil, nil // perhaps the replica is what is wrong
	}
	if s.r.Tries >= s.p.TaskBudget {
		return s.park(fmt.Sprintf("%s failed %d times in a row; mend the cause, then retry the sector", e.Kind, s.r.Tries))
	}
	return true
}

// failed parks the present step: its effect could not be carried out.
func (s *step) failed(e Failed) bool {
	if s.r.State.Final() || !s.r.RetryAt.IsZero() || s.r.Parked != "" {
		return false
	}
	if e.Class == ChainFact && !s.r.State.Updating() {
		return s.end(e.Err)
	}
	at := s.r.State
	switch at {
	case Removing:
		at = RemoveFailed
	case AddPiece:
		at = AddPieceFailed
	case SnapDealsAddPiece:
		at = SnapDealsAddPieceFailed
	case ReleaseSectorKey:
		at = ReleaseSectorKeyFailed
	}
	s.trouble(at, e.Class, e.Err)
	if e.Class == Operator {
		s.r.Parked = e.Err
	}
	return true
}

// later puts the due effect off; nothing failed.
func (s *step) later(e Later) bool {
	if s.r.State.Final() || !s.r.RetryAt.IsZero() || s.r.Parked != "" || !e.Until.After(s.now.Time) {
		return false
	}
	s.r.RetryAt, s.r.LastErr, s.r.LastClass = e.Until, e.Why, Transient
	return true
}

// IsOverdue tells whether what the record does or waits for is pointless at a
// height: sealing for a ticket that the chain will not take any more, proving
// for a pre-commit that it has dropped. The shell asks at every head.
func IsOverdue(p Policy, r Record, epoch abi.ChainEpoch) bool {
	if r.outlived(epoch) {
		return true
	}
	switch r.State {
	case PreCommit1, PreCommit2:
		return !r.Redo && p.TicketExpired(r, epoch)
	case SubmitPreCommitBatch:
		return r.PreCommit.ID == "" && p.TicketExpired(r, epoch)
	case WaitSeed, Committing, ComputeProofFailed, SubmitCommit:
		return p.preCommitExpired(r, epoch)
	case SubmitCommitAggregate:
		return r.Commit.ID == "" && p.preCommitExpired(r, epoch)
	case CommitFailed:
		return (r.Parked != "" || !r.RetryAt.IsZero()) && p.preCommitExpired(r, epoch)
	case SnapDealsWaitDeals, SnapDealsAddPiece, SnapDealsAddPieceFailed, UpdateReplica, ProveReplicaUpdate:
		return r.Update.Begun(epoch)
	case ReplicaUpdateFailed:
		return (r.Parked != "" || !r.RetryAt.IsZero()) && r.Update.Begun(epoch)
	}
	return false
}

// outlived tells whether a deal has started before its new sector is proven, where no message is under way.
func (r Record) outlived(epoch abi.ChainEpoch) bool {
	if !Begun(r.Deals, epoch) {
		return false
	}
	switch r.State {
	case WaitDeals, AddPiece, AddPieceFailed, GetTicket, PreCommit1, PreCommit2, SealPreCommit1Failed, SealPreCommit2Failed, WaitSeed, Committing,
		ComputeProofFailed:
		return true
	case SubmitPreCommitBatch:
		return r.PreCommit.ID == ""
	}
	return false
}

// overdue gives the step up. Where a message may be under way, the chain is asked first.
func (s *step) overdue() bool {
	if !IsOverdue(s.p, s.r, s.now.Epoch) {
		return false
	}
	if s.r.outlived(s.now.Epoch) {
		if s.r.State == WaitDeals {
			return s.dropExpired()
		}
		return s.dealsExpired()
	}
	switch s.r.State {
	case PreCommit1, PreCommit2:
		return s.reseal()
	case SubmitPreCommitBatch:
		s.r.LastErr, s.r.LastClass = "the ticket grew too old while the sector waited for company", Transient
		return s.retry(PreCommitFailed)
	case SnapDealsWaitDeals:
		return s.dropExpired()
	}
	if s.r.State.Updating() {
		return s.expired()
	}
	s.r.LastErr, s.r.LastClass = "the time for the proof is over", Transient
	s.newTask()
	return s.retry(CommitFailed)
}

// resume ends a back-off: work states do their effect again, failure states go
// back to the work they failed at, or first ask the chain.
func (s *step) resume(ev Event) bool {
	_, wished := ev.(Retry)
	if s.r.State.Final() || (s.r.RetryAt.IsZero() && !(wished && s.r.Parked != "")) {
		return false
	}
	if wished && s.r.RetryAt.IsZero() {
		s.r.Tries, s.r.InvalidProofs, s.r.MessageFails = 0, 0, 0
	}
	s.r.RetryAt, s.r.Parked = time.Time{}, ""
	switch s.r.State {
	case AddPieceFailed:
		return s.retry(AddPiece)
	case PackingFailed:
		return s.retry(Packing)
	case SealPreCommit1Failed:
		if s.ticketExpired() {
			return s.reseal()
		}
		return s.retry(PreCommit1)
	case SealPreCommit2Failed:
		return s.resumePreCommit2()
	case ComputeProofFailed:
		return s.resumeProof()
	case FinalizeFailed:
		return s.retry(FinalizeSector)
	case RemoveFailed:
		return s.retry(Removing)
	case SnapDealsAddPieceFailed:
		return s.retry(SnapDealsAddPiece)
	case FinalizeReplicaUpdateFailed:
		return s.retry(FinalizeReplicaUpdate)
	case ReleaseSectorKeyFailed:
		return s.retry(ReleaseSectorKey)
	case PreCommit1, PreCommit2:
		if s.ticketExpired() {
			return s.reseal()
		}
	}
	return true
}

// resumePreCommit2 tries again, and from the labels on when three tries failed.
func (s *step) resumePreCommit2() bool {
	if s.ticketExpired() {
		return s.reseal()
	}
	if s.r.PC2Fails > 3 {
		s.r.PC2Fails = 0
		return s.retry(PreCommit1)
	}
	return s.retry(PreCommit2)
}

// resumeProof proves again from the vanilla proof on. The replica itself cannot
// be made again: the chain holds its CommR.
func (s *step) resumeProof() bool {
	if s.p.preCommitExpired(s.r, s.now.Epoch) {
		return s.end("the pre-commit expired before a proof was made")
	}
	s.r.HasC1, s.r.Proof = false, nil
	return s.retry(WaitSeed)
}

// force obeys the operator, inside what the record can support.
func (s *step) force(e Force) bool {
	if !e.To.Known() || e.To == s.r.State || !s.forceable(e.To) {
		return false
	}
	s.newTask()
	s.to(e.To)
	switch e.To {
	case PreCommitting, SubmitPreCommitBatch:
		s.r.Solo = e.To == PreCommitting
		return s.preCommit(true)
	case SubmitCommit, SubmitCommitAggregate:
		s.r.Solo = e.To == SubmitCommit
		return s.submit(true)
	case Terminating:
		return s.terminate()
	case Committing:
		s.r.HasC1 = false
	}
	if e.To.Failed() && !e.To.Final() {
		s.r.RetryAt = s.now.Time
	}
	return true
}

// forceable tells whether an update allows a state: its messages and its files must not be forgotten.
func (s *step) forceable(to State) bool {
	if !s.r.State.Updating() && !to.Updating() {
		withDeals := len(s.r.Deals) > 0
		return to != WaitDeals && (to != Packing || !withDeals) && (to != AddPiece && to != AddPieceFailed && to != DealsExpired || withDeals)
	}
	u := s.r.Update
	if u == nil || !s.r.State.Updating() || u.Sent {
		return false
	}
	switch to {
	case SnapDealsWaitDeals, AbortUpgrade:
		return true
	case SnapDealsAddPiece, UpdateReplica:
		return len(u.Deals) > 0
	case ProveReplicaUpdate:
		return u.CommR != nil
	}
	return false
}

// landedTransient are exits after which the same message, sent anew, can succeed.
func landedTransient(x exitcode.ExitCode) bool {
	return x == exitcode.SysErrOutOfGas || x == exitcode.SysErrInsufficientFunds || x == exitcode.ErrInsufficientFunds
}

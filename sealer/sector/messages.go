package sector

import (
	"bytes"
	"fmt"

	"github.com/filecoin-project/go-state-types/exitcode"
)

// preCommit begins the next attempt at a PreCommitSector message. again keeps
// the failure count of the step.
func (s *step) preCommit(again bool) bool {
	return s.send(KindPreCommit, s.p.BatchPreCommits, PreCommitting, SubmitPreCommitBatch, again)
}

// submit begins the next attempt at a ProveCommitSector message.
func (s *step) submit(again bool) bool {
	return s.send(KindCommit, s.p.AggregateCommits, SubmitCommit, SubmitCommitAggregate, again)
}

// send fixes the id of a message of the sector's own, or leaves it open for a shared one.
func (s *step) send(kind Kind, shared bool, alone, pool State, again bool) bool {
	m, to := s.r.message(kind), pool
	m.Attempt++
	m.ID, m.Cid = "", nil
	if !shared || s.r.Solo {
		m.ID, to = s.r.messageID(kind, m.Attempt), alone
	}
	if again {
		return s.retry(to)
	}
	return s.to(to)
}

// pool is the kind of message that the state waits to share, "" for none.
func (r Record) pool() Kind {
	switch r.State {
	case SubmitPreCommitBatch:
		return KindPreCommit
	case SubmitCommitAggregate:
		return KindCommit
	case Terminating:
		return KindTerminate
	}
	return ""
}

// joined fixes the id of the shared message; it is stored together with the message.
func (s *step) joined(e Joined) bool {
	kind := s.r.pool()
	if kind == "" || s.r.message(kind).ID != "" {
		return false
	}
	s.r.message(kind).ID = e.ID
	return s.retry(s.r.State)
}

// alone goes on with a message of the sector's own.
func (s *step) alone(e Alone) bool {
	kind := s.r.pool()
	if kind == "" || kind == KindTerminate || s.r.message(kind).ID != "" {
		return false
	}
	m := s.r.message(kind)
	m.ID = s.r.messageID(kind, m.Attempt)
	if e.Why != "" {
		s.r.Solo, s.r.LastErr, s.r.LastClass = true, e.Why, Transient
	}
	if kind == KindPreCommit {
		return s.retry(PreCommitting)
	}
	return s.retry(SubmitCommit)
}

func (s *step) pushed(e Pushed) bool {
	next := map[State]State{
		PreCommitting: PreCommitWait, SubmitPreCommitBatch: PreCommitBatchWait,
		SubmitCommit: CommitWait, SubmitCommitAggregate: CommitAggregateWait, Terminating: TerminateWait,
		SubmitReplicaUpdate: ReplicaUpdateWait,
	}[s.r.State]
	m := s.awaited(e.ID)
	if next == "" || m == nil {
		return false
	}
	m.Value = e.Value
	if next == ReplicaUpdateWait {
		s.r.Update.Sent = true
	}
	return s.to(next)
}

// awaited is the message with an id that the state pushes or waits for, nil when it is another's.
func (s *step) awaited(id string) *Message {
	var m *Message
	switch s.r.State {
	case PreCommitting, SubmitPreCommitBatch, PreCommitWait, PreCommitBatchWait:
		m = &s.r.PreCommit
	case SubmitCommit, SubmitCommitAggregate, CommitWait, CommitAggregateWait:
		m = &s.r.Commit
	case Terminating, TerminateWait:
		m = &s.r.Terminate
	case SubmitReplicaUpdate, ReplicaUpdateWait:
		m = &s.r.UpdateMsg
	default:
		return nil
	}
	if id == "" || m.ID != id {
		return nil
	}
	return m
}

// landed takes the fate of a message that did not do its work; success is told
// by the chain fact that it made, not by the receipt.
func (s *step) landed(e Landed) bool {
	m := s.awaited(e.ID)
	if m == nil {
		return false
	}
	c := e.Cid
	switch s.r.State {
	case PreCommitWait, PreCommitBatchWait:
		m.Cid = &c
		return s.missed(PreCommitFailed, e.Exit)
	case CommitWait, CommitAggregateWait:
		m.Cid = &c
		// A proof in a batch is not blamed for the batch: alone it is judged by itself.
		if s.r.State == CommitWait && (e.Exit == exitcode.Ok || e.Exit == exitcode.ErrIllegalArgument) {
			s.r.InvalidProofs++
		}
		return s.missed(CommitFailed, e.Exit)
	case TerminateWait:
		m.Cid = &c
		if e.Exit != exitcode.Ok {
			return s.spent(TerminateFailed, fmt.Sprintf("the termination landed with exit code %d", e.Exit))
		}
		s.r.TerminatedAt = e.Height
		return s.to(TerminateFinality)
	case ReplicaUpdateWait:
		m.Cid = &c
		return s.updateLanded(e)
	}
	return false
}

// missed goes to the failure state; a want of gas or funds is the operator's
// matter. Whoever shared the message goes alone from here on.
func (s *step) missed(failed State, x exitcode.ExitCode) bool {
	s.r.Solo = s.r.Solo || s.r.State == PreCommitBatchWait || s.r.State == CommitAggregateWait
	if !landedTransient(x) {
		return s.spent(failed, fmt.Sprintf("the message landed with exit code %d and the sector did not advance", x))
	}
	if failed == PreCommitFailed {
		s.preCommit(true)
	} else {
		s.submit(true)
	}
	s.r.MessageFails++
	s.r.Tries = s.r.MessageFails - 1
	why := fmt.Sprintf("the message landed with exit code %d (gas or funds were short); it is sent again", x)
	s.trouble(s.r.State, Operator, why)
	s.r.Parked = why
	return true
}

// spent goes to a failure state after a message that cost money or time for
// nothing; a few in a row park the sector.
func (s *step) spent(failed State, why string) bool {
	s.r.MessageFails++
	s.r.Tries = s.r.MessageFails - 1
	s.trouble(failed, Transient, why)
	if s.p.MessageBudget > 0 && s.r.MessageFails >= s.p.MessageBudget {
		return s.park(fmt.Sprintf("%d messages in a row did not do their work, the last because: %s; mend the cause, then retry the sector", s.r.MessageFails, why))
	}
	return true
}

func (s *step) dropped(e Dropped) bool {
	if s.awaited(e.ID) == nil {
		return false
	}
	switch s.r.State {
	case PreCommitting, SubmitPreCommitBatch, PreCommitWait, PreCommitBatchWait:
		return s.spent(PreCommitFailed, e.Err)
	case Terminating, TerminateWait:
		return s.spent(TerminateFailed, e.Err)
	case SubmitReplicaUpdate, ReplicaUpdateWait:
		return s.spent(ReplicaUpdateFailed, e.Err)
	}
	return s.spent(CommitFailed, e.Err)
}

// seedRead starts the proof, or, when a proof for this very seed exists, sends it.
func (s *step) seedRead(e SeedRead) bool {
	changed := e.Seed.Epoch != s.r.Seed.Epoch || !bytes.Equal(e.Seed.Value, s.r.Seed.Value)
	switch s.r.State {
	case WaitSeed:
		if s.p.preCommitExpired(s.r, s.now.Epoch) {
			return s.end("the pre-commit expired before the proof could be sent")
		}
		if !changed && len(s.r.Proof) > 0 {
			return s.submit(true)
		}
	case Committing:
		if !changed && s.r.HasC1 && !s.r.SeedChecked {
			s.r.SeedChecked = true
			return s.retry(Committing)
		}
		if !changed {
			return false
		}
	case SubmitCommit, SubmitCommitAggregate:
		if !changed {
			return false
		}
	default:
		return false
	}
	s.r.Seed, s.r.HasC1, s.r.Proof = e.Seed, false, nil
	s.newTask()
	return s.retry(Committing)
}

// proofInvalid throws the proof away; only a new vanilla proof can help.
func (s *step) proofInvalid(e ProofInvalid) bool {
	switch s.r.State {
	case SubmitCommit, SubmitCommitAggregate:
		return s.invalid(e.Err)
	case SubmitReplicaUpdate:
		s.r.InvalidProofs++
		return s.updateInvalid(e.Err)
	}
	return false
}

func (s *step) invalid(err string) bool {
	s.r.InvalidProofs++
	s.r.HasC1, s.r.Proof = false, nil
	s.trouble(ComputeProofFailed, Transient, err)
	if s.r.InvalidProofs >= s.p.TaskBudget {
		return s.park(fmt.Sprintf("%d proofs in a row were invalid: the sector's files are damaged or the prover is broken", s.r.InvalidProofs))
	}
	return true
}

// onChainProven ends the wait for a commit wherever the machine believed to be.
func (s *step) onChainProven(e OnChainProven) bool {
	switch s.r.State {
	case Proving, Faulty, FaultReported:
		return s.r.CommR != nil && !e.CommR.Equals(*s.r.CommR) && s.takeUp(e.CommR)
	}
	if s.r.State.Updating() {
		return s.onReplica(e.CommR)
	}
	if o := s.r.State.Order(); s.r.State != PreCommitFailed && s.r.State != ComputeProofFailed && s.r.State != CommitFailed && s.r.State != DealsExpired &&
		(o < PreCommitting.Order() || o >= FinalizeSector.Order()) {
		return false
	}
	if s.r.CommR == nil || !e.CommR.Equals(*s.r.CommR) {
		return s.end(fmt.Sprintf("the chain holds another replica under this number (%s)", e.CommR))
	}
	s.r.Solo, s.r.InvalidProofs, s.r.MessageFails = false, 0, 0
	if len(s.r.Deals) > 0 {
		s.r.DealsProven = s.now.Epoch
	}
	s.newTask()
	return s.to(FinalizeSector)
}

// onChainPreCommitted goes on to the seed. In the states after it, it tells the
// epoch anew, because a reorg may have moved the pre-commit.
func (s *step) onChainPreCommitted(e OnChainPreCommitted) bool {
	switch s.r.State {
	case PreCommitting, SubmitPreCommitBatch, PreCommitWait, PreCommitBatchWait, PreCommitFailed, WaitSeed, Committing,
		CommitFailed, SubmitCommit, SubmitCommitAggregate:
	case FinalizeSector, FinalizeFailed, Proving, Faulty, FaultReported:
		return s.commitTakenBack(e)
	default:
		return false
	}
	if s.r.CommR == nil || !e.CommR.Equals(*s.r.CommR) {
		return s.end(fmt.Sprintf("the chain holds a pre-commit of another replica under this number (%s)", e.CommR))
	}
	moved := e.Epoch != s.r.PreCommitEpoch
	switch s.r.State {
	case WaitSeed, Committing, SubmitCommit, SubmitCommitAggregate:
		if !moved {
			return false
		}
	}
	s.r.PreCommitEpoch = e.Epoch
	if moved {
		s.r.HasC1, s.r.Proof = false, nil
		s.newTask()
	}
	if s.p.preCommitExpired(s.r, s.now.Epoch) {
		return s.end("the pre-commit expired before the proof could be sent")
	}
	if s.r.State == CommitFailed {
		return s.afterCommitFailed()
	}
	s.r.Solo, s.r.MessageFails = false, 0
	return s.to(WaitSeed)
}

// commitTakenBack is a reorg deeper than our confidence: the sector is only
// pre-committed again. The messager lands the same message once more.
func (s *step) commitTakenBack(e OnChainPreCommitted) bool {
	if s.r.CommR == nil || !e.CommR.Equals(*s.r.CommR) || s.r.Commit.ID == "" || s.r.Redo || s.r.Update != nil {
		return false
	}
	s.r.LastErr, s.r.LastClass = "a reorg took the proof out of the chain", Transient
	s.newTask()
	return s.retry(CommitWait)
}

// afterCommitFailed sends the proof again, or makes a new one when the chain
// did not accept it.
func (s *step) afterCommitFailed() bool {
	if s.r.InvalidProofs > 0 && s.r.InvalidProofs >= s.p.TaskBudget {
		return s.park(fmt.Sprintf("the chain refused %d proofs", s.r.InvalidProofs))
	}
	if s.r.InvalidProofs > 0 {
		s.r.HasC1, s.r.Proof = false, nil
	}
	return s.retry(WaitSeed)
}

// onChainAbsent is the chain knowing nothing of the sector: before the message
// that is the normal case, later it is a reorg or an expiry.
func (s *step) onChainAbsent(e OnChainAbsent) bool {
	switch s.r.State {
	case PreCommitFailed, PreCommitting, SubmitPreCommitBatch:
		switch {
		case e.Allocated:
			return s.lost()
		case Begun(s.r.Deals, s.now.Epoch) && s.r.State == PreCommitFailed:
			return s.dealsExpired()
		case s.p.TicketExpired(s.r, s.now.Epoch):
			return s.reseal()
		}
		return s.r.State == PreCommitFailed && s.preCommit(true)
	case GetTicket:
		return e.Allocated && s.end("the chain says that this sector number is used up")
	case WaitSeed, Committing, SubmitCommit, SubmitCommitAggregate, CommitFailed:
		if e.Allocated {
			return s.lost()
		}
		// A reorg took the pre-commit out; the messager lands the same message again.
		s.newTask()
		return s.retry(PreCommitWait)
	}
	return false
}

// lost is a number used up without a pre-commit or a sector behind it.
func (s *step) lost() bool {
	return s.end("the pre-commit expired: the number is used up and holds no sector; pledge a new one")
}

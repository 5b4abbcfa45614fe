package sector

import (
	"bytes"
	"fmt"
	"time"

	"github.com/filecoin-project/go-state-types/exitcode"
)

// preCommit fixes the id of the next PreCommitSector message. again keeps the
// failure count of the step.
func (s *step) preCommit(again bool) bool {
	s.r.PreCommit.Attempt++
	s.r.PreCommit.ID = s.r.messageID(KindPreCommit, s.r.PreCommit.Attempt)
	s.r.PreCommit.Cid = nil
	if again {
		return s.retry(PreCommitting)
	}
	return s.to(PreCommitting)
}

// submit fixes the id of the next ProveCommitSector message.
func (s *step) submit(again bool) bool {
	s.r.Commit.Attempt++
	s.r.Commit.ID = s.r.messageID(KindCommit, s.r.Commit.Attempt)
	s.r.Commit.Cid = nil
	if again {
		return s.retry(SubmitCommit)
	}
	return s.to(SubmitCommit)
}

func (s *step) pushed(e Pushed) bool {
	switch {
	case s.r.State == PreCommitting && e.ID == s.r.PreCommit.ID:
		s.r.PreCommit.Value = e.Value
		return s.to(PreCommitWait)
	case s.r.State == SubmitCommit && e.ID == s.r.Commit.ID:
		s.r.Commit.Value = e.Value
		return s.to(CommitWait)
	}
	return false
}

// landed takes the fate of a message that did not do its work; success is told
// by the chain fact that it made, not by the receipt.
func (s *step) landed(e Landed) bool {
	switch {
	case s.r.State == PreCommitWait && e.ID == s.r.PreCommit.ID:
		c := e.Cid
		s.r.PreCommit.Cid = &c
		return s.missed(PreCommitFailed, PreCommitting, e.Exit)
	case s.r.State == CommitWait && e.ID == s.r.Commit.ID:
		c := e.Cid
		s.r.Commit.Cid = &c
		if e.Exit == exitcode.Ok || e.Exit == exitcode.ErrIllegalArgument {
			s.r.InvalidProofs++
		}
		return s.missed(CommitFailed, SubmitCommit, e.Exit)
	}
	return false
}

// missed goes to the failure state; a want of gas or funds is the operator's matter.
func (s *step) missed(failed, again State, x exitcode.ExitCode) bool {
	if !landedTransient(x) {
		return s.trouble(failed, Transient, fmt.Sprintf("the message landed with exit code %d and the sector did not advance", x))
	}
	if again == PreCommitting {
		s.preCommit(true)
	} else {
		s.submit(true)
	}
	why := fmt.Sprintf("the message landed with exit code %d (gas or funds were short); it is sent again", x)
	s.trouble(again, Operator, why)
	s.r.Parked = why
	return true
}

func (s *step) dropped(e Dropped) bool {
	switch {
	case s.r.State == PreCommitWait && e.ID == s.r.PreCommit.ID:
		return s.trouble(PreCommitFailed, Transient, e.Err)
	case s.r.State == CommitWait && e.ID == s.r.Commit.ID:
		return s.trouble(CommitFailed, Transient, e.Err)
	}
	return false
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
	case SubmitCommit, Committing:
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
	if s.r.State != SubmitCommit {
		return false
	}
	s.r.InvalidProofs++
	s.r.HasC1, s.r.Proof = false, nil
	s.trouble(ComputeProofFailed, Transient, e.Err)
	if s.r.InvalidProofs >= s.p.TaskBudget {
		s.r.LastClass, s.r.RetryAt = Operator, time.Time{}
		s.r.Parked = fmt.Sprintf("%d proofs in a row were invalid: the sector's files are damaged or the prover is broken", s.r.InvalidProofs)
	}
	return true
}

// onChainProven ends the wait for a commit wherever the machine believed to be.
func (s *step) onChainProven(e OnChainProven) bool {
	switch s.r.State {
	case WaitSeed, Committing, SubmitCommit, CommitWait, CommitFailed, PreCommitFailed, PreCommitWait, PreCommitting, ComputeProofFailed:
	default:
		return false
	}
	if s.r.CommR == nil || !e.CommR.Equals(*s.r.CommR) {
		return s.end(fmt.Sprintf("the chain holds another replica under this number (%s)", e.CommR))
	}
	s.newTask()
	return s.to(FinalizeSector)
}

// onChainPreCommitted goes on to the seed. In the states after it, it tells the
// epoch anew, because a reorg may have moved the pre-commit.
func (s *step) onChainPreCommitted(e OnChainPreCommitted) bool {
	switch s.r.State {
	case PreCommitting, PreCommitWait, PreCommitFailed, WaitSeed, CommitFailed, SubmitCommit:
	default:
		return false
	}
	if s.r.CommR == nil || !e.CommR.Equals(*s.r.CommR) {
		return s.end(fmt.Sprintf("the chain holds a pre-commit of another replica under this number (%s)", e.CommR))
	}
	moved := e.Epoch != s.r.PreCommitEpoch
	if (s.r.State == WaitSeed || s.r.State == SubmitCommit) && !moved {
		return false
	}
	s.r.PreCommitEpoch = e.Epoch
	if moved {
		s.r.HasC1, s.r.Proof = false, nil
	}
	if s.p.preCommitExpired(s.r, s.now.Epoch) {
		return s.end("the pre-commit expired before the proof could be sent")
	}
	if s.r.State == CommitFailed {
		return s.afterCommitFailed()
	}
	return s.to(WaitSeed)
}

// afterCommitFailed sends the proof again, or makes a new one when the chain
// did not accept it.
func (s *step) afterCommitFailed() bool {
	if s.r.InvalidProofs > 0 && s.r.InvalidProofs >= s.p.TaskBudget {
		s.r.Parked = fmt.Sprintf("the chain refused %d proofs", s.r.InvalidProofs)
		s.r.LastClass, s.r.RetryAt = Operator, time.Time{}
		return true
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
	case PreCommitFailed:
		if e.Allocated {
			return s.lost()
		}
		if s.p.TicketExpired(s.r, s.now.Epoch) {
			return s.reseal()
		}
		return s.preCommit(true)
	case PreCommitting:
		switch {
		case e.Allocated:
			return s.lost()
		case s.p.TicketExpired(s.r, s.now.Epoch):
			return s.reseal()
		}
		return false
	case GetTicket:
		return e.Allocated && s.end("the chain says that this sector number is used up")
	case WaitSeed, SubmitCommit, CommitFailed:
		if e.Allocated {
			return s.lost()
		}
		// A reorg took the pre-commit out; the messager lands the same message again.
		return s.retry(PreCommitWait)
	}
	return false
}

// lost is a number used up without a pre-commit or a sector behind it.
func (s *step) lost() bool {
	return s.end("the pre-commit expired: the number is used up and holds no sector; pledge a new one")
}

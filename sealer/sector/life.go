package sector

import "fmt"

// wish obeys the operator.
func (s *step) wish(ev Event) bool {
	switch e := ev.(type) {
	case Force:
		return s.force(e)
	case Remove:
		return s.remove(e)
	case Redo:
		return s.redo()
	case MarkForUpdate:
		return s.mark()
	case AbortUpdate:
		return s.abort()
	}
	switch s.r.State { // Terminate
	case Proving, Faulty, FaultReported:
		return s.terminate()
	case TerminateFailed:
		return s.resume(Retry{})
	}
	return s.r.Proven() && s.r.Redo && s.terminate()
}

// terminate begins the next attempt at a termination, a message that sectors share.
func (s *step) terminate() bool {
	s.r.Terminate.Attempt++
	s.r.Terminate.ID, s.r.Terminate.Cid = "", nil
	s.r.Redo = false
	s.newTask()
	return s.retry(Terminating)
}

// Removal tells what removing a sector means.
type Removal int

// What removing a sector means.
const (
	// RemoveFree costs nothing: the chain holds nothing of value under this number.
	RemoveFree Removal = iota
	// RemoveLosesDeposit gives up a pre-commit, or one that may still land, with its deposit.
	RemoveLosesDeposit
	// RemoveRefused is a sector that must be proven, or was removed.
	RemoveRefused
)

// RemovalOf tells what removing a sector in this state means.
func RemovalOf(r Record) Removal {
	switch r.State {
	case WaitDeals, AddPiece, AddPieceFailed, DealsExpired, Packing, GetTicket, PreCommit1, PreCommit2, PackingFailed, SealPreCommit1Failed, SealPreCommit2Failed:
		switch {
		case r.Redo && !r.Reclaim:
			return RemoveRefused
		case r.Reclaim, r.PreCommit.Attempt > 0: // sealed again after a message that may still land
			return RemoveLosesDeposit
		}
		return RemoveFree
	case Expired, FaultedFinal, FailedUnrecoverable, RemoveFailed:
		return RemoveFree
	case PreCommitting, SubmitPreCommitBatch, PreCommitWait, PreCommitBatchWait, WaitSeed, Committing, SubmitCommit,
		SubmitCommitAggregate, PreCommitFailed, ComputeProofFailed, CommitFailed:
		return RemoveLosesDeposit
	}
	return RemoveRefused
}

func (s *step) remove(e Remove) bool {
	switch RemovalOf(s.r) {
	case RemoveRefused:
		return false
	case RemoveLosesDeposit:
		if !e.Abandon {
			return false
		}
	}
	s.newTask() // what a worker still does is not awaited any more
	return s.to(Removing)
}

// redo makes the files of a proven sector anew, from the ticket of old.
func (s *step) redo() bool {
	switch s.r.State {
	case Proving, Faulty, FaultReported:
	default:
		return false
	}
	if len(s.r.Ticket.Value) == 0 || s.r.CommR == nil || s.r.Update != nil || len(s.r.Deals) > 0 {
		return false // adopted from elsewhere, or with data: nothing to make it from
	}
	s.r.Redo, s.r.PC2Fails = true, 0
	s.newTask()
	return s.to(Packing)
}

// reconciled takes over what an earlier life of this sealer did: it is not done
// again where it is proven, and done once more from its ticket where it is only
// committed to, so that the deposit is not lost.
func (s *step) reconciled(e Reconciled) bool {
	switch s.r.State {
	case WaitDeals, AddPiece, AddPieceFailed, Packing, GetTicket, PreCommit1, PreCommit2, PackingFailed, SealPreCommit1Failed, SealPreCommit2Failed:
	default:
		return false
	}
	if s.r.Redo {
		return false
	}
	c := e.CommR
	s.r.CommR, s.r.Ticket, s.r.PC2Fails = &c, e.Ticket, 0
	s.newTask()
	if e.Proven {
		return s.to(Proving)
	}
	s.r.Redo, s.r.Reclaim = true, true
	if len(s.r.Deals) > 0 {
		return s.to(AddPiece)
	}
	return s.to(Packing)
}

// redone compares the replica made anew with the one that the chain knows.
func (s *step) redone(e TaskDone) bool {
	if e.CommR.Equals(*s.r.CommR) {
		d := e.CommD
		s.r.CommD = &d
		if s.r.Reclaim {
			s.r.Redo, s.r.Reclaim = false, false
			return s.to(PreCommitFailed) // the chain is asked how far the sector is by now
		}
		return s.to(FinalizeSector)
	}
	s.r.PC2Fails = 4 // its labels cannot be trusted either
	s.trouble(SealPreCommit2Failed, Transient, fmt.Sprintf("the replica made anew is %s, the chain knows %s", e.CommR, s.r.CommR))
	if s.r.Tries >= s.p.TaskBudget {
		return s.park("the sector cannot be made again from what is recorded of it")
	}
	return true
}

// found takes what our own look at the files gave.
func (s *step) found(ev Event) bool {
	switch e := ev.(type) {
	case FoundBad:
		if s.r.State != Proving {
			return false
		}
		s.r.LastErr, s.r.LastClass, s.r.DeepFault = e.Err, Operator, e.Deep
		return s.to(Faulty)
	case FoundGood:
		if s.r.State != Faulty || (s.r.DeepFault && !e.Deep) {
			return false
		}
		s.r.DeepFault = false
		return s.to(Proving)
	}
	return false
}

// onChainLive follows what the chain says of a proven sector. A reorg may bring
// back what had ended.
func (s *step) onChainLive(e OnChainLive) bool {
	switch s.r.State {
	case Proving, Faulty:
		if !e.Faulty {
			return false
		}
		if s.r.State == Proving {
			s.r.LastErr, s.r.LastClass = "the chain counts the sector as faulty: its last window proof left it out or did not come", Operator
		}
		return s.to(FaultReported)
	case FaultReported:
		return !e.Faulty && s.to(Proving)
	case Expired, FaultedFinal:
		return s.to(Proving)
	case TerminateFailed:
		return s.r.RetryAt.IsZero() && s.r.Parked == "" && s.terminate()
	case TerminateFinality:
		return s.trouble(TerminateFailed, Transient, "a reorg took the termination out of the chain")
	}
	return false
}

// onChainEnded follows the end of a sector on the chain.
func (s *step) onChainEnded(e OnChainEnded) bool {
	switch s.r.State {
	case Terminating, TerminateWait, TerminateFailed:
		s.r.TerminatedAt = e.At
		return s.to(TerminateFinality)
	case TerminateFinality:
		if s.now.Epoch < s.r.TerminatedAt+s.p.Finality {
			return false
		}
		s.newTask()
		return s.to(Removing)
	case Proving, Faulty, FaultReported:
	default:
		if (!s.r.Redo || s.r.Reclaim) && !s.r.State.Updating() {
			return false
		}
	}
	if !s.r.Updated() {
		s.r.Update = nil // its deals can go elsewhere
	}
	s.r.Redo, s.r.Reclaim = false, false
	s.newTask()
	if !e.Early {
		return s.to(Expired)
	}
	s.to(FaultedFinal)
	s.r.LastErr, s.r.LastClass = "the chain ended the sector early: it was faulty for too long, or was terminated elsewhere", ChainFact
	return true
}

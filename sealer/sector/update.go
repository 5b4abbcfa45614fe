package sector

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/exitcode"
	"github.com/ipfs/go-cid"
)

// Deal is a storage deal whose data is here.
type Deal struct {
	ID    abi.DealID
	Piece abi.PieceInfo // padded size
	// The chain takes the deal until Start; End is its last epoch.
	Start, End abi.ChainEpoch
	// Since is when its data came.
	Since time.Time
}

// Update is the data that a sealed sector takes in, or has taken in.
type Update struct {
	// Key and KeyData are the commitments of the replica that the data is put into, and of its zeros.
	Key, KeyData *cid.Cid
	// Deals are in the order of their pieces: the largest first, so that each is aligned to its size without anything
	// between them.
	Deals []Deal
	// CommD and CommR are the commitments of the new replica, nil until it is made.
	CommD, CommR *cid.Cid
	Proof        []byte
	// Landed is the height at which the chain was first seen with the new replica, 0 before.
	Landed abi.ChainEpoch
	// Sent is set once a message of this update was pushed: from then on it may land.
	Sent bool
	// Withdrawn is the operator's wish to take the sector back, if nothing was sent yet.
	Withdrawn bool
	// GivenUp is the height at which an update that had been sent was given up.
	GivenUp abi.ChainEpoch
}

// PiecesOf are the pieces of deals, in order.
func PiecesOf(deals []Deal) []abi.PieceInfo {
	out := make([]abi.PieceInfo, 0, len(deals))
	for _, d := range deals {
		out = append(out, d.Piece)
	}
	return out
}

// IDsOf are the numbers of deals, in order.
func IDsOf(deals []Deal) []abi.DealID {
	out := make([]abi.DealID, 0, len(deals))
	for _, d := range deals {
		out = append(out, d.ID)
	}
	return out
}

// firstOf is the deal that starts first; there must be one.
func firstOf(deals []Deal) Deal {
	return slices.MinFunc(deals, func(a, b Deal) int { return cmp.Compare(a.Start, b.Start) })
}

// Begun tells whether one of the deals has started at a height: then the chain takes it no more.
func Begun(deals []Deal, epoch abi.ChainEpoch) bool {
	return len(deals) > 0 && epoch >= firstOf(deals).Start
}

// Pieces are those of the deals, in order.
func (u *Update) Pieces() []abi.PieceInfo { return PiecesOf(u.Deals) }

// DealIDs are those of the deals, in the order of their pieces.
func (u *Update) DealIDs() []abi.DealID { return IDsOf(u.Deals) }

// First is the deal that starts first; there must be one.
func (u *Update) First() Deal { return firstOf(u.Deals) }

// Begun tells whether a deal has started at a height.
func (u *Update) Begun(epoch abi.ChainEpoch) bool { return Begun(u.Deals, epoch) }

func (u *Update) clone() *Update {
	if u == nil {
		return nil
	}
	c := *u
	c.Deals = slices.Clone(u.Deals)
	return &c
}

// Updated tells whether the chain is believed to hold the new replica.
func (r Record) Updated() bool {
	return r.Update != nil && r.Update.CommR != nil && r.CommR != nil && r.CommR.Equals(*r.Update.CommR)
}

// mark offers a sector without data for some.
func (s *step) mark() bool {
	if s.r.State != Proving || s.r.CommR == nil || s.r.Update != nil || len(s.r.Deals) > 0 {
		return false
	}
	s.r.Update = &Update{Key: s.r.CommR, KeyData: s.r.CommD}
	s.r.MessageFails, s.r.InvalidProofs = 0, 0
	return s.to(SnapDealsWaitDeals)
}

// takeDeals gives deals to a sector that waits for some.
func (s *step) takeDeals(e TakeDeals) bool {
	have := s.waiting()
	if have == nil || len(e.Deals) == 0 {
		return false
	}
	*have = append(*have, e.Deals...)
	slices.SortFunc(*have, func(a, b Deal) int {
		return cmp.Or(cmp.Compare(b.Piece.Size, a.Piece.Size), cmp.Compare(a.ID, b.ID))
	})
	return s.to(s.r.State)
}

// waiting are the deals of a sector that waits for more, nil of one that does not.
func (s *step) waiting() *[]Deal {
	switch s.r.State {
	case WaitDeals:
		return &s.r.Deals
	case SnapDealsWaitDeals:
		return &s.r.Update.Deals
	}
	return nil
}

// startPacking ends the wait for more deals.
func (s *step) startPacking() bool {
	have := s.waiting()
	if have == nil || len(*have) == 0 {
		return false
	}
	if s.r.State == WaitDeals {
		return s.to(AddPiece)
	}
	return s.to(SnapDealsAddPiece)
}

func (s *step) piecesAdded() bool {
	switch s.r.State {
	case SnapDealsAddPiece:
		s.newTask()
		return s.to(UpdateReplica)
	case AddPiece:
		s.r.Pieces = PiecesOf(s.r.Deals)
		s.newTask()
		if s.r.Redo {
			return s.to(PreCommit1) // from the ticket of the commitment
		}
		return s.to(GetTicket)
	}
	return false
}

// sendUpdate begins the next attempt at a ProveReplicaUpdates message.
func (s *step) sendUpdate(again bool) bool {
	m := &s.r.UpdateMsg
	m.Attempt++
	m.ID, m.Cid = s.r.messageID(KindUpdate, m.Attempt), nil
	if again {
		return s.retry(SubmitReplicaUpdate)
	}
	return s.to(SubmitReplicaUpdate)
}

// updateLanded takes the fate of a message that did not update the sector.
func (s *step) updateLanded(e Landed) bool {
	why := fmt.Sprintf("the message landed with exit code %d and the sector was not updated", e.Exit)
	if landedTransient(e.Exit) {
		why += " (gas or funds were short)"
	} else if e.Exit == exitcode.ErrIllegalArgument {
		why += " (the sector was faulty, its deadline near, a deal not to be had, or the proof wrong)"
	}
	return s.spent(ReplicaUpdateFailed, why)
}

// updateInvalid throws the proof of an update away, and now and then the replica that it is about.
func (s *step) updateInvalid(err string) bool {
	s.r.Update.Proof = nil
	if s.r.InvalidProofs%3 == 0 {
		s.r.Update.CommD, s.r.Update.CommR = nil, nil
	}
	s.trouble(ReplicaUpdateFailed, Transient, err)
	if s.r.InvalidProofs >= s.p.TaskBudget {
		return s.park(fmt.Sprintf("%d proofs of the update were invalid: the sector's files are damaged or the prover is broken", s.r.InvalidProofs))
	}
	return true
}

// onReplica follows which replica the chain holds for a sector that takes data in.
func (s *step) onReplica(c cid.Cid) bool {
	u := s.r.Update
	switch {
	case u.CommR != nil && c.Equals(*u.CommR):
		return s.onUpdated()
	case c.Equals(*u.Key):
		return s.onKey()
	}
	return s.takeUp(c)
}

// takeUp follows an update that an earlier life of this sealer made: a restored record knows nothing of it. Its files are
// looked into before those of the old replica go.
func (s *step) takeUp(c cid.Cid) bool {
	if s.r.Update == nil {
		s.r.Update = &Update{Key: s.r.CommR, KeyData: s.r.CommD}
	}
	u := s.r.Update
	u.CommR, u.CommD, u.Sent, u.Landed, u.Withdrawn = &c, nil, true, s.now.Epoch, false
	s.r.CommR, s.r.CommD = &c, nil
	s.newTask()
	return s.to(UpdateActivating)
}

// onUpdated is the chain holding the new replica. Only finality makes the old one superfluous.
func (s *step) onUpdated() bool {
	u := s.r.Update
	switch s.r.State {
	case FinalizeReplicaUpdate, FinalizeReplicaUpdateFailed, ReleaseSectorKey, ReleaseSectorKeyFailed:
		return false
	case UpdateActivating:
		return s.now.Epoch >= u.Landed+s.p.Finality && s.to(ReleaseSectorKey)
	}
	s.r.CommR, s.r.CommD = u.CommR, u.CommD
	s.r.MessageFails, s.r.InvalidProofs, u.Landed, u.GivenUp, u.Withdrawn = 0, 0, s.now.Epoch, 0, false
	s.newTask()
	return s.to(FinalizeReplicaUpdate)
}

// onKey is the chain holding the old replica: a reorg took the update out, or it never landed.
func (s *step) onKey() bool {
	u := s.r.Update
	switch s.r.State {
	case FinalizeReplicaUpdate, FinalizeReplicaUpdateFailed, UpdateActivating, ReleaseSectorKey, ReleaseSectorKeyFailed:
		s.r.CommR, s.r.CommD, u.Landed = u.Key, u.KeyData, 0
		s.r.LastErr, s.r.LastClass = "a reorg took the update out of the chain", Transient
		s.newTask()
		if s.r.UpdateMsg.ID == "" {
			return s.retry(ReplicaUpdateFailed)
		}
		return s.retry(ReplicaUpdateWait) // the messager lands the same message once more
	case ReplicaUpdateFailed:
		switch {
		case !s.r.RetryAt.IsZero() || s.r.Parked != "":
			return false
		case len(u.Deals) == 0: // taken up from another life, whose deals are not known
			return s.giveUp(Transient, s.r.LastErr)
		case u.Begun(s.now.Epoch):
			return s.expired()
		case u.CommR == nil:
			return s.retry(UpdateReplica)
		case len(u.Proof) == 0:
			return s.retry(ProveReplicaUpdate)
		}
		return s.sendUpdate(true)
	}
	return false
}

// expired gives the update up for a deal that the chain takes no more.
func (s *step) expired() bool {
	d := s.r.Update.First()
	return s.giveUp(ChainFact, fmt.Sprintf("the update is given up: deal %d started at epoch %d and was not in a proven sector by then", d.ID, d.Start))
}

// giveUp begins to take the sector back as it was.
func (s *step) giveUp(class Class, why string) bool {
	s.newTask()
	s.to(AbortUpgrade)
	s.r.LastErr, s.r.LastClass = why, class
	s.r.Update.GivenUp = s.now.Epoch
	return true
}

// abort is the operator's wish to take the sector back. While a message may be under way it has to wait for its fate.
func (s *step) abort() bool {
	switch s.r.State {
	case SnapDealsWaitDeals, SnapDealsAddPiece, SnapDealsAddPieceFailed, UpdateReplica, ProveReplicaUpdate, ReplicaUpdateFailed:
		return s.giveUp("", "")
	case SubmitReplicaUpdate:
		s.r.Update.Withdrawn = true
		return s.retry(SubmitReplicaUpdate)
	}
	return false
}

// dropExpired takes the deals away that started while the sector waited for more.
func (s *step) dropExpired() bool {
	have := s.waiting()
	first := firstOf(*have)
	s.r.LastErr, s.r.LastClass = fmt.Sprintf("deal %d started at epoch %d, before the sector was full enough", first.ID, first.Start), ChainFact
	*have = slices.DeleteFunc(*have, func(d Deal) bool { return d.Start <= s.now.Epoch })
	return s.to(s.r.State)
}

// dealsExpired ends a new sector whose deals the chain takes no more.
func (s *step) dealsExpired() bool {
	d := firstOf(s.r.Deals)
	s.newTask()
	s.to(DealsExpired)
	s.r.LastErr, s.r.LastClass = fmt.Sprintf("deal %d started at epoch %d and the sector was not proven by then", d.ID, d.Start), ChainFact
	return true
}

// updateDropped ends an update that was given up.
func (s *step) updateDropped() bool {
	if s.r.State != AbortUpgrade {
		return false
	}
	s.r.Update = nil
	return s.to(Proving)
}

// keyReleased ends an update that is final.
func (s *step) keyReleased() bool {
	if s.r.State != ReleaseSectorKey {
		return false
	}
	s.r.Update.Proof = nil
	return s.to(Proving)
}

package sector

import (
	"fmt"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
)

// Why explains a sector to its operator.
type Why struct {
	State State
	// Means says what the state is about, Waits what would end it.
	Means, Waits string
	Since        time.Time
	// Next says what happens next by itself. NextAt and NextEpoch say when, if that is known (zero if not).
	Next      string
	NextAt    time.Time
	NextEpoch abi.ChainEpoch
	// LimitEpoch is the epoch after which the chain will not take what the sector works for, Limit says what that is; 0 when there is none.
	Limit      string
	LimitEpoch abi.ChainEpoch
	Tries      int
	LastErr    string
	Class      Class
	Overcome   time.Time // when LastErr was over, zero while it is not
	// Options are what the operator can do.
	Options []Option
}

// Option is something an operator can do: a command line, and what comes of it.
type Option struct{ Do, Then string }

// meanings tells what each state is about and what ends it.
var meanings = map[State][2]string{
	WaitDeals:             {"the new sector is offered to deals", "deals to fill it, or the end of the first one's wait"},
	AddPiece:              {"the data of the sector's deals is written into its unsealed file", "the disk"},
	Packing:               {"the sector is filled with zeros", "a worker for task AP"},
	GetTicket:             {"the ticket that the replica is bound to is read from the chain", "the node"},
	PreCommit1:            {"the replica's labels are made, the longest part of sealing", "a worker for task PC1"},
	PreCommit2:            {"the replica's trees and its commitment are made", "a worker for task PC2"},
	PreCommitting:         {"the pre-commit message is sent", "node and messager, and funds for the deposit"},
	SubmitPreCommitBatch:  {"the pre-commit waits for others to share a message with", "company, or the end of the longest wait"},
	PreCommitWait:         {"the pre-commit message is on its way", "the message to land"},
	PreCommitBatchWait:    {"the message with this and other pre-commits is on its way", "the message to land"},
	WaitSeed:              {"the pre-commit is on the chain; its challenge is not drawn yet", "the epoch of the challenge"},
	Committing:            {"the proof is made", "a worker for tasks C1 and C2"},
	SubmitCommit:          {"the proof is checked and sent", "node and messager, and funds for the pledge"},
	SubmitCommitAggregate: {"the proof waits for others to be aggregated with", "company, or the end of the longest wait"},
	CommitWait:            {"the message with the proof is on its way", "the message to land and the chain to accept the proof"},
	CommitAggregateWait:   {"the message with the aggregated proof is on its way", "the message to land"},
	FinalizeSector:        {"the sector is proven; its files are trimmed and moved to a storing path", "a worker for task FIN"},
	Proving:               {"the sector is sealed and proven in its window once a proving period", "nothing"},

	SnapDealsWaitDeals:    {"the sector has no data and is offered to deals; it is proven as before", "deals to fill it, or the end of the first one's wait"},
	SnapDealsAddPiece:     {"the data of the sector's deals is written into its unsealed file", "the disk"},
	UpdateReplica:         {"the data is encoded with the sector's replica into a new one; the old one is proven", "a worker for task RU"},
	ProveReplicaUpdate:    {"the new replica is proven to hold the data", "a worker for task PRU"},
	SubmitReplicaUpdate:   {"the update is checked and sent", "node and messager, funds for the pledge, the sector's deadline to be neither open nor the next, and the sector not to be faulty"},
	ReplicaUpdateWait:     {"the message with the update is on its way", "the message to land; its deals are active then"},
	FinalizeReplicaUpdate: {"the chain has the update; what only it needed is deleted", "a worker for task FIN"},
	UpdateActivating:      {"the chain has the update and the deals are active", "finality: until then a reorg could take it back, so the old replica is kept"},
	ReleaseSectorKey:      {"the update is final; the files of the old replica are deleted", "a look at the new replica's files"},

	Terminating:          {"the sector is to be ended on the chain", "its deadline to be far enough from its window, then the push of a message that all waiting terminations share"},
	TerminateWait:        {"the termination message is on its way", "the message to land"},
	TerminateFinality:    {"the sector is ended on the chain", "finality: until then a reorg could bring it back, so its files are kept"},
	Expired:              {"the sector's life on the chain ended on time", "nothing"},
	Removing:             {"the sector's files are deleted", "workers to let go of them"},
	Removed:              {"the sector's files are deleted; this record is all that is left", "nothing"},
	AddPieceFailed:       {"writing the data of the deals failed", "the next try"},
	DealsExpired:         {"a deal of the sector started before the sector was proven: nothing can become of it; its other deals go elsewhere", "you to remove it"},
	PackingFailed:        {"filling the sector failed", "the next try"},
	SealPreCommit1Failed: {"making the labels failed", "the next try"},
	SealPreCommit2Failed: {"making the trees failed", "the next try"},
	PreCommitFailed:      {"the pre-commit message did not do its work", "a look at the chain, then the next try"},
	ComputeProofFailed:   {"making the proof failed", "the next try"},
	CommitFailed:         {"the message with the proof did not do its work", "a look at the chain, then the next try"},
	FinalizeFailed:       {"trimming or moving the files failed; the sector is proven all the same", "the next try"},
	TerminateFailed:      {"the termination message did not do its work", "a look at the chain, then the next try"},
	RemoveFailed:         {"deleting the files failed", "the next try"},

	SnapDealsAddPieceFailed:     {"writing the data of the deals failed; the sector is proven as before", "the next try"},
	ReplicaUpdateFailed:         {"the update failed; the sector is proven as before", "a look at the chain, then the next try"},
	FinalizeReplicaUpdateFailed: {"trimming the new replica's files failed; the update is on the chain all the same", "the next try"},
	ReleaseSectorKeyFailed:      {"the old replica's files could not be deleted; the update is final all the same", "the next try"},
	AbortUpgrade:                {"the update is given up: what was made of it is deleted, its deals go elsewhere, the sector is proven as before", "the disk, and finality if the update had been sent"},

	Faulty:              {"the sector's files are bad or missing; the chain does not know yet and will at its next window", "the files to be good again"},
	FaultReported:       {"the chain counts the sector as faulty: it has no power and costs a fee every day", "the files to be good again; recovery is then declared and proven by itself"},
	FaultedFinal:        {"the chain ended the sector early: it was faulty for too long, or was terminated elsewhere", "nothing"},
	FailedUnrecoverable: {"nothing can become of this sector any more: the chain has decided", "nothing"},
}

// Explain tells what a sector waits for, since when, what comes next and when,
// and what the operator can do.
func Explain(p Policy, r Record) Why {
	m := meanings[r.State]
	w := Why{
		State: r.State, Means: m[0], Waits: m[1], Since: r.Since, Tries: r.Tries,
		LastErr: r.LastErr, Class: r.LastClass, Overcome: r.Overcome,
	}
	if r.Overcome.IsZero() && !r.troubled() {
		w.LastErr, w.Class = "", "" // a record of an earlier release: over, nobody knows when
	}
	if w.Since.IsZero() {
		w.Since = r.UpdatedAt // a record of an earlier release
	}
	if r.Redo {
		w.Means += " (the files of a proven sector are made anew)"
	}
	w.next(p, r)
	w.limit(p, r)
	w.dealLimit(r)
	w.Options = options(r)
	return w
}

func (w *Why) next(p Policy, r Record) {
	switch {
	case r.Parked != "" && r.RetryAt.IsZero():
		w.Waits, w.Next = "you: "+r.Parked, "nothing until the sector is retried"
	case r.Parked != "":
		w.Waits, w.Next, w.NextAt = "you: "+r.Parked, "it is tried again by itself, and goes on once the cause is gone", r.RetryAt
	case !r.RetryAt.IsZero():
		w.Next, w.NextAt = "the next try", r.RetryAt
	default:
		w.Next = plain(DueEffect(p, r))
	}
	if e, ok := DueEffect(p, r).(ReadSeed); ok {
		w.NextEpoch = e.ReadyAt
	}
	switch e := DueEffect(p, r).(type) {
	case CheckLife:
		w.NextEpoch = e.ReadyAt
	case CheckUpdate:
		w.NextEpoch = e.ReadyAt
	case DropUpdate:
		w.NextEpoch = e.ReadyAt
	}
}

// plain says an effect in plain words.
func plain(e Effect) string {
	switch x := e.(type) {
	case RunTask:
		return fmt.Sprintf("task %s, run %d", x.Kind, x.Attempt)
	case ReadTicket:
		return "the ticket is read"
	case PushPreCommit:
		return "the pre-commit message " + x.ID + " is pushed"
	case PushCommit:
		return "the message with the proof, " + x.ID + ", is pushed"
	case AwaitMessage:
		return "the fate of message " + x.ID + " is looked up at every head"
	case ReadSeed:
		return fmt.Sprintf("the challenge of epoch %d is read once the head is at %d", x.Epoch, x.ReadyAt)
	case CheckChain:
		return "the chain is asked what it knows of the sector"
	case AwaitBatch:
		return "the batch policy decides at every head"
	case AwaitPush:
		return "the shared message " + x.ID + " is pushed"
	case CheckLife:
		if x.ReadyAt == 0 {
			return "the chain is asked whether it still has the sector"
		}
		return fmt.Sprintf("once the head is at %d and the sector is still ended, its files are deleted", x.ReadyAt)
	case RemoveFiles:
		return "the files are deleted"
	case AwaitDeals:
		return "deals are given to offered sectors at every head"
	case AddPieces:
		return "the pieces are written"
	case PushUpdate:
		return "the message with the update, " + x.ID + ", is pushed"
	case CheckUpdate:
		return fmt.Sprintf("once the head is at %d and the chain still has the update, the old replica is deleted", x.ReadyAt)
	case DropUpdate:
		return "what was made of the update is deleted"
	case ReleaseKey:
		return "the old replica is deleted, if the new one is sound"
	}
	return "nothing"
}

// dealLimit is the start of the first deal of a sector that is not proven yet, if nothing ends before.
func (w *Why) dealLimit(r Record) {
	if len(r.Deals) == 0 || r.Proven() || !r.State.Sealing() {
		return
	}
	if d := firstOf(r.Deals); w.LimitEpoch == 0 || d.Start < w.LimitEpoch {
		w.Limit, w.LimitEpoch = fmt.Sprintf("deal %d has started; nothing can become of the sector any more", d.ID), d.Start
	}
}

func (w *Why) limit(p Policy, r Record) {
	switch r.State {
	case PreCommit1, PreCommit2, PreCommitting, SubmitPreCommitBatch, PreCommitWait, PreCommitBatchWait,
		SealPreCommit1Failed, SealPreCommit2Failed, PreCommitFailed:
		if !r.Redo && len(r.Ticket.Value) > 0 {
			w.Limit, w.LimitEpoch = "the ticket is too old; sealing begins again with a new one", r.Ticket.Epoch+p.MaxTicketAge
		}
	case WaitSeed, Committing, SubmitCommit, SubmitCommitAggregate, CommitWait, CommitAggregateWait, ComputeProofFailed, CommitFailed:
		w.Limit, w.LimitEpoch = "the pre-commit expires; its deposit is lost and the sector is over", r.PreCommitEpoch+p.MaxProveCommitDuration
	case SnapDealsWaitDeals, SnapDealsAddPiece, SnapDealsAddPieceFailed, UpdateReplica, ProveReplicaUpdate, SubmitReplicaUpdate, ReplicaUpdateWait,
		ReplicaUpdateFailed:
		if len(r.Update.Deals) > 0 {
			d := r.Update.First()
			w.Limit, w.LimitEpoch = fmt.Sprintf("deal %d has started and is lost; the sector is proven as before", d.ID), d.Start
		}
	}
}

// options lists what the operator can do, the mildest first.
func options(r Record) []Option {
	var out []Option
	add := func(then, do string, args ...any) {
		out = append(out, Option{Do: fmt.Sprintf(do, args...), Then: then})
	}
	n := r.Number
	if r.Parked != "" || !r.RetryAt.IsZero() {
		add("try now", "venus-sealer sectors retry %d", n)
	}
	if kind, ok := taskOf(r); ok && r.Parked == "" && r.RetryAt.IsZero() {
		add(fmt.Sprintf("see whether a worker has task %s, or why none takes it", kind), "venus-sealer sealing jobs")
	}
	if kind := r.pool(); kind != "" {
		add("send what waits now", "venus-sealer sectors batching --flush %s", kind)
	}
	if m := r.underWay(); m != "" {
		add("see how the message fares", "venus-messager msg why %s", m)
	}
	switch r.State {
	case WaitDeals:
		if len(r.Deals) > 0 {
			add("wait for no more deals", "venus-sealer sectors seal %d", n)
		}
	case SnapDealsWaitDeals:
		if len(r.Update.Deals) > 0 {
			add("wait for no more deals", "venus-sealer sectors seal %d", n)
		}
		add("bring data for it", "venus-sealer deals import DEALID FILE")
		fallthrough
	case SnapDealsAddPiece, SnapDealsAddPieceFailed, UpdateReplica, ProveReplicaUpdate, SubmitReplicaUpdate, ReplicaUpdateFailed:
		add("take it back as it was; its deals wait for another sector", "venus-sealer sectors abort-upgrade %d", n)
	case Proving:
		if r.Update == nil && len(r.Deals) == 0 {
			add("offer it to deals, if it has no data", "venus-sealer sectors snap-up %d", n)
		}
		add("let the sector live longer", "venus-sealer sectors extend %d", n)
		add("end it on the chain, at a fee", "venus-sealer sectors terminate %d", n)
	case Faulty, FaultReported:
		add("look at the files again", "venus-sealer proving check --slow %d", n)
		add("see where its files should be; once they are back, recovery follows by itself", "venus-sealer storage find %d", n)
		if r.Update == nil && len(r.Deals) == 0 {
			add("make the files anew, as long as sealing a sector takes", "venus-sealer sectors redo %d", n)
		}
		add("end it on the chain, at a fee", "venus-sealer sectors terminate %d", n)
	}
	switch RemovalOf(r) {
	case RemoveFree:
		add("delete its files", "venus-sealer sectors remove %d", n)
	case RemoveLosesDeposit:
		add("give it up, with its deposit", "venus-sealer sectors remove --abandon %d", n)
	}
	return out
}

// underWay is the id of the message that the sector waits for.
func (r Record) underWay() string {
	switch r.State {
	case PreCommitWait, PreCommitBatchWait:
		return r.PreCommit.ID
	case CommitWait, CommitAggregateWait:
		return r.Commit.ID
	case TerminateWait:
		return r.Terminate.ID
	case ReplicaUpdateWait:
		return r.UpdateMsg.ID
	}
	return ""
}

package sector

import (
	"fmt"
	"slices"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/google/uuid"
	"github.com/ipfs/go-cid"
)

// Randomness is a value drawn from the chain and the epoch it was drawn for.
// The epoch may be negative in the first hours of a network.
type Randomness struct {
	Value []byte
	Epoch abi.ChainEpoch
}

// Message is one message of the sector's life. ID is fixed by MessageID before
// the message is pushed; Attempt counts from 1.
type Message struct {
	ID      string
	Attempt int
	// Value is what went with the message, in attoFIL: the deposit or the rest of the pledge.
	Value big.Int
	// Cid is the chain's name of the landed message, if it landed.
	Cid *cid.Cid
}

// Record is everything the machine knows of one sector. It is what the store
// keeps; its JSON form is the stored form.
type Record struct {
	Miner     abi.ActorID
	Number    abi.SectorNumber
	SealProof abi.RegisteredSealProof
	State     State

	Pieces []abi.PieceInfo
	Ticket Randomness
	CommD  *cid.Cid
	CommR  *cid.Cid

	PreCommit      Message
	PreCommitEpoch abi.ChainEpoch

	Seed   Randomness
	HasC1  bool
	Proof  []byte
	Commit Message

	// SeedChecked is set once the seed was read again after C1, so that no C2 is made for one that a reorg changed.
	SeedChecked bool
	// Solo sends the sector's messages alone: a batch with it failed.
	Solo bool
	// Redo marks a proven sector whose files are made anew from its old ticket.
	Redo bool
	// Reclaim marks, with Redo, a sector that an earlier life of this sealer committed to and that is not proven.
	Reclaim bool

	// DeepFault marks a Faulty sector whose files are there and hold something wrong.
	DeepFault bool

	Terminate    Message
	TerminatedAt abi.ChainEpoch

	// Deals are those whose data the sector is sealed with, in the order of their pieces; DealsProven is the height at which
	// the chain was first seen with them in it, 0 before.
	Deals       []Deal         `json:",omitempty"`
	DealsProven abi.ChainEpoch `json:",omitempty"`

	// Update is the data that the sector takes in or has taken in, nil for none. CommR and CommD are those of the replica
	// that the chain is believed to hold. The attempts of UpdateMsg count over all updates of the sector.
	Update    *Update `json:",omitempty"`
	UpdateMsg Message

	// TaskAttempt numbers the runs of proof work, so that a result of an
	// abandoned run is told apart from the awaited one.
	TaskAttempt int
	// Tries counts failures in a row in the present step; it drives the back-off.
	Tries int
	// PC2Fails and InvalidProofs count what makes the machine go back further.
	PC2Fails      int
	InvalidProofs int
	// MessageFails counts messages in a row that did not do their work.
	MessageFails int
	// Restarts counts how often sealing began again from the ticket.
	Restarts int
	// RetryAt is set while the step waits out a back-off.
	RetryAt time.Time
	// LastErr and LastClass tell the latest trouble; Parked says what must
	// change before the sector can go on, in words for the operator.
	LastErr   string
	LastClass Class
	Parked    string
	// Overcome is when the trouble of LastErr was over, zero while it is not.
	Overcome time.Time `json:",omitzero"`

	CreatedAt time.Time
	UpdatedAt time.Time
	// Since is when the present state was entered.
	Since time.Time
}

// troubled tells whether the latest error is what keeps the sector, or what is tried again.
func (r Record) troubled() bool {
	return r.State.Failed() || r.Tries > 0 || !r.RetryAt.IsZero() || r.Parked != ""
}

// Proven tells whether the chain counts the sector among the miner's, so that it
// must be proven in its window.
func (r Record) Proven() bool {
	switch r.State {
	case FinalizeSector, FinalizeFailed, Proving, Faulty, FaultReported, Terminating, TerminateFailed:
		return true
	}
	return r.Redo && !r.Reclaim || r.State.Updating()
}

// Class tells who can mend a failure.
type Class string

// The classes of failures.
const (
	// Transient goes away by itself: a service is down, a machine died.
	Transient Class = "transient"
	// Operator needs a person: money, disk, keys.
	Operator Class = "operator"
	// ChainFact cannot be mended: the chain has decided.
	ChainFact Class = "chain"
)

// ID is the sector's name on the chain.
func (r Record) ID() abi.SectorID { return abi.SectorID{Miner: r.Miner, Number: r.Number} }

// Kind names the messages of a miner's life that are derived from state.
type Kind string

// The kinds of messages this program pushes.
const (
	KindPreCommit  Kind = "precommit"
	KindCommit     Kind = "provecommit"
	KindWindowPoSt Kind = "wdpost"
	KindRecover    Kind = "recover"
	KindFault      Kind = "fault"
	KindUpdate     Kind = "replicaupdate"
	KindTerminate  Kind = "terminate"
	KindExtend     Kind = "extend"
	KindCompact    Kind = "compact"
	KindActor      Kind = "actor" // money and control: withdrawals, owner, worker, addresses
)

// messageSpace is the namespace of derived message ids (version 5 UUIDs).
var messageSpace = uuid.MustParse("5d0a9f7e-3c58-5f6b-9d3a-6f2f7c1f9b15")

// MessageID derives a message's id from what it is for: the same miner, key
// (a sector number, or a deadline's opening epoch and group), kind and attempt
// give the same id in every process at every time.
func MessageID(miner abi.ActorID, key string, kind Kind, attempt int) string {
	return uuid.NewSHA1(messageSpace, fmt.Appendf(nil, "f0%d/%s/%s/%d", miner, kind, key, attempt)).String()
}

// BatchID derives the id of a message that several sectors share from who they
// are and how often each of them has tried.
func BatchID(miner abi.ActorID, kind Kind, members []Record) string {
	key := "batch"
	for _, r := range members {
		key += fmt.Sprintf("/%d.%d", r.Number, r.message(kind).Attempt)
	}
	return MessageID(miner, key, kind, 1)
}

// message is the record's message of a kind.
func (r *Record) message(kind Kind) *Message {
	switch kind {
	case KindPreCommit:
		return &r.PreCommit
	case KindCommit:
		return &r.Commit
	default: // KindTerminate
		return &r.Terminate
	}
}

func (r Record) messageID(kind Kind, attempt int) string {
	return MessageID(r.Miner, fmt.Sprintf("sector-%d", r.Number), kind, attempt)
}

// clone copies what Step may change in place.
func (r Record) clone() Record {
	r.Pieces = append([]abi.PieceInfo(nil), r.Pieces...)
	r.Deals = slices.Clone(r.Deals)
	r.Update = r.Update.clone()
	return r
}

// NewForDeals is the record of a sector that waits for deals.
func NewForDeals(miner abi.ActorID, n abi.SectorNumber, spt abi.RegisteredSealProof, at time.Time) Record {
	r := New(miner, n, spt, at)
	r.State = WaitDeals
	return r
}

// New is the record of a committed-capacity sector before its first step.
func New(miner abi.ActorID, n abi.SectorNumber, spt abi.RegisteredSealProof, at time.Time) Record {
	return Record{
		Miner: miner, Number: n, SealProof: spt, State: Packing, TaskAttempt: 1,
		PreCommit: Message{Value: big.Zero()}, Commit: Message{Value: big.Zero()}, Terminate: Message{Value: big.Zero()},
		UpdateMsg: Message{Value: big.Zero()},
		CreatedAt: at, UpdatedAt: at, Since: at,
	}
}

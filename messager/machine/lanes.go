package machine

import (
	"crypto/sha256"
	"encoding/binary"
	"sort"
	"time"

	"github.com/filecoin-project/go-address"

	"github.com/filecoin-venus/venus/types"
)

// Lane is a message's urgency: lower lanes go first.
type Lane int

// The lanes.
const (
	// LaneProof: window proofs, fault and recovery declarations. A late one costs power.
	LaneProof Lane = 0
	// LaneCommit: pre-commits and prove-commits. A late one costs a deposit.
	LaneCommit Lane = 1
	// LaneNormal: everything else.
	LaneNormal Lane = 2
)

// String is the lane's name.
func (l Lane) String() string {
	switch l {
	case LaneProof:
		return "proof"
	case LaneCommit:
		return "commit"
	}
	return "normal"
}

// firstUserActor is the lowest ID of an actor that is not a built-in singleton.
const firstUserActor = 100

// LaneOf judges by method number. The singletons' methods mean other things, so
// calls to them are normal.
func LaneOf(m *types.Message) Lane {
	if m.To.Protocol() == address.ID {
		if id, err := address.IDFromAddress(m.To); err == nil && id < firstUserActor {
			return LaneNormal
		}
	}
	switch m.Method {
	case 5, 10, 11: // SubmitWindowedPoSt, DeclareFaults, DeclareFaultsRecovered
		return LaneProof
	case 6, 7, 25, 26: // PreCommitSector, ProveCommitSector and their batches
		return LaneCommit
	}
	return LaneNormal
}

// Choose picks at most n queued messages to send next: those whose back-off is
// over, by lane, then by age. A message that keeps failing sits in its back-off
// and so never blocks the others.
func Choose(queued []Message, now time.Time, n int) []Message {
	var due []Message
	for _, m := range queued {
		if m.State == Queued && !m.NextTry.After(now) {
			due = append(due, m)
		}
	}
	sort.SliceStable(due, func(i, j int) bool {
		a, b := due[i], due[j]
		if a.Lane != b.Lane {
			return a.Lane < b.Lane
		}
		if !a.Created.Equal(b.Created) {
			return a.Created.Before(b.Created)
		}
		return a.ID < b.ID
	})
	return due[:max(0, min(n, len(due)))]
}

// Backoff is how long a message waits after its n-th failure in a row (n from 1).
// Obstacles that a person removes, a locked wallet or a lack of funds, are looked
// at more often than messages that fail by themselves.
func Backoff(n int, lane Lane, reason Reason) time.Duration {
	longest := time.Minute
	switch reason {
	case NoFunds, NoActor, WalletLocked, WalletUnreachable, WalletUnknown, NodeUnreachable, PushRefused:
		longest = 10 * time.Second
	}
	switch lane {
	case LaneProof:
		longest = 5 * time.Second
	case LaneCommit:
		longest = min(longest, 20*time.Second)
	}
	d := 500 * time.Millisecond
	for ; n > 1 && d < longest; n-- {
		d *= 2
	}
	return min(d, longest)
}

// Preferred names the one among several messagers that is to hold a lease: the same
// from everybody's view, spread evenly, and moving as little as possible when one
// comes or goes. "" when there are none.
func Preferred(alive []string, lease string) string {
	best, who := uint64(0), ""
	for _, name := range alive {
		sum := sha256.Sum256([]byte(name + "\x00" + lease))
		if score := binary.BigEndian.Uint64(sum[:]); who == "" || score > best || score == best && name < who {
			best, who = score, name
		}
	}
	return who
}

package sector

import (
	"time"

	"github.com/filecoin-project/go-state-types/abi"
)

// Policy is what the machine must know of the network and of the operator's
// choices. All epochs are in the network's epochs.
type Policy struct {
	// PreCommitChallengeDelay lies between pre-commit and seed.
	PreCommitChallengeDelay abi.ChainEpoch
	// SeedConfidence is how many epochs past the seed's the head must be.
	SeedConfidence abi.ChainEpoch
	// MaxTicketAge is the oldest ticket the chain takes in a pre-commit.
	MaxTicketAge abi.ChainEpoch
	// TicketMargin is kept between a pre-commit and MaxTicketAge for the message to land.
	TicketMargin abi.ChainEpoch
	// MaxProveCommitDuration is the life of a pre-commit.
	MaxProveCommitDuration abi.ChainEpoch
	// BackoffBase doubles with every failure in a row up to BackoffMax.
	BackoffBase, BackoffMax time.Duration
	// Finality is the depth below which nothing is taken back.
	Finality abi.ChainEpoch
	// BatchPreCommits and AggregateCommits make sectors wait for company before their messages are sent (see Plan).
	BatchPreCommits, AggregateCommits bool
	// TaskBudget is how many failures in a row of one proof step are retried
	// before the sector parks and asks for the operator.
	TaskBudget int
	// MessageBudget is how many failed messages in a row are sent again before the sector parks.
	MessageBudget int
	// ResealBudget is how often sealing begins again for a ticket that grew too old before the sector parks.
	ResealBudget int
}

// Backoff is the pause after the given number of failures in a row of something
// that concerns no sector or many.
func (p Policy) Backoff(tries int) time.Duration { return p.backoff(tries, 0) }

// backoff is the pause after the given number of failures in a row. The sector
// number spreads sectors that fail together over a quarter of the pause.
func (p Policy) backoff(tries int, n abi.SectorNumber) time.Duration {
	d := p.BackoffBase
	for i := 1; i < tries && d < p.BackoffMax; i++ {
		d *= 2
	}
	d = min(d, p.BackoffMax)
	return d + d/4*time.Duration(uint64(n)%8)/8
}

// TicketExpired tells whether a pre-commit sent now would come too late for its ticket.
func (p Policy) TicketExpired(r Record, now abi.ChainEpoch) bool {
	return now-r.Ticket.Epoch > p.MaxTicketAge-p.TicketMargin
}

// preCommitExpired tells whether the chain has dropped or will refuse the pre-commit.
func (p Policy) preCommitExpired(r Record, now abi.ChainEpoch) bool {
	return now > r.PreCommitEpoch+p.MaxProveCommitDuration
}

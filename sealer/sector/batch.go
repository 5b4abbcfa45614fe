package sector

import (
	"fmt"
	"slices"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
)

// BreakEven is the base fee, in attoFIL per unit of gas, from which a shared
// pre-commit or an aggregated proof is cheaper than messages of the sectors' own.
//
// The actors charge a shared message, for each sector, a twentieth of the gas
// that a message of its own would have burnt, at the base fee or 5 nanoFIL,
// whichever is more. What is saved is that gas at the base fee. So sharing pays
// once the base fee exceeds a twentieth of 5 nanoFIL.
const BreakEven = 5_000_000_000 / 20

// BatchRule says when sectors share a message of one kind. The zero rule shares
// nothing.
type BatchRule struct {
	// Min and Max bound the sectors of a shared message. Fewer than Min go alone.
	Min, Max int
	// MaxWait is the longest that a sector waits for company.
	MaxWait time.Duration
	// Slack is how near to its limit a sector may come while it waits.
	Slack abi.ChainEpoch
	// Above is the base fee below which nothing is won by sharing: sectors then go alone, at once.
	Above abi.TokenAmount
}

// Waiting is a sector that waits for company.
type Waiting struct {
	Number abi.SectorNumber
	Since  time.Time
	// Limit is the epoch after which the chain does not take its message, 0 for none.
	Limit abi.ChainEpoch
}

// Decision sends sectors, together or each alone, and says why now.
type Decision struct {
	Numbers []abi.SectorNumber
	Alone   bool
	Why     string
}

// Plan decides which of the waiting sectors go now. With flush all of them do.
// Sectors that it leaves out go on waiting.
func (b BatchRule) Plan(now Now, baseFee abi.TokenAmount, waiting []Waiting, flush bool) []Decision {
	waiting = slices.Clone(waiting)
	slices.SortFunc(waiting, func(a, c Waiting) int {
		if d := a.Since.Compare(c.Since); d != 0 {
			return d
		}
		return int(int64(a.Number) - int64(c.Number))
	})
	if len(waiting) == 0 {
		return nil
	}
	if !b.Above.Nil() && baseFee.LessThan(b.Above) {
		return []Decision{{Numbers: numbersOf(waiting), Alone: true, Why: fmt.Sprintf("at a base fee of %s attoFIL, below %s, messages of their own are cheaper", baseFee, b.Above)}}
	}
	var out []Decision
	for len(waiting) >= b.Max && b.Max > 0 {
		out = append(out, Decision{Numbers: numbersOf(waiting[:b.Max]), Why: fmt.Sprintf("as many as a message takes, %d, wait", b.Max)})
		waiting = waiting[b.Max:]
	}
	var (
		due []Waiting
		why string
	)
	for _, w := range waiting {
		if reason := b.due(now, w, flush); reason != "" {
			due, why = append(due, w), reason
		}
	}
	switch {
	case len(due) == 0:
	case len(waiting) >= max(b.Min, 1): // who need not go yet is company for who must
		out = append(out, Decision{Numbers: numbersOf(waiting), Why: why})
	default:
		out = append(out, Decision{Numbers: numbersOf(due), Alone: true, Why: fmt.Sprintf("%s, and fewer than %d wait", why, b.Min)})
	}
	return out
}

// due says why a sector must wait no longer, "" if it may.
func (b BatchRule) due(now Now, w Waiting, flush bool) string {
	switch {
	case flush:
		return "the operator wishes it"
	case w.Limit != 0 && now.Epoch >= w.Limit-b.Slack:
		return fmt.Sprintf("sector %d has no more than %d epochs left", w.Number, w.Limit-now.Epoch)
	case now.Time.Sub(w.Since) >= b.MaxWait:
		return fmt.Sprintf("sector %d waited %s", w.Number, b.MaxWait)
	}
	return ""
}

func numbersOf(list []Waiting) []abi.SectorNumber {
	var out []abi.SectorNumber
	for _, w := range list {
		out = append(out, w.Number)
	}
	slices.Sort(out)
	return out
}

// Pool is the kind of message that the record waits to share, with the limit of
// its wait; "" when it waits for none.
func (r Record) Pool(p Policy) (Kind, Waiting) {
	w := Waiting{Number: r.Number, Since: r.Since}
	kind := r.pool()
	if kind == "" || r.message(kind).ID != "" || !r.RetryAt.IsZero() || r.Parked != "" {
		return "", w
	}
	switch kind {
	case KindPreCommit:
		w.Limit = r.Ticket.Epoch + p.MaxTicketAge
	case KindCommit:
		w.Limit = r.PreCommitEpoch + p.MaxProveCommitDuration
	}
	return kind, w
}

package machine

import (
	"fmt"
	"time"

	"github.com/filecoin-project/go-state-types/big"

	"github.com/filecoin-venus/venus/types"
)

// Budget bounds what automatic replacements of a sender may add to its fees in a day.
type Budget struct {
	// PerDay, attoFIL; zero is no bound.
	PerDay big.Int
	// Day counts from 1970, Spent is what was added on it.
	Day   int64
	Spent big.Int
}

// Take adds what a replacement may cost more than the message it replaces, or fails
// and says by how much the budget is too small. Window proofs are counted, and never
// refused: losing power costs more than gas.
func (b *Budget) Take(m *Message, replacement *types.Message, now time.Time) error {
	day := now.Unix() / 86400
	if b.Day != day || b.Spent.Int == nil {
		b.Day, b.Spent = day, big.Zero()
	}
	more := big.Max(big.Zero(), big.Sub(replacement.RequiredFunds(), m.Msg.RequiredFunds()))
	sum := big.Add(b.Spent, more)
	if given(b.PerDay) && sum.GreaterThan(b.PerDay) && m.Lane != LaneProof {
		return fmt.Errorf("a replacement may cost %s more, and of the budget for replacements of %s a day only %s is left",
			types.FIL(more), types.FIL(b.PerDay), types.FIL(big.Max(big.Zero(), big.Sub(b.PerDay, b.Spent))))
	}
	b.Spent = sum
	return nil
}

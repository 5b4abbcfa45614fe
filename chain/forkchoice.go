package chain

import (
	"bytes"

	"github.com/filecoin-project/go-state-types/big"

	"github.com/filecoin-venus/venus/types"
)

// Prefers tells whether candidate should replace head by weight and, at equal weight, by the tie rule of FIP-0023: the
// tipsets' tickets are compared one by one from the smallest; at the first difference the smaller wins. Tipsets that do not
// differ there leave the head where it is.
func Prefers(candidate *types.TipSet, candidateWeight big.Int, head *types.TipSet, headWeight big.Int) bool {
	if candidate.Key() == head.Key() {
		return false
	}
	if c := big.Cmp(candidateWeight, headWeight); c != 0 {
		return c > 0
	}
	return ticketsBefore(candidate, head)
}

func ticketsBefore(a, b *types.TipSet) bool {
	for i := range min(len(a.Blocks()), len(b.Blocks())) {
		ta, tb := a.Blocks()[i].Ticket, b.Blocks()[i].Ticket
		if ta == nil || tb == nil {
			return false
		}
		da, db := ta.Digest(), tb.Digest()
		if c := bytes.Compare(da[:], db[:]); c != 0 {
			return c < 0
		}
	}
	return false
}

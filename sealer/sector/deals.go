package sector

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
)

// DealRule says which deals go into which sectors, and when a sector waits for no more.
type DealRule struct {
	// Size is a sector's room in padded bytes, Most how many deals the chain takes in one.
	Size abi.PaddedPieceSize
	Most int
	// Wait is the longest wait of a deal for company.
	Wait time.Duration
	// Buffer is how many epochs before the first start of its deals a sector waits no longer.
	Buffer abi.ChainEpoch
}

// Offer is a sector that waits for deals, and those it has.
type Offer struct {
	Number     abi.SectorNumber
	Expiration abi.ChainEpoch
	Deals      []Deal
}

// Placing is what is decided for a sector: deals that it gets, and why it goes on now, "" if it waits on.
type Placing struct {
	Number abi.SectorNumber
	Deals  []Deal
	Start  string
}

// Place gives waiting deals to offered sectors: those that start first choose first, each the sector with the smallest
// free room that it fits into and that lives as long as the deal, as the chain demands. Deals that have started get none.
func (d DealRule) Place(now Now, offers []Offer, waiting []Deal) []Placing {
	offers, waiting = slices.Clone(offers), slices.Clone(waiting)
	slices.SortFunc(offers, func(a, b Offer) int { return cmp.Compare(a.Number, b.Number) })
	slices.SortFunc(waiting, func(a, b Deal) int { return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(a.ID, b.ID)) })
	given := map[abi.SectorNumber][]Deal{}
	for _, w := range waiting {
		best := -1
		for i, o := range offers {
			if w.Start > now.Epoch && o.Expiration >= w.End && len(o.Deals) < d.Most && d.free(o) >= w.Piece.Size && (best < 0 || d.free(o) < d.free(offers[best])) {
				best = i
			}
		}
		if best < 0 {
			continue
		}
		o := &offers[best]
		o.Deals = append(slices.Clone(o.Deals), w)
		given[o.Number] = append(given[o.Number], w)
	}
	var out []Placing
	for _, o := range offers {
		p := Placing{Number: o.Number, Deals: given[o.Number], Start: d.start(now, o)}
		if len(p.Deals) > 0 || p.Start != "" {
			out = append(out, p)
		}
	}
	return out
}

// free is a sector's room. Pieces are laid out the largest first, so nothing is lost between them.
func (d DealRule) free(o Offer) abi.PaddedPieceSize {
	free := d.Size
	for _, x := range o.Deals {
		free -= x.Piece.Size
	}
	return free
}

// start tells why a sector waits for no more deals, "" if it does.
func (d DealRule) start(now Now, o Offer) string {
	if len(o.Deals) == 0 {
		return ""
	}
	first := firstOf(o.Deals)
	oldest := slices.MinFunc(o.Deals, func(a, b Deal) int { return a.Since.Compare(b.Since) })
	switch {
	case d.free(o) == 0:
		return "it is full"
	case len(o.Deals) >= d.Most:
		return fmt.Sprintf("it has %d deals, the most that the chain takes", len(o.Deals))
	case now.Time.Sub(oldest.Since) >= d.Wait:
		return fmt.Sprintf("deal %d has waited for %s", oldest.ID, d.Wait)
	case first.Start-now.Epoch <= d.Buffer:
		return fmt.Sprintf("deal %d starts at epoch %d", first.ID, first.Start)
	}
	return ""
}

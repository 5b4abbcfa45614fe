package sector

import (
	"slices"
	"testing"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func testRule() DealRule { return DealRule{Size: 2048, Most: 4, Wait: time.Hour, Buffer: 100} }

func TestPlaceDeals(t *testing.T) {
	old := testDeal(9, 128, 5000)
	old.Since = t0.Add(-time.Hour)
	for name, tc := range map[string]struct {
		offers  []Offer
		waiting []Deal
		want    []Placing
	}{
		"nobody offered":  {nil, []Deal{testDeal(1, 128, 2000)}, nil},
		"nothing waiting": {[]Offer{{Number: 1, Expiration: 9000}}, nil, nil},
		"the fullest that has room": {
			[]Offer{{Number: 1, Expiration: 9000}, {Number: 2, Expiration: 9000, Deals: []Deal{testDeal(7, 1024, 4000)}}},
			[]Deal{testDeal(1, 256, 2000)},
			[]Placing{{Number: 2, Deals: []Deal{testDeal(1, 256, 2000)}}},
		},
		"the sector must live as long as the deal": {
			[]Offer{{Number: 1, Expiration: 2499}, {Number: 2, Expiration: 2500}},
			[]Deal{testDeal(1, 256, 2000)},
			[]Placing{{Number: 2, Deals: []Deal{testDeal(1, 256, 2000)}}},
		},
		"full": {
			[]Offer{{Number: 1, Expiration: 9000, Deals: []Deal{testDeal(7, 1024, 4000)}}},
			[]Deal{testDeal(1, 1024, 2000), testDeal(2, 128, 3000)},
			[]Placing{{Number: 1, Deals: []Deal{testDeal(1, 1024, 2000)}, Start: "it is full"}},
		},
		"started":         {[]Offer{{Number: 1, Expiration: 9000}}, []Deal{testDeal(1, 128, 1000)}, nil},
		"waited":          {[]Offer{{Number: 1, Expiration: 9000, Deals: []Deal{old}}}, nil, []Placing{{Number: 1, Start: "deal 9 has waited for 1h0m0s"}}},
		"about to start":  {[]Offer{{Number: 1, Expiration: 9000, Deals: []Deal{testDeal(3, 128, 1100)}}}, nil, []Placing{{Number: 1, Start: "deal 3 starts at epoch 1100"}}},
		"not yet":         {[]Offer{{Number: 1, Expiration: 9000, Deals: []Deal{testDeal(3, 128, 1101)}}}, nil, nil},
		"as many as goes": {[]Offer{{Number: 1, Expiration: 9000}}, []Deal{testDeal(1, 128, 2000), testDeal(2, 128, 2000), testDeal(3, 128, 2000), testDeal(4, 128, 2000), testDeal(5, 128, 2000)}, []Placing{{Number: 1, Deals: []Deal{testDeal(1, 128, 2000), testDeal(2, 128, 2000), testDeal(3, 128, 2000), testDeal(4, 128, 2000)}, Start: "it has 4 deals, the most that the chain takes"}}},
	} {
		require.Equal(t, tc.want, testRule().Place(Now{Time: t0, Epoch: 1000}, tc.offers, tc.waiting), name)
	}
}

// TestPlacedDealsFit: whatever is offered and waits, no sector gets more than it holds, lives shorter than a deal of it, or
// shares a deal with another; and in the order in which the machine keeps them, every piece is aligned.
func TestPlacedDealsFit(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		rule, now := testRule(), Now{Time: t0, Epoch: 1000}
		var offers []Offer
		for n := range rapid.IntRange(0, 4).Draw(rt, "offers") {
			offers = append(offers, Offer{Number: abi.SectorNumber(n), Expiration: abi.ChainEpoch(rapid.IntRange(1000, 4000).Draw(rt, "expiration"))})
		}
		var waiting []Deal
		for id := range rapid.IntRange(0, 30).Draw(rt, "deals") {
			waiting = append(waiting, testDeal(id, 128<<rapid.IntRange(0, 5).Draw(rt, "size"), rapid.IntRange(900, 3000).Draw(rt, "start")))
		}
		seen := map[abi.DealID]bool{}
		for _, p := range rule.Place(now, offers, waiting) {
			i := slices.IndexFunc(offers, func(o Offer) bool { return o.Number == p.Number })
			r := recordIn(SnapDealsWaitDeals)
			r.Update.Deals = nil
			r, err := Step(testPolicy(), r, now, TakeDeals{Deals: p.Deals})
			require.NoError(rt, err)
			at := abi.PaddedPieceSize(0)
			for _, d := range r.Update.Deals {
				require.False(rt, seen[d.ID])
				seen[d.ID] = true
				require.GreaterOrEqual(rt, offers[i].Expiration, d.End)
				require.Greater(rt, d.Start, now.Epoch)
				require.Zero(rt, at%d.Piece.Size)
				at += d.Piece.Size
			}
			require.LessOrEqual(rt, at, rule.Size)
			require.LessOrEqual(rt, len(r.Update.Deals), rule.Most)
		}
	})
}

package record

import (
	"strings"
	"testing"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/mining/guard"
)

func TestWins(t *testing.T) {
	each(t, func(t *testing.T, open func() *DB) {
		m := open().Miner(one)
		at := time.Unix(1_700_000_000, 5e8).UTC()
		for e := abi.ChainEpoch(10); e < 15; e++ {
			require.NoError(t, m.Won(t.Context(), Win{Epoch: e, WinCount: 2, Reason: "no proof", Story: []Mark{{at, "won"}}}))
		}
		require.NoError(t, m.Won(t.Context(), Win{Epoch: 12, WinCount: 1, Reason: "too late", Story: []Mark{{at, "won"}, {at, strings.Repeat("x", maxStory)}}}))
		require.Equal(t, guard.Fresh, propose(t, m, prop(13, "a", 12, key("p"), key("g"))))
		require.NoError(t, m.Signed(t.Context(), 13, name("B")))
		require.NoError(t, m.Outcome(t.Context(), 13, Orphaned, "alone", false))
		m = open().Miner(one)
		list, err := m.Wins(t.Context(), 14, 2)
		require.NoError(t, err)
		require.Len(t, list, 2)
		require.Equal(t, Win{Epoch: 13, WinCount: 2, State: Orphaned, Reason: "alone", Block: name("B"), Story: []Mark{{at, "won"}}}, list[0])
		require.Equal(t, Win{Epoch: 12, WinCount: 1, State: Missed, Reason: "too late", Story: []Mark{{at, "won"}}}, list[1], "a story that is too long loses its end")
		_, ok, err := m.WinAt(t.Context(), 99)
		require.NoError(t, err)
		require.False(t, ok)
	})
}

// Two programs count the same rounds: each round counts once.
func TestRoundsCountOnce(t *testing.T) {
	each(t, func(t *testing.T, open func() *DB) {
		a, b := open().Miner(one), open().Miner(one)
		rounds := func(from, to abi.ChainEpoch) (out []Round) {
			for e := from; e <= to; e++ {
				out = append(out, Round{Epoch: e, Chance: 0.5, Expected: 1, Wins: int64(e % 2)})
			}
			return out
		}
		require.NoError(t, a.Count(t.Context(), nil))
		require.NoError(t, a.Count(t.Context(), rounds(1, 10)))
		require.NoError(t, b.Count(t.Context(), rounds(5, 20)))
		require.NoError(t, a.Count(t.Context(), rounds(11, 20)))
		require.NoError(t, a.Count(t.Context(), rounds(Bucket-2, Bucket+1)))
		require.NoError(t, a.Won(t.Context(), Win{Epoch: 3, WinCount: 1}))
		require.NoError(t, a.Abandon(t.Context(), 4))
		require.NoError(t, a.Won(t.Context(), Win{Epoch: 4, WinCount: 1}))
		got, err := b.Tally(t.Context(), 0)
		require.NoError(t, err)
		require.Equal(t, Tally{From: 0, To: Bucket + 1, Rounds: 24, Chance: 12, Expected: 24, Won: 12, Wins: 12, Blocks: map[State]int64{Missed: 1, Pending: 1}}, got)
		got, err = b.Tally(t.Context(), Bucket+7)
		require.NoError(t, err)
		require.Equal(t, Tally{From: Bucket, To: Bucket + 1, Rounds: 2, Chance: 1, Expected: 2, Won: 1, Wins: 1, Blocks: map[State]int64{}}, got)
	})
}

package record

import (
	"strconv"
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
		require.Equal(t, Win{Epoch: 13, WinCount: 2, State: Orphaned, Reason: "alone", Block: name("B"), Parents: key("p"), Story: []Mark{{at, "won"}}}, list[0])
		require.Equal(t, Win{Epoch: 12, WinCount: 1, State: Missed, Reason: "too late", Story: []Mark{{at, "won"}}}, list[1], "a story that is too long loses its end")
		_, ok, err := m.WinAt(t.Context(), 99)
		require.NoError(t, err)
		require.False(t, ok)
	})
}

// A block that was imported has no win of ours beside it and is listed all the same, each epoch once.
func TestWinsWithImportedBlocks(t *testing.T) {
	each(t, func(t *testing.T, open func() *DB) {
		m := open().Miner(one)
		for e := 20; e < 26; e++ { // even ones were won here, all were recorded but 24
			if e%2 == 0 {
				require.NoError(t, m.Won(t.Context(), Win{Epoch: abi.ChainEpoch(e), WinCount: 1, Reason: "no proof"}))
			}
			if e != 24 {
				require.Equal(t, guard.Fresh, propose(t, m, prop(e, "d", e-10, key(strconv.Itoa(e)), key("g"))))
			}
		}
		require.NoError(t, m.Outcome(t.Context(), 23, Landed, "", false))
		epochs := func(before abi.ChainEpoch, limit int) (out []abi.ChainEpoch) {
			list, err := m.Wins(t.Context(), before, limit)
			require.NoError(t, err)
			for _, w := range list {
				out = append(out, w.Epoch)
			}
			return out
		}
		require.Equal(t, []abi.ChainEpoch{25, 24, 23, 22, 21, 20}, epochs(0, 100))
		require.Equal(t, []abi.ChainEpoch{25, 24, 23}, epochs(0, 3))
		require.Equal(t, []abi.ChainEpoch{23, 22}, epochs(24, 2))
		require.Empty(t, epochs(20, 2))
		w, ok, err := m.WinAt(t.Context(), 23)
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, Win{Epoch: 23, WinCount: 1, State: Landed, Parents: key("23")}, w)
		w, _, err = m.WinAt(t.Context(), 24)
		require.NoError(t, err)
		require.Equal(t, Win{Epoch: 24, WinCount: 1, State: Missed, Reason: "no proof"}, w)
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

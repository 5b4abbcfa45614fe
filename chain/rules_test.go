package chain

import (
	"math/big"
	"testing"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	fbig "github.com/filecoin-project/go-state-types/big"
	"github.com/ipfs/go-cid"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/internal/vectors"
	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/types"
)

func amount(t testing.TB, s string) fbig.Int {
	t.Helper()
	n, ok := new(big.Int).SetString(s, 10)
	require.True(t, ok, s)
	return fbig.NewFromGo(n)
}

func TestWeightVectors(t *testing.T) {
	var file struct {
		Cases []struct {
			ParentWeight string `json:"parent_weight"`
			Wins         int64  `json:"sum_win_count"`
			Power        string `json:"total_qa_power"`
			Weight       string `json:"weight"`
		} `json:"cases"`
	}
	vectors.JSON(t, "chain/weights.json", &file)
	for _, c := range file.Cases {
		w, err := weight(amount(t, c.ParentWeight), c.Wins, amount(t, c.Power))
		require.NoError(t, err)
		require.Equal(t, c.Weight, w.String())
	}
	require.Len(t, file.Cases, 16)
	vectors.Count(t, "chain/weights.json", len(file.Cases))
	_, err := weight(fbig.Zero(), 1, fbig.Zero())
	require.ErrorIs(t, err, ErrNoPower)
}

func TestBaseFeeVectors(t *testing.T) {
	var fees struct {
		Cases struct {
			BaseFee []struct {
				BaseFee string `json:"base_fee"`
				Blocks  int    `json:"blocks"`
				Next    string `json:"next_base_fee"`
				Sum     int64  `json:"sum_gas_limit_unique_messages"`
			} `json:"base_fee"`
		} `json:"cases"`
	}
	vectors.JSON(t, "primitives/fees.json", &fees)
	for _, c := range fees.Cases.BaseFee {
		require.Equal(t, c.Next, BaseFeeAfter(amount(t, c.BaseFee), c.Sum, c.Blocks).String())
	}
	require.Len(t, fees.Cases.BaseFee, 200)
	vectors.Count(t, "primitives/fees.json", len(fees.Cases.BaseFee))

	var lotus struct {
		Cases []struct {
			BaseFee int64 `json:"base_fee"`
			Used    int64 `json:"gas_limit_used"`
			Blocks  int   `json:"blocks"`
			After   int64 `json:"next_after_smoke"`
		} `json:"cases"`
	}
	vectors.JSON(t, "known-answers/lotus-basefee.json", &lotus)
	for _, c := range lotus.Cases {
		require.Equal(t, c.After, BaseFeeAfter(fbig.NewInt(c.BaseFee), c.Used, c.Blocks).Int64())
	}
	require.Len(t, lotus.Cases, 3)
	vectors.Count(t, "known-answers/lotus-basefee.json", len(lotus.Cases))
	require.Equal(t, int64(params.MinimumBaseFee), BaseFeeAfter(fbig.NewInt(100), 0, 1).Int64())
}

func TestVestingRoundsTowardsRelease(t *testing.T) {
	net := params.Network{Liftoff: -6, Vesting: []params.Vesting{{Duration: 0, Amount: 10}, {Duration: 7, Amount: 1}}}
	require.Zero(t, Vested(&net, -7).Sign())
	per := fbig.Div(attoPerFIL, fbig.NewInt(7))
	for e := abi.ChainEpoch(-6); e < 1; e++ {
		locked := fbig.Mul(per, fbig.NewInt(int64(7-(e+6))))
		require.Equal(t, fbig.Sub(fbig.Mul(fbig.NewInt(11), attoPerFIL), locked).String(), Vested(&net, e).String())
	}
	require.Equal(t, fbig.Mul(fbig.NewInt(11), attoPerFIL).String(), Vested(&net, 1).String())

	m, err := params.ByName("mainnet")
	require.NoError(t, err)
	all := fbig.Zero()
	for _, v := range m.Vesting {
		all = fbig.Add(all, fbig.NewInt(v.Amount))
	}
	require.Equal(t, fbig.Mul(all, attoPerFIL).String(), Vested(&m, m.Liftoff+2190*2880).String())
}

func someCid(t testing.TB, n byte) cid.Cid {
	t.Helper()
	c, err := abi.CidBuilder.Sum([]byte{n})
	require.NoError(t, err)
	return c
}

// header makes a block that differs from others by its miner and ticket.
func header(t testing.TB, miner uint64, ticket string, height abi.ChainEpoch, parents ...cid.Cid) *types.BlockHeader {
	t.Helper()
	a, err := address.NewIDAddress(miner)
	require.NoError(t, err)
	return &types.BlockHeader{
		Miner: a, Ticket: &types.Ticket{VRFProof: []byte(ticket)}, ElectionProof: &types.ElectionProof{WinCount: 1, VRFProof: []byte{1}},
		Parents: parents, ParentWeight: fbig.Zero(), Height: height, ParentStateRoot: someCid(t, 1), ParentMessageReceipts: someCid(t, 2),
		Messages: someCid(t, 3), ParentBaseFee: fbig.NewInt(100), Timestamp: uint64(height),
	}
}

func tipset(t testing.TB, headers ...*types.BlockHeader) *types.TipSet {
	t.Helper()
	ts, err := types.NewTipSet(headers)
	require.NoError(t, err)
	return ts
}

func TestForkChoice(t *testing.T) {
	one, two := fbig.NewInt(1), fbig.NewInt(2)
	a, b := header(t, 1000, "a", 5), header(t, 1001, "b", 5)
	if b.Ticket.Less(a.Ticket) {
		a, b = b, a
	}
	small, large, both := tipset(t, a), tipset(t, b), tipset(t, a, b)
	require.True(t, Prefers(large, two, small, one), "weight decides first")
	require.False(t, Prefers(small, one, large, two))
	require.True(t, Prefers(small, one, large, one), "at equal weight the smaller ticket wins")
	require.False(t, Prefers(large, one, small, one))
	require.True(t, Prefers(both, one, large, one))
	require.False(t, Prefers(both, one, small, one), "an equal first ticket leaves the head")
	require.False(t, Prefers(small, one, both, one))
	require.False(t, Prefers(small, two, small, one))
}

package consensus

import (
	"encoding/hex"
	"math/big"
	"testing"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	fbig "github.com/filecoin-project/go-state-types/big"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/crypto"
	"github.com/filecoin-venus/venus/internal/vectors"
	"github.com/filecoin-venus/venus/types"
)

func integer(t testing.TB, s string) *big.Int {
	t.Helper()
	n, ok := new(big.Int).SetString(s, 10)
	require.True(t, ok, s)
	return n
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	require.NoError(t, err)
	return b
}

// tails lists the probabilities of more than 0, 1, ... 15 wins.
func tails(lambda *big.Int) []*big.Int {
	p := newPoisson(lambda)
	out := []*big.Int{p.tail}
	for range maxWins {
		p.next()
		out = append(out, p.tail)
	}
	return out
}

func TestPoissonVectors(t *testing.T) {
	var file struct {
		Cases struct {
			Poisson []struct {
				ExpNeg  string   `json:"exp_neg_lambda_q256"`
				Inverse []string `json:"inverse_cdf_q256"`
				Lambda  string   `json:"lambda_q256"`
				Power   string   `json:"power"`
				Total   string   `json:"total_power"`
			} `json:"poisson"`
			WinCount []struct {
				Power    string `json:"power"`
				Total    string `json:"total_power"`
				Proof    string `json:"vrf_proof"`
				WinCount int64  `json:"win_count"`
			} `json:"win_count"`
		} `json:"cases"`
	}
	vectors.JSON(t, "primitives/election-poisson.json", &file)
	for _, c := range file.Cases.Poisson {
		lambda := rate(integer(t, c.Power), integer(t, c.Total))
		require.Equal(t, c.Lambda, lambda.String())
		require.Equal(t, c.ExpNeg, expNeg(lambda).String())
		for k, tail := range tails(lambda) {
			require.Equal(t, c.Inverse[k], tail.String(), "more than %d wins", k)
		}
	}
	for _, c := range file.Cases.WinCount {
		got := WinCount(unhex(t, c.Proof), fbig.NewFromGo(integer(t, c.Power)), fbig.NewFromGo(integer(t, c.Total)))
		require.Equal(t, c.WinCount, got)
	}
	require.Len(t, file.Cases.Poisson, 40)
	require.Len(t, file.Cases.WinCount, 400)
	vectors.Count(t, "primitives/election-poisson.json", 440)
}

func TestLotusKnownAnswers(t *testing.T) {
	var exp struct {
		Cases []struct{ X, Y string } `json:"cases"`
	}
	vectors.JSON(t, "known-answers/lotus-exp-neg.json", &exp)
	for _, c := range exp.Cases {
		require.Equal(t, c.Y, expNeg(integer(t, c.X)).String(), "exp(-%s)", c.X)
	}
	require.Len(t, exp.Cases, 128)
	vectors.Count(t, "known-answers/lotus-exp-neg.json", len(exp.Cases))

	var lambda struct {
		Cases []struct {
			Power, Total string
			Lambda       string `json:"lambda_q256"`
		} `json:"cases"`
	}
	vectors.JSON(t, "known-answers/lotus-lambda.json", &lambda)
	for _, c := range lambda.Cases {
		require.Equal(t, c.Lambda, rate(integer(t, c.Power), integer(t, c.Total)).String())
	}
	vectors.Count(t, "known-answers/lotus-lambda.json", len(lambda.Cases))

	var pois struct {
		Cases []struct {
			Numerator string   `json:"lambda_numerator"`
			Shift     uint     `json:"lambda_shift"`
			Inverse   []string `json:"inverse_cdf_q256"`
		} `json:"cases"`
	}
	vectors.JSON(t, "known-answers/lotus-poisson.json", &pois)
	for _, c := range pois.Cases {
		lambda := new(big.Int).Lsh(integer(t, c.Numerator), fraction-c.Shift)
		for k, tail := range tails(lambda) {
			require.Equal(t, c.Inverse[k], tail.String())
		}
	}
	require.Len(t, pois.Cases, 3)
	vectors.Count(t, "known-answers/lotus-poisson.json", len(pois.Cases))
}

func blsAddress(t testing.TB, key string) address.Address {
	t.Helper()
	a, err := address.NewBLSAddress(unhex(t, key))
	require.NoError(t, err)
	return a
}

// minerOf reads the entropy of the vectors, which is the CBOR of the miner's address.
func minerOf(t testing.TB, entropy string) address.Address {
	t.Helper()
	a, err := address.NewFromBytes(unhex(t, entropy)[1:])
	require.NoError(t, err)
	return a
}

type vrfCase struct {
	BeaconData string         `json:"beacon_data"`
	Entropy    string         `json:"entropy"`
	Height     abi.ChainEpoch `json:"height"`
	PublicKey  string         `json:"public_key"`
	Base       string         `json:"vrf_base"`
	Proof      string         `json:"vrf_proof"`
	Valid      bool           `json:"valid"`
	MinerPower string         `json:"miner_power"`
	TotalPower string         `json:"total_power"`
	WinCount   int64          `json:"win_count"`
	WinPost    string         `json:"winning_post_randomness"`
}

func TestTicketVectors(t *testing.T) {
	var file struct {
		Cases []vrfCase `json:"cases"`
	}
	vectors.JSON(t, "chain/tickets.json", &file)
	for _, c := range file.Cases {
		beacon := types.BeaconEntry{Data: unhex(t, c.BeaconData)}
		base, err := TicketBase(beacon, c.Height, minerOf(t, c.Entropy), nil) // before Smoke, without the parent's ticket
		require.NoError(t, err)
		require.Equal(t, c.Base, hex.EncodeToString(base))
		require.Equal(t, c.Valid, crypto.VerifyVRF(blsAddress(t, c.PublicKey), base, unhex(t, c.Proof)) == nil)
		base[0] ^= 1
		require.Error(t, crypto.VerifyVRF(blsAddress(t, c.PublicKey), base, unhex(t, c.Proof)))
	}
	require.Len(t, file.Cases, 24)
	vectors.Count(t, "chain/tickets.json", len(file.Cases))
}

func TestElectionProofVectors(t *testing.T) {
	var file struct {
		Cases []vrfCase `json:"cases"`
	}
	vectors.JSON(t, "chain/election-proofs.json", &file)
	for _, c := range file.Cases {
		beacon := types.BeaconEntry{Data: unhex(t, c.BeaconData)}
		miner := minerOf(t, c.Entropy)
		base, err := ElectionBase(beacon, c.Height, miner)
		require.NoError(t, err)
		require.Equal(t, c.Base, hex.EncodeToString(base))
		require.Equal(t, c.Valid, crypto.VerifyVRF(blsAddress(t, c.PublicKey), base, unhex(t, c.Proof)) == nil)
		require.Equal(t, c.WinCount, WinCount(unhex(t, c.Proof), fbig.NewFromGo(integer(t, c.MinerPower)), fbig.NewFromGo(integer(t, c.TotalPower))))
		seed, err := WinningPoStRandomness(beacon, c.Height, miner)
		require.NoError(t, err)
		want := unhex(t, c.WinPost)
		require.Equal(t, want[:31], []byte(seed[:31]))
		require.Equal(t, want[31]&0x3f, seed[31])
	}
	require.Len(t, file.Cases, 24)
	vectors.Count(t, "chain/election-proofs.json", len(file.Cases))
}

func TestWinCountBounds(t *testing.T) {
	one, none := fbig.NewInt(1), fbig.Zero()
	require.Zero(t, WinCount([]byte("x"), none, one))
	require.Zero(t, WinCount([]byte("x"), one, none))
	require.Zero(t, WinCount([]byte("x"), one, fbig.NewInt(-1)))
	// A whole network in one hand expects five wins an epoch.
	total, n := int64(0), 2000
	for i := range n {
		w := WinCount([]byte{byte(i), byte(i >> 8)}, fbig.NewInt(7), fbig.NewInt(7))
		require.LessOrEqual(t, w, int64(maxWins))
		total += w
	}
	require.InDelta(t, 5.0, float64(total)/float64(n), 0.2)
}

func TestWinningIndexCoversTheSet(t *testing.T) {
	seen := map[uint64]int{}
	for i := range 400 {
		seen[winningIndex([]byte{byte(i), byte(i >> 8)}, 1000, 7)]++
	}
	require.Len(t, seen, 7)
	require.NotEqual(t, winningIndex(make([]byte, 32), 1000, 1<<40), winningIndex(make([]byte, 32), 1001, 1<<40))
}

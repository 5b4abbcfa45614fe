package mining

import (
	"context"
	"encoding/hex"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/proof"
	"github.com/stretchr/testify/require"

	miningapi "github.com/filecoin-venus/venus/api/mining"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/proofs/prove"
	"github.com/filecoin-venus/venus/proofs/seal"
	"github.com/filecoin-venus/venus/sealer/sealertest"
)

// knows is a verifier of the fake sealers' proofs.
type knows struct{ blind atomic.Bool }

func (k *knows) VerifyWinningPoSt(_ context.Context, i proof.WinningPoStVerifyInfo) (bool, error) {
	if k.blind.Load() {
		return false, errors.New("a verifying key is missing")
	}
	return i.Prover == 1000 && len(i.ChallengedSectors) == 1 && string(i.Proofs[0].ProofBytes) == hex.EncodeToString(i.Randomness), nil
}

// lies is a sealer whose proofs are of another challenge while told so.
type lies struct {
	prover
	now atomic.Bool
}

func (l *lies) ComputeProof(ctx context.Context, sectors []proof.ExtendedSectorInfo, r abi.PoStRandomness) ([]proof.PoStProof, error) {
	if l.now.Load() {
		r = append(abi.PoStRandomness{1}, r[1:]...)
	}
	return l.prover.ComputeProof(ctx, sectors, r)
}

// A wrong proof costs the win, with the reason in the miner's state and in the win's story, and never a signature; one of
// another sealer is used instead.
func TestWrongProofNeverGoesIntoABlock(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := newStage(t, []int64{100}, 0)
		a, b, judge := new(lies), new(lies), new(knows)
		a.actor, b.actor = first, first
		checked := func(p Prover) Prover {
			c, err := Checked(p, judge, first)
			require.NoError(t, err)
			return c
		}
		s.serve(func(miningapi.MinerSpec) (Services, error) {
			sealers := NewSealers(clock.Real(), testDelay/3, NamedProver{"a", checked(a)}, NamedProver{"b", checked(b)})
			return Services{Wallet: s.wallet, Sealer: sealers, Close: func() {}}, nil
		})
		require.NoError(t, s.AddAddress(t.Context(), miningapi.MinerSpec{Addr: first}))
		s.pass(10.5) // past the watermark of a new record
		a.now.Store(true)
		s.pass(3)
		signed := s.wallet.onlyOnce(t)
		require.GreaterOrEqual(t, len(s.ownHeights(first)), signed-1, "the other sealer's proofs are used")
		require.Positive(t, signed)

		b.now.Store(true)
		s.pass(4)
		require.LessOrEqual(t, s.wallet.onlyOnce(t), signed+1, "the block of a round that was proven before")
		states, err := s.StatesForMining(t.Context(), nil)
		require.NoError(t, err)
		require.Contains(t, states[0].Err, "sealer b: the winning proof does not hold for sector 1")
		wins, err := s.WinList(t.Context(), address.Undef, 0, 100)
		require.NoError(t, err)
		missed := 0
		for _, w := range wins {
			if w.State == "missed" {
				missed++
				require.Contains(t, w.Why, "sealer a: the winning proof does not hold for sector 1")
				require.Contains(t, w.Why, "proving check --slow")
			}
		}
		require.GreaterOrEqual(t, missed, 2)

		b.now.Store(false)
		s.pass(3)
		require.Greater(t, s.wallet.onlyOnce(t), signed+1, "it goes on by itself")
		a.now.Store(true)
		b.now.Store(true)
		judge.blind.Store(true)
		before := s.wallet.onlyOnce(t)
		s.pass(3)
		require.Greater(t, s.wallet.onlyOnce(t), before, "who cannot tell stands in nobody's way")
	})
}

// serves is a node as far as it tells its network.
type serves struct {
	network *params.Network
	err     error
	asked   int
}

func (s *serves) StateNetwork(context.Context) (*params.Network, error) {
	s.asked++
	return s.network, s.err
}

// proven is a sealed sector with a real winning proof on the network local.
func proven(t testing.TB) proof.WinningPoStVerifyInfo {
	network, err := params.ByName("local")
	require.NoError(t, err)
	backend, err := prove.New(network, prove.Trapdoor)
	require.NoError(t, err)
	root := t.TempDir()
	commR, err := sealertest.Seal(t.Context(), root, 7, make([]byte, 32))
	require.NoError(t, err)
	s := seal.New(seal.Config{Prover: backend})
	defer s.Close()
	id := abi.SectorID{Miner: sealertest.MinerID, Number: 7}
	sec := seal.Sector{ID: id, Proof: abi.RegisteredSealProof_StackedDrg2KiBV1_1}
	random := make(abi.PoStRandomness, 32)
	proofs, err := s.WinningPoSt(t.Context(), id.Miner, []seal.SectorRef{{Sector: sec, SealedCID: commR, Paths: seal.PathsIn(root, id)}}, random)
	require.NoError(t, err)
	return proof.WinningPoStVerifyInfo{
		Randomness: random, Proofs: proofs, Prover: id.Miner,
		ChallengedSectors: []proof.SectorInfo{{SealProof: sec.Proof, SectorNumber: 7, SealedCID: commR}},
	}
}

// Proofs are judged with the keys of the network that a node serves, which is asked once; nothing is held against a proof
// while no node tells, or one of another network.
func TestJudge(t *testing.T) {
	t.Setenv("FIL_PROOFS_PARAMETER_CACHE", t.TempDir())
	network, err := params.ByName("local")
	require.NoError(t, err)
	mainnet, err := params.ByName("mainnet")
	require.NoError(t, err)
	info := proven(t)
	away, other, good := &serves{err: errors.New("connection refused")}, &serves{network: &mainnet}, &serves{network: &network}
	j := &judge{name: "local", nodes: []networkSource{away, other}}
	_, err = j.VerifyWinningPoSt(t.Context(), info)
	require.ErrorContains(t, err, "connection refused")
	require.ErrorContains(t, err, `it serves "testnetnet", not "local"`)

	j.nodes = append(j.nodes, good)
	for range 2 {
		ok, err := j.VerifyWinningPoSt(t.Context(), info)
		require.NoError(t, err)
		require.True(t, ok)
	}
	require.Equal(t, 1, good.asked)
	for what, spoil := range map[string]func(*proof.WinningPoStVerifyInfo){
		"another challenge": func(i *proof.WinningPoStVerifyInfo) {
			i.Randomness = append(abi.PoStRandomness{1}, i.Randomness[1:]...)
		},
		"another sector": func(i *proof.WinningPoStVerifyInfo) { i.ChallengedSectors[0].SectorNumber++ },
		"no proof":       func(i *proof.WinningPoStVerifyInfo) { i.Proofs = []proof.PoStProof{{ProofBytes: []byte("proof")}} },
	} {
		bad := info
		bad.ChallengedSectors = append([]proof.SectorInfo{}, info.ChallengedSectors...)
		spoil(&bad)
		ok, err := j.VerifyWinningPoSt(t.Context(), bad)
		require.NoError(t, err, what)
		require.False(t, ok, what)
	}
}

// BenchmarkJudge is what a win waits for longer: one verification.
func BenchmarkJudge(b *testing.B) {
	network, err := params.ByName("local")
	require.NoError(b, err)
	info := proven(b)
	j := &judge{name: "local", nodes: []networkSource{&serves{network: &network}}}
	b.ResetTimer()
	worst := time.Duration(0)
	for b.Loop() {
		began := clock.Real().Now()
		ok, err := j.VerifyWinningPoSt(b.Context(), info)
		require.NoError(b, err)
		require.True(b, ok)
		worst = max(worst, clock.Real().Now().Sub(began))
	}
	b.ReportMetric(worst.Seconds()*1000, "ms/first") // keys come from the cache or the seed
}

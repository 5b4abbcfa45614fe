package state

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"io"
	"testing"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-bitfield"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/miner"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/power"
	"github.com/filecoin-project/specs-actors/v7/actors/util/smoothing"
	"github.com/ipfs/go-cid"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/internal/vectors"
	"github.com/filecoin-venus/venus/ipld"
)

// recorded opens the start states of a recorded run of actors v7.
func recorded(t *testing.T, name string) []*View {
	t.Helper()
	var file struct {
		Segments []struct {
			CAR  string `json:"start_state_car_gz"`
			Root string `json:"start_root"`
		} `json:"segments"`
	}
	vectors.JSON(t, name, &file)
	var out []*View
	for _, s := range file.Segments {
		packed, err := base64.StdEncoding.DecodeString(s.CAR)
		require.NoError(t, err)
		zr, err := gzip.NewReader(bytes.NewReader(packed))
		require.NoError(t, err)
		raw, err := io.ReadAll(zr)
		require.NoError(t, err)
		store := ipld.NewMemory()
		_, err = ipld.ReadCAR(context.Background(), bytes.NewReader(raw), store)
		require.NoError(t, err)
		root, err := cid.Decode(s.Root)
		require.NoError(t, err)
		out = append(out, NewView(ipld.NewStore(context.Background(), store), root))
	}
	return out
}

func count(t *testing.T, b bitfield.BitField) uint64 {
	t.Helper()
	n, err := b.Count()
	require.NoError(t, err)
	return n
}

// within demands a to be a subset of b.
func within(t *testing.T, a, b bitfield.BitField) {
	t.Helper()
	rest, err := bitfield.SubtractBitField(a, b)
	require.NoError(t, err)
	require.Zero(t, count(t, rest))
}

// The parts of the recorded states must agree with each other, whatever way they are asked for.
func TestViewOfRecordedStates(t *testing.T) {
	ctx := context.Background()
	miners, sectors, states := 0, 0, 0
	for _, name := range vectors.Glob(t, "actors-v7/chain/s*.json.gz") {
		for _, v := range recorded(t, name) {
			states++
			list, err := v.Miners(ctx)
			require.NoError(t, err)
			sum := big.Zero()
			for _, m := range list {
				miners++
				p, err := v.MinerPower(ctx, m)
				require.NoError(t, err)
				ok, err := v.HasMinPower(ctx, m)
				require.NoError(t, err)
				if ok {
					sum = big.Add(sum, p.QualityAdjPower)
				}
				sectors += checkMiner(t, v, m, p)
			}
			total, err := v.TotalPower(ctx)
			require.NoError(t, err)
			st, err := v.PowerState(ctx)
			require.NoError(t, err)
			if st.MinerAboveMinPowerCount >= 4 {
				require.Equal(t, total.QualityAdjPower.String(), sum.String(), name)
			}
			checkMoney(t, v)
		}
	}
	require.Positive(t, sectors)
	t.Logf("%d states, %d miners, %d sectors", states, miners, sectors)
}

func checkMiner(t *testing.T, v *View, m address.Address, claim Power) int {
	t.Helper()
	ctx := context.Background()
	info, err := v.MinerInfo(ctx, m)
	require.NoError(t, err)
	worker, err := v.MinerWorkerKey(ctx, m)
	require.NoError(t, err)
	id, err := v.LookupID(ctx, worker)
	require.NoError(t, err)
	require.Equal(t, info.Worker, id)
	robust, err := v.RobustAddress(ctx, m)
	require.NoError(t, err)
	back, err := v.LookupID(ctx, robust)
	require.NoError(t, err)
	require.Equal(t, m, back)

	live, err := v.LiveSectors(ctx, m)
	require.NoError(t, err)
	active, err := v.ActiveSectors(ctx, m)
	require.NoError(t, err)
	faulty, err := v.FaultySectors(ctx, m)
	require.NoError(t, err)
	recovering, err := v.RecoveringSectors(ctx, m)
	require.NoError(t, err)
	within(t, active, live)
	within(t, faulty, live)
	within(t, recovering, faulty)
	raw := big.NewIntUnsigned(count(t, active) * uint64(info.SectorSize))
	require.Equal(t, claim.RawBytePower.String(), raw.String(), "power is what active sectors give")

	infos, err := v.Sectors(ctx, m, &live)
	require.NoError(t, err)
	for _, s := range infos {
		one, found, err := v.Sector(ctx, m, s.SectorNumber)
		require.NoError(t, err)
		require.True(t, found)
		require.Equal(t, s.SealedCID, one.SealedCID)
	}
	if len(infos) > 0 {
		dl, part, err := v.SectorLocation(ctx, m, infos[0].SectorNumber)
		require.NoError(t, err)
		d, err := v.Deadline(ctx, m, dl)
		require.NoError(t, err)
		in, err := d.Partitions[part].All.IsSet(uint64(infos[0].SectorNumber))
		require.NoError(t, err)
		require.True(t, in)
		used, err := v.SectorAllocated(ctx, m, infos[0].SectorNumber)
		require.NoError(t, err)
		require.True(t, used)
	}
	_, found, err := v.Sector(ctx, m, abi.MaxSectorNumber)
	require.NoError(t, err)
	require.False(t, found)
	_, found, err = v.PreCommit(ctx, m, abi.MaxSectorNumber)
	require.NoError(t, err)
	require.False(t, found)
	return len(infos)
}

func checkMoney(t *testing.T, v *View) {
	t.Helper()
	ctx := context.Background()
	parts, err := v.SupplyParts(ctx)
	require.NoError(t, err)
	for _, a := range []abi.TokenAmount{parts.Mined, parts.Burnt, parts.Locked, parts.Reserve} {
		require.GreaterOrEqual(t, a.Sign(), 0)
	}
	none, err := v.MarketBalance(ctx, builtin.SystemActorAddr)
	require.NoError(t, err)
	require.Zero(t, none.Escrow.Sign()+none.Locked.Sign())
	_, _, found, err := v.Deal(ctx, 1<<40)
	require.NoError(t, err)
	require.False(t, found)
}

func TestViewNamesWhatIsMissing(t *testing.T) {
	ctx := context.Background()
	v := recorded(t, "actors-v7/chain/scenario-TestCommitPoStFlow.json.gz")[0]
	nobody, err := address.NewIDAddress(424242)
	require.NoError(t, err)
	_, err = v.Actor(ctx, nobody)
	require.ErrorIs(t, err, ErrActorNotFound)
	_, err = v.MinerInfo(ctx, nobody)
	require.ErrorIs(t, err, ErrActorNotFound)
	_, err = v.MinerInfo(ctx, builtin.RewardActorAddr)
	require.ErrorIs(t, err, ErrWrongActor)
	_, err = v.ResolveToKey(ctx, builtin.RewardActorAddr)
	require.ErrorIs(t, err, ErrWrongActor)
	_, err = v.MinerPower(ctx, nobody)
	require.ErrorIs(t, err, ErrNoClaim)
	_, err = v.HasMinPower(ctx, nobody)
	require.ErrorIs(t, err, ErrNoClaim)
	ok, err := v.EligibleToMine(ctx, nobody, 5)
	require.NoError(t, err)
	require.False(t, ok)
	balance, err := v.Balance(ctx, nobody)
	require.NoError(t, err)
	require.Zero(t, balance.Sign())
	empty := NewView(ipld.NewStore(ctx, ipld.NewMemory()), v.Root())
	_, err = empty.Actor(ctx, nobody)
	require.ErrorIs(t, err, ipld.ErrNotFound, "a state that is not at hand is no fact about actors")
}

// withEstimate is a state with another estimate of the network's power.
func withEstimate(t *testing.T, v *View, e smoothing.FilterEstimate) *View {
	t.Helper()
	pow, err := v.PowerState(t.Context())
	require.NoError(t, err)
	pow.ThisEpochQAPowerSmoothed = e
	tree, err := Load(t.Context(), v.store, v.Root())
	require.NoError(t, err)
	act, err := tree.GetActor(t.Context(), builtin.StoragePowerActorAddr)
	require.NoError(t, err)
	changed := *act
	changed.Head, err = v.store.Put(t.Context(), pow)
	require.NoError(t, err)
	require.NoError(t, tree.SetActor(t.Context(), builtin.StoragePowerActorAddr, &changed))
	root, err := tree.Flush(t.Context())
	require.NoError(t, err)
	return NewView(v.store, root)
}

// Whatever the actors' filter makes of the power of a network that is far smaller than it begins with, also below zero and on its
// way through it, an offer has a deposit of at least one attoFIL, and a pledge between that and the cap.
func TestPledgeOfAnyEstimate(t *testing.T) {
	v := recorded(t, "actors-v7/chain/scenario-TestCommitPoStFlow.json.gz")[0]
	miners, err := v.Miners(t.Context())
	require.NoError(t, err)
	const now, size = 100, 32 << 30
	offer := SectorOffer{Proof: abi.RegisteredSealProof_StackedDrg32GiBV1_1, Expiration: now + 540*builtin.EpochsInDay}
	atto, most := big.NewInt(1), big.Mul(miner.InitialPledgeMaxPerByte, big.NewInt(size))
	low, high := 0, 0
	holds := func(e smoothing.FilterEstimate) {
		t.Helper()
		view := withEstimate(t, v, e)
		deposit, err := view.PreCommitDeposit(t.Context(), miners[0], offer, now)
		require.NoError(t, err)
		require.True(t, deposit.GreaterThanEqual(atto), "deposit %s of %v", deposit, e)
		if deposit.Equals(atto) {
			low++
		} else {
			high++
		}
		for _, supply := range []big.Int{big.Zero(), builtin.TotalFilecoin} {
			pledge, err := view.InitialPledge(t.Context(), miners[0], offer, now, supply)
			require.NoError(t, err)
			require.True(t, pledge.GreaterThanEqual(atto) && pledge.LessThanEqual(most), "pledge %s of %v", pledge, e)
		}
	}
	e := smoothing.NewEstimate(power.InitialQAPowerEstimatePosition, power.InitialQAPowerEstimateVelocity)
	negative := false
	for epoch := range 50_000 {
		before := e.PositionEstimate.Sign()
		e = smoothing.LoadFilter(e, smoothing.DefaultAlpha, smoothing.DefaultBeta).NextEstimate(big.NewInt(40<<10), 1)
		negative = negative || e.PositionEstimate.Sign() < 0
		if epoch%500 == 0 || e.PositionEstimate.Sign() != before {
			holds(e)
		}
	}
	require.True(t, negative && low > 10 && high > 10, "the sweep passes through zero: %d low, %d high", low, high)

	unit := big.Lsh(big.NewInt(1), 128) // one byte
	period := int64(miner.PreCommitDepositProjectionPeriod)
	for _, position := range []big.Int{big.Zero(), atto, atto.Neg(), unit, unit.Neg(), big.Mul(unit, big.NewInt(-size)), big.Mul(unit, big.NewInt(period))} {
		for _, velocity := range []big.Int{big.Zero(), atto, atto.Neg(), unit, unit.Neg(), big.Mul(unit, big.NewInt(size))} {
			holds(smoothing.FilterEstimate{PositionEstimate: position, VelocityEstimate: velocity})
		}
	}
}

// TestKeptView: a view that keeps what it read answers as another does, again and again, whatever its callers do with the answers.
func TestKeptView(t *testing.T) {
	ctx := t.Context()
	plain := recorded(t, "actors-v7/chain/scenario-TestCommitPoStFlow.json.gz")[0]
	kept := NewKeptView(plain.store, plain.Root())
	miners, err := plain.Miners(ctx)
	require.NoError(t, err)
	require.NotEmpty(t, miners)
	for range 3 {
		want, err := plain.PowerState(ctx)
		require.NoError(t, err)
		got, err := kept.PowerState(ctx)
		require.NoError(t, err)
		require.Equal(t, want, got)
		got.MinerCount, got.TotalRawBytePower = -1, abi.NewStoragePower(5)
		for _, m := range miners {
			want, err := plain.MinerInfo(ctx, m)
			require.NoError(t, err)
			got, err := kept.MinerInfo(ctx, m)
			require.NoError(t, err)
			require.Equal(t, want, got)
			got.Worker, got.SectorSize = m, 1
			_, err = kept.ResolveToKey(ctx, m)
			require.ErrorIs(t, err, ErrWrongActor)
			mayMine, err := plain.EligibleToMine(ctx, m, 5)
			require.NoError(t, err)
			ok, err := kept.EligibleToMine(ctx, m, 5)
			require.NoError(t, err)
			require.Equal(t, mayMine, ok)
		}
	}
	lost := NewKeptView(ipld.NewStore(ctx, ipld.NewMemory()), plain.Root())
	for range 2 {
		_, err = lost.PowerState(ctx)
		require.ErrorIs(t, err, ipld.ErrNotFound)
	}
}

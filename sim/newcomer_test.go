package sim

import (
	"bytes"
	"context"
	"testing"

	"github.com/filecoin-project/go-address"
	commcid "github.com/filecoin-project/go-fil-commcid"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/go-state-types/cbor"
	gscrypto "github.com/filecoin-project/go-state-types/crypto"
	"github.com/filecoin-project/go-state-types/proof"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/miner"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/power"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/chain"
	"github.com/filecoin-venus/venus/proofs/commp"
	"github.com/filecoin-venus/venus/types"
)

// journey drives one newcomer through the chain.
type journey struct {
	*World
	t   *testing.T
	ctx context.Context
	m   *Miner
}

func (j *journey) step() {
	j.t.Helper()
	_, err := j.Step(j.ctx)
	require.NoError(j.t, err)
}

// call sends a message of the newcomer and returns its receipt once it is on chain.
func (j *journey) call(to address.Address, fil int64, method abi.MethodNum, args cbor.Marshaler) *chain.Found {
	j.t.Helper()
	var body bytes.Buffer
	require.NoError(j.t, args.MarshalCBOR(&body))
	sm, err := j.pool.add(j.m.Key, message(to, big.Mul(big.NewInt(fil), oneFIL()), method, body.Bytes(), 1_000_000_000))
	require.NoError(j.t, err)
	return j.wait(sm)
}

func (j *journey) wait(sm *types.SignedMessage) *chain.Found {
	j.t.Helper()
	for range 20 {
		j.step()
		_, err := j.Store.Message(j.ctx, sm.Cid())
		if err != nil {
			continue
		}
		found, err := j.Store.SearchMessage(j.ctx, j.Store.Head(), sm.Cid(), 5, false)
		require.NoError(j.t, err)
		if found != nil {
			require.Zero(j.t, found.Receipt.ExitCode, "message to %s method %d", sm.Message.To, sm.Message.Method)
			return found
		}
	}
	j.t.Fatalf("message to %s never landed", sm.Message.To)
	return nil
}

// seal pre-commits and proves one sector, and returns the epoch at which it was proven.
func (j *journey) seal(n abi.SectorNumber) abi.ChainEpoch {
	j.t.Helper()
	t, ctx := j.t, j.ctx
	kind, err := j.Net.SealProof(sectorSize)
	require.NoError(t, err)
	c := digest("newcomer", number(uint64(n)))[:32]
	c[31] &= 0x3f
	sealed, err := commcid.ReplicaCommitmentV1ToCID(c)
	require.NoError(t, err)
	unsealed, err := commp.UnsealedCID(kind, nil)
	require.NoError(t, err)
	ticketEpoch := j.Store.Head().Height() - j.Net.SealRandomnessLookback
	pre := j.call(j.m.ID, 10, builtin.MethodsMiner.PreCommitSector, &miner.PreCommitSectorParams{
		SealProof: kind, SectorNumber: n, SealedCID: sealed, SealRandEpoch: ticketEpoch,
		Expiration: j.Store.Head().Height() + miner.MinSectorExpiration + 5*j.Net.ProvingPeriod() + j.Net.MaxProveCommitDuration,
	})
	info, found, err := j.Store.View(pre.Executed.ParentState()).PreCommit(ctx, j.m.ID, n)
	require.NoError(t, err)
	require.True(t, found)
	seed := info.PreCommitEpoch + j.Net.PreCommitChallengeDelay
	for j.Store.Head().Height() <= seed {
		j.step()
	}
	var entropy bytes.Buffer
	require.NoError(t, j.m.ID.MarshalCBOR(&entropy))
	rand := j.Exec.Randomness(j.Store.Head())
	ticket, err := rand.TicketRandomness(ctx, gscrypto.DomainSeparationTag_SealRandomness, ticketEpoch, entropy.Bytes())
	require.NoError(t, err)
	interactive, err := rand.BeaconRandomness(ctx, gscrypto.DomainSeparationTag_InteractiveSealChallengeSeed, seed, entropy.Bytes())
	require.NoError(t, err)
	p := sealProof(proof.SealVerifyInfo{
		SectorID: abi.SectorID{Miner: j.m.Actor, Number: n}, Randomness: ticket, InteractiveRandomness: interactive, SealedCID: sealed, UnsealedCID: unsealed,
	})
	done := j.call(j.m.ID, 10, builtin.MethodsMiner.ProveCommitSector, &miner.ProveCommitSectorParams{SectorNumber: n, Proof: p})
	_, found, err = j.Store.View(done.Executed.ParentState()).Sector(ctx, j.m.ID, n)
	require.NoError(t, err)
	require.True(t, found, "the sector is proven in the same epoch's cron")
	return done.Included.Height()
}

// A stranger becomes a miner: money, actor, pre-commit, prove-commit, window proof, power, a block. The local network
// promises that the proof comes within 20 minutes and the block within 25; an epoch there is a second.
func TestNewcomerWinsABlock(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w, err := NewWorld(ctx, Config{Miners: 1, Seed: 17, Quiet: true})
	require.NoError(t, err)
	defer w.Exec.Close()
	key, err := newKey(gscrypto.SigTypeBLS, 17, "newcomer")
	require.NoError(t, err)
	j := &journey{World: w, t: t, ctx: ctx, m: &Miner{Key: key, sent: map[abi.ChainEpoch]*postRecord{}}}
	pay, err := w.Send(w.Faucet, key.Address, big.Mul(big.NewInt(1000), oneFIL()))
	require.NoError(t, err)
	j.wait(pay)

	window, err := abi.RegisteredSealProof_StackedDrg2KiBV1_1.RegisteredWindowPoStProof()
	require.NoError(t, err)
	made := j.call(builtin.StoragePowerActorAddr, 0, builtin.MethodsPower.CreateMiner, &power.CreateMinerParams{
		Owner: key.Address, Worker: key.Address, WindowPoStProofType: window, Peer: []byte("peer"),
	})
	var ret power.CreateMinerReturn
	require.NoError(t, ret.UnmarshalCBOR(bytes.NewReader(made.Receipt.Return)))
	id, err := address.IDFromAddress(ret.IDAddress)
	require.NoError(t, err)
	j.m.ID, j.m.Actor = ret.IDAddress, abi.ActorID(id)
	j.m.stats = MinerReport{Miner: j.m.ID, Sectors: 1}

	start := w.epoch
	proven := j.seal(0)
	w.Miners = append(w.Miners, j.m)
	var power, won abi.ChainEpoch
	for won == 0 && w.epoch < start+2000 {
		j.step()
		p, err := w.Store.View(w.Store.Head().ParentState()).MinerPower(ctx, j.m.ID)
		require.NoError(t, err)
		if power == 0 && p.RawBytePower.Sign() > 0 {
			power = w.epoch
			require.Equal(t, uint64(sectorSize), p.RawBytePower.Uint64())
		}
		if j.m.stats.Blocks > 0 {
			won = w.epoch
		}
	}
	require.NotZero(t, won, "the newcomer never won a block")
	r, err := w.Report(ctx)
	require.NoError(t, err)
	require.Zero(t, r.Failed)
	require.Zero(t, r.Miners[1].Faulty)
	t.Logf("sealing began at epoch %d, proven at %d, power at %d (+%d), first block at %d (+%d)", start, proven, power, power-start, won, won-start)
	require.LessOrEqual(t, int64(power-start), int64(20*60))
	require.LessOrEqual(t, int64(won-start), int64(25*60))
}

package genesis

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"testing"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/account"
	init7 "github.com/filecoin-project/specs-actors/v7/actors/builtin/init"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/market"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/miner"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/power"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/reward"
	"github.com/filecoin-project/specs-actors/v7/actors/util/adt"
	"github.com/ipfs/go-cid"
	cbornode "github.com/ipfs/go-ipld-cbor"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/stretchr/testify/require"
	cbg "github.com/whyrusleeping/cbor-gen"

	"github.com/filecoin-venus/venus/internal/vectors"
	"github.com/filecoin-venus/venus/ipld"
	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/types"
)

const butterfly = "butterfly"

// butterflyNetwork has the parameters that butterflynet's genesis of September
// 2021 was made with.
func butterflyNetwork() (params.Network, error) {
	n, err := params.ByName("2k")
	if err != nil {
		return n, err
	}
	n.Name, n.GenesisName = butterfly, "butterflynet"
	n.MinConsensusPower, n.MinVerifiedDealSize = big.NewInt(2<<30), big.NewInt(1<<20)
	n.SectorSizes = []abi.SectorSize{512 << 20, 32 << 30, 64 << 30}
	n.PreCommitChallengeDelay = 150
	return n, nil
}

func TestButterflyProcess(t *testing.T) {
	vectors.Dir(t)
	cmd := exec.Command(os.Args[0], "-test.run=^TestButterflyRebuilt$", "-test.v")
	cmd.Env = append(os.Environ(), policyEnv+"="+butterfly)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "--- PASS: TestButterflyRebuilt")
}

// TestButterflyRebuilt takes a real genesis (actors v5) apart into a template,
// builds it with actors v7, and compares every part of the state whose form did
// not change in between.
func TestButterflyRebuilt(t *testing.T) {
	if policyNetwork() != butterfly {
		t.Skip("runs in a process that follows butterflynet's policy: see TestButterflyProcess")
	}
	ctx := context.Background()
	old := ipld.NewMemory()
	real, err := LoadCAR(ctx, bytes.NewReader(vectors.Bytes(t, "genesis/butterflynet-2021-09-30.car.gz")), old)
	require.NoError(t, err)
	tmpl := takeApart(t, old, real)
	ours, bs := build(t, tmpl)
	was, is := real.ParentStateRoot, ours.ParentStateRoot

	var oldMarket, newMarket market.State
	oldFunds := readState(t, old, was, builtin.StorageMarketActorAddr, &oldMarket)
	newFunds := readState(t, bs, is, builtin.StorageMarketActorAddr, &newMarket)
	require.Equal(t, oldFunds, newFunds)
	require.Equal(t, oldMarket.Proposals, newMarket.Proposals)
	require.Equal(t, oldMarket.States, newMarket.States)
	require.Equal(t, oldMarket.EscrowTable, newMarket.EscrowTable)
	require.Equal(t, oldMarket.LockedTable, newMarket.LockedTable)
	require.Equal(t, oldMarket.NextID, newMarket.NextID)

	var oldPower, newPower power.State
	readState(t, old, was, builtin.StoragePowerActorAddr, &oldPower)
	readState(t, bs, is, builtin.StoragePowerActorAddr, &newPower)
	require.Equal(t, oldPower.Claims, newPower.Claims)
	require.Equal(t, oldPower.CronEventQueue, newPower.CronEventQueue)
	require.EqualValues(t, 6*480, newPower.TotalPledgeCollateral.Int64(), "one attoFIL for each sector since actors v6")
	newPower.TotalPledgeCollateral = oldPower.TotalPledgeCollateral
	require.Equal(t, oldPower, newPower)

	var oldReward, newReward reward.State
	readState(t, old, was, builtin.RewardActorAddr, &oldReward)
	readState(t, bs, is, builtin.RewardActorAddr, &newReward)
	require.Equal(t, oldReward, newReward)

	var oldInit, newInit init7.State
	readState(t, old, was, builtin.InitActorAddr, &oldInit)
	readState(t, bs, is, builtin.InitActorAddr, &newInit)
	require.Equal(t, oldInit, newInit, "keys, miners' addresses and next ID")

	compareBalances(t, old, was, bs, is)
	for i := range tmpl.Miners {
		compareMiner(t, old, was, bs, is, tmpl.Miners[i].ID)
	}
}

func compareBalances(t *testing.T, old ipld.Blockstore, was cid.Cid, bs ipld.Blockstore, is cid.Cid) {
	t.Helper()
	ctx := context.Background()
	ours := openTree(t, bs, is)
	n := 0
	require.NoError(t, openTree(t, old, was).ForEach(ctx, func(a address.Address, act *types.Actor) error {
		n++
		got, err := ours.GetActor(ctx, a)
		require.NoError(t, err)
		require.Equal(t, act.Balance, got.Balance, "%s", a)
		require.Equal(t, act.Nonce, got.Nonce, "%s", a)
		return nil
	}))
	require.NoError(t, ours.ForEach(ctx, func(address.Address, *types.Actor) error { n--; return nil }))
	require.Zero(t, n)
}

func compareMiner(t *testing.T, old ipld.Blockstore, was cid.Cid, bs ipld.Blockstore, is cid.Cid, id address.Address) {
	t.Helper()
	var o, n miner.State
	readState(t, old, was, id, &o)
	readState(t, bs, is, id, &n)
	require.Equal(t, o.Info, n.Info)
	require.Equal(t, o.ProvingPeriodStart, n.ProvingPeriodStart)
	require.Equal(t, o.CurrentDeadline, n.CurrentDeadline)
	require.Equal(t, o.AllocatedSectors, n.AllocatedSectors)
	require.Equal(t, o.PreCommittedSectors, n.PreCommittedSectors)
	require.Equal(t, o.PreCommittedSectorsCleanUp, n.PreCommittedSectorsCleanUp)
	require.Equal(t, o.DeadlineCronActive, n.DeadlineCronActive)
	require.True(t, n.PreCommitDeposits.IsZero() && n.LockedFunds.IsZero() && n.FeeDebt.IsZero())
	require.EqualValues(t, 480, n.InitialPledge.Int64())
	// Deadlines: the partitions, whose form is the same.
	oldStore, newStore := adt.WrapStore(context.Background(), ipld.NewStore(context.Background(), old)), adt.WrapStore(context.Background(), ipld.NewStore(context.Background(), bs))
	var oldDeadlines, newDeadlines miner.Deadlines
	require.NoError(t, oldStore.Get(context.Background(), o.Deadlines, &oldDeadlines))
	require.NoError(t, newStore.Get(context.Background(), n.Deadlines, &newDeadlines))
	for i := range oldDeadlines.Due {
		a, b := fields(t, old, oldDeadlines.Due[i]), fields(t, bs, newDeadlines.Due[i])
		require.Equal(t, a[1:7], b[1:7], "expirations and counts of deadline %d of %s", i, id)
		comparePartitions(t, oldStore, a[0].(cid.Cid), newStore, b[0].(cid.Cid))
	}
}

// comparePartitions leaves out the expiration queue, in which pledges stand.
func comparePartitions(t *testing.T, oldStore adt.Store, was cid.Cid, newStore adt.Store, is cid.Cid) {
	t.Helper()
	o, err := adt.AsArray(oldStore, was, miner.DeadlinePartitionsAmtBitwidth)
	require.NoError(t, err)
	n, err := adt.AsArray(newStore, is, miner.DeadlinePartitionsAmtBitwidth)
	require.NoError(t, err)
	require.Equal(t, o.Length(), n.Length())
	for i := range o.Length() {
		var a, b miner.Partition
		for arr, part := range map[*adt.Array]*miner.Partition{o: &a, n: &b} {
			found, err := arr.Get(i, part)
			require.NoError(t, err)
			require.True(t, found)
		}
		a.ExpirationsEpochs, b.ExpirationsEpochs = cid.Undef, cid.Undef
		require.Equal(t, a, b)
	}
}

// fields decodes an object that is an array.
func fields(t *testing.T, bs ipld.Blockstore, c cid.Cid) []any {
	t.Helper()
	data, err := bs.Get(context.Background(), c)
	require.NoError(t, err)
	var out []any
	require.NoError(t, cbornode.DecodeInto(data, &out))
	return out
}

// takeApart recovers the template of a genesis whose accounts own its miners.
func takeApart(t *testing.T, bs ipld.Blockstore, h *types.BlockHeader) Template {
	t.Helper()
	ctx := context.Background()
	store := adt.WrapStore(ctx, ipld.NewStore(ctx, bs))
	root := h.ParentStateRoot
	tmpl, err := NewTemplate("butterflynet", h.Timestamp)
	require.NoError(t, err)
	// The remainder was an account.
	var rest account.State
	readState(t, bs, root, mustID(t, reserveID), &rest)
	tmpl.RemainderAccount, err = NewAccount(rest.Address, big.Zero())
	require.NoError(t, err)
	var signer account.State
	readState(t, bs, root, mustID(t, 106), &signer)
	tmpl.VerifregRootKey, err = NewMultisig(MultisigMeta{Signers: []address.Address{signer.Address}, Threshold: 1}, big.Zero())
	require.NoError(t, err)

	var deals market.State
	readState(t, bs, root, builtin.StorageMarketActorAddr, &deals)
	proposals, err := adt.AsArray(store, deals.Proposals, market.ProposalsAmtBitwidth)
	require.NoError(t, err)
	spent := big.Mul(big.NewInt(480), big.NewInt(424936281110994546))
	for i := range uint64(6) {
		var st miner.State
		readState(t, bs, root, mustID(t, firstMinerID+i), &st)
		var info miner.MinerInfo
		require.NoError(t, store.Get(ctx, st.Info, &info))
		var owner account.State
		balance := readState(t, bs, root, info.Worker, &owner)
		acct, err := NewAccount(owner.Address, big.Add(balance, spent))
		require.NoError(t, err)
		tmpl.Accounts = append(tmpl.Accounts, acct)
		m := Miner{
			ID: mustID(t, firstMinerID+i), Owner: owner.Address, Worker: owner.Address, PeerId: peer.ID(info.PeerId),
			MarketBalance: big.Zero(), PowerBalance: big.Zero(), SectorSize: info.SectorSize,
		}
		sectors, err := adt.AsArray(store, st.Sectors, miner.SectorsAmtBitwidth)
		require.NoError(t, err)
		var raw cbg.Deferred
		require.NoError(t, sectors.ForEach(&raw, func(int64) error {
			m.Sectors = append(m.Sectors, preSealOf(t, raw.Raw, proposals))
			return nil
		}))
		tmpl.Miners = append(tmpl.Miners, m)
	}
	return *tmpl
}

// preSealOf reads [number, seal proof, CommR, [deal], ...].
func preSealOf(t *testing.T, raw []byte, proposals *adt.Array) *PreSeal {
	t.Helper()
	var f []any
	require.NoError(t, cbornode.DecodeInto(raw, &f))
	deal := new(market.DealProposal)
	found, err := proposals.Get(uint64(f[3].([]any)[0].(int)), deal)
	require.NoError(t, err)
	require.True(t, found)
	return &PreSeal{
		SectorID: abi.SectorNumber(f[0].(int)), ProofType: abi.RegisteredSealProof(f[1].(int)), CommR: f[2].(cid.Cid),
		CommD: deal.PieceCID, Deal: deal,
	}
}

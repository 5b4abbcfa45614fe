package node

import (
	"testing"

	"github.com/filecoin-project/go-bitfield"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/api"
	apinode "github.com/filecoin-venus/venus/api/node"
	"github.com/filecoin-venus/venus/types"
)

var minerTable = map[string]func(*testing.T, *tour){
	"StateMinerInfo": func(t *testing.T, x *tour) {
		info, err := x.v1.StateMinerInfo(x.ctx, x.w.miner, types.EmptyTSK)
		require.NoError(t, err)
		worker, err := x.v1.StateLookupID(x.ctx, x.w.worker.addr, types.EmptyTSK)
		require.NoError(t, err)
		require.Equal(t, worker, info.Worker)
		require.EqualValues(t, 2048, info.SectorSize)
		require.EqualValues(t, -1, info.WorkerChangeEpoch)
		unknown := reserve(t)
		_, err = x.v1.StateMinerInfo(x.ctx, unknown, types.EmptyTSK)
		require.Error(t, err, "a multisig is no miner")
	},
	"StateMinerPower": func(t *testing.T, x *tour) {
		p, err := x.v1.StateMinerPower(x.ctx, x.w.miner, types.EmptyTSK)
		require.NoError(t, err)
		require.Equal(t, big.NewInt(4096), p.MinerPower.RawBytePower)
		require.Equal(t, p.MinerPower, p.TotalPower)
		require.True(t, p.HasMinPower)
	},
	"StateMinerProvingDeadline": func(t *testing.T, x *tour) {
		d, err := x.v1.StateMinerProvingDeadline(x.ctx, x.w.miner, types.EmptyTSK)
		require.NoError(t, err)
		require.Equal(t, x.head.Height(), d.CurrentEpoch)
		require.LessOrEqual(t, d.Open, d.CurrentEpoch)
		require.Greater(t, d.Close, d.CurrentEpoch)
	},
	"StateMinerDeadlines": func(t *testing.T, x *tour) {
		d, err := x.v1.StateMinerDeadlines(x.ctx, x.w.miner, types.EmptyTSK)
		require.NoError(t, err)
		require.Len(t, d, 48)
	},
	"StateMinerPartitions": func(t *testing.T, x *tour) {
		at, err := x.v1.StateSectorPartition(x.ctx, x.w.miner, 0, types.EmptyTSK)
		require.NoError(t, err)
		parts, err := x.v1.StateMinerPartitions(x.ctx, x.w.miner, at.Deadline, types.EmptyTSK)
		require.NoError(t, err)
		has, err := parts[at.Partition].LiveSectors.IsSet(0)
		require.NoError(t, err)
		require.True(t, has)
		_, err = x.v1.StateMinerPartitions(x.ctx, x.w.miner, 48, types.EmptyTSK)
		require.Error(t, err)
	},
	"StateMinerSectors": func(t *testing.T, x *tour) {
		only := bitfield.NewFromSet([]uint64{1})
		some, err := x.v1.StateMinerSectors(x.ctx, x.w.miner, &only, types.EmptyTSK)
		require.NoError(t, err)
		require.Len(t, some, 1)
		require.Equal(t, x.sectors(t)[1], some[0])
	},
	"StateMinerActiveSectors": func(t *testing.T, x *tour) {
		active, err := x.v1.StateMinerActiveSectors(x.ctx, x.w.miner, types.EmptyTSK)
		require.NoError(t, err)
		require.Equal(t, x.sectors(t), active)
	},
	"StateMinerSectorCount": func(t *testing.T, x *tour) {
		n, err := x.v1.StateMinerSectorCount(x.ctx, x.w.miner, types.EmptyTSK)
		require.NoError(t, err)
		require.Equal(t, apinode.MinerSectors{Live: 2, Active: 2}, n)
	},
	"StateMinerFaults": func(t *testing.T, x *tour) {
		bf, err := x.v1.StateMinerFaults(x.ctx, x.w.miner, types.EmptyTSK)
		require.NoError(t, err)
		none, err := bf.IsEmpty()
		require.NoError(t, err)
		require.True(t, none)
	},
	"StateMinerRecoveries": func(t *testing.T, x *tour) {
		bf, err := x.v1.StateMinerRecoveries(x.ctx, x.w.miner, types.EmptyTSK)
		require.NoError(t, err)
		none, err := bf.IsEmpty()
		require.NoError(t, err)
		require.True(t, none)
	},
	"StateMinerAvailableBalance": func(t *testing.T, x *tour) {
		v, err := x.v1.StateMinerAvailableBalance(x.ctx, x.w.miner, types.EmptyTSK)
		require.NoError(t, err)
		act, err := x.v1.StateGetActor(x.ctx, x.w.miner, types.EmptyTSK)
		require.NoError(t, err)
		require.True(t, v.LessThan(act.Balance), "pledge, deposit and rewards are locked")
	},
	"StateMinerSectorAllocated": func(t *testing.T, x *tour) {
		for n, want := range map[abi.SectorNumber]bool{0: true, offeredSector: true, offeredSector + 1: false} {
			used, err := x.v1.StateMinerSectorAllocated(x.ctx, x.w.miner, n, types.EmptyTSK)
			require.NoError(t, err)
			require.Equal(t, want, used, n)
		}
	},
	"StateMinerPreCommitDepositForPower": func(t *testing.T, x *tour) {
		pc, err := x.v1.StateSectorPreCommitInfo(x.ctx, x.w.miner, offeredSector, types.EmptyTSK)
		require.NoError(t, err)
		require.Positive(t, pc.PreCommitDeposit.Int.Sign())
		require.True(t, x.deposit.GreaterThanEqual(pc.PreCommitDeposit), "asked %s, taken %s", x.deposit, pc.PreCommitDeposit)
		require.True(t, big.Mul(pc.PreCommitDeposit, big.NewInt(2)).GreaterThan(x.deposit))
	},
	"StateMinerInitialPledgeCollateral": func(t *testing.T, x *tour) {
		v, err := x.v1.StateMinerInitialPledgeCollateral(x.ctx, x.w.miner, x.preCommit, types.EmptyTSK)
		require.NoError(t, err)
		require.Positive(t, v.Int.Sign())
	},
	"StateSectorPreCommitInfo": func(t *testing.T, x *tour) {
		pc, err := x.v1.StateSectorPreCommitInfo(x.ctx, x.w.miner, offeredSector, types.EmptyTSK)
		require.NoError(t, err)
		pc.Info.DealIDs = []abi.DealID{}
		require.Equal(t, x.preCommit, pc.Info)
		require.Equal(t, x.including(t, x.offered).Height(), pc.PreCommitEpoch)
		_, err = x.v1.StateSectorPreCommitInfo(x.ctx, x.w.miner, 99, types.EmptyTSK)
		require.Equal(t, api.CodeNotFound, code(err))
	},
	"StateSectorGetInfo": func(t *testing.T, x *tour) {
		s, err := x.v1.StateSectorGetInfo(x.ctx, x.w.miner, 1, types.EmptyTSK)
		require.NoError(t, err)
		require.Equal(t, x.sectors(t)[1], s)
		s, err = x.v1.StateSectorGetInfo(x.ctx, x.w.miner, 99, types.EmptyTSK)
		require.NoError(t, err)
		require.Nil(t, s)
	},
	"StateSectorExpiration": func(t *testing.T, x *tour) {
		e, err := x.v1.StateSectorExpiration(x.ctx, x.w.miner, 0, types.EmptyTSK)
		require.NoError(t, err)
		require.GreaterOrEqual(t, e.OnTime, x.sectors(t)[0].Expiration)
		require.Zero(t, e.Early)
	},
	"StateSectorPartition": func(t *testing.T, x *tour) {
		at, err := x.v1.StateSectorPartition(x.ctx, x.w.miner, 1, types.EmptyTSK)
		require.NoError(t, err)
		require.Less(t, at.Deadline, uint64(48))
		_, err = x.v1.StateSectorPartition(x.ctx, x.w.miner, 99, types.EmptyTSK)
		require.Error(t, err)
	},
	"StateMinerSectorSize": func(t *testing.T, x *tour) {
		size, err := x.v1.StateMinerSectorSize(x.ctx, x.w.miner, types.EmptyTSK)
		require.NoError(t, err)
		require.EqualValues(t, 2048, size)
	},
	"StateMinerWorkerAddress": func(t *testing.T, x *tour) {
		a, err := x.v1.StateMinerWorkerAddress(x.ctx, x.w.miner, types.EmptyTSK)
		require.NoError(t, err)
		require.Equal(t, x.w.worker.addr, a)
	},
}

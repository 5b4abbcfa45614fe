package node

import (
	"context"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"

	"github.com/filecoin-venus/venus/api"
	apinode "github.com/filecoin-venus/venus/api/node"
	"github.com/filecoin-venus/venus/beacon"
	"github.com/filecoin-venus/venus/consensus"
	"github.com/filecoin-venus/venus/types"
)

// miningAPI serves the beacon and block producers.
type miningAPI struct {
	reader
	beacons beacon.Schedule
	produce *consensus.Producer
}

func (a miningAPI) BeaconGetEntry(ctx context.Context, epoch abi.ChainEpoch) (*types.BeaconEntry, error) {
	src := a.beacons.At(epoch)
	round := src.MaxRoundForEpoch(epoch)
	if round == 0 {
		// Rounds start at 1: this one would be waited for without end.
		return nil, api.Errorf(api.CodeInvalid, "the beacon had no round yet for epoch %d", epoch)
	}
	e, err := src.Entry(ctx, round)
	if err != nil {
		return nil, err
	}
	return &e, nil
}

func (a miningAPI) MinerGetBaseInfo(ctx context.Context, m address.Address, epoch abi.ChainEpoch, base types.TipSetKey) (*apinode.MiningBaseInfo, error) {
	ts, err := a.tipset(ctx, base)
	if err != nil {
		return nil, err
	}
	b, err := a.produce.MiningBase(ctx, m, epoch, ts)
	if err != nil || b == nil {
		return nil, absent(err, "miner %s", m)
	}
	return &apinode.MiningBaseInfo{
		MinerPower: b.MinerPower, NetworkPower: b.NetworkPower, Sectors: b.Sectors, WorkerKey: b.WorkerKey, SectorSize: b.SectorSize,
		PrevBeaconEntry: b.PrevBeaconEntry, BeaconEntries: b.BeaconEntries, EligibleForMining: b.EligibleForMining,
	}, nil
}

func (a miningAPI) MinerCreateBlock(ctx context.Context, t *apinode.BlockTemplate) (*types.BlockMsg, error) {
	if t == nil || t.Ticket == nil || t.Eproof == nil {
		return nil, api.Errorf(api.CodeInvalid, "create block: template without ticket or election proof")
	}
	full, err := a.produce.CreateBlock(ctx, &consensus.BlockTemplate{
		Miner: t.Miner, Parents: t.Parents, Ticket: t.Ticket, Eproof: t.Eproof, BeaconValues: t.BeaconValues, Messages: t.Messages,
		Epoch: t.Epoch, Timestamp: t.Timestamp, WinningPoStProof: t.WinningPoStProof,
	})
	if err != nil {
		return nil, err
	}
	return consensus.BlockMsgOf(full), nil
}

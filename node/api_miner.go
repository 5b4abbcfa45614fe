package node

import (
	"context"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-bitfield"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/go-state-types/dline"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/miner"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/filecoin-venus/venus/api"
	apinode "github.com/filecoin-venus/venus/api/node"
	"github.com/filecoin-venus/venus/chain"
	"github.com/filecoin-venus/venus/state"
	"github.com/filecoin-venus/venus/types"
)

type minerStateAPI struct{ reader }

func (a minerStateAPI) StateMinerInfo(ctx context.Context, m address.Address, key types.TipSetKey) (apinode.MinerInfo, error) {
	view, _, err := a.view(ctx, key)
	if err != nil {
		return apinode.MinerInfo{}, err
	}
	info, err := view.MinerInfo(ctx, m)
	if err != nil {
		return apinode.MinerInfo{}, absent(err, "miner %s", m)
	}
	out := apinode.MinerInfo{
		Owner: info.Owner, Worker: info.Worker, ControlAddresses: info.ControlAddresses, WorkerChangeEpoch: -1,
		Multiaddrs: info.Multiaddrs, WindowPoStProofType: info.WindowPoStProofType, SectorSize: info.SectorSize,
		WindowPoStPartitionSectors: info.WindowPoStPartitionSectors, ConsensusFaultElapsed: info.ConsensusFaultElapsed,
	}
	if id, err := peer.IDFromBytes(info.PeerId); err == nil {
		s := id.String()
		out.PeerId = &s
	}
	if info.PendingWorkerKey != nil {
		out.NewWorker, out.WorkerChangeEpoch = info.PendingWorkerKey.NewWorker, info.PendingWorkerKey.EffectiveAt
	}
	return out, nil
}

func claim(p state.Power) apinode.Claim {
	return apinode.Claim{RawBytePower: p.RawBytePower, QualityAdjPower: p.QualityAdjPower}
}

func (a minerStateAPI) StateMinerPower(ctx context.Context, m address.Address, key types.TipSetKey) (*apinode.MinerPower, error) {
	view, _, err := a.view(ctx, key)
	if err != nil {
		return nil, err
	}
	total, err := view.TotalPower(ctx)
	if err != nil {
		return nil, err
	}
	zero := apinode.Claim{RawBytePower: big.Zero(), QualityAdjPower: big.Zero()}
	if m == address.Undef {
		return &apinode.MinerPower{MinerPower: zero, TotalPower: claim(total)}, nil
	}
	mine, err := view.MinerPower(ctx, m)
	if err != nil {
		return nil, absent(err, "miner %s", m)
	}
	enough, err := view.HasMinPower(ctx, m)
	if err != nil {
		return nil, err
	}
	return &apinode.MinerPower{MinerPower: claim(mine), TotalPower: claim(total), HasMinPower: enough}, nil
}

func (a minerStateAPI) StateMinerProvingDeadline(ctx context.Context, m address.Address, key types.TipSetKey) (*dline.Info, error) {
	view, ts, err := a.view(ctx, key)
	if err != nil {
		return nil, err
	}
	di, err := view.ProvingDeadline(ctx, m, ts.Height())
	return di, absent(err, "miner %s", m)
}

func (a minerStateAPI) StateMinerDeadlines(ctx context.Context, m address.Address, key types.TipSetKey) ([]apinode.Deadline, error) {
	view, _, err := a.view(ctx, key)
	if err != nil {
		return nil, err
	}
	dls, err := view.Deadlines(ctx, m)
	if err != nil {
		return nil, absent(err, "miner %s", m)
	}
	out := make([]apinode.Deadline, len(dls))
	for i, d := range dls {
		out[i] = apinode.Deadline{PostSubmissions: d.PostSubmissions, DisputableProofCount: d.DisputableProofs}
	}
	return out, nil
}

func (a minerStateAPI) StateMinerPartitions(ctx context.Context, m address.Address, index uint64, key types.TipSetKey) ([]apinode.Partition, error) {
	view, _, err := a.view(ctx, key)
	if err != nil {
		return nil, err
	}
	dl, err := view.Deadline(ctx, m, index)
	if err != nil {
		return nil, absent(err, "miner %s", m)
	}
	out := make([]apinode.Partition, len(dl.Partitions))
	for i, p := range dl.Partitions {
		out[i] = apinode.Partition{AllSectors: p.All, FaultySectors: p.Faulty, RecoveringSectors: p.Recovering, LiveSectors: p.Live, ActiveSectors: p.Active}
	}
	return out, nil
}

func wireSector(s *miner.SectorOnChainInfo) *apinode.SectorOnChainInfo {
	return &apinode.SectorOnChainInfo{
		SectorNumber: s.SectorNumber, SealProof: s.SealProof, SealedCID: s.SealedCID, DealIDs: s.DealIDs, Activation: s.Activation,
		Expiration: s.Expiration, DealWeight: s.DealWeight, VerifiedDealWeight: s.VerifiedDealWeight, InitialPledge: s.InitialPledge,
		ExpectedDayReward: s.ExpectedDayReward, ExpectedStoragePledge: s.ExpectedStoragePledge, SectorKeyCID: s.SectorKeyCID,
	}
}

func (a minerStateAPI) sectors(ctx context.Context, view *state.View, m address.Address, only *bitfield.BitField) ([]*apinode.SectorOnChainInfo, error) {
	list, err := view.Sectors(ctx, m, only)
	if err != nil {
		return nil, absent(err, "miner %s", m)
	}
	out := make([]*apinode.SectorOnChainInfo, len(list))
	for i, s := range list {
		out[i] = wireSector(s)
	}
	return out, nil
}

func (a minerStateAPI) StateMinerSectors(ctx context.Context, m address.Address, only *bitfield.BitField, key types.TipSetKey) ([]*apinode.SectorOnChainInfo, error) {
	view, _, err := a.view(ctx, key)
	if err != nil {
		return nil, err
	}
	return a.sectors(ctx, view, m, only)
}

func (a minerStateAPI) StateMinerActiveSectors(ctx context.Context, m address.Address, key types.TipSetKey) ([]*apinode.SectorOnChainInfo, error) {
	view, _, err := a.view(ctx, key)
	if err != nil {
		return nil, err
	}
	active, err := view.ActiveSectors(ctx, m)
	if err != nil {
		return nil, absent(err, "miner %s", m)
	}
	return a.sectors(ctx, view, m, &active)
}

func (a minerStateAPI) StateMinerSectorCount(ctx context.Context, m address.Address, key types.TipSetKey) (apinode.MinerSectors, error) {
	view, _, err := a.view(ctx, key)
	if err != nil {
		return apinode.MinerSectors{}, err
	}
	dls, err := view.Deadlines(ctx, m)
	if err != nil {
		return apinode.MinerSectors{}, absent(err, "miner %s", m)
	}
	var out apinode.MinerSectors
	for _, d := range dls {
		for _, p := range d.Partitions {
			for into, set := range map[*uint64]bitfield.BitField{&out.Live: p.Live, &out.Active: p.Active, &out.Faulty: p.Faulty} {
				n, err := set.Count()
				if err != nil {
					return apinode.MinerSectors{}, err
				}
				*into += n
			}
		}
	}
	return out, nil
}

func (a minerStateAPI) StateMinerFaults(ctx context.Context, m address.Address, key types.TipSetKey) (bitfield.BitField, error) {
	view, _, err := a.view(ctx, key)
	if err != nil {
		return bitfield.BitField{}, err
	}
	bf, err := view.FaultySectors(ctx, m)
	return bf, absent(err, "miner %s", m)
}

func (a minerStateAPI) StateMinerRecoveries(ctx context.Context, m address.Address, key types.TipSetKey) (bitfield.BitField, error) {
	view, _, err := a.view(ctx, key)
	if err != nil {
		return bitfield.BitField{}, err
	}
	bf, err := view.RecoveringSectors(ctx, m)
	return bf, absent(err, "miner %s", m)
}

func (a minerStateAPI) StateMinerAvailableBalance(ctx context.Context, m address.Address, key types.TipSetKey) (abi.TokenAmount, error) {
	view, ts, err := a.view(ctx, key)
	if err != nil {
		return abi.TokenAmount{}, err
	}
	v, err := view.MinerAvailableBalance(ctx, m, ts.Height())
	return v, absent(err, "miner %s", m)
}

func (a minerStateAPI) StateMinerSectorAllocated(ctx context.Context, m address.Address, n abi.SectorNumber, key types.TipSetKey) (bool, error) {
	view, _, err := a.view(ctx, key)
	if err != nil {
		return false, err
	}
	used, err := view.SectorAllocated(ctx, m, n)
	return used, absent(err, "miner %s", m)
}

// withReserve adds a tenth: the estimates move until the message lands.
func withReserve(v abi.TokenAmount) abi.TokenAmount {
	return big.Div(big.Mul(v, big.NewInt(110)), big.NewInt(100))
}

func offer(info apinode.SectorPreCommitInfo) state.SectorOffer {
	return state.SectorOffer{Proof: info.SealProof, Deals: info.DealIDs, Expiration: info.Expiration}
}

func (a minerStateAPI) StateMinerPreCommitDepositForPower(ctx context.Context, m address.Address, info apinode.SectorPreCommitInfo, key types.TipSetKey) (abi.TokenAmount, error) {
	view, ts, err := a.view(ctx, key)
	if err != nil {
		return abi.TokenAmount{}, err
	}
	v, err := view.PreCommitDeposit(ctx, m, offer(info), ts.Height())
	if err != nil {
		return abi.TokenAmount{}, absent(err, "miner %s", m)
	}
	return withReserve(v), nil
}

func (a minerStateAPI) StateMinerInitialPledgeCollateral(ctx context.Context, m address.Address, info apinode.SectorPreCommitInfo, key types.TipSetKey) (abi.TokenAmount, error) {
	view, ts, err := a.view(ctx, key)
	if err != nil {
		return abi.TokenAmount{}, err
	}
	supply, err := chain.CirculatingSupply(ctx, &a.net, view, ts.Height())
	if err != nil {
		return abi.TokenAmount{}, err
	}
	v, err := view.InitialPledge(ctx, m, offer(info), ts.Height(), supply.Circulating)
	if err != nil {
		return abi.TokenAmount{}, absent(err, "miner %s", m)
	}
	return withReserve(v), nil
}

func (a minerStateAPI) StateSectorPreCommitInfo(ctx context.Context, m address.Address, n abi.SectorNumber, key types.TipSetKey) (apinode.SectorPreCommitOnChainInfo, error) {
	view, _, err := a.view(ctx, key)
	if err != nil {
		return apinode.SectorPreCommitOnChainInfo{}, err
	}
	pc, found, err := view.PreCommit(ctx, m, n)
	if err != nil {
		return apinode.SectorPreCommitOnChainInfo{}, absent(err, "miner %s", m)
	}
	if !found {
		return apinode.SectorPreCommitOnChainInfo{}, api.Errorf(api.CodeNotFound, "sector %d of %s is not pre-committed", n, m)
	}
	i := pc.Info
	return apinode.SectorPreCommitOnChainInfo{
		Info: apinode.SectorPreCommitInfo{
			SealProof: i.SealProof, SectorNumber: i.SectorNumber, SealedCID: i.SealedCID, SealRandEpoch: i.SealRandEpoch, DealIDs: i.DealIDs,
			Expiration: i.Expiration, ReplaceCapacity: i.ReplaceCapacity, ReplaceSectorDeadline: i.ReplaceSectorDeadline,
			ReplaceSectorPartition: i.ReplaceSectorPartition, ReplaceSectorNumber: i.ReplaceSectorNumber,
		},
		PreCommitDeposit: pc.PreCommitDeposit, PreCommitEpoch: pc.PreCommitEpoch, DealWeight: pc.DealWeight, VerifiedDealWeight: pc.VerifiedDealWeight,
	}, nil
}

func (a minerStateAPI) StateSectorGetInfo(ctx context.Context, m address.Address, n abi.SectorNumber, key types.TipSetKey) (*apinode.SectorOnChainInfo, error) {
	view, _, err := a.view(ctx, key)
	if err != nil {
		return nil, err
	}
	s, found, err := view.Sector(ctx, m, n)
	if err != nil || !found {
		return nil, absent(err, "miner %s", m)
	}
	return wireSector(s), nil
}

func (a minerStateAPI) StateSectorExpiration(ctx context.Context, m address.Address, n abi.SectorNumber, key types.TipSetKey) (*apinode.SectorExpiration, error) {
	view, _, err := a.view(ctx, key)
	if err != nil {
		return nil, err
	}
	onTime, early, err := view.SectorExpiration(ctx, m, n)
	if err != nil {
		return nil, absent(err, "miner %s", m)
	}
	return &apinode.SectorExpiration{OnTime: onTime, Early: early}, nil
}

func (a minerStateAPI) StateSectorPartition(ctx context.Context, m address.Address, n abi.SectorNumber, key types.TipSetKey) (*apinode.SectorLocation, error) {
	view, _, err := a.view(ctx, key)
	if err != nil {
		return nil, err
	}
	d, p, err := view.SectorLocation(ctx, m, n)
	if err != nil {
		return nil, absent(err, "miner %s", m)
	}
	return &apinode.SectorLocation{Deadline: d, Partition: p}, nil
}

func (a minerStateAPI) StateMinerSectorSize(ctx context.Context, m address.Address, key types.TipSetKey) (abi.SectorSize, error) {
	info, err := a.StateMinerInfo(ctx, m, key)
	return info.SectorSize, err
}

func (a minerStateAPI) StateMinerWorkerAddress(ctx context.Context, m address.Address, key types.TipSetKey) (address.Address, error) {
	view, _, err := a.view(ctx, key)
	if err != nil {
		return address.Undef, err
	}
	w, err := view.MinerWorkerKey(ctx, m)
	return w, absent(err, "miner %s", m)
}

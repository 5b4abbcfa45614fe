package node

import (
	"context"
	"strconv"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/market"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/multisig"

	"github.com/filecoin-venus/venus/api"
	apinode "github.com/filecoin-venus/venus/api/node"
	"github.com/filecoin-venus/venus/chain"
	"github.com/filecoin-venus/venus/types"
)

// marketAPI reads the storage market, the verified registry and multisigs.
type marketAPI struct{ reader }

func (a marketAPI) StateMarketBalance(ctx context.Context, addr address.Address, key types.TipSetKey) (apinode.MarketBalance, error) {
	view, _, err := a.view(ctx, key)
	if err != nil {
		return apinode.MarketBalance{}, err
	}
	b, err := view.MarketBalance(ctx, addr)
	return apinode.MarketBalance{Escrow: b.Escrow, Locked: b.Locked}, err
}

func (a marketAPI) StateMarketParticipants(ctx context.Context, key types.TipSetKey) (map[string]apinode.MarketBalance, error) {
	view, _, err := a.view(ctx, key)
	if err != nil {
		return nil, err
	}
	out := map[string]apinode.MarketBalance{}
	who, err := view.MarketParticipants(ctx)
	if err != nil {
		return nil, err
	}
	for _, addr := range who {
		b, err := view.MarketBalance(ctx, addr)
		if err != nil {
			return nil, err
		}
		out[addr.String()] = apinode.MarketBalance{Escrow: b.Escrow, Locked: b.Locked}
	}
	return out, nil
}

func wireDeal(p *market.DealProposal, d *market.DealState) *apinode.MarketDeal {
	out := &apinode.MarketDeal{Proposal: apinode.DealProposal{
		PieceCID: p.PieceCID, PieceSize: p.PieceSize, VerifiedDeal: p.VerifiedDeal, Client: p.Client, Provider: p.Provider, Label: p.Label,
		StartEpoch: p.StartEpoch, EndEpoch: p.EndEpoch, StoragePricePerEpoch: p.StoragePricePerEpoch,
		ProviderCollateral: p.ProviderCollateral, ClientCollateral: p.ClientCollateral,
	}, State: apinode.DealState{SectorStartEpoch: -1, LastUpdatedEpoch: -1, SlashEpoch: -1}}
	if d != nil {
		out.State = apinode.DealState{SectorStartEpoch: d.SectorStartEpoch, LastUpdatedEpoch: d.LastUpdatedEpoch, SlashEpoch: d.SlashEpoch}
	}
	return out
}

func (a marketAPI) StateMarketDeals(ctx context.Context, key types.TipSetKey) (map[string]*apinode.MarketDeal, error) {
	view, _, err := a.view(ctx, key)
	if err != nil {
		return nil, err
	}
	out := map[string]*apinode.MarketDeal{}
	err = view.ForEachDeal(ctx, func(id abi.DealID, p *market.DealProposal, d *market.DealState) error {
		out[strconv.FormatUint(uint64(id), 10)] = wireDeal(p, d)
		return nil
	})
	return out, err
}

func (a marketAPI) StateMarketStorageDeal(ctx context.Context, id abi.DealID, key types.TipSetKey) (*apinode.MarketDeal, error) {
	view, _, err := a.view(ctx, key)
	if err != nil {
		return nil, err
	}
	p, d, found, err := view.Deal(ctx, id)
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, api.Errorf(api.CodeNotFound, "the market has no deal %d", id)
	}
	return wireDeal(p, d), nil
}

// StateDealProviderCollateralBounds puts a tenth on the least: supply and power
// move until the deal is published.
func (a marketAPI) StateDealProviderCollateralBounds(ctx context.Context, size abi.PaddedPieceSize, verified bool, key types.TipSetKey) (apinode.CollateralBounds, error) {
	var out apinode.CollateralBounds
	if err := size.Validate(); err != nil {
		return out, api.Errorf(api.CodeInvalid, "collateral of a deal: %w", err)
	}
	view, ts, err := a.view(ctx, key)
	if err != nil {
		return out, err
	}
	power, err := view.PowerState(ctx)
	if err != nil {
		return out, err
	}
	reward, err := view.RewardState(ctx)
	if err != nil {
		return out, err
	}
	supply, err := chain.CirculatingSupply(ctx, &a.net, view, ts.Height())
	if err != nil {
		return out, err
	}
	least, most := market.DealProviderCollateralBounds(size, verified, power.TotalRawBytePower, power.TotalQualityAdjPower, reward.ThisEpochBaselinePower, supply.Circulating)
	return apinode.CollateralBounds{Min: big.Div(big.Mul(least, big.NewInt(110)), big.NewInt(100)), Max: most}, nil
}

func (a marketAPI) dataCap(ctx context.Context, addr address.Address, key types.TipSetKey, verifier bool) (*big.Int, error) {
	view, _, err := a.view(ctx, key)
	if err != nil {
		return nil, err
	}
	dc, err := view.DataCap(ctx, addr, verifier)
	return dc, absent(err, "address %s", addr)
}

func (a marketAPI) StateVerifiedClientStatus(ctx context.Context, addr address.Address, key types.TipSetKey) (*big.Int, error) {
	return a.dataCap(ctx, addr, key, false)
}

func (a marketAPI) StateVerifierStatus(ctx context.Context, addr address.Address, key types.TipSetKey) (*big.Int, error) {
	return a.dataCap(ctx, addr, key, true)
}

func (a marketAPI) StateVerifiedRegistryRootKey(ctx context.Context, key types.TipSetKey) (address.Address, error) {
	view, _, err := a.view(ctx, key)
	if err != nil {
		return address.Undef, err
	}
	return view.VerifiedRoot(ctx)
}

func (a marketAPI) MsigGetAvailableBalance(ctx context.Context, addr address.Address, key types.TipSetKey) (abi.TokenAmount, error) {
	view, ts, err := a.view(ctx, key)
	if err != nil {
		return abi.TokenAmount{}, err
	}
	balance, st, err := view.Multisig(ctx, addr)
	if err != nil {
		return abi.TokenAmount{}, absent(err, "multisig %s", addr)
	}
	return big.Max(big.Sub(balance, st.AmountLocked(ts.Height()-st.StartEpoch)), big.Zero()), nil
}

func (a marketAPI) MsigGetVestingSchedule(ctx context.Context, addr address.Address, key types.TipSetKey) (apinode.MsigVesting, error) {
	view, _, err := a.view(ctx, key)
	if err != nil {
		return apinode.MsigVesting{}, err
	}
	_, st, err := view.Multisig(ctx, addr)
	if err != nil {
		return apinode.MsigVesting{}, absent(err, "multisig %s", addr)
	}
	return apinode.MsigVesting{InitialBalance: st.InitialBalance, StartEpoch: st.StartEpoch, UnlockDuration: st.UnlockDuration}, nil
}

func (a marketAPI) MsigGetVested(ctx context.Context, addr address.Address, start, end types.TipSetKey) (abi.TokenAmount, error) {
	from, err := a.tipset(ctx, start)
	if err != nil {
		return abi.TokenAmount{}, err
	}
	view, to, err := a.view(ctx, end)
	if err != nil {
		return abi.TokenAmount{}, err
	}
	if from.Height() > to.Height() {
		return abi.TokenAmount{}, api.Errorf(api.CodeInvalid, "start tipset %d is after end tipset %d", from.Height(), to.Height())
	}
	_, st, err := view.Multisig(ctx, addr)
	if err != nil {
		return abi.TokenAmount{}, absent(err, "multisig %s", addr)
	}
	return big.Sub(st.AmountLocked(from.Height()-st.StartEpoch), st.AmountLocked(to.Height()-st.StartEpoch)), nil
}

func (a marketAPI) MsigGetPending(ctx context.Context, addr address.Address, key types.TipSetKey) ([]*apinode.MsigTransaction, error) {
	view, _, err := a.view(ctx, key)
	if err != nil {
		return nil, err
	}
	var out []*apinode.MsigTransaction
	err = view.MultisigPending(ctx, addr, func(id int64, tx multisig.Transaction) error {
		out = append(out, &apinode.MsigTransaction{ID: id, To: tx.To, Value: tx.Value, Method: tx.Method, Params: tx.Params, Approved: tx.Approved})
		return nil
	})
	return out, absent(err, "multisig %s", addr)
}

package node

import (
	"context"
	"errors"
	"fmt"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/go-state-types/network"
	"github.com/ipfs/go-cid"

	"github.com/filecoin-venus/venus/api"
	apinode "github.com/filecoin-venus/venus/api/node"
	"github.com/filecoin-venus/venus/chain"
	"github.com/filecoin-venus/venus/ipld"
	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/state"
	"github.com/filecoin-venus/venus/types"
	"github.com/filecoin-venus/venus/vm"
)

type stateAPI struct{ reader }

func (a stateAPI) StateNetworkName(context.Context) (string, error) { return a.net.GenesisName, nil }

func (a stateAPI) StateNetwork(context.Context) (*params.Network, error) {
	net := a.net
	return &net, nil
}

func (a stateAPI) StateNetworkVersion(ctx context.Context, key types.TipSetKey) (network.Version, error) {
	ts, err := a.tipset(ctx, key)
	if err != nil {
		return 0, err
	}
	return a.net.VersionAt(ts.Height()), nil
}

// upgradeNames are the network's upgrades in the order of their versions.
var upgradeNames = [...]string{
	"Breeze", "Smoke", "Ignition", "Assembly", "Liftoff", "Kumquat", "Calico", "Persian", "Orange", "Trust", "Norwegian", "Turbo", "Hyperdrive", "Chocolate", "OhSnap",
}

func (a stateAPI) StateGetNetworkParams(context.Context) (*apinode.NetworkParams, error) {
	out := &apinode.NetworkParams{
		NetworkName: a.net.GenesisName, BlockDelaySecs: a.net.BlockDelaySecs(), ConsensusMinerMinPower: a.net.MinConsensusPower,
		PreCommitChallengeDelay: a.net.PreCommitChallengeDelay, ForkUpgradeParams: map[string]abi.ChainEpoch{},
	}
	for _, size := range a.net.SectorSizes {
		p, err := a.net.SealProof(size)
		if err != nil {
			return nil, err
		}
		out.SupportedProofTypes = append(out.SupportedProofTypes, p)
	}
	for i, name := range upgradeNames {
		for _, u := range a.net.Upgrades {
			if u.Version >= network.Version(i+1) {
				out.ForkUpgradeParams["Upgrade"+name+"Height"] = u.Height
				break
			}
		}
	}
	return out, nil
}

func (a stateAPI) StateGetActor(ctx context.Context, addr address.Address, key types.TipSetKey) (*types.Actor, error) {
	view, _, err := a.view(ctx, key)
	if err != nil {
		return nil, err
	}
	act, err := view.Actor(ctx, addr)
	return act, absent(err, "actor %s", addr)
}

func (a stateAPI) StateReadState(ctx context.Context, addr address.Address, key types.TipSetKey) (*apinode.ActorState, error) {
	view, _, err := a.view(ctx, key)
	if err != nil {
		return nil, err
	}
	act, st, err := view.DecodeActor(ctx, addr)
	if err != nil {
		return nil, absent(err, "actor %s", addr)
	}
	return &apinode.ActorState{Balance: act.Balance, Code: act.Code, State: st}, nil
}

func (a stateAPI) StateDecodeParams(ctx context.Context, to address.Address, method abi.MethodNum, params []byte, key types.TipSetKey) (any, error) {
	act, err := a.StateGetActor(ctx, to, key)
	if err != nil {
		return nil, err
	}
	return state.DecodeParams(act.Code, method, params)
}

func (a stateAPI) StateListActors(ctx context.Context, key types.TipSetKey) ([]address.Address, error) {
	view, _, err := a.view(ctx, key)
	if err != nil {
		return nil, err
	}
	var out []address.Address
	err = view.ForEachActor(ctx, func(id address.Address, _ *types.Actor) error {
		out = append(out, id)
		return nil
	})
	return out, err
}

func (a stateAPI) StateListMiners(ctx context.Context, key types.TipSetKey) ([]address.Address, error) {
	view, _, err := a.view(ctx, key)
	if err != nil {
		return nil, err
	}
	return view.Miners(ctx)
}

func (a stateAPI) StateLookupID(ctx context.Context, addr address.Address, key types.TipSetKey) (address.Address, error) {
	view, _, err := a.view(ctx, key)
	if err != nil {
		return address.Undef, err
	}
	id, err := view.LookupID(ctx, addr)
	return id, absent(err, "address %s", addr)
}

func (a stateAPI) StateAccountKey(ctx context.Context, addr address.Address, key types.TipSetKey) (address.Address, error) {
	view, _, err := a.view(ctx, key)
	if err != nil {
		return address.Undef, err
	}
	k, err := view.ResolveToKey(ctx, addr)
	if errors.Is(err, state.ErrActorNotFound) {
		// An account made in the head tipset is not yet in its parent state.
		ts, terr := a.tipset(ctx, key)
		if terr != nil {
			return address.Undef, terr
		}
		res, xerr := a.exec.Execute(ctx, ts)
		if xerr != nil {
			return address.Undef, xerr
		}
		k, err = a.store.View(res.State).ResolveToKey(ctx, addr)
	}
	return k, absent(err, "account %s", addr)
}

// StateCall runs the message as an implicit one: no fee, no nonce.
func (a stateAPI) StateCall(ctx context.Context, msg *types.Message, key types.TipSetKey) (*apinode.InvocResult, error) {
	if msg == nil || msg.To == address.Undef || msg.From == address.Undef {
		return nil, api.Errorf(api.CodeInvalid, "call: no message with sender and receiver")
	}
	ts, err := a.tipset(ctx, key)
	if err != nil {
		return nil, err
	}
	m := *msg
	if m.GasLimit == 0 {
		m.GasLimit = maxCallGas
	}
	for _, amount := range []*abi.TokenAmount{&m.GasFeeCap, &m.GasPremium, &m.Value} {
		if amount.Int == nil {
			*amount = big.Zero()
		}
	}
	height := ts.Height()
	if height > 0 {
		parent, err := a.store.Parent(ctx, ts)
		if err != nil {
			return nil, err
		}
		height = parent.Height() + 1
	}
	cfg, err := a.exec.MachineConfig(ctx, ts, ipld.NewBuffered(a.store.Blocks()), ts.ParentState(), height)
	if err != nil {
		return nil, err
	}
	cfg.BaseFee, cfg.Trace, cfg.TraceGas = big.Zero(), true, true
	machine, err := vm.New(ctx, cfg)
	if err != nil {
		return nil, err
	}
	if m.Value.Sign() < 0 {
		return nil, api.Errorf(api.CodeInvalid, "call: the value %s is negative", m.Value)
	}
	res, err := machine.ApplyImplicit(ctx, &m)
	if err != nil {
		return nil, fmt.Errorf("call %s: %w", m.To, err)
	}
	out := invocation(m.Cid(), &m, res)
	out.GasCost = zeroCost()
	return out, nil
}

// maxCallGas is the gas limit of a call that names none.
const maxCallGas = 10_000_000_000

func zeroCost() apinode.GasCost {
	z := big.Zero()
	return apinode.GasCost{GasUsed: z, BaseFeeBurn: z, OverEstimationBurn: z, MinerPenalty: z, MinerTip: z, Refund: z, TotalCost: z}
}

var errFound = errors.New("found")

func (a stateAPI) StateReplay(ctx context.Context, key types.TipSetKey, c cid.Cid) (*apinode.InvocResult, error) {
	ts, err := a.tipset(ctx, key)
	if err != nil {
		return nil, err
	}
	if key.IsEmpty() {
		found, err := a.store.SearchMessage(ctx, ts, c, chain.NoLimit, false)
		if err != nil && !errors.Is(err, chain.ErrMissingMessage) {
			return nil, err
		}
		if found == nil {
			return nil, api.Errorf(api.CodeNotFound, "message %s has not been executed on this chain", c)
		}
		ts = found.Included
	}
	var out *apinode.InvocResult
	_, err = a.exec.Replay(ctx, ts, func(m types.ChainMsg, isImplicit bool, res *vm.Result) error {
		if isImplicit || (m.Cid() != c && m.VMMessage().Cid() != c) {
			return nil
		}
		out = invocation(m.Cid(), m.VMMessage(), res)
		out.GasCost = costOf(m, res)
		return errFound
	})
	if err != nil && !errors.Is(err, errFound) {
		return nil, err
	}
	if out == nil {
		return nil, api.Errorf(api.CodeNotFound, "message %s was not executed in tipset %s", c, ts.Key())
	}
	return out, nil
}

func invocation(c cid.Cid, m *types.Message, res *vm.Result) *apinode.InvocResult {
	out := &apinode.InvocResult{MsgCid: c, Msg: m, MsgRct: &res.Receipt, Duration: res.Duration}
	if res.Err != nil {
		out.Error = res.Err.Error()
	}
	if res.Trace != nil {
		out.ExecutionTrace = wireTrace(res.Trace)
	}
	return out
}

func wireTrace(t *vm.Trace) apinode.ExecutionTrace {
	out := apinode.ExecutionTrace{Msg: t.Msg, MsgRct: t.MsgRct, Error: t.Error, Duration: t.Duration}
	for _, g := range t.GasCharges {
		out.GasCharges = append(out.GasCharges, &apinode.GasTrace{
			Name: g.Name, TotalGas: g.TotalGas, ComputeGas: g.ComputeGas, StorageGas: g.StorageGas, TotalVirtualGas: g.TotalVirtualGas,
			VirtualComputeGas: g.VirtualComputeGas, VirtualStorageGas: g.VirtualStorageGas, TimeTaken: g.TimeTaken, Extra: g.Extra,
		})
	}
	for _, s := range t.Subcalls {
		out.Subcalls = append(out.Subcalls, wireTrace(s))
	}
	return out
}

func costOf(m types.ChainMsg, res *vm.Result) apinode.GasCost {
	o := res.Outputs
	return apinode.GasCost{
		Message: m.VMMessage().Cid(), GasUsed: big.NewInt(res.Receipt.GasUsed), BaseFeeBurn: o.BaseFeeBurn, OverEstimationBurn: o.OverEstimationBurn,
		MinerPenalty: o.MinerPenalty, MinerTip: o.MinerTip, Refund: o.Refund, TotalCost: big.Sub(m.VMMessage().RequiredFunds(), o.Refund),
	}
}

func (a stateAPI) supply(ctx context.Context, key types.TipSetKey) (chain.Supply, error) {
	view, ts, err := a.view(ctx, key)
	if err != nil {
		return chain.Supply{}, err
	}
	return chain.CirculatingSupply(ctx, &a.net, view, ts.Height())
}

func (a stateAPI) StateCirculatingSupply(ctx context.Context, key types.TipSetKey) (abi.TokenAmount, error) {
	s, err := a.supply(ctx, key)
	return s.Circulating, err
}

func (a stateAPI) StateVMCirculatingSupplyInternal(ctx context.Context, key types.TipSetKey) (apinode.CirculatingSupply, error) {
	s, err := a.supply(ctx, key)
	if err != nil {
		return apinode.CirculatingSupply{}, err
	}
	return apinode.CirculatingSupply{
		FilVested: s.Vested, FilMined: s.Mined, FilBurnt: s.Burnt, FilLocked: s.Locked, FilCirculating: s.Circulating, FilReserveDisbursed: s.ReserveDisbursed,
	}, nil
}

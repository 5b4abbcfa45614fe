package node

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/ipfs/go-cid"

	"github.com/filecoin-venus/venus/api"
	apinode "github.com/filecoin-venus/venus/api/node"
	"github.com/filecoin-venus/venus/ipld"
	"github.com/filecoin-venus/venus/state"
	"github.com/filecoin-venus/venus/state/check"
	"github.com/filecoin-venus/venus/types"
	"github.com/filecoin-venus/venus/vm"
)

// maxCompute bounds the messages of one StateCompute.
const maxCompute = 10_000

// StateCompute replays the tipset, traces included, then applies the messages
// to the state after it; the machine's writes stay in memory.
func (a stateAPI) StateCompute(ctx context.Context, height abi.ChainEpoch, msgs []*types.Message, key types.TipSetKey) (*apinode.ComputeStateOutput, error) {
	ts, err := a.tipset(ctx, key)
	if err != nil {
		return nil, err
	}
	if height < ts.Height() {
		return nil, api.Errorf(api.CodeInvalid, "compute: height %d is before tipset %d", height, ts.Height())
	}
	if len(msgs) > maxCompute {
		return nil, api.Errorf(api.CodeLimit, "compute: %d messages, at most %d", len(msgs), maxCompute)
	}
	out := new(apinode.ComputeStateOutput)
	res, err := a.exec.Replay(ctx, ts, func(m types.ChainMsg, _ bool, res *vm.Result) error {
		r := invocation(m.Cid(), m.VMMessage(), res)
		r.GasCost = costOf(m, res)
		out.Trace = append(out.Trace, r)
		return nil
	})
	if err != nil {
		return nil, err
	}
	cfg, err := a.exec.MachineConfig(ctx, ts, ipld.NewBuffered(a.store.Blocks()), res.State, height)
	if err != nil {
		return nil, err
	}
	cfg.Trace, cfg.TraceGas = true, true
	machine, err := vm.New(ctx, cfg)
	if err != nil {
		return nil, err
	}
	for i, m := range msgs {
		if m == nil || m.To == address.Undef || m.From == address.Undef {
			return nil, api.Errorf(api.CodeInvalid, "compute: message %d has no sender or receiver", i)
		}
		m := filled(m)
		applied, err := machine.ApplyMessage(ctx, m)
		if err != nil {
			return nil, api.Errorf(api.CodeInvalid, "compute message %d: %w", i, err)
		}
		r := invocation(m.Cid(), m, applied)
		r.GasCost = costOf(m, applied)
		out.Trace = append(out.Trace, r)
	}
	out.Root, err = machine.Flush(ctx)
	return out, err
}

// filled is a copy of a message with zeros where it has no amounts.
func filled(m *types.Message) *types.Message {
	c := *m
	for _, amount := range []*abi.TokenAmount{&c.GasFeeCap, &c.GasPremium, &c.Value} {
		if amount.Int == nil {
			*amount = big.Zero()
		}
	}
	return &c
}

// StateListMessages matches addresses by what they mean, not by how they are written.
func (a stateAPI) StateListMessages(ctx context.Context, match *apinode.MessageMatch, key types.TipSetKey, down abi.ChainEpoch) ([]cid.Cid, error) {
	if match == nil || (match.To == address.Undef && match.From == address.Undef) {
		return nil, api.Errorf(api.CodeInvalid, "list messages: name a sender or a receiver")
	}
	ts, err := a.tipset(ctx, key)
	if err != nil {
		return nil, err
	}
	same, err := a.matcher(ctx, match, ts)
	if err != nil {
		return nil, err
	}
	var out []cid.Cid
	for ts.Height() > 0 && ts.Height() >= down {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		lists, err := a.store.ExecutionList(ctx, ts)
		if err != nil {
			return nil, err
		}
		for _, b := range lists {
			for _, m := range b.All() {
				if same(m.VMMessage()) {
					out = append(out, m.Cid())
				}
			}
		}
		if ts, err = a.store.Parent(ctx, ts); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// matcher compares messages with a match; an ID address and the address that it
// was made from are the same.
func (a stateAPI) matcher(ctx context.Context, match *apinode.MessageMatch, ts *types.TipSet) (func(*types.Message) bool, error) {
	view, err := (poolChain{a.reader}).stateAfter(ctx, ts)
	if err != nil {
		return nil, err
	}
	ids := map[address.Address]address.Address{}
	id := func(addr address.Address) address.Address {
		if _, ok := ids[addr]; !ok {
			ids[addr] = addr // one that is not on chain is only itself
			if x, err := view.LookupID(ctx, addr); err == nil {
				ids[addr] = x
			}
		}
		return ids[addr]
	}
	return func(m *types.Message) bool {
		return (match.To == address.Undef || id(m.To) == id(match.To)) && (match.From == address.Undef || id(m.From) == id(match.From))
	}, nil
}

func (a stateAPI) StateEncodeParams(_ context.Context, code cid.Cid, method abi.MethodNum, params json.RawMessage) ([]byte, error) {
	b, err := state.EncodeParams(code, method, params)
	if err != nil {
		return nil, api.Errorf(api.CodeInvalid, "encode parameters: %w", err)
	}
	return b, nil
}

func (a stateAPI) StateLookupRobustAddress(ctx context.Context, id address.Address, key types.TipSetKey) (address.Address, error) {
	view, _, err := a.view(ctx, key)
	if err != nil {
		return address.Undef, err
	}
	robust, err := view.RobustAddress(ctx, id)
	return robust, absent(err, "address %s", id)
}

// StateChangedActors compares actor by actor. Actors are known by their ID
// addresses; one that was removed is not listed.
func (a stateAPI) StateChangedActors(ctx context.Context, older, newer cid.Cid) (map[string]types.Actor, error) {
	if !older.Defined() || !newer.Defined() {
		return nil, api.Errorf(api.CodeInvalid, "changed actors: name two states")
	}
	before := map[address.Address]types.Actor{}
	err := a.store.View(older).ForEachActor(ctx, func(id address.Address, act *types.Actor) error {
		before[id] = *act
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("older state: %w", err)
	}
	out := map[string]types.Actor{}
	err = a.store.View(newer).ForEachActor(ctx, func(id address.Address, act *types.Actor) error {
		old, known := before[id]
		if !known || old.Head != act.Head || old.Code != act.Code || old.Nonce != act.Nonce || !old.Balance.Equals(act.Balance) {
			out[id.String()] = *act
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("newer state: %w", err)
	}
	return out, nil
}

// StateCheck reads the whole state: it runs as long as its caller waits.
func (a stateAPI) StateCheck(ctx context.Context, key types.TipSetKey) (*apinode.StateReport, error) {
	ts, err := a.tipset(ctx, key)
	if err != nil {
		return nil, err
	}
	res, err := a.exec.Execute(ctx, ts)
	if err != nil {
		return nil, err
	}
	broken, err := check.Full(ctx, ipld.NewStore(ctx, a.store.Blocks()), res.State, ts.Height())
	if err != nil {
		return nil, fmt.Errorf("check state %s after epoch %d: %w", res.State, ts.Height(), err)
	}
	return &apinode.StateReport{Root: res.State, Epoch: ts.Height(), Broken: append([]string{}, broken...)}, nil
}

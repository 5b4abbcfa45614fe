package service

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-bitfield"
	rlepluslazy "github.com/filecoin-project/go-bitfield/rle"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/go-state-types/exitcode"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/miner"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
	cbg "github.com/whyrusleeping/cbor-gen"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/api/messager"
	"github.com/filecoin-venus/venus/api/node"
	sealerapi "github.com/filecoin-venus/venus/api/sealer"
	"github.com/filecoin-venus/venus/sealer/sector"
	"github.com/filecoin-venus/venus/types"
)

// order is a message that moves the miner's money or control.
type order struct {
	what   string
	from   address.Address
	method abi.MethodNum
	value  abi.TokenAmount
	params cbg.CBORMarshaler // nil for none
}

// act tries an order on the head's state and pushes it. What the chain would
// refuse is refused here, before it costs a fee.
func (s *Service) act(ctx context.Context, o order) (string, error) {
	from, err := s.node.StateAccountKey(ctx, o.from, types.EmptyTSK)
	if err != nil {
		return "", api.Errorf(api.CodePrecondition, "%s is sent by %s, which is no account: %w", o.what, o.from, err).WithHint("a multisig signs by 'venus msig propose'")
	}
	has, err := s.messager.HasWalletAddress(ctx, s.cfg.Messager.Wallet, from)
	if err != nil {
		return "", fmt.Errorf("ask wallet %s for %s: %w", s.cfg.Messager.Wallet, from, err)
	}
	if !has {
		return "", api.Errorf(api.CodePrecondition, "%s is sent by %s, whose key wallet %q of the messager does not hold", o.what, o.from, s.cfg.Messager.Wallet).
			WithHint("add the key to that wallet: 'venus-wallet import', then 'venus-messager wallet list-addr'")
	}
	msg := &types.Message{To: s.miner, From: from, Value: orZero(o.value), Method: o.method, GasFeeCap: big.Zero(), GasPremium: big.Zero()}
	if o.params != nil {
		var b bytes.Buffer
		if err := o.params.MarshalCBOR(&b); err != nil {
			return "", fmt.Errorf("encode %s: %w", o.what, err)
		}
		msg.Params = b.Bytes()
	}
	res, err := s.node.StateCall(ctx, msg, types.EmptyTSK)
	if err != nil {
		return "", fmt.Errorf("try %s on the present state: %w", o.what, err)
	}
	if res != nil && res.MsgRct != nil && res.MsgRct.ExitCode != exitcode.Ok {
		return "", api.Errorf(api.CodePrecondition, "%s would fail with %s and is not sent: %s", o.what, res.MsgRct.ExitCode, res.Error)
	}
	fees, err := s.cfg.Fees.MaxFees()
	if err != nil {
		return "", err
	}
	id, err := s.messager.PushMessage(ctx, msg, &messager.MsgMeta{MaxFee: orZero(fees[sector.KindActor]), MaxFeeCap: big.Zero()}, s.cfg.Messager.Wallet)
	if err != nil {
		return "", fmt.Errorf("push %s: %w", o.what, err)
	}
	log.Infow("moved money or control of the miner", "what", o.what, "from", from, "message", id)
	return id, nil
}

func (s *Service) minerInfo(ctx context.Context) (node.MinerInfo, error) {
	info, err := s.node.StateMinerInfo(ctx, s.miner, types.EmptyTSK)
	if err != nil {
		return info, fmt.Errorf("read miner %s: %w", s.miner, err)
	}
	return info, nil
}

// ActorWithdraw sends free money to the owner.
func (s *Service) ActorWithdraw(ctx context.Context, amount abi.TokenAmount) (string, error) {
	info, err := s.minerInfo(ctx)
	if err != nil {
		return "", err
	}
	free, err := s.node.StateMinerAvailableBalance(ctx, s.miner, types.EmptyTSK)
	if err != nil {
		return "", fmt.Errorf("read available balance: %w", err)
	}
	amount = orZero(amount)
	switch {
	case amount.Sign() < 0:
		return "", api.Errorf(api.CodeInvalid, "cannot withdraw %s", types.FIL(amount))
	case amount.GreaterThan(free):
		return "", api.Errorf(api.CodePrecondition, "cannot withdraw %s: %s are available", types.FIL(amount), types.FIL(free)).WithHint("without an amount all that is available is withdrawn")
	case amount.IsZero():
		amount = free
	}
	if amount.Sign() <= 0 {
		return "", api.Errorf(api.CodePrecondition, "nothing is available for withdrawal")
	}
	return s.act(ctx, order{what: "a withdrawal", from: info.Owner, method: builtin.MethodsMiner.WithdrawBalance, params: &miner.WithdrawBalanceParams{AmountRequested: amount}})
}

// ActorRepayDebt pays fee debt.
func (s *Service) ActorRepayDebt(ctx context.Context, amount abi.TokenAmount, from address.Address) (string, error) {
	info, err := s.minerInfo(ctx)
	if err != nil {
		return "", err
	}
	sums, err := s.readSums(ctx)
	if err != nil {
		return "", err
	}
	if amount = orZero(amount); amount.IsZero() {
		amount = orZero(sums.FeeDebt)
	}
	if amount.Sign() <= 0 {
		return "", api.Errorf(api.CodePrecondition, "the miner has no fee debt")
	}
	if from == address.Undef {
		from = info.Worker
	}
	return s.act(ctx, order{what: "a payment of debt", from: from, method: builtin.MethodsMiner.RepayDebt, value: amount})
}

// id resolves an address to its ID form, which is what the actor stores.
func (s *Service) id(ctx context.Context, a address.Address) (address.Address, error) {
	out, err := s.node.StateLookupID(ctx, a, types.EmptyTSK)
	if err != nil {
		return out, api.Errorf(api.CodeNotFound, "%s is not on the chain: %w", a, err).WithHint("an address exists once it was sent money")
	}
	return out, nil
}

// ActorSetOwner proposes or accepts a new owner.
func (s *Service) ActorSetOwner(ctx context.Context, owner, from address.Address) (string, error) {
	info, err := s.minerInfo(ctx)
	if err != nil {
		return "", err
	}
	next, err := s.id(ctx, owner)
	if err != nil {
		return "", err
	}
	by, err := s.id(ctx, from)
	if err != nil {
		return "", err
	}
	if by != info.Owner && by != next {
		return "", api.Errorf(api.CodeInvalid, "%s is neither the owner %s nor the new one %s", from, info.Owner, next).WithHint("send it from the present owner first, then from the new one")
	}
	return s.act(ctx, order{what: "a change of owner", from: by, method: builtin.MethodsMiner.ChangeOwnerAddress, params: &next})
}

// ActorProposeWorker proposes a new worker and leaves the control addresses as they are.
func (s *Service) ActorProposeWorker(ctx context.Context, worker address.Address) (string, error) {
	info, err := s.minerInfo(ctx)
	if err != nil {
		return "", err
	}
	next, err := s.id(ctx, worker)
	if err != nil {
		return "", err
	}
	switch {
	case next == info.Worker:
		return "", api.Errorf(api.CodePrecondition, "%s is the worker already", worker)
	case info.NewWorker != address.Undef && info.NewWorker != next:
		return "", api.Errorf(api.CodePrecondition, "%s is proposed already, and the chain forgets no proposal", info.NewWorker).WithHint("confirm it from epoch %d on: venus-sealer actor confirm-change-worker", info.WorkerChangeEpoch)
	case info.NewWorker == next:
		return "", api.Errorf(api.CodePrecondition, "%s is proposed already", worker).WithHint("confirm it from epoch %d on: venus-sealer actor confirm-change-worker", info.WorkerChangeEpoch)
	}
	return s.act(ctx, order{
		what: "a proposal of a worker", from: info.Owner, method: builtin.MethodsMiner.ChangeWorkerAddress,
		params: &miner.ChangeWorkerAddressParams{NewWorker: next, NewControlAddrs: info.ControlAddresses},
	})
}

// ActorConfirmWorker makes the proposed worker the worker.
func (s *Service) ActorConfirmWorker(ctx context.Context) (string, error) {
	info, err := s.minerInfo(ctx)
	if err != nil {
		return "", err
	}
	if info.NewWorker == address.Undef {
		return "", api.Errorf(api.CodePrecondition, "no worker is proposed").WithHint("propose one: venus-sealer actor propose-change-worker ADDRESS")
	}
	if now := s.heads.Latest().Epoch; now < info.WorkerChangeEpoch {
		return "", api.Errorf(api.CodePrecondition, "worker %s can be confirmed from epoch %d on, in %d epochs", info.NewWorker, info.WorkerChangeEpoch, info.WorkerChangeEpoch-now)
	}
	return s.act(ctx, order{what: "the confirmation of a worker", from: info.Owner, method: builtin.MethodsMiner.ConfirmUpdateWorkerKey})
}

// ActorSetControls replaces the control addresses.
func (s *Service) ActorSetControls(ctx context.Context, controls []address.Address) (string, error) {
	info, err := s.minerInfo(ctx)
	if err != nil {
		return "", err
	}
	if len(controls) > miner.MaxControlAddresses {
		return "", api.Errorf(api.CodeInvalid, "%d control addresses: the actor takes at most %d", len(controls), miner.MaxControlAddresses)
	}
	next := []address.Address{}
	for _, a := range controls {
		id, err := s.id(ctx, a)
		if err != nil {
			return "", err
		}
		next = append(next, id)
	}
	return s.act(ctx, order{
		what: "a change of control addresses", from: info.Owner, method: builtin.MethodsMiner.ChangeWorkerAddress,
		params: &miner.ChangeWorkerAddressParams{NewWorker: info.Worker, NewControlAddrs: next},
	})
}

// ActorSetPeerID tells the network the miner's peer id.
func (s *Service) ActorSetPeerID(ctx context.Context, text string) (string, error) {
	id, err := peer.Decode(text)
	if err != nil {
		return "", api.Errorf(api.CodeInvalid, "%q is no peer id: %w", text, err)
	}
	info, err := s.minerInfo(ctx)
	if err != nil {
		return "", err
	}
	return s.act(ctx, order{what: "a change of peer id", from: info.Worker, method: builtin.MethodsMiner.ChangePeerID, params: &miner.ChangePeerIDParams{NewID: abi.PeerID(id)}})
}

// ActorSetAddrs tells the network the miner's multiaddrs.
func (s *Service) ActorSetAddrs(ctx context.Context, addrs []string) (string, error) {
	params := &miner.ChangeMultiaddrsParams{}
	for _, text := range addrs {
		a, err := multiaddr.NewMultiaddr(text)
		if err != nil {
			return "", api.Errorf(api.CodeInvalid, "%q is no multiaddr: %w", text, err).WithHint("such as /ip4/1.2.3.4/tcp/24001")
		}
		params.NewMultiaddrs = append(params.NewMultiaddrs, a.Bytes())
	}
	info, err := s.minerInfo(ctx)
	if err != nil {
		return "", err
	}
	return s.act(ctx, order{what: "a change of multiaddrs", from: info.Worker, method: builtin.MethodsMiner.ChangeMultiaddrs, params: params})
}

// ActorCompactAllocated marks all numbers up to one as used. Numbers that this
// sealer is about to use must not be among them.
func (s *Service) ActorCompactAllocated(ctx context.Context, upTo abi.SectorNumber) (string, error) {
	if upTo >= abi.MaxSectorNumber {
		return "", api.Errorf(api.CodeInvalid, "sector number %d would leave no number for a sector", upTo)
	}
	for _, r := range s.pipeline.List() {
		if r.Number > upTo || r.State == sector.Removed {
			continue
		}
		used, err := s.node.StateMinerSectorAllocated(ctx, s.miner, r.Number, types.EmptyTSK)
		if err != nil {
			return "", fmt.Errorf("ask whether number %d is used: %w", r.Number, err)
		}
		if !used {
			return "", api.Errorf(api.CodePrecondition, "sector %d is in state %s and its number is not used on the chain yet: marking it would lose the sector", r.Number, r.State).
				WithHint("wait until it is pre-committed, or choose a lower number")
		}
	}
	info, err := s.minerInfo(ctx)
	if err != nil {
		return "", err
	}
	mask, err := bitfield.NewFromIter(&rlepluslazy.RunSliceIterator{Runs: []rlepluslazy.Run{{Val: true, Len: uint64(upTo) + 1}}})
	if err != nil {
		return "", fmt.Errorf("make the mask of sector numbers: %w", err)
	}
	return s.act(ctx, order{what: "a compaction of sector numbers", from: info.Worker, method: builtin.MethodsMiner.CompactSectorNumbers, params: &miner.CompactSectorNumbersParams{MaskSectorNumbers: mask}})
}

// ActorInfo tells who controls the miner.
func (s *Service) ActorInfo(ctx context.Context) (*sealerapi.ActorInfo, error) {
	info, err := s.minerInfo(ctx)
	if err != nil {
		return nil, err
	}
	sums, err := s.readSums(ctx)
	if err != nil {
		return nil, err
	}
	out := &sealerapi.ActorInfo{
		Miner: s.miner, SectorSize: info.SectorSize, NewWorker: info.NewWorker, WorkerFrom: info.WorkerChangeEpoch, Multiaddrs: []string{},
		FeeDebt: orZero(sums.FeeDebt), Ineligible: info.ConsensusFaultElapsed, Epoch: s.heads.Latest().Epoch, BlockDelay: s.network.BlockDelay,
	}
	if info.PeerId != nil {
		out.PeerID = *info.PeerId
	}
	for _, b := range info.Multiaddrs {
		text := fmt.Sprintf("%x", b)
		if a, err := multiaddr.NewMultiaddrBytes(b); err == nil {
			text = a.String()
		}
		out.Multiaddrs = append(out.Multiaddrs, text)
	}
	if out.Available, err = s.node.StateMinerAvailableBalance(ctx, s.miner, types.EmptyTSK); err != nil {
		return nil, fmt.Errorf("read available balance: %w", err)
	}
	uses, err := s.uses(ctx)
	if err != nil {
		return nil, err
	}
	add := func(name string, a address.Address, otherwise string) error {
		c, err := s.controller(ctx, name, a)
		if err != nil {
			return err
		}
		if c.Uses = uses[c.Key]; len(c.Uses) == 0 {
			c.Uses = []string{otherwise}
		}
		out.Controllers = append(out.Controllers, c)
		return nil
	}
	if err := add("owner", info.Owner, "other"); err != nil {
		return nil, err
	}
	post := "post" // what the worker pays for when nobody else does
	if len(info.ControlAddresses) > 0 {
		post = "other"
	}
	if err := add("worker", info.Worker, post); err != nil {
		return nil, err
	}
	for i, a := range info.ControlAddresses {
		if err := add(fmt.Sprintf("control-%d", i), a, "post"); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// uses tells for which messages the configuration names addresses, by key.
func (s *Service) uses(ctx context.Context) (map[address.Address][]string, error) {
	c, err := s.cfg.Addresses.Controls()
	if err != nil {
		return nil, err
	}
	out := map[address.Address][]string{}
	for _, x := range []struct {
		kind sector.Kind
		name string
	}{{sector.KindPreCommit, "precommit"}, {sector.KindCommit, "commit"}, {sector.KindTerminate, "terminate"}} {
		for _, a := range c[x.kind] {
			key, err := s.node.StateAccountKey(ctx, a, types.EmptyTSK)
			if err != nil {
				return nil, fmt.Errorf("resolve %s of the configuration: %w", a, err)
			}
			out[key] = append(out[key], x.name)
		}
	}
	return out, nil
}

func (s *Service) controller(ctx context.Context, name string, a address.Address) (sealerapi.Controller, error) {
	c := sealerapi.Controller{Name: name, ID: a, Key: a}
	var err error
	if key, err := s.node.StateAccountKey(ctx, a, types.EmptyTSK); err == nil {
		c.Key = key // what has no key, such as a multisig, stands for itself
	}
	if c.Balance, err = s.node.WalletBalance(ctx, c.Key); err != nil {
		return c, fmt.Errorf("read balance of %s: %w", a, err)
	}
	if c.InWallet, err = s.messager.HasWalletAddress(ctx, s.cfg.Messager.Wallet, c.Key); err != nil {
		return c, fmt.Errorf("ask wallet %s for %s: %w", s.cfg.Messager.Wallet, a, err)
	}
	return c, nil
}

// readSums reads what the actor holds back and owes.
func (s *Service) readSums(ctx context.Context) (sums locked, err error) {
	st, err := s.node.StateReadState(ctx, s.miner, types.EmptyTSK)
	if err != nil {
		return sums, fmt.Errorf("read miner state: %w", err)
	}
	return sumsOf(st)
}

// sumsOf reads the sums by name: the state came as JSON of unknown shape.
func sumsOf(st *node.ActorState) (sums locked, err error) {
	raw, err := json.Marshal(st.State)
	if err == nil {
		err = json.Unmarshal(raw, &sums)
	}
	if err != nil {
		return sums, fmt.Errorf("read miner state: %w", err)
	}
	return sums, nil
}

package sim

import (
	"fmt"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	gscrypto "github.com/filecoin-project/go-state-types/crypto"
	"github.com/filecoin-project/go-state-types/exitcode"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/miner"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/power"
)

// mostNewcomers is how many miners may join those of the genesis.
const mostNewcomers = 12

// ownerOf is the key of a miner's owner as of this turn, or now and then of anyone.
func (o *operator) ownerOf(t *turn, m *Miner) (Key, error) {
	if p := o.anyone(); p != nil && o.chance(strangers) {
		return p.Key, nil
	}
	info, err := t.view.MinerInfo(t.ctx, m.ID)
	if err != nil {
		return Key{}, err
	}
	k, ok := o.byID[info.Owner]
	if !ok {
		return Key{}, fmt.Errorf("owner %s of %s is nobody's key", info.Owner, m.ID)
	}
	return k, nil
}

// owned foretells calls that only the owner may make.
func (o *operator) owned(m *Miner, from Key, then func(s *standing, x *execution) exits) func(*execution) (exits, error) {
	return o.ruled(m, func(s *standing, x *execution) exits {
		if s.owner(o) != from.Address {
			return only(exitcode.SysErrForbidden)
		}
		return then(s, x)
	})
}

func fine(*standing, *execution) exits { return only(exitcode.Ok) }

// withdraw takes money out of a miner. What comes is known to the attoFIL.
func (o *operator) withdraw(t *turn) (*draft, error) {
	m := o.freeMiner()
	if m == nil {
		return nil, nil
	}
	from, err := o.ownerOf(t, m)
	if err != nil {
		return nil, err
	}
	ask := o.fil(200_000)
	if o.chance(20) {
		ask = ask.Neg()
	}
	msg, err := call(m.ID, big.Zero(), builtin.MethodsMiner.WithdrawBalance, &miner.WithdrawBalanceParams{AmountRequested: ask}, largeGas)
	if err != nil {
		return nil, err
	}
	judge := o.owned(m, from, func(s *standing, x *execution) exits {
		early, err := s.st.EarlyTerminations.IsEmpty()
		available, err2 := x.before.MinerAvailableBalance(x.ctx, m.ID, x.epoch)
		switch {
		case err != nil || err2 != nil:
			return nil
		case !early:
			return only(exitcode.ErrForbidden)
		case available.Sign() < 0:
			return only(exitcode.ErrInsufficientFunds)
		}
		return only(exitcode.Ok)
	})
	if ask.Sign() < 0 {
		judge = always(exitcode.ErrIllegalArgument)
	}
	return &draft{from: from, msg: msg, miner: m, judge: judge, done: func(x *execution) error {
		if !x.ok() || x.nulls > 0 {
			return nil
		}
		available, err := x.before.MinerAvailableBalance(x.ctx, m.ID, x.epoch)
		if err != nil {
			return err
		}
		var got abi.TokenAmount
		if err := x.returned(&got); err != nil {
			return err
		}
		if want := big.Min(ask, available); !got.Equals(want) {
			return fmt.Errorf("withdrawal of %s from %s gave %s attoFIL where %s are available", ask, m.ID, got, available)
		}
		return nil
	}}, nil
}

func (o *operator) repay(t *turn) (*draft, error) {
	m := o.freeMiner()
	if m == nil {
		return nil, nil
	}
	from, err := o.sender(t, m)
	if err != nil {
		return nil, err
	}
	msg, err := call(m.ID, o.fil(1000), builtin.MethodsMiner.RepayDebt, nil, largeGas)
	if err != nil {
		return nil, err
	}
	return &draft{from: from, msg: msg, miner: m, judge: o.ruled(m, func(s *standing, _ *execution) exits {
		if !s.admits(o, from) {
			return only(exitcode.SysErrForbidden)
		}
		return only(exitcode.Ok)
	})}, nil
}

// changeWorker proposes a new worker, control addresses, or both.
func (o *operator) changeWorker(t *turn) (*draft, error) {
	m, next := o.freeMiner(), o.anyone()
	if m == nil || next == nil {
		return nil, nil
	}
	from, err := o.ownerOf(t, m)
	if err != nil {
		return nil, err
	}
	var controls []address.Address
	for range o.rng.Intn(3) {
		controls = append(controls, o.anyone().id)
	}
	msg, err := call(m.ID, big.Zero(), builtin.MethodsMiner.ChangeWorkerAddress, &miner.ChangeWorkerAddressParams{
		NewWorker: next.id, NewControlAddrs: controls,
	}, largeGas)
	if err != nil {
		return nil, err
	}
	judge := o.owned(m, from, fine)
	if next.sigType != gscrypto.SigTypeBLS {
		judge = always(exitcode.ErrIllegalArgument)
	}
	return &draft{from: from, msg: msg, miner: m, judge: judge, done: func(x *execution) error {
		if !x.ok() {
			return nil
		}
		m.ops.handedOver = x.epoch
		info, err := x.after.MinerInfo(x.ctx, m.ID)
		if err == nil && len(info.ControlAddresses) != len(controls) {
			return fmt.Errorf("%s has %d control addresses where %d were set", m.ID, len(info.ControlAddresses), len(controls))
		}
		return err
	}}, nil
}

func (o *operator) confirmWorker(t *turn) (*draft, error) {
	m := o.freeMiner()
	if m == nil {
		return nil, nil
	}
	from, err := o.ownerOf(t, m)
	if err != nil {
		return nil, err
	}
	msg, err := call(m.ID, big.Zero(), builtin.MethodsMiner.ConfirmUpdateWorkerKey, nil, largeGas)
	if err != nil {
		return nil, err
	}
	return &draft{from: from, msg: msg, miner: m, judge: o.owned(m, from, fine), done: func(x *execution) error {
		if !x.ok() {
			return nil
		}
		m.ops.handedOver = x.epoch
		before, err := x.before.MinerInfo(x.ctx, m.ID)
		if err != nil {
			return err
		}
		after, err := x.after.MinerInfo(x.ctx, m.ID)
		if err != nil {
			return err
		}
		if p := before.PendingWorkerKey; p != nil && x.epoch >= p.EffectiveAt && after.Worker != p.NewWorker {
			return fmt.Errorf("worker of %s is %s, not %s", m.ID, after.Worker, p.NewWorker)
		}
		return nil
	}}, nil
}

// changeOwner proposes an heir, who accepts with the next message.
func (o *operator) changeOwner(t *turn) (*draft, error) {
	m, heir := o.freeMiner(), o.anyone()
	if m == nil || heir == nil {
		return nil, nil
	}
	accepts := m.ops.heir != nil
	var from Key
	var err error
	if accepts {
		heir = m.ops.heir
		from = heir.Key
	} else if from, err = o.ownerOf(t, m); err != nil {
		return nil, err
	}
	msg, err := call(m.ID, big.Zero(), builtin.MethodsMiner.ChangeOwnerAddress, &heir.id, largeGas)
	if err != nil {
		return nil, err
	}
	d := &draft{from: from, msg: msg, miner: m}
	d.judge = o.ruled(m, func(s *standing, _ *execution) exits {
		if s.info.PendingOwnerAddress == nil || s.owner(o) == from.Address {
			if s.owner(o) != from.Address {
				return only(exitcode.SysErrForbidden)
			}
			return only(exitcode.Ok)
		}
		if o.byID[*s.info.PendingOwnerAddress].Address != from.Address {
			return only(exitcode.SysErrForbidden)
		}
		return only(exitcode.Ok)
	})
	d.done = func(x *execution) error {
		if !x.ok() {
			return nil
		}
		m.ops.handedOver = x.epoch
		info, err := x.after.MinerInfo(x.ctx, m.ID)
		if err != nil {
			return err
		}
		m.ops.heir = nil
		switch {
		case info.PendingOwnerAddress != nil:
			m.ops.heir = heir
		case accepts && info.Owner != heir.id:
			return fmt.Errorf("%s was accepted as owner of %s, which is %s's", heir.id, m.ID, info.Owner)
		}
		return nil
	}
	return d, nil
}

func (o *operator) changePeer(t *turn) (*draft, error) {
	m := o.freeMiner()
	if m == nil {
		return nil, nil
	}
	from, err := o.sender(t, m)
	if err != nil {
		return nil, err
	}
	o.made++
	name, tooLong := digest("peer", number(uint64(o.made))), o.chance(10)
	if !tooLong {
		name = name[:32]
	}
	d := &draft{from: from, miner: m, judge: o.ruled(m, func(s *standing, _ *execution) exits {
		if !s.admits(o, from) {
			return only(exitcode.SysErrForbidden)
		}
		return only(exitcode.Ok)
	})}
	if o.chance(2) {
		d.msg, err = call(m.ID, big.Zero(), builtin.MethodsMiner.ChangeMultiaddrs, &miner.ChangeMultiaddrsParams{NewMultiaddrs: []abi.Multiaddrs{name}}, largeGas)
		return d, err
	}
	if tooLong {
		d.judge = always(exitcode.ErrIllegalArgument)
	}
	d.msg, err = call(m.ID, big.Zero(), builtin.MethodsMiner.ChangePeerID, &miner.ChangePeerIDParams{NewID: name}, largeGas)
	return d, err
}

// createMiner makes a person a miner. It works only with BLS keys, as workers must be.
func (o *operator) createMiner(*turn) (*draft, error) {
	p := o.anyone()
	if p == nil || len(o.w.Miners) >= o.w.cfg.Miners+mostNewcomers {
		return nil, nil
	}
	window, err := abi.RegisteredSealProof_StackedDrg2KiBV1_1.RegisteredWindowPoStProof()
	if err != nil {
		return nil, err
	}
	judge := always(exitcode.Ok)
	if p.sigType != gscrypto.SigTypeBLS {
		judge = always(exitcode.ErrIllegalArgument)
	}
	msg, err := call(builtin.StoragePowerActorAddr, big.Mul(big.NewInt(50), oneFIL()), builtin.MethodsPower.CreateMiner, &power.CreateMinerParams{
		Owner: p.id, Worker: p.id, WindowPoStProofType: window, Peer: []byte("newcomer"),
	}, largeGas)
	if err != nil {
		return nil, err
	}
	return &draft{from: p.Key, msg: msg, judge: judge, done: func(x *execution) error {
		if !x.ok() {
			return nil
		}
		var ret power.CreateMinerReturn
		if err := x.returned(&ret); err != nil {
			return err
		}
		id, err := address.IDFromAddress(ret.IDAddress)
		if err != nil {
			return err
		}
		m := &Miner{ID: ret.IDAddress, Actor: abi.ActorID(id), Key: p.Key, born: x.epoch, sent: map[abi.ChainEpoch]*postRecord{}}
		m.stats = MinerReport{Miner: m.ID}
		o.w.Miners = append(o.w.Miners, m)
		return o.equip(m.ID)
	}}, nil
}

package sim

import (
	"fmt"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/go-state-types/exitcode"
)

func (o *operator) sendOperations() []operation {
	return []operation{
		{"send to new account", 30, o.sendNew},
		{"send between people", 60, o.sendKnown},
		{"send wrongly", 40, o.sendWrong},
	}
}

// sendNew pays an address that nobody used before.
func (o *operator) sendNew(*turn) (*draft, error) {
	from := o.anyone()
	if from == nil {
		return nil, nil
	}
	o.made++
	name := digest("stranger", number(uint64(o.w.cfg.Seed)), number(uint64(o.made)))
	to, err := address.NewSecp256k1Address(name)
	if o.chance(3) {
		to, err = address.NewBLSAddress(name[:address.BlsPublicKeyBytes])
	}
	if err != nil {
		return nil, err
	}
	value := o.fil(10)
	return &draft{from: from.Key, msg: message(to, value, 0, nil, smallGas), judge: always(exitcode.Ok), done: func(x *execution) error {
		act, err := x.after.Actor(x.ctx, to)
		if err == nil && !act.Balance.Equals(value) {
			return errBalance(to, act.Balance, value)
		}
		return err
	}}, nil
}

// sendKnown pays someone who has an account.
func (o *operator) sendKnown(*turn) (*draft, error) {
	from, to := o.anyone(), o.anyone()
	if from == nil {
		return nil, nil
	}
	at := to.id
	if o.chance(2) {
		at = to.Address
	}
	return &draft{from: from.Key, msg: message(at, o.fil(1000), 0, nil, smallGas), judge: always(exitcode.Ok)}, nil
}

// sendWrong sends what cannot arrive: too much, to actors that do not exist, to methods that are none.
func (o *operator) sendWrong(*turn) (*draft, error) {
	from, to := o.anyone(), o.anyone()
	if from == nil {
		return nil, nil
	}
	switch o.rng.Intn(4) {
	case 0:
		most := big.Mul(big.NewInt(100*personFIL*peopleCount), oneFIL())
		return &draft{from: from.Key, msg: message(to.id, most, 0, nil, smallGas), judge: always(exitcode.SysErrInsufficientFunds)}, nil
	case 1:
		nobody, err := address.NewIDAddress(1 << 40)
		return &draft{from: from.Key, msg: message(nobody, o.fil(1), 0, nil, smallGas), judge: always(exitcode.SysErrInvalidReceiver)}, err
	case 2:
		nobody, err := address.NewActorAddress(number(uint64(o.made)))
		return &draft{from: from.Key, msg: message(nobody, o.fil(1), 0, nil, smallGas), judge: always(exitcode.SysErrInvalidReceiver)}, err
	}
	return &draft{from: from.Key, msg: message(to.id, o.fil(1), abi.MethodNum(100), nil, smallGas), judge: always(exitcode.SysErrInvalidMethod)}, nil
}

func errBalance(a address.Address, has, want abi.TokenAmount) error {
	return fmt.Errorf("%s has %s attoFIL where %s were due", a, has, want)
}

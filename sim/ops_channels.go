package sim

import (
	"errors"
	"fmt"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/go-state-types/cbor"
	"github.com/filecoin-project/go-state-types/exitcode"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin"
	init7 "github.com/filecoin-project/specs-actors/v7/actors/builtin/init"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/paych"
	"github.com/ipfs/go-cid"
	"golang.org/x/crypto/blake2b"

	"github.com/filecoin-venus/venus/state"
	"github.com/filecoin-venus/venus/types"
)

// settleDelay is how long a channel takes to settle (actors-v7-others.md 1.6).
const settleDelay = abi.ChainEpoch(1440)

// mostChannels and mostWallets bound what is open at once.
const (
	mostChannels = 40
	mostWallets  = 40
)

func (o *operator) channelOperations() []operation {
	return []operation{
		{"create channel", 12, o.createChannel},
		{"fund channel", 15, o.fundChannel},
		{"redeem voucher", 120, o.redeem},
		{"settle channel", 15, o.settleChannel},
		{"collect channel", 15, o.collect},
	}
}

// channel is the model of a payment channel.
type channel struct {
	id       address.Address
	from, to *person
	balance  abi.TokenAmount
	toSend   abi.TokenAmount
	settling abi.ChainEpoch
	lanes    map[uint64]*lane
	gone     bool
}

type lane struct {
	redeemed abi.TokenAmount
	nonce    uint64
}

// execCall asks the init actor for a new actor.
func execCall(code cid.Cid, args cbor.Marshaler, value abi.TokenAmount) (types.Message, error) {
	inner, err := call(builtin.InitActorAddr, value, builtin.MethodsInit.Exec, args, smallGas)
	if err != nil {
		return types.Message{}, err
	}
	return call(builtin.InitActorAddr, value, builtin.MethodsInit.Exec, &init7.ExecParams{CodeCID: code, ConstructorParams: inner.Params}, smallGas)
}

// createChannel opens a channel between two people; to one who is nobody's account, it is refused.
func (o *operator) createChannel(*turn) (*draft, error) {
	if len(o.people) < 2 || len(o.channels) >= mostChannels {
		return nil, nil
	}
	c := &channel{from: o.anyone(), to: o.anyone(), balance: o.fil(20_000), toSend: big.Zero(), lanes: map[uint64]*lane{}}
	if c.from == c.to {
		return nil, nil
	}
	code, to := builtin.PaymentChannelActorCodeID, c.to.id
	judge := always(exitcode.Ok)
	switch o.rng.Intn(20) {
	case 0: // a miner signs no vouchers
		to, judge = o.w.Miners[0].ID, always(exitcode.ErrForbidden)
	case 1: // miners are made by the power actor
		code, judge = builtin.StorageMinerActorCodeID, always(exitcode.ErrForbidden)
	}
	msg, err := execCall(code, &paych.ConstructorParams{From: c.from.id, To: to}, c.balance)
	if err != nil {
		return nil, err
	}
	return &draft{from: c.from.Key, msg: msg, touched: c, judge: judge, done: func(x *execution) error {
		if !x.ok() {
			return nil
		}
		var ret init7.ExecReturn
		if err := x.returned(&ret); err != nil {
			return err
		}
		c.id = ret.IDAddress
		o.channels = append(o.channels, c)
		return nil
	}}, nil
}

// channelParty picks one of the two, or now and then a stranger.
func (o *operator) channelParty(c *channel) *person {
	switch {
	case o.chance(strangers):
		return o.anyone()
	case o.chance(3):
		return c.from
	}
	return c.to
}

func (c *channel) involves(p *person) bool { return p == c.from || p == c.to }

// absent is the exit of any message to an actor that was deleted.
const absent = exitcode.SysErrInvalidReceiver

func (o *operator) fundChannel(*turn) (*draft, error) {
	c, from := some(o, o.channels), o.anyone()
	if c == nil {
		return nil, nil
	}
	value := o.fil(5000)
	return &draft{from: from.Key, msg: message(c.id, value, 0, nil, smallGas), touched: c, judge: func(*execution) (exits, error) {
		if c.gone {
			return only(absent), nil
		}
		return only(exitcode.Ok), nil
	}, done: func(x *execution) error {
		if x.ok() {
			c.balance = big.Add(c.balance, value)
		}
		return nil
	}}, nil
}

// voucherPlan is a voucher and what is wrong with it apart from lanes and amounts.
type voucherPlan struct {
	paych.SignedVoucher
	by     *person
	secret []byte
	flaw   exitcode.ExitCode
}

func (o *operator) redeem(t *turn) (*draft, error) {
	c := some(o, o.channels)
	if c == nil {
		return nil, nil
	}
	v, err := o.voucher(t, c)
	if err != nil {
		return nil, err
	}
	msg, err := call(c.id, big.Zero(), builtin.MethodsPaych.UpdateChannelState, &paych.UpdateChannelStateParams{Sv: v.SignedVoucher, Secret: v.secret}, smallGas)
	if err != nil {
		return nil, err
	}
	return &draft{from: v.by.Key, msg: msg, touched: c, judge: func(x *execution) (exits, error) {
		return only(c.redeemExit(v, x.epoch)), nil
	}, done: func(x *execution) error {
		if !x.ok() {
			return nil
		}
		delta, _ := c.apply(v)
		c.toSend = big.Add(c.toSend, delta)
		l := c.lane(v.Lane)
		l.redeemed, l.nonce = v.Amount, v.Nonce
		c.lanes[v.Lane] = l
		for _, m := range v.Merges {
			c.lanes[m.Lane].nonce = m.Nonce
		}
		return nil
	}}, nil
}

// voucher draws a voucher of the payer, redeemed by the payee, or the other way round.
func (o *operator) voucher(t *turn, c *channel) (*voucherPlan, error) {
	v := &voucherPlan{by: o.channelParty(c)}
	v.ChannelAddr, v.Lane = c.id, uint64(o.rng.Intn(4))
	l := c.lane(v.Lane)
	v.Nonce, v.Amount = l.nonce+1, big.Add(l.redeemed, o.fil(500))
	if o.chance(5) {
		for other, ol := range c.lanes {
			if other != v.Lane && (len(v.Merges) == 0 || other < v.Merges[0].Lane) {
				v.Merges = []paych.Merge{{Lane: other, Nonce: ol.nonce + 1}}
			}
		}
	}
	if o.chance(6) {
		v.secret = digest("secret", number(uint64(o.made)))[:16]
		hash := blake2b.Sum256(v.secret)
		v.SecretHash = hash[:]
	}
	switch o.rng.Intn(20) {
	case 0:
		v.Nonce = l.nonce
	case 1:
		v.Amount = big.Add(c.balance, o.fil(1000)) // more than the channel holds
	case 2:
		v.TimeLockMin, v.flaw = t.epoch()+1000, exitcode.ErrIllegalArgument
	case 3:
		v.TimeLockMax, v.flaw = t.head.Height()-1, exitcode.ErrIllegalArgument
	case 4:
		v.ChannelAddr, v.flaw = c.from.id, exitcode.ErrIllegalArgument
	case 5:
		v.SecretHash, v.flaw = digest("other secret")[:32], exitcode.ErrIllegalArgument
	case 6:
		v.TimeLockMin, v.TimeLockMax = 1, t.epoch()+1000
	}
	body, err := v.SigningBytes()
	if err != nil {
		return nil, err
	}
	signer := c.from
	if v.by == c.from {
		signer = c.to
	}
	if v.Signature, err = signer.Sign(body); err != nil {
		return nil, err
	}
	if o.chance(25) {
		v.Signature.Data[5] ^= 1
		v.flaw = exitcode.ErrIllegalArgument
	}
	return v, nil
}

// lane is a copy of a lane, an empty one where there is none.
func (c *channel) lane(n uint64) *lane {
	if l, ok := c.lanes[n]; ok {
		copied := *l
		return &copied
	}
	return &lane{redeemed: big.Zero()}
}

// apply tells by how much a voucher raises what is to be sent, and whether lanes and funds allow it.
func (c *channel) apply(v *voucherPlan) (abi.TokenAmount, bool) {
	_, exists := c.lanes[v.Lane]
	l := c.lane(v.Lane)
	if exists && l.nonce >= v.Nonce {
		return big.Zero(), false
	}
	others := big.Zero()
	for _, m := range v.Merges {
		other, ok := c.lanes[m.Lane]
		if !ok || m.Lane == v.Lane || other.nonce >= m.Nonce {
			return big.Zero(), false
		}
		others = big.Add(others, other.redeemed)
	}
	delta := big.Sub(v.Amount, big.Add(others, l.redeemed))
	send := big.Add(c.toSend, delta)
	return delta, send.Sign() >= 0 && send.LessThanEqual(c.balance)
}

// redeemExit follows the order of the actor's checks (actors-v7-others.md 9.2).
func (c *channel) redeemExit(v *voucherPlan, epoch abi.ChainEpoch) exitcode.ExitCode {
	_, covered := c.apply(v)
	switch {
	case c.gone:
		return absent
	case !c.involves(v.by):
		return exitcode.SysErrForbidden
	case c.settling != 0 && epoch >= c.settling:
		return paych.ErrChannelStateUpdateAfterSettled
	case v.flaw != exitcode.Ok:
		return v.flaw
	case !covered:
		return exitcode.ErrIllegalArgument
	}
	return exitcode.Ok
}

// compare holds the channel against the chain.
func (c *channel) compare(x *execution) error {
	if c.id == address.Undef {
		return nil // its creation was refused
	}
	if c.gone {
		_, err := x.after.Actor(x.ctx, c.id)
		if !errors.Is(err, state.ErrActorNotFound) {
			return fmt.Errorf("channel %s was collected, and is there: %w", c.id, err)
		}
		return nil
	}
	balance, st, err := x.after.Channel(x.ctx, c.id)
	if err != nil {
		return err
	}
	if !balance.Equals(c.balance) || !st.ToSend.Equals(c.toSend) || st.SettlingAt != c.settling {
		return fmt.Errorf("channel %s holds %s, owes %s, settles at %d; in the book %s, %s, %d", c.id, balance, st.ToSend, st.SettlingAt, c.balance, c.toSend, c.settling)
	}
	lanes := 0
	err = x.after.ChannelLanes(x.ctx, c.id, func(n uint64, l paych.LaneState) error {
		lanes++
		if known := c.lanes[n]; known == nil || known.nonce != l.Nonce || !known.redeemed.Equals(l.Redeemed) {
			return fmt.Errorf("lane %d of channel %s is %v, in the book %v", n, c.id, l, known)
		}
		return nil
	})
	if err == nil && lanes != len(c.lanes) {
		return fmt.Errorf("channel %s has %d lanes, in the book %d", c.id, lanes, len(c.lanes))
	}
	return err
}

func (o *operator) settleChannel(*turn) (*draft, error) {
	c := some(o, o.channels)
	if c == nil {
		return nil, nil
	}
	by := o.channelParty(c)
	msg, err := call(c.id, big.Zero(), builtin.MethodsPaych.Settle, nil, smallGas)
	return &draft{from: by.Key, msg: msg, touched: c, judge: func(*execution) (exits, error) {
		switch {
		case c.gone:
			return only(absent), nil
		case !c.involves(by):
			return only(exitcode.SysErrForbidden), nil
		case c.settling != 0:
			return only(exitcode.ErrIllegalState), nil
		}
		return only(exitcode.Ok), nil
	}, done: func(x *execution) error {
		if x.ok() {
			c.settling = x.epoch + settleDelay
		}
		return nil
	}}, err
}

// collect closes a channel: the payee gets what vouchers gave, the payer the rest.
func (o *operator) collect(*turn) (*draft, error) {
	c := some(o, o.channels)
	if c == nil || c.settling == 0 && !o.chance(20) {
		return nil, nil
	}
	by := o.channelParty(c)
	msg, err := call(c.id, big.Zero(), builtin.MethodsPaych.Collect, nil, smallGas)
	return &draft{from: by.Key, msg: msg, touched: c, judge: func(x *execution) (exits, error) {
		switch {
		case c.gone:
			return only(absent), nil
		case !c.involves(by):
			return only(exitcode.SysErrForbidden), nil
		case c.settling == 0 || x.epoch < c.settling:
			return only(exitcode.ErrForbidden), nil
		}
		return only(exitcode.Ok), nil
	}, done: func(x *execution) error {
		if !x.ok() {
			return nil
		}
		c.gone = true
		for i, other := range o.channels {
			if other == c {
				o.channels = append(o.channels[:i:i], o.channels[i+1:]...)
				break
			}
		}
		return nil
	}}, err
}

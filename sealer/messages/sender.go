// Package messages sends a miner's messages through the messager: it chooses
// who pays, pushes under ids that were fixed beforehand, and tells their fate.
//
// Start at Sender.Push. Invariants: an id is pushed at most once, because the
// messager is asked for it first and refuses another message under it; a sender
// is only chosen if the wallet holds its key and its balance covers value and
// fee; what an operator must mend is ErrFunds or ErrNoKey, everything else is
// worth another try.
package messages

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/go-state-types/exitcode"
	"github.com/ipfs/go-cid"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/api/messager"
	"github.com/filecoin-venus/venus/api/node"
	"github.com/filecoin-venus/venus/sealer/sector"
	"github.com/filecoin-venus/venus/types"
)

// ErrFunds says that no address that may pay has enough.
var ErrFunds = errors.New("insufficient funds")

// ErrNoKey says that the wallet holds no key that may send for the miner.
var ErrNoKey = errors.New("no usable key in the wallet")

// ClassOf tells who can mend an error of this package, or of a node or messager
// behind it.
func ClassOf(err error) sector.Class {
	if errors.Is(err, ErrFunds) || errors.Is(err, ErrNoKey) {
		return sector.Operator
	}
	switch api.Explain(err).Code {
	case api.CodePermission, api.CodeUnauthenticated:
		return sector.Operator
	}
	return sector.Transient
}

// Messager is the part of the messager that is used.
type Messager interface {
	PushMessageWithId(ctx context.Context, id string, msg *types.Message, meta *messager.MsgMeta, walletName string) (string, error)
	HasMessageByUid(ctx context.Context, id string) (bool, error)
	GetMessageByUid(ctx context.Context, id string) (*messager.Message, error)
	HasWalletAddress(ctx context.Context, walletName string, addr address.Address) (bool, error)
}

// Chain is the part of the node that is used.
type Chain interface {
	StateMinerInfo(ctx context.Context, miner address.Address, tsk types.TipSetKey) (node.MinerInfo, error)
	StateAccountKey(ctx context.Context, addr address.Address, tsk types.TipSetKey) (address.Address, error)
	WalletBalance(ctx context.Context, addr address.Address) (abi.TokenAmount, error)
	StateCall(ctx context.Context, msg *types.Message, tsk types.TipSetKey) (*node.InvocResult, error)
}

// Config tells for whom and with whose money messages are sent.
type Config struct {
	Miner address.Address
	// Wallet is the messager's name of the wallet with the miner's keys.
	Wallet string
	// Controls are addresses that pay before the worker does, by kind.
	Controls map[sector.Kind][]address.Address
	// MaxFee limits the fee by kind, in attoFIL; a missing one is the messager's own limit.
	MaxFee map[sector.Kind]abi.TokenAmount
	// Confidence is how many epochs deep a message must be to count as landed.
	Confidence int64
}

// Sender sends messages of one miner.
type Sender struct {
	cfg   Config
	msgs  Messager
	chain Chain
}

// New makes a sender.
func New(cfg Config, m Messager, c Chain) *Sender { return &Sender{cfg: cfg, msgs: m, chain: c} }

// Request is a message to the miner actor.
type Request struct {
	ID     string
	Kind   sector.Kind
	Method abi.MethodNum
	Value  abi.TokenAmount
	Params []byte
	// Expire is the epoch from which the messager must not send it any more, 0 = never.
	Expire abi.ChainEpoch
	// Attempt rotates the senders of window proofs when one seems stuck; it counts from 1.
	Attempt int
	// Sectors share the message: it may cost as much as that many of their own. 0 counts as 1.
	Sectors int
}

// Push sends a message. It returns the value that goes with it: that of the
// first push, if the id was pushed before.
func (s *Sender) Push(ctx context.Context, r Request) (abi.TokenAmount, error) {
	if m, err := s.Known(ctx, r.ID); err != nil || m != nil {
		if m != nil {
			return m.Value, nil
		}
		return big.Zero(), err
	}
	fee := big.Mul(orZero(s.cfg.MaxFee[r.Kind]), big.NewInt(int64(max(r.Sectors, 1))))
	from, err := s.choose(ctx, r, big.Add(r.Value, fee))
	if err != nil {
		return big.Zero(), err
	}
	msg := &types.Message{
		To: s.cfg.Miner, From: from, Value: r.Value, Method: r.Method, Params: r.Params,
		GasFeeCap: big.Zero(), GasPremium: big.Zero(),
	}
	meta := &messager.MsgMeta{ExpireEpoch: r.Expire, MaxFee: fee, MaxFeeCap: big.Zero()}
	if _, err := s.msgs.PushMessageWithId(ctx, r.ID, msg, meta, s.cfg.Wallet); err != nil {
		return big.Zero(), fmt.Errorf("push %s message %s: %w", r.Kind, r.ID, err)
	}
	return r.Value, nil
}

// Refusal is the chain's word that a message would do nothing.
type Refusal struct {
	Exit exitcode.ExitCode
	Text string
}

func (r *Refusal) Error() string {
	if r.Text == "" {
		return fmt.Sprintf("exit code %d", r.Exit)
	}
	return fmt.Sprintf("exit code %d: %s", r.Exit, r.Text)
}

// Try runs a message on the head's state, from the worker, without sending it.
// It returns a Refusal if it would fail for another reason than a want of funds,
// which is judged when it is pushed.
func (s *Sender) Try(ctx context.Context, r Request) error {
	info, err := s.chain.StateMinerInfo(ctx, s.cfg.Miner, types.EmptyTSK)
	if err != nil {
		return fmt.Errorf("read miner %s: %w", s.cfg.Miner, err)
	}
	res, err := s.chain.StateCall(ctx, &types.Message{
		To: s.cfg.Miner, From: info.Worker, Value: orZero(r.Value), Method: r.Method, Params: r.Params, GasFeeCap: big.Zero(), GasPremium: big.Zero(),
	}, types.EmptyTSK)
	if err != nil {
		return fmt.Errorf("try the %s message: %w", r.Kind, err)
	}
	if res == nil || res.MsgRct == nil {
		return fmt.Errorf("try the %s message: the node answered without a receipt", r.Kind)
	}
	switch res.MsgRct.ExitCode {
	case exitcode.Ok, exitcode.SysErrInsufficientFunds, exitcode.ErrInsufficientFunds:
		return nil
	}
	return &Refusal{Exit: res.MsgRct.ExitCode, Text: res.Error}
}

// Known returns the message that was pushed under an id, nil when none was.
func (s *Sender) Known(ctx context.Context, id string) (*messager.Message, error) {
	has, err := s.msgs.HasMessageByUid(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("ask for message %s: %w", id, err)
	}
	if !has {
		return nil, nil
	}
	m, err := s.msgs.GetMessageByUid(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("read message %s: %w", id, err)
	}
	return m, nil
}

func orZero(v big.Int) big.Int {
	if v.Int == nil {
		return big.Zero()
	}
	return v
}

// postControls splits the miner's control addresses: those that are only for
// window proofs, and those that pay for other messages as well.
func (s *Sender) postControls(ctx context.Context, info node.MinerInfo) (own, shared []address.Address) {
	key := func(a address.Address) address.Address {
		if k, err := s.chain.StateAccountKey(ctx, a, types.EmptyTSK); err == nil {
			return k
		}
		return a
	}
	busy := map[address.Address]bool{}
	for _, list := range s.cfg.Controls {
		for _, a := range list {
			busy[key(a)] = true
		}
	}
	for _, a := range info.ControlAddresses {
		if busy[key(a)] {
			shared = append(shared, a)
		} else {
			own = append(own, a)
		}
	}
	return own, shared
}

// choose picks who sends. Window proofs go from control addresses first, so
// that a sealing message that waits in the worker's queue cannot hold them up.
func (s *Sender) choose(ctx context.Context, r Request, need abi.TokenAmount) (address.Address, error) {
	info, err := s.chain.StateMinerInfo(ctx, s.cfg.Miner, types.EmptyTSK)
	if err != nil {
		return address.Undef, fmt.Errorf("read miner %s: %w", s.cfg.Miner, err)
	}
	var list []address.Address
	list = append(list, s.cfg.Controls[r.Kind]...)
	if r.Kind == sector.KindWindowPoSt || r.Kind == sector.KindRecover || r.Kind == sector.KindFault {
		own, shared := s.postControls(ctx, info)
		list = append(append(list, own...), shared...)
	}
	list = append(list, info.Worker, info.Owner)
	var (
		usable []address.Address
		poor   []string
		last   error
		least  address.Address // the richest of those who have too little
		most   = big.Zero()
	)
	for _, a := range list {
		key, have, err := s.usable(ctx, a)
		switch {
		case err != nil:
			last = err
		case key == address.Undef:
		case have.GreaterThanEqual(need):
			usable = append(usable, key)
		default:
			poor = append(poor, fmt.Sprintf("%s has %s", a, types.FIL(have)))
			if have.GreaterThan(most) {
				least, most = key, have
			}
		}
	}
	switch {
	case len(usable) > 0:
		return usable[max(r.Attempt-1, 0)%len(usable)], nil
	case least != address.Undef && r.Kind == sector.KindWindowPoSt:
		return least, nil // the fee limit is far above the usual fee: trying beats losing power
	case last != nil:
		return address.Undef, last
	case len(poor) > 0:
		return address.Undef, fmt.Errorf("%w for the %s message, which needs %s: %s", ErrFunds, r.Kind, types.FIL(need), strings.Join(poor, ", "))
	}
	return address.Undef, fmt.Errorf("%w: wallet %q of the messager holds neither worker %s nor owner %s", ErrNoKey, s.cfg.Wallet, info.Worker, info.Owner)
}

// usable resolves an address and reads its balance; Undef when the wallet lacks
// its key.
func (s *Sender) usable(ctx context.Context, a address.Address) (address.Address, abi.TokenAmount, error) {
	key, err := s.chain.StateAccountKey(ctx, a, types.EmptyTSK)
	if err != nil {
		return address.Undef, big.Zero(), fmt.Errorf("resolve sender %s: %w", a, err)
	}
	has, err := s.msgs.HasWalletAddress(ctx, s.cfg.Wallet, key)
	if err != nil {
		return address.Undef, big.Zero(), fmt.Errorf("ask wallet %s for %s: %w", s.cfg.Wallet, key, err)
	}
	if !has {
		return address.Undef, big.Zero(), nil
	}
	have, err := s.chain.WalletBalance(ctx, key)
	if err != nil {
		return address.Undef, big.Zero(), fmt.Errorf("read balance of %s: %w", key, err)
	}
	return key, have, nil
}

// Fate is how a message fared. Exactly one of Unknown, Waiting, Landed and
// Dropped is set.
type Fate struct {
	Unknown bool // never pushed
	Waiting bool // may still land, or is not deep enough
	Landed  bool // executed, deep enough
	Dropped bool // can never land

	Cid    cid.Cid
	Exit   exitcode.ExitCode
	Return []byte
	Height abi.ChainEpoch
	// Why explains a message that waits or was dropped.
	Why string
}

// Fate asks the messager.
func (s *Sender) Fate(ctx context.Context, id string) (Fate, error) {
	m, err := s.Known(ctx, id)
	if err != nil {
		return Fate{}, err
	}
	if m == nil {
		return Fate{Unknown: true, Why: "the messager does not know it"}, nil
	}
	return FateOf(m, s.cfg.Confidence), nil
}

// FateOf judges a message by the messager's record of it.
func FateOf(m *messager.Message, confidence int64) Fate {
	f := Fate{Height: abi.ChainEpoch(m.Height), Why: m.ErrorMsg}
	switch m.State {
	case messager.StateOnChain:
		if m.Receipt == nil || m.Confidence < confidence {
			f.Waiting = true
			return f
		}
		f.Landed, f.Exit, f.Return = true, m.Receipt.ExitCode, m.Receipt.Return
		if m.SignedCid != nil {
			f.Cid = *m.SignedCid
		} else if m.UnsignedCid != nil {
			f.Cid = *m.UnsignedCid
		}
	case messager.StateFailed, messager.StateReplaced, messager.StateNoWallet:
		f.Dropped = true
		if f.Why == "" {
			f.Why = "the messager gave it up (" + m.State.String() + ")"
		}
	default:
		f.Waiting = true
	}
	return f
}

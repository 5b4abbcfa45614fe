package node

import (
	"context"
	"fmt"
	"math"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/ipfs/go-cid"

	"github.com/filecoin-venus/venus/api"
	apinode "github.com/filecoin-venus/venus/api/node"
	"github.com/filecoin-venus/venus/mpool"
	"github.com/filecoin-venus/venus/types"
	"github.com/filecoin-venus/venus/vm"
)

// Between now and soon the base fee moves by an eighth an epoch at most.
const (
	soonEpochs  = 20
	baseFeeStep = 9.0 / 8
)

// signatureRoom is what a signature adds to the bytes of a message at most.
const signatureRoom = 200

// checker looks for what would keep messages out of the pool or of blocks.
type checker struct {
	mpoolAPI
	head    *types.TipSet
	baseFee abi.TokenAmount
	// next and left are a sender's next nonce and remaining balance, by key.
	next map[address.Address]uint64
	left map[address.Address]abi.TokenAmount
}

func (a mpoolAPI) checker(ctx context.Context) (*checker, error) {
	head := a.store.Head()
	fee, err := a.store.NextBaseFee(ctx, head)
	if err != nil {
		return nil, err
	}
	return &checker{mpoolAPI: a, head: head, baseFee: fee, next: map[address.Address]uint64{}, left: map[address.Address]abi.TokenAmount{}}, nil
}

func (a mpoolAPI) MpoolCheckMessages(ctx context.Context, msgs []*apinode.MessagePrototype) ([][]apinode.MessageCheck, error) {
	c, err := a.checker(ctx)
	if err != nil {
		return nil, err
	}
	out := make([][]apinode.MessageCheck, len(msgs))
	for i, p := range msgs {
		if p == nil {
			return nil, api.Errorf(api.CodeInvalid, "check: message %d is missing", i)
		}
		out[i] = c.check(ctx, filled(&p.Message), p.ValidNonce, false)
	}
	return out, nil
}

func (a mpoolAPI) MpoolCheckPendingMessages(ctx context.Context, from address.Address) ([][]apinode.MessageCheck, error) {
	pending, err := a.pool.PendingOf(ctx, from)
	if err != nil {
		return nil, err
	}
	msgs := make([]*types.Message, len(pending))
	for i, m := range pending {
		msgs[i] = &m.Message
	}
	return a.recheck(ctx, msgs)
}

func (a mpoolAPI) MpoolCheckReplaceMessages(ctx context.Context, msgs []*types.Message) ([][]apinode.MessageCheck, error) {
	out, err := a.recheck(ctx, msgs)
	if err != nil {
		return nil, err
	}
	for i, m := range msgs {
		if !out[i][0].OK {
			continue
		}
		pending, err := a.pool.PendingOf(ctx, m.From)
		if err != nil {
			return nil, err
		}
		out[i] = append(out[i], a.payoff(m, pending))
	}
	return out, nil
}

// payoff is the check of a replacement against what is pending with its nonce.
func (a mpoolAPI) payoff(m *types.Message, pending []*types.SignedMessage) apinode.MessageCheck {
	m = filled(m)
	out := apinode.MessageCheck{Cid: m.Cid(), Code: apinode.CheckReplacePayoff}
	for _, p := range pending {
		if p.Message.Nonce != m.Nonce {
			continue
		}
		least := a.pool.Config().MinReplacePremium(p.Message.GasPremium)
		out.OK, out.Hint = !m.GasPremium.LessThan(least), map[string]any{"minPremium": least}
		if !out.OK {
			out.Err = fmt.Sprintf("premium %s is below %s", m.GasPremium, least)
		}
		return out
	}
	out.Err = fmt.Sprintf("no message with nonce %d is pending", m.Nonce)
	return out
}

// recheck checks messages that are in the pool, or shall take such a one's place.
func (a mpoolAPI) recheck(ctx context.Context, msgs []*types.Message) ([][]apinode.MessageCheck, error) {
	c, err := a.checker(ctx)
	if err != nil {
		return nil, err
	}
	out := make([][]apinode.MessageCheck, len(msgs))
	for i, m := range msgs {
		if m == nil {
			return nil, api.Errorf(api.CodeInvalid, "check: message %d is missing", i)
		}
		out[i] = c.check(ctx, filled(m), true, true)
	}
	return out, nil
}

// check runs all checks of a message. pooled messages have their nonce already,
// new ones with a meaning nonce need one that is free.
func (c *checker) check(ctx context.Context, m *types.Message, nonceMeant, pooled bool) []apinode.MessageCheck {
	l := new(checkList)
	raw, err := m.Serialize()
	if err != nil { // it has no CID either
		l.add(apinode.CheckSerialize, err, nil)
		return l.list
	}
	l.cid = m.Cid()
	l.add(apinode.CheckSerialize, nil, nil)
	l.must(apinode.CheckSize, len(raw)+signatureRoom <= mpool.MaxMessageBytes, nil, "%d bytes, at most %d", len(raw), mpool.MaxMessageBytes-signatureRoom)
	l.add(apinode.CheckValidity, vm.CheckSyntax(m, m.ChainLength()), nil)
	least := vm.OnChainMessageGas(m.ChainLength())
	l.must(apinode.CheckMinGas, m.GasLimit >= least, map[string]any{"minGas": least}, "gas limit %d is below %d", m.GasLimit, least)
	c.fees(l, m)
	c.funds(ctx, l, m, nonceMeant, pooled)
	return l.list
}

func (c *checker) fees(l *checkList, m *types.Message) {
	l.must(apinode.CheckMinBaseFee, !m.GasFeeCap.LessThan(big.NewInt(mpool.MinGasFeeCap)), map[string]any{"baseFee": big.NewInt(mpool.MinGasFeeCap)},
		"fee cap %s is below the least base fee", m.GasFeeCap)
	for _, f := range []struct {
		code  int
		steps float64
		when  string
	}{
		{apinode.CheckBaseFee, 0, "now"}, {apinode.CheckBaseFeeSoon, -soonEpochs, "soon at best"}, {apinode.CheckBaseFeeLate, soonEpochs, "soon at worst"},
	} {
		fee := scaled(c.baseFee, math.Pow(baseFeeStep, f.steps))
		l.must(f.code, !m.GasFeeCap.LessThan(fee), map[string]any{"baseFee": fee}, "fee cap %s is below the base fee %s: %s", m.GasFeeCap, f.when, fee)
	}
}

// scaled multiplies an amount by a factor of a few digits.
func scaled(amount abi.TokenAmount, factor float64) abi.TokenAmount {
	const unit = 1 << 20
	return big.Max(big.Div(big.Mul(amount, big.NewInt(int64(factor*unit))), big.NewInt(unit)), big.NewInt(mpool.MinGasFeeCap))
}

// funds checks what depends on the sender; messages before this one count.
func (c *checker) funds(ctx context.Context, l *checkList, m *types.Message, nonceMeant, pooled bool) {
	chain := poolChain{c.reader}
	actor, err := chain.ActorAfter(ctx, m.From, c.head)
	key := m.From
	if err == nil {
		key, err = chain.ResolveToKey(ctx, m.From, c.head)
	}
	l.add(apinode.CheckNonceState, err, nil)
	l.add(apinode.CheckBalanceState, err, nil)
	if err != nil {
		return
	}
	if _, known := c.left[key]; !known {
		c.left[key], c.next[key] = actor.Balance, actor.Nonce
		if next, err := c.pool.NextNonce(ctx, m.From); err == nil && !pooled {
			c.next[key] = next
		}
	}
	if nonceMeant {
		hint := map[string]any{"nextNonce": c.next[key]}
		if pooled {
			l.must(apinode.CheckNonce, m.Nonce >= actor.Nonce, hint, "nonce %d is used, the next is %d", m.Nonce, actor.Nonce)
		} else {
			l.must(apinode.CheckNonce, m.Nonce == c.next[key], hint, "nonce %d, the next is %d", m.Nonce, c.next[key])
			c.next[key] = max(c.next[key], m.Nonce+1)
		}
	}
	need := big.Add(m.Value, m.RequiredFunds())
	l.must(apinode.CheckBalance, !c.left[key].LessThan(need), map[string]any{"requiredFunds": need}, "%s needed, %s left", types.FIL(need), types.FIL(c.left[key]))
	c.left[key] = big.Max(big.Sub(c.left[key], need), big.Zero())
}

// checkList collects the outcomes of one message.
type checkList struct {
	cid  cid.Cid
	list []apinode.MessageCheck
}

func (l *checkList) add(code int, err error, hint map[string]any) {
	c := apinode.MessageCheck{Cid: l.cid, Code: code, OK: err == nil, Hint: hint}
	if err != nil {
		c.Err = err.Error()
	}
	l.list = append(l.list, c)
}

func (l *checkList) must(code int, ok bool, hint map[string]any, format string, args ...any) {
	var err error
	if !ok {
		err = fmt.Errorf(format, args...)
	}
	l.add(code, err, hint)
}

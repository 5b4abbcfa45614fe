package mpool

import (
	"math/big"

	"github.com/filecoin-project/go-address"
	fbig "github.com/filecoin-project/go-state-types/big"

	"github.com/filecoin-venus/venus/types"
	"github.com/filecoin-venus/venus/vm"
)

// Queue is what selection knows of one sender: its actor after the base tipset
// and its pending messages by rising nonce.
type Queue struct {
	Sender address.Address
	Actor  Actor
	Msgs   []*types.SignedMessage
}

// chain is a run of consecutive messages of one sender that enter a block
// together, because a later one pays for the earlier ones.
type chain struct {
	msgs   []*types.SignedMessage
	gas    int64
	reward *big.Int
	// perf is the reward for a whole block of this gas.
	perf float64
	// effPerf is perf weighted by the chance that the block holding it is ours;
	// only the optimal selection sets it.
	effPerf float64
	// sender and place name the chain: the place-th of its sender.
	sender, place int
	trimmed       bool
}

// gasReward is what the miner earns with a message: the premium as far as the
// fee cap leaves it, tripled when negative because the miner pays a penalty.
func gasReward(m *types.Message, baseFee fbig.Int) *big.Int {
	tip := fbig.Min(m.GasPremium, fbig.Sub(m.GasFeeCap, baseFee))
	r := new(big.Int).Mul(tip.Int, big.NewInt(m.GasLimit))
	if r.Sign() < 0 {
		r.Mul(r, big.NewInt(3))
	}
	return r
}

// gasPerf rounds: it orders chains, it pays nobody.
func gasPerf(reward *big.Int, gas int64) float64 {
	if gas == 0 {
		return 0
	}
	f, _ := reward.Float64()
	return f * BlockGasLimit / float64(gas)
}

// maxEnvelope is more than a signed message takes on chain beside its
// parameters: addresses, amounts of up to 128 bytes, a signature.
const maxEnvelope = 1024

// paysItsWay tells whether the gas limit covers carrying the message. Most do
// by far, and need not be encoded to know it.
func paysItsWay(m *types.SignedMessage) bool {
	if m.Message.GasLimit >= vm.OnChainMessageGas(maxEnvelope+len(m.Message.Params)) {
		return true
	}
	return m.Message.GasLimit >= vm.OnChainMessageGas(m.ChainLength())
}

// executable cuts a queue to the prefix that would be valid in one block: nonces
// without a gap, gas within the block, every fee affordable.
func executable(q Queue) []*types.SignedMessage {
	var out []*types.SignedMessage
	nonce, balance, gas := q.Actor.Nonce, q.Actor.Balance, int64(0)
	for _, m := range q.Msgs {
		if m.Message.Nonce < nonce {
			continue
		}
		need := m.Message.RequiredFunds()
		if m.Message.Nonce > nonce || !paysItsWay(m) ||
			gas+m.Message.GasLimit > BlockGasLimit || balance.LessThan(need) {
			break
		}
		balance = fbig.Sub(balance, need)
		// A transfer that the balance cannot cover fails, but is still valid in a block.
		if !balance.LessThan(m.Message.Value) {
			balance = fbig.Sub(balance, m.Message.Value)
		}
		gas += m.Message.GasLimit
		nonce++
		out = append(out, m)
	}
	return out
}

func (c *chain) push(m *types.SignedMessage, reward *big.Int) {
	c.msgs = append(c.msgs, m)
	c.gas += m.Message.GasLimit
	c.reward.Add(c.reward, reward)
	c.perf = gasPerf(c.reward, c.gas)
}

// buildChains cuts a sender's executable messages into chains whose performance
// strictly falls, so that taking chains in order of performance keeps nonces in
// order.
func buildChains(q Queue, sender int, baseFee fbig.Int) []*chain {
	var chains []*chain
	cur, sum := &chain{reward: new(big.Int)}, new(big.Int)
	for _, m := range executable(q) {
		reward := gasReward(&m.Message, baseFee)
		joined := gasPerf(sum.Add(cur.reward, reward), cur.gas+m.Message.GasLimit)
		if len(cur.msgs) > 0 && joined < cur.perf {
			chains = append(chains, cur)
			cur = &chain{reward: new(big.Int)}
		}
		cur.push(m, reward)
	}
	if len(cur.msgs) > 0 {
		chains = append(chains, cur)
	}
	return numbered(mergeRising(chains), sender)
}

// mergeRising joins neighbours until performance strictly falls along the list.
func mergeRising(chains []*chain) []*chain {
	var out []*chain
	for _, c := range chains {
		for len(out) > 0 && c.perf >= out[len(out)-1].perf {
			prev := out[len(out)-1]
			out = out[:len(out)-1]
			prev.msgs = append(prev.msgs, c.msgs...)
			prev.gas += c.gas
			prev.reward.Add(prev.reward, c.reward)
			prev.perf = gasPerf(prev.reward, prev.gas)
			c = prev
		}
		out = append(out, c)
	}
	return out
}

func numbered(chains []*chain, sender int) []*chain {
	for i, c := range chains {
		c.sender, c.place = sender, i
	}
	return chains
}

// better orders chains by performance, then reward, then sender, so that the
// result never depends on map order.
func better(a, b *chain) bool {
	if a.perf != b.perf {
		return a.perf > b.perf
	}
	if c := a.reward.Cmp(b.reward); c != 0 {
		return c > 0
	}
	if a.sender != b.sender {
		return a.sender < b.sender
	}
	return a.place < b.place
}

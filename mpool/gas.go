package mpool

import (
	"context"
	"fmt"
	"math"
	"sort"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	stcrypto "github.com/filecoin-project/go-state-types/crypto"

	"github.com/filecoin-venus/venus/types"
)

const (
	// minGasPremium is the least premium that is ever proposed, attoFIL per gas.
	minGasPremium = 100000
	// gasTarget is the gas that a block holds in balance.
	gasTarget = BlockGasLimit / 2
	// premiumBlocks and feeCapBlocks are the horizons of a whole estimate.
	premiumBlocks, feeCapBlocks = 10, 20
	// premiumNoise keeps senders with the same view from bidding the same price.
	premiumNoise = 0.005
	// simulatedFeeCap pays for a simulation without asking the sender for much.
	simulatedFeeCap = MinGasFeeCap + 1
	secpSigLength   = 65
)

// defaultMaxFee, 0.07 FIL, caps a message's total fee when the caller names no cap.
var defaultMaxFee = big.NewInt(70_000_000_000_000_000)

// Simulator runs messages without keeping the result.
type Simulator interface {
	// Simulate opens the state after ts, at the next epoch.
	Simulate(ctx context.Context, ts *types.TipSet) (Simulation, error)
}

// Simulation is a state on which messages run one after the other.
type Simulation interface {
	// Apply runs a message with fees; its nonce follows the sender's on this state.
	// What it did stays for the messages after it. The error is for calls that could
	// not be made, not for messages that fail.
	Apply(ctx context.Context, msg types.ChainMsg) (CallResult, error)
}

// CallResult is the outcome of a simulated message.
type CallResult struct {
	Receipt types.MessageReceipt
	// Error is the machine's words on a non-zero exit.
	Error string
	// Headroom is gas that must be there while the message runs although the
	// receipt does not show it: deleting an actor refunds 76000 at the end.
	Headroom int64
}

// ExecError says that a simulated message fails.
type ExecError struct{ Result CallResult }

// Error names the exit code in the words that callers of the network's nodes
// look for.
func (e *ExecError) Error() string {
	s := fmt.Sprintf("message execution failed: exit %d", e.Result.Receipt.ExitCode)
	if e.Result.Error != "" {
		s += ", reason: " + e.Result.Error
	}
	return s
}

// Spec limits an estimate. The zero value means the defaults.
type Spec struct {
	// MaxFee, attoFIL, caps fee cap times gas limit.
	MaxFee abi.TokenAmount
	// GasOverEstimation multiplies the gas used; 0 means the configured ratio.
	GasOverEstimation float64
}

// Estimator proposes gas limits and prices.
type Estimator struct {
	pool *Pool
	sim  Simulator
}

// NewEstimator makes an estimator that counts the pool's pending messages.
func NewEstimator(p *Pool, sim Simulator) *Estimator { return &Estimator{p, sim} }

// FeeCap is a price that still covers the base fee after that many full blocks,
// plus the message's premium.
func FeeCap(baseFee, premium big.Int, blocks int64) big.Int {
	growth := int64(math.Pow(1.125, float64(blocks)) * 256)
	fee := big.Div(big.Mul(baseFee, big.NewInt(growth)), big.NewInt(256))
	if premium.Int != nil {
		fee = big.Add(fee, premium)
	}
	return fee
}

// FeeCap estimates a fee cap on a tipset.
func (e *Estimator) FeeCap(m *types.Message, blocks int64, ts *types.TipSet) abi.TokenAmount {
	return FeeCap(ts.ParentBaseFee(), m.GasPremium, blocks)
}

// price is what one message on chain offered.
type price struct {
	premium big.Int
	limit   int64
}

// medianPremium is the premium at the 55th percentile of the gas that blocks
// carried, or the ladder of minimum premiums when they were not full.
func medianPremium(prices []price, blocks int, n uint64) big.Int {
	sort.SliceStable(prices, func(i, j int) bool { return prices[i].premium.GreaterThan(prices[j].premium) })
	at := int64(gasTarget)*int64(blocks)/2 + int64(gasTarget)*int64(blocks)/40
	prev1, prev2 := big.Zero(), big.Zero()
	for _, p := range prices {
		prev1, prev2 = p.premium, prev1
		if at -= p.limit; at < 0 {
			break
		}
	}
	premium := prev1
	if prev2.Sign() != 0 {
		premium = big.Div(big.Add(prev1, prev2), big.NewInt(2))
	}
	if at >= 0 {
		// The blocks had room left: any premium got in.
		premium = big.Zero()
	}
	if premium.LessThan(big.NewInt(minGasPremium)) {
		switch n {
		case 1:
			return big.NewInt(2 * minGasPremium)
		case 2:
			return big.NewInt(3 * minGasPremium / 2)
		default:
			return big.NewInt(minGasPremium)
		}
	}
	return premium
}

// Premium estimates the tip per gas that gets a message in within n blocks, from
// the 2n tipsets below ts.
func (e *Estimator) Premium(ctx context.Context, n uint64, ts *types.TipSet) (abi.TokenAmount, error) {
	n = min(max(n, 1), 100)
	var prices []price
	blocks := 0
	for i := uint64(0); i < 2*n && ts.Height() > 0; i++ {
		parent, err := e.pool.o.Chain.TipSet(ctx, ts.Parents())
		if err != nil {
			return big.Zero(), fmt.Errorf("load tipset %s: %w", ts.Parents(), err)
		}
		msgs, err := e.pool.o.Chain.Messages(ctx, parent)
		if err != nil {
			return big.Zero(), fmt.Errorf("messages of %s: %w", parent.Key(), err)
		}
		for _, m := range msgs {
			prices = append(prices, price{m.VMMessage().GasPremium, m.VMMessage().GasLimit})
		}
		blocks += len(parent.Blocks())
		ts = parent
	}
	premium := medianPremium(prices, blocks, n)
	e.pool.mu.Lock()
	noise := 1 + e.pool.rng.NormFloat64()*premiumNoise
	e.pool.mu.Unlock()
	const precision = 1 << 32
	return big.Div(big.Mul(premium, big.NewInt(int64(noise*precision))), big.NewInt(precision)), nil
}

// GasLimit runs the message behind the sender's pending ones and returns the gas
// it needs, without over-estimation. A message that fails is an ExecError.
func (e *Estimator) GasLimit(ctx context.Context, m *types.Message, ts *types.TipSet) (int64, error) {
	return e.stage(m.From, behindAll(m.Nonce), ts).gas(ctx, m)
}

// behindAll reads the nonce of a message to estimate: zero is "not given yet", and
// such a message runs behind everything pending.
func behindAll(nonce uint64) uint64 {
	if nonce == 0 {
		return math.MaxUint64
	}
	return nonce
}

// prior lists the messages that will run before one of a sender's: the pending
// ones without a gap from the chain's nonce on, below a limit. next is the nonce
// behind them.
func (e *Estimator) prior(ctx context.Context, from address.Address, below uint64, ts *types.TipSet) (prior []types.ChainMsg, next uint64, err error) {
	actor, err := e.pool.o.Chain.ActorAfter(ctx, from, ts)
	if err != nil {
		return nil, 0, fmt.Errorf("look up sender %s: %w", from, err)
	}
	pending, err := e.pool.PendingOf(ctx, from)
	if err != nil {
		return nil, 0, err
	}
	next = actor.Nonce
	for _, p := range pending {
		switch n := p.Message.Nonce; {
		case n < next:
		case n > next || n >= below:
			return prior, next, nil
		default:
			prior = append(prior, p)
			next++
		}
	}
	return prior, next, nil
}

// stage is a sender's line in simulation: opened when a first message asks for its
// gas, with the pending messages run once for all that follow.
type stage struct {
	e     *Estimator
	from  address.Address
	below uint64
	ts    *types.TipSet
	key   address.Address
	sim   Simulation
	next  uint64
}

func (e *Estimator) stage(from address.Address, below uint64, ts *types.TipSet) *stage {
	return &stage{e: e, from: from, below: below, ts: ts}
}

func (s *stage) open(ctx context.Context) error {
	if s.sim != nil {
		return nil
	}
	key, err := s.e.pool.resolve(ctx, s.from, s.ts)
	if err != nil {
		return err
	}
	prior, next, err := s.e.prior(ctx, s.from, s.below, s.ts)
	if err != nil {
		return err
	}
	sim, err := s.e.sim.Simulate(ctx, s.ts)
	if err != nil {
		return fmt.Errorf("open a simulation: %w", err)
	}
	for _, m := range prior {
		if _, err := sim.Apply(ctx, m); err != nil {
			return fmt.Errorf("simulate pending message %s: %w", m.Cid(), err)
		}
	}
	s.key, s.next, s.sim = key, next, sim
	return nil
}

// gas runs a message behind all that ran here before and returns the gas it needs.
// One that fails leaves no more behind than a used nonce of the simulation.
func (s *stage) gas(ctx context.Context, m *types.Message) (int64, error) {
	if err := s.open(ctx); err != nil {
		return 0, err
	}
	probe := *m
	probe.Nonce, probe.GasLimit = s.next, BlockGasLimit
	probe.GasFeeCap = big.NewInt(simulatedFeeCap)
	probe.GasPremium = big.NewInt(1)
	if probe.Value.Int == nil {
		probe.Value = big.Zero()
	}
	res, err := s.sim.Apply(ctx, asOnChain(&probe, s.key))
	if err != nil {
		return 0, fmt.Errorf("simulate message: %w", err)
	}
	if res.Receipt.ExitCode == 0 || res.Receipt.GasUsed > 0 {
		s.next++ // only a message that never started keeps the nonce free
	}
	if res.Receipt.ExitCode != 0 {
		return 0, &ExecError{res}
	}
	return res.Receipt.GasUsed + res.Headroom, nil
}

// asOnChain gives an unsigned message the length it will have on chain: senders
// with a secp256k1 key pay for their signature.
func asOnChain(m *types.Message, key address.Address) types.ChainMsg {
	if key.Protocol() != address.SECP256K1 {
		return m
	}
	return &types.SignedMessage{Message: *m, Signature: stcrypto.Signature{
		Type: stcrypto.SigTypeSecp256k1, Data: make([]byte, secpSigLength),
	}}
}

// MessageGas returns a copy of the message with gas limit, premium and fee cap
// filled in where they are zero, within the fee limit of spec.
func (e *Estimator) MessageGas(ctx context.Context, m *types.Message, spec Spec, ts *types.TipSet) (*types.Message, error) {
	return e.fill(ctx, m, spec, e.stage(m.From, behindAll(m.Nonce), ts))
}

func (e *Estimator) fill(ctx context.Context, m *types.Message, spec Spec, line *stage) (*types.Message, error) {
	out := *m
	if out.GasLimit == 0 {
		used, err := line.gas(ctx, m)
		if err != nil {
			return nil, err
		}
		ratio := spec.GasOverEstimation
		if ratio <= 0 {
			ratio = e.pool.Config().GasLimitOverestimation
		}
		out.GasLimit = min(int64(float64(used)*ratio), BlockGasLimit)
	}
	if out.GasPremium.Int == nil || out.GasPremium.IsZero() {
		premium, err := e.Premium(ctx, premiumBlocks, line.ts)
		if err != nil {
			return nil, err
		}
		out.GasPremium = premium
	}
	if out.GasFeeCap.Int == nil || out.GasFeeCap.IsZero() {
		out.GasFeeCap = e.FeeCap(&out, feeCapBlocks, line.ts)
	}
	CapFee(&out, spec.MaxFee)
	return &out, nil
}

// CapFee lowers fee cap and premium until the message cannot cost more than
// maxFee attoFIL; a missing or zero maxFee means 0.07 FIL.
func CapFee(m *types.Message, maxFee big.Int) {
	if maxFee.Int == nil || maxFee.IsZero() {
		maxFee = defaultMaxFee
	}
	if m.GasLimit > 0 && m.RequiredFunds().GreaterThan(maxFee) {
		m.GasFeeCap = big.Div(maxFee, big.NewInt(m.GasLimit))
	}
	m.GasPremium = big.Min(m.GasPremium, m.GasFeeCap)
}

// BatchItem is one message of a batch and its limits.
type BatchItem struct {
	Msg  *types.Message
	Spec Spec
}

// BatchResult is the filled message, or why there is none.
type BatchResult struct {
	Msg *types.Message
	Err error
}

// Batch estimates messages of one sender as a sequence: nonces rise from
// fromNonce, each message runs behind the ones before it, and one that fails
// takes no nonce and leaves no trace.
func (e *Estimator) Batch(ctx context.Context, items []BatchItem, fromNonce uint64, ts *types.TipSet) ([]BatchResult, error) {
	if len(items) == 0 {
		return nil, nil
	}
	line := e.stage(items[0].Msg.From, fromNonce, ts)
	out := make([]BatchResult, len(items))
	for i, it := range items {
		if it.Msg.From != items[0].Msg.From {
			return nil, fmt.Errorf("message %d of the batch is from %s, not %s", i, it.Msg.From, items[0].Msg.From)
		}
		m := *it.Msg
		m.Nonce = fromNonce
		filled, err := e.fill(ctx, &m, it.Spec, line)
		if err != nil {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			m.Nonce = 0
			out[i] = BatchResult{&m, err}
			continue
		}
		out[i] = BatchResult{Msg: filled}
		fromNonce++
	}
	return out, nil
}

package chain

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"

	"github.com/filecoin-project/go-address"
	amt "github.com/filecoin-project/go-amt-ipld/v2"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/reward"
	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/ipfs/go-cid"
	logging "github.com/ipfs/go-log/v2"
	cbg "github.com/whyrusleeping/cbor-gen"
	"golang.org/x/sync/singleflight"

	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/internal/fault"
	"github.com/filecoin-venus/venus/ipld"
	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/types"
	"github.com/filecoin-venus/venus/vm"
)

var log = logging.Logger("chain")

// Gas limits of the implicit messages (node.md 4.10).
const (
	rewardGasLimit = 1 << 30
	cronGasLimit   = 100_000_000_000_000
)

const resultCache = 2048

// Machine executes messages over one state at one epoch; *vm.VM is the one of network version 15.
type Machine interface {
	ApplyMessage(ctx context.Context, msg types.ChainMsg) (*vm.Result, error)
	ApplyImplicit(ctx context.Context, msg *types.Message) (*vm.Result, error)
	Flush(ctx context.Context) (cid.Cid, error)
}

// NewMachine opens a machine. VMachine is the usual one.
type NewMachine func(ctx context.Context, cfg vm.Config) (Machine, error)

// VMachine opens the virtual machine of package vm.
func VMachine(ctx context.Context, cfg vm.Config) (Machine, error) { return vm.New(ctx, cfg) }

// Result is what executing a tipset gives: the two roots that its children must name.
type Result struct {
	State    cid.Cid
	Receipts cid.Cid
}

// Executor turns tipsets into states. Safe for concurrent use: a tipset is executed once however many ask.
type Executor struct {
	store    *Store
	rounds   Rounds
	machine  NewMachine
	verifier vm.Verifier
	clock    clock.Clock
	results  *lru.Cache[types.TipSetKey, Result]
	flight   singleflight.Group
	life     context.Context
	stop     context.CancelFunc

	// mu guards closed, running, the number of executions under way, and still, which keeps new ones waiting; idle tells
	// of every change of them.
	mu      sync.Mutex
	idle    *sync.Cond
	closed  bool
	still   bool
	running int
}

// ExecutorConfig is what an Executor is made of.
type ExecutorConfig struct {
	Store  *Store
	Rounds Rounds
	// Machine opens machines; nil means VMachine.
	Machine NewMachine
	// Verifier judges the proofs in messages.
	Verifier vm.Verifier
	// Clock measures messages for traces; nil leaves durations zero.
	Clock clock.Clock
}

// NewExecutor makes an executor over a store.
func NewExecutor(cfg ExecutorConfig) (*Executor, error) {
	if cfg.Machine == nil {
		cfg.Machine = VMachine
	}
	results, err := lru.New[types.TipSetKey, Result](resultCache)
	if err != nil {
		return nil, err
	}
	life, stop := context.WithCancel(context.Background())
	e := &Executor{
		store: cfg.Store, rounds: cfg.Rounds, machine: cfg.Machine, verifier: cfg.Verifier, clock: cfg.Clock,
		results: results, life: life, stop: stop,
	}
	e.idle = sync.NewCond(&e.mu)
	return e, nil
}

// ErrClosed: the executor was closed.
var ErrClosed = errors.New("executor is closed")

// Close ends the executions that are under way, which fail with the context's error, and waits for them. After it the
// stores below may be closed.
func (e *Executor) Close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = true
	e.idle.Broadcast()
	e.stop()
	for e.running > 0 {
		e.idle.Wait()
	}
	if err := e.store.record(context.Background()); err != nil {
		log.Warnw("tipsets will have to be executed again after a restart", "error", err)
	}
}

// enter counts an execution in, unless the executor is closed; leave counts it out. Executions that others wait for run
// inside of those, so that they are let in while any is under way.
func (e *Executor) enter() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	for e.still && !e.closed {
		e.idle.Wait()
	}
	if e.closed {
		return ErrClosed
	}
	e.running++
	return nil
}

func (e *Executor) leave() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.running--
	e.idle.Broadcast()
}

// Still waits for a moment without executions and runs fn in it: nothing that was computed from older states is written
// afterwards.
func (e *Executor) Still(fn func() error) error {
	e.mu.Lock()
	for (e.running > 0 || e.still) && !e.closed {
		e.idle.Wait()
	}
	if e.closed {
		e.mu.Unlock()
		return ErrClosed
	}
	e.still = true
	e.mu.Unlock()
	defer func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.still = false
		e.idle.Broadcast()
	}()
	return fn()
}

// Forget drops what is remembered of results and tipsets, and the durable results whose states are gone from the store. It
// returns how many of these there were.
func (e *Executor) Forget(ctx context.Context) (int, error) {
	if err := e.store.record(ctx); err != nil {
		return 0, err
	}
	e.results.Purge()
	e.store.Forget()
	var gone [][]byte
	err := e.store.meta.Scan(ctx, prefixExec, func(key, value []byte) error {
		if _, state, err := cid.CidFromBytes(value); err == nil {
			if ok, err := e.store.blocks.Has(ctx, state); ok || err != nil {
				return err
			}
		}
		gone = append(gone, bytes.Clone(key))
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("look for results without states: %w", err)
	}
	for list := range slices.Chunk(gone, 1000) {
		if err := e.store.meta.Delete(ctx, list...); err != nil {
			return 0, err
		}
	}
	return len(gone), nil
}

// Store is the chain that the executor works on.
func (e *Executor) Store() *Store { return e.store }

// Randomness of the chain ending in ts.
func (e *Executor) Randomness(ts *types.TipSet) *Randomness {
	return NewRandomness(e.store, e.rounds, ts)
}

// Execute returns state and receipts after ts. The answer comes from memory, from the durable record of an earlier run, or
// from running the tipset's messages (node-nv15.md 2.6). Genesis is never executed: its header holds its results.
func (e *Executor) Execute(ctx context.Context, ts *types.TipSet) (Result, error) {
	if ts.Height() == 0 {
		b := ts.Blocks()[0]
		return Result{State: b.ParentStateRoot, Receipts: b.ParentMessageReceipts}, nil
	}
	if r, ok := e.results.Get(ts.Key()); ok {
		return r, nil
	}
	// The work outlives the caller that started it, since others may wait for it too.
	ch := e.flight.DoChan(string(ts.Key().Bytes()), func() (any, error) {
		if err := e.enter(); err != nil {
			return nil, err
		}
		defer e.leave()
		return e.resolve(e.life, ts)
	})
	select {
	case out := <-ch:
		if out.Err != nil {
			return Result{}, fmt.Errorf("execute tipset %d %s: %w", ts.Height(), ts.Key(), out.Err)
		}
		return out.Val.(Result), nil
	case <-ctx.Done():
		return Result{}, fmt.Errorf("execute tipset %d %s: %w", ts.Height(), ts.Key(), ctx.Err())
	}
}

func (e *Executor) resolve(ctx context.Context, ts *types.TipSet) (res Result, err error) {
	defer func() {
		if p := recover(); p != nil {
			log.Errorw("panic in tipset execution", "tipset", ts.Key(), "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	if r, ok, err := e.recorded(ctx, ts.Key()); err != nil {
		return Result{}, err
	} else if ok {
		e.results.Add(ts.Key(), r)
		return r, nil
	}
	if err := e.ensureParentState(ctx, ts); err != nil {
		return Result{}, err
	}
	if res, err = e.run(ctx, ts, nil); err != nil {
		return Result{}, err
	}
	if err := fault.Point("exec/stateFlush"); err != nil {
		return Result{}, err
	}
	e.results.Add(ts.Key(), res)
	// It spares a second run after a restart and can wait: the next head takes it along.
	if e.store.results.add(ts.Key(), res) {
		return res, e.store.record(ctx)
	}
	return res, nil
}

func execKey(k types.TipSetKey) []byte { return append(bytes.Clone(prefixExec), k.Bytes()...) }

// result looks up the recorded result of a tipset.
func (s *Store) result(ctx context.Context, k types.TipSetKey) (Result, bool, error) {
	if r, ok := s.results.get(k); ok {
		return r, true, nil
	}
	raw, err := s.meta.Get(ctx, execKey(k))
	if err != nil || raw == nil {
		return Result{}, false, err
	}
	n, state, err := cid.CidFromBytes(raw)
	if err != nil {
		return Result{}, false, nil // a record that cannot be read is as good as none
	}
	_, receipts, err := cid.CidFromBytes(raw[n:])
	if err != nil {
		return Result{}, false, nil
	}
	return Result{State: state, Receipts: receipts}, true, nil
}

// recorded looks up a durable result and makes sure that its roots are still in the store.
func (e *Executor) recorded(ctx context.Context, k types.TipSetKey) (Result, bool, error) {
	res, ok, err := e.store.result(ctx, k)
	if err != nil || !ok {
		return Result{}, false, err
	}
	for _, c := range []cid.Cid{res.State, res.Receipts} {
		ok, err := e.store.blocks.Has(ctx, c)
		if err != nil || !ok {
			return Result{}, false, err
		}
	}
	return res, true, nil
}

// ErrStateGone: a state is older than what the store keeps.
var ErrStateGone = errors.New("the state is not in the store any more")

// ensureParentState runs ancestors again whose state is not in the store, oldest first.
func (e *Executor) ensureParentState(ctx context.Context, ts *types.TipSet) error {
	var again []*types.TipSet
	for cur := ts; cur.Height() > 0; {
		ok, err := e.store.blocks.Has(ctx, cur.ParentState())
		if err != nil {
			return err
		}
		if ok {
			break
		}
		parent, err := e.store.Parent(ctx, cur)
		if err != nil {
			return err
		}
		if parent.Height() == 0 {
			return fmt.Errorf("state %s of genesis: %w", cur.ParentState(), ipld.ErrNotFound)
		}
		if again = append(again, parent); ts.Height()-parent.Height() > e.store.net.Finality {
			return fmt.Errorf("state %s at height %d: %w, and too far from one that is", ts.ParentState(), ts.Height(), ErrStateGone)
		}
		cur = parent
	}
	for i := len(again) - 1; i >= 0; i-- {
		log.Infow("running a tipset again whose state is gone", "height", again[i].Height())
		if _, err := e.run(ctx, again[i], nil); err != nil {
			return fmt.Errorf("run tipset %d again: %w", again[i].Height(), err)
		}
	}
	return nil
}

// Applied is told of every message that a run applies, explicit and implicit ones, in order. An error ends the run.
type Applied func(msg types.ChainMsg, implicit bool, res *vm.Result) error

// Replay runs a tipset again and reports every message; traces are on. The results are not recorded.
func (e *Executor) Replay(ctx context.Context, ts *types.TipSet, applied Applied) (Result, error) {
	if ts.Height() == 0 {
		return e.Execute(ctx, ts)
	}
	if err := e.enter(); err != nil {
		return Result{}, err
	}
	defer e.leave()
	if err := e.ensureParentState(ctx, ts); err != nil {
		return Result{}, err
	}
	return e.run(ctx, ts, applied)
}

// run executes null rounds, messages, rewards and cron.
func (e *Executor) run(ctx context.Context, ts *types.TipSet, applied Applied) (Result, error) {
	if err := oneBlockPerMiner(ts); err != nil {
		return Result{}, err
	}
	parent, err := e.store.Parent(ctx, ts)
	if err != nil {
		return Result{}, err
	}
	lists, err := e.store.ExecutionList(ctx, ts)
	if err != nil {
		return Result{}, err
	}
	// States of null rounds live in the buffer alone; what the last root reaches is kept.
	buffer := ipld.NewBuffered(e.store.blocks)
	root := ts.ParentState()
	for epoch := parent.Height() + 1; epoch < ts.Height(); epoch++ {
		if root, err = e.nullRound(ctx, ts, buffer, root, epoch, applied); err != nil {
			return Result{}, fmt.Errorf("null round %d: %w", epoch, err)
		}
	}
	m, err := e.open(ctx, ts, buffer, root, ts.Height(), applied != nil)
	if err != nil {
		return Result{}, err
	}
	receipts, err := applyBlocks(ctx, m, lists, applied)
	if err != nil {
		return Result{}, err
	}
	if err := applyImplicit(ctx, m, cronMessage(ts.Height()), applied); err != nil {
		return Result{}, fmt.Errorf("cron: %w", err)
	}
	var res Result
	if res.State, err = m.Flush(ctx); err != nil {
		return Result{}, err
	}
	if res.Receipts, err = putReceipts(ctx, buffer, receipts); err != nil {
		return Result{}, err
	}
	if err := buffer.Flush(ctx, res.Receipts, res.State); err != nil {
		return Result{}, fmt.Errorf("store state and receipts: %w", err)
	}
	return res, nil
}

func oneBlockPerMiner(ts *types.TipSet) error {
	seen := map[address.Address]struct{}{}
	for _, b := range ts.Blocks() {
		if _, dup := seen[b.Miner]; dup {
			return fmt.Errorf("miner %s has two blocks in tipset %s", b.Miner, ts.Key())
		}
		seen[b.Miner] = struct{}{}
	}
	return nil
}

func (e *Executor) nullRound(ctx context.Context, ts *types.TipSet, blocks ipld.Blockstore, root cid.Cid, epoch abi.ChainEpoch, applied Applied) (cid.Cid, error) {
	m, err := e.open(ctx, ts, blocks, root, epoch, applied != nil)
	if err != nil {
		return cid.Undef, err
	}
	if err := applyImplicit(ctx, m, cronMessage(epoch), applied); err != nil {
		return cid.Undef, fmt.Errorf("cron: %w", err)
	}
	return m.Flush(ctx)
}

// open makes the machine of one epoch of a run. Supply is computed here, once per machine (node-nv15.md 1.1).
func (e *Executor) open(ctx context.Context, ts *types.TipSet, blocks ipld.Blockstore, root cid.Cid, epoch abi.ChainEpoch, trace bool) (Machine, error) {
	cfg, err := e.MachineConfig(ctx, ts, blocks, root, epoch)
	if err != nil {
		return nil, err
	}
	cfg.Trace, cfg.TraceGas = trace, trace
	return e.machine(ctx, cfg)
}

// MachineConfig is the configuration of a machine at an epoch on a state, with base fee, randomness and lookback of the
// chain ending in ts. Calls and gas estimates open their machines with it.
func (e *Executor) MachineConfig(ctx context.Context, ts *types.TipSet, blocks ipld.Blockstore, root cid.Cid, epoch abi.ChainEpoch) (vm.Config, error) {
	net := e.store.Network()
	supply, err := CirculatingSupply(ctx, net, stateView(ctx, blocks, root), epoch)
	if err != nil {
		return vm.Config{}, err
	}
	return vm.Config{
		Blocks: blocks, StateRoot: root, Epoch: epoch, BaseFee: ts.ParentBaseFee(), CircSupply: supply.Circulating,
		Network: *net, Rand: e.Randomness(ts), Verifier: e.verifier, Clock: e.clock,
		LookbackState: func(ctx context.Context, at abi.ChainEpoch) (cid.Cid, error) {
			_, root, err := e.Lookback(ctx, ts, at)
			return root, err
		},
	}, nil
}

// OpenMachine opens a machine for questions about the chain ending in ts: on the state after ts, at the next epoch, with
// the base fee of the next epoch. What it writes goes to memory.
func (e *Executor) OpenMachine(ctx context.Context, ts *types.TipSet, trace bool) (Machine, error) {
	res, err := e.Execute(ctx, ts)
	if err != nil {
		return nil, err
	}
	cfg, err := e.MachineConfig(ctx, ts, ipld.NewBuffered(e.store.blocks), res.State, ts.Height()+1)
	if err != nil {
		return nil, err
	}
	if cfg.BaseFee, err = e.store.NextBaseFee(ctx, ts); err != nil {
		return nil, err
	}
	cfg.Trace, cfg.TraceGas = trace, trace
	return e.machine(ctx, cfg)
}

func applyBlocks(ctx context.Context, m Machine, lists []BlockMessages, applied Applied) ([]types.MessageReceipt, error) {
	var receipts []types.MessageReceipt
	for _, b := range lists {
		penalty, tips := big.Zero(), big.Zero()
		for _, msg := range b.All() {
			res, err := m.ApplyMessage(ctx, msg)
			if err != nil {
				return nil, fmt.Errorf("message %s: %w", msg.Cid(), err)
			}
			receipts = append(receipts, res.Receipt)
			penalty, tips = big.Add(penalty, res.Penalty), big.Add(tips, res.MinerTip)
			if applied != nil {
				if err := applied(msg, false, res); err != nil {
					return nil, err
				}
			}
		}
		award, err := rewardMessage(b.Header, penalty, tips)
		if err != nil {
			return nil, err
		}
		if err := applyImplicit(ctx, m, award, applied); err != nil {
			return nil, fmt.Errorf("reward of block %s: %w", b.Header.Cid(), err)
		}
	}
	return receipts, nil
}

// errImplicit: a message of the protocol itself failed, which makes the tipset impossible.
var errImplicit = errors.New("implicit message failed")

func applyImplicit(ctx context.Context, m Machine, msg *types.Message, applied Applied) error {
	res, err := m.ApplyImplicit(ctx, msg)
	if err != nil {
		return err
	}
	if res.Receipt.ExitCode != 0 {
		return fmt.Errorf("exit %d (%v): %w", res.Receipt.ExitCode, res.Err, errImplicit)
	}
	if applied != nil {
		return applied(msg, true, res)
	}
	return nil
}

func implicit(to address.Address, epoch abi.ChainEpoch, gas int64, method abi.MethodNum, body []byte) *types.Message {
	return &types.Message{
		From: builtin.SystemActorAddr, To: to, Nonce: uint64(epoch), Value: big.Zero(), GasLimit: gas,
		GasFeeCap: big.Zero(), GasPremium: big.Zero(), Method: method, Params: body,
	}
}

func cronMessage(epoch abi.ChainEpoch) *types.Message {
	return implicit(builtin.CronActorAddr, epoch, cronGasLimit, builtin.MethodsCron.EpochTick, nil)
}

func rewardMessage(h *types.BlockHeader, penalty, tips abi.TokenAmount) (*types.Message, error) {
	var body bytes.Buffer
	award := reward.AwardBlockRewardParams{Miner: h.Miner, Penalty: penalty, GasReward: tips, WinCount: h.ElectionProof.WinCount}
	if err := award.MarshalCBOR(&body); err != nil {
		return nil, fmt.Errorf("reward of block %s: %w", h.Cid(), err)
	}
	return implicit(builtin.RewardActorAddr, h.Height, rewardGasLimit, builtin.MethodsReward.AwardBlockReward, body.Bytes()), nil
}

func putReceipts(ctx context.Context, blocks ipld.Blockstore, receipts []types.MessageReceipt) (cid.Cid, error) {
	values := make([]cbg.CBORMarshaler, len(receipts))
	for i := range receipts {
		values[i] = &receipts[i]
	}
	root, err := amt.FromArray(ctx, ipld.NewStore(ctx, blocks), values)
	if err != nil {
		return cid.Undef, fmt.Errorf("receipts: %w", err)
	}
	return root, nil
}

// Receipts reads all receipts under a root, in execution order.
func (s *Store) Receipts(ctx context.Context, root cid.Cid) ([]types.MessageReceipt, error) {
	list, err := amt.LoadAMT(ctx, s.cbor, root)
	if err != nil {
		return nil, fmt.Errorf("receipts %s: %w", root, err)
	}
	out := make([]types.MessageReceipt, 0, min(list.Count, params.BlockMessageLimit))
	err = list.ForEach(ctx, func(i uint64, v *cbg.Deferred) error {
		var r types.MessageReceipt
		if err := r.UnmarshalCBOR(bytes.NewReader(v.Raw)); err != nil {
			return fmt.Errorf("receipt %d: %w", i, err)
		}
		out = append(out, r)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("receipts %s: %w", root, err)
	}
	return out, nil
}

// Receipt reads one receipt under a root.
func (s *Store) Receipt(ctx context.Context, root cid.Cid, index int) (*types.MessageReceipt, error) {
	list, err := amt.LoadAMT(ctx, s.cbor, root)
	if err != nil {
		return nil, fmt.Errorf("receipts %s: %w", root, err)
	}
	var r types.MessageReceipt
	if err := list.Get(ctx, uint64(index), &r); err != nil {
		return nil, fmt.Errorf("receipt %d of %s: %w", index, root, err)
	}
	return &r, nil
}

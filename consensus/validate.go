package consensus

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	gscrypto "github.com/filecoin-project/go-state-types/crypto"
	"github.com/filecoin-project/go-state-types/proof"
	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/ipfs/go-cid"
	logging "github.com/ipfs/go-log/v2"

	"github.com/filecoin-venus/venus/beacon"
	"github.com/filecoin-venus/venus/chain"
	"github.com/filecoin-venus/venus/crypto"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/state"
	"github.com/filecoin-venus/venus/types"
)

var log = logging.Logger("consensus")

// WinningVerifier judges winning proofs. False means that the proof does not hold; an error that this node cannot tell.
type WinningVerifier interface {
	VerifyWinningPoSt(ctx context.Context, info proof.WinningPoStVerifyInfo) (bool, error)
	// VerifyWinningPoStBatch answers for each info in order.
	VerifyWinningPoStBatch(ctx context.Context, infos []proof.WinningPoStVerifyInfo) ([]bool, error)
}

// maxGap bounds the null rounds before a block, in epochs: a century of seconds. It keeps the arithmetic of times within
// its types.
const maxGap = abi.ChainEpoch(1 << 32)

// goodCache is how many accepted blocks a Validator remembers.
const goodCache = 8192

// provenCache is how many blocks of a catch-up may be ahead of their judgement.
const provenCache = 1024

// viewCache is how many states stay open, each with what a block's rules ask of it.
const viewCache = 128

// Validator applies the block rules of network version 15. Safe for concurrent use.
type Validator struct {
	net    *params.Network
	store  *chain.Store
	exec   *chain.Executor
	beacon beacon.Schedule
	proofs WinningVerifier
	clock  clock.Clock
	// signatures remembers those of messages.
	signatures *crypto.Verifier
	good       *lru.Cache[cid.Cid, struct{}]
	// proven are blocks whose signatures and winning proof hold; see Precheck.
	proven *lru.Cache[cid.Cid, struct{}]
	// views are of the states that decide over miners, which each of them does over several epochs.
	views *lru.Cache[cid.Cid, *state.View]
	// observe is told how long each check took.
	observe func(check string, took time.Duration)
}

// Observe has every further check of a block reported with the time it took, by the name of its first rule ("messages" and
// "prepare" stand for several). Call it before the first block; f is called from many goroutines.
func (v *Validator) Observe(f func(check string, took time.Duration)) { v.observe = f }

// timed runs one check and reports it.
func (v *Validator) timed(check string, run func() error) error {
	begun := v.clock.Now()
	err := guarded(run)
	v.observe(check, v.clock.Now().Sub(begun))
	return err
}

// Signatures judges the signatures of messages and remembers those that held. The pool of messages should ask it too.
func (v *Validator) Signatures() *crypto.Verifier { return v.signatures }

// New makes a validator over an executor's chain.
func New(exec *chain.Executor, schedule beacon.Schedule, proofs WinningVerifier, clk clock.Clock) (*Validator, error) {
	signatures, err := crypto.NewVerifier()
	if err != nil {
		return nil, err
	}
	good, err := lru.New[cid.Cid, struct{}](goodCache)
	if err != nil {
		return nil, err
	}
	proven, err := lru.New[cid.Cid, struct{}](provenCache)
	if err != nil {
		return nil, err
	}
	views, err := lru.New[cid.Cid, *state.View](viewCache)
	if err != nil {
		return nil, err
	}
	s := exec.Store()
	return &Validator{
		net: s.Network(), store: s, exec: exec, beacon: schedule, proofs: proofs, clock: clk, signatures: signatures,
		good: good, proven: proven, views: views, observe: func(string, time.Duration) {},
	}, nil
}

// view is the state under a root, for questions about miners.
func (v *Validator) view(root cid.Cid) *state.View {
	if known, ok := v.views.Get(root); ok {
		return known
	}
	fresh := v.store.KeptView(root)
	v.views.Add(root, fresh)
	return fresh
}

// candidate is a block under judgement and what its checks share.
type candidate struct {
	full *types.FullBlock
	head *types.BlockHeader
	base *types.TipSet
	// before is the state before the base tipset; after the one that executing it gives.
	before *state.View
	// lookback and its state decide over worker, power and sectors; lookbackBefore is the state before that tipset.
	lookbackBefore *state.View
	lookbackState  *state.View
	worker         address.Address
	previous       types.BeaconEntry
	beacon         types.BeaconEntry
	// proven spares the signatures and the winning proof.
	proven bool
}

// ValidateBlock applies every rule to a block with its messages. It returns nil when the block is valid, an error holding
// a *Reject when it is not and never will be, a *FutureError when its time has not come, and any other error when this
// node cannot tell now. The parents must have been validated before.
func (v *Validator) ValidateBlock(ctx context.Context, full *types.FullBlock) error {
	c := full.Cid()
	if v.good.Contains(c) {
		return checkMessageRoot(ctx, full)
	}
	if err := guarded(func() error { return v.validate(ctx, full) }); err != nil {
		return fmt.Errorf("validate block %s at height %d: %w", c, full.Header.Height, err)
	}
	v.good.Add(c, struct{}{})
	return nil
}

// guarded turns a panic over foreign input into an error of this node.
func guarded(fn func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			log.Errorw("panic in block validation", "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return fn()
}

func (v *Validator) validate(ctx context.Context, full *types.FullBlock) error {
	if err := checkPresence(full.Header); err != nil {
		return err
	}
	var cand *candidate
	err := v.timed("prepare", func() (err error) { cand, err = v.prepare(ctx, full); return err })
	if err != nil {
		return err
	}
	// In order of preference; see the rules' constants.
	checks := []struct {
		name string
		run  func(context.Context, *candidate) error
	}{
		{string(RuleWeight), v.checkWeight}, {string(RuleMinerUnknown), v.checkMinerKnown}, {string(RuleBaseFee), v.checkBaseFee},
		{string(RuleBeacon), v.checkBeacon}, {string(RuleTicket), v.checkTicket}, {string(RuleElection), v.checkElection},
		{string(RuleEligible), v.checkEligible}, {string(RuleWinningPoSt), v.checkWinningPoSt}, {"messages", v.checkMessages},
		{string(RuleStateRoot), v.checkState}, {string(RuleSignature), v.checkSignature},
	}
	errs := make([]error, len(checks))
	var wg sync.WaitGroup
	for i, check := range checks {
		run := func() { errs[i] = v.timed(check.name, func() error { return check.run(ctx, cand) }) }
		if cand.proven { // what is left of them takes less time than a goroutine may wait for a processor
			run()
		} else {
			wg.Go(run)
		}
	}
	wg.Wait()
	return merge(errs)
}

// checkPresence is rule 1: the fields that the other rules need.
func checkPresence(h *types.BlockHeader) error {
	switch {
	case h.ElectionProof == nil:
		return reject(RulePresence, "no election proof")
	case h.Ticket == nil:
		return reject(RulePresence, "no ticket")
	case h.BlockSig == nil:
		return reject(RulePresence, "no block signature")
	case h.BLSAggregate == nil:
		return reject(RulePresence, "no BLS aggregate")
	case h.ParentWeight.Int == nil || h.ParentBaseFee.Int == nil:
		return reject(RulePresence, "no parent weight or base fee")
	case h.Miner.Protocol() != address.ID:
		return reject(RuleMinerAddress, "miner %s is not an ID address", h.Miner)
	case len(h.Parents) == 0:
		return reject(RuleParents, "no parents")
	case h.Height <= 0:
		return reject(RuleHeight, "height %d", h.Height)
	}
	return nil
}

// prepare loads what the checks share, and applies the rules that need nothing else: parents, height, time, worker.
func (v *Validator) prepare(ctx context.Context, full *types.FullBlock) (*candidate, error) {
	h := full.Header
	base, err := v.store.TipSet(ctx, types.NewTipSetKey(h.Parents...))
	if errors.Is(err, chain.ErrNotATipSet) {
		return nil, reject(RuleParents, "%v", err)
	}
	if err != nil {
		return nil, fmt.Errorf("load parents: %w", err)
	}
	if err := v.checkHeightAndTime(h, base); err != nil {
		return nil, err
	}
	proven := v.proven.Contains(full.Cid())
	if proven { // no stranger's block: what its last checks wait for can begin
		go func() { _, _ = v.exec.Execute(ctx, base) }() // they get the error
	}
	lookback, root, err := v.exec.Lookback(ctx, base, h.Height)
	if err != nil {
		return nil, err
	}
	c := &candidate{
		full: full, head: h, base: base, before: v.view(base.ParentState()),
		lookbackBefore: v.view(lookback.ParentState()), lookbackState: v.view(root),
		proven: proven,
	}
	if c.worker, err = v.workerOf(ctx, c.lookbackState, h.Miner); err != nil {
		return nil, err
	}
	if c.previous, err = v.store.LatestBeaconEntry(ctx, base); err != nil {
		return nil, err
	}
	c.beacon = c.previous
	if e := h.LastBeaconEntry(); e != nil {
		c.beacon = *e
	}
	return c, nil
}

// checkHeightAndTime covers rules 2 to 4. A block that is ahead of the clock is no Reject.
func (v *Validator) checkHeightAndTime(h *types.BlockHeader, base *types.TipSet) error {
	if h.Height <= base.Height() {
		return reject(RuleHeight, "height %d is not above the parents' %d", h.Height, base.Height())
	}
	if h.Height-base.Height() > maxGap {
		return reject(RuleHeight, "height %d is out of all reach of the parents' %d", h.Height, base.Height())
	}
	due := base.MinTimestamp() + v.net.BlockDelaySecs()*uint64(h.Height-base.Height())
	if h.Timestamp != due {
		return reject(RuleTimestamp, "timestamp %d where height %d asks for %d", h.Timestamp, h.Height, due)
	}
	now, at := v.clock.Now(), time.Unix(int64(h.Timestamp), 0)
	if at.After(now.Add(params.AllowableClockDrift)) {
		return &FutureError{Due: at, Now: now}
	}
	return nil
}

// workerOf is rule 6. That a miner does not exist in the lookback state is a fact; that a state is not at hand is not.
func (v *Validator) workerOf(ctx context.Context, view *state.View, miner address.Address) (address.Address, error) {
	worker, err := view.MinerWorkerKey(ctx, miner)
	if errors.Is(err, state.ErrActorNotFound) || errors.Is(err, state.ErrWrongActor) {
		return address.Undef, reject(RuleWorker, "%s has no worker in the lookback state: %v", miner, err)
	}
	if err != nil {
		return address.Undef, fmt.Errorf("worker of %s: %w", miner, err)
	}
	return worker, nil
}

// checkWeight is rule 5.
func (v *Validator) checkWeight(ctx context.Context, c *candidate) error {
	want, err := v.store.Weigh(ctx, c.base)
	if err != nil {
		return err
	}
	if !c.head.ParentWeight.Equals(want) {
		return reject(RuleWeight, "parent weight %s where the parents weigh %s", c.head.ParentWeight, want)
	}
	return nil
}

// checkMinerKnown is rule 8.
func (v *Validator) checkMinerKnown(ctx context.Context, c *candidate) error {
	_, err := c.before.MinerPower(ctx, c.head.Miner)
	if errors.Is(err, state.ErrNoClaim) {
		return reject(RuleMinerUnknown, "%s has no power claim", c.head.Miner)
	}
	return err
}

// checkBaseFee is rule 9.
func (v *Validator) checkBaseFee(ctx context.Context, c *candidate) error {
	want, err := v.store.NextBaseFee(ctx, c.base)
	if err != nil {
		return err
	}
	if !c.head.ParentBaseFee.Equals(want) {
		return reject(RuleBaseFee, "base fee %s where the parents give %s", c.head.ParentBaseFee, want)
	}
	return nil
}

// checkBeacon is rule 12.
func (v *Validator) checkBeacon(_ context.Context, c *candidate) error {
	if err := v.beacon.Check(c.head.Height, c.base.Height(), c.previous, c.head.BeaconEntries); err != nil {
		return reject(RuleBeacon, "%v", err)
	}
	return nil
}

// checkTicket is rule 13.
func (v *Validator) checkTicket(_ context.Context, c *candidate) error {
	if c.proven {
		return nil
	}
	base, err := TicketBase(c.beacon, c.head.Height, c.head.Miner, c.base.MinTicket())
	if err != nil {
		return err
	}
	if err := crypto.VerifyVRF(c.worker, base, c.head.Ticket.VRFProof); err != nil {
		return reject(RuleTicket, "%v", err)
	}
	return nil
}

// checkElection is the lottery of rule 10: the proof is the worker's, and it won as often as the block says.
func (v *Validator) checkElection(ctx context.Context, c *candidate) error {
	ep := c.head.ElectionProof
	if !c.proven {
		base, err := ElectionBase(c.beacon, c.head.Height, c.head.Miner)
		if err != nil {
			return err
		}
		if err := crypto.VerifyVRF(c.worker, base, ep.VRFProof); err != nil {
			return reject(RuleElection, "%v", err)
		}
	}
	if ep.WinCount < 1 {
		return reject(RuleWinCount, "win count %d", ep.WinCount)
	}
	mine, total, err := electionPower(ctx, c.lookbackState, c.head.Miner)
	if errors.Is(err, state.ErrNoClaim) {
		return reject(RuleWinCount, "%s had no power at the lookback", c.head.Miner)
	}
	if err != nil {
		return err
	}
	if wins := WinCount(ep.VRFProof, mine, total); wins != ep.WinCount {
		return reject(RuleWinCount, "win count %d where the proof gives %d", ep.WinCount, wins)
	}
	return nil
}

// electionPower is the power of a miner and of the network that elections at a lookback state weigh.
func electionPower(ctx context.Context, view *state.View, miner address.Address) (mine, total abi.StoragePower, err error) {
	p, err := view.MinerPower(ctx, miner)
	if err != nil {
		return big.Int{}, big.Int{}, err
	}
	all, err := view.TotalPower(ctx)
	if err != nil {
		return big.Int{}, big.Int{}, err
	}
	return p.QualityAdjPower, all.QualityAdjPower, nil
}

// checkEligible is the standing of rule 10.
func (v *Validator) checkEligible(ctx context.Context, c *candidate) error {
	ok, err := Eligible(ctx, c.lookbackBefore, c.before, c.head.Miner, c.base.Height())
	if errors.Is(err, state.ErrNoClaim) || errors.Is(err, state.ErrActorNotFound) {
		return reject(RuleEligible, "%v", err)
	}
	if err != nil {
		return err
	}
	if !ok {
		return reject(RuleEligible, "%s may not mine at height %d: power, debt or a consensus fault", c.head.Miner, c.base.Height())
	}
	return nil
}

// checkWinningPoSt is rule 14.
func (v *Validator) checkWinningPoSt(ctx context.Context, c *candidate) error {
	if c.proven {
		return nil
	}
	info, err := v.winningInfo(ctx, c)
	if errors.Is(err, ErrNoSectors) {
		return reject(RuleWinningPoSt, "%v", err)
	}
	if err != nil {
		return err
	}
	ok, err := v.proofs.VerifyWinningPoSt(ctx, info)
	if err != nil {
		return fmt.Errorf("verify winning proof: %w", err)
	}
	if !ok {
		return reject(RuleWinningPoSt, "the proof for sector %d does not hold", info.ChallengedSectors[0].SectorNumber)
	}
	return nil
}

// winningInfo is the statement of a block's winning proof.
func (v *Validator) winningInfo(ctx context.Context, c *candidate) (proof.WinningPoStVerifyInfo, error) {
	random, err := WinningPoStRandomness(c.beacon, c.head.Height, c.head.Miner)
	if err != nil {
		return proof.WinningPoStVerifyInfo{}, err
	}
	sectors, err := WinningSectors(ctx, c.lookbackState, c.head.Miner, random)
	if err != nil {
		return proof.WinningPoStVerifyInfo{}, err
	}
	id, err := address.IDFromAddress(c.head.Miner)
	if err != nil {
		return proof.WinningPoStVerifyInfo{}, fmt.Errorf("winning proof: %w", err)
	}
	return proof.WinningPoStVerifyInfo{
		Randomness: random, Proofs: c.head.WinPoStProof, ChallengedSectors: plainSectors(sectors), Prover: abi.ActorID(id),
	}, nil
}

// checkState is rule 15.
func (v *Validator) checkState(ctx context.Context, c *candidate) error {
	res, err := v.exec.Execute(ctx, c.base)
	if err != nil {
		return err
	}
	if c.head.ParentStateRoot != res.State {
		return reject(RuleStateRoot, "state root %s where executing the parents gives %s", c.head.ParentStateRoot, res.State)
	}
	if c.head.ParentMessageReceipts != res.Receipts {
		return reject(RuleReceiptsRoot, "receipts root %s where executing the parents gives %s", c.head.ParentMessageReceipts, res.Receipts)
	}
	return nil
}

// checkSignature is rule 11.
func (v *Validator) checkSignature(_ context.Context, c *candidate) error {
	if c.proven {
		return nil
	}
	return CheckBlockSignature(c.head, c.worker)
}

// CheckBlockSignature verifies that worker, a BLS key address, signed a header.
func CheckBlockSignature(h *types.BlockHeader, worker address.Address) error {
	if h.BlockSig == nil {
		return reject(RulePresence, "no block signature")
	}
	if h.BlockSig.Type != gscrypto.SigTypeBLS {
		return reject(RuleSignature, "signature of type %d", h.BlockSig.Type)
	}
	body, err := h.SigningBytes()
	if err != nil {
		return err
	}
	if err := crypto.Verify(h.BlockSig, worker, body); err != nil {
		return reject(RuleSignature, "%v", err)
	}
	return nil
}

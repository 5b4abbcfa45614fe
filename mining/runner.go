package mining

import (
	"context"
	"fmt"
	"maps"
	"runtime/debug"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"

	nodeapi "github.com/filecoin-venus/venus/api/node"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/mining/record"
	"github.com/filecoin-venus/venus/types"
)

const (
	// idlePause is how long a runner waits when there is nothing to try.
	idlePause = time.Second
	// maxDrift is how far the head may lie in the future before the clock of this machine is called wrong.
	maxDrift = 2 * time.Second
	// oldHead is the age of a head, in epochs, from which the node is asked whether it is still catching up.
	oldHead = 10
	// catchUpSpeed is how many rounds are tried in the time of one while the chain catches up with the clock. Faster, and
	// deadlines would close before their window proofs can land: a chain that was down would lose its power.
	catchUpSpeed = 4
)

// Timing is what a network says about rounds.
type Timing struct {
	BlockDelay, Propagation time.Duration
}

// shared is what all runners use.
type shared struct {
	timing  Timing
	clock   clock.Clock
	heads   *heads
	nodes   *nodes
	selects *selects
	meters  *meters
}

func newShared(t Timing, c clock.Clock, list []NamedNode) *shared {
	h := newHeads(list, c)
	return &shared{
		timing: t, clock: c, heads: h, nodes: &nodes{heads: h, clock: c, patience: t.BlockDelay / 4}, selects: newSelects(), meters: newMeters(),
	}
}

// runner mines for one miner. Its methods run on its own goroutine only.
type runner struct {
	*shared
	addr     address.Address
	services Services
	record   *record.Miner
	state    *state

	base  *types.TipSet
	nulls abi.ChainEpoch
	// began is when the last round was tried.
	began time.Time
	// done is the last round that a block was delivered for.
	done abi.ChainEpoch
	// lost are the rounds whose election is known to be lost; they are lost on every base.
	lost       map[abi.ChainEpoch]bool
	election   *election
	task       *proofTask
	buildTime  time.Duration // running mean of what a block takes
	open       []abi.ChainEpoch
	resent     map[abi.ChainEpoch]int
	failures   map[abi.ChainEpoch]int
	said       string // the last trouble that was logged
	reconciled bool
	lived      time.Time // when the record was last told that it is in use
	proved     time.Time // when a proof was last begun
	win        *record.Win
	rounds     []record.Round // held and not yet counted in the record
	heldUpTo   abi.ChainEpoch
}

func newRunner(sh *shared, addr address.Address, s Services, rec *record.Miner, st *state) *runner {
	return &runner{
		shared: sh, addr: addr, services: s, record: rec, state: st,
		lost: map[abi.ChainEpoch]bool{}, resent: map[abi.ChainEpoch]int{}, failures: map[abi.ChainEpoch]int{}, buildTime: sh.timing.BlockDelay / 20,
	}
}

// run mines until ctx ends. A panic costs a round, not the miner.
func (m *runner) run(ctx context.Context) {
	for ctx.Err() == nil {
		m.guarded(ctx)
	}
	if m.task != nil {
		m.task.cancel()
	}
	m.lived = time.Time{}
	m.live(ctx)
}

func (m *runner) guarded(ctx context.Context) {
	defer func() {
		if r := recover(); r != nil {
			log.Errorf("mining for %s: %v\n%s", m.addr, r, debug.Stack())
			m.state.stuck("a bug was hit: %v; see the log", r)
			_ = m.clock.Sleep(ctx, idlePause)
		}
	}()
	m.step(ctx)
}

// outcome of an attempt.
type outcome int

const (
	passed outcome = iota // the round is over for this base
	moved                 // the head moved; look again at once
)

// step tries one round on the current head and waits for the next, or for another head.
func (m *runner) step(ctx context.Context) {
	head, changed, away := m.heads.get()
	if away != nil || head == nil {
		m.state.stuck("the node cannot be heard: %v", away)
		m.pause(ctx, changed, idlePause)
		return
	}
	if m.base == nil || m.base.Key() != head.Key() {
		m.rebase(head)
	}
	if !m.reconciled {
		if err := m.reconcile(ctx, head); err != nil {
			m.fail(ctx, head.Height()+1, "%w", err)
			m.pause(ctx, changed, idlePause)
			return
		}
	}
	m.live(ctx)
	m.settle(ctx, head)
	round := m.base.Height() + m.nulls + 1
	for m.skips(round) && !m.clock.Now().Before(m.startOf(round+1)) {
		m.nulls++
		round++
	}
	if rest := m.hurry(round); rest > 0 {
		_ = m.clock.Sleep(ctx, rest) // the loop looks at ctx
		return
	}
	m.began = m.clock.Now()
	if m.attempt(ctx, round, changed) == moved {
		return
	}
	m.nulls++
	// A null round is not begun before a block of the round before had the time to come, whatever the network says; the
	// same when the chain is catching up.
	grace := m.timing.BlockDelay / 5
	wait := m.startOf(round+1).Sub(m.clock.Now()) + max(0, grace-m.timing.Propagation)
	if !m.skips(round) {
		wait = max(wait, grace)
	}
	m.pause(ctx, changed, wait)
}

func (m *runner) rebase(head *types.TipSet) {
	m.base, m.nulls = head, 0
	for _, kept := range []map[abi.ChainEpoch]int{m.resent, m.failures} {
		maps.DeleteFunc(kept, func(e abi.ChainEpoch, _ int) bool { return e < head.Height()-reconcileDepth })
	}
	maps.DeleteFunc(m.lost, func(e abi.ChainEpoch, _ bool) bool { return e <= head.Height() })
}

func (m *runner) skips(round abi.ChainEpoch) bool { return m.lost[round] || round <= m.done }

// startOf is when a round on the current base begins: its parents had the time to arrive.
func (m *runner) startOf(round abi.ChainEpoch) time.Time {
	return m.blockTime(round).Add(m.timing.Propagation - m.timing.BlockDelay)
}

// blockTime is the timestamp of a block of a round on the current base.
func (m *runner) blockTime(round abi.ChainEpoch) time.Time {
	return time.Unix(int64(m.base.MinTimestamp()), 0).Add(m.timing.BlockDelay * time.Duration(round-m.base.Height()))
}

// pause waits for d, a change of the head, or the end.
func (m *runner) pause(ctx context.Context, changed <-chan struct{}, d time.Duration) {
	select {
	case <-changed:
		return
	default:
	}
	if d <= 0 {
		return
	}
	t := m.clock.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-changed:
	case <-t.C():
	}
}

// keeps tells whether a block of a round on the current base is still of use under another head: beside our block at its
// own height, yes; on a heavier base below it, or above it, no.
func (m *runner) keeps(head *types.TipSet, round abi.ChainEpoch) bool {
	return head.Key() == m.base.Key() || head.Height() == round && head.Parents() == m.base.Key()
}

// await waits for done; false when the head moved on so that the round is of no use on this base.
func (m *runner) await(ctx context.Context, round abi.ChainEpoch, done <-chan struct{}) bool {
	for {
		head, changed, _ := m.heads.get()
		if !m.keeps(head, round) {
			return false
		}
		select {
		case <-ctx.Done():
			return false
		case <-done:
			return true
		case <-changed:
		}
	}
}

// awaitTime is await for a moment; a moment in the past still looks at the head once.
func (m *runner) awaitTime(ctx context.Context, round abi.ChainEpoch, at time.Time) bool {
	t := m.clock.NewTimer(at.Sub(m.clock.Now()))
	defer t.Stop()
	due := make(chan struct{})
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		select {
		case <-t.C():
			close(due)
		case <-stop:
		}
	}()
	return m.await(ctx, round, due)
}

// hurry is how long to hold a round back whose time is long past.
func (m *runner) hurry(round abi.ChainEpoch) time.Duration {
	now := m.clock.Now()
	if now.Sub(m.startOf(round)) < oldHead*m.timing.BlockDelay {
		return 0
	}
	return m.began.Add(m.timing.BlockDelay / catchUpSpeed).Sub(now)
}

// held says why nothing may be tried although there is a head.
func (m *runner) held(ctx context.Context) error {
	ahead := time.Unix(int64(m.base.MinTimestamp()), 0).Sub(m.clock.Now())
	if ahead > maxDrift {
		return fmt.Errorf("the head lies %s in the future: the clock of this machine is slow; check its time synchronisation", ahead.Round(time.Second))
	}
	if -ahead < oldHead*m.timing.BlockDelay {
		return nil
	}
	s, err := m.nodes.SyncState(ctx)
	if err != nil {
		return fmt.Errorf("ask the node how far it is: %w", err)
	}
	for _, a := range s.ActiveSyncs {
		working := a.Stage == nodeapi.StageHeaders || a.Stage == nodeapi.StagePersist || a.Stage == nodeapi.StageMessages || a.Stage == nodeapi.StageFetching
		if working && a.Target != nil && a.Target.Height() > m.base.Height()+1 {
			return fmt.Errorf("the node is catching up: at %d of %d", m.base.Height(), a.Target.Height())
		}
	}
	return nil
}

// until is a context that also ends when ch closes.
func until(ctx context.Context, ch <-chan struct{}) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		select {
		case <-ch:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

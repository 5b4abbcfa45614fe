package messager

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/big"
	stcrypto "github.com/filecoin-project/go-state-types/crypto"
	logging "github.com/ipfs/go-log/v2"

	"github.com/filecoin-venus/venus/api/node"
	"github.com/filecoin-venus/venus/crypto"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/messager/machine"
	"github.com/filecoin-venus/venus/messager/store"
	"github.com/filecoin-venus/venus/types"
)

var log = logging.Logger("messager")

// Options are the parts of a messager. All are required but Verify.
type Options struct {
	DB    *store.DB
	Clock clock.Clock
	// Nodes are the nodes to work with, at least one, the preferred one first. One is
	// in use at a time.
	Nodes []Endpoint
	// Holder names this messager, the same after a restart and no other's, in leases.
	Holder string
	// DialWallet makes a client of a wallet, DialNode one of an additional node.
	DialWallet func(url, token string) (Signer, func(), error)
	DialNode   func(url, token string) (Publisher, func(), error)
	// Verify checks a signature by a key address; nil means crypto.Verify.
	Verify func(sig *stcrypto.Signature, key address.Address, msg []byte) error
}

// Shared are the limits of all senders that have none of their own.
type Shared struct {
	machine.Limits
	// SelNum bounds a sender's messages under way, GlobalNum those of all senders
	// together, 0 = not at all. Window proofs are beyond both.
	SelNum, GlobalNum uint64
	// ReplaceBudget, attoFIL, bounds what the automatic replacements of a sender may
	// add to its fees in a day; zero does not.
	ReplaceBudget big.Int
	rules         []machine.Rule
}

const (
	sharedName    = "shared"
	defaultSelNum = 100
	// keepHeads is how many epochs of followed tipsets are remembered: the
	// network's finality.
	keepHeads = 900
)

// Service is a running messager. It is safe for concurrent use.
type Service struct {
	o       Options
	db      *store.DB
	clk     clock.Clock
	wallets *wallets
	intake  intake
	nodes   nodes
	meters  *meters
	extras  *extras
	hub     *hub
	leases  leases
	// role is poked when this messager begins or ends to decide messages' fates.
	role chan struct{}

	// chainMu is held, calls to the node included, by whoever decides messages'
	// fates: the follower and the reconciler. It is taken before mu.
	chainMu sync.Mutex
	// mu guards what follows; it is not held during calls.
	mu      sync.Mutex
	shared  Shared
	workers map[address.Address]*worker
	// heldUp is what holds all messages of a sender up.
	heldUp map[address.Address]string
	head   *types.TipSet
	// moved is when the head last changed; fetching is set while the node itself
	// fetches the chain from peers.
	moved     time.Time
	fetching  bool
	epoch     time.Duration
	nodeError string
	ctx       context.Context
	running   sync.WaitGroup
}

// New makes a messager on an open database. Nothing runs before Run.
func New(ctx context.Context, o Options) (*Service, error) {
	if o.Verify == nil {
		o.Verify = crypto.Verify
	}
	s := &Service{
		o: o, db: o.DB, clk: o.Clock, hub: newHub(), workers: make(map[address.Address]*worker), heldUp: make(map[address.Address]string),
		epoch: 30 * time.Second, nodeError: "the node was not reached yet", role: make(chan struct{}, 1),
		leases: leases{fences: make(map[string]int64), unwell: unwellTicks, soon: make(chan struct{}, 1)},
	}
	s.wallets = newWallets(s)
	s.intake = intake{s: s}
	s.nodes = nodes{s: s, all: o.Nodes, views: make([]machine.NodeView, len(o.Nodes))}
	s.meters = newMeters()
	s.meters.registry.MustRegister(newGauges(s))
	s.extras = &extras{s: s, clients: make(map[string]extra)}
	if err := s.loadShared(ctx); err != nil {
		return nil, err
	}
	if err := s.wallets.load(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Service) loadShared(ctx context.Context) error {
	sh := Shared{Limits: machine.DefaultLimits(), SelNum: defaultSelNum, ReplaceBudget: big.Zero()}
	if err := s.db.Setting(ctx, sharedName, &sh); err != nil && !errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("load shared limits: %w", err)
	}
	var err error
	if sh.rules, err = s.db.Rules(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shared = sh
	return nil
}

// Run works until ctx ends, then waits for what is under way.
func (s *Service) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.mu.Lock()
	s.ctx = ctx
	s.mu.Unlock()
	if err := s.renew(ctx); err != nil {
		return err
	}
	if err := s.wakeUnfinished(ctx); err != nil {
		return err
	}
	s.extras.load(ctx)
	s.spawn("leases", func() { s.keepLeases(ctx) })
	s.spawn("share", func() { s.share(ctx) })
	s.spawn("nodes", func() { s.nodes.watch(ctx) })
	s.spawn("wallets", func() { s.wallets.run(ctx) })
	s.spawn("reconcile", func() { s.reconcileLoop(ctx) })
	s.spawn("follow", func() { s.follow(ctx) })
	<-ctx.Done()
	s.running.Wait()
	s.wallets.close()
	s.extras.close()
	// Others need not wait until this messager's leases run out.
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), nodeTimeout)
	defer cancel()
	return errors.Join(ctx.Err(), s.db.Release(last, s.o.Holder))
}

// spawn runs f; a panic in it, which foreign input may cause, is logged and ends
// only that part's current work.
func (s *Service) spawn(name string, f func()) {
	s.running.Add(1)
	go func() {
		defer s.running.Done()
		for {
			if recovered(name, f) {
				return
			}
			s.mu.Lock()
			ctx := s.ctx
			s.mu.Unlock()
			if s.clk.Sleep(ctx, time.Second) != nil {
				return
			}
		}
	}()
}

// recovered runs f and tells whether it ended without a panic.
func recovered(name string, f func()) (ok bool) {
	defer func() {
		if r := recover(); r != nil {
			log.Errorw("internal failure, the part starts again", "part", name, "err", r)
		}
	}()
	f()
	return true
}

func (s *Service) wakeUnfinished(ctx context.Context) error {
	senders, err := s.db.Senders(ctx)
	if err != nil {
		return err
	}
	for _, a := range senders {
		s.worker(a).wake()
	}
	return nil
}

// worker returns the one worker of a sender, started when first needed.
func (s *Service) worker(a address.Address) *worker {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.workers[a]
	if w == nil {
		w = &worker{s: s, addr: a, poke: make(chan struct{}, 1)}
		s.workers[a] = w
		if ctx := s.ctx; ctx != nil && ctx.Err() == nil {
			s.spawn("sender "+a.String(), func() { w.run(ctx) })
			w.started = true
		}
	} else if ctx := s.ctx; !w.started && ctx != nil && ctx.Err() == nil {
		w.started = true
		s.spawn("sender "+a.String(), func() { w.run(ctx) })
	}
	return w
}

func (s *Service) wakeAll() {
	s.mu.Lock()
	all := make([]*worker, 0, len(s.workers))
	for _, w := range s.workers {
		all = append(all, w)
	}
	s.mu.Unlock()
	for _, w := range all {
		w.wake()
	}
}

// sharedLimits returns the current shared limits.
func (s *Service) sharedLimits() Shared {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shared
}

// Head is the tipset the messager has followed the chain to, or nil.
func (s *Service) Head() *types.TipSet {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.head
}

func (s *Service) epochTime() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.epoch
}

func (s *Service) setNodeError(text string) {
	s.mu.Lock()
	changed := s.nodeError != text
	s.nodeError = text
	s.mu.Unlock()
	if !changed {
		return
	}
	if text == "" {
		log.Infow("node reached")
	} else {
		log.Warnw("node not usable", "err", text)
	}
	poke(s.leases.soon)
}

// maxHeadAge is how far the head may lie behind the clock before it is asked why:
// a node that is still catching up knows neither nonces nor prices, a chain that
// was down and is mined again is as good as any.
func maxHeadAge(epoch time.Duration) time.Duration { return 30*epoch + 2*time.Minute }

// askNode finds out, when the head is old, whether the node is fetching the chain.
func (s *Service) askNode(ctx context.Context) {
	head := s.Head()
	if head == nil || s.age(head) <= maxHeadAge(s.epochTime()) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, nodeTimeout)
	defer cancel()
	st, err := s.node().SyncState(ctx)
	fetching := err != nil
	if err == nil {
		for _, a := range st.ActiveSyncs {
			working := a.Stage == node.StageHeaders || a.Stage == node.StagePersist || a.Stage == node.StageMessages || a.Stage == node.StageFetching
			fetching = fetching || working && (a.Target == nil || a.Target.Height() > head.Height()+1)
		}
	}
	s.mu.Lock()
	s.fetching = fetching
	s.mu.Unlock()
}

func (s *Service) age(head *types.TipSet) time.Duration {
	return s.clk.Now().Sub(time.Unix(int64(head.MinTimestamp()), 0))
}

// nodeTrouble tells why no nonces can be given out now, or "".
func (s *Service) nodeTrouble() (machine.Reason, string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.nodeError != "" {
		return machine.NodeUnreachable, s.nodeError
	}
	if s.head == nil {
		return machine.NodeUnreachable, "the node's head is not known yet"
	}
	limit := maxHeadAge(s.epoch)
	stands := s.clk.Now().Sub(s.moved)
	if behind := s.age(s.head); behind > limit && (s.fetching || stands > limit) {
		return machine.NodeBehind, fmt.Sprintf("the node's head, epoch %d, is %s old", s.head.Height(), behind.Round(time.Second))
	}
	return machine.NoReason, ""
}

// Health is nil when messages can be delivered.
func (s *Service) Health(context.Context) error {
	if reason, text := s.nodeTrouble(); reason != machine.NoReason {
		return fmt.Errorf("%s: %s", reason, text)
	}
	return nil
}

// change is one event for one message.
type change struct {
	id string
	ev machine.Event
}

// apply writes events in one transaction over the messages as they are now. An
// event that no longer fits its message's state is skipped: somebody was faster.
// more, if not nil, writes in the same transaction.
func (s *Service) apply(ctx context.Context, changes []change, more func(*store.Tx) error) error {
	if len(changes) == 0 && more == nil {
		return nil
	}
	const tries = 5
	var err error
	for range tries {
		var touched []string
		var counted []func()
		err = s.db.Update(ctx, func(tx *store.Tx) error {
			touched, counted = touched[:0], counted[:0]
			for _, c := range changes {
				ok, err := s.applyOne(tx, c, &counted)
				if err != nil {
					return err
				}
				if ok {
					touched = append(touched, c.id)
				}
			}
			if more != nil {
				return more(tx)
			}
			return nil
		})
		if err == nil {
			for _, count := range counted {
				count()
			}
			s.hub.tell(touched...)
			return nil
		}
		if !errors.Is(err, store.ErrStale) {
			break
		}
	}
	return err
}

// applyOne writes one event; counted grows by what is to be done once that is durable.
func (s *Service) applyOne(tx *store.Tx, c change, counted *[]func()) (bool, error) {
	m, err := tx.Get(c.id)
	if err != nil {
		return false, fmt.Errorf("message %s: %w", c.id, err)
	}
	next, note, err := m.Step(c.ev, s.clk.Now())
	if errors.Is(err, machine.ErrIllegal) {
		log.Debugw("event skipped", "id", c.id, "err", err)
		return false, nil
	}
	if err != nil {
		return false, err
	}
	// Failures that repeat word by word do not lengthen the history.
	if m.Error == next.Error && next.Error != "" && m.State == next.State {
		note = machine.Note{}
	} else {
		*counted = append(*counted, func() { s.meters.event(note.Kind, &next) })
	}
	return true, tx.Change(&m, &next, note)
}

package mining

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/filecoin-project/go-address"

	"github.com/filecoin-venus/venus/api"
	miningapi "github.com/filecoin-venus/venus/api/mining"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/mining/record"
	"github.com/filecoin-venus/venus/rpc/daemon"
	"github.com/filecoin-venus/venus/types"
)

// checkTimeout bounds the questions asked of a miner's services when it is added.
const checkTimeout = 30 * time.Second

// Parts are what a Service is made of.
type Parts struct {
	// Nodes are asked for head, randomness and blocks: the one on the heaviest head first, the others when it fails.
	Nodes  []NamedNode
	Timing Timing
	// Connect opens the services of a miner.
	Connect func(miningapi.MinerSpec) (Services, error)
	Tokens  daemon.Tokens
	Clock   clock.Clock
	// MinersFile is where the list of miners lies, with tokens.
	MinersFile string
	// Records is the database of what was signed and won. The service does not close it.
	Records *record.DB
	// Network names the network; exported records carry it.
	Network string
	Version string
}

// Service is the mining API: it keeps the miners and runs those that shall mine.
type Service struct {
	*daemon.Base
	*shared
	parts Parts
	store *store

	ctx    context.Context
	cancel context.CancelFunc
	tasks  sync.WaitGroup

	mu     sync.Mutex
	miners map[address.Address]*member
}

// member is one miner. Its fields are guarded by Service.mu; its runner lives on its own goroutine.
type member struct {
	spec    miningapi.MinerSpec
	stopped bool
	state   *state
	cancel  context.CancelFunc // nil while not running
	ended   chan struct{}
}

var _ miningapi.Mining = (*Service)(nil)

// NewService loads the miners and starts those that are not stopped.
func NewService(p Parts) (*Service, error) {
	st, err := openStore(p.MinersFile)
	if err != nil {
		return nil, err
	}
	s := &Service{
		Base: daemon.New(daemon.Options{
			Program: "venus-miner", Version: p.Version, APIVersion: miningapi.Version,
			Namespace: miningapi.Namespace, Proxy: new(miningapi.MiningProxy), Tokens: p.Tokens,
		}),
		shared: newShared(p.Timing, p.Clock, p.Nodes), parts: p, store: st, miners: map[address.Address]*member{},
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.meters.watch(s)
	s.tasks.Go(func() { s.heads.run(s.ctx) })
	s.tasks.Go(func() { s.heads.prefetch(s.ctx, p.Timing.BlockDelay) })
	for _, e := range st.all() {
		spec, err := e.spec()
		if err != nil {
			// One broken entry must not keep the others from mining.
			log.Errorf("a miner is left out: %s", err)
			continue
		}
		m := &member{spec: spec, stopped: e.Stopped, state: new(state)}
		s.miners[spec.Addr] = m
		if !m.stopped {
			s.launch(m)
		}
	}
	return s, nil
}

// launch starts the runner of a member; what keeps it from starting is its own affair and shows in its state. Needs mu
// held, or the service not yet shared.
func (s *Service) launch(m *member) {
	if m.cancel != nil {
		return
	}
	services, err := s.parts.Connect(m.spec)
	if err != nil {
		log.Errorf("%s does not mine: %s", m.spec.Addr, err)
		m.state.stuck("%v", err)
		return
	}
	ctx, cancel := context.WithCancel(s.ctx)
	m.cancel, m.ended = cancel, make(chan struct{})
	r := newRunner(s.shared, m.spec.Addr, services, s.parts.Records.Miner(m.spec.Addr), m.state)
	ended := m.ended
	s.tasks.Go(func() {
		defer close(ended)
		defer services.Close()
		r.run(ctx)
	})
}

// halt stops the runner of a member and waits for it without holding mu.
func (s *Service) halt(m *member) {
	s.mu.Lock()
	cancel, ended := m.cancel, m.ended
	m.cancel = nil
	s.mu.Unlock()
	if cancel != nil {
		cancel()
		<-ended
	}
}

// Close stops all miners.
func (s *Service) Close() error {
	_ = s.Shutdown(context.Background())
	s.cancel()
	s.tasks.Wait()
	return nil
}

// AddAddress checks a miner and its services, keeps it and starts it.
func (s *Service) AddAddress(ctx context.Context, spec miningapi.MinerSpec) error {
	id, err := s.check(ctx, spec)
	if err != nil {
		return err
	}
	spec.Addr = id
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.miners[id]; ok {
		return api.Errorf(api.CodeConflict, "miner %s exists already", id).
			WithHint("change it with: venus-miner address update --addr %s", id)
	}
	if err := s.store.put(spec, false); err != nil {
		return err
	}
	m := &member{spec: spec, state: new(state)}
	s.miners[id] = m
	s.launch(m)
	return nil
}

// check asks node, wallet and sealer whether they know the miner, and returns its ID address.
func (s *Service) check(ctx context.Context, spec miningapi.MinerSpec) (address.Address, error) {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	id, err := s.nodes.StateLookupID(ctx, spec.Addr, types.EmptyTSK)
	if err != nil {
		return address.Undef, annotate(err, "look up miner %s at the node", spec.Addr)
	}
	worker, err := s.nodes.StateMinerWorkerAddress(ctx, id, types.EmptyTSK)
	if err != nil {
		return address.Undef, annotate(err, "read miner %s at the node", spec.Addr)
	}
	services, err := s.parts.Connect(spec)
	if err != nil {
		return address.Undef, err
	}
	defer services.Close()
	has, err := services.Wallet.WalletHas(ctx, worker)
	if err != nil {
		return address.Undef, annotate(err, "ask the wallet of %s", id)
	}
	if !has {
		return address.Undef, api.Errorf(api.CodePrecondition, "the wallet at %s does not hold the worker key %s of miner %s", spec.Wallet.ListenAPI, worker, id).
			WithHint("give the wallet that holds it with --wallet-listen-api, or import the key there")
	}
	serves, err := services.Sealer.ActorAddress(ctx)
	if err != nil {
		return address.Undef, annotate(err, "ask the sealer of %s", id)
	}
	if serves != id {
		return address.Undef, api.Errorf(api.CodePrecondition, "the sealer at %s serves miner %s, not %s", spec.Sealer.ListenAPI, serves, id)
	}
	return id, nil
}

// annotate says at which step a call failed and keeps its code and hint.
func annotate(err error, format string, args ...any) error {
	return fmt.Errorf(format+": %w", append(args, err)...)
}

// UpdateAddress replaces endpoints; empty ones stay.
func (s *Service) UpdateAddress(ctx context.Context, spec miningapi.MinerSpec) error {
	m, err := s.find(spec.Addr)
	if err != nil {
		return err
	}
	s.mu.Lock()
	next, stopped := m.spec, m.stopped
	s.mu.Unlock()
	merge(&next.Sealer, spec.Sealer)
	merge(&next.Wallet, spec.Wallet)
	if len(spec.MoreSealers) > 0 || spec.Sealer.ListenAPI != "" {
		next.MoreSealers = spec.MoreSealers // whoever names sealers names them all
	}
	if _, err := s.check(ctx, next); err != nil {
		return err
	}
	if err := s.store.put(next, stopped); err != nil {
		return err
	}
	s.halt(m)
	s.mu.Lock()
	defer s.mu.Unlock()
	m.spec = next
	if !m.stopped {
		s.launch(m)
	}
	return nil
}

func merge(into *miningapi.Endpoint, from miningapi.Endpoint) {
	if from.ListenAPI != "" {
		into.ListenAPI = from.ListenAPI
	}
	if from.Token != "" {
		into.Token = from.Token
	}
}

// RemoveAddress stops a miner and forgets it. Its record of signed blocks stays on disk for a later return.
func (s *Service) RemoveAddress(_ context.Context, addr address.Address) error {
	m, err := s.find(addr)
	if err != nil {
		return err
	}
	s.halt(m)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.store.remove(m.spec.Addr); err != nil {
		return err
	}
	delete(s.miners, m.spec.Addr)
	return nil
}

func (s *Service) find(addr address.Address) (*member, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, ok := s.miners[addr]
	if !ok {
		return nil, api.Errorf(api.CodeNotFound, "miner %s is not here", addr).WithHint("list the miners with: venus-miner address list")
	}
	return m, nil
}

// named returns the members of the given addresses, of all when there are none, in a fixed order.
func (s *Service) named(addrs []address.Address) ([]*member, error) {
	if len(addrs) == 0 {
		s.mu.Lock()
		defer s.mu.Unlock()
		for a := range s.miners {
			addrs = append(addrs, a)
		}
		slices.SortFunc(addrs, func(a, b address.Address) int { return strings.Compare(pad(a), pad(b)) })
		out := make([]*member, len(addrs))
		for i, a := range addrs {
			out[i] = s.miners[a]
		}
		return out, nil
	}
	out := make([]*member, len(addrs))
	for i, a := range addrs {
		m, err := s.find(a)
		if err != nil {
			return nil, err
		}
		out[i] = m
	}
	return out, nil
}

// oneOrAll returns the member of an address, all for the undefined one.
func (s *Service) oneOrAll(addr address.Address) ([]*member, error) {
	if addr == address.Undef {
		return s.named(nil)
	}
	return s.named([]address.Address{addr})
}

// pad makes ID addresses sort as numbers.
func pad(a address.Address) string { return fmt.Sprintf("%30s", a) }

// ListAddress lists the miners without their tokens.
func (s *Service) ListAddress(context.Context) ([]miningapi.MinerInfo, error) {
	members, err := s.named(nil)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]miningapi.MinerInfo, len(members))
	for i, m := range members {
		out[i] = miningapi.MinerInfo{Addr: m.spec.Addr, Sealer: shown(m.spec.Sealer), Wallet: shown(m.spec.Wallet), IsMining: !m.stopped}
		for _, e := range m.spec.MoreSealers {
			out[i].MoreSealers = append(out[i].MoreSealers, shown(e))
		}
	}
	return out, nil
}

func shown(e miningapi.Endpoint) miningapi.EndpointInfo {
	return miningapi.EndpointInfo{ListenAPI: e.ListenAPI, HasToken: e.Token != ""}
}

// StatesForMining tells of each named miner, or of all, how its mining goes.
func (s *Service) StatesForMining(_ context.Context, addrs []address.Address) ([]miningapi.MinerState, error) {
	members, err := s.named(addrs)
	if err != nil {
		return nil, err
	}
	return s.show(members), nil
}

// states tells of all miners.
func (s *Service) states() []miningapi.MinerState {
	members, _ := s.named(nil) // only names can be wrong
	return s.show(members)
}

func (s *Service) show(members []*member) []miningapi.MinerState {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]miningapi.MinerState, len(members))
	for i, m := range members {
		out[i] = m.state.show(m.spec.Addr, !m.stopped)
	}
	return out
}

// NodeStates tells of each node whether it can be heard, and which is in use.
func (s *Service) NodeStates(context.Context) ([]miningapi.NodeState, error) {
	return s.heads.states(), nil
}

// Start lets the named miners, or all, produce blocks.
func (s *Service) Start(_ context.Context, addrs []address.Address) error {
	return s.toggle(addrs, false)
}

// Stop keeps the named miners, or all, from producing blocks.
func (s *Service) Stop(_ context.Context, addrs []address.Address) error {
	return s.toggle(addrs, true)
}

func (s *Service) toggle(addrs []address.Address, stopped bool) error {
	members, err := s.named(addrs)
	if err != nil {
		return err
	}
	for _, m := range members {
		s.mu.Lock()
		spec := m.spec
		s.mu.Unlock()
		if err := s.store.put(spec, stopped); err != nil {
			return err
		}
		if stopped {
			s.halt(m)
		}
		s.mu.Lock()
		m.stopped = stopped
		if !stopped {
			s.launch(m)
		} else {
			m.state.stuck("")
		}
		s.mu.Unlock()
	}
	return nil
}

package sim

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	gscrypto "github.com/filecoin-project/go-state-types/crypto"
	"github.com/filecoin-project/go-state-types/proof"
	"github.com/ipfs/go-cid"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/api/messager"
	miningapi "github.com/filecoin-venus/venus/api/mining"
	walletapi "github.com/filecoin-venus/venus/api/wallet"
	"github.com/filecoin-venus/venus/beacon"
	"github.com/filecoin-venus/venus/chain"
	"github.com/filecoin-venus/venus/consensus"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/internal/sqldb"
	"github.com/filecoin-venus/venus/mining"
	"github.com/filecoin-venus/venus/mining/record"
	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/sealer/heads"
	"github.com/filecoin-venus/venus/sealer/messages"
	"github.com/filecoin-venus/venus/sealer/wdpost"
	"github.com/filecoin-venus/venus/state"
	"github.com/filecoin-venus/venus/types"
	"github.com/filecoin-venus/venus/wallet/typed"
)

// fleet is a network of venus-miners, each with several miners and two nodes, whose miners have two sealers that also keep
// their deadlines: the programs' own parts on a chain of the simulator.
type fleet struct {
	t         *testing.T
	w         *World
	schedule  beacon.Schedule
	producer  *consensus.Producer
	validator *consensus.Validator
	programs  []*fleetProgram
	miners    []*fleetMiner

	mu       sync.Mutex
	admitted map[cid.Cid]*admission
	pending  map[address.Address][]*types.SignedMessage
}

type admission struct {
	once sync.Once
	err  error
}

// fleetProgram is a venus-miner with its nodes and its clock.
type fleetProgram struct {
	*mining.Service
	nodes []*fleetNode
	skew  atomic.Int64
	db    *record.DB
}

// skewed is a program's clock.
type skewed struct {
	clock.Clock
	by *atomic.Int64
}

func (s skewed) Now() time.Time { return s.Clock.Now().Add(time.Duration(s.by.Load())) }

// fleetMiner is a miner with wallet, sealers, messager and the keeper of its deadlines.
type fleetMiner struct {
	*Miner
	f       *fleet
	program *fleetProgram
	sealers [2]*fleetSealer
	tally   record.Tally // of the whole run, at its end
	wins    []record.Win // the same

	mu     sync.Mutex
	signed []*types.BlockHeader
	pushed map[string]*types.SignedMessage
	alerts []fleetAlert
	store  map[string][]byte
}

type fleetAlert struct {
	at   time.Time
	text string
}

func (f *fleet) must(err error) {
	if err != nil {
		panic(fmt.Sprintf("the simulator itself failed: %v", err))
	}
}

func newFleet(t *testing.T, cfg Config, programs int) *fleet {
	w, err := NewWorld(t.Context(), cfg)
	require.NoError(t, err)
	// Forks are executed side by side here, which the world's checks from state to state cannot follow: the last state is
	// read as a whole instead.
	w.Exec.Close()
	w.Exec, err = chain.NewExecutor(chain.ExecutorConfig{Store: w.Store, Rounds: w.Schedule, Verifier: Verifier{}})
	require.NoError(t, err)
	t.Cleanup(w.Exec.Close)
	f := &fleet{t: t, w: w, admitted: map[cid.Cid]*admission{}, pending: map[address.Address][]*types.SignedMessage{}}
	key, info, err := beaconOf(w.cfg, w.Net)
	require.NoError(t, err)
	source, err := beacon.NewPrivate(key, info, beacon.Timing{GenesisTime: genesisTime, BlockDelay: w.Net.BlockDelay}, clock.Real())
	require.NoError(t, err)
	f.schedule, err = beacon.NewSchedule(beacon.Point{Start: 0, Source: source})
	require.NoError(t, err)
	f.producer = consensus.NewProducer(w.Exec, f.schedule)
	f.validator, err = consensus.New(w.Exec, f.schedule, Verifier{}, clock.Real())
	require.NoError(t, err)
	for i := range programs {
		p := new(fleetProgram)
		for k := range 2 {
			p.nodes = append(p.nodes, newFleetNode(f, fmt.Sprintf("node %d/%d", i, k)))
		}
		f.programs = append(f.programs, p)
	}
	for i, m := range w.Miners {
		fm := &fleetMiner{Miner: m, f: f, program: f.programs[i%programs], pushed: map[string]*types.SignedMessage{}, store: map[string][]byte{}}
		for k := range fm.sealers {
			fm.sealers[k] = &fleetSealer{m: fm}
		}
		f.miners = append(f.miners, fm)
	}
	return f
}

// start begins to mine and to prove, until ctx ends.
func (f *fleet) start(ctx context.Context, wg *sync.WaitGroup) {
	delay := f.w.Net.BlockDelay
	for i, p := range f.programs {
		dir := f.t.TempDir()
		var err error
		p.db, err = record.Open(ctx, sqldb.Config{Path: filepath.Join(dir, "mining.db"), NoSync: true})
		require.NoError(f.t, err)
		var nodes []mining.NamedNode
		for _, n := range p.nodes {
			nodes = append(nodes, mining.NamedNode{Name: n.name, Node: n})
		}
		p.Service, err = mining.NewService(mining.Parts{
			Nodes: nodes, Timing: mining.Timing{BlockDelay: delay, Propagation: f.w.Net.PropagationDelay}, Clock: skewed{clock.Real(), &p.skew},
			MinersFile: filepath.Join(dir, "miners.json"), Records: p.db, Network: "sim", Version: "sim",
			Connect: func(s miningapi.MinerSpec) (mining.Services, error) {
				m := f.minerOf(s.Addr)
				sealers := mining.NewSealers(clock.Real(), delay/3, mining.NamedProver{Name: "first", Prover: m.sealers[0]}, mining.NamedProver{Name: "second", Prover: m.sealers[1]})
				return mining.Services{Wallet: m, Sealer: sealers, Close: func() {}}, nil
			},
		})
		require.NoError(f.t, err)
		wg.Go(func() {
			<-ctx.Done()
			f.must(p.Service.Close())
			for k := i; k < len(f.miners); k += len(f.programs) {
				m, ctx := f.miners[k], context.Background()
				var err error
				m.tally, err = p.db.Miner(m.ID).Tally(ctx, 0)
				f.must(err)
				m.wins, err = p.db.Miner(m.ID).Wins(ctx, 0, math.MaxInt32)
				f.must(err)
			}
			f.must(p.db.Close())
		})
		for k := i; k < len(f.miners); k += len(f.programs) {
			require.NoError(f.t, p.AddAddress(ctx, miningapi.MinerSpec{Addr: f.miners[k].ID}))
			f.miners[k].keepDeadlines(ctx, wg)
		}
	}
}

func (f *fleet) minerOf(a address.Address) *fleetMiner {
	id, err := address.IDFromAddress(a)
	f.must(err)
	return f.miners[id-firstMiner]
}

// after is the state after a tipset.
func (f *fleet) after(ctx context.Context, ts *types.TipSet) (*state.View, error) {
	res, err := f.w.Exec.Execute(ctx, ts)
	if err != nil {
		return nil, err
	}
	return f.w.Store.View(res.State), nil
}

// admit judges a block once, stores it, and lets it spread.
func (f *fleet) admit(ctx context.Context, b *types.BlockMsg) error {
	c := b.Header.Cid()
	f.mu.Lock()
	a, ok := f.admitted[c]
	if !ok {
		a = new(admission)
		f.admitted[c] = a
	}
	f.mu.Unlock()
	a.once.Do(func() {
		ctx := context.WithoutCancel(ctx)
		full, err := f.w.Store.AssembleBlock(ctx, b)
		if err == nil {
			err = f.validator.ValidateBlock(ctx, full)
		}
		if err == nil {
			_, _, err = f.w.Store.AcceptFull(ctx, full)
		}
		if a.err = err; err == nil {
			f.spread(ctx, b.Header)
		}
	})
	return a.err
}

// spread takes a block to every node, after 20 to 150 milliseconds and what the node is late by.
func (f *fleet) spread(ctx context.Context, h *types.BlockHeader) {
	rng := rand.New(rand.NewSource(int64(f.hash("spread", h.Cid().String()))))
	for _, p := range f.programs {
		for _, n := range p.nodes {
			n.mu.Lock()
			d := n.late + time.Duration(20+rng.Intn(130))*time.Millisecond
			n.mu.Unlock()
			go func() {
				if clock.Real().Sleep(ctx, d) == nil {
					n.hear(ctx, h)
				}
			}()
		}
	}
}

func (f *fleet) hash(parts ...any) uint64 {
	d := digest(fmt.Sprint(parts...), number(uint64(f.w.cfg.Seed)))
	out := uint64(0)
	for _, b := range d[:8] {
		out = out<<8 | uint64(b)
	}
	return out
}

// pick divides the pending messages that a state can take over n blocks.
func (f *fleet) pick(ctx context.Context, v *state.View, n int) ([][]*types.SignedMessage, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	out, room, next := make([][]*types.SignedMessage, n), make([]int64, n), 0
	for i := range room {
		room[i] = params.BlockGasLimit
	}
	for _, m := range f.miners {
		list := f.pending[m.Key.Address]
		if len(list) == 0 {
			continue
		}
		act, err := v.Actor(ctx, m.Key.Address)
		if err != nil {
			return nil, err
		}
		for _, sm := range list {
			if sm.Message.Nonce >= act.Nonce && room[next] >= sm.Message.GasLimit {
				out[next] = append(out[next], sm)
				room[next] -= sm.Message.GasLimit
			}
		}
		next = (next + 1) % n
	}
	return out, nil
}

// WalletSign implements mining.Signer as venus-wallet does, and keeps every block that was ever signed.
func (m *fleetMiner) WalletSign(_ context.Context, signer address.Address, raw []byte, meta walletapi.MsgMeta) (*gscrypto.Signature, error) {
	p, err := typed.Prepare(meta.Type, signer, raw, meta.Extra)
	if err != nil {
		return nil, err
	}
	sig, err := m.Key.Sign(p.Bytes)
	if err == nil && meta.Type == walletapi.TypeBlock {
		h, derr := types.DecodeBlock(raw)
		m.f.must(derr)
		h.BlockSig = sig
		m.mu.Lock()
		m.signed = append(m.signed, h)
		m.mu.Unlock()
	}
	return sig, err
}

// WalletHas implements mining.Signer.
func (m *fleetMiner) WalletHas(_ context.Context, a address.Address) (bool, error) {
	return a == m.Key.Address, nil
}

// fleetSealer is a machine with the sectors' files. It may be off, or slow.
type fleetSealer struct {
	m    *fleetMiner
	off  atomic.Bool
	slow atomic.Int64
}

func (s *fleetSealer) work(ctx context.Context) error {
	if s.off.Load() {
		return errNotThere
	}
	return clock.Real().Sleep(ctx, 20*time.Millisecond+time.Duration(s.slow.Load()))
}

// ComputeProof implements mining.Prover.
func (s *fleetSealer) ComputeProof(ctx context.Context, sectors []proof.ExtendedSectorInfo, r abi.PoStRandomness) ([]proof.PoStProof, error) {
	if err := s.work(ctx); err != nil {
		return nil, err
	}
	challenged := make([]proof.SectorInfo, len(sectors))
	for i, x := range sectors {
		challenged[i] = proof.SectorInfo{SealProof: x.SealProof, SectorNumber: x.SectorNumber, SealedCID: x.SealedCID}
	}
	kind, err := challenged[0].SealProof.RegisteredWinningPoStProof()
	return []proof.PoStProof{{PoStProof: kind, ProofBytes: postProof("winning", r, s.m.Actor, challenged)}}, err
}

// ActorAddress implements mining.Prover.
func (s *fleetSealer) ActorAddress(context.Context) (address.Address, error) { return s.m.ID, nil }

// deadlineProver implements wdpost.Prover with the first sealer that is on.
type deadlineProver struct{ m *fleetMiner }

func (p deadlineProver) sealer() *fleetSealer {
	if p.m.sealers[0].off.Load() {
		return p.m.sealers[1]
	}
	return p.m.sealers[0]
}

func (p deadlineProver) Check(ctx context.Context, _ []proof.SectorInfo) (map[abi.SectorNumber]string, error) {
	return nil, p.sealer().work(ctx)
}

func (p deadlineProver) WindowPoSt(ctx context.Context, w wdpost.Work) (wdpost.Made, error) {
	if err := p.sealer().work(ctx); err != nil {
		return wdpost.Made{}, err
	}
	kind, err := w.Sectors[0].SealProof.RegisteredWindowPoStProof()
	return wdpost.Made{Proofs: []proof.PoStProof{{PoStProof: kind, ProofBytes: postProof("window", w.Randomness, p.m.Actor, w.Sectors)}}}, err
}

// keepDeadlines runs the sealer's planner of window proofs for the miner.
func (m *fleetMiner) keepDeadlines(ctx context.Context, wg *sync.WaitGroup) {
	node := sealerNode{m.program.nodes[0]}
	h := heads.New(node, clock.Real())
	shell, err := wdpost.New(ctx, wdpost.Settings{
		Config: wdpost.Config{Miner: m.Actor, StuckAfter: m.f.w.Net.ChallengeWindow / 3, CheckLead: 2 * m.f.w.Net.ChallengeWindow, Keep: 10}, Miner: m.ID, MaxPartitions: 2,
		BlockDelay: m.f.w.Net.BlockDelay,
	}, wdpost.Parts{
		Chain: node, Messages: messages.New(messages.Config{Miner: m.ID, Confidence: 1}, m, node), Prover: deadlineProver{m}, Verifier: Verifier{}, Store: m, Heads: h, Clock: clock.Real(),
		Alert: func(a wdpost.Alert) {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.alerts = append(m.alerts, fleetAlert{clock.Real().Now(), a.Text})
		},
	})
	require.NoError(m.f.t, err)
	wg.Go(func() { shell.Run(ctx) })
	wg.Go(func() { h.Run(ctx) })
}

// LoadJSON implements wdpost.Store.
func (m *fleetMiner) LoadJSON(_ context.Context, name string, v any) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.store[name] == nil {
		return nil
	}
	return json.Unmarshal(m.store[name], v)
}

// SaveJSON implements wdpost.Store.
func (m *fleetMiner) SaveJSON(_ context.Context, name string, v any) error {
	raw, err := json.Marshal(v)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.store[name] = raw
	return err
}

// SaveWindowProof implements wdpost.Store.
func (m *fleetMiner) SaveWindowProof(context.Context, int64, int, any) error { return nil }

// fleetGas is the gas of a window proof or a declaration.
const fleetGas = 600_000_000

// PushMessageWithId implements messages.Messager: the message is signed with the next nonce and stays in the pool.
func (m *fleetMiner) PushMessageWithId(ctx context.Context, id string, msg *types.Message, _ *messager.MsgMeta, _ string) (string, error) {
	m.f.mu.Lock()
	defer m.f.mu.Unlock()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.pushed[id] != nil {
		return id, nil
	}
	full := message(msg.To, msg.Value, msg.Method, msg.Params, fleetGas)
	full.From, full.Nonce = m.Key.Address, uint64(len(m.f.pending[m.Key.Address]))
	sm, err := m.Key.SignMessage(full)
	if err != nil {
		return "", err
	}
	if _, err := m.f.w.Store.PutMessage(ctx, sm); err != nil {
		return "", err
	}
	m.f.pending[m.Key.Address] = append(m.f.pending[m.Key.Address], sm)
	m.pushed[id] = sm
	return id, nil
}

// HasMessageByUid implements messages.Messager.
func (m *fleetMiner) HasMessageByUid(_ context.Context, id string) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.pushed[id] != nil, nil
}

// GetMessageByUid implements messages.Messager.
func (m *fleetMiner) GetMessageByUid(ctx context.Context, id string) (*messager.Message, error) {
	m.mu.Lock()
	sm := m.pushed[id]
	m.mu.Unlock()
	out := &messager.Message{ID: id, Value: sm.Message.Value, State: messager.StatePending}
	head := m.f.w.Store.Head()
	found, err := m.f.w.Store.SearchMessage(ctx, head, sm.Cid(), 2*m.f.w.Net.ChallengeWindow, false)
	if err == nil && found != nil {
		out.State, out.Receipt, out.Height = messager.StateOnChain, &found.Receipt, int64(found.Executed.Height())
		out.Confidence = int64(head.Height() - found.Executed.Height())
	}
	return out, err
}

// HasWalletAddress implements messages.Messager.
func (m *fleetMiner) HasWalletAddress(_ context.Context, _ string, a address.Address) (bool, error) {
	return a == m.Key.Address, nil
}

// saw tells whether an alert of a deadline's close came before a moment.
func (m *fleetMiner) saw(index uint64, closes abi.ChainEpoch, before time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	prefix := fmt.Sprintf("deadline %d closes at epoch %d", index, closes)
	for _, a := range m.alerts {
		if strings.HasPrefix(a.text, prefix) && a.at.Before(before) {
			return true
		}
	}
	return false
}

// score sets counts against chances.
type score struct {
	got            int64
	mean, variance float64
}

func (s *score) add(chance float64, hit bool) {
	s.mean += chance
	s.variance += chance * (1 - chance)
	if hit {
		s.got++
	}
}

func (s *score) sigmas() float64 {
	if s.variance == 0 {
		return 0
	}
	return (float64(s.got) - s.mean) / math.Sqrt(s.variance)
}

func (s *score) String() string {
	return fmt.Sprintf("%d of %.1f ± %.1f (%+.2f sigmas)", s.got, s.mean, math.Sqrt(s.variance), s.sigmas())
}

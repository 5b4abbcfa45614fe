package mining

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/go-state-types/crypto"
	"github.com/filecoin-project/go-state-types/proof"
	"github.com/ipfs/go-cid"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/api"
	nodeapi "github.com/filecoin-venus/venus/api/node"
	walletapi "github.com/filecoin-venus/venus/api/wallet"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/internal/sqldb"
	"github.com/filecoin-venus/venus/mining/record"
	"github.com/filecoin-venus/venus/types"
)

const testDelay = 10 * time.Second

// For what happens beside the simulated clock.
const waitLong, waitShort = 20 * time.Second, time.Millisecond

var genesisTime = time.Unix(1_700_000_000, 0)

func idAddr(n uint64) address.Address {
	a, err := address.NewIDAddress(n)
	if err != nil {
		panic(err)
	}
	return a
}

func someCid(s string) cid.Cid { return types.Sum([]byte(s)) }

// chain is a fake node: it keeps tipsets, takes every block at its word and feeds the head to heads at once.
type chain struct {
	clock clock.Clock
	heads *heads

	mu       sync.Mutex
	tipsets  map[types.TipSetKey]*types.TipSet
	head     *types.TipSet
	power    map[address.Address]int64
	total    int64
	arrived  map[cid.Cid]time.Time
	sequence []string // what reached the node, for goldens

	// What a test may make go wrong; each gets the epoch.
	onBase, onCreate, onSubmit func(abi.ChainEpoch) error
	onSelect                   func() error
	pool                       []*types.SignedMessage
	onMessages                 func(n int) error
	onHead                     []func(*types.TipSet)
	ineligible                 map[address.Address]bool
	syncing                    *nodeapi.SyncState
}

func newChain(c clock.Clock) *chain {
	n := &chain{
		clock: c, tipsets: map[types.TipSetKey]*types.TipSet{}, power: map[address.Address]int64{}, arrived: map[cid.Cid]time.Time{},
		ineligible: map[address.Address]bool{},
	}
	n.heads = newHeads([]NamedNode{{Name: "node", Node: n}}, c)
	n.adopt(mustTipSet(&types.BlockHeader{
		Miner: idAddr(0), Ticket: &types.Ticket{VRFProof: []byte("genesis")}, Parents: []cid.Cid{someCid("nothing")}, ParentWeight: big.Zero(),
		ParentStateRoot: someCid("s"), ParentMessageReceipts: someCid("r"), Messages: someCid("m"), Timestamp: uint64(genesisTime.Unix()), ParentBaseFee: big.Zero(),
	}))
	return n
}

func mustTipSet(blocks ...*types.BlockHeader) *types.TipSet {
	ts, err := types.NewTipSet(blocks)
	if err != nil {
		panic(err)
	}
	return ts
}

func (n *chain) adopt(ts *types.TipSet) {
	n.tipsets[ts.Key()] = ts
	n.head = ts
	n.heads.set(n.heads.feeds[0], ts, ts.ParentWeight())
	for _, f := range n.onHead {
		f(ts)
	}
}

// rival puts a stranger's block beside or above: at epoch on base.
func (n *chain) rival(base *types.TipSet, epoch abi.ChainEpoch, name string) *types.BlockHeader {
	return &types.BlockHeader{
		Miner: idAddr(9999), Ticket: &types.Ticket{VRFProof: []byte(name)}, ElectionProof: &types.ElectionProof{WinCount: 1}, Parents: base.Cids(),
		ParentWeight: big.Zero(), Height: epoch, ParentStateRoot: someCid("s"), ParentMessageReceipts: someCid("r"), Messages: someCid("m"),
		Timestamp: uint64(genesisTime.Add(testDelay * time.Duration(epoch)).Unix()), ParentBaseFee: big.Zero(),
	}
}

// insert takes a block into the head: a heavier chain, or one more block of the head's tipset.
func (n *chain) insert(h *types.BlockHeader) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.insertLocked(h)
}

func (n *chain) insertLocked(h *types.BlockHeader) {
	n.arrived[h.Cid()] = n.clock.Now()
	alone := mustTipSet(h)
	n.tipsets[alone.Key()] = alone
	switch {
	case h.Height > n.head.Height():
		n.adopt(alone)
	case h.Height == n.head.Height() && types.NewTipSetKey(h.Parents...) == n.head.Parents():
		for _, b := range n.head.Blocks() {
			if b.Cid() == h.Cid() {
				return
			}
		}
		n.adopt(mustTipSet(append(append([]*types.BlockHeader{}, n.head.Blocks()...), h)...))
	}
}

func (n *chain) note(format string, args ...any) {
	n.sequence = append(n.sequence, fmt.Sprintf("%6.1fs ", n.clock.Now().Sub(genesisTime).Seconds())+fmt.Sprintf(format, args...))
}

func (n *chain) ChainHead(context.Context) (*types.TipSet, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.head, nil
}

func (n *chain) ChainTipSetWeight(_ context.Context, k types.TipSetKey) (big.Int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return big.NewInt(int64(n.tipsets[k].Height())*100 + int64(len(n.tipsets[k].Blocks()))), nil
}

func (n *chain) BeaconGetEntry(_ context.Context, epoch abi.ChainEpoch) (*types.BeaconEntry, error) {
	e := n.beacon(epoch)
	return &e, nil
}

func (n *chain) ChainNotify(ctx context.Context) (<-chan []*nodeapi.HeadChange, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	out := make(chan []*nodeapi.HeadChange, 1)
	out <- []*nodeapi.HeadChange{{Type: nodeapi.HeadCurrent, Val: n.head}}
	context.AfterFunc(ctx, func() { close(out) })
	return out, nil
}

func (n *chain) beacon(epoch abi.ChainEpoch) types.BeaconEntry {
	sum := sha256.Sum256(fmt.Appendf(nil, "beacon %d", epoch))
	return types.BeaconEntry{Round: uint64(epoch), Data: sum[:]}
}

func (n *chain) MinerGetBaseInfo(ctx context.Context, miner address.Address, epoch abi.ChainEpoch, base types.TipSetKey) (*nodeapi.MiningBaseInfo, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.onBase != nil {
		if err := n.onBase(epoch); err != nil {
			return nil, err
		}
	}
	p, ok := n.power[miner]
	if !ok {
		return nil, nil
	}
	return &nodeapi.MiningBaseInfo{
		MinerPower: big.NewInt(p), NetworkPower: big.NewInt(n.total), WorkerKey: workerOf(miner), EligibleForMining: !n.ineligible[miner],
		Sectors:         []proof.ExtendedSectorInfo{{SealProof: 5, SectorNumber: 1, SealedCID: someCid("sealed")}},
		PrevBeaconEntry: n.beacon(epoch - 1), BeaconEntries: []types.BeaconEntry{n.beacon(epoch)},
	}, nil
}

func workerOf(miner address.Address) address.Address {
	pub := sha256.Sum256(miner.Bytes())
	a, err := address.NewBLSAddress(append(pub[:], make([]byte, 16)...))
	if err != nil {
		panic(err)
	}
	return a
}

func (n *chain) MpoolSelects(_ context.Context, _ types.TipSetKey, q []float64) ([][]*types.SignedMessage, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.onSelect != nil {
		if err := n.onSelect(); err != nil {
			return nil, err
		}
	}
	out := make([][]*types.SignedMessage, len(q))
	for i := range out {
		out[i] = n.pool
	}
	return out, nil
}

func (n *chain) MinerCreateBlock(_ context.Context, t *nodeapi.BlockTemplate) (*types.BlockMsg, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.note("create %s@%d on %d", t.Miner, t.Epoch, n.tipsets[t.Parents].Height())
	if n.onCreate != nil {
		if err := n.onCreate(t.Epoch); err != nil {
			return nil, err
		}
	}
	if n.onMessages != nil {
		if err := n.onMessages(len(t.Messages)); err != nil {
			return nil, err
		}
	}
	return &types.BlockMsg{Header: &types.BlockHeader{
		Miner: t.Miner, Ticket: t.Ticket, ElectionProof: t.Eproof, BeaconEntries: t.BeaconValues, WinPoStProof: t.WinningPoStProof, Parents: t.Parents.Cids(),
		ParentWeight: big.Zero(), Height: t.Epoch, ParentStateRoot: someCid("s"), ParentMessageReceipts: someCid("r"),
		// Every making differs, as with fresh messages.
		Messages:  someCid(fmt.Sprint("messages ", len(n.sequence))),
		Timestamp: t.Timestamp, ParentBaseFee: big.Zero(),
	}}, nil
}

func (n *chain) SyncSubmitBlock(_ context.Context, b *types.BlockMsg) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.note("submit %s@%d on %d", b.Header.Miner, b.Header.Height, n.tipsets[types.NewTipSetKey(b.Header.Parents...)].Height())
	if n.onSubmit != nil {
		if err := n.onSubmit(b.Header.Height); err != nil {
			return err
		}
	}
	n.insertLocked(b.Header)
	return nil
}

func (n *chain) ChainGetTipSet(_ context.Context, k types.TipSetKey) (*types.TipSet, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	ts, ok := n.tipsets[k]
	if !ok {
		return nil, errors.New("no such tipset")
	}
	return ts, nil
}

func (n *chain) ChainGetTipSetByHeight(_ context.Context, h abi.ChainEpoch, k types.TipSetKey) (*types.TipSet, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	ts := n.tipsets[k]
	for ts != nil && ts.Height() > h {
		ts = n.tipsets[ts.Parents()]
	}
	if ts == nil {
		return nil, errors.New("no such tipset")
	}
	return ts, nil
}

func (n *chain) SyncState(context.Context) (*nodeapi.SyncState, error) {
	if n.syncing != nil {
		return n.syncing, nil
	}
	return &nodeapi.SyncState{ActiveSyncs: []nodeapi.ActiveSync{{}}}, nil
}

func (n *chain) StateMinerWorkerAddress(_ context.Context, m address.Address, _ types.TipSetKey) (address.Address, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, ok := n.power[m]; !ok {
		return address.Undef, api.Errorf(api.CodeNotFound, "actor not found")
	}
	return workerOf(m), nil
}

func (n *chain) StateLookupID(_ context.Context, a address.Address, _ types.TipSetKey) (address.Address, error) {
	if a.Protocol() != address.ID {
		return address.Undef, api.Errorf(api.CodeNotFound, "actor not found")
	}
	return a, nil
}

// signer is a fake wallet that remembers every block it signed.
type signer struct {
	mu     sync.Mutex
	blocks map[string]map[abi.ChainEpoch]map[string]bool // miner, epoch, signed bytes
	draws  map[string]int
	fail   func(walletapi.MsgType) error
	lacks  bool
}

func newSigner() *signer {
	return &signer{blocks: map[string]map[abi.ChainEpoch]map[string]bool{}, draws: map[string]int{}}
}

func (w *signer) WalletSign(_ context.Context, who address.Address, raw []byte, meta walletapi.MsgMeta) (*crypto.Signature, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fail != nil {
		if err := w.fail(meta.Type); err != nil {
			return nil, err
		}
	}
	switch meta.Type {
	case walletapi.TypeBlock:
		h, err := types.DecodeBlock(raw)
		if err != nil {
			return nil, err
		}
		miner := h.Miner.String()
		if w.blocks[miner] == nil {
			w.blocks[miner] = map[abi.ChainEpoch]map[string]bool{}
		}
		if w.blocks[miner][h.Height] == nil {
			w.blocks[miner][h.Height] = map[string]bool{}
		}
		w.blocks[miner][h.Height][string(raw)] = true
	case walletapi.TypeDrawRandomParam:
		p, err := types.DecodeDrawRandomParams(raw)
		if err != nil {
			return nil, err
		}
		w.draws[fmt.Sprintf("%d@%d", p.Pers, p.Round)]++
	default:
		return nil, errors.New("raw bytes are never signed")
	}
	sum := sha256.Sum256(append(who.Bytes(), raw...))
	return &crypto.Signature{Type: crypto.SigTypeBLS, Data: sum[:]}, nil
}

func (w *signer) WalletHas(context.Context, address.Address) (bool, error) { return !w.lacks, nil }

// onlyOnce asserts that no height was ever signed twice.
func (w *signer) onlyOnce(t *testing.T) (signed int) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for miner, heights := range w.blocks {
		for h, variants := range heights {
			require.Len(t, variants, 1, "%s signed %d different blocks at %d", miner, len(variants), h)
			signed++
		}
	}
	return signed
}

// prover is a fake sealer.
type prover struct {
	mu    sync.Mutex
	calls int
	gate  func(ctx context.Context, call int) error
	actor address.Address
}

func (p *prover) ComputeProof(ctx context.Context, sectors []proof.ExtendedSectorInfo, r abi.PoStRandomness) ([]proof.PoStProof, error) {
	p.mu.Lock()
	p.calls++
	call, gate := p.calls, p.gate
	p.mu.Unlock()
	if gate != nil {
		if err := gate(ctx, call); err != nil {
			return nil, err
		}
	}
	return []proof.PoStProof{{PoStProof: 0, ProofBytes: []byte(hex.EncodeToString(r))}}, nil
}

func (p *prover) ActorAddress(context.Context) (address.Address, error) { return p.actor, nil }

// world is a chain, a clock and runners on it.
type world struct {
	t       *testing.T
	clock   *clock.Sim
	chain   *chain
	wallet  *signer
	sealers map[address.Address]*prover
	dir     string
	shared  *shared
	states  map[address.Address]*state
	db      *record.DB
	stop    map[address.Address]func()
}

func newTestWorld(t *testing.T, powers ...int64) *world {
	c := clock.NewSim(genesisTime)
	w := &world{
		t: t, clock: c, chain: newChain(c), wallet: newSigner(), sealers: map[address.Address]*prover{}, dir: fastDir(t),
		states: map[address.Address]*state{}, stop: map[address.Address]func(){},
	}
	w.shared = &shared{
		timing: Timing{BlockDelay: testDelay, Propagation: testDelay / 5}, clock: c, heads: w.chain.heads, selects: newSelects(), meters: newMeters(),
		nodes: &nodes{heads: w.chain.heads, clock: c, patience: testDelay / 4},
	}
	for i, p := range powers {
		a := idAddr(1000 + uint64(i))
		w.chain.power[a], w.chain.total = p, w.chain.total+p
		w.sealers[a] = &prover{actor: a}
	}
	t.Cleanup(func() {
		for _, stop := range w.stop {
			stop()
		}
	})
	return w
}

func (w *world) runner(a address.Address) *runner {
	if w.db == nil {
		w.db = openRecords(w.t, w.dir)
	}
	w.states[a] = new(state)
	return newRunner(w.shared, a, Services{Wallet: w.wallet, Sealer: w.sealers[a]}, w.db.Miner(a), w.states[a])
}

func (w *world) start(a address.Address) {
	r := w.runner(a)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { r.run(ctx) })
	w.stop[a] = func() {
		cancel()
		wg.Wait()
		delete(w.stop, a)
	}
}

// advance moves time from timer to timer until the given time since genesis; every runner sleeps before each move.
func (w *world) advance(until time.Duration) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for {
		if len(w.stop) > 0 {
			require.NoError(w.t, w.clock.WaitFor(ctx, len(w.stop)), "a runner neither sleeps nor moves")
		}
		left := genesisTime.Add(until).Sub(w.clock.Now())
		if left <= 0 {
			return
		}
		d, ok := w.clock.NextDue()
		if !ok || d > left {
			d = left
		}
		w.clock.Advance(d)
	}
}

// ownHeights lists the heights at which the canonical chain holds a block of the miner, oldest first.
func (w *world) ownHeights(a address.Address) []abi.ChainEpoch {
	w.chain.mu.Lock()
	defer w.chain.mu.Unlock()
	var out []abi.ChainEpoch
	for ts := w.chain.head; ts != nil && ts.Height() > 0; ts = w.chain.tipsets[ts.Parents()] {
		for _, b := range ts.Blocks() {
			if b.Miner == a {
				out = append([]abi.ChainEpoch{b.Height}, out...)
			}
		}
	}
	return out
}

// fastDir lies in memory where there is such a place: the tests fsync thousands of times, and what a crash leaves behind
// is the matter of package guard's own tests.
func fastDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "mining")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// openRecords opens the database in a folder.
func openRecords(t *testing.T, dir string) *record.DB {
	t.Helper()
	db, err := record.Open(t.Context(), sqldb.Config{Path: dir + "/mining.db", NoSync: true})
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

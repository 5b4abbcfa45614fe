package node

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/stretchr/testify/require"

	apinode "github.com/filecoin-venus/venus/api/node"
	"github.com/filecoin-venus/venus/beacon"
	"github.com/filecoin-venus/venus/consensus"
	"github.com/filecoin-venus/venus/crypto"
	"github.com/filecoin-venus/venus/genesis/devnet"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/proofs/prove"
	"github.com/filecoin-venus/venus/proofs/seal"
	"github.com/filecoin-venus/venus/rpc"
	"github.com/filecoin-venus/venus/types"
)

// past is how old the genesis is when the tests begin: so many epochs may be
// mined as fast as blocks can be made.
const past = 600

// world is what all tests share: a network of one miner with two sectors, its
// beacon, its keys and its prover. Nodes of their own are started on it.
type world struct {
	dir string
	net params.Network
	// genesis is its time, Unix seconds.
	genesis int64
	layout  devnet.Layout
	beacon  *httptest.Server
	miner   address.Address
	worker  account
	faucet  account
	sealer  *seal.Sealer

	asked sync.Map // the methods of v1 that any test has called
}

// account signs as a wallet would.
type account struct {
	addr address.Address
	key  types.KeyInfo
}

var (
	shared     *world
	sharedOnce sync.Once
)

func TestMain(m *testing.M) {
	address.CurrentNetwork = address.Testnet
	code := m.Run()
	if shared != nil {
		shared.close()
	}
	os.Exit(code)
}

// theWorld makes the network at its first use.
func theWorld(t testing.TB) *world {
	t.Helper()
	sharedOnce.Do(func() {
		w, err := newWorld(t.Context(), past)
		if err != nil {
			t.Errorf("make the network of the tests: %v", err)
			return
		}
		shared = w
	})
	if shared == nil {
		t.Fatal("the network of the tests could not be made")
	}
	return shared
}

func newWorld(ctx context.Context, past int64) (*world, error) {
	return newWorldAt(ctx, time.Now().Unix()-past, "127.0.0.1:0")
}

// newWorldAt makes the network that has a time of genesis, Unix seconds, and its beacon at an address: the same network each time.
func newWorldAt(ctx context.Context, genesis int64, beacon string) (*world, error) {
	listener, err := net.Listen("tcp", beacon)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "venus-node-")
	if err != nil {
		return nil, err
	}
	w := &world{
		dir: dir, layout: devnet.Layout{Dir: filepath.Join(dir, "net")}, genesis: genesis,
		beacon: &httptest.Server{Listener: listener, Config: new(http.Server)},
	}
	if w.miner, err = address.NewIDAddress(1000); err != nil {
		return nil, err
	}
	if w.net, err = makeNetwork(ctx, w.layout.Dir, "node tests", w.genesis, "http://"+w.beacon.Listener.Addr().String()); err != nil {
		return nil, err
	}
	if err := w.startBeacon(); err != nil {
		return nil, err
	}
	if w.worker, err = readKey(w.layout.MinerKey(w.miner)); err != nil {
		return nil, err
	}
	if w.faucet, err = readKey(w.layout.FaucetKey()); err != nil {
		return nil, err
	}
	prover, err := prove.NewIn(w.cache(), w.net, prove.Trapdoor)
	if err != nil {
		return nil, err
	}
	w.sealer = seal.New(seal.Config{Prover: prover})
	return w, nil
}

func makeNetwork(ctx context.Context, dir, seed string, genesis int64, beacon string) (params.Network, error) {
	net, err := params.ByName("local")
	if err != nil {
		return net, err
	}
	return devnet.New(ctx, devnet.Options{
		Network: net, Dir: dir, Timestamp: uint64(genesis), Miners: 1, SectorsPerMiner: 2, Seed: []byte(seed), BeaconServers: []string{beacon},
	})
}

func (w *world) startBeacon() error {
	text, err := os.ReadFile(w.layout.BeaconKey())
	if err != nil {
		return err
	}
	raw, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil {
		return err
	}
	key, err := beacon.KeyFromBytes(raw)
	if err != nil {
		return err
	}
	info, err := beacon.InfoOf(w.net.Beacons[0])
	if err != nil {
		return err
	}
	if w.beacon.Config.Handler, err = beacon.NewServer(key, info, clock.Real()); err != nil {
		return err
	}
	w.beacon.Start()
	return nil
}

func (w *world) close() {
	w.beacon.Close()
	w.sealer.Close()
	if err := os.RemoveAll(w.dir); err != nil {
		fmt.Fprintln(os.Stderr, "clean up:", err)
	}
}

func (w *world) cache() string { return filepath.Join(w.dir, "cache") }

func readKey(path string) (account, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return account{}, err
	}
	raw, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil {
		return account{}, err
	}
	var a account
	if err := json.Unmarshal(raw, &a.key); err != nil {
		return account{}, err
	}
	kind, err := a.key.Type.SigType()
	if err != nil {
		return account{}, err
	}
	a.addr, err = crypto.AddressFor(kind, a.key.PrivateKey)
	return a, err
}

// newAccount makes a key that no chain knows yet.
func newAccount(t testing.TB, kind types.KeyType, seed byte) account {
	t.Helper()
	sig, err := kind.SigType()
	require.NoError(t, err)
	priv, err := crypto.GenerateKeyFromSeed(sig, []byte(strings.Repeat(string(rune('a'+seed)), 32)))
	require.NoError(t, err)
	addr, err := crypto.AddressFor(sig, priv)
	require.NoError(t, err)
	return account{addr: addr, key: types.KeyInfo{Type: kind, PrivateKey: priv}}
}

func (a account) sign(t testing.TB, data []byte) []byte {
	t.Helper()
	kind, err := a.key.Type.SigType()
	require.NoError(t, err)
	sig, err := crypto.Sign(kind, a.key.PrivateKey, data)
	require.NoError(t, err)
	return sig.Data
}

func (a account) signMessage(t testing.TB, m types.Message) *types.SignedMessage {
	t.Helper()
	kind, err := a.key.Type.SigType()
	require.NoError(t, err)
	sig, err := crypto.Sign(kind, a.key.PrivateKey, m.Cid().Bytes())
	require.NoError(t, err)
	return &types.SignedMessage{Message: m, Signature: *sig}
}

// transfer is a signed payment that any block takes.
func (a account) transfer(t testing.TB, to address.Address, nonce uint64, atto int64) *types.SignedMessage {
	t.Helper()
	return a.signMessage(t, types.Message{
		From: a.addr, To: to, Nonce: nonce, Value: big.NewInt(atto), GasLimit: 10_000_000,
		GasFeeCap: big.NewInt(2 * params.InitialBaseFee), GasPremium: big.NewInt(params.InitialBaseFee / 1000),
	})
}

// running is a node with clients of its two dialects, all as its operator.
type running struct {
	*Node
	w    *world
	repo string
	v1   *apinode.FullNodeProxy
	v0   *apinode.FullNodeV0Proxy
	http string // its base URL
}

func (w *world) options(repo string) Options {
	return Options{
		Repo: repo, API: "/ip4/127.0.0.1/tcp/0", Swarm: "/ip4/127.0.0.1/tcp/0", Version: "test", ProofCache: w.cache(), Clock: clock.Real(), grace: time.Millisecond,
	}
}

// first starts a node in a fresh directory with the network's genesis.
func (w *world) first(t testing.TB, change func(*Options)) *running {
	t.Helper()
	return w.start(t, t.TempDir(), func(o *Options) {
		o.GenesisFile = w.layout.Genesis()
		if change != nil {
			change(o)
		}
	})
}

// start starts a node and closes it when the test ends, if it still runs.
func (w *world) start(t testing.TB, repo string, change func(*Options)) *running {
	t.Helper()
	o := w.options(repo)
	if change != nil {
		change(&o)
	}
	n, err := New(t.Context(), o)
	require.NoError(t, err)
	r := &running{Node: n, w: w, repo: repo, v1: new(apinode.FullNodeProxy), v0: new(apinode.FullNodeV0Proxy)}
	t.Cleanup(func() { require.NoError(t, r.Close()) })
	token, err := os.ReadFile(filepath.Join(repo, "token"))
	require.NoError(t, err)
	r.dial(t, string(token), r.v1, "/rpc/v1")
	w.note(r.v1)
	r.dial(t, string(token), r.v0, "/rpc/v0")
	r.http, err = rpc.ParseEndpoint(n.Address, "/")
	require.NoError(t, err)
	r.http = strings.TrimSuffix(r.http, "/")
	return r
}

// note makes a client's calls be remembered.
func (w *world) note(p *apinode.FullNodeProxy) {
	in := reflect.ValueOf(&p.Internal).Elem()
	for i := range in.NumField() {
		name, f := in.Type().Field(i).Name, in.Field(i)
		call := reflect.ValueOf(f.Interface()) // the function, not the field that is about to change
		f.Set(reflect.MakeFunc(f.Type(), func(args []reflect.Value) []reflect.Value {
			w.asked.Store(name, true)
			if f.Type().IsVariadic() {
				return call.CallSlice(args)
			}
			return call.Call(args)
		}))
	}
}

func (r *running) dial(t testing.TB, token string, proxy any, path string) {
	t.Helper()
	stop, err := rpc.Dial(r.Address, token, apinode.Namespace, proxy, rpc.DialOptions{Service: "venus", Path: path})
	require.NoError(t, err)
	t.Cleanup(stop)
}

func (r *running) head(t testing.TB) *types.TipSet {
	t.Helper()
	head, err := r.v1.ChainHead(t.Context())
	require.NoError(t, err)
	return head
}

// winner tries for a block at round on base, as venus-miner does; nil when the
// election is lost.
func (r *running) winner(t testing.TB, base *types.TipSet, round abi.ChainEpoch) *apinode.BlockTemplate {
	t.Helper()
	ctx, w := t.Context(), r.w
	info, err := r.v1.MinerGetBaseInfo(ctx, w.miner, round, base.Key())
	require.NoError(t, err)
	require.NotNil(t, info)
	require.True(t, info.EligibleForMining)
	require.Equal(t, w.worker.addr, info.WorkerKey)
	entry := info.PrevBeaconEntry
	if n := len(info.BeaconEntries); n > 0 {
		entry = info.BeaconEntries[n-1]
	}
	draw, err := consensus.ElectionBase(entry, round, w.miner)
	require.NoError(t, err)
	vrf := w.worker.sign(t, draw)
	wins := consensus.WinCount(vrf, info.MinerPower, info.NetworkPower)
	if wins < 1 {
		return nil
	}
	draw, err = consensus.TicketBase(entry, round, w.miner, base.MinTicket())
	require.NoError(t, err)
	seed, err := consensus.WinningPoStRandomness(entry, round, w.miner)
	require.NoError(t, err)
	require.Len(t, info.Sectors, 1)
	s := info.Sectors[0]
	id := abi.SectorID{Miner: 1000, Number: s.SectorNumber}
	proofs, err := w.sealer.WinningPoSt(ctx, 1000, []seal.SectorRef{{
		Sector: seal.Sector{ID: id, Proof: s.SealProof}, SealedCID: s.SealedCID, Paths: seal.PathsIn(w.layout.MinerDir(w.miner), id),
	}}, seed)
	require.NoError(t, err)
	return &apinode.BlockTemplate{
		Miner: w.miner, Parents: base.Key(), Ticket: &types.Ticket{VRFProof: w.worker.sign(t, draw)},
		Eproof: &types.ElectionProof{WinCount: wins, VRFProof: vrf}, BeaconValues: info.BeaconEntries, Epoch: round,
		Timestamp: base.MinTimestamp() + uint64(round-base.Height()), WinningPoStProof: proofs,
	}
}

// sealed has the node make a template's block and signs it.
func (r *running) sealed(t testing.TB, template *apinode.BlockTemplate) *types.BlockMsg {
	t.Helper()
	b, err := r.v1.MinerCreateBlock(t.Context(), template)
	require.NoError(t, err)
	require.Nil(t, b.Header.BlockSig, "the caller signs")
	r.w.resign(t, b.Header)
	return b
}

func (w *world) resign(t testing.TB, h *types.BlockHeader) {
	t.Helper()
	h.BlockSig = nil
	body, err := h.SigningBytes()
	require.NoError(t, err)
	h.BlockSig, err = crypto.Sign(2, w.worker.key.PrivateKey, body)
	require.NoError(t, err)
}

// block makes the next block on a base with what the pool offers; rounds lost
// stay null.
func (r *running) block(t testing.TB, base *types.TipSet, round abi.ChainEpoch) *types.BlockMsg {
	t.Helper()
	for ; ; round++ {
		template := r.winner(t, base, round)
		if template == nil {
			continue
		}
		var err error
		template.Messages, err = r.v1.MpoolSelect(t.Context(), base.Key(), template.Ticket.Quality())
		require.NoError(t, err)
		return r.sealed(t, template)
	}
}

// mine brings out n blocks, one a tipset, and returns the new head.
func (r *running) mine(t testing.TB, n int) *types.TipSet {
	t.Helper()
	for range n {
		base := r.head(t)
		b := r.block(t, base, base.Height()+1)
		require.NoError(t, r.v1.SyncSubmitBlock(t.Context(), b))
		require.Equal(t, types.NewTipSetKey(b.Cid()), r.head(t).Key())
	}
	return r.head(t)
}

// soon waits for something that happens in the background.
func soon(t testing.TB, what string, done func() bool) {
	t.Helper()
	require.Eventually(t, done, 20*time.Second, 10*time.Millisecond, what)
}

package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	gscrypto "github.com/filecoin-project/go-state-types/crypto"
	"github.com/filecoin-project/go-state-types/proof"
	"github.com/ipfs/go-cid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/api"
	nodeapi "github.com/filecoin-venus/venus/api/node"
	sealerapi "github.com/filecoin-venus/venus/api/sealer"
	"github.com/filecoin-venus/venus/crypto"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/rpc"
	"github.com/filecoin-venus/venus/types"
	"github.com/filecoin-venus/venus/wallet"
)

// The test binary is the program itself when this is set.
const asProgram = "VENUS_MINER_TEST_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		os.Exit(0)
	}
	address.CurrentNetwork = address.Testnet
	os.Exit(m.Run())
}

const (
	nodeToken   = "node-canary.node-canary.node-canary"
	sealerToken = "sealer-canary.sealer-canary.sealer-canary"
)

// serve runs a proxy as a service behind one token.
func serve(t *testing.T, path, token string, impl, guard any) (maddr string) {
	t.Helper()
	s := rpc.NewServer(rpc.Options{Verify: func(_ context.Context, got string) (rpc.Caller, error) {
		if got != token {
			return rpc.Caller{}, rpc.ErrBadToken
		}
		return rpc.Caller{Name: "test", Perms: api.AllPermissions()}, nil
	}})
	require.NoError(t, s.Register(path, impl, guard, "Filecoin"))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = s.Shutdown(ctx)
	})
	return rpc.Multiaddr(l.Addr())
}

func named(s string) cid.Cid {
	c, err := types.CidPrefix.Sum([]byte(s))
	if err != nil {
		panic(err)
	}
	return c
}

// node is a chain of one-second epochs that checks VRFs and signatures and takes everything else at its word.
type node struct {
	miner, worker address.Address
	mu            sync.Mutex
	tipsets       map[types.TipSetKey]*types.TipSet
	head          *types.TipSet
	moved         chan struct{}
	late          []time.Duration
	bad           []string
	blocks        map[cid.Cid]bool // that it was given
	heights       []abi.ChainEpoch // of these
	// delay is how long an epoch lasts, sectors what is challenged in it.
	delay   uint64
	sectors []proof.ExtendedSectorInfo
	url     string
	// network is told where proofs are real; without it nobody can judge them.
	network *params.Network
}

func newNode(t *testing.T, miner, worker address.Address) *node {
	n := &node{miner: miner, worker: worker, tipsets: map[types.TipSetKey]*types.TipSet{}, moved: make(chan struct{}), delay: 1, blocks: map[cid.Cid]bool{},
		sectors: []proof.ExtendedSectorInfo{{SealProof: 5, SectorNumber: 1, SealedCID: named("sealed")}}}
	n.take(t, &types.BlockHeader{
		Miner: miner, Ticket: &types.Ticket{VRFProof: []byte("g")}, ParentWeight: big.Zero(), ParentStateRoot: named("s"), ParentMessageReceipts: named("r"),
		Messages: named("m"), Timestamp: uint64(time.Now().Unix()), ParentBaseFee: big.Zero(),
	})
	return n
}

func (n *node) take(t testing.TB, h *types.BlockHeader) {
	ts, err := types.NewTipSet([]*types.BlockHeader{h})
	if err != nil {
		t.Fatal(err)
	}
	n.tipsets[ts.Key()], n.head = ts, ts
	close(n.moved)
	n.moved = make(chan struct{})
}

func (n *node) beacon(e abi.ChainEpoch) types.BeaconEntry {
	sum := sha256.Sum256(fmt.Append(nil, e))
	return types.BeaconEntry{Round: uint64(e), Data: sum[:]}
}

func (n *node) submit(t testing.TB, b *types.BlockMsg) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	h := b.Header
	raw, err := h.SigningBytes()
	if err == nil {
		err = crypto.Verify(h.BlockSig, n.worker, raw)
	}
	var e bytes.Buffer
	if err == nil {
		err = h.Miner.MarshalCBOR(&e)
	}
	base := n.tipsets[types.NewTipSetKey(h.Parents...)]
	if err == nil {
		err = crypto.VerifyVRF(n.worker, crypto.DrawRandomness(n.beacon(h.Height).Data, gscrypto.DomainSeparationTag_ElectionProofProduction, h.Height, e.Bytes()), h.ElectionProof.VRFProof)
	}
	if err == nil {
		entropy := append(bytes.Clone(e.Bytes()), base.MinTicket().VRFProof...)
		err = crypto.VerifyVRF(n.worker, crypto.DrawRandomness(n.beacon(h.Height).Data, gscrypto.DomainSeparationTag_TicketProduction, h.Height-1, entropy), h.Ticket.VRFProof)
	}
	if err != nil {
		n.bad = append(n.bad, err.Error())
		return err
	}
	if !n.blocks[h.Cid()] { // the same block may come again
		n.blocks[h.Cid()], n.heights = true, append(n.heights, h.Height)
	}
	n.late = append(n.late, time.Since(time.Unix(int64(h.Timestamp), 0)))
	if h.Height > n.head.Height() {
		n.take(t, h)
	}
	return nil
}

func (n *node) api(t testing.TB) *nodeapi.FullNodeProxy {
	p := new(nodeapi.FullNodeProxy)
	in := &p.Internal
	in.Version = func(context.Context) (api.Version, error) {
		return api.Version{Version: "test", APIVersion: nodeapi.VersionV1, BlockDelay: n.delay}, nil
	}
	in.StateNetworkName = func(context.Context) (string, error) { return "local", nil }
	in.StateNetwork = func(context.Context) (*params.Network, error) {
		if n.network == nil {
			return nil, api.Errorf(api.CodeNotFound, "this node does not tell its parameters")
		}
		return n.network, nil
	}
	in.StateLookupID = func(_ context.Context, a address.Address, _ types.TipSetKey) (address.Address, error) { return a, nil }
	in.StateMinerWorkerAddress = func(_ context.Context, a address.Address, _ types.TipSetKey) (address.Address, error) {
		if a != n.miner {
			return address.Undef, api.Errorf(api.CodeNotFound, "actor %s not found", a)
		}
		return n.worker, nil
	}
	in.ChainHead = func(context.Context) (*types.TipSet, error) {
		n.mu.Lock()
		defer n.mu.Unlock()
		return n.head, nil
	}
	in.ChainNotify = func(ctx context.Context) (<-chan []*nodeapi.HeadChange, error) {
		out := make(chan []*nodeapi.HeadChange)
		go func() {
			defer close(out)
			for kind := nodeapi.HeadCurrent; ; kind = nodeapi.HeadApply {
				n.mu.Lock()
				head, moved := n.head, n.moved
				n.mu.Unlock()
				select {
				case out <- []*nodeapi.HeadChange{{Type: kind, Val: head}}:
				case <-ctx.Done():
					return
				}
				select {
				case <-moved:
				case <-ctx.Done():
					return
				}
			}
		}()
		return out, nil
	}
	in.ChainGetTipSet = func(_ context.Context, k types.TipSetKey) (*types.TipSet, error) {
		n.mu.Lock()
		defer n.mu.Unlock()
		return n.tipsets[k], nil
	}
	in.ChainGetTipSetByHeight = func(_ context.Context, h abi.ChainEpoch, k types.TipSetKey) (*types.TipSet, error) {
		n.mu.Lock()
		defer n.mu.Unlock()
		ts := n.tipsets[k]
		for ts.Height() > h {
			ts = n.tipsets[ts.Parents()]
		}
		return ts, nil
	}
	in.SyncState = func(context.Context) (*nodeapi.SyncState, error) { return &nodeapi.SyncState{}, nil }
	in.MinerGetBaseInfo = func(_ context.Context, m address.Address, e abi.ChainEpoch, _ types.TipSetKey) (*nodeapi.MiningBaseInfo, error) {
		return &nodeapi.MiningBaseInfo{
			MinerPower: big.NewInt(1), NetworkPower: big.NewInt(1), WorkerKey: n.worker, EligibleForMining: true, BeaconEntries: []types.BeaconEntry{n.beacon(e)},
			Sectors: n.sectors,
		}, nil
	}
	in.MpoolSelects = func(_ context.Context, _ types.TipSetKey, q []float64) ([][]*types.SignedMessage, error) {
		return make([][]*types.SignedMessage, len(q)), nil
	}
	in.MinerCreateBlock = func(_ context.Context, b *nodeapi.BlockTemplate) (*types.BlockMsg, error) {
		return &types.BlockMsg{Header: &types.BlockHeader{
			Miner: b.Miner, Ticket: b.Ticket, ElectionProof: b.Eproof, BeaconEntries: b.BeaconValues, WinPoStProof: b.WinningPoStProof, Parents: b.Parents.Cids(),
			ParentWeight: big.Zero(), Height: b.Epoch, ParentStateRoot: named("s"), ParentMessageReceipts: named("r"), Messages: named("m"),
			Timestamp: b.Timestamp, ParentBaseFee: big.Zero(),
		}}, nil
	}
	in.SyncSubmitBlock = func(_ context.Context, b *types.BlockMsg) error { return n.submit(t, b) }
	return p
}

// world is a node, a wallet, a sealer and a directory of venus-miner.
type world struct {
	t                             *testing.T
	repo                          string
	node                          *node
	nodeAPI, walletAPI, sealerAPI string
	walletToken                   string
	otherSealerAPI                string
	sealerFails                   atomic.Bool
	otherProofs                   atomic.Int64
	output                        bytes.Buffer // everything any process printed
	daemon                        *exec.Cmd
	daemonLog                     string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	dir := t.TempDir()
	home := filepath.Join(dir, "wallet")
	require.NoError(t, os.MkdirAll(home, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(home, "config.toml"), []byte("[API]\nListenAddress = \"/ip4/127.0.0.1/tcp/0/http\"\n[Factor]\nScryptN = 16\nScryptR = 8\nScryptP = 1\n"), 0o600))
	d, err := wallet.Start(wallet.Options{Repo: home, Network: "test", Clock: clock.Real()})
	require.NoError(t, err)
	t.Cleanup(func() { _ = d.Close() })
	require.NoError(t, d.Service.SetPassword(t.Context(), "pw"))
	worker, err := d.Service.WalletNew(t.Context(), types.KeyBLS)
	require.NoError(t, err)
	token, err := d.Service.AuthNew(t.Context(), api.PermSign.Expand())
	require.NoError(t, err)
	miner, err := address.NewIDAddress(1000)
	require.NoError(t, err)
	w := &world{t: t, repo: filepath.Join(dir, "miner"), node: newNode(t, miner, worker), walletAPI: d.Address, walletToken: string(token), daemonLog: filepath.Join(dir, "log")}
	w.nodeAPI = serve(t, "/rpc/v1", nodeToken, w.node.api(t), new(nodeapi.FullNodeProxy))
	sealer := func(prove func() error) string {
		s := new(sealerapi.SealerProxy)
		s.Internal.ActorAddress = func(context.Context) (address.Address, error) { return miner, nil }
		s.Internal.ComputeProof = func(context.Context, []proof.ExtendedSectorInfo, abi.PoStRandomness) ([]proof.PoStProof, error) {
			return []proof.PoStProof{{ProofBytes: []byte("proof")}}, prove()
		}
		return serve(t, "/rpc/v0", sealerToken, s, new(sealerapi.SealerProxy)) + "/http"
	}
	w.sealerAPI = sealer(func() error {
		if w.sealerFails.Load() {
			return api.Errorf(api.CodeInternal, "the disk is gone")
		}
		return nil
	})
	w.otherSealerAPI = sealer(func() error { w.otherProofs.Add(1); return nil })
	return w
}

func (w *world) run(args ...string) (out, errOut string, code int) {
	w.t.Helper()
	cmd := exec.Command(os.Args[0], append([]string{"--repo", w.repo}, args...)...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	var o, e bytes.Buffer
	cmd.Stdout, cmd.Stderr = &o, &e
	_ = cmd.Run() // the exit code tells
	w.output.Write(o.Bytes())
	w.output.Write(e.Bytes())
	return o.String(), e.String(), cmd.ProcessState.ExitCode()
}

func (w *world) ok(args ...string) string {
	w.t.Helper()
	out, errOut, code := w.run(args...)
	require.Zero(w.t, code, "%v: %s", args, errOut)
	return out
}

func (w *world) fails(contains string, args ...string) {
	w.t.Helper()
	out, errOut, code := w.run(args...)
	require.NotZero(w.t, code, "%v printed %s", args, out)
	require.Contains(w.t, errOut, contains)
}

func (w *world) start() {
	w.t.Helper()
	f, err := os.OpenFile(w.daemonLog, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	require.NoError(w.t, err)
	w.daemon = exec.Command(os.Args[0], "--repo", w.repo, "run")
	w.daemon.Env = append(os.Environ(), asProgram+"=1")
	w.daemon.Stdout, w.daemon.Stderr = f, f
	was := len(w.log())
	require.NoError(w.t, w.daemon.Start())
	require.NoError(w.t, f.Close())
	if !assert.Eventually(w.t, func() bool { return strings.Contains(w.log()[was:], "listens on") }, 20*time.Second, 10*time.Millisecond) {
		w.t.Fatal(w.log())
	}
	w.t.Cleanup(w.halt)
}

// metrics reads what the daemon shows to Prometheus.
func (w *world) metrics() string {
	raw, err := os.ReadFile(filepath.Join(w.repo, "api"))
	require.NoError(w.t, err)
	target, err := rpc.ParseEndpoint(string(raw), "/metrics")
	require.NoError(w.t, err)
	res, err := http.Get(target)
	require.NoError(w.t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	require.NoError(w.t, err)
	return string(body)
}

func (w *world) log() string {
	raw, err := os.ReadFile(w.daemonLog)
	require.NoError(w.t, err)
	return string(raw)
}

func (w *world) halt() {
	if w.daemon != nil {
		_ = w.daemon.Process.Signal(os.Interrupt)
		_ = w.daemon.Wait()
		w.daemon = nil
	}
}

func (w *world) height() abi.ChainEpoch {
	w.node.mu.Lock()
	defer w.node.mu.Unlock()
	return w.node.head.Height()
}

func (w *world) mines(more abi.ChainEpoch) {
	w.t.Helper()
	target := w.height() + more
	require.Eventually(w.t, func() bool { return w.height() >= target }, 30*time.Second, 20*time.Millisecond, "%s", w.log())
}

func TestGuideJourney(t *testing.T) {
	w := newWorld(t)
	w.fails("is not initialized, run 'venus-miner init' to set it up", "address", "list")
	w.fails("is not initialized, run 'venus-miner init' to set it up", "run")
	w.fails("token not valid", "init", "--api", w.nodeAPI, "--token", "wrong.wrong.wrong")
	require.NoDirExists(t, w.repo, "nothing is left of a failed init")

	_, logged, code := w.run("init", "--api", w.nodeAPI, "--token", nodeToken, "--listen", "/ip4/127.0.0.1/tcp/0")
	require.Zero(t, code, logged)
	at := 0
	for _, line := range []string{
		"Initializing venus miner", "Trying to connect to full node RPC", "Checking if repo exists", "Checking full node version", "Initializing repo",
		"Miner successfully init, you can now start it with 'venus-miner run'",
	} {
		next := strings.Index(logged[at:], line)
		require.GreaterOrEqual(t, next, 0, "%q in order in:\n%s", line, logged)
		at += next
	}
	w.fails("is already initialized", "init", "--api", w.nodeAPI, "--token", nodeToken)
	st, err := os.Stat(filepath.Join(w.repo, "config.toml"))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), st.Mode().Perm())

	w.fails("has not been started", "address", "list")
	w.start()
	w.fails("another process is using this directory", "run")
	add := []string{"address", "add", "--addr", "t01000", "--sealer-listen-api", w.sealerAPI, "--wallet-listen-api", w.walletAPI}
	w.fails("--sealer-token is missing", add...)
	w.fails("token not valid", append(add, "--sealer-token", sealerToken, "--wallet-token", "wrong.wrong.wrong")...)
	w.fails("not found", "address", "add", "--addr", "t01001", "--sealer-listen-api", w.sealerAPI, "--wallet-listen-api", w.walletAPI, "--sealer-token", sealerToken, "--wallet-token", w.walletToken)
	w.fails("cannot reach the sealer", "address", "add", "--addr", "t01000", "--sealer-listen-api", "/ip4/127.0.0.1/tcp/1/http", "--wallet-listen-api", w.walletAPI, "--sealer-token", sealerToken, "--wallet-token", w.walletToken)
	require.JSONEq(t, "[]", w.ok("address", "list"))

	file := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(file, []byte(sealerToken+"\n"), 0o600))
	out := w.ok(append(add, "--sealer-token", "@"+file, "--wallet-token", w.walletToken)...)
	require.Regexp(t, `^add miner:  \{t01000 \{.*\}\}\n$`, out)
	w.fails("exists already", append(add, "--sealer-token", sealerToken, "--wallet-token", w.walletToken)...)
	w.mines(3)

	require.Equal(t, "[\n\t{\n\t\t\"Addr\": \"t01000\",\n\t\t\"IsMining\": true,\n\t\t\"Err\": \"\"\n\t}\n]\n", w.ok("address", "state"))
	var verbose []struct{ LastEpoch int64 }
	require.NoError(t, json.Unmarshal([]byte(w.ok("address", "state", "--verbose", "t01000")), &verbose))
	require.Positive(t, verbose[0].LastEpoch)
	require.Contains(t, w.ok("address", "list"), `"HasToken": true`)
	require.Contains(t, w.ok("records"), "submitted")
	require.Contains(t, w.ok("--json", "win", "list"), `"Parents": [`)
	w.fails("is not here", "address", "state", "t01234")

	require.Contains(t, w.ok("win", "list"), "t01000")
	var wins []struct {
		Epoch int64
		State string
	}
	require.NoError(t, json.Unmarshal([]byte(w.ok("--json", "win", "list", "t01000")), &wins))
	require.NotEmpty(t, wins)
	why := w.ok("win", "why", "t01000", fmt.Sprint(wins[len(wins)-1].Epoch))
	require.Contains(t, why, "won the election")
	require.Contains(t, why, "signed and submitted")
	w.fails("not known to have won", "win", "why", "t01000", "999999")
	require.Contains(t, w.ok("win", "stats"), "t01000")
	require.Contains(t, w.ok("node", "list"), "yes")
	require.Contains(t, w.metrics(), `venus_miner_elections_total{miner="t01000"}`)
	require.JSONEq(t, `["t01000"]`, w.ok("--json", "address", "start", "t01000"))

	require.Equal(t, "stop mining for:  t01000\n", w.ok("address", "stop", "t01000"))
	stopped := w.height()
	require.Contains(t, w.ok("guard", "show"), "t01000")
	saved := filepath.Join(t.TempDir(), "record.json")
	w.ok("guard", "export", "--out", saved)
	w.fails("exists already", "guard", "export", "--out", saved)
	require.Contains(t, w.ok("guard", "export", "t01000"), `"Sum": "`)
	require.Regexp(t, `^imported 0 blocks of 1 miners; nothing is signed up to epoch \d+\n$`, w.ok("guard", "import", saved))
	damaged, err := os.ReadFile(saved)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(saved, bytes.Replace(damaged, []byte(`"Floor": `), []byte(`"Floor": 1`), 1), 0o600))
	w.fails("checksum", "guard", "import", saved)
	require.Contains(t, w.ok("address", "state"), `"IsMining": false`)
	w.halt()
	w.start()
	require.Contains(t, w.ok("address", "state"), `"IsMining": false`, "stopped stays stopped over a restart")
	require.LessOrEqual(t, w.height(), stopped+1)
	require.Equal(t, "start mining for:  t01000\n", w.ok("address", "start", "t01000"))
	w.mines(2)
	require.Equal(t, "update miner:  t01000\n", w.ok("address", "update", "--addr", "t01000", "--sealer-token", sealerToken))
	w.mines(2)
	// A second sealer, the first one gone: the second proves.
	w.fails("2 sealers and 3 tokens", "address", "update", "--addr", "t01000", "--sealer-listen-api", "a", "--sealer-listen-api", "b", "--sealer-token", "1", "--sealer-token", "2", "--sealer-token", "3")
	w.ok("address", "update", "--addr", "t01000", "--sealer-listen-api", w.sealerAPI, "--sealer-listen-api", w.otherSealerAPI, "--sealer-token", sealerToken)
	require.Contains(t, w.ok("address", "list"), `"MoreSealers"`)
	w.sealerFails.Store(true)
	w.mines(3)
	require.Positive(t, w.otherProofs.Load())
	require.Equal(t, "remove miner:  t01000\n", w.ok("address", "del", "t01000"))
	require.JSONEq(t, "[]", w.ok("address", "state"))

	w.node.mu.Lock()
	require.Empty(t, w.node.bad, "every VRF and signature was good")
	w.node.mu.Unlock()
	w.output.WriteString(w.log())
	for _, secret := range []string{nodeToken, sealerToken, w.walletToken} {
		require.NotContains(t, w.output.String(), secret, "a token was printed")
	}
}

// Killed ten times while it mines: the chain goes on and the wallet never signed two blocks of one height.
func TestKilledOverAndOver(t *testing.T) {
	w := newWorld(t)
	w.ok("init", "--api", w.nodeAPI, "--token", nodeToken, "--listen", "/ip4/127.0.0.1/tcp/0")
	w.start()
	w.ok("address", "add", "--addr", "t01000", "--sealer-listen-api", w.sealerAPI, "--sealer-token", sealerToken, "--wallet-listen-api", w.walletAPI, "--wallet-token", w.walletToken)
	for range 5 {
		w.mines(1)
		require.NoError(t, w.daemon.Process.Kill())
		_ = w.daemon.Wait()
		w.daemon = nil
		w.start()
	}
	w.mines(2)
	records := w.ok("--json", "records", "--limit", "100")
	var got []struct {
		Epoch int64
		State string
	}
	require.NoError(t, json.Unmarshal([]byte(records), &got))
	require.GreaterOrEqual(t, len(got), 7)
	seen := map[int64]bool{}
	for _, r := range got {
		require.False(t, seen[r.Epoch])
		seen[r.Epoch] = true
	}
	w.node.mu.Lock()
	defer w.node.mu.Unlock()
	require.Empty(t, w.node.bad)
	t.Logf("blocks came after their timestamp by %v", w.node.late)
}

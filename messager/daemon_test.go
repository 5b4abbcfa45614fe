package messager

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/big"
	logging "github.com/ipfs/go-log/v2"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/api"
	msgapi "github.com/filecoin-venus/venus/api/messager"
	nodeapi "github.com/filecoin-venus/venus/api/node"
	walletapi "github.com/filecoin-venus/venus/api/wallet"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/rpc"
	"github.com/filecoin-venus/venus/types"
)

const (
	nodeToken   = "canary.node.token"
	walletToken = "canary.wallet.token"
)

// serve answers a contract on a free port to callers with one token.
func serve(t *testing.T, token, path string, impl, proxy any) string {
	t.Helper()
	srv := rpc.NewServer(rpc.Options{Verify: func(_ context.Context, got string) (rpc.Caller, error) {
		if got != token {
			return rpc.Caller{}, rpc.ErrBadToken
		}
		return rpc.Caller{Name: "messager", Perms: api.AllPermissions()}, nil
	}})
	require.NoError(t, srv.Register(path, impl, proxy, "Filecoin"))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = srv.Shutdown(ctx) // open streams are cut
	})
	return rpc.Multiaddr(l.Addr())
}

func serveNode(t *testing.T, n *modelNode) string {
	p := new(nodeapi.FullNodeProxy)
	in := &p.Internal
	in.ChainNotify, in.ChainGetPath, in.ChainGetTipSet, in.ChainHead = n.ChainNotify, n.ChainGetPath, n.ChainGetTipSet, n.ChainHead
	in.ChainGetParentMessages, in.ChainGetParentReceipts, in.BlockTime = n.ChainGetParentMessages, n.ChainGetParentReceipts, n.BlockTime
	in.StateGetActor, in.StateAccountKey, in.StateSearchMsg = n.StateGetActor, n.StateAccountKey, n.StateSearchMsg
	in.StateNetworkName = func(context.Context) (string, error) { return "local", nil }
	in.MpoolPush, in.MpoolBatchPush, in.MpoolGetNonce = n.MpoolPush, n.MpoolBatchPush, n.MpoolGetNonce
	in.GasBatchEstimateMessageGas, in.GasEstimateFeeCap, in.GasEstimateGasPremium = n.GasBatchEstimateMessageGas, n.GasEstimateFeeCap, n.GasEstimateGasPremium
	return serve(t, nodeToken, nodePath, p, new(nodeapi.FullNodeProxy))
}

func serveWallet(t *testing.T, w *modelWallet) string {
	p := new(walletapi.WalletProxy)
	p.Internal.WalletList, p.Internal.WalletSign = w.WalletList, w.WalletSign
	return serve(t, walletToken, rpc.DefaultPath, p, new(walletapi.WalletProxy)) + "/http"
}

// serveAuth is venus-auth as far as /verify goes.
func serveAuth(t *testing.T, perms map[string]string) string {
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		perm, ok := perms[r.FormValue("token")]
		if r.URL.Path != "/verify" || !ok {
			rw.WriteHeader(http.StatusUnauthorized)
			return
		}
		_ = json.NewEncoder(rw).Encode(map[string]string{"name": "sealer", "perm": perm})
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}

type cluster struct {
	t      *testing.T
	node   *modelNode
	wallet *modelWallet
	opts   DaemonOptions
	d      *Daemon
	wURL   string
	addr   address.Address
}

func newCluster(t *testing.T) *cluster {
	c := &cluster{t: t, node: newModelNode(clock.Real().Now), wallet: newModelWallet(0)}
	c.addr = c.wallet.newKey(t)
	c.node.balances[c.addr] = fil
	c.wURL = serveWallet(t, c.wallet)
	c.opts = DaemonOptions{Repo: filepath.Join(t.TempDir(), "repo"), Version: "test", Clock: clock.Real()}
	c.opts.Config.API.ListenAddress = "/ip4/127.0.0.1/tcp/0"
	c.opts.Config.Auth.URL = serveAuth(t, map[string]string{"a.write.token": "write", "a.read.token": "read", "an.admin.token": "admin"})
	c.opts.Config.Node.URL, c.opts.Config.Node.Token = serveNode(t, c.node), nodeToken
	c.start()
	return c
}

func (c *cluster) start() {
	var err error
	c.d, err = Start(c.t.Context(), c.opts)
	require.NoError(c.t, err)
	c.t.Cleanup(c.stop)
}

func (c *cluster) stop() {
	if c.d != nil {
		require.NoError(c.t, c.d.Close())
		c.d = nil
	}
}

func (c *cluster) client(token string) *msgapi.MessagerProxy {
	p := new(msgapi.MessagerProxy)
	closer, err := rpc.Dial(c.d.Address, token, msgapi.Namespace, p, rpc.DialOptions{})
	require.NoError(c.t, err)
	c.t.Cleanup(closer)
	return p
}

func (c *cluster) message(method uint64) *types.Message {
	to, err := address.NewIDAddress(1234)
	require.NoError(c.t, err)
	return &types.Message{From: c.addr, To: to, Value: big.Zero(), Method: 16, Params: []byte{byte(method)}}
}

// TestServiceOnSockets runs the daemon between a node, a wallet and an auth service
// on real sockets: a message is published well under half a second after it was
// pushed, and known to have landed on the next head.
func TestServiceOnSockets(t *testing.T) {
	c := newCluster(t)
	ctx, now := t.Context(), clock.Real().Now
	admin, writer := c.client("an.admin.token"), c.client("a.write.token")
	require.NoError(t, admin.SaveWallet(ctx, msgapi.WalletSpec{Name: "testminer", URL: c.wURL, Token: walletToken + ":" + c.wURL}))
	as, err := admin.ListAddress(ctx)
	require.NoError(t, err)
	require.Len(t, as, 1)

	published := make(chan time.Time, 10)
	c.node.mu.Lock()
	c.node.onPush = func(*types.SignedMessage) { published <- now() }
	c.node.mu.Unlock()
	var slowest time.Duration
	for i := range 5 {
		start := now()
		id, err := writer.PushMessage(ctx, c.message(uint64(i)), nil, "testminer")
		require.NoError(t, err)
		select {
		case at := <-published:
			slowest = max(slowest, at.Sub(start))
		case <-time.NewTimer(5 * time.Second).C:
			e, err := admin.ExplainMessage(ctx, id)
			t.Fatalf("not published: %+v %v", e, err)
		}
		done := make(chan *msgapi.Message, 1)
		go func() {
			m, err := writer.WaitMessage(ctx, id, 0)
			if err == nil {
				done <- m
			}
		}()
		c.node.step()
		c.node.step()
		executed := now()
		c.node.step() // confidence is "more than 0 epochs"
		m := <-done
		slowest = max(slowest, now().Sub(executed))
		require.Equal(t, msgapi.StateOnChain, m.State)
		require.EqualValues(t, i, m.Nonce)
		require.Equal(t, "sealer", m.FromUser)
	}
	t.Logf("slowest step: %s", slowest)
	require.Less(t, slowest, 500*time.Millisecond)

	_, err = c.client("a.read.token").PushMessage(ctx, c.message(0), nil, "testminer")
	require.Equal(t, api.CodePermission, api.Explain(err).Code)
	_, err = c.client("an.unknown.token").GetMessageByUid(ctx, "x")
	require.Equal(t, api.CodeUnauthenticated, api.Explain(err).Code)
	_, err = writer.ListWallet(ctx)
	require.Equal(t, api.CodePermission, api.Explain(err).Code)
	_, err = writer.PushMessage(ctx, c.message(0), nil, "other")
	require.Equal(t, api.CodeNotFound, api.Explain(err).Code)
	require.NotEmpty(t, api.Explain(err).Hint)
}

// TestRestartOfEverything: node, then messager go away with a message on its way.
func TestRestartOfEverything(t *testing.T) {
	c := newCluster(t)
	ctx := t.Context()
	local, err := os.ReadFile(filepath.Join(c.opts.Repo, "token"))
	require.NoError(t, err)
	admin := c.client(string(local))
	require.NoError(t, admin.SaveWallet(ctx, msgapi.WalletSpec{Name: "w", URL: c.wURL, Token: walletToken}))
	c.node.setFail("*", errAway)
	c.node.dropSubs()
	id, err := admin.PushMessageWithId(ctx, "mine", c.message(1), nil, "w")
	require.NoError(t, err, "taken while the node is away")
	require.Equal(t, "mine", id)
	c.stop()
	c.opts.Config = Config{}
	c.opts.Config.API.ListenAddress = "/ip4/127.0.0.1/tcp/0"
	c.node.setFail("*", nil)
	c.start() // node, token and auth service are in the configuration now
	admin = c.client(string(local))
	arrived := make(chan struct{})
	c.node.mu.Lock()
	if len(c.node.pushed) > 0 {
		close(arrived)
	} else {
		c.node.onPush = func(*types.SignedMessage) { close(arrived) }
	}
	c.node.mu.Unlock()
	<-arrived
	go func() {
		c.node.step()
		c.node.step()
		c.node.step()
	}()
	m, err := admin.WaitMessage(ctx, "mine", 0)
	require.NoError(t, err)
	require.Equal(t, msgapi.StateOnChain, m.State)
	v, err := admin.Version(ctx)
	require.NoError(t, err)
	require.Equal(t, msgapi.Version, v.APIVersion)
	require.NoError(t, c.d.Service.Health(ctx))
	require.NoError(t, admin.Shutdown(ctx))
	require.NoError(t, c.d.Wait(ctx))
}

// TestStopEndsWaiting: a client that waits does not hold up the end.
func TestStopEndsWaiting(t *testing.T) {
	c := newCluster(t)
	ctx := t.Context()
	admin := c.client("an.admin.token")
	require.NoError(t, admin.SaveWallet(ctx, msgapi.WalletSpec{Name: "w", URL: c.wURL, Token: walletToken}))
	id, err := admin.PushMessage(ctx, c.message(1), nil, "w")
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() {
		_, err := admin.WaitMessage(ctx, id, 0)
		ended <- err
	}()
	for {
		c.d.Service.hub.mu.Lock()
		waiting := len(c.d.Service.hub.waiters)
		c.d.Service.hub.mu.Unlock()
		if waiting > 0 {
			break
		}
	}
	start := clock.Real().Now()
	c.stop()
	require.Equal(t, api.CodeUnavailable, api.Explain(<-ended).Code)
	require.Less(t, clock.Real().Now().Sub(start), 3*time.Second)
}

func TestStartRefuses(t *testing.T) {
	c := newCluster(t)
	_, err := Start(t.Context(), c.opts)
	require.Equal(t, api.CodePrecondition, api.Explain(err).Code, "the directory is in use")
	other := c.opts
	other.Repo = t.TempDir()
	other.Config.API.ListenAddress = c.d.Address
	_, err = Start(t.Context(), other)
	require.Equal(t, api.CodePrecondition, api.Explain(err).Code, "the port is in use")
	require.Contains(t, api.Explain(err).Hint, "--listen")
	other = DaemonOptions{Repo: t.TempDir(), Clock: clock.Real()}
	_, err = Start(t.Context(), other)
	require.Contains(t, api.Explain(err).Hint, "--node-url")
	other.Config.Node.URL, other.Config.DB.Type = "/ip4/127.0.0.1/tcp/1", "mysql"
	_, err = Start(t.Context(), other)
	require.ErrorContains(t, err, "--mysql-dsn")
	other.Config.DB.Type = "odd"
	_, err = Start(t.Context(), other)
	require.Contains(t, api.Explain(err).Hint, "sqlite")
	require.NoError(t, os.WriteFile(filepath.Join(other.Repo, configName), []byte("nonsense = ["), 0o600))
	_, err = Start(t.Context(), other)
	require.Equal(t, api.CodeInvalid, api.Explain(err).Code)
}

// TestSecretsStayInside: tokens given to the messager are in its own files, and
// nowhere else.
func TestSecretsStayInside(t *testing.T) {
	r, w := logging.NewPipeReader(), new(bytes.Buffer)
	copied := make(chan struct{})
	go func() {
		_, _ = io.Copy(w, r) // ends with the reader
		close(copied)
	}()
	c := newCluster(t)
	ctx := t.Context()
	admin := c.client("an.admin.token")
	require.NoError(t, admin.SaveWallet(ctx, msgapi.WalletSpec{Name: "w", URL: c.wURL, Token: walletToken}))
	require.NoError(t, admin.SaveNode(ctx, msgapi.NodeSpec{Name: "n", URL: "/ip4/127.0.0.1/tcp/1", Token: nodeToken}))
	c.wallet.set(errAway)
	_, err := admin.ListRemoteWalletAddress(ctx, "w")
	require.Error(t, err)
	answers := []any{err.Error()}
	for _, f := range []func() (any, error){
		func() (any, error) { return admin.ListWallet(ctx) }, func() (any, error) { return admin.GetWalletByName(ctx, "w") },
		func() (any, error) { return admin.ListNode(ctx) }, func() (any, error) { return admin.GetNode(ctx, "n") },
		func() (any, error) { return admin.ListWalletAddress(ctx) },
	} {
		v, err := f()
		require.NoError(t, err)
		answers = append(answers, v)
	}
	c.stop()
	raw, err := json.Marshal(answers)
	require.NoError(t, err)
	require.NoError(t, r.Close())
	<-copied
	require.NotContains(t, string(raw), "canary")
	require.NotContains(t, w.String(), "canary")
	entries, err := os.ReadDir(c.opts.Repo)
	require.NoError(t, err)
	for _, e := range entries {
		st, err := e.Info()
		require.NoError(t, err)
		if strings.HasPrefix(e.Name(), "message.db") || e.Name() == configName || e.Name() == "token" {
			require.Equal(t, os.FileMode(0o600), st.Mode().Perm(), e.Name())
		}
	}
}

package node

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/api"
	apinode "github.com/filecoin-venus/venus/api/node"
	"github.com/filecoin-venus/venus/genesis/devnet"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/repo"
	"github.com/filecoin-venus/venus/types"
)

// alone keeps a node away from peers.
func alone(o *Options) { o.Offline = true }

// lived is a directory in which a node has worked: a head, a pending message of
// its own, a changed setting.
func lived(t *testing.T, w *world) (n *running, head *types.TipSet, pending *types.SignedMessage) {
	t.Helper()
	n = w.first(t, alone)
	head = n.mine(t, 2)
	pending = w.faucet.transfer(t, w.worker.addr, 0, 1)
	_, err := n.v1.MpoolPush(t.Context(), pending)
	require.NoError(t, err)
	c, err := n.v1.MpoolGetConfig(t.Context())
	require.NoError(t, err)
	c.SizeLimitHigh = 31000
	require.NoError(t, n.v1.MpoolSetConfig(t.Context(), c))
	return n, head, pending
}

// requireLived checks that nothing of lived was lost, and goes on from there.
func requireLived(t *testing.T, n *running, id string, head *types.TipSet, pending *types.SignedMessage) {
	t.Helper()
	ctx := t.Context()
	require.Equal(t, head.Key(), n.head(t).Key())
	all, err := n.v1.MpoolPending(ctx, types.EmptyTSK)
	require.NoError(t, err)
	require.Equal(t, []*types.SignedMessage{pending}, all)
	c, err := n.v1.MpoolGetConfig(ctx)
	require.NoError(t, err)
	require.Equal(t, 31000, c.SizeLimitHigh)
	require.Equal(t, n.w.net.GenesisCID, n.Network.GenesisCID)
	got, err := n.v1.ID(ctx)
	require.NoError(t, err)
	require.Equal(t, id, got)
	n.mine(t, 2)
	found, err := n.v1.StateSearchMsg(ctx, types.EmptyTSK, pending.Cid(), -1, false)
	require.NoError(t, err)
	require.NotNil(t, found, "the message kept goes into the next block")
}

func TestRestart(t *testing.T) {
	w := theWorld(t)
	n, head, pending := lived(t, w)
	id, err := n.v1.ID(t.Context())
	require.NoError(t, err)
	// A directory as a kill leaves it: copied while the node runs, closed by nobody.
	killed := filepath.Join(t.TempDir(), "killed")
	require.NoError(t, os.CopyFS(killed, os.DirFS(n.repo)))
	require.NoError(t, n.Close())
	t.Run("after Close", func(t *testing.T) {
		requireLived(t, w.start(t, n.repo, alone), id, head, pending)
	})
	t.Run("after a kill", func(t *testing.T) {
		requireLived(t, w.start(t, killed, alone), id, head, pending)
	})
}

// refusal is a start that must fail.
type refusal struct {
	name   string
	change func(*Options)
	// cause and remedy are parts of what the operator reads.
	cause, remedy string
}

func TestRefusedStarts(t *testing.T) {
	w := theWorld(t)
	other := devnet.Layout{Dir: filepath.Join(t.TempDir(), "other")}
	otherNet, err := makeNetwork(t.Context(), other.Dir, "another", 1_700_000_000, w.beacon.URL)
	require.NoError(t, err)
	whole, err := os.ReadFile(w.layout.Genesis())
	require.NoError(t, err)
	cut := filepath.Join(t.TempDir(), "cut.car")
	require.NoError(t, os.WriteFile(cut, whole[:len(whole)/2], 0o600))
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	port := fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", taken.Addr().(*net.TCPAddr).Port)
	always := []refusal{
		{"genesis cut short", func(o *Options) { o.GenesisFile = cut }, cut, "whole file"},
		{"genesis file absent", func(o *Options) { o.GenesisFile = cut + "x" }, cut + "x", "give the whole file"},
		{"port taken", func(o *Options) { o.API, o.GenesisFile = port, w.layout.Genesis() }, port, "--api"},
		{"auth address that is none", func(o *Options) { o.AuthURL, o.GenesisFile = "nowhere at all", w.layout.Genesis() }, "nowhere at all", ""},
		{"no such network", func(o *Options) { o.Network = "atlantis" }, "atlantis", ""},
		{"peer without an id", func(o *Options) {
			o.Offline, o.GenesisFile, o.Bootstrap = false, w.layout.Genesis(), []string{"/ip4/127.0.0.1/tcp/1"}
		}, "bootstrap", "/p2p/ID"},
	}
	fresh := append([]refusal{
		{"nothing said", func(*Options) {}, "network", "--genesisfile"},
		{"no genesis", func(o *Options) { o.Network = w.layout.Network() }, "no genesis", "--genesisfile"},
		{"genesis of another network", func(o *Options) { o.Network, o.GenesisFile = "mainnet", w.layout.Genesis() }, "mainnet", "--network"},
	}, always...)
	old := append([]refusal{
		{"other genesis", func(o *Options) { o.GenesisFile = other.Genesis() }, otherNet.GenesisCID, "--repo"},
		{"other network", func(o *Options) { o.Network = "calibnet" }, "calibnet", "--repo"},
		{"other network file", func(o *Options) { o.Network = other.Network() }, "holds network", "--repo"},
	}, always...)
	for _, r := range fresh {
		t.Run("fresh/"+r.name, func(t *testing.T) {
			dir := t.TempDir()
			refuse(t, w, dir, r)
			n := w.start(t, dir, func(o *Options) { alone(o); o.GenesisFile = w.layout.Genesis() })
			require.Zero(t, n.head(t).Height(), "a refused first start leaves no trace that matters")
		})
	}
	n, head, pending := lived(t, w)
	id, err := n.v1.ID(t.Context())
	require.NoError(t, err)
	t.Run("second process", func(t *testing.T) {
		refuse(t, w, n.repo, refusal{"", func(*Options) {}, repo.ErrLocked.Error(), "--repo"})
		require.Equal(t, head.Key(), n.head(t).Key(), "the first goes on")
	})
	require.NoError(t, n.Close())
	for _, r := range old {
		t.Run("old/"+r.name, func(t *testing.T) { refuse(t, w, n.repo, r) })
	}
	n = w.start(t, n.repo, alone)
	strange, err := readGenesis(t.Context(), other.Genesis())
	require.NoError(t, err)
	kept, err := n.v1.ChainHasObj(t.Context(), strange.header.ParentStateRoot)
	require.NoError(t, err)
	require.False(t, kept, "nothing of a refused genesis is stored")
	requireLived(t, n, id, head, pending)
}

func refuse(t *testing.T, w *world, dir string, r refusal) {
	t.Helper()
	o := w.options(dir)
	alone(&o)
	r.change(&o)
	n, err := New(t.Context(), o)
	if err == nil {
		require.NoError(t, n.Close())
	}
	require.Error(t, err)
	why := api.Explain(err)
	require.Contains(t, why.Message, r.cause)
	require.Contains(t, why.Message+" "+why.Hint, r.remedy)
}

// ageing is a clock on which the genesis is so old now.
func (w *world) ageing(age time.Duration) clock.Clock {
	return clock.Shifted(clock.Real(), time.Unix(w.genesis, 0).Add(age).Sub(time.Now()))
}

func (r *running) get(t *testing.T, path string) (int, string) {
	t.Helper()
	res, err := http.Get(r.http + path)
	require.NoError(t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return res.StatusCode, string(body)
}

func TestHealth(t *testing.T) {
	w := theWorld(t)
	n := w.first(t, alone)
	status, body := n.get(t, "/healthz")
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.Regexp(t, `head 0 is \d+m\d+s old, the clock says epoch \d{3}`, body)
	status, _ = n.get(t, "/livez")
	require.Equal(t, http.StatusOK, status, "old, but alive")
	fresh := w.first(t, func(o *Options) { alone(o); o.Clock = w.ageing(20 * time.Second) })
	status, body = fresh.get(t, "/healthz")
	require.Equal(t, http.StatusOK, status, body)
}

func TestPermissions(t *testing.T) {
	n := theWorld(t).first(t, alone)
	ctx := t.Context()
	nobody := new(apinode.FullNodeProxy)
	n.dial(t, "", nobody, "/rpc/v1")
	_, err := nobody.ChainHead(ctx)
	require.NoError(t, err, "without a token one may read")
	m := n.w.faucet.transfer(t, n.w.worker.addr, 0, 1)
	for name, ask := range map[string]func(*apinode.FullNodeProxy) error{
		"write": func(p *apinode.FullNodeProxy) error { _, err := p.MpoolPush(ctx, m); return err },
		"admin": func(p *apinode.FullNodeProxy) error { return p.SyncUnmarkAllBad(ctx) },
	} {
		require.Equal(t, api.CodePermission, code(ask(nobody)), name)
		token, err := n.v1.AuthNew(ctx, []api.Permission{api.PermRead, api.Permission(name)})
		require.NoError(t, err)
		some := new(apinode.FullNodeProxy)
		n.dial(t, string(token), some, "/rpc/v1")
		require.NoError(t, ask(some), name)
	}
	all, err := n.v1.MpoolPending(ctx, types.EmptyTSK)
	require.NoError(t, err)
	require.Len(t, all, 1)
	liar := new(apinode.FullNodeProxy)
	n.dial(t, "no token", liar, "/rpc/v1")
	_, err = liar.ChainHead(ctx)
	require.Equal(t, api.CodeUnauthenticated, code(err), "a wrong token is worse than none")
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, n.http+"/rpc/v1", strings.NewReader("{}"))
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer no-token")
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, http.StatusUnauthorized, res.StatusCode)
}

// TestWaitTellsWhatFailed: a part that panics ends the node, which says why.
func TestWaitTellsWhatFailed(t *testing.T) {
	n := theWorld(t).first(t, alone)
	n.run(func(context.Context) { panic("a part broke") })
	require.ErrorContains(t, n.Wait(t.Context()), "a part broke")
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/big"
	stcrypto "github.com/filecoin-project/go-state-types/crypto"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/api"
	msgapi "github.com/filecoin-venus/venus/api/messager"
	walletapi "github.com/filecoin-venus/venus/api/wallet"
	"github.com/filecoin-venus/venus/cli/render"
	"github.com/filecoin-venus/venus/crypto"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/repo"
	"github.com/filecoin-venus/venus/rpc"
	"github.com/filecoin-venus/venus/types"
)

// person types commands.
type person struct {
	t    *testing.T
	repo string
}

func (p person) try(args ...string) (code int, out, errOut string) {
	var o, e bytes.Buffer
	code = render.Run(p.t.Context(), app(), append([]string{"venus-messager", "--repo", p.repo}, args...), &o, &e)
	return code, o.String(), e.String()
}

func (p person) run(args ...string) string {
	p.t.Helper()
	code, out, errOut := p.try(args...)
	require.Zero(p.t, code, "%v: %s", args, errOut)
	return out
}

// wallet serves one key.
func wallet(t *testing.T) (url string, a address.Address) {
	priv, err := crypto.GenerateKey(stcrypto.SigTypeBLS)
	require.NoError(t, err)
	a, err = crypto.AddressFor(stcrypto.SigTypeBLS, priv)
	require.NoError(t, err)
	impl := new(walletapi.WalletProxy)
	impl.Internal.WalletList = func(context.Context) ([]address.Address, error) { return []address.Address{a}, nil }
	srv := rpc.NewServer(rpc.Options{Verify: func(_ context.Context, token string) (rpc.Caller, error) {
		if token != "canary.wallet.token" {
			return rpc.Caller{}, rpc.ErrBadToken
		}
		return rpc.Caller{Perms: api.AllPermissions()}, nil
	}})
	require.NoError(t, srv.Register(rpc.DefaultPath, impl, new(walletapi.WalletProxy), walletapi.Namespace))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Shutdown(context.Background()) })
	return rpc.Multiaddr(l.Addr()) + "/http", a
}

// TestAsAPersonUsesIt starts the program with the guide's flags, its node being
// away, and types what an operator would.
func TestAsAPersonUsesIt(t *testing.T) {
	p := person{t, filepath.Join(t.TempDir(), "m")}
	code, _, errOut := p.try("msg", "list")
	require.Equal(t, render.ExitPrecondition, code)
	require.Contains(t, errOut, "venus-messager run")

	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan int, 1)
	var runErr bytes.Buffer
	go func() {
		ended <- render.Run(ctx, app(), []string{
			"venus-messager", "--repo", p.repo, "run", "--auth-url=http://127.0.0.1:1", "--node-url", "/ip4/127.0.0.1/tcp/1", "--node-token", "canary.node.token",
			"--db-type", "sqlite", "--listen", "/ip4/127.0.0.1/tcp/0",
		}, new(bytes.Buffer), &runErr)
	}()
	require.NoError(t, up(p.repo))

	url, addr := wallet(t)
	secret := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(secret, []byte("canary.wallet.token:"+url+"\n"), 0o600))
	p.run("wallet", "add", "--name", "testminer", "--url", url, "--token-file", secret)
	code, _, errOut = p.try("wallet", "add", "--name", "testminer", "--url", url, "--token", "canary.wallet.token")
	require.Equal(t, render.ExitPrecondition, code)
	require.Contains(t, errOut, "record exist")
	p.run("wallet", "update", "--name", "testminer", "--token-file", secret)
	out := p.run("wallet", "list") + p.run("wallet", "list", "--json") + p.run("wallet", "search", "testminer")
	require.Contains(t, out, "testminer")
	require.NotContains(t, out, "canary")
	require.Contains(t, p.run("wallet", "list-addr", "testminer"), addr.String())
	require.Contains(t, p.run("address", "list"), addr.String())
	var found msgapi.Address
	require.NoError(t, json.Unmarshal([]byte(p.run("address", "search", addr.String())), &found))
	require.Equal(t, addr, found.Addr)

	id := pushed(t, p.repo, addr)
	require.Contains(t, p.run("msg", "list"), id)
	require.Contains(t, p.run("msg", "list", "--from", addr.String(), "--state", "unfillmsg"), id)
	require.NotContains(t, p.run("msg", "list", "--state", "onchain"), id)
	require.Contains(t, p.run("msg", "search", "--id", id), addr.String())
	why := p.run("msg", "why", id)
	require.Contains(t, why, "node unreachable")
	require.Contains(t, why, "Check the node")
	require.Contains(t, p.run("msg", "list-blocked", "--time", "1ns"), id)
	require.Contains(t, p.run("address", "forbidden", addr.String()), "forbidden address success!")
	require.Contains(t, p.run("msg", "why", id), "paused")
	require.Contains(t, p.run("address", "active", addr.String()), "active address success!")
	p.run("address", "set-sel-msg-num", "--num", "7", addr.String())
	p.run("address", "set-fee-params", "--max-fee", "70000000000000000", addr.String())
	require.Contains(t, p.run("share-params", "set", "--sel-msg-num", "9"), `"selMsgNum": 9`)
	require.Contains(t, p.run("share-params", "get"), `"gasOverEstimation": 1.25`)
	require.Contains(t, p.run("share-params", "set", "--global-msg-num", "5", "--replace-budget", "1000"), `"replaceBudget": "1000"`)
	p.run("fee-rule", "set", "--method", "5", "--max-fee", "70000000000000000")
	p.run("fee-rule", "set", "--sender", addr.String(), "--actor", "f01000", "--max-feecap", "9")
	rules := p.run("fee-rule", "list")
	require.Contains(t, rules, "70000000000000000")
	require.Contains(t, rules, addr.String())
	p.run("fee-rule", "del", "--method", "5")
	require.NotContains(t, p.run("fee-rule", "list"), "70000000000000000")
	sent := strings.TrimSpace(p.run("send", "--from", addr.String(), "--account", "testminer", "--method", "5", "--params-hex", "0x80", "--max-fee", "1000", "--id", "by-hand", "t01000", "0.25"))
	require.Equal(t, "by-hand", sent)
	require.Equal(t, sent, strings.TrimSpace(p.run("send", "--id", sent, "--from", addr.String(), "--account", "testminer", "--method", "5", "--params-hex", "80", "--max-fee", "1000", "t01000", "0.25")), "not twice")
	require.Contains(t, p.run("msg", "search", "--id", sent), "250000000000000000")
	require.Contains(t, p.run("wallet_addr", "list"), addr.String())
	require.Contains(t, p.run("wallet-addr", "search", "--wallet_name", "testminer", "--addr", addr.String()), `"Alive"`)
	require.Contains(t, p.run("wallet_addr", "forbidden", "--wallet_name", "testminer", addr.String()), "forbidden address success!")
	require.Contains(t, p.run("wallet_addr", "active", "--wallet_name", "testminer", addr.String()), "active address success!")
	p.run("wallet_addr", "set_sel_msg_num", "--num", "5", "--wallet_name", "testminer", addr.String())
	p.run("address", "set_sel_msg_num", "--num", "7", addr.String())
	extra := pushed(t, p.repo, addr)
	given := p.run("msg", "mark-bad", "--really-do-it", sent, extra)
	require.Contains(t, given, sent+": given up")
	require.Contains(t, given, extra+": given up")
	p.run("node", "add", "--name", "n", "--url", "/ip4/127.0.0.1/tcp/2", "--token", "canary.node.token")
	require.NotContains(t, p.run("node", "list", "--json"), "canary")
	p.run("node", "del", "n")
	p.run("log", "set-level", "error")

	for _, c := range []struct {
		want int
		args []string
	}{
		{render.ExitUsage, []string{"msg", "mark-bad", id}},
		{render.ExitUsage, []string{"msg", "mark-bad", "--really-do-it"}},
		{render.ExitUsage, []string{"msg", "mark-bad", "--really-do-it", "--from", addr.String(), id}},
		{render.ExitUsage, []string{"msg", "mark-bad", "--from", addr.String()}},
		{render.ExitUsage, []string{"send", "--from", addr.String(), "t01000", "much"}},
		{render.ExitUsage, []string{"send", "--from", addr.String(), "--params-hex", "zz", "t01000", "1"}},
		{render.ExitUsage, []string{"send", "--from", addr.String(), "--max-fee", "-1", "t01000", "1"}},
		{render.ExitUsage, []string{"send", "t01000", "1"}},
		{render.ExitUsage, []string{"msg", "why"}},
		{render.ExitNotFound, []string{"msg", "why", "unknown"}},
		{render.ExitUsage, []string{"msg", "list", "--state", "odd"}},
		{render.ExitUsage, []string{"msg", "search"}},
		{render.ExitUsage, []string{"address", "search", "nonsense"}},
		{render.ExitPrecondition, []string{"msg", "replace", "--auto", id}},
		{render.ExitPrecondition, []string{"address", "del", addr.String()}},
		{render.ExitUsage, []string{"wallet", "add", "--name", "x"}},
		{render.ExitUsage, []string{"wallet", "update", "--name", "testminer"}},
		{render.ExitNotFound, []string{"wallet", "update", "--name", "x", "--url", "/ip4/127.0.0.1/tcp/1"}},
		{render.ExitNotFound, []string{"wallet", "del", "x"}},
		{render.ExitUsage, []string{"share-params", "set", "--max-fee", "0"}},
		{render.ExitUsage, []string{"nonsense"}},
		{render.ExitUsage, []string{"fee-rule", "set", "--max-fee", "1"}},
		{render.ExitNotFound, []string{"fee-rule", "del", "--method", "77"}},
		{render.ExitUsage, []string{"msg", "push-signed", filepath.Join(p.repo, "none")}},
		{render.ExitUsage, []string{"msg", "push-signed", filepath.Join(p.repo, "config.toml")}},
	} {
		code, _, errOut := p.try(c.args...)
		require.Equal(t, c.want, code, "%v: %s", c.args, errOut)
		require.NotEmpty(t, errOut)
	}
	require.Contains(t, p.run("msg", "mark-bad", "--really-do-it", "--from", addr.String()), id+": given up")
	code, out, _ = p.try("msg", "wait", id)
	require.NotZero(t, code, "a message that failed is a failed wait")
	require.Contains(t, out, "failed")
	p.run("wallet", "del", "testminer")
	require.NotContains(t, p.run("wallet", "list"), "testminer")

	code, _, errOut = person{t, p.repo}.try("run", "--node-url", "/ip4/127.0.0.1/tcp/1")
	require.Equal(t, render.ExitPrecondition, code)
	require.Contains(t, errOut, "stop the other venus-messager")
	stop()
	require.Zero(t, <-ended, runErr.String())
}

// up waits until the messager has noted its address.
func up(path string) error {
	for range 200 {
		if dir, err := repo.Read(path); err == nil {
			if _, err := dir.API(); err == nil {
				return nil
			}
		}
		if err := clock.Real().Sleep(context.Background(), 25*time.Millisecond); err != nil {
			return err
		}
	}
	return errors.New("the messager did not come up")
}

// pushed pushes a message as a sealer would.
func pushed(t *testing.T, path string, from address.Address) string {
	dir, err := repo.Read(path)
	require.NoError(t, err)
	maddr, err := dir.API()
	require.NoError(t, err)
	token, err := dir.Token()
	require.NoError(t, err)
	c := new(msgapi.MessagerProxy)
	closer, err := rpc.Dial("http://"+strings.ReplaceAll(strings.TrimPrefix(maddr, "/ip4/"), "/tcp/", ":")+"/rpc/v0", token, msgapi.Namespace, c, rpc.DialOptions{})
	require.NoError(t, err)
	defer closer()
	to, err := address.NewIDAddress(1000)
	require.NoError(t, err)
	id, err := c.PushMessage(t.Context(), &types.Message{From: from, To: to, Value: big.Zero(), Method: 16}, nil, "testminer")
	require.NoError(t, err)
	return id
}

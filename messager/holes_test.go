package messager

import (
	"bytes"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/api"
	msgapi "github.com/filecoin-venus/venus/api/messager"
	"github.com/filecoin-venus/venus/messager/machine"
	"github.com/filecoin-venus/venus/rpc"
)

// The holes of the original messager, by their numbers in the sheet
// auth-wallet-messager.md, section E, each attacked as an attacker would.

// TestE4_ForwardedHeadersOpenNothing: the original took a caller for local who said so
// in a header.
func TestE4_ForwardedHeadersOpenNothing(t *testing.T) {
	c := newCluster(t)
	url := "http://" + strings.ReplaceAll(strings.TrimPrefix(c.d.Address, "/ip4/"), "/tcp/", ":") + "/rpc/v0"
	ask := func(headers map[string]string, token string) (int, string) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, bytes.NewBufferString(`{"jsonrpc":"2.0","id":1,"method":"Message.ListWallet","params":[]}`))
		require.NoError(t, err)
		req.Header.Set("Content-Type", "application/json")
		for k, v := range headers {
			req.Header.Set(k, v)
		}
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		defer resp.Body.Close()
		raw, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return resp.StatusCode, string(raw)
	}
	defer http.DefaultClient.CloseIdleConnections()
	for _, name := range []string{"X-Real-IP", "X-Forwarded-For", "X-Real-Ip", "Forwarded", "X-Client-IP", "Host", "Origin"} {
		for _, value := range []string{"127.0.0.1", "::1", "localhost", "for=127.0.0.1"} {
			status, body := ask(map[string]string{name: value}, "")
			require.NotContains(t, body, `"result"`, "%s: %s", name, value)
			require.Contains(t, body, "permission_denied", "%d", status)
		}
	}
	status, body := ask(nil, "an.admin.token")
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, body, `"result"`, "with a token it is answered")
}

// TestE5_PermissionsAreApplied: every method is called with a token below what it
// needs, over a socket, and refused.
func TestE5_PermissionsAreApplied(t *testing.T) {
	c := newCluster(t)
	perms, err := rpc.Permissions(new(msgapi.MessagerProxy))
	require.NoError(t, err)
	below := map[api.Permission]string{api.PermWrite: "a.read.token", api.PermSign: "a.write.token", api.PermAdmin: "a.write.token"}
	refused := 0
	for name, need := range perms {
		token := below[need]
		if token == "" {
			continue // what readers may do needs a token at all, which E4 shows
		}
		m := reflect.ValueOf(c.client(token)).MethodByName(name)
		args := []reflect.Value{reflect.ValueOf(t.Context())}
		for i := 1; i < m.Type().NumIn(); i++ {
			args = append(args, reflect.Zero(m.Type().In(i)))
		}
		out := m.Call(args)
		err, _ := out[len(out)-1].Interface().(error)
		require.Equal(t, api.CodePermission, codeOf(err), "%s needs %s: %v", name, need, err)
		refused++
	}
	require.Greater(t, refused, 30)
}

// TestE13_NothingHangsAndNothingFailsInSilence: the original had no time limits, and
// tested the wrong variable for a failed push.
func TestE13_NothingHangsAndNothingFailsInSilence(t *testing.T) {
	r := newRig(t)
	id := r.push("", r.addr, 16)
	r.node.setFail("MpoolBatchPush", api.Errorf(api.CodeInternal, "pool is full"))
	r.node.setFail("MpoolPush", api.Errorf(api.CodeInternal, "pool is full"))
	require.NoError(t, r.drain(r.addr))
	m := r.get(id)
	require.Equal(t, machine.Signed, m.State)
	require.Equal(t, machine.PushRefused, m.Reason)
	require.Contains(t, r.why(id), "pool is full")
	// Every call to a node or a wallet has an end of its own.
	r.node.setFail("MpoolBatchPush", nil)
	r.node.setFail("MpoolPush", nil)
	r.node.late, r.wallet.late = time.Hour, time.Hour
	began := r.clk.Now()
	r.node.passing, r.wallet.passing = r.clk.Advance, r.clk.Advance
	r.clk.Advance(time.Minute)
	r.push("", r.addr, 16)
	_ = r.drain(r.addr) // it fails, and it returns
	require.Less(t, r.clk.Now().Sub(began), 5*time.Minute)
}

// TestE14_RevertsReachTheMessages: the original's revert found no message to revert.
func TestE14_RevertsReachTheMessages(t *testing.T) {
	r := newRig(t)
	id := r.push("", r.addr, 16)
	require.NoError(t, r.drain(r.addr))
	base := r.node.Head()
	r.step()
	r.step()
	require.Equal(t, machine.OnChain, r.get(id).State)
	r.followed(r.node.setHead(base)) // nothing but reverts
	m := r.get(id)
	require.Equal(t, machine.Pending, m.State)
	require.Nil(t, m.Receipt)
	require.Zero(t, m.Executed)
}

// TestE6_WalletTokensStayInside: the original gave wallets' tokens to whoever listed wallets, logged them and kept them in
// clear. They are in no answer and no file, the database's included; the node's is in the configuration.
func TestE6_WalletTokensStayInside(t *testing.T) {
	c := newCluster(t)
	admin := c.client("an.admin.token")
	require.NoError(t, admin.SaveWallet(t.Context(), msgapi.WalletSpec{Name: "w", URL: c.wURL, Token: walletToken}))
	require.NoError(t, admin.SaveNode(t.Context(), msgapi.NodeSpec{Name: "n", URL: "/ip4/127.0.0.1/tcp/1", Token: walletToken}))
	held, err := admin.ListRemoteWalletAddress(t.Context(), "w")
	require.NoError(t, err)
	require.NotEmpty(t, held, "it is used")
	resp, err := http.Get("http://" + strings.ReplaceAll(strings.TrimPrefix(c.d.Address, "/ip4/"), "/tcp/", ":") + "/metrics")
	require.NoError(t, err)
	defer http.DefaultClient.CloseIdleConnections()
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Contains(t, string(raw), "venus_messager_underway")
	require.NotContains(t, string(raw), "canary")
	c.stop()
	files := 0
	require.NoError(t, filepath.WalkDir(c.opts.Repo, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files++
		raw, err := os.ReadFile(path)
		require.NotContains(t, string(raw), walletToken, path)
		return err
	}))
	require.Greater(t, files, 3)
}

// TestE16_PrefixesAreNotIdentity: the original kept state by printed addresses, so a
// change of f to t gave a sender a second row and its nonces a second start.
func TestE16_PrefixesAreNotIdentity(t *testing.T) {
	r := newRig(t)
	was := address.CurrentNetwork
	defer func() { address.CurrentNetwork = was }()
	for i, network := range []address.Network{address.Mainnet, address.Testnet, address.Mainnet} {
		address.CurrentNetwork = network
		r.restart()
		id := r.push("", r.addr, 16)
		require.NoError(t, r.drain(r.addr))
		require.EqualValues(t, i, r.get(id).Msg.Nonce)
	}
	all, err := r.db.Addresses(t.Context())
	require.NoError(t, err)
	require.Len(t, all, 1)
}

package main

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/api"
	walletapi "github.com/filecoin-venus/venus/api/wallet"
	"github.com/filecoin-venus/venus/types"
)

func hexMessage(t *testing.T, from string, method uint64, nonce uint64, fil string) string {
	a, err := address.NewFromString(from)
	require.NoError(t, err)
	to, err := address.NewIDAddress(1000)
	require.NoError(t, err)
	value, err := types.ParseFIL(fil)
	require.NoError(t, err)
	m := types.Message{From: a, To: to, Nonce: nonce, Value: value.Atto(), Method: abi.MethodNum(method), GasFeeCap: big.Zero(), GasPremium: big.Zero()}
	raw, err := m.Serialize()
	require.NoError(t, err)
	return hex.EncodeToString(raw)
}

// TestPolicies: an operator binds a key and a token, over the command line, and a restart changes nothing.
func TestPolicies(t *testing.T) {
	w := newWorld(t)
	w.start(nil)
	w.ok("setpwd", "--password-file", w.file("pw"))
	a := w.ok("new", "secp256k1")
	w.ok("policy", "set", "poster", "--type", "message", "--method", "miner.SubmitWindowedPoSt", "--to", "t01000", "--per-day", "1")
	w.fails("there is no such policy", "policy", "bind-key", a, "postr")
	require.Contains(t, w.ok("policy", "bind-key", a, "poster"), "is bound to policy poster")
	w.ok("sign", a, hexMessage(t, a, 5, 0, "0.6"))
	w.fails("the method 0 is not allowed", "sign", a, hexMessage(t, a, 0, 1, "0.1"))
	w.fails("of 1000000000000000000 allowed", "sign", a, hexMessage(t, a, 5, 1, "0.5"))
	w.fails(`the type "text" is not allowed`, "sign", "--type", "text", a, "00")
	w.stop()
	w.start(nil, "--password-file", w.file("pw"))
	w.fails("of 1000000000000000000 allowed", "sign", a, hexMessage(t, a, 5, 1, "0.5"))
	w.ok("sign", a, hexMessage(t, a, 5, 1, "0.4"))
	w.fails("keys or tokens are bound", "policy", "remove", "poster")

	// Raw bytes: only where the key's own policy says so, and not for a token that is bound to less.
	b := w.ok("new", "secp256k1")
	w.ok("policy", "set", "raw", "--type", "unknown")
	w.ok("policy", "set", "nothing", "--type", "")
	w.fails("raw bytes are never signed", "sign", "--type", "unknown", b, "aabb")
	w.ok("policy", "bind-key", b, "raw")
	w.ok("sign", "--type", "unknown", b, "aabb")
	cid := hex.EncodeToString(append([]byte{0x01, 0x71, 0xa0, 0xe4, 0x02, 0x20}, make([]byte, 32)...))
	w.fails("CID of a message", "sign", "--type", "unknown", b, cid)
	token := w.ok("auth", "create-token", "--perm", "sign", "--name", "messager")
	addr, err := address.NewFromString(b)
	require.NoError(t, err)
	sign := func() error {
		_, err := w.dial(token).WalletSign(t.Context(), addr, []byte{0xaa}, walletapi.MsgMeta{Type: walletapi.TypeUnknown})
		return err
	}
	require.NoError(t, sign())
	w.ok("policy", "bind-token", "messager", "nothing")
	require.Equal(t, api.CodePermission, api.Explain(sign()).Code)
	w.ok("policy", "bind-token", "messager")
	require.NoError(t, sign())

	list := w.ok("policy", "list")
	require.Regexp(t, `poster +message +5 +t01000 +all +1 FIL +`+a, list)
	require.Regexp(t, `nothing +none`, list)
	var rows []struct{ Token string }
	require.NoError(t, json.Unmarshal([]byte(w.ok("--json", "audit", "--token", "messager", "--decision", "refused")), &rows))
	require.Len(t, rows, 1)
	require.Contains(t, w.ok("audit", "--type", "policy-bind"), "policy=poster")
	require.Len(t, strings.Split(w.ok("audit", "--signer", a, "--decision", "signed"), "\n"), 3)
	records, err := w.dial(w.ok("auth", "create-token", "--perm", "admin")).SignRecords(t.Context(), walletapi.SignQuery{Signer: addr, Decision: "signed", Limit: 1})
	require.NoError(t, err)
	require.Len(t, records, 1)
	require.Equal(t, []string{"raw"}, records[0].Policies)
	w.ok("audit", "--verify")
}

// TestSystemdCredential: the daemon unlocks itself with a credential of its unit.
func TestSystemdCredential(t *testing.T) {
	w := newWorld(t)
	w.start(nil)
	w.ok("setpwd", "--password-file", w.file("pw"))
	a := w.ok("new")
	w.stop()
	dir := t.TempDir()
	w.start([]string{"CREDENTIALS_DIRECTORY=" + dir})
	w.fails("wallet locked", "sign", "--type", "text", a, "00")
	w.stop()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "venus-wallet-password"), []byte("pw\n"), 0o400))
	w.start([]string{"CREDENTIALS_DIRECTORY=" + dir})
	w.ok("sign", "--type", "text", a, "00")
}

// TestBackupJourney: a wallet is backed up while it runs and restored elsewhere; it signs with the same keys.
func TestBackupJourney(t *testing.T) {
	w := newWorld(t)
	w.start(nil)
	w.ok("setpwd", "--password-file", w.file("wallet-canary"))
	a := w.ok("new", "bls")
	file := filepath.Join(t.TempDir(), "backup")
	require.Contains(t, w.ok("backup", file, "--password-file", w.file("backup-canary")), "1 keys in")
	w.fails("is there already", "backup", file, "--password-file", w.file("x"))
	w.fails("does not open", "backup", "--check", file, "--password-file", w.file("x"))
	signature := w.ok("sign", "--type", "text", a, "00")
	w.stop()

	other := newWorld(t)
	other.fails("does not open", "restore", file, "--password-file", w.file("wallet-canary"))
	require.Contains(t, other.ok("restore", file, "--password-file", w.file("backup-canary")), "1 keys restored")
	other.fails("holds a wallet already", "restore", file, "--password-file", w.file("backup-canary"))
	other.start(nil, "--password-file", w.file("wallet-canary"))
	require.Equal(t, signature, other.ok("sign", "--type", "text", a, "00"))
}

// TestMetricsTellNoSecrets: open to all who reach the port, with numbers and nothing else.
func TestMetricsTellNoSecrets(t *testing.T) {
	w := newWorld(t)
	get := func(path string) (int, string) {
		resp, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d%s", w.port, path))
		require.NoError(t, err)
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return resp.StatusCode, string(b)
	}
	w.start(nil)
	status, body := get("/readyz")
	require.Equal(t, 503, status, body)
	w.ok("setpwd", "--password-file", w.file("canary-pw"))
	a := w.ok("new")
	w.ok("sign", "--type", "text", a, "00")
	w.fails("not one of", "sign", "--type", "canary-kind", a, "00")
	_, body = get("/metrics")
	for _, want := range []string{
		`venus_wallet_requests_total{decision="signed",type="text"} 1`, `venus_wallet_requests_total{decision="refused",type="unknown"} 1`, "venus_wallet_keys 1",
	} {
		require.Contains(t, body, want)
	}
	_, health := get("/healthz?verbose")
	for _, secret := range []string{a, "canary"} {
		require.NotContains(t, body+health, secret)
	}
}

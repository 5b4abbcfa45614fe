package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/big"
	gscrypto "github.com/filecoin-project/go-state-types/crypto"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/api"
	walletapi "github.com/filecoin-venus/venus/api/wallet"
	"github.com/filecoin-venus/venus/crypto"
	"github.com/filecoin-venus/venus/rpc"
	"github.com/filecoin-venus/venus/types"
)

// The test binary is the program itself when this is set.
const asProgram = "VENUS_WALLET_TEST_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// world is one wallet directory and the processes on it.
type world struct {
	t    *testing.T
	repo string
	port int
	cmd  *exec.Cmd
}

func newWorld(t *testing.T) *world {
	t.Helper()
	dir := t.TempDir()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	port := l.Addr().(*net.TCPAddr).Port
	require.NoError(t, l.Close())
	cheap := fmt.Sprintf("[API]\nListenAddress = \"/ip4/127.0.0.1/tcp/%d/http\"\n[Factor]\nScryptN = 16\nScryptR = 8\nScryptP = 1\n", port)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "config.toml"), []byte(cheap), 0o600))
	return &world{t: t, repo: dir, port: port}
}

func (w *world) command(env []string, args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], append([]string{"--repo", w.repo}, args...)...)
	cmd.Env = append(append(os.Environ(), asProgram+"=1", "VENUS_FAILPOINT="), env...)
	return cmd
}

// start runs the daemon and waits until it listens.
func (w *world) start(env []string, args ...string) {
	w.t.Helper()
	w.cmd = w.command(env, append([]string{"run", "--network", "test"}, args...)...)
	stderr, err := w.cmd.StderrPipe()
	require.NoError(w.t, err)
	require.NoError(w.t, w.cmd.Start())
	up := make(chan struct{})
	go func() {
		buf := make([]byte, 4096)
		var all bytes.Buffer
		closed := false
		for {
			n, err := stderr.Read(buf)
			all.Write(buf[:n])
			if !closed && bytes.Contains(all.Bytes(), []byte("listens on")) {
				close(up)
				closed = true
			}
			if err != nil {
				if !closed {
					w.t.Logf("wallet: %s", all.Bytes())
					close(up)
				}
				return
			}
		}
	}()
	select {
	case <-up:
	case <-time.After(20 * time.Second):
		w.t.Fatal("the wallet does not listen")
	}
	w.t.Cleanup(w.stop)
}

func (w *world) stop() {
	if w.cmd == nil {
		return
	}
	_ = w.cmd.Process.Signal(os.Interrupt)
	_ = w.cmd.Wait()
	w.cmd = nil
}

type result struct {
	out, err string
	code     int
}

func (w *world) run(stdin string, env []string, args ...string) result {
	w.t.Helper()
	cmd := w.command(env, args...)
	cmd.Stdin = strings.NewReader(stdin)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		w.t.Fatal(err)
	}
	return result{strings.TrimSpace(out.String()), strings.TrimSpace(errOut.String()), cmd.ProcessState.ExitCode()}
}

func (w *world) ok(args ...string) string {
	w.t.Helper()
	r := w.run("", nil, args...)
	require.Zero(w.t, r.code, "%v: %s", args, r.err)
	return r.out
}

func (w *world) fails(contains string, args ...string) {
	w.t.Helper()
	r := w.run("", nil, args...)
	require.NotZero(w.t, r.code, "%v printed %s", args, r.out)
	require.Empty(w.t, r.out)
	require.Contains(w.t, r.err, contains)
}

func (w *world) file(content string) string {
	w.t.Helper()
	path := filepath.Join(w.t.TempDir(), "secret")
	require.NoError(w.t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

func (w *world) dial(token string) *walletapi.WalletProxy {
	w.t.Helper()
	p := new(walletapi.WalletProxy)
	stop, err := rpc.Dial(fmt.Sprintf("/ip4/127.0.0.1/tcp/%d/http", w.port), token, walletapi.Namespace, p, rpc.DialOptions{Service: "venus-wallet"})
	require.NoError(w.t, err)
	w.t.Cleanup(stop)
	return p
}

func TestGuideJourney(t *testing.T) {
	w := newWorld(t)
	w.fails("not set up yet", "list")
	w.start(nil)
	w.fails("password not set", "new", "bls")
	require.Equal(t, "Password set successfully", w.ok("setpwd", "--password-file", w.file("s3same\n")))
	w.fails("the password already exists", "setpwd", "--password-file", w.file("other\n"))

	bls := w.ok("new", "bls")
	require.Len(t, bls, 86)
	require.True(t, strings.HasPrefix(bls, "t3"), bls)
	secp := w.ok("new", "secp256k1")
	require.True(t, strings.HasPrefix(secp, "t1"), secp)
	require.True(t, strings.HasPrefix(w.ok("new"), "t1"), "secp256k1 is the default, as it always was")
	w.fails("want bls or secp256k1", "new", "rsa")
	require.Subset(t, strings.Split(w.ok("list"), "\n"), []string{bls, secp})

	info := w.ok("auth", "api-info", "--perm", "admin")
	token, maddr, found := strings.Cut(info, ":")
	require.True(t, found)
	require.Equal(t, fmt.Sprintf("/ip4/127.0.0.1/tcp/%d/http", w.port), maddr)
	require.Len(t, strings.Split(token, "."), 3)
	w.fails("--perm flag not set", "auth", "api-info")
	w.fails("must be one of", "auth", "api-info", "--perm", "root")

	// Both what the guide pastes: the whole line, or the token alone.
	for _, form := range []string{info, token} {
		addrs, err := w.dial(form).WalletList(t.Context())
		require.NoError(t, err)
		require.Len(t, addrs, 3)
	}
}

func TestListIsSortedAndComplete(t *testing.T) {
	w := newWorld(t)
	w.start(nil)
	w.ok("setpwd", "--password-file", w.file("pw"))
	want := []string{w.ok("new", "bls"), w.ok("new", "bls"), w.ok("new", "secp256k1")}
	require.ElementsMatch(t, want, strings.Split(w.ok("ls"), "\n"))
	var fromJSON []string
	require.NoError(t, json.Unmarshal([]byte(w.ok("list", "--json")), &fromJSON))
	require.ElementsMatch(t, want, fromJSON)
}

func TestRestart(t *testing.T) {
	w := newWorld(t)
	w.start(nil)
	w.ok("setpwd", "--password-file", w.file("pw"))
	a := w.ok("new", "bls")
	second := w.command(nil, "run")
	out, err := second.CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(out), "another process is using this directory")
	w.stop()
	w.fails("cannot reach venus-wallet", "list")

	w.start(nil)
	require.Equal(t, "wallet state: locked", w.ok("lock-state"))
	require.Equal(t, a, w.ok("list"))
	w.fails("wallet locked", "export", a)
	w.fails("password mismatch", "unlock", "--password-file", w.file("typo"))
	r := w.run("", []string{"VENUS_WALLET_PASSWORD=pw"}, "unlock")
	require.Equal(t, "wallet unlock successfully", r.out, r.err)
	require.Equal(t, "wallet lock successfully", w.ok("lock"))
	w.fails("wallet already locked", "lock")
	w.stop()

	w.start(nil, "--password-file", w.file("pw"))
	require.Equal(t, "wallet state: unlocked", w.ok("lockState"))
	w.ok("export", a)
	w.stop()

	cmd := w.command(nil, "run", "--password-file", w.file("typo"))
	out, err = cmd.CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(out), "password mismatch")
}

func TestPortTaken(t *testing.T) {
	w := newWorld(t)
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", w.port))
	require.NoError(t, err)
	defer l.Close()
	out, err := w.command(nil, "run").CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(out), "address already in use")
	require.Contains(t, string(out), "choose another with --api")
	out, err = w.command(nil, "run", "--network", "atlantis").CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(out), `network "atlantis" is unknown`)
}

func TestExportImportSignDelete(t *testing.T) {
	w := newWorld(t)
	w.start(nil)
	w.ok("setpwd", "--password-file", w.file("pw"))
	for _, kind := range []string{"bls", "secp256k1"} {
		a := w.ok("new", kind)
		exported := w.ok("export", a)
		raw, err := hex.DecodeString(exported)
		require.NoError(t, err)
		var ki struct {
			Type       string
			PrivateKey []byte
		}
		require.NoError(t, json.Unmarshal(raw, &ki))
		require.Equal(t, kind, ki.Type)
		require.Len(t, ki.PrivateKey, 32)

		require.Equal(t, "success", w.ok("delete", a))
		require.NotContains(t, w.ok("list"), a)
		w.fails("no key for this address", "export", a)
		want := fmt.Sprintf("imported key %s successfully!", a)
		require.Equal(t, want, w.run(exported+"\n", nil, "import").out)
		require.Equal(t, want, w.run(exported, nil, "import", "-").out, "a second time is no error")
		require.Equal(t, want, w.ok("import", "--format", "json-lotus", w.file(string(raw))))

		addr, err := address.NewFromString(a)
		require.NoError(t, err)
		to, err := address.NewIDAddress(99)
		require.NoError(t, err)
		m := types.Message{To: to, From: addr, Value: big.NewInt(1), GasFeeCap: big.Zero(), GasPremium: big.Zero()}
		object, err := m.Serialize()
		require.NoError(t, err)
		sigHex := w.ok("sign", a, hex.EncodeToString(object))
		sig := verifyHex(t, sigHex)
		require.NoError(t, crypto.Verify(sig, addr, m.Cid().Bytes()))
		w.fails("raw bytes are never signed", "sign", "--type", "unknown", a, hex.EncodeToString(m.Cid().Bytes()))
		text := verifyHex(t, w.ok("sign", "--type", "text", a, "616263"))
		require.NoError(t, crypto.Verify(text, addr, []byte("\x19Filecoin Signed Message:\n3abc")))
	}
	for name, in := range map[string]string{"not hex": "zz", "not json": "00", "no key": hex.EncodeToString([]byte(`{"Type":"bls"}`))} {
		r := w.run(in, nil, "import")
		require.NotZero(t, r.code, name)
		require.NotContains(t, r.err, in, "what was read is not repeated")
	}
}

func TestChangePassword(t *testing.T) {
	w := newWorld(t)
	w.start(nil)
	w.ok("setpwd", "--password-file", w.file("old"))
	a := w.ok("new", "bls")
	w.fails("password mismatch", "changepwd", "--password-file", w.file("typo"), "--new-password-file", w.file("new"))
	require.Equal(t, "Password changed successfully", w.ok("changepwd", "--password-file", w.file("old"), "--new-password-file", w.file("new")))
	w.ok("export", a)
	w.ok("lock")
	w.fails("password mismatch", "unlock", "--password-file", w.file("old"))
	w.ok("unlock", "--password-file", w.file("new"))
	w.ok("export", a)
}

func TestAudit(t *testing.T) {
	w := newWorld(t)
	w.start(nil)
	w.ok("setpwd", "--password-file", w.file("pw"))
	a := w.ok("new", "secp256k1")
	w.ok("sign", "--type", "text", a, "00")
	w.fails("raw bytes are never signed", "sign", "--type", "unknown", a, "00")
	table := w.ok("audit")
	require.Regexp(t, `done +new +`+a, table)
	require.Regexp(t, `signed +text +`+a+` +length=1`, table)
	require.Regexp(t, `refused +unknown +`+a+` +the policy refuses: raw bytes`, table)
	require.Contains(t, w.ok("audit", "--verify"), "4 records, none missing, none altered")
	var one []struct{ Decision string }
	require.NoError(t, json.Unmarshal([]byte(w.ok("--json", "audit", "--limit", "1")), &one))
	require.Len(t, one, 1)
	require.Equal(t, "refused", one[0].Decision)

	log := filepath.Join(w.repo, "signlog", "00000001.log")
	raw, err := os.ReadFile(log)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(log, bytes.Replace(raw, []byte(`"length":"1"`), []byte(`"length":"2"`), 1), 0o600))
	w.fails("does not follow", "audit", "--verify")
}

// Every method asks for its permission; the address of the caller and headers are no permission.
func TestPermissions(t *testing.T) {
	w := newWorld(t)
	w.start(nil)
	w.ok("setpwd", "--password-file", w.file("pw"))
	a := w.ok("new", "bls")
	addr, err := address.NewFromString(a)
	require.NoError(t, err)
	perms, err := rpc.Permissions(new(walletapi.WalletProxy))
	require.NoError(t, err)
	call := map[string]func(context.Context, *walletapi.WalletProxy) error{
		"WalletNew": func(ctx context.Context, p *walletapi.WalletProxy) error {
			return second(p.WalletNew(ctx, types.KeyBLS))
		},
		"WalletHas":    func(ctx context.Context, p *walletapi.WalletProxy) error { return second(p.WalletHas(ctx, addr)) },
		"WalletList":   func(ctx context.Context, p *walletapi.WalletProxy) error { return second(p.WalletList(ctx)) },
		"WalletExport": func(ctx context.Context, p *walletapi.WalletProxy) error { return second(p.WalletExport(ctx, addr)) },
		"WalletSign": func(ctx context.Context, p *walletapi.WalletProxy) error {
			return second(p.WalletSign(ctx, addr, []byte("x"), walletapi.MsgMeta{Type: walletapi.TypeText}))
		},
		"LockState":      func(ctx context.Context, p *walletapi.WalletProxy) error { return second(p.LockState(ctx)) },
		"VerifyPassword": func(ctx context.Context, p *walletapi.WalletProxy) error { return p.VerifyPassword(ctx, "pw") },
		"LogList":        func(ctx context.Context, p *walletapi.WalletProxy) error { return second(p.LogList(ctx)) },
		"Version":        func(ctx context.Context, p *walletapi.WalletProxy) error { return second(p.Version(ctx)) },
		"Session":        func(ctx context.Context, p *walletapi.WalletProxy) error { return second(p.Session(ctx)) },
		"Discover":       func(ctx context.Context, p *walletapi.WalletProxy) error { return second(p.Discover(ctx)) },
		"AuthNew": func(ctx context.Context, p *walletapi.WalletProxy) error {
			return second(p.AuthNew(ctx, api.AllPermissions()))
		},
		"AuthVerify": func(ctx context.Context, p *walletapi.WalletProxy) error {
			return second(p.AuthVerify(ctx, w.ok("auth", "create-token", "--perm", "read")))
		},
	}
	for _, have := range []api.Permission{"", "read", "write", "sign", "admin"} {
		token := ""
		if have != "" {
			token = w.ok("auth", "create-token", "--perm", string(have))
		}
		p := w.dial(token)
		for name, do := range call {
			err := do(t.Context(), p)
			if have.Covers(perms[name]) {
				require.NoError(t, err, "%s with %q", name, have)
			} else {
				require.Equal(t, api.CodePermission, api.Explain(err).Code, "%s with %q: %v", name, have, err)
			}
		}
	}
	wrong := w.dial("a.b.c")
	_, err = wrong.WalletList(t.Context())
	require.Equal(t, api.CodeUnauthenticated, api.Explain(err).Code)

	body := `{"jsonrpc":"2.0","id":1,"method":"Filecoin.WalletList","params":[]}`
	req, err := http.NewRequest(http.MethodPost, fmt.Sprintf("http://127.0.0.1:%d/rpc/v0", w.port), strings.NewReader(body))
	require.NoError(t, err)
	req.Header.Set("X-Real-Ip", "127.0.0.1")
	req.Header.Set("X-Forwarded-For", "127.0.0.1")
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Contains(t, string(answer), "missing permission to invoke 'WalletList' (need 'write')")
	for _, path := range []string{"/debug/pprof/", "/rpc/v0/../debug/pprof/", "/signlog"} {
		resp, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d%s", w.port, path))
		require.NoError(t, err)
		require.Equal(t, http.StatusNotFound, resp.StatusCode, path)
		require.NoError(t, resp.Body.Close())
	}
}

// The prompt shows stars, never the password; it asks twice and compares.
func TestPromptOnATerminal(t *testing.T) {
	w := newWorld(t)
	w.start(nil)
	out, code := w.typed([]string{"s3same\r", "s3sam3\r"}, "setpwd")
	require.NotZero(t, code)
	require.Contains(t, out, "the input passwords are inconsistent")
	out, code = w.typed([]string{"s3samX\x7fe\r", "s3same\r"}, "setpwd")
	require.Zero(t, code, out)
	require.Contains(t, out, "Password:******")
	require.Contains(t, out, "Enter Password again:******")
	require.Contains(t, out, "Password set successfully")
	require.NotContains(t, out, "s3same")
	w.ok("lock")
	out, code = w.typed([]string{"s3same\r"}, "unlock")
	require.Zero(t, code, out)
	require.Contains(t, out, "wallet unlock successfully")
	out, code = w.typed([]string{"\x03"}, "unlock")
	require.NotZero(t, code)
	require.Contains(t, out, "interrupted")
	a := w.ok("new", "secp256k1")
	exported := w.ok("export", a)
	out, code = w.typed([]string{exported + "\r"}, "import")
	require.Zero(t, code, out)
	require.NotContains(t, out, exported)
}

// typed runs a command on a terminal and types each answer when a prompt stands.
func (w *world) typed(answers []string, args ...string) (string, int) {
	w.t.Helper()
	cmd := w.command(nil, args...)
	f, err := pty.Start(cmd)
	require.NoError(w.t, err)
	defer f.Close()
	var all bytes.Buffer
	buf := make([]byte, 4096)
	for {
		n, err := f.Read(buf)
		all.Write(buf[:n])
		if len(answers) > 0 && (bytes.HasSuffix(all.Bytes(), []byte(":")) || bytes.HasSuffix(all.Bytes(), []byte(": "))) {
			_, werr := f.WriteString(answers[0])
			require.NoError(w.t, werr)
			answers = answers[1:]
		}
		if err != nil {
			break
		}
	}
	_ = cmd.Wait()
	return all.String(), cmd.ProcessState.ExitCode()
}

func second[T any](_ T, err error) error { return err }

func verifyHex(t *testing.T, s string) *gscrypto.Signature {
	t.Helper()
	raw, err := hex.DecodeString(s)
	require.NoError(t, err)
	return &gscrypto.Signature{Type: gscrypto.SigType(raw[0]), Data: raw[1:]}
}

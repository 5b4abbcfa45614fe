package e2e

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/require"

	apimessager "github.com/filecoin-venus/venus/api/messager"
	apimining "github.com/filecoin-venus/venus/api/mining"
	apinode "github.com/filecoin-venus/venus/api/node"
	apisealer "github.com/filecoin-venus/venus/api/sealer"
	apiwallet "github.com/filecoin-venus/venus/api/wallet"
	"github.com/filecoin-venus/venus/internal/mariadb"
	"github.com/filecoin-venus/venus/rpc"
	"github.com/filecoin-venus/venus/types"
)

// secret is something that must stay where it belongs, in all the forms it may be written in.
type secret struct {
	name  string
	forms [][]byte
}

// tokenOf is a token; its signature is what nobody can guess.
func tokenOf(name, text string) secret {
	parts := strings.Split(strings.TrimSpace(text), ".")
	return secret{name, [][]byte{[]byte(parts[len(parts)-1])}}
}

// text is a secret that is written as it is.
func text(name, s string) secret { return secret{name, [][]byte{[]byte(s)}} }

// key is a secret of bytes: as they are, in hex and as JSON has them.
func key(name string, raw []byte) secret {
	quoted, err := json.Marshal(raw)
	if err != nil {
		panic(err) // bytes can always be written
	}
	return secret{name, [][]byte{raw, []byte(hex.EncodeToString(raw)), bytes.Trim(quoted, `"`)}}
}

// source is a place where no secret is expected.
type source struct {
	name string
	data []byte
}

// leaks names the secrets in the sources.
func leaks(secrets []secret, sources []source) (found []string) {
	for _, s := range sources {
		for _, secret := range secrets {
			if slices.ContainsFunc(secret.forms, func(form []byte) bool { return bytes.Contains(s.data, form) }) {
				found = append(found, secret.name+" in "+s.name)
			}
		}
	}
	return found
}

// keepers are the files below a home that may hold secrets, by pattern, with what they may hold: the table that people
// read as well. Whatever else a program writes holds none.
func keepers(t *testing.T) map[string]string {
	t.Helper()
	doc, err := os.ReadFile(filepath.Join(shared.root, "docs", "guide", "secrets.md"))
	require.NoError(t, err)
	out := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\| (.+) \\|$").FindAllStringSubmatch(string(doc), -1) {
		out[row[1]] = row[2]
	}
	require.Greater(t, len(out), 10)
	return out
}

// TestLeaksAreFound plants each kind of secret and expects the search of the guide to see it.
func TestLeaksAreFound(t *testing.T) {
	raw := []byte{0, 1, 2, 254, 255, 3, 4, 5, 6, 7}
	secrets := []secret{tokenOf("venus token", "aa.bb.signature-of-a-token\n"), text("password", "open sesame"), key("key", raw)}
	for place, want := range map[string]string{
		"msg=ok token=aa.bb.signature-of-a-token": "venus token", `{"Token":"signature-of-a-token"}`: "venus token", "x open sesame y": "password",
		"00000102feff030405060700": "key", `{"PrivateKey":"AAEC/v8DBAUGBw=="}`: "key", "..." + string(raw) + "...": "key", "signature of a token": "",
	} {
		found := leaks(secrets, []source{{"a log", []byte(place)}})
		if want == "" {
			require.Empty(t, found)
			continue
		}
		require.Equal(t, []string{want + " in a log"}, found, place)
	}
	home := t.TempDir()
	write := func(name string, mode os.FileMode) {
		path := filepath.Join(home, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(t, os.WriteFile(path, []byte("Token = 'aa.bb.signature-of-a-token'"), mode))
		require.NoError(t, os.Chmod(path, mode))
	}
	write(".venus/token", 0o600)
	write("programs/venus.log", 0o600)
	write(".venus/keystore/self", 0o644)
	require.Equal(t, []string{".venus/keystore/self has the mode -rw-r--r--", "venus token in .venus/keystore/self", "venus token in programs/venus.log"},
		leaksInFiles(t, home, keepers(t), secrets))
}

// leaksInFiles searches all files of a home. Those that may hold a secret must be for their owner alone.
func leaksInFiles(t *testing.T, home string, keepers map[string]string, secrets []secret) (found []string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(home, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		name, err := filepath.Rel(home, path)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		allowed := keeperOf(keepers, name)
		if allowed != "" && info.Mode().Perm()&0o077 != 0 {
			found = append(found, fmt.Sprintf("%s has the mode %s", name, info.Mode()))
		}
		outside := slices.DeleteFunc(slices.Clone(secrets), func(s secret) bool { return strings.Contains(allowed, s.name) })
		found = append(found, leaks(outside, []source{{name, data}})...)
		return nil
	}))
	return found
}

// keeperOf tells what a file may hold, "" = nothing. The reader's second sealer has a home below the first.
func keeperOf(keepers map[string]string, name string) string {
	for pattern, allowed := range keepers {
		if ok, err := filepath.Match(pattern, strings.TrimPrefix(name, otherHome+"/")); err == nil && ok {
			return allowed
		}
	}
	return ""
}

// secretsStayInside looks for every secret of the walk in whatever the programs wrote, keep, show and answer.
func (g *guideWalk) secretsStayInside(t *testing.T) {
	secrets := g.allSecrets(t)
	t.Logf("looking for %d secrets", len(secrets))
	sources := g.processes(t)
	sources = append(sources, g.pages(t)...)
	sources = append(sources, g.answers(t)...)
	for _, d := range slices.Backward(g.daemons) {
		d.kill()
	}
	sources = append(sources, source{"InfluxDB", g.influx.written()})
	if g.dsn != "" {
		rows := mariadb.Dump(t, g.dsn)
		require.Contains(t, rows, "testminer")
		sources = append(sources, source{"MySQL", []byte(rows)})
	}
	for _, s := range sources {
		require.NotEmpty(t, s.data, s.name)
	}
	may := keepers(t)
	require.Empty(t, append(leaks(secrets, sources), leaksInFiles(t, g.home, may, secrets)...))
	for pattern := range may {
		files, err := filepath.Glob(filepath.Join(g.home, pattern))
		require.NoError(t, err)
		require.NotEmpty(t, files, "the table has a row for %s, which no program writes", pattern)
	}
}

// allSecrets collects them: what the reader was given, what he thought of, and what the programs made for themselves.
func (g *guideWalk) allSecrets(t *testing.T) []secret {
	out := []secret{text("wallet password", walletPassword), text("InfluxDB token", influxToken)}
	for name, of := range map[string]string{
		"auth token miner": "venus-auth", "auth token messager": "venus-auth", "auth token sealer": "venus-auth",
		"wallet jwt token": "venus-wallet", "sealer jwt token": "venus-sealer",
	} {
		out = append(out, tokenOf(of+" token", g.fill["<"+name+">"]))
	}
	if g.dsn != "" {
		cfg, err := mysql.ParseDSN(g.dsn)
		require.NoError(t, err)
		out = append(out, text("MySQL password", ":"+cfg.Passwd+"@"))
	}
	for _, name := range []string{"<bls address 1>", "<bls address 2>"} {
		exported := g.shell("./venus-wallet export " + g.fill[name])
		require.Zero(t, exported.code, exported.all())
		raw, err := hex.DecodeString(strings.TrimSpace(exported.out))
		require.NoError(t, err)
		var ki types.KeyInfo
		require.NoError(t, json.Unmarshal(raw, &ki))
		out = append(out, key("private key of "+name, ki.PrivateKey))
	}
	for dir, program := range homes {
		out = append(out, tokenOf(program+" token", g.adminToken(t, dir)))
		files, err := filepath.Glob(filepath.Join(g.home, dir, "keystore", "*"))
		require.NoError(t, err)
		require.NotEmpty(t, files, dir)
		for _, f := range files {
			content, err := os.ReadFile(f)
			require.NoError(t, err)
			raw, err := hex.DecodeString(strings.TrimSpace(string(content)))
			require.NoError(t, err, f)
			out = append(out, key(program+" secret", raw))
		}
	}
	return out
}

// homes are the directories of the programs.
var homes = map[string]string{
	".venus-auth": "venus-auth", ".venus": "venus", ".venus_wallet": "venus-wallet", ".venus-messager": "venus-messager",
	".venussealer": "venus-sealer", ".venusminer": "venus-miner",
}

// processes are the arguments and the environments of all programs that run for the reader.
func (g *guideWalk) processes(t *testing.T) (out []source) {
	dirs, err := filepath.Glob("/proc/[0-9]*")
	require.NoError(t, err)
	seen := ""
	for _, dir := range dirs {
		env, err := os.ReadFile(filepath.Join(dir, "environ"))
		if err != nil || !bytes.Contains(append([]byte{0}, env...), []byte("\x00HOME="+g.home+"\x00")) {
			continue // gone, or somebody else's
		}
		args, err := os.ReadFile(filepath.Join(dir, "cmdline"))
		if err != nil || len(args) == 0 {
			continue
		}
		seen += string(args)
		out = append(out, source{"the process list: " + string(args), append(args, env...)})
	}
	for _, program := range []string{"venus-auth", "venus\x00daemon", "venus-wallet", "venus-messager", "venus-sealer", "venus-miner"} {
		require.Contains(t, seen, "./"+program)
	}
	require.Contains(t, seen, "--node-token", "the guide's flags are there, their values are not")
	return out
}

// pages are what every program shows without being asked for a token.
func (g *guideWalk) pages(t *testing.T) (out []source) {
	for _, port := range []int{g.ports.Auth, g.ports.Node, g.ports.Wallet, g.ports.Messager, g.ports.Sealer, g.ports.Miner} {
		for _, path := range []string{"/metrics", "/healthz?verbose", "/readyz?verbose", "/debug/pprof/goroutine?debug=2", "/"} {
			out = append(out, g.page(t, fmt.Sprintf("http://127.0.0.1:%d%s", port, path), ""))
		}
	}
	for _, path := range []string{"/tokens?removed=true", "/user/list", "/audit", "/version", "/user?name=miner", "/miner?miner=f01000", "/signer?signer=f01000"} {
		out = append(out, g.page(t, fmt.Sprintf("http://127.0.0.1:%d%s", g.ports.Auth, path), g.adminToken(t, ".venus-auth")))
	}
	return out
}

func (g *guideWalk) adminToken(t *testing.T, repo string) string {
	raw, err := os.ReadFile(filepath.Join(g.home, repo, "token"))
	require.NoError(t, err)
	return strings.TrimSpace(string(raw))
}

func (g *guideWalk) page(t *testing.T, url, token string) source {
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return source{url, append([]byte(resp.Status), body...)}
}

// asking are the methods that look and change nothing, by name; those of permission read are asked as well.
var asking = regexp.MustCompile(`List|Get|Has|Stat|Info|Version|Verify|Records|Find|Jobs|Local|Diag|Alerts`)

// notAsked are those that wait, work for long, make a token or give out a key by design.
var notAsked = regexp.MustCompile(`^(AuthNew|WalletExport|Set|LogSet|Closing)|Wait|Notify|Subscribe|Incoming`)

// answers are what every program tells an admin: all methods that only look, with arguments where empty ones find nothing.
func (g *guideWalk) answers(t *testing.T) (out []source) {
	for _, s := range []struct {
		repo, namespace, path string
		port                  int
		proxy                 any
	}{
		{".venus", apinode.Namespace, "/rpc/v1", g.ports.Node, new(apinode.FullNodeProxy)},
		{".venus_wallet", apiwallet.Namespace, "", g.ports.Wallet, new(apiwallet.WalletProxy)},
		{".venus-messager", apimessager.Namespace, "", g.ports.Messager, new(apimessager.MessagerProxy)},
		{".venussealer", apisealer.Namespace, "", g.ports.Sealer, new(apisealer.SealerProxy)},
		{".venusminer", apimining.Namespace, "", g.ports.Miner, new(apimining.MiningProxy)},
	} {
		stop, err := rpc.Dial(maddr(s.port), g.adminToken(t, s.repo), s.namespace, s.proxy, rpc.DialOptions{Path: s.path, Timeout: 5 * time.Second})
		require.NoError(t, err)
		defer stop()
		louder := reflect.ValueOf(s.proxy).MethodByName("LogSetLevel").Interface().(func(context.Context, string, string) error)
		require.NoError(t, louder(t.Context(), "*", "debug"), "what is logged at the loudest level counts as well")
		got, silent := g.ask(t.Context(), s.proxy)
		require.Greater(t, len(got), 5, s.repo)
		t.Logf("asked %d methods of %s, not %v", len(got), s.repo, silent)
		out = append(out, got...)
	}
	return out
}

// ask calls the methods of a proxy that only look, some at a time.
func (g *guideWalk) ask(ctx context.Context, proxy any) (out []source, silent []string) {
	in := reflect.ValueOf(proxy).Elem().FieldByName("Internal")
	var mu sync.Mutex
	var working sync.WaitGroup
	places := make(chan struct{}, 8)
	for i := range in.NumField() {
		f := in.Type().Field(i)
		if notAsked.MatchString(f.Name) || f.Type.Out(0).Kind() == reflect.Chan || (f.Tag.Get("perm") != "read" && !asking.MatchString(f.Name)) {
			silent = append(silent, f.Name)
			continue
		}
		working.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			args := []reflect.Value{reflect.ValueOf(ctx)}
			for k := 1; k < f.Type.NumIn(); k++ {
				args = append(args, g.argument(f.Type.In(k)))
			}
			answer := fmt.Sprintln(f.Name)
			for _, v := range in.Field(i).Call(args) {
				b, err := json.Marshal(v.Interface())
				answer += fmt.Sprintf("%s %v %+v\n", b, err, v.Interface())
			}
			mu.Lock()
			defer mu.Unlock()
			out = append(out, source{"the answer of " + f.Name, []byte(answer)})
		})
	}
	working.Wait()
	return out, silent
}

// argument is the name that the guide gives its wallet, an address of that wallet, or nothing.
func (g *guideWalk) argument(t reflect.Type) reflect.Value {
	switch t {
	case reflect.TypeFor[string]():
		return reflect.ValueOf("testminer")
	case reflect.TypeFor[address.Address]():
		a, err := address.NewFromString(g.fill["<bls address 1>"])
		require.NoError(g.t, err)
		return reflect.ValueOf(a)
	}
	return reflect.Zero(t)
}

// influxToken is the token that venus-auth shows to InfluxDB.
const influxToken = "canary-influx-token"

// influxServer stands for an InfluxDB and keeps what is written to it.
type influxServer struct {
	*httptest.Server
	mu   sync.Mutex
	text bytes.Buffer
}

func newInflux(t *testing.T) *influxServer {
	s := &influxServer{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		_, _ = io.Copy(&s.text, r.Body) // what is missing shows
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(s.Close)
	return s
}

// configured is venus-auth's configuration with this server in it.
func (s *influxServer) configured(config string) string {
	config = strings.NewReplacer("hookSwitch = false", "hookSwitch = true", `logLevel = "info"`, `logLevel = "trace"`).Replace(config)
	return config + fmt.Sprintf("\n[log.influxdb]\nserverURL = %q\nauthToken = %q\norg = \"venus-auth\"\nbucket = \"auth\"\nflushInterval = \"1s\"\nbatchSize = 100\n", s.URL, influxToken)
}

// written is all that was written.
func (s *influxServer) written() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.Clone(s.text.Bytes())
}

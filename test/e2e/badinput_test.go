package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/cli/render"
	"github.com/filecoin-venus/venus/cluster"
)

// mistake is a command line that has to fail: with a code, a cause and a remedy.
type mistake struct {
	name, program string
	args          []string
	code          int
	cause, remedy string
}

// refused runs the command and checks how it fails.
func (m mistake) refused(t *testing.T, home string) {
	t.Helper()
	r := shared.command(t, home, m.program, m.args...)
	require.Equal(t, m.code, r.code, "%s: %s", m.name, r.all())
	require.Contains(t, r.err, m.cause, "%s: the cause", m.name)
	require.Contains(t, r.err, m.remedy, "%s: the remedy", m.name)
	require.Empty(t, r.out, "%s: errors do not go to standard output", m.name)
	require.NotContains(t, r.err, "panic", m.name)
	require.NotContains(t, r.err, "goroutine ", m.name)
}

func TestBadInput(t *testing.T) {
	t.Parallel()
	t.Run("nothing is set up", nothingSetUp)
	t.Run("flags", badFlags)
	t.Run("password", wrongPassword)
	c, st := living(t)
	t.Run("genesis", func(t *testing.T) { badGenesis(t, c) })
	t.Run("token", func(t *testing.T) { wrongToken(t, c, st) })
	t.Run("network and address", func(t *testing.T) { wrongNetworkOrAddress(t, c, st) })
	t.Run("port taken", func(t *testing.T) { portTaken(t, c, st) })
	t.Run("peer of another genesis", func(t *testing.T) { anotherGenesis(t, c) })
}

// nothingSetUp runs commands in an empty home.
func nothingSetUp(t *testing.T) {
	home := t.TempDir()
	for _, m := range []mistake{
		{"node", "venus", []string{"chain", "head"}, render.ExitPrecondition, "not set up yet", "venus daemon"},
		{"wallet", "venus-wallet", []string{"list"}, render.ExitPrecondition, "not set up yet", "venus-wallet run"},
		{"messager", "venus-messager", []string{"wallet", "list"}, render.ExitPrecondition, "not set up yet", "venus-messager run"},
		{"sealer", "venus-sealer", []string{"info"}, render.ExitPrecondition, "not set up yet", "venus-sealer init"},
		{"sealer run", "venus-sealer", []string{"run"}, render.ExitPrecondition, "not set up yet", "venus-sealer init"},
		{"miner", "venus-miner", []string{"address", "list"}, render.ExitPrecondition, "is not initialized", "venus-miner init"},
		{"miner run", "venus-miner", []string{"run"}, render.ExitPrecondition, "is not initialized", "venus-miner init"},
		{"auth", "venus-auth", []string{"token", "list"}, render.ExitUnavailable, "no venus-auth runs", "venus-auth run"},
		{"cluster", "venus-cluster", []string{"status"}, render.ExitPrecondition, "no cluster here", "venus-cluster up"},
		{"no such node", "venus-miner", []string{"init", "--api", maddr(freePort(t)), "--token", "x"}, render.ExitUnavailable, "cannot reach", "check that the node runs"},
	} {
		m.refused(t, home)
	}
}

// badFlags are values that can be seen to be wrong at once.
func badFlags(t *testing.T) {
	home := t.TempDir()
	for _, m := range []mistake{
		{"no such network", "venus", []string{"daemon", "--network", "nosuch"}, render.ExitUsage, `network "nosuch" is unknown`, "choose one of"},
		{"no network", "venus", []string{"daemon"}, render.ExitUsage, "which network?", "--network"},
		{"network without genesis", "venus", []string{"daemon", "--network", "local"}, render.ExitPrecondition, "has no genesis here", "--genesisfile"},
		{"public network's genesis", "venus", []string{"genesis", "new", "--network", "mainnet", "--out", filepath.Join(home, "g")}, render.ExitUsage, "is public", "--genesisfile"},
		{"sealer's network", "venus-sealer", []string{"init", "--network", "nosuch"}, render.ExitUsage, `network "nosuch" is unknown`, "choose one of"},
		{"sealer's owner", "venus-sealer", []string{"init", "--network", "local", "--owner", "t3abc"}, render.ExitUsage, `"t3abc" is no address`, "--owner"},
		{"worker's tasks", "venus-worker", []string{"run", "--token", "x", "--tasks", "PC3"}, render.ExitUsage, `"PC3"`, "PC1"},
		{"messager's node", "venus-messager", []string{"run", "--node-url", "nonsense"}, render.ExitUsage, `"nonsense" is no address`, "/ip4/"},
		{"cluster's ports", "venus-cluster", []string{"up", "--port-base", "80"}, render.ExitUsage, "port base 80", "1024 to 65000"},
		{"faucet's address", "venus-cluster", []string{"faucet", "t3abc", "1"}, render.ExitUsage, `"t3abc" is no address`, "address"},
		{"permission", "venus-auth", []string{"genToken", "--perm", "root", "x"}, render.ExitUsage, "root", "one of read, write, sign, admin"},
		{"no such command", "venus-sealer", []string{"sectors", "plegde"}, render.ExitUsage, `no command "plegde"`, "--help"},
		{"no such flag", "venus", []string{"daemon", "--netwrok", "local"}, render.ExitUsage, "netwrok", "--help"},
	} {
		m.refused(t, home)
	}
}

// wrongPassword keeps a wallet locked and its keys whole.
func wrongPassword(t *testing.T) {
	home, dir := t.TempDir(), t.TempDir()
	right, wrong := filepath.Join(dir, "right"), filepath.Join(dir, "wrong")
	require.NoError(t, os.WriteFile(right, []byte("correct horse\n"), 0o600))
	require.NoError(t, os.WriteFile(wrong, []byte("battery staple\n"), 0o600))
	port := freePort(t)
	run := func(args ...string) *process {
		return shared.start(t, home, "venus-wallet", append([]string{"run", "--network", "test", "--api", fmt.Sprint(port)}, args...)...)
	}
	health := fmt.Sprintf("http://127.0.0.1:%d/livez", port)
	p := run()
	p.awaitURL(health)
	mistake{"no password yet", "venus-wallet", []string{"new", "bls"}, render.ExitPrecondition, "password", "setpwd"}.refused(t, home)
	shared.must(t, home, "venus-wallet", "setpwd", "--password-file", right)
	key := shared.must(t, home, "venus-wallet", "new", "bls")
	shared.must(t, home, "venus-wallet", "lock")
	mistake{"wrong password", "venus-wallet", []string{"unlock", "--password-file", wrong}, render.ExitAuth, "password", ""}.refused(t, home)
	mistake{"locked", "venus-wallet", []string{"new", "bls"}, render.ExitPrecondition, "locked", "venus-wallet unlock"}.refused(t, home)
	mistake{"second password", "venus-wallet", []string{"setpwd", "--password-file", wrong}, render.ExitPrecondition, "already exists", ""}.refused(t, home)
	p.stop()
	r := shared.command(t, home, "venus-wallet", "run", "--api", fmt.Sprint(port), "--password-file", wrong)
	require.NotZero(t, r.code)
	require.Contains(t, r.err, "password")
	run("--password-file", right).awaitURL(health)
	require.Equal(t, key, shared.must(t, home, "venus-wallet", "list"), "nothing is lost")
	require.Contains(t, shared.must(t, home, "venus-wallet", "export", strings.TrimSpace(key)), "7b22")
}

// badGenesis starts a node with genesis files that are none.
func badGenesis(t *testing.T, c *testCluster) {
	home, dir := t.TempDir(), t.TempDir()
	whole, err := os.ReadFile(c.net().Genesis())
	require.NoError(t, err)
	const remedy = "give the whole file"
	daemon := func(args ...string) []string {
		return append([]string{"daemon", "--api", maddr(freePort(t)), "--swarm", maddr(0)}, args...)
	}
	for name, content := range map[string][]byte{
		"cut": whole[:len(whole)/2], "cut by a byte": whole[:len(whole)-1], "cut in its header": whole[:40], "empty": {}, "text": []byte("genesis\n"),
		"a changed bit": append(append([]byte{}, whole[:len(whole)/2]...), append([]byte{whole[len(whole)/2] ^ 1}, whole[len(whole)/2+1:]...)...),
	} {
		file := filepath.Join(dir, strings.ReplaceAll(name, " ", "-")+".car")
		require.NoError(t, os.WriteFile(file, content, 0o600))
		mistake{name, "venus", daemon("--genesisfile", file), render.ExitUsage, file, remedy}.refused(t, home)
	}
	mistake{"absent", "venus", daemon("--genesisfile", filepath.Join(dir, "absent.car")), render.ExitUsage, "no such file", remedy}.refused(t, home)
	mistake{"of another network", "venus", daemon("--network", "mainnet", "--genesisfile", c.net().Genesis()), render.ExitUsage, "is of network local, not mainnet", "--network"}.refused(t, home)
	// The same home still takes the right file.
	port := freePort(t)
	p := shared.start(t, home, "venus", "daemon", "--genesisfile", c.net().Genesis(), "--api", maddr(port), "--swarm", maddr(0), "--bootstrap-peers", c.dialable(t.Context(), t))
	p.awaitURL(fmt.Sprintf("http://127.0.0.1:%d/livez", port))
	mistake{"home in use", "venus", daemon(), render.ExitPrecondition, "another process is using this directory", "--repo"}.refused(t, home)
	p.stop()
	mistake{"home of another network", "venus", daemon("--network", "nerpa"), render.ExitPrecondition, "holds network local, not nerpa", "--repo"}.refused(t, home)
}

// wrongToken is refused by every service, and a token that was taken back at
// the next call.
func wrongToken(t *testing.T, c *testCluster, st *cluster.State) {
	home := t.TempDir()
	nobody := "eyJhbGciOiJIUzI1NiJ9.eyJuYW1lIjoibm9ib2R5In0.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	sealerArgs := func(nodeToken, messagerToken string) []string {
		return []string{
			"init", "--network", c.net().Network(), "--owner", st.Faucet, "--node-url", st.Ports.NodeURL(), "--node-token", nodeToken,
			"--messager-url", st.Ports.MessagerURL(), "--messager-token", messagerToken, "--wallet-name", "testminer", "--no-local-storage",
		}
	}
	good := c.secret(t, "sealer.token")
	for _, m := range []mistake{
		{"node's token of a command", "venus", []string{"--node-url", st.Ports.NodeURL(), "--node-token", nobody, "mpool", "pending"}, render.ExitAuth, "token", ""},
		{"miner's token", "venus-miner", []string{"init", "--api", st.Ports.NodeURL(), "--token", nobody}, render.ExitAuth, "token", ""},
		{"sealer's token for the node", "venus-sealer", sealerArgs(nobody, good), render.ExitAuth, "token", ""},
		{"sealer's token for the messager", "venus-sealer", sealerArgs(good, nobody), render.ExitAuth, "token", ""},
	} {
		m.refused(t, home)
	}
	auth := []string{"--repo", c.layout.Home(cluster.Auth)}
	token := strings.TrimSpace(shared.must(t, home, "venus-auth", append(auth, "genToken", "--perm", "write", "passing")...))
	ask := []string{"--node-url", st.Ports.NodeURL(), "--node-token", token, "mpool", "pending"}
	shared.must(t, home, "venus", ask...)
	shared.must(t, home, "venus-auth", append(auth, "token", "remove", "passing")...)
	// Services believe a good answer of venus-auth for a second.
	eventually(t, 3*time.Second, "the token is refused", func() error {
		if r := shared.command(t, home, "venus", ask...); r.code != render.ExitAuth {
			return fmt.Errorf("exit code %d: %s", r.code, r.all())
		}
		return nil
	})
	reader := strings.TrimSpace(shared.must(t, home, "venus-auth", append(auth, "genToken", "--perm", "read", "reader")...))
	mistake{"too weak a token", "venus", []string{"--node-url", st.Ports.NodeURL(), "--node-token", reader, "sync", "mark-bad", "bafkqaaa"}, render.ExitAuth, "permission", ""}.refused(t, home)
}

// wrongNetworkOrAddress are values that only a living cluster can judge.
func wrongNetworkOrAddress(t *testing.T, c *testCluster, st *cluster.State) {
	home := t.TempDir()
	token := c.secret(t, "sealer.token")
	init := func(network string, args ...string) []string {
		return append([]string{
			"init", "--network", network, "--node-url", st.Ports.NodeURL(), "--node-token", token,
			"--messager-url", st.Ports.MessagerURL(), "--messager-token", token, "--wallet-name", "testminer", "--no-local-storage",
		}, args...)
	}
	local := c.net().Network()
	// An address that nobody has the key of: that of a fresh wallet elsewhere.
	stranger := "t1s3of6fkrisog5pywyezhplcs2ciazl5hdofmoqi"
	for _, m := range []mistake{
		{"another network", "venus-sealer", init("nerpa", "--owner", st.Faucet), render.ExitUsage, `the node serves network "local"`, "--network"},
		{"no key of the owner", "venus-sealer", init(local, "--owner", stranger), render.ExitPrecondition, "finds no key", "venus-wallet new"},
		{"no such wallet", "venus-sealer", append(init(local, "--owner", st.Faucet), "--wallet-name", "nobody"), render.ExitPrecondition, `"nobody"`, "venus-messager wallet list"},
		{"no such miner", "venus-sealer", init(local, "--actor", "t0999999"), render.ExitNotFound, "t0999999", ""},
		{"size that the network has not", "venus-sealer", init(local, "--owner", st.Faucet, "--sector-size", "32GiB"), render.ExitUsage, "sector", "--sector-size"},
		{
			"no such miner to mine for", "venus-miner", []string{
				"--repo", c.layout.Home(cluster.Miner), "address", "add", "--addr", "t0999999", "--sealer-listen-api", cluster.SealerURL(st.Ports.GenesisSealer),
				"--sealer-token", "@" + filepath.Join(c.layout.Home(cluster.GenesisSealer), "token"),
				"--wallet-listen-api", st.Ports.WalletURL(), "--wallet-token", "@" + c.layout.Secret("wallet.token"),
			}, render.ExitNotFound, "t0999999", "",
		},
	} {
		m.refused(t, home)
	}
	_, err := os.Stat(filepath.Join(home, ".venussealer", "config.toml"))
	require.ErrorIs(t, err, os.ErrNotExist, "a refused init leaves no half of a configuration")
}

// portTaken starts each service on a port that another program has.
func portTaken(t *testing.T, c *testCluster, st *cluster.State) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port
	home := t.TempDir()
	shared.must(t, home, "venus-miner", "init", "--api", st.Ports.NodeURL(), "--token", "@"+c.layout.Secret("miner.token"))
	shared.must(t, home, "venus-sealer", "init", "--actor", st.GenesisMiner, "--network", c.net().Network(), "--node-url", st.Ports.NodeURL(),
		"--node-token", c.secret(t, "sealer.token"), "--messager-url", st.Ports.MessagerURL(), "--messager-token", c.secret(t, "sealer.token"),
		"--wallet-name", "testminer", "--no-local-storage")
	const cause = "address already in use"
	for _, m := range []mistake{
		{"node", "venus", []string{"daemon", "--genesisfile", c.net().Genesis(), "--api", maddr(port), "--swarm", maddr(0)}, render.ExitPrecondition, cause, "--api"},
		{"auth", "venus-auth", []string{"--listen", fmt.Sprintf("127.0.0.1:%d", port), "run"}, render.ExitPrecondition, "another program does", "--listen"},
		{"wallet", "venus-wallet", []string{"run", "--network", "test", "--api", fmt.Sprint(port)}, render.ExitPrecondition, cause, "--api"},
		{"messager", "venus-messager", []string{"run", "--node-url", st.Ports.NodeURL(), "--node-token-file", c.layout.Secret("messager.token"), "--listen", maddr(port)}, render.ExitPrecondition, cause, "--listen"},
		{"sealer", "venus-sealer", []string{"run", "--miner-api", fmt.Sprint(port)}, render.ExitPrecondition, cause, "--miner-api"},
		{"miner", "venus-miner", []string{"run", "--miner-api", maddr(port) + "/http"}, render.ExitPrecondition, cause, "--miner-api"},
		{"beacon", "venus", []string{"beacon", "run", "--dir", c.layout.Net(), "--listen", fmt.Sprintf("127.0.0.1:%d", port)}, render.ExitPrecondition, cause, "--listen"},
	} {
		t.Run(m.name, func(t *testing.T) { m.refused(t, home) })
	}
}

// anotherGenesis lets a node of another private network meet ours: it says why
// it learns nothing, and keeps its own chain.
func anotherGenesis(t *testing.T, c *testCluster) {
	home := t.TempDir()
	out := filepath.Join(home, "network")
	shared.must(t, home, "venus", "genesis", "new", "--network", "local", "--out", out, "--sectors", "1", "--beacon-url", fmt.Sprintf("http://127.0.0.1:%d", freePort(t)))
	n := joinBy(t, filepath.Join(out, "genesis.car"), c.dialable(t.Context(), t))
	eventually(t, time.Minute, "the node says why the peer is none", func() error {
		log := tailOf(n.proc.log, 100)
		for _, part := range []string{"peer is of another network", "their genesis", "ours"} {
			if !strings.Contains(log, part) {
				return fmt.Errorf("no %q in its log:\n%s", part, log)
			}
		}
		return nil
	})
	require.Zero(t, headOf(t, n.api).Height())
	peers, err := n.api.NetPeers(t.Context())
	require.NoError(t, err)
	t.Logf("%d peers left", len(peers))
}

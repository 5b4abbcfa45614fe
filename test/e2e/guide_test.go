package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/cluster"
	"github.com/filecoin-venus/venus/internal/mariadb"
)

// The guide's commands, as it writes them, in its order.
const (
	startAuth     = `nohup ./venus-auth > auth.log 2>&1 &`
	genMiner      = `./venus-auth genToken --perm admin miner`
	genMessager   = `./venus-auth genToken --perm admin messager`
	genSealer     = `./venus-auth genToken --perm admin sealer`
	startVenus    = "nohup ./venus daemon --network nerpa \\\n--authURL http://<IP1>:8989 \\\n> venus.log 2>&1 &"
	restartVenus  = startVenus + " <absolute path>"
	startWallet   = `nohup ./venus-wallet run  --network test> wallet.log 2>&1 &`
	setPassword   = `./venus-wallet setpwd`
	newBLS        = `./venus-wallet new bls`
	walletToken   = `./venus-wallet auth api-info --perm admin`
	startMessager = "nohup ./venus-messager run \\\n--auth-url=http://<IP1>:8989 \\\n--node-url /ip4/<IP3>/tcp/3453 \\\n--node-token <auth token messager> \\\n" +
		"--db-type mysql \\\n" + mysqlFlag + " \\\n> msg.log 2>&1 &"
	mysqlFlag   = `--mysql-dsn "root:111111@tcp(127.0.0.1:3306)/cali_venus?parseTime=true&loc=Local&readTimeout=10s&writeTimeout=10s"`
	addWallet   = "./venus-messager wallet add \\\n--name testminer --url /ip4/<IP2>/tcp/5678/http \\\n--token <wallet jwt token>"
	listWallets = `./venus-messager wallet list`
	initNew     = "nohup ./venus-sealer init \\\n--worker <bls address 1> \\\n--owner <bls address 2>  \\\n--sector-size 512M \\\n--network nerpa \\\n" + initRest
	initOld     = "nohup ./venus-sealer init \\\n--actor <t0 addr>  \\\n--network nerpa \\\n" + initRest
	initRest    = "--node-url /ip4/<IP3>/tcp/3453 \\\n--node-token <auth token sealer> \\\n--messager-url http://<IP4>:39812/rpc/v0 \\\n" +
		"--no-local-storage \\\n--messager-token <auth token sealer> \\\n--wallet-name testminer \\\n> sealer.log 2>&1 &"
	attach       = `./venus-sealer storage attach --init --store --seal <absolute path>`
	startSealer  = `nohup ./venus-sealer run >> sealer.log 2>&1 &`
	pledge       = `./venus-sealer sectors pledge`
	listSectors  = `./venus-sealer sectors list`
	sealerInfo   = `./venus-sealer info`
	initMiner    = `./venus-miner init --api /ip4/<IP3>/tcp/3453 --token <auth token miner>`
	startMiner   = `nohup ./venus-miner run >>miner.log 2>& 1 &`
	addMiner     = "./venus-miner address add \\\n--addr <t0 addr> \\\n--sealer-listen-api /ip4/<IP6>/tcp/2345/http \\\n--sealer-token <sealer jwt token> \\\n" + addMinerRest
	addMinerRest = "--wallet-listen-api /ip4/<IP2>/tcp/5678/http \\\n--wallet-token <wallet jwt token>"
	minerState   = `./venus-miner address state`
	mineAgain    = `./venus-miner address start <t0 addr>`
	listMiners   = `./venus-miner address list`
)

// walletPassword is the one that the guide has people think of.
const walletPassword = "canary correct horse"

// guideWalk is one walk through the guide.
type guideWalk struct {
	*reader
	cluster *testCluster
	state   *cluster.State
	ports   cluster.Ports
	sealer  *daemon
	// dsn is the messager's database, "" where there is no MySQL: then it is SQLite.
	dsn    string
	influx *influxServer
	// sectorSize is that of the new miner, as people read it.
	sectorSize string
}

// TestGuide follows the deployment guide from its first command to its last. The
// network it joins is that of the shared cluster, whose faucet it asks for money.
func TestGuide(t *testing.T) {
	t.Parallel()
	c, st := living(t)
	g := &guideWalk{reader: newReader(t, shared, t.TempDir()), cluster: c, state: st}
	g.choosePorts()
	for _, step := range []struct {
		name string
		walk func(t *testing.T)
	}{
		{"1 venus-auth", g.auth}, {"2 venus", g.venus}, {"3 venus-wallet", g.wallet}, {"4 venus-messager", g.messager},
		{"5 venus-sealer init", g.initSealer}, {"5 venus-sealer run", g.runSealer}, {"6 venus-miner", g.miner}, {"5 venus-sealer, existing miner", g.existing},
	} {
		// The programs of a step live on in the next ones: no subtests.
		began := time.Now()
		step.walk(t)
		t.Logf("%s: %s", step.name, time.Since(began).Round(100*time.Millisecond))
	}
	g.compareWithGuide(t)
	g.secretsStayInside(t)
}

// choosePorts takes the guide's ports, or others where they are taken.
func (g *guideWalk) choosePorts() {
	var err error
	g.ports, err = cluster.PortsFrom(0)
	require.NoError(g.t, err)
	for from, to := range map[string]string{
		"<IP1>": "127.0.0.1", "<IP2>": "127.0.0.1", "<IP3>": "127.0.0.1", "<IP4>": "127.0.0.1", "<IP6>": "127.0.0.1",
		"--network nerpa": "--network local", "--sector-size 512M": "--sector-size 2KiB", "& <absolute path>": "&",
	} {
		g.fill[from] = to
	}
	g.sectorSize = "2 KiB"
	if os.Getenv(nerpaEnv) != "" {
		g.fill["--network nerpa"] = "--network " + g.cluster.net().Network()
		delete(g.fill, "--sector-size 512M")
		g.sectorSize = "512 MiB"
	}
	if g.dsn, err = mariadb.TryDatabase(g.t); err == nil {
		g.fill[mysqlFlag] = "--mysql-dsn '" + g.dsn + "'"
	} else {
		g.t.Log(err)
		g.fill["--db-type mysql"], g.fill[mysqlFlag] = "--db-type sqlite", ""
	}
	for port, where := range map[*int]struct{ command, flag string }{
		&g.ports.Auth: {"./venus-auth >", "./venus-auth --listen 127.0.0.1:%d >"}, &g.ports.Node: {},
		&g.ports.Wallet: {"--network test>", "--network test --api %d >"}, &g.ports.Messager: {"./venus-messager run", "./venus-messager run --listen /ip4/127.0.0.1/tcp/%d"},
		&g.ports.Sealer: {"./venus-sealer run", "./venus-sealer run --miner-api %d"}, &g.ports.Miner: {"./venus-miner init", "./venus-miner init --listen /ip4/127.0.0.1/tcp/%d/http"},
	} {
		if isFree(*port) {
			continue
		}
		other := freePort(g.t)
		g.t.Logf("port %d is taken, %d stands for it", *port, other)
		for _, form := range []string{":%d", "/tcp/%d"} {
			g.fill[fmt.Sprintf(form, *port)] = fmt.Sprintf(form, other)
		}
		if where.command != "" {
			g.fill[where.command] = fmt.Sprintf(where.flag, other)
		}
		*port = other
	}
}

var tokenLine = regexp.MustCompile(`^[\w-]+\.[\w-]+\.[\w-]+\n$`)

func (g *guideWalk) auth(t *testing.T) {
	health := fmt.Sprintf("http://127.0.0.1:%d/healthz", g.ports.Auth)
	d := g.starts(startAuth)
	d.answers(health)
	// The optional part: MySQL without saying where it is is refused with a reason, and
	// nothing is lost by trying.
	config := filepath.Join(g.home, ".venus-auth", "config.toml")
	text, err := os.ReadFile(config)
	require.NoError(t, err)
	require.Regexp(t, `(?m)^# .*\n(.*\n)*\[db\]\n(#.*\n)*type = "badger"`, string(text), "the configuration explains itself")
	d.kill()
	require.NoError(t, os.WriteFile(config, []byte(strings.Replace(string(text), `"badger"`, `"mysql"`, 1)), 0o600))
	d = g.background(g.filled(startAuth))
	require.Contains(t, d.ends(time.Minute), "DSN is missing")
	// The other optional part: the log goes to InfluxDB.
	g.influx = newInflux(t)
	require.NoError(t, os.WriteFile(config, []byte(g.influx.configured(string(text))), 0o600))
	g.starts(startAuth).answers(health)
	for command, name := range map[string]string{genMiner: "miner", genMessager: "messager", genSealer: "sealer"} {
		g.fill["<auth token "+name+">"] = g.token(t, command)
	}
}

// token runs a command that prints a token and nothing else.
func (g *guideWalk) token(t *testing.T, command string) string {
	t.Helper()
	out := g.gets(command)
	require.Regexp(t, tokenLine, out, "the token alone on standard output")
	return strings.TrimSpace(out)
}

func (g *guideWalk) venus(t *testing.T) {
	// A private network has no genesis built in, and the program says what to do.
	ended := g.starts(startVenus).ends(time.Minute)
	require.Contains(t, ended, "--genesisfile")
	peer := g.cluster.dialable(t.Context(), t)
	first := strings.Replace(startVenus, "> venus.log", fmt.Sprintf("--genesisfile %s --bootstrap-peers %s > venus.log", g.cluster.net().Genesis(), peer), 1)
	health := fmt.Sprintf("http://127.0.0.1:%d/livez", g.ports.Node)
	if g.fill["/tcp/3453"] != "" { // the guide's port is taken
		g.editNode(t, peer)
	}
	d := g.background(g.filled(first))
	d.answers(health)
	d.kill()
	// "Modify IPv4 listening address": from now on nothing but the guide's flags.
	g.editNode(t, peer)
	d = g.starts(restartVenus)
	d.answers(health)
	eventually(t, time.Minute, "the node follows the chain", func() error {
		got := g.shell("./venus sync status --json")
		var s struct {
			Status struct {
				SyncStatus struct{ Epoch, Behind uint64 }
			}
		}
		if err := json.Unmarshal([]byte(got.out), &s); err != nil {
			return fmt.Errorf("%w: %s", err, got.all())
		}
		if sync := s.Status.SyncStatus; sync.Epoch == 0 || sync.Behind > 5 {
			return fmt.Errorf("epoch %d, %d behind", sync.Epoch, sync.Behind)
		}
		return nil
	})
}

// editNode changes ~/.venus/config.json as the guide says, and names a peer.
func (g *guideWalk) editNode(t *testing.T, peer string) {
	t.Helper()
	path := filepath.Join(g.home, ".venus", "config.json")
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	var config map[string]map[string]any
	require.NoError(t, json.Unmarshal(text, &config))
	config["api"]["apiAddress"] = fmt.Sprintf("/ip4/0.0.0.0/tcp/%d", g.ports.Node)
	config["bootstrap"]["addresses"] = []string{peer}
	text, err = json.MarshalIndent(config, "", "\t")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, text, 0o600))
}

var blsAddress = regexp.MustCompile(`^[tf]3[a-z2-7]{84}\n$`)

func (g *guideWalk) wallet(t *testing.T) {
	g.starts(startWallet).answers(fmt.Sprintf("http://127.0.0.1:%d/livez", g.ports.Wallet))
	shown := g.dialogue(setPassword, [2]string{"Password:", walletPassword}, [2]string{"Enter Password again:", walletPassword})
	require.Contains(t, shown, strings.Repeat("*", len(walletPassword)))
	require.NotContains(t, shown, walletPassword)
	require.Contains(t, shown, "Password set successfully")
	for i := range 2 {
		out := g.gets(newBLS)
		require.Regexp(t, blsAddress, out, "the address alone on standard output, 86 characters")
		g.fill[fmt.Sprintf("<bls address %d>", i+1)] = strings.TrimSpace(out)
	}
	out := g.gets(walletToken)
	require.Regexp(t, fmt.Sprintf(`^[\w-]+\.[\w-]+\.[\w-]+:/ip4/127\.0\.0\.1/tcp/%d/http\n$`, g.ports.Wallet), out)
	token, _, _ := strings.Cut(out, ":")
	g.fill["<wallet jwt token>"] = token
	for _, a := range []string{"<bls address 1>", "<bls address 2>"} {
		g.cluster.fund(t, g.fill[a], 1000)
	}
}

func (g *guideWalk) messager(t *testing.T) {
	g.starts(startMessager).answers(fmt.Sprintf("http://127.0.0.1:%d/livez", g.ports.Messager))
	g.gets(addWallet)
	eventually(t, time.Minute, "the messager knows the wallet's addresses", func() error {
		out := g.gets(listWallets)
		if !regexp.MustCompile(`(?m)^testminer\s+/ip4/127\.0\.0\.1/tcp/\d+/http\s+Alive\s+2$`).MatchString(out) {
			return fmt.Errorf("%s", out)
		}
		return nil
	})
}

// logStart begins each line of the guide's log: time, level, system, source.
const logStart = `\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}(?:Z|[+-]\d{4})\tINFO\tmain\t[\w./-]+\.go:\d+\t`

// initLog are the guide's lines of `venus-sealer init`.
var initLog = []string{
	`Checking if repo exists`, `Checking full node version`, `Initializing repo`, `Initializing libp2p identity`,
	`Pushed CreateMiner message: [0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`, `Waiting for confirmation`,
	`New miners address is: (t0\d+) \((t2[a-z2-7]{39})\)`, `Created new miner: (t0\d+)`,
	`Sealer successfully created, you can now start it with 'venus-sealer run'`,
}

// linesInOrder checks that a log has the lines in their order, and returns what
// their groups matched.
func linesInOrder(t *testing.T, log string, lines []string) (groups []string) {
	t.Helper()
	rest := log
	for _, l := range lines {
		m := regexp.MustCompile(`(?m)^` + logStart + l + `$`).FindStringSubmatchIndex(rest)
		require.NotNil(t, m, "no line %q in what follows in the log:\n%s", l, rest)
		for i := 2; i < len(m); i += 2 {
			groups = append(groups, rest[m[i]:m[i+1]])
		}
		rest = rest[m[1]:]
	}
	return groups
}

func (g *guideWalk) initSealer(t *testing.T) {
	log := g.starts(initNew).ends(patient(2 * time.Minute))
	found := linesInOrder(t, log, initLog)
	require.Equal(t, found[0], found[2])
	for _, name := range []string{"<auth token sealer>", "<auth token messager>"} {
		require.NotContains(t, log, g.fill[name], "tokens are not logged")
	}
	g.fill["<t0 addr>"] = found[0]
}

// infoForm is `venus-sealer info` as the guide prints it, before the first
// WindowPoSt of the miner.
func infoForm(miner, sectorSize string) []string {
	const fil = `(?:0|\d+(?:\.\d+)? [afpnμm]?FIL)`
	return []string{
		`Chain: \[sync (?:ok|slow \(\S+ behind\))\] \[basefee ` + fil + `\]`, `Sealer: ` + miner + ` \(` + sectorSize + ` sectors\)`,
		`Power: 0  / \d+(?:\.\d+)? [KMGT]i \(0\.0000%\)`, `\tRaw: 0 B / \d+(?:\.\d+)? [KMGT]iB \(0\.0000%\)`, `\tCommitted: ` + sectorSize, `\tProving: 0 B`,
		`Below minimum power threshold, no blocks will be won`,
		`Sealer Balance:    ` + fil, `      PreCommit:  ` + fil, `      Pledge:     ` + fil, `      Vesting:    ` + fil, `      Available:  ` + fil,
		`Market Balance:   ` + fil, `       Locked:    ` + fil, `       Available: ` + fil, `Worker Balance:   ` + fil, `Total Spendable:  ` + fil,
	}
}

func (g *guideWalk) runSealer(t *testing.T) {
	sectors := filepath.Join(g.home, "sectors")
	require.NoError(t, os.MkdirAll(sectors, 0o700))
	attachTo := strings.Replace(attach, "<absolute path>", sectors, 1)
	g.typed = append(g.typed, plain(attach))
	got := g.shell(attachTo)
	require.Zero(t, got.code, got.all())
	g.sealer = g.starts(startSealer)
	g.sealer.answers(fmt.Sprintf("http://127.0.0.1:%d/readyz", g.ports.Sealer))
	require.Regexp(t, `^Created CC sector:  \d+\n$`, g.gets(pledge))
	// Active once its first WindowPoSt has given it power.
	row := regexp.MustCompile(`(?m)^\d+\s+Proving\s+YES\s+(?:YES|NO)\s+\d+ \(in .+\)\s+CC$`)
	var out string
	eventually(t, patient(3*time.Minute), "the sector proves", func() error {
		out = g.shell(g.filled(listSectors)).out
		if !row.MatchString(out) {
			return fmt.Errorf("%s", out)
		}
		return nil
	})
	require.Regexp(t, `^ID\s+State\s+OnChain\s+Active\s+Expiration\s+Deals\s+Error\n`, g.gets(listSectors))
	form := infoForm(g.fill["<t0 addr>"], g.sectorSize)
	inStep := regexp.MustCompile(`^` + form[0] + `$`)
	var lines []string
	g.typed = append(g.typed, plain(sealerInfo))
	// Sealing on the same cores may have kept the chain from its pace.
	eventually(t, patient(30*time.Second), "the chain keeps up", func() error {
		lines = strings.Split(strings.TrimRight(g.shell(g.filled(sealerInfo)).out, "\n"), "\n")
		if !inStep.MatchString(lines[0]) {
			return fmt.Errorf("%s", lines[0])
		}
		return nil
	})
	require.GreaterOrEqual(t, len(lines), len(form))
	for i, want := range form {
		require.Regexp(t, `^`+want+`$`, lines[i])
	}
	require.Equal(t, []string{"", "Sectors:", "\tTotal: 1", "\tProving: 1"}, lines[len(form):])
}

func (g *guideWalk) miner(t *testing.T) {
	miner := g.fill["<t0 addr>"]
	g.gets(initMiner)
	d := g.starts(startMiner)
	d.answers(fmt.Sprintf("http://127.0.0.1:%d/livez", g.ports.Miner))
	token, err := os.ReadFile(filepath.Join(g.home, ".venussealer", "token"))
	require.NoError(t, err)
	g.fill["<sealer jwt token>"] = strings.TrimSpace(string(token))
	out := g.gets(addMiner)
	require.Regexp(t, `^add miner:  \{`+miner+` \{.*\}\}\n$`, out)

	// A miner whose power is not proven yet cannot win, and says so in Err.
	state := func(mining bool) string {
		return fmt.Sprintf(`^\[\n\t\{\n\t\t"Addr": "%s",\n\t\t"IsMining": %v,\n\t\t"Err": "(epoch \d+: no power yet[^"]*)?"\n\t\}\n\]\n$`, miner, mining)
	}
	require.Regexp(t, state(true), g.gets(minerState))
	stopped := g.shell("./venus-miner address stop " + miner)
	require.Zero(t, stopped.code, stopped.all())
	require.Regexp(t, state(false), g.shell(g.filled(minerState)).out)
	g.gets(mineAgain)
	require.Regexp(t, state(true), g.gets(minerState))
	list := g.gets(listMiners)
	var miners []struct {
		Addr           string
		IsMining       bool
		Sealer, Wallet struct {
			ListenAPI string
			HasToken  bool
		}
	}
	require.NoError(t, json.Unmarshal([]byte(list), &miners), list)
	require.Len(t, miners, 1)
	require.Equal(t, miner, miners[0].Addr)
	require.True(t, miners[0].IsMining && miners[0].Sealer.HasToken && miners[0].Wallet.HasToken)
	log, err := os.ReadFile(d.log)
	require.NoError(t, err)
	for _, name := range []string{"<sealer jwt token>", "<wallet jwt token>", "<auth token miner>"} {
		require.NotContains(t, out+list+string(log), g.fill[name], "tokens are never printed")
	}
}

// otherHome is the folder in the reader's home that is the home of a second sealer.
const otherHome = "other"

// existing is the guide's other way to set a sealer up, in a home of its own.
func (g *guideWalk) existing(t *testing.T) {
	home := filepath.Join(g.home, otherHome)
	require.NoError(t, os.MkdirAll(home, 0o700))
	other := newReader(t, shared, home)
	other.fill = g.fill
	log := other.starts(initOld).ends(patient(time.Minute))
	g.typed = append(g.typed, other.typed...)
	linesInOrder(t, log, append(append([]string{}, initLog[:4]...), initLog[len(initLog)-1]))
	config, err := os.ReadFile(filepath.Join(home, ".venussealer", "config.toml"))
	require.NoError(t, err)
	require.Contains(t, string(config), "testminer")
}

// compareWithGuide checks, where the guide is at hand, that each of its
// commands was typed as it is written there.
func (g *guideWalk) compareWithGuide(t *testing.T) {
	typed := map[string]bool{}
	for _, c := range g.typed {
		typed[c] = true
	}
	path, ok := shared.sharedPath("guide", "deployment.md")
	if !ok {
		t.Logf("the guide is not at %s: nothing to compare the %d typed commands with", path, len(typed))
		return
	}
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	commands := commandsOf(string(text))
	require.GreaterOrEqual(t, len(commands), 27, "the guide's commands: %q", commands)
	for _, c := range commands {
		require.True(t, typed[c], "the guide's command was not typed: %s", c)
	}
	t.Logf("typed all %d commands of the guide", len(commands))
}

// The guide's `make`, `make deps` and `make nerpanet` are targets of ours.
func TestGuideBuilds(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("make"); err != nil {
		t.Skip("make is not installed here")
	}
	for _, target := range []string{"", "deps", "nerpanet"} {
		args := []string{"-n", "-C", shared.root}
		if target != "" {
			args = append(args, target)
		}
		r := finish(t, exec.CommandContext(t.Context(), "make", args...))
		require.Zero(t, r.code, r.all())
		require.Regexp(t, `go (build|mod download)`, r.out)
	}
}

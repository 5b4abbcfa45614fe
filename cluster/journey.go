package cluster

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/filecoin-project/go-address"

	"github.com/filecoin-venus/venus/genesis/devnet"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/internal/fsutil"
	"github.com/filecoin-venus/venus/params"
)

// Reporter hears of the steps of a journey.
type Reporter interface {
	Start(step string)
	// Done ends the current step; took is how long it worked.
	Done(took time.Duration)
}

// Journey makes and starts a cluster.
type Journey struct {
	Layout Layout
	// Bin is the folder of the programs, Self this program.
	Bin, Self string
	// Ports for a new cluster; one that exists keeps its own.
	Ports Ports
	// Network whose parameters a new network gets; "" means local.
	Network string
	// BlockDelay of a new network; 0 means the network's own.
	BlockDelay time.Duration
	Clock      clock.Clock
	Report     Reporter

	state *State
	ctl   Control
}

// walletName is the guide's name for the wallet in the messager.
const walletName = "testminer"

// step is a part of the journey. Work that must not be done twice is skipped
// when it is recorded; every run of a step that starts programs is harmless.
type step struct {
	name, title string
	// always runs the step also when it is recorded: it only starts programs.
	always bool
	work   func(ctx context.Context) error
}

func (j *Journey) steps() []step {
	return []step{
		{"network", "make the private network", false, j.makeNetwork},
		{"supervisor", "start the supervisor", true, func(ctx context.Context) error { return j.ctl.Launch(ctx, j.Self, j.Clock) }},
		{"auth", "start venus-auth", true, j.start(Auth)},
		{"tokens", "register the programs' tokens", false, j.makeTokens},
		{"wallet", "start venus-wallet", true, j.startWallet},
		{"keys", "import and make keys", false, j.makeKeys},
		{"node", "start the beacon and venus", true, j.start(Beacon, Node)},
		{"messager", "start venus-messager", true, j.start(Messager)},
		{"wallet-link", "link the wallet to the messager", false, j.linkWallet},
		{"genesis-sealer", "set up the first miner's sealer", false, j.initGenesisSealer},
		{"genesis-sealer-run", "start the first miner's sealer", true, j.start(GenesisSealer)},
		{"miner", "set up venus-miner", false, j.initMiner},
		{"miner-run", "start venus-miner", true, j.start(Miner)},
		{"mine-genesis", "let the first miner mine", false, j.mineGenesis},
		{"first-block", "wait for blocks", true, j.waitForBlocks},
		{"funds", "fund the new miner's owner and worker", false, j.fund},
		{"create-miner", "create the new miner", false, j.createMiner},
		{"storage", "attach the new miner's storage", false, j.attachStorage},
		{"sealer-run", "start the new miner's sealer and worker", true, j.start(Sealer, Worker)},
		{"mine-new", "let the new miner mine", false, j.mineNew},
		{"pledge", "pledge a sector", false, j.pledge},
		{"proving", "seal, prove and commit it", false, j.waitForProving},
	}
}

// Run does what is left of the journey and returns with the programs running.
func (j *Journey) Run(ctx context.Context) (*State, error) {
	j.ctl = Control{j.Layout}
	if err := j.Layout.make(); err != nil {
		return nil, err
	}
	st, err := LoadState(j.Layout)
	if errors.Is(err, ErrNoCluster) {
		st = &State{Ports: j.Ports, Done: map[string]float64{}}
		err = st.save(j.Layout)
	}
	if err != nil {
		return nil, err
	}
	j.state = st
	for _, s := range j.steps() {
		if _, done := st.Done[s.name]; done && !s.always {
			continue
		}
		j.Report.Start(s.title)
		began := j.Clock.Now()
		if err := s.work(ctx); err != nil {
			return nil, fmt.Errorf("%s: %w", s.title, err)
		}
		took := j.Clock.Now().Sub(began)
		if _, done := st.Done[s.name]; !done {
			st.Done[s.name] = took.Seconds()
		}
		if err := st.save(j.Layout); err != nil {
			return nil, err
		}
		j.Report.Done(took)
	}
	return st, nil
}

// start runs programs one after the other, each once the one before answers.
func (j *Journey) start(names ...string) func(context.Context) error {
	return func(ctx context.Context) error {
		for _, n := range names {
			if err := j.ctl.Start(ctx, n); err != nil {
				return err
			}
			if err := j.await(ctx, n); err != nil {
				return err
			}
		}
		return nil
	}
}

// startPatience is how long a program may take to answer.
const startPatience = 60 * time.Second

func (j *Journey) await(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	for {
		list, err := j.ctl.Status(ctx)
		if err != nil {
			return err
		}
		st := find(list, name)
		if st.Phase == Healthy {
			return nil
		}
		if st.Restarts >= 3 {
			return fmt.Errorf("%s does not stay up (%s): %s\n%s", name, st.LastExit, st.Log, tail(st.Log, 5))
		}
		if j.Clock.Sleep(ctx, 50*time.Millisecond) != nil {
			return fmt.Errorf("%s does not answer within %s (%s); see %s\n%s", name, startPatience, st.Health, st.Log, tail(st.Log, 5))
		}
	}
}

func find(list []Status, name string) Status {
	for _, s := range list {
		if s.Name == name {
			return s
		}
	}
	return Status{Name: name, Phase: Stopped}
}

// tail returns the last lines of a file, for error messages.
func tail(path string, lines int) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	all := strings.Split(strings.TrimRight(string(b), "\n"), "\n")
	return strings.Join(all[max(len(all)-lines, 0):], "\n")
}

// run runs a program's command to its end and returns its output.
func (j *Journey) run(ctx context.Context, program string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(j.Bin, program), args...)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil {
		why := strings.TrimSpace(errOut.String())
		if why == "" {
			why = err.Error()
		}
		return "", fmt.Errorf("%s %s: %s", program, strings.Join(args, " "), why)
	}
	return strings.TrimSpace(out.String()), nil
}

func (j *Journey) net() devnet.Layout { return devnet.Layout{Dir: j.Layout.Net()} }

// quickSector is up to which size sectors are sealed in no time: of larger ones the network starts with one.
const quickSector = 8 << 20

func (j *Journey) makeNetwork(ctx context.Context) error {
	if _, err := os.Stat(j.net().Genesis()); err == nil {
		return nil // made by a run that was interrupted before it could record it
	}
	args := []string{"genesis", "new", "--network", cmp.Or(j.Network, "local"), "--out", j.Layout.Net(), "--beacon-url", httpURL(j.state.Ports.Beacon)}
	if n, err := params.ByName(cmp.Or(j.Network, "local")); err == nil && n.SectorSizes[0] > quickSector {
		args = append(args, "--sectors", "1")
	}
	if j.BlockDelay != 0 {
		args = append(args, "--block-delay", j.BlockDelay.String())
	}
	_, err := j.run(ctx, "venus", args...)
	return err
}

func (j *Journey) makeTokens(ctx context.Context) error {
	for _, name := range []string{"messager", "sealer", "miner", "cluster"} {
		path := j.Layout.Secret(name + ".token")
		if _, err := os.Stat(path); err == nil {
			continue
		}
		token, err := j.run(ctx, "venus-auth", "--repo", j.Layout.Home(Auth), "genToken", "--perm", "admin", name)
		if err != nil {
			return err
		}
		if err := fsutil.WriteFileAtomic(path, []byte(token+"\n"), 0o600); err != nil {
			return err
		}
	}
	return nil
}

func (j *Journey) startWallet(ctx context.Context) error {
	path := j.Layout.Secret("wallet.password")
	if _, err := os.Stat(path); err != nil {
		b := make([]byte, 16)
		if _, err := rand.Read(b); err != nil {
			return fmt.Errorf("read randomness: %w", err)
		}
		if err := fsutil.WriteFileAtomic(path, []byte(hex.EncodeToString(b)+"\n"), 0o600); err != nil {
			return err
		}
	}
	return j.start(Wallet)(ctx)
}

func (j *Journey) wallet(ctx context.Context, args ...string) (string, error) {
	return j.run(ctx, "venus-wallet", append([]string{"--repo", j.Layout.Home(Wallet)}, args...)...)
}

func (j *Journey) makeKeys(ctx context.Context) error {
	_, err := j.wallet(ctx, "setpwd", "--password-file", j.Layout.Secret("wallet.password"))
	if err != nil && !strings.Contains(err.Error(), "already exists") {
		return err
	}
	genesisMiner, err := address.NewIDAddress(1000)
	if err != nil {
		return err
	}
	j.state.GenesisMiner = "t01000"
	for _, k := range []struct {
		file string
		into *string
	}{{j.net().MinerKey(genesisMiner), new(string)}, {j.net().FaucetKey(), &j.state.Faucet}} {
		out, err := j.wallet(ctx, "import", k.file)
		if err != nil {
			return err
		}
		if a := firstAddress.FindString(out); a != "" {
			*k.into = a
		}
	}
	for _, into := range []*string{&j.state.Worker, &j.state.Owner} {
		if *into != "" {
			continue
		}
		out, err := j.wallet(ctx, "new", "bls")
		if err != nil {
			return err
		}
		*into = firstAddress.FindString(out)
		if err := j.state.save(j.Layout); err != nil {
			return err
		}
	}
	info, err := j.wallet(ctx, "auth", "api-info", "--perm", "admin")
	if err != nil {
		return err
	}
	token, _, _ := strings.Cut(info, ":")
	return fsutil.WriteFileAtomic(j.Layout.Secret("wallet.token"), []byte(token+"\n"), 0o600)
}

// firstAddress finds an address in a program's output.
var firstAddress = regexp.MustCompile(`\b[tf][0-3][a-z0-9]+\b`)

func (j *Journey) linkWallet(ctx context.Context) error {
	_, err := j.run(ctx, "venus-messager", "--repo", j.Layout.Home(Messager), "wallet", "add",
		"--name", walletName, "--url", j.state.Ports.WalletURL(), "--token-file", j.Layout.Secret("wallet.token"))
	if err != nil && strings.Contains(err.Error(), "exist") {
		return nil
	}
	return err
}

// sealerInit are the arguments that both forms of the guide's init share.
func (j *Journey) sealerInit(home string, args ...string) []string {
	token := "@" + j.Layout.Secret("sealer.token")
	base := []string{
		"--repo", home, "init", "--network", j.net().Network(), "--node-url", j.state.Ports.NodeURL(), "--node-token", token,
		"--messager-url", j.state.Ports.MessagerURL(), "--no-local-storage", "--messager-token", token, "--wallet-name", walletName,
	}
	return append(base, args...)
}

func (j *Journey) initGenesisSealer(ctx context.Context) error {
	m, err := address.NewIDAddress(1000)
	if err != nil {
		return err
	}
	dir := j.net().MinerDir(m)
	_, err = j.run(ctx, "venus-sealer", j.sealerInit(j.Layout.Home(GenesisSealer), "--actor", j.state.GenesisMiner, "--genesis-miner", "--nosync",
		"--pre-sealed-sectors", dir, "--pre-sealed-metadata", j.net().PreSeal(m))...)
	return err
}

func (j *Journey) initMiner(ctx context.Context) error {
	_, err := j.run(ctx, "venus-miner", "--repo", j.Layout.Home(Miner), "init", "--api", j.state.Ports.NodeURL(),
		"--token", "@"+j.Layout.Secret("miner.token"), "--listen", tcp(j.state.Ports.Miner))
	return err
}

func (j *Journey) mine(ctx context.Context, miner, sealerHome string, sealerPort int) error {
	_, err := j.run(ctx, "venus-miner", "--repo", j.Layout.Home(Miner), "address", "add", "--addr", miner,
		"--sealer-listen-api", SealerURL(sealerPort), "--sealer-token", "@"+filepath.Join(sealerHome, "token"),
		"--wallet-listen-api", j.state.Ports.WalletURL(), "--wallet-token", "@"+j.Layout.Secret("wallet.token"))
	if err != nil && strings.Contains(err.Error(), "exist") {
		return nil
	}
	return err
}

func (j *Journey) mineGenesis(ctx context.Context) error {
	return j.mine(ctx, j.state.GenesisMiner, j.Layout.Home(GenesisSealer), j.state.Ports.GenesisSealer)
}

func (j *Journey) mineNew(ctx context.Context) error {
	return j.mine(ctx, j.state.Miner, j.Layout.Home(Sealer), j.state.Ports.Sealer)
}

func (j *Journey) createMiner(ctx context.Context) error {
	if _, err := j.run(ctx, "venus-sealer", j.sealerInit(j.Layout.Home(Sealer), "--worker", j.state.Worker, "--owner", j.state.Owner)...); err != nil {
		return err
	}
	m, err := j.minerOf(ctx, j.state.Owner)
	if err != nil {
		return err
	}
	j.state.Miner = m
	return nil
}

func (j *Journey) attachStorage(ctx context.Context) error {
	_, err := j.run(ctx, "venus-sealer", "--repo", j.Layout.Home(Sealer), "storage", "attach", "--init", "--store", "--seal", j.Layout.Sectors())
	if err != nil && strings.Contains(err.Error(), "already") {
		return nil
	}
	return err
}

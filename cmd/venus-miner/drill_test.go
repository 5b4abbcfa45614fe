package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/proof"
	"github.com/stretchr/testify/require"

	nodeapi "github.com/filecoin-venus/venus/api/node"
	sealerapi "github.com/filecoin-venus/venus/api/sealer"
	"github.com/filecoin-venus/venus/cli/render"
	clisealer "github.com/filecoin-venus/venus/cli/sealer"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/internal/drill"
	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/repo"
	"github.com/filecoin-venus/venus/sealer/config"
	"github.com/filecoin-venus/venus/sealer/sealertest"
	"github.com/filecoin-venus/venus/sealer/service"
)

// provider is a wallet and a venus-miner in processes, and a sealer in this one, on hosts that are folders.
type provider struct {
	t       *testing.T
	old     string // the host whose programs are called without a directory
	wallet  string // the program
	daemons map[string]*exec.Cmd
	sealers map[string]chan struct{} // closed when the sealer of a directory ended
}

func newProvider(t *testing.T) *provider {
	dir := t.TempDir()
	p := &provider{t: t, old: filepath.Join(dir, "old"), wallet: filepath.Join(dir, "venus-wallet"), daemons: map[string]*exec.Cmd{}, sealers: map[string]chan struct{}{}}
	out, err := exec.Command("go", "build", "-o", p.wallet, "../venus-wallet").CombinedOutput()
	require.NoError(t, err, "%s", out)
	t.Cleanup(func() {
		for home := range p.daemons {
			p.halt(home)
		}
		for home := range p.sealers {
			_, _ = p.sealer("--data", home, "stop") // the test is over
			<-p.sealers[home]
		}
	})
	return p
}

// halt is SIGTERM, and waits for the end.
func (p *provider) halt(home string) {
	if c := p.daemons[home]; c != nil {
		_ = c.Process.Signal(os.Interrupt)
		_ = c.Wait()
		delete(p.daemons, home)
	}
}

// process runs a command of a program with a directory; `run` goes on in the background once it listens.
func (p *provider) process(program, flag, home string, args []string) (string, int) {
	if args[0] == flag {
		home, args = args[1], args[2:]
	}
	cmd := exec.Command(program, append([]string{flag, home}, args...)...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	if args[0] != "run" {
		out, _ := cmd.CombinedOutput() // the exit code tells
		return string(out), cmd.ProcessState.ExitCode()
	}
	log, err := os.Create(home + ".log")
	require.NoError(p.t, err)
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	require.NoError(p.t, cmd.Start())
	p.daemons[home] = cmd
	said := func() []byte {
		b, err := os.ReadFile(log.Name())
		require.NoError(p.t, err)
		return b
	}
	if !waited(func() bool { return bytes.Contains(said(), []byte("listens on")) }) {
		return string(said()), 1
	}
	return "", 0
}

func waited(ready func() bool) bool {
	for range 600 {
		if ready() {
			return true
		}
		_ = clock.Real().Sleep(context.Background(), 50*time.Millisecond)
	}
	return false
}

func (p *provider) miner(args ...string) (string, int) {
	return p.process(os.Args[0], "--repo", filepath.Join(p.old, "miner"), args)
}

func (p *provider) keys(args ...string) (string, int) {
	return p.process(p.wallet, "--repo", filepath.Join(p.old, "wallet"), args)
}

// sealer is the command line of venus-sealer over the real service.
func (p *provider) sealer(args ...string) (string, int) {
	home := filepath.Join(p.old, "sealer")
	if args[0] == "--data" {
		home, args = args[1], args[2:]
	}
	app := func(args ...string) (string, int) {
		var out bytes.Buffer
		code := render.Run(context.Background(), clisealer.App(clisealer.Deps{
			Network: func(string) {},
			Run: func(ctx context.Context, o clisealer.RunOptions) error {
				return service.Run(ctx, service.Options{Dir: o.Dir, API: o.API, Version: "test", Clock: clock.Real()})
			},
			Restore: func(ctx context.Context, dir, file string, check bool) (*sealerapi.BackupReport, error) {
				return service.Restore(ctx, service.Options{Dir: dir, Clock: clock.Real()}, file, check)
			},
		}), append([]string{"venus-sealer", "--data", home}, args...), &out, &out)
		return out.String(), code
	}
	switch args[0] {
	case "run":
		ended := make(chan struct{})
		p.sealers[home] = ended
		go func() {
			defer close(ended)
			if out, code := app(args...); code != 0 {
				p.t.Errorf("venus-sealer run: %s", out)
			}
		}()
		if !waited(func() bool { _, code := app("storage", "list"); return code == 0 || p.t.Failed() }) || p.t.Failed() {
			return "it does not run", 1
		}
		return "", 0
	case "stop":
		out, code := app(args...)
		<-p.sealers[home]
		return out, code
	}
	return app(args...)
}

func (p *provider) must(program drill.Program, args ...string) string {
	out, code := program(args...)
	require.Zero(p.t, code, "%v: %s", args, out)
	return strings.TrimSpace(out)
}

func port(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", l.Addr().(*net.TCPAddr).Port)
}

// sets writes files below a folder.
func sets(t *testing.T, dir string, files map[string]string) {
	for name, text := range files {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
}

// settle sets the old host up: a wallet with a key, a sealer with a sector, and a miner that has made blocks with both.
func (p *provider) settle(etc, disk string) *node {
	t := p.t
	cheap := "[API]\nListenAddress = \"/ip4/127.0.0.1/tcp/0/http\"\n[Factor]\nScryptN = 16\nScryptR = 8\nScryptP = 1\n"
	sets(t, p.old, map[string]string{"wallet/config.toml": cheap})
	sets(t, etc, map[string]string{"wallet-password": "pw", "backup-password": "another", "node-token": nodeToken})
	p.must(p.keys, "run", "--network", "test")
	p.must(p.keys, "setpwd", "--password-file", filepath.Join(etc, "wallet-password"))
	worker, err := address.NewFromString(p.must(p.keys, "new", "bls"))
	require.NoError(t, err)
	walletToken, walletAPI, _ := strings.Cut(p.must(p.keys, "auth", "api-info", "--perm", "sign"), ":")

	network, err := params.ByName("local")
	require.NoError(t, err)
	chain := sealertest.NewChain(network, 1000, time.Now())
	cfg := config.Default()
	var stop func()
	cfg.Node.URL, cfg.Messager.URL, stop = chain.Serve()
	t.Cleanup(stop)
	cfg.API.ListenAddress, cfg.Network, cfg.Messager.Wallet, cfg.DB.Path = "/ip4/127.0.0.1/tcp/0", config.NetworkOf("local"), "w", filepath.Join(p.old, "sealer", "sealer.db")
	r, err := repo.Open(filepath.Join(p.old, "sealer"))
	require.NoError(t, err)
	require.NoError(t, r.Close())
	sets(t, p.old, map[string]string{"sealer/init.json": fmt.Sprintf(`{"Miner": %q, "Done": true}`, sealertest.Miner())})
	require.NoError(t, cfg.Save(filepath.Join(p.old, "sealer", config.FileName)))
	commR, err := sealertest.Seal(t.Context(), disk, 7, make([]byte, 32))
	require.NoError(t, err)
	chain.AddSealed(7, 3, 0, commR)
	p.must(p.sealer, "run")
	p.must(p.sealer, "storage", "attach", "--init", "--seal", "--store", disk)
	require.Contains(t, p.must(p.sealer, "sectors", "unknown", "--adopt"), "1 sectors adopted")
	sealerAPI, err := os.ReadFile(filepath.Join(p.old, "sealer", "api"))
	require.NoError(t, err)

	n := newNode(t, sealertest.Miner(), worker)
	n.delay, n.network = 2, &network // the proofs are real
	n.sectors = []proof.ExtendedSectorInfo{{SealProof: abi.RegisteredSealProof_StackedDrg2KiBV1_1, SectorNumber: 7, SealedCID: commR}}
	api := serve(t, "/rpc/v1", nodeToken, n.api(t), new(nodeapi.FullNodeProxy))
	p.must(p.miner, "init", "--api", api, "--token", nodeToken, "--listen", "/ip4/127.0.0.1/tcp/0")
	p.must(p.miner, "run")
	p.must(p.miner, "address", "add", "--addr", "t01000", "--sealer-listen-api", string(sealerAPI), "--sealer-token", "@"+filepath.Join(p.old, "sealer", "token"),
		"--wallet-listen-api", walletAPI, "--wallet-token", walletToken)
	n.url = api
	return n
}

// made are the heights of the blocks that were made.
func (n *node) made() []abi.ChainEpoch {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.heights)
}

// TestDrillMove moves a provider to another host as docs/guide/drill-move.md tells it.
func TestDrillMove(t *testing.T) {
	p := newProvider(t)
	dir := t.TempDir()
	in := func(names ...string) string { return filepath.Join(append([]string{dir}, names...)...) }
	n := p.settle(in("etc"), in("disk"))
	require.True(t, waited(func() bool { return len(n.made()) >= 2 }), "it mines on the old host")
	for _, folder := range []string{"move", "new"} {
		require.NoError(t, os.Mkdir(in(folder), 0o700))
	}
	var before []abi.ChainEpoch
	var floor abi.ChainEpoch
	var number int
	pledged := func(out string) int {
		var n int
		_, err := fmt.Sscanf(strings.TrimSpace(out), "Created CC sector:  %d", &n)
		require.NoError(t, err, out)
		return n
	}
	drill.Run(t, drill.Drill{
		Page: "../../docs/guide/drill-move.md",
		Fill: strings.NewReplacer("/move/", in("move")+"/", "/etc/venus/", in("etc")+"/", "/new/", in("new")+"/", "/ip4/10.0.0.5/tcp/3453", n.url,
			"/ip4/10.0.0.9/tcp/5678", port(t), "/ip4/10.0.0.9/tcp/2345", port(t), "/ip4/10.0.0.9/tcp/12308", port(t)),
		Programs: map[string]drill.Program{"venus-miner": p.miner, "venus-sealer": p.sealer, "venus-wallet": p.keys},
		Steps: []drill.Step{
			{Type: "venus-sealer proving deadlines"},
			{Type: "venus-miner address stop t01000"},
			{Type: "venus-miner guard export -o /move/guard.json"},
			{Type: "venus-miner stop", After: func(string) {
				home := filepath.Join(p.old, "miner")
				require.NoError(t, p.daemons[home].Wait())
				delete(p.daemons, home)
			}},
			{Type: "venus-sealer backup /move/sealer.backup", After: func(string) { // a number that the backup does not know
				number = pledged(p.must(p.sealer, "sectors", "pledge"))
			}},
			{Type: "venus-sealer stop"},
			{Type: "venus-wallet backup --password-file /etc/venus/backup-password /move/wallet.backup", Before: func() { p.halt(filepath.Join(p.old, "wallet")) }},
			{Type: "venus-sealer restore --check /move/sealer.backup"},
			{Type: "venus-wallet backup --check --password-file /etc/venus/backup-password /move/wallet.backup", After: func(string) {
				before = n.made()
				require.NoError(t, os.RemoveAll(p.old)) // nothing of it is needed any more
			}},
			{Type: "venus-wallet --repo /new/wallet restore --password-file /etc/venus/backup-password /move/wallet.backup"},
			{Type: "venus-wallet --repo /new/wallet run --api /ip4/10.0.0.9/tcp/5678/http --password-file /etc/venus/wallet-password"},
			{Type: "venus-wallet --repo /new/wallet auth create-token --perm sign", After: func(out string) { sets(t, in("etc"), map[string]string{"wallet-token": out}) }},
			{Type: "venus-sealer --data /new/sealer restore /move/sealer.backup"},
			{Type: "venus-sealer --data /new/sealer run --miner-api /ip4/10.0.0.9/tcp/2345/http"},
			{Type: "venus-miner --repo /new/miner init --api /ip4/10.0.0.5/tcp/3453 --token @/etc/venus/node-token --listen /ip4/10.0.0.9/tcp/12308"},
			{Type: "venus-miner --repo /new/miner run"},
			{Type: "venus-miner --repo /new/miner guard import /move/guard.json", After: func(out string) {
				var blocks, miners int
				_, err := fmt.Sscanf(out, "imported %d blocks of %d miners; nothing is signed up to epoch %d", &blocks, &miners, &floor)
				require.NoError(t, err, out)
				require.GreaterOrEqual(t, blocks, len(before), "the record is whole")
				require.Greater(t, floor, before[len(before)-1])
			}},
			{Type: "venus-miner --repo /new/miner address add --addr t01000 --sealer-listen-api /ip4/10.0.0.9/tcp/2345/http --sealer-token @/new/sealer/token --wallet-listen-api /ip4/10.0.0.9/tcp/5678/http --wallet-token @/etc/venus/wallet-token"},
			{Type: "venus-miner --repo /new/miner guard show", After: func(out string) { require.Contains(t, out, fmt.Sprint(floor)) }},
			{Type: "venus-miner --repo /new/miner address state", After: func(out string) { require.Contains(t, out, `"IsMining": true`) }},
			{Type: "venus-miner --repo /new/miner win list", Before: func() {
				require.True(t, waited(func() bool { return len(n.made()) > len(before)+1 }), "it mines on the new host")
			}, After: func(out string) { require.Contains(t, out, "submitted") }},
			{Type: "venus-sealer --data /new/sealer sectors unknown"},
			{Type: "venus-sealer --data /new/sealer storage verify --only-bad"},
			{Type: "venus-sealer --data /new/sealer sectors pledge", After: func(out string) { require.GreaterOrEqual(t, pledged(out), 1000+number) }},
		},
	})
	seen := map[abi.ChainEpoch]bool{}
	for i, h := range n.made() {
		require.False(t, seen[h], "two blocks of epoch %d", h)
		seen[h] = true
		require.False(t, i >= len(before) && h <= floor, "signed at %d, below the watermark %d", h, floor)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	require.Empty(t, n.bad, "every VRF and signature was good")
}

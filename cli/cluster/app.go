package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/cli/connect"
	"github.com/filecoin-venus/venus/cli/render"
	"github.com/filecoin-venus/venus/cluster"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/repo"
	"github.com/filecoin-venus/venus/types"
)

const defaultData = "~/.venus-cluster"

func dataFlag() cli.Flag {
	return &cli.StringFlag{Name: "data", Value: defaultData, Sources: cli.EnvVars("VENUS_CLUSTER_DATA"), Usage: "the cluster's `FOLDER`"}
}

// portFlag is taken by every command for convenience; a cluster keeps the
// ports it was made with.
func portFlag() cli.Flag {
	return &cli.IntFlag{Name: "port-base", Usage: "use ports from this one on; 0 means those of the guide"}
}

// App is the command tree of venus-cluster.
func App() *cli.Command {
	return &cli.Command{
		Name: "venus-cluster", Usage: "a whole Filecoin cluster on this machine", Version: "1.0.0",
		Flags: []cli.Flag{dataFlag(), portFlag()}, // before the command or after it, as with all programs
		Commands: []*cli.Command{
			{Name: "up", Usage: "make the cluster if need be and start it", Flags: []cli.Flag{
				&cli.BoolFlag{Name: "attach", Usage: "then show the programs' logs until interrupted; they go on running"},
				&cli.StringFlag{Name: "network", Usage: "whose parameters a new network gets: local, 2k, or nerpa (then private, with sectors of 512 MiB)", Value: "local"},
				&cli.DurationFlag{Name: "block-delay", Usage: "length of an epoch of a new network, whole seconds"},
			}, Action: up,
				Description: "Makes a private network, starts every program of the deployment guide as a process of its own,\n" +
					"creates a miner, seals a sector and proves it. Run it again after an interruption: it goes on where\n" +
					"it stopped. The programs go on running when it returns; `venus-cluster down` stops them."},
			{Name: "down", Usage: "stop all programs of the cluster; nothing is deleted", Action: down},
			{Name: "status", Usage: "programs, chain and miners", Action: status},
			{Name: "logs", Usage: "follow a program's log, or all", ArgsUsage: "[PROGRAM]", Flags: []cli.Flag{&cli.BoolFlag{Name: "no-follow", Usage: "print the last lines and return"}}, Action: logs},
			{Name: "faucet", Usage: "send FIL from the network's faucet", ArgsUsage: "ADDRESS AMOUNT", Action: faucet},
			{Name: "supervise", Usage: "keep the programs alive", Hidden: true, Action: supervise},
		},
	}
}

func layout(cmd *cli.Command) (cluster.Layout, error) {
	dir, err := repo.Expand(cmd.String("data"))
	return cluster.Layout{Data: dir}, err
}

// self is this program and the folder it lies in, where the others are too.
func self() (path, dir string, err error) {
	if path, err = os.Executable(); err != nil {
		return "", "", fmt.Errorf("find the programs: %w", err)
	}
	dir = filepath.Dir(path)
	if _, err := os.Stat(filepath.Join(dir, "venus")); err != nil {
		return "", "", api.Errorf(api.CodePrecondition, "the other programs are not beside %s", path).WithHint("build all of them with `make build`")
	}
	return path, dir, nil
}

func supervise(ctx context.Context, cmd *cli.Command) error {
	l, err := layout(cmd)
	if err != nil {
		return err
	}
	_, bin, err := self()
	if err != nil {
		return err
	}
	return cluster.Supervise(ctx, l, bin, clock.Real())
}

func up(ctx context.Context, cmd *cli.Command) error {
	p := render.From(cmd)
	l, err := layout(cmd)
	if err != nil {
		return err
	}
	path, bin, err := self()
	if err != nil {
		return err
	}
	ports, err := cluster.PortsFrom(cmd.Int("port-base"))
	if err != nil {
		return render.Usage("%s", err)
	}
	clk := clock.Real()
	began := clk.Now()
	j := &cluster.Journey{
		Layout: l, Bin: bin, Self: path, Ports: ports, Network: cmd.String("network"), BlockDelay: cmd.Duration("block-delay"), Clock: clk,
		Report: &steps{p: p},
	}
	st, err := j.Run(ctx)
	if err != nil {
		return api.Errorf(api.Explain(err).Code, "%w", err).WithHint("logs lie in %s; run `venus-cluster up` again to go on, `venus-cluster status` to look", filepath.Join(l.Data, "logs"))
	}
	took := clk.Now().Sub(began)
	err = p.Result(map[string]any{"data": l.Data, "state": st, "seconds": took.Seconds()}, func() { summary(p, l, st, took) })
	if err != nil || !cmd.Bool("attach") {
		return err
	}
	return follow(ctx, p, l, cluster.Order(), true)
}

// steps prints a line a step.
type steps struct {
	p    *render.Printer
	name string
}

// Start begins a step.
func (s *steps) Start(step string) { s.name = step; s.p.Note("  .. %s", step) }

// Done ends it.
func (s *steps) Done(took time.Duration) { s.p.Note("  ok %s (%s)", s.name, render.Took(took)) }

func summary(p *render.Printer, l cluster.Layout, st *cluster.State, took time.Duration) {
	p.Line("")
	p.Line("The cluster is up after %s.", render.Took(took))
	p.Fields(
		"  new miner", fmt.Sprintf("%s (owner %s, worker %s)", st.Miner, st.Owner, st.Worker),
		"  first miner", st.GenesisMiner,
		"  faucet", st.Faucet,
		"  venus", fmt.Sprintf("%s  (http://127.0.0.1:%d/rpc/v1)", st.Ports.NodeURL(), st.Ports.Node),
		"  venus-auth", st.Ports.AuthURL(),
		"  venus-messager", st.Ports.MessagerURL(),
		"  venus-wallet", st.Ports.WalletURL(),
		"  venus-sealer", cluster.SealerURL(st.Ports.Sealer),
		"  tokens", filepath.Join(l.Data, "secrets"),
		"  logs", filepath.Join(l.Data, "logs"),
	)
	p.Line("")
	p.Line("Try:")
	flag := ""
	if l.Data != expanded(defaultData) {
		flag = " --data " + l.Data
	}
	p.Line("  venus-cluster status%s", flag)
	p.Line("  venus --repo %s chain list --count 10", l.Home(cluster.Node))
	p.Line("  venus-sealer --repo %s info", l.Home(cluster.Sealer))
}

func expanded(path string) string {
	out, err := repo.Expand(path)
	if err != nil {
		return path
	}
	return out
}

func down(ctx context.Context, cmd *cli.Command) error {
	p := render.From(cmd)
	l, err := layout(cmd)
	if err != nil {
		return err
	}
	if _, err := cluster.LoadState(l); err != nil {
		return api.Errorf(api.CodePrecondition, "%w", err)
	}
	err = (cluster.Control{Layout: l}).Shutdown(ctx, clock.Real())
	if errors.Is(err, cluster.ErrDown) {
		return p.Result("down", func() { p.Line("the cluster is down already") })
	}
	if err != nil {
		return err
	}
	return p.Result("down", func() { p.Line("the cluster is down; its data stays in %s", l.Data) })
}

func status(ctx context.Context, cmd *cli.Command) error {
	p := render.From(cmd)
	l, err := layout(cmd)
	if err != nil {
		return err
	}
	r, err := cluster.Look(ctx, l, clock.Real())
	if err != nil {
		return api.Errorf(api.CodePrecondition, "%w", err)
	}
	return p.Result(r, func() { printStatus(p, r) })
}

func printStatus(p *render.Printer, r *cluster.Report) {
	t := render.NewTable("program", "state", ">pid", ">memory", ">restarts", "note")
	for _, s := range r.Programs {
		phase := s.Phase
		switch phase {
		case cluster.Healthy:
			phase = p.Green(phase)
		case cluster.Waiting:
			phase = p.Red(phase)
		case cluster.Starting:
			phase = p.Yellow(phase)
		}
		t.Row(s.Name, phase, s.PID, render.SizeUint(s.RSS), s.Restarts, strings.TrimSpace(s.LastExit+" "+s.Health))
	}
	if t.Len() > 0 {
		p.Table(t)
		p.Line("")
	}
	p.Fields("Head", fmt.Sprintf("%d (%.0f s old)", r.Head, r.HeadAge), "Memory", render.SizeUint(r.Memory))
	for _, m := range r.Miners {
		p.Line("Miner %s: %s bytes of power, %d sectors (%d active, %d faulty)", m.Miner, m.Raw, m.Sectors, m.Active, m.Faulty)
	}
	if r.Error != "" {
		p.Warn("%s", r.Error)
	}
}

func faucet(ctx context.Context, cmd *cli.Command) error {
	p := render.From(cmd)
	if cmd.Args().Len() != 2 {
		return render.Usage("faucet takes an address and an amount, such as t3... 100")
	}
	to, err := connect.Address(cmd.Args().Get(0))
	if err != nil {
		return err
	}
	amount, err := types.ParseFIL(cmd.Args().Get(1))
	if err != nil {
		return render.Usage("%s", err)
	}
	if amount.Atto().Sign() <= 0 {
		return render.Usage("amount %s: want more than nothing", amount)
	}
	l, err := layout(cmd)
	if err != nil {
		return err
	}
	st, err := cluster.LoadState(l)
	if err != nil {
		return api.Errorf(api.CodePrecondition, "%w", err)
	}
	c := cluster.NewClients(l, st.Ports)
	id, err := c.Send(ctx, st.Faucet, to, amount)
	if err != nil {
		return err
	}
	p.Note("pushed message %s, waiting for it to land", id)
	if err := c.AwaitMessage(ctx, id); err != nil {
		return err
	}
	return p.Result(map[string]any{"id": id, "to": to, "amount": amount}, func() { p.Line("sent %s to %s", amount, to) })
}

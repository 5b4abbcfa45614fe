package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/urfave/cli/v3"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/chain"
	"github.com/filecoin-venus/venus/cli/render"
	clivenus "github.com/filecoin-venus/venus/cli/venus"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/node"
	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/repo"
	"github.com/filecoin-venus/venus/snapshot"
	"github.com/filecoin-venus/venus/types"
)

// flagNodeURL is the global flag that names a node elsewhere.
const flagNodeURL = "node-url"

func exportCommand() *cli.Command {
	return &cli.Command{
		Name: "export", Usage: "write the chain to an archive that nodes can start from", ArgsUsage: "FILE[.zst]",
		Description: "Asks the running node, or reads the repo when no daemon uses it. The archive is a CAR, compressed when the\n" +
			"name ends in .zst: all headers, and states, receipts and messages of the newest epochs.",
		Flags: []cli.Flag{
			&cli.Int64Flag{Name: "recent-stateroots", Usage: "for how many `EPOCHS` states are written (default: what a node needs, finality and election lookback)"},
			&cli.BoolFlag{Name: "skip-old-msgs", Usage: "leave out the messages of older epochs"},
			&cli.StringFlag{Name: "tipset", Usage: "end in this tipset instead of the head: block CIDs separated by commas"},
		},
		Action: chainExport,
	}
}

func importCommand() *cli.Command {
	return &cli.Command{
		Name: "import", Usage: "take in the chain of an archive; the daemon must be stopped", ArgsUsage: "FILE|URL",
		Description: "Reads a CAR, plain or compressed with zstd, from this or another node of the field. Everything is checked\n" +
			"before the chain changes. An import that was interrupted goes on where it stopped.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "network", Usage: "at the first start: local, 2k, nerpa, calibnet, mainnet or a network `FILE`"},
			&cli.StringFlag{Name: "genesisfile", Usage: "at the first start: genesis CAR `FILE`; known networks need none"},
			&cli.Int64Flag{Name: "recent-stateroots", Usage: "for how many `EPOCHS` states must be there (default: the network's finality)"},
			&cli.BoolFlag{Name: "discard", Usage: "forget an interrupted import instead"},
		},
		Action: chainImport,
	}
}

// exportResult is what export prints.
type exportResult struct {
	File     string          `json:"file"`
	Head     types.TipSetKey `json:"head"`
	Height   abi.ChainEpoch  `json:"height"`
	States   abi.ChainEpoch  `json:"states"`
	Bytes    int64           `json:"bytes"`
	FileSize int64           `json:"fileSize"`
	Seconds  float64         `json:"seconds"`
}

// exporter is where an archive comes from: the running node, or its directory.
type exporter struct {
	head  *types.TipSet
	store int64
	write func(w io.Writer) error
	close func() error
}

func chainExport(ctx context.Context, cmd *cli.Command) error {
	if cmd.Args().Len() != 1 {
		return render.Usage("export takes the file to write")
	}
	path, err := filepath.Abs(cmd.Args().First())
	if err != nil {
		return err
	}
	p := render.From(cmd)
	recent, err := recentStates(cmd, p)
	if err != nil {
		return err
	}
	x, err := openExporter(ctx, cmd, recent)
	if err != nil {
		return err
	}
	defer x.close()
	bar := newBar(p)
	w := &telling{bar: bar, total: x.store, height: x.head.Height()}
	err = snapshot.Create(path, func(out io.Writer) error {
		w.to = out
		return x.write(w)
	})
	if errors.Is(err, snapshot.ErrExists) {
		return api.Errorf(api.CodePrecondition, "%w", err).WithHint("choose another name, or remove it")
	}
	if err != nil {
		return err
	}
	bar.done()
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	out := exportResult{
		File: path, Head: x.head.Key(), Height: x.head.Height(), States: min(recent, x.head.Height()+1), Bytes: w.done, FileSize: info.Size(), Seconds: bar.passed().Seconds(),
	}
	return p.Result(out, func() {
		p.Line("%s: chain of height %d with the states of %d epochs, %s", out.File, out.Height, out.States, render.SizeUint(uint64(out.FileSize)))
	})
}

// recentStates is for how many epochs states are wanted.
func recentStates(cmd *cli.Command, p *render.Printer) (abi.ChainEpoch, error) {
	net, err := repoNetwork(cmd)
	if err != nil {
		return 0, err
	}
	if !cmd.IsSet("recent-stateroots") {
		return chain.NeededEpochs(&net), nil
	}
	recent := abi.ChainEpoch(cmd.Int64("recent-stateroots"))
	if recent < 0 {
		return 0, render.Usage("--recent-stateroots %d: epochs cannot be fewer than none", recent)
	}
	if recent < net.Finality {
		p.Warn("states of %d epochs are fewer than finality, %d: nodes take this archive in only when told --recent-stateroots", recent, net.Finality)
	}
	return recent, nil
}

// repoNetwork is the network of the local directory; of a node elsewhere the public one is assumed.
func repoNetwork(cmd *cli.Command) (params.Network, error) {
	if cmd.String(flagNodeURL) == "" {
		d, err := repo.Read(cmd.String(clivenus.FlagRepo))
		if err != nil {
			return params.Network{}, err
		}
		return params.Load(d.Path("network.json"))
	}
	return params.ByName("mainnet")
}

func openExporter(ctx context.Context, cmd *cli.Command, recent abi.ChainEpoch) (*exporter, error) {
	skip := cmd.Bool("skip-old-msgs")
	if cmd.String(flagNodeURL) == "" {
		off, err := node.OpenOffline(ctx, node.Options{Repo: cmd.String(clivenus.FlagRepo)})
		if err == nil {
			return offlineExporter(ctx, cmd, off, chain.Retention{Recent: recent, SkipOldMessages: skip})
		}
		if !errors.Is(err, repo.ErrLocked) {
			return nil, err
		}
	}
	x, err := clivenus.Export(ctx, cmd, cmd.String("tipset"), recent, skip)
	if err != nil {
		return nil, err
	}
	return &exporter{head: x.Head, store: x.Store, write: x.Write, close: func() error { return nil }}, nil
}

func offlineExporter(ctx context.Context, cmd *cli.Command, off *node.Offline, keep chain.Retention) (*exporter, error) {
	key, err := clivenus.ParseKey(cmd.String("tipset"))
	if err != nil {
		return nil, errors.Join(err, off.Close())
	}
	head, err := off.Chain().TipSet(ctx, key)
	if err != nil {
		return nil, errors.Join(err, off.Close())
	}
	return &exporter{head: head, store: off.Size(), close: off.Close, write: func(w io.Writer) error {
		_, err := off.Export(ctx, w, head.Key(), snapshot.ExportOptions{Retention: keep})
		return err
	}}, nil
}

// telling counts what passes.
type telling struct {
	to          io.Writer
	bar         *bar
	done, total int64
	height      abi.ChainEpoch
}

// Write implements io.Writer.
func (t *telling) Write(b []byte) (int, error) {
	n, err := t.to.Write(b)
	t.done += int64(n)
	t.bar.tell(snapshot.Progress{Phase: "export", Done: t.done, Total: max(t.total, t.done), Height: t.height})
	return n, err
}

func chainImport(ctx context.Context, cmd *cli.Command) error {
	p := render.From(cmd)
	dir := cmd.String(clivenus.FlagRepo)
	if cmd.Bool("discard") {
		source, err := node.Discard(dir)
		if err != nil {
			return err
		}
		return p.Result(map[string]any{"discarded": source}, func() {
			if source == "" {
				p.Line("no import was interrupted")
				return
			}
			p.Line("the import of %s is forgotten", source)
		})
	}
	if cmd.Args().Len() != 1 {
		return render.Usage("import takes one archive, a file or a URL")
	}
	bar := newBar(p)
	var done snapshot.Imported
	off, err := node.OpenOffline(ctx, node.Options{
		Repo: dir, Network: cmd.String("network"), GenesisFile: cmd.String("genesisfile"),
		Snapshot: node.SnapshotOptions{
			From: cmd.Args().First(), Recent: abi.ChainEpoch(cmd.Int64("recent-stateroots")), Must: true, Progress: bar.tell,
			Done: func(i snapshot.Imported) { done = i },
		},
	})
	if err != nil {
		return err
	}
	bar.done()
	net := off.Network()
	address.CurrentNetwork = net.AddressNetwork()
	if err := off.Close(); err != nil {
		return err
	}
	return p.Result(done, func() {
		p.Line("head is %d, with the states of %d epochs: %d blocks, %s in %s", done.Height, done.States, done.Blocks, render.SizeUint(uint64(done.Bytes)), render.Took(bar.passed()))
	})
}

// bar shows a job of which snapshot.Progress tells: percent, speed, time left.
type bar struct {
	p       *render.Printer
	show    *render.Progress
	phase   string
	began   time.Time
	start   time.Time // of the phase
	first   int64     // what was done when it began
	clk     clock.Clock
	updated time.Time
}

func newBar(p *render.Printer) *bar {
	c := clock.Real()
	return &bar{p: p, clk: c, began: c.Now()}
}

// phases are how the display calls them, in order.
var phases = map[string]string{
	"export": "writing the archive", "import": "reading the archive", "index": "writing the index", "check": "checking the chain", "execute": "executing the chain",
}

func (b *bar) tell(g snapshot.Progress) {
	now := b.clk.Now()
	if b.phase != g.Phase {
		if b.show == nil {
			n := 1
			if g.Phase != "export" {
				n = 3
			}
			b.show = b.p.Progress(n)
		}
		b.phase, b.start, b.first = g.Phase, now, g.Done
		b.show.Start("%s", phases[g.Phase])
	}
	if now.Sub(b.updated) < time.Second/4 {
		return
	}
	b.updated = now
	text := render.SizeUint(uint64(g.Done))
	if g.Phase == "execute" {
		text = fmt.Sprintf("epoch %d of %d", g.Done, g.Total)
	}
	took := now.Sub(b.start).Seconds()
	if speed := float64(g.Done-b.first) / max(took, 0.001); speed > 0 && g.Phase != "index" && g.Phase != "check" {
		if g.Total > 0 {
			left := time.Duration(float64(g.Total-g.Done) / speed * float64(time.Second))
			text = fmt.Sprintf("%.1f%%, %s, %s left", 100*float64(g.Done)/float64(g.Total), text, render.Took(left))
		}
		if g.Phase != "execute" {
			text += fmt.Sprintf(", %.1f MB/s", speed/1e6)
		}
	}
	b.show.Update("%s", text)
}

func (b *bar) done() {
	if b.show != nil {
		b.show.Done()
	}
}

func (b *bar) passed() time.Duration { return b.clk.Now().Sub(b.began) }

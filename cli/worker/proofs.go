package worker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/urfave/cli/v3"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/cli/render"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/proofs/commp"
	"github.com/filecoin-venus/venus/proofs/machine"
	keys "github.com/filecoin-venus/venus/proofs/params"
	"github.com/filecoin-venus/venus/proofs/prove"
	"github.com/filecoin-venus/venus/proofs/sdr"
	"github.com/filecoin-venus/venus/proofs/verify"
)

// Flags that several of the commands have.
const (
	flagSize    = "size"
	flagNetwork = "network"
	flagParams  = "params-cache"
	flagParents = "parent-cache"
)

func proofsCommands(d Deps) *cli.Command {
	paramsFlag := func() cli.Flag {
		return &cli.StringFlag{Name: flagParams, Usage: "`DIR` of parameter files (default: $" + keys.CacheEnv + ", or where all Filecoin programs look)"}
	}
	parentsFlag := func() cli.Flag {
		return &cli.StringFlag{Name: flagParents, Usage: "`DIR` of parent caches (default: $" + sdr.CacheEnv + ", or where all Filecoin programs look)"}
	}
	networkFlag := func() cli.Flag {
		return &cli.StringFlag{Name: flagNetwork, Value: "local", Usage: "the network's name, or a network `FILE`"}
	}
	return &cli.Command{Name: "proofs", Usage: "ask what this machine can prove, look at parameter files, verify proofs; needs no sealer", Commands: []*cli.Command{
		{
			Name: "bench", Usage: "measure this machine: times, memory and disk of every phase by sector size; with --seal seal one sector for real",
			Flags: []cli.Flag{
				&cli.StringFlag{Name: flagSize, Usage: "`SIZE` of sectors: 2KiB, 8MiB, 512MiB, 32GiB, 64GiB, or all (default: all; with --seal 2KiB)"},
				&cli.StringFlag{Name: "dir", Value: ".", Usage: "`DIR` whose disk is measured and where --seal works"},
				&cli.BoolFlag{Name: "seal", Usage: "seal a sector of random data in DIR, prove it in all ways, verify, unseal and compare"},
				&cli.StringFlag{Name: "backend", Value: string(prove.Trapdoor), Usage: "how --seal proves: `BACKEND` trapdoor, or crs, which first makes parameter files in the cache"},
				&cli.BoolFlag{Name: "keep", Usage: "keep the sector's files, and its proof in proof.json"},
				paramsFlag(), parentsFlag(),
			},
			Action: func(ctx context.Context, cmd *cli.Command) error { return bench(ctx, cmd, d) },
		},
		{
			Name: "params", Usage: "list the network's parameter files, verifying keys and parent caches, and what of them is in the caches",
			Flags: []cli.Flag{
				networkFlag(),
				&cli.StringFlag{Name: flagSize, Usage: "`SIZE` of sectors (default: those of the network)"},
				&cli.BoolFlag{Name: "check", Usage: "read large files whole and compare their digests"},
				&cli.BoolFlag{Name: "make", Usage: "make the parameter files of a private network (crs) that are missing"},
				paramsFlag(), parentsFlag(),
			},
			Action: listParams,
		},
		{
			Name: "verify", ArgsUsage: "FILE|-", Usage: "verify a proof; exits with 0 if it holds, 1 if not, and another code if that cannot be told",
			Description: "The file is JSON: {\"kind\": K, \"statement\": S}, where K is seal, window, winning, update or aggregate, and S the\n" +
				"statement with its proof, in the JSON form of go-state-types (SealVerifyInfo, WindowPoStVerifyInfo, WinningPoStVerifyInfo,\n" +
				"ReplicaUpdateInfo, AggregateSealVerifyProofAndInfos). `proofs bench --seal --keep` leaves one to look at.",
			Flags:  []cli.Flag{networkFlag(), paramsFlag()},
			Action: verifyFile,
		},
		{Name: "commp", ArgsUsage: "FILE|-", Usage: "compute the piece CID of a file", Action: pieceOf},
	}}
}

// sizesNamed reads --size: one size, or all of them for "all"; nil for nothing.
func sizesNamed(text string) ([]abi.SectorSize, error) {
	if strings.EqualFold(text, "all") {
		return machine.Sizes(), nil
	}
	if text == "" {
		return nil, nil
	}
	short := func(s string) string { return strings.TrimSuffix(strings.TrimSuffix(strings.ToUpper(s), "IB"), "B") }
	var names []string
	for _, s := range machine.Sizes() {
		if short(s.ShortString()) == short(text) {
			return []abi.SectorSize{s}, nil
		}
		names = append(names, s.ShortString())
	}
	return nil, render.Usage("--size %q: want %s or all", text, strings.Join(names, ", "))
}

func knownBackend(flag, text string) error {
	if text != "" && text != string(prove.Trapdoor) && text != string(prove.CRS) {
		return render.Usage("--%s %q: want %s or %s", flag, text, prove.Trapdoor, prove.CRS)
	}
	return nil
}

// networkNamed is a network by its name or out of a file.
func networkNamed(text string) (params.Network, error) {
	n, err := params.ByName(text)
	if err == nil {
		return n, nil
	}
	if _, statErr := os.Stat(text); errors.Is(statErr, fs.ErrNotExist) {
		return n, api.Errorf(api.CodeInvalid, "--network: %w", err).WithHint("a private network's file is where `venus genesis new` or the cluster put it")
	}
	if n, err = params.Load(text); err != nil {
		return n, api.Errorf(api.CodeInvalid, "--network: %w", err)
	}
	return n, nil
}

// opened is the one argument of a command: a file, or standard input for "-".
func opened(cmd *cli.Command) (io.ReadCloser, int64, error) {
	if cmd.Args().Len() != 1 {
		return nil, 0, render.Usage("%s takes one FILE, or - for standard input; got %d arguments", cmd.Name, cmd.Args().Len())
	}
	name := cmd.Args().First()
	if name == "-" {
		return io.NopCloser(cmd.Root().Reader), 0, nil
	}
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, api.Errorf(api.CodeNotFound, "%w", err).WithHint("name a file, or - for standard input")
	}
	if err != nil {
		return nil, 0, api.Errorf(api.CodePrecondition, "%w", err)
	}
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = fmt.Errorf("%s is a folder", name)
	}
	if err != nil {
		_ = f.Close()
		return nil, 0, api.Errorf(api.CodeInvalid, "%w", err)
	}
	return f, info.Size(), nil
}

func verifyFile(ctx context.Context, cmd *cli.Command) error {
	network, err := networkNamed(cmd.String(flagNetwork))
	if err != nil {
		return err
	}
	in, _, err := opened(cmd)
	if err != nil {
		return err
	}
	defer in.Close()
	d, err := verify.ReadDocument(in)
	var verdict verify.Verdict
	if err == nil {
		verdict, err = verify.New(network, cmd.String(flagParams)).Judge(ctx, d)
	}
	switch {
	case errors.Is(err, verify.ErrDocument):
		return api.Errorf(api.CodeInvalid, "%w", err).WithHint("`venus-worker proofs verify --help` tells the form")
	case errors.Is(err, keys.ErrMissing):
		return api.Errorf(api.CodePrecondition, "cannot tell: %w", err).WithHint("`venus-worker proofs params --network %s` lists what is missing and where it belongs", network.Name)
	case err != nil:
		return fmt.Errorf("cannot tell: %w", err)
	}
	p := render.From(cmd)
	out := struct {
		Kind    verify.Kind `json:"kind"`
		Network string      `json:"network"`
		verify.Verdict
	}{d.Kind, network.Name, verdict}
	if err := p.Result(out, func() {
		if verdict.Valid {
			p.Line("%s: the %s proof holds on network %s", p.Green("valid"), d.Kind, network.Name)
		} else {
			p.Line("%s: %s", p.Red("invalid"), verdict.Reason)
		}
	}); err != nil || verdict.Valid {
		return err
	}
	return api.Errorf(api.CodeInternal, "the %s proof does not hold on network %s", d.Kind, network.Name)
}

// patience is how long a command may be silent.
const patience = 2 * time.Second

// counted counts what is read, and shows it once that takes long.
type counted struct {
	r        io.Reader
	ctx      context.Context
	n, total uint64
	began    time.Time
	clk      clock.Clock
	start    func() *render.Progress
	progress *render.Progress
}

// Read is io.Reader's; it ends with the context.
func (c *counted) Read(b []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := c.r.Read(b)
	c.n += uint64(n)
	switch took := c.clk.Now().Sub(c.began); {
	case took < patience:
	case c.progress == nil:
		c.progress = c.start()
	case c.total > 0:
		left := time.Duration(float64(took) * float64(c.total-min(c.n, c.total)) / float64(max(c.n, 1)))
		c.progress.Update("%d%%, %s of %s, %s left", 100*c.n/c.total, render.SizeUint(c.n), render.SizeUint(c.total), render.Took(left))
	default:
		c.progress.Update("%s", render.SizeUint(c.n))
	}
	return n, err
}

func pieceOf(ctx context.Context, cmd *cli.Command) error {
	in, size, err := opened(cmd)
	if err != nil {
		return err
	}
	defer in.Close()
	p, clk := render.From(cmd), clock.Real()
	r := &counted{r: in, ctx: ctx, total: uint64(max(size, 0)), clk: clk, began: clk.Now(), start: func() *render.Progress {
		g := p.Progress(1)
		g.Start("hash %s", cmd.Args().First())
		return g
	}}
	piece, err := commp.Of(r)
	if r.progress != nil {
		if err != nil {
			r.progress.Fail()
		} else {
			r.progress.Done()
		}
	}
	if errors.Is(err, commp.ErrPiece) {
		return api.Errorf(api.CodeInvalid, "%s: %w", cmd.Args().First(), err)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", cmd.Args().First(), err)
	}
	out := struct {
		PieceCID    string              `json:"pieceCid"`
		PieceSize   abi.PaddedPieceSize `json:"pieceSize"`
		PayloadSize uint64              `json:"payloadSize"`
	}{piece.PieceCID.String(), piece.Size, r.n}
	return p.Result(out, func() {
		p.Fields("Piece CID", out.PieceCID,
			"Piece size", fmt.Sprintf("%d (%s, padded)", out.PieceSize, render.SizeUint(uint64(out.PieceSize))),
			"Payload size", fmt.Sprintf("%d (%s)", out.PayloadSize, render.SizeUint(out.PayloadSize)))
	})
}

func listParams(ctx context.Context, cmd *cli.Command) error {
	if cmd.Args().Len() > 0 {
		return render.Usage("params takes no arguments, got %q", cmd.Args().First())
	}
	network, err := networkNamed(cmd.String(flagNetwork))
	if err != nil {
		return err
	}
	sizes, err := sizesNamed(cmd.String(flagSize))
	if err != nil {
		return err
	}
	if sizes == nil {
		sizes = network.SectorSizes
	}
	p := render.From(cmd)
	if cmd.Bool("make") {
		if err := makeParams(ctx, cmd, p, network, sizes); err != nil {
			return err
		}
	}
	o := machine.FilesOptions{Network: network, Sizes: sizes, ParamsDir: cmd.String(flagParams), ParentCache: cmd.String(flagParents), Check: cmd.Bool("check")}
	if o.Check {
		g := p.Progress(1)
		g.Start("read the files")
		defer g.Done()
		o.Step = func(path string) { g.Update("%s", path) }
	}
	found, err := machine.Files(ctx, o)
	if err != nil {
		return err
	}
	return p.Result(found, func() { printFiles(p, found) })
}

func makeParams(ctx context.Context, cmd *cli.Command, p *render.Printer, network params.Network, sizes []abi.SectorSize) error {
	total := 0
	for _, size := range sizes {
		total += len(machine.MainCircuits(size))
	}
	g := p.Progress(total)
	err := machine.MakeParams(ctx, network, cmd.String(flagParams), sizes, func(title string) { g.Start("parameters of %s", title) })
	if errors.Is(err, prove.ErrRefused) {
		return api.Errorf(api.CodeInvalid, "--make: %w", err).WithHint("put Filecoin's files into the cache; `proofs params` without --make lists their names and digests")
	}
	if err != nil {
		g.Fail()
		return err
	}
	g.Done()
	return nil
}

func printFiles(p *render.Printer, found machine.FilesFound) {
	kind := "public: files are Filecoin's, by name and digest"
	if found.Devnet {
		kind = "private: all follows from its seed; parameter files are for the crs backend only"
	}
	p.Fields("Network", fmt.Sprintf("%s (%s)", found.Network, kind), "Parameters", found.Cache, "Parent caches", found.Parents)
	p.Line("")
	t := render.NewTable("State", ">Size", "What", "Digest", "File")
	for _, f := range found.Files {
		t.Row(paintState(p, f), sizeOf(f), f.Title, f.Digest, filepath.Base(f.Path))
	}
	p.Table(t)
	for _, f := range found.Files {
		if f.State == keys.StateWrong {
			p.Warn("%s: %s; remove it, and fetch it again or have it made again", f.Path, f.Reason)
		}
	}
	if n := found.Missing(); n > 0 {
		p.Note("%d files are missing or wrong: this machine cannot prove on network %s. Put Filecoin's files of these names into %s, or set %s to where they are.", n, found.Network, found.Cache, keys.CacheEnv)
	}
}

func sizeOf(f machine.FileSeen) string {
	if f.State == keys.StateMissing {
		if f.Want == 0 {
			return ""
		}
		return render.SizeUint(f.Want)
	}
	return render.SizeUint(uint64(f.Bytes))
}

func paintState(p *render.Printer, f machine.FileSeen) string {
	switch f.State {
	case keys.StateRight:
		return p.Green(string(f.State))
	case keys.StateWrong:
		return p.Red(string(f.State))
	case keys.StateMissing:
		switch {
		case f.Made:
			return string(f.State) + ", made when needed"
		case f.Optional:
			return string(f.State) + ", not needed to seal"
		}
		return p.Red(string(f.State))
	}
	return p.Yellow(string(f.State) + ", not read")
}

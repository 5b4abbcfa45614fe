package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/urfave/cli/v3"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/cli/render"
	"github.com/filecoin-venus/venus/internal/fsutil"
	"github.com/filecoin-venus/venus/proofs/machine"
	"github.com/filecoin-venus/venus/proofs/prove"
	"github.com/filecoin-venus/venus/proofs/seal"
)

// benchReport is the result of bench without --seal.
type benchReport struct {
	Host  machine.Host  `json:"host"`
	Rates machine.Rates `json:"rates"`
	Sizes []sizeReport  `json:"sizes"`
}

type sizeReport struct {
	machine.Need
	Estimate machine.Estimate `json:"estimate"`
	// Missing is what the machine lacks.
	Missing machine.Fits `json:"missing"`
}

func bench(ctx context.Context, cmd *cli.Command, d Deps) error {
	if cmd.Args().Len() > 0 {
		return render.Usage("bench takes no arguments, got %q", cmd.Args().First())
	}
	sizes, err := sizesNamed(cmd.String(flagSize))
	if err != nil {
		return err
	}
	if err := knownBackend("backend", cmd.String("backend")); err != nil {
		return err
	}
	dir, err := filepath.Abs(cmd.String("dir"))
	if err != nil {
		return fmt.Errorf("--dir: %w", err)
	}
	host, err := d.Detect(dir)
	if err != nil {
		return api.Errorf(api.CodePrecondition, "--dir: %w", err)
	}
	if cmd.Bool("seal") {
		return benchSeal(ctx, cmd, d, host, sizes)
	}
	for _, flag := range []string{"backend", "keep"} {
		if cmd.IsSet(flag) {
			return render.Usage("--%s goes with --seal", flag)
		}
	}
	if sizes == nil {
		sizes = machine.Sizes()
	}
	p := render.From(cmd)
	g := p.Progress(machine.Steps)
	rates, err := d.Measure(ctx, machine.MeasureOptions{Dir: dir, Step: func(what string) { g.Start("measure %s", what) }})
	if err != nil {
		g.Fail()
		return api.Errorf(api.CodePrecondition, "%w", err).WithHint("--dir must be a folder that this program may write to, with 128 MiB free")
	}
	g.Done()
	report := benchReport{Host: host, Rates: rates}
	for _, size := range sizes {
		need, err := machine.NeedOf(size, host.Cores)
		if err != nil {
			return err
		}
		estimate, err := machine.EstimateOf(size, rates)
		if err != nil {
			return err
		}
		report.Sizes = append(report.Sizes, sizeReport{Need: need, Estimate: estimate, Missing: need.FitsOn(host)})
	}
	return p.Result(report, func() { printBench(p, report) })
}

func printBench(p *render.Printer, r benchReport) {
	printHost(p, r.Host)
	p.Line("")
	printRates(p, r.Rates)
	t := render.NewTable(titles("Time of one sector, estimated", r)...)
	printRows(t, r, []row{
		{"AddPiece", func(s sizeReport) string { return took(s.Estimate.AddPiece) }},
		{"PreCommit1", func(s sizeReport) string { return took(s.Estimate.PreCommit1) }},
		{"PreCommit2", func(s sizeReport) string { return took(s.Estimate.PreCommit2) }},
		{"Commit1", func(s sizeReport) string { return took(s.Estimate.Commit1) }},
		{"Commit2, trapdoor", func(s sizeReport) string { return took(s.Estimate.Commit2Trapdoor) }},
		{"Commit2, crs", func(s sizeReport) string { return took(s.Estimate.Commit2CRS) }},
		{"WindowPoSt of a partition, trapdoor", func(s sizeReport) string { return took(s.Estimate.WindowTrapdoor) }},
		{"WindowPoSt of a partition, crs", func(s sizeReport) string { return took(s.Estimate.WindowCRS) }},
		{"  sectors in a partition", func(s sizeReport) string { return fmt.Sprint(s.Estimate.WindowSectors) }},
		{"WinningPoSt, trapdoor", func(s sizeReport) string { return took(s.Estimate.WinningTrapdoor) }},
		{"WinningPoSt, crs", func(s sizeReport) string { return took(s.Estimate.WinningCRS) }},
		{"verify a seal", func(s sizeReport) string { return took(s.Estimate.Verify) }},
		{"parent cache, once", func(s sizeReport) string { return took(s.Estimate.ParentCache) }},
	})
	p.Line("")
	p.Table(t)
	t = render.NewTable(titles("Memory", r)...)
	bytes := render.SizeUint
	printRows(t, r, []row{
		{"PreCommit1, two layers", func(s sizeReport) string { return bytes(s.Memory.PreCommit1) }},
		{"PreCommit2", func(s sizeReport) string { return bytes(s.Memory.PreCommit2) }},
		{"Commit1", func(s sizeReport) string { return bytes(s.Memory.Commit1) }},
		{"Commit2, trapdoor", func(s sizeReport) string { return bytes(s.Memory.Commit2Trapdoor) }},
		{"Commit2, crs", func(s sizeReport) string { return bytes(s.Memory.Commit2CRS) }},
		{"WindowPoSt, crs", func(s sizeReport) string { return bytes(s.Memory.WindowCRS) }},
		{"WinningPoSt, crs", func(s sizeReport) string { return bytes(s.Memory.WinningCRS) }},
		{"enough for trapdoor", func(s sizeReport) string { return verdict(p, s.Missing.MemoryTrapdoor) }},
		{"enough for crs", func(s sizeReport) string { return verdict(p, s.Missing.MemoryCRS) }},
	})
	p.Line("")
	p.Table(t)
	printDisk(p, r)
	p.Note("times are of one sector on a machine that does nothing else, within a factor of two; `proofs bench --seal` tells how long it takes")
	p.Note("memory is what is in use; set GOMEMLIMIT, or Go may let a prover's grow to twice as much before it collects")
}

func printDisk(p *render.Printer, r benchReport) {
	bytes := render.SizeUint
	t := render.NewTable(titles("Disk", r)...)
	printRows(t, r, []row{
		{"unsealed", func(s sizeReport) string { return bytes(s.Disk.Unsealed) }},
		{"tree-d", func(s sizeReport) string { return bytes(s.Disk.TreeD) }},
		{"layers", func(s sizeReport) string { return bytes(s.Disk.Layers) }},
		{"tree-c", func(s sizeReport) string { return bytes(s.Disk.TreeC) }},
		{"tree-r-last", func(s sizeReport) string { return bytes(s.Disk.TreeRLast) }},
		{"sealed", func(s sizeReport) string { return bytes(s.Disk.Sealed) }},
		{"while sealing", func(s sizeReport) string { return bytes(s.Disk.Sealing) }},
		{"at rest", func(s sizeReport) string { return bytes(s.Disk.Rest) }},
		{"parent cache, once", func(s sizeReport) string { return bytes(s.Disk.ParentCache) }},
		{"parameter files, once", func(s sizeReport) string { return bytes(s.Disk.Params) }},
		{"enough to seal one", func(s sizeReport) string { return verdict(p, s.Missing.Disk) }},
	})
	p.Line("")
	p.Table(t)
}

// row is a line of a table with a column for each size.
type row struct {
	name string
	cell func(sizeReport) string
}

func titles(name string, r benchReport) []string {
	out := []string{name}
	for _, s := range r.Sizes {
		out = append(out, ">"+s.Size.ShortString())
	}
	return out
}

func printRows(t *render.Table, r benchReport, rows []row) {
	for _, line := range rows {
		cells := []any{line.name}
		for _, s := range r.Sizes {
			cells = append(cells, line.cell(s))
		}
		t.Row(cells...)
	}
}

func verdict(p *render.Printer, missing uint64) string {
	if missing == 0 {
		return p.Green("yes")
	}
	return p.Red("lacks " + render.SizeUint(missing))
}

// took prints a duration that may be tiny.
func took(d time.Duration) string {
	if d < time.Millisecond {
		return "<1ms"
	}
	return render.Took(d)
}

func printHost(p *render.Printer, h machine.Host) {
	p.Fields("Processor", fmt.Sprintf("%s, %d cores", h.CPU, h.Cores),
		"Memory", fmt.Sprintf("%s, %s of it free", render.SizeUint(h.Memory), render.SizeUint(h.MemoryAvailable)),
		"Disk", fmt.Sprintf("%s free at %s", render.SizeUint(h.DiskFree), h.Dir))
	for _, f := range h.Fast {
		if f.On {
			p.Line("%s: %s", f.Name, p.Green("fast ("+f.Needs+")"))
		} else {
			p.Line("%s: %s", f.Name, p.Yellow("slow, this processor has no "+f.Needs))
		}
	}
}

func printRates(p *render.Printer, r machine.Rates) {
	t := render.NewTable("Per second", ">one core", ">all cores")
	two := func(name string, rate machine.Rate) { t.Row(name, count(rate.Core), count(rate.All)) }
	two("labels", r.Labels)
	two("parents (lists of 14)", r.Parents)
	two("Poseidon of 2", r.Poseidon2)
	two("Poseidon of 8", r.Poseidon8)
	two("Poseidon of 11", r.Poseidon11)
	two("SHA-256 joins", r.SHA256)
	t.Row("piece bytes", render.SizeUint(uint64(r.PieceBytes)), "")
	t.Row("rows of circuits, SHA-256", count(r.RowsSHA), "")
	t.Row("rows of circuits, Poseidon", count(r.RowsPoseidon), "")
	t.Row("butterflies of a transform", "", count(r.Butterflies))
	t.Row("points in G1, random scalars", "", count(r.PointsG1))
	t.Row("points in G1, bits", "", count(r.BitsG1))
	t.Row("points in G2", "", count(r.PointsG2))
	t.Row("verifications", count(r.Verifications), "")
	t.Row("disk, write and fsync", "", render.SizeUint(uint64(r.DiskWrite)))
	t.Row("disk, read", "", render.SizeUint(uint64(r.DiskRead)))
	t.Row("disk, reads of single nodes", "", count(r.DiskSeeks))
	p.Table(t)
}

// count prints a number with three digits and a prefix of thousands.
func count(f float64) string {
	for _, unit := range []string{"", " k", " M", " G"} {
		if f < 1000 || unit == " G" {
			return fmt.Sprintf("%.3g%s", f, unit)
		}
		f /= 1000
	}
	return ""
}

func benchSeal(ctx context.Context, cmd *cli.Command, d Deps, host machine.Host, sizes []abi.SectorSize) error {
	if sizes == nil {
		sizes = machine.Sizes()[:1]
	}
	if len(sizes) != 1 {
		return render.Usage("--seal takes one --size, not all")
	}
	size, backend := sizes[0], prove.Backend(cmd.String("backend"))
	if err := enough(host, size, backend); err != nil {
		return err
	}
	p := render.From(cmd)
	var g *render.Progress
	out, err := d.Seal(ctx, machine.SealOptions{
		Size: size, Backend: backend, Dir: host.Dir, Keep: cmd.Bool("keep"),
		ParamsDir: cmd.String(flagParams), ParentCache: cmd.String(flagParents),
		Phase: func(_, total int, name string) {
			if g == nil {
				g = p.Progress(total)
			}
			g.Start("%s", name)
		},
		Progress: func(s seal.Progress) { g.Update("%s", far(s)) },
	})
	if g != nil && err != nil {
		g.Fail()
	} else if g != nil {
		g.Done()
	}
	if err != nil {
		if out.Dir != "" {
			p.Note("the files are in %s", out.Dir)
		}
		return whySeal(err)
	}
	if out.Dir != "" {
		if err := keepProof(out); err != nil {
			return err
		}
	}
	return p.Result(out, func() { printSealed(p, out) })
}

// whySeal tells what to do about a run that failed.
func whySeal(err error) error {
	if errors.Is(err, machine.ErrWrong) {
		return api.Errorf(api.CodeInternal, "%w", err).WithHint("test memory and disk; if they are sound, report this with the output of `proofs bench`")
	}
	return fmt.Errorf("seal a sector: %w", err)
}

// enough refuses what would end by running out of memory or disk.
func enough(host machine.Host, size abi.SectorSize, backend prove.Backend) error {
	need, err := machine.NeedOf(size, host.Cores)
	if err != nil {
		return err
	}
	fits, memory := need.FitsOn(host), need.Memory.Most(backend == prove.CRS)
	lacks := fits.MemoryTrapdoor
	if backend == prove.CRS {
		lacks = fits.MemoryCRS
	}
	if lacks > 0 {
		return api.Errorf(api.CodePrecondition, "a sector of %s needs %s of memory, this machine has %s", size.ShortString(), render.SizeUint(memory), render.SizeUint(host.Memory)).
			WithHint("take a smaller --size; `proofs bench` shows what each needs")
	}
	if fits.Disk > 0 {
		return api.Errorf(api.CodePrecondition, "a sector of %s needs %s of disk, %s has %s free", size.ShortString(), render.SizeUint(need.Disk.Sealing+need.Disk.ParentCache), host.Dir, render.SizeUint(host.DiskFree)).
			WithHint("take a smaller --size, or a --dir on a larger disk")
	}
	return nil
}

func far(s seal.Progress) string {
	text := fmt.Sprintf("%.0f%%, %s of %s", s.Percent(), render.SizeUint(s.Done), render.SizeUint(s.Total))
	if s.Left >= 0 {
		text += ", " + render.Took(s.Left) + " left"
	}
	return text
}

// keepProof puts the proof beside the kept files.
func keepProof(out machine.Sealed) error {
	d, err := out.Document()
	if err != nil {
		return err
	}
	b, err := json.MarshalIndent(d, "", "\t")
	if err != nil {
		return fmt.Errorf("encode the proof: %w", err)
	}
	return fsutil.WriteFileAtomic(filepath.Join(out.Dir, "proof.json"), append(b, '\n'), 0o644)
}

func printSealed(p *render.Printer, s machine.Sealed) {
	t := render.NewTable("Phase", ">Time", ">Speed", ">Peak memory")
	shared := false
	for _, ph := range s.Phases {
		speed, peak := "", render.SizeUint(ph.Peak)
		if ph.Bytes > 0 {
			speed = fmt.Sprintf("%.1f MB/s", ph.Speed()/1e6)
		}
		if ph.PeakOfProcess {
			shared, peak = true, peak+"*"
		}
		t.Row(ph.Name, took(ph.Took), speed, peak)
	}
	t.Row("all", took(s.Took), "", render.SizeUint(s.Peak))
	p.Table(t)
	if shared {
		p.Note("* of the process so far; this system does not tell it by phase")
	}
	p.Line("%s", strings.TrimSpace(fmt.Sprintf("%s: sealed, proven with %s, verified, opened and compared. %s", s.Size.ShortString(), s.Backend, kept(s))))
}

func kept(s machine.Sealed) string {
	if s.Dir == "" {
		return ""
	}
	return "Files and proof.json are in " + s.Dir
}

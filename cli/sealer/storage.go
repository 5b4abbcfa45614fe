package sealer

import (
	"context"
	"fmt"
	"os"
	"sort"
	"strings"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/urfave/cli/v3"

	"github.com/filecoin-venus/venus/api"
	sealerapi "github.com/filecoin-venus/venus/api/sealer"
	"github.com/filecoin-venus/venus/cli/render"
	"github.com/filecoin-venus/venus/repo"
)

func storageCommand(d Deps) *cli.Command {
	return &cli.Command{Name: "storage", Usage: "where sector files lie", Commands: []*cli.Command{
		{Name: "attach", Usage: "make a folder a storage path; works whether the sealer runs or not", ArgsUsage: "PATH", Flags: []cli.Flag{
			&cli.BoolFlag{Name: "init", Usage: "prepare the folder first"},
			&cli.BoolFlag{Name: "seal", Usage: "with --init: seal in it"},
			&cli.BoolFlag{Name: "store", Usage: "with --init: keep sealed sectors in it"},
			&cli.Uint64Flag{Name: "weight", Usage: "with --init: preference over other paths", Value: 10},
		}, Action: func(ctx context.Context, cmd *cli.Command) error { return attach(ctx, cmd, d) }},
		{Name: "detach", Usage: "forget a storage path; deletes nothing", ArgsUsage: "ID", Action: action(d, func(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error {
			if cmd.Args().Len() != 1 {
				return render.Usage("name one storage path by its id: storage detach ID")
			}
			if err := c.StorageDetach(ctx, cmd.Args().First()); err != nil {
				return err
			}
			p.Note("storage path %s is detached; its files are untouched", cmd.Args().First())
			return nil
		})},
		{Name: "list", Usage: "list storage paths", Action: action(d, listStorage)},
		{Name: "find", Usage: "where a sector's files lie", ArgsUsage: "NUMBER", Action: action(d, findSector)},
	}}
}

func attach(ctx context.Context, cmd *cli.Command, d Deps) error {
	p := render.From(cmd)
	if cmd.Args().Len() != 1 {
		return render.Usage("name the folder to attach: storage attach [--init --store --seal] PATH")
	}
	spec := sealerapi.StorageSpec{Init: cmd.Bool("init"), CanSeal: cmd.Bool("seal"), CanStore: cmd.Bool("store"), Weight: cmd.Uint64("weight")}
	var err error
	if spec.Path, err = repo.Expand(cmd.Args().First()); err != nil {
		return err
	}
	if spec.Init && !spec.CanSeal && !spec.CanStore {
		return render.Usage("with --init say what the path is for: --store, --seal or both")
	}
	if !spec.Init && (spec.CanSeal || spec.CanStore) {
		return render.Usage("--store and --seal are for new paths: add --init, or leave them out")
	}
	info, err := attachAnywhere(ctx, cmd, d, spec)
	if err != nil {
		return err
	}
	return p.Result(info, func() { p.Note("attached %s as storage path %s (%s)", spec.Path, info.ID, use(info)) })
}

// attachAnywhere asks the running sealer, or attaches itself when none runs.
func attachAnywhere(ctx context.Context, cmd *cli.Command, d Deps, spec sealerapi.StorageSpec) (sealerapi.StorageInfo, error) {
	c, _, stop, err := program(d).Dial(cmd)
	if err == nil {
		defer stop()
		info, err := c.StorageAttach(ctx, spec)
		if err == nil || api.Explain(err).Code != api.CodeUnavailable {
			return info, err
		}
	}
	return d.Attach(ctx, cmd.String(FlagData), spec)
}

func use(i sealerapi.StorageInfo) string {
	var u []string
	if i.CanSeal {
		u = append(u, "Seal")
	}
	if i.CanStore {
		u = append(u, "Store")
	}
	if len(u) == 0 || i.Weight == 0 {
		return "ReadOnly"
	}
	return strings.Join(u, " ")
}

// storagePath is what list shows of a path.
type storagePath struct {
	sealerapi.StorageInfo
	Path  string
	Stat  sealerapi.FsStat
	Files []sealerapi.StorageDecl
}

func listStorage(ctx context.Context, _ *cli.Command, c *client, p *render.Printer) error {
	local, err := c.StorageLocal(ctx)
	if err != nil {
		return err
	}
	files, err := c.StorageList(ctx)
	if err != nil {
		return err
	}
	var list []storagePath
	for id, dir := range local {
		x := storagePath{Path: dir, Files: files[id]}
		if x.StorageInfo, err = c.StorageInfo(ctx, id); err != nil {
			return err
		}
		if x.Stat, err = c.StorageStat(ctx, id); err != nil {
			return err
		}
		list = append(list, x)
	}
	sort.Slice(list, func(i, j int) bool {
		if list[i].Stat.Capacity != list[j].Stat.Capacity {
			return list[i].Stat.Capacity > list[j].Stat.Capacity
		}
		return list[i].Path < list[j].Path
	})
	return p.Result(list, func() {
		for _, x := range list {
			printPath(p, x)
		}
	})
}

// barWidth is the width of the bar of used space.
const barWidth = 50

func printPath(p *render.Printer, x storagePath) {
	used := x.Stat.Capacity - x.Stat.Available
	share := 0.0
	if x.Stat.Capacity > 0 {
		share = float64(used) / float64(x.Stat.Capacity)
	}
	bar := strings.Repeat("#", int(share*barWidth)) + strings.Repeat(" ", barWidth-int(share*barWidth))
	line := fmt.Sprintf("[%s] %s/%s %.0f%%", bar, render.SizeUint(uint64(used)), render.SizeUint(uint64(x.Stat.Capacity)), share*100)
	switch {
	case share > 0.98:
		line = p.Red(line)
	case share > 0.90:
		line = p.Yellow(line)
	default:
		line = p.Green(line)
	}
	count := map[int]int{}
	for _, f := range x.Files {
		count[f.SectorFileType]++
	}
	p.Line("%s:", x.ID)
	p.Line("\t%s", line)
	p.Line("\tUnsealed: %d; Sealed: %d; Caches: %d; Reserved: %s", count[sealerapi.FileUnsealed], count[sealerapi.FileSealed], count[sealerapi.FileCache], render.SizeUint(uint64(x.Stat.Reserved)))
	p.Line("\tWeight: %d; Use: %s", x.Weight, use(x.StorageInfo))
	p.Line("\tLocal: %s", x.Path)
	p.Line("")
}

func findSector(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error {
	n, err := oneNumber(cmd)
	if err != nil {
		return err
	}
	local, err := c.StorageLocal(ctx)
	if err != nil {
		return err
	}
	files, err := c.StorageList(ctx)
	if err != nil {
		return err
	}
	found := map[string][]string{}
	names := map[int]string{sealerapi.FileUnsealed: "Unsealed", sealerapi.FileSealed: "Sealed", sealerapi.FileCache: "Cache"}
	for id, list := range files {
		for _, f := range list {
			if f.Number == abi.SectorNumber(n) {
				found[id] = append(found[id], names[f.SectorFileType])
			}
		}
	}
	if len(found) == 0 {
		return api.Errorf(api.CodeNotFound, "no storage path holds files of sector %d", n)
	}
	return p.Result(found, func() {
		for id, what := range found {
			p.Line("In %s (%s)", id, strings.Join(what, ", "))
			where := "Remote"
			if _, err := os.Stat(local[id]); err == nil {
				where = fmt.Sprintf("Local (%s)", local[id])
			}
			p.Line("\t%s", where)
		}
	})
}

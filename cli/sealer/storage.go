package sealer

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"sort"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/urfave/cli/v3"

	"github.com/filecoin-venus/venus/api"
	sealerapi "github.com/filecoin-venus/venus/api/sealer"
	"github.com/filecoin-venus/venus/cli/render"
	"github.com/filecoin-venus/venus/repo"
)

func storageCommand(d Deps) *cli.Command {
	return &cli.Command{Name: "storage", Usage: "where sector files lie, and how they get elsewhere", Commands: []*cli.Command{
		{
			Name: "attach", Usage: "make a folder or a bucket a storage path; works whether the sealer runs or not", ArgsUsage: "PATH",
			Description: "PATH is a folder of the sealer's machine, on a disk of its own or shared, or a bucket s3://BUCKET/PREFIX, which can only store. A folder that was a storage path before is attached as it is, with all that it holds; a new one wants --init. Nothing that lies there is changed.",
			Flags: []cli.Flag{
				&cli.BoolFlag{Name: "init", Usage: "prepare the folder or bucket first"},
				&cli.BoolFlag{Name: "seal", Usage: "with --init: seal in it"},
				&cli.BoolFlag{Name: "store", Usage: "with --init: keep sealed sectors in it"},
				&cli.Uint64Flag{Name: "weight", Usage: "with --init: preference over other paths", Value: 10},
				&cli.StringFlag{Name: "max-storage", Usage: "with --init: sector files may take `SIZE` of it, such as 10TiB (default: what there is)"},
				&cli.StringFlag{Name: "endpoint", Usage: "of a bucket: `URL` of the S3 server"},
				&cli.StringFlag{Name: "region", Usage: "of a bucket: its `REGION`, where the server wants one"},
				&cli.StringFlag{Name: "credentials", Usage: "of a bucket: `FILE` with its keys, as other S3 programs have it; the keys are read from there each time (default: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY of the sealer)"},
				&cli.StringFlag{Name: "profile", Usage: "of a bucket: `NAME` of the keys in that file", Value: ""},
			}, Action: func(ctx context.Context, cmd *cli.Command) error { return attach(ctx, cmd, d) },
		},
		{
			Name: "detach", Usage: "forget a storage path; deletes nothing", ArgsUsage: "ID or PATH",
			Description: "The path is not used any more until it is attached again; so is a worker's own path, though its worker offers it. Sectors whose files lie only there cannot be proven then: while there are such, --force is wanted.",
			Flags:       []cli.Flag{&cli.BoolFlag{Name: "force", Usage: "also when sectors lie only there"}},
			Action:      action(d, detach),
		},
		{Name: "list", Usage: "list storage paths: room, files, and what is wrong", Flags: []cli.Flag{
			&cli.BoolFlag{Name: "stray", Usage: "name the files that are no sector's; nothing touches them"},
		}, Action: action(d, listStorage)},
		{Name: "find", Usage: "where a sector's files lie", ArgsUsage: "NUMBER", Action: action(d, findSector)},
		moveCommand(d), verifyCommand(d), gcCommand(d),
	}}
}

func attach(ctx context.Context, cmd *cli.Command, d Deps) error {
	p := render.From(cmd)
	if cmd.Args().Len() != 1 {
		return render.Usage("name the folder to attach: storage attach [--init --store --seal] PATH")
	}
	spec, err := attachSpec(cmd)
	if err != nil {
		return err
	}
	info, err := attachAnywhere(ctx, cmd, d, spec)
	if err != nil {
		return err
	}
	return p.Result(info, func() { p.Note("attached %s as storage path %s (%s)", spec.Path, info.ID, use(info)) })
}

// named is how many sectors a refusal names.
const named = 10

func detach(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error {
	if cmd.Args().Len() != 1 {
		return render.Usage("name one storage path by its id or folder: storage detach [--force] ID")
	}
	path := cmd.Args().First()
	only, err := onlyIn(ctx, c, path)
	if err != nil {
		return err
	}
	if len(only) > 0 && !cmd.Bool("force") {
		return api.Errorf(api.CodePrecondition, "%d sectors have files in %s and nowhere else (%s): without it they cannot be proven, nor sealed further", len(only), path, firstOf(only)).
			WithHint("bring them elsewhere first: venus-sealer storage move --from %s; if the disk is gone for good, or comes back elsewhere: venus-sealer storage detach --force %s", path, path)
	}
	if err := c.StorageDetach(ctx, path); err != nil {
		return err
	}
	return p.Result(map[string]any{"Detached": path, "Only": only}, func() {
		p.Note("storage path %s is detached; its files are untouched", path)
		if len(only) > 0 {
			p.Note("%d sectors have files nowhere else: %s", len(only), firstOf(only))
		}
	})
}

// onlyIn lists the sectors that have a file in a path, by its id or folder, that no other path has.
func onlyIn(ctx context.Context, c *client, path string) ([]abi.SectorNumber, error) {
	local, err := c.StorageLocal(ctx)
	if err != nil {
		return nil, err
	}
	all, err := c.StorageList(ctx)
	if err != nil {
		return nil, err
	}
	elsewhere := map[sealerapi.StorageDecl]bool{}
	for id, list := range all {
		for _, f := range list {
			if id != path && local[id] != path {
				elsewhere[f] = true
			}
		}
	}
	only := []abi.SectorNumber{}
	for id, list := range all {
		for _, f := range list {
			if (id == path || local[id] == path) && !elsewhere[f] {
				only = append(only, f.Number)
			}
		}
	}
	slices.Sort(only)
	return slices.Compact(only), nil
}

// firstOf names the first of many sectors.
func firstOf(list []abi.SectorNumber) string {
	if len(list) <= named {
		return ranges(list)
	}
	return ranges(list[:named]) + " ..."
}

func attachSpec(cmd *cli.Command) (sealerapi.StorageSpec, error) {
	spec := sealerapi.StorageSpec{Path: cmd.Args().First(), Init: cmd.Bool("init"), CanSeal: cmd.Bool("seal"), CanStore: cmd.Bool("store"), Weight: cmd.Uint64("weight")}
	var err error
	switch {
	case strings.HasPrefix(spec.Path, "s3://"):
		if cmd.String("endpoint") == "" {
			return spec, render.Usage("say where the bucket's server is: --endpoint URL")
		}
		spec.S3 = &sealerapi.StorageS3{Endpoint: cmd.String("endpoint"), Region: cmd.String("region"), Profile: cmd.String("profile")}
		if file := cmd.String("credentials"); file != "" {
			if spec.S3.Credentials, err = repo.Expand(file); err != nil {
				return spec, err
			}
		}
	case strings.HasPrefix(spec.Path, "worker:"):
	case cmd.IsSet("endpoint") || cmd.IsSet("region") || cmd.IsSet("credentials") || cmd.IsSet("profile"):
		return spec, render.Usage("--endpoint, --region, --credentials and --profile are for buckets: s3://BUCKET/PREFIX")
	default:
		if spec.Path, err = repo.Expand(spec.Path); err != nil {
			return spec, err
		}
	}
	if text := cmd.String("max-storage"); text != "" {
		if spec.MaxStorage, err = humanize.ParseBytes(text); err != nil {
			return spec, render.Usage("--max-storage %q is no size: write 10TiB", text)
		}
	}
	if spec.Init && !spec.CanSeal && !spec.CanStore {
		return spec, render.Usage("with --init say what the path is for: --store, --seal or both")
	}
	if !spec.Init && (spec.CanSeal || spec.CanStore || spec.MaxStorage > 0) {
		return spec, render.Usage("--store, --seal and --max-storage are for new paths: add --init, or leave them out; %s/sectorstore.json has the settings of one that exists", spec.Path)
	}
	return spec, nil
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

func listStorage(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error {
	list, err := c.StoragePaths(ctx)
	if err != nil {
		return err
	}
	sort.Slice(list, func(i, j int) bool {
		if list[i].Stat.Capacity != list[j].Stat.Capacity {
			return list[i].Stat.Capacity > list[j].Stat.Capacity
		}
		return list[i].Path < list[j].Path
	})
	return p.Result(list, func() {
		for _, x := range list {
			printPath(p, x, cmd.Bool("stray"))
		}
		if len(list) == 0 {
			p.Note("no storage path is attached: venus-sealer storage attach --init --store --seal PATH")
		}
	})
}

// barWidth is the width of the bar of used space.
const barWidth = 50

// usedBar shows how full a path is, with what files in the making will take.
func usedBar(p *render.Printer, st sealerapi.FsStat) string {
	used := st.Capacity - st.Available
	if st.Capacity <= 0 {
		return "no limit known"
	}
	share := float64(used) / float64(st.Capacity)
	full := min(int(share*barWidth), barWidth)
	reserved := min(int(float64(st.Reserved)/float64(st.Capacity)*barWidth), barWidth-full)
	bar := strings.Repeat("#", full) + strings.Repeat("*", reserved) + strings.Repeat(" ", barWidth-full-reserved)
	line := fmt.Sprintf("[%s] %s/%s %.0f%%", bar, render.SizeUint(uint64(used)), render.SizeUint(uint64(st.Capacity)), share*100)
	switch {
	case share > 0.98:
		return p.Red(line)
	case share > 0.90:
		return p.Yellow(line)
	}
	return p.Green(line)
}

func printPath(p *render.Printer, x sealerapi.StoragePath, stray bool) {
	name := x.ID
	if name == "" {
		name = x.Path
	}
	p.Line("%s:", name)
	if x.Detached {
		why := "DETACHED by an operator; its worker is not here"
		if x.Offered != "" {
			why = "DETACHED by an operator; worker " + x.Offered + " offers it still"
		}
		p.Line("\t%s", p.Yellow(why+". It is taken again by: venus-sealer storage attach "+x.Path))
		p.Line("")
		return
	}
	if x.Away != "" {
		p.Line("\t%s", p.Red("AWAY: "+x.Away))
	} else {
		p.Line("\t%s", usedBar(p, x.Stat))
	}
	p.Line("\tUnsealed: %d; Sealed: %d; Caches: %d; Reserved: %s", x.Unsealed, x.Sealed, x.Caches, render.SizeUint(uint64(x.Stat.Reserved)))
	p.Line("\tWeight: %d; Use: %s", x.Weight, use(x.StorageInfo))
	if x.MaxStorage > 0 {
		p.Line("\tSector files may take %s", render.SizeUint(x.MaxStorage))
	}
	if x.Full != "" {
		p.Line("\t%s", p.Yellow(x.Full))
	}
	if strings.HasPrefix(x.Path, "s3://") {
		p.Line("\tURL: %s", x.Path)
	} else {
		p.Line("\tLocal: %s", x.Path)
	}
	if len(x.Stray) > 0 {
		p.Line("\tStray: %d names that are no sector's; nothing touches them", len(x.Stray))
		for i := 0; stray && i < len(x.Stray); i++ {
			p.Line("\t\t%s", x.Stray[i])
		}
	}
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
	names := map[int]string{
		sealerapi.FileUnsealed: "Unsealed", sealerapi.FileSealed: "Sealed", sealerapi.FileCache: "Cache", sealerapi.FileUpdate: "Update", sealerapi.FileUpdateCache: "Update cache",
	}
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
		for _, id := range slices.Sorted(maps.Keys(found)) {
			p.Line("In %s (%s)", id, strings.Join(found[id], ", "))
			where := "Remote (" + local[id] + ")"
			if _, err := os.Stat(local[id]); err == nil {
				where = fmt.Sprintf("Local (%s)", local[id])
			}
			p.Line("\t%s", where)
		}
	})
}

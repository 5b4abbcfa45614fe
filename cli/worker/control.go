package worker

import (
	"context"
	"fmt"
	"os"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/filecoin-venus/venus/api"
	sealerapi "github.com/filecoin-venus/venus/api/sealer"
	"github.com/filecoin-venus/venus/cli/connect"
	"github.com/filecoin-venus/venus/cli/render"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/rpc"
)

// A worker has no server of its own: these commands ask its sealer, which knows
// all workers by name, and can be given on any machine.

// controlFlags choose the sealer and the worker.
func controlFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "sealer", Aliases: []string{"miner-addr"}, Usage: "`ADDRESS` of the sealer", Value: DefaultSealer},
		&cli.StringFlag{Name: "token", Aliases: []string{"miner-token"}, Usage: "the sealer's `TOKEN`, or @FILE", Sources: cli.EnvVars("VENUS_WORKER_TOKEN")},
		&cli.StringFlag{Name: "name", Usage: "`NAME` of the worker (default: the host's)"},
	}
}

// control is a command that asks the sealer about the workers of a name.
func control(act func(ctx context.Context, cmd *cli.Command, c *sealerapi.SealerProxy, name string, p *render.Printer) error) cli.ActionFunc {
	return func(ctx context.Context, cmd *cli.Command) error {
		name := cmd.String("name")
		if name == "" {
			host, err := os.Hostname()
			if err != nil {
				return render.Usage("the host has no name: give the worker's with --name")
			}
			name = host
		}
		token, err := connect.Secret("token", cmd.String("token"))
		if err != nil {
			return api.Errorf(api.CodeInvalid, "%w", err).WithHint("on the sealer's machine the token is in its directory, file token")
		}
		c := new(sealerapi.SealerProxy)
		stop, err := rpc.Dial(cmd.String("sealer"), token, sealerapi.Namespace, c, rpc.DialOptions{Service: "venus-sealer"})
		if err != nil {
			return fmt.Errorf("--sealer: %w", err)
		}
		defer stop()
		return act(ctx, cmd, c, name, render.From(cmd))
	}
}

func controlCommands() []*cli.Command {
	return []*cli.Command{
		{Name: "info", Usage: "what the sealer knows of this worker", Flags: controlFlags(), Action: control(info)},
		{Name: "set", Usage: "let the worker get tasks, or no new ones; it lasts until it is changed, also over restarts", Flags: append(controlFlags(),
			&cli.BoolFlag{Name: "enabled", Usage: "--enabled=false drains the worker", Value: true},
		), Action: control(set)},
		{Name: "wait-quiet", Usage: "wait until the worker has no tasks", Flags: controlFlags(), Action: control(waitQuiet)},
		{Name: "tasks", Usage: "which kinds of tasks the worker gets", Commands: []*cli.Command{
			{Name: "enable", Usage: "give it tasks of these kinds again", ArgsUsage: "KIND...", Flags: controlFlags(), Action: control(kinds(true))},
			{Name: "disable", Usage: "give it no more tasks of these kinds", ArgsUsage: "KIND...", Flags: controlFlags(), Action: control(kinds(false))},
		}},
	}
}

// found is a worker with what it does.
type found struct {
	ID string
	sealerapi.WorkerStats
	Jobs []sealerapi.WorkerJob
}

// find looks up the workers of a name.
func find(ctx context.Context, c *sealerapi.SealerProxy, name string) ([]found, error) {
	stats, err := c.WorkerStats(ctx)
	if err != nil {
		return nil, err
	}
	jobs, err := c.WorkerJobs(ctx)
	if err != nil {
		return nil, err
	}
	var out []found
	names := map[string]bool{}
	for id, w := range stats {
		names[w.Info.Hostname] = true
		if w.Info.Hostname == name {
			out = append(out, found{ID: id, WorkerStats: w, Jobs: jobs[id]})
		}
	}
	if len(out) == 0 {
		known := make([]string, 0, len(names))
		for n := range names {
			known = append(known, n)
		}
		sort.Strings(known)
		return nil, api.Errorf(api.CodeNotFound, "the sealer has not heard of a worker called %q", name).WithHint("it knows: %s", strings.Join(known, ", "))
	}
	sort.Slice(out, func(i, j int) bool { return out[i].ID < out[j].ID })
	return out, nil
}

func info(ctx context.Context, _ *cli.Command, c *sealerapi.SealerProxy, name string, p *render.Printer) error {
	list, err := find(ctx, c, name)
	if err != nil {
		return err
	}
	return p.Result(list, func() {
		for _, w := range list {
			p.Fields("Worker", w.ID, "Hostname", w.Info.Hostname, "Version", w.Version, "Enabled", w.Enabled, "Leaving", w.Leaving,
				"CPUs", fmt.Sprintf("%d, %d in use", w.Info.Resources.CPUs, w.CpuUse),
				"RAM", fmt.Sprintf("%s, %s in use", render.SizeUint(w.Info.Resources.MemPhysical), render.SizeUint(w.MemUsedMax)),
				"Tasks", strings.Join(w.Tasks, " "), "Disabled", strings.Join(w.Disabled, " "), "Paths", strings.Join(w.Reaches, " "), "Running", len(w.Jobs))
			for _, j := range w.Jobs {
				p.Line("\t%s since %s", j.ID.ID, j.Start.Local().Format(time.DateTime))
			}
		}
	})
}

func set(ctx context.Context, cmd *cli.Command, c *sealerapi.SealerProxy, name string, p *render.Printer) error {
	return change(ctx, c, name, p, func(s *sealerapi.WorkerSettings) error {
		s.Enabled = cmd.Bool("enabled")
		return nil
	})
}

// kinds takes kinds of tasks from a worker, or gives them back.
func kinds(enable bool) func(context.Context, *cli.Command, *sealerapi.SealerProxy, string, *render.Printer) error {
	return func(ctx context.Context, cmd *cli.Command, c *sealerapi.SealerProxy, name string, p *render.Printer) error {
		if cmd.Args().Len() == 0 {
			return render.Usage("name kinds of tasks: AP PC1 PC2 C1 C2 FIN RU PRU WDP")
		}
		return change(ctx, c, name, p, func(s *sealerapi.WorkerSettings) error {
			for _, k := range cmd.Args().Slice() {
				k = strings.ToUpper(k)
				s.DisabledTasks = slices.DeleteFunc(s.DisabledTasks, func(have string) bool { return have == k })
				if !enable {
					s.DisabledTasks = append(s.DisabledTasks, k)
				}
			}
			return nil
		})
	}
}

func change(ctx context.Context, c *sealerapi.SealerProxy, name string, p *render.Printer, f func(*sealerapi.WorkerSettings) error) error {
	s, err := c.WorkerGet(ctx, name)
	if err != nil {
		return err
	}
	if err := f(&s); err != nil {
		return err
	}
	if err := c.WorkerSet(ctx, name, s); err != nil {
		return err
	}
	return p.Result(s, func() {
		switch {
		case !s.Enabled:
			p.Note("workers called %s get no new tasks; 'venus-worker wait-quiet' waits for those they have", name)
		case len(s.DisabledTasks) > 0:
			p.Note("workers called %s get tasks, but none of %s", name, strings.Join(s.DisabledTasks, " "))
		default:
			p.Note("workers called %s get tasks of all kinds they take", name)
		}
	})
}

// lookAgain is the pause between two looks at a worker.
const lookAgain = 2 * time.Second

func waitQuiet(ctx context.Context, _ *cli.Command, c *sealerapi.SealerProxy, name string, p *render.Printer) error {
	last := -1
	for {
		list, err := find(ctx, c, name)
		if err != nil {
			return err
		}
		n, enabled := 0, false
		for _, w := range list {
			n += len(w.Jobs)
			enabled = enabled || w.Enabled && !w.Leaving
		}
		if n == 0 {
			return p.Result(map[string]bool{"quiet": true}, func() { p.Note("workers called %s have no tasks", name) })
		}
		if n != last && !p.JSON() {
			last = n
			p.Note("%d task(s) run", n)
			if enabled {
				p.Warn("new ones may come: venus-worker set --enabled=false keeps them away")
			}
		}
		if err := clock.Real().Sleep(ctx, lookAgain); err != nil {
			return fmt.Errorf("wait for the worker: %w", err)
		}
	}
}

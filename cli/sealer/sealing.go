package sealer

import (
	"context"
	"fmt"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/urfave/cli/v3"

	"github.com/filecoin-venus/venus/api"
	sealerapi "github.com/filecoin-venus/venus/api/sealer"
	"github.com/filecoin-venus/venus/cli/render"
)

func sealingCommand(d Deps) *cli.Command {
	return &cli.Command{Name: "sealing", Usage: "who seals what", Commands: []*cli.Command{
		{Name: "jobs", Usage: "list the tasks that run and wait, and what they take", Flags: []cli.Flag{
			&cli.BoolFlag{Name: "show-ret-done", Usage: "also tasks that ended and whose result is being taken"},
		}, Action: action(d, jobs)},
		{Name: "workers", Usage: "list the workers, and how busy their machines are", Action: action(d, workers)},
		{Name: "why", Usage: "why a task does not run, worker by worker", ArgsUsage: "TASK|SECTOR", Action: action(d, why)},
		{Name: "abort", Usage: "give a task up; its sector tries again later", ArgsUsage: "TASK", Action: action(d, abort)},
		{Name: "sched-diag", Usage: "print the inner state of queue and planner as JSON", Action: action(d, func(ctx context.Context, _ *cli.Command, c *client, p *render.Printer) error {
			v, err := c.SealingSchedDiag(ctx)
			if err != nil {
				return err
			}
			return p.Value(v)
		})},
	}}
}

func abort(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error {
	if cmd.Args().Len() != 1 {
		return render.Usage("name one task: sealing abort TASK; 'sealing jobs' lists them")
	}
	if err := c.SealingAbort(ctx, cmd.Args().First()); err != nil {
		return err
	}
	return p.Result(map[string]string{"aborted": cmd.Args().First()}, func() { p.Note("aborted task %s", cmd.Args().First()) })
}

func jobs(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error {
	m, err := c.WorkerJobs(ctx)
	if err != nil {
		return err
	}
	for w, list := range m {
		kept := []sealerapi.WorkerJob{}
		for _, j := range list {
			if j.RunWait != sealerapi.JobReturned || cmd.Bool("show-ret-done") {
				kept = append(kept, j)
			}
		}
		m[w] = kept
	}
	return p.Result(m, func() { printJobs(p, m) })
}

// printJobs lists what runs, then what waits, the oldest first.
func printJobs(p *render.Printer, m map[string][]sealerapi.WorkerJob) {
	type line struct {
		worker string
		j      sealerapi.WorkerJob
	}
	var lines []line
	for w, list := range m {
		for _, j := range list {
			lines = append(lines, line{w, j})
		}
	}
	sort.Slice(lines, func(i, j int) bool {
		a, b := lines[i].j, lines[j].j
		if (a.RunWait > 0) != (b.RunWait > 0) {
			return b.RunWait > 0
		}
		return a.Start.Before(b.Start)
	})
	t := render.NewTable("ID", "Sector", "Worker", "Hostname", "Task", "State", "Time", ">Cores", ">Memory")
	for _, l := range lines {
		sector := sectorName(l.j.Sector.Number)
		if l.j.Sector.Miner == 0 {
			sector = "" // a proof of many
		}
		t.Row(l.j.ID.ID, sector, short(l.worker), l.j.Hostname, l.j.Task, jobState(l.j.RunWait), render.Took(now().Sub(l.j.Start).Truncate(time.Second)), l.j.Cores, render.SizeUint(l.j.Memory))
	}
	p.Table(t)
}

// short is the part of a worker's id that tells it from others.
func short(id string) string {
	id = strings.TrimPrefix(id, "built-in-")
	if i := strings.IndexByte(id, '-'); i == 8 {
		return id[:i]
	}
	return id
}

func jobState(wait int) string {
	switch {
	case wait > 0:
		return fmt.Sprintf("waiting(%d)", wait)
	case wait == 0:
		return "running"
	}
	return "returned"
}

func workers(ctx context.Context, _ *cli.Command, c *client, p *render.Printer) error {
	m, err := c.WorkerStats(ctx)
	if err != nil {
		return err
	}
	return p.Result(m, func() {
		ids := make([]string, 0, len(m))
		for id := range m {
			ids = append(ids, id)
		}
		sort.Slice(ids, func(i, j int) bool {
			if a, b := m[ids[i]].Info.Hostname, m[ids[j]].Info.Hostname; a != b {
				return a < b
			}
			return ids[i] < ids[j]
		})
		for _, id := range ids {
			printWorker(p, id, m[id])
		}
		if len(ids) == 0 {
			p.Note("no worker was heard of; start one with: venus-worker run")
		}
	})
}

// loadBar is the width of the bars of cores and memory.
const loadBar = 64

func printWorker(p *render.Printer, id string, w sealerapi.WorkerStats) {
	var marks []string
	for _, m := range []struct {
		on   bool
		text string
	}{{!w.Enabled, "disabled"}, {w.Leaving, "leaving"}, {w.Silent, p.Red("silent for " + render.Took(now().Sub(w.LastSeen)))}, {!w.Remote, "built in"}} {
		if m.on {
			marks = append(marks, m.text)
		}
	}
	title := fmt.Sprintf("Worker %s, host %s", id, w.Info.Hostname)
	if len(marks) > 0 {
		title += " (" + strings.Join(marks, ", ") + ")"
	}
	p.Line("%s", title)
	r := w.Info.Resources
	p.Line("\tCPU:  %s %d/%d core(s) in use", render.Bar(share(w.CpuUse, r.CPUs), loadBar), w.CpuUse, r.CPUs)
	p.Line("\tRAM:  %s %.0f%% %s/%s", render.Bar(share(w.MemUsedMax, r.MemPhysical), loadBar), 100*share(w.MemUsedMax, r.MemPhysical), render.SizeUint(w.MemUsedMax), render.SizeUint(r.MemPhysical))
	tasks := make([]string, 0, len(w.Tasks))
	for _, k := range w.Tasks {
		if n := w.Limits[k]; n > 0 {
			k = fmt.Sprintf("%s=%d", k, n)
		}
		tasks = append(tasks, k)
	}
	line := fmt.Sprintf("running: %d; takes: %s", w.Running, strings.Join(tasks, " "))
	if w.Slots > 0 {
		line += fmt.Sprintf("; at most %d at once", w.Slots)
	}
	if len(w.Disabled) > 0 {
		line += "; disabled: " + strings.Join(w.Disabled, " ")
	}
	p.Line("\t%s", line)
	if w.PassedOver != "" {
		p.Line("\t%s", p.Red(fmt.Sprintf("no window proofs for %s: %s", render.Took(w.PassedUntil.Sub(now()).Truncate(time.Second)), w.PassedOver)))
	}
	p.Line("\treaches %d storage path(s): %s", len(w.Reaches), strings.Join(w.Reaches, " "))
}

func share(used, all uint64) float64 {
	if all == 0 {
		return 0
	}
	return min(float64(used)/float64(all), 1)
}

func why(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error {
	if cmd.Args().Len() != 1 {
		return render.Usage("name a task or a sector: sealing why TASK|SECTOR; 'sealing jobs' lists them")
	}
	id := cmd.Args().First()
	if n, err := strconv.ParseUint(id, 10, 63); err == nil {
		if id, err = jobOf(ctx, c, abi.SectorNumber(n)); err != nil {
			return err
		}
	}
	w, err := c.SealingWhy(ctx, id)
	if err != nil {
		return err
	}
	return p.Result(w, func() { printJobWhy(p, w) })
}

// jobOf finds the task of a sector; it has one at a time.
func jobOf(ctx context.Context, c *client, n abi.SectorNumber) (string, error) {
	m, err := c.WorkerJobs(ctx)
	if err != nil {
		return "", err
	}
	for _, list := range m {
		for _, j := range list {
			if j.Sector.Miner != 0 && j.Sector.Number == n {
				return j.ID.ID, nil
			}
		}
	}
	return "", api.Errorf(api.CodeNotFound, "sector %d waits for no task", n).WithHint("what it waits for tells: venus-sealer sectors why %d", n)
}

func printJobWhy(p *render.Printer, w sealerapi.JobWhy) {
	needs := fmt.Sprintf("%d core(s), %s of memory", w.Cores, render.SizeUint(w.Memory))
	if w.Disk > 0 {
		needs += fmt.Sprintf(", %s on disk", render.SizeUint(w.Disk))
	}
	if w.Path != "" {
		needs += ", files in " + w.Path
	}
	age := render.Took(now().Sub(w.Since).Truncate(time.Second))
	switch w.State {
	case "leased":
		p.Line("%s runs on %s (%s) since %s", w.ID, w.Hostname, w.Worker, age)
	case "queued":
		p.Line("%s waits since %s", w.ID, age)
	default:
		p.Line("%s is %s; its result is being taken", w.ID, w.State)
	}
	p.Line("It takes %s.", needs)
	if w.Losses > 0 {
		p.Line("%s", p.Yellow(fmt.Sprintf("%d worker(s) fell silent over it.", w.Losses)))
	}
	if w.Reason != "" {
		p.Line("It failed: %s", p.Red(w.Reason))
	}
	if w.State != "queued" {
		return
	}
	if len(w.Obstacles) == 0 {
		p.Line("%s", p.Red("No worker is there: start one with venus-worker run, or name tasks in Sealing.Tasks."))
		return
	}
	goesOn := false
	t := render.NewTable("Worker", "Hostname", "What keeps it")
	for _, o := range w.Obstacles {
		text := o.Reason
		if text == "" {
			text = p.Green("nothing: it is given the task now")
		}
		goesOn = goesOn || o.ForNow || o.Reason == ""
		t.Row(short(o.Worker), o.Hostname, text)
	}
	p.Table(t)
	if !goesOn {
		p.Line("%s", p.Red("Nothing of this goes away by itself."))
	}
}

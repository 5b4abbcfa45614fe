// Command venus-worker does proof work for a venus-sealer: it takes tasks over
// the sealer's API and works on sector files that both can reach.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"

	"github.com/google/uuid"
	logging "github.com/ipfs/go-log/v2"
	"github.com/shirou/gopsutil/v4/mem"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/cli/connect"
	"github.com/filecoin-venus/venus/cli/render"
	cliworker "github.com/filecoin-venus/venus/cli/worker"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/proofs/machine"
	"github.com/filecoin-venus/venus/proofs/prove"
	"github.com/filecoin-venus/venus/rpc"
	"github.com/filecoin-venus/venus/sealer/sector"
	"github.com/filecoin-venus/venus/worker"
)

const version = "1.0.0"

var log = logging.Logger("main")

func main() {
	render.Main(cliworker.App(version, cliworker.Deps{Run: run, Detect: machine.Detect, Measure: machine.Measure, Seal: machine.Seal}))
}

// run works until the first signal, then lets running tasks finish; a second
// signal gives them back.
func run(ctx context.Context, o cliworker.RunOptions) error {
	_ = logging.SetLogLevel("*", "info") // "info" exists
	token, err := connect.Secret("token", o.Token)
	if err != nil {
		return api.Errorf(api.CodeInvalid, "%w", err).WithHint("on the sealer's machine the token is in its directory, file token")
	}
	kinds, err := kindsOf(o.Tasks)
	if err != nil {
		return err
	}
	tasks := new(worker.TasksProxy)
	stop, err := rpc.Dial(o.Sealer, token, worker.Namespace, tasks, rpc.DialOptions{Service: "venus-sealer", Path: worker.Path})
	if err != nil {
		return fmt.Errorf("--sealer: %w", err)
	}
	defer stop()
	network, err := meet(ctx, tasks)
	if err != nil {
		return err
	}
	sealer, refused := worker.NewSealer(network, worker.Options{ParentCache: o.ParentCache, Proofs: prove.Backend(o.Proofs), Clock: clock.Real()})
	if refused != nil {
		log.Warnf("this program can seal but not prove on network %s: %v", network.Name, refused)
	}
	defer sealer.Close()
	info := describe(o, kinds)
	log.Infof("venus-worker %s takes %v for the sealer at %s, %d at once, network %s", info.Hostname, kinds, o.Sealer, info.Slots, network.Name)
	abort, cancel := signal.NotifyContext(context.Background(), syscall.SIGQUIT)
	defer cancel()
	again := make(chan os.Signal, 1)
	context.AfterFunc(ctx, func() {
		log.Info("no new tasks are taken; running ones finish (a second signal gives them back)")
		signal.Notify(again, os.Interrupt, syscall.SIGTERM)
	})
	go func() {
		<-again
		cancel()
	}()
	e := &worker.Executor{Source: tasks, Prover: worker.SealProver{Sealer: sealer}, Info: info, Clock: clock.Real()}
	e.Run(ctx, abort)
	return nil
}

// meet waits for the sealer and learns its network.
func meet(ctx context.Context, tasks worker.Networker) (params.Network, error) {
	said := ""
	for {
		n, err := tasks.TaskNetwork(ctx)
		if err == nil || api.Explain(err).Code != api.CodeUnavailable {
			return n, err
		}
		if err.Error() != said {
			said = err.Error()
			log.Warnf("waiting for the sealer: %v", err)
		}
		if err := clock.Real().Sleep(ctx, worker.RetryPause); err != nil {
			return params.Network{}, fmt.Errorf("wait for the sealer: %w", err)
		}
	}
}

func describe(o cliworker.RunOptions, kinds []sector.TaskKind) worker.Info {
	info := worker.Info{ID: uuid.NewString(), Hostname: o.Name, Kinds: kinds, Slots: o.Slots, CPUs: runtime.NumCPU()}
	if info.Slots <= 0 {
		info.Slots = max(1, info.CPUs/2)
	}
	if info.Hostname == "" {
		if h, err := os.Hostname(); err == nil {
			info.Hostname = h
		}
	}
	if m, err := mem.VirtualMemory(); err == nil {
		info.Memory = m.Total
	}
	return info
}

func kindsOf(names []string) ([]sector.TaskKind, error) {
	if len(names) == 0 {
		return sector.TaskKinds(), nil
	}
	var out []sector.TaskKind
	for _, list := range names {
		for _, name := range strings.Split(list, ",") {
			k := sector.TaskKind(strings.ToUpper(strings.TrimSpace(name)))
			known := false
			for _, have := range sector.TaskKinds() {
				known = known || have == k
			}
			if !known {
				return nil, render.Usage("--tasks %q: want some of %v", name, sector.TaskKinds())
			}
			out = append(out, k)
		}
	}
	return out, nil
}

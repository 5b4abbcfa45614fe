// Command venus-worker does proof work for a venus-sealer: it joins through
// the sealer's API, gets tasks over NATS, and works on sector files that both can
// reach, or on disks of its own (--path).
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	logging "github.com/ipfs/go-log/v2"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/cli/connect"
	"github.com/filecoin-venus/venus/cli/render"
	cliworker "github.com/filecoin-venus/venus/cli/worker"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/proofs/machine"
	"github.com/filecoin-venus/venus/proofs/prove"
	"github.com/filecoin-venus/venus/rpc"
	"github.com/filecoin-venus/venus/sealer/sched"
	"github.com/filecoin-venus/venus/sealer/sector"
	"github.com/filecoin-venus/venus/sealer/store"
	"github.com/filecoin-venus/venus/worker"
	"github.com/filecoin-venus/venus/worker/bus"
	"github.com/filecoin-venus/venus/worker/own"
)

const version = "1.0.0"

// openTimeout is how long a sector may take to be opened for a window proof before it counts as faulty from here.
const openTimeout = 5 * time.Minute

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
	if o.WindowPoSt && !slices.Contains(kinds, sched.WindowPoSt) {
		kinds = append(kinds, sched.WindowPoSt)
	}
	limits, err := limitsOf(o.Limits)
	if err != nil {
		return err
	}
	login, err := o.NATS.Read(cliworker.NATSFlag)
	if err != nil {
		return render.Usage("%w", err)
	}
	paths, err := own.Open(o.Paths, store.Options{})
	if err != nil {
		return render.Usage("--path: %w", err)
	}
	welcome, err := join(ctx, o.Sealer, token)
	if err != nil {
		return err
	}
	network := welcome.Network
	sealer, refused := worker.NewSealer(network, worker.Options{ParentCache: o.ParentCache, Proofs: prove.Backend(o.Proofs), SectorTimeout: openTimeout, Clock: clock.Real()})
	if refused != nil {
		log.Warnf("this program can seal but not prove on network %s: %v", network.Name, refused)
	}
	defer sealer.Close()
	info := describe(o, kinds, limits)
	conn, err := bus.Connect(welcome, o.Sealer, token, "venus-worker "+info.Hostname, login)
	if err != nil {
		return err
	}
	defer conn.Close()
	source, err := bus.NewClient(conn, welcome.Bus)
	if err != nil {
		return err
	}
	for _, h := range paths {
		if err := source.ServePath(h.ID, h.Answer); err != nil {
			return err
		}
	}
	log.Infof("venus-worker %s takes %v for the sealer at %s, network %s", info.Hostname, kinds, o.Sealer, network.Name)
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
	e := &worker.Executor{Source: source, Prover: worker.SealProver{Sealer: sealer, Own: own.Places(paths)}, Info: info, Own: own.Places(paths), Clock: clock.Real()}
	e.Run(ctx, abort)
	return nil
}

// join waits for the sealer and learns what it must know.
func join(ctx context.Context, endpoint, token string) (worker.Welcome, error) {
	door := new(worker.JoinProxy)
	stop, err := rpc.Dial(endpoint, token, worker.Namespace, door, rpc.DialOptions{Service: "venus-sealer", Path: worker.JoinPath})
	if err != nil {
		return worker.Welcome{}, fmt.Errorf("--sealer: %w", err)
	}
	defer stop()
	said := ""
	for {
		w, err := door.Join(ctx)
		if err == nil || api.Explain(err).Code != api.CodeUnavailable {
			return w, err
		}
		if err.Error() != said {
			said = err.Error()
			log.Warnf("waiting for the sealer: %v", err)
		}
		if err := clock.Real().Sleep(ctx, worker.RetryPause); err != nil {
			return worker.Welcome{}, fmt.Errorf("wait for the sealer: %w", err)
		}
	}
}

// describe tells what this worker offers. Who says how much, offers a share of
// its own; else the workers of a machine share all of it.
func describe(o cliworker.RunOptions, kinds []sector.TaskKind, limits map[sector.TaskKind]int) worker.Info {
	info := worker.Here("", o.Name)
	info.Kinds, info.Limits, info.Slots, info.Version = kinds, limits, o.Slots, version
	if o.Cores > 0 || o.Memory > 0 {
		info.Machine = info.ID
	}
	if o.Cores > 0 {
		info.CPUs = o.Cores
	}
	if o.Memory > 0 {
		info.Memory = o.Memory
	}
	return info
}

// limitsOf reads limits such as PC1=2.
func limitsOf(list []string) (map[sector.TaskKind]int, error) {
	out := map[sector.TaskKind]int{}
	for _, all := range list {
		for _, one := range strings.Split(all, ",") {
			name, number, ok := strings.Cut(one, "=")
			n, err := strconv.Atoi(number)
			kinds, bad := kindsOf([]string{name})
			if !ok || err != nil || n < 1 || bad != nil {
				return nil, render.Usage("--limit %q: want KIND=NUMBER such as PC1=2", one)
			}
			out[kinds[0]] = n
		}
	}
	return out, nil
}

func kindsOf(names []string) ([]sector.TaskKind, error) {
	if len(names) == 0 {
		return sector.TaskKinds(), nil
	}
	var out []sector.TaskKind
	for _, list := range names {
		for _, name := range strings.Split(list, ",") {
			k := sector.TaskKind(strings.ToUpper(strings.TrimSpace(name)))
			if all := append(sector.TaskKinds(), sched.WindowPoSt); !slices.Contains(all, k) {
				return nil, render.Usage("--tasks %q: want some of %v", name, all)
			}
			out = append(out, k)
		}
	}
	return out, nil
}

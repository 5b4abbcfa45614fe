package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/filecoin-project/go-state-types/abi"

	"github.com/filecoin-venus/venus/api"
	apinode "github.com/filecoin-venus/venus/api/node"
	"github.com/filecoin-venus/venus/chain"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/ipld"
)

// pruner drops what the node does not need from the store. How that is done without losing anything is told in
// ipld/collect.go; this is what the node needs and when it happens.
type pruner struct {
	reader
	disk   *ipld.Disk
	cfg    PruneConfig
	meters *nodeMeters
	clock  clock.Clock
	// grace is how long something that was written and belongs to no block yet is kept: a block that was made and not yet
	// submitted, say.
	grace time.Duration
	// life ends with the node; running is held while a pruning is under way.
	life    context.Context
	running sync.Mutex
}

// newPruner makes a pruner that ends with the node.
func (n *Node) newPruner(base reader, cfg PruneConfig, m *nodeMeters, o Options) *pruner {
	life, end := context.WithCancel(context.Background())
	p := &pruner{
		reader: base, disk: n.blocks, cfg: cfg, meters: m, clock: o.Clock, grace: cmp.Or(o.grace, graceEpochs*n.Network.BlockDelay), life: life,
	}
	n.opened.Then(func() {
		end()
		p.running.Lock() // until it has ended, and for good: the stores go next
	})
	return p
}

// graceEpochs is the usual grace, in epochs of the network.
const graceEpochs = 10

// keep is what stays. epochs is a wish of the moment, 0 for none.
func (p *pruner) keep(epochs abi.ChainEpoch) chain.Retention {
	return chain.Retention{
		Recent:          max(chain.NeededEpochs(&p.net), abi.ChainEpoch(p.cfg.KeepEpochs), epochs),
		SkipOldMessages: !p.cfg.KeepMessages,
	}
}

// run prunes once. Who asked for it and hangs up does not end it: it takes nothing from others, and half done it is of no
// use.
func (p *pruner) run(epochs abi.ChainEpoch) (out ipld.Collected, err error) {
	if !p.running.TryLock() {
		return out, ipld.ErrBusy
	}
	defer p.running.Unlock()
	ctx := p.life
	if err := ctx.Err(); err != nil {
		return out, err
	}
	began, keep := p.clock.Now(), p.keep(epochs)
	defer func() {
		p.meters.prune(out, err, p.clock.Now().Sub(began))
	}()
	out, err = p.disk.Collect(ctx, ipld.CollectOptions{
		Roots: func(ctx context.Context, leaf ipld.Leaf, graph ipld.Graph) error {
			return p.store.Roots(ctx, keep, leaf, graph)
		},
		Follow: chain.Below,
		Grace: func(ctx context.Context) error {
			return p.clock.Sleep(ctx, p.grace-p.clock.Now().Sub(began))
		},
		Still: func(fn func() error) error {
			return p.exec.Still(func() error {
				if err := p.store.Hold(fn); err != nil {
					return err
				}
				gone, err := p.exec.Forget(ctx)
				log.Debugw("forgot results of states that are gone", "results", gone)
				return err
			})
		},
	})
	if err != nil {
		return out, err
	}
	log.Infow("pruned the store", "keptEpochs", keep.Recent, "kept", out.Kept, "bytesBefore", out.Before, "bytesAfter", out.After, "took", p.clock.Now().Sub(began).Round(time.Millisecond))
	return out, nil
}

// due tells whether it is time: since the last pruning so much time passed, or so many MiB were written, of which so many
// are not to be counted.
func (c PruneConfig) due(since time.Duration, hot, grown uint64) bool {
	return c.EveryHours > 0 && since >= time.Duration(c.EveryHours)*time.Hour || c.AboveMiB > 0 && hot >= grown+c.AboveMiB
}

// pruneLook is how often is looked whether a pruning is due.
const pruneLook = time.Minute

// follow prunes when the configuration says so, until the context ends.
func (p *pruner) follow(ctx context.Context) {
	if p.cfg.EveryHours == 0 && p.cfg.AboveMiB == 0 {
		return
	}
	last, grown := p.clock.Now(), uint64(0)
	for p.clock.Sleep(ctx, pruneLook) == nil {
		if !p.cfg.due(p.clock.Now().Sub(last), uint64(p.disk.Usage().Hot)>>20, grown) {
			continue
		}
		_, err := p.run(0)
		if errors.Is(err, ipld.ErrBusy) {
			continue
		}
		last, grown = p.clock.Now(), 0
		if err != nil && ctx.Err() == nil {
			log.Errorw("the store could not be pruned; nothing of it is lost", "error", err)
			grown = uint64(p.disk.Usage().Hot) >> 20 // not again before as much has come
		}
	}
}

func (a objectAPI) ChainPrune(_ context.Context, o apinode.PruneOpts) (apinode.PruneResult, error) {
	if o.RetainState < -1 {
		return apinode.PruneResult{}, api.Errorf(api.CodeInvalid, "prune: keep the states of %d epochs", o.RetainState)
	}
	out, err := a.prune.run(abi.ChainEpoch(max(o.RetainState, 0)))
	if errors.Is(err, ipld.ErrBusy) {
		return apinode.PruneResult{}, api.Errorf(api.CodeConflict, "prune: %w", err).WithHint("wait until it has ended")
	}
	if err != nil {
		return apinode.PruneResult{}, fmt.Errorf("prune: %w", err)
	}
	return apinode.PruneResult{Kept: out.Kept, KeptBytes: out.KeptBytes, Before: out.Before, After: out.After}, nil
}

// prune counts a pruning.
func (m *nodeMeters) prune(out ipld.Collected, err error, took time.Duration) {
	m.pruneTime.Set(took.Seconds())
	if err != nil {
		m.prunings.WithLabelValues("failed").Inc()
		return
	}
	m.prunings.WithLabelValues("ok").Inc()
	m.pruned.Add(float64(max(out.Before-out.After, 0)))
}

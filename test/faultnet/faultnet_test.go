//go:build linux

package faultnet

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/types"
)

// Environment of the test.
const (
	lengthEnv = "VENUS_FAULTNET"
	seedEnv   = "VENUS_FAULTNET_SEED"
	dirEnv    = "VENUS_FAULTNET_DIR"
)

const (
	defaultLength = time.Minute
	defaultSeed   = 1
)

func settings(t *testing.T) (length time.Duration, seed uint64, dir string) {
	t.Helper()
	length, seed = defaultLength, defaultSeed
	var err error
	if s := os.Getenv(lengthEnv); s != "" {
		length, err = time.ParseDuration(s)
		require.NoError(t, err, lengthEnv)
	}
	if s := os.Getenv(seedEnv); s != "" {
		seed, err = strconv.ParseUint(s, 10, 64)
		require.NoError(t, err, seedEnv)
	}
	if end, ok := t.Deadline(); ok && time.Until(end) < length+patience {
		t.Fatalf("a run of %s needs go test -timeout %s or more", length, length+2*patience)
	}
	if dir = os.Getenv(dirEnv); dir == "" {
		dir = t.TempDir()
	}
	dir, err = filepath.Abs(dir)
	require.NoError(t, err)
	return length, seed, dir
}

// TestFaultNet is the whole story: rounds of faults, and after each one head within ten epochs.
func TestFaultNet(t *testing.T) {
	if testing.Short() {
		t.Skip("five nodes for a minute; VENUS_FAULTNET=30m makes it half an hour")
	}
	length, seed, dir := settings(t)
	w := newWorld(t, dir, length)
	rounds := plan(seed, int(length/blockDelay), nodeCount, w.diskNode >= 0)
	t.Logf("seed %d, %s, %d rounds, epochs of %s", seed, length, len(rounds), blockDelay)
	w.newNodes()
	for _, n := range w.nodes {
		n.dial()
	}
	var miners []*miner
	for _, n := range w.nodes {
		miners = append(miners, w.newMiner(n))
	}
	tr := &trunk{byHeight: map[abi.ChainEpoch]*types.TipSet{}}
	w.converge(w.epoch(), 6*convergence) // the start is no healing
	w.grow(tr)
	slowest := abi.ChainEpoch(0)
	for i, r := range rounds {
		took := w.play(i, r, tr, miners)
		slowest = max(slowest, took)
		if t.Failed() {
			return
		}
	}
	w.nobodyIsKeptOut()
	mined := tr.mined(miners)
	for i, n := range mined {
		require.Positive(t, n, "miner %d has no block on the chain", i)
	}
	var sent int64
	for _, m := range miners {
		sent += m.sent.Load()
	}
	var memory []int
	for _, n := range w.nodes {
		memory = append(memory, n.rss())
	}
	w.proxy.mu.Lock()
	stats := w.proxy.stats
	w.proxy.mu.Unlock()
	t.Logf("seed %d: %d rounds, one head after at most %d epochs; %d tipsets with equal states; tipsets with blocks of each miner %v; %d payments sent; connections %+v; MiB of memory %v",
		seed, len(rounds), slowest, len(tr.byHeight), mined, sent, stats, memory)
}

// play plays a round and returns after how many epochs the nodes had one head again.
func (w *world) play(number int, r round, tr *trunk, miners []*miner) abi.ChainEpoch {
	w.t.Logf("round %d at epoch %d, %d epochs", number, w.epoch(), r.epochs)
	for _, f := range r.faults {
		w.t.Logf("  %s", f)
	}
	start := w.epoch() + 1
	before := w.heads()
	for e := range r.epochs {
		w.until(start + abi.ChainEpoch(e))
		for _, f := range r.faults {
			if f.from == e {
				w.begin(f)
			}
			if f.until == e {
				w.end(f)
			}
			if f.kind == resets && f.from <= e && e < f.until {
				w.proxy.resetSome(f.part)
			}
		}
		for i, m := range miners {
			go func() { _ = m.pay(w.t.Context(), w.nodes[i], miners[(i+1)%len(miners)].addr) }()
		}
	}
	w.until(start + abi.ChainEpoch(r.epochs))
	parted := w.heads()
	w.bothSidesMined(r, before, parted)
	for _, f := range r.faults {
		if f.until == r.epochs {
			w.end(f)
		}
	}
	healed := w.epoch()
	began := time.Now()
	took := w.converge(healed, convergence)
	seconds := time.Since(began).Seconds()
	w.until(w.epoch() + calm)
	w.grow(tr)
	var undone []string
	for i, h := range parted {
		if h == nil {
			undone = append(undone, "-")
			continue
		}
		n, err := w.undone(tr, w.nodes[i], h)
		require.NoError(w.t, err)
		undone = append(undone, fmt.Sprint(n))
	}
	w.t.Logf("  healed at epoch %d with heads %s; one head after %d epochs, %.1f s; epochs undone %v", healed, heights(parted), took, seconds, undone)
	return took
}

// bothSidesMined checks that a long partition had blocks on both of its sides.
func (w *world) bothSidesMined(r round, before, after []*types.TipSet) {
	for _, f := range r.faults {
		if f.kind != partition || len(r.faults) > 1 || r.epochs < 20 {
			continue
		}
		for i := range w.nodes {
			if before[i] != nil && after[i] != nil {
				require.Greater(w.t, after[i].Height(), before[i].Height(), "node %d got no block in %d epochs", i, r.epochs)
			}
		}
	}
}

// begin makes something go wrong.
func (w *world) begin(f fault) {
	n := w.nodes[f.node]
	switch f.kind {
	case partition:
		w.proxy.set(func(a, b int, l *line) {
			if f.side[a] != f.side[b] {
				l.cut, l.hold = !f.hold, f.hold
			}
		}, nodeCount)
	case trouble:
		w.proxy.set(func(_, _ int, l *line) {
			l.delay, l.jitter, l.loss, l.rate = f.line.delay, f.line.jitter, f.line.loss, f.line.rate
		}, nodeCount)
	case halfOpen:
		w.proxy.set(func(a, b int, l *line) { l.hold = l.hold || a == f.node || b == f.node }, nodeCount)
	case kill:
		n.down = true
		n.kill()
	case freeze:
		n.signal(syscall.SIGSTOP)
	case diskFull:
		w.fillDisk()
	case wrongTime:
		w.setClock(n, f.offset)
	}
}

// end undoes what begin did. Lines are whole again only when nothing else is wrong with them.
func (w *world) end(f fault) {
	n := w.nodes[f.node]
	switch f.kind {
	case partition:
		w.proxy.set(func(a, b int, l *line) {
			if f.side[a] != f.side[b] {
				l.cut, l.hold = false, false
			}
		}, nodeCount)
	case trouble:
		w.proxy.set(func(_, _ int, l *line) { l.delay, l.jitter, l.loss, l.rate = 0, 0, 0, 0 }, nodeCount)
	case halfOpen:
		w.proxy.set(func(a, b int, l *line) {
			if a == f.node || b == f.node {
				l.hold = false
			}
		}, nodeCount)
	case kill:
		n.down = false
		n.start()
	case freeze:
		n.signal(syscall.SIGCONT)
	case diskFull:
		w.emptyDisk()
	case wrongTime:
		w.setClock(n, 0)
	}
}

// setClock starts a node again with a clock that is wrong by so much. Its miner has the same clock.
func (w *world) setClock(n *node, by time.Duration) {
	n.offset.Store(int64(by))
	if n.down {
		return
	}
	n.kill()
	n.start()
}

//go:build linux

package faultnet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/types"
)

// heads asks all nodes at once; nil for those that do not answer.
func (w *world) heads() []*types.TipSet {
	ctx, cancel := context.WithTimeout(w.t.Context(), 2*blockDelay)
	defer cancel()
	out := make([]*types.TipSet, len(w.nodes))
	var wg sync.WaitGroup
	for i, n := range w.nodes {
		wg.Go(func() {
			if head, err := n.rpc.ChainHead(ctx); err == nil {
				out[i] = head
			}
		})
	}
	wg.Wait()
	return out
}

// together says why the nodes are not on one chain above a height; nil when the lowest head is on everybody's chain. They
// are asked one after the other, so heads may be a tipset apart.
func (w *world) together(above abi.ChainEpoch) (lowest, highest abi.ChainEpoch, err error) {
	heads := w.heads()
	var low *types.TipSet
	for i, h := range heads {
		if h == nil {
			return 0, 0, fmt.Errorf("node %d does not answer", i)
		}
		if low == nil || h.Height() < low.Height() {
			low = h
		}
		highest = max(highest, h.Height())
	}
	if low.Height() <= above {
		return low.Height(), highest, fmt.Errorf("heads %s, not all above %d", heights(heads), above)
	}
	ctx, cancel := context.WithTimeout(w.t.Context(), 5*blockDelay)
	defer cancel()
	for i, n := range w.nodes {
		if heads[i].Key() == low.Key() {
			continue
		}
		ts, err := n.rpc.ChainGetTipSetByHeight(ctx, low.Height(), heads[i].Key())
		if err != nil {
			return low.Height(), highest, fmt.Errorf("node %d: %w", i, err)
		}
		if ts.Key() != low.Key() {
			return low.Height(), highest, fmt.Errorf("heads %s; at %d node %d has another tipset", heights(heads), low.Height(), i)
		}
	}
	return low.Height(), highest, nil
}

func heights(heads []*types.TipSet) string {
	var out []abi.ChainEpoch
	for _, h := range heads {
		if h == nil {
			out = append(out, -1)
			continue
		}
		out = append(out, h.Height())
	}
	return fmt.Sprint(out)
}

// patience bounds what waits for the chain, in time: a slow machine makes blocks late, and what counts is their epochs.
const patience = 4 * time.Minute

// converge waits until all nodes have one chain that goes on after an epoch, and returns how many epochs the furthest node
// was on by then: the chain's own measure, which a slow machine does not stretch.
func (w *world) converge(healed, within abi.ChainEpoch) abi.ChainEpoch {
	w.t.Helper()
	var took abi.ChainEpoch
	w.eventually(patience, fmt.Sprintf("a single head after epoch %d", healed), func(context.Context) error {
		_, high, err := w.together(healed)
		if w.t.Failed() { // a node died; it has said why
			w.t.FailNow()
		}
		if took = high - healed; took > within {
			w.t.Fatalf("no single head within %d epochs after epoch %d: at %d (%v)", within, healed, high, err)
		}
		return err
	})
	return took
}

// trunk is what all nodes agree on: tipsets by height, from the genesis on.
type trunk struct {
	byHeight map[abi.ChainEpoch]*types.TipSet
	top      abi.ChainEpoch
}

// errReorganised: the chain was still moving where it was looked at.
var errReorganised = errors.New("the nodes differ below their heads")

// grow walks every node's chain from below its head down to what was compared before, and compares keys, states and
// receipts.
func (w *world) grow(tr *trunk) {
	w.t.Helper()
	w.eventually(patience, "the nodes have one chain", func(ctx context.Context) error {
		lowest, _, err := w.together(tr.top)
		if err != nil {
			return err
		}
		chains := make([][]*types.TipSet, len(w.nodes))
		for i, n := range w.nodes {
			ts, err := n.rpc.ChainGetTipSetByHeight(ctx, lowest-1, types.EmptyTSK)
			for err == nil && ts.Height() > tr.top {
				chains[i] = append(chains[i], ts)
				ts, err = n.rpc.ChainGetTipSet(ctx, ts.Parents())
			}
			if err != nil {
				return fmt.Errorf("node %d: %w", i, err)
			}
			if old := tr.byHeight[tr.top]; old != nil && old.Key() != ts.Key() {
				w.t.Fatalf("node %d has left the tipset at %d that all agreed on", i, tr.top)
			}
			if len(chains[i]) != len(chains[0]) {
				return errReorganised
			}
		}
		for k, ts := range chains[0] {
			for i := range chains {
				if chains[i][k].Key() != ts.Key() {
					return errReorganised
				}
				require.Equal(w.t, ts.ParentState(), chains[i][k].ParentState(), "state below %d at node %d", ts.Height(), i)
				require.Equal(w.t, ts.Blocks()[0].ParentMessageReceipts, chains[i][k].Blocks()[0].ParentMessageReceipts)
			}
		}
		for _, ts := range chains[0] {
			tr.byHeight[ts.Height()] = ts
			tr.top = max(tr.top, ts.Height())
		}
		return nil
	})
}

// undone is how many epochs of a node's chain the agreement took away, for the head that it had before.
func (w *world) undone(tr *trunk, n *node, head *types.TipSet) (abi.ChainEpoch, error) {
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	ts := head
	for {
		if agreed := tr.byHeight[ts.Height()]; ts.Height() == 0 || agreed != nil && agreed.Key() == ts.Key() {
			return head.Height() - ts.Height(), nil
		}
		var err error
		if ts, err = n.rpc.ChainGetTipSet(ctx, ts.Parents()); err != nil {
			return 0, err
		}
	}
}

// nobodyIsKeptOut: faults of lines and machines are no faults of peers.
func (w *world) nobodyIsKeptOut() {
	w.t.Helper()
	for i, n := range w.nodes {
		faults, err := n.rpc.NetFaults(w.t.Context())
		require.NoError(w.t, err)
		for _, f := range faults {
			require.Nil(w.t, f.BannedUntil, "node %d keeps %s out: %s", i, f.ID, f.Reason)
		}
	}
}

// mined counts the blocks of each miner on the chain that all agree on.
func (tr *trunk) mined(miners []*miner) (out []int) {
	for _, m := range miners {
		count := 0
		for _, ts := range tr.byHeight {
			if slices.ContainsFunc(ts.Blocks(), func(b *types.BlockHeader) bool { return b.Miner == m.id }) {
				count++
			}
		}
		out = append(out, count)
	}
	return out
}

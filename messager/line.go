package messager

import (
	"context"
	"errors"
	"fmt"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/google/uuid"

	"github.com/filecoin-venus/venus/messager/machine"
	"github.com/filecoin-venus/venus/messager/store"
	"github.com/filecoin-venus/venus/types"
)

const (
	// gapPatience is for how many epochs a nonce must be missing before it is
	// repaired: the message that used it may be on its way between nodes.
	gapPatience = 2
	// maxFillers bounds the messages made for a gap at once.
	maxFillers = 10
	// fillerUser is who asks for a message that only fills a gap.
	fillerUser = "venus-messager"
)

// gap is a missing nonce, and the epoch it was first missed at.
type gap struct {
	nonce uint64
	since abi.ChainEpoch
	open  bool
}

// line is a sender's nonces as node and database know them.
type line struct {
	// node is the next nonce from the node's view, pending messages included.
	node uint64
	// next is the nonce to give out, holes the missing ones below it.
	next  uint64
	holes []uint64
	// settled tells that next and holes have been so for long enough to act on them.
	settled bool
}

// look compares the node's view of a sender's nonces with the database's.
func (w *worker) look(ctx context.Context, sender store.Sender, node uint64) (line, error) {
	signed, err := w.s.db.Nonces(ctx, w.addr, node)
	if err != nil {
		return line{}, err
	}
	l := line{node: node}
	l.holes, l.next = machine.Line(node, signed)
	missing, first := len(l.holes) > 0, l.next
	if missing {
		first = l.holes[0]
	}
	if !missing && sender.NextNonce <= l.next {
		w.gap = gap{}
		l.settled = true
		return l, nil
	}
	head := abi.ChainEpoch(0)
	if ts := w.s.Head(); ts != nil {
		head = ts.Height()
	}
	if !w.gap.open || w.gap.nonce != first || head < w.gap.since {
		w.gap = gap{nonce: first, since: head, open: true}
	}
	l.settled = head-w.gap.since >= gapPatience
	if l.settled && sender.NextNonce > l.next {
		log.Warnw("nonces were skipped and nobody uses them; they are given out after all", "from", w.addr, "ours", sender.NextNonce, "node", l.next)
	}
	return l, nil
}

// keepLine looks after what is under way, once a head: what the node's pool has lost
// is pushed again, and nonces that nobody uses are filled.
func (w *worker) keepLine(ctx context.Context, sender store.Sender, underway []machine.Message) error {
	head := w.s.Head()
	if head == nil || len(underway) == 0 || head.Key() == w.lined {
		return nil
	}
	cctx, cancel := context.WithTimeout(ctx, nodeTimeout)
	defer cancel()
	n, err := w.s.node().MpoolGetNonce(cctx, w.addr)
	if err != nil {
		if machine.ReasonOfEstimate(err.Error()) == machine.NoActor {
			return nil // a reorg may take an account away for a while
		}
		return fmt.Errorf("ask the node for the nonce: %w", err)
	}
	w.lined = head.Key()
	lost := 0
	for lost < len(underway) && underway[lost].Msg.Nonce < n {
		lost++
	}
	if err := w.repush(ctx, underway[lost:]); err != nil {
		return err
	}
	if lost == len(underway) || underway[lost].Msg.Nonce == n {
		return nil
	}
	l, err := w.look(ctx, sender, n)
	if err != nil || !l.settled {
		return err
	}
	return w.fill(ctx, l.holes)
}

// fill queues messages that do nothing but use nonces which nobody uses, and without
// which nothing behind them lands.
func (w *worker) fill(ctx context.Context, holes []uint64) error {
	queued, err := w.fillers(ctx)
	if err != nil {
		return err
	}
	wallet := w.s.wallets.holding(w.addr)
	if wallet == "" {
		return fmt.Errorf("nonce %d is missing and no wallet can sign a message for it: %w", holes[0], errNoWallet)
	}
	for _, nonce := range holes[:min(len(holes), maxFillers)] {
		if _, there := queued[nonce]; there {
			continue
		}
		m := machine.NewFiller(fmt.Sprintf("gap-%d-%s", nonce, uuid.NewString()), fillerUser, wallet, types.Message{From: w.addr, To: w.addr, Value: big.Zero()}, w.s.clk.Now())
		log.Warnw("a nonce is missing: it is filled with an empty message", "from", w.addr, "nonce", nonce)
		err := w.s.db.Update(ctx, func(tx *store.Tx) error {
			return tx.Insert(&m, machine.Note{At: m.Created, Kind: "queued", Text: fmt.Sprintf("to fill nonce %d, which nobody uses", nonce)})
		})
		if err != nil {
			return fmt.Errorf("queue a message for nonce %d: %w", nonce, err)
		}
	}
	return nil
}

// fillers are the queued messages that are to fill a nonce, by that nonce.
func (w *worker) fillers(ctx context.Context) (map[uint64]machine.Message, error) {
	all, err := w.s.db.List(ctx, store.Query{From: w.self(), States: []machine.State{machine.Queued}, User: fillerUser})
	if err != nil {
		return nil, err
	}
	out := make(map[uint64]machine.Message, len(all))
	for _, m := range all {
		if n, ok := m.Fills(); ok {
			out[n] = m
		}
	}
	return out, nil
}

// place gives every message of a batch its nonce: fillers the hole they are for, the
// others what follows. Fillers whose hole is no more are given up.
func (w *worker) place(ctx context.Context, batch []machine.Message, l line) ([]machine.Message, error) {
	hole := make(map[uint64]bool, len(l.holes))
	for _, n := range l.holes {
		hole[n] = true
	}
	var keep []machine.Message
	var gone []change
	for _, m := range batch {
		if n, ok := m.Fills(); ok && !hole[n] {
			gone = append(gone, change{m.ID, machine.NotNeeded{Text: fmt.Sprintf("nonce %d is used by now", n)}})
			continue
		}
		keep = append(keep, m)
	}
	return keep, w.s.apply(ctx, gone, nil)
}

// noteForeign records that somebody else gave out nonces of the sender.
func (w *worker) noteForeign(ctx context.Context, sender store.Sender, node uint64) error {
	if sender.NextNonce == 0 || node <= sender.NextNonce || sender.ForeignNonce == node-1 {
		return nil
	}
	log.Warnw("nonces were used that this messager did not give out: another program signs with this key", "from", w.addr, "ours", sender.NextNonce, "node", node)
	w.s.meters.foreign(w.addr)
	err := w.s.db.Update(ctx, func(tx *store.Tx) error { return tx.Foreign(w.addr, node-1, w.s.clk.Now()) })
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("note foreign nonces: %w", err)
	}
	return nil
}

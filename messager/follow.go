package messager

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/ipfs/go-cid"

	"github.com/filecoin-venus/venus/api/node"
	"github.com/filecoin-venus/venus/internal/fault"
	"github.com/filecoin-venus/venus/messager/machine"
	"github.com/filecoin-venus/venus/messager/store"
	"github.com/filecoin-venus/venus/types"
	"github.com/filecoin-venus/venus/vm"
)

// maxReplay is the gap, in epochs, that is followed tipset by tipset after an
// absence; over a longer one every message is looked up instead.
const maxReplay = 900

// follow keeps step with the node's chain until ctx ends. A change that could not
// be processed is not skipped: the subscription starts over from the last tipset
// that was.
func (s *Service) follow(ctx context.Context) {
	pause := 200 * time.Millisecond
	for ctx.Err() == nil {
		good, err := s.followOnce(ctx)
		if ctx.Err() != nil {
			return
		}
		if good {
			pause = 200 * time.Millisecond
		} else {
			pause = min(2*pause, 2*time.Second)
		}
		if errors.Is(err, errRole) || errors.Is(err, errNotDecider) || errors.Is(err, errGap) {
			continue // subscribe anew, in the other role or from what was followed last
		}
		if err == nil {
			err = errors.New("the node ended the subscription to its head")
		}
		s.setNodeError(err.Error())
		s.nodes.check(ctx)
		if s.clk.Sleep(ctx, pause) != nil {
			return
		}
	}
}

// followOnce runs one subscription to its end; good tells that it worked for a while.
func (s *Service) followOnce(ctx context.Context) (good bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := s.learnEpoch(ctx); err != nil {
		return false, err
	}
	ch, err := s.node().ChainNotify(ctx)
	if err != nil {
		return false, fmt.Errorf("subscribe to the node's head: %w", err)
	}
	decides := s.decides()
	inUse, _ := s.nodes.current()
	changed := func() bool {
		now, _ := s.nodes.current()
		return now != inUse || s.decides() != decides
	}
	for {
		var changes []*node.HeadChange
		var open bool
		select {
		case changes, open = <-ch:
		case <-s.role:
			if changed() {
				return good, errRole
			}
			continue
		}
		if !open {
			return good, nil
		}
		if changed() {
			return good, errRole
		}
		if err := s.heard(ctx, changes, decides, good); err != nil {
			return good, err
		}
		good = true
	}
}

// errRole ends a subscription because another node is to be followed, or because this
// messager begins, or ends, to decide messages' fates: whoever begins starts at what
// was followed last, by anybody.
var errRole = errors.New("another node, or another role on the database")

// errGap: what was to be recorded does not join on to the tipset that was followed last, by this messager or by another that
// decided meanwhile. A fate that is recorded all the same might never be reverted.
var errGap = errors.New("the chain was followed to another tipset meanwhile")

// joins returns errGap when the chain was followed last to another tipset than that of a key. Below where following began
// there is no other.
func joins(tx *store.Tx, key types.TipSetKey) error {
	last, ok, err := tx.LastHead()
	if err == nil && ok && last.Key != key {
		err = errGap
	}
	return err
}

// heard takes in what a subscription told; begun tells that it told its current head.
func (s *Service) heard(ctx context.Context, changes []*node.HeadChange, decides, begun bool) error {
	if len(changes) == 0 {
		return nil
	}
	current := len(changes) == 1 && changes[0] != nil && changes[0].Type == node.HeadCurrent
	switch {
	case !current && !begun:
		return errors.New("the node's subscription did not begin with its current head")
	case !decides:
		return s.watch(ctx, changes)
	case !current:
		return s.process(ctx, changes)
	}
	if err := s.catchUp(ctx, changes[0].Val); err != nil {
		return err
	}
	s.setNodeError("")
	s.wakeAll()
	return nil
}

// watch only keeps the head: another messager decides what it means for messages.
func (s *Service) watch(ctx context.Context, changes []*node.HeadChange) error {
	for _, c := range changes {
		if c == nil || c.Val == nil {
			return errors.New("the node sent an empty head change")
		}
	}
	last := changes[len(changes)-1]
	head := last.Val
	if last.Type == node.HeadRevert {
		var err error
		if head, err = s.node().ChainGetTipSet(ctx, last.Val.Parents()); err != nil {
			return fmt.Errorf("load the head below the reverted tipset %d: %w", last.Val.Height(), err)
		}
	}
	s.setHead(head)
	s.setNodeError("")
	s.askNode(ctx)
	s.wakeAll()
	return nil
}

func (s *Service) learnEpoch(ctx context.Context) error {
	cctx, cancel := context.WithTimeout(ctx, nodeTimeout)
	defer cancel()
	d, err := s.node().BlockTime(cctx)
	if err != nil {
		return fmt.Errorf("ask the node for the length of an epoch: %w", err)
	}
	if d > 0 {
		s.mu.Lock()
		s.epoch = d
		s.mu.Unlock()
	}
	return nil
}

// catchUp brings the messages from the last followed tipset to the node's head.
func (s *Service) catchUp(ctx context.Context, head *types.TipSet) error {
	if head == nil {
		return errors.New("the node's current head is empty")
	}
	s.chainMu.Lock()
	defer s.chainMu.Unlock()
	heads, err := s.db.Heads(ctx)
	if err != nil {
		return err
	}
	if len(heads) > 0 && heads[0].Key == head.Key() {
		s.setHead(head)
		return nil
	}
	if len(heads) > 0 && abs(head.Height()-heads[0].Height) <= maxReplay {
		cctx, cancel := context.WithTimeout(ctx, estimateTimeout)
		path, err := s.node().ChainGetPath(cctx, heads[0].Key, head.Key())
		cancel()
		if err == nil {
			s.forgetHead()
			return s.processLocked(ctx, path)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		// The node does not know the old tipset: another node, or a fresh one.
		log.Infow("no path from the last followed tipset, looking up every message", "height", heads[0].Height, "err", err)
	}
	s.forgetHead()
	changes, _, err := s.compareAll(ctx, head)
	if err != nil {
		return err
	}
	// All fates with the head they were seen from: half of them, above what was followed, would outlive a reorganisation.
	if err := s.decide(ctx, changes, func(tx *store.Tx) error { return tx.StartHeads(refOf(head)) }); err != nil {
		return err
	}
	s.setHead(head)
	return nil
}

func abs(e abi.ChainEpoch) abi.ChainEpoch {
	if e < 0 {
		return -e
	}
	return e
}

func refOf(ts *types.TipSet) machine.TipSetRef {
	return machine.TipSetRef{Key: ts.Key(), Height: ts.Height()}
}

func (s *Service) setHead(ts *types.TipSet) {
	s.mu.Lock()
	s.head, s.moved = ts, s.clk.Now()
	s.mu.Unlock()
	s.hub.tellAll()
}

// forgetHead makes the head unknown until the next change: nothing may be judged by
// a reverted one.
func (s *Service) forgetHead() {
	s.mu.Lock()
	s.head = nil
	s.mu.Unlock()
}

// process applies head changes in the order given: reverts downwards, applies
// upwards, one transaction each together with the record of the head.
func (s *Service) process(ctx context.Context, changes []*node.HeadChange) error {
	s.chainMu.Lock()
	defer s.chainMu.Unlock()
	return s.processLocked(ctx, changes)
}

func (s *Service) processLocked(ctx context.Context, changes []*node.HeadChange) error {
	for _, c := range changes {
		if c == nil || c.Val == nil {
			return errors.New("the node sent an empty head change")
		}
		var err error
		switch c.Type {
		case node.HeadRevert:
			err = s.revert(ctx, c.Val)
		case node.HeadApply:
			err = s.advance(ctx, c.Val)
		default:
			err = fmt.Errorf("the node sent a head change of unknown type %q", c.Type)
		}
		if err != nil {
			return err
		}
	}
	if n := len(changes); n > 0 && changes[n-1].Type == node.HeadRevert {
		parent, err := s.node().ChainGetTipSet(ctx, changes[n-1].Val.Parents())
		if err != nil {
			return fmt.Errorf("load the head below the reverted tipset %d: %w", changes[n-1].Val.Height(), err)
		}
		s.setHead(parent)
	}
	s.askNode(ctx)
	s.wakeAll()
	return nil
}

// revert takes back what the tipset, or any above it, decided.
func (s *Service) revert(ctx context.Context, ts *types.TipSet) error {
	if head := s.Head(); head != nil && head.Key() != ts.Key() {
		return fmt.Errorf("the node reverts tipset %d, but %d was followed last: a notification is missing", ts.Height(), head.Height())
	}
	s.forgetHead()
	var counted []func()
	err := s.decide(ctx, nil, func(tx *store.Tx) error {
		if err := joins(tx, ts.Key()); err != nil {
			return err
		}
		decided, err := tx.ExecutedAt(ts.Height())
		if err != nil {
			return err
		}
		counted = counted[:0]
		for i := range decided {
			if _, err := s.applyOne(tx, change{decided[i].ID, machine.Reverted{Tipset: decided[i].Executed}}, &counted); err != nil {
				return err
			}
		}
		return tx.DropHeads(ts.Height())
	})
	if err == nil {
		for _, count := range counted {
			count()
		}
	}
	return err
}

// advance moves the head up to a tipset, whose parent's messages are now executed.
func (s *Service) advance(ctx context.Context, ts *types.TipSet) error {
	if head := s.Head(); head != nil && head.Key() != ts.Parents() {
		return fmt.Errorf("the node applies tipset %d, which is not on top of %d: a notification is missing", ts.Height(), head.Height())
	}
	waiting, err := s.db.Waiting(ctx)
	if err != nil {
		return err
	}
	var changes []change
	if len(waiting) > 0 {
		if changes, err = s.landedIn(ctx, ts, waiting); err != nil {
			return err
		}
	}
	err = s.decide(ctx, changes, func(tx *store.Tx) error {
		if err := fault.Point("messager/landed"); err != nil {
			return err
		}
		if err := joins(tx, ts.Parents()); err != nil {
			return err
		}
		return tx.PutHead(refOf(ts), keepHeads)
	})
	if err != nil {
		return fmt.Errorf("record tipset %d: %w", ts.Height(), err)
	}
	s.setHead(ts)
	return nil
}

// spot names a nonce of a sender.
type spot struct {
	from  string
	nonce uint64
}

// landedIn finds which waiting messages were executed by ts, or lost their nonce.
func (s *Service) landedIn(ctx context.Context, ts *types.TipSet, waiting []store.Waiting) ([]change, error) {
	bySpot := make(map[spot]string, len(waiting))
	for _, m := range waiting {
		bySpot[spot{m.From, m.Nonce}] = m.ID
	}
	cctx, cancel := context.WithTimeout(ctx, nodeTimeout)
	defer cancel()
	block := ts.Cids()[0]
	msgs, err := s.node().ChainGetParentMessages(cctx, block)
	if err != nil {
		return nil, fmt.Errorf("messages executed by tipset %d: %w", ts.Height(), err)
	}
	var hits []int
	for i, m := range msgs {
		if m.Message != nil && bySpot[spot{string(m.Message.From.Bytes()), m.Message.Nonce}] != "" {
			hits = append(hits, i)
		}
	}
	if len(hits) == 0 {
		return nil, nil
	}
	receipts, err := s.node().ChainGetParentReceipts(cctx, block)
	if err != nil {
		return nil, fmt.Errorf("receipts of tipset %d: %w", ts.Height(), err)
	}
	if len(receipts) != len(msgs) {
		return nil, fmt.Errorf("tipset %d has %d receipts for %d messages", ts.Height(), len(receipts), len(msgs))
	}
	included, err := s.parentOf(cctx, ts)
	if err != nil {
		return nil, err
	}
	var out []change
	for _, i := range hits {
		id := bySpot[spot{string(msgs[i].Message.From.Bytes()), msgs[i].Message.Nonce}]
		ev, err := s.fate(ctx, id, msgs[i].Cid, receipts[i], included, refOf(ts))
		if err != nil {
			return nil, err
		}
		out = append(out, change{id, ev})
	}
	return out, nil
}

// fate is Landed if the executed message is one of ours for that nonce, whichever
// attempt, else NonceTaken.
func (s *Service) fate(ctx context.Context, id string, executed cid.Cid, r *types.MessageReceipt, included *types.TipSet, exec machine.TipSetRef) (machine.Event, error) {
	attempts, err := s.db.Attempts(ctx, id)
	if err != nil {
		return nil, err
	}
	for _, a := range attempts {
		if (a.Cid() == executed || a.Message.Cid() == executed) && r != nil {
			o := vm.ComputeGasOutputs(r.GasUsed, a.Message.GasLimit, included.ParentBaseFee(), a.Message.GasFeeCap, a.Message.GasPremium)
			spent := big.Sum(o.BaseFeeBurn, o.OverEstimationBurn, o.MinerTip)
			return machine.Landed{Msg: a.Message, Sig: a.Signature, Receipt: *r, Included: refOf(included), Executed: exec, Spent: spent}, nil
		}
	}
	return machine.NonceTaken{By: executed, Executed: exec}, nil
}

// parentOf returns the parent of a tipset, from what was followed or from the node.
func (s *Service) parentOf(ctx context.Context, ts *types.TipSet) (*types.TipSet, error) {
	if head := s.Head(); head != nil && head.Key() == ts.Parents() {
		return head, nil
	}
	parent, err := s.node().ChainGetTipSet(ctx, ts.Parents())
	if err != nil {
		return nil, fmt.Errorf("load parent of tipset %d: %w", ts.Height(), err)
	}
	return parent, nil
}

package messager

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/ipfs/go-cid"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/api/node"
	"github.com/filecoin-venus/venus/messager/machine"
	"github.com/filecoin-venus/venus/messager/store"
	"github.com/filecoin-venus/venus/types"
)

const (
	// reconcileEpochs is how often senders with messages under way are compared with
	// the chain, besides the notifications.
	reconcileEpochs = 10
	leastReconcile  = 5 * time.Second
)

func (s *Service) reconcileLoop(ctx context.Context) {
	for s.clk.Sleep(ctx, max(leastReconcile, reconcileEpochs*s.epochTime())) == nil {
		if reason, _ := s.nodeTrouble(); reason != machine.NoReason || !s.decides() {
			continue
		}
		senders, err := s.db.Senders(ctx)
		for _, a := range senders {
			if err == nil {
				err = s.reconcileSender(ctx, a)
			}
		}
		if err != nil && ctx.Err() == nil {
			log.Warnw("messages not compared with the chain", "err", err)
		}
	}
}

// reconcileSender looks up the messages of a sender whose nonce the chain has
// passed although no notification told their fate.
//
// Like all that decides a message's fate it looks from the tipset that the messager
// has followed the chain to, under chainMu: a fate seen on another fork, or above
// what was followed, would never be reverted.
func (s *Service) reconcileSender(ctx context.Context, a address.Address) error {
	s.chainMu.Lock()
	defer s.chainMu.Unlock()
	at := s.Head()
	if at == nil || !s.decides() {
		return nil // whoever follows the chain will find out
	}
	underway, err := s.db.List(ctx, store.Query{From: []address.Address{a}, States: []machine.State{machine.Signed, machine.Pending}, ByNonce: true})
	if err != nil || len(underway) == 0 {
		return err
	}
	nonce, err := s.chainNonce(ctx, a, at)
	if err != nil {
		return err
	}
	var changes []change
	for i := range underway {
		if underway[i].Msg.Nonce >= nonce {
			break
		}
		ev, err := s.lookUp(ctx, &underway[i], at)
		if err != nil {
			return err
		}
		if ev != nil {
			changes = append(changes, change{underway[i].ID, ev})
		}
	}
	if err = s.record(ctx, changes, at); errors.Is(err, errGap) {
		return nil // the head is one that was only watched: whoever follows the chain will find out
	}
	return err
}

// record writes fates that were seen from a tipset, if that is where the chain was followed to.
func (s *Service) record(ctx context.Context, changes []change, at *types.TipSet) error {
	if len(changes) == 0 {
		return nil
	}
	err := s.decide(ctx, changes, func(tx *store.Tx) error {
		last, ok, err := tx.LastHead()
		if err == nil && (!ok || last.Key != at.Key()) {
			err = errGap
		}
		return err
	})
	if errors.Is(err, errGap) {
		return api.Errorf(api.CodeUnavailable, "not caught up with the chain: %w", err).WithHint("try again in a moment")
	}
	return err
}

func (s *Service) chainNonce(ctx context.Context, a address.Address, at *types.TipSet) (uint64, error) {
	cctx, cancel := context.WithTimeout(ctx, nodeTimeout)
	defer cancel()
	actor, err := s.node().StateGetActor(cctx, a, at.Key())
	if err != nil {
		return 0, fmt.Errorf("ask the node for %s: %w", a, err)
	}
	return actor.Nonce, nil
}

// lookUp asks the chain up to a tipset for the fate of a message that has a nonce:
// an event, or nil when it is still undecided.
func (s *Service) lookUp(ctx context.Context, m *machine.Message, at *types.TipSet) (machine.Event, error) {
	found, err := s.search(ctx, m, at)
	if err != nil || found != nil {
		return found, err
	}
	nonce, err := s.chainNonce(ctx, m.Msg.From, at)
	if err != nil || nonce <= m.Msg.Nonce {
		return nil, err
	}
	return machine.NonceTaken{By: cid.Undef, Executed: refOf(at)}, nil
}

// search looks for the message on chain, attempt by attempt from the newest: a
// node can only find a message, or what replaced it, if that attempt reached it.
func (s *Service) search(ctx context.Context, m *machine.Message, at *types.TipSet) (machine.Event, error) {
	cctx, cancel := context.WithTimeout(ctx, estimateTimeout)
	defer cancel()
	attempts, err := s.db.Attempts(ctx, m.ID)
	if err != nil {
		return nil, err
	}
	limit := abi.ChainEpoch(s.clk.Now().Sub(m.Created)/s.epochTime()) + keepHeads
	for i := len(attempts) - 1; i >= 0; i-- {
		c := attempts[i].Cid()
		found, err := s.node().StateSearchMsg(cctx, at.Key(), c, limit, true)
		if err != nil {
			if api.Explain(err).Code == api.CodeNotFound {
				continue // the node never saw this attempt
			}
			return nil, fmt.Errorf("search message %s: %w", c, err)
		}
		if found != nil {
			return s.foundOnChain(cctx, m, found)
		}
	}
	return nil, nil
}

func (s *Service) foundOnChain(ctx context.Context, m *machine.Message, found *node.MsgLookup) (machine.Event, error) {
	exec, err := s.node().ChainGetTipSet(ctx, found.TipSet)
	if err != nil {
		return nil, fmt.Errorf("load tipset %s: %w", found.TipSet, err)
	}
	included, err := s.parentOf(ctx, exec)
	if err != nil {
		return nil, err
	}
	return s.fate(ctx, m.ID, found.Message, &found.Receipt, included, refOf(exec))
}

// ReconcileAll asks the chain for the fate of all messages that may still change
// and returns how many did.
func (s *Service) ReconcileAll(ctx context.Context) (int, error) {
	s.chainMu.Lock()
	defer s.chainMu.Unlock()
	if !s.decides() {
		return 0, s.notHolder(ctx, chainLease)
	}
	at := s.Head()
	if at == nil {
		return 0, api.Errorf(api.CodeUnavailable, "the node's head is not known yet").WithHint("check the node")
	}
	changes, count, err := s.compareAll(ctx, at)
	if err == nil {
		err = s.record(ctx, changes, at)
	}
	if err != nil {
		return 0, err
	}
	return count, nil
}

// compareAll compares with the chain every message that has a nonce and could still change: those under way, and those decided
// within the last finality. It returns what is to be changed, and of how many messages.
func (s *Service) compareAll(ctx context.Context, at *types.TipSet) (changes []change, count int, err error) {
	all, err := s.db.List(ctx, store.Query{States: []machine.State{machine.Signed, machine.Pending}, Ascending: true})
	if err != nil {
		return nil, 0, err
	}
	decided, err := s.db.DecidedLately(ctx, keepHeads)
	if err != nil {
		return nil, 0, err
	}
	for _, m := range append(all, decided...) {
		more, err := s.compareOne(ctx, &m, at)
		if err != nil {
			return nil, 0, err
		}
		if len(more) > 0 {
			count++
		}
		changes = append(changes, more...)
	}
	return changes, count, nil
}

func (s *Service) compareOne(ctx context.Context, m *machine.Message, at *types.TipSet) ([]change, error) {
	ev, err := s.lookUp(ctx, m, at)
	if err != nil {
		return nil, err
	}
	if !m.State.Final() {
		if ev == nil {
			return nil, nil
		}
		return []change{{m.ID, ev}}, nil
	}
	if landed, ok := ev.(machine.Landed); ok && m.State == machine.OnChain && landed.Executed == m.Executed {
		return nil, nil
	}
	if _, taken := ev.(machine.NonceTaken); taken && m.State == machine.Conflict {
		return nil, nil
	}
	changes := []change{{m.ID, machine.Reverted{Tipset: m.Executed}}}
	if ev != nil {
		changes = append(changes, change{m.ID, ev})
	}
	return changes, nil
}

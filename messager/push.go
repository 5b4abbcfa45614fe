package messager

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/filecoin-project/go-address"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/internal/fault"
	"github.com/filecoin-venus/venus/messager/machine"
	"github.com/filecoin-venus/venus/messager/store"
	"github.com/filecoin-venus/venus/types"
)

// repushEpochs is how many epochs a pending message waits before it is pushed
// again, in case the node lost it.
const repushEpochs = 10

// pushSigned pushes what no node has taken yet, in order of nonces, and from time
// to time everything under way again. It returns the messages as they are then.
func (w *worker) pushSigned(ctx context.Context, underway []machine.Message) ([]machine.Message, error) {
	now := w.s.clk.Now()
	var fresh []machine.Message
	for _, m := range underway {
		if m.State != machine.Signed {
			continue
		}
		if m.NextTry.After(now) {
			break // later nonces would only leave a gap
		}
		fresh = append(fresh, m)
	}
	if len(fresh) > 0 {
		if err := w.push(ctx, fresh); err != nil {
			return underway, err
		}
		return w.s.db.List(ctx, store.Query{From: []address.Address{w.addr}, States: []machine.State{machine.Signed, machine.Pending}, ByNonce: true})
	}
	if len(underway) > 0 && now.Sub(w.lastRepush) > repushEpochs*w.s.epochTime() && now.Sub(underway[0].PushedAt) > repushEpochs*w.s.epochTime() {
		w.lastRepush = now
		return underway, w.repush(ctx, underway)
	}
	return underway, nil
}

// push hands messages to the node in order. The batch call answers for all or
// none; when it fails the messages go one by one up to the first that is refused.
func (w *worker) push(ctx context.Context, fresh []machine.Message) error {
	if err := fault.Point("messager/push"); err != nil {
		return err
	}
	signed := make([]*types.SignedMessage, len(fresh))
	for i := range fresh {
		signed[i] = fresh[i].Signed()
	}
	cctx, cancel := context.WithTimeout(ctx, nodeTimeout)
	defer cancel()
	taken := len(fresh)
	var refusal error
	_, to := w.s.nodes.current()
	if _, err := to.Node.MpoolBatchPush(cctx, signed); err != nil {
		taken, refusal = 0, err
		if api.Explain(err).Code != api.CodeUnavailable {
			taken, refusal = pushSingly(cctx, to.Node, signed)
		}
	}
	if err := fault.Point("messager/pushed"); err != nil {
		return err
	}
	if err := w.s.pushed(ctx, fresh[:taken], to.Name); err != nil {
		return fmt.Errorf("record pushes: %w", err)
	}
	var changes []change
	if refusal != nil {
		d := machine.PushFailed{Reason: machine.PushRefused, Text: refusal.Error()}
		if api.Explain(refusal).Code == api.CodeUnavailable {
			d.Reason = machine.NodeUnreachable
		}
		changes = append(changes, change{fresh[taken].ID, d})
	}
	if err := w.s.apply(ctx, changes, nil); err != nil {
		return fmt.Errorf("record pushes: %w", err)
	}
	if taken > 0 {
		w.s.extras.publish(ctx, signed[:taken])
	}
	if refusal != nil && passed(refusal.Error()) {
		// The chain is past this nonce: find out with which message.
		return w.s.reconcileSender(ctx, w.addr)
	}
	return nil
}

// passed tells whether a refusal means that the chain has used the nonce.
func passed(text string) bool {
	low := strings.ToLower(text)
	return strings.Contains(low, "nonce") && (strings.Contains(low, "already used") || strings.Contains(low, "too low") || strings.Contains(low, "lower than"))
}

func pushSingly(ctx context.Context, to Publisher, signed []*types.SignedMessage) (int, error) {
	for i, m := range signed {
		if _, err := to.MpoolPush(ctx, m); err != nil {
			return i, err
		}
	}
	return len(signed), nil
}

// repush offers messages under way to the node again, in order of nonces; a pool that
// still has one says so, and that is fine. A refusal is recorded with the message.
func (w *worker) repush(ctx context.Context, lost []machine.Message) error {
	cctx, cancel := context.WithTimeout(ctx, nodeTimeout)
	defer cancel()
	to := w.s.node()
	var signed []*types.SignedMessage
	for i := range lost {
		sm := lost[i].Signed()
		if sm == nil || lost[i].State != machine.Pending {
			continue
		}
		_, err := to.MpoolPush(cctx, sm)
		if err == nil {
			signed = append(signed, sm)
			continue
		}
		if api.Explain(err).Code == api.CodeUnavailable || cctx.Err() != nil {
			return fmt.Errorf("push message %s again: %w", sm.Cid(), err)
		}
		if passed(err.Error()) {
			return w.s.reconcileSender(ctx, w.addr)
		}
		if err := w.s.apply(ctx, []change{{lost[i].ID, machine.PushFailed{Reason: machine.PushRefused, Text: err.Error()}}}, nil); err != nil {
			return err
		}
		break // later nonces would only leave a gap
	}
	if len(signed) > 0 {
		w.s.extras.publish(ctx, signed)
	}
	return nil
}

// extras get copies of what the node in use has taken: the nodes that are only for
// that, and the others that could be in use. They never delay anything.
type extras struct {
	s       *Service
	mu      sync.Mutex
	clients map[string]extra
}

type extra struct {
	node   Publisher
	close  func()
	gossip bool
}

const extraTimeout = 20 * time.Second

// load connects to the nodes that are stored now.
func (e *extras) load(ctx context.Context) {
	nodes, err := e.s.db.Nodes(ctx)
	if err != nil {
		log.Errorw("additional nodes not loaded", "err", err)
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for name, x := range e.clients {
		x.close()
		delete(e.clients, name)
	}
	for _, n := range nodes {
		p, closer, err := e.s.o.DialNode(n.URL, n.Token)
		if err != nil {
			log.Warnw("additional node is not usable", "name", n.Name, "err", err)
			continue
		}
		e.clients[n.Name] = extra{p, closer, n.Gossip}
	}
}

func (e *extras) publish(ctx context.Context, signed []*types.SignedMessage) {
	to := make(map[string]extra)
	for _, o := range e.s.nodes.others() {
		to[o.Name] = extra{node: o.Node}
	}
	e.mu.Lock()
	for name, x := range e.clients {
		to[name] = x
	}
	e.mu.Unlock()
	for name, x := range to {
		e.s.running.Go(func() {
			recovered("publish to "+name, func() {
				cctx, cancel := context.WithTimeout(ctx, extraTimeout)
				defer cancel()
				if err := x.publish(cctx, signed); err != nil {
					log.Debugw("additional node did not take messages", "name", name, "err", err)
				}
			})
		})
	}
}

func (x extra) publish(ctx context.Context, signed []*types.SignedMessage) error {
	if !x.gossip {
		_, err := x.node.MpoolBatchPush(ctx, signed)
		return err
	}
	for _, m := range signed {
		if err := x.node.MpoolPublishMessage(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

func (e *extras) close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, x := range e.clients {
		x.close()
	}
}

// pushed records that a node has taken messages. As a rule they are as they were read;
// else they are read again.
func (s *Service) pushed(ctx context.Context, taken []machine.Message, name string) error {
	if len(taken) == 0 {
		return nil
	}
	now := s.clk.Now()
	err := s.db.Update(ctx, func(tx *store.Tx) error {
		for i := range taken {
			next, note, err := taken[i].Step(machine.Pushed{Node: name}, now)
			if err != nil {
				return err
			}
			if err := tx.Change(&taken[i], &next, note); err != nil {
				return err
			}
		}
		return nil
	})
	if errors.Is(err, store.ErrStale) {
		changes := make([]change, len(taken))
		for i := range taken {
			changes[i] = change{taken[i].ID, machine.Pushed{Node: name}}
		}
		return s.apply(ctx, changes, nil)
	}
	if err != nil {
		return err
	}
	for i := range taken {
		s.meters.event("pushed", &taken[i])
		s.hub.tell(taken[i].ID)
	}
	return nil
}

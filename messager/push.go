package messager

import (
	"context"
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
		w.repush(ctx, underway)
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
	if _, err := w.s.o.Node.MpoolBatchPush(cctx, signed); err != nil {
		taken, refusal = 0, err
		if api.Explain(err).Code != api.CodeUnavailable {
			taken, refusal = w.pushSingly(cctx, signed)
		}
	}
	if err := fault.Point("messager/pushed"); err != nil {
		return err
	}
	changes := make([]change, 0, len(fresh))
	for _, m := range fresh[:taken] {
		changes = append(changes, change{m.ID, machine.Pushed{Node: w.s.o.NodeName}})
	}
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

func (w *worker) pushSingly(ctx context.Context, signed []*types.SignedMessage) (int, error) {
	for i, m := range signed {
		if _, err := w.s.o.Node.MpoolPush(ctx, m); err != nil {
			return i, err
		}
	}
	return len(signed), nil
}

// repush offers everything under way to the node again; a pool that still has it
// says so, and that is fine.
func (w *worker) repush(ctx context.Context, underway []machine.Message) {
	cctx, cancel := context.WithTimeout(ctx, nodeTimeout)
	defer cancel()
	for i := range underway {
		if sm := underway[i].Signed(); sm != nil {
			if _, err := w.s.o.Node.MpoolPush(cctx, sm); err != nil {
				log.Debugw("message not taken again", "cid", sm.Cid(), "err", err)
			}
		}
	}
}

// extras are the additional nodes; they only get copies, and never delay anything.
type extras struct {
	s       *Service
	mu      sync.Mutex
	clients map[string]extra
}

type extra struct {
	node  Publisher
	close func()
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
		e.clients[n.Name] = extra{p, closer}
	}
}

func (e *extras) publish(ctx context.Context, signed []*types.SignedMessage) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for name, x := range e.clients {
		e.s.running.Add(1)
		go func() {
			defer e.s.running.Done()
			recovered("publish to "+name, func() {
				cctx, cancel := context.WithTimeout(ctx, extraTimeout)
				defer cancel()
				if _, err := x.node.MpoolBatchPush(cctx, signed); err != nil {
					log.Debugw("additional node did not take messages", "name", name, "err", err)
				}
			})
		}()
	}
}

func (e *extras) close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, x := range e.clients {
		x.close()
	}
}

package messager

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/messager/machine"
	"github.com/filecoin-venus/venus/messager/store"
	"github.com/filecoin-venus/venus/types"
)

// Message returns a message by id; an unknown one is an error of kind not found.
func (s *Service) Message(ctx context.Context, id string) (machine.Message, error) {
	m, err := s.db.Get(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return m, api.Errorf(api.CodeNotFound, "message %s is unknown: %w", id, err).WithHint("see `venus-messager msg list`")
	}
	return m, err
}

// waitPoll is how often waiting looks for what another messager on the database saw.
const waitPoll = 5 * time.Second

// Wait returns a message once it is final and, on the chain, more than confidence
// epochs deep.
func (s *Service) Wait(ctx context.Context, id string, confidence uint64) (machine.Message, error) {
	changed, done := s.hub.wait(id)
	defer done()
	for {
		m, err := s.Message(ctx, id)
		if err != nil {
			return m, err
		}
		if m.State.Final() && (m.State != machine.OnChain || uint64(s.depth(&m)) > confidence) {
			return m, nil
		}
		t := s.clk.NewTimer(waitPoll)
		select {
		case <-ctx.Done():
			err = ctx.Err()
		case <-changed:
		case <-t.C():
		}
		t.Stop()
		if err != nil {
			return m, err
		}
	}
}

// depth is how many epochs the head is above the execution of a message.
func (s *Service) depth(m *machine.Message) abi.ChainEpoch {
	head := s.Head()
	if m.State != machine.OnChain || head == nil {
		return 0
	}
	return max(0, head.Height()-m.Executed.Height)
}

// Explanation is why a message stands where it stands.
type Explanation struct {
	Message        machine.Message
	Reason, Advice string
	Ahead          int
	Notes          []machine.Note
	// Attempts is all that was ever signed for it, oldest first.
	Attempts []*types.SignedMessage
}

// Explain tells in plain words what a message waits for.
func (s *Service) Explain(ctx context.Context, id string) (Explanation, error) {
	m, err := s.Message(ctx, id)
	if err != nil {
		return Explanation{}, err
	}
	notes, err := s.db.Notes(ctx, id)
	if err != nil {
		return Explanation{}, err
	}
	attempts, err := s.db.Attempts(ctx, id)
	if err != nil {
		return Explanation{}, err
	}
	ahead, err := s.ahead(ctx, &m)
	if err != nil {
		return Explanation{}, err
	}
	head := abi.ChainEpoch(0)
	if ts := s.Head(); ts != nil {
		head = ts.Height()
	}
	if m.State == machine.Queued {
		s.hint(ctx, &m)
	}
	e := Explanation{Message: m, Ahead: ahead, Notes: notes, Attempts: attempts}
	e.Reason, e.Advice = machine.Explain(&m, head, ahead, s.clk.Now())
	return e, nil
}

// hint fills in obstacles that hold for all messages of a sender and are not
// written to each.
func (s *Service) hint(ctx context.Context, m *machine.Message) {
	if sender, err := s.db.Sender(ctx, m.Msg.From); err == nil && sender.Paused {
		m.Reason, m.Error = machine.Paused, "the address is paused"
		return
	}
	if _, mine := s.fence(nonceLease(m.Msg.From)); !mine && !s.preferred(nonceLease(m.Msg.From)) {
		m.Reason, m.Error = machine.NotAssigner, "another messager on this database gives out the nonces of its sender"
		return
	}
	if reason, text := s.nodeTrouble(); reason != machine.NoReason {
		m.Reason, m.Error = reason, text
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if text := s.heldUp[m.Msg.From]; text != "" && m.Error == "" {
		m.Reason, m.Error = machine.HeldUp, text
	}
}

func (s *Service) ahead(ctx context.Context, m *machine.Message) (int, error) {
	if m.State.Final() {
		return 0, nil
	}
	all, err := s.db.List(ctx, store.Query{From: []address.Address{m.Msg.From}, States: []machine.State{machine.Queued, machine.Signed, machine.Pending}})
	if err != nil {
		return 0, err
	}
	n := 0
	for i := range all {
		o := &all[i]
		switch {
		case o.ID == m.ID:
		case m.State.HasNonce() && o.State.HasNonce() && o.Msg.Nonce < m.Msg.Nonce:
			n++
		case m.State == machine.Queued && o.State.HasNonce():
			n++
		case m.State == machine.Queued && o.State == machine.Queued && before(o, m):
			n++
		}
	}
	return n, nil
}

func before(a, b *machine.Message) bool {
	if a.Lane != b.Lane {
		return a.Lane < b.Lane
	}
	return a.Created.Before(b.Created)
}

// MarkBad gives up a queued message.
func (s *Service) MarkBad(ctx context.Context, id string) error {
	m, err := s.Message(ctx, id)
	if err != nil {
		return err
	}
	if m.State != machine.Queued {
		return api.Errorf(api.CodePrecondition, "message %s is %s: only a queued message can be given up", id, m.State).
			WithHint("a message that has a nonce must land, or all behind it wait for ever; raise its price with `msg replace`")
	}
	return s.apply(ctx, []change{{id, machine.MarkedBad{}}}, nil)
}

// Republish pushes a message under way to the node again.
func (s *Service) Republish(ctx context.Context, id string) error {
	m, err := s.Message(ctx, id)
	if err != nil {
		return err
	}
	if m.State != machine.Signed && m.State != machine.Pending {
		return api.Errorf(api.CodePrecondition, "message %s is %s: only a message under way can be published", id, m.State)
	}
	cctx, cancel := context.WithTimeout(ctx, nodeTimeout)
	defer cancel()
	if _, err := s.node().MpoolPush(cctx, m.Signed()); err != nil {
		return fmt.Errorf("push message %s: %w", id, err)
	}
	return s.apply(ctx, []change{{id, machine.Pushed{Node: s.nodeName()}}}, nil)
}

// Reconcile asks the chain for the fate of one message.
func (s *Service) Reconcile(ctx context.Context, id string) error {
	s.chainMu.Lock()
	defer s.chainMu.Unlock()
	if !s.decides() {
		return s.notHolder(ctx, chainLease)
	}
	at := s.Head()
	if at == nil {
		return api.Errorf(api.CodeUnavailable, "the node's head is not known yet").WithHint("check the node")
	}
	m, err := s.Message(ctx, id)
	if err != nil {
		return err
	}
	if !m.State.HasNonce() {
		return api.Errorf(api.CodePrecondition, "message %s is %s: it has no nonce the chain could know", id, m.State)
	}
	changes, err := s.compareOne(ctx, &m, at)
	if err != nil {
		return err
	}
	return s.record(ctx, changes, at)
}

// Sender changes the settings of an address and wakes its worker.
func (s *Service) setSender(ctx context.Context, a address.Address, change func(*store.Sender)) error {
	key, err := s.keyOf(ctx, a)
	if err != nil {
		return err
	}
	sender, err := s.sender(ctx, key)
	if err != nil {
		return err
	}
	change(&sender)
	sender.Updated = s.clk.Now()
	if err := s.db.Update(ctx, func(tx *store.Tx) error { return tx.PutSender(sender) }); err != nil {
		return err
	}
	s.worker(key).wake()
	return nil
}

func (s *Service) sender(ctx context.Context, key address.Address) (store.Sender, error) {
	sender, err := s.db.Sender(ctx, key)
	if errors.Is(err, store.ErrNotFound) {
		return sender, api.Errorf(api.CodeNotFound, "address %s is unknown: %w", key, err).WithHint("see `venus-messager address list`")
	}
	return sender, err
}

// addWallet stores a wallet and asks it for its keys. A wallet that cannot be
// asked now is kept: it may come up later.
func (s *Service) addWallet(ctx context.Context, w store.Wallet) error {
	if w.Name == "" {
		return api.Errorf(api.CodeInvalid, "name cannot be empty")
	}
	if w.URL == "" {
		return api.Errorf(api.CodeInvalid, "url cannot be empty")
	}
	if w.Token == "" {
		return api.Errorf(api.CodeInvalid, "token cannot be empty")
	}
	if err := s.dialable(w); err != nil {
		return err
	}
	w.Created = s.clk.Now()
	w.Updated = w.Created
	err := s.db.Update(ctx, func(tx *store.Tx) error { return tx.AddWallet(w) })
	if errors.Is(err, store.ErrExists) {
		return api.Errorf(api.CodeConflict, "record exist: there is a wallet named %q already", w.Name).WithHint("choose another name, or change the one that is there with `venus-messager wallet update --name %s`", w.Name)
	}
	if err != nil {
		return err
	}
	e, _ := s.wallets.put(w)
	s.askFirst(ctx, e)
	return nil
}

// dialable refuses what cannot be the address of a wallet.
func (s *Service) dialable(w store.Wallet) error {
	_, closer, err := s.o.DialWallet(w.URL, w.Token)
	if err != nil {
		return api.Errorf(api.CodeInvalid, "url of the wallet: %w", err)
	}
	closer()
	return nil
}

// askFirst asks a new wallet for its keys; it may be away.
func (s *Service) askFirst(ctx context.Context, e *walletEntry) {
	if err := s.wallets.refresh(ctx, e); err != nil {
		log.Warnw("the wallet is stored, but it cannot be asked for its keys yet", "name", e.Name, "err", err)
	}
}

// changeWallet gives a wallet another URL or token; what is empty stays. Its messages stay too: those that are queued are
// signed under the new ones.
func (s *Service) changeWallet(ctx context.Context, w store.Wallet) error {
	e := s.wallets.get(w.Name)
	if e == nil {
		return api.Errorf(api.CodeNotFound, "there is no wallet named %q", w.Name).WithHint("see `venus-messager wallet list`")
	}
	s.wallets.mu.Lock()
	next := e.Wallet
	s.wallets.mu.Unlock()
	next.URL, next.Token, next.Updated = cmp.Or(w.URL, next.URL), cmp.Or(w.Token, next.Token), s.clk.Now()
	if err := s.dialable(next); err != nil {
		return err
	}
	if err := s.db.Update(ctx, func(tx *store.Tx) error { return tx.ChangeWallet(next) }); err != nil {
		return fmt.Errorf("change wallet %s: %w", w.Name, err)
	}
	if err := s.wallets.load(ctx); err != nil {
		return err
	}
	if e := s.wallets.get(w.Name); e != nil { // else another messager dropped it, this moment
		s.askFirst(ctx, e)
	}
	return nil
}

// removeWallet stops taking messages for a wallet, gives up its queued ones and
// forgets it once the others are final.
func (s *Service) removeWallet(ctx context.Context, name string) error {
	e := s.wallets.get(name)
	if e == nil {
		return api.Errorf(api.CodeNotFound, "there is no wallet named %q", name).WithHint("see `venus-messager wallet list`")
	}
	queued, err := s.db.List(ctx, store.Query{Wallet: name, States: []machine.State{machine.Queued}})
	if err != nil {
		return err
	}
	changes := make([]change, len(queued))
	for i := range queued {
		changes[i] = change{queued[i].ID, machine.WalletGone{Text: fmt.Sprintf("wallet %s was removed", name)}}
	}
	if err := s.apply(ctx, changes, func(tx *store.Tx) error { return tx.MarkWallet(name, s.clk.Now()) }); err != nil {
		return err
	}
	s.wallets.mu.Lock()
	e.Removing = true
	s.wallets.mu.Unlock()
	s.wallets.finishRemovals(ctx)
	return nil
}

// olderThan is the moment before which a message is that old.
func (s *Service) olderThan(d time.Duration) time.Time {
	if d <= 0 {
		return time.Time{}
	}
	return s.clk.Now().Add(-d)
}

package messager

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/big"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/api/node"
	"github.com/filecoin-venus/venus/internal/fault"
	"github.com/filecoin-venus/venus/messager/machine"
	"github.com/filecoin-venus/venus/messager/store"
	"github.com/filecoin-venus/venus/types"
)

const (
	// batchSize bounds the messages estimated and signed in one round.
	batchSize = 20
	// roundRetry is the pause after a round that could not be made.
	roundRetry = 500 * time.Millisecond
	roundSlow  = 5 * time.Second
)

// noFeeLimit, 2e9 FIL, is above any fee.
var noFeeLimit = big.Mul(big.NewInt(2_000_000_000), big.NewInt(1_000_000_000_000_000_000))

// worker is the only goroutine that gives out nonces of its sender.
type worker struct {
	s       *Service
	addr    address.Address
	poke    chan struct{}
	started bool // guarded by Service.mu
	// The rest belongs to the goroutine.
	failures int
	// waiting is what the last round waits for, "" when nothing holds it up.
	waiting    string
	lastRepush time.Time
	// lined is the head at which the line of nonces was looked after last.
	lined types.TipSetKey
	gap   gap
}

func (w *worker) wake() { poke(w.poke) }

func (w *worker) self() []address.Address { return []address.Address{w.addr} }

func (w *worker) run(ctx context.Context) {
	for ctx.Err() == nil {
		again, err := w.round(ctx)
		w.tell(err)
		if again {
			continue
		}
		due, derr := w.s.db.NextTry(ctx, w.addr, w.s.clk.Now())
		if err == nil {
			err = derr
		}
		pause := time.Duration(-1)
		if !due.IsZero() {
			pause = due.Sub(w.s.clk.Now())
		}
		if err != nil && ctx.Err() == nil {
			w.failures++
			retry := min(roundRetry<<min(w.failures-1, 4), roundSlow)
			if pause < 0 || retry < pause {
				pause = retry
			}
			log.Warnw("sending is held up", "from", w.addr, "err", err)
		} else {
			w.failures = 0
		}
		w.rest(ctx, pause)
	}
}

// tell lets explanations know what holds all messages of the sender up.
func (w *worker) tell(err error) {
	text := w.waiting
	if err != nil {
		text = err.Error()
	}
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	if text == "" {
		delete(w.s.heldUp, w.addr)
	} else {
		w.s.heldUp[w.addr] = text
	}
}

// rest waits for a wake-up, at most pause if that is not negative.
func (w *worker) rest(ctx context.Context, pause time.Duration) {
	if pause < 0 {
		select {
		case <-ctx.Done():
		case <-w.poke:
		}
		return
	}
	t := w.s.clk.NewTimer(pause)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-w.poke:
	case <-t.C():
	}
}

// round does what can be done now: push what is signed, replace what is stuck,
// then estimate, sign and push a batch of the queue. again asks for another round
// at once.
func (w *worker) round(ctx context.Context) (again bool, err error) {
	s := w.s
	w.waiting = ""
	// Others may be at work for this sender; they push what they signed.
	if fence, err := s.acquire(ctx, nonceLease(w.addr)); err != nil || fence == 0 {
		return false, err
	}
	underway, err := s.db.List(ctx, store.Query{From: []address.Address{w.addr}, States: []machine.State{machine.Signed, machine.Pending}, ByNonce: true})
	if err != nil {
		return false, err
	}
	if underway, err = w.pushSigned(ctx, underway); err != nil {
		return false, err
	}
	if reason, _ := s.nodeTrouble(); reason != machine.NoReason {
		return false, nil // the follower wakes all senders when the node is back
	}
	sender, err := s.db.Sender(ctx, w.addr)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil // nothing was ever taken for it
	}
	if err != nil {
		return false, fmt.Errorf("load sender: %w", err)
	}
	if err := w.keepLine(ctx, sender, underway); err != nil {
		return false, err
	}
	replaced, err := w.replaceStuck(ctx, sender, underway)
	if err != nil || replaced {
		return replaced, err
	}
	due, err := s.db.Due(ctx, w.addr, s.clk.Now(), batchSize)
	if err != nil || len(due) == 0 {
		return false, err
	}
	if due, err = w.dropExpired(ctx, due); err != nil {
		return false, err
	}
	if sender.Paused {
		return false, nil
	}
	batch, err := w.choose(ctx, sender, due, len(underway))
	if err != nil || len(batch) == 0 {
		return false, err
	}
	return w.send(ctx, sender, underway, batch)
}

// choose takes from the due messages what the limits leave room for. Window proofs
// and repairs need none: they are few, and late they cost more than any limit saves.
func (w *worker) choose(ctx context.Context, sender store.Sender, due []machine.Message, underway int) ([]machine.Message, error) {
	shared := w.s.sharedLimits()
	limit := sender.SelNum
	if limit == 0 {
		limit = shared.SelNum
	}
	room := machine.Room(limit, underway)
	if shared.GlobalNum > 0 && room > 0 {
		all, err := w.s.db.Count(ctx, store.Query{States: []machine.State{machine.Signed, machine.Pending}})
		if err != nil {
			return nil, err
		}
		contenders, err := w.s.db.Contenders(ctx, w.s.clk.Now())
		if err != nil {
			return nil, err
		}
		room = min(room, machine.Share(shared.GlobalNum, all, underway, contenders))
	}
	var out []machine.Message
	for _, m := range machine.Choose(due, w.s.clk.Now(), batchSize) {
		if m.Lane == machine.LaneProof {
			out = append(out, m)
		} else if room > 0 {
			out = append(out, m)
			room--
		}
	}
	return out, nil
}

func (w *worker) dropExpired(ctx context.Context, due []machine.Message) ([]machine.Message, error) {
	head := w.s.Head()
	var keep []machine.Message
	var gone []change
	for _, m := range due {
		if e := m.Limits.ExpireEpoch; e > 0 && head != nil && head.Height() >= e {
			gone = append(gone, change{m.ID, machine.Expired{Epoch: e}})
		} else {
			keep = append(keep, m)
		}
	}
	return keep, w.s.apply(ctx, gone, nil)
}

// send gives nonces to as many messages of a batch as can have one. Messages that
// can not are delayed with their reason and take none.
// again tells that another round can go on at once.
func (w *worker) send(ctx context.Context, sender store.Sender, underway, batch []machine.Message) (again bool, err error) {
	poolNonce, err := w.poolNonce(ctx, batch)
	if err != nil || poolNonce == nil {
		return poolNonce == nil, err
	}
	if err := w.noteForeign(ctx, sender, *poolNonce); err != nil {
		return false, err
	}
	l, err := w.look(ctx, sender, *poolNonce)
	if err != nil {
		return false, err
	}
	if !l.settled && sender.NextNonce > l.next {
		w.waiting = fmt.Sprintf("nonce %d follows what is known, and %d was to be given out next: somebody may be using those in between, which shows within %d epochs", l.next, sender.NextNonce, gapPatience)
		return false, nil
	}
	if batch, err = w.place(ctx, batch, l); err != nil || len(batch) == 0 {
		return true, err
	}
	priced, delays, err := w.estimate(ctx, sender, batch, l.next)
	if err != nil {
		return false, err
	}
	fitting, more, err := w.affordable(ctx, underway, priced)
	if err != nil {
		return false, err
	}
	delays = append(delays, more...)
	signed, next, more := w.sign(ctx, fitting, l.next)
	delays = append(delays, more...)
	if err := w.s.apply(ctx, delays, nil); err != nil {
		return false, fmt.Errorf("record delays: %w", err)
	}
	if len(signed) == 0 {
		return true, nil
	}
	return true, w.assign(ctx, sender, next, signed)
}

// poolNonce asks the node for the sender's next nonce, pending messages included.
// When the sender does not exist on chain it delays the batch and returns nil.
func (w *worker) poolNonce(ctx context.Context, batch []machine.Message) (*uint64, error) {
	cctx, cancel := context.WithTimeout(ctx, nodeTimeout)
	defer cancel()
	n, err := w.s.node().MpoolGetNonce(cctx, w.addr)
	if err == nil {
		return &n, nil
	}
	if machine.ReasonOfEstimate(err.Error()) != machine.NoActor {
		return nil, fmt.Errorf("ask the node for the nonce: %w", err)
	}
	delays := make([]change, len(batch))
	for i, m := range batch {
		delays[i] = change{m.ID, machine.Delayed{Reason: machine.NoActor, Text: fmt.Sprintf("%s does not exist on chain: it never received funds", w.addr)}}
	}
	return nil, w.s.apply(ctx, delays, nil)
}

// offer is a message with its prices, on its way to a signature.
type offer struct {
	m       machine.Message
	msg     types.Message
	account string
}

// estimate prices a batch on top of what is pending. Messages that would fail on
// chain, and those whose limits are below the base fee, are delayed.
func (w *worker) estimate(ctx context.Context, sender store.Sender, batch []machine.Message, next uint64) ([]offer, []change, error) {
	shared := w.s.sharedLimits()
	fees := make([]machine.Fees, len(batch))
	items := make([]*node.EstimateMessage, len(batch))
	for i := range batch {
		fees[i] = machine.Resolve(&batch[i], shared.rules, sender.Limits, shared.Limits)
		msg := batch[i].Msg
		// The market's price is asked for; limits are applied here, where they are told.
		items[i] = &node.EstimateMessage{Msg: &msg, Spec: &node.MessageSendSpec{MaxFee: noFeeLimit, GasOverEstimation: fees[i].GasOverEstimation}}
	}
	cctx, cancel := context.WithTimeout(ctx, estimateTimeout)
	defer cancel()
	res, err := w.s.node().GasBatchEstimateMessageGas(cctx, items, next, types.EmptyTSK)
	if err != nil {
		return nil, nil, fmt.Errorf("ask the node for estimates: %w", err)
	}
	if len(res) != len(batch) {
		return nil, nil, fmt.Errorf("the node answered %d estimates for %d messages", len(res), len(batch))
	}
	baseFee := big.Zero()
	if head := w.s.Head(); head != nil {
		baseFee = head.ParentBaseFee()
	}
	var out []offer
	var delays []change
	for i, r := range res {
		if r == nil || r.Err != "" || r.Msg == nil {
			text := "the node gave no estimate"
			if r != nil && r.Err != "" {
				text = r.Err
			}
			if code, ok := machine.ExitCode(text); ok {
				text += fmt.Sprintf(" (exit %d: %s)", code, machine.DescribeExit(code))
			}
			delays = append(delays, change{batch[i].ID, machine.Delayed{Reason: machine.ReasonOfEstimate(text), Text: text}})
			continue
		}
		o := offer{m: batch[i], msg: batch[i].Msg}
		o.msg.GasLimit, o.msg.GasFeeCap, o.msg.GasPremium = r.Msg.GasLimit, r.Msg.GasFeeCap, r.Msg.GasPremium
		bound, account := fees[i].Decide(&o.msg)
		o.account = account
		if o.msg.GasFeeCap.LessThan(baseFee) {
			text := fmt.Sprintf("the fee cap of %s attoFIL per gas is below the base fee of %s; it is bound by the %s", o.msg.GasFeeCap, baseFee, boundName(bound, fees[i]))
			delays = append(delays, change{o.m.ID, machine.Delayed{Reason: machine.FeeLimit, Text: text}})
			continue
		}
		out = append(out, o)
	}
	return out, delays, nil
}

func boundName(bound string, f machine.Fees) string {
	if bound != "" {
		return bound
	}
	return fmt.Sprintf("maxFee of the %s (%s)", f.MaxFeeFrom, types.FIL(f.MaxFee))
}

// affordable keeps the messages that the balance covers besides what is under way.
func (w *worker) affordable(ctx context.Context, underway []machine.Message, priced []offer) ([]offer, []change, error) {
	if len(priced) == 0 {
		return nil, nil, nil
	}
	cctx, cancel := context.WithTimeout(ctx, nodeTimeout)
	defer cancel()
	actor, err := w.s.node().StateGetActor(cctx, w.addr, types.EmptyTSK)
	if err != nil {
		return nil, nil, fmt.Errorf("ask the node for the balance: %w", err)
	}
	var out []offer
	var delays []change
	have := append([]machine.Message(nil), underway...)
	for _, o := range priced {
		if _, short := machine.Affordable(actor.Balance, have, []*types.Message{&o.msg}); short != "" {
			delays = append(delays, change{o.m.ID, machine.Delayed{Reason: machine.NoFunds, Text: short}})
			continue
		}
		have = append(have, machine.Message{Msg: o.msg})
		out = append(out, o)
	}
	return out, delays, nil
}

// signedOffer is a message that has everything but its row in the database.
type signedOffer struct {
	m  machine.Message
	ev machine.Assigned
}

// sign has the wallets sign with consecutive nonces from next on, fillers with the
// nonce they are for, and returns the nonce that follows. A message whose wallet
// fails is delayed and takes no nonce; the others of that wallet wait too.
func (w *worker) sign(ctx context.Context, offers []offer, next uint64) ([]signedOffer, uint64, []change) {
	var out []signedOffer
	var delays []change
	broken := make(map[string]machine.Delayed)
	for _, o := range offers {
		if d, bad := broken[o.m.Wallet]; bad {
			delays = append(delays, change{o.m.ID, d})
			continue
		}
		msg := o.msg
		filled, fills := o.m.Fills()
		msg.Nonce = next
		if fills {
			msg.Nonce = filled
		}
		sig, err := w.s.wallets.sign(ctx, o.m.Wallet, &msg)
		if err != nil {
			d := machine.Delayed{Reason: signReason(err), Text: err.Error()}
			if d.Reason != machine.WalletRefused {
				broken[o.m.Wallet] = d
			}
			delays = append(delays, change{o.m.ID, d})
			continue
		}
		out = append(out, signedOffer{o.m, machine.Assigned{Msg: msg, Sig: *sig, Account: o.account}})
		if !fills {
			next++
		}
	}
	return out, next, delays
}

func signReason(err error) machine.Reason {
	if errors.Is(err, errNoWallet) {
		return machine.WalletUnknown
	}
	away := api.Explain(err).Code == api.CodeUnavailable || errors.Is(err, context.DeadlineExceeded)
	return machine.ReasonOfSign(err.Error(), away)
}

// assign writes nonces, signed bytes, states and the next nonce in one transaction,
// under the lease and over the nonce and the messages that were read. Nothing signed leaves this
// process before that.
func (w *worker) assign(ctx context.Context, sender store.Sender, next uint64, signed []signedOffer) error {
	s := w.s
	if err := fault.Point("messager/assign"); err != nil {
		return err
	}
	lease := nonceLease(w.addr)
	fence, _ := s.fence(lease) // without one the database refuses
	ids := make([]string, 0, len(signed))
	now := s.clk.Now()
	err := s.db.Update(ctx, func(tx *store.Tx) error {
		ids = ids[:0]
		if err := tx.Fence(lease, fence); err != nil {
			return err
		}
		if err := tx.SetNonce(w.addr, sender.NextNonce, next); err != nil {
			return err
		}
		for _, o := range signed {
			changed, note, err := o.m.Step(o.ev, now)
			if err != nil {
				return err
			}
			// One that was given up meanwhile is stale, and so is then the whole batch: it
			// is signed again without it, because a nonce must not stay unused.
			if err := tx.Change(&o.m, &changed, note); err != nil {
				return err
			}
			if err := tx.Attempt(&changed); err != nil {
				return err
			}
			ids = append(ids, o.m.ID)
		}
		return nil
	})
	if errors.Is(err, store.ErrStale) {
		log.Infow("batch is signed again", "from", w.addr, "err", err)
		return nil
	}
	if err != nil {
		return fmt.Errorf("store signed messages: %w", err)
	}
	for _, id := range ids {
		s.meters.event("signed", &machine.Message{ID: id})
	}
	s.hub.tell(ids...)
	// Durable from here on; the next round pushes.
	return fault.Point("messager/signed")
}

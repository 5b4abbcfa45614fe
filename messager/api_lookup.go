package messager

import (
	"context"
	"errors"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/ipfs/go-cid"

	"github.com/filecoin-venus/venus/api"
	msgapi "github.com/filecoin-venus/venus/api/messager"
	"github.com/filecoin-venus/venus/messager/machine"
	"github.com/filecoin-venus/venus/messager/store"
)

const (
	defaultPage = 100
	maxPage     = 1000
)

// wireState maps to the original's numbers, which know no difference between
// signed and pending.
var wireState = map[machine.State]msgapi.State{
	machine.Queued: msgapi.StateQueued, machine.Signed: msgapi.StatePending, machine.Pending: msgapi.StatePending,
	machine.OnChain: msgapi.StateOnChain, machine.Failed: msgapi.StateFailed, machine.Conflict: msgapi.StateReplaced,
	machine.NoWallet: msgapi.StateNoWallet,
}

func machineStates(wire []msgapi.State) []machine.State {
	var out []machine.State
	for _, w := range wire {
		for s := machine.Queued; s <= machine.NoWallet; s++ {
			if wireState[s] == w {
				out = append(out, s)
			}
		}
	}
	return out
}

// wire converts a message.
func (a *API) wire(m *machine.Message) *msgapi.Message {
	out := &msgapi.Message{
		ID: m.ID, Version: m.Msg.Version, To: m.Msg.To, From: m.Msg.From, Nonce: m.Msg.Nonce, Value: m.Msg.Value, GasLimit: m.Msg.GasLimit,
		GasFeeCap: m.Msg.GasFeeCap, GasPremium: m.Msg.GasPremium, Method: m.Msg.Method, Params: m.Msg.Params,
		Signature: m.Sig, Height: int64(m.Executed.Height), Confidence: int64(a.s.depth(m)), Receipt: m.Receipt, TipSetKey: m.Executed.Key,
		Included: m.Included.Key, IncludedHeight: int64(m.Included.Height),
		Meta: &msgapi.MsgMeta{
			ExpireEpoch: m.Limits.ExpireEpoch, GasOverEstimation: m.Limits.GasOverEstimation, MaxFee: zeroIfNil(m.Limits.MaxFee), MaxFeeCap: zeroIfNil(m.Limits.MaxFeeCap),
		},
		WalletName: m.Wallet, FromUser: m.User, State: wireState[m.State], Status: m.Status(), Spent: zeroIfNil(m.Spent), ErrorMsg: m.Error, CreatedAt: m.Created, UpdatedAt: m.Updated,
	}
	if m.State.HasNonce() {
		unsigned := m.UnsignedCid
		out.UnsignedCid = &unsigned
	}
	if m.SignedCid.Defined() {
		signed := m.SignedCid
		out.SignedCid = &signed
	}
	return out
}

func (a *API) wireAll(ms []machine.Message, err error) ([]*msgapi.Message, error) {
	if err != nil {
		return nil, err
	}
	out := make([]*msgapi.Message, len(ms))
	for i := range ms {
		out[i] = a.wire(&ms[i])
	}
	return out, nil
}

func (a *API) wireOne(ctx context.Context, m machine.Message, err error) (*msgapi.Message, error) {
	if err == nil && !tenantOf(ctx).owns(m.Msg.From) {
		err = store.ErrNotFound
	}
	if errors.Is(err, store.ErrNotFound) && api.Explain(err).Code == api.CodeInternal {
		return nil, api.Errorf(api.CodeNotFound, "there is no such message: %w", err)
	}
	if err != nil {
		return nil, err
	}
	return a.wire(&m), nil
}

// GetMessageByUid returns a message by id.
//
//nolint:revive // the field's spelling
func (a *API) GetMessageByUid(ctx context.Context, id string) (*msgapi.Message, error) {
	m, err := a.message(ctx, id)
	return a.wireOne(ctx, m, err)
}

// HasMessageByUid tells whether an id is known.
//
//nolint:revive // the field's spelling
func (a *API) HasMessageByUid(ctx context.Context, id string) (bool, error) {
	m, err := a.s.db.Get(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return err == nil && tenantOf(ctx).owns(m.Msg.From), err
}

// GetMessageByCid returns a message by the signed or unsigned CID of any attempt.
func (a *API) GetMessageByCid(ctx context.Context, c cid.Cid) (*msgapi.Message, error) {
	m, err := a.s.db.BySignedCid(ctx, c)
	if errors.Is(err, store.ErrNotFound) {
		m, err = a.s.db.ByUnsignedCid(ctx, c)
	}
	return a.wireOne(ctx, m, err)
}

// GetMessageBySignedCid returns a message by the CID of any of its signed forms.
func (a *API) GetMessageBySignedCid(ctx context.Context, c cid.Cid) (*msgapi.Message, error) {
	m, err := a.s.db.BySignedCid(ctx, c)
	return a.wireOne(ctx, m, err)
}

// GetMessageByUnsignedCid returns a message by the CID of any of its unsigned forms.
func (a *API) GetMessageByUnsignedCid(ctx context.Context, c cid.Cid) (*msgapi.Message, error) {
	m, err := a.s.db.ByUnsignedCid(ctx, c)
	return a.wireOne(ctx, m, err)
}

// GetMessageByFromAndNonce returns the message that owns a nonce.
func (a *API) GetMessageByFromAndNonce(ctx context.Context, from address.Address, nonce uint64) (*msgapi.Message, error) {
	key, err := a.key(ctx, from)
	if err != nil {
		return nil, err
	}
	m, err := a.s.db.ByNonce(ctx, key, nonce)
	return a.wireOne(ctx, m, err)
}

// WaitMessage waits for a final state. When the messager stops, waiting ends with an
// error of kind unavailable; the caller asks again.
func (a *API) WaitMessage(ctx context.Context, id string, confidence uint64) (*msgapi.Message, error) {
	if err := a.mine(ctx, id); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-a.Done():
			cancel()
		case <-ctx.Done():
		}
	}()
	m, err := a.s.Wait(ctx, id, confidence)
	select {
	case <-a.Done():
		if errors.Is(err, context.Canceled) {
			return nil, api.Errorf(api.CodeUnavailable, "the messager is stopping").WithHint("ask again with the same id once it runs")
		}
	default:
	}
	return a.wireOne(ctx, m, err)
}

// ListMessage lists messages by page.
func (a *API) ListMessage(ctx context.Context, q msgapi.MsgQuery) ([]*msgapi.Message, error) {
	size := q.PageSize
	if size <= 0 {
		size = defaultPage
	}
	if size > maxPage {
		return nil, api.Errorf(api.CodeInvalid, "a page of %d messages is too large", size).WithHint("ask for at most %d and use pageIndex", maxPage)
	}
	sq := store.Query{
		States: machineStates(q.States), Wallet: q.Wallet, Failing: q.Failing, Before: a.s.olderThan(q.OlderThan),
		Offset: max(0, q.PageIndex-1) * size, Limit: size, Ascending: q.Ascending,
	}
	for _, f := range q.From {
		key, err := a.key(ctx, f)
		if err != nil {
			return nil, err
		}
		sq.From = append(sq.From, key)
	}
	var none bool
	if sq.From, none = tenantOf(ctx).owned(sq.From); none {
		return []*msgapi.Message{}, nil
	}
	return a.wireAll(a.s.db.List(ctx, sq))
}

// ListMessageByAddress lists messages of a sender.
func (a *API) ListMessageByAddress(ctx context.Context, addr address.Address) ([]*msgapi.Message, error) {
	return a.ListMessage(ctx, msgapi.MsgQuery{From: []address.Address{addr}})
}

// ListMessageByFromState lists messages of a sender in a state.
func (a *API) ListMessageByFromState(ctx context.Context, from address.Address, state msgapi.State, pageIndex, pageSize int) ([]*msgapi.Message, error) {
	return a.ListMessage(ctx, msgapi.MsgQuery{From: []address.Address{from}, States: []msgapi.State{state}, PageIndex: pageIndex, PageSize: pageSize})
}

// ListFailedMessage lists queued messages that carry an error.
func (a *API) ListFailedMessage(ctx context.Context) ([]*msgapi.Message, error) {
	from, none := tenantOf(ctx).owned(nil)
	if none {
		return []*msgapi.Message{}, nil
	}
	return a.wireAll(a.s.db.List(ctx, store.Query{From: from, States: []machine.State{machine.Queued}, Failing: true, Limit: maxPage}))
}

// ListBlockedMessage lists messages that wait for longer than a time.
func (a *API) ListBlockedMessage(ctx context.Context, addr address.Address, olderThan time.Duration) ([]*msgapi.Message, error) {
	q := store.Query{
		States: []machine.State{machine.Queued, machine.Signed, machine.Pending}, Before: a.s.olderThan(olderThan), Limit: maxPage, Ascending: true,
	}
	if addr != address.Undef {
		key, err := a.key(ctx, addr)
		if err != nil {
			return nil, err
		}
		q.From = []address.Address{key}
	}
	var none bool
	if q.From, none = tenantOf(ctx).owned(q.From); none {
		return []*msgapi.Message{}, nil
	}
	return a.wireAll(a.s.db.List(ctx, q))
}

// ExplainMessage says in plain words what a message waits for.
func (a *API) ExplainMessage(ctx context.Context, id string) (*msgapi.Explanation, error) {
	if err := a.mine(ctx, id); err != nil {
		return nil, err
	}
	e, err := a.s.Explain(ctx, id)
	if err != nil {
		return nil, err
	}
	out := &msgapi.Explanation{
		ID: id, State: wireState[e.Message.State], Status: e.Message.Status(), Reason: e.Reason, Advice: e.Advice, Ahead: e.Ahead,
		Events: []msgapi.Event{}, Attempts: []msgapi.Attempt{},
	}
	for _, sm := range e.Attempts {
		out.Attempts = append(out.Attempts, msgapi.Attempt{
			Cid: sm.Cid(), Nonce: sm.Message.Nonce, GasLimit: sm.Message.GasLimit, GasFeeCap: sm.Message.GasFeeCap, GasPremium: sm.Message.GasPremium,
			Fate: e.Message.Fate(sm.Cid()),
		})
	}
	for _, n := range e.Notes {
		out.Events = append(out.Events, msgapi.Event{At: n.At, Kind: n.Kind, Text: n.Text})
	}
	return out, nil
}

package messager

import (
	"context"
	"errors"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/big"

	"github.com/filecoin-venus/venus/api"
	msgapi "github.com/filecoin-venus/venus/api/messager"
	"github.com/filecoin-venus/venus/messager/machine"
	"github.com/filecoin-venus/venus/messager/store"
	"github.com/filecoin-venus/venus/rpc"
)

func zeroIfNil(b big.Int) big.Int {
	if b.Int == nil {
		return big.Zero()
	}
	return b
}

// SaveWallet adds a wallet.
func (a *API) SaveWallet(ctx context.Context, w msgapi.WalletSpec) error {
	if err := forAll(ctx); err != nil {
		return err
	}
	return a.s.addWallet(ctx, store.Wallet{Name: w.Name, URL: w.URL, Token: rpc.CleanToken(w.Token)})
}

// UpdateWallet gives a wallet another URL or token.
func (a *API) UpdateWallet(ctx context.Context, w msgapi.WalletSpec) error {
	if err := forAll(ctx); err != nil {
		return err
	}
	return a.s.changeWallet(ctx, store.Wallet{Name: w.Name, URL: w.URL, Token: rpc.CleanToken(w.Token)})
}

func (a *API) wireWallet(e *walletEntry) *msgapi.Wallet {
	a.s.wallets.mu.Lock()
	defer a.s.wallets.mu.Unlock()
	out := &msgapi.Wallet{
		ID: e.Name, Name: e.Name, URL: e.URL, State: "Alive", Error: e.trouble, Addresses: len(e.held), CreatedAt: e.Created, UpdatedAt: e.Updated,
	}
	if e.Removing {
		out.State = "Removing"
	}
	return out
}

func (a *API) wallet(name string) (*walletEntry, error) {
	e := a.s.wallets.get(name)
	if e == nil {
		return nil, api.Errorf(api.CodeNotFound, "there is no wallet named %q", name).WithHint("see `venus-messager wallet list`")
	}
	return e, nil
}

// GetWalletByName returns a wallet without its token.
func (a *API) GetWalletByName(ctx context.Context, name string) (*msgapi.Wallet, error) {
	if err := forAll(ctx); err != nil {
		return nil, err
	}
	e, err := a.wallet(name)
	if err != nil {
		return nil, err
	}
	return a.wireWallet(e), nil
}

// HasWallet tells whether a name is taken.
func (a *API) HasWallet(ctx context.Context, name string) (bool, error) {
	if err := forAll(ctx); err != nil {
		return false, err
	}
	return a.s.wallets.get(name) != nil, nil
}

// ListWallet lists the wallets without their tokens.
func (a *API) ListWallet(ctx context.Context) ([]*msgapi.Wallet, error) {
	if err := forAll(ctx); err != nil {
		return nil, err
	}
	stored, err := a.s.db.Wallets(ctx)
	if err != nil {
		return nil, err
	}
	out := []*msgapi.Wallet{}
	for _, w := range stored {
		if e := a.s.wallets.get(w.Name); e != nil {
			out = append(out, a.wireWallet(e))
		}
	}
	return out, nil
}

// ListRemoteWalletAddress asks a wallet for its addresses now.
func (a *API) ListRemoteWalletAddress(ctx context.Context, name string) ([]address.Address, error) {
	if err := forAll(ctx); err != nil {
		return nil, err
	}
	e, err := a.wallet(name)
	if err != nil {
		return nil, err
	}
	if err := a.s.wallets.refresh(ctx, e); err != nil {
		return nil, api.Errorf(api.CodeUnavailable, "wallet %s: %w", name, err).WithHint("check that it runs and that its URL and token are right")
	}
	a.s.wallets.mu.Lock()
	defer a.s.wallets.mu.Unlock()
	out := []address.Address{}
	for h := range e.held {
		out = append(out, h)
	}
	return out, nil
}

// DeleteWallet removes a wallet.
func (a *API) DeleteWallet(ctx context.Context, name string) error {
	if err := forAll(ctx); err != nil {
		return err
	}
	return a.s.removeWallet(ctx, name)
}

// HasWalletAddress tells whether a wallet holds an address that may be pushed to.
func (a *API) HasWalletAddress(ctx context.Context, walletName string, addr address.Address) (bool, error) {
	key, err := a.key(ctx, addr)
	if err != nil {
		return false, err
	}
	if !tenantOf(ctx).owns(key) {
		return false, nil
	}
	if _, err := a.s.wallets.holder(ctx, walletName, key); err != nil {
		if api.Explain(err).Code == api.CodeNotFound {
			return false, nil
		}
		return false, err
	}
	return true, nil
}

// WalletHas tells whether any wallet holds an address.
func (a *API) WalletHas(ctx context.Context, addr address.Address) (bool, error) {
	return a.HasWalletAddress(ctx, "", addr)
}

// GetWalletAddress tells how a wallet holds an address.
func (a *API) GetWalletAddress(ctx context.Context, walletName string, addr address.Address) (*msgapi.WalletAddress, error) {
	key, err := a.key(ctx, addr)
	if err != nil {
		return nil, err
	}
	all, err := a.ListWalletAddress(ctx)
	if err != nil {
		return nil, err
	}
	for _, w := range all {
		if w.WalletName == walletName && w.Addr == key {
			return w, nil
		}
	}
	return nil, api.Errorf(api.CodeNotFound, "address %s not in wallet %q", addr, walletName).WithHint("`venus-messager wallet list-addr %s` asks the wallet", walletName)
}

// ListWalletAddress lists which wallet holds which address.
func (a *API) ListWalletAddress(ctx context.Context) ([]*msgapi.WalletAddress, error) {
	all, err := a.s.db.WalletAddresses(ctx)
	if err != nil {
		return nil, err
	}
	out := []*msgapi.WalletAddress{}
	for _, w := range all {
		if !tenantOf(ctx).owns(w.Addr) {
			continue
		}
		state := "Alive"
		if sender, err := a.s.db.Sender(ctx, w.Addr); err == nil && sender.Paused {
			state = "Forbidden"
		}
		if e := a.s.wallets.get(w.Wallet); e != nil && a.s.wallets.removing(e) {
			state = "Removing"
		}
		if !w.Present {
			state = "Removed"
		}
		out = append(out, &msgapi.WalletAddress{WalletName: w.Wallet, Addr: w.Addr, State: state})
	}
	return out, nil
}

func (a *API) wireAddress(ctx context.Context, s store.Sender) (*msgapi.Address, error) {
	out := &msgapi.Address{
		Addr: s.Addr, Nonce: s.NextNonce, State: "Alive", SelMsgNum: s.SelNum, GasOverEstimation: s.Limits.GasOverEstimation,
		MaxFee: zeroIfNil(s.Limits.MaxFee).String(), MaxFeeCap: zeroIfNil(s.Limits.MaxFeeCap).String(), ForeignNonce: s.ForeignNonce, ForeignAt: s.ForeignAt, CreatedAt: s.Created, UpdatedAt: s.Updated,
	}
	if s.Paused {
		out.State = "Forbidden"
	}
	from := []address.Address{s.Addr}
	var err error
	if out.Queued, err = a.s.db.Count(ctx, store.Query{From: from, States: []machine.State{machine.Queued}}); err != nil {
		return nil, err
	}
	out.Pending, err = a.s.db.Count(ctx, store.Query{From: from, States: []machine.State{machine.Signed, machine.Pending}})
	return out, err
}

// GetAddress returns what is known of a sender.
func (a *API) GetAddress(ctx context.Context, addr address.Address) (*msgapi.Address, error) {
	key, err := a.own(ctx, addr)
	if err != nil {
		return nil, err
	}
	s, err := a.s.sender(ctx, key)
	if err != nil {
		return nil, err
	}
	return a.wireAddress(ctx, s)
}

// HasAddress tells whether a sender is known.
func (a *API) HasAddress(ctx context.Context, addr address.Address) (bool, error) {
	key, err := a.key(ctx, addr)
	if err != nil {
		return false, err
	}
	_, err = a.s.db.Sender(ctx, key)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return err == nil && tenantOf(ctx).owns(key), err
}

// ListAddress lists the senders.
func (a *API) ListAddress(ctx context.Context) ([]*msgapi.Address, error) {
	all, err := a.s.db.Addresses(ctx)
	if err != nil {
		return nil, err
	}
	out := []*msgapi.Address{}
	for _, s := range all {
		if !tenantOf(ctx).owns(s.Addr) {
			continue
		}
		w, err := a.wireAddress(ctx, s)
		if err != nil {
			return nil, err
		}
		out = append(out, w)
	}
	return out, nil
}

// UpdateNonce sets the next nonce of a sender, never below one that was signed.
func (a *API) UpdateNonce(ctx context.Context, addr address.Address, nonce uint64) error {
	key, err := a.own(ctx, addr)
	if err != nil {
		return err
	}
	s, err := a.s.sender(ctx, key)
	if err != nil {
		return err
	}
	last, err := a.s.db.List(ctx, store.Query{From: []address.Address{key}, States: []machine.State{machine.Signed, machine.Pending, machine.OnChain, machine.Conflict}, ByNonce: true})
	if err != nil {
		return err
	}
	if n := len(last); n > 0 && nonce <= last[n-1].Msg.Nonce {
		return api.Errorf(api.CodePrecondition, "nonce %d was signed already; the next one can not be %d", last[n-1].Msg.Nonce, nonce).
			WithHint("a nonce is never given out twice; use %d or more", last[n-1].Msg.Nonce+1)
	}
	err = a.s.db.Update(ctx, func(tx *store.Tx) error { return tx.SetNonce(key, s.NextNonce, nonce) })
	if errors.Is(err, store.ErrStale) {
		return api.Errorf(api.CodeConflict, "the nonce of %s changed meanwhile", key).WithHint("try again")
	}
	return err
}

// DeleteAddress forgets a sender that has no message under way.
func (a *API) DeleteAddress(ctx context.Context, addr address.Address) error {
	key, err := a.own(ctx, addr)
	if err != nil {
		return err
	}
	s, err := a.s.sender(ctx, key)
	if err != nil {
		return err
	}
	w, err := a.wireAddress(ctx, s)
	if err != nil {
		return err
	}
	if w.Queued+w.Pending > 0 {
		return api.Errorf(api.CodePrecondition, "address %s has %d messages queued and %d under way", key, w.Queued, w.Pending).WithHint("wait until they are final, or pause the address")
	}
	return a.s.db.Update(ctx, func(tx *store.Tx) error { return tx.DropSender(key) })
}

// setSender changes the settings of an address of the caller's.
func (a *API) setSender(ctx context.Context, addr address.Address, change func(*store.Sender)) error {
	key, err := a.own(ctx, addr)
	if err != nil {
		return err
	}
	return a.s.setSender(ctx, key, change)
}

// ForbiddenAddress pauses a sender.
func (a *API) ForbiddenAddress(ctx context.Context, addr address.Address) error {
	return a.setSender(ctx, addr, func(s *store.Sender) { s.Paused = true })
}

// ActiveAddress resumes a sender.
func (a *API) ActiveAddress(ctx context.Context, addr address.Address) error {
	return a.setSender(ctx, addr, func(s *store.Sender) { s.Paused = false })
}

// SetSelectMsgNum limits a sender's messages under way.
func (a *API) SetSelectMsgNum(ctx context.Context, addr address.Address, num uint64) error {
	return a.setSender(ctx, addr, func(s *store.Sender) { s.SelNum = num })
}

// SetFeeParams sets a sender's limits; "" leaves an amount unchanged.
func (a *API) SetFeeParams(ctx context.Context, addr address.Address, gasOverEstimation float64, maxFee, maxFeeCap string) error {
	if gasOverEstimation != 0 && gasOverEstimation < 1 {
		return api.Errorf(api.CodeInvalid, "gasOverEstimation %v is below 1", gasOverEstimation)
	}
	fee, err := atto("maxFee", maxFee)
	if err != nil {
		return err
	}
	feeCap, err := atto("maxFeeCap", maxFeeCap)
	if err != nil {
		return err
	}
	return a.setSender(ctx, addr, func(s *store.Sender) {
		if gasOverEstimation != 0 {
			s.Limits.GasOverEstimation = gasOverEstimation
		}
		if maxFee != "" {
			s.Limits.MaxFee = fee
		}
		if maxFeeCap != "" {
			s.Limits.MaxFeeCap = feeCap
		}
	})
}

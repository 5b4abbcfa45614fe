package messager

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/filecoin-project/go-address"
	stcrypto "github.com/filecoin-project/go-state-types/crypto"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/api/wallet"
	"github.com/filecoin-venus/venus/messager/machine"
	"github.com/filecoin-venus/venus/messager/store"
	"github.com/filecoin-venus/venus/types"
)

// scanInterval is how often the wallets' keys are listed; a push to an unknown
// address lists its wallet at once.
const scanInterval = 5 * time.Second

var errNoWallet = errors.New("no wallet")

// wallets are the venus-wallets the messager knows, each with a client and the
// addresses it held when it was last asked.
type wallets struct {
	s  *Service
	mu sync.Mutex
	// byName is guarded by mu, and so are the entries' changing fields.
	byName map[string]*walletEntry
}

type walletEntry struct {
	store.Wallet
	client Signer
	close  func()
	held   map[address.Address]bool
	// trouble is why it could not be asked last, "" when it could.
	trouble string
	// asking serialises the listings of one wallet.
	asking sync.Mutex
}

func newWallets(s *Service) *wallets { return &wallets{s: s, byName: make(map[string]*walletEntry)} }

// load reads the stored wallets, at the start and whenever another messager may have
// changed them. One that cannot be reached does not matter here.
func (ws *wallets) load(ctx context.Context) error {
	all, err := ws.s.db.Wallets(ctx)
	if err != nil {
		return err
	}
	stored := make(map[string]bool, len(all))
	var fresh []*walletEntry
	for _, w := range all {
		stored[w.Name] = true
		if e, isNew := ws.put(w); isNew {
			fresh = append(fresh, e)
		}
	}
	for _, e := range ws.all() {
		if !stored[e.Name] {
			ws.drop(e)
		}
	}
	if len(fresh) == 0 {
		return nil
	}
	held, err := ws.s.db.WalletAddresses(ctx)
	if err != nil {
		return err
	}
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for _, h := range held {
		if e := ws.byName[h.Wallet]; e != nil && h.Present && slices.Contains(fresh, e) {
			e.held[h.Addr] = true
		}
	}
	return nil
}

// put takes a stored wallet up, unless it is known as it is.
func (ws *wallets) put(w store.Wallet) (e *walletEntry, isNew bool) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	old := ws.byName[w.Name]
	if old != nil && old.URL == w.URL && old.Token == w.Token {
		old.Removing = w.Removing
		return old, false
	}
	if old != nil {
		old.close()
	}
	e = &walletEntry{Wallet: w, held: make(map[address.Address]bool), close: func() {}}
	client, closer, err := ws.s.o.DialWallet(w.URL, w.Token)
	if err != nil {
		e.trouble = err.Error()
	} else {
		e.client, e.close = client, sync.OnceFunc(closer)
	}
	ws.byName[w.Name] = e
	return e, true
}

func (ws *wallets) drop(e *walletEntry) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.byName[e.Name] == e {
		delete(ws.byName, e.Name)
	}
	e.close()
}

func (ws *wallets) get(name string) *walletEntry {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	return ws.byName[name]
}

func (ws *wallets) all() []*walletEntry {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	out := make([]*walletEntry, 0, len(ws.byName))
	for _, e := range ws.byName {
		out = append(out, e)
	}
	return out
}

// run lists the keys of all wallets again and again, each on its own, so that one
// that hangs does not hold up the others.
func (ws *wallets) run(ctx context.Context) {
	var busy sync.WaitGroup
	defer busy.Wait()
	for {
		for _, e := range ws.all() {
			if !e.asking.TryLock() {
				continue
			}
			busy.Add(1)
			go func() {
				defer busy.Done()
				defer e.asking.Unlock()
				recovered("list wallet "+e.Name, func() { ws.list(ctx, e) })
			}()
		}
		ws.finishRemovals(ctx)
		if ws.s.clk.Sleep(ctx, scanInterval) != nil {
			return
		}
	}
}

// refresh lists one wallet's keys now.
func (ws *wallets) refresh(ctx context.Context, e *walletEntry) error {
	e.asking.Lock()
	defer e.asking.Unlock()
	return ws.list(ctx, e)
}

func (ws *wallets) list(ctx context.Context, e *walletEntry) error {
	if e.client == nil {
		return fmt.Errorf("wallet %s: %s", e.Name, e.trouble)
	}
	cctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	addrs, err := e.client.WalletList(cctx)
	if err != nil {
		ws.mu.Lock()
		changed := e.trouble != err.Error()
		e.trouble = err.Error()
		ws.mu.Unlock()
		if changed && ctx.Err() == nil {
			log.Warnw("wallet cannot be asked for its keys", "name", e.Name, "err", err)
		}
		return err
	}
	return ws.record(ctx, e, addrs)
}

// record stores what changed among a wallet's keys and wakes their senders.
func (ws *wallets) record(ctx context.Context, e *walletEntry, addrs []address.Address) error {
	now := make(map[address.Address]bool, len(addrs))
	for _, a := range addrs {
		now[a] = true
	}
	ws.mu.Lock()
	healed := e.trouble != ""
	var came, went []address.Address
	for a := range now {
		if !e.held[a] {
			came = append(came, a)
		}
	}
	for a := range e.held {
		if !now[a] {
			went = append(went, a)
		}
	}
	ws.mu.Unlock()
	if len(came)+len(went) > 0 {
		err := ws.s.db.Update(ctx, func(tx *store.Tx) error {
			for _, a := range came {
				if err := tx.PutWalletAddress(store.WalletAddress{Wallet: e.Name, Addr: a, Present: true}); err != nil {
					return err
				}
				if err := tx.EnsureSender(a, ws.s.clk.Now()); err != nil {
					return err
				}
			}
			for _, a := range went {
				if err := tx.PutWalletAddress(store.WalletAddress{Wallet: e.Name, Addr: a}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("record keys of wallet %s: %w", e.Name, err)
		}
	}
	ws.mu.Lock()
	e.held, e.trouble = now, ""
	ws.mu.Unlock()
	if healed {
		came = addrs
	}
	for _, a := range came {
		ws.s.worker(a).wake()
	}
	return nil
}

// holder finds the wallet that is to sign for an address. With a name it must be
// that one; without, any that holds the key. It asks the wallet if need be.
func (ws *wallets) holder(ctx context.Context, name string, a address.Address) (string, error) {
	if name == "" {
		if found := ws.holding(a); found != "" {
			return found, nil
		}
		for _, e := range ws.all() {
			if err := ws.refresh(ctx, e); err != nil {
				continue
			}
			if ws.holds(e, a) {
				return e.Name, nil
			}
		}
		return "", api.Errorf(api.CodeNotFound, "no wallet holds address %s", a).
			WithHint("add the wallet with `venus-messager wallet add`, or make the key in a wallet that is added")
	}
	e := ws.get(name)
	if e == nil || ws.removing(e) {
		return "", api.Errorf(api.CodeNotFound, "there is no wallet named %q", name).
			WithHint("see `venus-messager wallet list`; add one with `venus-messager wallet add --name %s --url URL --token TOKEN`", name)
	}
	if ws.holds(e, a) {
		return name, nil
	}
	if err := ws.refresh(ctx, e); err != nil {
		return "", api.Errorf(api.CodeUnavailable, "wallet %s cannot be asked whether it holds %s: %w", name, a, err).
			WithHint("check that the wallet runs and that its URL and token are right")
	}
	if !ws.holds(e, a) {
		return "", api.Errorf(api.CodeNotFound, "address %s not in wallet", a).WithHint("wallet %s does not hold this key; see `venus-wallet list`", name)
	}
	return name, nil
}

// removing tells whether a wallet is going; another messager may have decided so.
func (ws *wallets) removing(e *walletEntry) bool {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	return e.Removing
}

func (ws *wallets) holds(e *walletEntry, a address.Address) bool {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	return e.held[a]
}

// holding names a wallet that holds an address as far as is known, or "".
func (ws *wallets) holding(a address.Address) string {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	found := ""
	for name, e := range ws.byName {
		if e.held[a] && !e.Removing && (found == "" || name < found) {
			found = name
		}
	}
	return found
}

// sign has a wallet sign a message and checks the signature: what comes back may
// be by another key or for other bytes.
func (ws *wallets) sign(ctx context.Context, name string, msg *types.Message) (*stcrypto.Signature, error) {
	e := ws.get(name)
	if e == nil {
		return nil, fmt.Errorf("wallet %s was removed: %w", name, errNoWallet)
	}
	if e.client == nil {
		return nil, fmt.Errorf("wallet %s: %s: %w", name, e.trouble, errNoWallet)
	}
	raw, err := msg.Serialize()
	if err != nil {
		return nil, err
	}
	toSign := msg.Cid().Bytes()
	cctx, cancel := context.WithTimeout(ctx, signTimeout)
	defer cancel()
	sig, err := e.client.WalletSign(cctx, msg.From, toSign, wallet.MsgMeta{Type: wallet.TypeMessage, Extra: raw})
	if err != nil {
		return nil, fmt.Errorf("wallet %s: %w", name, err)
	}
	if sig == nil {
		return nil, fmt.Errorf("wallet %s answered without a signature", name)
	}
	if err := ws.s.o.Verify(sig, msg.From, toSign); err != nil {
		return nil, fmt.Errorf("wallet %s answered with a signature that is not of %s for this message: %w", name, msg.From, err)
	}
	return sig, nil
}

// finishRemovals forgets wallets that are being removed once nothing of theirs is
// under way.
func (ws *wallets) finishRemovals(ctx context.Context) {
	for _, e := range ws.all() {
		if !ws.removing(e) {
			continue
		}
		n, err := ws.s.db.Count(ctx, store.Query{Wallet: e.Name, States: []machine.State{machine.Queued, machine.Signed, machine.Pending}})
		if err != nil || n > 0 {
			continue
		}
		if err := ws.s.db.Update(ctx, func(tx *store.Tx) error { return tx.DropWallet(e.Name) }); err != nil {
			log.Warnw("removed wallet not forgotten yet", "name", e.Name, "err", err)
			continue
		}
		ws.drop(e)
	}
}

func (ws *wallets) close() {
	for _, e := range ws.all() {
		e.close()
	}
}

package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	gscrypto "github.com/filecoin-project/go-state-types/crypto"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/market"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/paych"
	"github.com/ipfs/go-cid"

	"github.com/filecoin-venus/venus/api"
	apinode "github.com/filecoin-venus/venus/api/node"
	walletapi "github.com/filecoin-venus/venus/api/wallet"
	"github.com/filecoin-venus/venus/crypto"
	"github.com/filecoin-venus/venus/internal/fsutil"
	"github.com/filecoin-venus/venus/mpool"
	"github.com/filecoin-venus/venus/state"
	"github.com/filecoin-venus/venus/types"
)

// walletAPI answers about addresses and asks the configured wallet for what
// needs a key. The node stores no key, and whether its token may use, export or
// delete one the wallet decides.
type walletAPI struct {
	reader
	// keys is nil when no wallet is configured.
	keys walletapi.Keys
	// chosen is the file that holds the default address.
	chosen string
}

// wallet is the configured one, or why there is none.
func (a walletAPI) wallet() (walletapi.Keys, error) {
	if a.keys == nil {
		return nil, api.Errorf(api.CodePrecondition, "this node is not configured with a wallet").
			WithHint("name a venus-wallet and a token for it under wallet in config.json, or sign elsewhere and use MpoolPush")
	}
	return a.keys, nil
}

func (a walletAPI) WalletBalance(ctx context.Context, addr address.Address) (abi.TokenAmount, error) {
	view, err := (poolChain{a.reader}).stateAfter(ctx, a.store.Head())
	if err != nil {
		return abi.TokenAmount{}, err
	}
	return view.Balance(ctx, addr)
}

func (a walletAPI) WalletVerify(ctx context.Context, addr address.Address, data []byte, sig *gscrypto.Signature) (bool, error) {
	key, err := a.store.View(a.store.Head().ParentState()).ResolveToKey(ctx, addr)
	if errors.Is(err, state.ErrActorNotFound) {
		return false, absent(err, "account %s", addr)
	}
	if err != nil {
		return false, err
	}
	return crypto.Verify(sig, key, data) == nil, nil
}

func (a walletAPI) WalletValidateAddress(_ context.Context, s string) (address.Address, error) {
	addr, err := address.NewFromString(s)
	if err != nil {
		return address.Undef, api.Errorf(api.CodeInvalid, "address %q: %w", s, err)
	}
	return addr, nil
}

func (a walletAPI) WalletNew(ctx context.Context, kind types.KeyType) (address.Address, error) {
	w, err := a.wallet()
	if err != nil {
		return address.Undef, err
	}
	return w.WalletNew(ctx, kind)
}

func (a walletAPI) WalletHas(ctx context.Context, addr address.Address) (bool, error) {
	w, err := a.wallet()
	if err != nil {
		return false, err
	}
	return w.WalletHas(ctx, addr)
}

func (a walletAPI) WalletList(ctx context.Context) ([]address.Address, error) {
	w, err := a.wallet()
	if err != nil {
		return nil, err
	}
	return w.WalletList(ctx)
}

// WalletDefaultAddress is the chosen one, or the wallet's only one.
func (a walletAPI) WalletDefaultAddress(ctx context.Context) (address.Address, error) {
	b, err := os.ReadFile(a.chosen)
	if err == nil {
		addr, err := address.NewFromString(strings.TrimSpace(string(b)))
		if err != nil {
			return address.Undef, fmt.Errorf("%s: %w", a.chosen, err)
		}
		return addr, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return address.Undef, fmt.Errorf("read the default address: %w", err)
	}
	all, err := a.WalletList(ctx)
	if err != nil {
		return address.Undef, err
	}
	if len(all) != 1 {
		return address.Undef, api.Errorf(api.CodeNotFound, "no default address is chosen, and the wallet has %d", len(all)).WithHint("choose one with WalletSetDefault")
	}
	return all[0], nil
}

func (a walletAPI) WalletSetDefault(ctx context.Context, addr address.Address) error {
	has, err := a.WalletHas(ctx, addr)
	if err != nil {
		return err
	}
	if !has {
		return api.Errorf(api.CodeNotFound, "the wallet has no key of %s", addr)
	}
	return fsutil.WriteFileAtomic(a.chosen, []byte(addr.String()+"\n"), 0o600)
}

func (a walletAPI) WalletSignMessage(ctx context.Context, signer address.Address, m *types.Message) (*types.SignedMessage, error) {
	if m == nil {
		return nil, api.Errorf(api.CodeInvalid, "sign: no message")
	}
	w, err := a.wallet()
	if err != nil {
		return nil, err
	}
	msg := filled(m)
	if signer != msg.From {
		return nil, api.Errorf(api.CodeInvalid, "sign: the message is from %s, not from %s", msg.From, signer)
	}
	raw, err := msg.Serialize()
	if err != nil {
		return nil, api.Errorf(api.CodeInvalid, "sign: %w", err)
	}
	sig, err := w.WalletSign(ctx, signer, msg.Cid().Bytes(), walletapi.MsgMeta{Type: walletapi.TypeMessage, Extra: raw})
	if err != nil {
		return nil, fmt.Errorf("signature of %s: %w", signer, err)
	}
	return &types.SignedMessage{Message: *msg, Signature: *sig}, nil
}

func (a walletAPI) WalletExport(ctx context.Context, addr address.Address) (*types.KeyInfo, error) {
	w, err := a.wallet()
	if err != nil {
		return nil, err
	}
	return w.WalletExport(ctx, addr)
}

func (a walletAPI) WalletImport(ctx context.Context, key *types.KeyInfo) (address.Address, error) {
	w, err := a.wallet()
	if err != nil {
		return address.Undef, err
	}
	if key == nil {
		return address.Undef, api.Errorf(api.CodeInvalid, "import: no key")
	}
	return w.WalletImport(ctx, key)
}

func (a walletAPI) WalletDelete(ctx context.Context, addr address.Address) error {
	w, err := a.wallet()
	if err != nil {
		return err
	}
	return w.WalletDelete(ctx, addr)
}

// sendAPI makes messages of its own: nonce, gas, signature and push in one go.
type sendAPI struct {
	walletAPI
	pool *mpool.Pool
	est  *mpool.Estimator
	// sending lets one message at a time take a nonce.
	sending *sync.Mutex
}

func (a sendAPI) MpoolPushMessage(ctx context.Context, m *types.Message, s *apinode.MessageSendSpec) (*types.SignedMessage, error) {
	if m == nil || m.To == address.Undef || m.From == address.Undef {
		return nil, api.Errorf(api.CodeInvalid, "push: no message with sender and receiver")
	}
	if m.Nonce != 0 {
		return nil, api.Errorf(api.CodeInvalid, "push: the nonce is %d; the node chooses it", m.Nonce).WithHint("leave it 0, or sign elsewhere and use MpoolPush")
	}
	if _, err := a.wallet(); err != nil {
		return nil, err
	}
	a.sending.Lock()
	defer a.sending.Unlock()
	msg, head := filled(m), a.store.Head()
	view, err := (poolChain{a.reader}).stateAfter(ctx, head)
	if err != nil {
		return nil, err
	}
	if msg.From, err = view.ResolveToKey(ctx, msg.From); err != nil {
		return nil, absent(err, "sender %s", m.From)
	}
	if msg.Nonce, err = a.pool.NextNonce(ctx, msg.From); err != nil {
		return nil, err
	}
	if msg, err = a.est.MessageGas(ctx, msg, spec(s), head); err != nil {
		return nil, err
	}
	have, err := view.Balance(ctx, msg.From)
	if err != nil {
		return nil, err
	}
	if need := big.Add(msg.Value, msg.RequiredFunds()); have.LessThan(need) {
		return nil, api.Errorf(api.CodePrecondition, "%s has %s, needs %s", msg.From, types.FIL(have), types.FIL(need)).WithHint("send funds first")
	}
	signed, err := a.WalletSignMessage(ctx, msg.From, msg)
	if err != nil {
		return nil, err
	}
	if _, err := a.pool.Push(ctx, signed); err != nil {
		return nil, err
	}
	return signed, nil
}

func (a sendAPI) MpoolBatchPushMessage(ctx context.Context, msgs []*types.Message, s *apinode.MessageSendSpec) ([]*types.SignedMessage, error) {
	out := make([]*types.SignedMessage, 0, len(msgs))
	for _, m := range msgs {
		signed, err := a.MpoolPushMessage(ctx, m, s)
		if err != nil {
			return out, err
		}
		out = append(out, signed)
	}
	return out, nil
}

// send pushes a message that the node made.
func (a sendAPI) send(ctx context.Context, m *types.Message) (cid.Cid, error) {
	signed, err := a.MpoolPushMessage(ctx, m, nil)
	if err != nil {
		return cid.Undef, err
	}
	return signed.Cid(), nil
}

func (a sendAPI) MarketAddBalance(ctx context.Context, wallet, addr address.Address, amount abi.TokenAmount) (cid.Cid, error) {
	if amount.Int == nil || amount.Sign() <= 0 {
		return cid.Undef, api.Errorf(api.CodeInvalid, "add to escrow: say how much")
	}
	m, err := prototype(wallet, builtin.StorageMarketActorAddr, amount, builtin.MethodsMarket.AddBalance, &addr)
	if err != nil {
		return cid.Undef, err
	}
	return a.send(ctx, &m.Message)
}

func (a sendAPI) MarketWithdraw(ctx context.Context, wallet, addr address.Address, amount abi.TokenAmount) (cid.Cid, error) {
	if amount.Int == nil || amount.Sign() <= 0 {
		return cid.Undef, api.Errorf(api.CodeInvalid, "withdraw from escrow: say how much")
	}
	m, err := prototype(wallet, builtin.StorageMarketActorAddr, big.Zero(), builtin.MethodsMarket.WithdrawBalance,
		&market.WithdrawBalanceParams{ProviderOrClientAddress: addr, Amount: amount})
	if err != nil {
		return cid.Undef, err
	}
	return a.send(ctx, &m.Message)
}

func (a sendAPI) PaychSettle(ctx context.Context, channel address.Address) (cid.Cid, error) {
	return a.endChannel(ctx, channel, builtin.MethodsPaych.Settle)
}

func (a sendAPI) PaychCollect(ctx context.Context, channel address.Address) (cid.Cid, error) {
	return a.endChannel(ctx, channel, builtin.MethodsPaych.Collect)
}

// endChannel has a side of a channel call a method without parameters.
func (a sendAPI) endChannel(ctx context.Context, channel address.Address, method abi.MethodNum) (cid.Cid, error) {
	w, err := a.wallet()
	if err != nil {
		return cid.Undef, err
	}
	view, err := (poolChain{a.reader}).stateAfter(ctx, a.store.Head())
	if err != nil {
		return cid.Undef, err
	}
	_, st, err := view.DecodeActor(ctx, channel)
	if err != nil {
		return cid.Undef, absent(err, "channel %s", channel)
	}
	sides, ok := st.(*paych.State)
	if !ok {
		return cid.Undef, api.Errorf(api.CodeInvalid, "%s is no payment channel", channel)
	}
	for _, side := range []address.Address{sides.From, sides.To} {
		key, err := view.ResolveToKey(ctx, side)
		if err != nil {
			continue // a side that is no account cannot sign
		}
		has, err := w.WalletHas(ctx, key)
		if err != nil {
			return cid.Undef, err
		}
		if has {
			return a.send(ctx, &types.Message{From: key, To: channel, Method: method})
		}
	}
	return cid.Undef, api.Errorf(api.CodePrecondition, "the wallet holds neither side of channel %s", channel)
}

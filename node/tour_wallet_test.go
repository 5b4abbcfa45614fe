package node

import (
	"bytes"
	"context"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	gscrypto "github.com/filecoin-project/go-state-types/crypto"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin"
	init7 "github.com/filecoin-project/specs-actors/v7/actors/builtin/init"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/multisig"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/paych"
	"github.com/ipfs/go-cid"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/api"
	apinode "github.com/filecoin-venus/venus/api/node"
	walletapi "github.com/filecoin-venus/venus/api/wallet"
	"github.com/filecoin-venus/venus/crypto"
	"github.com/filecoin-venus/venus/rpc"
	"github.com/filecoin-venus/venus/types"
)

// walletToken is what the wallet of the tests knows.
const walletToken = "the wallet's token"

// keyring is a wallet of the tests behind the real contract.
type keyring struct {
	*walletapi.WalletProxy
	t    *testing.T
	keys []account
}

// keysOf serves a wallet with these keys and returns the options that use it.
func keysOf(t *testing.T, keys ...account) func(*Options) {
	t.Helper()
	srv := rpc.NewServer(rpc.Options{Verify: func(_ context.Context, token string) (rpc.Caller, error) {
		if token != walletToken {
			return rpc.Caller{}, rpc.ErrBadToken
		}
		return rpc.Caller{Perms: api.AllPermissions()}, nil
	}})
	w := &keyring{WalletProxy: new(walletapi.WalletProxy), t: t, keys: keys}
	require.NoError(t, srv.Register(rpc.DefaultPath, w, new(walletapi.WalletProxy), walletapi.Namespace))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		require.NoError(t, srv.Shutdown(ctx))
		require.NoError(t, <-served)
	})
	return func(o *Options) { o.WalletURL, o.WalletToken = rpc.Multiaddr(l.Addr()), walletToken }
}

func (w *keyring) Version(context.Context) (api.Version, error) {
	return api.Version{Version: "keyring"}, nil
}

func (w *keyring) find(addr address.Address) int {
	return slices.IndexFunc(w.keys, func(a account) bool { return a.addr == addr })
}

func (w *keyring) WalletNew(_ context.Context, kind types.KeyType) (address.Address, error) {
	if kind != types.KeyBLS && kind != types.KeySecp256k1 {
		return address.Undef, api.Errorf(api.CodeInvalid, "kind %q", kind)
	}
	a := newAccount(w.t, kind, byte(10+len(w.keys)))
	w.keys = append(w.keys, a)
	return a.addr, nil
}

func (w *keyring) WalletHas(_ context.Context, addr address.Address) (bool, error) {
	return w.find(addr) >= 0, nil
}

func (w *keyring) WalletList(context.Context) ([]address.Address, error) {
	var out []address.Address
	for _, a := range w.keys {
		out = append(out, a.addr)
	}
	return out, nil
}

func (w *keyring) WalletSign(_ context.Context, signer address.Address, toSign []byte, meta walletapi.MsgMeta) (*gscrypto.Signature, error) {
	i := w.find(signer)
	m, err := types.DecodeMessage(meta.Extra)
	if err != nil || i < 0 || meta.Type != walletapi.TypeMessage || m.From != signer || !bytes.Equal(m.Cid().Bytes(), toSign) {
		return nil, api.Errorf(api.CodePermission, "not signed")
	}
	kind, err := w.keys[i].key.Type.SigType()
	if err != nil {
		return nil, err
	}
	return crypto.Sign(kind, w.keys[i].key.PrivateKey, toSign)
}

func (w *keyring) WalletExport(_ context.Context, addr address.Address) (*types.KeyInfo, error) {
	if i := w.find(addr); i >= 0 {
		return &w.keys[i].key, nil
	}
	return nil, api.Errorf(api.CodeNotFound, "no key")
}

func (w *keyring) WalletImport(_ context.Context, key *types.KeyInfo) (address.Address, error) {
	kind, err := key.Type.SigType()
	if err != nil {
		return address.Undef, api.Errorf(api.CodeInvalid, "%w", err)
	}
	addr, err := crypto.AddressFor(kind, key.PrivateKey)
	if err != nil {
		return address.Undef, api.Errorf(api.CodeInvalid, "%w", err)
	}
	w.keys = append(w.keys, account{addr, *key})
	return addr, nil
}

func (w *keyring) WalletDelete(_ context.Context, addr address.Address) error {
	i := w.find(addr)
	if i < 0 {
		return api.Errorf(api.CodeNotFound, "no key")
	}
	w.keys = slices.Delete(w.keys, i, i+1)
	return nil
}

// drop forgets what a test left pending.
func (x *tour) drop(t *testing.T) {
	t.Helper()
	t.Cleanup(func() { require.NoError(t, x.v1.MpoolClear(x.ctx, true)) })
}

var walletTable = map[string]func(*testing.T, *tour){
	"WalletNew": func(t *testing.T, x *tour) {
		a, err := x.v1.WalletNew(x.ctx, types.KeyBLS)
		require.NoError(t, err)
		has, err := x.v1.WalletHas(x.ctx, a)
		require.NoError(t, err)
		require.True(t, has)
		require.NoError(t, x.v1.WalletDelete(x.ctx, a))
	},
	"WalletHas": func(t *testing.T, x *tour) {
		has, err := x.v1.WalletHas(x.ctx, newAccount(t, types.KeyBLS, 9).addr)
		require.NoError(t, err)
		require.False(t, has)
	},
	"WalletList": func(t *testing.T, x *tour) {
		all, err := x.v1.WalletList(x.ctx)
		require.NoError(t, err)
		require.Equal(t, []address.Address{x.w.faucet.addr, x.w.worker.addr}, all)
	},
	"WalletDefaultAddress": func(t *testing.T, x *tour) {
		_, err := x.v1.WalletDefaultAddress(x.ctx)
		require.Equal(t, api.CodeNotFound, code(err), "there are two")
		require.Equal(t, api.CodeNotFound, code(x.v1.WalletSetDefault(x.ctx, x.saver.addr)), "not one of the wallet's")
		require.NoError(t, x.v1.WalletSetDefault(x.ctx, x.w.worker.addr))
		a, err := x.v1.WalletDefaultAddress(x.ctx)
		require.NoError(t, err)
		require.Equal(t, x.w.worker.addr, a)
	},
	"WalletSetDefault": func(t *testing.T, x *tour) {}, // with WalletDefaultAddress
	"WalletSignMessage": func(t *testing.T, x *tour) {
		m := x.w.faucet.transfer(t, x.saver.addr, 5, 1)
		got, err := x.v1.WalletSignMessage(x.ctx, x.w.faucet.addr, &m.Message)
		require.NoError(t, err)
		require.NoError(t, crypto.Verify(&got.Signature, x.w.faucet.addr, m.Message.Cid().Bytes()))
		_, err = x.v1.WalletSignMessage(x.ctx, x.w.worker.addr, &m.Message)
		require.Equal(t, api.CodeInvalid, code(err), "somebody else's message")
		_, err = x.v1.WalletSignMessage(x.ctx, x.saver.addr, &x.saved.Message)
		require.Equal(t, api.CodePermission, code(err), "the wallet's answer comes through")
	},
	"WalletExport": func(t *testing.T, x *tour) {
		key, err := x.v1.WalletExport(x.ctx, x.w.faucet.addr)
		require.NoError(t, err)
		require.Equal(t, x.w.faucet.key, *key)
	},
	"WalletImport": func(t *testing.T, x *tour) {
		key := newAccount(t, types.KeySecp256k1, 8)
		a, err := x.v1.WalletImport(x.ctx, &key.key)
		require.NoError(t, err)
		require.Equal(t, key.addr, a)
		require.NoError(t, x.v1.WalletDelete(x.ctx, a))
		_, err = x.v1.WalletImport(x.ctx, nil)
		require.Equal(t, api.CodeInvalid, code(err))
	},
	"WalletDelete": func(t *testing.T, x *tour) {
		require.Equal(t, api.CodeNotFound, code(x.v1.WalletDelete(x.ctx, newAccount(t, types.KeyBLS, 9).addr)))
	},
	"MpoolPushMessage": func(t *testing.T, x *tour) {
		x.drop(t)
		id, err := x.v1.StateLookupID(x.ctx, x.w.faucet.addr, types.EmptyTSK)
		require.NoError(t, err)
		for i, from := range []address.Address{x.w.faucet.addr, id} {
			m := &types.Message{From: from, To: x.saver.addr, Value: big.NewInt(5)}
			sent, err := x.v1.MpoolPushMessage(x.ctx, m, &apinode.MessageSendSpec{MaxFee: big.NewInt(1e15)})
			require.NoError(t, err)
			require.EqualValues(t, 2+i, sent.Message.Nonce)
			require.Equal(t, x.w.faucet.addr, sent.Message.From, "the key, whatever was written")
			require.Positive(t, sent.Message.GasLimit)
		}
		all, err := x.v1.MpoolPending(x.ctx, types.EmptyTSK)
		require.NoError(t, err)
		require.Len(t, all, 2)
		_, err = x.v1.MpoolPushMessage(x.ctx, &types.Message{From: id, To: id, Nonce: 3}, nil)
		require.Equal(t, api.CodeInvalid, code(err), "the node chooses the nonce")
		_, err = x.v1.MpoolPushMessage(x.ctx, &types.Message{From: x.saver.addr, To: id}, nil)
		require.Equal(t, api.CodePermission, code(err), "not the wallet's")
		_, err = x.v1.MpoolPushMessage(x.ctx, nil, nil)
		require.Equal(t, api.CodeInvalid, code(err))
	},
	"MpoolBatchPushMessage": func(t *testing.T, x *tour) {
		x.drop(t)
		m := &types.Message{From: x.w.faucet.addr, To: x.saver.addr, Value: big.NewInt(5)}
		sent, err := x.v1.MpoolBatchPushMessage(x.ctx, []*types.Message{m, m}, nil)
		require.NoError(t, err)
		require.Len(t, sent, 2)
		require.Equal(t, sent[0].Message.Nonce+1, sent[1].Message.Nonce)
		_, err = x.v1.MpoolBatchPushMessage(x.ctx, []*types.Message{nil}, nil)
		require.Equal(t, api.CodeInvalid, code(err))
	},
	"MarketAddBalance": func(t *testing.T, x *tour) {
		x.drop(t)
		c, err := x.v1.MarketAddBalance(x.ctx, x.w.faucet.addr, x.saver.addr, big.NewInt(9))
		require.NoError(t, err)
		m, err := x.v1.MpoolPending(x.ctx, types.EmptyTSK)
		require.NoError(t, err)
		require.Equal(t, c, m[0].Cid())
		require.Equal(t, builtin.MethodsMarket.AddBalance, m[0].Message.Method)
		require.Equal(t, big.NewInt(9), m[0].Message.Value)
		_, err = x.v1.MarketAddBalance(x.ctx, x.w.faucet.addr, x.saver.addr, big.Zero())
		require.Equal(t, api.CodeInvalid, code(err))
	},
	"MarketWithdraw": func(t *testing.T, x *tour) {
		x.drop(t)
		c, err := x.v1.MarketWithdraw(x.ctx, x.w.faucet.addr, x.w.faucet.addr, big.NewInt(9))
		require.NoError(t, err)
		require.True(t, c.Defined())
		_, err = x.v1.MarketWithdraw(x.ctx, x.w.faucet.addr, x.w.faucet.addr, big.NewInt(-1))
		require.Equal(t, api.CodeInvalid, code(err))
	},
	"PaychSettle": func(t *testing.T, x *tour) {
		for _, end := range []func(context.Context, address.Address) error{
			func(ctx context.Context, a address.Address) error { _, err := x.v1.PaychSettle(ctx, a); return err },
			func(ctx context.Context, a address.Address) error { _, err := x.v1.PaychCollect(ctx, a); return err },
		} {
			require.Equal(t, api.CodeInvalid, code(end(x.ctx, reserve(t))), "a multisig is no channel")
			unknown, err := address.NewIDAddress(987654)
			require.NoError(t, err)
			require.Equal(t, api.CodeNotFound, code(end(x.ctx, unknown)))
		}
	},
	"PaychCollect": func(t *testing.T, x *tour) {}, // with PaychSettle; TestMultisigAndChannel does both on a channel
}

func TestWithoutWallet(t *testing.T) {
	w := theWorld(t)
	n := w.first(t, alone)
	_, err := n.v1.WalletList(t.Context())
	require.Equal(t, api.CodePrecondition, code(err))
	require.Contains(t, api.Explain(err).Hint, "config.json")
	_, err = n.v1.MpoolPushMessage(t.Context(), &types.Message{From: w.faucet.addr, To: w.faucet.addr}, nil)
	require.Equal(t, api.CodePrecondition, code(err))
	broken := w.first(t, func(o *Options) { alone(o); keysOf(t)(o); o.WalletToken = "another" })
	_, err = broken.v1.WalletList(t.Context())
	require.Equal(t, api.CodeUnauthenticated, code(err))
	status, body := broken.get(t, "/healthz?verbose")
	require.Equal(t, 503, status)
	require.Contains(t, body, "[!] wallet: venus-wallet does not answer as it should: unauthenticated")
	require.NotContains(t, body, "another", "no secret")
}

// msigTable: the messages are made; TestMultisigAndChannel sends them.
var msigTable = func() map[string]func(*testing.T, *tour) {
	out := map[string]func(*testing.T, *tour){"MsigCreate": testPrototypes}
	for _, n := range []string{
		"Propose", "Approve", "ApproveTxnHash", "Cancel", "CancelTxnHash", "AddPropose", "AddApprove", "AddCancel",
		"SwapPropose", "SwapApprove", "SwapCancel", "RemoveSigner",
	} {
		out["Msig"+n] = func(*testing.T, *tour) {} // all with MsigCreate
	}
	return out
}()

func testPrototypes(t *testing.T, x *tour) {
	ctx, msig, src, other := x.ctx, reserve(t), x.w.faucet.addr, x.w.worker.addr
	made := func(p *apinode.MessagePrototype, err error) *types.Message {
		t.Helper()
		require.NoError(t, err)
		require.False(t, p.ValidNonce)
		require.Equal(t, src, p.Message.From)
		return &p.Message
	}
	hashed := func(m *types.Message) []byte {
		t.Helper()
		var p multisig.TxnIDParams
		require.NoError(t, p.UnmarshalCBOR(bytes.NewReader(m.Params)))
		require.Equal(t, multisig.TxnID(3), p.ID)
		return p.ProposalHash
	}
	m := made(x.v1.MsigCreate(ctx, 0, []address.Address{src, other}, 10, big.NewInt(5), src, big.Zero()))
	require.Equal(t, builtin.InitActorAddr, m.To)
	require.Equal(t, big.NewInt(5), m.Value)
	_, err := x.v1.MsigCreate(ctx, 3, []address.Address{src}, 0, big.Zero(), src, big.Zero())
	require.Equal(t, api.CodeInvalid, code(err))
	_, err = x.v1.MsigPropose(ctx, msig, address.Undef, big.Zero(), src, 0, nil)
	require.Error(t, err)
	m = made(x.v1.MsigPropose(ctx, msig, other, big.NewInt(7), src, 0, nil))
	require.Equal(t, builtin.MethodsMultisig.Propose, m.Method)
	require.Empty(t, hashed(made(x.v1.MsigApprove(ctx, msig, 3, src))))
	require.Empty(t, hashed(made(x.v1.MsigCancel(ctx, msig, 3, src))))
	one := hashed(made(x.v1.MsigApproveTxnHash(ctx, msig, 3, src, other, big.NewInt(7), src, 0, nil)))
	two := hashed(made(x.v1.MsigCancelTxnHash(ctx, msig, 3, other, big.NewInt(7), src, 0, nil)))
	require.Len(t, one, 32)
	require.Equal(t, one, two, "the same transaction of the same proposer")
	require.NotEqual(t, one, hashed(made(x.v1.MsigApproveTxnHash(ctx, msig, 3, other, other, big.NewInt(7), src, 0, nil))))
	add := made(x.v1.MsigAddPropose(ctx, msig, src, other, true))
	require.Equal(t, msig, add.To)
	require.Equal(t, hashed(made(x.v1.MsigAddApprove(ctx, msig, src, 3, src, other, true))), hashed(made(x.v1.MsigAddCancel(ctx, msig, src, 3, other, true))))
	made(x.v1.MsigSwapPropose(ctx, msig, src, src, other))
	require.Equal(t, hashed(made(x.v1.MsigSwapApprove(ctx, msig, src, 3, src, src, other))), hashed(made(x.v1.MsigSwapCancel(ctx, msig, src, 3, src, other))))
	made(x.v1.MsigRemoveSigner(ctx, msig, src, other, false))
}

// council is a multisig of two, driven through the older dialect.
type council struct {
	*running
	ctx  context.Context
	addr address.Address
	a, b address.Address
	next uint64
}

// lands mines until a message is executed.
func (s *council) lands(t *testing.T, c cid.Cid, err error) {
	t.Helper()
	require.NoError(t, err)
	s.mine(t, 2)
	found, err := s.v0.StateSearchMsg(s.ctx, c)
	require.NoError(t, err)
	require.NotNil(t, found)
	require.Zero(t, found.Receipt.ExitCode)
}

// proposed is the number of the transaction just proposed.
func (s *council) proposed() uint64 { s.next++; return s.next - 1 }

// TestMultisigAndChannel sends every message of multisigs through the older
// dialect, and ends a payment channel, on a chain that judges them.
func TestMultisigAndChannel(t *testing.T) {
	w := theWorld(t)
	n := w.first(t, func(o *Options) { alone(o); keysOf(t, w.faucet, w.worker)(o) })
	n.mine(t, 1)
	s := &council{running: n, ctx: t.Context(), a: w.faucet.addr, b: w.worker.addr}
	ctx := s.ctx
	third, fourth := newAccount(t, types.KeyBLS, 3).addr, newAccount(t, types.KeyBLS, 4).addr
	for _, who := range []address.Address{third, fourth} { // signers are accounts on chain
		_, err := n.v1.MpoolPushMessage(ctx, &types.Message{From: s.a, To: who, Value: big.NewInt(1)}, nil)
		require.NoError(t, err)
	}
	c, err := n.v0.MsigCreate(ctx, 2, []address.Address{s.a, s.b}, 0, big.NewInt(1000), s.a, big.Zero())
	s.lands(t, c, err)
	found, err := n.v0.StateSearchMsg(ctx, c)
	require.NoError(t, err)
	var made init7.ExecReturn
	require.NoError(t, made.UnmarshalCBOR(bytes.NewReader(found.Receipt.Return)))
	s.addr = made.RobustAddress

	sends := func(c cid.Cid, err error) { t.Helper(); s.lands(t, c, err) }
	ten := big.NewInt(10)
	// Approved by number, approved by content, cancelled.
	sends(n.v0.MsigPropose(ctx, s.addr, third, ten, s.a, 0, nil))
	sends(n.v0.MsigApprove(ctx, s.addr, s.proposed(), s.b))
	sends(n.v0.MsigPropose(ctx, s.addr, third, ten, s.a, 0, nil))
	sends(n.v0.MsigApproveTxnHash(ctx, s.addr, s.proposed(), s.a, third, ten, s.b, 0, nil))
	sends(n.v0.MsigPropose(ctx, s.addr, third, ten, s.a, 0, nil))
	sends(n.v0.MsigCancel(ctx, s.addr, s.proposed(), third, ten, s.a, 0, nil))
	got, err := n.v0.WalletBalance(ctx, third)
	require.NoError(t, err)
	require.Equal(t, big.NewInt(21), got)
	// Signers come, are swapped, and go.
	sends(n.v0.MsigAddPropose(ctx, s.addr, s.a, third, false))
	sends(n.v0.MsigAddCancel(ctx, s.addr, s.a, s.proposed(), third, false))
	sends(n.v0.MsigAddPropose(ctx, s.addr, s.a, third, false))
	sends(n.v0.MsigAddApprove(ctx, s.addr, s.b, s.proposed(), s.a, third, false))
	sends(n.v0.MsigSwapPropose(ctx, s.addr, s.a, third, fourth))
	sends(n.v0.MsigSwapCancel(ctx, s.addr, s.a, s.proposed(), third, fourth))
	sends(n.v0.MsigSwapPropose(ctx, s.addr, s.a, third, fourth))
	sends(n.v0.MsigSwapApprove(ctx, s.addr, s.b, s.proposed(), s.a, third, fourth))
	require.Equal(t, []address.Address{s.a, s.b, fourth}, s.signers(t))
	sends(n.v0.MsigRemoveSigner(ctx, s.addr, s.a, fourth, false))
	sends(n.v0.MsigApprove(ctx, s.addr, s.proposed(), s.b))
	require.Equal(t, []address.Address{s.a, s.b}, s.signers(t))
	_, err = n.v0.MsigApprove(ctx, s.addr, 999, s.b)
	require.Error(t, err, "what would fail is not sent")
	s.channel(t)
}

// signers are the multisig's, by key.
func (s *council) signers(t *testing.T) []address.Address {
	t.Helper()
	s.mine(t, 1)
	st, err := s.v1.StateReadState(s.ctx, s.addr, types.EmptyTSK)
	require.NoError(t, err)
	var out []address.Address
	for _, id := range st.State.(map[string]any)["Signers"].([]any) {
		a, err := address.NewFromString(id.(string))
		require.NoError(t, err)
		a, err = s.v1.StateAccountKey(s.ctx, a, types.EmptyTSK)
		require.NoError(t, err)
		out = append(out, a)
	}
	return out
}

// channel makes a payment channel, settles it, and cannot collect before its time.
func (s *council) channel(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, (&paych.ConstructorParams{From: s.a, To: s.b}).MarshalCBOR(&b))
	m, err := prototype(s.a, builtin.InitActorAddr, big.NewInt(100), builtin.MethodsInit.Exec, &init7.ExecParams{CodeCID: builtin.PaymentChannelActorCodeID, ConstructorParams: b.Bytes()})
	require.NoError(t, err)
	sent, err := s.v1.MpoolPushMessage(s.ctx, &m.Message, nil)
	require.NoError(t, err)
	s.mine(t, 2)
	found, err := s.v1.StateSearchMsg(s.ctx, types.EmptyTSK, sent.Cid(), -1, false)
	require.NoError(t, err)
	var made init7.ExecReturn
	require.NoError(t, made.UnmarshalCBOR(bytes.NewReader(found.Receipt.Return)))
	_, err = s.v1.PaychCollect(s.ctx, made.RobustAddress)
	require.ErrorContains(t, err, "exit", "not settled yet")
	_, err = s.v0.PaychSettle(s.ctx, made.RobustAddress)
	require.NoError(t, err)
	s.mine(t, 2)
	st, err := s.v1.StateReadState(s.ctx, made.RobustAddress, types.EmptyTSK)
	require.NoError(t, err)
	require.Greater(t, st.State.(map[string]any)["SettlingAt"], float64(abi.ChainEpoch(0)))
}

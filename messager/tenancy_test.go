package messager

import (
	"context"
	"reflect"
	"testing"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/ipfs/go-cid"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/api"
	msgapi "github.com/filecoin-venus/venus/api/messager"
	"github.com/filecoin-venus/venus/rpc"
	"github.com/filecoin-venus/venus/types"
)

// tokensStub makes tokens that say what they are.
type tokensStub struct{}

func (tokensStub) New([]api.Permission) ([]byte, error)    { return []byte("token"), nil }
func (tokensStub) Verify(string) ([]api.Permission, error) { return nil, nil }
func withScope(ctx context.Context, as ...address.Address) context.Context {
	return rpc.WithCaller(ctx, rpc.Caller{Name: "tenant", Perms: api.AllPermissions(), Scope: &api.Scope{Signers: append([]address.Address{}, as...)}})
}

// ask is a call of a method about an address and a message of its.
type ask func(ctx context.Context, a *API, addr address.Address, id string) (any, error)

// What a caller that is limited to its addresses meets when it asks about others'.
const (
	free     = "free"     // nothing of anybody's is in the answer
	unknown  = "unknown"  // as if it did not exist
	denied   = "denied"   // may not be done to others' addresses
	never    = "never"    // concerns all: refused, whatever it is about
	filtered = "filtered" // only its own is in the answer
	no       = "no"       // the answer is no
	empty    = "empty"    // the answer is a list without anything
)

// tenancy tells for every method of the contract what a tenant meets.
func tenancy() map[string]struct {
	meets string
	ask   ask
} {
	type row = struct {
		meets string
		ask   ask
	}
	err := func(f func(ctx context.Context, a *API, addr address.Address, id string) error) ask {
		return func(ctx context.Context, a *API, addr address.Address, id string) (any, error) {
			return nil, f(ctx, a, addr, id)
		}
	}
	msg := func(from address.Address) *types.Message {
		return &types.Message{From: from, To: from, Value: big.Zero()}
	}
	return map[string]row{
		"PushMessage": {denied, func(ctx context.Context, a *API, addr address.Address, _ string) (any, error) {
			return a.PushMessage(ctx, msg(addr), nil, "w")
		}},
		"PushMessageWithId": {denied, func(ctx context.Context, a *API, addr address.Address, _ string) (any, error) {
			return a.PushMessageWithId(ctx, "t"+addr.String()[:8], msg(addr), nil, "w")
		}},
		"PushSignedMessage": {denied, func(ctx context.Context, a *API, addr address.Address, _ string) (any, error) {
			return a.PushSignedMessage(ctx, signedBy(a, addr))
		}},
		"GetMessageByUid": {unknown, func(ctx context.Context, a *API, _ address.Address, id string) (any, error) {
			return a.GetMessageByUid(ctx, id)
		}},
		"HasMessageByUid": {no, func(ctx context.Context, a *API, _ address.Address, id string) (any, error) {
			return a.HasMessageByUid(ctx, id)
		}},
		"GetMessageByCid": {unknown, func(ctx context.Context, a *API, _ address.Address, id string) (any, error) {
			return a.GetMessageByCid(ctx, cidOf(a, id).SignedCid)
		}},
		"GetMessageBySignedCid": {unknown, func(ctx context.Context, a *API, _ address.Address, id string) (any, error) {
			return a.GetMessageBySignedCid(ctx, cidOf(a, id).SignedCid)
		}},
		"GetMessageByUnsignedCid": {unknown, func(ctx context.Context, a *API, _ address.Address, id string) (any, error) {
			return a.GetMessageByUnsignedCid(ctx, cidOf(a, id).UnsignedCid)
		}},
		"GetMessageByFromAndNonce": {unknown, func(ctx context.Context, a *API, addr address.Address, _ string) (any, error) {
			return a.GetMessageByFromAndNonce(ctx, addr, 0)
		}},
		"WaitMessage": {unknown, func(ctx context.Context, a *API, _ address.Address, id string) (any, error) {
			return a.WaitMessage(ctx, id, 0)
		}},
		"ListMessage": {filtered, func(ctx context.Context, a *API, _ address.Address, _ string) (any, error) {
			return a.ListMessage(ctx, msgapi.MsgQuery{})
		}},
		"ListMessageByAddress": {empty, func(ctx context.Context, a *API, addr address.Address, _ string) (any, error) {
			return a.ListMessageByAddress(ctx, addr)
		}},
		"ListMessageByFromState": {empty, func(ctx context.Context, a *API, addr address.Address, _ string) (any, error) {
			return a.ListMessageByFromState(ctx, addr, msgapi.StatePending, 1, 10)
		}},
		"ListFailedMessage": {filtered, func(ctx context.Context, a *API, _ address.Address, _ string) (any, error) {
			return a.ListFailedMessage(ctx)
		}},
		"ListBlockedMessage": {filtered, func(ctx context.Context, a *API, _ address.Address, _ string) (any, error) {
			return a.ListBlockedMessage(ctx, address.Undef, time.Nanosecond)
		}},
		"ExplainMessage": {unknown, func(ctx context.Context, a *API, _ address.Address, id string) (any, error) {
			return a.ExplainMessage(ctx, id)
		}},
		"ReplaceMessage": {unknown, func(ctx context.Context, a *API, _ address.Address, id string) (any, error) {
			return a.ReplaceMessage(ctx, id, true, "", 0, "", "")
		}},
		"RepublishMessage": {unknown, err(func(ctx context.Context, a *API, _ address.Address, id string) error {
			return a.RepublishMessage(ctx, id)
		})},
		"MarkBadMessage": {unknown, err(func(ctx context.Context, a *API, _ address.Address, id string) error {
			return a.MarkBadMessage(ctx, id)
		})},
		"UpdateFilledMessageByID": {unknown, err(func(ctx context.Context, a *API, _ address.Address, id string) error {
			return a.UpdateFilledMessageByID(ctx, id)
		})},
		"UpdateAllFilledMessage": {never, func(ctx context.Context, a *API, _ address.Address, _ string) (any, error) {
			return a.UpdateAllFilledMessage(ctx)
		}},
		"SaveWallet": {never, err(func(ctx context.Context, a *API, _ address.Address, _ string) error {
			return a.SaveWallet(ctx, msgapi.WalletSpec{Name: "n", URL: "u", Token: "t"})
		})},
		"UpdateWallet": {never, err(func(ctx context.Context, a *API, _ address.Address, _ string) error {
			return a.UpdateWallet(ctx, msgapi.WalletSpec{Name: "w", URL: "u", Token: "t"})
		})},
		"GetWalletByName": {never, func(ctx context.Context, a *API, _ address.Address, _ string) (any, error) {
			return a.GetWalletByName(ctx, "w")
		}},
		"HasWallet": {never, func(ctx context.Context, a *API, _ address.Address, _ string) (any, error) {
			return a.HasWallet(ctx, "w")
		}},
		"ListWallet": {never, func(ctx context.Context, a *API, _ address.Address, _ string) (any, error) { return a.ListWallet(ctx) }},
		"ListRemoteWalletAddress": {never, func(ctx context.Context, a *API, _ address.Address, _ string) (any, error) {
			return a.ListRemoteWalletAddress(ctx, "w")
		}},
		"DeleteWallet": {never, err(func(ctx context.Context, a *API, _ address.Address, _ string) error {
			return a.DeleteWallet(ctx, "none")
		})},
		"HasWalletAddress": {no, func(ctx context.Context, a *API, addr address.Address, _ string) (any, error) {
			return a.HasWalletAddress(ctx, "w", addr)
		}},
		"WalletHas": {no, func(ctx context.Context, a *API, addr address.Address, _ string) (any, error) {
			return a.WalletHas(ctx, addr)
		}},
		"GetWalletAddress": {unknown, func(ctx context.Context, a *API, addr address.Address, _ string) (any, error) {
			return a.GetWalletAddress(ctx, "w", addr)
		}},
		"ListWalletAddress": {filtered, func(ctx context.Context, a *API, _ address.Address, _ string) (any, error) {
			return a.ListWalletAddress(ctx)
		}},
		"GetAddress": {unknown, func(ctx context.Context, a *API, addr address.Address, _ string) (any, error) {
			return a.GetAddress(ctx, addr)
		}},
		"HasAddress": {no, func(ctx context.Context, a *API, addr address.Address, _ string) (any, error) {
			return a.HasAddress(ctx, addr)
		}},
		"ListAddress": {filtered, func(ctx context.Context, a *API, _ address.Address, _ string) (any, error) { return a.ListAddress(ctx) }},
		"UpdateNonce": {unknown, err(func(ctx context.Context, a *API, addr address.Address, _ string) error {
			return a.UpdateNonce(ctx, addr, 50)
		})},
		"DeleteAddress": {unknown, err(func(ctx context.Context, a *API, addr address.Address, _ string) error {
			return a.DeleteAddress(ctx, addr)
		})},
		"ForbiddenAddress": {unknown, err(func(ctx context.Context, a *API, addr address.Address, _ string) error {
			return a.ForbiddenAddress(ctx, addr)
		})},
		"ActiveAddress": {unknown, err(func(ctx context.Context, a *API, addr address.Address, _ string) error {
			return a.ActiveAddress(ctx, addr)
		})},
		"SetSelectMsgNum": {unknown, err(func(ctx context.Context, a *API, addr address.Address, _ string) error {
			return a.SetSelectMsgNum(ctx, addr, 7)
		})},
		"SetFeeParams": {unknown, err(func(ctx context.Context, a *API, addr address.Address, _ string) error {
			return a.SetFeeParams(ctx, addr, 2, "", "")
		})},
		"GetSharedParams": {free, func(ctx context.Context, a *API, _ address.Address, _ string) (any, error) {
			return a.GetSharedParams(ctx)
		}},
		"SetSharedParams": {never, func(ctx context.Context, a *API, _ address.Address, _ string) (any, error) {
			return a.SetSharedParams(ctx, &msgapi.SharedParams{GasOverEstimation: 2, MaxFee: "1", SelMsgNum: 1})
		}},
		"RefreshSharedParams": {never, err(func(ctx context.Context, a *API, _ address.Address, _ string) error {
			return a.RefreshSharedParams(ctx)
		})},
		"ListFeeRules": {filtered, func(ctx context.Context, a *API, _ address.Address, _ string) (any, error) {
			return a.ListFeeRules(ctx)
		}},
		"SetFeeRule": {unknown, err(func(ctx context.Context, a *API, addr address.Address, _ string) error {
			return a.SetFeeRule(ctx, ruleOf(addr))
		})},
		"DeleteFeeRule": {unknown, err(func(ctx context.Context, a *API, addr address.Address, _ string) error {
			return a.DeleteFeeRule(ctx, ruleOf(addr))
		})},
		"SaveNode": {never, err(func(ctx context.Context, a *API, _ address.Address, _ string) error {
			return a.SaveNode(ctx, msgapi.NodeSpec{Name: "n", URL: "u"})
		})},
		"GetNode": {never, func(ctx context.Context, a *API, _ address.Address, _ string) (any, error) {
			return a.GetNode(ctx, "n")
		}},
		"HasNode": {never, func(ctx context.Context, a *API, _ address.Address, _ string) (any, error) {
			return a.HasNode(ctx, "n")
		}},
		"ListNode":   {never, func(ctx context.Context, a *API, _ address.Address, _ string) (any, error) { return a.ListNode(ctx) }},
		"DeleteNode": {never, err(func(ctx context.Context, a *API, _ address.Address, _ string) error { return a.DeleteNode(ctx, "n") })},
		"Version":    {free, func(ctx context.Context, a *API, _ address.Address, _ string) (any, error) { return a.Version(ctx) }},
		"Session":    {free, func(ctx context.Context, a *API, _ address.Address, _ string) (any, error) { return a.Session(ctx) }},
		"Discover":   {free, func(ctx context.Context, a *API, _ address.Address, _ string) (any, error) { return a.Discover(ctx) }},
		"Closing":    {free, func(ctx context.Context, a *API, _ address.Address, _ string) (any, error) { return a.Closing(ctx) }},
		"LogList":    {free, func(ctx context.Context, a *API, _ address.Address, _ string) (any, error) { return a.LogList(ctx) }},
		"AuthVerify": {free, func(ctx context.Context, a *API, _ address.Address, _ string) (any, error) {
			return a.AuthVerify(ctx, "x")
		}},
		"AuthNew": {never, func(ctx context.Context, a *API, _ address.Address, _ string) (any, error) {
			return a.AuthNew(ctx, api.AllPermissions())
		}},
		"LogSetLevel": {never, err(func(ctx context.Context, a *API, _ address.Address, _ string) error {
			return a.LogSetLevel(ctx, "messager", "info")
		})},
		"Shutdown": {never, err(func(ctx context.Context, a *API, _ address.Address, _ string) error { return a.Shutdown(ctx) })},
	}
}

func ruleOf(a address.Address) *msgapi.FeeRule {
	five := abi.MethodNum(5)
	return &msgapi.FeeRule{Sender: &a, Method: &five, MaxFee: "7"}
}

// TestTenancy asks every method of the contract, as a user of one address, about
// another user's, and about its own.
func TestTenancy(t *testing.T) {
	table := tenancy()
	contract := reflect.TypeOf((*msgapi.Messager)(nil)).Elem()
	for i := range contract.NumMethod() {
		require.Contains(t, table, contract.Method(i).Name, "a method without a rule for tenants")
	}
	require.Len(t, table, contract.NumMethod())
	for name, c := range table {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			mine, theirs := r.addr, r.fund(r.wallet.newKey(t))
			require.NoError(t, r.wallets.refresh(t.Context(), r.wallets.get("w")))
			a := NewAPI(r.Service, tokensStub{}, "test")
			for id, addr := range map[string]address.Address{"my-pending": mine, "their-pending": theirs} {
				r.push(id, addr, 16)
				require.NoError(t, r.drain(addr))
				require.NoError(t, a.SetFeeRule(t.Context(), ruleOf(addr)))
			}
			r.node.failMethod[66] = "exit 16"
			for id, addr := range map[string]address.Address{"my-queued": mine, "their-queued": theirs} {
				r.push(id, addr, 66)
				require.NoError(t, r.drain(addr))
			}
			r.clk.Advance(time.Second)
			ctx := withScope(t.Context(), mine)
			own, cancel := context.WithCancel(ctx)
			defer cancel()
			if name == "WaitMessage" {
				cancel() // nobody waits for its own
			}
			id := "their-pending"
			if name == "MarkBadMessage" {
				id = "their-queued"
			}
			checkForeign(ctx, t, c.meets, mine, a, c.ask, theirs, id)
			if c.meets != never && c.meets != free {
				_, err := c.ask(own, a, mine, "my"+id[len("their"):])
				require.NotContains(t, []api.ErrorCode{api.CodePermission, api.CodeNotFound}, codeOf(err), "its own: %v", err)
			}
			_, err := c.ask(withScope(t.Context()), a, mine, "my-pending")
			if c.meets == unknown || c.meets == denied || c.meets == never {
				require.Contains(t, []api.ErrorCode{api.CodePermission, api.CodeNotFound}, codeOf(err), "a user without addresses")
			}
		})
	}
}

func checkForeign(ctx context.Context, t *testing.T, meets string, mine address.Address, a *API, f ask, theirs address.Address, id string) {
	out, err := f(ctx, a, theirs, id)
	switch meets {
	case free:
		require.NoError(t, err)
	case unknown:
		require.Equal(t, api.CodeNotFound, codeOf(err), "%v", err)
	case denied, never:
		require.Equal(t, api.CodePermission, codeOf(err), "%v", err)
	case no:
		require.NoError(t, err)
		require.Equal(t, false, out)
	case empty:
		require.NoError(t, err)
		require.Empty(t, out)
	case filtered:
		require.NoError(t, err)
		v := reflect.ValueOf(out)
		require.Positive(t, v.Len())
		for i := range v.Len() {
			row := v.Index(i).Elem()
			for _, name := range []string{"From", "Addr", "Sender"} {
				if f := row.FieldByName(name); f.IsValid() {
					require.Equal(t, mine, reflect.Indirect(f).Interface())
				}
			}
		}
	}
}

func cidOf(a *API, id string) (m struct{ SignedCid, UnsignedCid cid.Cid }) {
	got, err := a.s.Message(context.Background(), id)
	if err == nil {
		m.SignedCid, m.UnsignedCid = got.SignedCid, got.UnsignedCid
	}
	return m
}

// signedBy is a message that the owner of an address signed elsewhere, with its next nonce.
func signedBy(a *API, from address.Address) *types.SignedMessage {
	m := types.Message{From: from, To: from, Nonce: 1, Value: big.Zero(), GasLimit: 1e6, GasFeeCap: big.NewInt(1e6), GasPremium: big.NewInt(1e5)}
	sig, err := a.s.wallets.sign(context.Background(), "w", &m)
	if err != nil {
		panic(err)
	}
	return &types.SignedMessage{Message: m, Signature: *sig}
}

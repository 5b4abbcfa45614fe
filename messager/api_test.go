package messager

import (
	"context"
	"testing"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/api"
	msgapi "github.com/filecoin-venus/venus/api/messager"
	"github.com/filecoin-venus/venus/messager/machine"
	"github.com/filecoin-venus/venus/rpc"
	"github.com/filecoin-venus/venus/types"
)

func codeOf(err error) api.ErrorCode {
	if err == nil {
		return ""
	}
	return api.Explain(err).Code
}

func newAPI(t *testing.T) (*rig, *API, context.Context) {
	r := newRig(t)
	return r, NewAPI(r.Service, nil, "test"), rpc.WithCaller(t.Context(), rpc.Caller{Name: "sealer"})
}

func TestAPIMessages(t *testing.T) {
	r, a, ctx := newAPI(t)
	to, _ := address.NewIDAddress(1234)
	msg := &types.Message{From: r.addr, To: to, Method: 16}
	meta := &msgapi.MsgMeta{ExpireEpoch: 1000, GasOverEstimation: 2, MaxFee: big.NewInt(1e17)}
	id, err := a.PushMessage(ctx, msg, meta, "w")
	require.NoError(t, err)
	_, err = a.PushMessage(ctx, msg, &msgapi.MsgMeta{GasOverEstimation: 0.5}, "w")
	require.Equal(t, api.CodeInvalid, codeOf(err))
	_, err = a.PushMessageWithId(ctx, "", msg, nil, "w")
	require.Equal(t, api.CodeInvalid, codeOf(err))
	_, err = a.PushMessageWithId(ctx, "mine", msg, nil, "w")
	require.NoError(t, err)
	m, err := a.GetMessageByUid(ctx, id)
	require.NoError(t, err)
	require.Equal(t, []any{msgapi.StateQueued, "sealer", "w", abi.ChainEpoch(1000)}, []any{m.State, m.FromUser, m.WalletName, m.Meta.ExpireEpoch})
	require.Nil(t, m.SignedCid)
	require.NoError(t, r.drain(r.addr))
	m, err = a.GetMessageByUid(ctx, id)
	require.NoError(t, err)
	require.Equal(t, msgapi.StatePending, m.State)
	require.Equal(t, *m.UnsignedCid, m.Unsigned().Cid())
	for _, get := range []func() (*msgapi.Message, error){
		func() (*msgapi.Message, error) { return a.GetMessageByCid(ctx, *m.SignedCid) },
		func() (*msgapi.Message, error) { return a.GetMessageByCid(ctx, *m.UnsignedCid) },
		func() (*msgapi.Message, error) { return a.GetMessageBySignedCid(ctx, *m.SignedCid) },
		func() (*msgapi.Message, error) { return a.GetMessageByUnsignedCid(ctx, *m.UnsignedCid) },
		func() (*msgapi.Message, error) { return a.GetMessageByFromAndNonce(ctx, r.addr, m.Nonce) },
	} {
		got, err := get()
		require.NoError(t, err)
		require.Equal(t, id, got.ID)
	}
	_, err = a.GetMessageBySignedCid(ctx, *m.UnsignedCid)
	require.Equal(t, api.CodeNotFound, codeOf(err))
	_, err = a.GetMessageByFromAndNonce(ctx, r.addr, 99)
	require.Equal(t, api.CodeNotFound, codeOf(err))
	_, err = a.GetMessageByFromAndNonce(ctx, address.Undef, 1)
	require.Equal(t, api.CodeInvalid, codeOf(err))
	for want, known := range map[string]bool{id: true, "no": false} {
		has, err := a.HasMessageByUid(ctx, want)
		require.NoError(t, err)
		require.Equal(t, known, has)
	}
	_, err = a.ReplaceMessage(ctx, id, false, "", 0, "x", "")
	require.Equal(t, api.CodeInvalid, codeOf(err))
	c, err := a.ReplaceMessage(ctx, id, true, "", 0, "", "")
	require.NoError(t, err)
	require.NotEqual(t, *m.SignedCid, c)
	require.NoError(t, r.drain(r.addr))
	require.NoError(t, a.RepublishMessage(ctx, id))
	r.step()
	r.step()
	require.NoError(t, waited(a, r, "mine"))
	require.Equal(t, api.CodePrecondition, codeOf(a.RepublishMessage(ctx, id)))
	require.NoError(t, a.UpdateFilledMessageByID(ctx, id))
	n, err := a.UpdateAllFilledMessage(ctx)
	require.NoError(t, err)
	require.Zero(t, n)
	m, err = a.GetMessageByUid(ctx, id)
	require.NoError(t, err)
	require.Equal(t, []any{msgapi.StateOnChain, int64(2), int64(1)}, []any{m.State, m.Height, m.IncludedHeight})
	e, err := a.ExplainMessage(ctx, id)
	require.NoError(t, err)
	require.NotEmpty(t, e.Events)
}

// waited waits for a message while the chain moves on by the tipset it takes.
func waited(a *API, r *rig, id string) error {
	done := make(chan error, 1)
	go func() {
		m, err := a.WaitMessage(context.Background(), id, 0)
		if err == nil && m.Confidence < 1 {
			err = api.Errorf(api.CodeInternal, "not deep enough")
		}
		done <- err
	}()
	r.step()
	return <-done
}

func TestAPILists(t *testing.T) {
	r, a, ctx := newAPI(t)
	r.node.failMethod[66] = "exit 16"
	r.push("good", r.addr, 16)
	r.push("bad", r.addr, 66)
	require.NoError(t, r.drain(r.addr))
	r.clk.Advance(time.Hour)
	ids := func(ms []*msgapi.Message, err error) []string {
		require.NoError(t, err)
		out := []string{}
		for _, m := range ms {
			out = append(out, m.ID)
		}
		return out
	}
	require.ElementsMatch(t, []string{"good", "bad"}, ids(a.ListMessage(ctx, msgapi.MsgQuery{})))
	require.Equal(t, []string{"good"}, ids(a.ListMessage(ctx, msgapi.MsgQuery{States: []msgapi.State{msgapi.StatePending}})))
	require.Empty(t, ids(a.ListMessage(ctx, msgapi.MsgQuery{PageIndex: 2, PageSize: 10})))
	require.Empty(t, ids(a.ListMessage(ctx, msgapi.MsgQuery{OlderThan: 2 * time.Hour})))
	require.Len(t, ids(a.ListMessage(ctx, msgapi.MsgQuery{From: []address.Address{r.addr}, Wallet: "w"})), 2)
	_, err := a.ListMessage(ctx, msgapi.MsgQuery{PageSize: 5000})
	require.Equal(t, api.CodeInvalid, codeOf(err))
	require.Equal(t, []string{"bad"}, ids(a.ListFailedMessage(ctx)))
	require.Equal(t, ids(a.ListMessage(ctx, msgapi.MsgQuery{From: []address.Address{r.addr}})), ids(a.ListMessageByAddress(ctx, r.addr)))
	require.Equal(t, []string{"bad"}, ids(a.ListMessageByFromState(ctx, r.addr, msgapi.StateQueued, 1, 1)))
	require.Len(t, ids(a.ListBlockedMessage(ctx, address.Undef, time.Minute)), 2)
	require.Empty(t, ids(a.ListBlockedMessage(ctx, r.addr, 2*time.Hour)))
	require.NoError(t, a.MarkBadMessage(ctx, "bad"))
	require.Equal(t, api.CodeNotFound, codeOf(a.MarkBadMessage(ctx, "none")))
}

// TestExcludedMethods: what the original had and this one leaves out says why, to whoever may ask at all.
func TestExcludedMethods(t *testing.T) {
	c := newCluster(t)
	for _, namespace := range []string{"Message", "Filecoin"} {
		var p struct {
			Internal struct {
				ResetAddress func(context.Context, address.Address, uint64) (uint64, error) `perm:"admin"`
			}
		}
		stop, err := rpc.Dial(c.d.Address, "an.admin.token", namespace, &p, rpc.DialOptions{})
		require.NoError(t, err)
		defer stop()
		_, err = p.Internal.ResetAddress(t.Context(), c.addr, 0)
		require.Equal(t, api.CodeUnsupported, codeOf(err))
		require.Contains(t, api.Explain(err).Hint, "UpdateNonce")
	}
}

func TestAPIWallets(t *testing.T) {
	r, a, ctx := newAPI(t)
	for name, w := range map[string]msgapi.WalletSpec{"name": {URL: "u", Token: "t"}, "url": {Name: "n", Token: "t"}, "token": {Name: "n", URL: "u"}} {
		err := a.SaveWallet(ctx, w)
		require.Equal(t, api.CodeInvalid, codeOf(err))
		require.ErrorContains(t, err, name+" cannot be empty")
	}
	require.NoError(t, a.SaveWallet(ctx, msgapi.WalletSpec{Name: "w2", URL: "u", Token: "t"}))
	require.Equal(t, api.CodeConflict, codeOf(a.SaveWallet(ctx, msgapi.WalletSpec{Name: "w2", URL: "u", Token: "t"})))
	all, err := a.ListWallet(ctx)
	require.NoError(t, err)
	require.Len(t, all, 2)
	w, err := a.GetWalletByName(ctx, "w2")
	require.NoError(t, err)
	require.Equal(t, []any{"Alive", 1, ""}, []any{w.State, w.Addresses, w.Error})
	require.NoError(t, a.UpdateWallet(ctx, msgapi.WalletSpec{Name: "w2", Token: "t2"}))
	require.NoError(t, a.UpdateWallet(ctx, msgapi.WalletSpec{Name: "w2", URL: "u2"}))
	e := r.wallets.get("w2")
	require.Equal(t, []string{"u2", "t2"}, []string{e.URL, e.Token}, "what is not given stays")
	require.True(t, e.held[r.addr])
	stored, err := r.db.Wallets(ctx)
	require.NoError(t, err)
	require.Equal(t, []string{"u2", "t2"}, []string{stored[1].URL, stored[1].Token})
	require.Equal(t, api.CodeNotFound, codeOf(a.UpdateWallet(ctx, msgapi.WalletSpec{Name: "x", Token: "t"})))
	_, err = a.GetWalletByName(ctx, "x")
	require.Equal(t, api.CodeNotFound, codeOf(err))
	has, err := a.HasWallet(ctx, "w2")
	require.NoError(t, err)
	require.True(t, has)
	as, err := a.ListRemoteWalletAddress(ctx, "w2")
	require.NoError(t, err)
	require.Equal(t, []address.Address{r.addr}, as)
	for _, c := range []struct {
		wallet string
		a      address.Address
		want   bool
	}{{"w", r.addr, true}, {"x", r.addr, false}, {"w", newModelWallet(3).newKey(t), false}, {"", r.addr, true}} {
		has, err := a.HasWalletAddress(ctx, c.wallet, c.a)
		require.NoError(t, err)
		require.Equal(t, c.want, has, "%+v", c)
	}
	has, err = a.WalletHas(ctx, r.addr)
	require.NoError(t, err)
	require.True(t, has)
	// A key that appears later is found at need; one that vanishes is shown as such.
	late := r.wallet.newKey(t)
	has, err = a.HasWalletAddress(ctx, "w", late)
	require.NoError(t, err)
	require.True(t, has)
	delete(r.wallet.keys, late)
	require.NoError(t, r.wallets.refresh(ctx, r.wallets.get("w")))
	held, err := a.GetWalletAddress(ctx, "w", r.addr)
	require.NoError(t, err)
	require.Equal(t, "Alive", held.State)
	_, err = a.GetWalletAddress(ctx, "x", r.addr)
	require.Equal(t, api.CodeNotFound, codeOf(err))
	was, err := a.ListWalletAddress(ctx)
	require.NoError(t, err)
	states := map[string]string{}
	for _, x := range was {
		states[x.WalletName+x.Addr.String()] = x.State
	}
	require.Equal(t, map[string]string{"w" + r.addr.String(): "Alive", "w2" + r.addr.String(): "Alive", "w" + late.String(): "Removed"}, states)
	r.wallet.set(errAway)
	_, err = a.HasWalletAddress(ctx, "w", late)
	require.Equal(t, api.CodeUnavailable, codeOf(err))
	_, err = a.ListRemoteWalletAddress(ctx, "w")
	require.Equal(t, api.CodeUnavailable, codeOf(err))
	w, err = a.GetWalletByName(ctx, "w")
	require.NoError(t, err)
	require.Contains(t, w.Error, "refused")
	require.NoError(t, a.DeleteWallet(ctx, "w2"))
	has, err = a.HasWallet(ctx, "w2")
	require.NoError(t, err)
	require.False(t, has)
}

func TestAPIAddresses(t *testing.T) {
	r, a, ctx := newAPI(t)
	got, err := a.GetAddress(ctx, r.addr)
	require.NoError(t, err)
	require.Equal(t, "Alive", got.State)
	all, err := a.ListAddress(ctx)
	require.NoError(t, err)
	require.Len(t, all, 1)
	stranger := newModelWallet(4).newKey(t)
	has, err := a.HasAddress(ctx, stranger)
	require.NoError(t, err)
	require.False(t, has)
	_, err = a.GetAddress(ctx, stranger)
	require.Equal(t, api.CodeNotFound, codeOf(err))
	require.NoError(t, a.UpdateNonce(ctx, r.addr, 5))
	r.push("m", r.addr, 16)
	for range gapPatience {
		require.NoError(t, r.drain(r.addr))
		require.Equal(t, machine.Queued, r.get("m").State, "somebody may be using the nonces that were skipped")
		require.Contains(t, r.why("m"), "somebody may be using those in between")
		r.step()
	}
	require.NoError(t, r.drain(r.addr))
	require.Zero(t, r.get("m").Msg.Nonce, "nobody did: a gap would keep everything from landing")
	require.Equal(t, api.CodePrecondition, codeOf(a.UpdateNonce(ctx, r.addr, 0)), "a signed nonce is never given out again")
	r.push("n", r.addr, 16)
	require.Equal(t, api.CodePrecondition, codeOf(a.DeleteAddress(ctx, r.addr)))
	require.NoError(t, a.SetFeeParams(ctx, r.addr, 1.5, "123", ""))
	require.NoError(t, a.SetFeeParams(ctx, r.addr, 0, "", "9"))
	require.Equal(t, api.CodeInvalid, codeOf(a.SetFeeParams(ctx, r.addr, 0.1, "", "")))
	require.Equal(t, api.CodeInvalid, codeOf(a.SetFeeParams(ctx, r.addr, 0, "-1", "")))
	require.Equal(t, api.CodeInvalid, codeOf(a.SetFeeParams(ctx, r.addr, 0, "", "x")))
	got, err = a.GetAddress(ctx, r.addr)
	require.NoError(t, err)
	require.Equal(t, []any{1.5, "123", "9", 1}, []any{got.GasOverEstimation, got.MaxFee, got.MaxFeeCap, got.Pending})
	require.NoError(t, a.ForbiddenAddress(ctx, r.addr))
	was, err := a.ListWalletAddress(ctx)
	require.NoError(t, err)
	require.Equal(t, "Forbidden", was[0].State)
	require.Equal(t, api.CodeNotFound, codeOf(a.ActiveAddress(ctx, stranger)))
	free := r.wallet.newKey(t)
	require.NoError(t, r.wallets.refresh(ctx, r.wallets.get("w")))
	require.NoError(t, a.DeleteAddress(ctx, free))
}

func TestAPISettings(t *testing.T) {
	r, a, ctx := newAPI(t)
	sp, err := a.GetSharedParams(ctx)
	require.NoError(t, err)
	require.Equal(t, &msgapi.SharedParams{GasOverEstimation: 1.25, MaxFee: "100000000000000000", MaxFeeCap: "0", SelMsgNum: defaultSelNum, ReplaceBudget: "0"}, sp)
	for _, bad := range []*msgapi.SharedParams{
		nil, {GasOverEstimation: 0.5, MaxFee: "1", SelMsgNum: 1}, {GasOverEstimation: 1, MaxFee: "1"}, {GasOverEstimation: 1, MaxFee: "0", SelMsgNum: 1},
		{GasOverEstimation: 1, MaxFee: "x", SelMsgNum: 1}, {GasOverEstimation: 1, MaxFee: "1", MaxFeeCap: "x", SelMsgNum: 1},
	} {
		_, err := a.SetSharedParams(ctx, bad)
		require.Equal(t, api.CodeInvalid, codeOf(err), "%+v", bad)
	}
	sp.SelMsgNum, sp.MaxFee = 3, "7"
	_, err = a.SetSharedParams(ctx, sp)
	require.NoError(t, err)
	r.restart()
	require.EqualValues(t, 3, r.sharedLimits().SelNum, "over a restart")
	a = NewAPI(r.Service, nil, "test")
	require.NoError(t, a.RefreshSharedParams(ctx))
	require.Equal(t, api.CodeInvalid, codeOf(a.SaveNode(ctx, msgapi.NodeSpec{})))
	require.NoError(t, a.SaveNode(ctx, msgapi.NodeSpec{Name: "n", URL: "u", Token: "t"}))
	require.Equal(t, api.CodeConflict, codeOf(a.SaveNode(ctx, msgapi.NodeSpec{Name: "n", URL: "u", Token: "t"})))
	n, err := a.GetNode(ctx, "n")
	require.NoError(t, err)
	require.Equal(t, &msgapi.Node{Name: "n", URL: "u"}, n)
	has, err := a.HasNode(ctx, "n")
	require.NoError(t, err)
	require.True(t, has)
	ns, err := a.ListNode(ctx)
	require.NoError(t, err)
	require.Len(t, ns, 1)
	require.NoError(t, a.DeleteNode(ctx, "n"))
	require.Equal(t, api.CodeNotFound, codeOf(a.DeleteNode(ctx, "n")))
	has, err = a.HasNode(ctx, "n")
	require.NoError(t, err)
	require.False(t, has)

	v, err := a.Version(ctx)
	require.NoError(t, err)
	require.Equal(t, "test", v.Version)
	s1, err := a.Session(ctx)
	require.NoError(t, err)
	require.NotEmpty(t, s1)
	doc, err := a.Discover(ctx)
	require.NoError(t, err)
	require.NotEmpty(t, doc)
	systems, err := a.LogList(ctx)
	require.NoError(t, err)
	require.Contains(t, systems, "messager")
	require.NoError(t, a.LogSetLevel(ctx, "messager", "info"))
	require.Equal(t, api.CodeInvalid, codeOf(a.LogSetLevel(ctx, "messager", "loud")))
	_, err = a.AuthNew(ctx, nil)
	require.Equal(t, api.CodeInvalid, codeOf(err))
	_, err = a.AuthNew(ctx, []api.Permission{"root"})
	require.Equal(t, api.CodeInvalid, codeOf(err))
	closing, err := a.Closing(ctx)
	require.NoError(t, err)
	require.NoError(t, a.Shutdown(ctx))
	require.NoError(t, a.Shutdown(ctx))
	<-closing
	<-a.Done()
}

// TestStatesMap: every state has a number on the wire, and the way back finds it.
func TestStatesMap(t *testing.T) {
	for s := machine.Queued; s <= machine.NoWallet; s++ {
		w, ok := wireState[s]
		require.True(t, ok, s)
		require.Contains(t, machineStates([]msgapi.State{w}), s)
	}
}

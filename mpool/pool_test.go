package mpool

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/big"
	stcrypto "github.com/filecoin-project/go-state-types/crypto"
	"github.com/filecoin-project/go-state-types/exitcode"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/filecoin-venus/venus/crypto"
	"github.com/filecoin-venus/venus/internal/fault"
	"github.com/filecoin-venus/venus/types"
	"github.com/filecoin-venus/venus/vm"
)

func rich(t testing.TB) (*fakeChain, *types.TipSet, address.Address) {
	c := newFakeChain(t)
	a := testAddr(t, "A")
	c.balances[a] = fil
	return c, c.extend(nil), a
}

// TestP1_ReplaceByFee is the table of what a second message of one nonce may do.
func TestP1_ReplaceByFee(t *testing.T) {
	c, g, a := rich(t)
	for _, tc := range []struct {
		old, premium int64
		ok           bool
	}{{1000, 1250, false}, {1000, 1251, true}, {1000, 1000, false}, {1, 2, true}, {0, 1, true}, {0, 0, false}, {100, 125, false}, {100, 126, true}} {
		k := newKit(t, c, NewMemoryStore(), g)
		_, err := k.Push(t.Context(), blsMsg(a, 0, 1e6, 5000, tc.old))
		require.NoError(t, err)
		second := blsMsg(a, 0, 1e6, 5001, tc.premium)
		_, err = k.Push(t.Context(), second)
		msgs, _ := k.Pending()
		require.Len(t, msgs, 1)
		if tc.ok {
			require.NoError(t, err, "%+v", tc)
			require.Equal(t, second, msgs[0])
		} else {
			require.ErrorIs(t, err, ErrPremiumTooLow, "%+v", tc)
		}
	}
	k := newKit(t, c, NewMemoryStore(), g)
	first, err := k.Push(t.Context(), blsMsg(a, 0, 1e6, 5000, 10))
	require.NoError(t, err)
	again, err := k.Push(t.Context(), blsMsg(a, 0, 1e6, 5000, 10))
	require.NoError(t, err, "the same message again is no error")
	require.Equal(t, first, again)
	require.ErrorIs(t, k.Receive(t.Context(), blsMsg(a, 0, 1e6, 5000, 10)), ErrExists)
}

// TestP2_Limits: gap 4 but not 5, fill-ins below, per-sender counts.
func TestP2_Limits(t *testing.T) {
	c, g, a := rich(t)
	k := newKit(t, c, NewMemoryStore(), g)
	ctx := t.Context()
	_, err := k.Push(ctx, blsMsg(a, 5, 1e6, 5000, 10))
	require.ErrorIs(t, err, ErrNonceGap)
	_, err = k.Push(ctx, blsMsg(a, 4, 1e6, 5000, 10))
	require.NoError(t, err)
	_, err = k.PushUntrusted(ctx, blsMsg(a, 1, 1e6, 5000, 10))
	require.ErrorIs(t, err, ErrNonceGap)
	for n := range uint64(4) {
		_, err = k.Push(ctx, blsMsg(a, n, 1e6, 5000, 10))
		require.NoError(t, err, "fill in %d below a higher one", n)
	}
	next, err := k.NextNonce(ctx, a)
	require.NoError(t, err)
	require.EqualValues(t, 5, next)

	k = newKit(t, c, NewMemoryStore(), g)
	for n := range uint64(MaxPendingUntrusted) {
		_, err = k.PushUntrusted(ctx, blsMsg(a, n, 1e6, 5000, 10))
		require.NoError(t, err)
	}
	_, err = k.PushUntrusted(ctx, blsMsg(a, MaxPendingUntrusted, 1e6, 5000, 10))
	require.ErrorIs(t, err, ErrTooMany)
	for n := uint64(MaxPendingUntrusted); n < MaxPending; n++ {
		_, err = k.Push(ctx, blsMsg(a, n, 1e6, 5000, 10))
		require.NoError(t, err)
	}
	_, err = k.Push(ctx, blsMsg(a, MaxPending, 1e6, 5000, 10))
	require.ErrorIs(t, err, ErrTooMany)
}

func TestRefusals(t *testing.T) {
	c, g, a := rich(t)
	poor, secp := testAddr(t, "poor"), testAddr(t, "secp")
	c.balances[poor], c.balances[secp] = big.NewInt(6e9), fil
	zero, err := address.NewBLSAddress(append([]byte{0xc0}, make([]byte, 47)...))
	require.NoError(t, err)
	require.Contains(t, zero.String(), "3yaaaaaaaa")
	require.Contains(t, zero.String(), "aby2smx7a")
	edit := func(f func(*types.SignedMessage)) *types.SignedMessage {
		m := blsMsg(a, 0, 1e6, 5000, 10)
		f(m)
		return m
	}
	for name, tc := range map[string]struct {
		m    *types.SignedMessage
		want error
	}{
		"version":      {edit(func(m *types.SignedMessage) { m.Message.Version = 1 }), ErrInvalid},
		"zero bls":     {edit(func(m *types.SignedMessage) { m.Message.To = zero }), ErrInvalid},
		"negative":     {edit(func(m *types.SignedMessage) { m.Message.Value = big.NewInt(-1) }), ErrInvalid},
		"supply":       {edit(func(m *types.SignedMessage) { m.Message.Value = vm.TotalSupply() }), ErrInvalid},
		"premium":      {edit(func(m *types.SignedMessage) { m.Message.GasPremium = big.NewInt(5001) }), ErrInvalid},
		"limit high":   {edit(func(m *types.SignedMessage) { m.Message.GasLimit = BlockGasLimit + 1 }), ErrInvalid},
		"limit low":    {edit(func(m *types.SignedMessage) { m.Message.GasLimit = 38862 }), ErrInvalid},
		"fee cap":      {edit(func(m *types.SignedMessage) { m.Message.GasFeeCap = big.NewInt(99) }), ErrFeeCapTooLow},
		"big":          {edit(func(m *types.SignedMessage) { m.Message.Params = make([]byte, MaxMessageBytes) }), ErrTooBig},
		"sig type":     {edit(func(m *types.SignedMessage) { m.Signature.Type = stcrypto.SigTypeDelegated }), ErrSignature},
		"sig":          {edit(func(m *types.SignedMessage) { m.Signature.Data = []byte("forged") }), ErrSignature},
		"unknown":      {blsMsg(testAddr(t, "nobody"), 0, 1e6, 5000, 10), ErrUnknownSender},
		"funds":        {blsMsg(poor, 0, 2e6, 5000, 10), ErrFunds},
		"params freed": {edit(func(m *types.SignedMessage) { m.Message.To = address.Undef }), ErrInvalid},
	} {
		k := newKit(t, c, NewMemoryStore(), g)
		_, err := k.Push(t.Context(), tc.m)
		require.ErrorIs(t, err, tc.want, name)
		require.Error(t, k.Receive(t.Context(), tc.m), name)
		msgs, _ := k.Pending()
		require.Empty(t, msgs, name)
	}
	k := newKit(t, c, NewMemoryStore(), g)
	require.NoError(t, k.Receive(t.Context(), blsMsg(poor, 0, 1e6, 5000, 10)))
	require.ErrorIs(t, k.Receive(t.Context(), blsMsg(poor, 1, 1e6, 5000, 10)), ErrPendingFunds)

	c.baseFee = big.NewInt(1e6)
	require.ErrorIs(t, k.Receive(t.Context(), blsMsg(a, 0, 1e6, 9999, 10)), ErrFeeCapBelowBaseFee)
	_, err = k.Push(t.Context(), blsMsg(a, 0, 1e6, 9999, 10))
	require.NoError(t, err, "a local message is kept")
	require.Empty(t, k.published, "but not published")
	require.True(t, Reject(fmt.Errorf("x: %w", ErrInvalid)))
	require.False(t, Reject(ErrNonceGap))
	require.True(t, errors.Is(ErrTooMany, ErrSoft))
}

// TestSignatureIsReal uses the crypto package itself, for both key types.
func TestSignatureIsReal(t *testing.T) {
	for _, st := range []stcrypto.SigType{stcrypto.SigTypeBLS, stcrypto.SigTypeSecp256k1} {
		priv, err := crypto.GenerateKey(st)
		require.NoError(t, err)
		addr, err := crypto.AddressFor(st, priv)
		require.NoError(t, err)
		c := newFakeChain(t)
		c.balances[addr] = fil
		p, err := New(t.Context(), Options{
			Chain: c, Store: NewMemoryStore(), Clock: newKit(t, c, NewMemoryStore(), c.extend(nil)).clk,
			Head: c.extend(nil), Config: DefaultConfig(),
		})
		require.NoError(t, err)
		m := blsMsg(addr, 0, 1e6, 5000, 10)
		sig, err := crypto.Sign(st, priv, m.Message.Cid().Bytes())
		require.NoError(t, err)
		m.Signature = *sig
		_, err = p.Push(t.Context(), m)
		require.NoError(t, err)
		forged := *m
		forged.Message.Nonce = 1
		_, err = p.Push(t.Context(), &forged)
		require.ErrorIs(t, err, ErrSignature)
	}
}

// TestP5_Restart: own messages survive, landed ones go, others' are forgotten.
func TestP5_Restart(t *testing.T) {
	c, g, a := rich(t)
	b := testAddr(t, "B")
	c.balances[b] = fil
	store, err := OpenStore(t.TempDir())
	require.NoError(t, err)
	defer func() { require.NoError(t, store.Close()) }()
	mem := NewMemoryStore()
	k := newKit(t, c, mem, g)
	k.Pool.o.Store = store
	var own []*types.SignedMessage
	for n := range uint64(3) {
		m := blsMsg(a, n, 1e6, 5000, 10)
		own = append(own, m)
		_, err := k.Push(t.Context(), m)
		require.NoError(t, err)
	}
	require.NoError(t, k.Receive(t.Context(), blsMsg(b, 0, 1e6, 5000, 10)))
	cfg := k.Config()
	cfg.PriorityAddrs = []address.Address{a}
	require.NoError(t, k.SetConfig(t.Context(), cfg))
	require.Error(t, k.SetConfig(t.Context(), Config{}))

	head := c.extend(g, &own[0].Message)
	again, err := New(t.Context(), Options{
		Chain: c, Store: store, Clock: k.clk, Head: head, Config: DefaultConfig(), Verify: k.Pool.o.Verify,
	})
	require.NoError(t, err)
	msgs, _ := again.Pending()
	require.Equal(t, own[1:], msgs)
	require.Equal(t, cfg, again.Config())
	left := 0
	require.NoError(t, store.All(t.Context(), func(string, []byte) error { left++; return nil }))
	require.Equal(t, 3, left, "two messages and the settings")
}

// TestPersistBeforeAnswer: a message that could not be stored is not accepted.
func TestPersistBeforeAnswer(t *testing.T) {
	c, g, a := rich(t)
	k := newKit(t, c, NewMemoryStore(), g)
	defer fault.Arm("mpool/localPersist", func() error { return fault.ErrInjected })()
	_, err := k.Push(t.Context(), blsMsg(a, 0, 1e6, 5000, 10))
	require.ErrorIs(t, err, fault.ErrInjected)
	msgs, _ := k.Pending()
	require.Empty(t, msgs)
	require.Empty(t, k.published)
}

// TestP3_HeadChangeModel walks a random block tree; after every move the pool
// must hold exactly the messages a dumb model says.
func TestP3_HeadChangeModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c, g, a := rich(t)
		b := testAddr(t, "B")
		c.balances[b] = fil
		k := newKit(t, c, NewMemoryStore(), g)
		known := map[string]*types.SignedMessage{} // newest message per sender and nonce
		var path []*types.TipSet
		head := g
		for step := rapid.IntRange(1, 12).Draw(rt, "steps"); step > 0; step-- {
			for _, from := range []address.Address{a, b} {
				for i := rapid.IntRange(0, 2).Draw(rt, "push"); i > 0; i-- {
					n, err := k.NextNonce(t.Context(), from)
					require.NoError(rt, err)
					m := blsMsg(from, n, 1e6, 5000, 10)
					_, err = k.Push(t.Context(), m)
					require.NoError(rt, err)
					known[fmt.Sprint(from, n)] = m
				}
			}
			var revert, apply []*types.TipSet
			for i := rapid.IntRange(0, min(2, len(path))).Draw(rt, "revert"); i > 0; i-- {
				revert = append(revert, head)
				path = path[:len(path)-1]
				head = c.tipsets[head.Parents()]
			}
			for i := rapid.IntRange(0, 2).Draw(rt, "apply"); i > 0; i-- {
				var block []types.ChainMsg
				for _, from := range []address.Address{a, b} {
					actor, err := c.ActorAfter(t.Context(), from, head)
					require.NoError(rt, err)
					for n := actor.Nonce; n < actor.Nonce+uint64(rapid.IntRange(0, 2).Draw(rt, "take")); n++ {
						if m := known[fmt.Sprint(from, n)]; m != nil {
							block = append(block, &m.Message)
						}
					}
				}
				head = c.extend(head, block...)
				path, apply = append(path, head), append(apply, head)
			}
			require.NoError(rt, k.HeadChange(t.Context(), revert, apply))
			require.True(rt, k.Head().Equals(head))
			want := map[string]*types.SignedMessage{}
			for key, m := range known {
				actor, err := c.ActorAfter(t.Context(), m.Message.From, head)
				require.NoError(rt, err)
				if m.Message.Nonce >= actor.Nonce {
					want[key] = m
				}
			}
			got := map[string]*types.SignedMessage{}
			msgs, _ := k.Pending()
			for _, m := range msgs {
				got[fmt.Sprint(m.Message.From, m.Message.Nonce)] = m
			}
			require.Equal(rt, want, got)
		}
	})
}

// TestSelectOffHead: a block on an older or forked base may carry what the
// pool's own head already holds.
func TestSelectOffHead(t *testing.T) {
	c, g, a := rich(t)
	k := newKit(t, c, NewMemoryStore(), g)
	m := blsMsg(a, 0, 1e6, 5000, 10)
	_, err := k.Push(t.Context(), m)
	require.NoError(t, err)
	_, err = k.Push(t.Context(), blsMsg(a, 1, 1e6, 5000, 10))
	require.NoError(t, err)
	head := c.extend(g, &m.Message)
	require.NoError(t, k.HeadChange(t.Context(), nil, []*types.TipSet{head}))
	fork := c.extend(g)
	for _, base := range []*types.TipSet{g, fork} {
		got, err := k.Select(t.Context(), base, 1)
		require.NoError(t, err)
		require.Len(t, got, 2)
	}
	many, err := k.SelectMany(t.Context(), head, []float64{1, 0.5})
	require.NoError(t, err)
	require.Len(t, many[0], 1)
	require.Equal(t, many[0], many[1], "an empty second block repeats the first")
}

func TestSubscribe(t *testing.T) {
	c, g, a := rich(t)
	k := newKit(t, c, NewMemoryStore(), g)
	ctx, cancel := context.WithCancel(t.Context())
	ch := k.Subscribe(ctx)
	m := blsMsg(a, 0, 1e6, 5000, 10)
	_, err := k.Push(ctx, m)
	require.NoError(t, err)
	require.Equal(t, Update{Added, m}, <-ch)
	require.NoError(t, k.HeadChange(ctx, nil, []*types.TipSet{c.extend(g, &m.Message)}))
	require.Equal(t, Update{Removed, m}, <-ch)
	cancel()
	_, open := <-ch
	require.False(t, open)

	// A reader that never reads is cut off; the pool does not wait for it.
	slow := k.Subscribe(t.Context())
	for n := range uint64(subscriberBuffer/2 + 2) {
		for range 1 {
			k.mu.Lock()
			k.tellLocked(Update{Added, blsMsg(a, n, 1e6, 5000, 10)})
			k.tellLocked(Update{Removed, blsMsg(a, n, 1e6, 5000, 10)})
			k.mu.Unlock()
		}
	}
	seen := 0
	for range slow {
		seen++
	}
	require.Equal(t, subscriberBuffer, seen)
}

// TestP6_Republish: on schedule, bounded, local only.
func TestP6_Republish(t *testing.T) {
	c, g, a := rich(t)
	b := testAddr(t, "B")
	c.balances[b] = fil
	k := newKit(t, c, NewMemoryStore(), g)
	for n := range uint64(40) {
		_, err := k.Push(t.Context(), blsMsg(a, n, 1e6, 5000, 10))
		require.NoError(t, err)
	}
	require.NoError(t, k.Receive(t.Context(), blsMsg(b, 0, 1e6, 5000, 1000)))
	k.published = nil
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- k.Run(ctx) }()
	require.NoError(t, k.clk.WaitFor(ctx, 1))
	k.clk.Advance(k.republishInterval())
	for range republishLimit - 1 {
		require.NoError(t, k.clk.WaitFor(ctx, 1))
		k.clk.Advance(republishGap)
	}
	require.NoError(t, k.clk.WaitFor(ctx, 1))
	cancel()
	require.ErrorIs(t, <-done, context.Canceled)
	require.Len(t, k.published, republishLimit)
	for i, m := range k.published {
		require.Equal(t, a, m.Message.From)
		require.EqualValues(t, i, m.Message.Nonce)
	}
}

func TestPrune(t *testing.T) {
	c, g, a := rich(t)
	b, d := testAddr(t, "B"), testAddr(t, "D")
	c.balances[b], c.balances[d] = fil, fil
	k := newKit(t, c, NewMemoryStore(), g)
	cfg := DefaultConfig()
	cfg.SizeLimitHigh, cfg.SizeLimitLow = 9, 6
	require.NoError(t, k.SetConfig(t.Context(), cfg))
	for n := range uint64(3) {
		_, err := k.Push(t.Context(), blsMsg(a, n, 1e6, 5000, 1))
		require.NoError(t, err)
		require.NoError(t, k.Receive(t.Context(), blsMsg(b, n, 1e6, 5000, 20)))
		require.NoError(t, k.Receive(t.Context(), blsMsg(d, n, 1e6, 5000, 10)))
	}
	require.NoError(t, k.Receive(t.Context(), blsMsg(b, 3, 1e6, 5000, 20)))
	count := func(from address.Address) int {
		msgs, err := k.PendingOf(t.Context(), from)
		require.NoError(t, err)
		return len(msgs)
	}
	require.Equal(t, []int{3, 3, 0}, []int{count(a), count(b), count(d)}, "own stay, cheapest strangers go, tails first")
	require.NoError(t, k.Clear(t.Context(), false))
	require.Equal(t, []int{3, 0}, []int{count(a), count(b)})
	require.NoError(t, k.Clear(t.Context(), true))
	require.Zero(t, count(a))
}

type fakeSim struct {
	gas  int64
	exit map[uint64]exitcode.ExitCode // by method
	// ran counts, message by message, what ran before it in its simulation.
	ran  []int
	long []int
}

type fakeRun struct {
	s     *fakeSim
	count int
	nonce uint64
}

func (s *fakeSim) Simulate(context.Context, *types.TipSet) (Simulation, error) {
	return &fakeRun{s: s}, nil
}

func (r *fakeRun) Apply(_ context.Context, m types.ChainMsg) (CallResult, error) {
	vm := m.VMMessage()
	if vm.Nonce != r.nonce {
		return CallResult{Receipt: types.MessageReceipt{ExitCode: 2}}, nil
	}
	r.s.ran, r.s.long = append(r.s.ran, r.count), append(r.s.long, m.ChainLength())
	r.count, r.nonce = r.count+1, r.nonce+1
	if code := r.s.exit[uint64(vm.Method)]; code != 0 {
		return CallResult{Receipt: types.MessageReceipt{ExitCode: code, GasUsed: 1}, Error: "no sector"}, nil
	}
	return CallResult{Receipt: types.MessageReceipt{GasUsed: r.s.gas}}, nil
}

func TestEstimates(t *testing.T) {
	c, g, a := rich(t)
	k := newKit(t, c, NewMemoryStore(), g)
	sim := &fakeSim{gas: 1000000, exit: map[uint64]exitcode.ExitCode{7: 16}}
	e := NewEstimator(k.Pool, sim)
	ctx := t.Context()

	require.Equal(t, "1054", FeeCap(big.NewInt(100), big.Zero(), 20).String())
	_, err := k.Push(ctx, blsMsg(a, 0, 1e6, 5000, 10))
	require.NoError(t, err)
	m := &blsMsg(a, 0, 0, 0, 0).Message
	got, err := e.MessageGas(ctx, m, Spec{}, g)
	require.NoError(t, err)
	require.EqualValues(t, 1250000, got.GasLimit)
	require.InDelta(t, minGasPremium, float64(got.GasPremium.Int64()), minGasPremium*premiumNoise*6)
	require.Equal(t, big.Add(got.GasPremium, big.NewInt(1054)), got.GasFeeCap)
	require.Equal(t, []int{0, 1}, sim.ran, "runs behind the pending message")

	capped, err := e.MessageGas(ctx, m, Spec{MaxFee: big.NewInt(1250000 * 7), GasOverEstimation: 1}, g)
	require.NoError(t, err)
	require.EqualValues(t, 1000000, capped.GasLimit)
	require.Equal(t, "8", capped.GasFeeCap.String())
	require.Equal(t, "8", capped.GasPremium.String())

	bad := *m
	bad.Method = 7
	_, err = e.MessageGas(ctx, &bad, Spec{}, g)
	var exec *ExecError
	require.ErrorAs(t, err, &exec)
	require.Equal(t, "message execution failed: exit 16, reason: no sector", err.Error())

	sim.ran = nil
	res, err := e.Batch(ctx, []BatchItem{{Msg: m}, {Msg: &bad}, {Msg: m}}, 1, g)
	require.NoError(t, err)
	require.Equal(t, []int{0, 1, 2, 3}, sim.ran, "the pending message and each of the batch once")
	require.EqualValues(t, 1, res[0].Msg.Nonce)
	require.Error(t, res[1].Err)
	require.Zero(t, res[1].Msg.Nonce)
	require.EqualValues(t, 2, res[2].Msg.Nonce)

	secp, err := address.NewSecp256k1Address([]byte("key"))
	require.NoError(t, err)
	c.balances[secp] = fil
	sim.long = nil
	probe := *m
	probe.From = secp
	_, err = e.GasLimit(ctx, &probe, g)
	require.NoError(t, err)
	require.Greater(t, sim.long[0], probe.ChainLength()+secpSigLength, "a secp sender pays for its signature")
}

func TestPremiumLadder(t *testing.T) {
	for n, want := range map[uint64]int64{1: 200000, 2: 150000, 3: 100000} {
		require.EqualValues(t, want, medianPremium(nil, 5, n).Int64())
		require.EqualValues(t, want, medianPremium([]price{{big.NewInt(1e9), 1e6}}, 5, n).Int64(), "room left")
	}
	var full []price
	for i := range 20 {
		full = append(full, price{big.NewInt(int64(1+i) * 1e6), 1e9})
	}
	// Two blocks: 5.25e9 gas from the top, between the fifth and sixth price.
	require.EqualValues(t, 15500000, medianPremium(full, 2, 10).Int64())
}

func FuzzReceive(f *testing.F) {
	a := testAddr(f, "A")
	raw, err := blsMsg(a, 0, 1e6, 5000, 10).Serialize()
	require.NoError(f, err)
	f.Add(raw)
	c := newFakeChain(f)
	c.balances[a] = fil
	k := newKit(f, c, NewMemoryStore(), c.extend(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := types.DecodeSignedMessage(b)
		if err != nil {
			return
		}
		if k.Receive(context.Background(), m) == nil {
			require.NoError(t, vm.CheckSyntax(&m.Message, m.ChainLength()))
		}
	})
}

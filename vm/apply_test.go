package vm

import (
	"testing"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	gscrypto "github.com/filecoin-project/go-state-types/crypto"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/verifreg"
	cid "github.com/ipfs/go-cid"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/ipld"
	"github.com/filecoin-venus/venus/state"
	"github.com/filecoin-venus/venus/types"
)

func TestSendPaysExactly(t *testing.T) {
	w := newWorld(t, nil)
	before := w.total()
	m := w.message(w.bls.addr, fil(1), builtin.MethodSend, []byte("ignored"))
	res := w.apply(m)
	gas := OnChainMessageGas(m.ChainLength()) + 216405
	require.Equal(t, types.MessageReceipt{GasUsed: gas}, res.Receipt)
	require.NoError(t, res.Err)
	// Over twice the use, everything unused is burnt but the tenth.
	out := ComputeGasOutputs(gas, m.GasLimit, w.cfg.BaseFee, m.GasFeeCap, m.GasPremium)
	require.Equal(t, out, res.Outputs)
	require.Equal(t, big.Mul(big.NewInt(10), big.NewInt(m.GasLimit)), res.MinerTip)
	require.Equal(t, big.Add(fil(1000), res.MinerTip), w.actor(builtin.RewardActorAddr).Balance)
	require.Equal(t, big.Add(out.BaseFeeBurn, out.OverEstimationBurn), w.actor(builtin.BurntFundsActorAddr).Balance)
	require.Equal(t, fil(101), w.actor(w.bls.addr).Balance)
	require.EqualValues(t, 1, w.nonce(w.secp.addr))
	require.Equal(t, before, w.total())
}

func TestMessagesThatNeverRun(t *testing.T) {
	w := newWorld(t, nil)
	root, err := w.vm.Flush(w.ctx)
	require.NoError(t, err)
	for name, c := range map[string]struct {
		change func(*types.Message)
		code   int64
		gas    int64 // that the producer pays for; 0: the limit
	}{
		"gas limit below carriage": {func(m *types.Message) { m.GasLimit = 1000 }, 7, -1},
		"unknown sender":           {func(m *types.Message) { m.From = idAddr(t, 777) }, 1, 0},
		"unknown key":              {func(m *types.Message) { m.From = makeKey(t, gscrypto.SigTypeBLS, "nobody").addr }, 1, 0},
		"sender is no account":     {func(m *types.Message) { m.From = builtin.RewardActorAddr }, 1, 0},
		"nonce too high":           {func(m *types.Message) { m.Nonce++ }, 2, 0},
		"no cover for gas":         {func(m *types.Message) { m.GasFeeCap = fil(1) }, 2, 0},
	} {
		t.Run(name, func(t *testing.T) {
			m := w.message(w.bls.addr, big.Zero(), builtin.MethodSend, nil)
			c.change(m)
			res := w.apply(m)
			require.EqualValues(t, c.code, res.Receipt.ExitCode)
			require.Zero(t, res.Receipt.GasUsed)
			gas := m.GasLimit
			if c.gas < 0 {
				gas = OnChainMessageGas(m.ChainLength())
			}
			require.Equal(t, big.Mul(w.cfg.BaseFee, big.NewInt(gas)), res.Penalty)
			again, err := w.vm.Flush(w.ctx)
			require.NoError(t, err)
			require.Equal(t, root, again, "the state must not change")
		})
	}
	for name, change := range map[string]func(*types.Message){
		"no gas":     func(m *types.Message) { m.GasLimit = 0 },
		"no fee cap": func(m *types.Message) { m.GasFeeCap = big.Int{} },
		"no value":   func(m *types.Message) { m.Value = big.Int{} },
	} {
		m := w.message(w.bls.addr, big.Zero(), builtin.MethodSend, nil)
		change(m)
		_, err := w.vm.ApplyMessage(w.ctx, m)
		require.Error(t, err, name)
	}
}

func TestValueIsNoPartOfTheBalanceTest(t *testing.T) {
	w := newWorld(t, nil)
	res := w.apply(w.message(w.bls.addr, fil(100), builtin.MethodSend, nil))
	require.EqualValues(t, 6, res.Receipt.ExitCode)
	require.EqualValues(t, 1, w.nonce(w.secp.addr))
	require.Positive(t, res.Receipt.GasUsed)
}

func TestTransferRules(t *testing.T) {
	w := newWorld(t, nil)
	for name, c := range map[string]struct {
		to    address.Address
		value abi.TokenAmount
		code  int64
	}{
		"to self":                 {w.secp.addr, fil(1), 0},
		"to self by id":           {w.secp.id, fil(1), 0},
		"to self above balance":   {w.secp.addr, fil(1000), 6},
		"negative":                {w.bls.addr, big.NewInt(-1), 8},
		"negative to self":        {w.secp.addr, big.NewInt(-1), 8},
		"value to a system actor": {builtin.RewardActorAddr, fil(1), 0},
	} {
		t.Run(name, func(t *testing.T) {
			res := w.apply(w.message(c.to, c.value, builtin.MethodSend, nil))
			require.EqualValues(t, c.code, res.Receipt.ExitCode)
		})
	}
}

func TestReceiversThatDoNotExist(t *testing.T) {
	zero, err := address.NewBLSAddress(append([]byte{0xc0}, make([]byte, 47)...))
	require.NoError(t, err)
	require.Regexp(t, "^[ft]3ya+by2smx7a$", zero.String())
	require.True(t, isZeroBLS(zero))
	f2, err := address.NewActorAddress([]byte("someone"))
	require.NoError(t, err)
	f4, err := address.NewDelegatedAddress(10, []byte("someone"))
	require.NoError(t, err)
	const create, send = 1207254, 29233
	for name, c := range map[string]struct {
		to   address.Address
		code int64
		gas  int64
	}{
		"new secp account": {makeKey(t, gscrypto.SigTypeSecp256k1, "new").addr, 0, 1614650 + send},
		"new bls account":  {makeKey(t, gscrypto.SigTypeBLS, "new").addr, 0, 1652350 + send},
		"zero bls address": {zero, 16, create},
		"unknown id":       {idAddr(t, 55555), 5, create},
		"unknown actor":    {f2, 5, create},
		"delegated":        {f4, 5, create},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			m := w.message(c.to, big.Zero(), builtin.MethodSend, nil)
			res := w.apply(m)
			require.EqualValues(t, c.code, res.Receipt.ExitCode, "%v", res.Err)
			require.Equal(t, OnChainMessageGas(m.ChainLength())+c.gas, res.Receipt.GasUsed)
			// A failed creation leaves the next ID free.
			next := makeKey(t, gscrypto.SigTypeBLS, "next").addr
			w.apply(w.message(next, big.Zero(), builtin.MethodSend, nil))
			id, err := w.vm.Tree().LookupID(w.ctx, next)
			require.NoError(t, err)
			want := uint64(102)
			if c.code == 0 {
				want++
			}
			require.Equal(t, idAddr(t, want), id)
		})
	}
}

func TestFreshAccountRunsAMethod(t *testing.T) {
	w := newWorld(t, nil)
	key := makeKey(t, gscrypto.SigTypeSecp256k1, "fresh").addr
	res := w.apply(w.message(key, big.Zero(), builtin.MethodsAccount.PubkeyAddress, nil))
	require.Zero(t, res.Receipt.ExitCode)
	require.Equal(t, encoded(t, &key), res.Receipt.Return)
	other := makeKey(t, gscrypto.SigTypeSecp256k1, "other").addr
	res = w.apply(w.message(other, big.Zero(), 3, nil))
	require.EqualValues(t, 3, res.Receipt.ExitCode)
	_, err := w.vm.Tree().LookupID(w.ctx, other)
	require.ErrorIs(t, err, state.ErrActorNotFound)
}

func TestDispatch(t *testing.T) {
	odd := cid.NewCidV1(cid.Raw, mustHash(t, "fil/6/account"))
	w := newWorld(t, func(w *world, tree *state.Tree) {
		require.NoError(t, tree.SetActor(w.ctx, idAddr(t, 500), &types.Actor{Code: odd, Head: odd, Balance: big.Zero()}))
	})
	f4, err := address.NewDelegatedAddress(10, []byte("someone"))
	require.NoError(t, err)
	delegated := encoded(t, &verifreg.AddVerifierParams{Address: f4, Allowance: big.NewInt(1 << 30)})
	known := encoded(t, &verifreg.AddVerifierParams{Address: w.bls.addr, Allowance: big.NewInt(1 << 30)})
	registry := builtin.VerifiedRegistryActorAddr
	for name, c := range map[string]struct {
		to     address.Address
		method abi.MethodNum
		params []byte
		code   int64
	}{
		"code of another version":     {idAddr(t, 500), 2, nil, 9},
		"value to any code":           {idAddr(t, 500), 0, nil, 0},
		"no such method":              {registry, 99, nil, 3},
		"highest method number":       {registry, 1<<64 - 1, nil, 3},
		"undecodable":                 {registry, 2, []byte{0x80}, 21},
		"empty parameters":            {registry, 2, nil, 21},
		"caller refused":              {registry, 2, known, 8},
		"trailing bytes are ignored":  {registry, 2, append(known, 1, 2, 3), 8},
		"address of a later network":  {registry, 2, delegated, 21},
		"parameters of a method none": {w.bls.addr, 2, []byte{0xff}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			res := w.apply(w.message(c.to, big.Zero(), c.method, c.params))
			require.EqualValues(t, c.code, res.Receipt.ExitCode, "%v", res.Err)
			if c.code != 0 {
				require.Empty(t, res.Receipt.Return)
			}
		})
	}
}

func TestOutOfGas(t *testing.T) {
	w := newWorld(t, nil)
	m := w.message(w.bls.addr, big.Zero(), builtin.MethodsAccount.PubkeyAddress, nil)
	need := w.apply(m).Receipt.GasUsed
	for limit, code := range map[int64]int64{need: 0, need - 1: 7, need - 1300*49: 7, need - 114617 - 1300*49 - 1: 7} {
		m := w.message(w.bls.addr, big.Zero(), builtin.MethodsAccount.PubkeyAddress, nil)
		m.GasLimit = limit
		res := w.apply(m)
		require.EqualValues(t, code, res.Receipt.ExitCode)
		require.Equal(t, limit, res.Receipt.GasUsed, "a failed charge takes all gas")
		if code != 0 {
			require.Empty(t, res.Receipt.Return)
		}
	}
}

func TestImplicitMessages(t *testing.T) {
	w := newWorld(t, nil)
	root, err := w.vm.Flush(w.ctx)
	require.NoError(t, err)
	res, err := w.vm.ApplyImplicit(w.ctx, &types.Message{
		From: builtin.SystemActorAddr, To: builtin.RewardActorAddr, Method: builtin.MethodsReward.ThisEpochReward,
		Value: big.Zero(), GasLimit: 1 << 30, Nonce: testEpoch,
	})
	require.NoError(t, err)
	require.Zero(t, res.Receipt.ExitCode)
	require.NotEmpty(t, res.Receipt.Return)
	require.EqualValues(t, 23856+114617, res.Receipt.GasUsed)
	again, err := w.vm.Flush(w.ctx)
	require.NoError(t, err)
	require.Equal(t, root, again)

	res, err = w.vm.ApplyImplicit(w.ctx, &types.Message{
		From: idAddr(t, 4444), To: builtin.RewardActorAddr, Value: big.Zero(), GasLimit: 1 << 30,
	})
	require.NoError(t, err)
	require.Zero(t, res.Receipt.ExitCode, "an ID needs no actor to call from")
	unknown := makeKey(t, gscrypto.SigTypeBLS, "nobody").addr
	res, err = w.vm.ApplyImplicit(w.ctx, &types.Message{From: unknown, To: builtin.RewardActorAddr, Value: big.Zero(), GasLimit: 1 << 30})
	require.NoError(t, err)
	require.EqualValues(t, 5, res.Receipt.ExitCode)
}

func TestMissingBlockIsNoOutcome(t *testing.T) {
	w := newWorld(t, func(w *world, tree *state.Tree) {
		gone := cid.NewCidV1(cid.DagCBOR, mustHash(t, "gone"))
		gone, err := types.CidPrefix.Sum(gone.Bytes())
		require.NoError(t, err)
		require.NoError(t, tree.SetActor(w.ctx, idAddr(t, 500), &types.Actor{
			Code: builtin.AccountActorCodeID, Head: gone, Balance: big.Zero(),
		}))
	})
	_, err := w.vm.ApplyMessage(w.ctx, w.message(idAddr(t, 500), big.Zero(), builtin.MethodsAccount.PubkeyAddress, nil))
	var fatal *FatalError
	require.ErrorAs(t, err, &fatal)
	require.ErrorIs(t, err, ipld.ErrNotFound)
}

func TestTraceTellsTheCalls(t *testing.T) {
	w := newWorld(t, nil)
	w.cfg.Trace, w.cfg.TraceGas = true, true
	w.reopen()
	m := w.message(makeKey(t, gscrypto.SigTypeBLS, "traced").addr, fil(1), builtin.MethodSend, nil)
	res := w.apply(m)
	require.Equal(t, m, res.Trace.Msg)
	require.Len(t, res.Trace.Subcalls, 1, "the account's constructor")
	require.Equal(t, builtin.SystemActorAddr, res.Trace.Subcalls[0].Msg.From)
	sum := int64(0)
	for _, tr := range []*Trace{res.Trace, res.Trace.Subcalls[0]} {
		for _, c := range tr.GasCharges {
			sum += c.TotalGas
		}
	}
	require.Equal(t, res.Receipt.GasUsed, sum)
	require.Equal(t, res.Receipt, *res.Trace.MsgRct)
}

func TestRefusesOtherNetworkVersions(t *testing.T) {
	w := newWorld(t, nil)
	w.cfg.Network.Upgrades = nil
	_, err := New(w.ctx, w.cfg)
	require.ErrorContains(t, err, "network version")
}

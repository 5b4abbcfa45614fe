package genesis

import (
	"bytes"
	"context"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-bitfield"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/go-state-types/cbor"
	"github.com/filecoin-project/go-state-types/crypto"
	"github.com/filecoin-project/go-state-types/proof"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/exported"
	"github.com/ipfs/go-cid"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/ipld"
	"github.com/filecoin-venus/venus/state"
	"github.com/filecoin-venus/venus/types"
	"github.com/filecoin-venus/venus/vm"
)

type constantRand struct{}

func (constantRand) TicketRandomness(context.Context, crypto.DomainSeparationTag, abi.ChainEpoch, []byte) ([]byte, error) {
	return make([]byte, 32), nil
}

func (constantRand) BeaconRandomness(context.Context, crypto.DomainSeparationTag, abi.ChainEpoch, []byte) ([]byte, error) {
	return make([]byte, 32), nil
}

// coinVerifier finds every other proof valid.
type coinVerifier struct{ n int }

func (c *coinVerifier) flip() (bool, error) { c.n++; return c.n%2 == 0, nil }

func (c *coinVerifier) VerifySeal(context.Context, proof.SealVerifyInfo) (bool, error) {
	return c.flip()
}

func (c *coinVerifier) VerifySealBatch(_ context.Context, infos []proof.SealVerifyInfo) ([]bool, error) {
	out := make([]bool, len(infos))
	for i := range out {
		out[i], _ = c.flip()
	}
	return out, nil
}

func (c *coinVerifier) VerifyWindowPoSt(context.Context, proof.WindowPoStVerifyInfo) (bool, error) {
	return c.flip()
}

func (c *coinVerifier) VerifyAggregateSeals(context.Context, proof.AggregateSealVerifyProofAndInfos) (bool, error) {
	return c.flip()
}

func (c *coinVerifier) VerifyReplicaUpdate(context.Context, proof.ReplicaUpdateInfo) (bool, error) {
	return c.flip()
}

// filler makes values that decode and now and then make sense.
type filler struct {
	*rand.Rand
	addrs []address.Address
	cids  []cid.Cid
	// byCode lists the actors of the state by their code.
	byCode map[cid.Cid][]address.Address
}

func (f *filler) fill(v reflect.Value, depth int) {
	switch v.Interface().(type) {
	case address.Address:
		v.Set(reflect.ValueOf(f.addrs[f.IntN(len(f.addrs))]))
		return
	case cid.Cid:
		v.Set(reflect.ValueOf(f.cids[f.IntN(len(f.cids))]))
		return
	case big.Int:
		v.Set(reflect.ValueOf(big.NewInt(f.number())))
		return
	case bitfield.BitField:
		set := bitfield.New()
		for range f.IntN(4) {
			set.Set(uint64(f.IntN(6)))
		}
		v.Set(reflect.ValueOf(set))
		return
	case crypto.Signature:
		v.Set(reflect.ValueOf(crypto.Signature{Type: crypto.SigType(1 + f.IntN(2)), Data: make([]byte, 96)}))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				f.fill(v.Field(i), depth+1)
			}
		}
	case reflect.Pointer:
		if f.IntN(3) > 0 || depth == 0 {
			v.Set(reflect.New(v.Type().Elem()))
			f.fill(v.Elem(), depth+1)
		}
	case reflect.Slice:
		n := f.IntN(3)
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			f.fill(v.Index(i), depth+1)
		}
	case reflect.Int64, reflect.Int, reflect.Int32:
		v.SetInt(f.number())
	case reflect.Uint64, reflect.Uint8, reflect.Uint32:
		v.SetUint(uint64(f.IntN(12)))
	case reflect.Bool:
		v.SetBool(f.IntN(2) == 0)
	case reflect.String:
		v.SetString("text")
	}
}

func (f *filler) number() int64 {
	switch f.IntN(5) {
	case 0:
		return int64(f.IntN(3)) - 1
	case 1:
		return f.Int64N(1 << 40)
	case 2:
		return 1_500_000 + f.Int64N(60_000)
	}
	return int64(f.IntN(50))
}

// TestRandomMessages throws calls of every method of every actor at a genesis.
// Whatever they do, they must be outcomes: no error of the machine, no coin
// made or lost, and a state that the actors' own checks find sound.
func TestRandomMessages(t *testing.T) {
	ctx := context.Background()
	tmpl := testTemplate(t, testNetwork(t), 2, 4, 1)
	h, bs := build(t, tmpl)
	f := &filler{Rand: rand.New(rand.NewPCG(7, 15)), cids: []cid.Cid{testCommR(t, "x"), testCommD(t, "y"), h.Cid(), builtin.MultisigActorCodeID, builtin.PaymentChannelActorCodeID}}
	for id := range uint64(8) {
		f.addrs = append(f.addrs, mustID(t, id))
	}
	for _, id := range []uint64{80, 90, 99, 100, 101, 1000, 1001, 1002, 77777} {
		f.addrs = append(f.addrs, mustID(t, id))
	}
	f.addrs = append(f.addrs, tmpl.Miners[0].Owner, tmpl.Miners[1].Owner, testKey(t, "new one"))

	root := h.ParentStateRoot
	outcomes := map[int64]int{}
	for epoch := abi.ChainEpoch(1); epoch <= 30; epoch++ {
		m, err := vm.New(ctx, vm.Config{
			Blocks: bs, StateRoot: root, Epoch: epoch, BaseFee: big.NewInt(100), Network: testNetwork(t), Rand: constantRand{},
			Verifier: &coinVerifier{}, LookbackState: func(context.Context, abi.ChainEpoch) (cid.Cid, error) { return root, nil },
		})
		require.NoError(t, err)
		f.byCode = map[cid.Cid][]address.Address{}
		require.NoError(t, m.Tree().ForEach(ctx, func(a address.Address, act *types.Actor) error {
			f.byCode[act.Code] = append(f.byCode[act.Code], a)
			return nil
		}))
		for range 200 {
			msg := randomMessage(t, f, m, &tmpl)
			res, err := m.ApplyMessage(ctx, msg)
			require.NoError(t, err, "message %+v", msg)
			outcomes[int64(res.Receipt.ExitCode)]++
		}
		res, err := m.ApplyImplicit(ctx, &types.Message{
			From: builtin.SystemActorAddr, To: builtin.CronActorAddr, Method: builtin.MethodsCron.EpochTick,
			Value: big.Zero(), GasLimit: 1e14,
		})
		require.NoError(t, err)
		require.Zero(t, res.Receipt.ExitCode)
		root, err = m.Flush(ctx)
		require.NoError(t, err)
	}
	t.Log(outcomes)
	require.Zero(t, outcomes[4], "no actor may panic")
	require.Greater(t, outcomes[0], 100, "some calls must succeed, or this proves nothing")
	sum := big.Zero()
	tree := openTree(t, bs, root)
	require.NoError(t, tree.ForEach(ctx, func(_ address.Address, act *types.Actor) error {
		sum = big.Add(sum, act.Balance)
		require.False(t, act.Balance.LessThan(big.Zero()))
		return nil
	}))
	require.Equal(t, builtin.TotalFilecoin, sum)
	requireInvariants(t, bs, root, 30)
}

func randomMessage(t *testing.T, f *filler, m *vm.VM, tmpl *Template) *types.Message {
	t.Helper()
	actors := exported.BuiltinActors()
	actor := actors[f.IntN(len(actors))]
	exports := actor.Exports()
	method := f.IntN(len(exports))
	var params []byte
	if exports[method] != nil {
		arg := reflect.New(reflect.TypeOf(exports[method]).In(1).Elem())
		f.fill(arg.Elem(), 0)
		var b bytes.Buffer
		if err := arg.Interface().(cbor.Marshaler).MarshalCBOR(&b); err == nil {
			params = b.Bytes()
		}
	}
	from := tmpl.Miners[f.IntN(len(tmpl.Miners))].Worker
	act, err := m.Tree().GetActor(context.Background(), from)
	require.NoError(t, err)
	to := f.addrs[f.IntN(len(f.addrs))]
	if fitting := f.byCode[actor.Code()]; len(fitting) > 0 && f.IntN(10) > 0 {
		to = fitting[f.IntN(len(fitting))]
	}
	return &types.Message{
		From: from, To: to, Nonce: act.Nonce, Value: big.NewInt(max(0, f.number())),
		Method: abi.MethodNum(method), Params: params, GasLimit: 2_000_000_000, GasFeeCap: big.NewInt(150), GasPremium: big.NewInt(1),
	}
}

func mustID(t *testing.T, n uint64) address.Address {
	t.Helper()
	a, err := address.NewIDAddress(n)
	require.NoError(t, err)
	return a
}

func openTree(t *testing.T, bs ipld.Blockstore, root cid.Cid) *state.Tree {
	t.Helper()
	tree, err := state.Load(context.Background(), ipld.NewStore(context.Background(), bs), root)
	require.NoError(t, err)
	return tree
}

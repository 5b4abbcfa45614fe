package vm

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"testing"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/go-state-types/cbor"
	gscrypto "github.com/filecoin-project/go-state-types/crypto"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/account"
	init7 "github.com/filecoin-project/specs-actors/v7/actors/builtin/init"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/reward"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/system"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/verifreg"
	"github.com/filecoin-project/specs-actors/v7/actors/util/adt"
	"github.com/ipfs/go-cid"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/crypto"
	"github.com/filecoin-venus/venus/ipld"
	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/state"
	"github.com/filecoin-venus/venus/types"
)

// world is a small state with a machine over it.
type world struct {
	t    testing.TB
	ctx  context.Context
	bs   *ipld.Memory
	root cid.Cid
	cfg  Config
	vm   *VM
	// secp and bls are funded accounts f0100 and f0101.
	secp, bls testKey
}

type testKey struct {
	id, addr address.Address
	kind     gscrypto.SigType
	priv     []byte
}

const testEpoch = 1000

func makeKey(t testing.TB, kind gscrypto.SigType, label string) testKey {
	t.Helper()
	seed := sha256.Sum256([]byte(label))
	priv, err := crypto.GenerateKeyFromSeed(kind, seed[:])
	require.NoError(t, err)
	a, err := crypto.AddressFor(kind, priv)
	require.NoError(t, err)
	return testKey{addr: a, kind: kind, priv: priv}
}

func idAddr(t testing.TB, n uint64) address.Address {
	t.Helper()
	a, err := address.NewIDAddress(n)
	require.NoError(t, err)
	return a
}

func fil(n int64) abi.TokenAmount { return big.Mul(big.NewInt(n), builtin.TokenPrecision) }

type noRand struct{}

func (noRand) TicketRandomness(context.Context, gscrypto.DomainSeparationTag, abi.ChainEpoch, []byte) ([]byte, error) {
	return nil, errors.New("no randomness")
}

func (noRand) BeaconRandomness(context.Context, gscrypto.DomainSeparationTag, abi.ChainEpoch, []byte) ([]byte, error) {
	return nil, errors.New("no randomness")
}

// newWorld makes the state; more puts further actors in.
func newWorld(t testing.TB, more func(*world, *state.Tree)) *world {
	t.Helper()
	ctx := context.Background()
	net, err := params.ByName("2k")
	require.NoError(t, err)
	w := &world{
		t: t, ctx: ctx, bs: ipld.NewMemory(),
		secp: makeKey(t, gscrypto.SigTypeSecp256k1, "secp"), bls: makeKey(t, gscrypto.SigTypeBLS, "bls"),
	}
	tree, err := state.New(ctx, ipld.NewStore(ctx, w.bs))
	require.NoError(t, err)
	ini, err := init7.ConstructState(w.store(), "test")
	require.NoError(t, err)
	w.put(tree, builtin.InitActorAddr, builtin.InitActorCodeID, big.Zero(), ini)
	w.put(tree, builtin.SystemActorAddr, builtin.SystemActorCodeID, big.Zero(), &system.State{})
	w.put(tree, builtin.RewardActorAddr, builtin.RewardActorCodeID, fil(1000), reward.ConstructState(big.Zero()))
	registry, err := verifreg.ConstructState(w.store(), builtin.SystemActorAddr)
	require.NoError(t, err)
	w.put(tree, builtin.VerifiedRegistryActorAddr, builtin.VerifiedRegistryActorCodeID, big.Zero(), registry)
	w.put(tree, builtin.BurntFundsActorAddr, builtin.AccountActorCodeID, big.Zero(), &account.State{Address: builtin.BurntFundsActorAddr})
	for _, k := range []*testKey{&w.secp, &w.bls} {
		w.account(tree, k, fil(100))
	}
	if more != nil {
		more(w, tree)
	}
	w.root, err = tree.Flush(ctx)
	require.NoError(t, err)
	w.cfg = Config{Blocks: w.bs, StateRoot: w.root, Epoch: testEpoch, BaseFee: big.NewInt(100), Network: net, Rand: noRand{}}
	w.reopen()
	return w
}

func (w *world) store() adt.Store { return ipld.NewStore(w.ctx, w.bs) }

func (w *world) put(tree *state.Tree, a address.Address, code cid.Cid, balance abi.TokenAmount, st cbor.Marshaler) {
	w.t.Helper()
	head, err := w.store().Put(w.ctx, st)
	require.NoError(w.t, err)
	require.NoError(w.t, tree.SetActor(w.ctx, a, &types.Actor{Code: code, Head: head, Balance: balance}))
}

func (w *world) account(tree *state.Tree, k *testKey, balance abi.TokenAmount) {
	w.t.Helper()
	id, err := tree.RegisterNewAddress(w.ctx, k.addr)
	require.NoError(w.t, err)
	k.id = id
	w.put(tree, id, builtin.AccountActorCodeID, balance, &account.State{Address: k.addr})
}

func (w *world) reopen() {
	w.t.Helper()
	m, err := New(w.ctx, w.cfg)
	require.NoError(w.t, err)
	w.vm = m
}

// message is a call by the secp account with ample gas.
func (w *world) message(to address.Address, value abi.TokenAmount, method abi.MethodNum, params []byte) *types.Message {
	return &types.Message{
		To: to, From: w.secp.addr, Nonce: w.nonce(w.secp.addr), Value: value, Method: method, Params: params,
		GasLimit: 100_000_000, GasFeeCap: big.NewInt(150), GasPremium: big.NewInt(10),
	}
}

func (w *world) nonce(a address.Address) uint64 { return w.actor(a).Nonce }

func (w *world) actor(a address.Address) *types.Actor {
	w.t.Helper()
	act, err := w.vm.Tree().GetActor(w.ctx, a)
	require.NoError(w.t, err)
	return act
}

func (w *world) apply(m *types.Message) *Result {
	w.t.Helper()
	res, err := w.vm.ApplyMessage(w.ctx, m)
	require.NoError(w.t, err)
	return res
}

// total sums all balances of the flushed state.
func (w *world) total() abi.TokenAmount {
	w.t.Helper()
	_, err := w.vm.Flush(w.ctx)
	require.NoError(w.t, err)
	sum := big.Zero()
	require.NoError(w.t, w.vm.Tree().ForEach(w.ctx, func(_ address.Address, act *types.Actor) error {
		sum = big.Add(sum, act.Balance)
		return nil
	}))
	return sum
}

// frame opens a frame of an actor for tests of the runtime itself.
func (w *world) frame(caller, receiver address.Address) *frame {
	w.t.Helper()
	x, err := w.vm.newExecution(w.ctx, &types.Message{From: w.secp.addr, GasLimit: 1 << 50})
	require.NoError(w.t, err)
	return &frame{execution: x, caller: caller, receiver: receiver, value: big.Zero()}
}

// exitIn runs a body as actor code and returns its error.
func exitIn(f *frame, body func()) error { return f.guard(body) }

func requireExit(t *testing.T, code int64, err error) {
	t.Helper()
	var ae *ActorError
	require.ErrorAs(t, err, &ae)
	require.EqualValues(t, code, ae.Code, "%v", err)
}

func encoded(t *testing.T, v cbor.Marshaler) []byte {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, v.MarshalCBOR(&b))
	return b.Bytes()
}

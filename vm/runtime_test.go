package vm

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	gscrypto "github.com/filecoin-project/go-state-types/crypto"
	"github.com/filecoin-project/go-state-types/proof"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/account"
	cid "github.com/ipfs/go-cid"
	mh "github.com/multiformats/go-multihash"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/crypto"
	"github.com/filecoin-venus/venus/state"
	"github.com/filecoin-venus/venus/types"
)

func mustHash(t *testing.T, s string) mh.Multihash {
	t.Helper()
	h, err := mh.Sum([]byte(s), mh.IDENTITY, -1)
	require.NoError(t, err)
	return h
}

func TestNewActorAddress(t *testing.T) {
	// The example of actors-v7-others.md 12.8.
	origin, err := address.NewFromBytes(append([]byte{address.SECP256K1}, bytes.Repeat([]byte{0x11}, 20)...))
	require.NoError(t, err)
	w := newWorld(t, nil)
	f := w.frame(w.secp.id, w.bls.id)
	f.origin = origin
	first := f.NewActorAddress()
	require.Equal(t, "fd6232d52892afcfb8ecddd27b31969ce86e2b8e", cidHex(first.Payload()))
	require.NotEqual(t, first, f.NewActorAddress())

	// The count survives a call that is rolled back.
	_, err = f.sendGuarded(f, call{from: w.bls.id, to: idAddr(t, 9999), value: big.Zero()})
	require.Error(t, err)
	require.EqualValues(t, 2, f.actorsMade)

	byID := w.frame(w.secp.id, w.bls.id)
	byID.origin = w.secp.id
	byKey := w.frame(w.secp.id, w.bls.id)
	byKey.origin = w.secp.addr
	require.Equal(t, byKey.NewActorAddress(), byID.NewActorAddress(), "the origin counts by its key")

	system := w.frame(builtin.SystemActorAddr, w.bls.id)
	system.origin = builtin.SystemActorAddr
	err = exitIn(system, func() { system.NewActorAddress() })
	var fatal *FatalError
	require.ErrorAs(t, err, &fatal, "an origin without a key is no outcome")
}

func cidHex(b []byte) string {
	const digits = "0123456789abcdef"
	out := make([]byte, 0, 2*len(b))
	for _, c := range b {
		out = append(out, digits[c>>4], digits[c&15])
	}
	return string(out)
}

func TestCallerValidation(t *testing.T) {
	w := newWorld(t, nil)
	for name, c := range map[string]struct {
		body func(*frame)
		code int64
	}{
		"any":              {func(f *frame) { f.ValidateImmediateCallerAcceptAny() }, -1},
		"is":               {func(f *frame) { f.ValidateImmediateCallerIs(w.bls.id, w.secp.id) }, -1},
		"is not":           {func(f *frame) { f.ValidateImmediateCallerIs(w.bls.id) }, 8},
		"is, by key":       {func(f *frame) { f.ValidateImmediateCallerIs(w.secp.addr) }, 8},
		"type":             {func(f *frame) { f.ValidateImmediateCallerType(builtin.CallerTypesSignable...) }, -1},
		"not of the type":  {func(f *frame) { f.ValidateImmediateCallerType(builtin.StorageMinerActorCodeID) }, 8},
		"twice":            {func(f *frame) { f.ValidateImmediateCallerAcceptAny(); f.ValidateImmediateCallerAcceptAny() }, 9},
		"twice, one wrong": {func(f *frame) { f.ValidateImmediateCallerAcceptAny(); f.ValidateImmediateCallerIs() }, 9},
	} {
		f := w.frame(w.secp.id, w.bls.id)
		err := exitIn(f, func() { c.body(f) })
		if c.code < 0 {
			require.NoError(t, err, name)
			continue
		}
		requireExit(t, c.code, err)
	}
}

func TestGuard(t *testing.T) {
	w := newWorld(t, nil)
	f := w.frame(w.secp.id, w.bls.id)
	requireExit(t, 33, exitIn(f, func() { f.Abortf(33, "no") }))
	requireExit(t, 4, exitIn(f, func() { panic("oops") }))
	requireExit(t, 4, exitIn(f, func() { var m map[int]int; m[1] = 1 }))
	cause := errors.New("disk")
	err := exitIn(f, func() { panic(fatalf("read: %w", cause)) })
	var fatal *FatalError
	require.ErrorAs(t, err, &fatal)
	require.ErrorIs(t, err, cause)
	_, err = exitOf(err)
	require.Error(t, err)
}

func TestDepthFailsInTheCallersFrame(t *testing.T) {
	w := newWorld(t, nil)
	f := w.frame(w.secp.id, w.bls.id)
	f.depth = maxDepth - 1
	code := f.Send(w.secp.id, builtin.MethodSend, nil, big.Zero(), &builtin.Discard{})
	require.Zero(t, code)
	f.depth = maxDepth
	requireExit(t, 8, exitIn(f, func() { f.Send(w.secp.id, builtin.MethodSend, nil, big.Zero(), &builtin.Discard{}) }))
}

func TestTransactions(t *testing.T) {
	w := newWorld(t, nil)
	f := w.frame(w.secp.id, w.bls.id)
	var st account.State
	require.NoError(t, exitIn(f, func() { f.StateTransaction(&st, func() {}) }))
	require.EqualValues(t, 114617+353640+1300*52, f.gasUsed, "the write is paid for though nothing changed")
	requireExit(t, 9, exitIn(f, func() {
		f.StateTransaction(&st, func() { f.Send(w.secp.id, 0, nil, big.Zero(), &builtin.Discard{}) })
	}))
	f = w.frame(w.secp.id, w.bls.id)
	requireExit(t, 4, exitIn(f, func() {
		f.StateTransaction(&st, func() {
			f.StateTransaction(&st, func() { st.Address = w.secp.addr })
		})
	}))
	requireExit(t, 9, exitIn(f, func() { f.StateTransaction(nil, func() {}) }))
	requireExit(t, 4, exitIn(f, func() { f.StateCreate(&st) }))
	nobody := w.frame(w.secp.id, idAddr(t, 7777))
	requireExit(t, 9, exitIn(nobody, func() { nobody.StateTransaction(&st, func() {}) }))
	requireExit(t, 10, exitIn(nobody, func() { nobody.StateReadonly(&st) }))
	require.Equal(t, big.Zero(), nobody.CurrentBalance())
}

type unencodable struct{}

func (unencodable) MarshalCBOR(io.Writer) error    { return errors.New("no form") }
func (*unencodable) UnmarshalCBOR(io.Reader) error { return errors.New("no form") }

func TestSerializationFailures(t *testing.T) {
	w := newWorld(t, nil)
	f := w.frame(w.secp.id, w.bls.id)
	requireExit(t, 21, exitIn(f, func() { f.StorePut(unencodable{}) }))
	requireExit(t, 21, exitIn(f, func() { f.Send(w.secp.id, 0, unencodable{}, big.Zero(), &builtin.Discard{}) }))
	requireExit(t, 21, exitIn(f, func() { f.Send(w.secp.id, 0, nil, big.Zero(), &unencodable{}) }))
}

func TestSendRollsBackAlone(t *testing.T) {
	w := newWorld(t, nil)
	f := w.frame(w.secp.id, w.bls.id)
	used := f.gasUsed
	code := f.Send(builtin.VerifiedRegistryActorAddr, 99, nil, fil(1), &builtin.Discard{})
	require.EqualValues(t, 3, code)
	require.Equal(t, fil(100), w.actor(w.bls.id).Balance, "the value came back")
	require.Greater(t, f.gasUsed, used, "the gas did not")
	code = f.Send(w.secp.id, 0, nil, fil(1), &builtin.Discard{})
	require.Zero(t, code)
	require.Equal(t, fil(99), w.actor(w.bls.id).Balance)
}

func TestCallGoesOnAfterAChildRanDry(t *testing.T) {
	w := newWorld(t, nil)
	f := w.frame(w.secp.id, w.bls.id)
	f.gasLimit = f.gasUsed + 100
	require.EqualValues(t, 7, f.Send(w.secp.id, 0, nil, big.Zero(), &builtin.Discard{}))
	require.Equal(t, f.gasLimit, f.gasUsed)
	require.NoError(t, exitIn(f, func() { f.ChargeGas("free", 0, 5) }))
	requireExit(t, 7, exitIn(f, func() { f.ChargeGas("dear", 1, 0) }))
	require.NoError(t, exitIn(f, func() { f.ChargeGas("refund", -10, 0) }))
	require.Equal(t, f.gasLimit-10, f.gasUsed)
}

func TestCreateActor(t *testing.T) {
	w := newWorld(t, nil)
	f := w.frame(w.secp.id, builtin.InitActorAddr)
	fresh := idAddr(t, 3000)
	other := cid.NewCidV1(cid.Raw, mustHash(t, "fil/6/multisig"))
	requireExit(t, 10, exitIn(f, func() { f.CreateActor(builtin.MultisigActorCodeID, address.Undef) }))
	requireExit(t, 10, exitIn(f, func() { f.CreateActor(other, fresh) }))
	requireExit(t, 10, exitIn(f, func() { f.CreateActor(builtin.CronActorCodeID, fresh) }))
	requireExit(t, 10, exitIn(f, func() { f.CreateActor(builtin.MultisigActorCodeID, w.bls.id) }))
	require.Zero(t, f.gasUsed, "the charge comes after the checks")
	require.NoError(t, exitIn(f, func() { f.CreateActor(builtin.MultisigActorCodeID, fresh) }))
	require.EqualValues(t, 1207254, f.gasUsed)
	require.Equal(t, emptyHead, w.actor(fresh).Head)
}

func TestDeleteActor(t *testing.T) {
	w := newWorld(t, func(w *world, tree *state.Tree) {
		for i, balance := range []int64{0, 5} {
			require.NoError(t, tree.SetActor(w.ctx, idAddr(t, uint64(600+i)), &types.Actor{
				Code: builtin.PaymentChannelActorCodeID, Head: builtin.PaymentChannelActorCodeID, Balance: big.NewInt(balance),
			}))
		}
	})
	unknown := makeKey(t, gscrypto.SigTypeBLS, "heir").addr
	rich := w.frame(w.secp.id, idAddr(t, 601))
	requireExit(t, 10, exitIn(rich, func() { rich.DeleteActor(unknown) }))
	requireExit(t, 10, exitIn(rich, func() { rich.DeleteActor(idAddr(t, 601)) }))
	require.EqualValues(t, -2*98800, rich.gasUsed, "the refund comes first")
	require.NoError(t, exitIn(rich, func() { rich.DeleteActor(w.bls.addr) }))
	require.Equal(t, big.Add(fil(100), big.NewInt(5)), w.actor(w.bls.id).Balance)
	requireExit(t, 9, exitIn(rich, func() { rich.DeleteActor(w.bls.addr) }))
	poor := w.frame(w.secp.id, idAddr(t, 600))
	require.NoError(t, exitIn(poor, func() { poor.DeleteActor(unknown) }), "without a balance nobody asks for the heir")
}

func TestVerifySignature(t *testing.T) {
	w := newWorld(t, nil)
	msg := []byte("plaintext")
	for _, k := range []testKey{w.secp, w.bls} {
		sig, err := crypto.Sign(k.kind, k.priv, msg)
		require.NoError(t, err)
		price := map[gscrypto.SigType]int64{gscrypto.SigTypeSecp256k1: 1637292, gscrypto.SigTypeBLS: 16598605}[k.kind]
		f := w.frame(w.secp.id, w.bls.id)
		require.NoError(t, f.VerifySignature(*sig, k.addr, msg))
		require.Equal(t, price, f.gasUsed)
		require.NoError(t, f.VerifySignature(*sig, k.id, msg))
		require.Equal(t, 2*price+114617, f.gasUsed, "a key behind an ID costs a read")
		require.Error(t, f.VerifySignature(*sig, k.addr, []byte("other")))
		require.Error(t, f.VerifySignature(*sig, builtin.RewardActorAddr, msg))
		require.Error(t, f.VerifySignature(*sig, idAddr(t, 8888), msg))
		used := f.gasUsed
		require.Error(t, f.VerifySignature(gscrypto.Signature{Type: 9}, k.addr, msg))
		require.Equal(t, used, f.gasUsed, "an unknown type is free")
	}
}

// cannedVerifier accepts what has the byte 1 as its proof and cannot tell on 2.
type cannedVerifier struct{}

func (cannedVerifier) judge(b []byte) (bool, error) {
	if len(b) > 0 && b[0] == 2 {
		return false, errors.New("no key")
	}
	return len(b) > 0 && b[0] == 1, nil
}

func (v cannedVerifier) VerifySeal(_ context.Context, i proof.SealVerifyInfo) (bool, error) {
	return v.judge(i.Proof)
}

func (v cannedVerifier) VerifySealBatch(_ context.Context, infos []proof.SealVerifyInfo) ([]bool, error) {
	out := make([]bool, len(infos))
	for i := range infos {
		ok, err := v.judge(infos[i].Proof)
		if err != nil {
			return nil, err
		}
		out[i] = ok
	}
	return out, nil
}

func (v cannedVerifier) VerifyWindowPoSt(_ context.Context, i proof.WindowPoStVerifyInfo) (bool, error) {
	return v.judge(i.Proofs[0].ProofBytes)
}

func (v cannedVerifier) VerifyAggregateSeals(_ context.Context, i proof.AggregateSealVerifyProofAndInfos) (bool, error) {
	return v.judge(i.Proof)
}

func (v cannedVerifier) VerifyReplicaUpdate(_ context.Context, i proof.ReplicaUpdateInfo) (bool, error) {
	return v.judge(i.Proof)
}

func TestProofSyscalls(t *testing.T) {
	w := newWorld(t, nil)
	w.cfg.Verifier = cannedVerifier{}
	w.reopen()
	f := w.frame(w.secp.id, w.bls.id)
	calls := map[string]func(p []byte) error{
		"seal":      func(p []byte) error { return f.VerifySeal(proof.SealVerifyInfo{Proof: p}) },
		"aggregate": func(p []byte) error { return f.VerifyAggregateSeals(proof.AggregateSealVerifyProofAndInfos{Proof: p}) },
		"update":    func(p []byte) error { return f.VerifyReplicaUpdate(proof.ReplicaUpdateInfo{Proof: p}) },
		"post": func(p []byte) error {
			return f.VerifyPoSt(proof.WindowPoStVerifyInfo{Proofs: []proof.PoStProof{{ProofBytes: p}}})
		},
	}
	for name, verify := range calls {
		require.NoError(t, verify([]byte{1}), name)
		require.ErrorIs(t, verify([]byte{0}), errInvalidProof, name)
		var fatal *FatalError
		require.ErrorAs(t, exitIn(f, func() { _ = verify([]byte{2}) }), &fatal, name)
	}
	a, b := idAddr(t, 1000), idAddr(t, 1001)
	info := func(p byte) proof.SealVerifyInfo { return proof.SealVerifyInfo{Proof: []byte{p}} }
	used := f.gasUsed
	got, err := f.BatchVerifySeals(map[address.Address][]proof.SealVerifyInfo{a: {info(1), info(0)}, b: {info(0), info(1), info(1)}})
	require.NoError(t, err)
	require.Equal(t, map[address.Address][]bool{a: {true, false}, b: {false, true, true}}, got)
	require.Equal(t, used, f.gasUsed)
	got, err = f.BatchVerifySeals(map[address.Address][]proof.SealVerifyInfo{})
	require.NoError(t, err)
	require.Empty(t, got)
}

func TestMachineWithoutPartsMakesNothingUp(t *testing.T) {
	w := newWorld(t, nil)
	w.cfg.Rand, w.cfg.Verifier = nil, nil
	w.reopen()
	f := w.frame(w.secp.id, w.bls.id)
	for name, body := range map[string]func(){
		"ticket":    func() { f.GetRandomnessFromTickets(1, 1, nil) },
		"beacon":    func() { f.GetRandomnessFromBeacon(1, 1, nil) },
		"seal":      func() { _ = f.VerifySeal(proof.SealVerifyInfo{}) },
		"post":      func() { _ = f.VerifyPoSt(proof.WindowPoStVerifyInfo{}) },
		"aggregate": func() { _ = f.VerifyAggregateSeals(proof.AggregateSealVerifyProofAndInfos{}) },
		"update":    func() { _ = f.VerifyReplicaUpdate(proof.ReplicaUpdateInfo{}) },
		"batch":     func() { _, _ = f.BatchVerifySeals(map[address.Address][]proof.SealVerifyInfo{w.bls.id: {{}}}) },
	} {
		var fatal *FatalError
		require.ErrorAs(t, exitIn(f, body), &fatal, name)
		require.ErrorIs(t, fatal, errNotConfigured, name)
	}
}

func TestPrices(t *testing.T) {
	for want, c := range map[int64]charge{
		29233: onInvocation(big.Zero(), 0), 216405: onInvocation(big.NewInt(1), 0),
		23856: onInvocation(big.Zero(), 2), 51356: onInvocation(big.NewInt(1), 2),
		114617: onIpldGet(), 353640 + 130000: onIpldPut(100), 1207254: onCreateActor(), -98800: onDeleteActor(),
		31355: onHashing(), 98647: onUnsealedCID(), 2000: onVerifySeal(), 0: onBatchVerifySeals(7),
		495422: onConsensusFault(), 36316136: onVerifyReplicaUpdate(), 38863 + 136*1300: onChainMessage(100),
		117680921 + 43780*3: onVerifyPoSt(proof.WindowPoStVerifyInfo{ChallengedSectors: make([]proof.SectorInfo, 3)}),
	} {
		require.Equal(t, want, c.total(), c.name)
	}
	const small, big64 = abi.RegisteredSealProof_StackedDrg2KiBV1_1, abi.RegisteredSealProof_StackedDrg64GiBV1_1
	for _, c := range []struct {
		t    abi.RegisteredSealProof
		n    int
		want int64
	}{
		{small, 3, 3 * 449900}, {small, 4, 4*449900 + 103994170}, {small, 6, 6*449900 + 103994170}, {small, 7, 7*449900 + 112356810},
		{small, 819, 819*449900 + 528274980}, {big64, 410, 410*359272 + 509880640}, {big64, 13, 13*359272 + 120803700},
	} {
		require.Equal(t, c.want, onVerifyAggregate(c.t, c.n).total())
	}
}

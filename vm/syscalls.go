package vm

import (
	"bytes"
	"errors"
	"fmt"
	"sort"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/cbor"
	gscrypto "github.com/filecoin-project/go-state-types/crypto"
	"github.com/filecoin-project/go-state-types/proof"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/account"
	"github.com/filecoin-project/specs-actors/v7/actors/runtime"
	"github.com/ipfs/go-cid"
	"golang.org/x/crypto/blake2b"

	"github.com/filecoin-venus/venus/crypto"
	"github.com/filecoin-venus/venus/proofs/commp"
	"github.com/filecoin-venus/venus/types"
)

// Syscalls are the primitives that actors call.
type Syscalls = runtime.Syscalls

// Call tells a replacement of the syscalls who asks.
type Call struct {
	Receiver address.Address
	Epoch    abi.ChainEpoch
}

// errInvalidProof is what an actor sees of a proof that does not hold.
var errInvalidProof = errors.New("proof does not hold")

// syscalls returns what answers this frame's calls.
func (f *frame) syscalls() Syscalls {
	if replace := f.vm.cfg.Syscalls; replace != nil {
		return replace(Call{Receiver: f.receiver, Epoch: f.vm.cfg.Epoch})
	}
	return machineSyscalls{f}
}

// VerifySignature charges by signature type; an unknown type is free.
func (f *frame) VerifySignature(sig gscrypto.Signature, signer address.Address, plaintext []byte) error {
	c, err := onVerifySignature(sig.Type)
	if err != nil {
		return err
	}
	f.chargeOrAbort(c)
	return f.syscalls().VerifySignature(sig, signer, plaintext)
}

// HashBlake2b charges one price for any length.
func (f *frame) HashBlake2b(data []byte) [32]byte {
	f.chargeOrAbort(onHashing())
	return f.syscalls().HashBlake2b(data)
}

// ComputeUnsealedSectorCID charges one price for any number of pieces.
func (f *frame) ComputeUnsealedSectorCID(t abi.RegisteredSealProof, pieces []abi.PieceInfo) (cid.Cid, error) {
	f.chargeOrAbort(onUnsealedCID())
	return f.syscalls().ComputeUnsealedSectorCID(t, pieces)
}

// VerifySeal is a leftover that no actor of this version calls.
func (f *frame) VerifySeal(info proof.SealVerifyInfo) error {
	f.chargeOrAbort(onVerifySeal())
	return f.syscalls().VerifySeal(info)
}

// BatchVerifySeals is free here: the power actor bills each proof on arrival.
func (f *frame) BatchVerifySeals(infos map[address.Address][]proof.SealVerifyInfo) (map[address.Address][]bool, error) {
	n := 0
	for _, of := range infos {
		n += len(of)
	}
	f.chargeOrAbort(onBatchVerifySeals(n))
	return f.syscalls().BatchVerifySeals(infos)
}

// VerifyAggregateSeals charges by seal type and count.
func (f *frame) VerifyAggregateSeals(agg proof.AggregateSealVerifyProofAndInfos) error {
	f.chargeOrAbort(onVerifyAggregate(agg.SealProof, len(agg.Infos)))
	return f.syscalls().VerifyAggregateSeals(agg)
}

// VerifyReplicaUpdate charges one price for all sizes.
func (f *frame) VerifyReplicaUpdate(info proof.ReplicaUpdateInfo) error {
	f.chargeOrAbort(onVerifyReplicaUpdate())
	return f.syscalls().VerifyReplicaUpdate(info)
}

// VerifyPoSt charges by the number of challenged sectors.
func (f *frame) VerifyPoSt(info proof.WindowPoStVerifyInfo) error {
	f.chargeOrAbort(onVerifyPoSt(info))
	return f.syscalls().VerifyPoSt(info)
}

// VerifyConsensusFault charges for the call; reads of worker keys come on top.
func (f *frame) VerifyConsensusFault(h1, h2, extra []byte) (*runtime.ConsensusFault, error) {
	f.chargeOrAbort(onConsensusFault())
	return f.syscalls().VerifyConsensusFault(h1, h2, extra)
}

// machineSyscalls answers for real.
type machineSyscalls struct{ f *frame }

func (m machineSyscalls) VerifySignature(sig gscrypto.Signature, signer address.Address, plaintext []byte) error {
	key, err := m.f.resolveKey(signer, m.f.readCharged)
	if err != nil {
		return err
	}
	return crypto.Verify(&sig, key, plaintext)
}

func (machineSyscalls) HashBlake2b(data []byte) [32]byte { return blake2b.Sum256(data) }

func (machineSyscalls) ComputeUnsealedSectorCID(t abi.RegisteredSealProof, pieces []abi.PieceInfo) (cid.Cid, error) {
	return commp.UnsealedCID(t, pieces)
}

// verdict maps an answer of the verifier: no answer is fatal.
func verdict(what string, ok bool, err error) error {
	if err != nil {
		panic(fatalf("verify %s: %w", what, err))
	}
	if !ok {
		return fmt.Errorf("%s: %w", what, errInvalidProof)
	}
	return nil
}

func (m machineSyscalls) VerifySeal(info proof.SealVerifyInfo) error {
	ok, err := m.f.vm.cfg.Verifier.VerifySeal(m.f.ctx, info)
	return verdict("seal", ok, err)
}

func (m machineSyscalls) VerifyAggregateSeals(agg proof.AggregateSealVerifyProofAndInfos) error {
	ok, err := m.f.vm.cfg.Verifier.VerifyAggregateSeals(m.f.ctx, agg)
	return verdict("aggregate of seals", ok, err)
}

func (m machineSyscalls) VerifyReplicaUpdate(info proof.ReplicaUpdateInfo) error {
	ok, err := m.f.vm.cfg.Verifier.VerifyReplicaUpdate(m.f.ctx, info)
	return verdict("replica update", ok, err)
}

func (m machineSyscalls) VerifyPoSt(info proof.WindowPoStVerifyInfo) error {
	ok, err := m.f.vm.cfg.Verifier.VerifyWindowPoSt(m.f.ctx, info)
	return verdict("proof of spacetime", ok, err)
}

// BatchVerifySeals hands all miners' proofs to the verifier at once, which
// works on them in parallel.
func (m machineSyscalls) BatchVerifySeals(infos map[address.Address][]proof.SealVerifyInfo) (map[address.Address][]bool, error) {
	miners := make([]address.Address, 0, len(infos))
	var all []proof.SealVerifyInfo
	for a := range infos {
		miners = append(miners, a)
	}
	sort.Slice(miners, func(i, j int) bool { return string(miners[i].Bytes()) < string(miners[j].Bytes()) })
	for _, a := range miners {
		all = append(all, infos[a]...)
	}
	out := make(map[address.Address][]bool, len(infos))
	if len(all) == 0 {
		for _, a := range miners {
			out[a] = []bool{}
		}
		return out, nil
	}
	verdicts, err := m.f.vm.cfg.Verifier.VerifySealBatch(m.f.ctx, all)
	if err != nil {
		panic(fatalf("verify %d seals: %w", len(all), err))
	}
	if len(verdicts) != len(all) {
		panic(fatalf("verify %d seals: got %d answers", len(all), len(verdicts)))
	}
	for _, a := range miners {
		n := len(infos[a])
		out[a], verdicts = verdicts[:n:n], verdicts[n:]
	}
	return out, nil
}

// reader loads an object, charged or not.
type reader func(c cid.Cid, into cbor.Unmarshaler) error

// readCharged pays for the read as an actor's own read.
func (f *frame) readCharged(c cid.Cid, into cbor.Unmarshaler) error {
	f.StoreGet(c, into)
	return nil
}

// readFree reads without charge.
func (f *frame) readFree(c cid.Cid, into cbor.Unmarshaler) error {
	data, err := f.vm.buffer.Get(f.ctx, c)
	if err != nil {
		panic(fatalf("read object %s: %w", c, err))
	}
	return into.UnmarshalCBOR(bytes.NewReader(data))
}

// resolveKey returns the key address behind an address; key addresses stand for
// themselves, whether or not they exist on chain.
func (f *frame) resolveKey(a address.Address, read reader) (address.Address, error) {
	if p := a.Protocol(); p == address.SECP256K1 || p == address.BLS {
		return a, nil
	}
	act := f.lookup(a)
	if act == nil {
		return address.Undef, fmt.Errorf("no actor at %s", a)
	}
	return accountKey(a, act, read)
}

func accountKey(a address.Address, act *types.Actor, read reader) (address.Address, error) {
	if act.Code != builtin.AccountActorCodeID {
		return address.Undef, fmt.Errorf("%s is no account", a)
	}
	var st account.State
	if err := read(act.Head, &st); err != nil {
		return address.Undef, fmt.Errorf("load account %s: %w", a, err)
	}
	return st.Address, nil
}

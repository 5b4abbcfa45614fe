package conformance

import (
	"bytes"
	"context"
	"encoding/json"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/go-state-types/cbor"
	gscrypto "github.com/filecoin-project/go-state-types/crypto"
	"github.com/filecoin-project/go-state-types/exitcode"
	gsnetwork "github.com/filecoin-project/go-state-types/network"
	"github.com/filecoin-project/go-state-types/proof"
	"github.com/filecoin-project/go-state-types/rt"
	"github.com/filecoin-project/specs-actors/v7/actors/runtime"
	"github.com/ipfs/go-cid"

	"github.com/filecoin-venus/venus/types"
)

var _ runtime.Runtime = (*player)(nil)

func parseAddress(s string) address.Address {
	a, err := address.NewFromString(s)
	if err != nil {
		panic(offScript{err})
	}
	return a
}

func (p *player) Caller() address.Address             { return p.v.Caller }
func (p *player) Receiver() address.Address           { return p.v.Receiver }
func (p *player) ValueReceived() abi.TokenAmount      { return p.v.Value.Int }
func (p *player) CurrEpoch() abi.ChainEpoch           { return p.v.Epoch }
func (p *player) NetworkVersion() gsnetwork.Version   { return gsnetwork.Version15 }
func (p *player) CurrentBalance() abi.TokenAmount     { return p.balance }
func (p *player) TotalFilCircSupply() abi.TokenAmount { return p.v.Circ.Int }
func (p *player) BaseFee() abi.TokenAmount            { return p.v.BaseFee.Int }
func (p *player) Context() context.Context            { return p.ctx }
func (p *player) StartSpan(string) func()             { return func() {} }
func (p *player) Log(rt.LogLevel, string, ...any)     {}

func (p *player) Abortf(code exitcode.ExitCode, msg string, _ ...any) { panic(abortion{code, msg}) }

func (p *player) ValidateImmediateCallerAcceptAny() { p.next("validate_caller_any") }

func (p *player) ValidateImmediateCallerIs(addrs ...address.Address) {
	l := p.next("validate_caller_is")
	p.must(len(addrs) == len(l.Addrs), "callers %s, recorded %s", addrs, l.Addrs)
	for i, a := range addrs {
		p.must(a == parseAddress(l.Addrs[i]), "callers %s, recorded %s", addrs, l.Addrs)
	}
	for _, a := range addrs {
		if a == p.v.Caller {
			return
		}
	}
	p.Abortf(exitcode.SysErrForbidden, "caller address")
}

func (p *player) ValidateImmediateCallerType(codes ...cid.Cid) {
	l := p.next("validate_caller_type")
	p.must(len(codes) == len(l.Types), "caller types %s, recorded %s", codes, l.Types)
	for _, c := range codes {
		if c == codeOf(p.v.CallerType) {
			return
		}
	}
	p.Abortf(exitcode.SysErrForbidden, "caller type")
}

func (p *player) ResolveAddress(a address.Address) (address.Address, bool) {
	for i := range p.v.Calls {
		if l := &p.v.Calls[i]; l.Op == "resolve_address" && parseAddress(l.Addr) == a {
			if !l.OK {
				return address.Undef, false
			}
			return parseAddress(l.text()), true
		}
	}
	if a.Protocol() == address.ID {
		return a, true
	}
	for from, to := range p.v.IDs {
		if parseAddress(from) == a {
			return parseAddress(to), true
		}
	}
	return address.Undef, false
}

func (p *player) GetActorCodeCID(a address.Address) (cid.Cid, bool) {
	for i := range p.v.Calls {
		if l := &p.v.Calls[i]; l.Op == "get_actor_code" && parseAddress(l.Addr) == a {
			if !l.OK {
				return cid.Undef, false
			}
			return codeOf(l.text()), true
		}
	}
	for at, name := range p.v.Codes {
		if parseAddress(at) == a {
			return codeOf(name), true
		}
	}
	return cid.Undef, false
}

func (p *player) StoreGet(c cid.Cid, o cbor.Unmarshaler) bool {
	data, err := p.bs.Get(p.ctx, c)
	if err != nil {
		return false
	}
	return o.UnmarshalCBOR(bytes.NewReader(data)) == nil
}

func (p *player) StorePut(o cbor.Marshaler) cid.Cid {
	var buf bytes.Buffer
	if err := o.MarshalCBOR(&buf); err != nil {
		p.Abortf(exitcode.ErrSerialization, "encode")
	}
	c, err := types.CidPrefix.Sum(buf.Bytes())
	if err == nil {
		err = p.bs.Put(p.ctx, c, buf.Bytes())
	}
	p.must(err == nil, "store: %v", err)
	return c
}

func (p *player) StateCreate(o cbor.Marshaler) { p.head = p.StorePut(o) }

func (p *player) StateReadonly(o cbor.Unmarshaler) {
	p.must(p.StoreGet(p.head, o), "no state %s", p.head)
}

func (p *player) StateTransaction(o cbor.Er, body func()) {
	p.StateReadonly(o)
	p.inTx = true
	body()
	p.inTx = false
	p.head = p.StorePut(o)
}

func (p *player) Send(to address.Address, method abi.MethodNum, params cbor.Marshaler, value abi.TokenAmount, out cbor.Er) exitcode.ExitCode {
	if p.inTx {
		p.Abortf(exitcode.SysErrorIllegalActor, "send inside a transaction")
	}
	if value.GreaterThan(p.balance) {
		p.Abortf(exitcode.SysErrSenderStateInvalid, "send of more than the balance")
	}
	l := p.next("send")
	var buf bytes.Buffer
	if params != nil {
		p.must(params.MarshalCBOR(&buf) == nil, "encode parameters")
	}
	p.must(to == parseAddress(l.To) && method == l.Method && value.Equals(l.Value.Int) && bytes.Equal(buf.Bytes(), l.Params),
		"send to %s method %d value %s params %x, recorded %s %d %s %x", to, method, value, buf.Bytes(), l.To, l.Method, l.Value.Int, l.Params)
	p.balance = big.Sub(p.balance, value)
	if l.Exit == exitcode.Ok {
		err := out.UnmarshalCBOR(bytes.NewReader(l.Return))
		p.must(err == nil, "decode return: %v", err)
	}
	return l.Exit
}

func (p *player) NewActorAddress() address.Address {
	return parseAddress(p.next("new_actor_address").text())
}

func (p *player) CreateActor(code cid.Cid, a address.Address) {
	l := p.next("create_actor")
	p.must(code == codeOf(l.Code) && a == parseAddress(l.Addr), "create %s at %s, recorded %s at %s", code, a, l.Code, l.Addr)
}

func (p *player) DeleteActor(address.Address) { p.next("delete_actor") }

func (p *player) ChargeGas(_ string, gas, _ int64) {
	l := p.next("charge_gas")
	p.must(gas == l.Gas, "charge %d, recorded %d", gas, l.Gas)
}

func (p *player) draw(op string, tag gscrypto.DomainSeparationTag, epoch abi.ChainEpoch, entropy []byte) abi.Randomness {
	l := p.next(op)
	p.must(int64(tag) == l.Tag && epoch == l.Epoch && bytes.Equal(entropy, l.Entropy),
		"draw %d at %d with %x, recorded %d at %d with %x", tag, epoch, entropy, l.Tag, l.Epoch, l.Entropy)
	return l.bytes()
}

func (p *player) GetRandomnessFromTickets(tag gscrypto.DomainSeparationTag, epoch abi.ChainEpoch, entropy []byte) abi.Randomness {
	return p.draw("randomness_tickets", tag, epoch, entropy)
}

func (p *player) GetRandomnessFromBeacon(tag gscrypto.DomainSeparationTag, epoch abi.ChainEpoch, entropy []byte) abi.Randomness {
	return p.draw("randomness_beacon", tag, epoch, entropy)
}

func (p *player) VerifySignature(sig gscrypto.Signature, signer address.Address, plaintext []byte) error {
	l := p.next("verify_signature")
	p.must(signer == parseAddress(l.Signer) && bytes.Equal(sig.Data, l.Sig) && bytes.Equal(plaintext, l.Plaintext),
		"another signature than recorded")
	return l.fault()
}

func (p *player) HashBlake2b(data []byte) (out [32]byte) {
	l := p.next("hash_blake2b")
	p.must(bytes.Equal(data, l.Data), "hash of %x, recorded %x", data, l.Data)
	copy(out[:], l.bytes())
	return out
}

func (p *player) ComputeUnsealedSectorCID(abi.RegisteredSealProof, []abi.PieceInfo) (cid.Cid, error) {
	l := p.next("compute_unsealed_sector_cid")
	if l.Error != nil {
		return cid.Undef, l.fault()
	}
	return cid.Decode(l.text())
}

func (p *player) VerifySeal(proof.SealVerifyInfo) error { return p.next("verify_seal").fault() }

func (p *player) BatchVerifySeals(map[address.Address][]proof.SealVerifyInfo) (map[address.Address][]bool, error) {
	l := p.next("batch_verify_seals")
	var raw map[string][]bool
	err := json.Unmarshal(l.Result, &raw)
	p.must(err == nil, "answer: %v", err)
	out := map[address.Address][]bool{}
	for a, verdicts := range raw {
		out[parseAddress(a)] = verdicts
	}
	return out, l.fault()
}

func (p *player) VerifyAggregateSeals(proof.AggregateSealVerifyProofAndInfos) error {
	return p.next("verify_aggregate_seals").fault()
}

func (p *player) VerifyReplicaUpdate(proof.ReplicaUpdateInfo) error {
	return p.next("verify_replica_update").fault()
}

func (p *player) VerifyPoSt(proof.WindowPoStVerifyInfo) error { return p.next("verify_post").fault() }

func (p *player) VerifyConsensusFault(_, _, _ []byte) (*runtime.ConsensusFault, error) {
	l := p.next("verify_consensus_fault")
	if l.Error != nil {
		return nil, l.fault()
	}
	var raw struct {
		Epoch  abi.ChainEpoch             `json:"epoch"`
		Target string                     `json:"target"`
		Type   runtime.ConsensusFaultType `json:"type"`
	}
	err := json.Unmarshal(l.Result, &raw)
	p.must(err == nil, "answer: %v", err)
	return &runtime.ConsensusFault{Target: parseAddress(raw.Target), Epoch: raw.Epoch, Type: raw.Type}, nil
}

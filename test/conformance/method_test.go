package conformance

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/go-state-types/cbor"
	"github.com/filecoin-project/go-state-types/exitcode"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/exported"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/miner"
	"github.com/ipfs/go-cid"
	mh "github.com/multiformats/go-multihash"

	"github.com/filecoin-venus/venus/internal/vectors"
	"github.com/filecoin-venus/venus/ipld"
)

// methodFile is one method of one actor with calls against a scripted runtime.
type methodFile struct {
	Vectors []methodVector    `json:"vectors"`
	Blocks  map[string][]byte `json:"blocks"`
}

type methodVector struct {
	Test       string            `json:"test"`
	Actor      string            `json:"actor"`
	Method     int               `json:"method"`
	Epoch      abi.ChainEpoch    `json:"epoch"`
	Receiver   address.Address   `json:"receiver"`
	Caller     address.Address   `json:"caller"`
	CallerType string            `json:"caller_type"`
	Value      bigNumber         `json:"value_received"`
	Balance    bigNumber         `json:"balance"`
	Circ       bigNumber         `json:"circ_supply"`
	BaseFee    bigNumber         `json:"base_fee"`
	IDs        map[string]string `json:"id_addresses"`
	Codes      map[string]string `json:"actor_codes"`
	NewAddress string            `json:"new_actor_address"`
	Params     []byte            `json:"params"`
	PreState   string            `json:"pre_state"`
	PostState  string            `json:"post_state"`
	Exit       exitcode.ExitCode `json:"exit"`
	Return     []byte            `json:"return"`
	After      *bigNumber        `json:"balance_after"`
	Policy     string            `json:"policy"`
	Calls      []scriptLine      `json:"runtime_calls"`
}

// scriptLine is one question of the actor to the runtime and its answer; which
// fields are set depends on Op.
type scriptLine struct {
	Op        string            `json:"op"`
	Addr      string            `json:"addr"`
	Addrs     []string          `json:"addrs"`
	Types     []string          `json:"types"`
	OK        bool              `json:"ok"`
	Result    json.RawMessage   `json:"result"`
	Exit      exitcode.ExitCode `json:"exit"`
	Method    abi.MethodNum     `json:"method"`
	Params    []byte            `json:"params"`
	Return    []byte            `json:"return"`
	To        string            `json:"to"`
	Code      string            `json:"code"`
	Value     bigNumber         `json:"value"`
	Error     *string           `json:"error"`
	Plaintext []byte            `json:"plaintext"`
	Sig       []byte            `json:"sig"`
	Signer    string            `json:"signer"`
	Data      []byte            `json:"data"`
	Tag       int64             `json:"tag"`
	Epoch     abi.ChainEpoch    `json:"epoch"`
	Entropy   []byte            `json:"entropy"`
	Gas       int64             `json:"gas"`
}

func (l *scriptLine) text() string { return strings.Trim(string(l.Result), `"`) }

func (l *scriptLine) bytes() []byte {
	b, err := base64.StdEncoding.DecodeString(l.text())
	if err != nil {
		panic(offScript{fmt.Errorf("answer of %s: %w", l.Op, err)})
	}
	return b
}

func (l *scriptLine) fault() error {
	if l.Error == nil {
		return nil
	}
	return errors.New(*l.Error)
}

// codeOf turns an actor's name into its code CID.
func codeOf(name string) cid.Cid {
	h, err := mh.Sum([]byte(name), mh.IDENTITY, -1)
	if err != nil {
		panic(offScript{err})
	}
	return cid.NewCidV1(cid.Raw, h)
}

func runMethods(t *testing.T, tally *Tally) {
	for _, file := range vectors.Glob(t, "actors-v7/method/*.json.gz") {
		var f methodFile
		tally := tally.File(file)
		vectors.JSON(t, file, &f)
		bs := ipld.NewMemory()
		for c, data := range f.Blocks {
			id, err := cid.Decode(c)
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			if err := bs.Put(context.Background(), id, data); err != nil {
				t.Fatal(err)
			}
		}
		for i := range f.Vectors {
			v := &f.Vectors[i]
			tally.Check(t, fmt.Sprintf("%s[%d] %s", filepath.Base(file), i, v.Test), runMethod(ipld.NewBuffered(bs), v))
		}
	}
}

// allowSmallSectors does what the recorded tests did to the actors' policy, and
// returns what undoes it.
func allowSmallSectors() func() {
	seal, window := abi.RegisteredSealProof_StackedDrg2KiBV1_1, abi.RegisteredPoStProof_StackedDrgWindow2KiBV1
	miner.PreCommitSealProofTypesV8[seal] = struct{}{}
	miner.WindowPoStProofTypes[window] = struct{}{}
	return func() {
		delete(miner.PreCommitSealProofTypesV8, seal)
		delete(miner.WindowPoStProofTypes, window)
	}
}

func runMethod(bs ipld.Blockstore, v *methodVector) error {
	if v.Policy != "" {
		defer allowSmallSectors()()
	}
	p := &player{ctx: context.Background(), bs: bs, v: v, balance: v.Balance.Int}
	if v.PreState != "" {
		c, err := cid.Decode(v.PreState)
		if err != nil {
			return err
		}
		p.head = c
	}
	before := p.head
	exit, ret, err := p.play()
	if err != nil {
		return err
	}
	switch after := p.head; {
	case exit != v.Exit:
		return fmt.Errorf("exit %d, want %d (%s)", exit, v.Exit, p.why)
	case !bytes.Equal(ret, v.Return):
		return fmt.Errorf("return %x, want %x", ret, v.Return)
	case exit != 0 && v.PostState != v.PreState:
		return errors.New("the vector changes state on failure")
	case exit == 0 && stateText(after) != v.PostState:
		return fmt.Errorf("state %s after %s, want %s", after, before, v.PostState)
	case p.at != len(p.ordered()):
		return fmt.Errorf("%d of %d recorded calls were made", p.at, len(p.ordered()))
	case exit == 0 && v.After != nil && !p.balance.Equals(v.After.Int):
		return fmt.Errorf("balance %s, want %s", p.balance, v.After.Int)
	}
	return nil
}

func stateText(c cid.Cid) string {
	if !c.Defined() {
		return ""
	}
	return c.String()
}

// findMethod looks the method up in the actors' own tables.
func findMethod(actor string, method int) (reflect.Value, error) {
	for _, a := range exported.BuiltinActors() {
		if a.Code() == codeOf(actor) && method < len(a.Exports()) && a.Exports()[method] != nil {
			return reflect.ValueOf(a.Exports()[method]), nil
		}
	}
	return reflect.Value{}, fmt.Errorf("no method %d of %s", method, actor)
}

// abortion is an actor's way out; offScript is a departure from the recording.
type (
	abortion struct {
		code exitcode.ExitCode
		text string
	}
	offScript struct{ err error }
)

// play calls the method once.
func (p *player) play() (exit exitcode.ExitCode, ret []byte, err error) {
	fn, err := findMethod(p.v.Actor, p.v.Method)
	if err != nil {
		return 0, nil, err
	}
	arg := reflect.New(fn.Type().In(1).Elem())
	if err := arg.Interface().(cbor.Unmarshaler).UnmarshalCBOR(bytes.NewReader(p.v.Params)); err != nil {
		return 0, nil, fmt.Errorf("parameters: %w", err)
	}
	defer func() {
		switch r := recover().(type) {
		case nil:
		case abortion:
			exit, ret, p.why = r.code, nil, r.text
		case offScript:
			err = r.err
		default:
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	out := fn.Call([]reflect.Value{reflect.ValueOf(p), arg})[0]
	if _, nothing := out.Interface().(*abi.EmptyValue); nothing {
		return 0, nil, nil
	}
	var buf bytes.Buffer
	if err := out.Interface().(cbor.Marshaler).MarshalCBOR(&buf); err != nil {
		return 0, nil, err
	}
	return 0, buf.Bytes(), nil
}

// player is the runtime that answers from the recording.
type player struct {
	ctx     context.Context
	bs      ipld.Blockstore
	v       *methodVector
	head    cid.Cid
	balance big.Int
	at      int
	lines   []*scriptLine
	why     string
	inTx    bool
}

// ordered lists the recorded calls but the lookups, which may come in another
// order.
func (p *player) ordered() []*scriptLine {
	if p.lines == nil {
		p.lines = []*scriptLine{}
		for i := range p.v.Calls {
			if op := p.v.Calls[i].Op; op != "resolve_address" && op != "get_actor_code" {
				p.lines = append(p.lines, &p.v.Calls[i])
			}
		}
	}
	return p.lines
}

// next takes the next recorded call, which must be of the given kind.
func (p *player) next(op string) *scriptLine {
	lines := p.ordered()
	if p.at >= len(lines) {
		panic(offScript{fmt.Errorf("unrecorded call %s", op)})
	}
	l := lines[p.at]
	if l.Op != op {
		panic(offScript{fmt.Errorf("call %d is %s, recorded %s", p.at, op, l.Op)})
	}
	p.at++
	return l
}

func (p *player) must(ok bool, format string, args ...any) {
	if !ok {
		panic(offScript{fmt.Errorf(format, args...)})
	}
}

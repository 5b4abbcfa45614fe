// Package reference replays the recorded chains on the machine that recorded them, the test machine of the actors' own
// library, so that the speed of ours (BenchmarkChainSteps of test/conformance) can be told as a ratio on any machine.
package reference

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/go-state-types/cbor"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/exported"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/market"
	"github.com/filecoin-project/specs-actors/v7/actors/util/adt"
	"github.com/filecoin-project/specs-actors/v7/support/ipld"
	"github.com/filecoin-project/specs-actors/v7/support/vm"
	"github.com/ipfs/go-cid"
	"github.com/ipld/go-car"
)

// record is one file of the vectors' actors-v7/chain.
type record struct {
	CircSupply string `json:"default_circ_supply"`
	Segments   []struct {
		Start string `json:"start_root"`
		Car   []byte `json:"start_state_car_gz"`
		Steps []step `json:"steps"`
	} `json:"segments"`
}

type step struct {
	Epoch abi.ChainEpoch `json:"epoch"`
	Msg   []byte         `json:"msg"`
	Gas   int64          `json:"gas"`
	Root  string         `json:"root"`
	Circ  string         `json:"circ_supply"`
}

// BenchmarkChainSteps is the peer of the benchmark of the same name in test/conformance: same steps, same collector, one
// core, gas and root compared after each. (The exit codes of three steps are not a node's: README of the vectors.)
func BenchmarkChainSteps(b *testing.B) {
	debug.SetGCPercent(200) // as internal/memory.Relax
	debug.SetMemoryLimit(2 << 30)
	var all []record
	for _, file := range files(b) {
		if strings.Contains(file, "RemoveDataCap") {
			continue // a handful of steps, with signatures that this machine takes in a form of its own
		}
		all = append(all, load(b, file))
	}
	steps := 0
	for b.Loop() {
		for _, r := range all {
			for _, seg := range r.Segments {
				b.StopTimer()
				blocks := unpack(b, seg.Car)
				b.StartTimer()
				if err := replay(blocks, seg.Start, r.CircSupply, seg.Steps); err != nil {
					b.Fatal(err)
				}
				steps += len(seg.Steps)
			}
		}
	}
	b.ReportMetric(float64(steps)/b.Elapsed().Seconds(), "steps/s")
}

// replay applies the steps one after another.
func replay(blocks *ipld.BlockStoreInMemory, start, supply string, steps []step) error {
	ctx := context.Background()
	tree, err := readRoot(ctx, blocks, start)
	if err != nil {
		return err
	}
	actors, err := tree.actors()
	if err != nil {
		return err
	}
	impls := vm.ActorImplLookup{}
	for _, actor := range exported.BuiltinActors() {
		impls[actor.Code()] = actor
	}
	typed := decoder{impls: impls, codes: map[address.Address]cid.Cid{}}
	m, err := vm.NewVMAtEpoch(ctx, impls, adt.WrapBlockStore(ctx, blocks), actors, steps[0].Epoch)
	if err != nil {
		return err
	}
	for i, s := range steps {
		var msg vm.ChainMessage
		if err := msg.UnmarshalCBOR(bytes.NewReader(s.Msg)); err != nil {
			return fmt.Errorf("step %d: %w", i, err)
		}
		if m.GetEpoch() != s.Epoch {
			if m, err = m.WithEpoch(s.Epoch); err != nil {
				return fmt.Errorf("step %d: %w", i, err)
			}
		}
		circ, err := big.FromString(supply)
		if s.Circ != "" {
			circ, err = big.FromString(s.Circ)
		}
		if err != nil {
			return fmt.Errorf("step %d: circulating supply: %w", i, err)
		}
		m.SetCirculatingSupply(circ)
		params, signed, err := typed.params(m, &msg)
		if err != nil {
			return fmt.Errorf("step %d: %w", i, err)
		}
		res, err := m.ApplyMessage(msg.From, msg.To, msg.Value, msg.Method, params, "")
		if err != nil {
			return fmt.Errorf("step %d: %w", i, err)
		}
		root, err := tree.with(m.StateRoot())
		if err != nil {
			return err
		}
		if root != s.Root || res.GasCharged != s.Gas && !signed {
			return fmt.Errorf("step %d: gas %d root %s, recorded are %d and %s", i, res.GasCharged, root, s.Gas, s.Root)
		}
	}
	return nil
}

// decoder decodes the parameters of messages, since the test machine takes them as values of their types. It remembers the
// code of each receiver, so that looking it up costs the peer nothing.
type decoder struct {
	impls vm.ActorImplLookup
	codes map[address.Address]cid.Cid
}

// params also tells whether they hold signatures: this machine takes for the signature of a text the text itself, the
// records its hash (README of the vectors). They are put in its form, which changes the length of the message and its gas.
func (d decoder) params(m *vm.VM, msg *vm.ChainMessage) (params cbor.Er, signed bool, err error) {
	if len(msg.Params) == 0 {
		return nil, false, nil
	}
	code, known := d.codes[msg.To]
	if !known {
		actor, found, err := m.GetActor(msg.To)
		if err != nil || !found {
			return nil, false, fmt.Errorf("receiver %s: found %t: %w", msg.To, found, err)
		}
		code = actor.Code
		d.codes[msg.To] = code
	}
	method := reflect.TypeOf(d.impls[code].Exports()[msg.Method])
	params = reflect.New(method.In(1).Elem()).Interface().(cbor.Er)
	if err := params.UnmarshalCBOR(bytes.NewReader(msg.Params)); err != nil {
		return nil, false, err
	}
	deals, signed := params.(*market.PublishStorageDealsParams)
	if !signed {
		return params, false, nil
	}
	for i := range deals.Deals {
		var text bytes.Buffer
		if err := deals.Deals[i].Proposal.MarshalCBOR(&text); err != nil {
			return nil, false, err
		}
		deals.Deals[i].ClientSignature.Data = text.Bytes()
	}
	return params, true, nil
}

// stateRoot is the encoded root object of a state tree, [version, actors, info]; the test machine knows only the actors.
type stateRoot []byte

// Where the link to the actors lies: after the array's head, the version and the head of a link.
const actorsAt, linkSize = 2 + 5, 38

func readRoot(ctx context.Context, blocks *ipld.BlockStoreInMemory, name string) (stateRoot, error) {
	c, err := cid.Decode(name)
	if err != nil {
		return nil, err
	}
	b, err := blocks.Get(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("root object %s: %w", name, err)
	}
	if len(b.RawData()) != 2+2*(5+linkSize) {
		return nil, fmt.Errorf("root object %s has %d bytes", name, len(b.RawData()))
	}
	return bytes.Clone(b.RawData()), nil
}

func (r stateRoot) actors() (cid.Cid, error) { return cid.Cast(r[actorsAt : actorsAt+linkSize]) }

// with names the root object over other actors.
func (r stateRoot) with(actors cid.Cid) (string, error) {
	copy(r[actorsAt:], actors.Bytes())
	c, err := actors.Prefix().Sum(r)
	return c.String(), err
}

// files lists the recorded chains, found as the tests of the house find their vectors.
func files(b *testing.B) []string {
	dir := os.Getenv("VENUS_VECTORS")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "vectors")
	}
	names, err := filepath.Glob(filepath.Join(dir, "actors-v7", "chain", "*.json.gz"))
	if err != nil || len(names) == 0 {
		b.Skipf("recorded chains are not at hand below %s (set VENUS_VECTORS)", dir)
	}
	return names
}

func load(b *testing.B, name string) (r record) {
	f, err := os.Open(name)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		b.Fatal(err)
	}
	if err := json.NewDecoder(z).Decode(&r); err != nil {
		b.Fatalf("%s: %v", name, err)
	}
	return r
}

// unpack puts a start state into memory.
func unpack(b *testing.B, packed []byte) *ipld.BlockStoreInMemory {
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		b.Fatal(err)
	}
	blocks := ipld.NewBlockStoreInMemory()
	r, err := car.NewCarReader(z)
	if err != nil {
		b.Fatal(err)
	}
	for {
		block, err := r.Next()
		if err != nil {
			if strings.Contains(err.Error(), "EOF") {
				return blocks
			}
			b.Fatal(err)
		}
		if err := blocks.Put(context.Background(), block); err != nil {
			b.Fatal(err)
		}
	}
}

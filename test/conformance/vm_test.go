package conformance

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	gscrypto "github.com/filecoin-project/go-state-types/crypto"
	"github.com/filecoin-project/go-state-types/exitcode"
	"github.com/filecoin-project/go-state-types/proof"
	"github.com/filecoin-project/specs-actors/v7/actors/runtime"
	"github.com/ipfs/go-cid"
	"golang.org/x/crypto/blake2b"

	"github.com/filecoin-venus/venus/internal/vectors"
	"github.com/filecoin-venus/venus/ipld"
	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/types"
	"github.com/filecoin-venus/venus/vm"
)

// The recorded runs draw this for all randomness and mark bad proofs with that
// (vectors' README).
const (
	recordedRandomness = "i_am_random_____i_am_random_____"
	recordedBadProof   = "i_am_invalid_____i_am_invalid_____"
	recordedUnsealed   = "baga6ea4b5abcbiodtgvestjtaj5pvrsaxmibz6fplu7zcl3xs634ehhpcspmlzxp"
)

// bigNumber is an amount that some files write as a number, some as a string.
type bigNumber struct{ big.Int }

func (b *bigNumber) UnmarshalJSON(raw []byte) error {
	v, err := big.FromString(strings.Trim(string(raw), `"`))
	b.Int = v
	return err
}

type link struct {
	Cid cid.Cid `json:"/"`
}

// UnmarshalJSON reads {"/": "..."}; the CID type's own form would do the same.
func (l *link) UnmarshalJSON(raw []byte) error { return l.Cid.UnmarshalJSON(raw) }

type messageVector struct {
	Meta struct {
		ID   string   `json:"id"`
		Tags []string `json:"tags"`
	} `json:"_meta"`
	Car        []byte          `json:"car"`
	Randomness json.RawMessage `json:"randomness"`
	Pre        struct {
		Variants []struct {
			Epoch abi.ChainEpoch `json:"epoch"`
			NV    int            `json:"nv"`
		} `json:"variants"`
		StateTree struct {
			Root link `json:"root_cid"`
		} `json:"state_tree"`
		BaseFee    bigNumber `json:"basefee"`
		CircSupply bigNumber `json:"circ_supply"`
	} `json:"preconditions"`
	Apply []struct {
		Bytes []byte `json:"bytes"`
	} `json:"apply_messages"`
	Post struct {
		StateTree struct {
			Root link `json:"root_cid"`
		} `json:"state_tree"`
		Receipts []receipt `json:"receipts"`
	} `json:"postconditions"`
}

type receipt struct {
	Exit   exitcode.ExitCode `json:"exit_code"`
	Return []byte            `json:"return"`
	Gas    int64             `json:"gas_used"`
}

func network(t testing.TB, name string) params.Network {
	t.Helper()
	n, err := params.ByName(name)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// loadCar unpacks a gzipped archive into memory.
func loadCar(packed []byte) (*ipld.Memory, error) {
	bs := ipld.NewMemory()
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, fmt.Errorf("unpack car: %w", err)
	}
	_, err = ipld.ReadCAR(context.Background(), z, bs)
	return bs, err
}

// fixedRand answers every draw alike.
type fixedRand struct{}

func (fixedRand) TicketRandomness(context.Context, gscrypto.DomainSeparationTag, abi.ChainEpoch, []byte) ([]byte, error) {
	return []byte(recordedRandomness), nil
}

func (fixedRand) BeaconRandomness(context.Context, gscrypto.DomainSeparationTag, abi.ChainEpoch, []byte) ([]byte, error) {
	return []byte(recordedRandomness), nil
}

// fakeSyscalls are the primitives of the recording machine.
type fakeSyscalls struct{ call vm.Call }

func (fakeSyscalls) VerifySignature(sig gscrypto.Signature, _ address.Address, plaintext []byte) error {
	want := blake2b.Sum256(plaintext)
	if !bytes.Equal(sig.Data, want[:]) {
		return errors.New("signature differs")
	}
	return nil
}

func (fakeSyscalls) HashBlake2b(b []byte) [32]byte { return blake2b.Sum256(b) }

func (fakeSyscalls) ComputeUnsealedSectorCID(abi.RegisteredSealProof, []abi.PieceInfo) (cid.Cid, error) {
	return cid.Decode(recordedUnsealed)
}

func (fakeSyscalls) VerifySeal(proof.SealVerifyInfo) error { return nil }

func (fakeSyscalls) BatchVerifySeals(in map[address.Address][]proof.SealVerifyInfo) (map[address.Address][]bool, error) {
	out := map[address.Address][]bool{}
	for a, infos := range in {
		out[a] = make([]bool, len(infos))
		for i := range out[a] {
			out[a][i] = true
		}
	}
	return out, nil
}

func (fakeSyscalls) VerifyAggregateSeals(proof.AggregateSealVerifyProofAndInfos) error { return nil }

func (fakeSyscalls) VerifyReplicaUpdate(proof.ReplicaUpdateInfo) error { return nil }

func (fakeSyscalls) VerifyPoSt(info proof.WindowPoStVerifyInfo) error {
	for _, p := range info.Proofs {
		if string(p.ProofBytes) == recordedBadProof {
			return errors.New("marked invalid")
		}
	}
	return nil
}

func (s fakeSyscalls) VerifyConsensusFault(_, _, _ []byte) (*runtime.ConsensusFault, error) {
	return &runtime.ConsensusFault{
		Target: s.call.Receiver, Epoch: s.call.Epoch - 1, Type: runtime.ConsensusFaultDoubleForkMining,
	}, nil
}

func useFakes(c vm.Call) vm.Syscalls { return fakeSyscalls{c} }

// applyRecorded applies one message by the recording machine's rules: nothing
// is paid, and senders that are no accounts spend a nonce too.
func applyRecorded(ctx context.Context, cfg vm.Config, msg *types.Message) (*vm.Result, cid.Cid, error) {
	m, err := vm.New(ctx, cfg)
	if err != nil {
		return nil, cid.Undef, err
	}
	sender, err := m.Tree().GetActor(ctx, msg.From)
	if err != nil {
		return nil, cid.Undef, err
	}
	var res *vm.Result
	if isAccount(sender.Code) {
		res, err = m.ApplyMessage(ctx, msg)
	} else {
		sender.Nonce++
		if err := m.Tree().SetActor(ctx, msg.From, sender); err != nil {
			return nil, cid.Undef, err
		}
		res, err = m.ApplyImplicit(ctx, msg)
		if err == nil {
			const perByte = 1300
			res.Receipt.GasUsed += vm.OnChainMessageGas(msg.ChainLength()) + perByte*int64(len(res.Receipt.Return))
		}
	}
	if err != nil {
		return nil, cid.Undef, err
	}
	root, err := m.Flush(ctx)
	return res, root, err
}

func isAccount(code cid.Cid) bool { return strings.HasSuffix(string(code.Hash()), "/account") }

// gasIsComparable tells whether the recording machine charged what a real one
// does: it let two kinds of proof go for nothing.
func gasIsComparable(method abi.MethodNum) bool { return method != 26 && method != 27 }

// receiptOf is what the vectors tell of a result.
func receiptOf(r *vm.Result) receipt {
	return receipt{r.Receipt.ExitCode, r.Receipt.Return, r.Receipt.GasUsed}
}

func compare(got, want receipt, gotRoot, wantRoot cid.Cid, gas bool) error {
	switch {
	case got.Exit != want.Exit:
		return fmt.Errorf("exit %d, want %d", got.Exit, want.Exit)
	case !bytes.Equal(got.Return, want.Return):
		return fmt.Errorf("return %x, want %x", got.Return, want.Return)
	case gas && got.Gas != want.Gas:
		return fmt.Errorf("gas %d, want %d (%+d)", got.Gas, want.Gas, got.Gas-want.Gas)
	case gotRoot != wantRoot:
		return fmt.Errorf("state root %s, want %s", gotRoot, wantRoot)
	}
	return nil
}

func runRecordedMessages(t *testing.T, tally *Tally) {
	for _, file := range vectors.Glob(t, "actors-v7/message/*.json.gz") {
		var list []messageVector
		tally := tally.File(file)
		vectors.JSON(t, file, &list)
		for i := range list {
			tally.Check(t, fmt.Sprintf("%s[%d] %s", filepath.Base(file), i, list[i].Meta.ID), runRecordedMessage(t, &list[i], tally))
		}
	}
}

// config is the machine that the message ran on.
func (v *messageVector) config(net params.Network, bs ipld.Blockstore) vm.Config {
	cfg := vm.Config{
		Blocks: bs, StateRoot: v.Pre.StateTree.Root.Cid, Epoch: v.Pre.Variants[0].Epoch,
		CircSupply: v.Pre.CircSupply.Int, BaseFee: v.Pre.BaseFee.Int, Network: net, Rand: fixedRand{},
	}
	if slices.Contains(v.Meta.Tags, "fake_syscalls") {
		cfg.Syscalls = useFakes
	}
	return cfg
}

func runRecordedMessage(t *testing.T, v *messageVector, tally *Tally) error {
	ctx := context.Background()
	bs, err := loadCar(v.Car)
	if err != nil {
		return err
	}
	msg, err := types.DecodeMessage(v.Apply[0].Bytes)
	if err != nil {
		return err
	}
	got, root, err := applyRecorded(ctx, v.config(network(t, "2k"), bs), msg)
	if err != nil {
		return err
	}
	gas := gasIsComparable(msg.Method)
	if !gas {
		tally.Note("gas not compared: the recording machine verified that proof for nothing")
	}
	return compare(receiptOf(got), v.Post.Receipts[0], root, v.Post.StateTree.Root.Cid, gas)
}

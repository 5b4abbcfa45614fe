package conformance

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	gscrypto "github.com/filecoin-project/go-state-types/crypto"
	"github.com/filecoin-project/go-state-types/proof"
	"github.com/ipfs/go-cid"

	"github.com/filecoin-venus/venus/internal/vectors"
	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/types"
	"github.com/filecoin-venus/venus/vm"
)

// recordedRand replays the draws a vector lists: [kind, tag, epoch, entropy].
type recordedRand map[string][]byte

func parseRand(raw json.RawMessage) (recordedRand, error) {
	r := recordedRand{}
	if len(raw) == 0 {
		return r, nil
	}
	var rules []struct {
		On  []json.RawMessage `json:"on"`
		Ret []byte            `json:"ret"`
	}
	if err := json.Unmarshal(raw, &rules); err != nil {
		return nil, fmt.Errorf("randomness: %w", err)
	}
	for _, rule := range rules {
		parts := make([]string, len(rule.On))
		for i, p := range rule.On {
			parts[i] = strings.Trim(string(p), `"`)
		}
		r[strings.Join(parts, "|")] = rule.Ret
	}
	return r, nil
}

func (r recordedRand) draw(kind string, tag gscrypto.DomainSeparationTag, round abi.ChainEpoch, entropy []byte) ([]byte, error) {
	key := fmt.Sprintf("%s|%d|%d|%s", kind, tag, round, base64.StdEncoding.EncodeToString(entropy))
	if v, ok := r[key]; ok {
		return v, nil
	}
	return nil, fmt.Errorf("the vector has no draw %s", key)
}

func (r recordedRand) TicketRandomness(_ context.Context, tag gscrypto.DomainSeparationTag, round abi.ChainEpoch, entropy []byte) ([]byte, error) {
	return r.draw("chain", tag, round, entropy)
}

func (r recordedRand) BeaconRandomness(_ context.Context, tag gscrypto.DomainSeparationTag, round abi.ChainEpoch, entropy []byte) ([]byte, error) {
	return r.draw("beacon", tag, round, entropy)
}

// impliedVerifier gives one verdict on everything and remembers being asked:
// the public verifying keys are not part of the vectors.
type impliedVerifier struct {
	verdict    bool
	asked      bool
	aggregates []proof.AggregateSealVerifyProofAndInfos // in the order asked
}

func (v *impliedVerifier) answer() (bool, error) {
	v.asked = true
	return v.verdict, nil
}

func (v *impliedVerifier) VerifySeal(context.Context, proof.SealVerifyInfo) (bool, error) {
	return v.answer()
}

func (v *impliedVerifier) VerifySealBatch(_ context.Context, infos []proof.SealVerifyInfo) ([]bool, error) {
	v.asked = true
	out := make([]bool, len(infos))
	for i := range out {
		out[i] = v.verdict
	}
	return out, nil
}

func (v *impliedVerifier) VerifyWindowPoSt(context.Context, proof.WindowPoStVerifyInfo) (bool, error) {
	return v.answer()
}

func (v *impliedVerifier) VerifyAggregateSeals(_ context.Context, info proof.AggregateSealVerifyProofAndInfos) (bool, error) {
	v.aggregates = append(v.aggregates, info)
	return v.answer()
}

func (v *impliedVerifier) VerifyReplicaUpdate(context.Context, proof.ReplicaUpdateInfo) (bool, error) {
	return v.answer()
}

func runExtracted(pattern string) func(*testing.T, *Tally) {
	return func(t *testing.T, tally *Tally) {
		for _, file := range vectors.Glob(t, pattern) {
			var list []messageVector
			tally := tally.File(file)
			vectors.JSON(t, file, &list)
			for i := range list {
				v := &list[i]
				if nv := v.Pre.Variants[0].NV; nv != int(params.MachineVersion) {
					tally.Skip(fmt.Sprintf("network version %d: this machine runs version %d only", nv, params.MachineVersion))
					continue
				}
				name := fmt.Sprintf("%s[%d] %s", filepath.Base(file), i, v.Meta.ID)
				tally.Check(t, name, runExtractedMessage(t, v, tally))
			}
		}
	}
}

// runExtractedMessage runs with proofs taken as valid; where that does not lead
// to the recorded outcome and a proof was looked at, they are taken as invalid.
func runExtractedMessage(t *testing.T, v *messageVector, tally *Tally) error {
	verifier := &impliedVerifier{verdict: true}
	err := tryExtracted(t, v, verifier)
	if err != nil && verifier.asked {
		verifier.verdict = false
		err = tryExtracted(t, v, verifier)
	}
	if err == nil && verifier.asked {
		tally.Note("proof verdict implied by the exit code (no public verifying keys)")
	}
	return err
}

// tryExtracted runs the message and compares what comes out.
func tryExtracted(t *testing.T, v *messageVector, verifier *impliedVerifier) error {
	ctx := context.Background()
	bs, err := loadCar(v.Car)
	if err != nil {
		return err
	}
	rand, err := parseRand(v.Randomness)
	if err != nil {
		return err
	}
	msg, err := types.DecodeMessage(v.Apply[0].Bytes)
	if err != nil {
		return err
	}
	m, err := vm.New(ctx, vm.Config{
		Blocks: bs, StateRoot: v.Pre.StateTree.Root.Cid, Epoch: v.Pre.Variants[0].Epoch,
		CircSupply: v.Pre.CircSupply.Int, BaseFee: v.Pre.BaseFee.Int,
		Network: network(t, "mainnet"), Rand: rand, Verifier: verifier,
		// A vector carries no older state than its own; workers have not
		// changed in between.
		LookbackState: func(context.Context, abi.ChainEpoch) (cid.Cid, error) {
			return v.Pre.StateTree.Root.Cid, nil
		},
	})
	if err != nil {
		return err
	}
	res, err := m.ApplyMessage(ctx, asCarried(msg))
	if err != nil {
		return err
	}
	root, err := m.Flush(ctx)
	if err != nil {
		return err
	}
	got := receipt{res.Receipt.ExitCode, res.Receipt.Return, res.Receipt.GasUsed}
	return compare(got, v.Post.Receipts[0], root, v.Post.StateTree.Root.Cid, true)
}

// asCarried gives the message the length it had on chain: with its signature
// when the sender's key is a secp256k1 one.
func asCarried(msg *types.Message) types.ChainMsg {
	if msg.From.Protocol() != address.SECP256K1 {
		return msg
	}
	return &types.SignedMessage{Message: *msg, Signature: gscrypto.Signature{Type: gscrypto.SigTypeSecp256k1, Data: make([]byte, 65)}}
}

package conformance

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/exitcode"
	"github.com/ipfs/go-cid"

	"github.com/filecoin-venus/venus/internal/vectors"
	"github.com/filecoin-venus/venus/ipld"
	"github.com/filecoin-venus/venus/types"
	"github.com/filecoin-venus/venus/vm"
)

type chainVector struct {
	CircSupply bigNumber `json:"default_circ_supply"`
	Segments   []struct {
		Start string      `json:"start_root"`
		Car   []byte      `json:"start_state_car_gz"`
		Steps []chainStep `json:"steps"`
	} `json:"segments"`
}

type chainStep struct {
	Epoch  abi.ChainEpoch    `json:"epoch"`
	Msg    []byte            `json:"msg"`
	Exit   exitcode.ExitCode `json:"exit"`
	Return []byte            `json:"return"`
	Gas    int64             `json:"gas"`
	Root   string            `json:"root"`
	Circ   *bigNumber        `json:"circ_supply"`
	Fakes  bool              `json:"fake_syscalls"`
}

// runRecordedChains applies whole runs, each step on the state that the step
// before left.
func runRecordedChains(t *testing.T, tally *Tally) {
	for _, file := range vectors.Glob(t, "actors-v7/chain/*.json.gz") {
		var v chainVector
		vectors.JSON(t, file, &v)
		for s := range v.Segments {
			seg := &v.Segments[s]
			bs, err := loadCar(seg.Car)
			if err != nil {
				t.Fatalf("%s segment %d: %v", file, s, err)
			}
			root, err := cid.Decode(seg.Start)
			if err != nil {
				t.Fatalf("%s segment %d: %v", file, s, err)
			}
			for i := range seg.Steps {
				name := fmt.Sprintf("%s segment %d step %d", filepath.Base(file), s, i)
				next, err := runStep(t, bs, root, &v, &seg.Steps[i])
				tally.Check(t, name, err)
				if err != nil {
					break
				}
				root = next
			}
		}
	}
}

func runStep(t *testing.T, bs ipld.Blockstore, root cid.Cid, v *chainVector, s *chainStep) (cid.Cid, error) {
	want, err := cid.Decode(s.Root)
	if err != nil {
		return cid.Undef, err
	}
	msg, err := types.DecodeMessage(s.Msg)
	if err != nil {
		return cid.Undef, err
	}
	cfg := vm.Config{
		Blocks: bs, StateRoot: root, Epoch: s.Epoch, CircSupply: v.CircSupply.Int,
		Network: network(t, "2k"), Rand: fixedRand{},
	}
	if s.Circ != nil {
		cfg.CircSupply = s.Circ.Int
	}
	if s.Fakes {
		cfg.Syscalls = useFakes
	}
	got, next, err := applyRecorded(context.Background(), cfg, msg)
	if err != nil {
		return cid.Undef, err
	}
	return next, compare(got, receipt{s.Exit, s.Return, s.Gas}, next, want, gasIsComparable(msg.Method))
}

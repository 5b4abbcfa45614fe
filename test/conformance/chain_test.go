package conformance

import (
	"context"
	"fmt"
	"path/filepath"
	goruntime "runtime"
	"testing"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/exitcode"
	"github.com/ipfs/go-cid"
	"golang.org/x/sync/errgroup"

	"github.com/filecoin-venus/venus/internal/vectors"
	"github.com/filecoin-venus/venus/ipld"
	"github.com/filecoin-venus/venus/params"
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
// before left. Segments have nothing to do with each other and run side by side.
func runRecordedChains(t *testing.T, tally *Tally) {
	var group errgroup.Group
	group.SetLimit(goruntime.GOMAXPROCS(0))
	for _, file := range vectors.Glob(t, "actors-v7/chain/*.json.gz") {
		v := new(chainVector)
		tally := tally.File(file)
		vectors.JSON(t, file, v)
		for s := range v.Segments {
			group.Go(func() error {
				if err := runSegment(t, tally, fmt.Sprintf("%s segment %d", filepath.Base(file), s), v, s); err != nil {
					return fmt.Errorf("%s segment %d: %w", file, s, err)
				}
				return nil
			})
		}
	}
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
}

func runSegment(t *testing.T, tally *Tally, name string, v *chainVector, s int) error {
	seg := &v.Segments[s]
	bs, err := loadCar(seg.Car)
	if err != nil {
		return err
	}
	root, err := cid.Decode(seg.Start)
	if err != nil {
		return err
	}
	net := network(t, "2k")
	for i := range seg.Steps {
		next, err := runStep(net, bs, root, v, &seg.Steps[i])
		tally.Check(t, fmt.Sprintf("%s step %d", name, i), err)
		if err != nil {
			return nil
		}
		root = next
	}
	return nil
}

func runStep(net params.Network, bs ipld.Blockstore, root cid.Cid, v *chainVector, s *chainStep) (cid.Cid, error) {
	want, err := cid.Decode(s.Root)
	if err != nil {
		return cid.Undef, err
	}
	msg, err := types.DecodeMessage(s.Msg)
	if err != nil {
		return cid.Undef, err
	}
	got, next, err := applyRecorded(context.Background(), s.config(net, bs, root, v), msg)
	if err != nil {
		return cid.Undef, err
	}
	return next, compare(receiptOf(got), receipt{s.Exit, s.Return, s.Gas}, next, want, gasIsComparable(msg.Method))
}

// config is the machine that the step ran on.
func (s *chainStep) config(net params.Network, bs ipld.Blockstore, root cid.Cid, v *chainVector) vm.Config {
	cfg := vm.Config{
		Blocks: bs, StateRoot: root, Epoch: s.Epoch, CircSupply: v.CircSupply.Int,
		Network: net, Rand: fixedRand{},
	}
	if s.Circ != nil {
		cfg.CircSupply = s.Circ.Int
	}
	if s.Fakes {
		cfg.Syscalls = useFakes
	}
	return cfg
}

package wdpost

import (
	"encoding/json"
	"testing"

	"github.com/filecoin-project/go-bitfield"
	rlepluslazy "github.com/filecoin-project/go-bitfield/rle"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/proof"
	"github.com/stretchr/testify/require"
)

// BenchmarkPlanner is one step at 100,000 sectors of 32 GiB that all lie in one deadline, in 43 partitions: the head is
// applied, what is due and what to warn of are derived, the partitions are split into messages and compared with their
// files, and the plan is made ready to be stored. An operator wants it below 50 ms.
func BenchmarkPlanner(b *testing.B) {
	const sectors, perPartition = 100_000, 2349
	var parts []Partition
	bad := bitfield.New()
	for first := uint64(0); first < sectors; first += perPartition {
		n := min(perPartition, sectors-first)
		runs := &rlepluslazy.RunSliceIterator{Runs: []rlepluslazy.Run{{Val: false, Len: first}, {Val: true, Len: n}}}
		if first == 0 {
			runs.Runs = runs.Runs[1:]
		}
		all, err := bitfield.NewFromIter(runs)
		require.NoError(b, err)
		p := Partition{Index: uint64(len(parts)), All: all, Live: all, Faulty: bitfield.NewFromSet([]uint64{first + 5, first + 9}), Recovering: bitfield.NewFromSet([]uint64{first + 9})}
		parts = append(parts, p)
		bad.Set(first + 1)
	}
	cfg := Config{Miner: 1000, StuckAfter: 15, SubmitConfidence: 4, ChallengeConfidence: 1, CheckLead: 120, Keep: 10}
	s := Step(cfg, State{}, Head{Deadline: info(60, 160)})
	for _, a := range Due(cfg, s) {
		if l, ok := a.(Load); ok {
			list, err := groups(parts, bitfield.New(), 10)
			require.NoError(b, err)
			s = Step(cfg, s, PartitionsLoaded{Open: l.Window.Open, Groups: list})
			for i := range list {
				s = Step(cfg, s, ProofReady{Open: l.Window.Open, Group: i, Proof: &Proof{Proofs: []proof.PoStProof{{ProofBytes: make([]byte, 1920)}}, Skipped: make([]bitfield.BitField, 10)}})
			}
		}
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		s = Step(cfg, s, Head{Deadline: info(60, 160+abi.ChainEpoch(i%10))})
		require.NotEmpty(b, Due(cfg, s))
		require.NotEmpty(b, Alerts(cfg, s, s.Height))
		list, err := groups(parts, bitfield.New(), 10)
		require.NoError(b, err)
		require.Len(b, list, 5)
		order, _, _, err := statement(parts[:10], bad)
		require.NoError(b, err)
		require.Len(b, order, 10*perPartition)
		_, recoveries, err := declarations(parts, bad)
		require.NoError(b, err)
		require.Len(b, recoveries, len(parts))
		_, err = json.Marshal(s)
		require.NoError(b, err)
	}
}

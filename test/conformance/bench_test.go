package conformance

import (
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/filecoin-venus/venus/internal/memory"
	"github.com/filecoin-venus/venus/internal/vectors"
)

// BenchmarkChainSteps replays the recorded chains, one core, roots compared
// after every step, with the collector as the node has it. The figure is
// steps/s.
func BenchmarkChainSteps(b *testing.B) {
	memory.Relax()
	var all []*chainVector
	for _, file := range vectors.Glob(b, "actors-v7/chain/*.json.gz") {
		v := new(chainVector)
		vectors.JSON(b, file, v)
		all = append(all, v)
	}
	net := network(b, "2k")
	steps := 0
	for b.Loop() {
		for _, v := range all {
			for i := range v.Segments {
				seg := &v.Segments[i]
				b.StopTimer() // unpacking the start state is no step
				bs, err := loadCar(seg.Car)
				if err != nil {
					b.Fatal(err)
				}
				root, err := cid.Decode(seg.Start)
				if err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
				for j := range seg.Steps {
					if root, err = runStep(net, bs, root, v, &seg.Steps[j]); err != nil {
						b.Fatal(err)
					}
					steps++
				}
			}
		}
	}
	b.ReportMetric(float64(steps)/b.Elapsed().Seconds(), "steps/s")
}

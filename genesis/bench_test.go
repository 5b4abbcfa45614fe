package genesis

import (
	"testing"

	"github.com/filecoin-project/go-state-types/abi"
)

// BenchmarkEmptyEpoch is one epoch's cron with its flush.
func BenchmarkEmptyEpoch(b *testing.B) {
	h, bs := build(b, testTemplate(b, testNetwork(b), 4, 4, 0))
	root, epoch := h.ParentStateRoot, abi.ChainEpoch(0)
	b.ReportAllocs()
	for b.Loop() {
		epoch++
		root = runCron(b, bs, root, epoch, epoch)
	}
}

// BenchmarkBuild is a genesis of four miners with four sectors each.
func BenchmarkBuild(b *testing.B) {
	tmpl := testTemplate(b, testNetwork(b), 4, 4, 4)
	for b.Loop() {
		build(b, tmpl)
	}
}

package conformance

import (
	"strings"
	"testing"

	"github.com/filecoin-venus/venus/internal/vectors"
)

// folders lists what is run, in the order of the table.
var folders = []struct {
	name string
	run  func(*testing.T, *Tally)
}{
	{"actors-v7/message", runRecordedMessages},
	{"actors-v7/chain", runRecordedChains},
	{"actors-v7/method", runMethods},
	{"extracted/nv15-actors-v7", runExtracted("extracted/nv15-actors-v7/*.json.gz")},
	{"extracted/regressions", runExtracted("extracted/regressions/*.json.gz")},
	{"primitives/fees (gas)", runGasOutputs},
	{"known-answers/lotus-gas-burn", runGasBurn},
}

func TestConformance(t *testing.T) {
	vectors.Dir(t)
	table := []string{Header()}
	for _, f := range folders {
		var tally Tally
		t.Run(f.name, func(t *testing.T) { f.run(t, &tally) })
		tally.Report(t)
		table = append(table, tally.Row(f.name))
	}
	t.Log("\n" + strings.Join(table, "\n"))
}

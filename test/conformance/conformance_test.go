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
	{"extracted/nv15-actors-v7", runExtracted("extracted/nv15-actors-v7/*.json.gz")},
	{"extracted/regressions", runExtracted("extracted/regressions/*.json.gz")},
}

func TestConformance(t *testing.T) {
	vectors.Dir(t)
	table := []string{Header()}
	for _, f := range folders {
		var tally Tally
		t.Run(f.name, func(t *testing.T) { f.run(t, &tally) })
		table = append(table, tally.Row(f.name))
	}
	t.Log("\n" + strings.Join(table, "\n"))
}

package sector

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/filecoin-venus/venus/internal/golden"
)

// TestPlanTable fixes what the batch rule decides along a day.
func TestPlanTable(t *testing.T) {
	rule := BatchRule{Min: 4, Max: 6, MaxWait: time.Hour, Slack: 100, Above: big.NewInt(BreakEven)}
	wait := func(minutes ...int) (out []Waiting) {
		for i, m := range minutes {
			out = append(out, Waiting{Number: abi.SectorNumber(i + 1), Since: t0.Add(-time.Duration(m) * time.Minute), Limit: 5000})
		}
		return out
	}
	near := wait(1, 2, 3, 4)
	near[2].Limit = 1100
	var out strings.Builder
	for _, c := range []struct {
		name    string
		fee     int64
		waiting []Waiting
		flush   bool
	}{
		{"nobody waits", 1e9, nil, true},
		{"the base fee is low", BreakEven - 1, wait(1, 2), false},
		{"the base fee breaks even", BreakEven, wait(1, 2), false},
		{"company is enough, nobody is in a hurry", 1e9, wait(1, 2, 3, 4), false},
		{"one waited long, with company", 1e9, wait(1, 2, 60, 4), false},
		{"one waited long, company is short", 1e9, wait(1, 60, 3), false},
		{"one comes near its limit, with company", 1e9, near, false},
		{"one comes near its limit, alone", 1e9, near[2:3], false},
		{"more than a message takes", 1e9, wait(1, 2, 3, 4, 5, 6, 7, 8), false},
		{"the operator is in a hurry", 1e9, wait(1, 2, 3, 4, 5, 6, 7, 8), true},
	} {
		fmt.Fprintf(&out, "%s\n", c.name)
		for _, d := range rule.Plan(Now{Time: t0, Epoch: 1000}, big.NewInt(c.fee), c.waiting, c.flush) {
			how := "together"
			if d.Alone {
				how = "alone"
			}
			fmt.Fprintf(&out, "  %v %s: %s\n", d.Numbers, how, d.Why)
		}
	}
	golden.Equal(t, filepath.Join("testdata", "plan.table"), out.String())
}

// TestPlanProperties: nobody is sent twice, batches keep their bounds, and nobody
// waits past the limits.
func TestPlanProperties(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		rule := BatchRule{Min: rapid.IntRange(1, 5).Draw(rt, "min"), Max: rapid.IntRange(5, 9).Draw(rt, "max"), MaxWait: time.Hour, Slack: 50, Above: big.NewInt(10)}
		now := Now{Time: t0, Epoch: 1000}
		var waiting []Waiting
		for i := range rapid.IntRange(0, 30).Draw(rt, "waiting") {
			waiting = append(waiting, Waiting{
				Number: abi.SectorNumber(i), Since: t0.Add(-time.Duration(rapid.IntRange(0, 70).Draw(rt, "minutes")) * time.Minute),
				Limit: abi.ChainEpoch(rapid.IntRange(1000, 3000).Draw(rt, "limit")),
			})
		}
		sent := map[abi.SectorNumber]bool{}
		for _, d := range rule.Plan(now, big.NewInt(rapid.Int64Range(0, 20).Draw(rt, "fee")), waiting, false) {
			if !d.Alone && (len(d.Numbers) < rule.Min || len(d.Numbers) > rule.Max) {
				rt.Fatalf("a batch of %d", len(d.Numbers))
			}
			for _, n := range d.Numbers {
				if sent[n] {
					rt.Fatalf("sector %d is sent twice", n)
				}
				sent[n] = true
			}
		}
		for _, w := range waiting {
			if !sent[w.Number] && (now.Time.Sub(w.Since) >= rule.MaxWait || now.Epoch >= w.Limit-rule.Slack) {
				rt.Fatalf("sector %d waits on", w.Number)
			}
		}
	})
}

func TestBatchIDs(t *testing.T) {
	a, b := recordIn(SubmitPreCommitBatch), recordIn(SubmitPreCommitBatch)
	b.Number = 8
	id := BatchID(1000, KindPreCommit, []Record{a, b})
	require.Equal(t, id, BatchID(1000, KindPreCommit, []Record{a, b}))
	require.NotEqual(t, id, BatchID(1000, KindCommit, []Record{a, b}))
	require.NotEqual(t, id, BatchID(1000, KindPreCommit, []Record{a}))
	b.PreCommit.Attempt++
	require.NotEqual(t, id, BatchID(1000, KindPreCommit, []Record{a, b}), "another try is another message")
}

package service

import (
	"testing"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/stretchr/testify/require"

	sealerapi "github.com/filecoin-venus/venus/api/sealer"
	"github.com/filecoin-venus/venus/sealer/sector"
	"github.com/filecoin-venus/venus/sealer/wdpost"
)

// at is a proving period of 48 windows of 20 epochs from epoch 1000 on, with sectors in deadlines 2 and 30.
func at(now, length abi.ChainEpoch) pause {
	p := pause{at: now, back: now + length}
	for i := range uint64(48) {
		d := sealerapi.DeadlineInfo{Index: i, Open: 1000 + abi.ChainEpoch(i)*20}
		if d.Open+20 <= now {
			d.Open += 960
		}
		d.Close = d.Open + 20
		if i == 2 || i == 30 {
			d.Sectors = 5
		}
		p.deadlines = append(p.deadlines, d)
	}
	return p
}

func landed(p pause, open abi.ChainEpoch, phase wdpost.Phase) pause {
	p.plan.Windows = append(p.plan.Windows, wdpost.Window{Open: open, Close: open + 20, Loaded: true, Groups: []wdpost.Group{{Phase: phase}}})
	return p
}

func TestMaintenanceOfDeadlines(t *testing.T) {
	// Deadline 2 is open from 1040 to 1060; half of it is kept.
	for now := abi.ChainEpoch(1000); now < 1060; now++ {
		m := at(now, 10).judge()
		require.Equal(t, now+10 <= 1050, m.Safe, "epoch %d", now)
		require.EqualValues(t, 1050, m.Until)
		if !m.Safe {
			require.Equal(t, "deadline", m.Reasons[0].Kind)
			require.EqualValues(t, 1060, m.Reasons[0].Over)
			require.Contains(t, m.Reasons[0].Text, "deadline 2 (epochs 1040 to 1060) is not proven, with 5 sectors")
		}
	}
	// Once it is proven only the next one matters: deadline 30, from 1600 to 1620.
	require.EqualValues(t, 1610, landed(at(1045, 10), 1040, wdpost.Landed).judge().Until)
	require.True(t, landed(at(1045, 500), 1040, wdpost.Landed).judge().Safe)
	require.False(t, landed(at(1045, 566), 1040, wdpost.Landed).judge().Safe)
	require.False(t, landed(at(1045, 10), 1040, wdpost.Pushed).judge().Safe, "a message that is under way is no proof yet")
	require.EqualValues(t, 1610, at(1060, 10).judge().Until)
	// Faulty sectors need no proof, recovering ones do.
	p := at(1045, 10)
	p.deadlines[2].Faults = 5
	require.True(t, p.judge().Safe)
	p.deadlines[2].Recovering = 1
	require.False(t, p.judge().Safe)
	// A miner without sectors may stop whenever it likes.
	p = pause{at: 5, back: 1 << 30}
	require.True(t, p.judge().Safe)
	require.EqualValues(t, -1, p.judge().Until)
}

func TestMaintenanceOfTheRest(t *testing.T) {
	p := at(1000, 20)
	p.plan.Checks = []wdpost.Check{{Index: 7, Cutoff: 1015, RecoverDeclared: 2, Attempt: 1}, {Index: 8, Cutoff: 1010, Done: true}}
	p.sealing = []sealed{
		{number: 3, state: sector.PreCommit1, limit: 1018, what: "the ticket is too old"}, {number: 4, state: sector.WaitSeed, limit: 1021, what: "x"},
		{number: 5, state: sector.Packing}, {number: 6, state: sector.PreCommit2, limit: 990, what: "over already"},
	}
	p.winning, p.messages, p.running, p.perEpoch = true, 2, 1, 0.1
	m := p.judge()
	require.False(t, m.Safe)
	require.EqualValues(t, 1015, m.Until)
	var kinds []string
	for _, r := range m.Reasons {
		kinds = append(kinds, r.Kind)
	}
	require.Equal(t, []string{"block", "declaration", "sealing"}, kinds)
	require.Equal(t, "sector 3 (PreCommit1): from epoch 1018 on, the ticket is too old", m.Reasons[2].Text)
	require.Equal(t, []string{
		"about 2.00 blocks are expected to be won in that time and would be lost",
		"messages of 2 sectors have not landed: leave venus-messager and the node running", "1 tasks run in this process and would begin again",
	}, m.Notes)
}

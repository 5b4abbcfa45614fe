package mining

import (
	"context"
	"fmt"
	"math"
	gobig "math/big"
	"time"

	"github.com/filecoin-project/go-state-types/abi"

	nodeapi "github.com/filecoin-venus/venus/api/node"
	"github.com/filecoin-venus/venus/mining/record"
	"github.com/filecoin-venus/venus/params"
)

// writeTimeout bounds one writing into the record.
const writeTimeout = 5 * time.Second

// won begins the story of a win, or notes that it is tried on another base. The win is durable before its block is made.
func (m *runner) won(ctx context.Context, round abi.ChainEpoch, count int64) {
	if m.win == nil || m.win.Epoch != round {
		m.win = &record.Win{Epoch: round, WinCount: count}
		m.mark(round, "won the election (%d) on %d, of %d blocks", count, m.base.Height(), len(m.base.Blocks()))
		m.saveWin(ctx, round)
		return
	}
	m.mark(round, "tried again on %d, of %d blocks", m.base.Height(), len(m.base.Blocks()))
}

// mark adds to the story of the round's win, if it was won.
func (m *runner) mark(round abi.ChainEpoch, format string, args ...any) {
	if m.win != nil && m.win.Epoch == round {
		m.win.Story = append(m.win.Story, record.Mark{At: m.clock.Now().UTC(), What: fmt.Sprintf(format, args...)})
	}
}

// failed notes why a win came to nothing so far.
func (m *runner) failed(round abi.ChainEpoch, format string, args ...any) {
	if m.win != nil && m.win.Epoch == round {
		m.win.Reason = fmt.Sprintf(format, args...)
		m.mark(round, "%s", m.win.Reason)
	}
}

func (m *runner) succeeded(round abi.ChainEpoch) {
	if m.win != nil && m.win.Epoch == round {
		m.win.Reason = ""
	}
}

// saveWin writes what is known of the round's win.
func (m *runner) saveWin(ctx context.Context, round abi.ChainEpoch) {
	if m.win == nil || m.win.Epoch != round {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
	defer cancel()
	if err := m.record.Won(ctx, *m.win); err != nil {
		log.Warnf("%s: %s", m.addr, err)
	}
}

// hold counts the election of a round, once, whatever base it is held on.
func (m *runner) hold(round abi.ChainEpoch, info *nodeapi.MiningBaseInfo, wins int64) {
	if round <= m.heldUpTo {
		return
	}
	m.heldUpTo = round
	expected := expectedWins(info)
	m.meters.held(m.addr, expected, wins)
	m.rounds = append(m.rounds, record.Round{Epoch: round, Chance: -math.Expm1(-expected), Expected: expected, Wins: wins})
}

// expectedWins is the mean of the win count that the election draws.
func expectedWins(info *nodeapi.MiningBaseInfo) float64 {
	if info.NetworkPower.Sign() <= 0 {
		return 0
	}
	share, _ := new(gobig.Rat).SetFrac(info.MinerPower.Int, info.NetworkPower.Int).Float64()
	return share * params.ExpectedLeadersPerEpoch
}

// live tells the record now and then that it is in use, and what was held meanwhile.
func (m *runner) live(ctx context.Context) {
	now := m.clock.Now()
	if now.Sub(m.lived) < min(liveEvery, 10*m.timing.BlockDelay) {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
	defer cancel()
	err := m.record.Live(ctx, now)
	if err == nil {
		err = m.record.Count(ctx, m.rounds)
	}
	if err != nil {
		log.Warnf("%s: %s", m.addr, err)
		return
	}
	m.lived, m.rounds = now, nil
}

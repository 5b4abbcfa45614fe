package mining

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"

	"github.com/filecoin-venus/venus/api"
	miningapi "github.com/filecoin-venus/venus/api/mining"
	"github.com/filecoin-venus/venus/mining/record"
)

func wireWin(miner address.Address, w record.Win) miningapi.Win {
	return miningapi.Win{Miner: miner, Epoch: w.Epoch, WinCount: w.WinCount, State: string(w.State), Why: w.Reason, Block: w.Block, Parents: w.Parents.Cids()}
}

// maxWins bounds one answer of WinList.
const maxWins = 1000

// WinList lists won elections and imported blocks, newest first.
func (s *Service) WinList(ctx context.Context, addr address.Address, before abi.ChainEpoch, limit int) ([]miningapi.Win, error) {
	members, err := s.oneOrAll(addr)
	if err != nil {
		return nil, err
	}
	limit = max(0, min(limit, maxWins))
	out := []miningapi.Win{}
	for _, m := range members {
		list, err := s.parts.Records.Miner(m.spec.Addr).Wins(ctx, before, limit)
		if err != nil {
			return nil, err
		}
		for _, w := range list {
			out = append(out, wireWin(m.spec.Addr, w))
		}
	}
	slices.SortStableFunc(out, func(a, b miningapi.Win) int { return cmp.Compare(b.Epoch, a.Epoch) })
	return out[:min(limit, len(out))], nil
}

// WinWhy tells the story of one win.
func (s *Service) WinWhy(ctx context.Context, addr address.Address, epoch abi.ChainEpoch) (miningapi.WinStory, error) {
	m, err := s.find(addr)
	if err != nil {
		return miningapi.WinStory{}, err
	}
	w, ok, err := s.parts.Records.Miner(m.spec.Addr).WinAt(ctx, epoch)
	if err != nil {
		return miningapi.WinStory{}, err
	}
	if !ok {
		return miningapi.WinStory{}, api.Errorf(api.CodeNotFound, "%s is not known to have won epoch %d: its election was lost or was not held", addr, epoch).
			WithHint("list the wins with: venus-miner win list %s", addr)
	}
	out := miningapi.WinStory{Win: wireWin(addr, w)}
	at, known := s.timeOf(epoch)
	for _, x := range w.Story {
		mark := miningapi.WinMark{At: x.At, What: x.What}
		if known {
			mark.Seconds = x.At.Sub(at).Seconds()
		}
		out.Story = append(out.Story, mark)
	}
	return out, nil
}

// timeOf is when blocks of an epoch are dated, counted from the head.
func (s *Service) timeOf(epoch abi.ChainEpoch) (time.Time, bool) {
	head, _, _ := s.heads.get()
	if head == nil {
		return time.Time{}, false
	}
	return time.Unix(int64(head.MinTimestamp()), 0).Add(time.Duration(epoch-head.Height()) * s.parts.Timing.BlockDelay), true
}

// WinStats compares wins with expectation.
func (s *Service) WinStats(ctx context.Context, addrs []address.Address, epochs abi.ChainEpoch) ([]miningapi.WinStats, error) {
	members, err := s.named(addrs)
	if err != nil {
		return nil, err
	}
	from := abi.ChainEpoch(0)
	if head, _, _ := s.heads.get(); head != nil && epochs > 0 {
		from = max(0, head.Height()-epochs+1)
	}
	out := make([]miningapi.WinStats, len(members))
	for i, m := range members {
		t, err := s.parts.Records.Miner(m.spec.Addr).Tally(ctx, from)
		if err != nil {
			return nil, err
		}
		out[i] = stats(m.spec.Addr, t)
	}
	return out, nil
}

func stats(miner address.Address, t record.Tally) miningapi.WinStats {
	w := miningapi.WinStats{
		Miner: miner, From: t.From, To: t.To, Rounds: t.Rounds, Won: t.Won, Expected: t.Chance, WinCount: t.Wins, ExpectedWinCount: t.Expected,
		Landed: t.Blocks[record.Landed], Orphaned: t.Blocks[record.Orphaned], Failed: t.Blocks[record.Failed], Missed: t.Blocks[record.Missed],
		Open: t.Blocks[record.Pending] + t.Blocks[record.Signing] + t.Blocks[record.Submitted],
	}
	if t.Rounds > 0 {
		w.Low, w.High = binomial(t.Rounds, t.Chance/float64(t.Rounds))
		w.LowWinCount, w.HighWinCount = poisson(t.Expected)
	}
	lost := w.Orphaned + w.Failed + w.Missed
	switch {
	case t.Rounds == 0:
		w.Verdict = "no election is counted yet: without power none is held, and it takes up to a minute"
	case w.Won < w.Low:
		w.Verdict = "fewer elections were won than chance explains: compare the power that the node reports with the sectors"
	case w.Won > w.High:
		w.Verdict = "luck: more elections were won than expected"
	default:
		w.Verdict = "as many elections were won as expected"
	}
	if lost > 0 {
		w.Verdict += fmt.Sprintf("; %d of %d wins brought no block into the chain", lost, lost+w.Landed+w.Open)
	}
	return w
}

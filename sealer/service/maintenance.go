package service

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/filecoin-project/go-state-types/abi"

	"github.com/filecoin-venus/venus/api"
	sealerapi "github.com/filecoin-venus/venus/api/sealer"
	"github.com/filecoin-venus/venus/sealer/sched"
	"github.com/filecoin-venus/venus/sealer/sector"
	"github.com/filecoin-venus/venus/sealer/wdpost"
)

// pause is what is known when somebody asks whether the sealer can stand still.
type pause struct {
	at, back  abi.ChainEpoch
	deadlines []sealerapi.DeadlineInfo // of the next proving period, with Open and Close
	plan      wdpost.State
	sealing   []sealed
	winning   bool // a winning proof is being made
	messages  int  // sent for sectors and not landed
	perEpoch  float64
	running   int // tasks that a stop of this process throws away
}

// sealed is a sector under way.
type sealed struct {
	number abi.SectorNumber
	state  sector.State
	limit  abi.ChainEpoch // 0 = none
	what   string         // is over from limit on
}

// Maintenance tells whether the sealer can stand still for so long.
func (s *Service) Maintenance(ctx context.Context, length time.Duration) (*sealerapi.Maintenance, error) {
	if length < 0 {
		return nil, api.Errorf(api.CodeInvalid, "nothing lasts %s", length)
	}
	list, err := s.ProvingDeadlines(ctx)
	if err != nil {
		return nil, err
	}
	info, err := s.Info(ctx)
	if err != nil {
		return nil, err
	}
	delay := s.network.BlockDelay
	p := pause{
		at: info.Epoch, back: info.Epoch + abi.ChainEpoch((length+delay-1)/delay), deadlines: list, plan: s.wdpost.Snapshot(),
		perEpoch: info.ExpectedPerWeek / float64(7*24*time.Hour/delay),
	}
	for _, r := range s.pipeline.List() {
		if r.State == sector.Proving || r.State == sector.Removed {
			continue
		}
		w := s.pipeline.Why(r)
		p.sealing = append(p.sealing, sealed{number: r.Number, state: r.State, limit: w.LimitEpoch, what: w.Limit})
		switch r.State {
		case sector.PreCommitWait, sector.PreCommitBatchWait, sector.CommitWait, sector.CommitAggregateWait, sector.TerminateWait, sector.ReplicaUpdateWait:
			p.messages++
		}
	}
	for _, t := range s.queue.Reserved() {
		p.winning = p.winning || t.Kind == sched.WinningPoSt
	}
	for _, w := range s.queue.Workers() {
		if !w.Remote {
			p.running += len(w.Tasks)
		}
	}
	out := p.judge()
	out.BlockDelay = delay
	return out, nil
}

// judge weighs what would be lost: pure, so that a test can ask at every epoch.
func (p pause) judge() *sealerapi.Maintenance {
	m := &sealerapi.Maintenance{Epoch: p.at, Back: p.back, Until: -1, Reasons: []sealerapi.MaintenanceReason{}, Notes: []string{}}
	against := func(kind string, over abi.ChainEpoch, format string, args ...any) {
		m.Reasons = append(m.Reasons, sealerapi.MaintenanceReason{Kind: kind, Over: over, Text: fmt.Sprintf(format, args...)})
	}
	until := func(e abi.ChainEpoch) {
		if m.Until < 0 || e < m.Until {
			m.Until = e
		}
	}
	for _, d := range p.deadlines {
		if d.Sectors <= d.Faults-min(d.Recovering, d.Faults) || p.proven(d) {
			continue
		}
		// Half of the window is kept for making the proof and getting it on the chain.
		latest := d.Close - (d.Close-d.Open)/2
		until(latest)
		if p.back > latest {
			against("deadline", d.Close, "deadline %d (epochs %d to %d) is not proven, with %d sectors: the sealer must be back by epoch %d", d.Index, d.Open, d.Close, d.Sectors-d.Faults+d.Recovering, latest)
		}
	}
	for _, c := range p.plan.Checks {
		open := c.FaultsDeclared+c.RecoverDeclared > 0
		if !c.Done && open && p.at < c.Cutoff {
			until(c.Cutoff)
			if p.back >= c.Cutoff {
				against("declaration", c.Cutoff, "faults or recoveries of deadline %d are sent and not on the chain, which takes them before epoch %d", c.Index, c.Cutoff)
			}
		}
	}
	for _, x := range p.sealing {
		if x.limit > p.at {
			until(x.limit)
			if p.back >= x.limit {
				against("sealing", x.limit, "sector %d (%s): from epoch %d on, %s", x.number, x.state, x.limit, x.what)
			}
		}
	}
	if p.winning {
		against("block", p.at+1, "the proof of a block that was won is being made")
	}
	p.notes(m)
	slices.SortStableFunc(m.Reasons, func(a, b sealerapi.MaintenanceReason) int { return cmp.Compare(a.Over, b.Over) })
	m.Safe = len(m.Reasons) == 0
	return m
}

// proven tells whether nothing is left to do for the next end of a deadline.
func (p pause) proven(d sealerapi.DeadlineInfo) bool {
	for _, w := range p.plan.Windows {
		if w.Open == d.Open {
			return w.Loaded && !slices.ContainsFunc(w.Groups, func(g wdpost.Group) bool { return g.Phase != wdpost.Landed })
		}
	}
	return false
}

func (p pause) notes(m *sealerapi.Maintenance) {
	if blocks := p.perEpoch * float64(p.back-p.at); blocks >= 0.005 {
		m.Notes = append(m.Notes, fmt.Sprintf("about %.2f blocks are expected to be won in that time and would be lost", blocks))
	}
	if p.messages > 0 {
		m.Notes = append(m.Notes, fmt.Sprintf("messages of %d sectors have not landed: leave venus-messager and the node running", p.messages))
	}
	if p.running > 0 {
		m.Notes = append(m.Notes, fmt.Sprintf("%d tasks run in this process and would begin again", p.running))
	}
}

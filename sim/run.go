package sim

import (
	"context"
	"fmt"
	"math"
	gobig "math/big"
	"strings"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/ipfs/go-cid"

	"github.com/filecoin-venus/venus/chain"
	"github.com/filecoin-venus/venus/ipld"
	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/state/check"
	"github.com/filecoin-venus/venus/types"
	"github.com/filecoin-venus/venus/vm"
)

type bigFloat = gobig.Float

// sigmas is how far wins may lie from expectation: with 64 miners, one run of 250 lies farther by chance.
const sigmas = 4

// auditEvery is the distance between two readings of the whole state, in epochs; progress is told as often.
const auditEvery = 500

// MinerReport is the record of one miner.
type MinerReport struct {
	Miner   address.Address
	Sectors int
	// Wins is the sum of win counts, Expected and Sigma what the lottery promises.
	Wins     int64
	Expected float64
	Sigma    float64
	Blocks   int64
	// PostsDue counts the deadlines with sectors that closed, PostsLanded those proven on chain in time.
	PostsDue    int
	PostsLanded int
	// Faulty counts the sectors that are faulty at the end.
	Faulty uint64
}

// Report is the outcome of a simulation.
type Report struct {
	Epochs     abi.ChainEpoch
	Tipsets    int64
	Blocks     int64
	NullRounds int64
	// Messages were executed, Failed of them with a non-zero exit.
	Messages int64
	Failed   int64
	Miners   []MinerReport
	// TotalFIL is the sum of all balances in attoFIL, the same after every epoch.
	TotalFIL abi.TokenAmount
	// Checks counts the states held against all invariants, one after each epoch, null rounds included; Audits those read as a whole, to see
	// that the checks from change to change miss nothing.
	Checks int64
	Audits int64
	// Operations tells what became of each kind of message, with Config.Operations.
	Operations []OperationReport `json:",omitempty"`
	Genesis    cid.Cid
	FinalRoot  cid.Cid
	Head       types.TipSetKey
}

func (r *Report) count(blocks []*types.FullBlock) {
	r.Epochs++
	if len(blocks) == 0 {
		r.NullRounds++
		return
	}
	r.Tipsets++
	r.Blocks += int64(len(blocks))
}

// Problems lists what a healthy chain would not show: wins too far from expectation, window proofs that did not land,
// messages that failed, money that appeared or vanished.
func (r *Report) Problems() []string {
	var out []string
	for _, m := range r.Miners {
		if d := math.Abs(float64(m.Wins) - m.Expected); d > sigmas*m.Sigma {
			out = append(out, fmt.Sprintf("miner %s won %d times where %.1f ± %.1f were expected", m.Miner, m.Wins, m.Expected, m.Sigma))
		}
		if m.PostsLanded != m.PostsDue && r.Operations == nil {
			out = append(out, fmt.Sprintf("miner %s landed %d of %d window proofs", m.Miner, m.PostsLanded, m.PostsDue))
		}
		if m.Faulty > 0 && r.Operations == nil {
			out = append(out, fmt.Sprintf("miner %s has %d faulty sectors", m.Miner, m.Faulty))
		}
	}
	if r.Failed > 0 {
		out = append(out, fmt.Sprintf("%d of %d messages failed", r.Failed, r.Messages))
	}
	if want := big.Mul(big.NewInt(params.TotalFIL), oneFIL()); !r.TotalFIL.Equals(want) {
		out = append(out, fmt.Sprintf("all balances sum to %s attoFIL, not %s", r.TotalFIL, want))
	}
	return out
}

// Run mines a chain and reports. The error is for simulations that could not go on; judge the outcome by Report.Problems.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	w, err := NewWorld(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("set up simulation: %w", err)
	}
	defer w.Exec.Close()
	for w.epoch < cfg.Epochs {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if _, err := w.Step(ctx); err != nil {
			return nil, fmt.Errorf("simulation at epoch %d: %w", w.epoch, err)
		}
		if w.epoch%auditEvery == 0 {
			if err := w.audit(ctx); err != nil {
				return nil, fmt.Errorf("simulation at epoch %d: %w", w.epoch, err)
			}
			if cfg.Progress != nil {
				cfg.Progress(w.epoch, w.Store.Head())
			}
		}
	}
	return w.Report(ctx)
}

// checked is a machine whose last state is held against all invariants before anyone gets to see it.
type checked struct {
	chain.Machine
	w   *World
	cfg vm.Config
}

// machine opens the machine of an epoch. Null rounds have machines of their own, and so their states are checked too.
func (w *World) machine(ctx context.Context, cfg vm.Config) (chain.Machine, error) {
	m, err := chain.VMachine(ctx, cfg)
	return &checked{m, w, cfg}, err
}

// Flush implements chain.Machine.
func (m *checked) Flush(ctx context.Context) (cid.Cid, error) {
	root, err := m.Machine.Flush(ctx)
	if err != nil {
		return root, err
	}
	w := m.w
	found, err := w.checker.Check(ctx, ipld.NewStore(ctx, m.cfg.Blocks), root, m.cfg.Epoch)
	if err != nil {
		return root, err
	}
	w.report.Checks++
	w.report.TotalFIL = w.checker.TotalFIL()
	if len(found) > 0 {
		return root, fmt.Errorf("seed %d: the state %s after epoch %d breaks %d invariants: %s", w.cfg.Seed, root, m.cfg.Epoch, len(found), strings.Join(found, "; "))
	}
	return root, nil
}

// audit reads the whole state after head, and demands that nothing is wrong with it that check did not see.
func (w *World) audit(ctx context.Context) error {
	head := w.Store.Head()
	res, err := w.Exec.Execute(ctx, head)
	if err != nil {
		return err
	}
	found, err := check.Full(ctx, ipld.NewStore(ctx, w.cfg.Blocks), res.State, head.Height())
	if err != nil {
		return err
	}
	w.report.Audits++
	if len(found) > 0 {
		return fmt.Errorf("seed %d: the whole state %s breaks %d invariants: %s", w.cfg.Seed, res.State, len(found), strings.Join(found, "; "))
	}
	return nil
}

// Report closes the books at the present head.
func (w *World) Report(ctx context.Context) (*Report, error) {
	head := w.Store.Head()
	if err := w.settle(ctx, head); err != nil {
		return nil, err
	}
	if err := w.audit(ctx); err != nil {
		return nil, err
	}
	res, err := w.Exec.Execute(ctx, head)
	if err != nil {
		return nil, err
	}
	after := w.Store.View(res.State)
	out := w.report
	if w.ops != nil {
		out.Operations = w.ops.reports()
	}
	out.Genesis, out.Head, out.FinalRoot = w.Store.Genesis().Cids()[0], head.Key(), res.State
	for _, m := range w.Miners {
		s := m.stats
		faulty, err := after.FaultySectors(ctx, m.ID)
		if err != nil {
			return nil, err
		}
		if s.Faulty, err = faulty.Count(); err != nil {
			return nil, err
		}
		for _, p := range m.sent {
			// A deadline counts once its last epoch is behind the head.
			if p.close <= head.Height() {
				s.PostsDue++
				if p.landed {
					s.PostsLanded++
				}
			}
		}
		out.Miners = append(out.Miners, s)
	}
	return &out, nil
}

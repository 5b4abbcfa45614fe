package sim

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/go-state-types/proof"
	"github.com/ipfs/go-cid"
	"golang.org/x/sync/errgroup"

	"github.com/filecoin-venus/venus/consensus"
	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/types"
)

// feeCap is what simulated messages offer per gas: above the first base fee, which then falls.
const feeCap = 2 * params.InitialBaseFee

func message(to address.Address, value abi.TokenAmount, method abi.MethodNum, body []byte, gas int64) types.Message {
	return types.Message{
		To: to, Value: value, Method: method, Params: body, GasLimit: gas,
		GasFeeCap: big.NewInt(feeCap), GasPremium: big.NewInt(params.InitialBaseFee / 1000),
	}
}

// Send puts a transfer into the pool.
func (w *World) Send(from Key, to address.Address, value abi.TokenAmount) (*types.SignedMessage, error) {
	return w.pool.add(from, message(to, value, 0, nil, 10_000_000))
}

// Step mines the next epoch: the clock moves on, every miner tries on the present head, winners' blocks are validated and
// accepted. It returns the blocks, none in a null round.
func (w *World) Step(ctx context.Context) ([]*types.FullBlock, error) {
	w.epoch++
	due := time.Unix(genesisTime, 0).Add(time.Duration(w.epoch) * w.Net.BlockDelay)
	w.Clock.Advance(due.Sub(w.Clock.Now()))
	base := w.Store.Head()
	res, err := w.Exec.Execute(ctx, base)
	if err != nil {
		return nil, err
	}
	after := w.Store.View(res.State)
	if err := w.settle(ctx, base); err != nil {
		return nil, err
	}
	if err := w.sendPosts(ctx, base, after); err != nil {
		return nil, err
	}
	if w.ops != nil {
		if err := w.ops.send(ctx, base, after); err != nil {
			return nil, err
		}
	}
	if err := w.traffic(); err != nil {
		return nil, err
	}
	blocks, err := w.mineAll(ctx, base)
	if err != nil {
		return nil, err
	}
	spot := 0
	if w.cfg.Spot && len(blocks) > 0 {
		spot = int(w.epoch) % len(blocks)
	}
	for i, b := range blocks {
		if !w.cfg.Spot || i == spot {
			if err := w.Validator.ValidateBlock(ctx, b); err != nil {
				return nil, err
			}
		}
		if _, _, err := w.Store.Accept(ctx, b.Header); err != nil {
			return nil, err
		}
	}
	w.report.count(blocks)
	return blocks, nil
}

// mineAll lets all miners try at once; the blocks come in the miners' order.
func (w *World) mineAll(ctx context.Context, base *types.TipSet) ([]*types.FullBlock, error) {
	tries := make([]*types.FullBlock, len(w.Miners))
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i, m := range w.Miners {
		group.Go(func() (err error) {
			tries[i], err = w.Mine(gctx, m, base, w.epoch)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	var blocks []*types.FullBlock
	for i, b := range tries {
		if b != nil {
			w.Miners[i].stats.Wins += b.Header.ElectionProof.WinCount
			w.Miners[i].stats.Blocks++
			blocks = append(blocks, b)
		}
	}
	return blocks, nil
}

// traffic adds some transfers: the faucet pays miners' owners and strangers, owners pay back.
func (w *World) traffic() error {
	if w.cfg.Quiet {
		return nil
	}
	switch w.rng.Intn(4) {
	case 0:
		to := w.Miners[w.rng.Intn(len(w.Miners))].Key.Address
		_, err := w.Send(w.Faucet, to, big.NewInt(w.rng.Int63n(1e15)))
		return err
	case 1:
		owner := w.Miners[w.rng.Intn(len(w.Miners))].Key
		_, err := w.Send(owner, w.Faucet.Address, big.NewInt(w.rng.Int63n(1e15)))
		return err
	case 2:
		if w.rng.Intn(16) != 0 {
			return nil
		}
		stranger, err := address.NewSecp256k1Address(number(w.rng.Uint64()))
		if err != nil {
			return err
		}
		_, err = w.Send(w.Faucet, stranger, big.NewInt(1+w.rng.Int63n(1e15)))
		return err
	}
	return nil
}

// Mine lets one miner try for an epoch on a base; nil when it does not win. The block is signed but neither validated nor
// accepted.
func (w *World) Mine(ctx context.Context, m *Miner, base *types.TipSet, round abi.ChainEpoch) (*types.FullBlock, error) {
	if base.Height() <= m.born && m.born > 0 {
		return nil, nil
	}
	info, err := w.Producer.Draw(ctx, m.ID, round, base)
	if err != nil {
		return nil, err
	}
	if info == nil || !info.EligibleForMining && !m.reckless {
		return nil, nil
	}
	m.expect(info)
	m.worker = m.Key
	if info.WorkerKey != m.Key.Address {
		known := false
		if m.worker, known = w.keys[info.WorkerKey]; !known {
			return nil, fmt.Errorf("worker %s of %s at epoch %d is nobody's key", info.WorkerKey, m.ID, round)
		}
	}
	electionBase, err := consensus.ElectionBase(info.Beacon(), round, m.ID)
	if err != nil {
		return nil, err
	}
	vrf, err := m.worker.Sign(electionBase)
	if err != nil {
		return nil, err
	}
	wins := consensus.WinCount(vrf.Data, info.MinerPower, info.NetworkPower)
	if wins < 1 {
		return nil, nil
	}
	if info, err = w.Producer.MiningBase(ctx, m.ID, round, base); err != nil {
		return nil, err
	}
	if info == nil {
		return nil, fmt.Errorf("%s won epoch %d by its power, and has no sectors to prove it with", m.ID, round)
	}
	template, err := w.fill(ctx, m, info, base, round)
	if err != nil {
		return nil, fmt.Errorf("block of %s at epoch %d: %w", m.ID, round, err)
	}
	template.Eproof = &types.ElectionProof{WinCount: wins, VRFProof: vrf.Data}
	full, err := w.Producer.CreateBlock(ctx, template)
	if err != nil {
		return nil, err
	}
	return full, w.Sign(m, full.Header)
}

// Sign puts a miner's signature on a header, with the worker key of its last try.
func (w *World) Sign(m *Miner, h *types.BlockHeader) error {
	body, err := h.SigningBytes()
	if err != nil {
		return err
	}
	h.BlockSig, err = m.worker.Sign(body)
	return err
}

// fill makes ticket, winning proof and message list of a block.
func (w *World) fill(ctx context.Context, m *Miner, info *consensus.MiningBase, base *types.TipSet, round abi.ChainEpoch) (*consensus.BlockTemplate, error) {
	ticketBase, err := consensus.TicketBase(info.Beacon(), round, m.ID, base.MinTicket())
	if err != nil {
		return nil, err
	}
	ticket, err := m.worker.Sign(ticketBase)
	if err != nil {
		return nil, err
	}
	seed, err := consensus.WinningPoStRandomness(info.Beacon(), round, m.ID)
	if err != nil {
		return nil, err
	}
	challenged := make([]proof.SectorInfo, len(info.Sectors))
	for i, s := range info.Sectors {
		challenged[i] = proof.SectorInfo{SealProof: s.SealProof, SectorNumber: s.SectorNumber, SealedCID: s.SealedCID}
	}
	kind, err := challenged[0].SealProof.RegisteredWinningPoStProof()
	if err != nil {
		return nil, err
	}
	res, err := w.Exec.Execute(ctx, base)
	if err != nil {
		return nil, err
	}
	msgs, err := w.pool.ready(ctx, w.Store.View(res.State))
	if err != nil {
		return nil, err
	}
	return &consensus.BlockTemplate{
		Miner: m.ID, Parents: base.Key(), Ticket: &types.Ticket{VRFProof: ticket.Data}, BeaconValues: info.BeaconEntries,
		Messages: msgs, Epoch: round, Timestamp: base.MinTimestamp() + w.Net.BlockDelaySecs()*uint64(round-base.Height()),
		WinningPoStProof: []proof.PoStProof{{PoStProof: kind, ProofBytes: postProof("winning", seed, m.Actor, challenged)}},
	}, nil
}

// expect adds an epoch's expected wins to a miner's account.
func (m *Miner) expect(info *consensus.MiningBase) {
	share, _ := new(bigFloat).Quo(new(bigFloat).SetInt(info.MinerPower.Int), new(bigFloat).SetInt(info.NetworkPower.Int)).Float64()
	m.stats.Expected += share * params.ExpectedLeadersPerEpoch
	m.stats.Sigma = math.Sqrt(m.stats.Expected)
}

// settle looks at the receipts of every tipset up to head, each once.
func (w *World) settle(ctx context.Context, head *types.TipSet) error {
	_, apply, err := w.Store.Path(ctx, w.settled, head)
	if err != nil {
		return err
	}
	for _, ts := range apply {
		if err := w.settleTipSet(ctx, ts); err != nil {
			return fmt.Errorf("outcome of epoch %d: %w", ts.Height(), err)
		}
	}
	w.settled = head
	return nil
}

func (w *World) settleTipSet(ctx context.Context, ts *types.TipSet) error {
	res, err := w.Exec.Execute(ctx, ts)
	if err != nil {
		return err
	}
	parent, err := w.Store.Parent(ctx, ts)
	if err != nil {
		return err
	}
	receipts, err := w.Store.Receipts(ctx, res.Receipts)
	if err != nil {
		return err
	}
	lists, err := w.Store.ExecutionList(ctx, ts)
	if err != nil {
		return err
	}
	x := &execution{
		ctx: ctx, epoch: ts.Height(), before: w.Store.View(ts.ParentState()), after: w.Store.View(res.State),
		nulls: ts.Height() - parent.Height() - 1,
	}
	i := 0
	for _, b := range lists {
		for _, m := range b.All() {
			x.receipt = receipts[i]
			if err := w.outcome(x, m.Cid()); err != nil {
				return err
			}
			i++
		}
	}
	if w.ops == nil {
		return nil
	}
	return w.ops.close(x)
}

// outcome books one executed message.
func (w *World) outcome(x *execution, id cid.Cid) error {
	w.report.Messages++
	d := w.sent[id]
	if d == nil {
		if x.receipt.ExitCode != 0 {
			w.report.Failed++
		}
		return nil
	}
	delete(w.sent, id)
	failed, err := d.settle(x)
	if failed {
		w.report.Failed++
	}
	if err != nil {
		return fmt.Errorf("seed %d, message %s (%s, method %d of %s): %w", w.cfg.Seed, id, d.kind, d.msg.Method, d.msg.To, err)
	}
	return nil
}

package mining

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/proof"

	nodeapi "github.com/filecoin-venus/venus/api/node"
	"github.com/filecoin-venus/venus/consensus"
	"github.com/filecoin-venus/venus/types"
)

// proofTimeout bounds one winning proof; a round that is over ends it sooner.
const proofTimeout = 5 * time.Minute

// warmFor is how long after a proof the sealer's caches count as warm.
const warmFor = 30 * time.Minute

// sickFor is after how many epochs a sealer that failed is tried again.
const sickFor = 10

// election is a won election: it holds for its round on every base.
type election struct {
	round  abi.ChainEpoch
	beacon types.BeaconEntry
	proof  *types.ElectionProof
}

// attempt tries to win a round on the current base and to bring its block out, and keeps the story of a win.
func (m *runner) attempt(ctx context.Context, round abi.ChainEpoch, changed <-chan struct{}) outcome {
	if m.skips(round) {
		return passed
	}
	out := m.try(ctx, round, changed)
	m.saveWin(ctx, round)
	return out
}

func (m *runner) try(ctx context.Context, round abi.ChainEpoch, changed <-chan struct{}) outcome {
	rctx, cancel := until(ctx, changed)
	defer cancel()
	if err := m.held(rctx); err != nil {
		return m.fail(rctx, round, "%w", err)
	}
	info, err := m.nodes.MinerGetBaseInfo(rctx, m.addr, round, m.base.Key())
	if err != nil {
		return m.fail(rctx, round, "base info from the node: %w", err)
	}
	if info == nil || len(info.Sectors) == 0 {
		m.state.went(round, "no power yet: no sector of the miner is proven in the state that elections look back to")
		return passed
	}
	if !info.EligibleForMining {
		m.state.went(round, "not eligible: power below the minimum, a debt, or a consensus fault within its time")
		return passed
	}
	won, err := m.elect(rctx, round, info)
	if err != nil {
		return m.fail(rctx, round, "election proof from the wallet: %w", err)
	}
	if won == nil {
		m.warmUp(ctx, round, info)
		m.state.went(round, "lost the election")
		return passed
	}
	task, err := m.prove(ctx, round, won.beacon, info)
	if err != nil {
		return m.fail(rctx, round, "%w", err)
	}
	m.won(ctx, round, won.proof.WinCount)
	ticket, err := m.ticket(rctx, round, won.beacon, info)
	if err != nil {
		return m.fail(rctx, round, "ticket from the wallet: %w", err)
	}
	if !m.await(ctx, round, task.done) {
		if ctx.Err() == nil && m.clock.Now().Sub(m.proved) > m.timing.BlockDelay/2 {
			m.state.proof(fmt.Errorf("none came within %s", m.clock.Now().Sub(m.proved).Round(time.Millisecond)))
		}
		return m.over(round, "the winning proof")
	}
	if task.err != nil {
		m.task = nil // another try is another task
		return m.fail(ctx, round, "winning proof from the sealer: %w", task.err)
	}
	m.mark(round, "the winning proof is there")
	return m.finish(ctx, round, won, ticket, task.proofs, info)
}

// finish makes the block late enough to hold fresh messages and the whole base, and brings it out at its time.
func (m *runner) finish(ctx context.Context, round abi.ChainEpoch, won *election, ticket *types.Ticket, proofs []proof.PoStProof, info *nodeapi.MiningBaseInfo) outcome {
	at := m.blockTime(round)
	if !m.awaitTime(ctx, round, at.Add(-m.lead())) {
		return m.over(round, "its time")
	}
	template := &nodeapi.BlockTemplate{
		Miner: m.addr, Parents: m.base.Key(), Ticket: ticket, Eproof: won.proof, BeaconValues: info.BeaconEntries,
		Epoch: round, Timestamp: uint64(at.Unix()), WinningPoStProof: proofs,
	}
	began := m.clock.Now()
	block, err := m.build(ctx, template)
	if err != nil {
		return m.fail(ctx, round, "block from the node: %w", err)
	}
	m.mark(round, "the node made a block on %d with %d messages", m.base.Height(), len(block.BlsMessages)+len(block.SecpkMessages))
	m.buildTime += (m.clock.Now().Sub(began) - m.buildTime) / 4
	if !m.awaitTime(ctx, round, at) {
		return m.over(round, "its time")
	}
	return m.bringOut(ctx, round, block, won.proof.WinCount, info.WorkerKey)
}

// over ends an attempt whose base is not the head's any more; waited says what had not come by then.
func (m *runner) over(round abi.ChainEpoch, waited string) outcome {
	m.state.went(round, "won, but the head moved on before %s", waited)
	m.failed(round, "the head moved on before %s", waited)
	return moved
}

// fail notes why an attempt came to nothing, unless the head moved meanwhile: then that is why.
func (m *runner) fail(ctx context.Context, round abi.ChainEpoch, format string, args ...any) outcome {
	err := fmt.Errorf(format, args...)
	if ctx.Err() != nil {
		if m.clock.Now().Sub(m.began) > m.timing.BlockDelay/2 { // somebody has not answered for long
			m.state.failed(round, "no answer before the head moved on: %s", err)
			m.failed(round, "no answer before the head moved on: %s", err)
		}
		return moved
	}
	if m.said != err.Error() { // said once, not every epoch
		m.said = err.Error()
		log.Warnf("%s epoch %d: %s", m.addr, round, err)
	}
	m.state.failed(round, "%s", err)
	m.failed(round, "%s", err)
	return passed
}

// lead is how long before its timestamp a block is made.
func (m *runner) lead() time.Duration {
	return min(m.timing.BlockDelay/5+4*m.buildTime, m.timing.BlockDelay-m.timing.Propagation)
}

// elect runs the election of a round; nil when it is lost. A VRF made for the round is not asked for again.
func (m *runner) elect(ctx context.Context, round abi.ChainEpoch, info *nodeapi.MiningBaseInfo) (*election, error) {
	beacon := randomBase(info)
	e := m.election
	if e == nil || e.round != round || !bytes.Equal(e.beacon.Data, beacon.Data) {
		draw, err := electionDraw(beacon, m.addr, round)
		if err != nil {
			return nil, err
		}
		out, err := vrf(ctx, m.services.Wallet, info.WorkerKey, draw)
		if err != nil {
			return nil, err
		}
		e = &election{round: round, beacon: beacon, proof: &types.ElectionProof{VRFProof: out}}
	}
	e.proof.WinCount = consensus.WinCount(e.proof.VRFProof, info.MinerPower, info.NetworkPower)
	m.election = e
	m.hold(round, info, e.proof.WinCount)
	if e.proof.WinCount < 1 {
		m.lost[round] = true
		return nil, nil
	}
	return e, nil
}

func (m *runner) ticket(ctx context.Context, round abi.ChainEpoch, beacon types.BeaconEntry, info *nodeapi.MiningBaseInfo) (*types.Ticket, error) {
	draw, err := ticketDraw(beacon, m.addr, round, m.base)
	if err != nil {
		return nil, err
	}
	out, err := vrf(ctx, m.services.Wallet, info.WorkerKey, draw)
	if err != nil {
		return nil, err
	}
	return &types.Ticket{VRFProof: out}, nil
}

// proofTask is a winning proof on its way. Its fields are set before done closes.
type proofTask struct {
	key    string
	cancel context.CancelFunc
	done   chan struct{}
	proofs []proof.PoStProof
	err    error
}

// prove starts the winning proof of a round, or returns the one that runs: it depends on the round and on the sector, not
// on the base.
func (m *runner) prove(ctx context.Context, round abi.ChainEpoch, beacon types.BeaconEntry, info *nodeapi.MiningBaseInfo) (*proofTask, error) {
	randomness, err := consensus.WinningPoStRandomness(beacon, round, m.addr)
	if err != nil {
		return nil, err
	}
	key, err := json.Marshal([]any{round, randomness, info.Sectors})
	if err != nil {
		return nil, fmt.Errorf("name the winning proof: %w", err)
	}
	if m.task != nil && m.task.key == string(key) {
		return m.task, nil
	}
	if m.task != nil {
		m.task.cancel()
	}
	pctx, cancel := context.WithTimeout(ctx, proofTimeout)
	t := &proofTask{key: string(key), cancel: cancel, done: make(chan struct{})}
	m.task, m.proved = t, m.clock.Now()
	sealer, sectors := m.services.Sealer, info.Sectors
	go func() {
		defer cancel()
		defer close(t.done)
		began := m.clock.Now()
		t.err = guarded(func() (err error) {
			if t.proofs, err = sealer.ComputeProof(pctx, sectors, randomness); err == nil && len(t.proofs) == 0 {
				err = errors.New("the sealer answered without a proof")
			}
			return err
		})
		if pctx.Err() == nil { // a proof that nobody waits for any more tells nothing
			m.meters.proof(m.clock.Now().Sub(began), t.err)
			m.state.proof(t.err)
		}
	}()
	return t, nil
}

// warmUp makes a proof for nothing after the start and whenever none was made for long, so that caches stay warm and a
// sealer that cannot prove is known before it costs a block.
func (m *runner) warmUp(ctx context.Context, round abi.ChainEpoch, info *nodeapi.MiningBaseInfo) {
	again := warmFor
	if m.state.unproven() {
		again = sickFor * m.timing.BlockDelay
	}
	if !m.proved.IsZero() && m.clock.Now().Sub(m.proved) < again {
		return
	}
	_, _ = m.prove(ctx, round, randomBase(info), info) // the state tells how it went
}

// build has the node make the block. Without messages a block is still worth its reward.
func (m *runner) build(ctx context.Context, t *nodeapi.BlockTemplate) (*types.BlockMsg, error) {
	messages, err := m.selects.messages(ctx, m.nodes, m.addr, t.Parents, t.Ticket.Quality())
	if err != nil {
		log.Warnf("%s epoch %d: no messages from the pool, the block goes without: %s", m.addr, t.Epoch, err)
	}
	t.Messages = messages
	block, err := m.nodes.MinerCreateBlock(ctx, t)
	if err != nil && len(t.Messages) > 0 {
		log.Warnf("%s epoch %d: the node cannot make a block of the messages of its pool, the block goes without: %s", m.addr, t.Epoch, err)
		t.Messages = nil
		block, err = m.nodes.MinerCreateBlock(ctx, t)
	}
	if err != nil {
		return nil, err
	}
	if block == nil || block.Header == nil {
		return nil, errors.New("the node answered without a block")
	}
	h := block.Header
	if h.Miner != t.Miner || h.Height != t.Epoch || types.NewTipSetKey(h.Parents...) != t.Parents || h.Timestamp != t.Timestamp {
		return nil, fmt.Errorf("the node answered with the block of another template (miner %s, height %d)", h.Miner, h.Height)
	}
	h.BlockSig = nil
	return block, nil
}

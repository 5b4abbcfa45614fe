package sim

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/big"
	gscrypto "github.com/filecoin-project/go-state-types/crypto"
	"github.com/filecoin-project/go-state-types/proof"
	"github.com/ipfs/go-cid"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/chain"
	"github.com/filecoin-venus/venus/consensus"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/types"
)

// bench is a chain with one fresh valid block on its head that carries messages of both kinds.
type bench struct {
	*World
	ctx   context.Context
	base  *types.TipSet
	miner *Miner
	good  *types.FullBlock
	bls   []*types.SignedMessage
}

func newBench(t *testing.T) *bench {
	t.Helper()
	ctx := context.Background()
	w, err := NewWorld(ctx, Config{Miners: 4, Seed: 11, Quiet: true})
	require.NoError(t, err)
	t.Cleanup(w.Exec.Close)
	for range 6 {
		_, err := w.Step(ctx)
		require.NoError(t, err)
	}
	b := &bench{World: w, ctx: ctx}
	for {
		for _, k := range []Key{w.Miners[1].Key, w.Miners[1].Key, w.Miners[2].Key, w.Faucet, w.Faucet} {
			m, err := w.Send(k, w.Miners[0].Key.Address, big.NewInt(5))
			require.NoError(t, err)
			if m.Signature.Type == gscrypto.SigTypeBLS {
				b.bls = append(b.bls, m)
			}
		}
		w.epoch++
		w.Clock.Advance(w.Net.BlockDelay)
		b.base = w.Store.Head()
		for _, m := range w.Miners {
			full, err := w.Mine(ctx, m, b.base, w.epoch)
			require.NoError(t, err)
			// Parents of several blocks let their order be wrong.
			if full != nil && len(b.base.Blocks()) > 1 && len(full.Header.BeaconEntries) > 0 {
				b.miner, b.good = m, full
				require.NotEmpty(t, full.BlsMessages)
				require.NotEmpty(t, full.SecpkMessages)
				return b
			}
		}
		_, err := w.Step(ctx)
		require.NoError(t, err)
	}
}

// copyOf is a deep copy.
func copyOf(t *testing.T, b *types.FullBlock) *types.FullBlock {
	t.Helper()
	raw, err := b.Header.Serialize()
	require.NoError(t, err)
	h, err := types.DecodeBlock(raw)
	require.NoError(t, err)
	out := &types.FullBlock{Header: h}
	for _, m := range b.BlsMessages {
		c := *m
		out.BlsMessages = append(out.BlsMessages, &c)
	}
	for _, m := range b.SecpkMessages {
		c := *m
		c.Signature.Data = append([]byte(nil), m.Signature.Data...)
		out.SecpkMessages = append(out.SecpkMessages, &c)
	}
	return out
}

// reroot makes the header name the messages as they are.
func (b *bench) reroot(t *testing.T, f *types.FullBlock) {
	t.Helper()
	var err error
	f.Header.Messages, err = chain.MessageRoot(b.ctx, f.BlsMessages, f.SecpkMessages)
	require.NoError(t, err)
}

func flipCid(t *testing.T, c cid.Cid) cid.Cid {
	t.Helper()
	raw := c.Bytes()
	raw[len(raw)-1] ^= 1
	out, err := cid.Cast(raw)
	require.NoError(t, err)
	return out
}

type mutant struct {
	name   string
	rule   consensus.Rule
	change func(t *testing.T, b *bench, f *types.FullBlock)
}

// headerMutants change one thing of the header.
var headerMutants = []mutant{
	{"ticket bit", consensus.RuleTicket, func(_ *testing.T, _ *bench, f *types.FullBlock) { f.Header.Ticket.VRFProof[20] ^= 1 }},
	{"election proof bit", consensus.RuleElection, func(_ *testing.T, _ *bench, f *types.FullBlock) { f.Header.ElectionProof.VRFProof[20] ^= 1 }},
	{"beacon entry bit", consensus.RuleBeacon, func(_ *testing.T, _ *bench, f *types.FullBlock) { f.Header.BeaconEntries[0].Data[20] ^= 1 }},
	{"beacon round", consensus.RuleBeacon, func(_ *testing.T, _ *bench, f *types.FullBlock) { f.Header.BeaconEntries[0].Round++ }},
	{"beacon entry missing", consensus.RuleBeacon, func(_ *testing.T, _ *bench, f *types.FullBlock) { f.Header.BeaconEntries = nil }},
	{"beacon entry twice", consensus.RuleBeacon, func(_ *testing.T, _ *bench, f *types.FullBlock) {
		f.Header.BeaconEntries = append(f.Header.BeaconEntries, f.Header.BeaconEntries[0])
	}},
	{"winning proof bit", consensus.RuleWinningPoSt, func(_ *testing.T, _ *bench, f *types.FullBlock) { f.Header.WinPoStProof[0].ProofBytes[20] ^= 1 }},
	{"winning proof missing", consensus.RuleWinningPoSt, func(_ *testing.T, _ *bench, f *types.FullBlock) { f.Header.WinPoStProof = nil }},
	{"aggregate bit", consensus.RuleBLSAggregate, func(_ *testing.T, _ *bench, f *types.FullBlock) { f.Header.BLSAggregate.Data[20] ^= 1 }},
	{"aggregate short", consensus.RuleBLSAggregate, func(_ *testing.T, _ *bench, f *types.FullBlock) {
		f.Header.BLSAggregate.Data = f.Header.BLSAggregate.Data[:95]
	}},
	{"aggregate type", consensus.RuleBLSAggregate, func(_ *testing.T, _ *bench, f *types.FullBlock) { f.Header.BLSAggregate.Type = 1 }},
	{"state root bit", consensus.RuleStateRoot, func(t *testing.T, _ *bench, f *types.FullBlock) {
		f.Header.ParentStateRoot = flipCid(t, f.Header.ParentStateRoot)
	}},
	{"receipts root bit", consensus.RuleReceiptsRoot, func(t *testing.T, _ *bench, f *types.FullBlock) {
		f.Header.ParentMessageReceipts = flipCid(t, f.Header.ParentMessageReceipts)
	}},
	{"message root bit", consensus.RuleMessageRoot, func(t *testing.T, _ *bench, f *types.FullBlock) { f.Header.Messages = flipCid(t, f.Header.Messages) }},
	{"timestamp late", consensus.RuleTimestamp, func(_ *testing.T, _ *bench, f *types.FullBlock) { f.Header.Timestamp ^= 1 }},
	{"weight up", consensus.RuleWeight, func(_ *testing.T, _ *bench, f *types.FullBlock) {
		f.Header.ParentWeight = big.Add(f.Header.ParentWeight, big.NewInt(1))
	}},
	{"weight down", consensus.RuleWeight, func(_ *testing.T, _ *bench, f *types.FullBlock) {
		f.Header.ParentWeight = big.Sub(f.Header.ParentWeight, big.NewInt(1))
	}},
	{"base fee up", consensus.RuleBaseFee, func(_ *testing.T, _ *bench, f *types.FullBlock) {
		f.Header.ParentBaseFee = big.Add(f.Header.ParentBaseFee, big.NewInt(1))
	}},
	{"base fee down", consensus.RuleBaseFee, func(_ *testing.T, _ *bench, f *types.FullBlock) {
		f.Header.ParentBaseFee = big.Sub(f.Header.ParentBaseFee, big.NewInt(1))
	}},
	{"win count up", consensus.RuleWinCount, func(_ *testing.T, _ *bench, f *types.FullBlock) { f.Header.ElectionProof.WinCount++ }},
	{"win count zero", consensus.RuleWinCount, func(_ *testing.T, _ *bench, f *types.FullBlock) { f.Header.ElectionProof.WinCount = 0 }},
	{"height of the parents", consensus.RuleHeight, func(_ *testing.T, b *bench, f *types.FullBlock) { f.Header.Height = b.base.Height() }},
	{"height beyond reason", consensus.RuleHeight, func(_ *testing.T, _ *bench, f *types.FullBlock) {
		f.Header.Height = 1<<63 - 1
		f.Header.Timestamp = 1<<63 + genesisTime - 1
	}},
	{"height skips an epoch", consensus.RuleTimestamp, func(_ *testing.T, _ *bench, f *types.FullBlock) { f.Header.Height++ }},
	{"no parents", consensus.RuleParents, func(_ *testing.T, _ *bench, f *types.FullBlock) { f.Header.Parents = nil }},
	{"parents out of order", consensus.RuleParents, func(_ *testing.T, _ *bench, f *types.FullBlock) {
		p := f.Header.Parents
		p[0], p[1] = p[1], p[0]
	}},
	{"unknown miner", consensus.RuleWorker, func(t *testing.T, _ *bench, f *types.FullBlock) {
		var err error
		f.Header.Miner, err = address.NewIDAddress(7777)
		require.NoError(t, err)
	}},
	{"miner by key", consensus.RuleMinerAddress, func(_ *testing.T, b *bench, f *types.FullBlock) { f.Header.Miner = b.Faucet.Address }},
	{"another miner", consensus.RuleTicket, func(_ *testing.T, b *bench, f *types.FullBlock) {
		for _, m := range b.Miners {
			if m.ID != f.Header.Miner {
				f.Header.Miner = m.ID
			}
		}
	}},
}

// messageMutants change the messages and keep the header's root in step.
var messageMutants = []mutant{
	{"nonce gap", consensus.RuleMessageNonce, func(_ *testing.T, _ *bench, f *types.FullBlock) { f.BlsMessages[0].Nonce += 5 }},
	{"message twice", consensus.RuleMessageNonce, func(_ *testing.T, _ *bench, f *types.FullBlock) {
		f.SecpkMessages = append(f.SecpkMessages, f.SecpkMessages[0])
	}},
	{"value bit under the aggregate", consensus.RuleBLSAggregate, func(_ *testing.T, _ *bench, f *types.FullBlock) { f.BlsMessages[0].Value = big.NewInt(4) }},
	{"secp signature bit", consensus.RuleMessageSignature, func(_ *testing.T, _ *bench, f *types.FullBlock) { f.SecpkMessages[0].Signature.Data[20] ^= 1 }},
	{"value under a secp signature", consensus.RuleMessageSignature, func(_ *testing.T, _ *bench, f *types.FullBlock) {
		f.SecpkMessages[0].Message.Value = big.NewInt(4)
	}},
	{"gas sum", consensus.RuleMessageGas, func(_ *testing.T, _ *bench, f *types.FullBlock) {
		for _, m := range f.SecpkMessages {
			m.Message.GasLimit = 9_000_000_000
		}
	}},
	{"gas below the message's own", consensus.RuleMessageSyntax, func(_ *testing.T, _ *bench, f *types.FullBlock) { f.BlsMessages[0].GasLimit = 1000 }},
	{"premium above cap", consensus.RuleMessageSyntax, func(_ *testing.T, _ *bench, f *types.FullBlock) {
		f.BlsMessages[0].GasPremium = big.Add(f.BlsMessages[0].GasFeeCap, big.NewInt(1))
	}},
	{"version", consensus.RuleMessageSyntax, func(_ *testing.T, _ *bench, f *types.FullBlock) { f.BlsMessages[0].Version = 1 }},
	{"negative value", consensus.RuleMessageSyntax, func(_ *testing.T, _ *bench, f *types.FullBlock) { f.BlsMessages[0].Value = big.NewInt(-1) }},
	{"sender from nowhere", consensus.RuleMessageSender, func(t *testing.T, _ *bench, f *types.FullBlock) {
		var err error
		f.BlsMessages[0].From, err = address.NewSecp256k1Address([]byte("nobody"))
		require.NoError(t, err)
	}},
	{"sender is a miner actor", consensus.RuleMessageSender, func(_ *testing.T, b *bench, f *types.FullBlock) { f.BlsMessages[0].From = b.miner.ID }},
}

func (b *bench) validate(f *types.FullBlock) error { return b.Validator.ValidateBlock(b.ctx, f) }

func (b *bench) mustReject(t *testing.T, f *types.FullBlock) *consensus.Reject {
	t.Helper()
	err := b.validate(f)
	require.Error(t, err)
	r, ok := consensus.IsReject(err)
	require.True(t, ok, "no rule is named: %v", err)
	// In a catch-up it was prechecked, which must not change the verdict.
	if ts, err := types.NewTipSet([]*types.BlockHeader{f.Header}); err == nil {
		_ = b.Validator.Precheck(b.ctx, b.base, []*types.TipSet{ts}) // neither may have been able to help
		_ = b.Validator.PrecheckMessages(b.ctx, f)
		after, ok := consensus.IsReject(b.validate(f))
		require.True(t, ok, "a precheck let it pass")
		require.Equal(t, r.Rule, after.Rule)
	}
	return r
}

// counting tells what a validator asks its verifier.
type counting struct {
	Verifier
	single, batched atomic.Int64
}

func (c *counting) VerifyWinningPoSt(ctx context.Context, info proof.WinningPoStVerifyInfo) (bool, error) {
	c.single.Add(1)
	return c.Verifier.VerifyWinningPoSt(ctx, info)
}

func (c *counting) VerifyWinningPoStBatch(ctx context.Context, infos []proof.WinningPoStVerifyInfo) ([]bool, error) {
	c.batched.Add(int64(len(infos)))
	return c.Verifier.VerifyWinningPoStBatch(ctx, infos)
}

// TestPrecheck: a chain is prechecked from one judged tipset on, as far as its lookback reaches, and then judged without
// the checks that this spared; one bad signature, and all are judged in full.
func TestPrecheck(t *testing.T) {
	t.Parallel()
	w, err := NewWorld(t.Context(), Config{Miners: 4, Seed: 3, Quiet: true})
	require.NoError(t, err)
	t.Cleanup(w.Exec.Close)
	var chain []*types.TipSet
	blocks := map[types.TipSetKey][]*types.FullBlock{}
	for len(chain) < 12 {
		full, err := w.Step(t.Context())
		require.NoError(t, err)
		if len(full) > 0 {
			head := w.Store.Head()
			chain, blocks[head.Key()] = append(chain, head), full
		}
	}
	fresh := func() (*consensus.Validator, *counting) {
		c := new(counting)
		v, err := consensus.New(w.Exec, w.Schedule, c, w.Clock)
		require.NoError(t, err)
		return v, c
	}
	judge := func(v *consensus.Validator, tss []*types.TipSet) (n int64) {
		for _, ts := range tss {
			for _, b := range blocks[ts.Key()] {
				require.NoError(t, v.ValidateBlock(t.Context(), b))
				n++
			}
		}
		return n
	}
	genesis := w.Store.Genesis()
	near := chain
	for near[len(near)-1].Height() > genesis.Height()+w.Net.WinningPoStLookback {
		near = near[:len(near)-1]
	}
	require.NotEmpty(t, near)

	v, c := fresh()
	require.NoError(t, v.Precheck(t.Context(), genesis, chain))
	n := judge(v, near)
	require.Zero(t, c.single.Load())
	require.Equal(t, n, c.batched.Load(), "no further than the lookback, nothing twice")
	require.NoError(t, v.Precheck(t.Context(), genesis, near))
	require.Equal(t, n, c.batched.Load(), "what is judged is not prechecked again")

	v, c = fresh()
	bad := *chain[1].Blocks()[0]
	bad.ElectionProof = &types.ElectionProof{WinCount: bad.ElectionProof.WinCount, VRFProof: slices.Clone(bad.ElectionProof.VRFProof)}
	bad.ElectionProof.VRFProof[5] ^= 1
	forged, err := types.NewTipSet([]*types.BlockHeader{&bad})
	require.NoError(t, err)
	require.Error(t, v.Precheck(t.Context(), genesis, []*types.TipSet{chain[0], forged}))
	require.Equal(t, judge(v, chain[:1]), c.single.Load())

	require.Error(t, v.Precheck(t.Context(), genesis, chain[1:]), "it does not build on genesis")
}

// TestPrecheckMessages: messages are prechecked only in blocks whose headers were found good, and as those name them.
func TestPrecheckMessages(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	v := b.Validator
	require.Error(t, v.PrecheckMessages(b.ctx, b.good), "nobody vouches for its header")
	ts, err := types.NewTipSet([]*types.BlockHeader{b.good.Header})
	require.NoError(t, err)
	require.NoError(t, v.Precheck(b.ctx, b.base, []*types.TipSet{ts}))
	require.NoError(t, v.PrecheckMessages(b.ctx, b.good))
	fewer := copyOf(t, b.good)
	fewer.BlsMessages = fewer.BlsMessages[1:]
	require.Error(t, v.PrecheckMessages(b.ctx, fewer), "they are not the block's")
	forged := copyOf(t, b.good)
	forged.SecpkMessages[0].Signature.Data[7] ^= 1
	require.Error(t, v.PrecheckMessages(b.ctx, forged))
	require.NoError(t, b.validate(b.good))
	require.Error(t, b.validate(forged), "what is known of the block says nothing of other messages")
}

func TestEveryMutantIsRefusedByItsRule(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	rules := map[consensus.Rule]bool{}
	for _, m := range headerMutants {
		t.Run(m.name, func(t *testing.T) {
			f := copyOf(t, b.good)
			m.change(t, b, f)
			// As a stranger changes it: the signature is broken too, but the cause comes first.
			r := b.mustReject(t, f)
			require.Equal(t, m.rule, r.Rule, "%v", r)
			// As the miner itself would do it.
			require.NoError(t, b.Sign(b.miner, f.Header))
			r = b.mustReject(t, f)
			require.Equal(t, m.rule, r.Rule, "%v", r)
			for _, a := range r.Also {
				require.True(t, a.Rule != consensus.RuleSignature || m.name == "another miner", "%v", r)
			}
			rules[m.rule] = true
		})
	}
	for _, m := range messageMutants {
		t.Run(m.name, func(t *testing.T) {
			f := copyOf(t, b.good)
			m.change(t, b, f)
			r := b.mustReject(t, f)
			require.Equal(t, consensus.RuleMessageRoot, r.Rule)
			require.False(t, r.Condemns(), "wrong messages must not condemn a header")
			b.reroot(t, f)
			require.NoError(t, b.Sign(b.miner, f.Header))
			r = b.mustReject(t, f)
			require.Equal(t, m.rule, r.Rule, "%v", r)
			require.True(t, r.Condemns())
			rules[m.rule] = true
		})
	}
	require.NoError(t, b.validate(b.good), "the twin without changes is valid")
	t.Logf("%d mutants, %d rules", len(headerMutants)+len(messageMutants), len(rules))
}

func TestMutantsOfPresenceAndSignature(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for name, change := range map[string]func(h *types.BlockHeader){
		"ticket":    func(h *types.BlockHeader) { h.Ticket = nil },
		"election":  func(h *types.BlockHeader) { h.ElectionProof = nil },
		"signature": func(h *types.BlockHeader) { h.BlockSig = nil },
		"aggregate": func(h *types.BlockHeader) { h.BLSAggregate = nil },
	} {
		f := copyOf(t, b.good)
		change(f.Header)
		require.Equal(t, consensus.RulePresence, b.mustReject(t, f).Rule, name)
	}
	f := copyOf(t, b.good)
	f.Header.BlockSig.Data[20] ^= 1
	r := b.mustReject(t, f)
	require.Equal(t, consensus.RuleSignature, r.Rule)
	require.Empty(t, r.Also)
	f = copyOf(t, b.good)
	for _, m := range b.Miners {
		if m != b.miner {
			require.NoError(t, b.Sign(m, f.Header))
		}
	}
	require.Equal(t, consensus.RuleSignature, b.mustReject(t, f).Rule)
	f = copyOf(t, b.good)
	f.BlsMessages = f.BlsMessages[1:]
	r = b.mustReject(t, f)
	require.Equal(t, consensus.RuleMessageRoot, r.Rule)
	require.False(t, r.Condemns())
	require.NoError(t, b.validate(b.good))
	require.Equal(t, consensus.RuleMessageRoot, b.mustReject(t, f).Rule, "a header known to be good does not excuse other messages")
}

// A block of a later second is not bad, it is early.
func TestFutureBlocksWait(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	slow := clock.NewSim(time.Unix(int64(b.good.Header.Timestamp)-5, 0))
	v, err := consensus.New(b.Exec, b.Schedule, Verifier{}, slow)
	require.NoError(t, err)
	err = v.ValidateBlock(b.ctx, b.good)
	var early *consensus.FutureError
	require.ErrorAs(t, err, &early)
	_, rejected := consensus.IsReject(err)
	require.False(t, rejected)
	slow.Advance(4 * time.Second)
	require.NoError(t, v.ValidateBlock(b.ctx, b.good), "a second of drift is allowed")
}

// failing is a verifier that cannot answer.
type failing struct{ Verifier }

var errDisk = errors.New("disk on fire")

func (failing) VerifyWinningPoSt(context.Context, proof.WinningPoStVerifyInfo) (bool, error) {
	return false, errDisk
}

// What goes wrong on this node is no fault of the block.
func TestLocalFailuresCondemnNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	v, err := consensus.New(b.Exec, b.Schedule, failing{}, b.Clock)
	require.NoError(t, err)
	err = v.ValidateBlock(b.ctx, b.good)
	require.ErrorIs(t, err, errDisk)
	_, rejected := consensus.IsReject(err)
	require.False(t, rejected)
	// A fact about the block outweighs what could not be found out.
	f := copyOf(t, b.good)
	f.Header.Ticket.VRFProof[3] ^= 1
	r, rejected := consensus.IsReject(v.ValidateBlock(b.ctx, f))
	require.True(t, rejected)
	require.Equal(t, consensus.RuleTicket, r.Rule)

	ended, cancel := context.WithCancel(b.ctx)
	cancel()
	f = copyOf(t, b.good)
	f.Header.Parents = []cid.Cid{flipCid(t, f.Header.Parents[0])}
	err = v.ValidateBlock(ended, f)
	require.ErrorIs(t, err, chain.ErrMissingBlock)
	_, rejected = consensus.IsReject(err)
	require.False(t, rejected)
}

package chain

import (
	"bytes"
	"context"
	"fmt"
	"math/rand"
	"sync"
	"testing"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	fbig "github.com/filecoin-project/go-state-types/big"
	gscrypto "github.com/filecoin-project/go-state-types/crypto"
	"github.com/filecoin-project/go-state-types/exitcode"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/reward"
	"github.com/ipfs/go-cid"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/crypto"
	"github.com/filecoin-venus/venus/ipld"
	"github.com/filecoin-venus/venus/types"
	"github.com/filecoin-venus/venus/vm"
)

// pick selects over plain messages, as ExecutionList does.
func pick(t *testing.T, msgs []*types.Message) []*types.Message {
	t.Helper()
	ids := map[address.Address]address.Address{}
	p := newPicker(func(a address.Address) (address.Address, error) {
		if id, ok := ids[a]; ok {
			return id, nil
		}
		return a, nil
	})
	var out []*types.Message
	for _, m := range msgs {
		take, err := p.takes(m, m.Cid())
		require.NoError(t, err)
		if take {
			out = append(out, m)
		}
	}
	return out
}

func message(t testing.TB, from uint64, nonce uint64, value int64) *types.Message {
	t.Helper()
	f, err := address.NewIDAddress(from)
	require.NoError(t, err)
	to, err := address.NewIDAddress(99)
	require.NoError(t, err)
	return &types.Message{From: f, To: to, Nonce: nonce, Value: fbig.NewInt(value), GasLimit: 1_000_000, GasFeeCap: fbig.NewInt(100), GasPremium: fbig.NewInt(1)}
}

func TestPickerTakesRunsOfNoncesOnce(t *testing.T) {
	a0, a1, a2, a9 := message(t, 100, 5, 0), message(t, 100, 6, 0), message(t, 100, 7, 0), message(t, 100, 9, 0)
	rival := message(t, 100, 6, 1)
	b0 := message(t, 101, 0, 0)
	require.Equal(t, []*types.Message{a0, b0, a1, a2}, pick(t, []*types.Message{a0, b0, a0, a1, rival, a9, a2, b0}))

	// Whatever order blocks bring messages in, each sender's list is a run of nonces without repetition.
	rng := rand.New(rand.NewSource(3))
	for range 200 {
		var in []*types.Message
		for range 40 {
			in = append(in, message(t, 100+uint64(rng.Intn(3)), uint64(rng.Intn(6)), int64(rng.Intn(2))))
		}
		last := map[address.Address]uint64{}
		for _, m := range pick(t, in) {
			if prev, ok := last[m.From]; ok {
				require.Equal(t, prev+1, m.Nonce)
			}
			last[m.From] = m.Nonce
		}
	}
}

// journal is a machine that writes down what it is asked to do. Its state is a block naming the asks so far.
type journal struct {
	cfg  vm.Config
	log  *[]string
	mu   *sync.Mutex
	body []byte
}

func (j *journal) note(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	line := fmt.Sprintf(format, args...)
	*j.log = append(*j.log, line)
	j.body = append(j.body, line...)
}

func (j *journal) ApplyMessage(_ context.Context, m types.ChainMsg) (*vm.Result, error) {
	j.note("%d msg %d/%d", j.cfg.Epoch, idOf(m.VMMessage().From), m.VMMessage().Nonce)
	return &vm.Result{Receipt: types.MessageReceipt{ExitCode: exitcode.Ok, GasUsed: int64(m.VMMessage().Nonce) + 1}, Penalty: fbig.NewInt(2), MinerTip: fbig.NewInt(3)}, nil
}

func (j *journal) ApplyImplicit(_ context.Context, m *types.Message) (*vm.Result, error) {
	if m.To == builtin.RewardActorAddr {
		var p reward.AwardBlockRewardParams
		if err := p.UnmarshalCBOR(bytes.NewReader(m.Params)); err != nil {
			return nil, err
		}
		j.note("%d reward %d penalty %s tips %s wins %d", j.cfg.Epoch, idOf(p.Miner), p.Penalty, p.GasReward, p.WinCount)
	} else {
		j.note("%d cron %d", j.cfg.Epoch, m.Nonce)
	}
	return &vm.Result{}, nil
}

func (j *journal) Flush(ctx context.Context) (cid.Cid, error) {
	c, err := cid.V1Builder{Codec: cid.Raw, MhType: 0x12}.Sum(append(j.cfg.StateRoot.Bytes(), j.body...))
	if err != nil {
		return cid.Undef, err
	}
	return c, j.cfg.Blocks.Put(ctx, c, append(j.cfg.StateRoot.Bytes(), j.body...))
}

func idOf(a address.Address) uint64 {
	id, _ := address.IDFromAddress(a)
	return id
}

type epochRounds struct{}

func (epochRounds) MaxRoundForEpoch(e abi.ChainEpoch) uint64 { return uint64(e) + 100 }

// runner is the order of execution without the parts that need real state.
func runner(t *testing.T, lists []BlockMessages, to abi.ChainEpoch) []string {
	t.Helper()
	var lines []string
	var mu sync.Mutex
	ctx := context.Background()
	j := &journal{cfg: vm.Config{Epoch: to, StateRoot: someCid(t, 1), Blocks: ipld.NewMemory()}, log: &lines, mu: &mu}
	receipts, err := applyBlocks(ctx, j, lists, nil)
	require.NoError(t, err)
	require.NoError(t, applyImplicit(ctx, j, cronMessage(to), nil))
	store := newStore(t, ipld.NewMemory(), NewMemoryMeta())
	root, err := putReceipts(ctx, store.blocks, receipts)
	require.NoError(t, err)
	back, err := store.Receipts(ctx, root)
	require.NoError(t, err)
	require.Len(t, back, len(receipts))
	for i := range receipts {
		require.True(t, receipts[i].Equals(&back[i]))
		one, err := store.Receipt(ctx, root, i)
		require.NoError(t, err)
		require.True(t, receipts[i].Equals(one))
	}
	_, err = store.Receipt(ctx, root, len(receipts))
	require.Error(t, err)
	return lines
}

func TestOrderOfExecution(t *testing.T) {
	one, two := header(t, 1000, "x", 7), header(t, 1001, "y", 7)
	two.ElectionProof.WinCount = 3
	lists := []BlockMessages{
		{Header: one, Bls: []*types.Message{message(t, 100, 0, 0), message(t, 100, 1, 0)}, Secpk: []*types.SignedMessage{{Message: *message(t, 101, 4, 0)}}},
		{Header: two},
	}
	require.Equal(t, []string{
		"7 msg 100/0", "7 msg 100/1", "7 msg 101/4", "7 reward 1000 penalty 6 tips 9 wins 1",
		"7 reward 1001 penalty 0 tips 0 wins 3", "7 cron 7",
	}, runner(t, lists, 7))
	require.Equal(t, []string{"9 reward 1000 penalty 0 tips 0 wins 1", "9 cron 9"}, runner(t, []BlockMessages{{Header: one}}, 9))
}

func TestEmptyReceiptsRoot(t *testing.T) {
	root, err := putReceipts(context.Background(), ipld.NewMemory(), nil)
	require.NoError(t, err)
	require.Equal(t, "bafy2bzacedswlcz5ddgqnyo3sak3jmhmkxashisnlpq6ujgyhe4mlobzpnhs6", root.String())
	meta, err := MessageRoot(context.Background(), nil, nil)
	require.NoError(t, err)
	require.Equal(t, "bafy2bzacecmda75ovposbdateg7eyhwij65zklgyijgcjwynlklmqazpwlhba", meta.String())
}

func TestOneBlockPerMiner(t *testing.T) {
	require.NoError(t, oneBlockPerMiner(tipset(t, header(t, 1000, "a", 1), header(t, 1001, "b", 1))))
	require.Error(t, oneBlockPerMiner(tipset(t, header(t, 1000, "a", 1), header(t, 1000, "b", 1))))
}

func TestRandomnessLooksForwardOverNullRounds(t *testing.T) {
	ctx := context.Background()
	s := newStore(t, ipld.NewMemory(), NewMemoryMeta())
	at := s.Genesis()
	var prev uint64
	for _, h := range []abi.ChainEpoch{1, 2, 5, 6} { // 3 and 4 are null
		hd := header(t, 1000, fmt.Sprint("ticket", h), h, at.Cids()...)
		for r := max(prev+1, 101); r <= uint64(h)+100; r++ {
			hd.BeaconEntries = append(hd.BeaconEntries, types.BeaconEntry{Round: r, Data: []byte(fmt.Sprint("beacon", r))})
			prev = r
		}
		require.NoError(t, s.PutHeader(ctx, hd))
		at = tipset(t, hd)
	}
	r := NewRandomness(s, epochRounds{}, at)
	tag := gscrypto.DomainSeparationTag_SealRandomness
	for epoch, ticket := range map[abi.ChainEpoch]string{-3: "genesis", 0: "genesis", 1: "ticket1", 3: "ticket5", 4: "ticket5", 6: "ticket6"} {
		got, err := r.TicketRandomness(ctx, tag, epoch, []byte("e"))
		require.NoError(t, err)
		require.Equal(t, crypto.DrawRandomness([]byte(ticket), tag, epoch, []byte("e")), got, "ticket of epoch %d", epoch)
	}
	for epoch, data := range map[abi.ChainEpoch]string{-3: string(make([]byte, 32)), 0: string(make([]byte, 32)), 1: "beacon101", 3: "beacon103", 4: "beacon104", 5: "beacon105"} {
		got, err := r.BeaconRandomness(ctx, tag, epoch, nil)
		require.NoError(t, err)
		require.Equal(t, crypto.DrawRandomness([]byte(data), tag, epoch, nil), got, "beacon of epoch %d", epoch)
	}
	_, err := r.TicketRandomness(ctx, tag, 7, nil)
	require.Error(t, err)
	_, err = r.BeaconRandomness(ctx, tag, 7, nil)
	require.Error(t, err)
	latest, err := s.LatestBeaconEntry(ctx, at)
	require.NoError(t, err)
	require.Equal(t, uint64(106), latest.Round)

	// Without an entry of its round within reach an epoch has no randomness.
	for h := abi.ChainEpoch(7); h < 30; h++ {
		hd := header(t, 1000, fmt.Sprint("ticket", h), h, at.Cids()...)
		require.NoError(t, s.PutHeader(ctx, hd))
		at = tipset(t, hd)
	}
	_, err = NewRandomness(s, epochRounds{}, at).BeaconRandomness(ctx, tag, 10, nil)
	require.ErrorIs(t, err, ErrNoBeaconEntry)
	_, err = s.LatestBeaconEntry(ctx, at)
	require.ErrorIs(t, err, ErrNoBeaconEntry)
}

func TestMessagesComeBackAsTheyWent(t *testing.T) {
	ctx := context.Background()
	s := newStore(t, ipld.NewMemory(), NewMemoryMeta())
	bare := message(t, 100, 1, 2)
	secp := &types.SignedMessage{Message: *message(t, 100, 2, 3), Signature: gscrypto.Signature{Type: gscrypto.SigTypeSecp256k1, Data: make([]byte, 65)}}
	bls := &types.SignedMessage{Message: *message(t, 100, 3, 3), Signature: gscrypto.Signature{Type: gscrypto.SigTypeBLS, Data: make([]byte, 96)}}
	h := header(t, 1000, "a", 1)
	full := &types.FullBlock{Header: h, BlsMessages: []*types.Message{bare}, SecpkMessages: []*types.SignedMessage{secp}}
	require.Error(t, s.PutFullBlock(ctx, full), "the header names another root")
	var err error
	h.Messages, err = MessageRoot(ctx, full.BlsMessages, full.SecpkMessages)
	require.NoError(t, err)
	require.NoError(t, s.PutFullBlock(ctx, full))
	for _, from := range []string{"memory", "the store"} {
		if from == "the store" {
			s.Forget()
		}
		require.Equal(t, from == "memory", s.messages.Contains(h.Messages))
		back, err := s.FullBlock(ctx, h)
		require.NoError(t, err)
		require.Equal(t, full, back, from)
		lists, err := s.AllMessages(ctx, tipset(t, h))
		require.NoError(t, err)
		require.Equal(t, []cid.Cid{bare.Cid(), secp.Cid()}, lists[0].cids, from)
		require.Equal(t, int64(2_000_000), gasDemand(lists), from)
	}

	c, err := s.PutMessage(ctx, bls)
	require.NoError(t, err)
	require.Equal(t, bls.Message.Cid(), c)
	m, err := s.Message(ctx, c)
	require.NoError(t, err)
	require.IsType(t, &types.Message{}, m, "a BLS signature does not stay with its message")
	_, err = s.Message(ctx, someCid(t, 200))
	require.ErrorIs(t, err, ErrMissingMessage)

	wrong := &types.BlockMsg{Header: h, BlsMessages: []cid.Cid{secp.Cid()}}
	_, err = s.AssembleBlock(ctx, wrong)
	require.Error(t, err)
	wrong = &types.BlockMsg{Header: h, SecpkMessages: []cid.Cid{bare.Cid()}}
	_, err = s.AssembleBlock(ctx, wrong)
	require.Error(t, err)
	require.Equal(t, int64(2_000_000), gasDemand([]BlockMessages{{Bls: full.BlsMessages, Secpk: full.SecpkMessages}, {Bls: full.BlsMessages}}))
}

package vm

import (
	"context"
	"testing"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	gscrypto "github.com/filecoin-project/go-state-types/crypto"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/miner"
	"github.com/filecoin-project/specs-actors/v7/actors/runtime"
	cid "github.com/ipfs/go-cid"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/crypto"
	"github.com/filecoin-venus/venus/state"
	"github.com/filecoin-venus/venus/types"
)

// faultWorld has miner f01000 whose worker is the BLS account.
func faultWorld(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, func(w *world, tree *state.Tree) {
		info, err := miner.ConstructMinerInfo(w.bls.id, w.bls.id, nil, nil, nil, abi.RegisteredPoStProof_StackedDrgWindow32GiBV1)
		require.NoError(t, err)
		infoCid, err := w.store().Put(w.ctx, info)
		require.NoError(t, err)
		st, err := miner.ConstructState(w.store(), infoCid, 0, 0)
		require.NoError(t, err)
		w.put(tree, idAddr(t, 1000), builtin.StorageMinerActorCodeID, big.Zero(), st)
	})
	w.cfg.LookbackState = func(context.Context, abi.ChainEpoch) (cid.Cid, error) { return w.root, nil }
	w.reopen()
	return w
}

func link(t *testing.T, s string) cid.Cid {
	t.Helper()
	c, err := types.CidPrefix.Sum([]byte(s))
	require.NoError(t, err)
	return c
}

// block makes a header by the miner, signed by a key.
func (w *world) block(key testKey, height abi.ChainEpoch, salt string, parents ...cid.Cid) *types.BlockHeader {
	w.t.Helper()
	h := &types.BlockHeader{
		Miner: idAddr(w.t, 1000), Ticket: &types.Ticket{VRFProof: []byte(salt)}, Parents: parents,
		ParentWeight: big.Zero(), Height: height, ParentStateRoot: w.root, ParentMessageReceipts: w.root, Messages: w.root,
		ParentBaseFee: big.NewInt(100),
	}
	msg, err := h.SigningBytes()
	require.NoError(w.t, err)
	h.BlockSig, err = crypto.Sign(key.kind, key.priv, msg)
	require.NoError(w.t, err)
	return h
}

func TestConsensusFaults(t *testing.T) {
	w := faultWorld(t)
	p, q := link(t, "p"), link(t, "q")
	stranger := makeKey(t, gscrypto.SigTypeBLS, "stranger")
	const h = testEpoch - 10
	a := w.block(w.bls, h, "a", p)
	// c is a's sibling; g builds on c and leaves a out.
	c := w.block(w.bls, h, "c", p)
	g := w.block(w.bls, h+1, "g", c.Cid())
	onBoth := w.block(w.bls, h+1, "g", c.Cid(), a.Cid())
	other := w.block(w.bls, h, "o", q)
	other.Miner = idAddr(t, 1001)
	unsigned := w.block(w.bls, h, "u", q)
	unsigned.BlockSig = nil
	bytesOf := func(b *types.BlockHeader) []byte {
		if b == nil {
			return nil
		}
		out, err := b.Serialize()
		require.NoError(t, err)
		return out
	}
	const cheap, full = gasConsensusFault, gasConsensusFault + 6*gasIpldGet
	half := int64(gasConsensusFault + 3*gasIpldGet)
	for name, x := range map[string]struct {
		a, b, extra *types.BlockHeader
		kind        runtime.ConsensusFaultType // 0: rejected
		gas         int64
	}{
		"two blocks at one height":   {a, w.block(w.bls, h, "b", q), nil, runtime.ConsensusFaultDoubleForkMining, full},
		"same parents, later":        {a, w.block(w.bls, h+3, "b", p), nil, runtime.ConsensusFaultTimeOffsetMining, full},
		"own block left out":         {a, g, c, runtime.ConsensusFaultParentGrinding, full},
		"witness missing":            {a, g, nil, 0, cheap},
		"witness is no parent":       {a, g, w.block(w.bls, h, "d", p), 0, cheap},
		"witness of other parents":   {a, w.block(w.bls, h+1, "g", other.Cid()), other, 0, cheap},
		"own block is a parent too":  {a, onBoth, c, 0, cheap},
		"honest blocks":              {a, w.block(w.bls, h+1, "b", a.Cid()), nil, 0, cheap},
		"the same block":             {a, a, nil, 0, cheap},
		"different miners":           {a, other, nil, 0, cheap},
		"wrong order":                {w.block(w.bls, h+3, "b", p), a, nil, 0, cheap},
		"first not by the worker":    {w.block(stranger, h, "s", p), w.block(w.bls, h, "b", q), nil, 0, half},
		"second not by the worker":   {a, w.block(stranger, h, "b", q), nil, 0, full},
		"second not signed":          {a, unsigned, nil, 0, full},
		"first too old":              {w.block(w.bls, testEpoch-901, "a", p), w.block(w.bls, testEpoch-901, "b", p), nil, 0, cheap},
		"oldest that counts":         {w.block(w.bls, testEpoch-900, "a", p), w.block(w.bls, testEpoch-900, "b", p), nil, runtime.ConsensusFaultDoubleForkMining, full},
		"too far ahead to look back": {w.block(w.bls, testEpoch+900, "a", p), w.block(w.bls, testEpoch+900, "b", p), nil, 0, cheap},
	} {
		t.Run(name, func(t *testing.T) {
			f := w.frame(w.secp.id, idAddr(t, 1000))
			fault, err := f.VerifyConsensusFault(bytesOf(x.a), bytesOf(x.b), bytesOf(x.extra))
			require.Equal(t, x.gas, f.gasUsed)
			if x.kind == 0 {
				require.Error(t, err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, &runtime.ConsensusFault{Target: idAddr(t, 1000), Epoch: x.b.Height, Type: x.kind}, fault)
		})
	}
	f := w.frame(w.secp.id, idAddr(t, 1000))
	for _, bad := range [][2][]byte{{{1, 2}, bytesOf(a)}, {bytesOf(a), nil}} {
		_, err := f.VerifyConsensusFault(bad[0], bad[1], nil)
		require.Error(t, err)
	}
	_, err := f.VerifyConsensusFault(bytesOf(a), bytesOf(g), []byte{0xff})
	require.Error(t, err, "a witness that does not decode")
	nobody := w.frame(w.secp.id, idAddr(t, 1001))
	_, err = nobody.VerifyConsensusFault(bytesOf(a), bytesOf(w.block(w.bls, h, "b", q)), nil)
	require.Error(t, err, "the called miner did not exist at the lookback")
}

func TestConsensusFaultWithoutLookback(t *testing.T) {
	w := faultWorld(t)
	w.cfg.LookbackState = nil
	w.reopen()
	a, err := w.block(w.bls, testEpoch-1, "a", link(t, "p")).Serialize()
	require.NoError(t, err)
	b, err := w.block(w.bls, testEpoch-1, "b", link(t, "p")).Serialize()
	require.NoError(t, err)
	f := w.frame(w.secp.id, idAddr(t, 1000))
	var fatal *FatalError
	require.ErrorAs(t, exitIn(f, func() { _, _ = f.VerifyConsensusFault(a, b, nil) }), &fatal)
}

func FuzzDecodeHeader(f *testing.F) {
	f.Add([]byte{0x90})
	f.Fuzz(func(_ *testing.T, b []byte) {
		if h, err := decodeHeader("first", b); err == nil && h.Miner != address.Undef {
			_ = h.Cid()
		}
	})
}

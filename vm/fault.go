package vm

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/miner"
	"github.com/filecoin-project/specs-actors/v7/actors/runtime"

	"github.com/filecoin-venus/venus/crypto"
	"github.com/filecoin-venus/venus/ipld"
	"github.com/filecoin-venus/venus/state"
	"github.com/filecoin-venus/venus/types"
)

var errNoFault = errors.New("the blocks prove no consensus fault")

// VerifyConsensusFault judges two headers of one miner (and, for grinding, a
// sibling of the first that the second builds on). Nothing about their place in
// the chain is checked: a signed block is enough. Cheap tests come first; only
// then are worker keys read, for gas, from the state at each block's lookback.
func (m machineSyscalls) VerifyConsensusFault(h1, h2, extra []byte) (*runtime.ConsensusFault, error) {
	a, err := decodeHeader("first", h1)
	if err != nil {
		return nil, err
	}
	b, err := decodeHeader("second", h2)
	if err != nil {
		return nil, err
	}
	switch {
	case a.Cid() == b.Cid():
		return nil, errors.New("the two blocks are the same")
	case a.Miner != b.Miner:
		return nil, fmt.Errorf("the blocks are by different miners %s and %s", a.Miner, b.Miner)
	case b.Height < a.Height:
		return nil, fmt.Errorf("the first block (height %d) is later than the second (%d)", a.Height, b.Height)
	}
	kind, err := FaultKind(a, b, extra)
	if err != nil {
		return nil, err
	}
	for _, h := range []*types.BlockHeader{a, b} {
		if err := m.verifyBlockSignature(h); err != nil {
			return nil, fmt.Errorf("block %s: %w", h.Cid(), err)
		}
	}
	return &runtime.ConsensusFault{Target: a.Miner, Epoch: b.Height, Type: kind}, nil
}

func decodeHeader(which string, b []byte) (*types.BlockHeader, error) {
	h := new(types.BlockHeader)
	if err := h.UnmarshalCBOR(bytes.NewReader(b)); err != nil {
		return nil, fmt.Errorf("decode %s block: %w", which, err)
	}
	if h.Miner.Protocol() == address.Delegated {
		return nil, fmt.Errorf("decode %s block: address of an unknown class", which)
	}
	return h, nil
}

// FaultKind names the consensus fault that two different headers of one miner prove, a not later than b, with the CBOR of a
// sibling of the first as witness for grinding; an error when they prove none. Where several hold the last one tested
// counts. Signatures are not looked at.
func FaultKind(a, b *types.BlockHeader, extra []byte) (runtime.ConsensusFaultType, error) {
	var kind runtime.ConsensusFaultType
	found := false
	if a.Height == b.Height {
		kind, found = runtime.ConsensusFaultDoubleForkMining, true
	} else if slices.Equal(a.Parents, b.Parents) {
		kind, found = runtime.ConsensusFaultTimeOffsetMining, true
	}
	if len(extra) > 0 {
		c, err := decodeHeader("witness", extra)
		if err != nil {
			return 0, err
		}
		if a.Height == c.Height && slices.Equal(a.Parents, c.Parents) &&
			slices.Contains(b.Parents, c.Cid()) && !slices.Contains(b.Parents, a.Cid()) {
			kind, found = runtime.ConsensusFaultParentGrinding, true
		}
	}
	if !found {
		return 0, errNoFault
	}
	return kind, nil
}

func (m machineSyscalls) verifyBlockSignature(h *types.BlockHeader) error {
	worker, err := m.workerAt(h.Height)
	if err != nil {
		return err
	}
	if h.BlockSig == nil {
		return errors.New("block is not signed")
	}
	msg, err := h.SigningBytes()
	if err != nil {
		return fmt.Errorf("signing bytes: %w", err)
	}
	return crypto.Verify(h.BlockSig, worker, msg)
}

// workerAt is the key that the called miner signs blocks of a height with.
func (m machineSyscalls) workerAt(height abi.ChainEpoch) (address.Address, error) {
	f := m.f
	cfg := &f.vm.cfg
	if height < cfg.Epoch-cfg.Network.Finality {
		return address.Undef, fmt.Errorf("height %d is too far before epoch %d to know its worker", height, cfg.Epoch)
	}
	// Beyond this the lookback would fall on the state being computed.
	if height-cfg.Network.WinningPoStLookback >= cfg.Epoch {
		return address.Undef, fmt.Errorf("height %d is too far after epoch %d to know its worker", height, cfg.Epoch)
	}
	if cfg.LookbackState == nil {
		panic(fatalf("no access to the state at a lookback"))
	}
	root, err := cfg.LookbackState(f.ctx, height)
	if err != nil {
		panic(fatalf("state for a block at height %d: %w", height, err))
	}
	tree, err := state.Load(f.ctx, ipld.NewStore(f.ctx, f.vm.buffer), root)
	if err != nil {
		panic(fatalf("state for a block at height %d: %w", height, err))
	}
	act, err := tree.GetActor(f.ctx, f.receiver)
	if errors.Is(err, state.ErrActorNotFound) {
		return address.Undef, fmt.Errorf("miner %s at the lookback of height %d: %w", f.receiver, height, err)
	} else if err != nil {
		panic(fatalf("miner %s at the lookback of height %d: %w", f.receiver, height, err))
	}
	worker, err := minerWorker(act, f.readCharged)
	if err != nil {
		return address.Undef, err
	}
	return f.resolveKey(worker, f.readCharged)
}

func minerWorker(act *types.Actor, read reader) (address.Address, error) {
	if act.Code != builtin.StorageMinerActorCodeID {
		return address.Undef, errors.New("the accused is no miner")
	}
	var st miner.State
	if err := read(act.Head, &st); err != nil {
		return address.Undef, err
	}
	var info miner.MinerInfo
	if err := read(st.Info, &info); err != nil {
		return address.Undef, err
	}
	return info.Worker, nil
}

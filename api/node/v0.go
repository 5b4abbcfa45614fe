package node

import (
	"context"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/ipfs/go-cid"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/types"
)

// noLimit lets a search look back to the genesis.
const noLimit = abi.ChainEpoch(-1)

// V0 serves the version 0 dialect from a version 1 node.
func V0(full FullNode) FullNodeV0 { return v0{topics: full, v1: full} }

type v0 struct {
	topics
	v1 FullNode
}

// Version reports the API version of /rpc/v0.
func (s v0) Version(ctx context.Context) (api.Version, error) {
	v, err := s.v1.Version(ctx)
	v.APIVersion = VersionV0
	return v, err
}

// StateSearchMsg looks back from the head and accepts replacements.
func (s v0) StateSearchMsg(ctx context.Context, msg cid.Cid) (*MsgLookup, error) {
	return s.v1.StateSearchMsg(ctx, types.EmptyTSK, msg, noLimit, true)
}

// StateSearchMsgLimited looks back at most limit epochs.
func (s v0) StateSearchMsgLimited(ctx context.Context, msg cid.Cid, limit abi.ChainEpoch) (*MsgLookup, error) {
	return s.v1.StateSearchMsg(ctx, types.EmptyTSK, msg, limit, true)
}

// StateWaitMsg waits for the message or its replacement.
func (s v0) StateWaitMsg(ctx context.Context, msg cid.Cid, confidence uint64) (*MsgLookup, error) {
	return s.v1.StateWaitMsg(ctx, msg, confidence, noLimit, true)
}

// StateWaitMsgLimited looks back at most limit epochs, then waits.
func (s v0) StateWaitMsgLimited(ctx context.Context, msg cid.Cid, confidence uint64, limit abi.ChainEpoch) (*MsgLookup, error) {
	return s.v1.StateWaitMsg(ctx, msg, confidence, limit, true)
}

// StateGetReceipt looks the message up and returns only its receipt.
func (s v0) StateGetReceipt(ctx context.Context, msg cid.Cid, from types.TipSetKey) (*types.MessageReceipt, error) {
	found, err := s.v1.StateSearchMsg(ctx, from, msg, noLimit, true)
	if err != nil || found == nil {
		return nil, err
	}
	return &found.Receipt, nil
}

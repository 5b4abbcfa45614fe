package sealertest

import (
	"bytes"
	"context"
	"errors"
	"os"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/ipfs/go-cid"

	"github.com/filecoin-venus/venus/proofs/seal"
)

// Seal seals an empty 2 KiB sector of the miner for real, finalizes it, and
// returns its replica's commitment. root is a storage path, or will be one.
func Seal(ctx context.Context, root string, n abi.SectorNumber, ticket abi.SealRandomness) (commR cid.Cid, err error) {
	s := seal.New(seal.Config{})
	defer func() { err = errors.Join(err, s.Close()) }()
	sec := seal.Sector{ID: abi.SectorID{Miner: MinerID, Number: n}, Proof: abi.RegisteredSealProof_StackedDrg2KiBV1_1}
	paths := seal.PathsIn(root, sec.ID)
	if err := os.MkdirAll(paths.Cache, 0o755); err != nil {
		return cid.Undef, err
	}
	piece, err := s.AddPiece(ctx, sec, paths, nil, 2032, bytes.NewReader(make([]byte, 2032)))
	if err != nil {
		return cid.Undef, err
	}
	p1, err := s.PreCommit1(ctx, sec, paths, ticket, []abi.PieceInfo{piece})
	if err != nil {
		return cid.Undef, err
	}
	cids, err := s.PreCommit2(ctx, sec, paths, p1)
	if err != nil {
		return cid.Undef, err
	}
	return cids.Sealed, s.Finalize(ctx, paths)
}

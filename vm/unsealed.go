package vm

import (
	"crypto/sha256"
	"fmt"
	"math/bits"

	"github.com/filecoin-project/go-commp-utils/v2/zerocomm"
	commcid "github.com/filecoin-project/go-fil-commcid"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/ipfs/go-cid"
)

// piece is a subtree of a sector's data tree: its size in bytes and its root.
type piece struct {
	size uint64
	root []byte
}

// unsealedCID is the commitment to a sector's data: its pieces, each aligned to
// its own size with zero pieces before it, and zeroes up to the sector's size.
func unsealedCID(t abi.RegisteredSealProof, pieces []abi.PieceInfo) (cid.Cid, error) {
	size, err := t.SectorSize()
	if err != nil {
		return cid.Undef, err
	}
	sector := uint64(size)
	if len(pieces) == 0 {
		return zerocomm.ZeroPieceCommitment(abi.PaddedPieceSize(sector).Unpadded()), nil
	}
	var stack []piece
	var filled uint64
	push := func(p piece) {
		filled += p.size
		stack = append(stack, p)
		for n := len(stack); n > 1 && stack[n-1].size == stack[n-2].size; n = len(stack) {
			stack = append(stack[:n-2], joinPieces(stack[n-2], stack[n-1]))
		}
	}
	pad := func(to uint64) {
		// The gap's bits from the lowest up are the zero pieces in order.
		for gap := -filled % to; gap != 0; gap &= gap - 1 {
			push(zeroPiece(uint64(1) << bits.TrailingZeros64(gap)))
		}
	}
	for _, info := range pieces {
		if err := info.Size.Validate(); err != nil {
			return cid.Undef, fmt.Errorf("piece %s: %w", info.PieceCID, err)
		}
		root, err := commcid.CIDToPieceCommitmentV1(info.PieceCID)
		if err != nil {
			return cid.Undef, fmt.Errorf("piece %s: %w", info.PieceCID, err)
		}
		if uint64(info.Size) > sector {
			return cid.Undef, fmt.Errorf("piece %s exceeds the sector of %d bytes", info.PieceCID, sector)
		}
		if pad(uint64(info.Size)); filled+uint64(info.Size) > sector {
			return cid.Undef, fmt.Errorf("pieces exceed the sector of %d bytes", sector)
		}
		push(piece{size: uint64(info.Size), root: root})
	}
	pad(sector)
	return commcid.DataCommitmentV1ToCID(stack[0].root)
}

func zeroPiece(size uint64) piece {
	return piece{size: size, root: zerocomm.PieceComms[bits.TrailingZeros64(size)-7][:]}
}

// joinPieces hashes two neighbours as the data tree does: SHA-256 cut to the
// field by clearing the two highest bits.
func joinPieces(a, b piece) piece {
	h := sha256.New()
	h.Write(a.root)
	h.Write(b.root)
	root := h.Sum(nil)
	root[31] &= 0x3f
	return piece{size: a.size + b.size, root: root}
}

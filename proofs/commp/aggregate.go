package commp

import (
	"fmt"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/ipfs/go-cid"

	"github.com/filecoin-venus/venus/proofs/fr32"
	"github.com/filecoin-venus/venus/proofs/merkle"
)

type sized struct {
	node fr32.Node
	size abi.PaddedPieceSize
}

// stack joins equal neighbours as soon as they meet.
type stack []sized

func (s *stack) push(p sized) {
	*s = append(*s, p)
	for n := len(*s); n > 1 && (*s)[n-1].size == (*s)[n-2].size; n = len(*s) {
		l, r := (*s)[n-2], (*s)[n-1]
		*s = append((*s)[:n-2], sized{merkle.Join(l.node, r.node), 2 * l.size})
	}
}

func (s *stack) pushZero() {
	size := (*s)[len(*s)-1].size
	s.push(sized{Zero(size), size})
}

// Aggregate is the commitment of pieces laid out in order, each aligned to its size with zeros between them, and its
// padded size: the smallest power of two that holds them. There must be at least one piece.
func Aggregate(pieces []abi.PieceInfo) (fr32.Node, abi.PaddedPieceSize, error) {
	if len(pieces) == 0 {
		return fr32.Node{}, 0, fmt.Errorf("no pieces: %w", ErrPiece)
	}
	var st stack
	for i, p := range pieces {
		if err := p.Size.Validate(); err != nil {
			return fr32.Node{}, 0, fmt.Errorf("piece %d: %w: %w", i, err, ErrPiece)
		}
		node, err := FromCID(p.PieceCID)
		if err != nil {
			return fr32.Node{}, 0, fmt.Errorf("piece %d: %w: %w", i, err, ErrPiece)
		}
		for len(st) > 0 && st[len(st)-1].size < p.Size {
			st.pushZero()
		}
		st.push(sized{node, p.Size})
	}
	for len(st) > 1 {
		st.pushZero()
	}
	return st[0].node, st[0].size, nil
}

// CommD is the commitment of a whole sector that starts with the given pieces and is zero behind them.
func CommD(sector abi.PaddedPieceSize, pieces []abi.PieceInfo) (fr32.Node, error) {
	if len(pieces) == 0 {
		return Zero(sector), nil
	}
	var sum abi.PaddedPieceSize
	for i, p := range pieces {
		if p.Size > sector {
			return fr32.Node{}, fmt.Errorf("piece %d of %d bytes in a sector of %d: %w", i, p.Size, sector, ErrPiece)
		}
		if sum += p.Size; sum > sector {
			return fr32.Node{}, fmt.Errorf("pieces exceed the sector of %d bytes: %w", sector, ErrPiece)
		}
	}
	node, size, err := Aggregate(pieces)
	if err != nil {
		return fr32.Node{}, err
	}
	if size > sector {
		return fr32.Node{}, fmt.Errorf("pieces with their alignment take %d bytes, the sector has %d: %w", size, sector, ErrPiece)
	}
	return Extend(node, size, sector)
}

// UnsealedCID is the CID of CommD for a registered seal proof.
func UnsealedCID(t abi.RegisteredSealProof, pieces []abi.PieceInfo) (cid.Cid, error) {
	size, err := t.SectorSize()
	if err != nil {
		return cid.Undef, fmt.Errorf("seal proof type %d: %w", t, err)
	}
	node, err := CommD(abi.PaddedPieceSize(size), pieces)
	if err != nil {
		return cid.Undef, err
	}
	return CID(node), nil
}

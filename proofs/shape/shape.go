// Package shape says in numbers what a registered proof type means: nodes, tree arities, layers, partitions and challenges.
//
// Start at OfSeal and OfPoSt. Invariants: values are constants of the protocol and every type is either fully known or
// refused with ErrUnsupported; nothing here reads files or computes proofs.
package shape

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"

	"github.com/filecoin-project/go-state-types/abi"
)

// ErrUnsupported marks proof types that exist in the protocol but that this implementation does not make or check.
var ErrUnsupported = errors.New("proof type not supported")

// Degrees of the layered graph, the same for every size.
const (
	BaseDegree     = 6
	ExpanderDegree = 8
	Degree         = BaseDegree + ExpanderDegree
)

// Version is the protocol version of a proof type; it decides parent order, index width and the PoSt challenge rule.
type Version uint8

// The three versions in use. V1_0 puts the predecessor last among the base parents and cuts expander indices to 32 bits;
// V1_2 numbers PoSt challenges within their sector.
const (
	V1_0 Version = iota
	V1_1
	V1_2
)

// Tree is the form of the octrees over one sector: Leaves nodes, Base arity at the bottom, then one row each of Sub and
// Top arity where these are not zero.
type Tree struct {
	Leaves         uint64
	Base, Sub, Top int
}

// BaseTrees is the number of octrees below the compound rows.
func (t Tree) BaseTrees() int { return max(t.Sub, 1) * max(t.Top, 1) }

// BaseLeaves is the number of leaves of each of them.
func (t Tree) BaseLeaves() uint64 { return t.Leaves / uint64(t.BaseTrees()) }

// BaseHeight is the number of hash rows of a base tree (its path length).
func (t Tree) BaseHeight() int {
	return (bits.Len64(t.BaseLeaves()) - 1) / (bits.Len(uint(t.Base)) - 1)
}

// PathArities lists the arity of every row of a path, leaf row first.
func (t Tree) PathArities() []int {
	out := make([]int, t.BaseHeight(), t.BaseHeight()+2)
	for i := range out {
		out[i] = t.Base
	}
	for _, a := range []int{t.Sub, t.Top} {
		if a > 0 {
			out = append(out, a)
		}
	}
	return out
}

// DiscardedRows is how many rows above the leaves of a base tree are not stored in tree-r-last files (the leaves, which
// are the replica itself, never are).
func (t Tree) DiscardedRows() int {
	rows := t.BaseHeight() + 1
	switch {
	case rows <= 2:
		return 0
	case rows == 3:
		return 1
	default:
		return min(rows-2, 2)
	}
}

// String is the arities in the form of parameter names, for example 8-8-0.
func (t Tree) String() string { return fmt.Sprintf("%d-%d-%d", t.Base, t.Sub, t.Top) }

// Sector is everything that depends on the sector size alone.
type Sector struct {
	// Size in bytes of the sealed sector; the tree has Size/32 leaves.
	Size abi.SectorSize
	Tree Tree
	// Layers of labels.
	Layers int
	// Partitions and ChallengesPerPartition of the proof of replication.
	Partitions, ChallengesPerPartition int
	// WindowSectors is the number of sectors per window PoSt partition.
	WindowSectors int
}

// Nodes is the number of 32-byte nodes.
func (s Sector) Nodes() uint64 { return s.Tree.Leaves }

// Challenges per sector of the two PoSts.
const (
	WinningChallenges = 66
	WindowChallenges  = 10
)

// OfSize returns the shape of a sector size; besides the five published sizes it knows 4, 16, 32 KiB, 16 MiB and 1 GiB,
// which only tests of the compound trees use.
func OfSize(size abi.SectorSize) (Sector, error) {
	const kib, mib, gib = 1 << 10, 1 << 20, 1 << 30
	s := Sector{Size: size, Layers: 2, Partitions: 1, ChallengesPerPartition: 2, WindowSectors: 2}
	s.Tree = Tree{Leaves: uint64(size) / 32, Base: 8}
	switch size {
	case 2 * kib, 8 * mib, 512 * mib:
	case 4 * kib, 16 * mib, 1 * gib:
		s.Tree.Sub = 2
	case 16 * kib:
		s.Tree.Sub = 8
	case 32 * kib:
		s.Tree.Sub, s.Tree.Top = 8, 2
	case 32 * gib, 64 * gib:
		s.Tree.Sub = 8
		s.Layers, s.Partitions, s.ChallengesPerPartition, s.WindowSectors = 11, 10, 18, 2349
		if size == 64*gib {
			s.Tree.Top, s.WindowSectors = 2, 2300
		}
	default:
		return Sector{}, fmt.Errorf("sector size %d: %w", size, ErrUnsupported)
	}
	return s, nil
}

// Seal is a registered seal proof in numbers.
type Seal struct {
	Sector
	Type    abi.RegisteredSealProof
	Version Version
	// PoRepID seeds the graph and the replica id.
	PoRepID [32]byte
}

// OfSeal returns the numbers of an interactive seal proof (V1 and V1_1 of all sizes); synthetic and non-interactive types
// give ErrUnsupported.
func OfSeal(t abi.RegisteredSealProof) (Seal, error) {
	size, err := t.SectorSize()
	if err != nil {
		return Seal{}, fmt.Errorf("seal proof type %d: %w", t, ErrUnsupported)
	}
	if t > abi.RegisteredSealProof_StackedDrg64GiBV1_1 {
		return Seal{}, fmt.Errorf("seal proof type %d (synthetic or non-interactive): %w", t, ErrUnsupported)
	}
	sector, err := OfSize(size)
	if err != nil {
		return Seal{}, err
	}
	s := Seal{Sector: sector, Type: t, Version: V1_0}
	if t >= abi.RegisteredSealProof_StackedDrg2KiBV1_1 {
		s.Version = V1_1
	}
	binary.LittleEndian.PutUint64(s.PoRepID[:], uint64(t))
	return s, nil
}

// PoSt is a registered PoSt proof in numbers.
type PoSt struct {
	Sector
	Type    abi.RegisteredPoStProof
	Version Version
	// Winning tells the two kinds apart.
	Winning bool
	// Challenges per sector, and Sectors per partition as the circuit sees them: winning 66 and 1, window 10 and WindowSectors.
	Challenges, Sectors int
}

// OfPoSt returns the numbers of a winning or window PoSt type.
func OfPoSt(t abi.RegisteredPoStProof) (PoSt, error) {
	size, err := t.SectorSize()
	if err != nil {
		return PoSt{}, fmt.Errorf("PoSt proof type %d: %w", t, ErrUnsupported)
	}
	sector, err := OfSize(size)
	if err != nil {
		return PoSt{}, err
	}
	p := PoSt{Sector: sector, Type: t, Challenges: WindowChallenges, Sectors: sector.WindowSectors}
	switch {
	case t <= abi.RegisteredPoStProof_StackedDrgWinning64GiBV1:
		p.Winning, p.Challenges, p.Sectors = true, WinningChallenges, 1
	case t >= abi.RegisteredPoStProof_StackedDrgWindow2KiBV1_1:
		p.Version = V1_2
	}
	return p, nil
}

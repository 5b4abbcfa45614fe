package shape

import (
	"fmt"
	"math/bits"

	"github.com/filecoin-project/go-state-types/abi"
)

// HighChoices is how many widths of the high part of a node index an update circuit can be told to use.
const HighChoices = 6

// Update is the proof of a replica update in numbers.
type Update struct {
	Sector
	Type abi.RegisteredUpdateProof
	// UpdatePartitions of the proof, a power of two, each over a contiguous share of the nodes; UpdateChallenges per partition.
	UpdatePartitions, UpdateChallenges int
	// ApexLeaves is the number of nodes of the data tree, a power of two, from whose row up a partition opens its share once
	// for all challenges.
	ApexLeaves int
	// HighBits is how many leading bits of a node's index choose the factor of its data. Widths are the choices that the
	// circuit has, and the first among them equal to HighBits, number Select, is taken.
	HighBits int
	Widths   [HighChoices]int
	Select   int
}

// IndexBits is the length of a node index.
func (u Update) IndexBits() int { return bits.Len64(u.Nodes()) - 1 }

// PartitionBits is how many leading bits of a node index are the number of its partition.
func (u Update) PartitionBits() int { return bits.Len(uint(u.UpdatePartitions)) - 1 }

// ApexBits is the height of the tree over a partition's apex leaves.
func (u Update) ApexBits() int { return bits.Len(uint(u.ApexLeaves)) - 1 }

// ApexRow is the row of the data tree in which the apex leaves stand; row 0 are the data nodes.
func (u Update) ApexRow() int { return u.IndexBits() - u.PartitionBits() - u.ApexBits() }

// OfUpdate returns the numbers of a replica update proof (the kind whose data tree is SHA-256).
func OfUpdate(t abi.RegisteredUpdateProof) (Update, error) {
	seal, ok := map[abi.RegisteredUpdateProof]abi.RegisteredSealProof{
		abi.RegisteredUpdateProof_StackedDrg2KiBV1:   abi.RegisteredSealProof_StackedDrg2KiBV1_1,
		abi.RegisteredUpdateProof_StackedDrg8MiBV1:   abi.RegisteredSealProof_StackedDrg8MiBV1_1,
		abi.RegisteredUpdateProof_StackedDrg512MiBV1: abi.RegisteredSealProof_StackedDrg512MiBV1_1,
		abi.RegisteredUpdateProof_StackedDrg32GiBV1:  abi.RegisteredSealProof_StackedDrg32GiBV1_1,
		abi.RegisteredUpdateProof_StackedDrg64GiBV1:  abi.RegisteredSealProof_StackedDrg64GiBV1_1,
	}[t]
	if !ok {
		return Update{}, fmt.Errorf("update proof type %d: %w", t, ErrUnsupported)
	}
	s, err := OfSeal(seal)
	if err != nil {
		return Update{}, err
	}
	u := UpdateOf(s.Sector)
	u.Type = t
	return u, nil
}

// UpdateOf returns the numbers of an update of sectors of any size, also of those that no registered type has.
func UpdateOf(s Sector) Update {
	const kib, mib = 1 << 10, 1 << 20
	u := Update{
		Sector: s, UpdatePartitions: 16, UpdateChallenges: 86, ApexLeaves: 128,
		HighBits: 10, Widths: [HighChoices]int{7, 8, 9, 10, 11, 12}, Select: 3,
	}
	if s.Size <= 16*mib {
		u.UpdatePartitions, u.UpdateChallenges = 4, 10
	}
	if s.Size <= 32*kib {
		u.UpdatePartitions, u.HighBits, u.Widths, u.Select = 2, 1, [HighChoices]int{1, 1, 1, 1, 1, 1}, 0
	}
	if s.Size <= 8*kib {
		u.UpdatePartitions, u.ApexLeaves = 1, 8
	}
	return u
}

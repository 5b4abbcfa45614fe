package circuit

import (
	"testing"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/proofs/shape"
)

// updateOf is the update of a sector size, also of the two that only the reference's tests have.
func updateOf(t *testing.T, size abi.SectorSize) shape.Update {
	s, err := shape.OfSize(size)
	if size == 1<<10 || size == 8<<10 {
		s, err = shape.Sector{Size: size, Tree: shape.Tree{Leaves: uint64(size) / 32, Base: 8, Sub: 4}}, nil
	}
	require.NoError(t, err)
	return shape.UpdateOf(s)
}

// TestGoldenUpdates compares with table 5.6: up to 32 KiB and 32 GiB what the reference's tests assert, 8 MiB and 512 MiB
// the rows of a published table, which counts the closing row of every input too. The circuits of more than ten million
// rows run when VENUS_LONG_TESTS is set.
func TestGoldenUpdates(t *testing.T) {
	const inputs = 5
	for _, tc := range []struct {
		name string
		size abi.SectorSize
		rows int
		long bool
	}{
		{"1KiB", 1 << 10, 1248389, false},
		{"2KiB", 2 << 10, 1705039, false},
		{"4KiB", 4 << 10, 2165109, false},
		{"8KiB", 8 << 10, 2620359, false},
		{"16KiB", 16 << 10, 6300021, false},
		{"32KiB", 32 << 10, 6760091, false},
		{"8MiB", 8 << 20, 10007508 - inputs, false},
		{"512MiB", 512 << 20, 57450484 - inputs, true},
		{"32GiB", 32 << 30, 81049499, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			skipLong(t, tc.long, "constraint counts of replica updates")
			n, s := count(BlankUpdate(updateOf(t, tc.size)), false)
			require.Equal(t, tc.rows, n.Rows)
			require.Len(t, s.Inputs(), inputs)
		})
	}
}

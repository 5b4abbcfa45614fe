package circuit

import (
	"os"
	"testing"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/internal/vectors"
	"github.com/filecoin-venus/venus/proofs/r1cs"
	"github.com/filecoin-venus/venus/proofs/shape"
)

type synthesizer interface{ Synthesize(s *r1cs.System) }

func count(c synthesizer, densities bool) (*r1cs.Counter, *r1cs.System) {
	n := &r1cs.Counter{Densities: densities}
	s := r1cs.New(n)
	c.Synthesize(s)
	return n, s
}

// TestReferenceTestCircuits repeats the counts that the reference's own tests assert on small shapes.
func TestReferenceTestCircuits(t *testing.T) {
	tests := []struct {
		name         string
		c            synthesizer
		rows, inputs int
	}{
		{"stacked 2", blankPoRep(2, 1, dataArities(8), []int{2, 2, 2}), 1206212, 22},
		{"stacked 8", blankPoRep(2, 1, dataArities(8), []int{8}), 1199620, 22},
		{"stacked 8-4", blankPoRep(2, 1, dataArities(32), []int{8, 4}), 1296576, 22},
		{"stacked 8-4-2", blankPoRep(2, 1, dataArities(64), []int{8, 4, 2}), 1346982, 22},
		{"fallback 3x5 8", blankPoSt(3, 5, []int{8, 8}), 16869, 19},
		{"fallback 3x5 8-4", blankPoSt(3, 5, []int{8, 8, 4}), 22674, 19},
		{"fallback 3x5 8-4-2", blankPoSt(3, 5, []int{8, 8, 4, 2}), 27384, 19},
		{"fallback 2x5 8", blankPoSt(2, 5, []int{8, 8}), 11246, 13},
		{"fallback 5x10 32GiB in one tree", blankPoSt(5, 10, []int{8, 8, 8, 8, 8, 8, 8, 8, 8, 8}), 266665, 56},
	}
	for _, tc := range tests {
		n, s := count(tc.c, false)
		require.Equal(t, tc.rows, n.Rows, tc.name)
		require.Len(t, s.Inputs(), tc.inputs, tc.name)
	}
	vectors.Count(t, vectors.InTests+"constraint counts in the reference's tests", len(tests))
}

// skipLong skips a circuit of more than ten million rows, unless VENUS_LONG_TESTS is set, and counts one in any case.
func skipLong(t *testing.T, long bool, name string) {
	t.Helper()
	if long && os.Getenv("VENUS_LONG_TESTS") == "" {
		const reason = "more than 10 million rows: set VENUS_LONG_TESTS to run it"
		vectors.NotApplicable(t, vectors.InTests+name, 1, reason)
		t.Skip(reason)
	}
	vectors.Count(t, vectors.InTests+name, 1)
}

type golden struct {
	name                    string
	c                       func(t *testing.T) synthesizer
	rows, inputs, aux, a, b int
	long                    bool
}

func seal(p abi.RegisteredSealProof) func(t *testing.T) synthesizer {
	return func(t *testing.T) synthesizer {
		sh, err := shape.OfSeal(p)
		require.NoError(t, err)
		return BlankPoRep(sh)
	}
}

func spacetime(p abi.RegisteredPoStProof) func(t *testing.T) synthesizer {
	return func(t *testing.T) synthesizer {
		sh, err := shape.OfPoSt(p)
		require.NoError(t, err)
		return BlankPoSt(sh)
	}
}

// TestGoldenCircuits compares every published size with table 5.6. The circuits of more than ten million rows run when
// VENUS_LONG_TESTS is set.
func TestGoldenCircuits(t *testing.T) {
	for _, tc := range []golden{
		{"porep 2KiB", seal(0), 2687921, 40, 2685673, 2674948, 685522, false},
		{"porep 8MiB", seal(1), 3844929, 40, 3842449, 3815036, 1011290, false},
		{"porep 512MiB", seal(2), 4423433, 40, 4420837, 4385080, 1174174, false},
		{"porep 32GiB", seal(3), 130278541, 328, 130169893, 129753620, 33112282, true},
		{"porep 64GiB", seal(4), 131185849, 328, 131076643, 130637870, 33386944, true},
		{"winning 2KiB", spacetime(0), 90750, 133, 91674, 0, 0, false},
		{"winning 8MiB", spacetime(1), 230670, 133, 233442, 0, 0, false},
		{"winning 512MiB", spacetime(2), 300630, 133, 304326, 0, 0, false},
		{"winning 32GiB", spacetime(3), 370590, 133, 375210, 284329, 272185, false},
		{"winning 64GiB", spacetime(4), 391314, 133, 396000, 0, 0, false},
		{"window 2KiB", spacetime(5), 21866, 23, 22128, 0, 0, false},
		{"window 8MiB", spacetime(6), 64266, 23, 65088, 0, 0, false},
		{"window 512MiB", spacetime(7), 85466, 23, 86568, 0, 0, false},
		{"window 32GiB", spacetime(8), 125279217, 25840, 126902376, 96205645, 91925767, true},
		{"window 64GiB", spacetime(9), 129887900, 25301, 131500200, 0, 0, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			skipLong(t, tc.long, "constraint counts of the published circuits")
			n, s := count(tc.c(t), tc.a != 0)
			require.Equal(t, tc.rows, n.Rows)
			require.Len(t, s.Inputs(), tc.inputs)
			require.Equal(t, tc.aux, s.NumAux())
			if tc.a != 0 {
				s.Close()
				require.Equal(t, tc.a, n.DensityA())
				require.Equal(t, tc.b, n.DensityB())
			}
		})
	}
}

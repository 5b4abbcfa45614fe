package wide

import (
	"fmt"
	"slices"
	"testing"

	bls "github.com/consensys/gnark-crypto/ecc/bls12-381"
	"github.com/stretchr/testify/require"
)

var testDomain = []byte("BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_NUL_")

// lanesOnly is HashToG2 without the library's help.
func lanesOnly(messages [][]byte, domain []byte) ([]bls.G2Affine, error) {
	return sumInLanes(slices.Collect(slices.Chunk(messages, 1)), domain)
}

func TestHashMatchesLibrary(t *testing.T) {
	for _, n := range []int{0, 1, 2, 3, 7, 8, 9, 16, 19, 200} {
		messages := make([][]byte, n)
		for i := range messages {
			messages[i] = fmt.Appendf(nil, "message %d of %d", i, n)
		}
		got, err := lanesOnly(messages, testDomain)
		require.NoError(t, err)
		require.Len(t, got, n)
		left := n
		if wide {
			left = map[int]int{1: 1, 9: 1}[n]
		}
		for i := range got {
			if got[i].IsInfinity() {
				left--
				continue
			}
			want, err := bls.HashToG2(messages[i], testDomain)
			require.NoError(t, err)
			require.Equal(t, want, got[i], "%d of %d", i, n)
		}
		require.Zero(t, left, "of %d", n)
	}
}

func TestHashToG1MatchesLibrary(t *testing.T) {
	for _, n := range []int{0, 1, 2, 8, 9, 50} {
		messages := make([][]byte, n)
		for i := range messages {
			messages[i] = fmt.Appendf(nil, "message %d of %d", i, n)
		}
		got, err := hashInLanes(messages, testDomain)
		require.NoError(t, err)
		require.Len(t, got, n)
		for i := range got {
			if !wide || n%8 == 1 && i == n-1 {
				require.True(t, got[i].IsInfinity())
				continue
			}
			want, err := bls.HashToG1(messages[i], testDomain)
			require.NoError(t, err)
			require.Equal(t, want, got[i], "%d of %d", i, n)
		}
	}
}

func TestSumsMatchLibrary(t *testing.T) {
	needWide(t)
	n := 0
	var groups [][][]byte
	for _, size := range []int{1, 0, 3, 1, 1, 20, 2, 2, 7, 1, 1, 1, 1, 2} {
		var g [][]byte
		for range size {
			g = append(g, fmt.Appendf(nil, "message %d", n))
			n++
		}
		groups = append(groups, g)
	}
	groups[2][2] = groups[2][0] // twice the same
	got, err := sumInLanes(groups, testDomain)
	require.NoError(t, err)
	for i, g := range groups {
		var sum bls.G2Affine
		for _, m := range g {
			p, err := bls.HashToG2(m, testDomain)
			require.NoError(t, err)
			sum.Add(&sum, &p)
		}
		require.Equal(t, sum, got[i], "group %d", i)
	}
	got, err = sumInLanes([][][]byte{groups[5][:7], groups[6]}, testDomain) // nine: the last is left over
	require.NoError(t, err)
	require.True(t, !got[0].IsInfinity() && got[1].IsInfinity())
}

// TestLibraryHashesTheRest: nothing comes back undone, on any processor; a lane that slips costs time only.
func TestLibraryHashesTheRest(t *testing.T) {
	messages := make([][]byte, 9)
	for i := range messages {
		messages[i] = fmt.Appendf(nil, "rest %d", i)
	}
	twistX[0][1][3] ^= 4
	rootOfMinusZ[1][5] ^= 4
	got2, err2 := HashToG2(messages, testDomain)
	got1, err1 := HashToG1(messages, testDomain)
	twistX[0][1][3] ^= 4
	rootOfMinusZ[1][5] ^= 4
	require.NoError(t, err1)
	require.NoError(t, err2)
	for i, m := range messages {
		want1, err := bls.HashToG1(m, testDomain)
		require.NoError(t, err)
		want2, err := bls.HashToG2(m, testDomain)
		require.NoError(t, err)
		require.Equal(t, want1, got1[i])
		require.Equal(t, want2, got2[i])
	}
}

// TestSlipIsSeen turns one bit in one lane of each number that the lanes work with, and wants that lane's point refused
// (or right all the same: not every element needs every number).
func TestSlipIsSeen(t *testing.T) {
	needWide(t)
	numbers := map[string]*octet{"half": &half, "root of -5": &rootOfMinus5}
	for name, p := range map[string]*pair{
		"a": isogenous.inA, "b": isogenous.inB, "z": isoZ, "pole": isoPole, "twist x": twistX, "twist y": twistY,
		"x0": isoX[0], "x1": isoX[1], "x2": isoX[2], "x3": isoX[3], "y0": isoY[0], "y1": isoY[1], "y2": isoY[2], "y3": isoY[3],
	} {
		numbers[name+", real"], numbers[name+", imaginary"] = &p[0], &p[1]
	}
	slips(t, numbers, lanesOnly, (*bls.G2Affine).IsInfinity)

	numbers = map[string]*octet{"a": isogenous1.inA, "b": isogenous1.inB, "root of -z": rootOfMinusZ}
	for i, list := range iso1Maps {
		for k, o := range list {
			if o != &one {
				numbers[fmt.Sprintf("map %d, coefficient %d", i, k)] = o
			}
		}
	}
	slips(t, numbers, hashInLanes, (*bls.G1Affine).IsInfinity)
}

func slips[A any](t *testing.T, numbers map[string]*octet, hash func(messages [][]byte, domain []byte) ([]A, error), refused func(*A) bool) {
	messages := make([][]byte, lanes)
	for i := range messages {
		messages[i] = fmt.Appendf(nil, "slip %d", i)
	}
	want, err := hash(messages, testDomain)
	require.NoError(t, err)
	seen := 0
	for name, o := range numbers {
		for lane := range lanes {
			o[1][lane] ^= 4
			got, err := hash(messages, testDomain)
			require.NoError(t, err)
			o[1][lane] ^= 4
			for i := range got {
				if i == lane && refused(&got[i]) {
					seen++
					continue
				}
				require.Equal(t, want[i], got[i], "%s, lane %d", name, lane)
			}
		}
	}
	require.Greater(t, seen, lanes*len(numbers)*3/4)
}

// FuzzHash hashes anything, in all lanes and with others beside it.
func FuzzHash(f *testing.F) {
	f.Add([]byte{}, []byte("x"))
	f.Add(make([]byte, 38), testDomain)
	f.Fuzz(func(t *testing.T, message, domain []byte) {
		messages := [][]byte{message, {1}, message, {2, 3}}
		got, err := HashToG2(messages, domain)
		if err != nil {
			return
		}
		got1, err := HashToG1(messages, domain)
		require.NoError(t, err)
		for i := range got {
			want1, err := bls.HashToG1(messages[i], domain)
			require.NoError(t, err)
			require.True(t, got1[i].Equal(&want1))
			want, err := bls.HashToG2(messages[i], domain)
			require.NoError(t, err)
			require.True(t, got[i].Equal(&want))
		}
	})
}

func BenchmarkHash(b *testing.B) {
	messages := make([][]byte, 200)
	for i := range messages {
		messages[i] = fmt.Appendf(nil, "message %d", i)
	}
	b.Run("G2/ours", func(b *testing.B) {
		for b.Loop() {
			_, _ = HashToG2(messages, testDomain)
		}
		b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*len(messages)), "us/message")
	})
	b.Run("G1/ours", func(b *testing.B) {
		for b.Loop() {
			_, _ = HashToG1(messages, testDomain)
		}
		b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*len(messages)), "us/message")
	})
	b.Run("G1/library", func(b *testing.B) {
		for b.Loop() {
			for _, m := range messages {
				_, _ = bls.HashToG1(m, testDomain)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*len(messages)), "us/message")
	})
	b.Run("G2/library", func(b *testing.B) {
		for b.Loop() {
			for _, m := range messages {
				_, _ = bls.HashToG2(m, testDomain)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*len(messages)), "us/message")
	})
}

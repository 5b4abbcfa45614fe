package seal

import (
	"bytes"
	"testing"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/proofs/fr32"
	"github.com/filecoin-venus/venus/proofs/shape"
)

func BenchmarkSeal2KiB(b *testing.B) {
	s := New(Config{})
	for b.Loop() {
		sealed(b, s, b.TempDir(), 1, 5, false)
	}
}

func BenchmarkSeal8MiB(b *testing.B) {
	s := New(Config{})
	for b.Loop() {
		sealed(b, s, b.TempDir(), 1, abi.RegisteredSealProof_StackedDrg8MiBV1_1, true)
	}
}

func BenchmarkCommit1(b *testing.B) {
	s := New(Config{})
	l := sealed(b, s, b.TempDir(), 1, 5, false)
	for b.Loop() {
		_, err := s.Commit1(ctx, l.Sector, l.paths, ticket, seed, l.pieces, l.cids)
		require.NoError(b, err)
	}
}

func BenchmarkWinningVanilla(b *testing.B) {
	s := New(Config{})
	l := sealed(b, s, b.TempDir(), 1, 5, false)
	sh, err := shape.OfPoSt(abi.RegisteredPoStProof_StackedDrgWinning2KiBV1)
	require.NoError(b, err)
	for b.Loop() {
		_, err := proveSector(ctx, sh, fr32.Node(bytes.Repeat([]byte{1}, 32)), 0, l.ref())
		require.NoError(b, err)
	}
}

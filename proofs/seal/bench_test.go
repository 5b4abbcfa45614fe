package seal

import (
	"bytes"
	"crypto/sha256"
	"io"
	"math/rand"
	"path/filepath"
	"testing"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/proof"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/internal/memory"
	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/proofs/fr32"
	"github.com/filecoin-venus/venus/proofs/prove"
	"github.com/filecoin-venus/venus/proofs/shape"
	"github.com/filecoin-venus/venus/proofs/verify"
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

// BenchmarkSector512MiB takes one sector of random data through its life, parents cached, with parameters made from the
// network's seed: seconds and peak of memory for each phase.
func BenchmarkSector512MiB(b *testing.B) {
	const typ = abi.RegisteredSealProof_StackedDrg512MiBV1_1
	network, err := params.ByName("local")
	require.NoError(b, err)
	root := b.TempDir()
	prover, err := prove.NewIn(root, network, prove.CRS)
	require.NoError(b, err)
	s := New(Config{Prover: prover, ParentCache: filepath.Join(root, "parents")})
	v := verify.New(network, root)
	l := &life{Sector: sectorOf(1, typ)}
	l.paths = PathsIn(root, l.ID)
	for b.Loop() {
		phase := func(name string, run func() error) {
			began := time.Now()
			peak := memory.Peak(func() { err = run() })
			require.NoError(b, err, name)
			b.ReportMetric(time.Since(began).Seconds(), name+"-s")
			b.ReportMetric(float64(peak)/1e6, name+"-MB")
		}
		phase("parents", func() error { _, err := s.parentsOf(ctx, shapeOf(b, typ)); return err })
		size := abi.PaddedPieceSize(512 << 20).Unpadded()
		data := func() io.Reader { return io.LimitReader(rand.New(rand.NewSource(1)), int64(size)) }
		phase("add", func() error {
			p, err := s.AddPiece(ctx, l.Sector, l.paths, nil, size, data())
			l.pieces = []abi.PieceInfo{p}
			return err
		})
		phase("pc1", func() error { l.p1, err = s.PreCommit1(ctx, l.Sector, l.paths, ticket, l.pieces); return err })
		phase("pc2", func() error { l.cids, err = s.PreCommit2(ctx, l.Sector, l.paths, l.p1); return err })
		var c1, made []byte
		phase("c1", func() error {
			c1, err = s.Commit1(ctx, l.Sector, l.paths, ticket, seed, l.pieces, l.cids)
			return err
		})
		phase("setup+c2", func() error { made, err = s.Commit2(ctx, l.Sector, c1); return err })
		phase("c2", func() error { made, err = s.Commit2(ctx, l.Sector, c1); return err })
		ok, err := v.VerifySeal(ctx, proof.SealVerifyInfo{
			SealProof: typ, SectorID: l.ID, Randomness: ticket, InteractiveRandomness: seed,
			Proof: made, SealedCID: l.cids.Sealed, UnsealedCID: l.cids.Unsealed,
		})
		require.NoError(b, err)
		require.True(b, ok)
		require.NoError(b, s.Finalize(ctx, l.paths))
		require.NoError(b, s.ReleaseUnsealed(l.paths))
		phase("unseal", func() error { return s.Unseal(ctx, l.Sector, l.paths, ticket, l.cids.Unsealed) })
		r, err := s.ReadPiece(l.paths, 0, size)
		require.NoError(b, err)
		require.Equal(b, digestOf(b, data()), digestOf(b, r), "the data that went in")
		require.NoError(b, r.Close())
	}
}

func digestOf(b *testing.B, r io.Reader) [32]byte {
	h := sha256.New()
	_, err := io.Copy(h, r)
	require.NoError(b, err)
	return [32]byte(h.Sum(nil))
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
		_, err := s.proveSector(ctx, sh, fr32.Node(bytes.Repeat([]byte{1}, 32)), 0, l.ref())
		require.NoError(b, err)
	}
}

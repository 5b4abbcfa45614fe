package seal

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/ipfs/go-cid"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/blake2b"

	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/internal/vectors"
	"github.com/filecoin-venus/venus/proofs/fr32"
	"github.com/filecoin-venus/venus/proofs/porep"
	"github.com/filecoin-venus/venus/proofs/post"
	"github.com/filecoin-venus/venus/proofs/sdr"
	"github.com/filecoin-venus/venus/proofs/update"
)

// checkingProver stands in for the SNARK: it checks what it is given as a circuit would and keeps it.
type checkingProver struct {
	mu      sync.Mutex
	vanilla porep.Vanilla
	windows [][]post.Partition
	winning post.Partition
}

func (p *checkingProver) ProvePoRep(_ context.Context, v porep.Vanilla) ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.vanilla = v
	return make([]byte, 192*len(v.Partitions)), v.Check()
}

func (p *checkingProver) ProveUpdate(_ context.Context, v update.Vanilla) ([]byte, error) {
	return make([]byte, 192*len(v.Partitions)), v.Check()
}

func (p *checkingProver) ProveWindowPoSt(_ context.Context, r fr32.Node, first int, parts []post.Partition) ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.windows = append(p.windows, parts)
	for i, part := range parts {
		if err := part.Check(r, first+i, part.Public()); err != nil {
			return nil, err
		}
	}
	return make([]byte, 192*len(parts)), nil
}

func (p *checkingProver) ProveWinningPoSt(_ context.Context, r fr32.Node, part post.Partition) ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.winning = part
	return make([]byte, 192), part.Check(r, 0, part.Public())
}

var (
	ctx    = context.Background()
	ticket = abi.SealRandomness(bytes.Repeat([]byte{7}, 32))
	seed   = abi.InteractiveSealRandomness(bytes.Repeat([]byte{0xfe}, 32))
)

func sectorOf(n abi.SectorNumber, t abi.RegisteredSealProof) Sector {
	return Sector{ID: abi.SectorID{Miner: 1000, Number: n}, Proof: t}
}

// life is one sector on its way.
type life struct {
	Sector
	paths  Paths
	pieces []abi.PieceInfo
	data   []byte
	p1     PreCommit1Out
	cids   SectorCids
}

// fill adds two pieces of random data, or one of zeros.
func (l *life) fill(t testing.TB, s *Sealer, zeros bool) {
	sh, err := l.Proof.SectorSize()
	require.NoError(t, err)
	size := abi.PaddedPieceSize(sh).Unpadded()
	l.data = make([]byte, size)
	if zeros {
		p, err := s.AddPiece(ctx, l.Sector, l.paths, nil, size, nil)
		require.NoError(t, err)
		l.pieces = []abi.PieceInfo{p}
		return
	}
	rand.New(rand.NewSource(int64(l.ID.Number))).Read(l.data)
	half := size / 2
	a, err := s.AddPiece(ctx, l.Sector, l.paths, nil, half, bytes.NewReader(l.data[:half]))
	require.NoError(t, err)
	b, err := s.AddPiece(ctx, l.Sector, l.paths, []abi.UnpaddedPieceSize{half}, half, bytes.NewReader(l.data[half:]))
	require.NoError(t, err)
	l.pieces = []abi.PieceInfo{a, b}
}

func (l *life) seal(t testing.TB, s *Sealer) {
	var err error
	l.p1, err = s.PreCommit1(ctx, l.Sector, l.paths, ticket, l.pieces)
	require.NoError(t, err)
	l.cids, err = s.PreCommit2(ctx, l.Sector, l.paths, l.p1)
	require.NoError(t, err)
}

func (l *life) ref() SectorRef {
	return SectorRef{Sector: l.Sector, SealedCID: l.cids.Sealed, Paths: l.paths}
}

func sealed(t testing.TB, s *Sealer, root string, n abi.SectorNumber, typ abi.RegisteredSealProof, zeros bool) *life {
	l := &life{Sector: sectorOf(n, typ)}
	l.paths = PathsIn(root, l.ID)
	l.fill(t, s, zeros)
	l.seal(t, s)
	return l
}

func read(t testing.TB, path string) []byte {
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	return b
}

// TestGenesisSectors takes the two sectors that the reference sealed back to their data and seals them again.
func TestGenesisSectors(t *testing.T) {
	var file map[string]struct {
		Sectors []struct {
			CommR, CommD cid.Cid
			SectorID     abi.SectorNumber
			ProofType    abi.RegisteredSealProof
		}
	}
	vectors.JSON(t, "proofs/genesis-sectors/pre-seal-t0106.json", &file)
	preseal := file["t0106"].Sectors
	require.Len(t, preseal, 2)
	lotus := blake2b.Sum256([]byte("lotus is fire"))
	replicaIDs := []string{"61f89482291a9dd662e9232342fbe197fb999de622060bbe5284bf4e020fe012", "f8de114c92ff643fc6e66fde244f4d4102a2a3acfa4c8d464e0d6de66b413a1a"}
	s := New(Config{Prover: &checkingProver{}})
	var refs []SectorRef
	for i, want := range preseal {
		theirs := PathsIn(filepath.Join(vectors.Dir(t), "proofs/genesis-sectors"), abi.SectorID{Miner: 106, Number: want.SectorID})
		theirs.Sealed = filepath.Join(filepath.Dir(theirs.Sealed), fmt.Sprintf("s-t0106-%d", i))
		l := &life{Sector: Sector{ID: abi.SectorID{Miner: 106, Number: want.SectorID}, Proof: want.ProofType}}
		l.paths = PathsIn(t.TempDir(), l.ID)
		refs = append(refs, SectorRef{Sector: l.Sector, SealedCID: want.CommR, Paths: theirs})

		require.NoError(t, os.MkdirAll(filepath.Dir(l.paths.Sealed), 0o755))
		require.NoError(t, os.WriteFile(l.paths.Sealed, read(t, theirs.Sealed), 0o644))
		require.NoError(t, s.Unseal(ctx, l.Sector, l.paths, lotus[:], want.CommD))
		r, err := s.ReadPiece(l.paths, 0, 2032)
		require.NoError(t, err)
		data, err := io.ReadAll(r)
		require.NoError(t, err)
		require.NoError(t, r.Close())

		l.paths = PathsIn(t.TempDir(), l.ID)
		p, err := s.AddPiece(ctx, l.Sector, l.paths, nil, 2032, bytes.NewReader(data))
		require.NoError(t, err)
		require.Equal(t, want.CommD, p.PieceCID)
		p1, err := s.PreCommit1(ctx, l.Sector, l.paths, lotus[:], []abi.PieceInfo{p})
		require.NoError(t, err)
		require.Equal(t, replicaIDs[i], p1.ReplicaID.String())
		cids, err := s.PreCommit2(ctx, l.Sector, l.paths, p1)
		require.NoError(t, err)
		require.Equal(t, SectorCids{Unsealed: want.CommD, Sealed: want.CommR}, cids)
		require.Equal(t, read(t, theirs.Sealed), read(t, l.paths.Sealed))
		for _, name := range []string{"p_aux", "sc-02-data-tree-r-last.dat"} {
			require.Equal(t, read(t, theirs.cache(name)), read(t, l.paths.cache(name)), name)
		}
		sh := shapeOf(t, l.Proof)
		require.Equal(t, read(t, theirs.cache("t_aux")), tAux(sh, "/Users/lijunlong/.genesis-sectors/cache/"+fmt.Sprintf("s-t0106-%d", i)))
		c1, err := s.Commit1(ctx, l.Sector, l.paths, lotus[:], seed, []abi.PieceInfo{p}, cids)
		require.NoError(t, err)
		_, err = s.Commit2(ctx, l.Sector, c1)
		require.NoError(t, err)
	}
	_, faulty, err := s.WindowPoSt(ctx, 106, refs, bytes.Repeat([]byte{0xff}, 32))
	require.NoError(t, err)
	require.Empty(t, faulty)
	_, err = s.WinningPoSt(ctx, 106, refs[1:], bytes.Repeat([]byte{0xff}, 32))
	require.NoError(t, err)
	vectors.Count(t, "proofs/genesis-sectors/pre-seal-t0106.json", len(preseal))
	for _, name := range []string{"sealed/s-t0106-%d", "cache/s-t0106-%d/p_aux", "cache/s-t0106-%d/t_aux", "cache/s-t0106-%d/sc-02-data-tree-r-last.dat"} {
		for i := range preseal {
			vectors.Count(t, "proofs/genesis-sectors/"+fmt.Sprintf(name, i), 1)
		}
	}
	t.Logf("%d genesis sectors: unsealed, sealed again to the same CommD, CommC, CommR, replica, tree-r-last, p_aux and t_aux", len(preseal))
}

func TestLifeOfASector(t *testing.T) {
	var seen []Progress
	var mu sync.Mutex
	prover := &checkingProver{}
	s := New(Config{Prover: prover, ParentCache: t.TempDir(), Progress: func(p Progress) { mu.Lock(); seen = append(seen, p); mu.Unlock() }})
	for _, typ := range []abi.RegisteredSealProof{0, 5} {
		for _, zeros := range []bool{false, true} {
			l := sealed(t, s, t.TempDir(), 3, typ, zeros)
			c1, err := s.Commit1(ctx, l.Sector, l.paths, ticket, seed, l.pieces, l.cids)
			require.NoError(t, err)
			p, err := s.Commit2(ctx, l.Sector, c1)
			require.NoError(t, err)
			require.Len(t, p, 192)

			require.NoError(t, s.Finalize(ctx, l.paths))
			require.NoError(t, s.Finalize(ctx, l.paths), "again")
			names, err := os.ReadDir(l.paths.Cache)
			require.NoError(t, err)
			require.Len(t, names, 3, "p_aux, t_aux and tree-r-last remain")
			before := read(t, l.paths.Unsealed)
			require.NoError(t, s.ReleaseUnsealed(l.paths))
			require.NoError(t, s.ReleaseUnsealed(l.paths), "again")
			require.NoError(t, s.Unseal(ctx, l.Sector, l.paths, ticket, l.cids.Unsealed))
			require.Equal(t, before, read(t, l.paths.Unsealed))
			var some bytes.Buffer
			require.NoError(t, s.UnsealRange(ctx, l.Sector, l.paths, ticket, l.cids.Unsealed, 254, 1270, &some))
			require.Equal(t, l.data[254:1524], some.Bytes())
			r, err := s.ReadPiece(l.paths, 127, 254)
			require.NoError(t, err)
			part, err := io.ReadAll(r)
			require.NoError(t, err)
			require.NoError(t, r.Close())
			require.Equal(t, l.data[127:381], part)

			proofs, faulty, err := s.WindowPoSt(ctx, 1000, []SectorRef{l.ref(), l.ref()}, bytes.Repeat([]byte{0xee}, 32))
			require.NoError(t, err)
			require.Empty(t, faulty)
			require.Len(t, proofs, 1)
			require.Equal(t, abi.RegisteredPoStProof_StackedDrgWindow2KiBV1, proofs[0].PoStProof)
			require.Len(t, prover.windows[len(prover.windows)-1][0].Sectors, 1, "one sector though given twice")
			win, err := s.WinningPoSt(ctx, 1000, []SectorRef{l.ref()}, bytes.Repeat([]byte{0xee}, 32))
			require.NoError(t, err)
			require.Equal(t, abi.RegisteredPoStProof_StackedDrgWinning2KiBV1, win[0].PoStProof)
			require.Len(t, prover.winning.Sectors[0].Inclusion, 66)
		}
	}
	done := map[string]uint64{}
	for _, p := range seen {
		require.LessOrEqual(t, p.Done, p.Total)
		done[p.Phase] = max(done[p.Phase], p.Done)
	}
	require.Equal(t, map[string]uint64{"precommit1": 3 * 2048, "precommit2": 4 * 2048, "unseal": 2 * 2048, "unseal range": 2048 + 1536}, done)
	require.NoError(t, s.Close())
}

func TestUnsealRangeRefusesWhatIsNotThere(t *testing.T) {
	s := New(Config{})
	l := sealed(t, s, t.TempDir(), 3, 5, false)
	for _, r := range [][2]abi.UnpaddedPieceSize{{1, 127}, {0, 128}, {0, 2032 + 127}, {2032, 127}, {1 << 62, 127}, {127, 127 << 56}} {
		require.ErrorIs(t, s.UnsealRange(ctx, l.Sector, l.paths, ticket, l.cids.Unsealed, r[0], r[1], io.Discard), ErrInput, "%d", r)
	}
}

// TestProgressTellsTheTimeLeft moves a clock between the steps of a phase that found a quarter done.
func TestProgressTellsTheTimeLeft(t *testing.T) {
	var last Progress
	c := clock.NewSim(time.Unix(0, 0))
	s := New(Config{Clock: c, Progress: func(p Progress) { last = p }})
	m := s.meter(sectorOf(1, 5), "precommit1", 400)
	m.keep(100)
	require.Negative(t, last.Left, "nothing was done yet to judge by")
	c.Advance(10 * time.Second)
	m.add(100)
	require.Equal(t, 20*time.Second, last.Left)
	require.InDelta(t, 50, last.Percent(), 1e-9)
	c.Advance(10 * time.Second)
	m.add(200)
	require.Zero(t, last.Left)
	require.InDelta(t, 100, last.Percent(), 1e-9)
}

func TestPieces(t *testing.T) {
	s := New(Config{})
	l := &life{Sector: sectorOf(1, 5)}
	l.paths = PathsIn(t.TempDir(), l.ID)
	add := func(existing []abi.UnpaddedPieceSize, size abi.UnpaddedPieceSize, data []byte) error {
		_, err := s.AddPiece(ctx, l.Sector, l.paths, existing, size, bytes.NewReader(data))
		return err
	}
	require.ErrorIs(t, add(nil, 128, make([]byte, 128)), ErrInput, "no 127*2^k")
	require.ErrorIs(t, add(nil, 4064, make([]byte, 4064)), ErrInput, "larger than the sector")
	require.ErrorIs(t, add([]abi.UnpaddedPieceSize{127}, 254, make([]byte, 254)), ErrInput, "not aligned")
	require.ErrorIs(t, add(nil, 127, make([]byte, 100)), ErrInput, "short data")
	require.ErrorIs(t, add([]abi.UnpaddedPieceSize{1016}, 1016, make([]byte, 1016)), ErrFile, "existing pieces are not there")
	// Data behind the acknowledged pieces does not count, whether longer or shorter than the new piece.
	require.NoError(t, add(nil, 1016, bytes.Repeat([]byte{1}, 1016)))
	require.NoError(t, add([]abi.UnpaddedPieceSize{1016}, 1016, bytes.Repeat([]byte{2}, 1016)))
	require.NoError(t, add([]abi.UnpaddedPieceSize{1016}, 508, bytes.Repeat([]byte{3}, 508)))
	require.Len(t, read(t, l.paths.Unsealed), 1536)
	r, err := s.ReadPiece(l.paths, 1016, 508)
	require.NoError(t, err)
	got, err := io.ReadAll(r)
	require.NoError(t, err)
	require.NoError(t, r.Close())
	require.Equal(t, bytes.Repeat([]byte{3}, 508), got)
	_, err = s.ReadPiece(l.paths, 1016, 1016)
	require.ErrorIs(t, err, ErrFile)
	_, err = s.ReadPiece(l.paths, 1, 127)
	require.ErrorIs(t, err, ErrInput)
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	_, err = s.AddPiece(canceled, l.Sector, l.paths, nil, 127, bytes.NewReader(make([]byte, 127)))
	require.ErrorIs(t, err, context.Canceled)
	// A sector that is not full is zeros behind its pieces.
	p, err := s.AddPiece(ctx, l.Sector, l.paths, nil, 127, bytes.NewReader(bytes.Repeat([]byte{9}, 127)))
	require.NoError(t, err)
	p1, err := s.PreCommit1(ctx, l.Sector, l.paths, ticket, []abi.PieceInfo{p})
	require.NoError(t, err)
	tree := read(t, l.paths.cache(treeDName))
	require.Equal(t, make([]byte, 2048-128), tree[128:2048])
	_, err = s.PreCommit2(ctx, l.Sector, l.paths, p1)
	require.NoError(t, err)
}

func TestUnsupportedTypes(t *testing.T) {
	s := New(Config{})
	for _, typ := range []abi.RegisteredSealProof{-1, 10, 15, 99} {
		l := Sector{Proof: typ}
		_, err := s.PreCommit1(ctx, l, PathsIn(t.TempDir(), l.ID), ticket, nil)
		require.Error(t, err)
	}
	_, err := s.Commit2(ctx, Sector{}, nil)
	require.ErrorIs(t, err, ErrNoProver)
	_, _, err = s.WindowPoSt(ctx, 1, nil, nil)
	require.ErrorIs(t, err, ErrNoProver)
	_, err = s.WinningPoSt(ctx, 1, nil, nil)
	require.ErrorIs(t, err, ErrNoProver)
}

// Parents of large sectors go to the folder of the machine where no other is named.
func TestParentsOfLargeSectors(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "no folder")
	require.NoError(t, os.WriteFile(folder, nil, 0o600))
	t.Setenv(sdr.CacheEnv, folder)
	_, err := New(Config{}).parentsOf(ctx, shapeOf(t, abi.RegisteredSealProof_StackedDrg512MiBV1_1))
	require.ErrorContains(t, err, folder)
}

func TestSectorsInParallel(t *testing.T) {
	s, root := New(Config{}), t.TempDir()
	cids := make([]SectorCids, 6)
	var wg sync.WaitGroup
	for i := range cids {
		wg.Go(func() { cids[i] = sealed(t, s, root, abi.SectorNumber(i), 5, false).cids })
	}
	wg.Wait()
	alone := New(Config{})
	for i := range cids {
		require.Equal(t, sealed(t, alone, t.TempDir(), abi.SectorNumber(i), 5, false).cids, cids[i])
	}
}

// TestSealing8MiB seals, proves and unseals a whole 8 MiB sector.
func TestSealing8MiB(t *testing.T) {
	s := New(Config{Prover: &checkingProver{}, ParentCache: t.TempDir()})
	l := sealed(t, s, t.TempDir(), 8, abi.RegisteredSealProof_StackedDrg8MiBV1_1, true)
	require.Equal(t, "65f29e5d98d246c38b388cfc06db1f6b021303c5a289000bdce832a9c3ec421c", l.p1.CommD.String())
	require.Len(t, read(t, l.paths.cache("sc-02-data-tree-r-last.dat")), 18_720)
	c1, err := s.Commit1(ctx, l.Sector, l.paths, ticket, seed, l.pieces, l.cids)
	require.NoError(t, err)
	_, err = s.Commit2(ctx, l.Sector, c1)
	require.NoError(t, err)
	require.NoError(t, s.Finalize(ctx, l.paths))
	_, err = s.WinningPoSt(ctx, 1000, []SectorRef{l.ref()}, make([]byte, 32))
	require.NoError(t, err)
	_, _, err = s.WindowPoSt(ctx, 1000, []SectorRef{l.ref()}, make([]byte, 32))
	require.NoError(t, err)
	require.NoError(t, s.Unseal(ctx, l.Sector, l.paths, ticket, l.cids.Unsealed))
	require.Equal(t, sha256.Sum256(make([]byte, 8<<20)), sha256.Sum256(read(t, l.paths.Unsealed)))
}

var errBoom = errors.New("boom")

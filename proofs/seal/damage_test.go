package seal

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/internal/fault"
	"github.com/filecoin-venus/venus/proofs/commp"
	"github.com/filecoin-venus/venus/proofs/fr32"
	"github.com/filecoin-venus/venus/proofs/post"
	"github.com/filecoin-venus/venus/proofs/shape"
)

func shapeOf(t testing.TB, typ abi.RegisteredSealProof) shape.Seal {
	sh, err := shape.OfSeal(typ)
	require.NoError(t, err)
	return sh
}

// TestInterrupted stops sealing behind each durable step in turn, as a killed process would stop, and goes on.
func TestInterrupted(t *testing.T) {
	s := New(Config{Prover: &checkingProver{}})
	want := sealed(t, s, t.TempDir(), 4, 5, false)
	steps := map[string]int{"tree-d": 1, "layer": 1, "labels": 1, "tree-c": 2, "sealed": 2, "tree-r": 2, "p_aux": 2}
	for step, phase := range steps {
		l := &life{Sector: want.Sector}
		l.paths = PathsIn(t.TempDir(), l.ID)
		l.fill(t, s, false)
		disarm := fault.Arm("seal."+step, func() error { return errBoom })
		p1, err := s.PreCommit1(ctx, l.Sector, l.paths, ticket, l.pieces)
		if phase == 1 {
			require.ErrorIs(t, err, errBoom, step)
		} else {
			require.NoError(t, err)
			_, err = s.PreCommit2(ctx, l.Sector, l.paths, p1)
			require.ErrorIs(t, err, errBoom, step)
		}
		disarm()
		// What a kill in the middle of writing leaves.
		for _, path := range []string{l.paths.layer(2), l.paths.Sealed, l.paths.cache(treeDName)} {
			junk := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".tmp-123")
			require.NoError(t, os.WriteFile(junk, []byte("half"), 0o600))
		}
		l.seal(t, s)
		require.Equal(t, want.cids, l.cids, step)
		require.Equal(t, read(t, want.paths.Sealed), read(t, l.paths.Sealed), step)
		left, err := filepath.Glob(filepath.Join(filepath.Dir(filepath.Dir(l.paths.Sealed)), "*", ".*"))
		require.NoError(t, err)
		more, err := filepath.Glob(l.paths.cache(".*"))
		require.NoError(t, err)
		require.Empty(t, append(left, more...), step)
	}
	t.Logf("%d crash points", len(steps))
}

func TestFinishedLayersAreKept(t *testing.T) {
	s := New(Config{})
	l := sealed(t, s, t.TempDir(), 5, 5, false)
	stat := func(layer int) os.FileInfo {
		info, err := os.Stat(l.paths.layer(layer))
		require.NoError(t, err)
		return info
	}
	one, two := stat(1), stat(2)
	damage(t, l.paths.layer(2), flipBit)
	l.seal(t, s)
	require.True(t, os.SameFile(one, stat(1)), "a good layer is not computed again")
	require.False(t, os.SameFile(two, stat(2)), "a damaged one is")
	other := append(abi.SealRandomness{}, ticket...)
	other[0]++
	_, err := s.PreCommit1(ctx, l.Sector, l.paths, other, l.pieces)
	require.NoError(t, err)
	require.False(t, os.SameFile(one, stat(1)), "another ticket begins anew")
}

func flipBit(b []byte) []byte { b[len(b)/2] ^= 1; return b }

func damage(t *testing.T, path string, how func([]byte) []byte) {
	require.NoError(t, os.WriteFile(path, how(read(t, path)), 0o644))
}

// TestDamagedFiles damages each file in turn; the phase that reads it must say so and name it.
func TestDamagedFiles(t *testing.T) {
	s := New(Config{Prover: &checkingProver{}})
	cut := func(b []byte) []byte { return b[:len(b)-32] }
	gone := func(b []byte) []byte { return nil }
	precommit2 := func(l *life) error { _, err := s.PreCommit2(ctx, l.Sector, l.paths, l.p1); return err }
	commit1 := func(l *life) error {
		_, err := s.Commit1(ctx, l.Sector, l.paths, ticket, seed, l.pieces, l.cids)
		return err
	}
	window := func(l *life) error {
		_, faulty, err := s.WindowPoSt(ctx, 1000, []SectorRef{l.ref()}, make([]byte, 32))
		if err != nil {
			require.Equal(t, []abi.SectorID{l.ID}, faulty)
		}
		return err
	}
	winning := func(l *life) error {
		_, err := s.WinningPoSt(ctx, 1000, []SectorRef{l.ref()}, make([]byte, 32))
		return err
	}
	unseal := func(l *life) error { return s.Unseal(ctx, l.Sector, l.paths, ticket, l.cids.Unsealed) }
	precommit1 := func(l *life) error {
		require.NoError(t, os.RemoveAll(l.paths.Cache))
		_, err := s.PreCommit1(ctx, l.Sector, l.paths, ticket, l.pieces)
		return err
	}
	whole := t.TempDir()
	good := sealed(t, s, whole, 6, 5, false)
	for _, c := range []struct {
		name  string
		file  func(Paths) string
		phase func(*life) error
		how   []func([]byte) []byte
		named bool
	}{
		{"unsealed", func(p Paths) string { return p.Unsealed }, precommit1, []func([]byte) []byte{flipBit, cut, func(b []byte) []byte { return append(b, 0) }}, true},
		{"layer", func(p Paths) string { return p.layer(1) }, precommit2, []func([]byte) []byte{flipBit, cut, gone}, true},
		{"tree-d", func(p Paths) string { return p.cache(treeDName) }, precommit2, []func([]byte) []byte{cut, gone}, true},
		{"p_aux", func(p Paths) string { return p.cache(pAuxName) }, commit1, []func([]byte) []byte{flipBit, cut, gone}, true},
		{"tree-c", func(p Paths) string { return p.cache("sc-02-data-tree-c.dat") }, commit1, []func([]byte) []byte{cut, gone}, true},
		{"sealed c1", func(p Paths) string { return p.Sealed }, commit1, []func([]byte) []byte{cut, gone}, true},
		{"all labels", func(p Paths) string { return p.layer(2) }, commit1, []func([]byte) []byte{func(b []byte) []byte { return make([]byte, len(b)) }}, false},
		{"tree-r", func(p Paths) string { return p.cache("sc-02-data-tree-r-last.dat") }, window, []func([]byte) []byte{flipBit, cut, gone}, false},
		{"sealed window", func(p Paths) string { return p.Sealed }, window, []func([]byte) []byte{flipBit, cut, gone}, false},
		{"sealed winning", func(p Paths) string { return p.Sealed }, winning, []func([]byte) []byte{flipBit, cut, gone}, false},
		{"sealed unseal", func(p Paths) string { return p.Sealed }, unseal, []func([]byte) []byte{cut, gone}, true},
		{"sealed unseal bit", func(p Paths) string { return p.Sealed }, unseal, []func([]byte) []byte{flipBit}, false},
		{"not a field", func(p Paths) string { return p.Sealed }, unseal, []func([]byte) []byte{func(b []byte) []byte { return bytes.Repeat([]byte{0xff}, len(b)) }}, true},
	} {
		for i, how := range c.how {
			l, root := *good, t.TempDir()
			l.paths = PathsIn(root, l.ID)
			require.NoError(t, os.CopyFS(root, os.DirFS(whole)))
			damage(t, c.file(l.paths), how)
			err := c.phase(&l)
			require.Error(t, err, "%s %d", c.name, i)
			if c.named {
				require.ErrorIs(t, err, ErrFile, "%s %d: %v", c.name, i, err)
				require.ErrorContains(t, err, c.file(l.paths), "%s %d", c.name, i)
			}
		}
	}
}

func TestWrongInputs(t *testing.T) {
	s := New(Config{Prover: &checkingProver{}})
	l := sealed(t, s, t.TempDir(), 7, 5, false)
	other := sealed(t, s, t.TempDir(), 9, 5, true)
	_, err := s.PreCommit1(ctx, l.Sector, l.paths, ticket[:31], l.pieces)
	require.ErrorIs(t, err, ErrInput)
	_, err = s.PreCommit1(ctx, l.Sector, PathsIn(t.TempDir(), l.ID), ticket, l.pieces)
	require.ErrorIs(t, err, ErrFile)
	_, err = s.PreCommit2(ctx, l.Sector, l.paths, other.p1)
	require.ErrorIs(t, err, ErrInput)
	_, err = s.Commit1(ctx, l.Sector, l.paths, ticket, seed[:31], l.pieces, l.cids)
	require.ErrorIs(t, err, ErrInput)
	_, err = s.Commit1(ctx, l.Sector, l.paths, ticket, seed, other.pieces, l.cids)
	require.ErrorIs(t, err, ErrInput)
	_, err = s.Commit1(ctx, l.Sector, l.paths, ticket, seed, l.pieces, SectorCids{Unsealed: l.cids.Unsealed, Sealed: other.cids.Sealed})
	require.ErrorIs(t, err, ErrFile)
	wrong := append(abi.SealRandomness{}, ticket...)
	wrong[3]++
	_, err = s.Commit1(ctx, l.Sector, l.paths, wrong, seed, l.pieces, l.cids)
	require.ErrorContains(t, err, "do not fit together")
	require.ErrorIs(t, s.Unseal(ctx, l.Sector, l.paths, wrong, l.cids.Unsealed), ErrInput)
	require.ErrorIs(t, s.Unseal(ctx, l.Sector, l.paths, ticket, other.cids.Unsealed), ErrInput)
	require.ErrorIs(t, s.Unseal(ctx, l.Sector, l.paths, ticket, l.cids.Sealed), ErrInput)
	require.ErrorIs(t, s.Finalize(ctx, PathsIn(t.TempDir(), l.ID)), ErrFile)

	c1, err := s.Commit1(ctx, l.Sector, l.paths, ticket, seed, l.pieces, l.cids)
	require.NoError(t, err)
	_, err = s.Commit2(ctx, other.Sector, c1)
	require.ErrorIs(t, err, ErrInput)
	for _, tamper := range []func(c *commit1Out){
		func(c *commit1Out) { c.Ticket[0] ^= 1 },
		func(c *commit1Out) { c.Vanilla = bytes.Replace(c.Vanilla, []byte(`"index":1`), []byte(`"index":0`), 1) },
		func(c *commit1Out) {
			c.Vanilla = bytes.Replace(c.Vanilla, []byte(`"index":1`), []byte(`"index":-9`), 1)
		},
		func(c *commit1Out) { c.Vanilla = []byte(`{}`) },
	} {
		var c commit1Out
		require.NoError(t, json.Unmarshal(c1, &c))
		tamper(&c)
		b, err := json.Marshal(c)
		require.NoError(t, err)
		_, err = s.Commit2(ctx, l.Sector, b)
		require.ErrorIs(t, err, ErrInput)
	}
	_, err = s.Commit2(ctx, l.Sector, append(c1, '1'))
	require.ErrorIs(t, err, ErrInput)
	_, err = s.WinningPoSt(ctx, 1000, nil, make([]byte, 32))
	require.ErrorIs(t, err, ErrInput)
	_, _, err = s.WindowPoSt(ctx, 1000, nil, make([]byte, 32))
	require.ErrorIs(t, err, ErrInput)
	_, _, err = s.WindowPoSt(ctx, 1001, []SectorRef{l.ref()}, make([]byte, 32))
	require.ErrorIs(t, err, ErrInput)
	_, _, err = s.WindowPoSt(ctx, 1000, []SectorRef{l.ref()}, make([]byte, 31))
	require.ErrorIs(t, err, ErrInput)
}

// TestFaultySectorsAreSkipped proves five sectors in partitions of two with two of them damaged.
func TestFaultySectorsAreSkipped(t *testing.T) {
	prover := &checkingProver{}
	s, root := New(Config{Prover: prover}), t.TempDir()
	var refs []SectorRef
	for n := range abi.SectorNumber(5) {
		refs = append(refs, sealed(t, s, root, 10-n, 5, n == 2).ref()) // descending on purpose
	}
	proofs, faulty, err := s.WindowPoSt(ctx, 1000, refs, make([]byte, 32))
	require.NoError(t, err)
	require.Empty(t, faulty)
	require.Len(t, proofs[0].ProofBytes, 3*192)

	damage(t, refs[3].Paths.Sealed, flipBit)
	require.NoError(t, os.RemoveAll(refs[1].Paths.Cache))
	bad, err := s.CheckProvable(ctx, refs, false)
	require.NoError(t, err)
	require.Len(t, bad, 1, "a bit inside the replica shows only when leaves are opened")
	bad, err = s.CheckProvable(ctx, refs, true)
	require.NoError(t, err)
	require.Len(t, bad, 2)

	proofs, faulty, err = s.WindowPoSt(ctx, 1000, refs, make([]byte, 32))
	require.NoError(t, err)
	require.Equal(t, []abi.SectorID{{Miner: 1000, Number: 7}, {Miner: 1000, Number: 9}}, faulty)
	require.Len(t, proofs[0].ProofBytes, 2*192)
	var numbers []abi.SectorNumber
	for _, part := range prover.windows[len(prover.windows)-1] {
		for _, sp := range part.Sectors {
			numbers = append(numbers, sp.Sector)
		}
	}
	require.Equal(t, []abi.SectorNumber{6, 8, 10}, numbers)
}

// TestBothIndexRules opens the same sectors under the older rule, which counts challenges through all sectors, and the
// newer one, which counts within each.
func TestBothIndexRules(t *testing.T) {
	s, root := New(Config{}), t.TempDir()
	refs := []SectorRef{sealed(t, s, root, 1, 5, false).ref(), sealed(t, s, root, 2, 5, false).ref(), sealed(t, s, root, 3, 5, false).ref()}
	r := fr32.Node{1}
	for _, typ := range []abi.RegisteredPoStProof{abi.RegisteredPoStProof_StackedDrgWindow2KiBV1, abi.RegisteredPoStProof_StackedDrgWindow2KiBV1_1} {
		sh, err := shape.OfPoSt(typ)
		require.NoError(t, err)
		parts, faulty, err := s.windowVanilla(ctx, sh, 0, refs, r)
		require.NoError(t, err)
		require.Empty(t, faulty)
		require.Len(t, parts, 2)
		base := uint64(20)
		if sh.Version == shape.V1_2 {
			base = 0
		}
		for n, p := range parts[1].Sectors[0].Inclusion {
			require.Equal(t, post.LeafChallenge(r, 3, base+uint64(n), 64), p.LeafIndex())
		}
		for i, part := range parts {
			require.NoError(t, part.Check(r, i, part.Public()))
			inputs, err := post.PublicInputs(sh, r, i, part.Public())
			require.NoError(t, err)
			require.Len(t, inputs, 22)
			wrong := part.Public()
			wrong[0].CommR[0] ^= 1
			require.ErrorIs(t, part.Check(r, i, wrong), post.ErrProof)
		}
		require.ErrorIs(t, parts[0].Check(fr32.Node{2}, 0, parts[0].Public()), post.ErrProof)
	}
}

// FuzzCommit1 feeds the decoder that Commit2 runs on what another machine sent.
func FuzzCommit1(f *testing.F) {
	s := New(Config{})
	l := sealed(f, s, f.TempDir(), 7, 5, false)
	c1, err := s.Commit1(ctx, l.Sector, l.paths, ticket, seed, l.pieces, l.cids)
	require.NoError(f, err)
	f.Add(c1)
	f.Add([]byte(`{"sector":{"id":{"Miner":1000,"Number":7},"proof":5},"vanilla":{"partitions":[[{}]]}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := decodeCommit1(l.Sector, b)
		if err == nil {
			require.NoError(t, v.Check())
			require.Equal(t, commp.CID(v.CommD), l.cids.Unsealed)
		}
	})
}

// slowFile answers each read after a while, or never.
type slowFile struct {
	File
	wait func()
}

func (f slowFile) ReadAt(b []byte, at int64) (int, error) {
	f.wait()
	return f.File.ReadAt(b, at)
}

// TestSlowSectorsAreSkipped: a sector that hangs, or whose every read comes just in time, costs itself and one time-out,
// whatever else is proven; a winning proof fails at the time-out, or when nobody waits for it any more.
func TestSlowSectorsAreSkipped(t *testing.T) {
	root, plain := t.TempDir(), New(Config{})
	var refs []SectorRef
	for n := range abi.SectorNumber(5) {
		refs = append(refs, sealed(t, plain, root, n, 5, false).ref())
	}
	synctest.Test(t, func(t *testing.T) {
		never := make(chan struct{})
		release := sync.OnceFunc(func() {
			close(never)
			_ = clock.Real().Sleep(ctx, time.Hour) // whatever was left behind ends
		})
		defer release()
		waits := map[string]func(){refs[1].Paths.Sealed: func() { <-never }}
		for _, path := range []string{refs[3].Paths.Sealed, refs[3].Paths.cache(pAuxName), refs[3].Paths.cache("sc-02-data-tree-r-last.dat")} {
			waits[path] = func() { _ = clock.Real().Sleep(ctx, 29*time.Second) }
		}
		prover := &checkingProver{}
		s := New(Config{Prover: prover, SectorTimeout: time.Minute, Open: func(path string) (File, error) {
			f, err := openDisk(path)
			if wait := waits[path]; wait != nil && err == nil {
				f = slowFile{f, wait}
			}
			return f, err
		}})
		began := clock.Real().Now()
		_, faulty, err := s.WindowPoSt(ctx, 1000, refs, make([]byte, 32))
		require.NoError(t, err)
		require.Equal(t, []abi.SectorID{refs[1].ID, refs[3].ID}, faulty)
		require.Equal(t, time.Minute, clock.Real().Now().Sub(began), "they wait side by side")
		require.Len(t, prover.windows, 1, "one proof, of the others")

		for _, bad := range []int{1, 3} {
			began = clock.Real().Now()
			_, err = s.WinningPoSt(ctx, 1000, refs[bad:bad+1], make([]byte, 32))
			require.ErrorIs(t, err, ErrSlow)
			require.Equal(t, time.Minute, clock.Real().Now().Sub(began))
			short, cancel := context.WithTimeout(ctx, time.Second)
			_, err = s.WinningPoSt(short, 1000, refs[bad:bad+1], make([]byte, 32))
			cancel()
			require.ErrorIs(t, err, context.DeadlineExceeded)
		}
		release()
		_, err = s.WinningPoSt(ctx, 1000, refs[1:2], make([]byte, 32))
		require.NoError(t, err)
	})
}

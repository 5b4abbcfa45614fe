package store

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/internal/fault"
)

var id7 = abi.SectorID{Miner: 1000, Number: 7}

func newStore(t *testing.T) (*Store, string) {
	dir := t.TempDir()
	s, err := Open(filepath.Join(dir, "storage.json"))
	require.NoError(t, err)
	return s, dir
}

func TestNames(t *testing.T) {
	require.Equal(t, "s-t01000-7", SectorName(id7))
	for _, name := range []string{"s-t01000-7", "s-f01000-7"} {
		got, err := ParseSectorName(name)
		require.NoError(t, err)
		require.Equal(t, id7, got)
	}
	for _, bad := range []string{"", "s-t01000-", "s-t1000-7", "s-t01000-7.tmp", "s-t01000--7", "s-t099999999999999999999-1", "x", "s-t01000-7/../x"} {
		_, err := ParseSectorName(bad)
		require.Error(t, err, bad)
	}
}

func TestAttachSurvivesRestart(t *testing.T) {
	s, dir := newStore(t)
	_, err := s.Attach(Spec{Dir: "relative", Init: true, CanSeal: true})
	require.ErrorContains(t, err, "absolute")
	_, err = s.Attach(Spec{Dir: filepath.Join(dir, "p")})
	require.ErrorContains(t, err, "--init")
	_, err = s.Attach(Spec{Dir: filepath.Join(dir, "p"), Init: true})
	require.ErrorContains(t, err, "--seal")
	p, err := s.Attach(Spec{Dir: filepath.Join(dir, "p"), Init: true, CanSeal: true, CanStore: true})
	require.NoError(t, err)
	require.EqualValues(t, DefaultWeight, p.Weight)
	_, err = s.Attach(Spec{Dir: filepath.Join(dir, "p"), Init: true, CanSeal: true})
	require.ErrorContains(t, err, "already")
	again, err := s.Attach(Spec{Dir: filepath.Join(dir, "p")})
	require.NoError(t, err)
	require.Equal(t, p, again)

	require.NoError(t, os.WriteFile(filepath.Join(dir, "p", "sealed", "s-t01000-7"), nil, 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "p", "sealed", "lost+found"), nil, 0o644))
	s, err = Open(filepath.Join(dir, "storage.json"))
	require.NoError(t, err)
	require.Equal(t, []Path{p}, s.Paths())
	require.Equal(t, []string{filepath.Join(dir, "p", "sealed", "lost+found")}, s.Problems())
	f, err := s.Find(id7, Sealed)
	require.NoError(t, err)
	require.Equal(t, filepath.Join(dir, "p", "sealed", "s-t01000-7"), f.Sealed)
	_, err = s.Find(id7, Sealed, Cache)
	require.ErrorIs(t, err, ErrAbsent)
	require.Equal(t, []Decl{{id7, Sealed}}, s.Holds(p.ID))

	require.NoError(t, s.Detach(p.ID))
	_, err = s.Find(id7, Sealed)
	require.ErrorIs(t, err, ErrAbsent)
	require.FileExists(t, filepath.Join(dir, "p", "sealed", "s-t01000-7"))
	s, err = Open(filepath.Join(dir, "storage.json"))
	require.NoError(t, err)
	require.Empty(t, s.Paths())
}

func TestMissingPathDoesNotStopOthers(t *testing.T) {
	s, dir := newStore(t)
	for _, n := range []string{"a", "b"} {
		_, err := s.Attach(Spec{Dir: filepath.Join(dir, n), Init: true, CanSeal: true})
		require.NoError(t, err)
	}
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "a")))
	s, err := Open(filepath.Join(dir, "storage.json"))
	require.NoError(t, err)
	require.Len(t, s.Paths(), 1)
	require.Len(t, s.Problems(), 1)
}

func TestPlaceIsSticky(t *testing.T) {
	s, dir := newStore(t)
	_, err := s.Place(id7, 2048)
	require.ErrorIs(t, err, ErrNoSpace)
	_, err = s.Attach(Spec{Dir: filepath.Join(dir, "a"), Init: true, CanSeal: true})
	require.NoError(t, err)
	f, err := s.Place(id7, 2048)
	require.NoError(t, err)
	_, err = s.Attach(Spec{Dir: filepath.Join(dir, "b"), Init: true, CanSeal: true, Weight: 1000})
	require.NoError(t, err)
	again, err := s.Place(id7, 2048)
	require.NoError(t, err)
	require.Equal(t, f, again)
	s, err = Open(filepath.Join(dir, "storage.json"))
	require.NoError(t, err)
	again, err = s.Place(id7, 2048)
	require.NoError(t, err)
	require.Equal(t, f, again)
	other, err := s.Place(abi.SectorID{Miner: 1000, Number: 8}, 2048)
	require.NoError(t, err)
	require.Equal(t, filepath.Join(dir, "b"), filepath.Dir(filepath.Dir(other.Cache)))
	_, err = s.Place(abi.SectorID{Miner: 1000, Number: 9}, 1<<60)
	require.ErrorIs(t, err, ErrNoSpace)
}

// TestRestAtEveryCrash moves a sector to its storage path, failing at each
// point in turn; after every failure the sector can be found whole, and a
// repeated move ends well.
func TestRestAtEveryCrash(t *testing.T) {
	for _, point := range []string{"", "store/rename", "store/index"} {
		t.Run(point, func(t *testing.T) {
			s, dir := newStore(t)
			_, err := s.Attach(Spec{Dir: filepath.Join(dir, "seal"), Init: true, CanSeal: true})
			require.NoError(t, err)
			f, err := s.Place(id7, 2048)
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(f.Sealed, []byte("sealed"), 0o644))
			require.NoError(t, os.WriteFile(f.Unsealed, []byte("zeros"), 0o644))
			require.NoError(t, os.WriteFile(filepath.Join(f.Cache, "p_aux"), []byte("aux"), 0o644))
			s.Declare(id7, f)
			require.ErrorIs(t, s.Rest(context.Background(), id7, 2048), ErrNoSpace)
			_, err = s.Attach(Spec{Dir: filepath.Join(dir, "store"), Init: true, CanStore: true})
			require.NoError(t, err)
			if point != "" {
				disarm := fault.Arm(point, func() error { return fault.ErrInjected })
				require.ErrorIs(t, s.Rest(context.Background(), id7, 2048), fault.ErrInjected)
				disarm()
				s, err = Open(filepath.Join(dir, "storage.json"))
				require.NoError(t, err)
				whole(t, s)
			}
			require.NoError(t, s.Rest(context.Background(), id7, 2048))
			require.NoError(t, s.Rest(context.Background(), id7, 2048))
			whole(t, s)
			got, err := s.Find(id7, Sealed, Cache)
			require.NoError(t, err)
			require.Equal(t, filepath.Join(dir, "store", "sealed", "s-t01000-7"), got.Sealed)
			require.NoError(t, s.DropUnsealed(id7))
			require.NoFileExists(t, f.Unsealed)
			s, err = Open(filepath.Join(dir, "storage.json"))
			require.NoError(t, err)
			whole(t, s)
		})
	}
}

func whole(t *testing.T, s *Store) {
	f, err := s.Find(id7, Sealed, Cache)
	require.NoError(t, err)
	b, err := os.ReadFile(f.Sealed)
	require.NoError(t, err)
	require.Equal(t, "sealed", string(b))
	b, err = os.ReadFile(filepath.Join(f.Cache, "p_aux"))
	require.NoError(t, err)
	require.Equal(t, "aux", string(b))
}

package store

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/stretchr/testify/require"
)

// updated fills the files of an update as fill does those of sealing.
func updated(t *testing.T, f Files, seed uint64) {
	fill(t, Files{Unsealed: f.Unsealed, Sealed: f.Update, Cache: f.UpdateCache}, seed)
}

// TestUpdateFiles: an update is made where its sector rests, is found after a restart, goes with the sector to another path
// and into a bucket, and either half can be deleted, the old replica only when the new one is there.
func TestUpdateFiles(t *testing.T) {
	srv := newS3(t)
	s, dir := newStore(t)
	home, err := s.Attach(Spec{Dir: filepath.Join(dir, "home"), Init: true, CanStore: true})
	require.NoError(t, err)
	_, err = s.PlaceUpdate(id7, 64<<10)
	require.ErrorIs(t, err, ErrAbsent)
	f := filesIn(home.Dir, id7)
	fill(t, f, 7)
	s.Declare(id7, f)
	got, err := s.PlaceUpdate(id7, 64<<10)
	require.NoError(t, err)
	require.Equal(t, f, got)
	reserved, err := s.Reserved(home.ID)
	require.NoError(t, err)
	require.Positive(t, reserved)
	require.Error(t, s.DropKey(id7), "there is no other replica")
	require.FileExists(t, f.Sealed)
	updated(t, f, 70)
	s.Declare(id7, f)
	for _, ty := range FileTypes() {
		require.Contains(t, s.Holds(home.ID), Decl{id7, ty})
	}

	s, err = Open(filepath.Join(dir, "storage.json"))
	require.NoError(t, err)
	_, err = s.Find(id7, FileTypes()...)
	require.NoError(t, err)
	require.Empty(t, s.Problems())
	other, err := s.Attach(Spec{Dir: filepath.Join(dir, "other"), Init: true, CanStore: true})
	require.NoError(t, err)
	require.NoError(t, s.Plan(id7, other.ID))
	require.NoError(t, s.Carry(t.Context(), id7))
	require.NoDirExists(t, f.UpdateCache)
	f = filesIn(other.Dir, id7)
	got, err = s.Find(id7, FileTypes()...)
	require.NoError(t, err)
	require.Equal(t, f, got)

	require.NoError(t, s.DropKey(id7))
	require.NoFileExists(t, f.Sealed)
	require.NoDirExists(t, f.Cache)
	_, err = s.Find(id7, Sealed)
	require.ErrorIs(t, err, ErrAbsent)
	require.NoError(t, s.DropKey(id7), "once more does nothing")
	spec := srv.spec()
	spec.Init, spec.Weight = true, 1
	bucket, err := s.Attach(spec)
	require.NoError(t, err)
	require.NoError(t, s.Plan(id7, bucket.ID))
	require.NoError(t, s.Carry(t.Context(), id7))
	got, err = s.Find(id7, Update, UpdateCache, Unsealed)
	require.NoError(t, err)
	r, err := s.OpenFile(filepath.Join(got.UpdateCache, "sc-02-data-tree-r-last.dat"))
	require.NoError(t, err)
	b := make([]byte, 3001)
	_, err = r.ReadAt(b, 0)
	require.NoError(t, err)
	require.Equal(t, content(74, 3001), b)
	require.NoError(t, r.Close())
}

// TestWhereUpdatesCannotBe tells why.
func TestWhereUpdatesCannotBe(t *testing.T) {
	srv := newS3(t)
	s, dir := newStore(t)
	one, err := s.Attach(Spec{Dir: filepath.Join(dir, "one"), Init: true, CanStore: true})
	require.NoError(t, err)
	two, err := s.Attach(Spec{Dir: filepath.Join(dir, "two"), Init: true, CanStore: true})
	require.NoError(t, err)
	fill(t, filesIn(one.Dir, id7), 7)
	require.NoError(t, os.Rename(filesIn(one.Dir, id7).Cache, filesIn(two.Dir, id7).Cache))
	s.Declare(id7, filesIn(one.Dir, id7))
	s.Declare(id7, filesIn(two.Dir, id7))
	require.ErrorContains(t, s.CanUpdate(id7), "two paths")
	require.NoError(t, s.Plan(id7, two.ID))
	require.NoError(t, s.Carry(t.Context(), id7))
	require.NoError(t, s.CanUpdate(id7))
	spec := srv.spec()
	spec.Init, spec.Weight = true, 1
	bucket, err := s.Attach(spec)
	require.NoError(t, err)
	require.NoError(t, s.Plan(id7, bucket.ID))
	require.NoError(t, s.Carry(t.Context(), id7))
	require.ErrorContains(t, s.CanUpdate(id7), "storage move")

	full := &badDisk{measure: func(string) (Stat, error) { return Stat{Capacity: 1 << 20, Available: 500 << 10}, nil }}
	s, err = OpenWith(filepath.Join(dir, "more.json"), options(full))
	require.NoError(t, err)
	three, err := s.Attach(Spec{Dir: filepath.Join(dir, "three"), Init: true, CanStore: true})
	require.NoError(t, err)
	for n := abi.SectorNumber(1); n <= 2; n++ {
		id := abi.SectorID{Miner: 1000, Number: n}
		fill(t, filesIn(three.Dir, id), 7)
		s.Declare(id, filesIn(three.Dir, id))
	}
	_, err = s.PlaceUpdate(abi.SectorID{Miner: 1000, Number: 1}, 64<<10)
	require.NoError(t, err)
	_, err = s.PlaceUpdate(abi.SectorID{Miner: 1000, Number: 2}, 64<<10)
	require.ErrorIs(t, err, ErrNoSpace, "the other's room is reserved")
	require.NoError(t, s.DropUpdate(abi.SectorID{Miner: 1000, Number: 1}))
	_, err = s.PlaceUpdate(abi.SectorID{Miner: 1000, Number: 2}, 64<<10)
	require.NoError(t, err)
	_, err = s.PlaceData(1 << 20)
	require.ErrorIs(t, err, ErrNoSpace)
	dir, err = s.PlaceData(1 << 10)
	require.NoError(t, err)
	before, err := s.paths[three.ID].vol.sizeOf(nil)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "deal-1"), make([]byte, 8<<10), 0o600))
	after, err := s.paths[three.ID].vol.sizeOf(nil)
	require.NoError(t, err)
	require.GreaterOrEqual(t, after-before, int64(8<<10), "MaxStorage counts the data of deals")
	require.Empty(t, s.Problems())
}

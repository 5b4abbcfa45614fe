package store

import (
	"io"
	"maps"
	"path/filepath"
	"slices"
	"testing"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/internal/fault"
)

// TestBucket stores a sector in a bucket, reads it by ranges, and fetches it back.
func TestBucket(t *testing.T) {
	srv := newS3(t)
	s, dir := rig(t, &badDisk{})
	spec := srv.spec()
	_, err := s.Attach(spec)
	require.ErrorContains(t, err, "--init")
	spec.Init, spec.CanSeal = true, true
	_, err = s.Attach(spec)
	require.ErrorContains(t, err, "sealing needs a folder")
	spec.CanSeal, spec.Weight = false, 1
	p, err := s.Attach(spec)
	require.NoError(t, err)
	require.Equal(t, "s3://sectors/farm", p.Dir)
	_, err = s.Attach(spec)
	require.ErrorContains(t, err, "already")
	f := sealed(t, s, id7)
	require.NoError(t, s.Plan(id7, p.ID))
	require.NoError(t, s.Carry(t.Context(), id7))
	require.NoFileExists(t, f.Sealed)
	require.NoFileExists(t, f.Unsealed)
	intact(t, s, id7, 7)
	require.Contains(t, slices.Collect(maps.Keys(srv.objects(t))), "farm/cache/s-t01000-7/p_aux")

	// Another start of the program, with the list of paths only.
	s, err = OpenWith(filepath.Join(dir, "storage.json"), options(&badDisk{}))
	require.NoError(t, err)
	intact(t, s, id7, 7)
	got, err := s.Find(id7, Sealed, Unsealed, Cache)
	require.NoError(t, err)
	r, err := s.OpenFile(got.Sealed)
	require.NoError(t, err)
	before := srv.Gets.Load()
	for at := int64(0); at < 5000; at += 32 {
		b := make([]byte, 32)
		n, err := r.ReadAt(b, at)
		require.Equal(t, content(7, 5000)[at:min(at+32, 5000)], b[:n])
		if at+32 > 5000 {
			require.ErrorIs(t, err, io.EOF)
		} else {
			require.NoError(t, err)
		}
	}
	require.EqualValues(t, 1, srv.Gets.Load()-before, "small reads near each other are one request")
	_, err = r.ReadAt(make([]byte, 1), 5000)
	require.ErrorIs(t, err, io.EOF)
	require.NoError(t, r.Close())
	st, err := s.Measure(p.ID)
	require.NoError(t, err)
	require.Zero(t, st.Capacity, "a bucket tells no limit")
	n, err := s.paths[p.ID].vol.sizeOf(nil)
	require.NoError(t, err)
	require.EqualValues(t, 5000+3000+1+1501+3001, n)

	srv.Broken.Store(true)
	require.True(t, s.Look())
	_, err = s.Find(id7, Sealed)
	require.ErrorIs(t, err, ErrAbsent)
	srv.Broken.Store(false)
	require.True(t, s.Look())

	require.NoError(t, s.Plan(id7, "id-one"))
	require.NoError(t, s.Carry(t.Context(), id7))
	intact(t, s, id7, 7)
	require.Equal(t, []string{"farm/sectorstore.json"}, slices.Collect(maps.Keys(srv.objects(t))))
}

// TestBucketKeys are read from where they were said to be, and checked by the server.
func TestBucketKeys(t *testing.T) {
	srv := newS3(t)
	s, _ := rig(t, &badDisk{})
	spec := srv.spec()
	spec.Init, spec.S3.Credentials = true, keys(t, "AKID", "guess")
	_, err := s.Attach(spec)
	require.Error(t, err, "the signature is wrong")
	spec.S3.Credentials = filepath.Join(t.TempDir(), "absent")
	_, err = s.Attach(spec)
	require.ErrorContains(t, err, "credentials file")
	spec.S3.Credentials = ""
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	_, err = s.Attach(spec)
	require.ErrorContains(t, err, "AWS_ACCESS_KEY_ID")
	require.Empty(t, srv.objects(t))
	t.Setenv("AWS_ACCESS_KEY_ID", "AKID")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	_, err = s.Attach(spec)
	require.NoError(t, err)
	for _, bad := range []Spec{{Dir: "s3://"}, {Dir: "s3:///x"}, {Dir: "s3://b", S3: S3{Endpoint: "localhost:9000"}}} {
		_, err := s.Attach(bad)
		require.ErrorContains(t, err, "want")
	}
}

// TestUploadsResume counts what a second try sends of a file in parts, and what
// an upload that nobody goes on with looks like.
func TestUploadsResume(t *testing.T) {
	srv := newS3(t)
	s, _ := rig(t, &badDisk{})
	spec := srv.spec()
	spec.Init = true
	p, err := s.Attach(spec)
	require.NoError(t, err)
	f := sealed(t, s, id7)
	require.NoError(t, s.Plan(id7, p.ID))
	disarm := fault.Arm("store/part", failAt(4)) // unsealed has two parts, sealed three
	require.ErrorIs(t, s.Carry(t.Context(), id7), fault.ErrInjected)
	disarm()
	got, err := s.Find(id7, Sealed)
	require.NoError(t, err)
	require.Equal(t, f.Sealed, got.Sealed, "half an upload is no copy")
	before := srv.Puts.Load()
	require.NoError(t, s.Carry(t.Context(), id7))
	intact(t, s, id7, 7)
	// The third part and the mark; the cache has two files in one part, one in two, and a mark.
	// Before that the source of the first file is deleted, which takes no request.
	require.EqualValues(t, 1+1+2+2+1, srv.Puts.Load()-before)

	sealed(t, s, id8)
	require.NoError(t, s.Plan(id8, p.ID))
	disarm = fault.Arm("store/mark", failAt(1))
	require.ErrorIs(t, s.Carry(t.Context(), id8), fault.ErrInjected)
	disarm()
	fate := func(abi.SectorID) Fate { return Settled }
	list, err := s.Garbage(fate)
	require.NoError(t, err)
	require.Empty(t, list, "the move will go on")
	require.NoError(t, s.Plan(id8, "id-one"))
	require.NoError(t, s.Carry(t.Context(), id8))
	list, err = s.Garbage(fate)
	require.NoError(t, err)
	require.Len(t, list, 1)
	require.Equal(t, "s3://sectors/farm/unsealed/s-t01000-8", list[0].Name)
	_, err = s.Collect(list, fate)
	require.NoError(t, err)
	require.NotContains(t, slices.Collect(maps.Keys(srv.objects(t))), "farm/unsealed/s-t01000-8")
	intact(t, s, id7, 7)
	intact(t, s, id8, 8)
}

// TestBucketCorrupts: an object that is not what was put there is not taken for
// the sector when it is fetched.
func TestBucketCorrupts(t *testing.T) {
	srv := newS3(t)
	s, _ := rig(t, &badDisk{})
	spec := srv.spec()
	spec.Init = true
	p, err := s.Attach(spec)
	require.NoError(t, err)
	sealed(t, s, id7)
	require.NoError(t, s.Plan(id7, p.ID))
	require.NoError(t, s.Carry(t.Context(), id7))
	b := s.paths[p.ID].vol.(*bucket)
	require.NoError(t, b.put("farm/sealed/s-t01000-7", content(99, 5000)))
	require.NoError(t, s.Plan(id7, "id-two"))
	require.ErrorIs(t, s.Carry(t.Context(), id7), ErrCorrupt)
	require.Contains(t, slices.Collect(maps.Keys(srv.objects(t))), "farm/sealed/s-t01000-7", "the source stays")
}

func FuzzManifest(f *testing.F) {
	for _, s := range []string{`{"Files":[{"Name":"p_aux","Size":64,"SHA256":""}]}`, `{"Files":[{"Name":"../x"}]}`, `{}`, ``} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parseManifest(b)
		if err != nil {
			return
		}
		for _, x := range m.Files {
			if x.Name != "" && filepath.Dir(filepath.Join("/tmp/cache", x.Name)) != "/tmp/cache" {
				t.Fatalf("%q leaves its folder", x.Name)
			}
		}
	})
}

func FuzzSectorName(f *testing.F) {
	for _, s := range []string{"s-t01000-7", "s-f01-0", "s-t0-", ".s-t01000-7.moving"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		id, err := ParseSectorName(name)
		if err != nil {
			return
		}
		again, err := ParseSectorName(SectorName(id))
		if err != nil || again != id {
			t.Fatalf("%q -> %v -> %v, %v", name, id, again, err)
		}
	})
}

func FuzzMeta(f *testing.F) {
	f.Add([]byte(`{"ID":"x","Weight":10,"CanSeal":true,"CanStore":true}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := parseMeta("x", b); err == nil && m.ID == "" {
			t.Fatal("a path without id")
		}
	})
}

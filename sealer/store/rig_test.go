package store

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/sealer/sealertest"
)

// badDisk is a machine's disk that can be broken; nil functions break nothing.
type badDisk struct {
	machine
	mu      sync.Mutex // guards what follows
	rename  func(from, to string) error
	open    func(name string) error                  // may hang
	read    func(name string, b []byte) error        // after the read
	write   func(name string, at int64, n int) error // instead of the write when it fails
	measure func(dir string) (Stat, error)
}

func (d *badDisk) change(f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f()
}

func hook[T any](d *badDisk, get func() T) T {
	d.mu.Lock()
	defer d.mu.Unlock()
	return get()
}

func (d *badDisk) Rename(from, to string) error {
	if f := hook(d, func() func(string, string) error { return d.rename }); f != nil {
		if err := f(from, to); err != nil {
			return err
		}
	}
	return d.machine.Rename(from, to)
}

func (d *badDisk) Measure(dir string) (Stat, error) {
	if f := hook(d, func() func(string) (Stat, error) { return d.measure }); f != nil {
		return f(dir)
	}
	return d.machine.Measure(dir)
}

func (d *badDisk) Open(name string) (File, error) {
	if f := hook(d, func() func(string) error { return d.open }); f != nil {
		if err := f(name); err != nil {
			return nil, err
		}
	}
	f, err := d.machine.Open(name)
	if err != nil {
		return nil, err
	}
	return &badFile{File: f, d: d, name: name}, nil
}

func (d *badDisk) Create(name string) (Writable, error) {
	f, err := d.machine.Create(name)
	return &badWritable{Writable: f, d: d, name: name}, err
}

type badFile struct {
	File
	d    *badDisk
	name string
}

func (f *badFile) ReadAt(b []byte, at int64) (int, error) {
	n, err := f.File.ReadAt(b, at)
	if h := hook(f.d, func() func(string, []byte) error { return f.d.read }); h != nil {
		if herr := h(f.name, b[:n]); herr != nil {
			return 0, herr
		}
	}
	return n, err
}

type badWritable struct {
	Writable
	d    *badDisk
	name string
}

func (f *badWritable) ReadAt(b []byte, at int64) (int, error) {
	return (&badFile{File: unsized{f.Writable}, d: f.d, name: f.name}).ReadAt(b, at)
}

func (f *badWritable) WriteAt(b []byte, at int64) (int, error) {
	if h := hook(f.d, func() func(string, int64, int) error { return f.d.write }); h != nil {
		if err := h(f.name, at, len(b)); err != nil {
			return 0, err
		}
	}
	return f.Writable.WriteAt(b, at)
}

type unsized struct{ Writable }

func (unsized) Size() (int64, error) { return 0, nil }

// memory is a folder in memory where there is one: these tests lose no power, and
// hundreds of them would wait for the disk.
func memory(t *testing.T) string {
	dir, err := os.MkdirTemp("/dev/shm", "store")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	return dir
}

// twoDisks makes every path a file system of its own.
func twoDisks(from, to string) error {
	if filepath.Dir(filepath.Dir(from)) != filepath.Dir(filepath.Dir(to)) {
		return syscall.EXDEV
	}
	return nil
}

// s3Server is a server with the keys to it.
type s3Server struct {
	*sealertest.S3
	credentials string
}

func newS3(t testing.TB) *s3Server {
	s, err := sealertest.NewS3()
	require.NoError(t, err)
	t.Cleanup(s.Close)
	return &s3Server{S3: s, credentials: keys(t, sealertest.S3KeyID, sealertest.S3Secret)}
}

func keys(t testing.TB, id, secret string) string {
	file := filepath.Join(t.TempDir(), "credentials")
	require.NoError(t, sealertest.WriteKeys(file, id, secret))
	return file
}

func (s *s3Server) spec() Spec {
	return Spec{Dir: "s3://sectors/farm", CanStore: true, S3: S3{Endpoint: s.URL, Region: "us-east-1", Credentials: s.credentials}}
}

// objects lists all objects of the bucket, with what stands for their content.
func (s *s3Server) objects(t *testing.T) map[string]string {
	list, err := s.S3.Objects()
	require.NoError(t, err)
	out := map[string]string{}
	for key, b := range list {
		out[key] = digest(b)
	}
	return out
}

// tree is every file below a folder with its content.
func tree(t *testing.T, dir string) map[string]string {
	out := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(name)
		rel, _ := filepath.Rel(dir, name)
		out[rel] = digest(b)
		return err
	}))
	return out
}

// digest stands for some bytes in what tests compare and print.
func digest(b []byte) string {
	if len(b) < 200 {
		return string(b)
	}
	return fmt.Sprintf("%d bytes %x", len(b), hashOf(b)[:4])
}

// makePath makes a path with a known id.
func makePath(t testing.TB, dir string, m Meta) {
	require.NoError(t, os.MkdirAll(dir, 0o755))
	b, err := json.Marshal(m)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, MetaFile), b, 0o644))
}

// content is some data that depends on a seed only.
func content(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// fill writes a sector's files.
func fill(t testing.TB, f Files, seed uint64) {
	require.NoError(t, os.MkdirAll(f.Cache, 0o755))
	require.NoError(t, os.MkdirAll(filepath.Dir(f.Sealed), 0o755))
	require.NoError(t, os.MkdirAll(filepath.Dir(f.Unsealed), 0o755))
	require.NoError(t, os.WriteFile(f.Sealed, content(seed, 5000), 0o644))
	require.NoError(t, os.WriteFile(f.Unsealed, content(seed+1, 3000), 0o644))
	for i, name := range []string{"p_aux", "t_aux", "sc-02-data-tree-r-last.dat"} {
		require.NoError(t, os.WriteFile(filepath.Join(f.Cache, name), content(seed+2+uint64(i), 1+1500*i), 0o644))
	}
}

// intact checks that a sector can be read whole through the store.
func intact(t *testing.T, s *Store, id abi.SectorID, seed uint64) {
	t.Helper()
	f, err := s.Find(id, Sealed, Cache)
	require.NoError(t, err)
	same := func(name string, want []byte) {
		t.Helper()
		r, err := s.OpenFile(name)
		require.NoError(t, err, name)
		n, err := r.Size()
		require.NoError(t, err)
		require.EqualValues(t, len(want), n, name)
		b := make([]byte, n)
		_, err = r.ReadAt(b, 0)
		require.NoError(t, err)
		require.True(t, bytes.Equal(want, b), name)
		require.NoError(t, r.Close())
	}
	same(f.Sealed, content(seed, 5000))
	for i, name := range []string{"p_aux", "t_aux", "sc-02-data-tree-r-last.dat"} {
		same(filepath.Join(f.Cache, name), content(seed+2+uint64(i), 1+1500*i))
	}
}

func options(d Disk) Options { return Options{Disk: d, Chunk: 2 << 10, Timeout: time.Minute} }

func isHidden(name string) bool { return strings.HasPrefix(filepath.Base(name), ".") }

package seal

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/filecoin-venus/venus/internal/fault"
	"github.com/filecoin-venus/venus/internal/fsutil"
	"github.com/filecoin-venus/venus/proofs/fr32"
	"github.com/filecoin-venus/venus/proofs/merkle"
	"github.com/filecoin-venus/venus/proofs/shape"
)

// ErrFile marks a sector file that is missing, cut short or not what it should be; the text names it.
var ErrFile = errors.New("sector file is wrong")

// ErrInput marks arguments that do not belong together.
var ErrInput = errors.New("sealing input is wrong")

// Names inside the cache folder.
const (
	treeDName = "sc-02-data-tree-d.dat"
	pAuxName  = "p_aux"
	tAuxName  = "t_aux"
	stateName = "pc1-state.json"
)

func (p Paths) cache(name string) string { return filepath.Join(p.Cache, name) }

func (p Paths) layer(l int) string { return p.cache(fmt.Sprintf("sc-02-data-layer-%d.dat", l)) }

// octreeFiles are the base tree files of "tree-c" or "tree-r-last": one without number, or several numbered from 0.
func (p Paths) octreeFiles(kind string, t shape.Tree) []string {
	if t.BaseTrees() == 1 {
		return []string{p.cache("sc-02-data-" + kind + ".dat")}
	}
	out := make([]string, t.BaseTrees())
	for i := range out {
		out[i] = p.cache(fmt.Sprintf("sc-02-data-%s-%d.dat", kind, i))
	}
	return out
}

func fileError(path, format string, args ...any) error {
	return fmt.Errorf("%w: %s: %w", ErrFile, path, fmt.Errorf(format, args...))
}

// openSized opens a file that must have exactly size bytes.
func openSized(path string, size int64) (*os.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fileError(path, "%w", err)
	}
	info, err := f.Stat()
	if err == nil && info.Size() != size {
		err = fmt.Errorf("has %d bytes, want %d", info.Size(), size)
	}
	if err != nil {
		_ = f.Close()
		return nil, fileError(path, "%w", err)
	}
	return f, nil
}

// File is a sector file that is opened for reading.
type File interface {
	io.ReaderAt
	io.Closer
	// Size is the file's length in bytes.
	Size() (int64, error)
}

// diskFile is a File of the file system.
type diskFile struct{ *os.File }

func (f diskFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// openDisk opens a file of the file system.
func openDisk(path string) (File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	return diskFile{f}, nil
}

// openSized opens a file of a sector at rest that must have exactly size bytes.
func (s *Sealer) openSized(path string, size int64) (File, error) {
	f, err := s.cfg.Open(path)
	if err != nil {
		return nil, fileError(path, "%w", err)
	}
	have, err := f.Size()
	if err == nil && have != size {
		err = fmt.Errorf("has %d bytes, want %d", have, size)
	}
	if err != nil {
		_ = f.Close() // nothing was written
		return nil, fileError(path, "%w", err)
	}
	return f, nil
}

// opened collects files to be closed together.
type opened []io.Closer

func (o *opened) open(path string, size int64) (*os.File, error) {
	f, err := openSized(path, size)
	if err == nil {
		*o = append(*o, f)
	}
	return f, err
}

func (o opened) close() {
	for _, f := range o {
		_ = f.Close() // opened for reading only
	}
}

// octree opens the files of a compound octree; leaves may be nil for tree-c.
func (o *opened) octree(p Paths, kind string, t shape.Tree, first int, leaves io.ReaderAt) (*merkle.Octree, error) {
	return octree(p, kind, t, first, leaves, func(path string, size int64) (io.ReaderAt, error) { return o.open(path, size) })
}

func octree(p Paths, kind string, t shape.Tree, first int, leaves io.ReaderAt, open func(path string, size int64) (io.ReaderAt, error)) (*merkle.Octree, error) {
	tree := &merkle.Octree{Tree: t, First: first, Leaves: leaves}
	for _, path := range p.octreeFiles(kind, t) {
		f, err := open(path, merkle.OctreeSize(t, first))
		if err != nil {
			return nil, err
		}
		tree.Files = append(tree.Files, f)
	}
	return tree, nil
}

// fillAll makes several files together: none has its name before all are complete.
func fillAll(paths []string, fill func(files []*os.File) error) error {
	var rec func(i int, files []*os.File) error
	rec = func(i int, files []*os.File) error {
		if i == len(paths) {
			return fill(files)
		}
		return fsutil.Fill(paths[i], 0o644, func(f *os.File) error { return rec(i+1, append(files, f)) })
	}
	return rec(0, nil)
}

// prepare makes the folders of a sector's files and removes what a killed phase left unfinished.
func (p Paths) prepare() error {
	for _, dir := range []string{p.Cache, filepath.Dir(p.Sealed), filepath.Dir(p.Unsealed)} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("make sector folder: %w", err)
		}
	}
	for _, path := range []string{p.Sealed, p.Unsealed, p.cache("*")} {
		if err := fsutil.RemoveTemps(path); err != nil {
			return err
		}
	}
	return nil
}

// digestFile is the SHA-256 of a file of the given size, in hex.
func digestFile(path string, size int64) (string, error) {
	f, err := openSized(path, size)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.CopyBuffer(h, f, make([]byte, 1<<20)); err != nil {
		return "", fileError(path, "%w", err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// durable passes the failpoint behind a durable step.
func durable(step string) error {
	if err := fault.Point("seal." + step); err != nil {
		return fmt.Errorf("after %s: %w", step, err)
	}
	return nil
}

// readPAux reads CommC and CommRLast.
func readPAux(p Paths) (commC, commRLast fr32.Node, err error) {
	path := p.cache(pAuxName)
	f, err := openSized(path, 2*fr32.NodeSize)
	if err != nil {
		return commC, commRLast, err
	}
	defer f.Close()
	return decodePAux(path, f)
}

func decodePAux(path string, f io.ReaderAt) (commC, commRLast fr32.Node, err error) {
	var b [2 * fr32.NodeSize]byte
	if _, err := f.ReadAt(b[:], 0); err != nil {
		return commC, commRLast, fileError(path, "%w", err)
	}
	return fr32.Node(b[:]), fr32.Node(b[fr32.NodeSize:]), nil
}

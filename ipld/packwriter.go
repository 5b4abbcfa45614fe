package ipld

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"

	"github.com/ipfs/go-cid"

	"github.com/filecoin-venus/venus/internal/fault"
	"github.com/filecoin-venus/venus/internal/fsutil"
)

// packRuns is the extension of a writer's sorting file.
const packRuns = ".runs"

// PackWriter makes a pack. Blocks are appended to the archive; [PackWriter.Finish] makes the index and both durable.
// Memory is bounded however many blocks there are.
type PackWriter struct {
	base    string
	file    *os.File
	out     *bufio.Writer
	entries *runs
	size    uint64
	bytes   uint64
}

// CreatePack begins a pack at base.car with an archive header. What was there before is gone.
func CreatePack(base string, header []byte) (*PackWriter, error) {
	f, err := os.OpenFile(base+packData, os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("make pack: %w", err)
	}
	w, err := newPackWriter(base, f)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if _, err := w.out.Write(header); err != nil {
		return nil, errors.Join(fmt.Errorf("make pack: %w", err), w.Close())
	}
	w.size = uint64(len(header))
	return w, nil
}

// createBare begins a pack whose archive names no roots.
func createBare(base string) (*PackWriter, error) {
	head, err := CARHeader()
	if err != nil {
		return nil, err
	}
	return CreatePack(base, head)
}

func newPackWriter(base string, f *os.File) (*PackWriter, error) {
	entries, err := newRuns(base+packRuns, runEntries)
	if err != nil {
		return nil, err
	}
	return &PackWriter{base: base, file: f, out: bufio.NewWriterSize(f, 1<<20), entries: entries}, nil
}

// ResumePack goes on with a pack whose writer ended before Finish, a crash included: the blocks that are whole are kept and
// given to visit, what follows them is cut off.
func ResumePack(ctx context.Context, base string, examine func(CARBlock) (any, error), visit func(CARBlock) error) (*PackWriter, error) {
	f, err := os.OpenFile(base+packData, os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("resume pack: %w", err)
	}
	w, err := newPackWriter(base, f)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if err := w.resume(ctx, examine, visit); err != nil {
		return nil, errors.Join(fmt.Errorf("resume pack %s: %w", base, err), w.Close())
	}
	return w, nil
}

func (w *PackWriter) resume(ctx context.Context, examine func(CARBlock) (any, error), visit func(CARBlock) error) error {
	in, err := OpenCAR(io.NewSectionReader(w.file, 0, maxPack))
	if err != nil {
		return err
	}
	in.Examine = examine
	w.size = uint64(in.Offset)
	err = in.Each(ctx, func(b CARBlock) error {
		if err := w.note(b.Cid, len(b.Data), len(b.Section)); err != nil {
			return err
		}
		return visit(b)
	})
	if err != nil && !errors.Is(err, ErrDamagedCAR) {
		return err
	}
	if err := w.file.Truncate(int64(w.size)); err != nil {
		return err
	}
	_, err = w.file.Seek(int64(w.size), io.SeekStart)
	return err
}

// Size is the length of the archive so far, in bytes.
func (w *PackWriter) Size() int64 { return int64(w.size) }

// Bytes is the length of the blocks in it so far.
func (w *PackWriter) Bytes() int64 { return int64(w.bytes) }

// Tail reads the last bytes of the archive.
func (w *PackWriter) Tail(n int64) ([]byte, error) {
	if err := w.out.Flush(); err != nil {
		return nil, fmt.Errorf("write pack: %w", err)
	}
	buf := make([]byte, min(n, int64(w.size)))
	if _, err := w.file.ReadAt(buf, int64(w.size)-int64(len(buf))); err != nil {
		return nil, fmt.Errorf("read back pack: %w", err)
	}
	return buf, nil
}

// Put appends a block.
func (w *PackWriter) Put(c cid.Cid, data []byte) error {
	return w.PutSection(c, len(data), AppendSection(nil, c, data))
}

// PutSection appends a block of size bytes in the form of AppendSection.
func (w *PackWriter) PutSection(c cid.Cid, size int, section []byte) error {
	if _, err := w.out.Write(section); err != nil {
		return fmt.Errorf("write pack: %w", err)
	}
	return w.note(c, size, len(section))
}

// copyStep is how much of an archive is copied, and made durable, at a time: what others write waits for no more.
const copyStep = 16 << 20

// appendPack appends the blocks of a pack as they lie there, without their entries, and tells how far their places moved.
func (w *PackWriter) appendPack(ctx context.Context, p *Pack, goOn func() error) (by int64, err error) {
	h, err := readCarHeader(io.NewSectionReader(p.data, 0, p.size.Load()))
	if err != nil {
		return 0, err
	}
	from := int64(len(h.raw))
	by = int64(w.size) - from
	for from < p.size.Load() {
		if err := errors.Join(ctx.Err(), goOn()); err != nil {
			return 0, err
		}
		n, err := io.Copy(w.out, io.NewSectionReader(p.data, from, min(copyStep, p.size.Load()-from)))
		if err != nil {
			return 0, fmt.Errorf("copy pack %s: %w", p.name, err)
		}
		from, w.size = from+n, w.size+uint64(n)
		if err := w.Sync(); err != nil {
			return 0, err
		}
	}
	w.bytes += p.head.bytes
	return by, nil
}

// note makes the index know of a block at the end of the archive.
func (w *PackWriter) note(c cid.Cid, size, section int) error {
	if section > maxSection || w.size+uint64(section) > maxPack {
		return fmt.Errorf("write pack: block %s of %d bytes at %d goes beyond what an index can name", c, section, w.size)
	}
	if err := w.entries.add(entry{KeyOf(c), w.size<<lengthBits | uint64(section)}); err != nil {
		return err
	}
	w.size += uint64(section)
	w.bytes += uint64(size)
	return nil
}

// Sync makes what was appended durable without finishing.
func (w *PackWriter) Sync() error {
	if err := w.out.Flush(); err != nil {
		return fmt.Errorf("write pack: %w", err)
	}
	if err := w.file.Sync(); err != nil {
		return fmt.Errorf("sync pack: %w", err)
	}
	return nil
}

// Close gives up an unfinished pack; its archive stays for [ResumePack]. After Finish it does nothing.
func (w *PackWriter) Close() error {
	if w.file == nil {
		return nil
	}
	err := errors.Join(w.out.Flush(), w.file.Close(), w.entries.close())
	w.file = nil
	return err
}

// Finish writes the index, makes both files durable, and opens the pack. The archive comes first: an index never names
// what a crash could take.
func (w *PackWriter) Finish() (*Pack, error) { return w.finishWith(w.entries.merge) }

// finishWith is Finish with entries from elsewhere.
func (w *PackWriter) finishWith(entries func() (*merger, error)) (*Pack, error) {
	if err := w.finish(entries); err != nil {
		return nil, errors.Join(fmt.Errorf("finish pack %s: %w", w.base, err), w.Close())
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return OpenPack(w.base)
}

func (w *PackWriter) finish(entries func() (*merger, error)) error {
	if err := w.Sync(); err != nil {
		return err
	}
	if err := fault.Point("pack/index"); err != nil {
		return err
	}
	m, err := entries()
	if err != nil {
		return err
	}
	return makeIndex(w.base, packHeader{size: w.size, bytes: w.bytes}, m)
}

// makeIndex makes the index of an archive that is durable, and makes it so too. The header tells what the archive has, but
// for the number of entries.
func makeIndex(base string, head packHeader, m *merger) error {
	f, err := os.OpenFile(base+packIndex, os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := writeIndex(f, head, m); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return fsutil.SyncDir(filepath.Dir(base))
}

// writeIndex writes pages as the entries come in order, and the header at last: an index that was cut short has none.
func writeIndex(f *os.File, head packHeader, m *merger) error {
	out := bufio.NewWriterSize(f, 1<<20)
	if _, err := out.Write(make([]byte, headerBytes)); err != nil {
		return err
	}
	var first, page []byte
	for end := false; !end; {
		e, err := m.next()
		if end = errors.Is(err, io.EOF); err != nil && !end {
			return err
		}
		if !end {
			page = e.append(page)
			head.entries++
		}
		if len(page) == pageEntries*entryBytes || end && len(page) > 0 {
			first = append(first, page[:len(Key{})]...)
			page = append(page, make([]byte, pageBytes-4-len(page))...)
			if _, err := out.Write(checksummed(page)); err != nil {
				return err
			}
			page = page[:0]
		}
	}
	if _, err := out.Write(checksummed(first)); err != nil {
		return err
	}
	if err := out.Flush(); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	_, err := f.WriteAt(head.encode(), 0)
	return err
}

// checksummed appends the checksum of b to it.
func checksummed(b []byte) []byte {
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

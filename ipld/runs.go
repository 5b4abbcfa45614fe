package ipld

import (
	"bufio"
	"container/heap"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/ipfs/go-cid"
)

// runs sorts any number of entries by key with bounded memory: full buffers are sorted and written to a file one after the
// other, the end merges them. Of entries with one key the one with the lowest place comes, once.
type runs struct {
	limit int
	buf   []entry
	file  *os.File
	ends  []int64 // of the sorted runs in the file
	at    int64
}

// runEntries is how many entries are sorted in memory at a time: 48 MiB of them.
const runEntries = 2 << 20

// newRuns keeps what goes beyond limit entries in a file at path, which close removes.
func newRuns(path string, limit int) (*runs, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("make sorting file: %w", err)
	}
	return &runs{limit: limit, file: f}, nil
}

func (r *runs) close() error { return errors.Join(r.file.Close(), os.Remove(r.file.Name())) }

func (r *runs) add(e entry) error {
	if len(r.buf) >= r.limit {
		if err := r.spill(); err != nil {
			return err
		}
	}
	r.buf = append(r.buf, e)
	return nil
}

func compareEntries(a, b entry) int {
	for _, i := range []int{0, 8} {
		x, y := binary.BigEndian.Uint64(a.key[i:]), binary.BigEndian.Uint64(b.key[i:])
		switch {
		case x < y:
			return -1
		case x > y:
			return 1
		}
	}
	switch {
	case a.place < b.place:
		return -1
	case a.place > b.place:
		return 1
	}
	return 0
}

// settle sorts the buffer and leaves one entry of each key.
func (r *runs) settle() {
	slices.SortFunc(r.buf, compareEntries)
	r.buf = slices.CompactFunc(r.buf, func(a, b entry) bool { return a.key == b.key })
}

func (r *runs) spill() error {
	r.settle()
	out := bufio.NewWriterSize(r.file, 1<<20)
	var buf [entryBytes]byte
	for _, e := range r.buf {
		if _, err := out.Write(e.append(buf[:0])); err != nil {
			return fmt.Errorf("write sorting file: %w", err)
		}
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write sorting file: %w", err)
	}
	r.at += int64(len(r.buf)) * entryBytes
	r.ends = append(r.ends, r.at)
	r.buf = r.buf[:0]
	return nil
}

// merge starts the reading of all entries in order. Nothing may be added after it.
func (r *runs) merge() (*merger, error) {
	m := new(merger)
	start := int64(0)
	for _, end := range r.ends {
		in := bufio.NewReaderSize(io.NewSectionReader(r.file, start, end-start), 1<<18)
		err := m.open(func() (entry, error) {
			var buf [entryBytes]byte
			_, err := io.ReadFull(in, buf[:])
			return decodeEntry(buf[:]), err
		})
		if err != nil {
			return nil, err
		}
		start = end
	}
	r.settle()
	err := m.open(each(r.buf))
	r.buf = nil
	heap.Init(m)
	return m, err
}

// each reads a list.
func each(rest []entry) func() (entry, error) {
	return func() (e entry, err error) {
		if len(rest) == 0 {
			return e, io.EOF
		}
		e, rest = rest[0], rest[1:]
		return e, nil
	}
}

// mergeEntries reads the entries of several packs in order, those of each with its archive moved so many bytes on.
func mergeEntries(ctx context.Context, packs []*Pack, by []int64) (*merger, error) {
	m := new(merger)
	for i, p := range packs {
		page, rest := 0, []byte(nil)
		err := m.open(func() (entry, error) {
			if len(rest) == 0 {
				if page == p.head.pages() {
					return entry{}, io.EOF
				}
				err := ctx.Err()
				if err != nil {
					return entry{}, err
				}
				if rest, err = p.page(page, make([]byte, pageBytes)); err != nil {
					return entry{}, err
				}
				page++
			}
			e := decodeEntry(rest)
			rest = rest[entryBytes:]
			e.place += uint64(by[i]) << lengthBits // by may be negative: it wraps around, and back
			return e, nil
		})
		if err != nil {
			return nil, err
		}
	}
	heap.Init(m)
	return m, nil
}

// merger gives the entries of several runs in order.
type merger struct {
	sources []source
	last    Key
	started bool
}

type source struct {
	read func() (entry, error)
	next entry
}

func (m *merger) open(read func() (entry, error)) error {
	e, err := read()
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read sorting file: %w", err)
	}
	m.sources = append(m.sources, source{read, e})
	return nil
}

// next returns the next entry; io.EOF at the end.
func (m *merger) next() (entry, error) {
	for len(m.sources) > 0 {
		top := &m.sources[0]
		e := top.next
		next, err := top.read()
		switch {
		case err == nil:
			top.next = next
			heap.Fix(m, 0)
		case errors.Is(err, io.EOF):
			heap.Pop(m)
		default:
			return entry{}, fmt.Errorf("read sorting file: %w", err)
		}
		if !m.started || e.key != m.last {
			m.last, m.started = e.key, true
			return e, nil
		}
	}
	return entry{}, io.EOF
}

// Len implements heap.Interface, as the methods below do.
func (m *merger) Len() int { return len(m.sources) }

func (m *merger) Less(i, j int) bool {
	return compareEntries(m.sources[i].next, m.sources[j].next) < 0
}

func (m *merger) Swap(i, j int) { m.sources[i], m.sources[j] = m.sources[j], m.sources[i] }

// Push implements heap.Interface.
func (m *merger) Push(x any) { m.sources = append(m.sources, x.(source)) }

// Pop implements heap.Interface.
func (m *merger) Pop() any {
	last := m.sources[len(m.sources)-1]
	m.sources = m.sources[:len(m.sources)-1]
	return last
}

// Wants collects the links of blocks that lie in a pack, to find out whether the pack holds what they lead to. Memory is
// bounded.
type Wants struct{ runs *runs }

// NewWants keeps what does not fit into memory in a file at path.
func NewWants(path string) (*Wants, error) {
	r, err := newRuns(path, runEntries)
	if err != nil {
		return nil, err
	}
	return &Wants{r}, nil
}

// Close removes the file.
func (w *Wants) Close() error { return w.runs.close() }

// Reset forgets everything.
func (w *Wants) Reset() error {
	r := w.runs
	r.buf, r.ends, r.at = r.buf[:0], nil, 0
	if err := r.file.Truncate(0); err != nil {
		return fmt.Errorf("empty sorting file: %w", err)
	}
	_, err := r.file.Seek(0, io.SeekStart)
	return err
}

// Add notes a link. at is where in the archive the section of the linking block starts.
func (w *Wants) Add(to Key, at int64) error { return w.runs.add(entry{to, uint64(at)}) }

// Missing tells how many blocks the pack lacks, and for the first of them where the block lies that links to it. Both
// lists are sorted, so that one walk over them answers.
func (w *Wants) Missing(ctx context.Context, p *Pack) (n int, first Key, at int64, err error) {
	m, err := w.runs.merge()
	if err != nil {
		return 0, Key{}, 0, err
	}
	miss := func(e entry) {
		if n == 0 {
			first, at = e.key, int64(e.place)
		}
		n++
	}
	want, end := m.next()
	err = p.EachKey(ctx, func(have Key) error {
		for end == nil && want.key.Compare(have) < 0 {
			miss(want)
			want, end = m.next()
		}
		if end == nil && want.key == have {
			want, end = m.next()
		}
		return nil
	})
	for ; err == nil && end == nil; want, end = m.next() {
		miss(want)
	}
	if err == nil && !errors.Is(end, io.EOF) {
		err = end
	}
	return n, first, at, err
}

// LinkAt reads the block whose section starts at a place of the archive and returns its name and the link in it that has
// the key.
func (p *Pack) LinkAt(at int64, to Key) (from, link cid.Cid, err error) {
	in := &CARStream{in: bufio.NewReader(io.NewSectionReader(p.data, at, int64(p.head.size)-at)), Offset: at}
	size, err := in.length()
	if err != nil {
		return cid.Undef, cid.Undef, err
	}
	raw := make([]byte, size)
	if _, err := io.ReadFull(in.in, raw); err != nil {
		return cid.Undef, cid.Undef, fmt.Errorf("read the archive at %d: %w", at, err)
	}
	from, data, err := parseSection(append(binary.AppendUvarint(nil, size), raw...))
	if err != nil {
		return cid.Undef, cid.Undef, err
	}
	links, err := Links(from, data)
	for _, l := range links {
		if KeyOf(l) == to {
			return from, l, nil
		}
	}
	return from, cid.Undef, err
}

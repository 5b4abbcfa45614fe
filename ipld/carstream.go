package ipld

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"

	"github.com/ipfs/go-cid"
	carv2 "github.com/ipld/go-car/v2"
	"github.com/ipld/go-car/v2/storage"
)

// ErrNotCAR: the bytes are no CAR of version 1.
var ErrNotCAR = errors.New("not a CAR archive of version 1")

// ErrDamagedCAR: the archive ends early, or a block in it is not what its name says.
var ErrDamagedCAR = errors.New("the archive is damaged")

// carHeader is the beginning of an archive.
type carHeader struct {
	roots []cid.Cid
	raw   []byte
}

// CARHeader makes the first bytes of an archive with the given roots.
func CARHeader(roots ...cid.Cid) ([]byte, error) {
	var buf bytes.Buffer
	if _, err := storage.NewWritable(&buf, roots, carv2.WriteAsCarV1(true)); err != nil {
		return nil, fmt.Errorf("make car header: %w", err)
	}
	return buf.Bytes(), nil
}

// AppendSection appends a block in the form that archives hold it in.
func AppendSection(to []byte, c cid.Cid, data []byte) []byte {
	key := c.KeyString()
	to = binary.AppendUvarint(to, uint64(len(key)+len(data)))
	return append(append(to, key...), data...)
}

// readCarHeader reads the header and nothing beyond it.
func readCarHeader(r io.Reader) (carHeader, error) {
	br, ok := r.(io.ByteReader)
	if !ok {
		br = oneByte{r}
	}
	size, err := binary.ReadUvarint(br)
	if err != nil {
		return carHeader{}, fmt.Errorf("%w: %w", ErrNotCAR, early(err))
	}
	if size == 0 || size > maxCarHeader {
		return carHeader{}, fmt.Errorf("%w: a header of %d bytes", ErrNotCAR, size)
	}
	raw := binary.AppendUvarint(nil, size)
	body := make([]byte, size)
	if _, err := io.ReadFull(r, body); err != nil {
		return carHeader{}, fmt.Errorf("%w: %w", ErrNotCAR, early(err))
	}
	raw = append(raw, body...)
	lib, err := carv2.NewBlockReader(bytes.NewReader(raw))
	if err != nil {
		return carHeader{}, fmt.Errorf("%w: %w", ErrNotCAR, err)
	}
	if lib.Version != 1 {
		return carHeader{}, fmt.Errorf("%w: it is version %d", ErrNotCAR, lib.Version)
	}
	return carHeader{lib.Roots, raw}, nil
}

// early makes an end inside of something an error.
func early(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// broken tells an archive that ends early from one that cannot be read.
func broken(err error) error {
	if err = early(err); errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: %w", ErrDamagedCAR, err)
	}
	return fmt.Errorf("read the archive: %w", err)
}

type oneByte struct{ r io.Reader }

func (o oneByte) ReadByte() (byte, error) {
	var b [1]byte
	_, err := io.ReadFull(o.r, b[:])
	return b[0], err
}

// parseSection splits a whole section into name and content.
func parseSection(raw []byte) (cid.Cid, []byte, error) {
	size, n := binary.Uvarint(raw)
	if n <= 0 || size != uint64(len(raw)-n) {
		return cid.Undef, nil, errors.New("a section of another length")
	}
	m, c, err := cid.CidFromBytes(raw[n:])
	if err != nil {
		return cid.Undef, nil, fmt.Errorf("a section without a name: %w", err)
	}
	return c, raw[n+m:], nil
}

// CARBlock is a block of an archive whose hash was checked.
type CARBlock struct {
	Cid cid.Cid
	// Data is the block, Section the block with its name and length as the archive holds it. Both belong to the reader and
	// last until the visitor returns.
	Data, Section []byte
	// Note is what the examination of the block found.
	Note any
}

// CARStream reads an archive block by block.
type CARStream struct {
	// Roots are those of the archive's header, Header its bytes.
	Roots  []cid.Cid
	Header []byte
	from   io.Reader
	in     *bufio.Reader
	// Offset is how many bytes of the archive lie before the next section to be read.
	Offset int64
	// Examine, if set, looks at every block before it is visited, several at once. It must not keep the block.
	Examine func(CARBlock) (any, error)
}

// OpenCAR reads the header of an archive. ErrNotCAR when it is none.
func OpenCAR(r io.Reader) (*CARStream, error) {
	in := bufio.NewReaderSize(r, 1<<20)
	h, err := readCarHeader(in)
	if err != nil {
		return nil, err
	}
	return &CARStream{Roots: h.roots, Header: h.raw, from: r, in: in, Offset: int64(len(h.raw))}, nil
}

// Skipper is a reader that may be able to go to a place without reading what lies before; false when it cannot.
type Skipper interface {
	SkipTo(at int64) (bool, error)
}

// Skip goes on at a later place, which must be the start of a section, and returns up to n bytes before it.
func (s *CARStream) Skip(to int64, n int) ([]byte, error) {
	if to < s.Offset {
		return nil, fmt.Errorf("skip back from %d to %d", s.Offset, to)
	}
	tail := make([]byte, min(int64(n), to-s.Offset))
	from := to - int64(len(tail))
	skipped := false
	if k, ok := s.from.(Skipper); ok {
		var err error
		if skipped, err = k.SkipTo(from); err != nil {
			return nil, fmt.Errorf("skip to byte %d: %w", to, err)
		}
	}
	if skipped {
		s.in.Reset(s.from)
	} else if _, err := io.CopyN(io.Discard, s.in, from-s.Offset); err != nil {
		return nil, fmt.Errorf("skip to byte %d: %w", to, broken(err))
	}
	if _, err := io.ReadFull(s.in, tail); err != nil {
		return nil, fmt.Errorf("skip to byte %d: %w", to, broken(err))
	}
	s.Offset = to
	return tail, nil
}

// chunkBytes is how much of an archive is checked at a time.
const chunkBytes = 1 << 20

// chunk is a run of whole sections.
type chunk struct {
	raw    []byte
	ends   []int // of the sections in raw
	blocks []CARBlock
	at     int64
	err    error
	done   chan struct{}
}

// Each visits all blocks in the order of the archive, after their hashes were checked on all processors. Memory is bounded
// by a few chunks. ErrDamagedCAR comes after the blocks before the damage were visited.
func (s *CARStream) Each(ctx context.Context, visit func(CARBlock) error) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	workers := runtime.GOMAXPROCS(0)
	ordered, todo := make(chan *chunk, 2*workers), make(chan *chunk, 2*workers)
	go func() { // reads
		defer close(ordered)
		defer close(todo)
		for {
			c := s.read()
			last := c.err != nil
			select {
			case ordered <- c:
			case <-ctx.Done():
				return
			}
			todo <- c // has as much room as ordered
			if last {
				return
			}
		}
	}()
	for range workers {
		go func() {
			for c := range todo {
				s.check(c)
				close(c.done)
			}
		}()
	}
	for c := range ordered {
		select {
		case <-c.done:
		case <-ctx.Done():
			return ctx.Err()
		}
		for _, b := range c.blocks {
			if err := visit(b); err != nil {
				return err
			}
		}
		if errors.Is(c.err, io.EOF) {
			return nil
		}
		if c.err != nil {
			return c.err
		}
	}
	return ctx.Err()
}

// read takes in the next chunk; its error is io.EOF after the last section.
func (s *CARStream) read() *chunk {
	c := &chunk{raw: make([]byte, 0, chunkBytes+chunkBytes/8), at: s.Offset, done: make(chan struct{})}
	for len(c.raw) < chunkBytes {
		size, err := s.length()
		if err != nil {
			c.err = err
			return c
		}
		start := len(c.raw)
		c.raw = binary.AppendUvarint(c.raw, size)
		body := len(c.raw)
		c.raw = append(c.raw, make([]byte, size)...)
		if _, err := io.ReadFull(s.in, c.raw[body:]); err != nil {
			c.raw = c.raw[:start]
			c.err = fmt.Errorf("at byte %d: %w", s.Offset, broken(err))
			return c
		}
		c.ends = append(c.ends, len(c.raw))
		s.Offset += int64(len(c.raw) - start)
	}
	return c
}

// badBlock is a section that is whole and holds no block that matches its name.
type badBlock struct{ error }

func (b badBlock) Unwrap() error { return b.error }

// section takes in the next section alone and checks it, in the buffer of an earlier one; io.EOF when there is none. After a
// badBlock the next one can be read.
func (s *CARStream) section(into []byte) (c cid.Cid, data, raw []byte, err error) {
	size, err := s.length()
	if err != nil {
		return cid.Undef, nil, into, err
	}
	raw = binary.AppendUvarint(into[:0], size)
	body := len(raw)
	raw = slices.Grow(raw, int(size))[:body+int(size)]
	if _, err := io.ReadFull(s.in, raw[body:]); err != nil {
		return cid.Undef, nil, raw, fmt.Errorf("at byte %d: %w", s.Offset, broken(err))
	}
	if c, data, err = parseSection(raw); err == nil {
		err = checkHash(c, data)
	}
	if err != nil {
		err = badBlock{fmt.Errorf("at byte %d: %w: %w", s.Offset, ErrDamagedCAR, err)}
	}
	s.Offset += int64(len(raw))
	return c, data, raw, err
}

// length takes in the length of the next section; io.EOF when there is none. Only the shortest form is let through, so that
// a place in what was read is the same place in the archive.
func (s *CARStream) length() (uint64, error) {
	peek, err := s.in.Peek(binary.MaxVarintLen64)
	if len(peek) == 0 && errors.Is(err, io.EOF) {
		return 0, io.EOF
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, fmt.Errorf("at byte %d: %w", s.Offset, broken(err))
	}
	size, n := binary.Uvarint(peek)
	if n == 0 {
		return 0, fmt.Errorf("at byte %d: %w: %w", s.Offset, ErrDamagedCAR, io.ErrUnexpectedEOF)
	}
	if n < 0 || size == 0 || size > maxCarBlock || n != len(binary.AppendUvarint(nil, size)) {
		return 0, fmt.Errorf("at byte %d: %w: a block of %d bytes", s.Offset, ErrDamagedCAR, size)
	}
	_, err = s.in.Discard(n)
	return size, err
}

// check hashes the blocks of a chunk; those before the first bad one remain.
func (s *CARStream) check(c *chunk) {
	defer func() {
		if p := recover(); p != nil {
			c.err = fmt.Errorf("at byte %d: %w: %v", c.at, ErrDamagedCAR, p)
		}
	}()
	c.blocks = make([]CARBlock, 0, len(c.ends))
	start := 0
	for _, end := range c.ends {
		b := CARBlock{Section: c.raw[start:end]}
		var err error
		if b.Cid, b.Data, err = parseSection(b.Section); err == nil {
			err = checkHash(b.Cid, b.Data)
		}
		if err != nil {
			c.err = fmt.Errorf("at byte %d: %w: %w", c.at+int64(start), ErrDamagedCAR, err)
			return
		}
		if s.Examine != nil {
			if b.Note, err = s.Examine(b); err != nil {
				c.err = fmt.Errorf("at byte %d: block %s: %w", c.at+int64(start), b.Cid, err)
				return
			}
		}
		c.blocks = append(c.blocks, b)
		start = end
	}
}

package snapshot

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"

	"github.com/klauspost/compress/zstd"

	"github.com/filecoin-venus/venus/internal/fsutil"
	"github.com/filecoin-venus/venus/ipld"
)

// Errors of sources.
var (
	// ErrSource: the archive cannot be read: no file, no server, a connection that broke.
	ErrSource = errors.New("cannot read the archive")
	// ErrExists: Create found a file of that name.
	ErrExists = errors.New("file exists already")
)

// maxWindow bounds what a compressed archive may make us remember, in bytes: zstd's --long goes to 128 MiB without being
// asked twice.
const maxWindow = 128 << 20

var zstdMagic = []byte{0x28, 0xb5, 0x2f, 0xfd}

// Source is an archive being read.
type Source struct {
	// Name is the file's absolute path or the URL.
	Name string
	// Size is how many bytes there are to read, zero where the server does not say.
	Size int64

	raw   io.ReadCloser
	read  atomic.Int64
	plain *os.File // where no decoder stands between
	buf   *bufio.Reader
	body  io.Reader
	stop  func()
}

// Open opens an archive, a file or an http(s) URL; whether it is compressed shows by its first bytes.
func Open(ctx context.Context, name string) (*Source, error) {
	s := &Source{Name: name}
	var err error
	if isURL(name) {
		err = s.get(ctx)
	} else {
		err = s.file()
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSource, err)
	}
	if err := s.decompress(); err != nil {
		return nil, errors.Join(fmt.Errorf("%w: %w", ErrSource, err), s.Close())
	}
	return s, nil
}

func isURL(name string) bool {
	return strings.HasPrefix(name, "http://") || strings.HasPrefix(name, "https://")
}

func (s *Source) file() error {
	path, err := filepath.Abs(s.Name)
	if err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return errors.Join(err, fmt.Errorf("%s is no file", path), f.Close())
	}
	s.Name, s.Size, s.raw, s.plain = path, info.Size(), f, f
	return nil
}

// get asks a server. The connection may break: then the rest is asked for.
func (s *Source) get(ctx context.Context) error {
	d := &download{ctx: ctx, url: s.Name}
	if err := d.connect(); err != nil {
		return err
	}
	s.Size, s.raw = d.size, d
	return nil
}

func (s *Source) decompress() error {
	in := bufio.NewReaderSize(counted{s.raw, &s.read}, 1<<20)
	magic, err := in.Peek(len(zstdMagic))
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if string(magic) != string(zstdMagic) {
		s.body, s.buf = in, in
		return nil
	}
	s.plain = nil
	z, err := zstd.NewReader(in, zstd.WithDecoderMaxWindow(maxWindow))
	if err != nil {
		return err
	}
	s.body, s.stop = z, z.Close
	return nil
}

// Read implements io.Reader with the bytes of the archive, decompressed.
func (s *Source) Read(p []byte) (int, error) {
	n, err := s.body.Read(p)
	var file *os.PathError
	if s.stop == nil || err == nil || errors.Is(err, io.EOF) || errors.Is(err, ErrSource) || errors.As(err, &file) {
		return n, err
	}
	return n, fmt.Errorf("%w: %w", ipld.ErrDamagedCAR, err) // the decoder's verdict
}

// SkipTo implements ipld.Skipper for files that are not compressed.
func (s *Source) SkipTo(at int64) (bool, error) {
	if s.plain == nil {
		return false, nil
	}
	if _, err := s.plain.Seek(at, io.SeekStart); err != nil {
		return false, fmt.Errorf("%w: %w", ErrSource, err)
	}
	s.buf.Reset(counted{s.plain, &s.read})
	s.read.Store(at)
	return true, nil
}

// replace goes on as another source, which is not to be used any more.
func (s *Source) replace(o *Source) {
	s.Size, s.raw, s.plain, s.buf, s.body, s.stop = o.Size, o.raw, o.plain, o.buf, o.body, o.stop
	s.read.Store(o.read.Load())
}

// Done is how many of Size bytes were read.
func (s *Source) Done() int64 { return s.read.Load() }

// Close ends the reading.
func (s *Source) Close() error {
	if s.stop != nil {
		s.stop()
	}
	return s.raw.Close()
}

type counted struct {
	r io.Reader
	n *atomic.Int64
}

func (c counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// maxBreaks is how often a download goes on after its connection broke, without a byte in between.
const maxBreaks = 5

// download reads a URL and asks for the rest when the connection breaks.
type download struct {
	ctx    context.Context
	url    string
	body   io.ReadCloser
	at     int64
	size   int64
	etag   string
	breaks int
}

func (d *download) connect() error {
	req, err := http.NewRequestWithContext(d.ctx, http.MethodGet, d.url, nil)
	if err != nil {
		return err
	}
	if d.at > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", d.at))
		if d.etag != "" {
			req.Header.Set("If-Range", d.etag)
		}
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	want := http.StatusOK
	if d.at > 0 {
		want = http.StatusPartialContent
	}
	if resp.StatusCode != want {
		resp.Body.Close()
		return fmt.Errorf("%s answers %s", d.url, resp.Status)
	}
	if d.at == 0 {
		d.size, d.etag = max(resp.ContentLength, 0), resp.Header.Get("ETag")
	}
	d.body = resp.Body
	return nil
}

// Read implements io.Reader.
func (d *download) Read(p []byte) (int, error) {
	for {
		n, err := d.body.Read(p)
		d.at += int64(n)
		if n > 0 {
			d.breaks = 0
			return n, nil
		}
		if err == nil {
			continue
		}
		if errors.Is(err, io.EOF) && (d.size == 0 || d.at >= d.size) {
			return 0, io.EOF
		}
		if d.breaks++; d.breaks > maxBreaks || d.ctx.Err() != nil {
			return 0, fmt.Errorf("%w: %s broke off after %d bytes: %w", ErrSource, d.url, d.at, err)
		}
		d.body.Close()
		if err := d.connect(); err != nil {
			return 0, fmt.Errorf("%w: %w", ErrSource, err)
		}
	}
}

// Close ends the download.
func (d *download) Close() error { return d.body.Close() }

// Create makes an archive at path, compressed when the name ends in .zst. The file appears when fill has ended well and
// all is durable; before that, and if it fails, nothing of that name is there. ErrExists when something is already.
func Create(path string, fill func(io.Writer) error) error {
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("%s: %w", path, ErrExists)
	}
	return fsutil.Fill(path, 0o644, func(f *os.File) error {
		if !strings.HasSuffix(path, ".zst") {
			return fill(f)
		}
		z, err := zstd.NewWriter(f, zstd.WithEncoderLevel(zstd.SpeedFastest))
		if err != nil {
			return err
		}
		return errors.Join(fill(z), z.Close())
	})
}

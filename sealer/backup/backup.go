package backup

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"
	"os"
	"time"

	"github.com/filecoin-venus/venus/internal/fault"
	"github.com/filecoin-venus/venus/internal/fsutil"
	"github.com/filecoin-venus/venus/sealer/db"
)

// format names the kind of file and its version.
const format = "venus-sealer backup 1"

// ErrDamaged is returned for a file that is not a whole backup.
var ErrDamaged = errors.New("the backup is damaged")

// maxLine bounds a line: an artifact of a 64 GiB sector, in base64.
const maxLine = 128 << 20

// Source gives the rows of a database at one moment.
type Source interface {
	Dump(ctx context.Context, f func(db.Row) error) error
}

// Report tells what a backup holds.
type Report struct {
	Miner  string
	At     time.Time
	Rows   map[string]int // by table
	Files  []string
	Bytes  int64  // of the lines, before compression
	SHA256 string // of the lines
}

// line is a line of the file: exactly one field is set.
type line struct {
	Header *header `json:"h,omitempty"`
	File   *file   `json:"f,omitempty"`
	Row    *row    `json:"r,omitempty"`
	End    *end    `json:"e,omitempty"`
}

type header struct {
	Format string
	Miner  string
	At     time.Time
}

type file struct {
	Name string
	Data []byte
}

type row struct {
	Table  string  `json:"t"`
	Values []value `json:"v"`
}

// value is a number, a text or bytes.
type value struct {
	N *int64  `json:"n,omitempty"`
	T *string `json:"t,omitempty"`
	B *[]byte `json:"b,omitempty"`
}

type end struct {
	Rows   map[string]int
	SHA256 string
}

// writer writes lines and sums them up.
type writer struct {
	out io.Writer
	sum hash.Hash
	rep Report
}

func (w *writer) line(l line) error {
	b, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("encode line of the backup: %w", err)
	}
	b = append(b, '\n')
	if _, err := w.out.Write(b); err != nil {
		return fmt.Errorf("write the backup: %w", err)
	}
	w.sum.Write(b)
	w.rep.Bytes += int64(len(b))
	return nil
}

// Write makes a backup of a database in use, and of the given files.
func Write(ctx context.Context, path, miner string, at time.Time, src Source, files map[string][]byte) (Report, error) {
	if _, err := os.Lstat(path); err == nil {
		return Report{}, fmt.Errorf("%s is there already: backups are not overwritten", path)
	}
	w := &writer{sum: sha256.New(), rep: Report{Miner: miner, At: at, Rows: map[string]int{}}}
	err := fsutil.Fill(path, 0o600, func(f *os.File) error {
		zip := gzip.NewWriter(f)
		buf := bufio.NewWriterSize(zip, 1<<20)
		w.out = buf
		if err := w.all(ctx, src, files); err != nil {
			return err
		}
		if err := buf.Flush(); err != nil {
			return err
		}
		return zip.Close()
	})
	if err != nil {
		return Report{}, err
	}
	if err := fault.Point("sealer/backup"); err != nil {
		return Report{}, err
	}
	// Read it back: a backup that cannot be read is worse than none.
	got, err := Verify(path)
	if err != nil {
		return Report{}, fmt.Errorf("read the backup back: %w", err)
	}
	if got.SHA256 != w.rep.SHA256 {
		return Report{}, fmt.Errorf("%w: what was written is not what can be read", ErrDamaged)
	}
	return got, nil
}

func (w *writer) all(ctx context.Context, src Source, files map[string][]byte) error {
	if err := w.line(line{Header: &header{Format: format, Miner: w.rep.Miner, At: w.rep.At}}); err != nil {
		return err
	}
	for name, data := range files {
		if err := w.line(line{File: &file{Name: name, Data: data}}); err != nil {
			return err
		}
	}
	if err := src.Dump(ctx, func(r db.Row) error {
		w.rep.Rows[r.Table]++
		return w.line(line{Row: encodeRow(r)})
	}); err != nil {
		return err
	}
	w.rep.SHA256 = hex.EncodeToString(w.sum.Sum(nil))
	return w.line(line{End: &end{Rows: w.rep.Rows, SHA256: w.rep.SHA256}})
}

func encodeRow(r db.Row) *row {
	out := &row{Table: r.Table}
	for _, v := range r.Values {
		switch x := v.(type) {
		case int64:
			out.Values = append(out.Values, value{N: &x})
		case string:
			out.Values = append(out.Values, value{T: &x})
		case []byte:
			x = append([]byte{}, x...) // never null
			out.Values = append(out.Values, value{B: &x})
		}
	}
	return out
}

func (r *row) decode() (db.Row, error) {
	out := db.Row{Table: r.Table}
	for _, v := range r.Values {
		switch {
		case v.N != nil:
			out.Values = append(out.Values, *v.N)
		case v.T != nil:
			out.Values = append(out.Values, *v.T)
		case v.B != nil:
			out.Values = append(out.Values, *v.B)
		default:
			return out, fmt.Errorf("%w: a row of %s has an empty value", ErrDamaged, r.Table)
		}
	}
	return out, nil
}

// reader reads lines and sums them up.
type reader struct {
	in  *bufio.Scanner
	sum hash.Hash
	rep Report
}

// newReader reads the header.
func newReader(in io.Reader) (*reader, error) {
	zip, err := gzip.NewReader(in)
	if err != nil {
		return nil, fmt.Errorf("%w: it is not compressed as backups are: %w", ErrDamaged, err)
	}
	r := &reader{in: bufio.NewScanner(zip), sum: sha256.New(), rep: Report{Rows: map[string]int{}}}
	r.in.Buffer(nil, maxLine)
	l, _, err := r.next()
	if err != nil {
		return nil, err
	}
	if l.Header == nil || l.Header.Format != format {
		return nil, fmt.Errorf("%w: it does not begin as a %q", ErrDamaged, format)
	}
	r.rep.Miner, r.rep.At = l.Header.Miner, l.Header.At
	return r, nil
}

// next reads a line; false after the last, which was checked.
func (r *reader) next() (line, bool, error) {
	if !r.in.Scan() {
		err := r.in.Err()
		if err == nil {
			err = io.ErrUnexpectedEOF
		}
		return line{}, false, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	var l line
	dec := json.NewDecoder(bytes.NewReader(r.in.Bytes()))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&l); err != nil {
		return l, false, fmt.Errorf("%w: a line cannot be read: %w", ErrDamaged, err)
	}
	if l.End != nil {
		r.rep.SHA256 = hex.EncodeToString(r.sum.Sum(nil))
		if l.End.SHA256 != r.rep.SHA256 || !maps.Equal(l.End.Rows, r.rep.Rows) {
			return l, false, fmt.Errorf("%w: its sum or counts do not fit its content", ErrDamaged)
		}
		if r.in.Scan() {
			return l, false, fmt.Errorf("%w: something follows its end", ErrDamaged)
		}
		if err := r.in.Err(); err != nil {
			return l, false, fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		return l, false, nil
	}
	r.sum.Write(append(r.in.Bytes(), '\n'))
	r.rep.Bytes += int64(len(r.in.Bytes())) + 1
	switch {
	case l.Row != nil:
		r.rep.Rows[l.Row.Table]++
	case l.File != nil:
		r.rep.Files = append(r.rep.Files, l.File.Name)
	case l.Header == nil:
		return l, false, fmt.Errorf("%w: a line says nothing", ErrDamaged)
	}
	return l, true, nil
}

// walk reads a whole backup; each may be nil.
func walk(path string, each func(line) error) (Report, error) {
	f, err := os.Open(path)
	if err != nil {
		return Report{}, fmt.Errorf("open the backup: %w", err)
	}
	defer f.Close()
	r, err := newReader(f)
	if err != nil {
		return Report{}, err
	}
	for {
		l, more, err := r.next()
		if err != nil {
			return Report{}, err
		}
		if !more {
			return r.rep, nil
		}
		if each == nil {
			continue
		}
		if err := each(l); err != nil {
			return Report{}, err
		}
	}
}

// Verify reads all of a backup and tells what it holds.
func Verify(path string) (Report, error) {
	return walk(path, func(l line) error {
		if l.Row == nil {
			return nil
		}
		_, err := l.Row.decode()
		return err
	})
}

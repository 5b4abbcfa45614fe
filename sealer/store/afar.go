package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/filecoin-project/go-state-types/abi"

	"github.com/filecoin-venus/venus/internal/fault"
	"github.com/filecoin-venus/venus/internal/fsutil"
)

// AfarPrefix begins the folder of a path on a worker's machine; the path's id
// follows. It is no name of a file system: its worker knows the folder.
const AfarPrefix = "worker:"

// Caller carries a request to the worker that has a path, and brings the answer.
type Caller func(ctx context.Context, id string, request []byte) ([]byte, error)

// Calls of a path on a worker's machine. Work and what follows are about the
// folders of tasks, which Host leaves to its owner.
const (
	callMeta    = "meta"
	callList    = "list"
	callFiles   = "files"
	callRead    = "read"
	callSum     = "sum"
	callMake    = "make"
	callHas     = "has"
	callDrop    = "drop"
	callClear   = "clear"
	callMeasure = "measure"
	callSize    = "size"
	callWork    = "work"
)

// maxRead is how many bytes one call reads: an answer fits into a message of NATS.
const maxRead = 512 << 10

// maxAnswer bounds what is told without bytes of a file.
const maxAnswer = 900 << 10

// readers is how many calls read one chunk at once.
const readers = 8

// request is a call.
type request struct {
	Call   string
	Decl   Decl
	Name   string        `json:",omitempty"`
	Ending string        `json:",omitempty"`
	At     int64         `json:",omitempty"`
	Len    int64         `json:",omitempty"`
	Sector *abi.SectorID `json:",omitempty"`
	// Work names what Host.Work is asked, with its argument.
	Work string          `json:",omitempty"`
	Arg  json.RawMessage `json:",omitempty"`
}

// response is the answer; the bytes of a read follow it after a line's end.
type response struct {
	Error  string `json:",omitempty"`
	Absent bool   `json:",omitempty"` // the error is fs.ErrNotExist
	EOF    bool   `json:",omitempty"`
	Sum    []byte `json:",omitempty"` // SHA-256 of the bytes that follow

	Meta   *Meta      `json:",omitempty"`
	Decls  []Decl     `json:",omitempty"`
	Stray  []string   `json:",omitempty"`
	Left   []farLeft  `json:",omitempty"`
	Pieces []farPiece `json:",omitempty"`
	Stat   Stat
	Size   int64
	Has    bool
}

type farPiece struct {
	Name string
	Size int64
}

type farLeft struct {
	Decl         Decl
	Name, Ending string
}

// Host serves a path of this machine to a sealer elsewhere. Sectors are sealed in
// it by this machine's worker; the sealer lists, reads and deletes.
type Host struct {
	ID, Dir string
	// Work does what the sealer asks of the folders of tasks.
	Work func(what string, arg json.RawMessage) error

	vol     *local
	working sync.Mutex // held by the one Work that may run: a request may come again while it does
}

// NewHost opens a folder as a path for sealing; one that is none becomes one.
func NewHost(dir string, o Options) (*Host, error) {
	if !filepath.IsAbs(dir) {
		return nil, fmt.Errorf("sealing path %s: give the absolute path", dir)
	}
	o = o.filled()
	dir = filepath.Clean(dir)
	vol := &local{dir: dir, disk: o.Disk, gate: &gate{path: dir, clk: o.Clock, limit: o.Timeout}, chunk: o.Chunk}
	m, err := vol.meta()
	if errors.Is(err, fs.ErrNotExist) {
		if info, serr := os.Stat(dir); serr != nil || !info.IsDir() {
			return nil, fmt.Errorf("sealing path %s: there is no such folder; make it, or mount its disk", dir)
		}
		m, err = Init(Spec{Dir: dir, CanSeal: true})
	}
	if err != nil {
		return nil, err
	}
	if m.CanStore || !m.CanSeal {
		return nil, fmt.Errorf("sealing path %s: its %s says that sectors rest here; a worker's own path is for sealing only", dir, MetaFile)
	}
	return &Host{ID: m.ID, Dir: dir, vol: vol}, nil
}

// Answer does what a request asks. A request that makes no sense changes nothing.
func (h *Host) Answer(data []byte) []byte {
	var q request
	res, body := response{}, []byte(nil)
	err := json.Unmarshal(data, &q)
	if err == nil {
		body, err = h.do(q, &res)
	}
	if errors.Is(err, io.EOF) {
		res.EOF, err = true, nil
	}
	if err != nil {
		res, body = response{Error: err.Error(), Absent: errors.Is(err, fs.ErrNotExist)}, nil
	}
	head, err := json.Marshal(res)
	if err == nil && len(head) > maxAnswer {
		err = fmt.Errorf("it has %d bytes, more than one message holds: clear what does not belong into %s", len(head), h.Dir)
	}
	if err != nil {
		head, body = fmt.Appendf(nil, `{"Error":%q}`, "the answer cannot be sent: "+err.Error()), nil
	}
	return append(append(head, '\n'), body...)
}

func (h *Host) do(q request, r *response) (body []byte, err error) {
	switch q.Call { // those that are about no file
	case callMeta:
		m, err := h.vol.meta()
		r.Meta = &m
		return nil, err
	case callList:
		f, err := h.vol.list()
		r.Decls, r.Stray = f.decls, f.stray
		for _, x := range f.left {
			r.Left = append(r.Left, farLeft{x.Decl, filepath.Base(x.name), x.ending})
		}
		return nil, err
	case callMeasure:
		r.Stat, err = h.vol.measure()
		return nil, err
	case callSize:
		r.Size, err = h.vol.sizeOf(q.Sector)
		return nil, err
	case callWork:
		if h.Work == nil {
			return nil, errors.New("no tasks work here")
		}
		h.working.Lock()
		defer h.working.Unlock()
		return nil, h.Work(q.Work, q.Arg)
	}
	if t := q.Decl.Type; !t.known() && q.Ending+q.Call != callClear {
		return nil, fmt.Errorf("no file is of type %d", t)
	}
	if q.Name != "" && (filepath.Base(q.Name) != q.Name || q.Name == ".." || q.Name == ".") {
		return nil, fmt.Errorf("%q is no name within a path", q.Name)
	}
	switch q.Call {
	case callFiles:
		list, err := h.vol.files(q.Decl)
		for _, p := range list {
			r.Pieces = append(r.Pieces, farPiece{p.name, p.size})
		}
		return nil, err
	case callRead:
		return h.read(q, r)
	case callSum:
		return nil, h.sum(q, r)
	case callMake:
		return nil, h.vol.makeCache(filesIn(h.Dir, q.Decl.Sector))
	case callHas:
		r.Has, err = h.vol.has(q.Decl)
		return nil, err
	case callDrop:
		return nil, h.vol.drop(q.Decl)
	case callClear:
		return nil, h.clear(q)
	}
	return nil, fmt.Errorf("this worker does not know the call %q; update it", q.Call)
}

// clear deletes what a list told as left over, and nothing else.
func (h *Host) clear(q request) error {
	x := leftover{Decl: q.Decl, ending: q.Ending}
	switch {
	case q.Ending == moving || q.Ending == gone:
		x.name = h.vol.beside(q.Decl, q.Ending)
	case q.Ending == "" && attempt.MatchString(q.Name):
		x.name = filepath.Join(h.Dir, workFolder, q.Name)
	default:
		return fmt.Errorf("%q is nothing that is left over", q.Name)
	}
	return h.vol.clear(x)
}

func (h *Host) read(q request, r *response) ([]byte, error) {
	if q.Len < 0 || q.Len > maxRead || q.At < 0 {
		return nil, fmt.Errorf("read %d bytes at %d: at most %d are read at once", q.Len, q.At, maxRead)
	}
	f, err := h.vol.open(q.Decl, q.Name)
	if err != nil {
		return nil, err
	}
	defer f.Close() // opened for reading only
	b := make([]byte, q.Len)
	n, err := f.ReadAt(b, q.At)
	sum := sha256.Sum256(b[:n])
	r.Sum = sum[:]
	return b[:n], err
}

// sum is the checksum of a part of a file, which then need not be sent.
func (h *Host) sum(q request, r *response) error {
	if q.Len < 0 || q.At < 0 {
		return fmt.Errorf("the sum of %d bytes at %d is no question", q.Len, q.At)
	}
	f, err := h.vol.open(q.Decl, q.Name)
	if err != nil {
		return err
	}
	defer f.Close() // opened for reading only
	sum := sha256.New()
	n, err := io.Copy(sum, io.NewSectionReader(f, q.At, q.Len))
	if err == nil && n < q.Len {
		err = io.ErrUnexpectedEOF
	}
	r.Sum = sum.Sum(nil)
	return err
}

// afar is a path on a worker's machine, in which that worker seals. Nothing is
// brought there; what is done there is fetched from it.
type afar struct {
	id   string
	call Caller
	gate *gate
}

// ask calls the worker. What it does not answer in time may be done all the same;
// every call may be repeated.
func (a *afar) ask(patience int, q request) (response, []byte, error) {
	data, err := json.Marshal(q)
	if err != nil {
		return response{}, nil, fmt.Errorf("encode a call: %w", err)
	}
	answer, err := ask(a.gate, patience, func() ([]byte, error) { return a.insist(patience, data) })
	if err != nil {
		return response{}, nil, fmt.Errorf("path %s%s: %w", AfarPrefix, a.id, err)
	}
	return decodeAnswer(answer)
}

// insist asks until there is an answer: a worker that dies leaves what it was asked open for ever, and is asked again once it
// is back. Every call may be repeated.
func (a *afar) insist(times int, data []byte) (answer []byte, err error) {
	for range times {
		ctx, cancel := context.WithTimeout(context.Background(), a.gate.limit)
		answer, err = a.call(ctx, a.id, data)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			break
		}
	}
	return answer, err
}

// decodeAnswer takes an answer apart. Bytes that do not have their checksum are
// ErrCorrupt.
func decodeAnswer(answer []byte) (response, []byte, error) {
	head, body, ok := bytes.Cut(answer, []byte{'\n'})
	var r response
	if err := json.Unmarshal(head, &r); err != nil || !ok {
		return response{}, nil, errors.New("a worker's answer makes no sense; update the worker")
	}
	switch sum := sha256.Sum256(body); {
	case r.Absent:
		return r, nil, fmt.Errorf("%s: %w", r.Error, fs.ErrNotExist)
	case r.Error != "":
		return r, nil, errors.New(r.Error)
	case len(body) > 0 && !bytes.Equal(sum[:], r.Sum):
		return r, nil, ErrCorrupt
	}
	return r, body, nil
}

func (a *afar) meta() (Meta, error) {
	r, _, err := a.ask(1, request{Call: callMeta})
	if err != nil {
		return Meta{}, err
	}
	if r.Meta == nil || r.Meta.ID != a.id {
		return Meta{}, fmt.Errorf("path %s%s: another folder lies there now", AfarPrefix, a.id)
	}
	m := *r.Meta
	m.CanStore = false // whatever its file says by now
	return m, nil
}

func (a *afar) list() (found, error) {
	r, _, err := a.ask(writePatience, request{Call: callList})
	out := found{decls: r.Decls, stray: r.Stray}
	for _, x := range r.Left {
		out.left = append(out.left, leftover{Decl: x.Decl, name: AfarPrefix + a.id + "/" + x.Name, ending: x.Ending})
	}
	return out, err
}

func (a *afar) files(d Decl) ([]piece, error) {
	r, _, err := a.ask(1, request{Call: callFiles, Decl: d})
	var out []piece
	for _, p := range r.Pieces {
		if filepath.Base(p.Name) != p.Name && p.Name != "" || p.Name == ".." || p.Size < 0 {
			return nil, fmt.Errorf("a worker tells of a file %q of %d bytes", p.Name, p.Size)
		}
		out = append(out, piece{name: p.Name, size: p.Size})
	}
	return out, err
}

func (a *afar) open(d Decl, name string) (File, error) {
	list, err := a.files(d)
	if err != nil {
		return nil, err
	}
	for _, p := range list {
		if p.name == name {
			return &farFile{a, d, p}, nil
		}
	}
	return nil, fmt.Errorf("%s of sector %d: %w", name, d.Sector.Number, fs.ErrNotExist)
}

func (a *afar) has(d Decl) (bool, error) {
	r, _, err := a.ask(1, request{Call: callHas, Decl: d})
	return r.Has, err
}

func (a *afar) makeCache(f Files) error {
	id, err := ParseSectorName(filepath.Base(f.Cache))
	if err != nil {
		return err
	}
	_, _, err = a.ask(writePatience, request{Call: callMake, Decl: Decl{id, Cache}})
	return err
}

func (a *afar) take(context.Context, Decl, volume, func(int64)) error {
	return fmt.Errorf("%s%s is a worker's: sectors do not rest there", AfarPrefix, a.id)
}

func (a *afar) drop(d Decl) error {
	_, _, err := a.ask(writePatience, request{Call: callDrop, Decl: d})
	return err
}

func (a *afar) clear(x leftover) error {
	_, _, err := a.ask(writePatience, request{Call: callClear, Decl: x.Decl, Name: filepath.Base(x.name), Ending: x.ending})
	return err
}

func (a *afar) measure() (Stat, error) {
	r, _, err := a.ask(1, request{Call: callMeasure})
	return r.Stat, err
}

func (a *afar) sizeOf(id *abi.SectorID) (int64, error) {
	r, _, err := a.ask(writePatience, request{Call: callSize, Sector: id})
	return r.Size, err
}

// farFile reads a file on a worker's machine.
type farFile struct {
	a *afar
	d Decl
	p piece
}

// ReadAt implements io.ReaderAt. Large reads are several calls at once.
func (f *farFile) ReadAt(b []byte, at int64) (int, error) {
	want := b[:max(0, min(int64(len(b)), f.p.size-at))]
	var (
		wg    sync.WaitGroup
		slots = make(chan struct{}, readers)
		errs  = make([]error, (len(want)+maxRead-1)/maxRead)
	)
	for i := range errs {
		part := want[i*maxRead : min((i+1)*maxRead, len(want))]
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			_, got, err := f.a.ask(1, request{Call: callRead, Decl: f.d, Name: f.p.name, At: at + int64(i)*maxRead, Len: int64(len(part))})
			if err == nil && len(got) != len(part) {
				err = fmt.Errorf("a worker sent %d bytes of %d: %w", len(got), len(part), io.ErrUnexpectedEOF)
			}
			copy(part, got)
			errs[i] = err
		})
	}
	wg.Wait()
	for i, err := range errs {
		if err != nil {
			return i * maxRead, err
		}
	}
	if len(want) < len(b) {
		return len(want), io.EOF
	}
	return len(want), nil
}

// Sum implements summed.
func (f *farFile) Sum(at, n int64) ([]byte, error) {
	r, _, err := f.a.ask(writePatience, request{Call: callSum, Decl: f.d, Name: f.p.name, At: at, Len: n})
	return r.Sum, err
}

// Size implements File.
func (f *farFile) Size() (int64, error) { return f.p.size, nil }

// Close implements File.
func (f *farFile) Close() error { return nil }

// Afar asks the worker that has a path, by the path's folder, to do something with
// folders of tasks; false for a path that this machine reaches by itself.
func (s *Store) Afar(dir, what string, arg any) (bool, error) {
	if !strings.HasPrefix(dir, AfarPrefix) {
		return false, nil
	}
	h, p, err := s.held(dir)
	if err != nil {
		return true, err
	}
	if p.Away != "" {
		return true, errors.New(p.Away)
	}
	vol, ok := h.vol.(*afar)
	if !ok {
		return true, fmt.Errorf("%s is no path of a worker", dir)
	}
	b, err := json.Marshal(arg)
	if err != nil {
		return true, fmt.Errorf("encode what a worker is asked: %w", err)
	}
	_, _, err = vol.ask(writePatience, request{Call: callWork, Work: what, Arg: b})
	return true, err
}

// Seat is where a sector lies in a worker's path that is away: what is to be done
// with it waits for that worker. Of files that are wanted it names those that are
// there; with none it names the places of all.
func (s *Store) Seat(id abi.SectorID, want ...FileType) (Files, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for pid := range s.index[Decl{id, Cache}] {
		h := s.paths[pid]
		if _, ok := h.vol.(*afar); !ok || h.away == "" {
			continue
		}
		all := sealingFiles(h.root, id)
		if len(want) == 0 {
			return all, true
		}
		var out Files
		for _, t := range want {
			if !s.index[Decl{id, t}][pid] {
				return Files{}, false
			}
			out.set(t, all.of(t))
		}
		return out, true
	}
	return Files{}, false
}

// SweepAfar deletes the folders of tasks in a worker's path that are not wanted,
// by their names. They are listed before anybody is asked: a folder that is made
// meanwhile stays.
func (s *Store) SweepAfar(dir string, wanted func(folder string) bool) error {
	h, p, err := s.held(dir)
	if err != nil || p.Away != "" {
		return err
	}
	f, err := h.vol.list()
	if err != nil {
		return err
	}
	for _, x := range f.left {
		if x.ending == "" && !wanted(filepath.Base(x.name)) {
			err = errors.Join(err, h.vol.clear(x))
		}
	}
	return err
}

// makeCache makes a sector's cache folder: from then on the sector belongs here.
func (l *local) makeCache(f Files) error {
	for _, t := range sealingTypes() {
		if err := l.folder(t); err != nil {
			return err
		}
	}
	return try(l.gate, writePatience, func() error {
		if err := os.Mkdir(f.Cache, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		if err := fsutil.SyncDir(filepath.Dir(f.Cache)); err != nil {
			return err
		}
		return fault.Point("store/place")
	})
}

// bench is a volume in which sectors are sealed.
type bench interface {
	makeCache(f Files) error
	has(d Decl) (bool, error)
}

package signlog

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/internal/fault"
	"github.com/filecoin-venus/venus/internal/fsutil"
)

// segmentSize is when a new segment begins, in bytes.
const segmentSize = 32 << 20

// maxLine bounds one record; a carried memory of a thousand miners fits.
const maxLine = 256 << 20

// ErrBroken is wrapped by every refusal of a log that could not write.
var ErrBroken = errors.New("the signature log cannot be written, nothing is signed until the wallet is restarted")

// Log is an open signature log. It is safe for concurrent use; while one fsync is under way the next one's records gather.
type Log struct {
	dir   string
	clock clock.Clock
	limit int64

	mu      sync.Mutex // all below
	file    *os.File
	segment int
	size    int64
	seq     uint64
	prev    string
	guard   guard
	// notBefore refuses blocks with this timestamp and before.
	notBefore uint64
	broken    error
	synced    uint64 // highest seq on disk
	// round is closed at the end of the fsync that is under way; nil while there is none.
	round chan struct{}
}

// Open opens or creates the log in dir.
func Open(dir string, c clock.Clock) (*Log, error) {
	return open(dir, c, segmentSize)
}

// OpenSmall is Open with segments of another size, in bytes.
func OpenSmall(dir string, c clock.Clock, limit int64) (*Log, error) { return open(dir, c, limit) }

func open(dir string, c clock.Clock, limit int64) (*Log, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make signature log folder: %w", err)
	}
	l := &Log{dir: dir, clock: c, limit: limit, guard: guard{}}
	segments, err := listSegments(dir)
	if err != nil {
		return nil, err
	}
	if len(segments) == 0 {
		return l.begin(1)
	}
	last := segments[len(segments)-1]
	if err := l.resume(last); err != nil {
		return nil, fmt.Errorf("signature log segment %d: %w", last, err)
	}
	if l.seq == 0 && last > 1 {
		// The crash hit between creating the segment and its first line: the memory is in the segment before.
		return l.redoRotation(segments[len(segments)-2], last)
	}
	if l.seq == 0 {
		return l.begin(last)
	}
	l.synced = l.seq
	return l, nil
}

func (l *Log) begin(segment int) (*Log, error) {
	if err := l.startSegment(segment); err != nil {
		return nil, err
	}
	l.synced = l.seq
	return l, nil
}

func (l *Log) redoRotation(before, last int) (*Log, error) {
	_ = l.file.Close()
	if err := os.Remove(l.path(last)); err != nil {
		return nil, fmt.Errorf("remove empty segment: %w", err)
	}
	if err := l.resume(before); err != nil {
		return nil, fmt.Errorf("signature log segment %d: %w", before, err)
	}
	l.synced = l.seq
	return l, nil
}

// Dir is the folder of the log.
func (l *Log) Dir() string { return l.dir }

func (l *Log) path(segment int) string { return filepath.Join(l.dir, fmt.Sprintf("%08d.log", segment)) }

func listSegments(dir string) ([]int, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list signature log: %w", err)
	}
	var out []int
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".log")
		if !ok {
			continue
		}
		n, err := strconv.Atoi(name)
		if err != nil || n < 1 {
			continue
		}
		out = append(out, n)
	}
	slices.Sort(out)
	return out, nil
}

// resume reads a segment to its last whole line, cuts a torn one off and leaves the file open for appending.
func (l *Log) resume(segment int) error {
	f, err := os.OpenFile(l.path(segment), os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	good, err := l.replay(f)
	if err != nil {
		_ = f.Close()
		return err
	}
	if err := f.Truncate(good); err != nil {
		_ = f.Close()
		return fmt.Errorf("cut torn line: %w", err)
	}
	if _, err := f.Seek(good, io.SeekStart); err != nil {
		_ = f.Close()
		return err
	}
	l.file, l.segment, l.size = f, segment, good
	return nil
}

func (l *Log) replay(f io.Reader) (good int64, err error) {
	first := true
	err = eachLine(f, func(line []byte, r *Record) error {
		if !first && (r.Prev != l.prev || r.Seq != l.seq+1) {
			return fmt.Errorf("record %d does not follow record %d: the log was altered; keep it and move it away to go on", r.Seq, l.seq)
		}
		first = false
		l.seq, l.prev = r.Seq, hashLine(line)
		good += int64(len(line))
		if r.Carried != nil {
			l.guard.load(r.Carried)
		}
		l.notBefore = max(l.notBefore, r.NotBefore)
		if r.Block != nil && r.Decision == Signed {
			// A second block at one height cannot have been signed; the first stays what is remembered.
			_ = l.guard.reserve(r.Signer, *r.Block)
		}
		return nil
	})
	return good, err
}

// eachLine calls fn for each whole record and stops silently at a torn last line.
func eachLine(f io.Reader, fn func(line []byte, r *Record) error) error {
	rd := bufio.NewReaderSize(f, 64<<10)
	for {
		line, err := readLine(rd)
		if errors.Is(err, io.EOF) {
			return nil // what is left, if anything, has no line end: torn
		}
		if err != nil {
			return err
		}
		var r Record
		if err := json.Unmarshal(line, &r); err != nil {
			if _, peek := rd.Peek(1); errors.Is(peek, io.EOF) {
				return nil
			}
			return fmt.Errorf("a line is not a record: the log was altered: %w", err)
		}
		if err := fn(line, &r); err != nil {
			return err
		}
	}
}

func readLine(rd *bufio.Reader) ([]byte, error) {
	var out []byte
	for {
		part, err := rd.ReadSlice('\n')
		out = append(out, part...)
		if errors.Is(err, bufio.ErrBufferFull) {
			if len(out) > maxLine {
				return nil, errors.New("a line is too long")
			}
			continue
		}
		return out, err
	}
}

// startSegment closes the current segment, durably, and creates the next; its first record carries the memory of blocks.
func (l *Log) startSegment(n int) error {
	if l.file != nil {
		if err := errors.Join(l.file.Sync(), l.file.Close()); err != nil {
			return fmt.Errorf("close signature log segment: %w", err)
		}
		l.file, l.synced = nil, l.seq
	}
	f, err := os.OpenFile(l.path(n), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("create signature log segment: %w", err)
	}
	l.file, l.segment, l.size = f, n, 0
	if _, err := l.write(Record{Time: l.clock.Now().UTC(), Carried: l.guard.carry(), NotBefore: l.notBefore}); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("sync signature log segment: %w", err)
	}
	return fsutil.SyncDir(l.dir)
}

// write appends one line. Needs mu held (or the log not yet shared).
func (l *Log) write(r Record) (uint64, error) {
	r.Seq, r.Prev = l.seq+1, l.prev
	line, err := r.line()
	if err != nil {
		return 0, err
	}
	if err := fault.Point("wallet/audit"); err != nil {
		return 0, err
	}
	n, err := l.file.Write(line)
	if err != nil {
		// The half line goes; should that fail too, the next Open cuts it off.
		return 0, errors.Join(fmt.Errorf("write sign record: %w", err), l.file.Truncate(l.size))
	}
	l.size += int64(n)
	l.seq, l.prev = r.Seq, hashLine(line)
	return r.Seq, nil
}

// Append writes r (Seq, Time and Prev are filled in) and returns when it is durable. For a block about to be signed it first
// applies the rule of one block per height, and returns a *DoubleBlockError, with nothing written, when the rule refuses.
func (l *Log) Append(r Record) error {
	durable, err := l.Begin(r)
	if err != nil {
		return err
	}
	return durable()
}

// Begin is Append for callers who have something to do until the record is durable: nothing of which may be seen before
// durable has returned nil.
func (l *Log) Begin(r Record) (durable func() error, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r.Block != nil && l.broken == nil {
		if r.Block.Timestamp <= l.notBefore && l.notBefore > 0 {
			return nil, &DoubleBlockError{Height: r.Block.Height, Restored: true}
		}
		if err := l.guard.reserve(r.Signer, *r.Block); err != nil {
			return nil, err
		}
	}
	seq, err := l.appendLocked(r)
	if err != nil {
		return nil, err
	}
	if l.round == nil {
		l.round = make(chan struct{})
		go l.sync()
	}
	return func() error { return l.wait(seq) }, nil
}

func (l *Log) appendLocked(r Record) (uint64, error) {
	if l.broken != nil {
		return 0, l.broken
	}
	if l.file == nil {
		return 0, fmt.Errorf("%w: it is closed", ErrBroken)
	}
	if l.size >= l.limit {
		if err := l.startSegment(l.segment + 1); err != nil {
			return 0, l.breakWith(err)
		}
	}
	r.Time = l.clock.Now().UTC()
	seq, err := l.write(r)
	if err != nil {
		return 0, l.breakWith(err)
	}
	return seq, nil
}

func (l *Log) breakWith(err error) error {
	l.broken = fmt.Errorf("%w: %w", ErrBroken, err)
	return l.broken
}

// wait returns when record seq is on disk, or never will be.
func (l *Log) wait(seq uint64) error {
	for {
		l.mu.Lock()
		synced, broken, round := l.synced, l.broken, l.round
		l.mu.Unlock()
		if synced >= seq {
			return nil
		}
		if broken != nil {
			return broken
		}
		<-round
	}
}

// sync brings records to the disk until there are none left to bring.
func (l *Log) sync() {
	for again := true; again; {
		l.mu.Lock()
		file, target := l.file, l.seq
		l.mu.Unlock()
		err := fault.Point("wallet/auditSync")
		switch {
		case err != nil:
		case file == nil:
			err = os.ErrClosed // which does not matter once everything is on disk
		default:
			err = file.Sync()
		}
		again = l.endRound(target, err)
	}
}

// endRound notes the outcome of an fsync and tells whether another is due. A segment that was closed meanwhile was synced
// before.
func (l *Log) endRound(target uint64, err error) (again bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil && l.synced < target {
		_ = l.breakWith(fmt.Errorf("sync: %w", err)) // the waiting are told
	}
	if l.broken == nil {
		l.synced = max(l.synced, target)
	}
	again = l.broken == nil && l.seq > l.synced
	close(l.round)
	l.round = nil
	if again {
		l.round = make(chan struct{})
	}
	return again
}

// Tail returns up to n of the newest records of the current segment, oldest first.
func (l *Log) Tail(n int) ([]Record, error) {
	l.mu.Lock()
	path, size := l.path(l.segment), l.size
	l.mu.Unlock()
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read signature log: %w", err)
	}
	defer f.Close()
	var out []Record
	err = eachLine(io.LimitReader(f, size), func(_ []byte, r *Record) error {
		if r.Carried == nil && r.Decision != "" {
			out = append(out, *r)
			if len(out) > 2*n {
				out = slices.Clone(out[len(out)-n:])
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read signature log: %w", err)
	}
	return out[max(0, len(out)-n):], nil
}

// Close syncs and closes the log.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return nil
	}
	err := errors.Join(l.file.Sync(), l.file.Close())
	if err == nil {
		l.synced = l.seq
	}
	l.file = nil
	return err
}

// Broken says why nothing can be written any more, nil while it can.
func (l *Log) Broken() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.broken
}

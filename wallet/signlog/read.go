package signlog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/internal/fault"
	"github.com/filecoin-venus/venus/internal/fsutil"
)

// Query selects records. Zero fields select all.
type Query struct {
	Signer, Type, Token string
	Decision            Decision
	Since, Until        time.Time
	Skip, Limit         int
}

func (q Query) matches(r *Record) bool {
	return r.Decision != "" && (q.Signer == "" || q.Signer == r.Signer) && (q.Type == "" || q.Type == r.Type) && (q.Token == "" || q.Token == r.Token) &&
		(q.Decision == "" || q.Decision == r.Decision) && (q.Since.IsZero() || !r.Time.Before(q.Since)) && (q.Until.IsZero() || r.Time.Before(q.Until))
}

// Find returns a page of the records in dir, newest first. It may run beside the wallet that writes them.
func Find(dir string, q Query) ([]Record, error) {
	out := []Record{}
	skip := q.Skip
	segments, err := listSegments(dir)
	if err != nil {
		return nil, err
	}
	for _, n := range slices.Backward(segments) {
		if len(out) >= q.Limit {
			break
		}
		var part []Record
		newest := time.Time{}
		err := eachRecord(dir, n, func(_ []byte, r *Record) error {
			newest = r.Time
			if q.matches(r) {
				part = append(part, *r)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		for _, r := range slices.Backward(part) {
			switch {
			case skip > 0:
				skip--
			case len(out) < q.Limit:
				out = append(out, r)
			}
		}
		if !q.Since.IsZero() && newest.Before(q.Since) {
			break // segments before are older still
		}
	}
	return out, nil
}

// Read returns up to n of the newest records in dir, oldest first.
func Read(dir string, n int) ([]Record, error) {
	out, err := Find(dir, Query{Limit: n})
	slices.Reverse(out)
	return out, err
}

// Since visits the records in dir from a time on, oldest first.
func Since(dir string, from time.Time, visit func(*Record)) error {
	segments, err := listSegments(dir)
	if err != nil {
		return err
	}
	first := 0
	for i, n := range slices.Backward(segments) {
		opened, err := firstRecord(dir, n)
		if err != nil {
			return err
		}
		if opened != nil && opened.Time.Before(from) {
			first = i
			break
		}
	}
	for _, n := range segments[first:] {
		if err := eachRecord(dir, n, func(_ []byte, r *Record) error {
			if !r.Time.Before(from) {
				visit(r)
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}

func segmentPath(dir string, n int) string { return filepath.Join(dir, fmt.Sprintf("%08d.log", n)) }

func eachRecord(dir string, segment int, fn func(line []byte, r *Record) error) error {
	f, err := os.Open(segmentPath(dir, segment))
	if err != nil {
		return fmt.Errorf("read signature log: %w", err)
	}
	defer f.Close()
	if err := eachLine(f, fn); err != nil {
		return fmt.Errorf("signature log segment %d: %w", segment, err)
	}
	return nil
}

var errEnough = errors.New("enough")

// firstRecord is what opens a segment; nil when a crash left it empty.
func firstRecord(dir string, segment int) (*Record, error) {
	var first *Record
	err := eachRecord(dir, segment, func(_ []byte, r *Record) error {
		first = r
		return errEnough
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return first, err
}

// Verify reads every segment and checks numbers and hashes from the first line to the last. Where the first segments
// were removed because they were old, a later record tells so; after a crash it may tell of some that are still there.
func Verify(dir string) (records uint64, err error) {
	segments, err := listSegments(dir)
	if err != nil {
		return 0, err
	}
	var seq uint64
	var prev string
	var anchor *Pruned          // what must be told of
	ends := map[uint64]string{} // the hash of each segment's last record, and of the last that is missing
	first := true
	for _, n := range segments {
		err = eachRecord(dir, n, func(line []byte, r *Record) error {
			if first && r.Seq > 1 {
				seq, prev = r.Seq-1, r.Prev
				anchor = &Pruned{Seq: seq, Hash: prev}
				ends[seq] = prev
			}
			first = false
			if r.Seq != seq+1 || r.Prev != prev {
				return fmt.Errorf("record %d does not follow record %d", r.Seq, seq)
			}
			if anchor != nil && r.Pruned != nil && r.Pruned.Seq >= anchor.Seq && ends[r.Pruned.Seq] == r.Pruned.Hash {
				anchor = nil
			}
			seq, prev = r.Seq, hashLine(line)
			records++
			return nil
		})
		if err != nil {
			return records, err
		}
		ends[seq] = prev
	}
	if anchor != nil {
		return records, fmt.Errorf("records 1 to %d are missing, and no record tells that they were removed for their age", anchor.Seq)
	}
	return records, nil
}

// Prune removes whole segments whose records are all older than a time, never the current one. That it did is on record
// before the first goes.
func (l *Log) Prune(before time.Time) (removed int, err error) {
	l.mu.Lock()
	current := l.segment
	l.mu.Unlock()
	segments, err := listSegments(l.dir)
	if err != nil {
		return 0, err
	}
	var old []int
	var last Pruned
	for i, n := range segments {
		if n >= current || i+1 >= len(segments) {
			break
		}
		// A segment's records are older than what opens the next.
		next, err := firstRecord(l.dir, segments[i+1])
		if err != nil {
			return 0, err
		}
		if next == nil || !next.Time.Before(before) {
			break
		}
		old = append(old, n)
		last = Pruned{Seq: next.Seq - 1, Hash: next.Prev}
	}
	if len(old) == 0 {
		return 0, nil
	}
	if err := l.Append(Record{Decision: Done, Type: "prune", Pruned: &last, Facts: map[string]string{"through": fmt.Sprint(last.Seq)}}); err != nil {
		return 0, err
	}
	for _, n := range old {
		if err := fault.Point("wallet/auditPrune"); err != nil {
			return removed, err
		}
		if err := os.Remove(l.path(n)); err != nil {
			return removed, fmt.Errorf("remove old segment: %w", err)
		}
		removed++
	}
	return removed, fsutil.SyncDir(l.dir)
}

// Memory is what a log knows of signed blocks, for a backup.
func (l *Log) Memory() []Carried {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.guard.carry()
}

// Restore makes a new log in an empty folder that goes on from the memory of another. Blocks of this moment and before
// are refused: the other wallet may have signed some after its memory was taken.
func Restore(dir string, c clock.Clock, memory []Carried) error {
	l := &Log{dir: dir, clock: c, limit: segmentSize, guard: guard{}, notBefore: uint64(c.Now().Unix())}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make signature log folder: %w", err)
	}
	if have, err := listSegments(dir); err != nil || len(have) > 0 {
		return errors.Join(fmt.Errorf("signature log %s is not empty", dir), err)
	}
	l.guard.load(memory)
	if _, err := l.begin(1); err != nil {
		return err
	}
	return l.Close()
}

// ReadMemory is what the log in dir knows of signed blocks. It may run beside the wallet that writes it.
func ReadMemory(dir string) ([]Carried, error) {
	segments, err := listSegments(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for _, n := range slices.Backward(segments) {
		l := &Log{guard: guard{}}
		f, err := os.Open(segmentPath(dir, n))
		if err != nil {
			return nil, fmt.Errorf("read signature log: %w", err)
		}
		_, err = l.replay(f)
		_ = f.Close()
		if err != nil {
			return nil, fmt.Errorf("signature log segment %d: %w", n, err)
		}
		if l.seq > 0 { // else a crash left it without its first line
			return l.guard.carry(), nil
		}
	}
	return nil, nil
}

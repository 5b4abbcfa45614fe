package db

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"

	"github.com/filecoin-venus/venus/sealer/sector"
)

// LogEntry is one line of a sector's log.
type LogEntry struct {
	At   time.Time
	Kind string
	Text string
}

// Change is a sector's transition with what belongs to it.
type Change struct {
	Record sector.Record
	Log    []LogEntry
	// Artifacts are intermediate results by kind; an empty one is deleted.
	Artifacts map[string][]byte
}

// nextNumber is the name of the sector counter in meta.
const nextNumber = "next_sector_number"

// maxLog is how many log lines a sector keeps.
const maxLog = 2000

// TakeNumber gives out a sector number that was never given out before, at
// least atLeast. It is durable when it returns: a number can be lost, never
// given twice.
func (d *DB) TakeNumber(ctx context.Context, atLeast abi.SectorNumber) (abi.SectorNumber, error) {
	var n uint64
	err := d.tx(ctx, func(t *sql.Tx) error {
		next, err := d.counter(ctx, t)
		if err != nil {
			return err
		}
		n = max(next, uint64(atLeast))
		return setCounter(ctx, t, n+1)
	})
	return abi.SectorNumber(n), err
}

// counter is the next sector number, locked until the transaction ends. The first is 1.
func (d *DB) counter(ctx context.Context, t *sql.Tx) (uint64, error) {
	read := func() (v []byte, err error) {
		err = t.QueryRowContext(ctx, "SELECT value FROM meta WHERE name = ?"+d.sql.ForUpdate(), nextNumber).Scan(&v)
		return v, err
	}
	v, err := read()
	if errors.Is(err, sql.ErrNoRows) {
		if _, err := t.ExecContext(ctx, d.sql.Ignore()+" INTO meta (name, value) VALUES (?, ?)", nextNumber, []byte("1")); err != nil {
			return 0, fmt.Errorf("begin sector counter: %w", err)
		}
		v, err = read()
	}
	if err != nil {
		return 0, fmt.Errorf("read sector counter: %w", err)
	}
	n, err := strconv.ParseUint(string(v), 10, 63)
	if err != nil {
		return 0, fmt.Errorf("read sector counter: %w", err)
	}
	return n, nil
}

func setCounter(ctx context.Context, t *sql.Tx, n uint64) error {
	if _, err := t.ExecContext(ctx, "UPDATE meta SET value = ? WHERE name = ?", []byte(strconv.FormatUint(n, 10)), nextNumber); err != nil {
		return fmt.Errorf("write sector counter: %w", err)
	}
	return nil
}

// SaveSector stores a transition. An unchanged record may be saved to add to
// the log or the artifacts.
func (d *DB) SaveSector(ctx context.Context, c Change) error {
	return d.tx(ctx, func(t *sql.Tx) error { return saveSector(ctx, t, c) })
}

// SaveSectors stores the transitions of several sectors: all or nothing.
func (d *DB) SaveSectors(ctx context.Context, changes []Change) error {
	return d.tx(ctx, func(t *sql.Tx) error {
		for _, c := range changes {
			if err := saveSector(ctx, t, c); err != nil {
				return err
			}
		}
		return nil
	})
}

func saveSector(ctx context.Context, t *sql.Tx, c Change) error {
	rec, err := json.Marshal(c.Record)
	if err != nil {
		return fmt.Errorf("encode sector %d: %w", c.Record.Number, err)
	}
	n := uint64(c.Record.Number)
	err = put(ctx, t, "sectors", "number = ?", []any{n}, "number, state, record, updated", n, string(c.Record.State), rec, c.Record.UpdatedAt.UnixMilli())
	if err != nil {
		return err
	}
	if err := addLog(ctx, t, n, c.Log); err != nil {
		return err
	}
	for kind, data := range c.Artifacts {
		if len(data) == 0 {
			if _, err := t.ExecContext(ctx, "DELETE FROM artifacts WHERE number = ? AND kind = ?", n, kind); err != nil {
				return fmt.Errorf("delete artifact: %w", err)
			}
			continue
		}
		if err := put(ctx, t, "artifacts", "number = ? AND kind = ?", []any{n, kind}, "number, kind, data", n, kind, data); err != nil {
			return err
		}
	}
	return nil
}

func addLog(ctx context.Context, t *sql.Tx, n uint64, log []LogEntry) error {
	if len(log) == 0 {
		return nil
	}
	var seq sql.NullInt64
	if err := t.QueryRowContext(ctx, "SELECT MAX(seq) FROM sector_log WHERE number = ?", n).Scan(&seq); err != nil {
		return fmt.Errorf("read sector log: %w", err)
	}
	for _, l := range log {
		seq.Int64++
		_, err := t.ExecContext(ctx, "INSERT INTO sector_log (number, seq, at, kind, text) VALUES (?,?,?,?,?)", n, seq.Int64, l.At.UnixMilli(), l.Kind, []byte(l.Text))
		if err != nil {
			return fmt.Errorf("write sector log: %w", err)
		}
	}
	if seq.Int64 > maxLog {
		if _, err := t.ExecContext(ctx, "DELETE FROM sector_log WHERE number = ? AND seq <= ?", n, seq.Int64-maxLog); err != nil {
			return fmt.Errorf("trim sector log: %w", err)
		}
	}
	return nil
}

// Sector loads one record.
func (d *DB) Sector(ctx context.Context, n abi.SectorNumber) (sector.Record, error) {
	var raw []byte
	err := d.sql.R.QueryRowContext(ctx, "SELECT record FROM sectors WHERE number = ?", uint64(n)).Scan(&raw)
	if errors.Is(err, sql.ErrNoRows) {
		return sector.Record{}, fmt.Errorf("sector %d: %w", n, ErrNotFound)
	}
	if err != nil {
		return sector.Record{}, fmt.Errorf("read sector %d: %w", n, err)
	}
	return decodeSector(raw)
}

func decodeSector(raw []byte) (sector.Record, error) {
	var r sector.Record
	if err := json.Unmarshal(raw, &r); err != nil {
		return r, fmt.Errorf("decode sector record: %w", err)
	}
	// Records of earlier releases lack what came later; an amount that is not there could not be stored again.
	for _, m := range []*sector.Message{&r.PreCommit, &r.Commit, &r.Terminate, &r.UpdateMsg} {
		if m.Value.Nil() {
			m.Value = big.Zero()
		}
	}
	return r, nil
}

// loadedEvery is after how many records Load tells how far it is.
const loadedEvery = 500

// Load is Sectors for all records; said, unless it is nil, is told how far it is.
func (d *DB) Load(ctx context.Context, said func(done, total int)) ([]sector.Record, error) {
	if said == nil {
		return d.Sectors(ctx)
	}
	total := 0
	if err := d.sql.R.QueryRowContext(ctx, "SELECT COUNT(*) FROM sectors").Scan(&total); err != nil {
		return nil, fmt.Errorf("count sectors: %w", err)
	}
	return d.sectors(ctx, nil, func(done int) {
		if done%loadedEvery == 0 {
			said(done, total)
		}
	})
}

// Sectors loads all records in the named states, or all, by number.
func (d *DB) Sectors(ctx context.Context, states ...sector.State) ([]sector.Record, error) {
	return d.sectors(ctx, states, func(int) {})
}

func (d *DB) sectors(ctx context.Context, states []sector.State, said func(done int)) ([]sector.Record, error) {
	q, args := "SELECT record FROM sectors", []any{}
	for i, s := range states {
		if i == 0 {
			q += " WHERE state IN (?"
		} else {
			q += ",?"
		}
		args = append(args, string(s))
	}
	if len(states) > 0 {
		q += ")"
	}
	rows, err := d.sql.R.QueryContext(ctx, q+" ORDER BY number", args...)
	if err != nil {
		return nil, fmt.Errorf("read sectors: %w", err)
	}
	defer rows.Close()
	var out []sector.Record
	for rows.Next() {
		var raw []byte
		if err := rows.Scan(&raw); err != nil {
			return nil, fmt.Errorf("read sectors: %w", err)
		}
		r, err := decodeSector(raw)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
		said(len(out))
	}
	return out, rows.Err()
}

// Summary counts sectors by state.
func (d *DB) Summary(ctx context.Context) (map[sector.State]int, error) {
	rows, err := d.sql.R.QueryContext(ctx, "SELECT state, COUNT(*) FROM sectors GROUP BY state")
	if err != nil {
		return nil, fmt.Errorf("count sectors: %w", err)
	}
	defer rows.Close()
	out := map[sector.State]int{}
	for rows.Next() {
		var (
			s string
			n int
		)
		if err := rows.Scan(&s, &n); err != nil {
			return nil, fmt.Errorf("count sectors: %w", err)
		}
		out[sector.State(s)] = n
	}
	return out, rows.Err()
}

// Log loads a sector's log, oldest first.
func (d *DB) Log(ctx context.Context, n abi.SectorNumber) ([]LogEntry, error) {
	rows, err := d.sql.R.QueryContext(ctx, "SELECT at, kind, text FROM sector_log WHERE number = ? ORDER BY seq", uint64(n))
	if err != nil {
		return nil, fmt.Errorf("read sector log: %w", err)
	}
	defer rows.Close()
	var out []LogEntry
	for rows.Next() {
		var (
			at   int64
			l    LogEntry
			text []byte
		)
		if err := rows.Scan(&at, &l.Kind, &text); err != nil {
			return nil, fmt.Errorf("read sector log: %w", err)
		}
		l.At, l.Text = time.UnixMilli(at).UTC(), string(text)
		out = append(out, l)
	}
	return out, rows.Err()
}

// Artifact loads an intermediate result of a sector.
func (d *DB) Artifact(ctx context.Context, n abi.SectorNumber, kind string) ([]byte, error) {
	var data []byte
	err := d.sql.R.QueryRowContext(ctx, "SELECT data FROM artifacts WHERE number = ? AND kind = ?", uint64(n), kind).Scan(&data)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("%s of sector %d: %w", kind, n, ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s of sector %d: %w", kind, n, err)
	}
	return data, nil
}

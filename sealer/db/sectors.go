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
	var n abi.SectorNumber
	err := d.tx(ctx, func(t *sql.Tx) error {
		var v []byte
		err := t.QueryRowContext(ctx, "SELECT value FROM meta WHERE name = ?", nextNumber).Scan(&v)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			n = 1
		case err != nil:
			return fmt.Errorf("read sector counter: %w", err)
		default:
			u, err := strconv.ParseUint(string(v), 10, 63)
			if err != nil {
				return fmt.Errorf("read sector counter: %w", err)
			}
			n = abi.SectorNumber(u)
		}
		n = max(n, atLeast)
		return put(ctx, t, "meta", "name = ?", []any{nextNumber}, "name, value", nextNumber, []byte(strconv.FormatUint(uint64(n)+1, 10)))
	})
	return n, err
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
	err := d.sql.QueryRowContext(ctx, "SELECT record FROM sectors WHERE number = ?", uint64(n)).Scan(&raw)
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
	return r, nil
}

// Sectors loads all records in the named states, or all, by number.
func (d *DB) Sectors(ctx context.Context, states ...sector.State) ([]sector.Record, error) {
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
	rows, err := d.sql.QueryContext(ctx, q+" ORDER BY number", args...)
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
	}
	return out, rows.Err()
}

// Summary counts sectors by state.
func (d *DB) Summary(ctx context.Context) (map[sector.State]int, error) {
	rows, err := d.sql.QueryContext(ctx, "SELECT state, COUNT(*) FROM sectors GROUP BY state")
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
	rows, err := d.sql.QueryContext(ctx, "SELECT at, kind, text FROM sector_log WHERE number = ? ORDER BY seq", uint64(n))
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
	err := d.sql.QueryRowContext(ctx, "SELECT data FROM artifacts WHERE number = ? AND kind = ?", uint64(n), kind).Scan(&data)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("%s of sector %d: %w", kind, n, ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s of sector %d: %w", kind, n, err)
	}
	return data, nil
}

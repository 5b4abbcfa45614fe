package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
)

// table is a table that a backup holds. Types say, for each column, whether it is
// a number (n), a text (t) or bytes (b); the first keys of them name a row.
type table struct {
	name, types string
	keys        int
	columns     []string
}

// tables are what a backup holds, in order. Tasks are left out: what is to be
// done follows from the sectors' records, and who did it is not there any more.
func tables() []table {
	return []table{
		{"meta", "tb", 1, []string{"name", "value"}},
		{"sectors", "ntbn", 1, []string{"number", "state", "record", "updated"}},
		{"sector_log", "nnntb", 2, []string{"number", "seq", "at", "kind", "text"}},
		{"artifacts", "ntb", 2, []string{"number", "kind", "data"}},
		{"window_proofs", "nnb", 2, []string{"open_epoch", "part_group", "record"}},
		{"deals", "nb", 1, []string{"id", "body"}},
		{"outbox", "tttnb", 1, []string{"id", "kind", "state", "created", "body"}},
	}
}

// Row is a row of a backup. Values are int64, string or []byte.
type Row struct {
	Table  string
	Values []any
}

// Dump gives every row of one moment to f, in the same order for the same
// content. The database stays in use meanwhile.
func (d *DB) Dump(ctx context.Context, f func(Row) error) error {
	o := &sql.TxOptions{ReadOnly: true}
	if d.sql.MySQL {
		o.Isolation = sql.LevelRepeatableRead // what the first read sees holds for all
	}
	t, err := d.sql.R.BeginTx(ctx, o)
	if err != nil {
		return fmt.Errorf("begin to read the database: %w", err)
	}
	for _, tab := range tables() {
		if err := d.dumpTable(ctx, t, tab, f); err != nil {
			return errors.Join(err, t.Rollback())
		}
	}
	return t.Rollback() // it only read
}

func (d *DB) dumpTable(ctx context.Context, t *sql.Tx, tab table, f func(Row) error) error {
	var order []string
	for _, c := range tab.columns[:tab.keys] {
		if d.sql.MySQL && tab.types[len(order)] == 't' {
			c = "BINARY " + c // by bytes, as SQLite does
		}
		order = append(order, c)
	}
	rows, err := t.QueryContext(ctx, "SELECT "+strings.Join(tab.columns, ", ")+" FROM "+tab.name+" ORDER BY "+strings.Join(order, ", "))
	if err != nil {
		return fmt.Errorf("read table %s: %w", tab.name, err)
	}
	defer rows.Close()
	for rows.Next() {
		into := make([]any, len(tab.columns))
		for i, typ := range tab.types {
			switch typ {
			case 'n':
				into[i] = new(int64)
			case 't':
				into[i] = new(string)
			default:
				into[i] = new([]byte)
			}
		}
		if err := rows.Scan(into...); err != nil {
			return fmt.Errorf("read table %s: %w", tab.name, err)
		}
		r := Row{Table: tab.name}
		for _, v := range into {
			switch x := v.(type) {
			case *int64:
				r.Values = append(r.Values, *x)
			case *string:
				r.Values = append(r.Values, *x)
			case *[]byte:
				r.Values = append(r.Values, *x)
			}
		}
		if err := f(r); err != nil {
			return err
		}
	}
	return rows.Err()
}

// ErrNotEmpty is returned when a backup shall be restored over something.
var ErrNotEmpty = errors.New("the database is not empty")

// RestoredName marks, among the database's values, a database that came from a backup.
const RestoredName = "restored"

// Fill writes the rows that next gives, until it gives false, into an empty
// database: all or nothing. The database is marked as restored.
func (d *DB) Fill(ctx context.Context, restored []byte, next func() (Row, bool, error)) error {
	byName := map[string]table{}
	for _, t := range tables() {
		byName[t.name] = t
	}
	t, err := d.sql.W.BeginTx(ctx, nil) // not Update: next gives every row once
	if err != nil {
		return fmt.Errorf("begin to restore: %w", err)
	}
	err = func() error {
		var n int
		if err := t.QueryRowContext(ctx, "SELECT COUNT(*) FROM sectors").Scan(&n); err != nil {
			return fmt.Errorf("look whether the database is empty: %w", err)
		}
		if n > 0 {
			return fmt.Errorf("%w: it holds %d sectors", ErrNotEmpty, n)
		}
		for _, tab := range tables() {
			if _, err := t.ExecContext(ctx, "DELETE FROM "+tab.name); err != nil {
				return fmt.Errorf("empty table %s: %w", tab.name, err)
			}
		}
		for {
			r, more, err := next()
			if err != nil {
				return err
			}
			if !more {
				return put(ctx, t, "meta", "name = ?", []any{RestoredName}, "name, value", RestoredName, restored)
			}
			tab, ok := byName[r.Table]
			if !ok || len(r.Values) != len(tab.columns) {
				return fmt.Errorf("the backup holds a row of table %q with %d columns, which this program does not know", r.Table, len(r.Values))
			}
			if r.Table == "meta" && r.Values[0] == RestoredName {
				continue
			}
			marks := strings.TrimSuffix(strings.Repeat("?,", len(tab.columns)), ",")
			if _, err := t.ExecContext(ctx, "INSERT INTO "+tab.name+" ("+strings.Join(tab.columns, ",")+") VALUES ("+marks+")", r.Values...); err != nil {
				return fmt.Errorf("restore a row of %s: %w", tab.name, err)
			}
		}
	}()
	if err != nil {
		if rerr := t.Rollback(); rerr != nil && !errors.Is(rerr, sql.ErrTxDone) {
			return errors.Join(err, rerr)
		}
		return err
	}
	if err := t.Commit(); err != nil {
		return fmt.Errorf("commit what was restored: %w", err)
	}
	return nil
}

// Restored returns the mark that Fill left, ErrNotFound when there is none.
func (d *DB) Restored(ctx context.Context) ([]byte, error) { return d.Meta(ctx, RestoredName) }

// Settle takes the mark of a restore away and makes the next sector number at
// least floor, in one step: a restored database gives out no number before.
func (d *DB) Settle(ctx context.Context, floor uint64) error {
	return d.tx(ctx, func(t *sql.Tx) error {
		next, err := d.counter(ctx, t)
		if err != nil {
			return err
		}
		if err := setCounter(ctx, t, max(next, floor)); err != nil {
			return err
		}
		if _, err := t.ExecContext(ctx, "DELETE FROM meta WHERE name = ?", RestoredName); err != nil {
			return fmt.Errorf("take the mark of the restore away: %w", err)
		}
		return nil
	})
}

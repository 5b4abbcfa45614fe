package db

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// TaskRow is a task as stored: Task and Fate are the queue's own JSON, what is to
// be done and how far it is. Fence is the number of the latest lease.
type TaskRow struct {
	ID      string
	State   string
	Number  uint64
	Created time.Time
	Fence   uint64
	Task    json.RawMessage
	Fate    json.RawMessage
}

// ErrFenced is returned for a change under a lease that is not the latest.
var ErrFenced = errors.New("the lease of the task is over")

// AddTask stores a new task.
func (d *DB) AddTask(ctx context.Context, r TaskRow) error {
	_, err := d.sql.W.ExecContext(ctx, "INSERT INTO tasks (id, state, number, created, fence, task, fate) VALUES (?,?,?,?,?,?,?)",
		r.ID, r.State, r.Number, r.Created.UnixNano(), r.Fence, []byte(r.Task), []byte(r.Fate))
	if err != nil {
		return fmt.Errorf("store task %s: %w", r.ID, err)
	}
	return nil
}

// MoveTask changes state, fence and fate of a task if it is in state from under
// the given fence, else ErrFenced: whoever held it before changes nothing.
func (d *DB) MoveTask(ctx context.Context, r TaskRow, from string, fence uint64) error {
	// The fence and the state differ from row to row, so MySQL counts a changed row.
	res, err := d.sql.W.ExecContext(ctx, "UPDATE tasks SET state = ?, fence = ?, fate = ? WHERE id = ? AND state = ? AND fence = ?",
		r.State, r.Fence, []byte(r.Fate), r.ID, from, fence)
	if err != nil {
		return fmt.Errorf("change task %s: %w", r.ID, err)
	}
	n, err := res.RowsAffected()
	if err != nil {
		return fmt.Errorf("change task %s: %w", r.ID, err)
	}
	if n != 1 {
		return fmt.Errorf("change task %s from %s under fence %d: %w", r.ID, from, fence, ErrFenced)
	}
	return nil
}

// Tasks loads all tasks, the oldest first.
func (d *DB) Tasks(ctx context.Context) ([]TaskRow, error) {
	rows, err := d.sql.R.QueryContext(ctx, "SELECT id, state, number, created, fence, task, fate FROM tasks ORDER BY created, id")
	if err != nil {
		return nil, fmt.Errorf("read tasks: %w", err)
	}
	defer rows.Close()
	var out []TaskRow
	for rows.Next() {
		var (
			r          TaskRow
			created    int64
			task, fate []byte
		)
		if err := rows.Scan(&r.ID, &r.State, &r.Number, &created, &r.Fence, &task, &fate); err != nil {
			return nil, fmt.Errorf("read tasks: %w", err)
		}
		r.Created, r.Task, r.Fate = time.Unix(0, created).UTC(), task, fate
		out = append(out, r)
	}
	return out, rows.Err()
}

// DropTask forgets a task.
func (d *DB) DropTask(ctx context.Context, id string) error {
	if _, err := d.sql.W.ExecContext(ctx, "DELETE FROM tasks WHERE id = ?", id); err != nil {
		return fmt.Errorf("drop task %s: %w", id, err)
	}
	return nil
}

// SaveWindowProof records one window proof for the history.
func (d *DB) SaveWindowProof(ctx context.Context, open int64, group int, record any) error {
	b, err := json.Marshal(record)
	if err != nil {
		return fmt.Errorf("encode window proof: %w", err)
	}
	return d.tx(ctx, func(t *sql.Tx) error {
		return put(ctx, t, "window_proofs", "open_epoch = ? AND part_group = ?", []any{open, group}, "open_epoch, part_group, record", open, group, b)
	})
}

// WindowProofs loads the latest window proofs, newest first, each decoded by f.
func (d *DB) WindowProofs(ctx context.Context, limit int, f func(open int64, group int, raw []byte) error) error {
	rows, err := d.sql.R.QueryContext(ctx, "SELECT open_epoch, part_group, record FROM window_proofs ORDER BY open_epoch DESC, part_group LIMIT ?", limit)
	if err != nil {
		return fmt.Errorf("read window proofs: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var (
			open  int64
			group int
			raw   []byte
		)
		if err := rows.Scan(&open, &group, &raw); err != nil {
			return fmt.Errorf("read window proofs: %w", err)
		}
		if err := f(open, group, raw); err != nil {
			return err
		}
	}
	return rows.Err()
}

// LoadJSON reads a named value as JSON into v; a missing one leaves v alone.
func (d *DB) LoadJSON(ctx context.Context, name string, v any) error {
	b, err := d.Meta(ctx, name)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("decode value %s: %w", name, err)
	}
	return nil
}

// SaveJSON writes v as a named value.
func (d *DB) SaveJSON(ctx context.Context, name string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode value %s: %w", name, err)
	}
	return d.SetMeta(ctx, name, b)
}

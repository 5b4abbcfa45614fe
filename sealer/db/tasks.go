package db

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// TaskRow is a task as stored: Body is the queue's own JSON, the other fields
// are what is searched for.
type TaskRow struct {
	ID       string
	State    string
	Number   uint64
	Priority int
	Created  time.Time
	Body     json.RawMessage
}

// PutTask stores a task, replacing an earlier form of it.
func (d *DB) PutTask(ctx context.Context, r TaskRow) error {
	return d.tx(ctx, func(t *sql.Tx) error {
		return put(ctx, t, "tasks", "id = ?", []any{r.ID}, "id, state, number, priority, created, task", r.ID, r.State, r.Number, r.Priority, r.Created.UnixNano(), []byte(r.Body))
	})
}

// Task loads one task.
func (d *DB) Task(ctx context.Context, id string) (TaskRow, error) {
	rows, err := d.tasks(ctx, "WHERE id = ?", id)
	if err != nil {
		return TaskRow{}, err
	}
	if len(rows) == 0 {
		return TaskRow{}, fmt.Errorf("task %s: %w", id, ErrNotFound)
	}
	return rows[0], nil
}

// Tasks loads the tasks in a state, or all when it is empty, most urgent first.
func (d *DB) Tasks(ctx context.Context, state string) ([]TaskRow, error) {
	if state == "" {
		return d.tasks(ctx, "ORDER BY priority, created, id")
	}
	return d.tasks(ctx, "WHERE state = ? ORDER BY priority, created, id", state)
}

func (d *DB) tasks(ctx context.Context, where string, args ...any) ([]TaskRow, error) {
	rows, err := d.sql.QueryContext(ctx, "SELECT id, state, number, priority, created, task FROM tasks "+where, args...)
	if err != nil {
		return nil, fmt.Errorf("read tasks: %w", err)
	}
	defer rows.Close()
	var out []TaskRow
	for rows.Next() {
		var (
			r       TaskRow
			created int64
			body    []byte
		)
		if err := rows.Scan(&r.ID, &r.State, &r.Number, &r.Priority, &created, &body); err != nil {
			return nil, fmt.Errorf("read tasks: %w", err)
		}
		r.Created, r.Body = time.Unix(0, created).UTC(), body
		out = append(out, r)
	}
	return out, rows.Err()
}

// DropTask forgets a task.
func (d *DB) DropTask(ctx context.Context, id string) error {
	if _, err := d.sql.ExecContext(ctx, "DELETE FROM tasks WHERE id = ?", id); err != nil {
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
	rows, err := d.sql.QueryContext(ctx, "SELECT open_epoch, part_group, record FROM window_proofs ORDER BY open_epoch DESC, part_group LIMIT ?", limit)
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

package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/filecoin-venus/venus/messager/machine"
)

// LaneLoad is how much waits in a lane for a nonce, and since when.
type LaneLoad struct {
	Queued int
	Oldest time.Time
}

// Lanes returns the load of the lanes that have any.
func (db *DB) Lanes(ctx context.Context) (map[machine.Lane]LaneLoad, error) {
	rows, err := db.r.QueryContext(ctx, "SELECT lane, COUNT(*), MIN(created_at) FROM messages WHERE state=? GROUP BY lane", int(machine.Queued))
	if err != nil {
		return nil, fmt.Errorf("count lanes: %w", err)
	}
	defer rows.Close()
	out := make(map[machine.Lane]LaneLoad)
	for rows.Next() {
		var lane machine.Lane
		var l LaneLoad
		var oldest int64
		if err := rows.Scan(&lane, &l.Queued, &oldest); err != nil {
			return nil, fmt.Errorf("count lanes: %w", err)
		}
		l.Oldest = fromNanos(oldest)
		out[lane] = l
	}
	return out, rows.Err()
}

// Load is how much is under way, and how much of everything waits for too long.
type Load struct{ Underway, UnderwayStuck, QueuedStuck int }

// Load counts messages under way, those of them created before a moment, and queued
// ones of before it that meet an obstacle.
func (db *DB) Load(ctx context.Context, before time.Time) (Load, error) {
	var l Load
	for _, q := range []struct {
		into *int
		q    Query
	}{
		{&l.Underway, Query{States: []machine.State{machine.Signed, machine.Pending}}},
		{&l.UnderwayStuck, Query{States: []machine.State{machine.Signed, machine.Pending}, Before: before}},
		{&l.QueuedStuck, Query{States: []machine.State{machine.Queued}, Failing: true, Before: before}},
	} {
		n, err := db.Count(ctx, q.q)
		if err != nil {
			return l, err
		}
		*q.into = n
	}
	return l, nil
}

// Waiting is a message that has a nonce and no fate yet.
type Waiting struct {
	ID    string
	From  string // the sender's bytes
	Nonce uint64
}

// Waiting returns all messages that have a nonce and no fate yet.
func (db *DB) Waiting(ctx context.Context) ([]Waiting, error) {
	rows, err := db.r.QueryContext(ctx, "SELECT id, from_addr, nonce FROM messages WHERE state IN (?,?)", int(machine.Signed), int(machine.Pending))
	if err != nil {
		return nil, fmt.Errorf("list messages under way: %w", err)
	}
	defer rows.Close()
	var out []Waiting
	for rows.Next() {
		var w Waiting
		var from []byte
		var nonce int64
		if err := rows.Scan(&w.ID, &from, &nonce); err != nil {
			return nil, fmt.Errorf("list messages under way: %w", err)
		}
		w.From, w.Nonce = string(from), uint64(nonce)
		out = append(out, w)
	}
	return out, rows.Err()
}

// DecidedLately returns the messages whose fate was decided within some epochs of the
// latest one.
func (db *DB) DecidedLately(ctx context.Context, epochs int) ([]machine.Message, error) {
	rows, err := db.r.QueryContext(ctx, selectMessages+" WHERE executed_height>=(SELECT MAX(executed_height) FROM messages)-? AND state IN (?,?) ORDER BY created_at",
		epochs, int(machine.OnChain), int(machine.Conflict))
	return all(rows, err)
}

// Contenders counts the senders that have a message to send now.
func (db *DB) Contenders(ctx context.Context, now time.Time) (int, error) {
	var n sql.NullInt64
	err := db.r.QueryRowContext(ctx, "SELECT COUNT(DISTINCT from_addr) FROM messages WHERE state=? AND next_try<=?", int(machine.Queued), nanos(now)).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("count senders that wait: %w", err)
	}
	return int(n.Int64), nil
}

// LimitPages bounds the size of a SQLite file in pages, to at least what it has; at the
// bound writes fail as on a full disk. Tests use it.
func (db *DB) LimitPages(ctx context.Context, pages int) error {
	_, err := db.w.ExecContext(ctx, fmt.Sprintf("PRAGMA max_page_count = %d", pages))
	return err
}

package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"
)

// instancePrefix marks the rows of leases that tell which messagers are alive.
const instancePrefix = "instance/"

// Lease takes a lease that is free, has run out, or has the same holder, as after a
// restart. It returns the new fence, one higher than any before, and whether holder
// has the lease now. One that is held already is kept by Renew.
func (db *DB) Lease(ctx context.Context, name, holder string, now time.Time, ttl time.Duration) (fence int64, mine bool, err error) {
	err = db.Update(ctx, func(t *Tx) error {
		var cur string
		var expires int64
		err := t.tx.QueryRowContext(ctx, "SELECT holder, fence, expires FROM leases WHERE name=?", name).Scan(&cur, &fence, &expires)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			fence, mine = 1, true
			_, err := t.exec("INSERT INTO leases (name, holder, fence, expires) VALUES (?,?,?,?)", name, holder, fence, nanos(now.Add(ttl)))
			if errors.Is(err, ErrExists) {
				mine = false
				return nil
			}
			return err
		case err != nil:
			return err
		}
		mine = cur == holder || expires < nanos(now)
		if !mine {
			return nil
		}
		fence++
		n, err := t.exec("UPDATE leases SET holder=?, fence=?, expires=? WHERE name=? AND fence=?", holder, fence, nanos(now.Add(ttl)), name, fence-1)
		if err == nil && n == 0 {
			mine = false
		}
		return err
	})
	if err != nil {
		return 0, false, fmt.Errorf("take lease %s: %w", name, err)
	}
	return fence, mine, nil
}

// Renew prolongs all leases of a holder and tells that it is alive. It returns the
// fences of the leases the database gives to the holder, and who is alive, in order.
func (db *DB) Renew(ctx context.Context, holder string, now time.Time, ttl time.Duration) (held map[string]int64, alive []string, err error) {
	err = db.Update(ctx, func(t *Tx) error {
		held, alive = make(map[string]int64), nil
		if err := t.upsert("leases", []string{"name"}, []string{"holder", "fence", "expires"}, instancePrefix+holder, holder, 1, nanos(now.Add(ttl))); err != nil {
			return err
		}
		if _, err := t.exec("UPDATE leases SET expires=? WHERE holder=? AND expires>0", nanos(now.Add(ttl)), holder); err != nil {
			return err
		}
		rows, err := t.tx.QueryContext(ctx, "SELECT name, fence, holder FROM leases WHERE expires>=? AND (holder=? OR name LIKE 'instance/%') ORDER BY name", nanos(now), holder)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var name, who string
			var fence int64
			if err := rows.Scan(&name, &fence, &who); err != nil {
				return err
			}
			if strings.HasPrefix(name, instancePrefix) {
				alive = append(alive, who)
			} else {
				held[name] = fence
			}
		}
		return rows.Err()
	})
	if err != nil {
		return nil, nil, fmt.Errorf("renew leases: %w", err)
	}
	return held, alive, nil
}

// Alive lists the holders that renewed their leases in time, in order.
func (db *DB) Alive(ctx context.Context, now time.Time) ([]string, error) {
	rows, err := db.r.QueryContext(ctx, "SELECT holder FROM leases WHERE name LIKE 'instance/%' AND expires>=? ORDER BY name", nanos(now))
	if err != nil {
		return nil, fmt.Errorf("list live messagers: %w", err)
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var who string
		if err := rows.Scan(&who); err != nil {
			return nil, fmt.Errorf("list live messagers: %w", err)
		}
		out = append(out, who)
	}
	return out, rows.Err()
}

// Release gives leases of a holder up, so that others need not wait until they run
// out. No names means all of them, and that the holder is gone.
func (db *DB) Release(ctx context.Context, holder string, names ...string) error {
	if len(names) == 0 {
		return db.Update(ctx, func(t *Tx) error {
			_, err := t.exec("UPDATE leases SET expires=0 WHERE holder=?", holder)
			return err
		})
	}
	return db.Update(ctx, func(t *Tx) error {
		for _, name := range names {
			if _, err := t.exec("UPDATE leases SET expires=0 WHERE name=? AND holder=?", name, holder); err != nil {
				return fmt.Errorf("release lease %s: %w", name, err)
			}
		}
		return nil
	})
}

// Holder returns who has a lease now, "" when nobody has.
func (db *DB) Holder(ctx context.Context, name string, now time.Time) (string, error) {
	var who string
	err := db.r.QueryRowContext(ctx, "SELECT holder FROM leases WHERE name=? AND expires>=?", name, nanos(now)).Scan(&who)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("look up lease %s: %w", name, err)
	}
	return who, nil
}

// Fence fails with ErrStale unless the lease is still held under this fence. Inside
// the transaction that gives out nonces it keeps a paused former holder from writing.
func (t *Tx) Fence(name string, fence int64) error {
	var have int64
	q := "SELECT fence FROM leases WHERE name=?"
	if t.my {
		q += " FOR UPDATE"
	}
	err := t.tx.QueryRowContext(t.ctx, q, name).Scan(&have)
	if err == nil && have != fence {
		err = ErrStale
	}
	if err != nil {
		return fmt.Errorf("lease %s: %w", name, err)
	}
	return nil
}

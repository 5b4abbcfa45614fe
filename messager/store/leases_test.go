package store

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestLease(t *testing.T) {
	each(t, func(t *testing.T, db *DB) {
		take := func(who string, at time.Time) (int64, bool) {
			fence, mine, err := db.Lease(t.Context(), "l", who, at, time.Minute)
			require.NoError(t, err)
			return fence, mine
		}
		fenced := func(fence int64) error {
			return db.Update(t.Context(), func(tx *Tx) error { return tx.Fence("l", fence) })
		}
		f1, mine := take("a", t0)
		require.True(t, mine)
		_, mine = take("b", t0.Add(30*time.Second))
		require.False(t, mine)
		f2, mine := take("a", t0.Add(50*time.Second))
		require.True(t, mine)
		require.Greater(t, f2, f1, "taken again, as after a restart: what the old process still does is fenced off")
		require.ErrorIs(t, fenced(f1), ErrStale)
		f3, mine := take("b", t0.Add(3*time.Minute))
		require.True(t, mine)
		require.Greater(t, f3, f2)
		require.ErrorIs(t, fenced(f2), ErrStale)
		require.NoError(t, fenced(f3))
		_, mine = take("a", t0.Add(3*time.Minute))
		require.False(t, mine)
	})
}

func TestRenewAndRelease(t *testing.T) {
	each(t, func(t *testing.T, db *DB) {
		ctx := t.Context()
		f1, _, err := db.Lease(ctx, "x", "a", t0, time.Minute)
		require.NoError(t, err)
		_, _, err = db.Lease(ctx, "y", "b", t0, time.Minute)
		require.NoError(t, err)
		held, alive, err := db.Renew(ctx, "a", t0.Add(50*time.Second), time.Minute)
		require.NoError(t, err)
		require.Equal(t, map[string]int64{"x": f1}, held, "a renewal keeps the fence")
		require.Equal(t, []string{"a"}, alive)
		_, alive, err = db.Renew(ctx, "b", t0.Add(55*time.Second), time.Minute)
		require.NoError(t, err)
		require.Equal(t, []string{"a", "b"}, alive)
		_, mine, err := db.Lease(ctx, "x", "b", t0.Add(100*time.Second), time.Minute)
		require.NoError(t, err)
		require.False(t, mine, "renewed in time")
		who, err := db.Holder(ctx, "x", t0.Add(100*time.Second))
		require.NoError(t, err)
		require.Equal(t, "a", who)

		require.NoError(t, db.Release(ctx, "b", "x"), "not b's to give up")
		_, mine, err = db.Lease(ctx, "x", "b", t0.Add(100*time.Second), time.Minute)
		require.NoError(t, err)
		require.False(t, mine)
		require.NoError(t, db.Release(ctx, "a", "x"))
		held, _, err = db.Renew(ctx, "a", t0.Add(100*time.Second), time.Minute)
		require.NoError(t, err)
		require.Empty(t, held, "what was given up is not renewed")
		f2, mine, err := db.Lease(ctx, "x", "b", t0.Add(100*time.Second), time.Minute)
		require.NoError(t, err)
		require.True(t, mine)
		require.Greater(t, f2, f1)

		require.NoError(t, db.Release(ctx, "a"))
		alive, err = db.Alive(ctx, t0.Add(100*time.Second))
		require.NoError(t, err)
		require.Equal(t, []string{"b"}, alive)
		alive, err = db.Alive(ctx, t0.Add(time.Hour))
		require.NoError(t, err)
		require.Empty(t, alive)
		who, err = db.Holder(ctx, "none", t0)
		require.NoError(t, err)
		require.Empty(t, who)
	})
}

// Package storetest is the suite that every auth.Store passes. Start reading at
// [Run].
package storetest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/auth"
)

// Opener opens the store of a folder; opening it again after Close must show
// the same records.
type Opener func(t *testing.T, dir string) auth.Store

var t0 = time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)

func record(i int) auth.Record {
	return auth.Record{
		ID: fmt.Sprintf("%032x", i), Name: fmt.Sprintf("name-%d", i%10), Perm: api.AllPermissions()[i%4],
		Extra: "ü", CreatedAt: t0.Add(time.Duration(i) * time.Second),
	}
}

// Run runs the suite.
func Run(t *testing.T, open Opener) {
	t.Run("RoundTrip", func(t *testing.T) { roundTrip(t, open) })
	t.Run("Pages", func(t *testing.T) { pages(t, open) })
	t.Run("Concurrent", func(t *testing.T) { concurrent(t, open) })
	t.Run("Model", func(t *testing.T) { model(t, open) })
}

func roundTrip(t *testing.T, open Opener) {
	ctx, dir := context.Background(), t.TempDir()
	s := open(t, dir)
	r := record(1)
	require.NoError(t, s.Put(ctx, r))
	require.ErrorIs(t, s.Put(ctx, r), auth.ErrExists)
	_, err := s.Get(ctx, "nope")
	require.ErrorIs(t, err, auth.ErrUnknown)
	require.ErrorIs(t, s.SetRemoved(ctx, "nope", true, t0), auth.ErrUnknown)
	require.NoError(t, s.SetRemoved(ctx, r.ID, true, t0))
	require.NoError(t, s.Close())

	s = open(t, dir)
	defer func() { require.NoError(t, s.Close()) }()
	got, err := s.Get(ctx, r.ID)
	require.NoError(t, err)
	r.Removed, r.RemovedAt = true, t0
	require.Equal(t, r, got)
	require.NoError(t, s.SetRemoved(ctx, r.ID, false, t0))
	got, err = s.Get(ctx, r.ID)
	require.NoError(t, err)
	require.False(t, got.Removed)
}

func pages(t *testing.T, open Opener) {
	ctx := context.Background()
	s := open(t, t.TempDir())
	defer func() { require.NoError(t, s.Close()) }()
	list, err := s.List(ctx, auth.Query{Limit: 10})
	require.NoError(t, err)
	require.Empty(t, list)
	require.NotNil(t, list)
	for _, i := range []int{7, 3, 9, 1, 0, 8, 2, 6, 4, 5} {
		require.NoError(t, s.Put(ctx, record(i)))
	}
	require.NoError(t, s.SetRemoved(ctx, record(4).ID, true, t0))
	for _, tc := range []struct {
		q    auth.Query
		want []int
	}{
		{auth.Query{Limit: 100}, []int{0, 1, 2, 3, 5, 6, 7, 8, 9}},
		{auth.Query{Limit: 3}, []int{0, 1, 2}},
		{auth.Query{Skip: 3, Limit: 2}, []int{3, 5}},
		{auth.Query{Skip: 3, Limit: 2, Removed: true}, []int{3, 4}},
		{auth.Query{Skip: 9, Limit: 5}, []int{}},
		{auth.Query{Limit: 0}, []int{}},
		{auth.Query{Limit: 5, Search: "e-7"}, []int{7}},
		{auth.Query{Limit: 5, Search: "%"}, []int{}},
	} {
		list, err := s.List(ctx, tc.q)
		require.NoError(t, err)
		got := []int{}
		for _, r := range list {
			var i int
			_, err := fmt.Sscanf(r.ID, "%x", &i)
			require.NoError(t, err)
			got = append(got, i)
		}
		require.Equal(t, tc.want, got, "%+v", tc.q)
	}
}

func concurrent(t *testing.T, open Opener) {
	ctx := context.Background()
	s := open(t, t.TempDir())
	defer func() { require.NoError(t, s.Close()) }()
	var wg sync.WaitGroup
	won := make(chan error, 16)
	for range 16 {
		wg.Add(1)
		go func() { defer wg.Done(); won <- s.Put(ctx, record(1)) }()
	}
	wg.Wait()
	close(won)
	good := 0
	for err := range won {
		if err == nil {
			good++
		}
	}
	require.Equal(t, 1, good, "one id, one record")
}

// model compares with a map under random operations and reopenings.
func model(t *testing.T, open Opener) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			walk(t, open, rand.New(rand.NewPCG(seed, 0)))
		})
	}
}

func walk(t *testing.T, open Opener, rnd *rand.Rand) {
	ctx, dir := context.Background(), t.TempDir()
	s := open(t, dir)
	want := map[string]auth.Record{}
	for range 60 {
		r := record(rnd.IntN(8))
		have, known := want[r.ID]
		switch rnd.IntN(15) {
		case 0:
			require.NoError(t, s.Close())
			s = open(t, dir)
		case 1, 2, 3, 4, 5:
			err := s.Put(ctx, r)
			if known {
				require.ErrorIs(t, err, auth.ErrExists)
				continue
			}
			require.NoError(t, err)
			want[r.ID] = r
		default:
			remove := rnd.IntN(2) == 0
			err := s.SetRemoved(ctx, r.ID, remove, t0)
			if !known {
				require.ErrorIs(t, err, auth.ErrUnknown)
				continue
			}
			require.NoError(t, err)
			have.Removed = remove
			want[r.ID] = have
		}
	}
	list, err := s.List(ctx, auth.Query{Limit: 100, Removed: true})
	require.NoError(t, err)
	require.Len(t, list, len(want))
	for _, r := range list {
		require.Equal(t, want[r.ID].Removed, r.Removed)
		require.Equal(t, want[r.ID].Name, r.Name)
	}
	require.NoError(t, s.Close())
}

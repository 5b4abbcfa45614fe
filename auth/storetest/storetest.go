// Package storetest is the suite that every auth.Store passes. Start reading at
// [Run].
package storetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/filecoin-project/go-address"
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

func entry(i int) auth.Entry {
	at := t0.Add(time.Duration(i) * time.Second)
	return auth.Entry{ID: fmt.Sprintf("%016x", at.UnixNano()), At: at, Caller: "c", From: "f", Action: "a/b", Subject: fmt.Sprint("subject-", i), Result: "ok", Detail: "d"}
}

func id(n uint64) address.Address {
	a, err := address.NewIDAddress(n)
	if err != nil {
		panic(err) // every number is an ID
	}
	return a
}

// mark removes a token, or recovers it.
func mark(ctx context.Context, s auth.Store, id string, removed bool) error {
	return s.Change(ctx, auth.Entry{}, id, func(r *auth.Record) error {
		if r.Removed != removed {
			r.Removed, r.RemovedAt = removed, t0
		}
		return nil
	})
}

// Run runs the suite.
func Run(t *testing.T, open Opener) {
	t.Run("RoundTrip", func(t *testing.T) { roundTrip(t, open) })
	t.Run("Pages", func(t *testing.T) { pages(t, open) })
	t.Run("Concurrent", func(t *testing.T) { concurrent(t, open) })
	t.Run("ChangesAreWhole", func(t *testing.T) { changes(t, open) })
	t.Run("Users", func(t *testing.T) { usersOf(t, open) })
	t.Run("Owners", func(t *testing.T) { owners(t, open) })
	t.Run("Audit", func(t *testing.T) { audit(t, open) })
	t.Run("Model", func(t *testing.T) { model(t, open) })
}

func roundTrip(t *testing.T, open Opener) {
	ctx, dir := context.Background(), t.TempDir()
	s := open(t, dir)
	r := record(1)
	r.ExpiresAt = t0.Add(time.Hour)
	r.Scope = &api.Scope{Miners: []address.Address{id(1000)}, Signers: []address.Address{}}
	require.NoError(t, s.Put(ctx, auth.Entry{}, r))
	require.ErrorIs(t, s.Put(ctx, auth.Entry{}, r), auth.ErrExists)
	_, err := s.Get(ctx, "nope")
	require.ErrorIs(t, err, auth.ErrUnknown)
	require.ErrorIs(t, mark(ctx, s, "nope", true), auth.ErrUnknown)
	require.NoError(t, mark(ctx, s, r.ID, true))
	require.NoError(t, s.Close())

	s = open(t, dir)
	defer func() { require.NoError(t, s.Close()) }()
	got, err := s.Get(ctx, r.ID)
	require.NoError(t, err)
	r.Removed, r.RemovedAt = true, t0
	require.Equal(t, r, got)
	require.NoError(t, mark(ctx, s, r.ID, false))
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
		require.NoError(t, s.Put(ctx, auth.Entry{}, record(i)))
	}
	require.NoError(t, mark(ctx, s, record(4).ID, true))
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
		{auth.Query{Limit: 5, Name: "name-7"}, []int{7}},
		{auth.Query{Limit: 5, Name: "name"}, []int{}},
		{auth.Query{Limit: 5, Search: "NAME"}, []int{}},
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
		go func() { defer wg.Done(); won <- s.Put(ctx, auth.Entry{}, record(1)) }()
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
			err := s.Put(ctx, auth.Entry{}, r)
			if known {
				require.ErrorIs(t, err, auth.ErrExists)
				continue
			}
			require.NoError(t, err)
			want[r.ID] = r
		default:
			remove := rnd.IntN(2) == 0
			err := mark(ctx, s, r.ID, remove)
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

// changes: a record, those added with it and the entry appear together or not at all.
func changes(t *testing.T, open Opener) {
	ctx := context.Background()
	s := open(t, t.TempDir())
	defer func() { require.NoError(t, s.Close()) }()
	require.NoError(t, s.Put(ctx, entry(1), record(1), record(2)))
	require.ErrorIs(t, s.Put(ctx, entry(2), record(3), record(1)), auth.ErrExists)
	_, err := s.Get(ctx, record(3).ID)
	require.ErrorIs(t, err, auth.ErrUnknown)
	refused := errors.New("refused")
	require.ErrorIs(t, s.Change(ctx, entry(2), record(1).ID, func(r *auth.Record) error { r.Removed = true; return refused }, record(3)), refused)
	require.ErrorIs(t, s.Change(ctx, entry(2), record(1).ID, func(r *auth.Record) error { r.Removed = true; return nil }, record(2)), auth.ErrExists)
	got, err := s.Get(ctx, record(1).ID)
	require.NoError(t, err)
	require.False(t, got.Removed)
	require.NoError(t, s.Change(ctx, entry(4), record(1).ID, func(r *auth.Record) error { r.ExpiresAt = t0; return nil }, record(3)))
	list, err := s.List(ctx, auth.Query{Limit: 9})
	require.NoError(t, err)
	require.Len(t, list, 3)
	require.Equal(t, t0, list[0].ExpiresAt)
	es, err := s.Entries(ctx, auth.AuditQuery{Limit: 9})
	require.NoError(t, err)
	require.Equal(t, []auth.Entry{entry(4), entry(1)}, es)

	// Racing changes: each sees the one before.
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			require.NoError(t, s.Change(ctx, auth.Entry{}, record(2).ID, func(r *auth.Record) error { r.Extra += "x"; return nil }))
		})
	}
	wg.Wait()
	got, err = s.Get(ctx, record(2).ID)
	require.NoError(t, err)
	require.Equal(t, record(2).Extra+"xxxxxxxx", got.Extra)
}

func usersOf(t *testing.T, open Opener) {
	ctx, dir := context.Background(), t.TempDir()
	s := open(t, dir)
	u := auth.User{
		Name: "ü", Comment: "c", Miners: []address.Address{id(1000)}, Signers: nil, Created: t0, Updated: t0,
		Limits: []api.RateLimit{{ID: "l", Service: "s", Method: "m", Cap: 5, Per: time.Hour}},
	}
	_, err := s.User(ctx, "ü")
	require.ErrorIs(t, err, auth.ErrUnknown)
	u.Rev = 3
	require.ErrorIs(t, s.PutUser(ctx, entry(1), u), auth.ErrStale)
	u.Rev = 0
	require.NoError(t, s.PutUser(ctx, entry(1), u))
	require.ErrorIs(t, s.PutUser(ctx, entry(2), u), auth.ErrExists)
	got, err := s.User(ctx, "ü")
	require.NoError(t, err)
	u.Rev = got.Rev
	require.Equal(t, u, got)
	u.Disabled, u.Miners = true, []address.Address{}
	require.NoError(t, s.PutUser(ctx, entry(3), u))
	require.ErrorIs(t, s.PutUser(ctx, entry(4), u), auth.ErrStale)
	require.NoError(t, s.Close())

	s = open(t, dir)
	defer func() { require.NoError(t, s.Close()) }()
	got, err = s.User(ctx, "ü")
	require.NoError(t, err)
	require.True(t, got.Disabled)
	require.NotNil(t, got.Miners, "no miner at all is not the same as all miners")
	require.Empty(t, got.Miners)
	require.Nil(t, got.Signers)
	for _, n := range []string{"b", "a", "C"} {
		require.NoError(t, s.PutUser(ctx, auth.Entry{}, auth.User{Name: n, Created: t0, Updated: t0}))
	}
	for _, tc := range []struct {
		q    auth.UserQuery
		want []string
	}{
		{auth.UserQuery{Limit: 9}, []string{"C", "a", "b", "ü"}},
		{auth.UserQuery{Skip: 1, Limit: 2}, []string{"a", "b"}},
		{auth.UserQuery{Search: "a", Limit: 9}, []string{"a"}},
		{auth.UserQuery{}, []string{}},
	} {
		us, err := s.Users(ctx, tc.q)
		require.NoError(t, err)
		names := []string{}
		for _, u := range us {
			names = append(names, u.Name)
		}
		require.Equal(t, tc.want, names, "%+v", tc.q)
	}
	es, err := s.Entries(ctx, auth.AuditQuery{Limit: 9})
	require.NoError(t, err)
	require.Len(t, es, 2, "what failed left no entry")
}

func owners(t *testing.T, open Opener) {
	ctx, dir := context.Background(), t.TempDir()
	s := open(t, dir)
	put := func(name string, rev uint64, miners, signers []address.Address) error {
		return s.PutUser(ctx, auth.Entry{}, auth.User{Name: name, Miners: miners, Signers: signers, Created: t0, Updated: t0, Rev: rev})
	}
	of := func(kind auth.Kind, a address.Address) []string {
		names, err := s.Owners(ctx, kind, a)
		require.NoError(t, err)
		return names
	}
	require.NoError(t, put("a", 0, []address.Address{id(1), id(2)}, []address.Address{id(9)}))
	require.ErrorIs(t, put("b", 0, []address.Address{id(3), id(2)}, nil), auth.ErrOwned)
	_, err := s.User(ctx, "b")
	require.ErrorIs(t, err, auth.ErrUnknown)
	require.NoError(t, put("b", 0, []address.Address{id(3)}, []address.Address{id(9), id(1)}))
	require.Equal(t, []string{"a"}, of(auth.KindMiner, id(2)))
	require.Equal(t, []string{"a", "b"}, of(auth.KindSigner, id(9)))
	require.Empty(t, of(auth.KindMiner, id(9)))
	require.NoError(t, put("a", 1, []address.Address{id(1)}, nil))
	require.Empty(t, of(auth.KindMiner, id(2)))
	require.NoError(t, put("b", 1, []address.Address{id(2)}, nil), "what one gave up another takes")
	require.NoError(t, s.Close())
	s = open(t, dir)
	defer func() { require.NoError(t, s.Close()) }()
	require.Equal(t, []string{"b"}, of(auth.KindMiner, id(2)))
	require.Empty(t, of(auth.KindSigner, id(9)))

	// Racing for one miner: one gets it.
	var wg sync.WaitGroup
	won := make(chan error, 8)
	for i := range 8 {
		wg.Go(func() {
			won <- s.PutUser(ctx, auth.Entry{}, auth.User{Name: fmt.Sprint("racer-", i), Miners: []address.Address{id(77)}, Created: t0, Updated: t0})
		})
	}
	wg.Wait()
	close(won)
	good := 0
	for err := range won {
		if err == nil {
			good++
		} else {
			require.ErrorIs(t, err, auth.ErrOwned)
		}
	}
	require.Equal(t, 1, good)
}

func audit(t *testing.T, open Opener) {
	ctx := context.Background()
	s := open(t, t.TempDir())
	defer func() { require.NoError(t, s.Close()) }()
	for i := range 10 {
		require.NoError(t, s.Append(ctx, entry(i)))
	}
	require.NoError(t, s.Append(ctx, entry(3), auth.Entry{}), "one that is there, and one without an id")
	es, err := s.Entries(ctx, auth.AuditQuery{Skip: 2, Limit: 3})
	require.NoError(t, err)
	require.Equal(t, []auth.Entry{entry(7), entry(6), entry(5)}, es)
	es, err = s.Entries(ctx, auth.AuditQuery{Limit: 3, Search: "subject-4"})
	require.NoError(t, err)
	require.Equal(t, []auth.Entry{entry(4)}, es)
	n, err := s.Prune(ctx, entry(8).At)
	require.NoError(t, err)
	require.Equal(t, 8, n)
	es, err = s.Entries(ctx, auth.AuditQuery{Limit: 30})
	require.NoError(t, err)
	require.Equal(t, []auth.Entry{entry(9), entry(8)}, es)
}

package db

import (
	"context"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/sealer/sector"
)

func open(t *testing.T) (*DB, Config) {
	cfg := Config{Path: filepath.Join(t.TempDir(), "a b?c", "sealer.db")}
	_, err := Open(t.Context(), cfg)
	require.Error(t, err, "the folder is missing")
	cfg.Path = filepath.Join(t.TempDir(), "sealer 100%.db")
	d, err := Open(t.Context(), cfg)
	require.NoError(t, err)
	require.FileExists(t, cfg.Path)
	t.Cleanup(func() { _ = d.Close() })
	return d, cfg
}

func TestNumbersNeverRepeat(t *testing.T) {
	d, cfg := open(t)
	seen := map[abi.SectorNumber]bool{}
	var (
		mu sync.Mutex
		wg sync.WaitGroup
	)
	for range 4 {
		wg.Go(func() {
			for range 5 {
				n, err := d.TakeNumber(context.Background(), 0)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				if seen[n] {
					t.Errorf("number %d was given twice", n)
				}
				seen[n] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	require.Len(t, seen, 20)
	n, err := d.TakeNumber(t.Context(), 100)
	require.NoError(t, err)
	require.EqualValues(t, 100, n)
	require.NoError(t, d.Close())
	d, err = Open(t.Context(), cfg)
	require.NoError(t, err)
	n, err = d.TakeNumber(t.Context(), 0)
	require.NoError(t, err)
	require.EqualValues(t, 101, n)
}

func TestSectorRoundTrip(t *testing.T) {
	d, _ := open(t)
	ctx := t.Context()
	_, err := d.Sector(ctx, 3)
	require.ErrorIs(t, err, ErrNotFound)
	at := time.Date(2022, 1, 2, 3, 4, 5, 6000000, time.UTC)
	r := sector.New(1000, 3, abi.RegisteredSealProof_StackedDrg2KiBV1_1, at)
	r.Ticket = sector.Randomness{Value: []byte{1, 2}, Epoch: -5}
	change := Change{Record: r, Log: []LogEntry{{At: at, Kind: "event", Text: "start"}}, Artifacts: map[string][]byte{"PC1": {9}}}
	require.NoError(t, d.SaveSector(ctx, change))
	got, err := d.Sector(ctx, 3)
	require.NoError(t, err)
	require.Equal(t, r, got)
	a, err := d.Artifact(ctx, 3, "PC1")
	require.NoError(t, err)
	require.Equal(t, []byte{9}, a)
	r.State = sector.GetTicket
	require.NoError(t, d.SaveSector(ctx, Change{Record: r, Log: change.Log, Artifacts: map[string][]byte{"PC1": nil}}))
	_, err = d.Artifact(ctx, 3, "PC1")
	require.ErrorIs(t, err, ErrNotFound)
	log, err := d.Log(ctx, 3)
	require.NoError(t, err)
	require.Equal(t, append(change.Log, change.Log...), log)
	sum, err := d.Summary(ctx)
	require.NoError(t, err)
	require.Equal(t, map[sector.State]int{sector.GetTicket: 1}, sum)
	list, err := d.Sectors(ctx, sector.Packing, sector.GetTicket)
	require.NoError(t, err)
	require.Len(t, list, 1)
	list, err = d.Sectors(ctx, sector.Packing)
	require.NoError(t, err)
	require.Empty(t, list)
}

func TestTasksAndFences(t *testing.T) {
	d, _ := open(t)
	ctx := t.Context()
	now := time.Unix(1e9, 5).UTC()
	for i, id := range []string{"b", "a"} {
		require.NoError(t, d.AddTask(ctx, TaskRow{ID: id, State: "queued", Number: 7, Created: now.Add(time.Duration(i)), Task: []byte(`{"t":1}`), Fate: []byte(`{}`)}))
	}
	require.Error(t, d.AddTask(ctx, TaskRow{ID: "a", State: "queued", Task: []byte(`{}`), Fate: []byte(`{}`)}), "a task is added once")
	rows, err := d.Tasks(ctx)
	require.NoError(t, err)
	require.Equal(t, "b", rows[0].ID)
	leased := rows[0]
	leased.State, leased.Fence, leased.Fate = "leased", 1, []byte(`{"w":1}`)
	require.NoError(t, d.MoveTask(ctx, leased, "queued", 0))
	require.ErrorIs(t, d.MoveTask(ctx, leased, "queued", 0), ErrFenced)
	require.ErrorIs(t, d.MoveTask(ctx, leased, "leased", 0), ErrFenced)
	rows, err = d.Tasks(ctx)
	require.NoError(t, err)
	require.Equal(t, leased, rows[0])
	require.NoError(t, d.DropTask(ctx, "b"))
	require.ErrorIs(t, d.MoveTask(ctx, leased, "leased", 1), ErrFenced)
}

package db

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/ipfs/go-cid"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/internal/mariadb"
	"github.com/filecoin-venus/venus/sealer/sector"
)

func TestMain(m *testing.M) { os.Exit(mariadb.Run(m)) }

// each runs a test on every kind of database.
func each(t *testing.T, f func(t *testing.T, d *DB, cfg Config)) {
	for _, kind := range []string{"sqlite", "mysql"} {
		t.Run(kind, func(t *testing.T) {
			cfg := Config{Type: kind, Path: filepath.Join(t.TempDir(), "sealer 100%.db")}
			if kind == "mysql" {
				cfg.DSN = mariadb.Database(t)
			}
			d, err := Open(t.Context(), cfg)
			require.NoError(t, err)
			t.Cleanup(func() { _ = d.Close() }) // some tests close it
			f(t, d, cfg)
		})
	}
}

func TestMissingFolder(t *testing.T) {
	_, err := Open(t.Context(), Config{Path: filepath.Join(t.TempDir(), "a b?c", "sealer.db")})
	require.Error(t, err)
	_, err = Open(t.Context(), Config{Type: "oracle"})
	require.ErrorContains(t, err, "oracle")
}

func TestNumbersNeverRepeat(t *testing.T) {
	each(t, func(t *testing.T, d *DB, cfg Config) {
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
	})
}

func TestSectorRoundTrip(t *testing.T) {
	each(t, func(t *testing.T, d *DB, cfg Config) {
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
	})
}

func TestTasksAndFences(t *testing.T) {
	each(t, func(t *testing.T, d *DB, _ Config) {
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
	})
}

// TestDumpAndFill carries a database into another of either kind.
func TestDumpAndFill(t *testing.T) {
	each(t, func(t *testing.T, from *DB, _ Config) {
		ctx := t.Context()
		at := time.Unix(1000, 0).UTC()
		r := sector.New(1000, 3, abi.RegisteredSealProof_StackedDrg2KiBV1_1, at)
		require.NoError(t, from.SaveSector(ctx, Change{Record: r, Log: []LogEntry{{At: at, Kind: "k", Text: "\x00☂"}}, Artifacts: map[string][]byte{"PC1": {0, 255}}}))
		_, err := from.TakeNumber(ctx, 9)
		require.NoError(t, err)
		require.NoError(t, from.PutOut(ctx, OutMessage{ID: "m", Kind: sector.KindExtend, State: OutPushed, Created: at}))
		require.NoError(t, from.SaveWindowProof(ctx, 5, 0, map[string]int{"a": 1}))
		require.NoError(t, from.PutDeal(ctx, testDeal(9)))
		require.NoError(t, from.AddTask(ctx, TaskRow{ID: "t", State: "queued", Task: []byte("{}"), Fate: []byte("{}")}))
		rows := func(d *DB) (out []Row) {
			require.NoError(t, d.Dump(ctx, func(r Row) error {
				out = append(out, r)
				return nil
			}))
			return out
		}
		want := rows(from)
		require.Len(t, want, 7)
		each(t, func(t *testing.T, to *DB, _ Config) {
			i := 0
			next := func() (Row, bool, error) {
				i++
				if i > len(want) {
					return Row{}, false, nil
				}
				return want[i-1], true, nil
			}
			require.NoError(t, to.Fill(ctx, []byte(`{"x":1}`), next))
			got := rows(to)
			require.Len(t, got, len(want)+1, "and the mark")
			mark, err := to.Restored(ctx)
			require.NoError(t, err)
			require.JSONEq(t, `{"x":1}`, string(mark))
			require.NoError(t, to.Settle(ctx, 5000))
			_, err = to.Restored(ctx)
			require.ErrorIs(t, err, ErrNotFound)
			n, err := to.TakeNumber(ctx, 0)
			require.NoError(t, err)
			require.EqualValues(t, 5000, n)
			got2, err := to.Sector(ctx, 3)
			require.NoError(t, err)
			require.Equal(t, r, got2)
			deals, err := to.Deals(ctx)
			require.NoError(t, err)
			require.Equal(t, []DealRecord{testDeal(9)}, deals)
			tasks, err := to.Tasks(ctx)
			require.NoError(t, err)
			require.Empty(t, tasks, "who did what is not there any more")
			i = 0
			require.ErrorIs(t, to.Fill(ctx, nil, next), ErrNotEmpty)
		})
	})
}

func testDeal(id abi.DealID) DealRecord {
	piece, err := cid.Parse("baga6ea4seaqdqqgzl67rr7bllytzdubay6srjfqco4mzn7u3u27lma4wmsgbgii")
	if err != nil {
		panic(err)
	}
	return DealRecord{
		Deal:  sector.Deal{ID: id, Piece: abi.PieceInfo{Size: 1024, PieceCID: piece}, Start: 5, End: 9, Since: time.Unix(1000, 0).UTC()},
		State: DealHere, File: "/mnt/deals/deal-9", Bytes: 700, Created: time.Unix(900, 0).UTC(),
	}
}

// TestDeals: one row a deal, by id, through a restart.
func TestDeals(t *testing.T) {
	each(t, func(t *testing.T, d *DB, cfg Config) {
		for _, id := range []abi.DealID{11, 2, 9} {
			require.NoError(t, d.PutDeal(t.Context(), testDeal(id)))
		}
		changed := testDeal(9)
		changed.State, changed.Err = DealFailed, "another file"
		require.NoError(t, d.PutDeal(t.Context(), changed))
		require.NoError(t, d.Close())
		d, err := Open(t.Context(), cfg)
		require.NoError(t, err)
		defer d.Close()
		got, err := d.Deals(t.Context())
		require.NoError(t, err)
		require.Equal(t, []DealRecord{testDeal(2), changed, testDeal(11)}, got)
	})
}

// TestOutbox: a message and the sectors that share it are stored together or not at all.
func TestOutbox(t *testing.T) {
	each(t, func(t *testing.T, d *DB, _ Config) {
		ctx := t.Context()
		at := time.Unix(1000, 0).UTC()
		a, b := sector.New(1000, 1, abi.RegisteredSealProof_StackedDrg2KiBV1_1, at), sector.New(1000, 2, abi.RegisteredSealProof_StackedDrg2KiBV1_1, at)
		m := OutMessage{ID: "m", Kind: sector.KindPreCommit, Params: []byte{1}, Members: []abi.SectorNumber{1, 2}, Created: at, State: OutIntended}
		broken := Change{Record: b, Artifacts: map[string][]byte{string(make([]byte, 99)): {1}}}
		if d.sql.MySQL { // sqlite takes names of any length
			require.Error(t, d.PutOut(ctx, m, Change{Record: a}, broken))
			_, err := d.Sector(ctx, 1)
			require.ErrorIs(t, err, ErrNotFound)
		}
		require.NoError(t, d.PutOut(ctx, m, Change{Record: a}, Change{Record: b}))
		open, err := d.Outbox(ctx, OutIntended, 0)
		require.NoError(t, err)
		require.Equal(t, m.Members, open[0].Members)
		m.State = OutLanded
		require.NoError(t, d.PutOut(ctx, m))
		open, err = d.Outbox(ctx, OutIntended, 0)
		require.NoError(t, err)
		require.Empty(t, open)
		all, err := d.Outbox(ctx, "", 5)
		require.NoError(t, err)
		require.Len(t, all, 1)
	})
}

// TestRecordsOfTheFirstRelease: records lack what came later, and can be stored again.
func TestRecordsOfTheFirstRelease(t *testing.T) {
	each(t, func(t *testing.T, d *DB, _ Config) {
		ctx := t.Context()
		old := `{"Miner":1000,"Number":4,"SealProof":5,"State":"Proving","PreCommit":{"ID":"a","Attempt":1,"Value":"7"},"Commit":{"ID":"b","Attempt":1,"Value":"0"}}`
		_, err := d.sql.W.ExecContext(ctx, "INSERT INTO sectors (number, state, record, updated) VALUES (4, 'Proving', ?, 0)", []byte(old))
		require.NoError(t, err)
		for range 2 {
			r, err := d.Sector(ctx, 4)
			require.NoError(t, err)
			require.Equal(t, sector.Proving, r.State)
			require.Zero(t, r.Terminate.Value.Sign())
			require.NoError(t, d.SaveSector(ctx, Change{Record: r}))
		}
	})
}

package backup

import (
	"bytes"
	"compress/gzip"
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/internal/fault"
	"github.com/filecoin-venus/venus/internal/mariadb"
	"github.com/filecoin-venus/venus/repo"
	"github.com/filecoin-venus/venus/sealer/config"
	"github.com/filecoin-venus/venus/sealer/db"
	"github.com/filecoin-venus/venus/sealer/sector"
)

func TestMain(m *testing.M) { os.Exit(mariadb.Run(m)) }

var at = time.Unix(1_700_000_000, 0).UTC()

// filled is a database with some of everything.
func filled(t *testing.T, cfg db.Config) *db.DB {
	ctx := context.Background()
	d, err := db.Open(ctx, cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.Close()) })
	for n := abi.SectorNumber(1); n <= 12; n++ {
		r := sector.New(1000, n, abi.RegisteredSealProof_StackedDrg2KiBV1_1, at)
		require.NoError(t, d.SaveSector(ctx, db.Change{Record: r, Log: []db.LogEntry{{At: at, Kind: "k", Text: "begun"}}, Artifacts: map[string][]byte{"PC1": {0, 1, 2}}}))
	}
	require.NoError(t, d.PutOut(ctx, db.OutMessage{ID: "B", Kind: sector.KindExtend, State: db.OutPushed, Created: at}))
	require.NoError(t, d.PutOut(ctx, db.OutMessage{ID: "a", Kind: sector.KindExtend, State: db.OutPushed, Created: at}))
	require.NoError(t, d.SaveWindowProof(ctx, 7, 0, 1))
	_, err = d.TakeNumber(ctx, 13)
	require.NoError(t, err)
	return d
}

// files are those of a directory, with a configuration that names its database.
func files(t *testing.T, d db.Config) map[string][]byte {
	c := config.Default()
	c.Network, c.DB = config.NetworkOf("local"), d
	name := filepath.Join(t.TempDir(), "c")
	require.NoError(t, c.Save(name))
	b, err := os.ReadFile(name)
	require.NoError(t, err)
	return map[string][]byte{config.FileName: b, "init.json": []byte("{}")}
}

func write(t *testing.T, into db.Config) (string, Report) {
	path := filepath.Join(t.TempDir(), "b")
	rep, err := Write(t.Context(), path, "t01000", at, filled(t, db.Config{Path: filepath.Join(t.TempDir(), "s.db"), NoSync: true}), files(t, into))
	require.NoError(t, err)
	return path, rep
}

func openRepo(t *testing.T) *repo.Repo {
	r, err := repo.Open(filepath.Join(t.TempDir(), "new"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, r.Close()) })
	return r
}

// TestEitherWay restores from sqlite to both databases.
func TestEitherWay(t *testing.T) {
	for _, kind := range []string{"sqlite", "mysql"} {
		t.Run(kind, func(t *testing.T) {
			into := db.Config{Type: kind, Path: "/gone/s.db"}
			if kind == "mysql" {
				into.DSN = mariadb.Database(t)
			}
			path, rep := write(t, into)
			require.Equal(t, 12, rep.Rows["sectors"])
			r := openRepo(t)
			got, err := Restore(t.Context(), path, r, at.Add(time.Hour))
			require.NoError(t, err)
			require.Equal(t, rep.SHA256, got.SHA256)
			cfg, err := config.Load(r.Path(config.FileName))
			require.NoError(t, err)
			if kind == "sqlite" {
				require.Equal(t, r.Path("s.db"), cfg.DB.Path, "the directory is another")
			}
			d, err := db.Open(t.Context(), cfg.DB)
			require.NoError(t, err)
			defer d.Close()
			list, err := d.Sectors(t.Context())
			require.NoError(t, err)
			require.Len(t, list, 12)
			mark, err := d.Restored(t.Context())
			require.NoError(t, err)
			require.Contains(t, string(mark), "2023-11-14T23:13:20Z")
			_, err = Restore(t.Context(), path, r, at)
			require.ErrorIs(t, err, db.ErrNotEmpty)
		})
	}
}

// TestEveryDamageIsFound cuts and changes a backup everywhere.
func TestEveryDamageIsFound(t *testing.T) {
	path, rep := write(t, db.Config{})
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	try := func(b []byte, what string, i int) {
		bad := filepath.Join(t.TempDir(), "bad")
		require.NoError(t, os.WriteFile(bad, b, 0o600))
		got, err := Verify(bad)
		if what == "bit" && err == nil { // some bits of a compressed stream only fill up bytes
			require.Equal(t, rep, got, "%s at %d", what, i)
			return
		}
		require.Error(t, err, "%s at %d", what, i)
	}
	for i := 0; i < len(whole); i += 37 {
		try(whole[:i], "cut", i)
		flipped := bytes.Clone(whole)
		flipped[i] ^= 0x10
		try(flipped, "bit", i)
	}
	// A line taken out, with the compression made anew: only the sum can tell.
	zip, err := gzip.NewReader(bytes.NewReader(whole))
	require.NoError(t, err)
	var plain bytes.Buffer
	_, err = plain.ReadFrom(zip)
	require.NoError(t, err)
	lines := bytes.SplitAfter(plain.Bytes(), []byte("\n"))
	for i := range lines[:len(lines)-1] {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		for j, l := range lines {
			if j != i {
				_, err := w.Write(l)
				require.NoError(t, err)
			}
		}
		require.NoError(t, w.Close())
		try(b.Bytes(), "line left out", i)
	}
}

// TestCrashes interrupts a restore at every durable step; the same command again
// goes on, or says that the database is filled already.
func TestCrashes(t *testing.T) {
	for _, point := range []string{"sealer/restore-file", "sealer/restore"} {
		t.Run(filepath.Base(point), func(t *testing.T) {
			path, _ := write(t, db.Config{})
			r := openRepo(t)
			crashes := 0
			for ; ; crashes++ {
				hit := false
				disarm := fault.Arm(point, func() error {
					hit = true
					return fault.ErrInjected
				})
				_, err := Restore(t.Context(), path, r, at)
				disarm()
				if !hit {
					break
				}
				require.ErrorIs(t, err, fault.ErrInjected)
				require.Less(t, crashes, 5)
			}
			require.Positive(t, crashes)
			if _, err := Restore(t.Context(), path, r, at); err != nil {
				require.ErrorIs(t, err, db.ErrNotEmpty)
			}
			cfg, err := config.Load(r.Path(config.FileName))
			require.NoError(t, err)
			d, err := db.Open(t.Context(), cfg.DB)
			require.NoError(t, err)
			defer d.Close()
			list, err := d.Sectors(t.Context())
			require.NoError(t, err)
			require.Len(t, list, 12)
		})
	}
}

func TestInterruptedBackupIsNotThere(t *testing.T) {
	defer fault.Arm("sealer/backup", func() error { return fault.ErrInjected })()
	dir := t.TempDir()
	d := filled(t, db.Config{Path: filepath.Join(t.TempDir(), "s.db"), NoSync: true})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Write(ctx, filepath.Join(dir, "b"), "t01000", at, d, nil)
	require.Error(t, err)
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, entries, "neither a backup nor a part of one")
}

// FuzzVerify: whatever a file holds, it is judged and never trusted.
func FuzzVerify(f *testing.F) {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write([]byte(`{"h":{"Format":"venus-sealer backup 1","Miner":"t01000","At":"2022-01-01T00:00:00Z"}}` + "\n" + `{"r":{"t":"meta","v":[{"t":"a"},{"b":"AA=="}]}}` + "\n"))
	require.NoError(f, err)
	require.NoError(f, w.Close())
	f.Add(b.Bytes())
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, err := newReader(bytes.NewReader(raw))
		if err != nil {
			return
		}
		for range 1000 {
			l, more, err := r.next()
			if err != nil || !more {
				return
			}
			if l.Row != nil {
				_, _ = l.Row.decode() // judged, not used
			}
		}
	})
}

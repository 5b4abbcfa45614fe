package backup

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/filecoin-venus/venus/internal/fault"
	"github.com/filecoin-venus/venus/internal/fsutil"
	"github.com/filecoin-venus/venus/repo"
	"github.com/filecoin-venus/venus/sealer/config"
	"github.com/filecoin-venus/venus/sealer/db"
)

// fileNames are the files of a sealer's directory that a backup holds.
func fileNames() []string {
	return []string{config.FileName, "network.json", "init.json", "storage.json"}
}

// Files reads the directory's files for a backup. Those that are not there are left out.
func Files(dir repo.Dir) (map[string][]byte, error) {
	out := map[string][]byte{}
	for _, name := range fileNames() {
		b, err := os.ReadFile(dir.Path(name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read %s for the backup: %w", name, err)
		}
		out[name] = b
	}
	return out, nil
}

// Mark is what a restored database remembers of it until the sealer has met the chain.
type Mark struct {
	From     string
	Made, At time.Time // when the backup was made, and when it was restored
}

// Restore brings a sealer's directory and database back. Files that are there
// already stay as they are; a database that holds sectors is refused. It may be
// repeated after an interruption.
func Restore(ctx context.Context, path string, r *repo.Repo, now time.Time) (Report, error) {
	rep, err := Verify(path)
	if err != nil {
		return rep, err
	}
	if err := restoreFiles(path, r); err != nil {
		return rep, err
	}
	cfg, err := config.Load(r.Path(config.FileName))
	if err != nil {
		return rep, err
	}
	d, err := db.Open(ctx, cfg.DB)
	if err != nil {
		return rep, err
	}
	err = fill(ctx, path, d, rep, now)
	return rep, errors.Join(err, d.Close())
}

func restoreFiles(path string, r *repo.Repo) error {
	_, err := walk(path, func(l line) error {
		if l.File == nil {
			return nil
		}
		if !slices.Contains(fileNames(), l.File.Name) {
			return fmt.Errorf("%w: it holds a file %q, which no sealer has", ErrDamaged, l.File.Name)
		}
		to := r.Path(l.File.Name)
		if _, err := os.Lstat(to); err == nil {
			return nil
		}
		data := l.File.Data
		if l.File.Name == config.FileName {
			var err error
			if data, err = moved(data, r); err != nil {
				return err
			}
		}
		if err := fsutil.WriteFileAtomic(to, data, 0o600); err != nil {
			return err
		}
		return fault.Point("sealer/restore-file")
	})
	return err
}

// moved makes a configuration's own paths those of the directory it is restored to.
func moved(data []byte, r *repo.Repo) ([]byte, error) {
	tmp := r.Path("." + config.FileName + ".restored")
	if err := fsutil.WriteFileAtomic(tmp, data, 0o600); err != nil {
		return nil, err
	}
	defer os.Remove(tmp)
	cfg, err := config.Load(tmp)
	if err != nil {
		return nil, err
	}
	if cfg.DB.Type != "mysql" {
		name := "sealer.db"
		if cfg.DB.Path != "" {
			name = filepath.Base(cfg.DB.Path)
		}
		cfg.DB.Path = r.Path(name)
	}
	if cfg.Network.File != "" {
		cfg.Network.File = r.Path("network.json")
	}
	if err := cfg.Save(tmp); err != nil {
		return nil, err
	}
	return os.ReadFile(tmp)
}

// fill writes the rows and compares what is then there with the backup.
func fill(ctx context.Context, path string, d *db.DB, rep Report, now time.Time) error {
	mark, err := json.Marshal(Mark{From: filepath.Base(path), Made: rep.At, At: now})
	if err != nil {
		return fmt.Errorf("encode the mark of the restore: %w", err)
	}
	rows, stop := rowsOf(path)
	defer stop()
	if err := d.Fill(ctx, mark, rows); err != nil {
		return err
	}
	if err := fault.Point("sealer/restore"); err != nil {
		return err
	}
	return compare(ctx, path, d)
}

// compare holds what the database gives against the backup.
func compare(ctx context.Context, path string, d *db.DB) error {
	next, stop := rowsOf(path)
	defer stop()
	want := func() (db.Row, bool, error) {
		r, more, err := next()
		if err == nil && more && marks(r) {
			return next()
		}
		return r, more, err
	}
	differs := func(table string) error {
		return fmt.Errorf("what was restored is not what the backup holds, at a row of %q; empty the database and restore again", table)
	}
	err := d.Dump(ctx, func(got db.Row) error {
		if marks(got) {
			return nil
		}
		r, more, err := want()
		if err != nil {
			return err
		}
		if !more || !same(r, got) {
			return differs(got.Table)
		}
		return nil
	})
	if err != nil {
		return err
	}
	r, more, err := want()
	if err == nil && more {
		err = differs(r.Table)
	}
	return err
}

// marks tells whether a row is the mark of a restore.
func marks(r db.Row) bool { return r.Table == "meta" && r.Values[0] == db.RestoredName }

func same(a, b db.Row) bool {
	if a.Table != b.Table || len(a.Values) != len(b.Values) {
		return false
	}
	for i := range a.Values {
		x, isBytes := a.Values[i].([]byte)
		y, alsoBytes := b.Values[i].([]byte)
		if isBytes != alsoBytes || (isBytes && !bytes.Equal(x, y)) || (!isBytes && a.Values[i] != b.Values[i]) {
			return false
		}
	}
	return true
}

// rowsOf reads the rows of a backup one by one.
func rowsOf(path string) (next func() (db.Row, bool, error), stop func()) {
	f, err := os.Open(path)
	if err != nil {
		return func() (db.Row, bool, error) { return db.Row{}, false, err }, func() {}
	}
	var r *reader
	return func() (db.Row, bool, error) {
		if r == nil {
			var err error
			if r, err = newReader(io.Reader(f)); err != nil {
				return db.Row{}, false, err
			}
		}
		for {
			l, more, err := r.next()
			if err != nil || !more {
				return db.Row{}, false, err
			}
			if l.Row != nil {
				row, err := l.Row.decode()
				return row, true, err
			}
		}
	}, func() { _ = f.Close() } // it was only read
}

package worker

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/filecoin-venus/venus/internal/fault"
	"github.com/filecoin-venus/venus/internal/fsutil"
	"github.com/filecoin-venus/venus/sealer/sector"
)

// PathFile is the file in a storage path that tells its id (sealer/store).
const PathFile = "sectorstore.json"

func describes(meta []byte, id string) bool {
	var m struct{ ID string }
	return json.Unmarshal(meta, &m) == nil && m.ID == id
}

// WorkFolder is the folder of a storage path in which tasks work.
const WorkFolder = "work"

// root is the storage path that the task's files lie in.
func (t Task) root() string {
	for _, f := range []string{t.Files.Cache, t.Files.Unsealed, t.Files.Sealed} {
		if f != "" {
			return filepath.Dir(filepath.Dir(f))
		}
	}
	return ""
}

// Path is the storage path that the task needs, "" when it needs no files.
func (t Task) Path() string {
	if t.Kind == sector.TaskCommit2 {
		return ""
	}
	return t.root()
}

// Writes tells whether a task makes sector files.
func (t Task) Writes() bool {
	switch t.Kind {
	case sector.TaskAddPiece, sector.TaskPreCommit1, sector.TaskPreCommit2, sector.TaskReplicaUpdate:
		return t.root() != ""
	}
	return false
}

func (t Task) name() string { return filepath.Base(t.Files.Cache) }

// Work are the places that a task writes to: its own folder in the same storage
// path, so that taking it over is a rename, named after attempt and fence, so
// that a worker which lost its lease disturbs nobody.
func (t Task) Work() Files {
	dir := filepath.Join(t.root(), WorkFolder, fmt.Sprintf("%s.%s-%d.%d", t.name(), t.Kind, t.Attempt, t.Fence))
	return Files{
		Unsealed: filepath.Join(dir, "unsealed"), Sealed: filepath.Join(dir, "sealed"), Cache: filepath.Join(dir, "cache"),
		Update: filepath.Join(dir, "update"), UpdateCache: filepath.Join(dir, "update-cache"),
	}
}

// prepare makes the task's folder with links to what the steps before made, and
// to what an earlier lease of the same task finished: labels of layers are only
// written whole, under their name, and checked before they are used.
func (t Task) prepare() error {
	w := t.Work()
	cache := w.Cache
	if t.Kind == sector.TaskReplicaUpdate {
		cache = w.UpdateCache
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return fmt.Errorf("make the task's folder: %w", err)
	}
	if t.Kind == sector.TaskAddPiece {
		return nil
	}
	if err := link(t.Files.Unsealed, w.Unsealed); err != nil || t.Kind == sector.TaskReplicaUpdate {
		return err
	}
	folders := []string{t.Files.Cache}
	for before := t; t.Kind == sector.TaskPreCommit1 && before.Fence > 1; {
		before.Fence--
		folders = slices.Insert(folders, 1, before.Work().Cache)
	}
	for _, dir := range folders { // the newest last: its files replace those of before
		if err := linkAll(dir, w.Cache); err != nil {
			return err
		}
	}
	return nil
}

// linkAll links the finished files of a folder, those it has beside others' too.
func linkAll(from, to string) error {
	entries, err := os.ReadDir(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list what earlier steps made: %w", err)
	}
	for _, e := range entries {
		if e.IsDir() || strings.HasPrefix(e.Name(), ".") {
			continue // temporary names
		}
		if err := os.Remove(filepath.Join(to, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("replace an older file: %w", err)
		}
		if err := link(filepath.Join(from, e.Name()), filepath.Join(to, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// link gives a file a second name; where the file system knows no hard links, a
// symbolic one. The proof code never writes into a file that has its name, so
// neither name's reader sees a change. An absent file stays absent.
func link(from, to string) error {
	if _, err := os.Stat(from); errors.Is(err, fs.ErrNotExist) || from == "" {
		return nil
	}
	err := os.Link(from, to)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil && os.Symlink(from, to) == nil {
		return nil
	}
	if err != nil {
		return fmt.Errorf("link %s into the task's folder: %w", from, err)
	}
	return nil
}

// Adopt takes over what a task made under the lease whose outcome counted, and
// removes the folders of all other leases of its sector. The outcome must be
// stored first; it may be repeated after a crash at any point, and does nothing
// for a task that has no folder.
func Adopt(t Task) error {
	if !t.Writes() {
		return nil
	}
	w := t.Work()
	moves := map[string]string{w.Unsealed: t.Files.Unsealed, w.Sealed: t.Files.Sealed, w.Update: t.Files.Update}
	for from, to := range map[string]string{w.Cache: t.Files.Cache, w.UpdateCache: t.Files.UpdateCache} {
		entries, err := os.ReadDir(from)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("list what the task made: %w", err)
		}
		for _, e := range entries {
			if !strings.HasPrefix(e.Name(), ".") {
				moves[filepath.Join(from, e.Name())] = filepath.Join(to, e.Name())
			}
		}
	}
	folders := map[string]bool{}
	for from, to := range moves {
		moved, err := takeOver(from, to)
		if err != nil {
			return err
		}
		if moved {
			folders[filepath.Dir(to)] = true
		}
	}
	for dir := range folders {
		if err := fsutil.SyncDir(dir); err != nil {
			return err
		}
	}
	// Only now, when all is under its name for good, may the folders go.
	if err := fault.Point("task/adopt"); err != nil {
		return err
	}
	return RemoveWork(t.root(), t.name())
}

// takeOver moves a file to its place, unless it is a link to what lies there.
func takeOver(from, to string) (bool, error) {
	info, err := os.Lstat(from)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look at what the task made: %w", err)
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		return false, nil
	}
	if there, err := os.Stat(to); err == nil && os.SameFile(info, there) {
		return false, nil
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return false, fmt.Errorf("make folder: %w", err)
	}
	if err := os.Rename(from, to); err != nil {
		return false, fmt.Errorf("take over what the task made: %w", err)
	}
	return true, fault.Point("task/rename")
}

// RemoveWork removes the folders of all leases of a sector in a storage path.
func RemoveWork(root, name string) error {
	list, err := filepath.Glob(filepath.Join(root, WorkFolder, name+".*"))
	if err != nil {
		return fmt.Errorf("list task folders: %w", err)
	}
	for _, dir := range list {
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("remove a task's folder: %w", err)
		}
	}
	return nil
}

// SweepWork removes the folders of tasks that nobody asks for any more: a worker
// that was cut off may write one after its sector went on.
func SweepWork(root string, wanted func(task string) bool) error {
	entries, err := os.ReadDir(filepath.Join(root, WorkFolder))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list task folders: %w", err)
	}
	for _, e := range entries {
		if task, ok := TaskOf(e.Name()); !ok || wanted(task) {
			continue
		}
		if err := os.RemoveAll(filepath.Join(root, WorkFolder, e.Name())); err != nil {
			return fmt.Errorf("remove a task's folder: %w", err)
		}
	}
	return nil
}

// TaskOf is the id of the task that a folder is named after, as Work writes it.
func TaskOf(folder string) (id string, ok bool) {
	parts := strings.Split(folder, ".")
	name, ok := strings.CutPrefix(parts[0], "s-")
	if !ok || len(parts) != 3 {
		return "", false
	}
	return name + "-" + parts[1], true
}

// Package own serves a worker's own sealing paths, which no other machine
// reaches: sectors that are begun there are sealed by this machine's worker, and
// the sealer fetches the finished files.
//
// Start at Open; sealer/store (afar.go) is the sealer's end, and worker/bus
// carries the calls.
package own

import (
	"encoding/json"
	"fmt"
	"path/filepath"

	"github.com/filecoin-venus/venus/sealer/store"
	"github.com/filecoin-venus/venus/worker"
)

// Open opens folders of this machine as sealing paths.
func Open(dirs []string, o store.Options) ([]*store.Host, error) {
	var out []*store.Host
	for _, dir := range dirs {
		h, err := store.NewHost(dir, o)
		if err != nil {
			return nil, err
		}
		h.Work = func(what string, arg json.RawMessage) error { return work(h, what, arg) }
		out = append(out, h)
	}
	return out, nil
}

// Places are the paths as a worker.Executor wants them.
func Places(list []*store.Host) []worker.Path {
	var out []worker.Path
	for _, h := range list {
		out = append(out, worker.Path{ID: h.ID, Dir: h.Dir})
	}
	return out
}

func work(h *store.Host, what string, arg json.RawMessage) error {
	switch what {
	case worker.WorkAdopt:
		var t worker.Task
		if err := json.Unmarshal(arg, &t); err != nil {
			return fmt.Errorf("decode a task: %w", err)
		}
		t = t.In([]worker.Path{{ID: h.ID, Dir: h.Dir}})
		if t.Files != worker.Files(store.FilesIn(h.Dir, t.Sector)) {
			return fmt.Errorf("task %s is not about files of path %s", t.ID, h.ID)
		}
		return worker.Adopt(t)
	case worker.WorkRemove:
		var name string
		if err := json.Unmarshal(arg, &name); err != nil {
			return fmt.Errorf("decode a sector's name: %w", err)
		}
		if _, err := store.ParseSectorName(name); err != nil {
			return err
		}
		return worker.RemoveWork(filepath.Clean(h.Dir), name)
	}
	return fmt.Errorf("this worker does not know the work %q; update it", what)
}

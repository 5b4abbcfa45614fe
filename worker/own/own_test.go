package own

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/sealer/sector"
	"github.com/filecoin-venus/venus/sealer/store"
	"github.com/filecoin-venus/venus/worker"
)

// TestAdopt takes over in a worker's own path what a task made there, as the
// sealer that knows the path by another name asks for it, and refuses the rest.
func TestAdopt(t *testing.T) {
	require.Equal(t, store.AfarPrefix, worker.OwnPrefix)
	dir := t.TempDir()
	hosts, err := Open([]string{dir}, store.Options{})
	require.NoError(t, err)
	h := hosts[0]
	id := abi.SectorID{Miner: 1000, Number: 7}
	asked := worker.Task{ID: "t01000-7-PC1-1", Sector: id, Kind: sector.TaskPreCommit1, Attempt: 1, Fence: 3, Files: worker.Files(store.FilesIn(worker.OwnPrefix+h.ID, id))}
	here := asked.In(Places(hosts))
	require.Equal(t, worker.Files(store.FilesIn(dir, id)), here.Files)
	require.Equal(t, asked.Files, asked.In([]worker.Path{{ID: "another", Dir: "/x"}}).Files)
	require.NoError(t, os.MkdirAll(here.Work().Cache, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(here.Work().Cache, "layer-1"), []byte("labels"), 0o600))

	ask := func(what string, arg any) error {
		b, err := json.Marshal(arg)
		require.NoError(t, err)
		return h.Work(what, b)
	}
	other := asked
	other.Files = worker.Files(store.FilesIn("/etc", id))
	require.ErrorContains(t, ask(worker.WorkAdopt, other), "not about files of path")
	other.Files = asked.Files
	other.Files.Sealed = worker.OwnPrefix + h.ID + "/../../etc/passwd"
	require.ErrorContains(t, ask(worker.WorkAdopt, other), "not about files of path")
	require.ErrorContains(t, ask(worker.WorkRemove, "../x"), "is not the name of a sector")
	require.ErrorContains(t, ask("dance", nil), "update it")
	require.Error(t, h.Work(worker.WorkAdopt, json.RawMessage("[")))
	require.Error(t, h.Work(worker.WorkRemove, json.RawMessage("[")))

	require.NoError(t, ask(worker.WorkAdopt, asked))
	b, err := os.ReadFile(filepath.Join(here.Files.Cache, "layer-1"))
	require.NoError(t, err)
	require.Equal(t, "labels", string(b))
	require.NoDirExists(t, filepath.Dir(here.Work().Cache))
	require.NoError(t, os.MkdirAll(here.Work().Cache, 0o755))
	require.NoError(t, ask(worker.WorkRemove, store.SectorName(id)))
	require.NoDirExists(t, filepath.Dir(here.Work().Cache))
}

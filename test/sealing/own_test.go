package sealing

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/filecoin-project/specs-actors/v7/actors/builtin"
	"github.com/stretchr/testify/require"

	sealerapi "github.com/filecoin-venus/venus/api/sealer"
	"github.com/filecoin-venus/venus/sealer/store"
)

// TestOwnPaths seals on two machines that share nothing with the sealer, which
// itself can only store. One is killed in the middle and comes back with what it
// had; every sector rests with the sealer at last, and nothing is left behind.
func TestOwnPaths(t *testing.T) {
	w := newWorld(t, 2<<10, nil, false)
	m := newMachines(w).build()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	var around sync.WaitGroup
	defer around.Wait()
	stop, end := context.WithCancel(ctx)
	defer end()
	around.Go(func() { w.live(stop) })
	own := []string{t.TempDir(), t.TempDir()}
	join := func(i int) *process { return m.join(fmt.Sprint("machine-", i), "--path", own[i]) }
	first := join(0)
	join(1)
	attached := func() (n int) {
		paths, err := w.api.StorageLocal(ctx)
		require.NoError(t, err)
		for _, dir := range paths {
			if len(dir) > len(store.AfarPrefix) && dir[:len(store.AfarPrefix)] == store.AfarPrefix {
				n++
			}
		}
		return n
	}
	require.Eventually(t, func() bool { return attached() == 2 }, time.Minute, epoch, "workers' paths are attached by themselves")
	w.detachOne(m, attached)
	pledged := w.pledge(4)
	used := func(i int) bool {
		list, err := os.ReadDir(filepath.Join(own[i], "unsealed"))
		return err == nil && len(list) > 0
	}
	require.Eventually(t, func() bool { return used(0) && used(1) }, time.Minute, epoch, "sectors are begun on both machines")
	first.kill()
	join(0)
	w.proven(ctx, len(pledged))
	end()
	around.Wait()
	require.Equal(t, len(pledged), w.chain.Messager().Landed(builtin.MethodsMiner.ProveCommitSector))
	bad, err := w.api.CheckProvable(t.Context(), nil, true)
	require.NoError(t, err)
	require.Empty(t, bad, "what was fetched is what was proven")
	for _, kind := range []string{"sealed", "cache"} {
		list, err := os.ReadDir(filepath.Join(w.dir, "files", kind))
		require.NoError(t, err)
		require.Len(t, list, len(pledged), kind)
	}
	require.Eventually(t, func() bool {
		for _, dir := range own {
			for _, kind := range []string{"unsealed", "sealed", "cache", "work"} {
				if list, err := os.ReadDir(filepath.Join(dir, kind)); err == nil && len(list) > 0 {
					return false
				}
			}
		}
		return true
	}, time.Minute, epoch, "something stays on the workers' disks")
}

// detachOne detaches a path that its worker goes on offering, and takes it back.
func (w *world) detachOne(m *machines, attached func() int) {
	ctx, t := w.t.Context(), w.t
	find := func(yes func(p sealerapi.StoragePath) bool) (out []sealerapi.StoragePath) {
		list, err := w.api.StoragePaths(ctx)
		require.NoError(t, err)
		for _, p := range list {
			if strings.HasPrefix(p.Path, store.AfarPrefix) && yes(p) {
				out = append(out, p)
			}
		}
		return out
	}
	one := find(func(sealerapi.StoragePath) bool { return true })[0]
	require.NoError(t, w.api.StorageDetach(ctx, one.Path))
	require.Eventually(t, func() bool { return strings.Contains(logged(m), "storage attach "+one.Path) }, time.Minute, epoch, "the worker's log does not tell")
	pause(ctx, 2*time.Second) // two beats
	require.Equal(t, 1, attached())
	gone := find(func(p sealerapi.StoragePath) bool { return p.Detached })
	require.Len(t, gone, 1)
	require.Equal(t, one.Path, gone[0].Path)
	require.Contains(t, gone[0].Offered, "machine-")
	_, err := w.api.StorageAttach(ctx, sealerapi.StorageSpec{Path: one.Path})
	require.NoError(t, err)
	require.Equal(t, 2, attached())
}

func logged(m *machines) string {
	b, _ := os.ReadFile(m.log) // it may not be there yet
	return string(b)
}

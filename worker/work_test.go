package worker

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/internal/fault"
	"github.com/filecoin-venus/venus/sealer/sector"
)

func write(t *testing.T, file, content string) {
	require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
	require.NoError(t, os.WriteFile(file, []byte(content), 0o644))
}

func read(t *testing.T, file string) string {
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	return string(b)
}

func pc1(dir string, fence uint64) Task {
	return Task{ID: "x", Kind: sector.TaskPreCommit1, Attempt: 2, Fence: fence, Files: Files{
		Unsealed: filepath.Join(dir, "unsealed", "s-t01000-7"), Sealed: filepath.Join(dir, "sealed", "s-t01000-7"), Cache: filepath.Join(dir, "cache", "s-t01000-7"),
	}}
}

// TestNextLeaseGoesOnFromTheLast lets a lease be lost in the middle: the next one
// finds the finished layers, and the lost worker, which writes on, disturbs nobody.
func TestNextLeaseGoesOnFromTheLast(t *testing.T) {
	dir := t.TempDir()
	write(t, pc1(dir, 1).Files.Unsealed, "data")
	write(t, filepath.Join(pc1(dir, 1).Files.Cache, "layer-1"), "of an older attempt")
	one := pc1(dir, 1)
	require.NoError(t, one.prepare())
	require.Equal(t, "data", read(t, one.Work().Unsealed))
	layer := func(task Task, n int) string { return filepath.Join(task.Work().Cache, fmt.Sprint("layer-", n)) }
	require.NoError(t, os.Remove(layer(one, 1))) // as a rename over it does
	write(t, layer(one, 1), "first")
	write(t, filepath.Join(one.Work().Cache, ".layer-2.tmp-1"), "half")

	three := pc1(dir, 3) // fence 2 was never begun
	require.NoError(t, three.prepare())
	require.Equal(t, "first", read(t, layer(three, 1)))
	require.NoFileExists(t, filepath.Join(three.Work().Cache, ".layer-2.tmp-1"))
	write(t, layer(one, 2), "late and wrong")
	write(t, layer(three, 2), "second")

	require.NoError(t, Adopt(three))
	require.Equal(t, "first", read(t, filepath.Join(three.Files.Cache, "layer-1")))
	require.Equal(t, "second", read(t, filepath.Join(three.Files.Cache, "layer-2")))
	require.Equal(t, "data", read(t, three.Files.Unsealed))
	require.NoDirExists(t, filepath.Dir(one.Work().Cache))
	require.NoDirExists(t, filepath.Dir(three.Work().Cache))
	require.NoError(t, Adopt(three), "once more does nothing")
	require.Equal(t, "second", read(t, filepath.Join(three.Files.Cache, "layer-2")))
}

// TestAdoptAtEveryCrash fails at each passage of each failpoint; once more ends well.
func TestAdoptAtEveryCrash(t *testing.T) {
	for _, point := range []string{"task/rename", "task/adopt"} {
		for k := 1; ; k++ {
			dir, passed := t.TempDir(), 0
			task := pc1(dir, 1)
			task.Kind = sector.TaskPreCommit2
			write(t, task.Files.Unsealed, "data")
			write(t, filepath.Join(task.Files.Cache, "layer-1"), "labels")
			require.NoError(t, task.prepare())
			for _, name := range []string{"p_aux", "t_aux"} {
				write(t, filepath.Join(task.Work().Cache, name), name)
			}
			write(t, task.Work().Sealed, "replica")
			disarm := fault.Arm(point, func() error {
				if passed++; passed == k {
					return fault.ErrInjected
				}
				return nil
			})
			err := Adopt(task)
			disarm()
			if passed < k {
				require.NoError(t, err)
				require.Greater(t, k, 1, "%s is never passed", point)
				break
			}
			require.ErrorIs(t, err, fault.ErrInjected)
			require.NoError(t, Adopt(task))
			require.Equal(t, "replica", read(t, task.Files.Sealed))
			for _, name := range []string{"p_aux", "t_aux"} {
				require.Equal(t, name, read(t, filepath.Join(task.Files.Cache, name)))
			}
			require.Equal(t, "labels", read(t, filepath.Join(task.Files.Cache, "layer-1")))
			require.NoDirExists(t, filepath.Dir(task.Work().Cache))
		}
	}
}

// TestWithoutHardLinks works through symbolic links, which are not taken over.
func TestWithoutHardLinks(t *testing.T) {
	dir := t.TempDir()
	task := pc1(dir, 1)
	write(t, task.Files.Unsealed, "data")
	require.NoError(t, os.MkdirAll(task.Work().Cache, 0o755))
	require.NoError(t, os.Symlink(task.Files.Unsealed, task.Work().Unsealed))
	require.Equal(t, "data", read(t, task.Work().Unsealed))
	require.NoError(t, Adopt(task))
	require.Equal(t, "data", read(t, task.Files.Unsealed))
}

func TestPathOfATask(t *testing.T) {
	task := pc1("/p", 1)
	require.Equal(t, "/p", task.Path())
	task.Kind = sector.TaskCommit2
	require.Empty(t, task.Path())
	require.NoError(t, Adopt(task))
	require.Empty(t, Task{Kind: sector.TaskPreCommit1}.Path())
}

func TestHere(t *testing.T) {
	a, b := Here("p-", ""), Here("", "name")
	require.NotEqual(t, a.ID, b.ID)
	require.Equal(t, a.Machine, b.Machine)
	require.NotEmpty(t, a.Hostname)
	require.Equal(t, "name", b.Hostname)
	require.Positive(t, a.CPUs)
	require.Positive(t, a.Memory)
}

func TestSweepWork(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, SweepWork(dir, nil), "nobody worked here yet")
	for _, name := range []string{"s-t01000-7.PC1-2.1", "s-t01000-7.PC1-2.3", "s-t01000-8.AP-1.1", "of somebody else", "s-t01000-8"} {
		write(t, filepath.Join(dir, WorkFolder, name, "x"), "")
	}
	require.NoError(t, SweepWork(dir, func(id string) bool { return id == "t01000-7-PC1-2" }))
	left, err := os.ReadDir(filepath.Join(dir, WorkFolder))
	require.NoError(t, err)
	var names []string
	for _, e := range left {
		names = append(names, e.Name())
	}
	require.Equal(t, []string{"of somebody else", "s-t01000-7.PC1-2.1", "s-t01000-7.PC1-2.3", "s-t01000-8"}, names)
}

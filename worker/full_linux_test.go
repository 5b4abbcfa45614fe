package worker

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/proofs/seal"
	"github.com/filecoin-venus/venus/sealer/sector"
)

// inNamespace tells the test that it may mount file systems.
const inNamespace = "VENUS_WORKER_TEST_MOUNTS"

// TestRealFullDisk seals on a file system that grows by a page at a time: whichever write runs out of room, the task says
// so, what was made before is whole, and with room the sealing goes on from there to the same replica.
func TestRealFullDisk(t *testing.T) {
	if os.Getenv(inNamespace) == "" {
		cmd := exec.Command(os.Args[0], "-test.run", "^TestRealFullDisk$", "-test.v")
		cmd.Env = append(os.Environ(), inNamespace+"=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		}
		out, err := cmd.CombinedOutput()
		if len(out) == 0 && err != nil {
			t.Skipf("this machine gives no name spaces: %v", err)
		}
		require.NoError(t, err, "%s", out)
		require.Contains(t, string(out), "PASS")
		t.Log(string(out))
		return
	}
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=4k"); err != nil {
		t.Skipf("this machine mounts nothing: %v", err)
	}
	defer func() { require.NoError(t, syscall.Unmount(dir, syscall.MNT_DETACH)) }()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "others"), make([]byte, 4<<10), 0o600))
	p := SealProver{Sealer: seal.New(seal.Config{})}
	defer func() { require.NoError(t, p.Sealer.Close()) }()
	id := abi.SectorID{Miner: 1000, Number: 7}
	files := Files{Unsealed: filepath.Join(dir, "unsealed", "s-t01000-7"), Sealed: filepath.Join(dir, "sealed", "s-t01000-7"), Cache: filepath.Join(dir, "cache", "s-t01000-7")}
	x := Task{ID: "x", Sector: id, SealProof: abi.RegisteredSealProof_StackedDrg2KiBV1_1, Files: files, Ticket: make([]byte, 32), Fence: 1}
	refused := map[sector.TaskKind]int{}
	var commR string
	size := 4 << 10
	for _, kind := range []sector.TaskKind{sector.TaskAddPiece, sector.TaskPreCommit1, sector.TaskPreCommit2} {
		x.Kind = kind
		for ; ; size += 4 << 10 {
			x.Attempt++
			require.NoError(t, syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT, "size="+kib(size)))
			res, err := p.Run(t.Context(), x)
			if err == nil {
				require.NoError(t, Adopt(x))
				if kind == sector.TaskPreCommit2 {
					commR = res.CommR.String()
				}
				x.Pieces, x.Input = append(x.Pieces, res.Pieces...), res.Output
				break
			}
			require.True(t, NoRoom(err), "%s with %s: %v", kind, kib(size), err)
			refused[kind]++
			require.NoError(t, RemoveWork(dir, "s-t01000-7")) // as the sealer's sweep does
			require.Less(t, size, 1<<20)
		}
	}
	require.Positive(t, refused[sector.TaskPreCommit1])
	require.Positive(t, refused[sector.TaskPreCommit2])
	roomy := Files{Unsealed: filepath.Join(t.TempDir(), "u"), Sealed: filepath.Join(t.TempDir(), "s"), Cache: t.TempDir()}
	p1, err := p.Sealer.AddPiece(t.Context(), seal.Sector{ID: id, Proof: x.SealProof}, roomy.Key(), nil, 2032, nil)
	require.NoError(t, err)
	out, err := p.Sealer.PreCommit1(t.Context(), seal.Sector{ID: id, Proof: x.SealProof}, roomy.Key(), x.Ticket, []abi.PieceInfo{p1})
	require.NoError(t, err)
	want, err := p.Sealer.PreCommit2(t.Context(), seal.Sector{ID: id, Proof: x.SealProof}, roomy.Key(), out)
	require.NoError(t, err)
	require.Equal(t, want.Sealed.String(), commR)
	t.Logf("no room %v times, whole with %s", refused, kib(size))
}

func kib(n int) string { return fmt.Sprintf("%dk", n>>10) }

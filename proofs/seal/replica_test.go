package seal

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/stretchr/testify/require"
)

// TestCheckReplicaFindsEveryBit damages each byte of a sector at rest in turn: the deep check sees all of them, whatever a
// proof would have opened.
func TestCheckReplicaFindsEveryBit(t *testing.T) {
	s := New(Config{})
	l := sealed(t, s, t.TempDir(), 4, 5, false)
	require.NoError(t, s.CheckReplica(ctx, l.ref()))
	sh := shapeOf(t, l.Proof)
	files := append([]string{l.paths.Sealed, l.paths.cache(pAuxName)}, l.paths.octreeFiles("tree-r-last", sh.Tree)...)
	for _, file := range files {
		good := read(t, file)
		for at := range good {
			if file == l.paths.Sealed && at%61 != 0 {
				continue // every byte would take minutes
			}
			bad := append([]byte(nil), good...)
			bad[at] ^= 1 << (at % 8)
			require.NoError(t, os.WriteFile(file, bad, 0o644))
			require.ErrorIs(t, s.CheckReplica(ctx, l.ref()), ErrFile, "byte %d of %s", at, file)
		}
		require.NoError(t, os.WriteFile(file, good[:len(good)-1], 0o644))
		require.ErrorIs(t, s.CheckReplica(ctx, l.ref()), ErrFile, file)
		require.NoError(t, os.Remove(file))
		require.ErrorIs(t, s.CheckReplica(ctx, l.ref()), os.ErrNotExist, file)
		require.NoError(t, os.WriteFile(file, good, 0o644))
	}
	require.NoError(t, s.CheckReplica(ctx, l.ref()))
	ended, cancel := context.WithCancel(ctx)
	cancel()
	require.Error(t, s.CheckReplica(ended, l.ref()))
}

// TestOpen reads sectors at rest through the given door, and only those.
func TestOpen(t *testing.T) {
	plain := New(Config{})
	l := sealed(t, plain, t.TempDir(), 4, 5, false)
	gone := errors.New("the disk is gone")
	s := New(Config{Prover: &checkingProver{}, Open: func(path string) (File, error) {
		path, ok := strings.CutPrefix(path, "elsewhere:")
		if !ok {
			return nil, gone
		}
		return openDisk(path)
	}})
	ref := l.ref()
	_, faulty, err := s.WindowPoSt(ctx, 1000, []SectorRef{ref}, make([]byte, 32))
	require.ErrorIs(t, err, ErrNothingProvable)
	require.Equal(t, []abi.SectorID{ref.ID}, faulty)
	ref.Paths = Paths{Sealed: "elsewhere:" + ref.Paths.Sealed, Cache: "elsewhere:" + ref.Paths.Cache}
	_, faulty, err = s.WindowPoSt(ctx, 1000, []SectorRef{ref}, make([]byte, 32))
	require.NoError(t, err)
	require.Empty(t, faulty)
	_, err = s.WinningPoSt(ctx, 1000, []SectorRef{ref}, make([]byte, 32))
	require.NoError(t, err)
	require.NoError(t, s.CheckReplica(ctx, ref))
}

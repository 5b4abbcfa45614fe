package service

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/proof"
	"github.com/stretchr/testify/require"

	sealerapi "github.com/filecoin-venus/venus/api/sealer"
	"github.com/filecoin-venus/venus/cli/render"
	clisealer "github.com/filecoin-venus/venus/cli/sealer"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/internal/drill"
	"github.com/filecoin-venus/venus/sealer/sealertest"
	"github.com/filecoin-venus/venus/sealer/sector"
)

// TestStorageGuide executes every command of docs/guide/storage.md in its order,
// on a running sealer with real sectors and a real S3 server, and looks at the
// outcome where the page promises one.
func TestStorageGuide(t *testing.T) {
	commands, _ := drill.Commands(t, "../../docs/guide/storage.md")
	s, _, dir := daemonUp(t)
	mnt := t.TempDir()
	srv, err := sealertest.NewS3()
	require.NoError(t, err)
	t.Cleanup(srv.Close)
	keys := filepath.Join(mnt, "s3-keys")
	require.NoError(t, sealertest.WriteKeys(keys, sealertest.S3KeyID, sealertest.S3Secret))
	here := strings.NewReplacer("/mnt/", mnt+"/", "https://s3.example.com", srv.URL, "/etc/venus/s3-keys", keys)

	lies := func(n abi.SectorNumber) string {
		out, code := guideRun(t, dir, "storage", "find", "7")
		require.Zero(t, code, out)
		return out
	}
	// What happens between the lines of the page, before (and after) a command.
	before := map[string]func(){
		"storage find 7": func() { // the disk has sectors by now
			for n := range abi.SectorNumber(2) {
				commR := sealHere(t, filepath.Join(mnt, "disk1"), 7+n)
				adopt(t, s, 7+n, sector.Proving, &commR)
			}
			require.NoError(t, os.WriteFile(filepath.Join(mnt, "disk1", "sealed", "lost+found"), nil, 0o644))
			require.NoError(t, s.StorageDetach(t.Context(), filepath.Join(mnt, "disk1")))
			_, code := guideRun(t, dir, "storage", "attach", filepath.Join(mnt, "disk1"))
			require.Zero(t, code)
		},
		"storage verify --only-bad": func() {
			require.NoError(t, os.Rename(filepath.Join(mnt, "disk2"), filepath.Join(mnt, "disk2.off")))
			s.store.Look()
		},
		"storage verify --deep 7": func() {
			require.NoError(t, os.Rename(filepath.Join(mnt, "disk2.off"), filepath.Join(mnt, "disk2")))
			s.store.Look()
		},
		"storage attach /mnt/disk2": func() { // its sector 7 is made anew: see the page
			for _, kind := range []string{"sealed", "cache", "unsealed"} {
				require.NoError(t, os.RemoveAll(filepath.Join(mnt, "disk2", kind, "s-t01000-7")))
			}
		},
		"storage gc": func() {
			require.NoError(t, os.MkdirAll(filepath.Join(mnt, "disk1", "work", "s-t01000-8.PC1-0.1"), 0o755))
		},
	}
	fails := map[string]bool{"storage verify --only-bad": true} // that is what it tells
	after := map[string]func(out string){
		"storage move --to /mnt/disk2 7": func(string) { require.Contains(t, lies(7), filepath.Join(mnt, "disk2")) },
		"storage move --to s3://sectors/farm 7": func(string) {
			require.Contains(t, lies(7), "s3://sectors/farm")
			r, err := s.pipeline.Get(7)
			require.NoError(t, err)
			proofs, err := s.ComputeProof(t.Context(), []proof.ExtendedSectorInfo{{SealProof: r.SealProof, SectorNumber: 7, SealedCID: *r.CommR}}, make([]byte, 32))
			require.NoError(t, err, "it is proven from the bucket")
			require.Len(t, proofs[0].ProofBytes, 192)
			v, err := s.StorageVerify(t.Context(), 7, true)
			require.NoError(t, err)
			require.Empty(t, v.Why)
		},
		"storage move --from s3://sectors/farm --to /mnt/disk2": func(string) {
			require.Contains(t, lies(7), filepath.Join(mnt, "disk2"))
			left, err := srv.Objects()
			require.NoError(t, err)
			require.Len(t, left, 1, "only the path's settings")
		},
		"storage verify 7":          func(out string) { require.Contains(t, out, "good") },
		"storage verify --only-bad": func(out string) { require.Contains(t, out, "away"); require.NotContains(t, out, "good") },
		"storage verify --deep 7":   func(out string) { require.Contains(t, out, "good") },
		"sectors redo --really-do-it 7": func(string) {
			require.Eventually(t, func() bool {
				r, err := s.pipeline.Get(7)
				require.NoError(t, err)
				return r.State == sector.Proving && !r.Redo
			}, time.Minute, 50*time.Millisecond)
			v, err := s.StorageVerify(t.Context(), 7, true)
			require.NoError(t, err)
			require.Empty(t, v.Why, "the files are the same again, on another disk")
		},
		"storage gc": func(out string) {
			require.Contains(t, out, "s-t01000-8.PC1-0.1")
			require.DirExists(t, filepath.Join(mnt, "disk1", "work", "s-t01000-8.PC1-0.1"))
		},
		"storage gc --really": func(string) {
			require.NoDirExists(t, filepath.Join(mnt, "disk1", "work", "s-t01000-8.PC1-0.1"))
			require.FileExists(t, filepath.Join(mnt, "disk1", "sealed", "s-t01000-8"))
		},
		"storage list --stray": func(out string) { require.Contains(t, out, "lost+found") },
	}
	ran := 0
	for _, line := range commands {
		command, ok := strings.CutPrefix(line, "venus-sealer ")
		require.True(t, ok, line)
		if f := before[command]; f != nil {
			f()
			delete(before, command)
		}
		out, code := guideRun(t, dir, strings.Fields(here.Replace(command))...)
		require.Equal(t, fails[command], code != 0, "%s\n%s", command, out)
		if f := after[command]; f != nil {
			f(out)
			delete(after, command)
		}
		ran++
	}
	require.Equal(t, 18, ran)
	require.Empty(t, before, "the page lost commands that this test knows")
	require.Empty(t, after, "the page lost commands that this test knows")
}

// guideRun runs a command line of venus-sealer and returns all that it said.
func guideRun(t *testing.T, dir string, args ...string) (string, int) {
	t.Helper()
	var out bytes.Buffer
	app := clisealer.App(clisealer.Deps{Network: func(string) {}, Restore: func(ctx context.Context, dir, file string, check bool) (*sealerapi.BackupReport, error) {
		return Restore(ctx, Options{Dir: dir, Clock: clock.Real()}, file, check)
	}})
	code := render.Run(context.Background(), app, append([]string{"venus-sealer", "--data", dir}, args...), &out, &out)
	return out.String(), code
}

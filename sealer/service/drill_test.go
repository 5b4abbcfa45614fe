package service

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/proof"
	"github.com/ipfs/go-cid"
	"github.com/stretchr/testify/require"

	sealerapi "github.com/filecoin-venus/venus/api/sealer"
	"github.com/filecoin-venus/venus/internal/drill"
	"github.com/filecoin-venus/venus/sealer/sealertest"
	"github.com/filecoin-venus/venus/sealer/sector"
)

// stocked starts a sealer with three real sectors that the chain knows: 7 and 8
// on disk2, 9 on disk1, in a folder that stands for /mnt; one of the disks may seal.
func stocked(t *testing.T, seals string) (s *Service, chain *sealertest.Chain, dir, mnt string) {
	s, chain, dir = daemonUp(t)
	mnt = t.TempDir()
	commR := map[abi.SectorNumber]cid.Cid{}
	for n, disk := range map[abi.SectorNumber]string{7: "disk2", 8: "disk2", 9: "disk1"} {
		commR[n] = sealHere(t, filepath.Join(mnt, disk), n)
		chain.AddSealed(n, 3, 0, commR[n])
	}
	chain.Tick(time.Now()) // what the sealer knows of the head before says nothing of these sectors
	require.Eventually(t, func() bool { return s.heads.Latest().Epoch == chain.Height() }, time.Minute, 10*time.Millisecond)
	for _, disk := range []string{"disk1", "disk2"} {
		_, err := s.StorageAttach(t.Context(), sealerapi.StorageSpec{Path: filepath.Join(mnt, disk), Init: true, CanStore: true, CanSeal: disk == seals})
		require.NoError(t, err)
	}
	for n, c := range commR {
		adopt(t, s, n, sector.Proving, &c)
	}
	return s, chain, dir, mnt
}

// TestDrillDisk loses a disk as docs/guide/drill-disk.md tells it: once for a while, then for good.
func TestDrillDisk(t *testing.T) {
	s, _, dir, mnt := stocked(t, "disk2")
	disk2 := filepath.Join(mnt, "disk2")
	away := func(yes bool) {
		from, to := disk2, disk2+".off"
		if !yes {
			from, to = to, from
		}
		require.NoError(t, os.Rename(from, to))
		s.store.Look()
	}
	proven := func(n abi.SectorNumber) func(string) {
		return func(string) {
			require.Eventually(t, func() bool {
				r, err := s.pipeline.Get(n)
				require.NoError(t, err)
				return r.State == sector.Proving && !r.Redo
			}, time.Minute, 50*time.Millisecond)
		}
	}
	drill.Run(t, drill.Drill{
		Page: "../../docs/guide/drill-disk.md", Fill: strings.NewReplacer("/mnt/", mnt+"/"),
		Programs: map[string]drill.Program{"venus-sealer": func(args ...string) (string, int) { return guideRun(t, dir, args...) }},
		Steps: []drill.Step{
			{Type: "venus-sealer storage list", Before: func() { away(true) }, After: says(t, "AWAY")},
			{Type: "venus-sealer storage verify --only-bad", Fails: true, After: func(out string) {
				require.Regexp(t, `(?m)^7 `, out)
				require.Regexp(t, `(?m)^8 `, out)
				require.NotRegexp(t, `(?m)^9 `, out, "it is on another disk")
				require.NoDirExists(t, disk2, "nothing is written below the mount point")
			}},
			{Type: "venus-sealer storage find 7"},
			{Type: "venus-sealer storage verify 7 8", Before: func() { away(false) }},
			{Type: "venus-sealer storage detach --force /mnt/disk2", Before: func() {
				away(true)
				out, code := guideRun(t, dir, "storage", "detach", disk2)
				require.NotZero(t, code)
				require.Contains(t, out, "2 sectors have files in "+disk2+" and nowhere else (7-8)")
			}},
			{Type: "venus-sealer storage attach --init --seal --store /mnt/disk3"},
			{Type: "venus-sealer sectors redo --really-do-it 7", After: proven(7)},
			{Type: "venus-sealer sectors redo --really-do-it 8", After: proven(8)},
			{Type: "venus-sealer sectors why 7", After: says(t, "Proving")},
			{Type: "venus-sealer sectors list --columns ID,State", After: func(out string) { require.Equal(t, 3, strings.Count(out, "Proving"), out) }},
			{Type: "venus-sealer storage find 7", After: says(t, filepath.Join(mnt, "disk3"))},
			{Type: "venus-sealer storage verify --deep 7 8", After: says(t, "good")},
		},
	})
	require.NoDirExists(t, disk2)
	require.FileExists(t, filepath.Join(disk2+".off", "sealed", "s-t01000-7"), "the old disk is left as it was")
}

func says(t *testing.T, what string) func(string) {
	return func(out string) { require.Contains(t, out, what) }
}

// TestDrillRestore loses a sealer's machine as docs/guide/drill-restore.md tells it, with a sector
// that is younger than the backup, and disks that are mounted elsewhere afterwards.
func TestDrillRestore(t *testing.T) {
	s, chain, dir, mnt := stocked(t, "disk1")
	away := t.TempDir()
	fresh, moved := filepath.Join(away, "new"), filepath.Join(away, "moved")
	var r *Service
	run := func(args ...string) (string, int) {
		if args[len(args)-1] != "run" {
			return guideRun(t, dir, args...)
		}
		r = runIn(t, args[1])
		require.Eventually(t, func() bool { return r.heads.Latest().Seq > 0 }, time.Minute, 10*time.Millisecond)
		return "", 0
	}
	drill.Run(t, drill.Drill{
		Page:     "../../docs/guide/drill-restore.md",
		Fill:     strings.NewReplacer("/backups/", away+"/", "/new/dir", fresh, "/mnt/", mnt+"/", "/moved/", moved+"/"),
		Programs: map[string]drill.Program{"venus-sealer": run},
		Steps: []drill.Step{
			{Type: "venus-sealer backup /backups/sealer.backup"},
			{Type: "venus-sealer restore --check /backups/sealer.backup", After: says(t, "Sectors:  3")},
			{Type: "venus-sealer --data /new/dir restore /backups/sealer.backup", Before: func() {
				commR := sealHere(t, filepath.Join(mnt, "disk1"), 12)
				chain.AddSealed(12, 3, 0, commR)
				adopt(t, s, 12, sector.Proving, &commR)
				require.NoError(t, s.Close())
				require.NoError(t, os.RemoveAll(dir))
				require.NoError(t, os.MkdirAll(moved, 0o755))
				require.NoError(t, os.Rename(filepath.Join(mnt, "disk1"), filepath.Join(moved, "disk1")))
			}},
			{Type: "venus-sealer --data /new/dir run"},
			{Type: "venus-sealer --data /new/dir storage detach /mnt/disk1", Before: func() { // its deadline came first
				r.findings(t.Context(), []proof.SectorInfo{{SectorNumber: 9}}, map[abi.SectorNumber]string{9: "its disk is away"}, false)
			}},
			{Type: "venus-sealer --data /new/dir storage attach /moved/disk1"},
			{Type: "venus-sealer --data /new/dir sectors unknown", After: func(out string) {
				require.Regexp(t, `(?m)^ *12 `, out)
				require.NotRegexp(t, `(?m)^ *[789] `, out)
			}},
			{Type: "venus-sealer --data /new/dir sectors unknown --adopt", After: says(t, "1 sectors adopted")},
			{Type: "venus-sealer --data /new/dir storage verify --only-bad"},
			{Type: "venus-sealer --data /new/dir sectors list --columns ID,State", After: func(out string) { require.Equal(t, 4, strings.Count(out, "Proving"), out) }},
			{Type: "venus-sealer --data /new/dir sectors pledge", After: says(t, "1012")},
		},
	})
	v, err := r.StorageVerify(context.Background(), 12, true)
	require.NoError(t, err)
	require.Empty(t, v.Why, "what the backup did not know is whole")
}

package service

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/api"
	sealerapi "github.com/filecoin-venus/venus/api/sealer"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/sealer/sealertest"
	"github.com/filecoin-venus/venus/sealer/sector"
)

// TestSealer_RestoreOldBackup is the operator's drill: a backup, then sectors
// that it does not know, then the machine is lost and the backup is restored
// elsewhere. No number is used twice, and what the chain has is shown.
func TestSealer_RestoreOldBackup(t *testing.T) { //nolint:revive // the ledger's spelling
	s, chain, dir := daemonUp(t)
	ctx := t.Context()
	_, err := s.StorageAttach(ctx, sealerapi.StorageSpec{Path: filepath.Join(t.TempDir(), "files"), Init: true, CanSeal: true, CanStore: true})
	require.NoError(t, err)
	begin := func(n abi.SectorNumber, st sector.State) {
		rec := sector.New(s.actorID, n, abi.RegisteredSealProof_StackedDrg2KiBV1_1, time.Now().UTC())
		c := sealertest.Cid("sealed")
		rec.State, rec.CommR = st, &c
		require.NoError(t, s.pipeline.Adopt(ctx, rec))
	}
	chain.AddSector(1, 3, 0)
	begin(1, sector.Proving)
	begin(2, sector.Expired)
	file := filepath.Join(t.TempDir(), "sealer.backup")
	_, err = s.CreateBackup(ctx, "relative")
	require.Equal(t, api.CodeInvalid, code(err))
	rep, err := s.CreateBackup(ctx, file)
	require.NoError(t, err)
	require.Equal(t, 2, rep.Sectors)
	require.Contains(t, rep.Files, "config.toml")
	st, err := os.Stat(file)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), st.Mode().Perm(), "it holds tokens")
	_, err = s.CreateBackup(ctx, file)
	require.ErrorContains(t, err, "not overwritten")

	// Life goes on, unseen by the backup.
	for n := abi.SectorNumber(3); n <= 6; n++ {
		chain.AddSector(n, 3, 0)
	}
	begin(3, sector.Proving)

	_, err = Restore(ctx, Options{Dir: dir, Clock: clock.Real()}, file, false)
	require.Equal(t, api.CodePrecondition, code(err), "a sealer runs there")
	require.NoError(t, s.Close())
	_, err = Restore(ctx, Options{Dir: dir, Clock: clock.Real()}, file, false)
	require.Equal(t, api.CodeConflict, code(err), "it holds sectors")
	checked, err := Restore(ctx, Options{Clock: clock.Real()}, file, true)
	require.NoError(t, err)
	require.Equal(t, rep, checked)

	elsewhere := filepath.Join(t.TempDir(), "new-host")
	_, err = Restore(ctx, Options{Dir: elsewhere, Clock: clock.Real()}, file, false)
	require.NoError(t, err)
	r := runIn(t, elsewhere)
	require.Eventually(t, func() bool { return r.heads.Latest().Seq > 0 }, time.Minute, 10*time.Millisecond)
	list, err := r.SectorsList(ctx)
	require.NoError(t, err)
	require.Equal(t, []abi.SectorNumber{1, 2}, list)
	unknown, err := r.SectorsUnknown(ctx)
	require.NoError(t, err)
	require.Len(t, unknown, 4)
	require.EqualValues(t, 3, unknown[0].SectorID)
	require.EqualValues(t, 6, unknown[3].SectorID)
	id, err := r.PledgeSector(ctx)
	require.NoError(t, err)
	require.EqualValues(t, 6+1000, id.Number, "far above whatever was used")
	adopted, err := r.SectorsAdopt(ctx)
	require.NoError(t, err)
	require.Equal(t, []abi.SectorNumber{3, 4, 5, 6}, adopted)
	unknown, err = r.SectorsUnknown(ctx)
	require.NoError(t, err)
	require.Empty(t, unknown)
	status, err := r.SectorsStatus(ctx, 5, true)
	require.NoError(t, err)
	require.Contains(t, []string{"Proving", "Faulty"}, status.State, "its files are not here, which the first look finds out")

	// Once settled, a restart counts on from there.
	require.NoError(t, r.Close())
	r = runIn(t, elsewhere)
	id, err = r.PledgeSector(ctx)
	require.NoError(t, err)
	require.EqualValues(t, 6+1001, id.Number)
}

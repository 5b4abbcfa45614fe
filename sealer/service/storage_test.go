package service

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/ipfs/go-cid"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/api"
	sealerapi "github.com/filecoin-venus/venus/api/sealer"
	"github.com/filecoin-venus/venus/proofs/commp"
	"github.com/filecoin-venus/venus/proofs/seal"
	"github.com/filecoin-venus/venus/sealer/sealertest"
	"github.com/filecoin-venus/venus/sealer/sector"
)

// adopt tells a sealer of a sector that is proven already.
func adopt(t *testing.T, s *Service, n abi.SectorNumber, state sector.State, commR *cid.Cid) {
	rec := sector.New(s.actorID, n, abi.RegisteredSealProof_StackedDrg2KiBV1_1, time.Now())
	rec.State, rec.CommR, rec.Ticket.Value = state, commR, ticketOf(n)
	if commR != nil {
		commD, err := commp.UnsealedCID(rec.SealProof, nil)
		require.NoError(t, err)
		rec.CommD = &commD
	}
	require.NoError(t, s.pipeline.Adopt(t.Context(), rec))
}

// TestStorage calls every method of storage on a running sealer, with real sectors.
func TestStorage(t *testing.T) {
	s, _, dir := daemonUp(t)
	token, err := os.ReadFile(filepath.Join(dir, "token"))
	require.NoError(t, err)
	c, ctx := dialSealer(t, s, string(token)), t.Context()
	_, err = c.StorageAttach(ctx, sealerapi.StorageSpec{Path: filepath.Join(dir, "absent")})
	require.Equal(t, api.CodeInvalid, code(err))
	_, err = c.StorageAttach(ctx, sealerapi.StorageSpec{Path: "s3://b/x", S3: &sealerapi.StorageS3{Endpoint: "nowhere"}})
	require.Equal(t, api.CodeInvalid, code(err))
	one, err := c.StorageAttach(ctx, sealerapi.StorageSpec{Path: filepath.Join(dir, "one"), Init: true, CanStore: true})
	require.NoError(t, err)
	commR := sealHere(t, filepath.Join(dir, "one"), 7)
	sealHere(t, filepath.Join(dir, "one"), 8)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "one", "sealed", "mine.txt"), nil, 0o644))
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "one", "work", "s-t01000-7.PC1-0.1"), 0o755))
	require.NoError(t, c.StorageDetach(ctx, one.ID))
	require.Equal(t, api.CodeNotFound, code(c.StorageDetach(ctx, one.ID)))
	_, err = c.StorageAttach(ctx, sealerapi.StorageSpec{Path: filepath.Join(dir, "one")})
	require.NoError(t, err, "what lies there is indexed")
	two, err := c.StorageAttach(ctx, sealerapi.StorageSpec{Path: filepath.Join(dir, "two"), Init: true, CanStore: true, MaxStorage: 1 << 30})
	require.NoError(t, err)
	adopt(t, s, 7, sector.Proving, &commR)
	adopt(t, s, 9, sector.PreCommit1, nil)

	paths, err := c.StoragePaths(ctx)
	require.NoError(t, err)
	require.Len(t, paths, 2)
	require.Equal(t, []int{2, 2, 2}, []int{paths[0].Sealed, paths[0].Caches, paths[0].Unsealed})
	require.Equal(t, []string{filepath.Join(dir, "one", "sealed", "mine.txt")}, paths[0].Stray)
	require.EqualValues(t, 1<<30, paths[1].Stat.Capacity)

	v, err := c.StorageVerify(ctx, 7, true)
	require.NoError(t, err)
	require.Empty(t, v.Why)
	require.Empty(t, v.Unsealed)
	copied := filepath.Join(dir, "one", "unsealed", "s-t01000-7")
	data, err := os.ReadFile(copied)
	require.NoError(t, err)
	data[99] ^= 1
	require.NoError(t, os.WriteFile(copied, data, 0o644))
	v, err = c.StorageVerify(ctx, 7, true)
	require.NoError(t, err)
	require.Empty(t, v.Why, "no proof reads it")
	require.Contains(t, v.Unsealed, "the sector is not faulty")
	require.NoError(t, os.Truncate(copied, 100))
	v, err = c.StorageVerify(ctx, 7, false)
	require.NoError(t, err)
	require.Empty(t, v.Why)
	require.Contains(t, v.Unsealed, "has 100 bytes, want 2048")
	data[99] ^= 1
	require.NoError(t, os.WriteFile(copied, data, 0o644))
	r, err := s.pipeline.Get(7)
	require.NoError(t, err)
	require.Equal(t, sector.Proving, r.State)
	_, err = c.StorageVerify(ctx, 9, false)
	require.Equal(t, api.CodePrecondition, code(err))
	_, err = c.StorageVerify(ctx, 77, false)
	require.Equal(t, api.CodeNotFound, code(err))

	require.Equal(t, api.CodePrecondition, code(c.StorageMove(ctx, 9, two.ID)), "it is being sealed")
	require.Equal(t, api.CodeNotFound, code(c.StorageMove(ctx, 7, "nowhere")))
	require.NoError(t, c.StorageMove(ctx, 7, two.ID))
	require.Eventually(t, func() bool {
		list, err := c.StorageTransfers(ctx)
		require.NoError(t, err)
		return len(list) == 1 && !list[0].Ended.IsZero() && list[0].Err == "" && list[0].Done == list[0].Total
	}, 10*time.Second, 10*time.Millisecond)
	found, err := c.StorageFindSector(ctx, abi.SectorID{Miner: sealertest.MinerID, Number: 7}, sealerapi.FileSealed)
	require.NoError(t, err)
	require.Len(t, found, 1)
	require.Equal(t, two.ID, found[0].ID)
	v, err = c.StorageVerify(ctx, 7, false)
	require.NoError(t, err)
	require.Empty(t, v.Why)

	// A bit that no proof happens to ask for.
	sealed := seal.PathsIn(filepath.Join(dir, "two"), abi.SectorID{Miner: sealertest.MinerID, Number: 7}).Sealed
	b, err := os.ReadFile(sealed)
	require.NoError(t, err)
	b[40] ^= 1
	require.NoError(t, os.WriteFile(sealed, b, 0o644))
	v, err = c.StorageVerify(ctx, 7, true)
	require.NoError(t, err)
	require.NotEmpty(t, v.Why)

	waste, err := c.StorageGarbage(ctx)
	require.NoError(t, err)
	require.Len(t, waste, 1, "sector 8 is not known: nobody may call it garbage")
	require.Equal(t, filepath.Join(dir, "one", "work", "s-t01000-7.PC1-0.1"), waste[0].Name)
	done, err := c.StorageCollect(ctx, []string{filepath.Join(dir, "one", "sealed", "mine.txt"), filepath.Join(dir, "one", "sealed", "s-t01000-8")})
	require.NoError(t, err)
	require.Empty(t, done)
	done, err = c.StorageCollect(ctx, []string{waste[0].Name})
	require.NoError(t, err)
	require.Equal(t, waste, done)
	require.NoDirExists(t, waste[0].Name)
	require.FileExists(t, filepath.Join(dir, "one", "sealed", "mine.txt"))
	require.FileExists(t, filepath.Join(dir, "one", "sealed", "s-t01000-8"))
}

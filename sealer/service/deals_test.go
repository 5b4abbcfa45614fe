package service

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/proof"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/api"
	sealerapi "github.com/filecoin-venus/venus/api/sealer"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/proofs/commp"
	"github.com/filecoin-venus/venus/proofs/seal"
	"github.com/filecoin-venus/venus/proofs/verify"
	"github.com/filecoin-venus/venus/sealer/config"
	"github.com/filecoin-venus/venus/sealer/sealertest"
)

// TestDealIntoSector takes the data of a deal into a real sector with real proofs, over the API: refusals first, then the
// whole way. Before, meanwhile and after, the sector is proven from the replica that the chain has.
func TestDealIntoSector(t *testing.T) {
	s, chain, dir := daemonUp(t)
	chain.Change(func() { chain.AnyProof, chain.FirstDeadline = true, 30 })
	ctx, files := t.Context(), filepath.Join(dir, "files")
	_, err := s.StorageAttach(ctx, sealerapi.StorageSpec{Path: files, Init: true, CanSeal: true, CanStore: true})
	require.NoError(t, err)
	id, err := s.PledgeSector(ctx)
	require.NoError(t, err)
	until := func(state string) {
		t.Helper()
		for range 3000 {
			info, err := s.SectorsStatus(ctx, id.Number, false)
			require.NoError(t, err)
			if info.State == state {
				return
			}
			chain.Tick(time.Now())
			require.NoError(t, clock.Real().Sleep(ctx, 20*time.Millisecond))
		}
		why, err := s.SectorWhy(ctx, id.Number)
		t.Fatalf("sector is not in %s: %+v %v", state, why, err)
	}
	refused := func(err error, say string) {
		t.Helper()
		require.ErrorContains(t, err, say)
		require.Equal(t, api.CodePrecondition, api.Explain(err).Code)
	}
	refused(s.SectorMarkForUpgrade(ctx, id.Number), "only a sector that is proven")
	until("Proving")
	refused(s.SectorMarkForUpgrade(ctx, id.Number), "does not count sector 1 as active")
	chain.Fault(id.Number, false)
	chain.Tick(time.Now())
	refused(s.SectorAbortUpgrade(ctx, id.Number), "takes no data in")
	refused(s.SectorStartSealing(ctx, id.Number), "waits for no deals")

	data := bytes.Repeat([]byte("some data "), 90)
	piece, err := commp.Of(bytes.NewReader(data))
	require.NoError(t, err)
	chain.AddDeal(5, piece, chain.Height()+5000, chain.Height()+10000)
	file := filepath.Join(t.TempDir(), "data")
	require.NoError(t, os.WriteFile(file, data, 0o600))
	require.NoError(t, s.DealsImportData(ctx, 5, file))
	deal := func(state string) sealerapi.DealInfo {
		t.Helper()
		var list []sealerapi.DealInfo
		require.Eventually(t, func() bool {
			list, err = s.DealsList(ctx)
			require.NoError(t, err)
			return list[0].State == state
		}, 10*time.Second, 20*time.Millisecond)
		return list[0]
	}
	require.Nil(t, deal("waiting").Sector)

	key := chain.Info(id.Number).SealedCID
	wins := func(what string) {
		t.Helper()
		info, r := chain.Info(id.Number), make(abi.PoStRandomness, 32)
		proofs, err := s.ComputeProof(ctx, []proof.ExtendedSectorInfo{{SealProof: info.SealProof, SectorNumber: id.Number, SealedCID: info.SealedCID}}, r)
		require.NoError(t, err, what)
		ok, err := verify.New(s.network, "").VerifyWinningPoSt(ctx, proof.WinningPoStVerifyInfo{
			Randomness: r, Proofs: proofs, Prover: sealertest.MinerID,
			ChallengedSectors: []proof.SectorInfo{{SealProof: info.SealProof, SectorNumber: id.Number, SealedCID: info.SealedCID}},
		})
		require.NoError(t, err, what)
		require.True(t, ok, what)
		bad, err := s.CheckProvable(ctx, nil, true)
		require.NoError(t, err, what)
		require.Empty(t, bad, what)
	}
	require.NoError(t, s.SectorMarkForUpgrade(ctx, id.Number))
	refused(s.SectorMarkForUpgrade(ctx, id.Number), "offered already")
	chain.Tick(time.Now())
	require.EqualValues(t, id.Number, *deal("sealing").Sector)
	wins("while it is offered")
	require.NoError(t, s.SectorStartSealing(ctx, id.Number))
	chain.Change(func() { chain.Messager().Hold = true })
	until("ReplicaUpdateWait")
	wins("while the update is under way")
	require.Equal(t, key, chain.Info(id.Number).SealedCID)
	refused(s.SectorAbortUpgrade(ctx, id.Number), "may land")
	chain.Change(func() { chain.Messager().Hold = false })
	until("UpdateActivating")
	require.NotEqual(t, key, chain.Info(id.Number).SealedCID)
	require.Equal(t, []abi.DealID{5}, chain.Info(id.Number).DealIDs)
	deal("active")
	wins("while both replicas are there")
	refused(s.SectorAbortUpgrade(ctx, id.Number), "no way back")
	until("Proving")
	old := seal.PathsIn(files, id)
	require.NoFileExists(t, old.Sealed)
	require.NoDirExists(t, old.Cache)
	wins("when the old replica is gone")
	deal("active")
	verdict, err := s.StorageVerify(ctx, id.Number, true)
	require.NoError(t, err)
	require.Empty(t, verdict.Why)
	require.Empty(t, verdict.Unsealed, "the unsealed copy is whole and the data's")
	f, err := s.sealer.ReadPiece(seal.UpdatePathsIn(files, id), 0, piece.Size.Unpadded())
	require.NoError(t, err)
	defer f.Close()
	got, err := io.ReadAll(f)
	require.NoError(t, err)
	require.Equal(t, data, got[:len(data)])
	refused(s.SectorMarkForUpgrade(ctx, id.Number), "takes some in once")
	refused(s.SectorRedo(ctx, id.Number), "has data of deals")
	waste, err := s.StorageGarbage(ctx)
	require.NoError(t, err)
	require.Empty(t, waste)
	info, err := s.SectorsStatus(ctx, id.Number, true)
	require.NoError(t, err)
	require.Equal(t, []abi.DealID{5}, info.Deals)
}

// TestDealIntoNewSector seals a new sector with the data of a deal, with real proofs, of which the one of replication is
// verified against the deal's data here.
func TestDealIntoNewSector(t *testing.T) {
	s, chain, dir := daemonUp(t)
	require.NoError(t, s.Close())
	cfg, err := config.Load(filepath.Join(dir, config.FileName))
	require.NoError(t, err)
	cfg.Sealing.MakeNewSectorForDeals = true
	require.NoError(t, cfg.Save(filepath.Join(dir, config.FileName)))
	s = runIn(t, dir)
	chain.Change(func() { chain.AnyProof, chain.FirstDeadline = true, 30 })
	ctx, files := t.Context(), filepath.Join(dir, "files")
	_, err = s.StorageAttach(ctx, sealerapi.StorageSpec{Path: files, Init: true, CanSeal: true, CanStore: true})
	require.NoError(t, err)
	data := bytes.Repeat([]byte("some data "), 90)
	piece, err := commp.Of(bytes.NewReader(data))
	require.NoError(t, err)
	chain.AddDeal(5, piece, chain.Height()+5000, chain.Height()+10000)
	file := filepath.Join(t.TempDir(), "data")
	require.NoError(t, os.WriteFile(file, data, 0o600))
	require.NoError(t, s.DealsImportData(ctx, 5, file))
	sealed := false
	until := func(state string) sealerapi.SectorInfo {
		t.Helper()
		for range 3000 {
			info, err := s.SectorsStatus(ctx, 1, false)
			if err == nil && info.State == state {
				return info
			}
			if err == nil && info.State == "WaitDeals" && !sealed {
				sealed = s.SectorStartSealing(ctx, 1) == nil
			}
			chain.Tick(time.Now())
			require.NoError(t, clock.Real().Sleep(ctx, 20*time.Millisecond))
		}
		why, err := s.SectorWhy(ctx, 1)
		t.Fatalf("sector is not in %s: %+v %v", state, why, err)
		return sealerapi.SectorInfo{}
	}
	info := until("Proving")
	require.Equal(t, []abi.DealID{5}, info.Deals)
	require.Equal(t, []abi.DealID{5}, chain.Info(1).DealIDs)
	commD, err := commp.UnsealedCID(info.SealProof, []abi.PieceInfo{piece})
	require.NoError(t, err)
	require.Equal(t, commD, *info.CommD)
	ok, err := verify.New(s.network, "").VerifySeal(ctx, proof.SealVerifyInfo{
		SealProof: info.SealProof, SectorID: abi.SectorID{Miner: sealertest.MinerID, Number: 1}, Randomness: info.Ticket.Value, InteractiveRandomness: info.Seed.Value,
		Proof: info.Proof, SealedCID: chain.Info(1).SealedCID, UnsealedCID: commD,
	})
	require.NoError(t, err)
	require.True(t, ok)
	bad, err := s.CheckProvable(ctx, nil, true)
	require.NoError(t, err)
	require.Empty(t, bad)
	f, err := s.sealer.ReadPiece(seal.PathsIn(files, abi.SectorID{Miner: sealertest.MinerID, Number: 1}), 0, piece.Size.Unpadded())
	require.NoError(t, err)
	defer f.Close()
	got, err := io.ReadAll(f)
	require.NoError(t, err)
	require.Equal(t, data, got[:len(data)])
	list, err := s.DealsList(ctx)
	require.NoError(t, err)
	require.Equal(t, "active", list[0].State)
}

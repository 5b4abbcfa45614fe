package sealing

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/proof"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/miner"
	"github.com/ipfs/go-cid"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/proofs/commp"
	"github.com/filecoin-venus/venus/proofs/seal"
	"github.com/filecoin-venus/venus/proofs/verify"
	"github.com/filecoin-venus/venus/sealer/sealertest"
)

// TestUpdates takes deals into sectors on workers alone that are killed at it: one message each, proofs that hold, the data
// where it belongs.
func TestUpdates(t *testing.T) {
	const sectors = 2
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	w := newWorld(t, 2<<10, nil, true)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	var around sync.WaitGroup
	defer around.Wait()
	stop, end := context.WithCancel(ctx)
	defer end()
	around.Go(func() { w.live(stop) })
	team := newTeam(w, 2)
	for i := range team.places {
		team.put(i)
	}
	pledged := w.pledge(sectors)
	w.proven(ctx, sectors)
	keys, data, pieces := map[abi.SectorNumber]cid.Cid{}, map[abi.DealID][]byte{}, map[abi.DealID]abi.PieceInfo{}
	for i, n := range pledged {
		keys[n] = w.chain.Info(n).SealedCID
		w.chain.Fault(n, false) // it is active
		id := abi.DealID(i + 1)
		data[id] = bytes.Repeat(fmt.Appendf(nil, "deal %d ", id), 250)
		piece, err := commp.Of(bytes.NewReader(data[id]))
		require.NoError(t, err)
		pieces[id] = piece
		w.chain.AddDeal(id, piece, w.chain.Height()+5000, w.chain.Height()+9000)
		file := filepath.Join(w.dir, fmt.Sprint("client", id))
		require.NoError(t, os.WriteFile(file, data[id], 0o600))
		require.NoError(t, w.api.DealsImportData(ctx, id, file))
	}
	require.True(t, w.until(ctx, func() bool {
		for _, n := range pledged {
			if why, err := w.api.SectorWhy(ctx, n); err != nil || why.State == "Proving" && w.api.SectorMarkForUpgrade(ctx, n) != nil {
				return false // its standing is that of an earlier head
			}
		}
		return true
	}), "sectors are offered")
	around.Go(func() { team.killSome(stop, 3, rand.New(rand.NewPCG(seed, 1))) })
	if !w.until(ctx, func() bool {
		for _, n := range pledged {
			if s, err := w.api.SectorsStatus(ctx, n, false); err != nil || s.State != "Proving" || len(s.Deals) == 0 {
				return false
			}
		}
		return true
	}) {
		w.explain()
		t.Fatal("the sectors were not updated")
	}
	end()
	around.Wait()
	sent := w.chain.Messager().Pushed(builtin.MethodsMiner.ProveReplicaUpdates)
	require.Len(t, sent, sectors)
	s := seal.New(seal.Config{})
	defer s.Close()
	for _, m := range sent {
		var p miner.ProveReplicaUpdatesParams
		require.NoError(t, p.UnmarshalCBOR(bytes.NewReader(m.Params)))
		u := p.Updates[0]
		commD, err := commp.UnsealedCID(abi.RegisteredSealProof_StackedDrg2KiBV1_1, []abi.PieceInfo{pieces[u.Deals[0]]})
		require.NoError(t, err)
		ok, err := verify.New(w.chain.Network, "").VerifyReplicaUpdate(t.Context(), proof.ReplicaUpdateInfo{
			UpdateProofType: u.UpdateProofType, OldSealedSectorCID: keys[u.SectorID], NewSealedSectorCID: u.NewSealedSectorCID, NewUnsealedSectorCID: commD, Proof: u.ReplicaProof,
		})
		require.NoError(t, err)
		require.True(t, ok, "the proof of sector %d does not hold", u.SectorID)
		f, err := s.ReadPiece(seal.UpdatePathsIn(filepath.Join(w.dir, "files"), abi.SectorID{Miner: sealertest.MinerID, Number: u.SectorID}), 0, 2032)
		require.NoError(t, err)
		got, err := io.ReadAll(f)
		require.NoError(t, err)
		require.NoError(t, f.Close())
		require.Equal(t, data[u.Deals[0]], got[:len(data[u.Deals[0]])])
	}
	bad, err := w.api.CheckProvable(t.Context(), nil, true)
	require.NoError(t, err)
	require.Empty(t, bad)
	left, err := filepath.Glob(filepath.Join(w.dir, "files", "sealed", "s-*"))
	require.NoError(t, err)
	require.Empty(t, left, "the old replicas are gone")
	t.Logf("%d workers were killed", team.killed)
}

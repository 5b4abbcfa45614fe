package seal

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/proof"
	"github.com/ipfs/go-cid"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/internal/fault"
	"github.com/filecoin-venus/venus/proofs/commp"
	"github.com/filecoin-venus/venus/proofs/fr32"
)

// renewed is a sector sealed without data that takes data in.
type renewed struct {
	*life
	upd  Paths
	cids UpdateCids
}

// renew seals a sector of zeros and adds data for it: half a sector, the rest stays zeros.
func renew(t testing.TB, s *Sealer, root string, n abi.SectorNumber, typ abi.RegisteredSealProof) *renewed {
	r := &renewed{life: sealed(t, s, root, n, typ, true), upd: UpdatePathsIn(root, abi.SectorID{Miner: 1000, Number: n})}
	require.NoError(t, s.Finalize(ctx, r.paths))
	require.NoError(t, s.ReleaseUnsealed(r.paths))
	size := abi.PaddedPieceSize(shapeOf(t, typ).Size / 2).Unpadded()
	r.data = bytes.Repeat([]byte("new data "), int(size))[:size]
	p, err := s.AddPiece(ctx, r.Sector, r.upd, nil, size, bytes.NewReader(r.data))
	require.NoError(t, err)
	r.pieces = []abi.PieceInfo{p}
	return r
}

func (r *renewed) update(t testing.TB, s *Sealer) {
	var err error
	r.cids, err = s.ReplicaUpdate(ctx, r.Sector, r.paths, r.upd, r.life.cids.Sealed, r.pieces)
	require.NoError(t, err)
}

func (r *renewed) info(t testing.TB, b []byte) proof.ReplicaUpdateInfo {
	typ, err := r.Proof.RegisteredUpdateProof()
	require.NoError(t, err)
	return proof.ReplicaUpdateInfo{
		UpdateProofType: typ, OldSealedSectorCID: r.cids.Key, NewSealedSectorCID: r.cids.Sealed, NewUnsealedSectorCID: r.cids.Unsealed, Proof: b,
	}
}

func (r *renewed) ref() SectorRef {
	return SectorRef{Sector: r.Sector, SealedCID: r.cids.Sealed, Paths: r.upd}
}

// TestUpdateProvenAndVerified goes from new data to a proof that the network's verifier accepts, with every part of its
// statement changed in turn, and on to proofs of spacetime over the new replica.
func TestUpdateProvenAndVerified(t *testing.T) {
	s, v := realSealer(t)
	root := t.TempDir()
	a, b := renew(t, s, root, 1, 5), renew(t, s, root, 2, 5)
	a.update(t, s)
	b.update(t, s)
	require.NotEqual(t, a.cids.Sealed, b.cids.Sealed)
	require.Equal(t, a.cids.Unsealed, b.cids.Unsealed)
	raw, err := s.ProveReplicaUpdate1(ctx, a.Sector, a.paths, a.upd, a.cids)
	require.NoError(t, err)
	made, err := s.ProveReplicaUpdate2(ctx, a.Sector, a.cids, raw)
	require.NoError(t, err)
	require.Len(t, made, 192)
	ok, err := v.VerifyReplicaUpdate(ctx, a.info(t, made))
	require.NoError(t, err)
	require.True(t, ok)
	for name, tamper := range map[string]func(i *proof.ReplicaUpdateInfo){
		"old CommR": func(i *proof.ReplicaUpdateInfo) { i.OldSealedSectorCID = b.cids.Key },
		"new CommR": func(i *proof.ReplicaUpdateInfo) { i.NewSealedSectorCID = b.cids.Sealed },
		"swapped CommR": func(i *proof.ReplicaUpdateInfo) {
			i.OldSealedSectorCID, i.NewSealedSectorCID = i.NewSealedSectorCID, i.OldSealedSectorCID
		},
		"CommD":  func(i *proof.ReplicaUpdateInfo) { i.NewUnsealedSectorCID = commp.CID(fr32.Node{1}) },
		"type":   func(i *proof.ReplicaUpdateInfo) { i.UpdateProofType = abi.RegisteredUpdateProof_StackedDrg8MiBV1 },
		"bit":    func(i *proof.ReplicaUpdateInfo) { i.Proof = flipBit(bytes.Clone(i.Proof)) },
		"length": func(i *proof.ReplicaUpdateInfo) { i.Proof = append(bytes.Clone(i.Proof), made...) },
		"no CID": func(i *proof.ReplicaUpdateInfo) { i.OldSealedSectorCID = cid.Undef },
	} {
		bad := a.info(t, made)
		tamper(&bad)
		ok, err := v.VerifyReplicaUpdate(ctx, bad)
		require.NoError(t, err, name)
		require.False(t, ok, name)
	}
	_, err = s.ProveReplicaUpdate2(ctx, b.Sector, b.cids, raw)
	require.ErrorIs(t, err, ErrInput, "another sector's")

	require.NoError(t, s.Finalize(ctx, a.upd))
	r := abi.PoStRandomness(bytes.Repeat([]byte{0x3f}, 32))
	window, faulty, err := s.WindowPoSt(ctx, 1000, []SectorRef{a.ref(), b.ref()}, r)
	require.NoError(t, err)
	require.Empty(t, faulty)
	public := []proof.SectorInfo{
		{SealProof: a.Proof, SectorNumber: 1, SealedCID: a.cids.Sealed}, {SealProof: b.Proof, SectorNumber: 2, SealedCID: b.cids.Sealed},
	}
	ok, err = v.VerifyWindowPoSt(ctx, proof.WindowPoStVerifyInfo{Randomness: r, Proofs: window, ChallengedSectors: public, Prover: 1000})
	require.NoError(t, err)
	require.True(t, ok)
	public[0].SealedCID = a.cids.Key
	ok, err = v.VerifyWindowPoSt(ctx, proof.WindowPoStVerifyInfo{Randomness: r, Proofs: window, ChallengedSectors: public, Prover: 1000})
	require.NoError(t, err)
	require.False(t, ok)
}

func TestUpdateAndBack(t *testing.T) {
	s := New(Config{Prover: &checkingProver{}})
	r := renew(t, s, t.TempDir(), 1, 0)
	key, tree := read(t, r.paths.Sealed), read(t, r.paths.cache("sc-02-data-tree-r-last.dat"))
	aux := read(t, r.paths.cache(pAuxName))
	r.update(t, s)
	require.Equal(t, key, read(t, r.paths.Sealed), "the key stays as it is")
	data := append(read(t, r.upd.Unsealed), make([]byte, 1024)...)
	require.Equal(t, data, read(t, r.upd.cache(treeDName))[:2048])
	again := *r
	again.update(t, s)
	require.Equal(t, r.cids, again.cids, "repeated")

	require.NoError(t, s.ReleaseUnsealed(r.upd))
	require.NoError(t, s.DecodeUpdate(ctx, r.Sector, r.paths, r.upd, r.cids))
	require.Equal(t, data, read(t, r.upd.Unsealed))

	require.NoError(t, os.RemoveAll(r.paths.Cache))
	require.NoError(t, os.Remove(r.paths.Sealed))
	require.NoError(t, s.RestoreKey(ctx, r.Sector, r.paths, r.upd, r.cids))
	require.Equal(t, key, read(t, r.paths.Sealed))
	require.Equal(t, tree, read(t, r.paths.cache("sc-02-data-tree-r-last.dat")))
	require.Equal(t, aux, read(t, r.paths.cache(pAuxName)))
	_, err := s.ProveReplicaUpdate1(ctx, r.Sector, r.paths, r.upd, r.cids)
	require.NoError(t, err)
}

// TestUpdateInterrupted stops behind each durable step and goes on.
func TestUpdateInterrupted(t *testing.T) {
	s := New(Config{})
	r := renew(t, s, t.TempDir(), 4, 5)
	r.update(t, s)
	want, replica := r.cids, read(t, r.upd.Sealed)
	for _, step := range []string{"tree-d", "update", "tree-r", "p_aux"} {
		require.NoError(t, os.RemoveAll(r.upd.Cache))
		require.NoError(t, os.RemoveAll(r.upd.Sealed))
		disarm := fault.Arm("seal."+step, func() error { return errBoom })
		_, err := s.ReplicaUpdate(ctx, r.Sector, r.paths, r.upd, r.life.cids.Sealed, r.pieces)
		require.ErrorIs(t, err, errBoom, step)
		disarm()
		r.update(t, s)
		require.Equal(t, want, r.cids, step)
		require.Equal(t, replica, read(t, r.upd.Sealed), step)
	}
}

// TestDamagedUpdates damages each file in turn; the step that reads it must say so.
func TestDamagedUpdates(t *testing.T) {
	s := New(Config{Prover: &checkingProver{}})
	open := func(r *renewed) error {
		_, err := s.ProveReplicaUpdate1(ctx, r.Sector, r.paths, r.upd, r.cids)
		return err
	}
	encode := func(r *renewed) error {
		_, err := s.ReplicaUpdate(ctx, r.Sector, r.paths, r.upd, r.life.cids.Sealed, r.pieces)
		return err
	}
	decode := func(r *renewed) error { return s.DecodeUpdate(ctx, r.Sector, r.paths, r.upd, r.cids) }
	restore := func(r *renewed) error { return s.RestoreKey(ctx, r.Sector, r.paths, r.upd, r.cids) }
	cut := func(b []byte) []byte { return b[:len(b)-32] }
	high := func(b []byte) []byte { copy(b[64:], bytes.Repeat([]byte{0xff}, 32)); return b }
	for _, tc := range []struct {
		name string
		file func(r *renewed) string
		how  func([]byte) []byte
		step func(r *renewed) error
	}{
		{"key cut, encode", func(r *renewed) string { return r.paths.Sealed }, cut, encode},
		{"key is no nodes, encode", func(r *renewed) string { return r.paths.Sealed }, high, encode},
		{"key p_aux, encode", func(r *renewed) string { return r.paths.cache(pAuxName) }, flipBit, encode},
		{"data, encode", func(r *renewed) string { return r.upd.Unsealed }, flipBit, encode},
		{"tree-r, open", func(r *renewed) string { return r.upd.cache("sc-02-data-tree-r-last.dat") }, flipBit, open},
		{"tree-d, open", func(r *renewed) string { return r.upd.cache(treeDName) }, cut, open},
		{"replica cut, open", func(r *renewed) string { return r.upd.Sealed }, cut, open},
		{"replica, decode", func(r *renewed) string { return r.upd.Sealed }, flipBit, decode},
		{"key, decode", func(r *renewed) string { return r.paths.Sealed }, flipBit, decode},
		{"replica, restore", func(r *renewed) string { return r.upd.Sealed }, flipBit, restore},
		{"p_aux, restore", func(r *renewed) string { return r.upd.cache(pAuxName) }, flipBit, restore},
	} {
		r := renew(t, s, t.TempDir(), 3, 5)
		r.update(t, s)
		damage(t, tc.file(r), tc.how)
		if tc.name == "data, encode" {
			require.NoError(t, os.Remove(r.upd.cache(treeDName)))
		}
		require.Error(t, tc.step(r), tc.name)
		left, err := filepath.Glob(filepath.Join(filepath.Dir(r.upd.Unsealed), ".*"))
		require.NoError(t, err)
		require.Empty(t, left, tc.name)
	}

	r := renew(t, s, t.TempDir(), 5, 5)
	_, err := s.ReplicaUpdate(ctx, r.Sector, r.paths, r.upd, commp.SealedCID(fr32.Node{5}), r.pieces)
	require.ErrorIs(t, err, ErrInput, "another key")
	_, err = New(Config{}).ProveReplicaUpdate2(ctx, r.Sector, r.cids, nil)
	require.ErrorIs(t, err, ErrNoProver)
	_, err = s.ProveReplicaUpdate2(ctx, r.Sector, r.cids, nil)
	require.ErrorIs(t, err, ErrInput)
}

// TestUpdating8MiB proves and verifies the four partitions of a whole 8 MiB sector.
func TestUpdating8MiB(t *testing.T) {
	s, v := realSealer(t)
	r := renew(t, s, t.TempDir(), 8, abi.RegisteredSealProof_StackedDrg8MiBV1_1)
	r.update(t, s)
	raw, err := s.ProveReplicaUpdate1(ctx, r.Sector, r.paths, r.upd, r.cids)
	require.NoError(t, err)
	made, err := s.ProveReplicaUpdate2(ctx, r.Sector, r.cids, raw)
	require.NoError(t, err)
	require.Len(t, made, 4*192)
	ok, err := v.VerifyReplicaUpdate(ctx, r.info(t, made))
	require.NoError(t, err)
	require.True(t, ok)
	swapped := append(bytes.Clone(made[192:384]), made[:192]...)
	ok, err = v.VerifyReplicaUpdate(ctx, r.info(t, append(swapped, made[384:]...)))
	require.NoError(t, err)
	require.False(t, ok, "partitions in another order")
}

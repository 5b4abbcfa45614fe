package seal

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/proof"
	"github.com/ipfs/go-cid"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/proofs/fr32"
	"github.com/filecoin-venus/venus/proofs/post"
	"github.com/filecoin-venus/venus/proofs/prove"
	"github.com/filecoin-venus/venus/proofs/shape"
	"github.com/filecoin-venus/venus/proofs/verify"
)

// eachBit calls try with copies of b, each with one bit changed: one bit in every byte, bits but the last ones in turn.
func eachBit(b []byte, bits int, try func(name string, b []byte)) {
	for i := range b {
		if bit := i % 8; 8*i+bit < bits {
			c := bytes.Clone(b)
			c[i] ^= 1 << bit
			try(fmt.Sprintf("bit %d of byte %d", bit, i), c)
		}
	}
}

// eachCIDBit is eachBit for the 32 bytes of a commitment.
func eachCIDBit(t testing.TB, c cid.Cid, try func(name string, c cid.Cid)) {
	b := c.Bytes()
	head := b[:len(b)-32]
	eachBit(b[len(head):], 256, func(name string, digest []byte) {
		changed, err := cid.Cast(append(bytes.Clone(head), digest...))
		require.NoError(t, err)
		try(name, changed)
	})
}

// TestChangedBitsOfSealsAreRefused proves sectors of the sizes that are sealed in a second, in both versions, and changes
// one bit of each byte of the proof and of all that it speaks of.
func TestChangedBitsOfSealsAreRefused(t *testing.T) {
	s, v := realSealer(t)
	for _, typ := range []abi.RegisteredSealProof{0, 5, 1, 6} {
		l := sealed(t, s, t.TempDir(), 5, typ, false)
		c1, err := s.Commit1(ctx, l.Sector, l.paths, ticket, seed, l.pieces, l.cids)
		require.NoError(t, err)
		made, err := s.Commit2(ctx, l.Sector, c1)
		require.NoError(t, err)
		good := proof.SealVerifyInfo{
			SealProof: l.Proof, SectorID: l.ID, Randomness: ticket, InteractiveRandomness: seed,
			Proof: made, SealedCID: l.cids.Sealed, UnsealedCID: l.cids.Unsealed,
		}
		ok, err := v.VerifySeal(ctx, good)
		require.NoError(t, err)
		require.True(t, ok)
		count := 0
		refused := func(name string, change func(i *proof.SealVerifyInfo)) {
			bad := good
			change(&bad)
			ok, err := v.VerifySeal(ctx, bad)
			require.NoError(t, err, name)
			require.False(t, ok, "type %d: %s", typ, name)
			count++
		}
		eachBit(made, 8*len(made), func(name string, b []byte) { refused("proof, "+name, func(i *proof.SealVerifyInfo) { i.Proof = b }) })
		eachBit(ticket, 256, func(name string, b []byte) {
			refused("ticket, "+name, func(i *proof.SealVerifyInfo) { i.Randomness = b })
		})
		eachBit(seed, 256, func(name string, b []byte) {
			refused("challenge seed, "+name, func(i *proof.SealVerifyInfo) { i.InteractiveRandomness = b })
		})
		eachCIDBit(t, l.cids.Sealed, func(name string, c cid.Cid) {
			refused("CommR, "+name, func(i *proof.SealVerifyInfo) { i.SealedCID = c })
		})
		eachCIDBit(t, l.cids.Unsealed, func(name string, c cid.Cid) {
			refused("CommD, "+name, func(i *proof.SealVerifyInfo) { i.UnsealedCID = c })
		})
		for bit := range 50 {
			refused("prover", func(i *proof.SealVerifyInfo) { i.Miner ^= 1 << bit })
			refused("number", func(i *proof.SealVerifyInfo) { i.Number ^= 1 << bit })
		}
		t.Logf("type %d: %d changes refused", typ, count)
	}
}

// TestChangedBitsOfPoStsAreRefused is the same for winning and window PoSts, both index rules. Neither speaks of the
// prover: its sectors are what they are proven for. Two bits of the randomness do not count, they are cut.
func TestChangedBitsOfPoStsAreRefused(t *testing.T) {
	s, v := realSealer(t)
	r := abi.PoStRandomness(bytes.Repeat([]byte{0x2b}, 32))
	for _, typ := range []abi.RegisteredSealProof{0, 5, 6} {
		l := sealed(t, s, t.TempDir(), 5, typ, false)
		window, faulty, err := s.WindowPoSt(ctx, 1000, []SectorRef{l.ref()}, r)
		require.NoError(t, err)
		require.Empty(t, faulty)
		winning, err := s.WinningPoSt(ctx, 1000, []SectorRef{l.ref()}, r)
		require.NoError(t, err)
		for kind, made := range map[string][]proof.PoStProof{"window": window, "winning": winning} {
			check := func(r abi.PoStRandomness, b []byte, sector proof.SectorInfo) bool {
				proofs, sectors := []proof.PoStProof{{PoStProof: made[0].PoStProof, ProofBytes: b}}, []proof.SectorInfo{sector}
				ok, err := v.VerifyWinningPoSt(ctx, proof.WinningPoStVerifyInfo{Randomness: r, Proofs: proofs, ChallengedSectors: sectors, Prover: 1000})
				if kind == "window" {
					ok, err = v.VerifyWindowPoSt(ctx, proof.WindowPoStVerifyInfo{Randomness: r, Proofs: proofs, ChallengedSectors: sectors, Prover: 1000})
				}
				require.NoError(t, err)
				return ok
			}
			b, sector := made[0].ProofBytes, proof.SectorInfo{SealProof: typ, SectorNumber: 5, SealedCID: l.cids.Sealed}
			require.True(t, check(r, b, sector))
			eachBit(b, 8*len(b), func(name string, b []byte) { require.False(t, check(r, b, sector), "%s proof, %s", kind, name) })
			eachBit(r, 254, func(name string, r []byte) { require.False(t, check(r, b, sector), "%s randomness, %s", kind, name) })
			eachCIDBit(t, l.cids.Sealed, func(name string, c cid.Cid) {
				bad := sector
				bad.SealedCID = c
				require.False(t, check(r, b, bad), "%s CommR, %s", kind, name)
			})
			for bit := range 63 {
				bad := sector
				bad.SectorNumber ^= 1 << bit
				require.False(t, check(r, b, bad), "%s sector number, bit %d", kind, bit)
			}
		}
	}
}

// TestChangedBitsOfReplicasAreFound changes one bit of a challenged node at a time.
func TestChangedBitsOfReplicasAreFound(t *testing.T) {
	s, _ := realSealer(t)
	r := abi.PoStRandomness(bytes.Repeat([]byte{0x2b}, 32))
	for _, typ := range []abi.RegisteredSealProof{5, 6} {
		l := sealed(t, s, t.TempDir(), 5, typ, false)
		kind, err := typ.RegisteredWindowPoStProof()
		require.NoError(t, err)
		sh, err := shape.OfPoSt(kind)
		require.NoError(t, err)
		good := read(t, l.paths.Sealed)
		for i, leaf := range post.Leaves(sh, fr32.Node(r), 5, 0) {
			damage(t, l.paths.Sealed, func(b []byte) []byte {
				b = bytes.Clone(good)
				b[leaf*32+uint64(3*i)] ^= 1 << (i % 8)
				return b
			})
			_, faulty, err := s.WindowPoSt(ctx, 1000, []SectorRef{l.ref()}, r)
			require.ErrorIs(t, err, ErrNothingProvable)
			require.Equal(t, []abi.SectorID{l.ID}, faulty, "leaf %d", leaf)
		}
	}
}

// TestChangedBitsOfUpdatesAreRefused is the same for replica updates.
func TestChangedBitsOfUpdatesAreRefused(t *testing.T) {
	s, v := realSealer(t)
	a := renew(t, s, t.TempDir(), 1, 5)
	a.update(t, s)
	raw, err := s.ProveReplicaUpdate1(ctx, a.Sector, a.paths, a.upd, a.cids)
	require.NoError(t, err)
	made, err := s.ProveReplicaUpdate2(ctx, a.Sector, a.cids, raw)
	require.NoError(t, err)
	refused := func(name string, change func(i *proof.ReplicaUpdateInfo)) {
		bad := a.info(t, made)
		change(&bad)
		ok, err := v.VerifyReplicaUpdate(ctx, bad)
		require.NoError(t, err, name)
		require.False(t, ok, name)
	}
	eachBit(made, 8*len(made), func(name string, b []byte) { refused("proof, "+name, func(i *proof.ReplicaUpdateInfo) { i.Proof = b }) })
	eachCIDBit(t, a.cids.Key, func(name string, c cid.Cid) {
		refused("old CommR, "+name, func(i *proof.ReplicaUpdateInfo) { i.OldSealedSectorCID = c })
	})
	eachCIDBit(t, a.cids.Sealed, func(name string, c cid.Cid) {
		refused("new CommR, "+name, func(i *proof.ReplicaUpdateInfo) { i.NewSealedSectorCID = c })
	})
	eachCIDBit(t, a.cids.Unsealed, func(name string, c cid.Cid) {
		refused("CommD, "+name, func(i *proof.ReplicaUpdateInfo) { i.NewUnsealedSectorCID = c })
	})
}

// realSealer is a sealer with a prover of a private network, and that network's verifier.
func realSealer(t testing.TB) (*Sealer, *verify.Verifier) {
	network, err := params.ByName("local")
	require.NoError(t, err)
	prover, err := prove.NewIn(t.TempDir(), network, prove.Trapdoor)
	require.NoError(t, err)
	return New(Config{Prover: prover}), verify.New(network, t.TempDir())
}

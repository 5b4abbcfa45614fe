package post

import (
	"crypto/sha256"
	"encoding/binary"
	"testing"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/proofs/fr32"
	"github.com/filecoin-venus/venus/proofs/shape"
)

func shapeOf(t *testing.T, typ abi.RegisteredPoStProof) shape.PoSt {
	p, err := shape.OfPoSt(typ)
	require.NoError(t, err)
	return p
}

func TestLeavesBothRules(t *testing.T) {
	r := fr32.Node{9}
	byHand := func(sector, idx uint64, leaves uint64) uint64 {
		b := binary.LittleEndian.AppendUint64(append([]byte{}, r[:]...), sector)
		h := sha256.Sum256(binary.LittleEndian.AppendUint64(b, idx))
		return binary.LittleEndian.Uint64(h[:8]) % leaves
	}
	for typ := abi.RegisteredPoStProof(0); typ <= abi.RegisteredPoStProof_StackedDrgWindow64GiBV1_1; typ++ {
		p := shapeOf(t, typ)
		position := 3
		if p.Winning {
			position = 0
		}
		got := Leaves(p, r, 77, position)
		require.Len(t, got, p.Challenges)
		for n, leaf := range got {
			idx := uint64(n)
			if typ >= 5 && typ < 10 {
				idx += 30
			}
			require.Equal(t, byHand(77, idx, p.Nodes()), leaf, "type %d", typ)
		}
	}
}

func TestPublicInputs(t *testing.T) {
	r := fr32.Node{4}
	sectors := []PublicSector{{Number: 5, CommR: fr32.Node{1}}, {Number: 8, CommR: fr32.Node{2}}}
	for typ, want := range map[abi.RegisteredPoStProof]int{0: 132, 3: 132, 5: 22, 10: 22, 8: 25839, 9: 25300} {
		p := shapeOf(t, typ)
		in, err := PublicInputs(p, r, 1, sectors[:1])
		require.NoError(t, err)
		require.Len(t, in, want, "type %d", typ)
		if p.Winning {
			leaves := Leaves(p, r, 5, 1)
			require.Equal(t, leaves[65], in[131].Uint64())
			require.EqualValues(t, 1, in[130].Uint64(), "CommR before each leaf")
			continue
		}
		require.Equal(t, in[:11], in[len(in)-11:], "the last sector fills the partition")
		require.Equal(t, Leaves(p, r, 5, p.Sectors)[0], in[1].Uint64())
		two, err := PublicInputs(p, r, 0, sectors)
		require.NoError(t, err)
		require.EqualValues(t, 2, two[11].Uint64())
		require.Equal(t, Leaves(p, r, 8, 1)[9], two[21].Uint64())
	}
	p := shapeOf(t, 5)
	for _, bad := range [][]PublicSector{nil, append(sectors, sectors...), {{CommR: fr32.Node{31: 0xff}}}} {
		_, err := PublicInputs(p, r, 0, bad)
		require.Error(t, err)
	}
}

func TestChallengedSectorAndRandomness(t *testing.T) {
	seen := map[uint64]int{}
	for i := range 300 {
		seen[ChallengedSector(fr32.Node{1}, fr32.Node{byte(i), byte(i >> 8)}, 0, 3)]++
	}
	require.Len(t, seen, 3)
	for _, n := range seen {
		require.Greater(t, n, 60)
	}
	r := make(abi.PoStRandomness, 32)
	r[31] = 0xff
	n, err := Randomness(r)
	require.NoError(t, err)
	require.Equal(t, byte(0x3f), n[31])
	_, err = Randomness(r[:31])
	require.Error(t, err)
}

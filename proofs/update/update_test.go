package update

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"math/rand"
	"testing"

	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/proof"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/proofs/commp"
	"github.com/filecoin-venus/venus/proofs/fr32"
	"github.com/filecoin-venus/venus/proofs/merkle"
	"github.com/filecoin-venus/venus/proofs/porep"
	"github.com/filecoin-venus/venus/proofs/poseidon"
	"github.com/filecoin-venus/venus/proofs/shape"
)

// referenceElement is the first field element that the reference's tests draw from their fixed seed: four 64-bit words,
// lowest first, of Marsaglia's xorshift128, the top bit cut.
func referenceElement(t *testing.T) fr.Element {
	state := [4]uint32{0x5dbe6259, 0x8d313d76, 0x3237db17, 0xe5bc0654}
	next := func() uint64 {
		x := state[0] ^ state[0]<<11
		copy(state[:], state[1:])
		state[3] = state[3] ^ state[3]>>19 ^ x ^ x>>8
		return uint64(state[3])
	}
	var n fr32.Node
	for i := range 8 {
		w := next()
		for j := range 4 {
			n[4*i+j] = byte(w >> (8 * j))
		}
	}
	n[31] &= 0x7f
	e, err := n.Element()
	require.NoError(t, err)
	return e
}

// TestChallengesAreTheReferences compares with numbers that the reference's tests hold for every size.
func TestChallengesAreTheReferences(t *testing.T) {
	commR := referenceElement(t)
	const kib, mib, gib = 1 << 10, 1 << 20, 1 << 30
	sectors := map[abi.SectorSize]map[int][]uint64{
		1 * kib:   {0: {21, 7, 3, 31, 0}},
		2 * kib:   {0: {53, 51, 56, 3, 0}},
		4 * kib:   {0: {117, 25, 62, 0, 72}},
		8 * kib:   {0: {245, 140, 15, 128, 28}},
		16 * kib:  {0: {245, 140, 15, 128, 28}, 1: {286, 308, 493, 510, 508}},
		32 * kib:  {0: {245, 454, 3, 400, 193}, 1: {542, 666, 955, 927, 911}},
		8 * mib:   {0: {36085, 32783, 44060, 10950, 3731}, 1: {78878, 130797, 112892, 93994, 78379}},
		16 * mib:  {0: {101621, 16391, 109319, 25944, 41193}, 1: {209950, 163702, 175679, 224741, 197410}},
		512 * mib: {0: {1019125, 116736, 706220, 59698, 799498}, 15: {16388544, 15794686, 16637142, 16319148, 16328348}},
		32 * gib:  {0: {1019125, 27985696, 15282860, 11586600, 44651330}, 15: {1038629497, 1053983614, 1030421316, 1027373887, 1068685433}},
		64 * gib:  {0: {1019125, 13992848, 3820715, 18225541, 57316660}, 15: {2045262457, 2036941247, 2136653521, 2091356007, 2147167623}},
	}
	for size, partitions := range sectors {
		u := shape.UpdateOf(shape.Sector{Size: size, Tree: shape.Tree{Leaves: uint64(size) / 32, Base: 8}})
		for k, want := range partitions {
			got := challengesOf(u, commR, k)
			require.Len(t, got, u.UpdateChallenges)
			require.Equal(t, want, got[:5], "%d bytes, partition %d", size, k)
			for _, n := range got {
				require.Equal(t, uint64(k), n>>(u.IndexBits()-u.PartitionBits()))
			}
		}
	}
}

func TestShapes(t *testing.T) {
	for typ, want := range map[abi.RegisteredUpdateProof][6]int{ // partitions, challenges, apex leaves, apex row, high bits, select
		abi.RegisteredUpdateProof_StackedDrg2KiBV1:   {1, 10, 8, 3, 1, 0},
		abi.RegisteredUpdateProof_StackedDrg8MiBV1:   {4, 10, 128, 9, 10, 3},
		abi.RegisteredUpdateProof_StackedDrg512MiBV1: {16, 86, 128, 13, 10, 3},
		abi.RegisteredUpdateProof_StackedDrg32GiBV1:  {16, 86, 128, 19, 10, 3},
		abi.RegisteredUpdateProof_StackedDrg64GiBV1:  {16, 86, 128, 20, 10, 3},
	} {
		u, err := shape.OfUpdate(typ)
		require.NoError(t, err)
		require.Equal(t, want, [6]int{u.UpdatePartitions, u.UpdateChallenges, u.ApexLeaves, u.ApexRow(), u.HighBits, u.Select})
		require.Equal(t, u.HighBits, u.Widths[u.Select])
		size, err := abi.RegisteredSealProof(typ).SectorSize() // both kinds count sizes from 0
		require.NoError(t, err)
		require.Equal(t, size, u.Size)
	}
	for _, typ := range []abi.RegisteredUpdateProof{-1, 5, 99} {
		_, err := shape.OfUpdate(typ)
		require.ErrorIs(t, err, shape.ErrUnsupported)
	}
}

// sector is an updated sector in memory: random old replica and data.
type sector struct {
	u              shape.Update
	key, data, new []byte
	st             Statement
	src            Sources
}

func randomNodes(r *rand.Rand, size int) []byte {
	b := make([]byte, size)
	r.Read(b)
	for i := 31; i < len(b); i += 32 {
		b[i] &= 0x3f
	}
	return b
}

func octree(t testing.TB, tree shape.Tree, leaves []byte) (*merkle.Octree, fr32.Node) {
	file := make(merkle.Memory, merkle.OctreeSize(tree, 0))
	fill := func(start uint64, dst []byte) error { copy(dst, leaves[32*start:]); return nil }
	root, err := merkle.BuildOctrees(context.Background(), tree, 0, []merkle.File{file}, func() (merkle.FillLeaves, error) { return fill, nil })
	require.NoError(t, err)
	return &merkle.Octree{Tree: tree, Files: []io.ReaderAt{file}}, root
}

func updated(t testing.TB, typ abi.RegisteredUpdateProof, seed int64) *sector {
	u, err := shape.OfUpdate(typ)
	require.NoError(t, err)
	r := rand.New(rand.NewSource(seed))
	s := &sector{u: u, key: randomNodes(r, int(u.Size)), data: randomNodes(r, int(u.Size)), new: make([]byte, u.Size)}
	s.st.UpdateProof = typ
	s.src.CommC = fr32.Node(randomNodes(r, 32))
	file := make(merkle.Memory, merkle.BinarySize(u.Nodes()))
	copy(file, s.data)
	s.st.CommD, err = merkle.BuildBinary(context.Background(), file, u.Nodes())
	require.NoError(t, err)
	s.src.Data = merkle.Binary{Leaves: u.Nodes(), File: file}
	var root fr32.Node
	s.src.Old, root = octree(t, u.Tree, s.key)
	s.st.CommROld, err = porep.CommR(s.src.CommC, root)
	require.NoError(t, err)
	e, err := NewEncoder(u, s.st.CommROld, s.st.CommD)
	require.NoError(t, err)
	require.NoError(t, e.Encode(s.new, s.key, s.data, 0))
	s.src.New, root = octree(t, u.Tree, s.new)
	s.st.CommRNew, err = porep.CommR(s.src.CommC, root)
	require.NoError(t, err)
	return s
}

func TestEncodingAndItsInverses(t *testing.T) {
	s := updated(t, abi.RegisteredUpdateProof_StackedDrg2KiBV1, 1)
	e, err := NewEncoder(s.u, s.st.CommROld, s.st.CommD)
	require.NoError(t, err)
	out := make([]byte, len(s.new))
	require.NoError(t, e.Decode(out, s.new, s.key, 0))
	require.Equal(t, s.data, out)
	require.NoError(t, e.Remove(out, s.new, s.data, 0))
	require.Equal(t, s.key, out)
	// In pieces, in place, and node by node from the definition.
	require.NoError(t, e.Encode(out[:1024], s.key[:1024], s.data[:1024], 0))
	in := append([]byte(nil), s.data[1024:]...)
	require.NoError(t, e.Encode(in, s.key[1024:], in, 32))
	require.Equal(t, s.new, append(out[:1024:1024], in...))
	phi := poseidon.HashPair(element(t, s.st.CommD[:]), element(t, s.st.CommROld[:]))
	for i := range 64 {
		want, data := element(t, s.key[32*i:]), element(t, s.data[32*i:])
		factor := poseidon.HashPair(phi, fr.NewElement(uint64(i/32)))
		data.Mul(&data, &factor)
		want.Add(&want, &data)
		require.Equal(t, want, element(t, s.new[32*i:]))
	}

	zeros := make([]byte, len(s.data))
	require.NoError(t, e.Encode(out, s.key, zeros, 0))
	require.Equal(t, s.key, out, "no data leaves the replica as it is")
	require.Error(t, e.Encode(out, s.key, s.data, 1))
	require.Error(t, e.Encode(out, s.key[:32], s.data, 0))
	bad := append([]byte(nil), s.data...)
	copy(bad[32:], bytes.Repeat([]byte{0xff}, 32))
	for _, f := range []func(dst, a, b []byte, start uint64) error{e.Encode, e.Decode, e.Remove} {
		require.ErrorIs(t, f(out, s.key, bad, 0), ErrNode)
		require.ErrorIs(t, f(out, bad, s.key, 0), ErrNode)
	}
	_, err = NewEncoder(s.u, fr32.Node(bad[32:64]), s.st.CommD)
	require.Error(t, err)
}

func element(t *testing.T, b []byte) fr.Element {
	e, err := fr32.Node(b[:32]).Element()
	require.NoError(t, err)
	return e
}

func TestVanilla(t *testing.T) {
	ctx := context.Background()
	s := updated(t, abi.RegisteredUpdateProof_StackedDrg2KiBV1, 2)
	v, err := Prove(ctx, s.st, s.src)
	require.NoError(t, err)
	raw, err := v.Marshal()
	require.NoError(t, err)
	again, err := Unmarshal(raw)
	require.NoError(t, err)
	require.Equal(t, v, again)
	_, err = Unmarshal(append(raw, '1'))
	require.Error(t, err)

	other := updated(t, abi.RegisteredUpdateProof_StackedDrg2KiBV1, 3)
	for name, tamper := range map[string]func(v *Vanilla){
		"old CommR":   func(v *Vanilla) { v.CommROld = other.st.CommROld },
		"new CommR":   func(v *Vanilla) { v.CommRNew = other.st.CommRNew },
		"CommD":       func(v *Vanilla) { v.CommD = other.st.CommD },
		"CommC":       func(v *Vanilla) { v.CommC[0] ^= 1 },
		"no element":  func(v *Vanilla) { v.CommC[31] = 0xff },
		"root":        func(v *Vanilla) { v.RootNew[0] ^= 1 },
		"partitions":  func(v *Vanilla) { v.Partitions = append(v.Partitions, v.Partitions[0]) },
		"challenges":  func(v *Vanilla) { v.Partitions[0].Challenges = v.Partitions[0].Challenges[1:] },
		"order":       func(v *Vanilla) { c := v.Partitions[0].Challenges; c[0], c[1] = c[1], c[0] },
		"apex":        func(v *Vanilla) { v.Partitions[0].Apex = v.Partitions[0].Apex[1:] },
		"apex node":   func(v *Vanilla) { v.Partitions[0].Apex[unused(t, v)][3] ^= 1 },
		"old leaf":    func(v *Vanilla) { v.Partitions[0].Challenges[2].Old.Leaf[0] ^= 1 },
		"data leaf":   func(v *Vanilla) { v.Partitions[0].Challenges[2].Data.Leaf[0] ^= 1 },
		"new sibling": func(v *Vanilla) { v.Partitions[0].Challenges[2].New.Path[1].Siblings[6][0] ^= 1 },
		"short path":  func(v *Vanilla) { c := &v.Partitions[0].Challenges[0].Data; c.Path = c.Path[:2] },
	} {
		bad, err := Unmarshal(raw)
		require.NoError(t, err)
		tamper(&bad)
		require.ErrorIs(t, bad.Check(), ErrProof, name)
		b, err := json.Marshal(bad)
		require.NoError(t, err)
		_, err = Unmarshal(b)
		require.Error(t, err, name)
	}

	// A replica that was encoded for other data is found when it is opened.
	mixed := s.src
	mixed.New = other.src.New
	_, err = Prove(ctx, s.st, mixed)
	require.ErrorIs(t, err, ErrProof)
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	_, err = Prove(cancelled, s.st, s.src)
	require.ErrorIs(t, err, context.Canceled)
	_, err = Prove(ctx, Statement{UpdateProof: 77}, s.src)
	require.ErrorIs(t, err, shape.ErrUnsupported)
}

// unused is an apex node below which nothing is challenged, else the test would not need it.
func unused(t *testing.T, v *Vanilla) int {
	u, err := shape.OfUpdate(v.UpdateProof)
	require.NoError(t, err)
	nodes, err := v.Challenges(0)
	require.NoError(t, err)
	seen := map[uint64]bool{}
	for _, n := range nodes {
		seen[n>>u.ApexRow()] = true
	}
	for i := range u.ApexLeaves {
		if !seen[uint64(i)] {
			return i
		}
	}
	return 0
}

func TestStatementOf(t *testing.T) {
	r, r2, d := fr32.Node{1}, fr32.Node{2}, fr32.Node{3}
	good := proof.ReplicaUpdateInfo{
		UpdateProofType: abi.RegisteredUpdateProof_StackedDrg8MiBV1, OldSealedSectorCID: commp.SealedCID(r),
		NewSealedSectorCID: commp.SealedCID(r2), NewUnsealedSectorCID: commp.CID(d),
	}
	st, err := StatementOf(good)
	require.NoError(t, err)
	require.Equal(t, Statement{UpdateProof: 1, CommROld: r, CommRNew: r2, CommD: d}, st)
	in, err := st.PublicInputs(2)
	require.NoError(t, err)
	require.Equal(t, []fr.Element{fr.NewElement(2 | 8<<2), fr.NewElement(1), fr.NewElement(3), fr.NewElement(2)}, in)
	for _, bad := range []func(i *proof.ReplicaUpdateInfo){
		func(i *proof.ReplicaUpdateInfo) { i.UpdateProofType = 5 },
		func(i *proof.ReplicaUpdateInfo) { i.OldSealedSectorCID = commp.CID(r) },
		func(i *proof.ReplicaUpdateInfo) { i.NewSealedSectorCID = commp.CID(r) },
		func(i *proof.ReplicaUpdateInfo) { i.NewUnsealedSectorCID = commp.SealedCID(r) },
	} {
		info := good
		bad(&info)
		_, err := StatementOf(info)
		require.Error(t, err)
	}
	st.CommD[31] = 0xff
	_, err = st.PublicInputs(0)
	require.Error(t, err)
	_, err = st.Challenges(4)
	require.Error(t, err)
}

// FuzzUnmarshal starts from a proof cut down to one challenge: a whole one is too large to mutate to any purpose.
func FuzzUnmarshal(f *testing.F) {
	s := updated(f, abi.RegisteredUpdateProof_StackedDrg2KiBV1, 4)
	v, err := Prove(context.Background(), s.st, s.src)
	require.NoError(f, err)
	v.Partitions[0].Challenges = v.Partitions[0].Challenges[:1]
	raw, err := v.Marshal()
	require.NoError(f, err)
	f.Add(raw)
	f.Add([]byte(`{"partitions":[{"challenges":[{}]}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if got, err := Unmarshal(b); err == nil {
			require.NoError(t, got.Check())
		}
	})
}

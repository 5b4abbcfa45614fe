package porep_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"math/big"
	"math/rand"
	"testing"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/proof"
	"github.com/ipfs/go-cid"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/internal/vectors"
	"github.com/filecoin-venus/venus/proofs/commp"
	"github.com/filecoin-venus/venus/proofs/fr32"
	"github.com/filecoin-venus/venus/proofs/merkle"
	"github.com/filecoin-venus/venus/proofs/porep"
	"github.com/filecoin-venus/venus/proofs/seal"
	"github.com/filecoin-venus/venus/proofs/shape"
)

const sectorType = abi.RegisteredSealProof_StackedDrg2KiBV1_1

// vanilla seals a 2 KiB sector and opens it.
func vanilla(t testing.TB) ([]byte, proof.SealVerifyInfo) {
	ctx, s := context.Background(), seal.New(seal.Config{})
	sector := seal.Sector{ID: abi.SectorID{Miner: 1234, Number: 5}, Proof: sectorType}
	paths := seal.PathsIn(t.TempDir(), sector.ID)
	data := make([]byte, 2032)
	rand.New(rand.NewSource(9)).Read(data)
	p, err := s.AddPiece(ctx, sector, paths, nil, 2032, bytes.NewReader(data))
	require.NoError(t, err)
	pieces := []abi.PieceInfo{p}
	ticket, seed := bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{0xf2}, 32)
	p1, err := s.PreCommit1(ctx, sector, paths, ticket, pieces)
	require.NoError(t, err)
	cids, err := s.PreCommit2(ctx, sector, paths, p1)
	require.NoError(t, err)
	c1, err := s.Commit1(ctx, sector, paths, ticket, seed, pieces, cids)
	require.NoError(t, err)
	var out struct{ Vanilla json.RawMessage }
	require.NoError(t, json.Unmarshal(c1, &out))
	return out.Vanilla, proof.SealVerifyInfo{
		SealProof: sectorType, SectorID: sector.ID, Randomness: ticket, InteractiveRandomness: seed,
		SealedCID: cids.Sealed, UnsealedCID: cids.Unsealed,
	}
}

// TestCheckFindsEveryChange changes each node of the first challenge and each commitment in turn.
func TestCheckFindsEveryChange(t *testing.T) {
	raw, info := vanilla(t)
	v, err := porep.Unmarshal(raw)
	require.NoError(t, err)
	st, err := porep.StatementOf(info)
	require.NoError(t, err)
	require.Equal(t, v.Statement, st, "the chain's form says the same")

	var nodes []*fr32.Node
	path := func(p *merkle.Proof) {
		nodes = append(nodes, &p.Leaf, &p.Root)
		for _, s := range p.Path {
			for i := range s.Siblings {
				nodes = append(nodes, &s.Siblings[i])
			}
		}
	}
	column := func(c *porep.ColumnProof) {
		for i := range c.Labels {
			nodes = append(nodes, &c.Labels[i])
		}
		path(&c.Path)
	}
	ch := &v.Partitions[0][0]
	path(&ch.Data)
	path(&ch.Replica)
	column(&ch.Column)
	for i := range ch.Base {
		column(&ch.Base[i])
	}
	for i := range ch.Exp {
		column(&ch.Exp[i])
	}
	nodes = append(nodes, &v.ReplicaID, &v.CommD, &v.CommR, &v.CommC, &v.CommRLast, &v.Seed)
	for i, n := range nodes {
		n[i%31] ^= 2
		require.ErrorIs(t, v.Check(), porep.ErrProof, "node %d", i)
		n[i%31] ^= 2
	}
	ch.Node ^= 1
	require.ErrorIs(t, v.Check(), porep.ErrProof)
	ch.Node ^= 1
	require.NoError(t, v.Check())
	for _, cut := range []func(v *porep.Vanilla){
		func(v *porep.Vanilla) { v.Partitions = nil },
		func(v *porep.Vanilla) { v.Partitions = [][]porep.Challenge{v.Partitions[0][:1]} },
		func(v *porep.Vanilla) { v.SealProof = abi.RegisteredSealProof_StackedDrg2KiBV1 },
		func(v *porep.Vanilla) { v.SealProof = abi.RegisteredSealProof_StackedDrg8MiBV1_1 },
	} {
		w := v
		cut(&w)
		require.Error(t, w.Check())
	}
	t.Logf("%d changes found", len(nodes)+5)
}

func TestPublicInputs(t *testing.T) {
	for typ, want := range map[abi.RegisteredSealProof]int{0: 39, 6: 39, 7: 39, 3: 327, 9: 327} {
		st := porep.Statement{SealProof: typ, ReplicaID: fr32.Node{1}, CommD: fr32.Node{2}, CommR: fr32.Node{3}}
		in, err := st.PublicInputs(0)
		require.NoError(t, err)
		require.Len(t, in, want)
		challenges, err := st.Challenges(0)
		require.NoError(t, err)
		require.Equal(t, challenges[0], in[3].Uint64())
		require.Equal(t, challenges[0], in[20].Uint64())
		require.Equal(t, challenges[1], in[21].Uint64())
	}
	bad := porep.Statement{CommR: fr32.Node(bytes.Repeat([]byte{0xff}, 32))}
	_, err := bad.PublicInputs(0)
	require.Error(t, err)
	_, err = porep.Statement{SealProof: 10}.PublicInputs(0)
	require.ErrorIs(t, err, shape.ErrUnsupported)
}

func TestChallengeNode(t *testing.T) {
	id, seed := fr32.Node{1, 2}, fr32.Node{3}
	for j := range uint32(50) {
		nodes := uint64(1) << (6 + j%26)
		h := sha256.Sum256(binary.LittleEndian.AppendUint32(append(append([]byte{}, id[:]...), seed[:]...), j))
		sum := new(big.Int)
		for i := 31; i >= 0; i-- {
			sum.Add(sum.Lsh(sum, 8), big.NewInt(int64(h[i])))
		}
		want := new(big.Int).Mod(sum, new(big.Int).SetUint64(nodes-1)).Uint64() + 1
		require.Equal(t, want, porep.ChallengeNode(id, seed, j, nodes))
	}
}

// TestSealRecords reads the public half of real mainnet-style proof records as statements.
func TestSealRecords(t *testing.T) {
	type bytesJSON []int
	toBytes := func(in bytesJSON) []byte {
		out := make([]byte, len(in))
		for i, b := range in {
			out[i] = byte(b)
		}
		return out
	}
	type record struct {
		Config struct {
			SectorSize uint64    `json:"sector_size"`
			PoRepID    bytesJSON `json:"porep_id"`
			Partitions int
		} `json:"porep_config"`
		CommR    bytesJSON `json:"comm_r"`
		CommD    bytesJSON `json:"comm_d"`
		Prover   bytesJSON `json:"prover_id"`
		SectorID uint64    `json:"sector_id"`
		Ticket   bytesJSON
		Seed     bytesJSON
		Proof    bytesJSON
	}
	count, unsupported := 0, 0
	d := json.NewDecoder(bytes.NewReader(vectors.Bytes(t, "proofs/seal-records-v16.json.gz")))
	for i := 0; d.More(); i++ {
		var r record
		require.NoError(t, d.Decode(&r))
		typ := abi.RegisteredSealProof(binary.LittleEndian.Uint64(toBytes(r.Config.PoRepID)))
		sh, err := shape.OfSeal(typ)
		if err != nil {
			require.ErrorIs(t, err, shape.ErrUnsupported)
			unsupported++
			continue
		}
		require.EqualValues(t, r.Config.SectorSize, sh.Size)
		require.Equal(t, r.Config.Partitions, sh.Partitions)
		require.Equal(t, toBytes(r.Config.PoRepID), sh.PoRepID[:])
		require.Len(t, r.Proof, 192*sh.Partitions)
		commD := fr32.Node(toBytes(r.CommD))
		st := porep.Statement{SealProof: typ, CommD: commD, CommR: fr32.Node(toBytes(r.CommR)), Seed: fr32.Node(toBytes(r.Seed))}
		st.ReplicaID = porep.ReplicaID(sh, fr32.Node(toBytes(r.Prover)), abi.SectorNumber(r.SectorID), toBytes(r.Ticket), commD)
		_, err = st.PublicInputs(sh.Partitions - 1)
		require.NoError(t, err, "record %d", i)
		count++
	}
	require.Equal(t, []int{360, 88}, []int{count, unsupported})
	vectors.Count(t, "proofs/seal-records-v16.json.gz", count)
	vectors.NotApplicable(t, "proofs/seal-records-v16.json.gz", unsupported, "statement of a test configuration that is no registered proof type")
	t.Logf("%d records as statements, %d of types not supported", count, unsupported)
}

func TestEncode(t *testing.T) {
	rnd := rand.New(rand.NewSource(5))
	data, labels := make([]byte, 3200), make([]byte, 3200)
	rnd.Read(data)
	rnd.Read(labels)
	for i := 31; i < len(data); i += 32 {
		data[i] &= 0x3f
		labels[i] &= 0x3f
	}
	enc, dec := make([]byte, 3200), make([]byte, 3200)
	require.NoError(t, porep.Encode(enc, data, labels))
	require.NoError(t, porep.Decode(dec, enc, labels))
	require.Equal(t, data, dec)
	require.Error(t, porep.Encode(enc[:32], data, labels))
	require.ErrorIs(t, porep.Encode(enc[:32], bytes.Repeat([]byte{0xff}, 32), labels[:32]), porep.ErrNode)
	require.ErrorIs(t, porep.Encode(enc[:32], data[:32], bytes.Repeat([]byte{0xff}, 32)), porep.ErrNode)
}

func TestProverID(t *testing.T) {
	id, err := porep.ProverID(106)
	require.NoError(t, err)
	require.Equal(t, fr32.Node{0x6a}, id)
	id, err = porep.ProverID(1000)
	require.NoError(t, err)
	require.Equal(t, fr32.Node{0xe8, 0x07}, id)
}

func TestStatementRefusals(t *testing.T) {
	ok := proof.SealVerifyInfo{SealProof: 5, Randomness: make([]byte, 32), InteractiveRandomness: make([]byte, 32), SealedCID: commp.SealedCID(fr32.Node{1}), UnsealedCID: commp.CID(fr32.Node{2})}
	_, err := porep.StatementOf(ok)
	require.NoError(t, err)
	for name, change := range map[string]func(i *proof.SealVerifyInfo){
		"type":     func(i *proof.SealVerifyInfo) { i.SealProof = 12 },
		"ticket":   func(i *proof.SealVerifyInfo) { i.Randomness = nil },
		"seed":     func(i *proof.SealVerifyInfo) { i.InteractiveRandomness = make([]byte, 33) },
		"sealed":   func(i *proof.SealVerifyInfo) { i.SealedCID = i.UnsealedCID },
		"unsealed": func(i *proof.SealVerifyInfo) { i.UnsealedCID = cid.Undef },
	} {
		bad := ok
		change(&bad)
		_, err := porep.StatementOf(bad)
		require.Error(t, err, name)
	}
}

func FuzzUnmarshal(f *testing.F) {
	raw, _ := vanilla(f)
	f.Add([]byte(raw))
	f.Add([]byte(`{"sealProof":5,"partitions":[[{"node":1}]]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := porep.Unmarshal(b)
		if err == nil {
			again, err := v.Marshal()
			require.NoError(t, err)
			_, err = porep.Unmarshal(again)
			require.NoError(t, err)
		}
	})
}

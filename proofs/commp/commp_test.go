package commp

import (
	"bytes"
	"encoding/hex"
	"math/rand"
	"testing"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/ipfs/go-cid"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/internal/vectors"
	"github.com/filecoin-venus/venus/proofs/fr32"
	"github.com/filecoin-venus/venus/proofs/merkle"
)

func node(t *testing.T, s string) (n fr32.Node) {
	require.NoError(t, n.UnmarshalText([]byte(s)))
	return n
}

func TestZeroCommitments(t *testing.T) {
	known := map[abi.PaddedPieceSize]string{
		128:       "3731bb99ac689f66eef5973e4a94da188f4ddcae580724fc6f3fd60dfd488333",
		2 << 10:   "fc7e928296e516faade986b28f92d44a4f24b935485223376a799027bc18f833",
		8 << 20:   "65f29e5d98d246c38b388cfc06db1f6b021303c5a289000bdce832a9c3ec421c",
		512 << 20: "39560e7b13a93b07a243fd2720ffa7cb3e1d2e505ab3629e79f46313512cda06",
		32 << 30:  "077e5fde35c50a9303a55009e3498a4ebedff39c42b710b730d8ec7ac7afa63e",
		64 << 30:  "e64005a6bfe3777953b8ad6ef93f0fca1049b2041654f2a411f7702799cece02",
	}
	for size, want := range known {
		require.Equal(t, node(t, want), Zero(size), "%d", size)
	}
	vectors.Count(t, vectors.InTests+"commitments of zeros", len(known))
}

type commpCase struct {
	Commitment string
	Data       string
	LCGSeed    *uint32 `json:"lcg_seed"`
	Length     int
	PaddedSize uint64 `json:"padded_piece_size"`
	PieceCID   string `json:"piece_cid"`
}

func (c commpCase) payload(t *testing.T) []byte {
	if c.LCGSeed == nil {
		b, err := hex.DecodeString(c.Data)
		require.NoError(t, err)
		return b
	}
	out, s := make([]byte, c.Length), *c.LCGSeed
	for i := range out {
		s = s*1664525 + 1013904223
		out[i] = byte(s >> 24)
	}
	return out
}

type pieceCase struct {
	Size abi.PaddedPieceSize
	CID  string `json:"piece_cid"`
}

type pieceVectors struct {
	Cases struct {
		CommP []commpCase
		CommD []struct {
			AggregateCID  string              `json:"aggregate_cid"`
			AggregateSize abi.PaddedPieceSize `json:"aggregate_size"`
			Pieces        []pieceCase
			SectorSize    abi.PaddedPieceSize `json:"sector_size"`
			SectorCID     string              `json:"sector_unsealed_cid"`
		}
		Pad []struct {
			From   abi.PaddedPieceSize `json:"from_padded"`
			To     abi.PaddedPieceSize `json:"to_padded"`
			CID    string              `json:"piece_cid"`
			Result string
		}
		Zero []struct {
			Size abi.PaddedPieceSize `json:"padded_size"`
			CID  string              `json:"piece_cid"`
		}
	}
}

func parse(t *testing.T, s string) cid.Cid {
	c, err := cid.Decode(s)
	require.NoError(t, err)
	return c
}

func TestPieceVectors(t *testing.T) {
	var v pieceVectors
	vectors.JSON(t, "primitives/piece-commitments.json", &v)
	for _, c := range v.Cases.CommP {
		data := c.payload(t)
		require.Len(t, data, c.Length)
		got, err := Of(bytes.NewReader(data))
		require.NoError(t, err)
		require.Equal(t, c.PieceCID, got.PieceCID.String())
		require.EqualValues(t, c.PaddedSize, got.Size)
		n, err := FromCID(got.PieceCID)
		require.NoError(t, err)
		require.Equal(t, c.Commitment, n.String())
	}
	for _, c := range v.Cases.CommD {
		var pieces []abi.PieceInfo
		for _, p := range c.Pieces {
			pieces = append(pieces, abi.PieceInfo{Size: p.Size, PieceCID: parse(t, p.CID)})
		}
		n, size, err := Aggregate(pieces)
		require.NoError(t, err)
		require.Equal(t, c.AggregateSize, size)
		require.Equal(t, c.AggregateCID, CID(n).String())
		n, err = CommD(c.SectorSize, pieces)
		require.NoError(t, err)
		require.Equal(t, c.SectorCID, CID(n).String())
	}
	for _, c := range v.Cases.Pad {
		n, err := FromCID(parse(t, c.CID))
		require.NoError(t, err)
		n, err = Extend(n, c.From, c.To)
		require.NoError(t, err)
		require.Equal(t, c.Result, CID(n).String())
	}
	for _, c := range v.Cases.Zero {
		require.Equal(t, c.CID, CID(Zero(c.Size)).String())
	}
	counts := []int{len(v.Cases.CommP), len(v.Cases.CommD), len(v.Cases.Pad), len(v.Cases.Zero)}
	require.Equal(t, []int{39, 40, 40, 30}, counts)
	vectors.Count(t, "primitives/piece-commitments.json", 39+40+40+30)
	t.Logf("commp, commd, pad, zero passed: %v", counts)
}

func TestCommitmentCIDs(t *testing.T) {
	var v struct {
		Cases []struct {
			Commitment  string
			PieceCID    string `json:"piece_cid"`
			UnsealedCID string `json:"unsealed_cid"`
			SealedCID   string `json:"sealed_cid"`
			Unsealed    string `json:"unsealed_cid_bytes"`
			Sealed      string `json:"sealed_cid_bytes"`
		}
	}
	vectors.JSON(t, "primitives/commitment-cids.json", &v)
	for _, c := range v.Cases {
		n := node(t, c.Commitment)
		require.Equal(t, c.UnsealedCID, CID(n).String())
		require.Equal(t, c.PieceCID, CID(n).String())
		require.Equal(t, c.SealedCID, SealedCID(n).String())
		require.Equal(t, c.Unsealed, hex.EncodeToString(CID(n).Bytes()))
		require.Equal(t, c.Sealed, hex.EncodeToString(SealedCID(n).Bytes()))
		back, err := FromSealedCID(SealedCID(n))
		require.NoError(t, err)
		require.Equal(t, n, back)
		_, err = FromCID(SealedCID(n))
		require.Error(t, err)
	}
	require.Len(t, v.Cases, 40)
	vectors.Count(t, "primitives/commitment-cids.json", len(v.Cases))
	t.Logf("%d commitments", len(v.Cases))
}

// plainRoot is the tree over all nodes, level by level.
func plainRoot(level []fr32.Node) fr32.Node {
	for len(level) > 1 {
		var up []fr32.Node
		for i := 0; i < len(level); i += 2 {
			up = append(up, merkle.Join(level[i], level[i+1]))
		}
		level = up
	}
	return level[0]
}

func TestWriterAgainstPlainTree(t *testing.T) {
	rnd := rand.New(rand.NewSource(3))
	for range 60 {
		raw := make([]byte, 1+rnd.Intn(9000))
		rnd.Read(raw)
		got, err := Of(bytes.NewReader(raw))
		require.NoError(t, err)
		full := make([]byte, got.Size.Unpadded())
		copy(full, raw)
		padded := make([]byte, got.Size)
		require.NoError(t, fr32.Pad(padded, full))
		var leaves []fr32.Node
		for i := 0; i < len(padded); i += 32 {
			leaves = append(leaves, fr32.Node(padded[i:i+32]))
		}
		require.Equal(t, CID(plainRoot(leaves)), got.PieceCID, "%d bytes", len(raw))
	}
	_, err := Of(bytes.NewReader(nil))
	require.ErrorIs(t, err, ErrPiece)
}

func TestCommDRefusals(t *testing.T) {
	p := func(size abi.PaddedPieceSize) abi.PieceInfo {
		return abi.PieceInfo{Size: size, PieceCID: CID(Zero(2048))}
	}
	for name, pieces := range map[string][]abi.PieceInfo{
		"too big":      {p(4096)},
		"sum":          {p(1024), p(1024), p(128)},
		"alignment":    {p(128), p(1024), p(512), p(256)},
		"no power":     {p(192)},
		"too small":    {p(64)},
		"wrong codec":  {{Size: 128, PieceCID: SealedCID(Zero(2048))}},
		"undefined id": {{Size: 128}},
	} {
		_, err := CommD(2048, pieces)
		require.ErrorIs(t, err, ErrPiece, name)
	}
	empty, err := CommD(2048, nil)
	require.NoError(t, err)
	require.Equal(t, Zero(2048), empty)
}

func BenchmarkCommP(b *testing.B) {
	data := make([]byte, 127<<13)
	rand.New(rand.NewSource(4)).Read(data)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if _, err := Of(bytes.NewReader(data)); err != nil {
			b.Fatal(err)
		}
	}
}

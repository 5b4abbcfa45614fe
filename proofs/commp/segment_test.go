package commp

import (
	"bytes"
	"encoding/binary"
	"flag"
	"io"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/internal/npm"
)

var seed = flag.Uint64("seed", 0, "seed of the payloads that data-segment is asked about; 0 takes a fresh one")

const (
	// Below 65 bytes data-segment defines no piece: two of its four nodes would be empty. Ours pads it
	// to 127 bytes as any other.
	minPayload = 65
	maxPayload = 8 << 20
)

// payloadSizes are the edges, where the padding changes, and for the rest sizes spread evenly over the logarithms. Half
// are edges: they find more, and the large sizes of the rest are what takes time.
func payloadSizes(rnd *rand.Rand, count int) []int {
	sizes := []int{minPayload, minPayload + 1, 126, 127, 128, 129, 127<<13 + 1, maxPayload}
	around := func(n int) { sizes = append(sizes, n-1, n, n+1) }
	for k := 1; k <= 10; k++ {
		around(128 << k)                  // powers of two
		around(127 << k)                  // payloads that fill their piece
		around(127 * (2 + rnd.IntN(998))) // whole blocks of the padding
	}
	rest := count - len(sizes)
	for i := range rest {
		at := (float64(i) + rnd.Float64()) / float64(rest)
		sizes = append(sizes, int(minPayload*math.Pow(float64(maxPayload)/minPayload, at)))
	}
	rnd.Shuffle(len(sizes), func(i, j int) { sizes[i], sizes[j] = sizes[j], sizes[i] })
	return sizes
}

// TestDataSegmentAgrees compares piece commitments with those of a program that shares no line with ours. The payloads go
// to both sides as one stream, nobody holds them.
func TestDataSegmentAgrees(t *testing.T) {
	clients := npm.Install(t, "testdata/npm")
	s := *seed
	if s == 0 {
		s = rand.Uint64()
	}
	t.Logf("payloads of -seed %d", s)
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], s)
	content, sizes := rand.NewChaCha8(key), payloadSizes(rand.New(rand.NewPCG(s, 0)), 200)

	var input []io.Reader
	var ours []*Writer
	for _, n := range sizes {
		w := NewWriter()
		length := binary.LittleEndian.AppendUint32(nil, uint32(n))
		input = append(input, bytes.NewReader(length), io.TeeReader(io.LimitReader(content, int64(n)), w))
		ours = append(ours, w)
	}
	var theirs []struct {
		CID     string
		Size    abi.PaddedPieceSize
		Padding uint64
	}
	// Other tests want the second core, and the hashes are small: one thread that collects garbage takes a third less.
	clients.Stream(t, nil, io.MultiReader(input...), &theirs, "--single-threaded-gc", "piece.mjs")
	require.Len(t, theirs, len(ours))
	for i, w := range ours {
		got, err := w.Sum()
		require.NoError(t, err)
		require.Equal(t, theirs[i].CID, got.PieceCID.String(), "%d bytes, -seed %d", sizes[i], s)
		require.Equal(t, theirs[i].Size, got.Size, "%d bytes, -seed %d", sizes[i], s)
		require.Equal(t, theirs[i].Padding, uint64(got.Size.Unpadded())-uint64(sizes[i]), "%d bytes, -seed %d", sizes[i], s)
	}
}

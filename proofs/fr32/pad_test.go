package fr32

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math/rand"
	"testing"

	"github.com/stretchr/testify/require"
)

// padBits is the definition, bit by bit.
func padBits(src []byte) []byte {
	out := make([]byte, PaddedSize(uint64(len(src))))
	for i := range len(src) * 8 {
		bit := src[i/8] >> (i % 8) & 1
		at := i/254*256 + i%254
		out[at/8] |= bit << (at % 8)
	}
	return out
}

func TestPadMatchesDefinition(t *testing.T) {
	rnd := rand.New(rand.NewSource(1))
	for blocks := range 6 {
		src := make([]byte, blocks*RawBlock)
		rnd.Read(src)
		dst := make([]byte, blocks*PaddedBlock)
		require.NoError(t, Pad(dst, src))
		require.Equal(t, padBits(src), dst)
		back := make([]byte, len(src))
		require.NoError(t, Unpad(back, dst))
		require.Equal(t, src, back)
	}
	require.ErrorIs(t, Pad(make([]byte, 128), make([]byte, 126)), ErrLength)
	require.ErrorIs(t, Unpad(make([]byte, 127), make([]byte, 100)), ErrLength)
	require.ErrorIs(t, Unpad(make([]byte, 127), bytes.Repeat([]byte{0xff}, 128)), ErrPadding)
}

func TestStreams(t *testing.T) {
	rnd := rand.New(rand.NewSource(2))
	for _, size := range []int{1, 126, 127, 128, 5000, chunkBlocks * RawBlock, chunkBlocks*RawBlock + 1, 200_000} {
		src := make([]byte, size)
		rnd.Read(src)
		var padded bytes.Buffer
		p := NewPadder(&padded)
		for rest := src; len(rest) > 0; {
			n := min(len(rest), 1+rnd.Intn(70_000))
			_, err := p.Write(rest[:n])
			require.NoError(t, err)
			rest = rest[n:]
		}
		require.NoError(t, p.Close())
		require.EqualValues(t, padded.Len(), p.Padded())
		back, err := io.ReadAll(NewUnpadder(&padded))
		require.NoError(t, err)
		require.Equal(t, src, back[:size])
		require.Equal(t, make([]byte, len(back)-size), back[size:])
	}
	_, err := io.ReadAll(NewUnpadder(bytes.NewReader(make([]byte, 130))))
	require.True(t, errors.Is(err, ErrLength), "%v", err)
}

func TestNodeText(t *testing.T) {
	n := Trunc([32]byte{1, 2, 31: 0xff})
	b, err := json.Marshal(n)
	require.NoError(t, err)
	var m Node
	require.NoError(t, json.Unmarshal(b, &m))
	require.Equal(t, n, m)
	require.Error(t, json.Unmarshal([]byte(`"00"`), &m))
	require.Error(t, json.Unmarshal([]byte(`"`+string(bytes.Repeat([]byte{'z'}, 64))+`"`), &m))
	_, err = Node{31: 0xff}.Element()
	require.Error(t, err)
	e, err := n.Element()
	require.NoError(t, err)
	require.Equal(t, n, FromElement(e))
}

func FuzzUnpad(f *testing.F) {
	f.Add(make([]byte, 128))
	f.Fuzz(func(t *testing.T, b []byte) {
		out := make([]byte, UnpaddedSize(uint64(len(b))))
		if Unpad(out, b) != nil {
			return
		}
		again := make([]byte, len(b))
		require.NoError(t, Pad(again, out))
		require.Equal(t, b, again)
	})
}

func FuzzNodeText(f *testing.F) {
	f.Add([]byte("00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var n Node
		if n.UnmarshalText(b) == nil {
			out, err := n.MarshalText()
			require.NoError(t, err)
			require.Equal(t, bytes.ToLower(b), out)
		}
	})
}

func BenchmarkPad(b *testing.B) {
	src, dst := make([]byte, 127<<13), make([]byte, 128<<13)
	b.SetBytes(int64(len(src)))
	for b.Loop() {
		_ = Pad(dst, src)
	}
}

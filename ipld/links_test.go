package ipld

import (
	"bytes"
	"errors"
	"testing"

	"github.com/ipfs/go-cid"
	"github.com/stretchr/testify/require"
	cbg "github.com/whyrusleeping/cbor-gen"

	"github.com/filecoin-venus/venus/types"
)

// libraryLinks is the judge: the scanner of the encoders' own library.
func libraryLinks(data []byte) ([]cid.Cid, error) {
	var out []cid.Cid
	err := cbg.ScanForLinks(bytes.NewReader(data), func(c cid.Cid) { out = append(out, c) })
	return out, err
}

func link(data string) []byte {
	c := types.Sum([]byte(data)).Bytes()
	return append([]byte{0xd8, 0x2a, 0x58, byte(len(c) + 1), 0}, c...)
}

// FuzzLinks: what we read, the library reads, with the same links. What only
// the library reads: strings that end early, and links without their zero byte.
func FuzzLinks(f *testing.F) {
	one := link("one")
	for _, seed := range [][]byte{
		{0x80}, {}, {0xf6}, {0x1b, 0, 0, 0, 1, 0, 0, 0, 0}, {0x9f, 0xff}, {0x18, 0x17}, {0x9b, 255, 255, 255, 255, 255, 255, 255, 255},
		{0xbb, 128, 0, 0, 0, 0, 0, 0, 0}, {0xd8, 0x2a, 0x40}, {0xd8, 0x2a, 0x80}, {0xc1, 0x82, 1, 2}, {0x82, 0x41, 1, 0x61, 'a'},
		one, append([]byte{0x82}, append(one, link("two")...)...), append([]byte{0xa1, 0x61, 'k'}, one...), one[:len(one)-1],
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		want, wantErr := libraryLinks(data)
		got, err := scanLinks(data)
		if err == nil {
			require.NoError(t, wantErr)
			require.Equal(t, want, got)
		} else if wantErr == nil {
			require.True(t, errors.Is(err, errCBORLink) || errors.Is(err, errCBORShort), err)
		}
	})
}

func TestLinks(t *testing.T) {
	root := append([]byte{0x83, 0x01}, append(link("a"), append([]byte{0xa1, 0x61, 'k'}, link("b")...)...)...)
	got, err := Links(types.Sum(root), root)
	require.NoError(t, err)
	require.Equal(t, []cid.Cid{types.Sum([]byte("a")), types.Sum([]byte("b"))}, got)

	_, err = Links(types.Sum(root), root[:len(root)-1])
	require.ErrorIs(t, err, errCBORShort)

	raw := cid.NewCidV1(cid.Raw, types.Sum(root).Hash())
	got, err = Links(raw, root)
	require.NoError(t, err)
	require.Empty(t, got, "raw bytes hold no links")
}

func BenchmarkLinks(b *testing.B) {
	data := []byte{0x98, 32}
	for i := range 32 {
		data = append(data, link(string(rune('a'+i)))...)
	}
	for _, c := range []struct {
		name string
		scan func([]byte) ([]cid.Cid, error)
	}{{"ours", scanLinks}, {"library", libraryLinks}} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				if _, err := c.scan(data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

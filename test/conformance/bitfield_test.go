package conformance

import (
	"testing"

	"github.com/filecoin-project/go-bitfield"
	rleplus "github.com/filecoin-project/go-bitfield/rle"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/internal/vectors"
)

type bitfieldCases struct {
	Decode []struct {
		RLE       hexBytes    `json:"rle"`
		Valid     bool        `json:"valid"`
		Count     uint64      `json:"count"`
		Reencoded string      `json:"reencoded"`
		Runs      [][2]uint64 `json:"runs"`
	} `json:"decode"`
	Encode []struct {
		CBOR  hexBytes    `json:"cbor"`
		Count uint64      `json:"count"`
		Runs  [][2]uint64 `json:"runs"`
	} `json:"encode"`
	Ops []struct {
		A          hexBytes `json:"a"`
		B          hexBytes `json:"b"`
		Minus      string   `json:"a_minus_b"`
		Cut        string   `json:"cut_a_by_b"`
		Both       string   `json:"intersection"`
		Either     string   `json:"union"`
		Slice      string   `json:"slice"`
		SliceStart uint64   `json:"slice_start"`
		SliceLen   uint64   `json:"slice_len"`
	} `json:"ops"`
}

// runsOf lists the runs of set bits of a bitfield as [start, length].
func runsOf(t *testing.T, b bitfield.BitField) [][2]uint64 {
	t.Helper()
	it, err := b.RunIterator()
	require.NoError(t, err)
	var out [][2]uint64
	at := uint64(0)
	for it.HasNext() {
		r, err := it.NextRun()
		require.NoError(t, err)
		if r.Val {
			out = append(out, [2]uint64{at, r.Len})
		}
		at += r.Len
	}
	return out
}

func fromRuns(t *testing.T, runs [][2]uint64) bitfield.BitField {
	t.Helper()
	it := &rleplus.RunSliceIterator{}
	at := uint64(0)
	for _, r := range runs {
		if r[0] > at {
			it.Runs = append(it.Runs, rleplus.Run{Len: r[0] - at})
		}
		it.Runs = append(it.Runs, rleplus.Run{Val: true, Len: r[1]})
		at = r[0] + r[1]
	}
	b, err := bitfield.NewFromIter(it)
	require.NoError(t, err)
	return b
}

func TestBitfields(t *testing.T) {
	const file = "primitives/bitfield-rle.json"
	v := casesOf[bitfieldCases](t, file)
	for _, c := range v.Decode {
		b, err := bitfield.NewFromBytes(c.RLE)
		var n uint64
		if err == nil {
			n, err = b.Count()
		}
		require.Equal(t, c.Valid, err == nil, "%s: %v", c.RLE, err)
		if !c.Valid {
			continue
		}
		require.Equal(t, c.Count, n)
		require.Equal(t, c.Reencoded, encoded(t, b))
		if c.Runs != nil {
			require.Equal(t, c.Runs, runsOf(t, b))
		}
	}
	for _, c := range v.Encode {
		b := fromRuns(t, c.Runs)
		require.Equal(t, c.CBOR.String(), encoded(t, b))
		var back bitfield.BitField
		decode(t, c.CBOR, &back)
		n, err := back.Count()
		require.NoError(t, err)
		require.Equal(t, c.Count, n)
		require.Equal(t, c.Runs, runsOf(t, back))
	}
	for _, c := range v.Ops {
		checkSetAlgebra(t, c.A, c.B, c.Either, c.Both, c.Minus, c.Cut)
		if c.Slice != "" {
			var a bitfield.BitField
			decode(t, c.A, &a)
			s, err := a.Slice(c.SliceStart, c.SliceLen)
			require.NoError(t, err)
			require.Equal(t, c.Slice, encoded(t, s))
		}
	}
	vectors.Count(t, file, len(v.Decode)+len(v.Encode)+len(v.Ops))
}

func checkSetAlgebra(t *testing.T, rawA, rawB hexBytes, either, both, minus, cut string) {
	t.Helper()
	for _, op := range []struct {
		want string
		of   func(a, b bitfield.BitField) (bitfield.BitField, error)
	}{
		{either, bitfield.MergeBitFields}, {both, bitfield.IntersectBitField}, {minus, bitfield.SubtractBitField}, {cut, bitfield.CutBitField},
	} {
		var a, b bitfield.BitField
		decode(t, rawA, &a)
		decode(t, rawB, &b)
		got, err := op.of(a, b)
		require.NoError(t, err)
		require.Equal(t, op.want, encoded(t, got))
	}
}

func TestGoldenBitfield(t *testing.T) {
	const file = "known-answers/go-bitfield-golden.json"
	cases := casesOf[[]struct {
		RLE hexBytes `json:"rle"`
	}](t, file)
	for _, c := range cases {
		b, err := bitfield.NewFromBytes(c.RLE)
		require.NoError(t, err)
		again, err := rleplus.EncodeRuns(must(b.RunIterator()), nil)
		require.NoError(t, err)
		require.Equal(t, c.RLE.String(), hexBytes(again).String())
		require.Equal(t, runsOf(t, b), runsOf(t, fromRuns(t, runsOf(t, b))))
	}
	vectors.Count(t, file, len(cases))
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"testing"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/specs-actors/v7/actors/util/adt"
	"github.com/ipfs/go-cid"
	"github.com/stretchr/testify/require"
	cbg "github.com/whyrusleeping/cbor-gen"

	"github.com/filecoin-venus/venus/internal/vectors"
	"github.com/filecoin-venus/venus/ipld"
)

// collectionCase is a HAMT or an AMT made by a list of operations.
type collectionCase struct {
	BitWidth  int                 `json:"bitwidth"`
	Ops       [][]json.RawMessage `json:"ops"`
	Root      string              `json:"root"`
	RootBlock []byte              `json:"root_block"`
	Size      int                 `json:"size"`
	Count     int                 `json:"block_count"`
	Blocks    []string            `json:"blocks"`
}

func part[T any](t *testing.T, op []json.RawMessage, i int) (v T) {
	t.Helper()
	require.Less(t, i, len(op))
	require.NoError(t, json.Unmarshal(op[i], &v))
	return v
}

// checkTree compares the blocks below a root with the vector's.
func checkTree(t *testing.T, bs ipld.Blockstore, root cid.Cid, c *collectionCase) {
	t.Helper()
	ctx := context.Background()
	require.Equal(t, c.Root, root.String())
	block, err := bs.Get(ctx, root)
	require.NoError(t, err)
	if c.RootBlock != nil {
		require.Equal(t, c.RootBlock, block)
	}
	var car bytes.Buffer
	require.NoError(t, ipld.WriteCAR(ctx, &car, bs, root))
	reached := ipld.NewMemory()
	_, err = ipld.ReadCAR(ctx, &car, reached)
	require.NoError(t, err)
	require.Equal(t, c.Count, reached.Len())
	for _, b := range c.Blocks {
		has, err := reached.Has(ctx, must(cid.Decode(b)))
		require.NoError(t, err)
		require.True(t, has, b)
	}
}

func TestHAMT(t *testing.T) {
	const file = "primitives/hamt.json"
	cases := casesOf[[]collectionCase](t, file)
	for i := range cases {
		c, bs := &cases[i], ipld.NewMemory()
		m, err := adt.MakeEmptyMap(ipld.NewStore(context.Background(), bs), c.BitWidth)
		require.NoError(t, err)
		for _, op := range c.Ops {
			key := stringKey(part[hexBytes](t, op, 1))
			switch kind := part[string](t, op, 0); kind {
			case "put":
				require.NoError(t, m.Put(key, new(cbg.CborInt(part[int64](t, op, 2)))))
			case "del":
				found, err := m.TryDelete(key)
				require.NoError(t, err)
				require.Equal(t, part[bool](t, op, 2), found)
			default:
				t.Fatalf("unknown operation %s", kind)
			}
		}
		root, err := m.Root()
		require.NoError(t, err)
		checkTree(t, bs, root, c)
		again, err := adt.AsMap(ipld.NewStore(context.Background(), bs), root, c.BitWidth)
		require.NoError(t, err)
		keys, err := again.CollectKeys()
		require.NoError(t, err)
		require.Len(t, keys, c.Size)
	}
	vectors.Count(t, file, len(cases))
}

// stringKey is a key of a HAMT as it is.
type stringKey string

func (k stringKey) Key() string { return string(k) }

func TestAMT(t *testing.T) {
	const file = "primitives/amt.json"
	cases := casesOf[[]collectionCase](t, file)
	for i := range cases {
		c, bs := &cases[i], ipld.NewMemory()
		a, err := adt.MakeEmptyArray(ipld.NewStore(context.Background(), bs), c.BitWidth)
		require.NoError(t, err)
		for _, op := range c.Ops {
			index := part[uint64](t, op, 1)
			switch kind := part[string](t, op, 0); kind {
			case "set":
				require.NoError(t, a.Set(index, new(cbg.CborInt(part[int64](t, op, 2)))))
			case "del":
				_, err := a.TryDelete(index)
				require.NoError(t, err)
			default:
				t.Fatalf("unknown operation %s", kind)
			}
		}
		root, err := a.Root()
		require.NoError(t, err)
		checkTree(t, bs, root, c)
		again, err := adt.AsArray(ipld.NewStore(context.Background(), bs), root, c.BitWidth)
		require.NoError(t, err)
		require.EqualValues(t, c.Size, again.Length())
	}
	vectors.Count(t, file, len(cases))
}

func TestBigIntegers(t *testing.T) {
	const file = "primitives/bigint-cbor.json"
	v := casesOf[struct {
		Encode []struct {
			CBOR  hexBytes `json:"cbor"`
			Value string   `json:"value"`
		} `json:"encode"`
		Decode []struct {
			CBOR      hexBytes `json:"cbor"`
			Value     string   `json:"value"`
			Valid     bool     `json:"valid"`
			Reencoded string   `json:"reencoded"`
		} `json:"decode"`
	}](t, file)
	for _, c := range v.Encode {
		n, err := big.FromString(c.Value)
		require.NoError(t, err)
		require.Equal(t, c.CBOR.String(), encoded(t, &n))
	}
	for _, c := range v.Decode {
		var n abi.TokenAmount
		err := n.UnmarshalCBOR(bytes.NewReader(c.CBOR))
		require.Equal(t, c.Valid, err == nil, "%s: %v", c.CBOR, err)
		if c.Valid {
			require.Equal(t, c.Value, n.String())
			require.Equal(t, c.Reencoded, encoded(t, &n))
		}
	}
	vectors.Count(t, file, len(v.Encode)+len(v.Decode))
}

package ipld

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	"github.com/stretchr/testify/require"
)

// BenchmarkGet reads blocks of 300 bytes here and there in a store that holds them in so many packs, and asks for some that it
// does not have.
func BenchmarkGet(b *testing.B) {
	const all = 1 << 19
	for _, packs := range []int{1, 4, 13} {
		d, err := OpenDisk(b.TempDir())
		require.NoError(b, err)
		d.tidier.end()
		r := rand.NewPCG(1, 2)
		block := func() blocks.Block {
			data := make([]byte, 300)
			for i := 0; i+8 <= len(data); i += 8 {
				binary.LittleEndian.PutUint64(data[i:], r.Uint64())
			}
			c, err := prefix.Sum(data)
			require.NoError(b, err)
			blk, err := blocks.NewBlockWithCid(data, c)
			require.NoError(b, err)
			return blk
		}
		var here, absent []cid.Cid
		for range packs {
			for range all / packs {
				blk := block()
				here = append(here, blk.Cid())
				require.NoError(b, d.PutMany(b.Context(), []blocks.Block{blk}))
				if len(absent) < 1<<16 {
					absent = append(absent, block().Cid())
				}
			}
			require.NoError(b, d.Sync(b.Context()))
			require.NoError(b, d.roll())
		}
		for len(d.manifest().Growing) > 1 {
			require.NoError(b, d.seal(d.manifest().Growing[len(d.manifest().Growing)-1]))
		}
		for p := d.unlearned(); p != nil; p = d.unlearned() {
			require.NoError(b, p.learn(b.Context()))
		}
		rng := rand.New(r)
		b.Run(fmt.Sprintf("here-%d", packs), func(b *testing.B) {
			for b.Loop() {
				if _, err := d.Get(b.Context(), here[rng.IntN(len(here))]); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("absent-%d", packs), func(b *testing.B) {
			for b.Loop() {
				if ok, err := d.Has(b.Context(), absent[rng.IntN(len(absent))]); ok || err != nil {
					b.Fatal(ok, err)
				}
			}
		})
		require.NoError(b, d.Close())
	}
}

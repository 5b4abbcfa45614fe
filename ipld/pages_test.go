package ipld

import (
	"encoding/binary"
	"math/rand/v2"
	"sync"
	"testing"
)

// Whatever is offered by whom, a page that is found is the one that is meant.
func TestPageCache(t *testing.T) {
	c := new(pageCache)
	var wg sync.WaitGroup
	for seed := range uint64(4) {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(seed, 0))
			found := 0
			for range 200_000 {
				pack, at := 1+r.Uint64N(3), int(r.Uint64N(pageSlots))
				want := binary.BigEndian.AppendUint64(nil, pack<<32|uint64(at))
				got, ok := c.get(pack, at)
				switch {
				case !ok:
					c.offer(pack, at, want)
				case string(got) != string(want):
					t.Errorf("page %d of pack %d is another", at, pack)
				default:
					found++
				}
			}
			if found < 200_000/10 {
				t.Errorf("found %d of 200000, where a third has a place", found)
			}
		})
	}
	wg.Wait()
	if a, b := c.newPack(), c.newPack(); a == b {
		t.Error("two packs have one number")
	}
}

package ipld

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// A filter never denies what was added, and seldom lets through what was not.
func TestFilter(t *testing.T) {
	r := rand.NewChaCha8([32]byte{1})
	key := func() (k Key) {
		_, _ = r.Read(k[:])
		return k
	}
	for _, n := range []int{0, 1, 50, 100_000} {
		f := newFilter(n)
		for range n {
			k := key()
			f.add(k)
			require.False(t, f.lacks(k))
		}
		through := 0
		for range 100_000 {
			if !f.lacks(key()) {
				through++
			}
		}
		require.Less(t, through, 2000, "of 100000, with %d keys", n)
	}
}

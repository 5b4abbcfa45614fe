package mining

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Known quantiles (2.5 and 97.5 of 100) of the two distributions.
func TestIntervals(t *testing.T) {
	for _, c := range []struct {
		n         int64
		p         float64
		low, high int64
	}{{100, 0.5, 40, 60}, {10, 0.1, 0, 3}, {1000, 0.01, 4, 17}, {2880, 0.2, 534, 618}, {50, 1, 50, 50}, {0, 0.5, 0, 0}, {7, 0, 0, 0}} {
		low, high := binomial(c.n, c.p)
		require.Equal(t, [2]int64{c.low, c.high}, [2]int64{low, high}, "%d rounds of %v", c.n, c.p)
	}
	for _, c := range []struct {
		mean      float64
		low, high int64
	}{{10, 4, 17}, {0.5, 0, 2}, {100, 81, 120}, {0, 0, 0}} {
		low, high := poisson(c.mean)
		require.Equal(t, [2]int64{c.low, c.high}, [2]int64{low, high}, "mean %v", c.mean)
	}
	low, high := poisson(10_000) // near the normal distribution: 1.96 of its sigmas
	require.InDelta(t, 10_000-196, low, 3)
	require.InDelta(t, 10_000+196, high, 3)
}

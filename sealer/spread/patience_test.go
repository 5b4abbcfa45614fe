package spread

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestPatience(t *testing.T) {
	const m = time.Minute
	for name, c := range map[string]struct{ left, own, all, want time.Duration }{
		"never measured: a quarter":           {40 * m, 0, 0, 10 * m},
		"fast here: half":                     {40 * m, m, 2 * m, 20 * m},
		"what it takes here and half of that": {40 * m, 20 * m, 20 * m, 10 * m},
		"two proofs wait":                     {40 * m, 10 * m, 20 * m, 10 * m},
		"just enough time to make it here":    {30 * m, 20 * m, 20 * m, 0},
		"not enough even now":                 {30 * m, 25 * m, 25 * m, 0},
		"not all can be made here":            {40 * m, 10 * m, 60 * m, 20 * m},
		"not all, and little time":            {20 * m, 10 * m, 60 * m, 5 * m},
		"it is over":                          {0, m, m, 0},
		"it is long over":                     {-5 * m, m, m, 0},
		"over and not measured":               {-5 * m, 0, 0, 0},
	} {
		require.Equal(t, c.want, Patience(c.left, c.own, c.all), name)
	}
}

// TestPatienceLeavesTime holds for any times: whoever waits can still make his proof here, with half its time to spare.
func TestPatienceLeavesTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(name string, from, to int) time.Duration {
			return time.Duration(rapid.IntRange(from, to).Draw(t, name)) * time.Second
		}
		left, own := draw("left", -100, 5000), draw("own", 1, 3000)
		all := own * time.Duration(rapid.IntRange(1, 20).Draw(t, "proofs"))
		p := Patience(left, own, all)
		require.GreaterOrEqual(t, p, time.Duration(0))
		require.LessOrEqual(t, p, max(left/2, 0))
		if p > 0 {
			require.LessOrEqual(t, p+own+own/2, left)
		}
		if all+all/2 <= left {
			require.LessOrEqual(t, p+all+all/2, left, "all of the deadline can be made here, one after the other")
		}
	})
}

package messager

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/stretchr/testify/require"

	msgapi "github.com/filecoin-venus/venus/api/messager"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/types"
)

// memoryEnv is how long TestSteadyMemory runs, such as 2m.
const memoryEnv = "VENUS_MEMORY"

// TestSteadyMemory has a messager, as a process of its own, deliver 200 messages a second and watches its memory: what it has
// in the last third of the time is not more than in the second, but for a little.
func TestSteadyMemory(t *testing.T) {
	long, err := time.ParseDuration(os.Getenv(memoryEnv))
	if err != nil {
		t.Skipf("takes its time: set %s=2m", memoryEnv)
	}
	c := newCluster(t)
	senders := []address.Address{c.addr}
	for len(senders) < 20 {
		senders = append(senders, c.wallet.newKey(t))
	}
	for _, a := range senders {
		c.node.balances[a] = big.Mul(fil, big.NewInt(1_000_000))
	}
	require.NoError(t, c.client("an.admin.token").SaveWallet(t.Context(), msgapi.WalletSpec{Name: "w", URL: c.wURL, Token: walletToken}))
	c.stop()
	k := c.startChild("")
	p, stop := c.dialChild()
	defer stop()

	ctx, cancel := context.WithTimeout(t.Context(), long)
	defer cancel()
	var accepted sync.WaitGroup
	counts := make([]int, 4)
	for w := range counts {
		accepted.Go(func() {
			for clock.Real().Sleep(ctx, 20*time.Millisecond) == nil {
				a := senders[(w+4*counts[w])%len(senders)]
				if _, err := p.PushMessage(ctx, &types.Message{From: a, To: a, Value: big.Zero(), Method: 16}, nil, "w"); err == nil {
					counts[w]++
				}
			}
		})
	}
	var seen []int
	for i := 0; clock.Real().Sleep(ctx, 200*time.Millisecond) == nil; i++ {
		c.node.step()
		if i%25 == 0 {
			seen = append(seen, residentKiB(t, k.cmd.Process.Pid))
		}
	}
	accepted.Wait()
	total := counts[0] + counts[1] + counts[2] + counts[3]
	t.Logf("%d messages accepted, %d forms pushed; resident KiB every five seconds: %v", total, len(c.node.pushed), seen)
	third := len(seen) / 3
	require.Positive(t, third, "too short to tell")
	median := func(s []int) int { s = slices.Sorted(slices.Values(s)); return s[len(s)/2] }
	before, after := median(seen[third:2*third]), median(seen[2*third:])
	require.Less(t, after, before+before/5+8<<10, "it grows")
	require.NoError(t, p.Shutdown(t.Context()))
	require.NoError(t, <-k.ended)
}

// residentKiB is the memory of a process that is not swapped out.
func residentKiB(t *testing.T, pid int) int {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	require.NoError(t, err)
	m := regexp.MustCompile(`VmRSS:\s+(\d+) kB`).FindSubmatch(raw)
	require.NotNil(t, m)
	n, err := strconv.Atoi(string(m[1]))
	require.NoError(t, err)
	return n
}

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/cli/render"
)

// TestProvingGuide types every command of docs/guide/proving.md at a miner that has a proven sector, on a real chain.
func TestProvingGuide(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join(shared.root, "docs", "guide", "proving.md"))
	require.NoError(t, err)
	c, _ := living(t)
	c.await(t, "proving", 5*time.Minute)
	typed := 0
	for _, line := range strings.Split(string(page), "\n") {
		command, isBlock := strings.CutPrefix(line, "    venus-sealer ")
		if !isBlock {
			continue
		}
		typed++
		args := append([]string{"--repo", c.layout.Home("venus-sealer")}, strings.Fields(command)...)
		r := shared.command(t, c.w.tmp, "venus-sealer", args...)
		switch {
		case strings.HasPrefix(command, "maintenance check") && r.code == render.ExitPrecondition:
			require.Contains(t, r.out, "against:", "a refusal gives its reasons")
		case r.code != 0:
			t.Errorf("venus-sealer %s: exit code %d\n%s", command, r.code, r.all())
		}
		if strings.HasPrefix(command, "actor withdraw") || strings.HasPrefix(command, "actor control set") {
			require.Contains(t, r.out, "landed at epoch", command)
			refused := shared.command(t, c.w.tmp, "venus-sealer", append([]string{"--repo", c.layout.Home("venus-sealer")}, strings.Fields(strings.Replace(command, "--really-do-it", "", 1))...)...)
			require.Equal(t, render.ExitUsage, refused.code, refused.all())
			require.Contains(t, refused.all(), "nothing was sent")
		}
	}
	require.GreaterOrEqual(t, typed, 14)
}

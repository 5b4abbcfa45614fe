package sealing

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/cli/render"
	clisealer "github.com/filecoin-venus/venus/cli/sealer"
	"github.com/filecoin-venus/venus/internal/drill"
)

// TestDrillWorker kills the only worker at its work, and goes on as docs/guide/drill-worker.md tells it.
func TestDrillWorker(t *testing.T) {
	w := newWorld(t, 2<<10, nil, true)
	home := filepath.Join(w.dir, "sealer")
	m := newMachines(w).build()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var around sync.WaitGroup
	defer around.Wait()
	defer cancel()
	sealer := func(args ...string) (string, int) {
		var out bytes.Buffer
		code := render.Run(ctx, clisealer.App(clisealer.Deps{Network: func(string) {}}), append([]string{"venus-sealer", "--data", home}, args...), &out, &out)
		return out.String(), code
	}
	until := func(what string, args ...string) {
		var out string
		require.Eventually(t, func() bool {
			out, _ = sealer(args...)
			return strings.Contains(out, what)
		}, time.Minute, 20*time.Millisecond, "%v never says %q", args, what)
	}
	token := filepath.Join(home, "token")
	m.join("machine-a")
	pledged := w.pledge(3)
	drill.Run(t, drill.Drill{
		Page:     "../../docs/guide/drill-worker.md",
		Fill:     strings.NewReplacer("/ip4/10.0.0.1/tcp/2345/http", w.s.Address, "/etc/venus/sealer-token", token, "why 7", fmt.Sprint("why ", slices.Max(pledged))),
		Programs: map[string]drill.Program{"venus-sealer": sealer, "venus-worker": m.run},
		Steps: []drill.Step{
			{Type: "venus-sealer sealing workers", Before: func() {
				until("running", "sealing", "jobs")
				m.kill()
				until("silent", "sealing", "workers")
			}, After: func(out string) { require.Contains(t, out, "machine-a") }},
			{Type: "venus-sealer sealing jobs", Before: func() {
				require.Eventually(t, func() bool {
					out, _ := sealer("sealing", "jobs")
					return !strings.Contains(out, "running")
				}, time.Minute, epoch, "its task is taken from it")
			}, After: func(out string) { require.Equal(t, 3, strings.Count(out, "waiting"), out) }},
			{Type: "venus-sealer sealing why 7", After: func(out string) { require.Contains(t, out, "waits since") }},
			{Type: "venus-worker run --name machine-b --sealer /ip4/10.0.0.1/tcp/2345/http --token @/etc/venus/sealer-token"},
			{Type: "venus-worker set --enabled=false --name machine-a --sealer /ip4/10.0.0.1/tcp/2345/http --token @/etc/venus/sealer-token", After: func(string) {
				s, err := w.api.WorkerGet(ctx, "machine-a")
				require.NoError(t, err)
				require.False(t, s.Enabled)
			}},
			{Type: "venus-worker info --name machine-b --sealer /ip4/10.0.0.1/tcp/2345/http --token @/etc/venus/sealer-token", Before: func() {
				until("machine-b", "sealing", "workers")
			}},
			{Type: "venus-sealer sectors list --columns ID,State", Before: func() {
				around.Go(func() { w.live(ctx) })
				w.proven(ctx, 3)
			}, After: func(out string) { require.Equal(t, 3, strings.Count(out, "Proving"), out) }},
			{Type: "venus-sealer sectors list --trouble", After: func(out string) { require.NotContains(t, out, "Failed") }},
			{Type: "venus-sealer proving check"},
		},
	})
	left, err := os.ReadDir(filepath.Join(w.dir, "files", "sealed"))
	require.NoError(t, err)
	require.Len(t, left, 3, "one replica of each sector")
}

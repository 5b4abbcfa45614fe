package sealer

import (
	"bytes"
	"testing"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/stretchr/testify/require"

	sealerapi "github.com/filecoin-venus/venus/api/sealer"
	"github.com/filecoin-venus/venus/cli/render"
)

func TestJobsTable(t *testing.T) {
	var out bytes.Buffer
	sector := func(n abi.SectorNumber) abi.SectorID { return abi.SectorID{Miner: 1000, Number: n} }
	printJobs(render.New(&out, &out), map[string][]sealerapi.WorkerJob{
		"": {{ID: sealerapi.CallID{ID: "t01000-2-PC2-1"}, Sector: sector(2), Task: "PC2", RunWait: 1, Start: now().Add(-time.Hour), Cores: 16, Memory: 1 << 30}},
		"built-in-0f8fad5b-d9cb-469f-a165-70867728950e": {{ID: sealerapi.CallID{ID: "t01000-1-PC1-1"}, Sector: sector(1), Task: "PC1", Start: now().Add(-time.Minute), Hostname: "h", Cores: 2, Memory: 64 << 30}},
		"built-in": {{ID: sealerapi.CallID{ID: "WDP"}, Task: "WDP", Start: now(), Hostname: "this sealer"}},
	})
	lines := bytes.Split(bytes.TrimSpace(out.Bytes()), []byte("\n"))
	require.Len(t, lines, 4)
	require.Regexp(t, `^t01000-1-PC1-1 +1 +0f8fad5b +h +PC1 +running +1m0s +2 +64 GiB`, string(lines[1]))
	require.Regexp(t, `^WDP +this sealer|^WDP +built-in +this sealer +WDP +running`, string(lines[2]))
	require.Regexp(t, `^t01000-2-PC2-1 +2 +PC2 +waiting\(1\)`, string(lines[3]))
}

func TestWorkerLines(t *testing.T) {
	var out bytes.Buffer
	printWorker(render.New(&out, &out), "id", sealerapi.WorkerStats{
		Info: sealerapi.WorkerInfo{Hostname: "h", Resources: sealerapi.WorkerResources{CPUs: 64, MemPhysical: 128 << 30}}, CpuUse: 16, MemUsedMax: 64 << 30,
		Leaving: true, Tasks: []string{"PC1", "PC2"}, Limits: map[string]int{"PC1": 2}, Running: 3, Slots: 4, Disabled: []string{"C2"}, Reaches: []string{"/a"}, LastSeen: now(),
		PassedOver: "its proof does not hold", PassedUntil: now().Add(59*time.Minute + 500*time.Millisecond),
	})
	require.Contains(t, out.String(), "Worker id, host h (disabled, leaving, built in)\n")
	require.Contains(t, out.String(), "16/64 core(s) in use")
	require.Contains(t, out.String(), "50% 64 GiB/128 GiB")
	require.Contains(t, out.String(), "running: 3; takes: PC1=2 PC2; at most 4 at once; disabled: C2\n")
	require.Contains(t, out.String(), "no window proofs for 59m0s: its proof does not hold\n")
	require.Contains(t, out.String(), "reaches 1 storage path(s): /a\n")
}

func TestJobWhyText(t *testing.T) {
	text := func(w sealerapi.JobWhy) string {
		var out bytes.Buffer
		w.ID, w.Since, w.Cores, w.Memory = "t01000-1-PC1-1", now().Add(-time.Minute), 2, 64<<30
		printJobWhy(render.New(&out, &out), w)
		return out.String()
	}
	waits := text(sealerapi.JobWhy{State: "queued", Losses: 1, Disk: 1 << 40, Path: "/p", Obstacles: []sealerapi.JobObstacle{{Worker: "w", Hostname: "h", Reason: "it takes no PC1 tasks"}}})
	require.Contains(t, waits, "t01000-1-PC1-1 waits since 1m0s\nIt takes 2 core(s), 64 GiB of memory, 1 TiB on disk, files in /p.\n1 worker(s) fell silent over it.\n")
	require.Contains(t, waits, "it takes no PC1 tasks")
	require.Contains(t, waits, "Nothing of this goes away by itself.")
	require.NotContains(t, text(sealerapi.JobWhy{State: "queued", Obstacles: []sealerapi.JobObstacle{{Reason: "busy", ForNow: true}}}), "by itself")
	require.Contains(t, text(sealerapi.JobWhy{State: "queued", Obstacles: []sealerapi.JobObstacle{{}}}), "it is given the task now")
	require.Contains(t, text(sealerapi.JobWhy{State: "queued"}), "No worker is there")
	require.Contains(t, text(sealerapi.JobWhy{State: "leased", Hostname: "h", Worker: "w"}), "runs on h (w) since 1m0s")
	require.Contains(t, text(sealerapi.JobWhy{State: "failed", Reason: "disk full"}), "It failed: disk full")
}

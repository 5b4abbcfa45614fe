package sealing

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/crypto"
	"github.com/filecoin-project/go-state-types/proof"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/miner"
	"github.com/ipfs/go-cid"
	"github.com/stretchr/testify/require"

	sealerapi "github.com/filecoin-venus/venus/api/sealer"
	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/proofs/verify"
	"github.com/filecoin-venus/venus/rpc"
	"github.com/filecoin-venus/venus/sealer/sched"
	"github.com/filecoin-venus/venus/sealer/sealertest"
	"github.com/filecoin-venus/venus/types"
	"github.com/filecoin-venus/venus/worker"
)

// dueAt is the i-th deadline with sectors, two partitions of two. None has its challenge while another is open.
func dueAt(i int) uint64 { return uint64(5 + 3*i) }

// TestWindowProofs keeps four deadlines with workers that make window proofs: one that does it well, one that is killed in the
// middle of it, one whose proofs are false, and the first again. Every deadline lands, with proofs that hold.
func TestWindowProofs(t *testing.T) {
	w := newWorld(t, 2<<10, nil, true)
	commR := map[abi.SectorNumber]cid.Cid{}
	shared := filepath.Join(w.dir, "proven")
	for n := range abi.SectorNumber(16) {
		c, err := sealertest.Seal(t.Context(), shared, n, append(make([]byte, 31), byte(n)))
		require.NoError(t, err)
		commR[n] = c
		w.chain.AddSealed(n, dueAt(int(n/4)), uint64(n/2%2), c)
	}
	w.chain.Change(func() { w.chain.AnyProof, w.chain.AnyWindow = false, true }) // deadlines can be missed; the test judges the proofs
	_, err := w.api.StorageAttach(t.Context(), sealerapi.StorageSpec{Path: shared, Init: true, CanStore: true})
	require.NoError(t, err)
	m := newMachines(w).build()

	m.join("good", "--tasks", "WDP")
	w.prover("good")
	w.chain.Tick(time.Now())
	var trial *sealerapi.Rehearsal
	require.Eventually(t, func() bool { // a real proof goes first
		trial, err = w.api.ProvingRehearse(t.Context(), dueAt(1), 0)
		return err == nil
	}, time.Minute, epoch)
	require.Equal(t, []string{"", "good"}, hosts(trial.Parts), "the sealer makes what no worker has begun")
	w.due(0)
	require.Equal(t, []string{"", "good"}, hosts(w.made(0)))

	notes := filepath.Join(w.dir, "begun")
	w.enable("good", false)
	slow := m.hire(role{Name: "slow", Notes: notes, Window: holds})
	w.prover("slow")
	done := make(chan struct{})
	var seen sealerapi.WorkerJob
	var why sealerapi.JobWhy
	go func() {
		defer close(done)
		for t.Context().Err() == nil && !strings.Contains(tail(notes), "WDP") {
			pause(t.Context(), epoch/10)
		}
		seen, why = w.windowJob("slow")
		slow.kill()
	}()
	w.due(1)
	<-done
	require.Equal(t, []any{"WDP", "slow", 1, shared, 0}, []any{seen.Task, seen.Hostname, seen.Cores, seen.Path, seen.RunWait})
	require.Equal(t, []any{"leased", "slow", shared}, []any{why.State, why.Hostname, why.Path})
	require.Equal(t, []string{"", ""}, hosts(w.made(1)))
	require.Contains(t, before(w.made(1)), "slow: ")

	m.hire(role{Name: "liar", Notes: notes, Window: lies})
	w.prover("liar")
	w.due(2)
	require.Equal(t, []string{"", ""}, hosts(w.made(2)))
	require.Contains(t, before(w.made(2)), "liar: its proof does not hold")
	list, err := w.api.WorkerStats(t.Context())
	require.NoError(t, err)
	for _, s := range list {
		require.Equal(t, s.Info.Hostname == "liar", s.PassedOver != "", s.Info.Hostname)
	}

	w.enable("good", true)
	w.due(3)
	require.Equal(t, []string{"", "good"}, hosts(w.made(3)), "the liar is passed over")
	require.Zero(t, w.chain.Missed())
	w.verifyWindows(commR)
	require.Regexp(t, `venus_sealer_window_proofs_total\{.*machine="liar".*outcome="refused".*\} [12]`, w.metrics())
	require.Regexp(t, `venus_sealer_window_proofs_total\{.*machine="slow".*outcome="(lost|late)".*\} 1`, w.metrics())
	require.Regexp(t, `venus_sealer_window_proof_seconds_count\{.*machine="good".*\} 3`, w.metrics())
}

// prover waits until a worker is there that makes window proofs and reaches the files.
func (w *world) prover(name string) {
	require.Eventually(w.t, func() bool {
		list, err := w.api.WorkerStats(w.t.Context())
		require.NoError(w.t, err)
		for _, s := range list {
			if s.Info.Hostname == name && len(s.Reaches) == 2 {
				return true
			}
		}
		return false
	}, time.Minute, epoch, "worker %s is not there", name)
}

// windowJob is the window proof that a worker makes, as an operator sees it.
func (w *world) windowJob(host string) (sealerapi.WorkerJob, sealerapi.JobWhy) {
	all, err := w.api.WorkerJobs(w.t.Context())
	if err != nil {
		w.t.Errorf("list jobs: %v", err)
	}
	for _, list := range all {
		for _, j := range list {
			if j.Hostname == host {
				why, err := w.api.SealingWhy(w.t.Context(), j.ID.ID)
				if err != nil {
					w.t.Errorf("ask for job %s: %v", j.ID.ID, err)
				}
				return j, why
			}
		}
	}
	return sealerapi.WorkerJob{}, sealerapi.JobWhy{}
}

func (w *world) enable(name string, yes bool) {
	require.NoError(w.t, w.api.WorkerSet(w.t.Context(), name, sealerapi.WorkerSettings{Enabled: yes, DisabledTasks: []string{}}))
}

// due lets epochs pass until the i-th deadline with sectors is proven and over: quickly but while the proof is made, when an
// epoch lasts as long as the network says.
func (w *world) due(i int) {
	window := w.chain.Network.ChallengeWindow
	period := w.chain.Network.ProvingPeriod()
	open := period + abi.ChainEpoch(dueAt(i))*window
	quickly := func(to abi.ChainEpoch) {
		for w.chain.Height() < to {
			w.chain.Tick(time.Now())
			pause(w.t.Context(), epoch/8)
		}
	}
	quickly(open - params.PostChallengeLookback)
	for len(w.made(i)) == 0 {
		require.Less(w.t, w.chain.Height(), open+window, "deadline %d is not proven", dueAt(i))
		pause(w.t.Context(), w.chain.Network.BlockDelay)
		w.chain.Tick(time.Now())
	}
	w.t.Logf("deadline %d was proven %d epochs after its challenge: %+v", dueAt(i), w.chain.Height()-open+params.PostChallengeLookback, w.made(i))
	quickly(open + window)
	require.Zero(w.t, w.chain.Missed())
}

// made tells who proved the i-th deadline with sectors; nothing while it is not proven.
func (w *world) made(i int) []sealerapi.ProofPart {
	list, err := w.api.WindowPoStHistory(w.t.Context(), 100)
	require.NoError(w.t, err)
	for _, r := range list {
		if r.Deadline == dueAt(i) {
			return r.Parts
		}
	}
	return nil
}

func hosts(parts []sealerapi.ProofPart) (out []string) {
	for _, p := range parts {
		out = append(out, p.Host)
	}
	slices.Sort(out)
	return out
}

func before(parts []sealerapi.ProofPart) string {
	out := ""
	for _, p := range parts {
		out += p.Before + "\n"
	}
	return out
}

func (w *world) metrics() string {
	url, err := rpc.ParseEndpoint(w.s.Address, "/metrics")
	require.NoError(w.t, err)
	res, err := http.Get(url)
	require.NoError(w.t, err)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	require.NoError(w.t, err)
	return string(b)
}

// verifyWindows judges every window proof that landed as the chain would.
func (w *world) verifyWindows(commR map[abi.SectorNumber]cid.Cid) {
	ctx, t := w.t.Context(), w.t
	pushed := w.chain.Messager().Pushed(builtin.MethodsMiner.SubmitWindowedPoSt)
	require.Len(t, pushed, 4)
	require.Equal(t, 4, w.chain.Messager().Landed(builtin.MethodsMiner.SubmitWindowedPoSt))
	var entropy bytes.Buffer
	m := sealertest.Miner()
	require.NoError(t, m.MarshalCBOR(&entropy))
	for i, msg := range pushed {
		var p miner.SubmitWindowedPoStParams
		require.NoError(t, p.UnmarshalCBOR(bytes.NewReader(msg.Params)))
		require.Equal(t, dueAt(i), p.Deadline)
		require.Len(t, p.Partitions, 2)
		r, err := w.chain.StateGetRandomnessFromBeacon(ctx, crypto.DomainSeparationTag_WindowedPoStChallengeSeed, p.ChainCommitEpoch, entropy.Bytes(), types.EmptyTSK)
		require.NoError(t, err)
		var list []proof.SectorInfo
		for n := abi.SectorNumber(4 * i); len(list) < 4; n++ {
			list = append(list, proof.SectorInfo{SealProof: abi.RegisteredSealProof_StackedDrg2KiBV1_1, SectorNumber: n, SealedCID: commR[n]})
		}
		ok, err := verify.New(w.chain.Network, "").VerifyWindowPoSt(ctx, proof.WindowPoStVerifyInfo{Randomness: abi.PoStRandomness(r), Proofs: p.Proofs, ChallengedSectors: list, Prover: sealertest.MinerID})
		require.NoError(t, err)
		require.True(t, ok, "the proof of deadline %d does not hold", p.Deadline)
	}
}

// What a worker in a role does with window proofs.
const (
	holds = "holds" // begins them and never ends
	lies  = "lies"
)

// windows is a worker that makes window proofs as no program does.
type windows struct {
	worker.Prover
	how  string
	file *os.File
}

func (x windows) Run(ctx context.Context, t worker.Task) (worker.Result, error) {
	if t.Kind != sched.WindowPoSt || x.how == "" {
		return x.Prover.Run(ctx, t)
	}
	b, err := json.Marshal(t.ID)
	if err == nil {
		_, err = fmt.Fprintf(x.file, "%s\n", b)
	}
	if err != nil {
		return worker.Result{}, err
	}
	if x.how == holds {
		<-ctx.Done()
		return worker.Result{}, ctx.Err()
	}
	res, err := x.Prover.Run(ctx, t)
	if err == nil { // a proof, but of something else
		res.Proof[3] ^= 1
	}
	return res, err
}

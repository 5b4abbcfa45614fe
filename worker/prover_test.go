package worker

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/proof"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/proofs/prove"
	"github.com/filecoin-venus/venus/proofs/seal"
	"github.com/filecoin-venus/venus/proofs/verify"
	"github.com/filecoin-venus/venus/sealer/sched"
	"github.com/filecoin-venus/venus/sealer/sector"
)

// TestRealTasks seals and proves a 2 KiB sector by tasks alone, each made from
// the results of those before, and has the proof verified.
func TestRealTasks(t *testing.T) {
	network, err := params.ByName("local")
	require.NoError(t, err)
	s, refused := NewSealer(network, Options{})
	require.NoError(t, refused)
	defer s.Close()
	p := SealProver{Sealer: s}
	dir := t.TempDir()
	base := Task{
		Sector: abi.SectorID{Miner: 1000, Number: 7}, SealProof: abi.RegisteredSealProof_StackedDrg2KiBV1_1,
		Files:  Files{Unsealed: filepath.Join(dir, "unsealed", "s-t01000-7"), Sealed: filepath.Join(dir, "sealed", "s-t01000-7"), Cache: filepath.Join(dir, "cache", "s-t01000-7")},
		Ticket: bytes.Repeat([]byte{1}, 32), Seed: bytes.Repeat([]byte{2}, 32),
	}
	do := func(kind sector.TaskKind, change func(*Task)) Result {
		task := base
		task.Kind = kind
		if change != nil {
			change(&task)
		}
		r, err := p.Run(t.Context(), task)
		require.NoError(t, err, kind)
		again, err := p.Run(t.Context(), task)
		require.NoError(t, err, "%s may be repeated", kind)
		if kind != sector.TaskCommit2 { // a proof is random
			require.Equal(t, r, again)
		}
		require.NoError(t, Adopt(task))
		return r
	}
	base.Pieces = do(sector.TaskAddPiece, nil).Pieces
	pc1 := do(sector.TaskPreCommit1, nil)
	pc2 := do(sector.TaskPreCommit2, func(x *Task) { x.Input = pc1.Output })
	base.CommD, base.CommR = pc2.CommD, pc2.CommR
	c1 := do(sector.TaskCommit1, nil)
	c2 := do(sector.TaskCommit2, func(x *Task) { x.Input, x.Files = c1.Output, Files{} })
	ok, err := verify.New(network, "").VerifySeal(t.Context(), proof.SealVerifyInfo{
		SealProof: base.SealProof, SectorID: base.Sector, Randomness: base.Ticket, InteractiveRandomness: base.Seed,
		Proof: c2.Proof, SealedCID: *pc2.CommR, UnsealedCID: *pc2.CommD,
	})
	require.NoError(t, err)
	require.True(t, ok)
	do(sector.TaskFinalize, nil)
	windowOf(t, p, base, network)
	updateOf(t, p, base, network)

	for _, bad := range []Task{{Kind: "XX"}, {Kind: sector.TaskCommit1}, {Kind: sector.TaskPreCommit2, Input: []byte("{")}, {Kind: sector.TaskCommit2, Input: []byte("[]")}, {Kind: sched.WindowPoSt, Input: []byte("{")}, {Kind: sched.WindowPoSt, Input: []byte("{}")}} {
		bad.Sector, bad.SealProof, bad.Files = base.Sector, base.SealProof, base.Files
		_, err := p.Run(t.Context(), bad)
		require.Error(t, err, bad.Kind)
	}
}

// updateOf takes data into the sector by tasks, each repeated as after a crash, and has the proof verified. What the sector
// was made of stays as it is.
func updateOf(t *testing.T, p SealProver, base Task, network params.Network) {
	base.Files.Update, base.Files.UpdateCache = strings.Replace(base.Files.Sealed, "sealed", "update", 1), strings.Replace(base.Files.Sealed, "sealed", "update-cache", 1)
	s := seal.Sector{ID: base.Sector, Proof: base.SealProof}
	require.NoError(t, os.Remove(base.Files.Unsealed))
	data := bytes.Repeat([]byte("data "), 200)
	piece, err := p.Sealer.AddPiece(t.Context(), s, base.Files.Updated(), nil, 1016, bytes.NewReader(append(data, make([]byte, 16)...)))
	require.NoError(t, err)
	before, err := os.ReadFile(base.Files.Sealed)
	require.NoError(t, err)
	task := base
	task.Kind, task.Pieces, task.Key, task.CommD, task.CommR = sector.TaskReplicaUpdate, []abi.PieceInfo{piece}, base.CommR, nil, nil
	ru, err := p.Run(t.Context(), task)
	require.NoError(t, err)
	again, err := p.Run(t.Context(), task)
	require.NoError(t, err)
	require.Equal(t, ru, again)
	require.NoFileExists(t, task.Files.Update, "nothing is there before it is taken over")
	require.NoError(t, Adopt(task))
	require.FileExists(t, task.Files.Update)
	task.Kind, task.CommD, task.CommR = sector.TaskProveUpdate, ru.CommD, ru.CommR
	pru, err := p.Run(t.Context(), task)
	require.NoError(t, err)
	typ, err := base.SealProof.RegisteredUpdateProof()
	require.NoError(t, err)
	ok, err := verify.New(network, "").VerifyReplicaUpdate(t.Context(), proof.ReplicaUpdateInfo{
		UpdateProofType: typ, OldSealedSectorCID: *task.Key, NewSealedSectorCID: *ru.CommR, NewUnsealedSectorCID: *ru.CommD, Proof: pru.Proof,
	})
	require.NoError(t, err)
	require.True(t, ok)
	task.Kind = sector.TaskFinalize
	_, err = p.Run(t.Context(), task)
	require.NoError(t, err)
	require.NoFileExists(t, filepath.Join(task.Files.UpdateCache, "sc-02-data-tree-d.dat"))
	after, err := os.ReadFile(base.Files.Sealed)
	require.NoError(t, err)
	require.Equal(t, before, after)
	bad, err := p.Sealer.CheckProvable(t.Context(), []seal.SectorRef{
		{Sector: s, SealedCID: *base.CommR, Paths: task.Files.Key()}, {Sector: s, SealedCID: *ru.CommR, Paths: task.Files.Updated()},
	}, true)
	require.NoError(t, err)
	require.Empty(t, bad)
	for _, kind := range []sector.TaskKind{sector.TaskReplicaUpdate, sector.TaskProveUpdate} {
		lacking := task
		lacking.Kind, lacking.Key = kind, nil
		_, err = p.Run(t.Context(), lacking)
		require.ErrorContains(t, err, "no commitments")
	}
}

// windowOf proves the sector, whose files the task knows by a name of the worker's own path, alone and beside one whose files
// are not there.
func windowOf(t *testing.T, p SealProver, base Task, network params.Network) {
	p.Own = []Path{{ID: "disk", Dir: filepath.Dir(filepath.Dir(base.Files.Sealed))}}
	far := func(kind string) string { return OwnPrefix + "disk/" + kind + "/" + base.name() }
	there := WindowSector{Number: base.Sector.Number, Proof: base.SealProof, CommR: *base.CommR, Files: Files{Sealed: far("sealed"), Cache: far("cache")}}
	lost := there
	lost.Number, lost.Files.Sealed = 8, far("sealed")+"x"
	run := func(sectors ...WindowSector) Result {
		in, err := json.Marshal(Window{Miner: base.Sector.Miner, Randomness: bytes.Repeat([]byte{3}, 32), First: 1, Sectors: sectors})
		require.NoError(t, err)
		r, err := p.Run(t.Context(), Task{Kind: sched.WindowPoSt, SealProof: base.SealProof, Input: in})
		require.NoError(t, err)
		return r
	}
	for _, r := range []Result{run(there), run(there, lost)} {
		ok, err := verify.New(network, "").VerifyWindowPoStFrom(t.Context(), 1, proof.WindowPoStVerifyInfo{
			Randomness: bytes.Repeat([]byte{3}, 32), Prover: base.Sector.Miner, ChallengedSectors: []proof.SectorInfo{{SealProof: base.SealProof, SectorNumber: 7, SealedCID: *base.CommR}},
			Proofs: []proof.PoStProof{{PoStProof: abi.RegisteredPoStProof_StackedDrgWindow2KiBV1, ProofBytes: r.Proof}},
		})
		require.NoError(t, err)
		require.True(t, ok)
	}
	require.Empty(t, run(there).Faulty)
	require.Equal(t, []abi.SectorNumber{8}, run(there, lost).Faulty)
	require.Equal(t, Result{Faulty: []abi.SectorNumber{8}}, run(lost), "the sealer judges whether it is lost")
}

func TestBackends(t *testing.T) {
	private, err := params.ByName("local")
	require.NoError(t, err)
	public, err := params.ByName("calibnet")
	require.NoError(t, err)
	for _, c := range []struct {
		network params.Network
		asked   prove.Backend
		want    prove.Backend
		refused bool
	}{
		{private, "", prove.Trapdoor, false}, {private, prove.CRS, prove.CRS, false}, {private, prove.Trapdoor, prove.Trapdoor, false},
		{public, "", prove.CRS, false}, {public, prove.CRS, prove.CRS, false},
		{public, prove.Trapdoor, prove.Trapdoor, true}, {private, "magic", "magic", true},
	} {
		require.Equal(t, c.want, BackendOf(c.network, c.asked))
		s, refused := NewSealer(c.network, Options{Proofs: c.asked})
		if c.refused {
			require.ErrorIs(t, refused, prove.ErrRefused, "%s %s", c.network.Name, c.asked)
		} else {
			require.NoError(t, refused, "%s %s", c.network.Name, c.asked)
		}
		require.NoError(t, s.Close())
	}
}

func TestProgressIsLoggedNowAndThen(t *testing.T) {
	clk := clock.NewSim(time.Unix(0, 0))
	var lines []string
	l := &progressLog{clock: clk, say: func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }}
	tell := func(number abi.SectorNumber, done uint64, left time.Duration) {
		l.take(seal.Progress{Sector: abi.SectorID{Miner: 1, Number: number}, Phase: "precommit1", Done: done, Total: 100, Left: left})
	}
	tell(1, 1, -1)
	clk.Advance(time.Second)
	tell(1, 2, time.Minute)
	require.Empty(t, lines, "a short phase makes no noise")
	clk.Advance(2 * time.Second)
	tell(1, 3, -1)
	tell(1, 4, time.Minute)
	tell(2, 50, time.Minute)
	clk.Advance(9 * time.Second)
	tell(1, 5, time.Minute)
	clk.Advance(2 * time.Second)
	tell(1, 60, 1500*time.Millisecond)
	tell(2, 51, time.Minute)
	require.Equal(t, []string{"sector 1: precommit1 3%", "sector 1: precommit1 60%, 2s left", "sector 2: precommit1 51%, 1m0s left"}, lines)
	tell(1, 100, 0)
	require.Len(t, l.running, 1, "a phase that ended is forgotten")
	tell(2, 1, time.Minute) // begun anew
	require.Len(t, lines, 3)
}

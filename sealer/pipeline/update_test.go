package pipeline_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/exitcode"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/miner"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/api/node"
	"github.com/filecoin-venus/venus/internal/fault"
	"github.com/filecoin-venus/venus/proofs/commp"
	"github.com/filecoin-venus/venus/proofs/seal"
	"github.com/filecoin-venus/venus/sealer/db"
	"github.com/filecoin-venus/venus/sealer/sealertest"
	"github.com/filecoin-venus/venus/sealer/sector"
	"github.com/filecoin-venus/venus/types"
	"github.com/filecoin-venus/venus/worker"
)

const updates = abi.MethodNum(27) // ProveReplicaUpdates

// active brings sectors into the chain's active set, and gives their commitments.
func (r *rig) active(n int) (out []abi.SectorNumber) {
	r.t.Helper()
	r.chain.Change(func() { r.chain.FirstDeadline = 30 })
	for range n {
		out = append(out, r.pledge())
	}
	for _, n := range out {
		r.until(n, sector.Proving, 60)
		r.chain.Fault(n, false) // its first window proof
	}
	return out
}

// deal publishes a deal over so many random bytes that fill a piece of a size, and imports its file.
func (r *rig) deal(id abi.DealID, bytesOf int, size abi.PaddedPieceSize, start abi.ChainEpoch) []byte {
	r.t.Helper()
	data := bytes.Repeat(fmt.Appendf(nil, "data of deal %d. ", id), bytesOf)[:bytesOf]
	piece, err := commp.Of(bytes.NewReader(append(bytes.Clone(data), make([]byte, int(size.Unpadded())-bytesOf)...)))
	require.NoError(r.t, err)
	require.Equal(r.t, size, piece.Size)
	r.chain.AddDeal(id, piece, start, start+1000)
	file := filepath.Join(r.dir, fmt.Sprintf("client-%d", id))
	require.NoError(r.t, os.WriteFile(file, data, 0o600))
	for range 5 {
		err := r.book.Import(r.t.Context(), id, file)
		if err == nil || strings.Contains(err.Error(), "imported already") {
			return data
		}
		require.ErrorIs(r.t, err, fault.ErrInjected)
		r.tick()
		r.restart()
	}
	r.t.Fatal("the deal could not be imported")
	return nil
}

// holds compares what the unsealed file of a sector has from an offset on with data.
func (r *rig) holds(n abi.SectorNumber, offset abi.UnpaddedPieceSize, data []byte) {
	r.t.Helper()
	s := seal.New(seal.Config{})
	defer s.Close()
	paths := seal.UpdatePathsIn(filepath.Join(r.dir, "store"), abi.SectorID{Miner: sealertest.MinerID, Number: n})
	require.Equal(r.t, data, readAll(r.t, s, paths, offset, len(data)))
}

func readAll(t *testing.T, s *seal.Sealer, paths seal.Paths, offset abi.UnpaddedPieceSize, n int) []byte {
	t.Helper()
	f, err := s.ReadPiece(paths, offset, abi.UnpaddedPieceSize((n+126)/127*127))
	require.NoError(t, err)
	defer f.Close()
	got, err := io.ReadAll(f)
	require.NoError(t, err)
	return got[:n]
}

func unwrapIgnored(err error) error {
	if errors.Is(err, sector.ErrIgnored) {
		return sector.ErrIgnored
	}
	return err
}

func (r *rig) dealStates() map[abi.DealID]db.DealState {
	out := map[abi.DealID]db.DealState{}
	for _, e := range r.book.List() {
		out[e.ID] = e.State
	}
	return out
}

// TestUpdate: three deals come, two fill one of two offered sectors, the third waits out its time in the other. The data is
// where it should be, the deals are active after one message each, and the old replicas go after finality.
func TestUpdate(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ns := r.active(2)
		key := r.chain.Info(ns[0]).SealedCID
		a := r.deal(1, 900, 1024, 20000)
		r.tick()
		for _, n := range ns {
			r.apply(n, sector.MarkForUpdate{})
		}
		b := r.deal(2, 1016, 1024, 20000)
		c := r.deal(3, 100, 128, 20000)
		for _, n := range ns {
			r.until(n, sector.UpdateActivating, 60)
		}
		rec, err := r.p.Get(ns[0])
		require.NoError(t, err)
		require.Equal(t, []abi.DealID{1, 2}, rec.Update.DealIDs())
		require.Equal(t, []int{2, 0}, []int{r.p.Living(), r.p.Sealing()}, "a target replaces no sector for being updated")
		r.holds(ns[0], 0, a)
		r.holds(ns[0], 1016, b)
		r.holds(ns[1], 0, c)
		info, err := os.Stat(filepath.Join(r.dir, "store", "unsealed", "s-t01000-2"))
		require.NoError(t, err)
		require.EqualValues(t, 2048, info.Size(), "zeros to the end of the sector")
		require.Len(t, r.chain.Messager().Pushed(updates), 2)
		require.Equal(t, types.NewFIL(1).Atto(), r.chain.Messager().Pushed(updates)[0].Value, "what the pledge grows by")
		for id := abi.DealID(1); id <= 3; id++ {
			require.Positive(t, r.chain.Deal(id).State.SectorStartEpoch)
		}
		require.NotEqual(t, key, r.chain.Info(ns[0]).SealedCID)
		sealed := filepath.Join(r.dir, "store", "sealed", "s-t01000-1")
		require.FileExists(t, sealed, "until the update is final")
		landed := r.chain.Height()
		for _, n := range ns {
			r.until(n, sector.Proving, int(r.net.Finality)+20)
		}
		require.Greater(t, r.chain.Height()-landed, r.net.Finality-20)
		require.NoFileExists(t, sealed)
		require.NoDirExists(t, filepath.Join(r.dir, "store", "cache", "s-t01000-1"))
		require.FileExists(t, filepath.Join(r.dir, "store", "update", "s-t01000-1"))
		require.Equal(t, map[abi.DealID]db.DealState{1: db.DealDone, 2: db.DealDone, 3: db.DealDone}, r.dealStates())
		left, err := filepath.Glob(filepath.Join(r.dir, "*", "deals", "*"))
		require.NoError(t, err)
		require.Empty(t, left, "copies are deleted")
		rec, err = r.p.Get(ns[0])
		require.NoError(t, err)
		require.Equal(t, r.chain.Info(ns[0]).SealedCID, *rec.CommR)
		require.ErrorIs(t, r.p.Apply(t.Context(), ns[0], sector.Redo{}, nil), sector.ErrIgnored, "its data cannot be made from its ticket")
		require.Empty(t, r.q.Entries())
	})
}

// TestUpdateWaitsForTheChain: a faulty sector is not updated, and none whose deadline is open or the next.
func TestUpdateWaitsForTheChain(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		n := r.active(1)[0]
		r.chain.Fault(n, true)
		r.deal(1, 2000, 2048, 20000)
		r.apply(n, sector.MarkForUpdate{})
		r.until(n, sector.SubmitReplicaUpdate, 30)
		for range 30 {
			r.tick()
		}
		rec, err := r.p.Get(n)
		require.NoError(t, err)
		require.Contains(t, r.p.Why(rec).LastErr, "not faulty")
		require.Empty(t, r.chain.Messager().Pushed(updates))
		r.chain.Fault(n, false)
		r.until(n, sector.UpdateActivating, 80)
		m := r.chain.Messager()
		require.Len(t, m.Pushed(updates), m.Landed(updates))
	})
	bubble(t, func(t *testing.T, r *rig) {
		n := r.active(1)[0]
		d, err := r.chain.StateMinerProvingDeadline(t.Context(), sealertest.Miner(), types.EmptyTSK)
		require.NoError(t, err)
		r.chain.Change(func() { r.chain.AnyProof = true }) // nobody makes its window proofs
		r.chain.Place(n, (d.Index+3)%48)                   // by the time the proof is made it is the next
		r.deal(1, 2000, 2048, 20000)
		for r.chain.Height() < d.Open+2*d.WPoStChallengeWindow {
			r.tick()
		}
		r.apply(n, sector.MarkForUpdate{})
		r.until(n, sector.SubmitReplicaUpdate, 30)
		for range 10 {
			r.tick()
		}
		require.Empty(t, r.chain.Messager().Pushed(updates), "its deadline is the next")
		r.until(n, sector.UpdateActivating, 80)
		require.Len(t, r.chain.Messager().Pushed(updates), 1)
	})
}

// TestUpdateAborted: the operator takes a sector back in every state before the message; it is proven as before, nothing
// of the update is left, and its deal goes into the next sector that is offered.
func TestUpdateAborted(t *testing.T) {
	for _, at := range []sector.State{sector.SnapDealsWaitDeals, sector.UpdateReplica, sector.ProveReplicaUpdate, sector.SubmitReplicaUpdate} {
		t.Run(string(at), func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				ns := r.active(2)
				before := r.has("store")
				data := r.deal(1, 2000, 2048, 20000)
				r.tick()
				hold := map[sector.State]sector.TaskKind{sector.UpdateReplica: sector.TaskReplicaUpdate, sector.ProveReplicaUpdate: sector.TaskProveUpdate}[at]
				r.prover.Change(func() {
					r.prover.Fail = func(x worker.Task) error {
						if x.Kind == hold {
							return fmt.Errorf("held")
						}
						return nil
					}
				})
				if at == sector.SubmitReplicaUpdate {
					r.chain.Fault(ns[0], true)
				}
				r.apply(ns[0], sector.MarkForUpdate{})
				switch {
				case hold != "":
					r.until(ns[0], sector.ReplicaUpdateFailed, 30)
				case at == sector.SubmitReplicaUpdate:
					r.until(ns[0], at, 30)
				}
				r.apply(ns[0], sector.AbortUpdate{})
				r.until(ns[0], sector.Proving, 60)
				require.Equal(t, before, r.has("store"))
				left, err := filepath.Glob(filepath.Join(r.dir, "*", "work", "*"))
				require.NoError(t, err)
				require.Empty(t, left)
				require.Empty(t, r.chain.Messager().Pushed(updates))
				r.prover.Change(func() { r.prover.Fail = nil })
				r.apply(ns[1], sector.MarkForUpdate{})
				r.until(ns[1], sector.UpdateActivating, 80)
				r.holds(ns[1], 0, data)
			})
		})
	}
}

// TestDealsExpire: a deal starts before its sector is updated: the sector is proven as before, also when the message was
// sent and never landed; then finality passes before anything is deleted.
func TestDealsExpire(t *testing.T) {
	for name, sent := range map[string]bool{"before it was sent": false, "after": true} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				n := r.active(1)[0]
				before := r.has("store")
				start := r.chain.Height() + 60
				r.deal(1, 2000, 2048, start)
				r.chain.Change(func() { r.chain.Messager().Hold, r.chain.Messager().Down = sent, !sent })
				r.apply(n, sector.MarkForUpdate{})
				r.until(n, map[bool]sector.State{true: sector.ReplicaUpdateWait, false: sector.SubmitReplicaUpdate}[sent], 40)
				for r.chain.Height() < start-1 {
					r.tick()
				}
				r.chain.SetDeal(1, func(d *node.MarketDeal) { d.State.SlashEpoch = start })
				r.tick()
				r.chain.Change(func() { r.chain.Messager().Hold, r.chain.Messager().Down = false, false })
				given := r.chain.Height()
				if sent {
					r.until(n, sector.AbortUpgrade, 120)
					require.NotEqual(t, before, r.has("store"))
				}
				rec := r.until(n, sector.Proving, int(r.net.Finality)+100)
				require.Contains(t, r.p.Why(rec).LastErr, fmt.Sprintf("deal 1 started at epoch %d", start))
				if sent {
					require.GreaterOrEqual(t, r.chain.Height()-given, r.net.Finality-5)
				}
				require.Equal(t, before, r.has("store"))
				r.tick()
				require.Equal(t, map[abi.DealID]db.DealState{1: db.DealExpired}, r.dealStates())
				require.Zero(t, r.chain.Messager().Landed(updates))
			})
		})
	}
}

// TestUpdateRefusedByTheChain: messages that fail are sent anew, with the proof that there is.
func TestUpdateRefusedByTheChain(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		n := r.active(1)[0]
		r.deal(1, 2000, 2048, 20000)
		fails := 2
		r.chain.Change(func() {
			r.chain.Messager().Exit = func(m *types.Message) exitcode.ExitCode {
				if m.Method == updates && fails > 0 {
					fails--
					return []exitcode.ExitCode{exitcode.SysErrOutOfGas, exitcode.ErrIllegalArgument}[fails]
				}
				return exitcode.Ok
			}
		})
		r.apply(n, sector.MarkForUpdate{})
		r.until(n, sector.UpdateActivating, 120)
		require.Len(t, r.chain.Messager().Pushed(updates), 3)
		r.prover.Change(func() { require.Equal(t, 1, r.prover.Runs[sector.TaskProveUpdate]) })
	})
}

// TestReorgTakesTheUpdateOut: the message lands again, or, when the deals are gone for it, the sector is as before.
func TestReorgTakesTheUpdateOut(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		n := r.active(1)[0]
		key := r.chain.Info(n).SealedCID
		r.deal(1, 2000, 2048, 20000)
		r.apply(n, sector.MarkForUpdate{})
		r.until(n, sector.UpdateActivating, 60)
		for range 20 {
			r.tick()
		}
		landed := r.chain.Info(n).Activation
		r.chain.Change(func() { r.chain.Messager().Hold = true })
		r.chain.Reorg(int(r.chain.Height()-landed)+1, time.Now())
		synctest.Wait()
		require.Equal(t, key, r.chain.Info(n).SealedCID)
		rec := r.until(n, sector.ReplicaUpdateWait, 10)
		require.Equal(t, key, *rec.CommR)
		r.chain.Change(func() { r.chain.Messager().Hold = false })
		r.until(n, sector.UpdateActivating, 40)
		require.Len(t, r.chain.Messager().Pushed(updates), 1)
		require.NotEqual(t, key, r.chain.Info(n).SealedCID)
		r.until(n, sector.Proving, int(r.net.Finality)+20)
	})
}

// TestOldReplicaStays: while the new one is not sound the old one is not deleted.
func TestOldReplicaStays(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		n := r.active(1)[0]
		r.deal(1, 2000, 2048, 20000)
		r.apply(n, sector.MarkForUpdate{})
		r.until(n, sector.UpdateActivating, 60)
		file := filepath.Join(r.dir, "store", "update", "s-t01000-1")
		good, err := os.ReadFile(file)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(file, []byte("rot"), 0o600))
		rec := r.until(n, sector.ReleaseSectorKeyFailed, int(r.net.Finality)+20)
		require.Contains(t, rec.LastErr, "not sound")
		require.FileExists(t, filepath.Join(r.dir, "store", "sealed", "s-t01000-1"))
		require.NoError(t, os.WriteFile(file, good, 0o600))
		r.until(n, sector.Proving, 100)
		require.NoFileExists(t, filepath.Join(r.dir, "store", "sealed", "s-t01000-1"))
	})
}

// TestLyingUpdates: a worker's replica that is none, one of other data, and a proof that does not hold are refused; the
// sector is proven as before, and updated by an honest one.
func TestLyingUpdates(t *testing.T) {
	for name, lie := range map[string]func(worker.Task, *worker.Result) error{
		"replica": func(x worker.Task, res *worker.Result) error {
			if x.Kind == sector.TaskReplicaUpdate {
				return os.WriteFile(x.Work().Update, []byte("nothing"), 0o600)
			}
			return nil
		},
		"data": func(x worker.Task, res *worker.Result) error {
			if x.Kind == sector.TaskReplicaUpdate {
				c := sealertest.Cid("other data")
				res.CommD = &c
			}
			return nil
		},
		"proof": func(x worker.Task, res *worker.Result) error {
			if x.Kind == sector.TaskProveUpdate {
				res.Proof = []byte("none")
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				n := r.active(1)[0]
				r.deal(1, 2000, 2048, 20000)
				lying := true
				r.prover.Change(func() {
					r.prover.Lie = func(x worker.Task, res *worker.Result) error {
						if lying {
							return lie(x, res)
						}
						return nil
					}
				})
				r.apply(n, sector.MarkForUpdate{})
				rec := r.until(n, sector.ReplicaUpdateFailed, 40)
				require.Contains(t, rec.LastErr, "is refused")
				require.True(t, rec.Proven())
				r.prover.Change(func() { lying = false })
				r.until(n, sector.UpdateActivating, 120)
				require.Len(t, r.chain.Messager().Pushed(updates), 1)
			})
		})
	}
}

// onUpdates are the marks that only sectors with deals pass.
var onUpdates = map[string]bool{
	"sealer/pieces": true, "sealer/update-dropped": true, "sealer/key-released": true, "deals/recorded": true, "deals/copied": true, "deals/deleted": true,
}

// TestCrashInEveryStepOfAnUpdate lives updates of two sectors, one of which the operator takes back, and kills the sealer at
// the first, second and fifth passage of every mark. The chain always ends in the same state.
func TestCrashInEveryStepOfAnUpdate(t *testing.T) {
	points := []string{"sealer/transition", "sealer/intent", "sealer/result", "task/queued", "task/leased", "task/rename", "task/adopt", "task/forget", "worker/done"}
	for point := range onUpdates {
		points = append(points, point)
	}
	for _, point := range points {
		atPassages(t, point, []int{1, 2, 5}, func(t *testing.T, k int) (hit bool) {
			bubble(t, func(t *testing.T, r *rig) { hit = r.crashingUpdate(point, k) })
			return hit
		})
	}
}

func (r *rig) crashingUpdate(point string, k int) bool {
	t := r.t
	ns := r.active(2)
	before := r.has("store")
	c := r.crashAt(point, k)
	defer c.disarm()
	reach := func(n abi.SectorNumber, want sector.State, limit int) {
		t.Helper()
		for range limit {
			rec, err := r.p.Get(n)
			require.NoError(t, err)
			if rec.State == want {
				return
			}
			c.tick()
		}
		r.until(n, want, 1)
	}
	wish := func(n abi.SectorNumber, ev sector.Event, want sector.State, limit int) {
		t.Helper()
		for range 4 { // a crash may take the operator's wish along; he gives it again
			_ = r.p.Apply(t.Context(), n, ev, nil) // judged by the state
			if rec, _ := r.p.Get(n); rec.State.Updating() || rec.State == want {
				break
			}
			r.restart()
		}
		reach(n, want, limit)
	}
	wish(ns[1], sector.MarkForUpdate{}, sector.SnapDealsWaitDeals, 5)
	wish(ns[1], sector.AbortUpdate{}, sector.Proving, 60)
	require.Equal(t, before, r.has("store"))
	data := r.deal(1, 2000, 2048, 20000)
	wish(ns[0], sector.MarkForUpdate{}, sector.UpdateActivating, 200)
	r.holds(ns[0], 0, data)
	reach(ns[0], sector.Proving, int(r.net.Finality)+100)
	m := r.chain.Messager()
	require.Len(t, m.Pushed(updates), 1, "nothing was sent twice or in vain")
	require.Equal(t, 1, m.Landed(updates))
	var p miner.ProveReplicaUpdatesParams
	require.NoError(t, p.UnmarshalCBOR(bytes.NewReader(m.Pushed(updates)[0].Params)))
	require.Equal(t, r.chain.Info(ns[0]).SealedCID, p.Updates[0].NewSealedSectorCID)
	require.NoFileExists(t, filepath.Join(r.dir, "store", "sealed", "s-t01000-1"))
	require.FileExists(t, filepath.Join(r.dir, "store", "sealed", "s-t01000-2"))
	require.Equal(t, map[abi.DealID]db.DealState{1: db.DealDone}, r.dealStates())
	return c.hit()
}

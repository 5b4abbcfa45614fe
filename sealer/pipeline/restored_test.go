package pipeline_test

import (
	"path/filepath"
	"testing"
	"testing/synctest"

	"github.com/filecoin-project/specs-actors/v7/actors/builtin"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/internal/fault"
	"github.com/filecoin-venus/venus/sealer/db"
	"github.com/filecoin-venus/venus/sealer/sector"
)

// TestRestoredSectors restores a backup that knows two sectors as just begun, at
// moments when the chain knows more: nothing that is proven is sealed again, a
// commitment is made good, and a crash while the restore is settled does no harm.
func TestRestoredSectors(t *testing.T) {
	for _, at := range []sector.State{sector.WaitSeed, sector.Proving} {
		t.Run(string(at), func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				r.idle = true
				r.restart()
				a, b := r.pledge(), r.pledge()
				var rows []db.Row
				require.NoError(t, r.db.Dump(t.Context(), func(row db.Row) error {
					rows = append(rows, row)
					return nil
				}))
				r.idle = false
				r.restart()
				r.until(a, at, 60)
				r.until(b, at, 60)
				later := r.pledge()
				synctest.Wait()
				r.stop()

				r.file = "restored.db"
				d, err := db.Open(t.Context(), db.Config{Path: filepath.Join(r.dir, r.file), NoSync: true})
				require.NoError(t, err)
				next := 0
				require.NoError(t, d.Fill(t.Context(), []byte("{}"), func() (db.Row, bool, error) {
					if next++; next > len(rows) {
						return db.Row{}, false, nil
					}
					return rows[next-1], true, nil
				}))
				require.NoError(t, d.Close())
				disarm := fault.Arm("sealer/settle", func() error { return fault.ErrInjected })
				require.ErrorIs(t, r.up(), fault.ErrInjected)
				disarm()
				require.NoError(t, r.up())

				r.until(a, sector.Proving, 80)
				r.until(b, sector.Proving, 80)
				require.Len(t, r.chain.Messager().Pushed(builtin.MethodsMiner.PreCommitSector), 3, "the commitments of the earlier life are made good; the third is of the sector that the backup does not know")
				n := r.pledge()
				require.Greater(t, n, later+500, "no number of the earlier life is given out again")
			})
		})
	}
}

// TestRestoredUpdates restores a backup from before an update, or from the middle of it, when the chain has it: it is
// followed to its end, and not made again.
func TestRestoredUpdates(t *testing.T) {
	for _, at := range []sector.State{sector.Proving, sector.SnapDealsWaitDeals, sector.SubmitReplicaUpdate} {
		t.Run(string(at), func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				n := r.active(1)[0]
				key := r.chain.Info(n).SealedCID
				if at == sector.SubmitReplicaUpdate {
					r.chain.Fault(n, true)
					r.deal(1, 2000, 2048, 20000)
				}
				if at != sector.Proving {
					r.apply(n, sector.MarkForUpdate{})
				}
				r.until(n, at, 30)
				var rows []db.Row
				require.NoError(t, r.db.Dump(t.Context(), func(row db.Row) error {
					rows = append(rows, row)
					return nil
				}))
				switch at {
				case sector.SubmitReplicaUpdate:
					r.chain.Fault(n, false)
				case sector.Proving:
					r.apply(n, sector.MarkForUpdate{})
					fallthrough
				default:
					r.deal(1, 2000, 2048, 20000)
				}
				r.until(n, sector.UpdateActivating, 80)
				r.stop()
				r.file = "restored.db"
				d, err := db.Open(t.Context(), db.Config{Path: filepath.Join(r.dir, r.file), NoSync: true})
				require.NoError(t, err)
				next := 0
				require.NoError(t, d.Fill(t.Context(), []byte("{}"), func() (db.Row, bool, error) {
					if next++; next > len(rows) {
						return db.Row{}, false, nil
					}
					return rows[next-1], true, nil
				}))
				require.NoError(t, d.Close())
				require.NoError(t, r.up())
				rec, err := r.p.Get(n)
				require.NoError(t, err)
				require.NotEqual(t, key, r.chain.Info(n).SealedCID)
				require.True(t, rec.Updated())
				require.Equal(t, r.chain.Info(n).SealedCID, *rec.CommR)
				require.FileExists(t, filepath.Join(r.dir, "store", "sealed", "s-t01000-1"))
				r.until(n, sector.Proving, int(r.net.Finality)+40)
				require.NoFileExists(t, filepath.Join(r.dir, "store", "sealed", "s-t01000-1"))
				require.Len(t, r.chain.Messager().Pushed(updates), 1)
			})
		})
	}
}

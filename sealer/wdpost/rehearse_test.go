package wdpost_test

import (
	"testing"
	"testing/synctest"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/sealer/wdpost"
)

func TestRehearsal(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.sectors()
		r.prover.Change(func() { r.prover.Bad[1] = true })
		r.tick(5)
		out, err := r.shell.Rehearse(t.Context(), 4, 2)
		require.NoError(t, err)
		require.Equal(t, []any{3, []uint64{2}, uint64(1), uint64(1), ""}, []any{out.Messages, out.Partitions, out.Wanted, out.Proven, out.Err})
		out, err = r.shell.Rehearse(t.Context(), 2, 0)
		require.NoError(t, err)
		require.Equal(t, map[abi.SectorNumber]string{1: "damaged"}, out.Bad)
		require.Equal(t, []uint64{2, 1}, []uint64{out.Wanted, out.Proven})
		out, err = r.shell.Rehearse(t.Context(), 9, 0)
		require.NoError(t, err)
		require.Zero(t, out.Messages, "an empty deadline")
		r.prover.Change(func() { r.prover.Reject = true })
		out, err = r.shell.Rehearse(t.Context(), 3, 0)
		require.NoError(t, err)
		require.Contains(t, out.Err, "our own check refused")
		require.Empty(t, r.chain.Messager().Pushed(submit.SubmitWindowedPoSt), "a rehearsal sends nothing")
	})
}

func TestRehearsalGivesWay(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.sectors()
		r.tick(5)
		gate := make(chan struct{})
		r.prover.Change(func() { r.prover.Gate = gate })
		done := make(chan error, 1)
		go func() {
			_, err := r.shell.Rehearse(t.Context(), 30, 0)
			done <- err
		}()
		synctest.Wait()
		_, err := r.shell.Rehearse(t.Context(), 30, 0)
		require.ErrorIs(t, err, wdpost.ErrBusy, "one at a time")
		r.tick(20) // the challenge of deadline 2 comes at epoch 20
		require.ErrorIs(t, <-done, wdpost.ErrBusy)
		_, err = r.shell.Rehearse(t.Context(), 30, 0)
		require.ErrorIs(t, err, wdpost.ErrBusy, "a real proof is being made")
		close(gate)
		r.tick(40)
		require.Zero(t, r.chain.Missed())
	})
}

package task

import (
	"strings"
	"testing"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/sealer/sched"
	"github.com/filecoin-venus/venus/sealer/sector"
	"github.com/filecoin-venus/venus/worker"
)

// proverInfo is a worker that makes window proofs, too.
func proverInfo(id string) worker.Info {
	i := info(id)
	i.Kinds, i.Reaches, i.Slots = append(i.Kinds, sched.WindowPoSt), []string{"p"}, 1
	return i
}

func (r *rig) offer(id string, o Offer) (changes *int, could bool) {
	n := 0
	o.Task.ID, o.Task.Kind, o.Changed = id, sched.WindowPoSt, func() { n++ }
	could, err := r.q.Offer(r.t.Context(), o)
	require.NoError(r.t, err)
	return &n, could
}

func (r *rig) heard(i worker.Info, holds ...worker.Lease) worker.Orders {
	o, err := r.q.Beat(r.t.Context(), worker.Beat{Info: i, Holds: holds})
	require.NoError(r.t, err)
	return o
}

// TestOffer gives work that is no sector's to a worker that can do it. It goes before all sealing, under leases, beats and
// fences, and neither the database nor those who take sectors' results ever see it.
func TestOffer(t *testing.T) {
	r := newRig(t)
	r.q.Paths = func() []worker.Path { return []worker.Path{{ID: "p", Dir: "p"}} }
	_, could := r.offer("w-1", Offer{Task: worker.Task{Reads: []string{"p"}}})
	require.False(t, could, "nobody is here")
	other := info("sealer")
	other.Slots = 1
	r.heard(other)
	r.heard(proverInfo("a"))
	_, could = r.offer("w-1", Offer{Task: worker.Task{Reads: []string{"p", "q"}}})
	require.False(t, could, "nobody reaches q")
	_, could = r.offer("w-1", Offer{Refused: map[string]string{"host-a": "it lied"}, Spared: true})
	require.False(t, could)
	r.q.Deaf(true)
	_, could = r.offer("w-1", Offer{Task: worker.Task{Reads: []string{"p"}}})
	require.False(t, could, "it would not get there")
	r.q.Deaf(false)
	require.Empty(t, r.q.Entries(), "what nobody can do is not kept")

	for n := range 2 { // one for each
		r.ensure(abi.SectorNumber(1+n), sector.TaskCommit2, 1)
	}
	waits := r.ensure(3, sector.TaskFinalize, 1)
	held := []worker.Lease{r.take("a"), r.take("sealer")}
	changes, could := r.offer("w-1", Offer{Task: worker.Task{Reads: []string{"p"}}})
	require.True(t, could, "later")
	_, err := r.q.Offer(t.Context(), Offer{Task: worker.Task{ID: "w-1"}})
	require.ErrorContains(t, err, "offered already")
	e, ok := r.q.Offered("w-1")
	require.True(t, ok)
	require.Equal(t, Queued, e.State)
	require.Equal(t, "it runs 1 tasks, its limit", r.q.Why("w-1")[0].Reason)
	require.NoError(t, r.handIn("a", held[0], 1))
	e, _ = r.q.Offered("w-1")
	require.Equal(t, []any{Leased, "host-a"}, []any{e.State, e.Host}, "before the older task")
	require.Equal(t, 1, *changes)
	l := r.take("a")
	rows, err := r.store.Tasks(t.Context())
	require.NoError(t, err)
	for _, row := range rows {
		require.False(t, strings.HasPrefix(row.ID, "w-"), "it is stored")
	}

	// The worker falls silent: the lease runs out, and what it hands in counts for nothing.
	r.clk.Advance(ttl)
	require.NoError(t, r.q.Sweep(t.Context()))
	e, _ = r.q.Offered("w-1")
	require.Equal(t, Queued, e.State)
	r.heard(proverInfo("b"))
	again := r.take("b")
	require.Greater(t, again.Fence, l.Fence)
	require.Equal(t, []worker.Lease{l}, r.heard(proverInfo("a"), l).Over)
	require.NoError(t, r.handIn("a", l, 1))
	require.NoError(t, r.handIn("b", again, 2))
	e, _ = r.q.Offered("w-1")
	require.Equal(t, []any{Done, []byte{2}}, []any{e.State, e.Result.Output})
	require.Equal(t, 4, *changes)
	for _, e := range r.q.Ended() {
		require.NotEqual(t, "w-1", e.Task.ID, "it is no sector's")
	}
	require.True(t, r.q.Knows(waits))
	require.True(t, r.q.Withdraw(t.Context(), "w-1", false))
	require.False(t, r.q.Withdraw(t.Context(), "w-1", false))
	r.restart()
	_, ok = r.q.Offered("w-1")
	require.False(t, ok)
}

// TestWithdraw takes offers back; one that a worker has only if that is meant.
func TestWithdraw(t *testing.T) {
	r := newRig(t)
	r.heard(proverInfo("a"))
	_, could := r.offer("w-1", Offer{})
	require.True(t, could)
	_, could = r.offer("w-2", Offer{})
	require.True(t, could)
	l := r.take("a")
	idle := "w-1"
	if l.Task == "w-1" {
		idle = "w-2"
	}
	require.False(t, r.q.Withdraw(t.Context(), l.Task, true), "it is being done")
	require.True(t, r.q.Withdraw(t.Context(), idle, true))
	require.Empty(t, r.heard(proverInfo("a"), l).Over)
	require.True(t, r.q.Withdraw(t.Context(), l.Task, false))
	require.Equal(t, []worker.Lease{l}, r.heard(proverInfo("a"), l).Over)
	require.NoError(t, r.handIn("a", l, 1), "nobody wants it")
	require.Empty(t, r.q.Entries())

	_, _ = r.offer("w-3", Offer{})
	require.NoError(t, r.q.Abort(t.Context(), "w-3", "aborted by the operator"))
	e, ok := r.q.Offered("w-3")
	require.True(t, ok)
	require.Equal(t, []any{Failed, "aborted by the operator"}, []any{e.State, e.Reason})
	id := r.ensure(1, sector.TaskCommit2, 1)
	require.False(t, r.q.Withdraw(t.Context(), id, false), "a sector's task is not withdrawn")
	_, ok = r.q.Offered(id)
	require.False(t, ok)
}

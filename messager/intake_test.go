package messager

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/internal/fault"
	"github.com/filecoin-venus/venus/messager/store"
)

// TestIntakeTogether: many callers at once, with the same ids, other content under an
// id and a paused sender among them: each gets its own answer, and nobody's spoils
// another's.
func TestIntakeTogether(t *testing.T) {
	onEach(t, func(t *testing.T, r *rig) {
		senders := r.senders(t, 3)
		a := NewAPI(r.Service, nil, "")
		require.NoError(t, a.ForbiddenAddress(t.Context(), senders[2]))
		var commits, conflicts, paused, good atomic.Int64
		disarm := fault.Arm("messager/begin", func() error { commits.Add(1); return nil })
		defer disarm()
		var callers sync.WaitGroup
		const n = 300
		for i := range n {
			callers.Go(func() {
				id, from, method := fmt.Sprint("m", i), senders[i%2], abi.MethodNum(16)
				switch {
				case i%10 == 7:
					from = senders[2]
				case i%10 == 8:
					id, method = fmt.Sprint("m", i-3), 17 // another caller's id, for another message
				}
				_, err := r.tryPush(id, from, method)
				switch {
				case err == nil:
					good.Add(1)
				case api.Explain(err).Code == api.CodePrecondition:
					paused.Add(1)
				case api.Explain(err).Code == api.CodeConflict:
					conflicts.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		callers.Wait()
		require.EqualValues(t, n/10, paused.Load())
		stored, err := r.db.Count(t.Context(), store.Query{})
		require.NoError(t, err)
		require.EqualValues(t, good.Load(), stored)
		require.EqualValues(t, n-n/10, good.Load()+conflicts.Load())
		t.Logf("%d commits, %d conflicts", commits.Load(), conflicts.Load())
	})
}

// TestIntakeFails: when the database takes nothing every caller learns it, and the next
// ones are served again.
func TestIntakeFails(t *testing.T) {
	r := newRig(t)
	disarm := fault.Arm("messager/begin", func() error { return errors.New("bad connection") })
	var callers sync.WaitGroup
	for i := range 50 {
		callers.Go(func() {
			if _, err := r.tryPush(fmt.Sprint("m", i), r.addr, 16); err == nil {
				t.Error("accepted without a database")
			}
		})
	}
	callers.Wait()
	disarm()
	for i := range 50 {
		callers.Go(func() {
			if _, err := r.tryPush(fmt.Sprint("m", i), r.addr, 16); err != nil {
				t.Error(err)
			}
		})
	}
	callers.Wait()
	n, err := r.db.Count(context.Background(), store.Query{})
	require.NoError(t, err)
	require.Equal(t, 50, n)
}

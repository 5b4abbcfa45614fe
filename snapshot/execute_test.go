package snapshot

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/chain"
	"github.com/filecoin-venus/venus/consensus"
	"github.com/filecoin-venus/venus/internal/fault"
	"github.com/filecoin-venus/venus/sim"
	"github.com/filecoin-venus/venus/types"
)

// judged is a judge that may know better about one height.
type judged struct {
	Judge
	at  abi.ChainEpoch
	err error
	n   atomic.Int64
}

func (j *judged) ValidateBlock(ctx context.Context, b *types.FullBlock) error {
	j.n.Add(1)
	if j.err != nil && b.Header.Height >= j.at {
		return j.err
	}
	return j.Judge.ValidateBlock(ctx, b)
}

// execute runs an archive with the real rules of blocks.
func (h *home) execute(t *testing.T, path string, at abi.ChainEpoch, failure error) (Imported, *judged, error) {
	t.Helper()
	exec, err := chain.NewExecutor(chain.ExecutorConfig{Store: h.Store, Rounds: h.w.Schedule, Verifier: sim.Verifier{}})
	require.NoError(t, err)
	defer exec.Close()
	rules, err := consensus.New(exec, h.w.Schedule, sim.Verifier{}, h.w.Clock)
	require.NoError(t, err)
	j := &judged{Judge: rules, at: at, err: failure}
	src, err := Open(t.Context(), path)
	require.NoError(t, err)
	defer src.Close()
	out, err := Execute(t.Context(), h.disk, h.Store, src, j, ImportOptions{})
	return out, j, err
}

func TestExecuteTheChain(t *testing.T) {
	w := mined(t, 1, 40)
	// An archive with the state of the genesis alone.
	path := exported(t, w, "chain.car.zst", chain.Retention{Recent: 0})
	h := founded(t, w)
	_, err := h.take(path, ImportOptions{})
	require.ErrorIs(t, err, ErrIncomplete, "as a snapshot it is too little")

	boom := errors.New("boom")
	_, _, err = h.execute(t, path, 20, boom)
	require.ErrorIs(t, err, boom)
	require.Less(t, h.Head().Height(), abi.ChainEpoch(20))
	require.GreaterOrEqual(t, h.Head().Height(), abi.ChainEpoch(15), "what was valid counts")
	reached := h.Head()

	h = h.again(t)
	disarm := fault.Arm("import/execute", func() error { return fault.ErrInjected })
	_, _, err = h.execute(t, path, 0, nil)
	disarm()
	require.ErrorIs(t, err, fault.ErrInjected)
	require.Equal(t, reached.Key(), h.Head().Key())

	h = h.again(t)
	got, j, err := h.execute(t, path, 0, nil)
	require.NoError(t, err)
	require.Equal(t, w.Store.Head().Key(), got.Head)
	require.Positive(t, got.Resumed)
	require.LessOrEqual(t, j.n.Load(), 2*int64(w.Store.Head().Height()-reached.Height()), "what was judged is not judged again")
	require.Empty(t, h.disk.Unfinished())
	require.Zero(t, h.disk.Usage().Packed, "the archive itself is not kept")
	requireSame(t, w, h)
	h.close(t)

	h = founded(t, w)
	defer h.close(t)
	_, _, err = h.execute(t, exported(t, w, "short.car", chain.Retention{Recent: 10, SkipOldMessages: true}), 0, nil)
	require.ErrorIs(t, err, ErrIncomplete, "messages are missing")
	require.Equal(t, w.Store.Genesis().Key(), h.Head().Key())
}

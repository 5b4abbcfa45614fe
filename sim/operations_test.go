package sim

import (
	"context"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/go-state-types/exitcode"
	"github.com/stretchr/testify/require"
)

// Every kind of message is sent, most succeed at times and are refused at times, all as foretold, and every state is sound.
func TestOperationsOf240Epochs(t *testing.T) {
	t.Parallel()
	r, err := Run(context.Background(), Config{Epochs: 240, Miners: 6, Seed: 1, Operations: true, Pace: 8})
	require.NoError(t, err)
	require.Empty(t, r.Problems())
	require.InDelta(t, int64(r.Epochs), r.Checks, 5, "every epoch up to the head")
	succeeded, refused := 0, 0
	for _, op := range r.Operations {
		t.Logf("%+v", op)
		if op.Succeeded > 0 {
			succeeded++
		}
		if op.Refused > 0 {
			refused++
		}
	}
	require.Greater(t, succeeded, len(r.Operations)*3/4)
	require.Greater(t, refused, len(r.Operations)/3)
}

// childEnv makes this test binary print the final root of one simulation.
const childEnv = "VENUS_SIM_CHILD"

var determined = Config{Epochs: 100, Miners: 3, Seed: 77, Operations: true, Pace: 10}

// The same seed gives the same chain: twice in one process, and in others with one and with two processors.
func TestSameSeedSameOperations(t *testing.T) {
	ctx := context.Background()
	if os.Getenv(childEnv) != "" {
		r, err := Run(ctx, determined)
		require.NoError(t, err)
		t.Logf("root=%s head=%s.", r.FinalRoot, r.Head)
		return
	}
	t.Parallel()
	r, err := Run(ctx, determined)
	require.NoError(t, err)
	again, err := Run(ctx, determined)
	require.NoError(t, err)
	require.Equal(t, r.FinalRoot, again.FinalRoot)
	require.Equal(t, r.Head, again.Head)
	require.Equal(t, r.Operations, again.Operations)
	for _, procs := range []string{"1", "2"} {
		child := exec.CommandContext(ctx, os.Args[0], "-test.run", "^TestSameSeedSameOperations$", "-test.v")
		child.Env = append(os.Environ(), childEnv+"=1", "GOMAXPROCS="+procs)
		out, err := child.CombinedOutput()
		require.NoError(t, err, "%s", out)
		require.Contains(t, string(out), "root="+r.FinalRoot.String()+" head="+r.Head.String()+".", "with %s processors", procs)
	}
	other := determined
	other.Seed++
	r2, err := Run(ctx, other)
	require.NoError(t, err)
	require.NotEqual(t, r.FinalRoot, r2.FinalRoot)
}

// A wrong prophecy and a book that the chain does not bear out end the run, and the error names the seed.
func TestSurprisesEndTheRun(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for name, spoil := range map[string]func(o *operator) error{
		"exit": func(o *operator) error {
			return o.post(&draft{
				kind: "send wrongly", from: o.w.Faucet, judge: always(exitcode.ErrForbidden),
				msg: message(o.w.Miners[0].ID, big.NewInt(1), 0, nil, smallGas),
			})
		},
		"escrow": func(o *operator) error {
			o.market.escrow.add(o.w.Miners[0].ID, big.NewInt(1))
			return o.deposit(o.w.Faucet, o.w.Miners[1].ID, oneFIL())
		},
		"no prophecy": func(o *operator) error {
			return o.post(&draft{
				kind: "send wrongly", from: o.w.Faucet, judge: func(*execution) (exits, error) { return nil, nil },
				msg: message(o.w.Miners[0].ID, big.NewInt(1), 0, nil, smallGas),
			})
		},
	} {
		w, err := NewWorld(ctx, Config{Miners: 2, Seed: 1234, Operations: true})
		require.NoError(t, err)
		for err == nil && w.epoch < 20 {
			if w.epoch == 10 {
				require.NoError(t, spoil(w.ops), name)
			}
			_, err = w.Step(ctx)
		}
		w.Exec.Close()
		require.ErrorContains(t, err, "seed 1234", name)
	}
}

// longEnv asks for a long simulation, of so many epochs with 20 miners.
const longEnv = "VENUS_SIM_EPOCHS"

func TestLongOperations(t *testing.T) {
	t.Parallel()
	n, err := strconv.Atoi(strings.TrimSpace(os.Getenv(longEnv)))
	if err != nil {
		t.Skipf("set %s to a number of epochs, say 20000, for a long run", longEnv)
	}
	r, err := Run(context.Background(), Config{Epochs: abi.ChainEpoch(n), Miners: 20, Seed: int64(n), Operations: true})
	require.NoError(t, err)
	require.Empty(t, r.Problems())
	t.Logf("%d messages, %d states checked, root %s", r.Messages, r.Checks, r.FinalRoot)
}

package sealer

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/exitcode"
	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/api"
	sealerapi "github.com/filecoin-venus/venus/api/sealer"
	"github.com/filecoin-venus/venus/cli/render"
	"github.com/filecoin-venus/venus/internal/clock"
)

func TestMoneyWantsConfirmation(t *testing.T) {
	for _, args := range [][]string{
		{"actor", "withdraw"}, {"actor", "repay-debt"}, {"actor", "set-owner", "t0100", "t0101"}, {"actor", "propose-change-worker", "t0100"}, {"actor", "set-worker", "t0100"},
		{"actor", "confirm-change-worker"}, {"actor", "control", "set"}, {"actor", "compact-allocated", "--up-to", "3"},
	} {
		cmd := App(Deps{})
		for _, name := range args[:len(args)] {
			if next := cmd.Command(name); next != nil {
				cmd = next
			}
		}
		found := false
		for _, f := range cmd.Flags {
			found = found || f.Names()[0] == "really-do-it"
		}
		require.True(t, found, args)
	}
}

func TestMessageThatFails(t *testing.T) {
	mh, err := multihash.Sum([]byte("m"), multihash.SHA2_256, -1)
	require.NoError(t, err)
	c := cid.NewCidV1(cid.Raw, mh)
	for _, x := range []struct {
		name string
		m    sealerapi.MessageStatus
		want string
	}{
		{"well", sealerapi.MessageStatus{Cid: &c, Height: 7, GasUsed: 5}, ""},
		{"refused by the actor", sealerapi.MessageStatus{Cid: &c, Height: 7, ExitCode: exitcode.ErrForbidden}, "landed at epoch 7 and failed with ErrForbidden(18)"},
		{"given up", sealerapi.MessageStatus{State: "FailedMsg", Error: "no money"}, "was given up (FailedMsg): no money"},
	} {
		t.Run(x.name, func(t *testing.T) {
			cl := new(client)
			cl.Internal.MessagerWaitMessage = func(context.Context, string, uint64) (*sealerapi.MessageStatus, error) { return &x.m, nil }
			var out bytes.Buffer
			err := settled(t.Context(), cl, render.New(&out, &out), "id-1", 5)
			if x.want == "" {
				require.NoError(t, err)
				require.Contains(t, out.String(), "landed at epoch 7, gas used 5")
				return
			}
			require.ErrorContains(t, err, x.want)
			require.Contains(t, api.Explain(err).Hint, "msg why id-1")
		})
	}
}

func TestActorInfoText(t *testing.T) {
	a, err := address.NewIDAddress(100)
	require.NoError(t, err)
	cl := new(client)
	cl.Internal.ActorInfo = func(context.Context) (*sealerapi.ActorInfo, error) {
		return &sealerapi.ActorInfo{
			Miner: a, SectorSize: 2048, NewWorker: a, WorkerFrom: 220, Available: fil(t, "3"), FeeDebt: fil(t, "1"), Ineligible: 130, Epoch: 100, BlockDelay: 30 * time.Second,
			Controllers: []sealerapi.Controller{{Name: "owner", ID: a, Key: a, Uses: []string{"other"}, Balance: fil(t, "2"), InWallet: true}, {Name: "control-0", ID: a, Key: a, Uses: []string{"precommit", "commit"}, Balance: fil(t, "60")}},
		}, nil
	}
	var out bytes.Buffer
	p := render.New(&out, &out)
	require.NoError(t, actorInfo(t.Context(), nil, cl, p))
	for _, want := range []string{"Owner:", "Control-0:", "from epoch 220 (in 1 hour) on", "Fee debt:    1 FIL: no sector can be", "until epoch 130", "Multiaddrs:  none"} {
		require.Contains(t, out.String(), want)
	}
	out.Reset()
	require.NoError(t, controlList(t.Context(), nil, cl, p))
	require.Contains(t, out.String(), "precommit commit")
	require.Contains(t, out.String(), "its key is not in the messager's wallet")
}

// TestMaintenanceWait waits on a simulated clock, and says once what it waits for.
func TestMaintenanceWait(t *testing.T) {
	clk := clock.NewSim(time.Unix(0, 0))
	asked := 0
	ask := func(_ context.Context, length time.Duration) (*sealerapi.Maintenance, error) {
		require.Equal(t, time.Hour, length)
		asked++
		m := &sealerapi.Maintenance{Epoch: abi.ChainEpoch(asked), Until: 500, BlockDelay: 30 * time.Second, Safe: asked > 4, Notes: []string{"a note"}}
		if !m.Safe {
			m.Reasons = []sealerapi.MaintenanceReason{{Kind: "deadline", Text: "deadline 2 is not proven"}}
		}
		return m, nil
	}
	var out, errOut bytes.Buffer
	wait := func(timeout time.Duration) error {
		done := make(chan error, 1)
		go func() { done <- waitMaintenance(t.Context(), clk, time.Hour, timeout, ask, render.New(&out, &errOut)) }()
		for {
			select {
			case err := <-done:
				return err
			default:
			}
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			_ = clk.WaitFor(ctx, 1) // or it is done
			cancel()
			clk.Advance(30 * time.Second)
		}
	}
	require.NoError(t, wait(0))
	require.Equal(t, 5, asked)
	require.Equal(t, "epoch 1, waiting for:\n  deadline 2 is not proven\n", errOut.String())
	require.Contains(t, out.String(), "safe to stop now\nback by:  500 (in ")
	require.Contains(t, out.String(), "note:     a note")
	asked = -1000
	err := wait(2 * time.Minute)
	require.Equal(t, api.CodePrecondition, api.Explain(err).Code)
}

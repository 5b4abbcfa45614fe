package messager

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	msgapi "github.com/filecoin-venus/venus/api/messager"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/repo"
	"github.com/filecoin-venus/venus/rpc"
)

// childEnv makes the test's own program a venus-messager in the directory it names.
const childEnv = "VENUS_TEST_MESSAGER_DIR"

// asChild does not return when this process is to be a messager.
func asChild() {
	dir := os.Getenv(childEnv)
	if dir == "" {
		return
	}
	if err := Run(context.Background(), DaemonOptions{Repo: dir, Version: "test", Clock: clock.Real()}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// child is a messager that runs as a process.
type child struct {
	cmd   *exec.Cmd
	ended chan error
}

// startChild starts one with a failpoint, and waits until it answers or is gone.
func (c *cluster) startChild(failpoint string) *child {
	api := filepath.Join(c.opts.Repo, "api")
	_ = os.Remove(api)
	k := &child{cmd: exec.Command(os.Args[0], "-test.run=^$"), ended: make(chan error, 1)}
	k.cmd.Env = append(os.Environ(), childEnv+"="+c.opts.Repo, "VENUS_FAILPOINT="+failpoint)
	require.NoError(c.t, k.cmd.Start())
	c.t.Cleanup(func() { _ = k.cmd.Process.Kill() })
	go func() { k.ended <- k.cmd.Wait() }()
	require.Eventually(c.t, func() bool {
		_, err := os.Stat(api)
		return err == nil
	}, time.Minute, 10*time.Millisecond, "the messager does not start")
	return k
}

// killed waits until the process is gone, and tells whether a signal took it.
func (k *child) killed(t *testing.T) {
	select {
	case err := <-k.ended:
		var exit *exec.ExitError
		require.True(t, errors.As(err, &exit), "%v", err)
		require.Equal(t, syscall.SIGKILL, exit.Sys().(syscall.WaitStatus).Signal())
	case <-time.NewTimer(time.Minute).C:
		t.Fatal("the failpoint was not reached")
	}
}

func (c *cluster) dialChild() (*msgapi.MessagerProxy, func()) {
	d, err := repo.Read(c.opts.Repo)
	require.NoError(c.t, err)
	addr, err := d.API()
	require.NoError(c.t, err)
	token, err := d.Token()
	require.NoError(c.t, err)
	p := new(msgapi.MessagerProxy)
	closer, err := rpc.Dial(addr, token, msgapi.Namespace, p, rpc.DialOptions{Timeout: 5 * time.Second})
	require.NoError(c.t, err)
	return p, closer
}

// TestM1_KillNine kills a real process, by SIGKILL, at each durable step. Started again
// on the same directory it delivers everything that was accepted, once, and pushes the
// same bytes for a nonce.
func TestM1_KillNine(t *testing.T) {
	for _, point := range failpoints(t) {
		if point == "messager/repriced" {
			continue // takes epochs of waiting; played on the simulated clock
		}
		t.Run(strings.TrimPrefix(point, "messager/"), func(t *testing.T) {
			c := newCluster(t)
			admin := c.client("an.admin.token")
			require.NoError(t, admin.SaveWallet(t.Context(), msgapi.WalletSpec{Name: "w", URL: c.wURL, Token: walletToken}))
			c.stop()
			kind := point + "=kill"
			switch point {
			case "messager/accept", "messager/accepted":
				kind += ":2" // one is accepted before
			case "messager/begin", "messager/committed":
				kind += ":12" // its start has some of its own
			}
			k := c.startChild(kind)
			p, stop := c.dialChild()
			ids := []string{"a", "b", "c"}
			for began := clock.Real().Now(); len(k.ended) == 0 && clock.Real().Now().Sub(began) < time.Minute; {
				for n, id := range ids {
					_, _ = p.PushMessageWithId(t.Context(), id, c.message(uint64(n)), nil, "w") // it may be gone already
				}
				c.node.step()
				_ = clock.Real().Sleep(t.Context(), 50*time.Millisecond)
			}
			stop()
			k.killed(t)

			k = c.startChild("")
			p, stop = c.dialChild()
			defer stop()
			for n, id := range ids {
				_, err := p.PushMessageWithId(t.Context(), id, c.message(uint64(n)), nil, "w") // the client does not know, and asks again
				require.NoError(t, err)
			}
			require.Eventually(t, func() bool {
				c.node.step()
				for _, id := range ids {
					if m, err := p.GetMessageByUid(t.Context(), id); err != nil || m.State != msgapi.StateOnChain {
						return false
					}
				}
				return true
			}, time.Minute, 50*time.Millisecond)
			c.once(t, p, ids)
			require.NoError(t, p.Shutdown(t.Context()))
			require.NoError(t, <-k.ended)
		})
	}
}

// once checks that every message landed once, on nonces without a gap, as one form.
func (c *cluster) once(t *testing.T, p *msgapi.MessagerProxy, ids []string) {
	nonces := map[uint64]bool{}
	for _, id := range ids {
		m, err := p.GetMessageByUid(t.Context(), id)
		require.NoError(t, err)
		nonces[m.Nonce] = true
	}
	require.Len(t, nonces, len(ids))
	c.node.mu.Lock()
	defer c.node.mu.Unlock()
	form := map[uint64]string{}
	for _, sm := range c.node.pushed {
		if have := form[sm.Message.Nonce]; have != "" {
			require.Equal(t, have, sm.Cid().String(), "other bytes for a nonce that was pushed")
		}
		form[sm.Message.Nonce] = sm.Cid().String()
	}
	require.Len(t, form, len(ids))
}

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/ipfs/go-cid"
	"github.com/stretchr/testify/require"

	apimessager "github.com/filecoin-venus/venus/api/messager"
	apinode "github.com/filecoin-venus/venus/api/node"
	apisealer "github.com/filecoin-venus/venus/api/sealer"
	"github.com/filecoin-venus/venus/cluster"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/types"
	"github.com/filecoin-venus/venus/wallet/signlog"
)

// rounds is how often each program is killed.
const rounds = 10

// killer kills the programs of a cluster and keeps account.
type killer struct {
	t     *testing.T
	c     *testCluster
	ctl   cluster.Control
	kills map[string]int
	// pledged are the sectors whose pledge was acknowledged.
	pledged []abi.SectorNumber
}

// TestKill kills each program of a cluster ten times while it mines and seals.
// What was acknowledged is never lost, nothing is done twice.
func TestKill(t *testing.T) {
	t.Parallel()
	shared.victim.launch(t)
	c := shared.victim
	c.await(t, "pledge", 4*time.Minute) // the journey is in the middle of sealing now
	k := &killer{t: t, c: c, ctl: cluster.Control{Layout: c.layout}, kills: map[string]int{}}
	began := time.Now()
	for round := range rounds {
		if round%2 == 0 {
			k.pledge()
		}
		for _, name := range cluster.Order() {
			k.kill(name)
		}
		k.allHealthy()
		k.goesOn(2)
	}
	for _, name := range cluster.Order() {
		require.Equal(t, rounds, k.kills[name], name)
	}
	t.Logf("%d programs killed %d times each in %s", len(k.kills), rounds, time.Since(began).Round(time.Second))
	k.goesOn(10)
	k.allProving()
	k.journeyEnds()
	n := c.node(t)
	head := headOf(t, n)
	blocks := k.walk(n, head)
	k.signatures(blocks)
	k.messages()
}

// status asks the supervisor about one program.
func (k *killer) status(name string) (cluster.Status, error) {
	list, err := k.ctl.Status(k.t.Context())
	if err != nil {
		return cluster.Status{}, err
	}
	for _, s := range list {
		if s.Name == name {
			return s, nil
		}
	}
	return cluster.Status{}, fmt.Errorf("no program %s", name)
}

// kill ends a running program at once.
func (k *killer) kill(name string) {
	k.t.Helper()
	eventually(k.t, 2*time.Minute, name+" runs", func() error {
		s, err := k.status(name)
		if err != nil {
			return err
		}
		if s.PID == 0 {
			return fmt.Errorf("it is %s", s.Phase)
		}
		return syscall.Kill(s.PID, syscall.SIGKILL)
	})
	k.kills[name]++
}

// allHealthy waits until the supervisor has brought everything back.
func (k *killer) allHealthy() {
	k.t.Helper()
	eventually(k.t, 2*time.Minute, "all programs are back", func() error {
		list, err := k.ctl.Status(k.t.Context())
		if err != nil {
			return err
		}
		for _, s := range list {
			if s.Restarts < k.kills[s.Name] || s.Phase != cluster.Healthy {
				return fmt.Errorf("%s is %s after %d restarts: %s", s.Name, s.Phase, s.Restarts, s.Health)
			}
		}
		return nil
	})
}

// pledge asks for one more sector and notes it when the sealer said yes.
func (k *killer) pledge() {
	k.t.Helper()
	eventually(k.t, time.Minute, "pledge a sector", func() error {
		return k.withSealer(func(ctx context.Context, s sealerAPI) error {
			id, err := s.PledgeSector(ctx)
			if err == nil {
				k.pledged = append(k.pledged, id.Number)
			}
			return err
		})
	})
}

// goesOn waits until the chain has grown by some blocks and keeps up with the
// clock.
func (k *killer) goesOn(blocks int) {
	k.t.Helper()
	n := k.c.node(k.t)
	seen := map[abi.ChainEpoch]bool{}
	eventually(k.t, 2*time.Minute, "the chain goes on", func() error {
		head, err := n.ChainHead(k.t.Context())
		if err != nil {
			return err
		}
		seen[head.Height()] = true
		age := time.Since(time.Unix(int64(head.MinTimestamp()), 0))
		if len(seen) <= blocks || age > 5*time.Second {
			return fmt.Errorf("%d heads seen, the last is %d, %s old", len(seen), head.Height(), age)
		}
		return nil
	})
}

// allProving waits until every sector that was ever begun proves.
func (k *killer) allProving() {
	k.t.Helper()
	eventually(k.t, 4*time.Minute, "all sectors prove", func() error {
		return k.withSealer(func(ctx context.Context, s sealerAPI) error {
			list, err := s.SectorsList(ctx)
			if err != nil {
				return err
			}
			for _, n := range k.pledged {
				if !slices.Contains(list, n) {
					k.t.Fatalf("sector %d was acknowledged and is lost; there are %v", n, list)
				}
			}
			for _, n := range list {
				info, err := s.SectorsStatus(ctx, n, false)
				if err != nil {
					return err
				}
				if info.State != "Proving" {
					return fmt.Errorf("sector %d is in state %s, next: %s, trouble: %s", n, info.State, info.NextAction, info.LastErr)
				}
			}
			k.t.Logf("%d sectors prove", len(list))
			return nil
		})
	})
}

// journeyEnds lets `venus-cluster up` finish what the kills interrupted.
func (k *killer) journeyEnds() {
	k.t.Helper()
	<-k.c.upDone
	if k.c.upErr != nil {
		k.c.upDone, k.c.upErr = make(chan struct{}), nil
		require.NoError(k.t, k.c.runUp())
		<-k.c.upDone
	}
	require.NoError(k.t, k.c.upErr, "the journey goes on where it was interrupted:\n%s", tailOf(k.c.upLog, 30))
	r, err := cluster.Look(k.t.Context(), k.c.layout, clock.Real())
	require.NoError(k.t, err)
	require.True(k.t, r.Healthy, "%+v", r)
}

type slot struct {
	who string
	n   uint64
}

// walk reads the chain from its head to its genesis: no sender's nonce is used
// by two messages or twice, no miner has two blocks at one height. It returns
// how many blocks there are.
func (k *killer) walk(n *apinode.FullNodeProxy, head *types.TipSet) int {
	k.t.Helper()
	ctx := k.t.Context()
	nonces, heights := map[slot]cid.Cid{}, map[slot]cid.Cid{}
	for ts := head; ts.Height() > 0; {
		here := map[slot]cid.Cid{}
		for _, b := range ts.Blocks() {
			at := slot{b.Miner.String(), uint64(b.Height)}
			require.NotContains(k.t, heights, at, "two blocks of a miner at one height")
			heights[at] = b.Cid()
			msgs, err := n.ChainGetBlockMessages(ctx, b.Cid())
			require.NoError(k.t, err)
			for _, m := range msgs.BlsMessages {
				here[slot{m.From.String(), m.Nonce}] = m.Cid()
			}
			for _, m := range msgs.SecpkMessages {
				here[slot{m.Message.From.String(), m.Message.Nonce}] = m.Cid()
			}
		}
		for s, c := range here {
			require.NotContains(k.t, nonces, s, "nonce %d of %s is used twice", s.n, s.who)
			nonces[s] = c
		}
		var err error
		ts, err = n.ChainGetTipSet(ctx, ts.Parents())
		require.NoError(k.t, err)
	}
	require.NotEmpty(k.t, nonces)
	k.t.Logf("head %d: %d blocks, %d messages of %d senders", head.Height(), len(heights), len(nonces), senders(nonces))
	return len(heights)
}

func senders(m map[slot]cid.Cid) int {
	who := map[string]bool{}
	for s := range m {
		who[s.who] = true
	}
	return len(who)
}

// signatures reads the wallet's record of what it signed: whatever the chain
// kept, no two blocks of a miner at one height were ever signed.
func (k *killer) signatures(onChain int) {
	k.t.Helper()
	files, err := filepath.Glob(filepath.Join(k.c.layout.Home(cluster.Wallet), "signlog", "*.log"))
	require.NoError(k.t, err)
	require.NotEmpty(k.t, files)
	signed, messages := map[slot]string{}, 0
	for _, name := range files {
		f, err := os.Open(name)
		require.NoError(k.t, err)
		defer f.Close()
		for d := json.NewDecoder(f); ; {
			var r signlog.Record
			// The wallet goes on signing: its last line may be half written.
			if err := d.Decode(&r); err != nil {
				break
			}
			switch {
			case r.Decision == signlog.Signed && r.Block != nil:
				at := slot{r.Block.Miner, uint64(r.Block.Height)}
				if old, ok := signed[at]; ok {
					require.Equal(k.t, old, r.Block.Digest, "height %d of miner %s was signed twice", at.n, at.who)
				}
				signed[at] = r.Block.Digest
			case r.Decision == signlog.Signed:
				messages++
			}
		}
	}
	require.GreaterOrEqual(k.t, len(signed), onChain, "every block on chain has a record")
	k.t.Logf("the wallet signed blocks at %d heights, %d other things; kills: %v", len(signed), messages, slices.Collect(maps.Values(k.kills)))
}

// messages reads the messager's account: every message that got a nonce landed,
// and no two share one.
func (k *killer) messages() {
	k.t.Helper()
	st, err := k.c.state()
	require.NoError(k.t, err)
	m, stop, err := cluster.NewClients(k.c.layout, st.Ports).Messager()
	require.NoError(k.t, err)
	defer stop()
	const page = 1000
	list, err := m.ListMessage(k.t.Context(), apimessager.MsgQuery{PageSize: page})
	require.NoError(k.t, err)
	require.NotEmpty(k.t, list)
	require.Less(k.t, len(list), page)
	used := map[slot]string{}
	for _, msg := range list {
		if msg.State != apimessager.StatePending && msg.State != apimessager.StateOnChain {
			continue
		}
		at := slot{msg.From.String(), msg.Nonce}
		require.NotContains(k.t, used, at, "messages %s and %s have one nonce", used[at], msg.ID)
		used[at] = msg.ID
	}
	k.t.Logf("the messager keeps %d messages, %d with a nonce of their own", len(list), len(used))
}

// sealerAPI is the part of the sealer that the test asks.
type sealerAPI interface {
	PledgeSector(ctx context.Context) (abi.SectorID, error)
	SectorsList(ctx context.Context) ([]abi.SectorNumber, error)
	SectorsStatus(ctx context.Context, n abi.SectorNumber, onChain bool) (apisealer.SectorInfo, error)
}

// withSealer connects to the victim's sealer for one request or two; it may be
// dead at any moment.
func (k *killer) withSealer(f func(ctx context.Context, s sealerAPI) error) error {
	st, err := k.c.state()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(k.t.Context(), 10*time.Second)
	defer cancel()
	s, stop, err := cluster.NewClients(k.c.layout, st.Ports).Sealer()
	if err != nil {
		return err
	}
	defer stop()
	return errors.Join(f(ctx, s), ctx.Err())
}

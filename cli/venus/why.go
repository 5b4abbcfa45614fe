package venus

import (
	"context"
	"fmt"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/filecoin-venus/venus/api"
	apinode "github.com/filecoin-venus/venus/api/node"
	"github.com/filecoin-venus/venus/cli/render"
)

// circumstances are what a node's distance from the clock is explained with.
type circumstances struct {
	Status apinode.NodeStatus
	Sync   apinode.ActiveSync
	// Peers are connected; fewer may share the topic of blocks.
	Peers int
	// Alerts are what the node itself finds wrong.
	Alerts []api.Alert
}

// Reason is one sentence of an explanation and what to do about it.
type Reason struct {
	Why    string
	Remedy string `json:",omitempty"`
}

// failures are what a catch-up fails with, as the node words it, and what helps.
var failures = []struct{ text, remedy string }{
	{"fork is deeper than finality", "this node and its peers parted long ago, and nothing but their operators can say whose chain is right: compare `venus chain list` with nodes you trust; " +
		"if theirs is right, start with an empty --repo or move the head back with ChainSetHead"},
	{"checkpoint", "the checkpoint that was set here (SyncCheckpoint) keeps this node from the chain of its peers; setting it to the genesis lifts it"},
	{"block is known to be bad", "see why with `venus sync check-bad CID`; if the reason is mended, `venus sync unmark-bad CID` gives the block another chance"},
	{"no peer has the chain asked for", "more peers help: `venus net connect MULTIADDR`; it is tried again with the next block that is heard"},
	{"no room on the disk", "make room on the disk of the repo: it goes on by itself"},
	{"import a snapshot", "the chain is too long to be fetched from peers block by block"},
}

// explain tells in plain words why a node is not at the head, the weightiest reason first. It is pure.
func explain(c circumstances) []Reason {
	var out []Reason
	behind := c.Status.SyncStatus.Behind > acceptableLag
	if !behind {
		out = append(out, Reason{Why: fmt.Sprintf("The head is where the clock says it should be: epoch %d, %d behind.", c.Status.SyncStatus.Epoch, c.Status.SyncStatus.Behind)})
	}
	for _, part := range []struct{ name, remedy string }{
		{"store", "look at the log; only a restart can help"},
		{"disk", "make room on the disk of the repo: writing goes on by itself"},
		{"clock", "set the clock of this machine, and keep it right with NTP"},
	} {
		if text := raised(c.Alerts, part.name); text != "" {
			out = append(out, Reason{Why: sentence(text), Remedy: part.remedy})
		}
	}
	if !behind {
		return out
	}
	switch {
	case c.Peers == 0:
		out = append(out, Reason{Why: "No peer is connected, so no block can arrive.",
			Remedy: "check the line and the firewall; `venus net connect MULTIADDR` tries one peer, bootstrap.addresses in config.json keeps trying"})
	case c.Status.PeerStatus.PeersToPublishBlocks == 0:
		out = append(out, Reason{Why: fmt.Sprintf("%d peers are connected, but none passes on blocks of this network.", c.Peers),
			Remedy: "wait a minute after the start; then see `venus net peers`, `venus net score` and `venus net faults`"})
	}
	switch c.Sync.Stage {
	case apinode.StageHeaders:
		out = append(out, Reason{Why: fmt.Sprintf("It is fetching headers, now at height %d; the head moves when blocks are judged.", c.Sync.Height)})
	case apinode.StageMessages:
		out = append(out, Reason{Why: fmt.Sprintf("It is judging blocks, now at height %d%s.", c.Sync.Height, goal(c.Sync))})
	case apinode.StageError:
		r := Reason{Why: fmt.Sprintf("The last try to catch up failed at height %d: %s.", c.Sync.Height, c.Sync.Message)}
		for _, f := range failures {
			if strings.Contains(c.Sync.Message, f.text) {
				r.Remedy = f.remedy
				break
			}
		}
		out = append(out, r)
	}
	if len(out) == 0 {
		out = append(out, Reason{
			Why:    fmt.Sprintf("The head is %d epochs behind the clock, %d peers are connected, and nobody tells of a longer chain: it seems that the network makes no blocks.", c.Status.SyncStatus.Behind, c.Peers),
			Remedy: "compare with a node elsewhere; on a network of your own look at `venus-miner list-miners` and at the beacon",
		})
	}
	return out
}

func goal(s apinode.ActiveSync) string {
	if s.Target == nil {
		return ""
	}
	return fmt.Sprintf(" of %d", s.Target.Height())
}

// raised is the message of an active alert of a part of the node; empty when it is well.
func raised(alerts []api.Alert, part string) string {
	for _, a := range alerts {
		if a.Type.Subsystem == part && a.Active && a.LastActive != nil {
			return fmt.Sprint(a.LastActive.Message)
		}
	}
	return ""
}

func sentence(s string) string { return strings.ToUpper(s[:1]) + s[1:] + "." }

func syncWhy(ctx context.Context, _ *cli.Command, c *client, p *render.Printer) error {
	var at circumstances
	var err error
	if at.Status, err = c.NodeStatus(ctx, false); err != nil {
		return err
	}
	s, err := c.SyncState(ctx)
	if err != nil {
		return err
	}
	if len(s.ActiveSyncs) > 0 {
		at.Sync = s.ActiveSyncs[0]
	}
	peers, err := c.NetPeers(ctx)
	if err != nil {
		return err
	}
	at.Peers = len(peers)
	if at.Alerts, err = c.LogAlerts(ctx); err != nil {
		p.Warn("what the node finds wrong with itself is only told to its operator: %s", err)
	}
	reasons := explain(at)
	return p.Result(reasons, func() {
		for _, r := range reasons {
			p.Line("%s", r.Why)
			if r.Remedy != "" {
				p.Line("  %s", r.Remedy)
			}
		}
	})
}

package venus

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/api"
	apinode "github.com/filecoin-venus/venus/api/node"
	"github.com/filecoin-venus/venus/chain"
	"github.com/filecoin-venus/venus/chainsync"
	"github.com/filecoin-venus/venus/internal/fsutil"
	"github.com/filecoin-venus/venus/p2p/exchange"
)

func alert(part, text string, active bool) api.Alert {
	return api.Alert{Type: api.AlertType{System: "node", Subsystem: part}, Active: active, LastActive: &api.AlertEvent{Message: text}}
}

func TestExplain(t *testing.T) {
	late := apinode.NodeStatus{SyncStatus: apinode.NodeSyncStatus{Epoch: 90, Behind: 10}, PeerStatus: apinode.NodePeerStatus{PeersToPublishBlocks: 4}}
	deaf := late
	deaf.PeerStatus.PeersToPublishBlocks = 0
	level := late
	level.SyncStatus.Behind = 1
	failed := func(text string) apinode.ActiveSync {
		return apinode.ActiveSync{Stage: apinode.StageError, Height: 77, Message: text}
	}
	for name, x := range map[string]struct {
		at   circumstances
		want []string // parts of the reasons, in order
	}{
		"level":         {circumstances{Status: level, Peers: 5, Sync: failed("yesterday")}, []string{"where the clock says"}},
		"level, warned": {circumstances{Status: level, Peers: 5, Alerts: []api.Alert{alert("clock", "the clock of this machine is 3s behind", true)}}, []string{"where the clock says", "3s behind. set the clock"}},
		"alone":         {circumstances{Status: deaf}, []string{"No peer is connected"}},
		"deaf":          {circumstances{Status: deaf, Peers: 3}, []string{"3 peers are connected, but none passes on blocks"}},
		"headers":       {circumstances{Status: late, Peers: 3, Sync: apinode.ActiveSync{Stage: apinode.StageHeaders, Height: 55}}, []string{"fetching headers, now at height 55"}},
		"blocks":        {circumstances{Status: late, Peers: 3, Sync: apinode.ActiveSync{Stage: apinode.StageMessages, Height: 55}}, []string{"judging blocks, now at height 55."}},
		"fork":          {circumstances{Status: late, Peers: 3, Sync: failed("x: " + chainsync.ErrForkTooLong.Error())}, []string{"at height 77: x: fork is deeper than finality. this node and its peers parted long ago"}},
		"pinned":        {circumstances{Status: late, Peers: 3, Sync: failed("the operator's " + chain.ErrCheckpoint.Error())}, []string{"setting it to the genesis lifts it"}},
		"bad":           {circumstances{Status: late, Peers: 3, Sync: failed(chainsync.ErrBad.Error())}, []string{"venus sync check-bad"}},
		"nobody has it": {circumstances{Status: late, Peers: 3, Sync: failed(exchange.ErrNoPeer.Error())}, []string{"venus net connect"}},
		"full disk": {circumstances{Status: late, Peers: 3, Sync: failed(fsutil.ErrNoRoom.Error()), Alerts: []api.Alert{alert("disk", "nothing is written", true), alert("head", "old", true)}},
			[]string{"Nothing is written. make room", "failed at height 77"}},
		"mended disk": {circumstances{Status: late, Peers: 3, Alerts: []api.Alert{alert("disk", "nothing is written", false)}}, []string{"the network makes no blocks"}},
		"unknown":     {circumstances{Status: late, Peers: 3, Sync: failed("a new kind of trouble")}, []string{"a new kind of trouble"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := explain(x.at)
			require.Len(t, got, len(x.want), "%+v", got)
			for i, r := range got {
				require.Contains(t, strings.TrimSpace(r.Why+" "+r.Remedy), x.want[i])
			}
		})
	}
}

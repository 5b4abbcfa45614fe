package messager

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/api/node"
	"github.com/filecoin-venus/venus/messager/machine"
	"github.com/filecoin-venus/venus/types"
)

// TestOldHeads tells a chain that catches up with the clock from a node that
// catches up with its peers: only on the first are nonces given out.
func TestOldHeads(t *testing.T) {
	r := newRig(t)
	r.step()
	then := r.clk.Now()
	r.node.clock = func() time.Time { return then } // the chain's time stands an hour behind
	r.clk.Advance(time.Hour)
	require.Equal(t, machine.NodeBehind, r.trouble(), "the head is old and stands still")

	next := func() {
		ts := r.node.mine(r.node.Head(), 0, nil)
		r.followed(r.node.setHead(ts))
	}
	next()
	require.Equal(t, machine.NoReason, r.trouble(), "a chain that was down is mined again: window proofs must land in it")
	id := r.push("late", r.addr, 5)
	require.NoError(t, r.drain(r.addr))
	next()
	require.NotEmpty(t, r.node.pushed, "message %s goes out", id)

	far, err := types.NewTipSet(r.node.mine(r.node.Head(), 5000, nil).Blocks())
	require.NoError(t, err)
	r.node.syncing = &node.SyncState{ActiveSyncs: []node.ActiveSync{{Stage: node.StageMessages, Target: far}}}
	next()
	require.Equal(t, machine.NodeBehind, r.trouble(), "the node itself is fetching the chain")
	r.node.fail["SyncState"] = errors.New("model failure")
	r.node.syncing = nil
	next()
	require.Equal(t, machine.NodeBehind, r.trouble(), "a node that cannot tell is not trusted")
	delete(r.node.fail, "SyncState")
	next()
	require.Equal(t, machine.NoReason, r.trouble())
}

func (r *rig) trouble() machine.Reason {
	reason, _ := r.nodeTrouble()
	return reason
}

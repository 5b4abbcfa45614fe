package machine

import "github.com/filecoin-project/go-state-types/abi"

// MaxLag is how many epochs the node in use may be behind the best one before
// another is used.
const MaxLag = 5

// NodeView is how one of several nodes looks.
type NodeView struct {
	// Up: it answered when it was asked last.
	Up bool
	// Height is its head's.
	Height abi.ChainEpoch
}

// ChooseNode picks the node to work with: the one in use as long as it answers and
// is not more than MaxLag epochs behind the best, so that one operation meets one
// node; else the best, of equals the first.
func ChooseNode(inUse int, nodes []NodeView) int {
	best := -1
	for i, n := range nodes {
		if n.Up && (best < 0 || n.Height > nodes[best].Height) {
			best = i
		}
	}
	if best < 0 || nodes[inUse].Up && nodes[best].Height-nodes[inUse].Height <= MaxLag {
		return inUse
	}
	return best
}

package messager

import (
	"context"
	"sync"
	"time"

	"github.com/filecoin-venus/venus/messager/machine"
)

const (
	// headTimeout is how long a node may take to tell its head before it counts as gone.
	headTimeout = 5 * time.Second
	leastWatch  = time.Second
)

// Endpoint is a node with the name that histories tell, which has no token in it.
type Endpoint struct {
	Name string
	Node Node
}

// nodes are those the messager may work with, one at a time.
type nodes struct {
	s     *Service
	all   []Endpoint
	mu    sync.Mutex
	inUse int
	views []machine.NodeView
}

func (n *nodes) current() (int, Endpoint) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.inUse, n.all[n.inUse]
}

// node is the one in use. Whoever makes several calls that belong together keeps it.
func (s *Service) node() Node {
	_, e := s.nodes.current()
	return e.Node
}

func (s *Service) nodeName() string {
	_, e := s.nodes.current()
	return e.Name
}

// others are the nodes that are not in use.
func (n *nodes) others() []Endpoint {
	n.mu.Lock()
	defer n.mu.Unlock()
	var out []Endpoint
	for i, e := range n.all {
		if i != n.inUse {
			out = append(out, e)
		}
	}
	return out
}

// watch compares the nodes until ctx ends.
func (n *nodes) watch(ctx context.Context) {
	if len(n.all) < 2 {
		return
	}
	for {
		n.check(ctx)
		if n.s.clk.Sleep(ctx, max(leastWatch, n.s.epochTime()/2)) != nil {
			return
		}
	}
}

// check asks all nodes for their heads and changes to a better one if the one in use
// is gone or behind. The subscription to the head then starts over there.
func (n *nodes) check(ctx context.Context) {
	if len(n.all) < 2 {
		return
	}
	views := make([]machine.NodeView, len(n.all))
	var asking sync.WaitGroup
	for i, e := range n.all {
		asking.Go(func() {
			recovered("head of "+e.Name, func() {
				cctx, cancel := context.WithTimeout(ctx, headTimeout)
				defer cancel()
				if head, err := e.Node.ChainHead(cctx); err == nil && head != nil {
					views[i] = machine.NodeView{Up: true, Height: head.Height()}
				}
			})
		})
	}
	asking.Wait()
	if ctx.Err() != nil {
		return
	}
	n.mu.Lock()
	was := n.inUse
	n.views, n.inUse = views, machine.ChooseNode(n.inUse, views)
	now := n.inUse
	n.mu.Unlock()
	if was != now {
		log.Warnw("another node is used", "from", n.all[was].Name, "up", views[was].Up, "height", views[was].Height, "to", n.all[now].Name, "head", views[now].Height)
		poke(n.s.role)
	}
}

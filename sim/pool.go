package sim

import (
	"bytes"
	"context"
	"sort"
	"sync"

	"github.com/filecoin-project/go-address"
	"github.com/ipfs/go-cid"

	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/state"
	"github.com/filecoin-venus/venus/types"
)

// pool holds messages until they are on chain. Block producers take everything that fits the state's nonces.
type pool struct {
	// mu lets several miners ask at once.
	mu      sync.Mutex
	pending map[address.Address][]*types.SignedMessage
	next    map[address.Address]uint64
	// picked is the last answer of ready, for the state it was given for; adding a message ends it.
	picked []*types.SignedMessage
	state  cid.Cid
}

func newPool() *pool {
	return &pool{pending: map[address.Address][]*types.SignedMessage{}, next: map[address.Address]uint64{}}
}

// add signs a message with the sender's next nonce and keeps it.
func (p *pool) add(k Key, m types.Message) (*types.SignedMessage, error) {
	m.From, m.Nonce = k.Address, p.next[k.Address]
	sm, err := k.SignMessage(m)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next[k.Address]++
	p.state = cid.Undef
	p.pending[k.Address] = append(p.pending[k.Address], sm)
	return sm, nil
}

// ready drops what the state has seen and lists the rest, sender by sender in address order, as far as it fits into one
// block.
func (p *pool) ready(ctx context.Context, view *state.View) ([]*types.SignedMessage, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state == view.Root() {
		return p.picked, nil
	}
	senders := make([]address.Address, 0, len(p.pending))
	for a := range p.pending {
		senders = append(senders, a)
	}
	sort.Slice(senders, func(i, j int) bool { return bytes.Compare(senders[i].Bytes(), senders[j].Bytes()) < 0 })
	var out []*types.SignedMessage
	room := int64(params.BlockGasLimit)
	for _, a := range senders {
		act, err := view.Actor(ctx, a)
		if err != nil {
			return nil, err
		}
		list := p.pending[a]
		for len(list) > 0 && list[0].Message.Nonce < act.Nonce {
			list = list[1:]
		}
		if p.pending[a] = list; len(list) == 0 {
			delete(p.pending, a)
		}
		for _, m := range list {
			if room < m.Message.GasLimit {
				break
			}
			room -= m.Message.GasLimit
			out = append(out, m)
		}
	}
	p.picked, p.state = out, view.Root()
	return out, nil
}

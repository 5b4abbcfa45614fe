package sim

import (
	"bytes"
	"context"
	"sort"

	"github.com/filecoin-project/go-address"

	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/state"
	"github.com/filecoin-venus/venus/types"
)

// pool holds messages until they are on chain. Block producers take everything that fits the state's nonces.
type pool struct {
	pending map[address.Address][]*types.SignedMessage
	next    map[address.Address]uint64
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
	p.next[k.Address]++
	p.pending[k.Address] = append(p.pending[k.Address], sm)
	return sm, nil
}

// ready drops what the state has seen and lists the rest, sender by sender in address order, as far as it fits into one
// block.
func (p *pool) ready(ctx context.Context, view *state.View) ([]*types.SignedMessage, error) {
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
	return out, nil
}

package mpool

import (
	"context"

	"github.com/filecoin-venus/venus/types"
)

// Kinds of Update.
const (
	Added   = 0
	Removed = 1
)

// Update is one change of the pool, in the shape MpoolSub streams.
type Update struct {
	Type    int
	Message *types.SignedMessage
}

// subscriberBuffer is how many updates a reader may lag behind.
const subscriberBuffer = 1024

type subscriber struct{ ch chan Update }

// Subscribe streams the pool's changes until ctx ends. The channel is closed at
// the end, and earlier when the reader lags too far behind: a gap in the stream is
// never silent, the reader starts over with Pending.
func (p *Pool) Subscribe(ctx context.Context) <-chan Update {
	s := &subscriber{ch: make(chan Update, subscriberBuffer)}
	p.mu.Lock()
	p.subs[s] = struct{}{}
	p.mu.Unlock()
	context.AfterFunc(ctx, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.endLocked(s)
	})
	return s.ch
}

func (p *Pool) endLocked(s *subscriber) {
	if _, ok := p.subs[s]; ok {
		delete(p.subs, s)
		close(s.ch)
	}
}

func (p *Pool) tellLocked(u Update) {
	for s := range p.subs {
		select {
		case s.ch <- u:
		default:
			log.Warnw("subscriber of pool updates is too slow and was cut off")
			p.endLocked(s)
		}
	}
}

// dropLocked tells subscribers of messages that left the pool.
func (p *Pool) dropLocked(gone []*entry) {
	for _, e := range gone {
		p.tellLocked(Update{Removed, e.msg})
	}
}

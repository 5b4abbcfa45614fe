package mpool

import (
	"fmt"
	"sort"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/ipfs/go-cid"

	"github.com/filecoin-venus/venus/types"
)

// Source says where a message came from; it decides the limits it meets.
type Source int

const (
	// Local is the node's own trusted API.
	Local Source = iota
	// Remote is gossip.
	Remote
	// Untrusted is the API method for callers who are not trusted.
	Untrusted
)

// entry is a pending message and what the pool remembers of it.
type entry struct {
	msg *types.SignedMessage
	// key is the sender's key address: the name of its line.
	key   address.Address
	cid   cid.Cid
	local bool
	funds big.Int
}

func newEntry(m *types.SignedMessage, key address.Address, local bool) *entry {
	return &entry{msg: m, key: key, cid: m.Cid(), local: local, funds: m.Message.RequiredFunds()}
}

// line holds the pending messages of one sender.
type line struct {
	// base is the nonce the chain expects next.
	base uint64
	// end is the first nonce from base on that has no message.
	end  uint64
	msgs map[uint64]*entry
}

// core is the pool without its surroundings: no clock, no disk, no chain.
type core struct {
	lines map[address.Address]*line
	count int
}

func newCore() *core { return &core{lines: make(map[address.Address]*line)} }

func (l *line) advance() {
	for l.msgs[l.end] != nil {
		l.end++
	}
}

// requiredBut is the sum of funds of all messages except the one at a nonce.
func (l *line) requiredBut(nonce uint64) big.Int {
	sum := big.Zero()
	for n, e := range l.msgs {
		if n != nonce {
			sum = big.Add(sum, e.funds)
		}
	}
	return sum
}

// replacementPremium is the least premium that replaces one of old: a ratio of
// 1.25 asks for old + floor(old*64/256) + 1.
func replacementPremium(old big.Int, ratio float64) big.Int {
	extra := big.Div(big.Mul(old, big.NewInt(int64((ratio-1)*256))), big.NewInt(256))
	return big.Add(big.Add(old, extra), big.NewInt(1))
}

// MinReplacePremium is the least premium that a message must offer to replace a
// pending one of premium old under the configured ratio.
func (c Config) MinReplacePremium(old big.Int) big.Int {
	return replacementPremium(old, c.ReplaceByFeeRatio)
}

// add puts a message into its sender's line and returns what it replaced. actor
// is the sender on chain. The error is one of the package's, or nil.
func (c *core) add(e *entry, actor Actor, src Source, ratio float64) (*entry, error) {
	nonce := e.msg.Message.Nonce
	if nonce < actor.Nonce {
		return nil, fmt.Errorf("%w: nonce %d, chain expects %d", ErrNonceTooLow, nonce, actor.Nonce)
	}
	l := c.lines[e.key]
	if l == nil {
		l = &line{base: actor.Nonce, end: actor.Nonce, msgs: make(map[uint64]*entry)}
	}
	gap, most := uint64(MaxNonceGap), MaxPending
	if src == Untrusted {
		gap, most = 0, MaxPendingUntrusted
	}
	old := l.msgs[nonce]
	switch {
	case old != nil && old.cid == e.cid:
		return nil, fmt.Errorf("%w: it is the same message", ErrExists)
	case old != nil:
		if least := replacementPremium(old.msg.Message.GasPremium, ratio); e.msg.Message.GasPremium.LessThan(least) {
			return nil, fmt.Errorf("%w: nonce %d needs %s, got %s", ErrPremiumTooLow, nonce, least, e.msg.Message.GasPremium)
		}
	case nonce > l.end+gap:
		return nil, fmt.Errorf("%w: nonce %d, next is %d", ErrNonceGap, nonce, l.end)
	case len(l.msgs) >= most:
		return nil, fmt.Errorf("%w: %d", ErrTooMany, len(l.msgs))
	}
	if e.funds.GreaterThan(actor.Balance) {
		return nil, fmt.Errorf("%w: needs %s, has %s", ErrFunds, types.FIL(e.funds), types.FIL(actor.Balance))
	}
	if sum := big.Add(l.requiredBut(nonce), e.funds); sum.GreaterThan(actor.Balance) {
		return nil, fmt.Errorf("%w: need %s, has %s", ErrPendingFunds, types.FIL(sum), types.FIL(actor.Balance))
	}
	c.put(l, e)
	return old, nil
}

// restore puts a message back without limits (after a reorg, or read from disk),
// unless the chain has passed its nonce or the line holds another message there.
func (c *core) restore(e *entry, base uint64) bool {
	nonce := e.msg.Message.Nonce
	l := c.lines[e.key]
	if l == nil {
		l = &line{base: base, end: base, msgs: make(map[uint64]*entry)}
	}
	if nonce < base || l.msgs[nonce] != nil {
		return false
	}
	c.put(l, e)
	return true
}

func (c *core) put(l *line, e *entry) {
	nonce := e.msg.Message.Nonce
	if l.msgs[nonce] == nil {
		c.count++
	}
	l.msgs[nonce] = e
	c.lines[e.key] = l
	l.advance()
}

// remove takes one message out and returns it, or nil.
func (c *core) remove(key address.Address, nonce uint64) *entry {
	l := c.lines[key]
	if l == nil || l.msgs[nonce] == nil {
		return nil
	}
	e := l.msgs[nonce]
	delete(l.msgs, nonce)
	c.count--
	if nonce < l.end {
		l.end = max(nonce, l.base)
	}
	if len(l.msgs) == 0 {
		delete(c.lines, key)
	}
	return e
}

// rebase tells a line the nonce that the chain now expects and returns the
// messages that this makes obsolete.
func (c *core) rebase(key address.Address, base uint64) []*entry {
	l := c.lines[key]
	if l == nil {
		return nil
	}
	var gone []*entry
	l.base, l.end = base, base
	for n, e := range l.msgs {
		if n < base {
			gone = append(gone, e)
			delete(l.msgs, n)
			c.count--
		}
	}
	l.advance()
	if len(l.msgs) == 0 {
		delete(c.lines, key)
	}
	sort.Slice(gone, func(i, j int) bool { return gone[i].msg.Message.Nonce < gone[j].msg.Message.Nonce })
	return gone
}

// next is the nonce after the sender's contiguous pending messages.
func (c *core) next(key address.Address, base uint64) uint64 {
	l := c.lines[key]
	if l == nil {
		return base
	}
	n := base
	for l.msgs[n] != nil {
		n++
	}
	return n
}

// of returns a sender's messages by nonce.
func (c *core) of(key address.Address) []*entry {
	l := c.lines[key]
	if l == nil {
		return nil
	}
	out := make([]*entry, 0, len(l.msgs))
	for _, e := range l.msgs {
		out = append(out, e)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].msg.Message.Nonce < out[j].msg.Message.Nonce })
	return out
}

// senders returns the lines' names in address order.
func (c *core) senders() []address.Address {
	out := make([]address.Address, 0, len(c.lines))
	for k := range c.lines {
		out = append(out, k)
	}
	sort.Slice(out, func(i, j int) bool { return string(out[i].Bytes()) < string(out[j].Bytes()) })
	return out
}

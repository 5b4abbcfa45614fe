package mpool

import (
	"context"
	"errors"
	"fmt"
	"math/rand"
	"sync"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	stcrypto "github.com/filecoin-project/go-state-types/crypto"
	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/ipfs/go-cid"
	logging "github.com/ipfs/go-log/v2"

	"github.com/filecoin-venus/venus/crypto"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/types"
)

var log = logging.Logger("mpool")

// Chain is what the pool asks of the chain. "After a tipset" means with that
// tipset's messages executed.
type Chain interface {
	// ActorAfter returns a sender's nonce and balance. An address without an
	// account actor is ErrUnknownSender.
	ActorAfter(ctx context.Context, addr address.Address, ts *types.TipSet) (Actor, error)
	// ResolveToKey turns an ID address into the key address behind it.
	ResolveToKey(ctx context.Context, addr address.Address, ts *types.TipSet) (address.Address, error)
	// BaseFeeAfter is the base fee that the tipset's children will pay.
	BaseFeeAfter(ctx context.Context, ts *types.TipSet) (abi.TokenAmount, error)
	// Messages returns the messages of a tipset once each, in execution order.
	Messages(ctx context.Context, ts *types.TipSet) ([]types.ChainMsg, error)
	// TipSet loads a tipset by its key.
	TipSet(ctx context.Context, key types.TipSetKey) (*types.TipSet, error)
}

// Options are the parts a pool is made of. All are required but Publish and
// Verify.
type Options struct {
	Chain Chain
	Store Store
	Clock clock.Clock
	// BlockDelay and PropagationDelay time the republishing.
	BlockDelay, PropagationDelay time.Duration
	// Head is the tipset the pool starts from.
	Head *types.TipSet
	// Publish sends a message to the network; nil keeps everything local.
	Publish func(context.Context, *types.SignedMessage) error
	// Verify checks a signature by a key address and should remember what held, as crypto.Verifier does; nil means one of the
	// pool's own.
	Verify func(sig *stcrypto.Signature, key address.Address, msg []byte) error
	Config Config
	// Seed makes the pool's random choices repeatable.
	Seed int64
}

// Pool is the message pool. It is safe for concurrent use.
type Pool struct {
	o Options
	// blsSigs remembers the signature of BLS messages by CID: blocks do not carry
	// it, and a reverted block's messages want to return.
	blsSigs *lru.Cache[cid.Cid, stcrypto.Signature]
	repub   chan struct{}

	// mu guards what follows. It is never held while the chain, the disk or the
	// network is asked.
	mu        sync.Mutex
	core      *core
	head      *types.TipSet
	cfg       Config
	lastPrune time.Time
	subs      map[*subscriber]struct{}
	rng       *rand.Rand
}

// New makes a pool on a head and takes the stored local messages back in: those
// the chain has passed are dropped, those that became invalid are reported.
func New(ctx context.Context, o Options) (*Pool, error) {
	if o.Head == nil {
		return nil, errors.New("message pool needs a head")
	}
	if o.Verify == nil {
		v, err := crypto.NewVerifier()
		if err != nil {
			return nil, err
		}
		o.Verify = v.Verify
	}
	blsSigs, err := lru.New[cid.Cid, stcrypto.Signature](40000)
	if err != nil {
		return nil, fmt.Errorf("make signature cache: %w", err)
	}
	p := &Pool{
		o: o, blsSigs: blsSigs, repub: make(chan struct{}, 1),
		core: newCore(), head: o.Head, subs: make(map[*subscriber]struct{}),
		rng: rand.New(rand.NewSource(o.Seed)),
	}
	if p.cfg, err = loadConfig(ctx, o.Store, o.Config); err != nil {
		return nil, err
	}
	return p, p.reload(ctx)
}

// Head is the tipset the pool stands on.
func (p *Pool) Head() *types.TipSet {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.head
}

// Len is the number of pending messages.
func (p *Pool) Len() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.core.count
}

// Push takes a message from the node's own trusted API, stores it and publishes
// it. A message that is already pending is published again and is no error.
// Errors are the package's sentinels, wrapped.
func (p *Pool) Push(ctx context.Context, m *types.SignedMessage) (cid.Cid, error) {
	return p.push(ctx, m, Local)
}

// PushUntrusted is Push under the limits for callers who are not trusted.
func (p *Pool) PushUntrusted(ctx context.Context, m *types.SignedMessage) (cid.Cid, error) {
	return p.push(ctx, m, Untrusted)
}

func (p *Pool) push(ctx context.Context, m *types.SignedMessage, src Source) (cid.Cid, error) {
	e, publish, err := p.admit(ctx, m, src)
	if err != nil {
		if errors.Is(err, ErrExists) && p.holds(e) {
			return e.cid, p.publish(ctx, m)
		}
		return cid.Undef, err
	}
	raw, err := m.Serialize()
	if err != nil {
		return cid.Undef, fmt.Errorf("encode message: %w", err)
	}
	if err := p.persist(ctx, e, raw); err != nil {
		return cid.Undef, err
	}
	if !publish {
		log.Infow("message kept but not published: its fee cap is far below the base fee", "cid", e.cid)
		return e.cid, nil
	}
	if err := p.publish(ctx, m); err != nil {
		// It is stored and will be republished; the caller need not push again.
		log.Warnw("message not published yet", "cid", e.cid, "err", err)
	}
	return e.cid, nil
}

// Receive takes a message from gossip. Reject tells what an error says of its sender.
func (p *Pool) Receive(ctx context.Context, m *types.SignedMessage) error {
	_, _, err := p.admit(ctx, m, Remote)
	return err
}

// Reject tells whether the error of Receive proves the message bad for everyone,
// so that its relayer may be penalised; other errors only mean "not now, not here".
func Reject(err error) bool {
	return errors.Is(err, ErrInvalid) || errors.Is(err, ErrTooBig) || errors.Is(err, ErrSignature)
}

// admit checks a message and adds it. publish is false for a local message whose
// fee cap the network would not relay.
func (p *Pool) admit(ctx context.Context, m *types.SignedMessage, src Source) (e *entry, publish bool, err error) {
	if err := checkRelay(m); err != nil {
		return nil, false, err
	}
	const tries = 4
	for i := 0; i < tries; i++ {
		head := p.Head()
		e, publish, err = p.check(ctx, m, src, head)
		if err != nil {
			return e, false, err
		}
		actor, err := p.o.Chain.ActorAfter(ctx, m.Message.From, head)
		if err != nil {
			return e, false, fmt.Errorf("look up sender %s: %w", m.Message.From, err)
		}
		done, err := p.tryAdd(e, actor, src, head)
		if done {
			return e, publish, err
		}
	}
	return e, false, fmt.Errorf("head moved %d times while the message was checked: %w", tries, ErrSoft)
}

// check resolves the sender and verifies fee and signature on one head.
func (p *Pool) check(ctx context.Context, m *types.SignedMessage, src Source, head *types.TipSet) (*entry, bool, error) {
	baseFee, err := p.o.Chain.BaseFeeAfter(ctx, head)
	if err != nil {
		return nil, false, fmt.Errorf("base fee after %s: %w", head.Key(), err)
	}
	relayed := !m.Message.GasFeeCap.LessThan(feeCapLowerBound(baseFee))
	if !relayed && src != Local {
		return nil, false, fmt.Errorf("%w: cap %s, base fee %s", ErrFeeCapBelowBaseFee, m.Message.GasFeeCap, baseFee)
	}
	key, err := p.resolve(ctx, m.Message.From, head)
	if err != nil {
		return nil, false, err
	}
	e := newEntry(m, key, src != Remote)
	return e, relayed, p.verify(m, key)
}

// resolve turns a sender into its key address. Only ID addresses need the chain's
// state, which may first have to be computed.
func (p *Pool) resolve(ctx context.Context, addr address.Address, ts *types.TipSet) (address.Address, error) {
	if proto := addr.Protocol(); proto == address.BLS || proto == address.SECP256K1 {
		return addr, nil
	}
	key, err := p.o.Chain.ResolveToKey(ctx, addr, ts)
	if err != nil {
		return address.Undef, fmt.Errorf("resolve sender %s: %w", addr, err)
	}
	return key, nil
}

// verify checks the signature.
func (p *Pool) verify(m *types.SignedMessage, key address.Address) error {
	if err := p.o.Verify(&m.Signature, key, m.Message.Cid().Bytes()); err != nil {
		return fmt.Errorf("%w: %w", ErrSignature, err)
	}
	return nil
}

// tryAdd adds the message if the head is still the one it was checked on.
func (p *Pool) tryAdd(e *entry, actor Actor, src Source, head *types.TipSet) (bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.head.Equals(head) {
		return false, nil
	}
	if l := p.core.lines[e.key]; l != nil && l.base != actor.Nonce {
		p.dropLocked(p.core.rebase(e.key, actor.Nonce))
	}
	old, err := p.core.add(e, actor, src, p.cfg.ReplaceByFeeRatio)
	if err != nil {
		return true, err
	}
	if e.msg.Signature.Type == stcrypto.SigTypeBLS {
		p.blsSigs.Add(e.cid, e.msg.Signature)
	}
	if old != nil {
		p.dropLocked([]*entry{old})
	}
	p.tellLocked(Update{Added, e.msg})
	p.pruneLocked()
	return true, nil
}

// holds tells whether exactly this message is pending.
func (p *Pool) holds(e *entry) bool {
	if e == nil {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.core.lines[e.key]
	if l == nil {
		return false
	}
	have := l.msgs[e.msg.Message.Nonce]
	return have != nil && have.cid == e.cid
}

func (p *Pool) publish(ctx context.Context, m *types.SignedMessage) error {
	if p.o.Publish == nil {
		return nil
	}
	return p.o.Publish(ctx, m)
}

// NextNonce is the nonce that a sender's next message should carry: behind the
// chain's and its own contiguous pending ones.
func (p *Pool) NextNonce(ctx context.Context, addr address.Address) (uint64, error) {
	head := p.Head()
	key, err := p.resolve(ctx, addr, head)
	if err != nil {
		return 0, err
	}
	actor, err := p.o.Chain.ActorAfter(ctx, addr, head)
	if err != nil {
		return 0, fmt.Errorf("look up %s: %w", addr, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.core.next(key, actor.Nonce), nil
}

// Pending returns all pending messages, sender by sender, by rising nonce, and
// the head they are pending on.
func (p *Pool) Pending() ([]*types.SignedMessage, *types.TipSet) {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make([]*types.SignedMessage, 0, p.core.count)
	for _, s := range p.core.senders() {
		for _, e := range p.core.of(s) {
			out = append(out, e.msg)
		}
	}
	return out, p.head
}

// PendingOf returns one sender's pending messages by rising nonce.
func (p *Pool) PendingOf(ctx context.Context, addr address.Address) ([]*types.SignedMessage, error) {
	key, err := p.resolve(ctx, addr, p.Head())
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []*types.SignedMessage
	for _, e := range p.core.of(key) {
		out = append(out, e.msg)
	}
	return out, nil
}

// Clear forgets the messages of others, and with local also the node's own.
func (p *Pool) Clear(ctx context.Context, local bool) error {
	p.mu.Lock()
	var gone []*entry
	for _, s := range p.core.senders() {
		for _, e := range p.core.of(s) {
			if local || !e.local {
				p.core.remove(s, e.msg.Message.Nonce)
				gone = append(gone, e)
			}
		}
	}
	p.dropLocked(gone)
	p.mu.Unlock()
	if !local {
		return nil
	}
	return p.o.Store.All(ctx, func(k string, _ []byte) error {
		if k == configKey {
			return nil
		}
		return p.o.Store.Delete(ctx, k)
	})
}

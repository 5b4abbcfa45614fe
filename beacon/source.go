package beacon

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/types"
)

// Source is one beacon chain as a node uses it.
type Source interface {
	// Entry returns the verified entry of a round and waits for a round that is not due yet until the context ends.
	Entry(ctx context.Context, round uint64) (types.BeaconEntry, error)
	// MaxRoundForEpoch is the newest round that a block of that epoch carries.
	MaxRoundForEpoch(epoch abi.ChainEpoch) uint64
	// Verify checks cur as the entry that follows prev. An entry after round 0 of a chained beacon is taken unchecked, since
	// the signature before it is unknown (node.md 5).
	Verify(prev, cur types.BeaconEntry) error
	// VerifyAll is Verify for many entries, together in a third of the time, and makes Verify of each of them fast. It does
	// not tell which one is bad.
	VerifyAll(links []Link) error
	// Chained tells whether each signature covers the one before.
	Chained() bool
}

// Link is an entry and the one it follows.
type Link struct{ Prev, Cur types.BeaconEntry }

// Timing ties epochs to wall time.
type Timing struct {
	// GenesisTime is the timestamp of the chain's genesis block, unix seconds.
	GenesisTime uint64
	// BlockDelay is the length of an epoch, whole seconds.
	BlockDelay time.Duration
}

// MaxRound is the newest round for a block of the epoch. It looks at the epoch's previous slot, so the round has been public
// for a while when the block is made (node.md 5).
func (t Timing) MaxRound(info Info, epoch abi.ChainEpoch) uint64 {
	delay := int64(t.BlockDelay / time.Second)
	at := int64(epoch)*delay + int64(t.GenesisTime) - delay
	since := at - info.GenesisTime
	if since < 0 {
		return 0
	}
	return uint64(since) / uint64(info.Period/time.Second)
}

// verifiedCache is how many entries a source remembers as checked.
const verifiedCache = 4096

// rounds is what every source shares: the chain's identity, timing, and a memory of checked entries.
type rounds struct {
	info   Info
	scheme Scheme
	timing Timing
	good   *lru.Cache[string, struct{}]
}

func newRounds(info Info, timing Timing) (*rounds, error) {
	if err := info.Check(); err != nil {
		return nil, err
	}
	if timing.BlockDelay < time.Second {
		return nil, fmt.Errorf("beacon timing: block delay %s is below a second", timing.BlockDelay)
	}
	scheme, err := info.Scheme()
	if err != nil {
		return nil, err
	}
	good, err := lru.New[string, struct{}](verifiedCache)
	if err != nil {
		return nil, fmt.Errorf("beacon cache: %w", err)
	}
	return &rounds{info: info, scheme: scheme, timing: timing, good: good}, nil
}

// Info is the identity of the chain.
func (r *rounds) Info() Info { return r.info }

// Chained tells whether each signature covers the one before.
func (r *rounds) Chained() bool { return r.scheme.Chained() }

// MaxRoundForEpoch is the newest round that a block of that epoch carries.
func (r *rounds) MaxRoundForEpoch(epoch abi.ChainEpoch) uint64 {
	return r.timing.MaxRound(r.info, epoch)
}

// Verify checks cur as the successor of prev; see Source.
func (r *rounds) Verify(prev, cur types.BeaconEntry) error {
	if signed, err := r.signed(prev, cur); !signed {
		return err
	}
	return r.check(cur.Round, prev.Data, cur.Data)
}

// signed tells whether there is a signature to verify; an error says that there is none that could be good.
func (r *rounds) signed(prev, cur types.BeaconEntry) (bool, error) {
	if prev.Round == 0 && r.scheme.Chained() {
		return false, nil
	}
	if prev.Round != 0 && cur.Round != prev.Round+1 {
		return false, fmt.Errorf("beacon round %d does not follow round %d", cur.Round, prev.Round)
	}
	return true, nil
}

// VerifyAll checks many entries at once; see Source.
func (r *rounds) VerifyAll(links []Link) error {
	var digests, signatures [][]byte
	for _, l := range links {
		if signed, err := r.signed(l.Prev, l.Cur); err != nil {
			return err
		} else if !signed {
			continue
		}
		digest := r.scheme.Message(l.Cur.Round, l.Prev.Data)
		if !r.good.Contains(string(digest) + string(l.Cur.Data)) {
			digests, signatures = append(digests, digest), append(signatures, l.Cur.Data)
		}
	}
	if err := r.scheme.verifyAll(r.info.PublicKey, digests, signatures); err != nil {
		return fmt.Errorf("%d beacon rounds together: %w", len(digests), err)
	}
	for i, digest := range digests {
		r.good.Add(string(digest)+string(signatures[i]), struct{}{})
	}
	return nil
}

func (r *rounds) check(round uint64, previous, signature []byte) error {
	digest := r.scheme.Message(round, previous)
	key := string(digest) + string(signature)
	if r.good.Contains(key) {
		return nil
	}
	if err := r.scheme.Verify(r.info.PublicKey, round, previous, signature); err != nil {
		return fmt.Errorf("beacon round %d: %w", round, err)
	}
	r.good.Add(key, struct{}{})
	return nil
}

// Private is the source of a network whose beacon key lives in this process: the simulator and tests.
type Private struct {
	*rounds
	key   *Key
	clock clock.Clock
	mu    sync.Mutex
	made  map[uint64][]byte
}

// NewPrivate returns a source that signs its rounds itself, each when it is due by the clock.
func NewPrivate(key *Key, info Info, timing Timing, clk clock.Clock) (*Private, error) {
	r, err := newRounds(info, timing)
	if err != nil {
		return nil, err
	}
	return &Private{rounds: r, key: key, clock: clk, made: map[uint64][]byte{}}, nil
}

// Entry signs the round, waiting until it is due.
func (p *Private) Entry(ctx context.Context, round uint64) (types.BeaconEntry, error) {
	if wait := p.info.DueAt(round).Sub(p.clock.Now()); wait > 0 {
		if err := p.clock.Sleep(ctx, wait); err != nil {
			return types.BeaconEntry{}, fmt.Errorf("wait for beacon round %d: %w", round, err)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	sig, ok := p.made[round]
	if !ok {
		var err error
		if sig, err = p.key.Sign(round); err != nil {
			return types.BeaconEntry{}, err
		}
		if len(p.made) >= verifiedCache {
			clear(p.made)
		}
		p.made[round] = sig
	}
	return types.BeaconEntry{Round: round, Data: sig}, nil
}

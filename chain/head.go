package chain

import (
	"context"
	"errors"
	"fmt"

	"github.com/filecoin-venus/venus/internal/fault"
	"github.com/filecoin-venus/venus/types"
)

// ChangeKind says what a head change did to a tipset. The words are those of the API.
type ChangeKind string

// The kinds of head change.
const (
	// Current opens every subscription: the head at that moment.
	Current ChangeKind = "current"
	// Apply: the tipset joined the chain.
	Apply ChangeKind = "apply"
	// Revert: the tipset left the chain.
	Revert ChangeKind = "revert"
)

// HeadChange is one step of the head. Lists of them are in order: reverts from the old head down, then applies up to the
// new head.
type HeadChange struct {
	Kind   ChangeKind
	TipSet *types.TipSet
}

// ErrSlowSubscriber is the reason of a subscription that ended because its reader fell behind.
var ErrSlowSubscriber = errors.New("subscriber fell behind and was dropped; subscribe again to get the present head")

// subscriptionDepth is how many lists of changes wait for a reader before it is dropped.
const subscriptionDepth = 128

// Subscription delivers head changes. Its channel closes when it ends; Err then tells why.
type Subscription struct {
	store *Store
	c     chan []HeadChange
	err   error
}

// Changes is the channel of head changes; the first list is one Current.
func (s *Subscription) Changes() <-chan []HeadChange { return s.c }

// Err is nil while the subscription lives and after Close, ErrSlowSubscriber when it was dropped.
func (s *Subscription) Err() error {
	s.store.headMu.RLock()
	defer s.store.headMu.RUnlock()
	return s.err
}

// Close ends the subscription.
func (s *Subscription) Close() {
	s.store.headMu.Lock()
	defer s.store.headMu.Unlock()
	s.store.drop(s, nil)
}

// Subscribe starts a subscription with the present head; no change is missed after it.
func (s *Store) Subscribe() *Subscription {
	s.headMu.Lock()
	defer s.headMu.Unlock()
	sub := &Subscription{store: s, c: make(chan []HeadChange, subscriptionDepth)}
	s.subs[sub] = struct{}{}
	if s.head != nil {
		sub.c <- []HeadChange{{Kind: Current, TipSet: s.head}}
	}
	return sub
}

func (s *Store) drop(sub *Subscription, why error) {
	if _, ok := s.subs[sub]; !ok {
		return
	}
	delete(s.subs, sub)
	sub.err = why
	close(sub.c)
}

func (s *Store) notify(changes []HeadChange) {
	for sub := range s.subs {
		select {
		case sub.c <- changes:
		default:
			s.drop(sub, ErrSlowSubscriber)
		}
	}
}

// Head is the present head.
func (s *Store) Head() *types.TipSet {
	s.headMu.RLock()
	defer s.headMu.RUnlock()
	return s.head
}

// Path returns how to get from one tipset to another: the tipsets to revert, newest first, and those to apply, oldest
// first.
func (s *Store) Path(ctx context.Context, from, to *types.TipSet) (revert, apply []*types.TipSet, err error) {
	a, b := from, to
	for a.Key() != b.Key() {
		if a.Height() == 0 && b.Height() == 0 {
			return nil, nil, fmt.Errorf("tipsets %s and %s: %w", from.Key(), to.Key(), ErrOtherGenesis)
		}
		// Of two different tipsets the higher one cannot be the common ancestor; at equal height neither is.
		aHeight, bHeight := a.Height(), b.Height()
		if aHeight >= bHeight {
			revert = append(revert, a)
			if a, err = s.Parent(ctx, a); err != nil {
				return nil, nil, err
			}
		}
		if bHeight >= aHeight {
			apply = append(apply, b)
			if b, err = s.Parent(ctx, b); err != nil {
				return nil, nil, err
			}
		}
	}
	for i, j := 0, len(apply)-1; i < j; i, j = i+1, j-1 {
		apply[i], apply[j] = apply[j], apply[i]
	}
	return revert, apply, nil
}

// Consider makes ts the head if fork choice prefers it (Prefers). It tells whether the head changed. ErrForkTooLong when
// the switch would cross finality. The caller vouches that ts and its ancestors are valid.
func (s *Store) Consider(ctx context.Context, ts *types.TipSet) (bool, error) {
	weight, err := s.Weigh(ctx, ts)
	if err != nil {
		return false, err
	}
	s.switchMu.Lock()
	defer s.switchMu.Unlock()
	headWeight, err := s.Weigh(ctx, s.head)
	if err != nil {
		return false, err
	}
	if !Prefers(ts, weight, s.head, headWeight) {
		return false, nil
	}
	revert, apply, err := s.Path(ctx, s.head, ts)
	if err != nil {
		return false, fmt.Errorf("switch head to %s: %w", ts.Key(), err)
	}
	if len(revert) > 0 {
		ancestor := revert[len(revert)-1].Parents()
		common, err := s.TipSet(ctx, ancestor)
		if err != nil {
			return false, fmt.Errorf("switch head to %s: %w", ts.Key(), err)
		}
		if err := s.keeps(ts, common.Height()); err != nil {
			return false, err
		}
		if depth := s.head.Height() - common.Height(); depth > s.net.Finality {
			return false, fmt.Errorf("switch head to %s would undo %d epochs, finality is %d: %w", ts.Key(), depth, s.net.Finality, ErrForkTooLong)
		}
	}
	return true, s.moveHead(ctx, ts, revert, apply)
}

// SetHead moves the head without asking fork choice or finality: an operator's decision, or an import. ErrCheckpoint when
// it would undo the operator's own checkpoint.
func (s *Store) SetHead(ctx context.Context, ts *types.TipSet) error {
	s.switchMu.Lock()
	defer s.switchMu.Unlock()
	revert, apply, err := s.Path(ctx, s.head, ts)
	if err != nil {
		return fmt.Errorf("set head to %s: %w", ts.Key(), err)
	}
	if len(revert) > 0 {
		common, err := s.TipSet(ctx, revert[len(revert)-1].Parents())
		if err != nil {
			return fmt.Errorf("set head to %s: %w", ts.Key(), err)
		}
		if err := s.keeps(ts, common.Height()); err != nil {
			return err
		}
	}
	return s.moveHead(ctx, ts, revert, apply)
}

// Adopt makes ts the head after an import, however far it is from the present one. The caller vouches that its ancestors
// down to the genesis are in the store and valid. Subscribers hear nothing: nobody may run on this store yet. ErrCheckpoint
// when the operator's checkpoint is not among the ancestors.
func (s *Store) Adopt(ctx context.Context, ts *types.TipSet) error {
	s.switchMu.Lock()
	defer s.switchMu.Unlock()
	if pin := s.Checkpoint(); pin.Height() > 0 {
		if pin.Height() > ts.Height() {
			return fmt.Errorf("set head to %s at height %d: it lies below the %w at %d", ts.Key(), ts.Height(), ErrCheckpoint, pin.Height())
		}
		at, err := s.AtOrBefore(ctx, ts, pin.Height())
		if err != nil {
			return fmt.Errorf("set head to %s: %w", ts.Key(), err)
		}
		if at.Key() != pin.Key() {
			return fmt.Errorf("set head to %s: its chain has %s at height %d, the %w is %s", ts.Key(), at.Key(), at.Height(), ErrCheckpoint, pin.Key())
		}
	}
	return s.moveHead(ctx, ts, nil, nil)
}

// moveHead records and announces a head. Callers hold switchMu, so announcements keep the order of heads.
func (s *Store) moveHead(ctx context.Context, ts *types.TipSet, revert, apply []*types.TipSet) error {
	if err := fault.Point("chain/headPersist"); err != nil {
		return fmt.Errorf("record head %s: %w", ts.Key(), err)
	}
	// The one line that makes the head durable; no subscriber may hear of it before.
	if err := s.record(ctx, Entry{keyHead, ts.Key().Bytes()}); err != nil {
		return fmt.Errorf("record head %s: %w", ts.Key(), err)
	}
	if err := fault.Point("chain/headNotify"); err != nil {
		return fmt.Errorf("announce head %s: %w", ts.Key(), err)
	}
	changes := make([]HeadChange, 0, len(revert)+len(apply))
	for _, t := range revert {
		changes = append(changes, HeadChange{Revert, t})
	}
	for _, t := range apply {
		changes = append(changes, HeadChange{Apply, t})
	}
	s.headMu.Lock()
	s.head = ts
	if len(changes) > 0 {
		s.notify(changes)
	}
	s.headMu.Unlock()
	s.siblings.forget(ts.Height() - s.net.Finality)
	return nil
}

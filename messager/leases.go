package messager

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/filecoin-project/go-address"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/messager/machine"
	"github.com/filecoin-venus/venus/messager/store"
)

const (
	// chainLease is held by the one messager that decides messages' fates.
	chainLease = "chain"
	leaseTTL   = 15 * time.Second
	leaseTick  = leaseTTL / 3
	// unwellTicks is for how many renewals a messager may be unable to deliver
	// before it gives way to others on the database.
	unwellTicks = 3
	// shareTick is how often the senders that others took messages for are looked up.
	shareTick = time.Second
)

// errNotDecider: another messager on the database decides messages' fates.
var errNotDecider = errors.New("another messager on this database follows the chain")

// nonceLease is the lease on the nonces of a sender.
func nonceLease(a address.Address) string { return "nonces/" + hex.EncodeToString(a.Bytes()) }

// leases are what this messager may do on a database that it may share. What they
// say may be outdated; the database's own fences are what keeps order.
type leases struct {
	mu     sync.Mutex
	fences map[string]int64
	// alive are the messagers on the database, this one included.
	alive []string
	// until is when everything held runs out if it is not renewed.
	until time.Time
	// unwell counts the renewals at which nothing could be delivered.
	unwell int
	// soon asks for a renewal before its time.
	soon chan struct{}
}

// fence returns the fence of a lease that is held.
func (s *Service) fence(name string) (int64, bool) {
	l := &s.leases
	l.mu.Lock()
	defer l.mu.Unlock()
	fence, ok := l.fences[name]
	return fence, ok && s.clk.Now().Before(l.until)
}

// decides tells whether this messager decides messages' fates.
func (s *Service) decides() bool {
	_, ok := s.fence(chainLease)
	return ok
}

// shared tells whether other messagers work on the database.
func (s *Service) sharedDB() bool {
	s.leases.mu.Lock()
	defer s.leases.mu.Unlock()
	return slices.ContainsFunc(s.leases.alive, func(who string) bool { return who != s.o.Holder })
}

// preferred tells whether this messager is the one to hold a lease, among those
// that are alive and able to deliver.
func (s *Service) preferred(name string) bool {
	l := &s.leases
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Contains(l.alive, s.o.Holder) && machine.Preferred(l.alive, name) == s.o.Holder
}

// acquire returns the fence of a lease, taking it if it is free and this messager's
// turn; 0 when others hold it.
func (s *Service) acquire(ctx context.Context, name string) (int64, error) {
	if fence, ok := s.fence(name); ok {
		return fence, nil
	}
	if !s.preferred(name) {
		return 0, nil
	}
	fence, mine, err := s.db.Lease(ctx, name, s.o.Holder, s.clk.Now(), leaseTTL)
	if err != nil || !mine {
		return 0, err
	}
	s.leases.mu.Lock()
	s.leases.fences[name] = fence
	s.leases.mu.Unlock()
	if name == chainLease {
		log.Infow("this messager follows the chain for all on its database", "fence", fence)
		poke(s.role)
	}
	return fence, nil
}

// renew prolongs what is held, gives up what others should hold, and takes the
// chain if that is this messager's turn.
func (s *Service) renew(ctx context.Context) error {
	now := s.clk.Now()
	alive, err := s.db.Alive(ctx, now)
	if err != nil {
		return err
	}
	if s.giveWay(alive) {
		return s.withdraw(ctx, alive)
	}
	held, alive, err := s.db.Renew(ctx, s.o.Holder, now, leaseTTL)
	if err != nil {
		return err
	}
	l := &s.leases
	l.mu.Lock()
	l.alive, l.until = alive, now.Add(leaseTTL)
	var leave []string
	for name, fence := range l.fences {
		switch {
		case held[name] != fence:
			log.Warnw("a lease was lost", "lease", name)
			delete(l.fences, name)
		case machine.Preferred(alive, name) != s.o.Holder:
			delete(l.fences, name) // and released below
		}
	}
	for name := range held {
		// Of an earlier life of this messager, or of a commit whose answer was lost: kept
		// alive it would keep others from it.
		if _, ok := l.fences[name]; !ok && machine.Preferred(alive, name) != s.o.Holder {
			leave = append(leave, name)
		}
	}
	l.mu.Unlock()
	if len(leave) > 0 {
		log.Infow("leases go to another messager on this database", "count", len(leave))
		if err := s.db.Release(ctx, s.o.Holder, leave...); err != nil {
			return err
		}
		poke(s.role)
	}
	_, err = s.acquire(ctx, chainLease)
	return err
}

// giveWay tells whether others should do the work: this messager has not been able
// to deliver for a while, and they are there.
func (s *Service) giveWay(alive []string) bool {
	reason, _ := s.nodeTrouble()
	l := &s.leases
	l.mu.Lock()
	defer l.mu.Unlock()
	if reason == machine.NoReason {
		l.unwell = 0
	} else {
		l.unwell++
	}
	return l.unwell >= unwellTicks && slices.ContainsFunc(alive, func(who string) bool { return who != s.o.Holder })
}

func (s *Service) withdraw(ctx context.Context, alive []string) error {
	l := &s.leases
	l.mu.Lock()
	had := len(l.fences) > 0
	clear(l.fences)
	l.alive = slices.DeleteFunc(alive, func(who string) bool { return who == s.o.Holder })
	l.mu.Unlock()
	if had {
		log.Warn("no node is usable: other messagers on this database take over")
		poke(s.role)
	}
	return s.db.Release(ctx, s.o.Holder)
}

func (s *Service) keepLeases(ctx context.Context) {
	for ctx.Err() == nil {
		t := s.clk.NewTimer(leaseTick)
		select {
		case <-ctx.Done():
		case <-t.C():
		case <-s.leases.soon:
		}
		t.Stop()
		if err := s.renew(ctx); err != nil && ctx.Err() == nil {
			// Without a renewal the leases run out by themselves; writing checks the fences.
			log.Errorw("leases not renewed", "err", err)
		}
	}
}

// share looks, while others work on the database, for what they changed: messages
// taken for senders of this messager, wallets, shared limits.
func (s *Service) share(ctx context.Context) {
	for s.clk.Sleep(ctx, shareTick) == nil {
		if !s.sharedDB() {
			continue
		}
		err := errors.Join(s.loadShared(ctx), s.wallets.load(ctx), s.wakeUnfinished(ctx))
		if err != nil && ctx.Err() == nil {
			log.Warnw("changes by other messagers not seen", "err", err)
		}
	}
}

// notHolder is the error of an operation that only the holder of a lease may do.
func (s *Service) notHolder(ctx context.Context, name string) error {
	who, err := s.db.Holder(ctx, name, s.clk.Now())
	if err != nil {
		return err
	}
	if who == "" || who == s.o.Holder {
		return api.Errorf(api.CodeUnavailable, "nobody holds the lease %s at the moment", name).WithHint("try again in some seconds")
	}
	return api.Errorf(api.CodePrecondition, "another messager on this database, %s, does this", who).WithHint("ask that one")
}

// decide is apply for whoever decides messages' fates: it writes nothing once
// another messager does.
func (s *Service) decide(ctx context.Context, changes []change, more func(*store.Tx) error) error {
	if len(changes) == 0 && more == nil {
		return nil
	}
	fence, ok := s.fence(chainLease)
	if !ok {
		return errNotDecider
	}
	return s.apply(ctx, changes, func(tx *store.Tx) error {
		if err := tx.Fence(chainLease, fence); err != nil {
			s.leases.mu.Lock()
			delete(s.leases.fences, chainLease)
			s.leases.mu.Unlock()
			return fmt.Errorf("%w: %v", errNotDecider, err)
		}
		if more != nil {
			return more(tx)
		}
		return nil
	})
}

package wallet

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/wallet/keystore"
)

// freeAttempts is how many wrong passwords cost nothing but the time of stretching them; each further one doubles the
// wait, up to maxWait.
const (
	freeAttempts = 5
	maxWait      = time.Minute
)

// attempts slows down guessing.
type attempts struct {
	clock clock.Clock

	mu     sync.Mutex
	failed int
	until  time.Time
}

func newAttempts(c clock.Clock) *attempts { return &attempts{clock: c} }

// try runs check unless too many have failed lately.
func (a *attempts) try(check func() error) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if wait := a.until.Sub(a.clock.Now()); wait > 0 {
		return api.Errorf(api.CodeLimit, "too many wrong passwords, wait %s", wait.Round(time.Second))
	}
	err := check()
	switch {
	case err == nil:
		a.failed = 0
	case errors.Is(err, keystore.ErrWrongPassword):
		a.failed++
		if a.failed >= freeAttempts {
			wait := min(time.Second<<min(a.failed-freeAttempts, 10), maxWait)
			a.until = a.clock.Now().Add(wait)
		}
	}
	return err
}

// SetPassword sets the first password and unlocks.
func (s *Service) SetPassword(_ context.Context, password string) error {
	err := withPassword(password, s.keys.SetPassword)
	if err == nil {
		s.idle.used()
	}
	return err
}

// ChangePassword replaces the password.
func (s *Service) ChangePassword(_ context.Context, old, fresh string) error {
	return s.attempts.try(func() error {
		return withPassword(old, func(o []byte) error {
			return withPassword(fresh, func(f []byte) error { return s.keys.ChangePassword(o, f) })
		})
	})
}

// Unlock makes the keys usable.
func (s *Service) Unlock(_ context.Context, password string) error {
	err := s.attempts.try(func() error { return withPassword(password, s.keys.Unlock) })
	if err == nil {
		s.idle.used()
	}
	return err
}

// VerifyPassword tells whether the password is the keystore's, without unlocking.
func (s *Service) VerifyPassword(_ context.Context, password string) error {
	return s.attempts.try(func() error { return withPassword(password, s.keys.VerifyPassword) })
}

// Lock wipes the data key.
func (s *Service) Lock(context.Context) error { return explain(s.keys.Lock()) }

// LockState is true while nothing can be signed.
func (s *Service) LockState(context.Context) (bool, error) { return s.keys.Locked(), nil }

func withPassword(password string, use func([]byte) error) error {
	b := []byte(password)
	defer keystore.Wipe(b)
	return explain(use(b))
}

// idleLock locks the keys when they were not used for a while.
type idleLock struct {
	clock clock.Clock
	after time.Duration
	keys  *keystore.Store

	mu   sync.Mutex
	last time.Time
}

func newIdleLock(c clock.Clock, after time.Duration, keys *keystore.Store) *idleLock {
	return &idleLock{clock: c, after: after, keys: keys, last: c.Now()}
}

// used begins the while anew.
func (l *idleLock) used() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last = l.clock.Now()
}

// run watches until ctx ends. The lock comes late by at most a quarter of the while.
func (l *idleLock) run(ctx context.Context) {
	if l.after <= 0 {
		return
	}
	for l.clock.Sleep(ctx, l.after/4) == nil {
		l.mu.Lock()
		due := l.clock.Now().Sub(l.last) >= l.after
		l.mu.Unlock()
		if !due || l.keys.Locked() {
			continue
		}
		if err := l.keys.Lock(); err == nil {
			log.Infof("locked: nothing was signed for %s", l.after)
		}
	}
}

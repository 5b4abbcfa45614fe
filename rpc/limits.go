package rpc

import (
	"crypto/sha256"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/internal/clock"
)

const (
	// failRate and failBurst bound wrong tokens per address and second.
	failRate  = 10
	failBurst = 50
	// failAddresses bounds the addresses remembered.
	failAddresses = 4096
	// limiters bounds the rate limits remembered: one per user and limit.
	limiters = 4096
)

// userLimits enforces the rate limits of callers. Each process counts for
// itself.
type userLimits struct {
	mu  sync.Mutex
	clk clock.Clock
	by  *lru.Cache[limitKey, *rate.Limiter]
}

// limitKey includes what the limit says: a changed limit begins anew.
type limitKey struct {
	user string
	api.RateLimit
}

func newUserLimits(clk clock.Clock) *userLimits {
	by, err := lru.New[limitKey, *rate.Limiter](limiters)
	if err != nil {
		panic(err) // the size is a positive constant
	}
	return &userLimits{clk: clk, by: by}
}

// take counts a call of a method of a service, or refuses it.
func (u *userLimits) take(c Caller, service, method string) error {
	for _, l := range c.Limits {
		if (l.Service != "" && l.Service != service) || (l.Method != "" && l.Method != method) {
			continue
		}
		if !u.allow(c.Name, l) {
			return api.Errorf(api.CodeLimit, "user %q may make %d such calls in %s", c.Name, l.Cap, l.Per).
				WithHint("wait, or have an administrator raise the limit with `venus-auth user rate-limit`")
		}
	}
	return nil
}

func (u *userLimits) allow(name string, l api.RateLimit) bool {
	if l.Cap <= 0 || l.Per <= 0 {
		return false
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	key := limitKey{name, l}
	have, ok := u.by.Get(key)
	if !ok {
		have = rate.NewLimiter(rate.Limit(float64(l.Cap)/(float64(l.Per)/float64(time.Second))), int(min(l.Cap, 1<<30)))
		u.by.Add(key, have)
	}
	return have.AllowN(u.clk.Now(), 1)
}

// Failures counts wrong tokens by address. Tokens seen good are not held up by
// a neighbour on the same address that keeps trying wrong ones.
type Failures struct {
	mu   sync.Mutex
	clk  clock.Clock
	by   *lru.Cache[string, *rate.Limiter]
	seen *lru.Cache[[32]byte, struct{}]
}

// NewFailures makes one that has seen nothing.
func NewFailures(clk clock.Clock) *Failures {
	by, err := lru.New[string, *rate.Limiter](failAddresses)
	if err != nil {
		panic(err) // the size is a positive constant
	}
	seen, err := lru.New[[32]byte, struct{}](failAddresses)
	if err != nil {
		panic(err)
	}
	return &Failures{clk: clk, by: by, seen: seen}
}

// Refuse tells whether a token is not even looked at.
func (f *Failures) Refuse(host, token string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	l, ok := f.by.Get(host)
	return ok && l.TokensAt(f.clk.Now()) < 1 && !f.seen.Contains(sha256.Sum256([]byte(token)))
}

// Good remembers a token that counts.
func (f *Failures) Good(token string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen.Add(sha256.Sum256([]byte(token)), struct{}{})
}

// Count counts a wrong token.
func (f *Failures) Count(host string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	l, ok := f.by.Get(host)
	if !ok {
		l = rate.NewLimiter(failRate, failBurst)
		f.by.Add(host, l)
	}
	l.AllowN(f.clk.Now(), 1)
}

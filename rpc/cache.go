package rpc

import (
	"context"
	"crypto/sha256"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/sync/singleflight"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/internal/clock"
)

const (
	// cacheTTL is how long a good answer is believed. A removed token works at
	// most for it and, on an open connection, the time between two checks: together
	// less than a second.
	cacheTTL = 400 * time.Millisecond
	// cacheGrace is how long a token that was good keeps working while the auth
	// service cannot be reached. After it, callers are refused.
	cacheGrace = 5 * time.Minute
	// cachePatience is how long the auth service may take to say something about
	// a token that was good before the caller is let through as if it were away.
	cachePatience = 2 * time.Second
	// cacheSize bounds the tokens remembered.
	cacheSize = 4096
)

type cached struct {
	caller Caller
	at     time.Time
}

// Cached remembers good answers of v for cacheTTL, asks once for calls that
// come together, and bridges absences of the auth service of up to five
// minutes, and its answers that take longer than two seconds, for tokens seen good
// before. Bad answers are never remembered. The
// key is the hash of the whole token.
func Cached(v Verifier, clk clock.Clock) Verifier {
	seen, err := lru.New[[32]byte, cached](cacheSize)
	if err != nil {
		panic(err) // the size is a positive constant
	}
	var flight singleflight.Group
	return func(ctx context.Context, token string) (Caller, error) {
		key := sha256.Sum256([]byte(token))
		have, ok := seen.Get(key)
		if ok && clk.Now().Sub(have.at) < cacheTTL {
			return have.caller, nil
		}
		// The question is asked on behalf of all who wait: one of them hanging
		// up must not fail the others.
		res := flight.DoChan(string(key[:]), func() (any, error) {
			return v(context.WithoutCancel(ctx), token)
		})
		var c Caller
		var late <-chan time.Time
		if ok && clk.Now().Sub(have.at) < cacheGrace {
			t := clk.NewTimer(cachePatience)
			defer t.Stop()
			late = t.C()
		}
		select {
		case <-ctx.Done():
			return Caller{}, ctx.Err()
		case <-late:
			return have.caller, nil
		case r := <-res:
			err = r.Err
			if err == nil {
				c = r.Val.(Caller)
			}
		}
		if err == nil {
			seen.Add(key, cached{c, clk.Now()})
			return c, nil
		}
		if api.Explain(err).Code != api.CodeUnavailable {
			seen.Remove(key)
			return Caller{}, err
		}
		if ok && clk.Now().Sub(have.at) < cacheGrace {
			return have.caller, nil
		}
		return Caller{}, err
	}
}

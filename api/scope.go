package api

import (
	"slices"
	"time"

	"github.com/filecoin-project/go-address"
)

// Scope is what a caller may touch beside what its permission allows. A nil
// Scope, and a nil list in one, is no limit; an empty list is nothing at all.
type Scope struct {
	// Miners are the ID addresses of miners whose affairs the caller sees.
	Miners []address.Address `json:"miners,omitzero"`
	// Signers are the addresses that the caller sends from and signs with.
	Signers []address.Address `json:"signers,omitzero"`
}

// AllowsMiner tells whether the scope holds a miner.
func (s *Scope) AllowsMiner(a address.Address) bool {
	return s == nil || s.Miners == nil || slices.Contains(s.Miners, a)
}

// AllowsSigner tells whether the scope holds a signer.
func (s *Scope) AllowsSigner(a address.Address) bool {
	return s == nil || s.Signers == nil || slices.Contains(s.Signers, a)
}

// Within is what both scopes allow.
func (s *Scope) Within(o *Scope) *Scope {
	switch {
	case s == nil:
		return o
	case o == nil:
		return s
	}
	return &Scope{Miners: both(s.Miners, o.Miners), Signers: both(s.Signers, o.Signers)}
}

func both(a, b []address.Address) []address.Address {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	}
	out := []address.Address{}
	for _, x := range a {
		if slices.Contains(b, x) {
			out = append(out, x)
		}
	}
	return out
}

// RateLimit bounds how often a user calls services.
type RateLimit struct {
	ID string `json:"id"`
	// Service and Method name what is bounded, "" = all of them together.
	Service string `json:"service,omitempty"`
	Method  string `json:"method,omitempty"`
	// Cap calls are allowed in each stretch of Per, in nanoseconds on the wire.
	Cap int64         `json:"cap"`
	Per time.Duration `json:"per"`
}

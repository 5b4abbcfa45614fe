// Package stored is how the stores of venus-auth write tokens and users down: as
// JSON with addresses as bytes, so that no network's prefix matters.
//
// Start reading at Token and User. The names of the fields are part of every
// store's layout: they are only ever added to.
package stored

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/filecoin-project/go-address"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/auth"
)

type scope struct {
	Miners  [][]byte `json:"miners,omitzero"`
	Signers [][]byte `json:"signers,omitzero"`
}

type token struct {
	Name      string    `json:"name"`
	Perm      string    `json:"perm"`
	Extra     string    `json:"extra,omitempty"`
	CreatedAt time.Time `json:"created"`
	ExpiresAt time.Time `json:"expires,omitzero"`
	RemovedAt time.Time `json:"removed,omitzero"`
	Scope     *scope    `json:"scope,omitempty"`
}

type user struct {
	Comment  string          `json:"comment,omitempty"`
	Disabled bool            `json:"disabled,omitempty"`
	Miners   [][]byte        `json:"miners,omitzero"`
	Signers  [][]byte        `json:"signers,omitzero"`
	Limits   []api.RateLimit `json:"limits,omitempty"`
	Created  time.Time       `json:"created"`
	Updated  time.Time       `json:"updated"`
	Rev      uint64          `json:"rev"`
}

// raw keeps the difference between no list and an empty one.
func raw(in []address.Address) [][]byte {
	if in == nil {
		return nil
	}
	out := make([][]byte, len(in))
	for i, a := range in {
		out[i] = a.Bytes()
	}
	return out
}

func addresses(in [][]byte) ([]address.Address, error) {
	if in == nil {
		return nil, nil
	}
	out := make([]address.Address, len(in))
	for i, b := range in {
		var err error
		if out[i], err = address.NewFromBytes(b); err != nil {
			return nil, fmt.Errorf("address %x: %w", b, err)
		}
	}
	return out, nil
}

// Token writes a record down, without its id.
func Token(r auth.Record) ([]byte, error) {
	t := token{Name: r.Name, Perm: string(r.Perm), Extra: r.Extra, CreatedAt: r.CreatedAt, ExpiresAt: r.ExpiresAt}
	if r.Removed {
		t.RemovedAt = r.RemovedAt
	}
	if r.Scope != nil {
		t.Scope = &scope{raw(r.Scope.Miners), raw(r.Scope.Signers)}
	}
	b, err := json.Marshal(t)
	if err != nil {
		return nil, fmt.Errorf("encode token %s: %w", r.ID, err)
	}
	return b, nil
}

// ParseToken reads what Token wrote.
func ParseToken(id string, b []byte) (auth.Record, error) {
	var t token
	if err := json.Unmarshal(b, &t); err != nil {
		return auth.Record{}, fmt.Errorf("decode token %s: %w", id, err)
	}
	r := auth.Record{
		ID: id, Name: t.Name, Perm: api.Permission(t.Perm), Extra: t.Extra, CreatedAt: t.CreatedAt, ExpiresAt: t.ExpiresAt,
		Removed: !t.RemovedAt.IsZero(), RemovedAt: t.RemovedAt,
	}
	if t.Scope != nil {
		miners, err := addresses(t.Scope.Miners)
		if err != nil {
			return auth.Record{}, fmt.Errorf("decode token %s: %w", id, err)
		}
		signers, err := addresses(t.Scope.Signers)
		if err != nil {
			return auth.Record{}, fmt.Errorf("decode token %s: %w", id, err)
		}
		r.Scope = &api.Scope{Miners: miners, Signers: signers}
	}
	return r, nil
}

// User writes a user down, without the name and with the revision after u.Rev.
func User(u auth.User) ([]byte, error) {
	b, err := json.Marshal(user{
		Comment: u.Comment, Disabled: u.Disabled, Miners: raw(u.Miners), Signers: raw(u.Signers), Limits: u.Limits,
		Created: u.Created, Updated: u.Updated, Rev: u.Rev + 1,
	})
	if err != nil {
		return nil, fmt.Errorf("encode user %s: %w", u.Name, err)
	}
	return b, nil
}

// ParseUser reads what User wrote.
func ParseUser(name string, b []byte) (auth.User, error) {
	var u user
	err := json.Unmarshal(b, &u)
	out := auth.User{Name: name, Comment: u.Comment, Disabled: u.Disabled, Limits: u.Limits, Created: u.Created, Updated: u.Updated, Rev: u.Rev}
	if err == nil {
		out.Miners, err = addresses(u.Miners)
	}
	if err == nil {
		out.Signers, err = addresses(u.Signers)
	}
	if err != nil {
		return auth.User{}, fmt.Errorf("decode user %s: %w", name, err)
	}
	return out, nil
}

package auth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/google/uuid"

	"github.com/filecoin-venus/venus/api"
	authapi "github.com/filecoin-venus/venus/api/auth"
)

// Bounds of what one user has.
const (
	maxAddresses = 10_000
	maxLimits    = 100
)

// scope is what a user may touch.
func (u User) scope() *api.Scope {
	if u.Miners == nil && u.Signers == nil {
		return nil
	}
	return &api.Scope{Miners: u.Miners, Signers: u.Signers}
}

func (u User) info() authapi.UserInfo {
	state := authapi.StateEnabled
	if u.Disabled {
		state = authapi.StateDisabled
	}
	return authapi.UserInfo{
		Name: u.Name, Comment: u.Comment, State: state, Miners: u.Miners, Signers: u.Signers, Limits: u.Limits,
		CreateTime: u.Created.Unix(), UpdateTime: u.Updated.Unix(),
	}
}

// AddUser makes a user, enabled unless the request says otherwise.
func (s *Service) AddUser(ctx context.Context, r authapi.UserRequest) (authapi.UserInfo, error) {
	if err := checkName("user", r.Name); err != nil {
		return authapi.UserInfo{}, err
	}
	now := s.clk.Now().UTC()
	u := User{Name: r.Name, Created: now}
	if err := applyRequest(r, &u); err != nil {
		return authapi.UserInfo{}, err
	}
	return s.putUser(ctx, "user/add", "", u)
}

// UpdateUser changes what the request names.
func (s *Service) UpdateUser(ctx context.Context, r authapi.UserRequest) (authapi.UserInfo, error) {
	return s.changeUser(ctx, r.Name, "user/update", "", func(u *User) error { return applyRequest(r, u) })
}

func applyRequest(r authapi.UserRequest, u *User) error {
	if r.Comment != nil {
		if err := checkText("comment", *r.Comment); err != nil {
			return err
		}
		u.Comment = *r.Comment
	}
	if r.State != nil {
		if *r.State != authapi.StateEnabled && *r.State != authapi.StateDisabled {
			return api.Errorf(api.CodeInvalid, "state %d is not known: 1 is enabled, 0 disabled", *r.State)
		}
		u.Disabled = *r.State == authapi.StateDisabled
	}
	for _, m := range r.Miners {
		if err := addTo(&u.Miners, KindMiner, m); err != nil {
			return err
		}
	}
	return nil
}

// putUser writes a user and tells what went wrong in words.
func (s *Service) putUser(ctx context.Context, action, detail string, u User) (authapi.UserInfo, error) {
	u.Updated = s.clk.Now().UTC()
	e := s.entry(ctx, action, u.Name, detail)
	err := s.store.PutUser(ctx, e, u)
	switch {
	case errors.Is(err, ErrExists):
		return authapi.UserInfo{}, api.Errorf(api.CodeConflict, "user already exists").WithHint("`venus-auth user update` changes one")
	case errors.Is(err, ErrOwned):
		return authapi.UserInfo{}, api.Errorf(api.CodeConflict, "%w", err).WithHint("take it from its owner first: `venus-auth user get-by-miner` tells who that is")
	case errors.Is(err, ErrStale):
		return authapi.UserInfo{}, err
	case err != nil:
		return authapi.UserInfo{}, errStore("write a user", err)
	}
	s.changed(e)
	return u.info(), nil
}

// changeUser reads, changes and writes a user, again when somebody else came between.
func (s *Service) changeUser(ctx context.Context, name, action, detail string, change func(*User) error) (authapi.UserInfo, error) {
	const tries = 10
	for range tries {
		u, err := s.user(ctx, name)
		if err != nil {
			return authapi.UserInfo{}, err
		}
		if err := change(&u); err != nil {
			return authapi.UserInfo{}, err
		}
		out, err := s.putUser(ctx, action, detail, u)
		if !errors.Is(err, ErrStale) {
			return out, err
		}
	}
	return authapi.UserInfo{}, api.Errorf(api.CodeConflict, "user %q changes too fast", name)
}

func (s *Service) user(ctx context.Context, name string) (User, error) {
	u, err := s.store.User(ctx, name)
	if errors.Is(err, ErrUnknown) {
		return User{}, api.Errorf(api.CodeNotFound, "there is no user %q", shorten(name)).WithHint("`venus-auth user list` shows all")
	}
	if err != nil {
		return User{}, errStore("read a user", err)
	}
	return u, nil
}

// GetUser returns a user.
func (s *Service) GetUser(ctx context.Context, name string) (authapi.UserInfo, error) {
	u, err := s.user(ctx, name)
	if err != nil {
		return authapi.UserInfo{}, err
	}
	return u.info(), s.note(ctx, s.entry(ctx, "user/get", name, ""))
}

// ListUsers returns a page of users by name.
func (s *Service) ListUsers(ctx context.Context, q authapi.ListQuery) ([]authapi.UserInfo, error) {
	us, err := s.store.Users(ctx, UserQuery{Skip: max(0, q.Skip), Limit: pageLimit(q.Limit), Search: q.Search})
	if err != nil {
		return nil, errStore("list users", err)
	}
	out := make([]authapi.UserInfo, len(us))
	for i, u := range us {
		out[i] = u.info()
	}
	return out, s.note(ctx, s.entry(ctx, "user/list", q.Search, fmt.Sprintf("%d from %d", len(out), q.Skip)))
}

// Owners returns the users that have an address.
func (s *Service) Owners(ctx context.Context, kind Kind, text string) ([]authapi.UserInfo, error) {
	a, err := parseAddress(kind, text)
	if err != nil {
		return nil, err
	}
	names, err := s.store.Owners(ctx, kind, a)
	if err != nil {
		return nil, errStore("look for the owners of an address", err)
	}
	out := []authapi.UserInfo{}
	for _, n := range names {
		u, err := s.user(ctx, n)
		if err != nil {
			return nil, err
		}
		out = append(out, u.info())
	}
	return out, s.note(ctx, s.entry(ctx, "user/owners", text, string(kind)))
}

// parseAddress accepts both prefixes; miners are ID addresses.
func parseAddress(kind Kind, text string) (address.Address, error) {
	a, err := address.NewFromString(text)
	if err != nil || a.Empty() {
		return address.Undef, api.Errorf(api.CodeInvalid, "%q is no address", shorten(text))
	}
	if kind == KindMiner && a.Protocol() != address.ID {
		return address.Undef, api.Errorf(api.CodeInvalid, "miner %s is no ID address", a).WithHint("miners are written as f0 or t0 and a number")
	}
	return a, nil
}

func addTo(list *[]address.Address, kind Kind, text string) error {
	a, err := parseAddress(kind, text)
	if err != nil {
		return err
	}
	if slices.Contains(*list, a) {
		return nil
	}
	if len(*list) >= maxAddresses {
		return api.Errorf(api.CodeLimit, "a user has at most %d addresses of a kind", maxAddresses)
	}
	*list = append(slices.Clone(*list), a)
	return nil
}

// Grant gives a user addresses. From the first on, the user has those and no others.
func (s *Service) Grant(ctx context.Context, name string, kind Kind, texts []string) (authapi.UserInfo, error) {
	return s.changeUser(ctx, name, "user/grant-"+string(kind), fmt.Sprint(texts), func(u *User) error {
		for _, t := range texts {
			if err := addTo(u.list(kind), kind, t); err != nil {
				return err
			}
		}
		return nil
	})
}

// Withdraw takes addresses from a user. Who had some and has none left may touch none.
func (s *Service) Withdraw(ctx context.Context, name string, kind Kind, texts []string) (authapi.UserInfo, error) {
	return s.changeUser(ctx, name, "user/withdraw-"+string(kind), fmt.Sprint(texts), func(u *User) error {
		for _, t := range texts {
			a, err := parseAddress(kind, t)
			if err != nil {
				return err
			}
			l := u.list(kind)
			if !slices.Contains(*l, a) {
				return api.Errorf(api.CodeNotFound, "user %q does not have the %s %s", name, kind, a)
			}
			*l = slices.DeleteFunc(slices.Clone(*l), func(b address.Address) bool { return a == b })
		}
		return nil
	})
}

func (u *User) list(kind Kind) *[]address.Address {
	if kind == KindMiner {
		return &u.Miners
	}
	return &u.Signers
}

// SetLimit adds a rate limit to a user, or replaces the one with its ID, and returns the ID.
func (s *Service) SetLimit(ctx context.Context, name string, l api.RateLimit) (string, error) {
	if l.Cap < 0 || l.Per <= 0 || l.Per > 366*24*time.Hour {
		return "", api.Errorf(api.CodeInvalid, "a rate limit is a number of calls in a stretch of time of up to a year")
	}
	for _, text := range []string{l.ID, l.Service, l.Method} {
		if err := checkText("rate limit", text); err != nil {
			return "", err
		}
	}
	given := l.ID != ""
	if !given {
		l.ID = uuid.NewString()
	}
	_, err := s.changeUser(ctx, name, "user/limit", fmt.Sprintf("%d in %s for %q %q", l.Cap, l.Per, l.Service, l.Method), func(u *User) error {
		i := slices.IndexFunc(u.Limits, func(o api.RateLimit) bool { return o.ID == l.ID })
		u.Limits = slices.Clone(u.Limits)
		switch {
		case i >= 0:
			u.Limits[i] = l
		case given:
			return api.Errorf(api.CodeNotFound, "user %q has no rate limit %q", name, l.ID)
		case len(u.Limits) >= maxLimits:
			return api.Errorf(api.CodeLimit, "a user has at most %d rate limits", maxLimits)
		default:
			u.Limits = append(u.Limits, l)
		}
		return nil
	})
	return l.ID, err
}

// DropLimit removes one rate limit.
func (s *Service) DropLimit(ctx context.Context, name, id string) error {
	_, err := s.changeUser(ctx, name, "user/unlimit", id, func(u *User) error {
		i := slices.IndexFunc(u.Limits, func(o api.RateLimit) bool { return o.ID == id })
		if i < 0 {
			return api.Errorf(api.CodeNotFound, "user %q has no rate limit %q", name, shorten(id))
		}
		u.Limits = slices.Delete(slices.Clone(u.Limits), i, i+1)
		return nil
	})
	return err
}

// Audit returns a page of the audit log, newest first.
func (s *Service) Audit(ctx context.Context, q authapi.ListQuery) ([]authapi.AuditEntry, error) {
	es, err := s.store.Entries(ctx, AuditQuery{Skip: max(0, q.Skip), Limit: pageLimit(q.Limit), Search: q.Search})
	if err != nil {
		return nil, errStore("read the audit log", err)
	}
	out := make([]authapi.AuditEntry, len(es))
	for i, e := range es {
		out[i] = authapi.AuditEntry(e)
	}
	return out, s.note(ctx, s.entry(ctx, "audit/list", q.Search, fmt.Sprintf("%d from %d", len(out), q.Skip)))
}

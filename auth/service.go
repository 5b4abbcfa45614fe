package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"

	lru "github.com/hashicorp/golang-lru/v2"
	logging "github.com/ipfs/go-log/v2"

	"github.com/filecoin-venus/venus/api"
	authapi "github.com/filecoin-venus/venus/api/auth"
	"github.com/filecoin-venus/venus/auth/token"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/internal/fault"
	"github.com/filecoin-venus/venus/rpc"
)

var log = logging.Logger("venus-auth")

// Limits of what a token says, in bytes: the widths of the guide's columns.
const (
	maxName  = 50
	maxExtra = 255
	pageSize = 100
	maxPage  = 1000
)

const (
	// verdictTTL is how long a good answer is repeated without a look at the
	// store. A change made here ends it at once; this bounds how late one made by
	// another venus-auth on the same database is seen.
	verdictTTL = 100 * time.Millisecond
	verdicts   = 4096
)

// Service makes, judges and manages tokens and users.
type Service struct {
	store  Store
	signer *token.Signer
	clk    clock.Clock

	seen       *lru.Cache[[32]byte, verdict]
	generation atomic.Uint64 // grows with every change
}

// verdict is a good answer.
type verdict struct {
	id         authapi.Identity
	at         time.Time
	expires    time.Time
	generation uint64
}

// NewService puts the parts together.
func NewService(store Store, signer *token.Signer, clk clock.Clock) *Service {
	seen, err := lru.New[[32]byte, verdict](verdicts)
	if err != nil {
		panic(err) // the size is a positive constant
	}
	return &Service{store: store, signer: signer, clk: clk, seen: seen}
}

// errStore hides from callers what only the operator should see.
func errStore(doing string, err error) error {
	log.Errorf("%s: %v", doing, err)
	return api.Errorf(api.CodeUnavailable, "%s: the token store failed", doing).WithHint("look at the log of venus-auth")
}

// Actor is who manages: for the audit log.
type Actor struct{ Name, From string }

type actorKey struct{}

// WithActor returns a context whose changes are told of as the actor's.
func WithActor(ctx context.Context, a Actor) context.Context {
	return context.WithValue(ctx, actorKey{}, a)
}

// entry begins the audit entry of a call that succeeds.
func (s *Service) entry(ctx context.Context, action, subject, detail string) Entry {
	a, ok := ctx.Value(actorKey{}).(Actor)
	if !ok {
		a = Actor{"venus-auth", "local"}
	}
	now := s.clk.Now().UTC()
	id := binary.BigEndian.AppendUint64(nil, uint64(now.UnixNano()))
	return Entry{
		ID: hex.EncodeToString(id) + rand.Text()[:10], At: now, Caller: a.Name, From: a.From,
		Action: action, Subject: shorten(subject), Result: "ok", Detail: detail,
	}
}

// note keeps the entry of a call that changes nothing.
func (s *Service) note(ctx context.Context, e Entry) error {
	log.Infof("audit: %q from %s: %s %q: %s %s", e.Caller, e.From, e.Action, e.Subject, e.Result, e.Detail)
	if err := s.store.Append(ctx, e); err != nil {
		return errStore("write the audit log", err)
	}
	return nil
}

// changed tells the log and forgets what was answered before.
func (s *Service) changed(e Entry) {
	s.generation.Add(1)
	log.Infof("audit: %q from %s: %s %q: %s %s", e.Caller, e.From, e.Action, e.Subject, e.Result, e.Detail)
}

// Refused keeps the entry of a call that was refused or failed. A store that
// cannot take it does not change the answer.
func (s *Service) Refused(ctx context.Context, action, subject string, err error) {
	e := s.entry(ctx, action, subject, err.Error())
	e.Result = string(api.Explain(err).Code)
	if err := s.note(ctx, e); err != nil {
		log.Errorf("the audit log misses a refused %s: %v", action, err)
	}
}

// Generate makes a token; it is durable before it is returned.
func (s *Service) Generate(ctx context.Context, r authapi.GenRequest) (authapi.GenResponse, error) {
	perm, err := checkRequest(r)
	if err != nil {
		return authapi.GenResponse{}, err
	}
	now := s.clk.Now().UTC()
	rec := Record{Name: r.Name, Perm: perm, Extra: r.Extra, CreatedAt: now, Scope: r.Scope}
	if r.Lifetime < 0 {
		return authapi.GenResponse{}, api.Errorf(api.CodeInvalid, "a token cannot have ended before it begins")
	}
	if r.Lifetime > 0 {
		rec.ExpiresAt = now.Add(r.Lifetime)
	}
	out, err := s.sign(&rec)
	if err != nil {
		return authapi.GenResponse{}, err
	}
	e := s.entry(ctx, "token/generate", rec.ID, fmt.Sprintf("for %q with %s", rec.Name, rec.Perm))
	// Record and entry are durable before the token is answered.
	if err := errors.Join(fault.Point("auth/beforePut"), s.store.Put(ctx, e, rec)); err != nil {
		return authapi.GenResponse{}, errStore("keep the new token", err)
	}
	if err := fault.Point("auth/afterPut"); err != nil {
		return authapi.GenResponse{}, err
	}
	s.changed(e)
	return out, nil
}

// sign draws an id for a record and makes its token.
func (s *Service) sign(rec *Record) (authapi.GenResponse, error) {
	var err error
	if rec.ID, err = token.NewID(); err != nil {
		return authapi.GenResponse{}, err
	}
	t, err := s.signer.Sign(token.Claims{ID: rec.ID, Name: rec.Name, Perm: rec.Perm, Ext: rec.Extra})
	if err != nil {
		return authapi.GenResponse{}, err
	}
	return authapi.GenResponse{Token: t, ID: rec.ID, ExpireTime: rec.ExpiresAt}, nil
}

// checkRequest accepts names that can be printed anywhere.
func checkRequest(r authapi.GenRequest) (api.Permission, error) {
	perm, err := api.ParsePermission(r.Perm)
	if err != nil {
		return "", api.Errorf(api.CodeInvalid, "%v", err)
	}
	if err := checkName("token", r.Name); err != nil {
		return "", err
	}
	return perm, checkText("extra", r.Extra)
}

func checkName(of, name string) error {
	if name == "" || len(name) > maxName {
		return api.Errorf(api.CodeInvalid, "the name of a %s has 1 to %d bytes, this one %d", of, maxName, len(name))
	}
	return checkText("name", name)
}

func checkText(what, s string) error {
	if len(s) > maxExtra {
		return api.Errorf(api.CodeInvalid, "%s has at most %d bytes, this one %d", what, maxExtra, len(s))
	}
	if !utf8.ValidString(s) {
		return api.Errorf(api.CodeInvalid, "%s must be UTF-8", what)
	}
	for _, c := range s {
		if unicode.IsControl(c) {
			return api.Errorf(api.CodeInvalid, "%s must not hold control characters", what)
		}
	}
	return nil
}

// Verify says who a token speaks for; rpc.ErrBadToken when it does not count.
func (s *Service) Verify(ctx context.Context, t string) (authapi.Identity, error) {
	if len(t) > token.MaxLen {
		return authapi.Identity{}, rpc.ErrBadToken
	}
	now, key, generation := s.clk.Now(), sha256.Sum256([]byte(t)), s.generation.Load()
	if v, ok := s.seen.Get(key); ok && v.generation == generation && now.Sub(v.at) < verdictTTL && (v.expires.IsZero() || now.Before(v.expires)) {
		return v.id, nil
	}
	id, rec, err := s.judge(ctx, t, now)
	if err != nil {
		return authapi.Identity{}, err
	}
	s.seen.Add(key, verdict{id, now, rec.ExpiresAt, generation})
	return id, nil
}

// judge looks a token up. One that was not signed here may still be one that the
// original made and a database took over: it is known by its hash.
func (s *Service) judge(ctx context.Context, t string, now time.Time) (authapi.Identity, Record, error) {
	c, err := s.signer.Read(t)
	signed := err == nil
	if !signed {
		c.ID = token.HashID(t)
	}
	rec, err := s.store.Get(ctx, c.ID)
	if errors.Is(err, ErrUnknown) {
		return authapi.Identity{}, rec, rpc.ErrBadToken
	}
	if err != nil {
		return authapi.Identity{}, rec, errStore("look a token up", err)
	}
	if _, err := api.ParsePermission(string(rec.Perm)); err != nil || rec.Removed {
		return authapi.Identity{}, rec, rpc.ErrBadToken
	}
	if signed && (rec.Name != c.Name || rec.Perm != c.Perm || rec.Extra != c.Ext) {
		return authapi.Identity{}, rec, rpc.ErrBadToken
	}
	if !rec.ExpiresAt.IsZero() && !now.Before(rec.ExpiresAt) {
		return authapi.Identity{}, rec, rpc.ErrBadToken
	}
	id := authapi.Identity{Name: rec.Name, Perm: string(rec.Perm), Ext: rec.Extra, Scope: rec.Scope}
	u, err := s.store.User(ctx, rec.Name)
	switch {
	case errors.Is(err, ErrUnknown):
		return id, rec, nil
	case err != nil:
		return authapi.Identity{}, rec, errStore("look a user up", err)
	case u.Disabled:
		return authapi.Identity{}, rec, rpc.ErrBadToken
	}
	id.Limits = u.Limits
	if rec.Perm != api.PermAdmin {
		id.Scope = id.Scope.Within(u.scope())
	}
	return id, rec, nil
}

// Verifier lets the service's own HTTP server ask.
func (s *Service) Verifier(ctx context.Context, t string) (rpc.Caller, error) {
	id, err := s.Verify(ctx, t)
	if err != nil {
		return rpc.Caller{}, err
	}
	return rpc.Caller{Name: id.Name, Perms: api.Permission(id.Perm).Expand(), Scope: id.Scope, Limits: id.Limits}, nil
}

// List returns a page of tokens.
func (s *Service) List(ctx context.Context, q authapi.ListQuery) ([]authapi.TokenInfo, error) {
	recs, err := s.store.List(ctx, Query{Skip: max(0, q.Skip), Limit: pageLimit(q.Limit), Search: q.Search, Name: q.Name, Removed: q.Removed})
	if err != nil {
		return nil, errStore("list tokens", err)
	}
	out := make([]authapi.TokenInfo, len(recs))
	for i, r := range recs {
		out[i] = authapi.TokenInfo{
			ID: r.ID, Name: r.Name, Perm: string(r.Perm), Custom: r.Extra, CreateTime: r.CreatedAt, ExpireTime: r.ExpiresAt,
			Removed: r.Removed, Scope: r.Scope,
		}
	}
	return out, s.note(ctx, s.entry(ctx, "token/list", q.Search+q.Name, fmt.Sprintf("%d from %d", len(out), q.Skip)))
}

func pageLimit(n int) int {
	if n <= 0 {
		return pageSize
	}
	return min(n, maxPage)
}

// refID finds the id that a token is kept under.
func (s *Service) refID(ref authapi.TokenRef) (string, error) {
	if ref.Token != "" {
		c, err := s.signer.Read(ref.Token)
		if err != nil {
			return token.HashID(ref.Token), nil // one of the original's, or none
		}
		return c.ID, nil
	}
	if ref.ID == "" {
		return "", api.Errorf(api.CodeInvalid, "name the token: pass its text or its id").WithHint("`venus-auth token list` shows the ids")
	}
	return ref.ID, nil
}

// SetRemoved removes a token, or recovers it. A token may be named by its text,
// removed or not, or by its id.
func (s *Service) SetRemoved(ctx context.Context, ref authapi.TokenRef, removed bool) error {
	action := "token/recover"
	if removed {
		action = "token/remove"
	}
	return s.change(ctx, ref, action, "", func(r *Record) error {
		if r.Removed != removed {
			r.Removed, r.RemovedAt = removed, s.clk.Now().UTC()
		}
		return nil
	})
}

func (s *Service) change(ctx context.Context, ref authapi.TokenRef, action, detail string, change func(*Record) error, add ...Record) error {
	id, err := s.refID(ref)
	if err != nil {
		return err
	}
	e := s.entry(ctx, action, id, detail)
	if err := fault.Point("auth/beforeChange"); err != nil {
		return err
	}
	err = s.store.Change(ctx, e, id, change, add...)
	if err == nil {
		// A removed token is durably removed before anybody hears of it.
		err = fault.Point("auth/afterChange")
	}
	if errors.Is(err, ErrUnknown) {
		return api.Errorf(api.CodeNotFound, "there is no such token").WithHint("`venus-auth token list --removed` shows all ids")
	}
	if code := api.Explain(err); err != nil && code.Code != api.CodeInternal {
		return err
	}
	if err != nil {
		return errStore("change a token", err)
	}
	s.changed(e)
	return nil
}

// Rotate makes a token that says what another one says, and ends that one after
// a grace, at once when there is none. The new one lives as long as the old one
// was to live.
func (s *Service) Rotate(ctx context.Context, r authapi.RotateRequest) (authapi.GenResponse, error) {
	id, err := s.refID(r.TokenRef)
	if err != nil {
		return authapi.GenResponse{}, err
	}
	if r.Grace < 0 {
		return authapi.GenResponse{}, api.Errorf(api.CodeInvalid, "the grace is negative")
	}
	old, err := s.store.Get(ctx, id)
	if errors.Is(err, ErrUnknown) || (err == nil && old.Removed) {
		return authapi.GenResponse{}, api.Errorf(api.CodeNotFound, "there is no such valid token").WithHint("`venus-auth token list` shows all ids")
	}
	if err != nil {
		return authapi.GenResponse{}, errStore("look a token up", err)
	}
	now := s.clk.Now().UTC()
	fresh := Record{Name: old.Name, Perm: old.Perm, Extra: old.Extra, CreatedAt: now, Scope: old.Scope}
	if !old.ExpiresAt.IsZero() {
		fresh.ExpiresAt = now.Add(old.ExpiresAt.Sub(old.CreatedAt))
	}
	out, err := s.sign(&fresh)
	if err != nil {
		return authapi.GenResponse{}, err
	}
	return out, s.change(ctx, authapi.TokenRef{ID: id}, "token/rotate", "replaced by "+fresh.ID, func(rec *Record) error {
		if rec.Removed {
			return api.Errorf(api.CodeConflict, "the token was removed meanwhile")
		}
		if r.Grace == 0 {
			rec.Removed, rec.RemovedAt = true, now
		} else if end := now.Add(r.Grace); rec.ExpiresAt.IsZero() || end.Before(rec.ExpiresAt) {
			rec.ExpiresAt = end
		}
		return nil
	}, fresh)
}

func shorten(s string) string {
	if len(s) > 64 {
		return s[:64] + "..."
	}
	return s
}

// adminName is the name of the token that the local command line uses.
const adminName = "local-admin"

// EnsureAdmin returns have when it still counts as an admin token, else a new
// one.
func (s *Service) EnsureAdmin(ctx context.Context, have string) (t string, fresh bool, err error) {
	if have != "" {
		id, err := s.Verify(ctx, have)
		if err == nil && id.Perm == string(api.PermAdmin) {
			return have, false, nil
		}
		if err != nil && !errors.Is(err, rpc.ErrBadToken) {
			return "", false, err
		}
	}
	r, err := s.Generate(ctx, authapi.GenRequest{Name: adminName, Perm: string(api.PermAdmin)})
	if err != nil {
		return "", false, fmt.Errorf("make the local admin token: %w", err)
	}
	return r.Token, true, nil
}

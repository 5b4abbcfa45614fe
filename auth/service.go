package auth

import (
	"context"
	"errors"
	"fmt"
	"time"
	"unicode"
	"unicode/utf8"

	logging "github.com/ipfs/go-log/v2"

	"github.com/filecoin-venus/venus/api"
	authapi "github.com/filecoin-venus/venus/api/auth"
	"github.com/filecoin-venus/venus/auth/token"
	"github.com/filecoin-venus/venus/internal/clock"
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

// ErrUnknown is what a Store answers for an id that it does not hold.
var ErrUnknown = errors.New("no such token")

// ErrExists is what a Store answers when an id is taken.
var ErrExists = errors.New("token id is taken")

// Record is a token as it is kept: what it says, never its text.
type Record struct {
	ID        string
	Name      string
	Perm      api.Permission
	Extra     string
	CreatedAt time.Time
	Removed   bool
	RemovedAt time.Time
}

// Query selects records, oldest first; ties by id.
type Query struct {
	Skip, Limit int
	Search      string // part of a name
	Removed     bool   // also removed ones
}

// Store keeps records. Put and SetRemoved are durable when they return. Every
// implementation passes the suite of package storetest.
type Store interface {
	// Put adds a record; ErrExists when the id is taken.
	Put(ctx context.Context, r Record) error
	// Get returns a record; ErrUnknown when there is none.
	Get(ctx context.Context, id string) (Record, error)
	// SetRemoved marks a record removed at a time, or not; ErrUnknown when there is none.
	SetRemoved(ctx context.Context, id string, removed bool, at time.Time) error
	// List returns a page of records.
	List(ctx context.Context, q Query) ([]Record, error)
	// Close frees the store.
	Close() error
}

// Service makes, judges and manages tokens.
type Service struct {
	store  Store
	signer *token.Signer
	clk    clock.Clock
}

// NewService puts the parts together.
func NewService(store Store, signer *token.Signer, clk clock.Clock) *Service {
	return &Service{store: store, signer: signer, clk: clk}
}

// errStore hides from callers what only the operator should see.
func errStore(doing string, err error) error {
	log.Errorf("%s: %v", doing, err)
	return api.Errorf(api.CodeUnavailable, "%s: the token store failed", doing).WithHint("look at the log of venus-auth")
}

// Generate makes a token; it is durable before it is returned.
func (s *Service) Generate(ctx context.Context, r authapi.GenRequest) (authapi.GenResponse, error) {
	var out authapi.GenResponse
	perm, err := checkRequest(r)
	if err != nil {
		return out, err
	}
	id, err := token.NewID()
	if err != nil {
		return out, err
	}
	t, err := s.signer.Sign(token.Claims{ID: id, Name: r.Name, Perm: perm, Ext: r.Extra})
	if err != nil {
		return out, err
	}
	rec := Record{ID: id, Name: r.Name, Perm: perm, Extra: r.Extra, CreatedAt: s.clk.Now().UTC()}
	if err := s.store.Put(ctx, rec); err != nil {
		return out, errStore("keep the new token", err)
	}
	return authapi.GenResponse{Token: t, ID: id}, nil
}

// checkRequest accepts names that can be printed anywhere.
func checkRequest(r authapi.GenRequest) (api.Permission, error) {
	perm, err := api.ParsePermission(r.Perm)
	if err != nil {
		return "", api.Errorf(api.CodeInvalid, "%v", err)
	}
	if r.Name == "" || len(r.Name) > maxName {
		return "", api.Errorf(api.CodeInvalid, "the name of a token has 1 to %d bytes, this one %d", maxName, len(r.Name))
	}
	if len(r.Extra) > maxExtra {
		return "", api.Errorf(api.CodeInvalid, "extra has at most %d bytes, this one %d", maxExtra, len(r.Extra))
	}
	for _, s := range []string{r.Name, r.Extra} {
		if !utf8.ValidString(s) {
			return "", api.Errorf(api.CodeInvalid, "name and extra must be UTF-8")
		}
		for _, c := range s {
			if unicode.IsControl(c) {
				return "", api.Errorf(api.CodeInvalid, "name and extra must not hold control characters")
			}
		}
	}
	return perm, nil
}

// Verify says who a token speaks for; rpc.ErrBadToken when it does not count.
func (s *Service) Verify(ctx context.Context, t string) (authapi.Identity, error) {
	c, err := s.signer.Read(t)
	if err != nil {
		return authapi.Identity{}, rpc.ErrBadToken
	}
	rec, err := s.store.Get(ctx, c.ID)
	if errors.Is(err, ErrUnknown) {
		return authapi.Identity{}, rpc.ErrBadToken
	}
	if err != nil {
		return authapi.Identity{}, errStore("look a token up", err)
	}
	if rec.Removed || rec.Name != c.Name || rec.Perm != c.Perm || rec.Extra != c.Ext {
		return authapi.Identity{}, rpc.ErrBadToken
	}
	return authapi.Identity{Name: rec.Name, Perm: string(rec.Perm), Ext: rec.Extra}, nil
}

// Verifier lets the service's own HTTP server ask.
func (s *Service) Verifier(ctx context.Context, t string) (rpc.Caller, error) {
	id, err := s.Verify(ctx, t)
	if err != nil {
		return rpc.Caller{}, err
	}
	return rpc.Caller{Name: id.Name, Perms: api.Permission(id.Perm).Expand()}, nil
}

// List returns a page of tokens.
func (s *Service) List(ctx context.Context, q authapi.ListQuery) ([]authapi.TokenInfo, error) {
	limit := q.Limit
	if limit <= 0 {
		limit = pageSize
	}
	recs, err := s.store.List(ctx, Query{Skip: max(0, q.Skip), Limit: min(limit, maxPage), Search: q.Search, Removed: q.Removed})
	if err != nil {
		return nil, errStore("list tokens", err)
	}
	out := make([]authapi.TokenInfo, len(recs))
	for i, r := range recs {
		out[i] = authapi.TokenInfo{ID: r.ID, Name: r.Name, Perm: string(r.Perm), Custom: r.Extra, CreateTime: r.CreatedAt, Removed: r.Removed}
	}
	return out, nil
}

// SetRemoved removes a token, or recovers it. A token may be named by its text,
// removed or not, or by its id.
func (s *Service) SetRemoved(ctx context.Context, ref authapi.TokenRef, removed bool) (Record, error) {
	id := ref.ID
	if ref.Token != "" {
		c, err := s.signer.Read(ref.Token)
		if err != nil {
			return Record{}, api.Errorf(api.CodeNotFound, "this token was not made by this venus-auth")
		}
		id = c.ID
	}
	if id == "" {
		return Record{}, api.Errorf(api.CodeInvalid, "name the token: pass its text or its id").WithHint("`venus-auth token list` shows the ids")
	}
	err := s.store.SetRemoved(ctx, id, removed, s.clk.Now().UTC())
	if errors.Is(err, ErrUnknown) {
		return Record{}, api.Errorf(api.CodeNotFound, "there is no token with the id %q", shorten(id)).WithHint("`venus-auth token list --removed` shows all ids")
	}
	if err != nil {
		return Record{}, errStore("change a token", err)
	}
	rec, err := s.store.Get(ctx, id)
	if err != nil {
		return Record{}, errStore("read a token back", err)
	}
	return rec, nil
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

package auth

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/internal/fault"
	"github.com/filecoin-venus/venus/repo"
)

// Moved counts what a store holds.
type Moved struct {
	Tokens, Users, Entries int
}

// copyPage is how many records are read and written at once.
const copyPage = 500

// Copy brings everything of one store into another and then compares them, record by record. What is there already,
// from a copy that was interrupted, is left; what is there and differs is an error, and nothing is overwritten.
func Copy(ctx context.Context, from, to Store) (Moved, error) {
	var m Moved
	err := eachToken(ctx, from, func(rs []Record) error {
		m.Tokens += len(rs)
		return copyTokens(ctx, to, rs)
	})
	if err != nil {
		return m, err
	}
	if err := eachUser(ctx, from, func(us []User) error {
		m.Users += len(us)
		return copyUsers(ctx, to, us)
	}); err != nil {
		return m, err
	}
	if err := eachEntry(ctx, from, func(es []Entry) error {
		m.Entries += len(es)
		if err := fault.Point("auth/migrate"); err != nil {
			return err
		}
		return to.Append(ctx, es...)
	}); err != nil {
		return m, err
	}
	return m, compare(ctx, from, to)
}

func eachToken(ctx context.Context, s Store, visit func([]Record) error) error {
	for skip := 0; ; skip += copyPage {
		rs, err := s.List(ctx, Query{Skip: skip, Limit: copyPage, Removed: true})
		if err != nil || len(rs) == 0 {
			return err
		}
		if err := visit(rs); err != nil {
			return err
		}
	}
}

func eachUser(ctx context.Context, s Store, visit func([]User) error) error {
	for skip := 0; ; skip += copyPage {
		us, err := s.Users(ctx, UserQuery{Skip: skip, Limit: copyPage})
		if err != nil || len(us) == 0 {
			return err
		}
		if err := visit(us); err != nil {
			return err
		}
	}
}

func eachEntry(ctx context.Context, s Store, visit func([]Entry) error) error {
	for skip := 0; ; skip += copyPage {
		es, err := s.Entries(ctx, AuditQuery{Skip: skip, Limit: copyPage})
		if err != nil || len(es) == 0 {
			return err
		}
		if err := visit(es); err != nil {
			return err
		}
	}
}

// copyTokens adds a page at once, or, when some of it is there, one by one.
func copyTokens(ctx context.Context, to Store, rs []Record) error {
	if err := fault.Point("auth/migrate"); err != nil {
		return err
	}
	err := to.Put(ctx, Entry{}, rs...)
	if !errors.Is(err, ErrExists) {
		return err
	}
	for _, r := range rs {
		if err := to.Put(ctx, Entry{}, r); err != nil && !errors.Is(err, ErrExists) {
			return err
		}
		if err := sameToken(ctx, to, r); err != nil {
			return err
		}
	}
	return nil
}

func copyUsers(ctx context.Context, to Store, us []User) error {
	for _, u := range us {
		if err := fault.Point("auth/migrate"); err != nil {
			return err
		}
		u.Rev = 0
		if err := to.PutUser(ctx, Entry{}, u); err != nil && !errors.Is(err, ErrExists) {
			return err
		}
		if err := sameUser(ctx, to, u); err != nil {
			return err
		}
	}
	return nil
}

func differs(what, name string) error {
	return api.Errorf(api.CodeConflict, "%s %q is in the target in another form; nothing was overwritten", what, name).
		WithHint("empty the target database, or choose another one, and run migrate again")
}

func sameToken(ctx context.Context, s Store, r Record) error {
	have, err := s.Get(ctx, r.ID)
	if err != nil {
		return fmt.Errorf("read token %s back: %w", r.ID, err)
	}
	if !reflect.DeepEqual(have, r) {
		return differs("token", r.ID)
	}
	return nil
}

func sameUser(ctx context.Context, s Store, u User) error {
	have, err := s.User(ctx, u.Name)
	if err != nil {
		return fmt.Errorf("read user %s back: %w", u.Name, err)
	}
	have.Rev = u.Rev
	if !reflect.DeepEqual(have, u) {
		return differs("user", u.Name)
	}
	return nil
}

// compare reads both stores in order and wants the same. The target may hold more of the audit log only.
func compare(ctx context.Context, from, to Store) error {
	for skip := 0; ; skip += copyPage {
		a, err := from.List(ctx, Query{Skip: skip, Limit: copyPage, Removed: true})
		if err != nil {
			return err
		}
		b, err := to.List(ctx, Query{Skip: skip, Limit: copyPage, Removed: true})
		if err != nil {
			return err
		}
		if !reflect.DeepEqual(a, b) {
			return api.Errorf(api.CodeConflict, "the tokens of the two stores differ after the copy, between number %d and %d", skip, skip+copyPage).
				WithHint("the target held other tokens before: empty it and run migrate again")
		}
		if len(a) == 0 {
			break
		}
	}
	if err := eachUser(ctx, from, func(us []User) error {
		for _, u := range us {
			if err := sameUser(ctx, to, u); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		return err
	}
	var want, have int
	if err := eachEntry(ctx, from, func(es []Entry) error { want += len(es); return nil }); err != nil {
		return err
	}
	if err := eachEntry(ctx, to, func(es []Entry) error { have += len(es); return nil }); err != nil {
		return err
	}
	if have < want {
		return api.Errorf(api.CodeInternal, "the target has %d entries of the audit log, the source %d", have, want)
	}
	return nil
}

// Migrate moves what the stopped service of a directory keeps into the other kind of database and has the configuration
// name that one. The source stays as it is. It may be run again after any interruption.
func Migrate(ctx context.Context, o Options, to string) (m Moved, err error) {
	if to != Badger && to != MySQL {
		return m, api.Errorf(api.CodeInvalid, "%q is no kind of database: use badger or mysql", to)
	}
	r, err := repo.Open(o.Repo)
	if err != nil {
		if errors.Is(err, repo.ErrLocked) {
			return m, api.Errorf(api.CodePrecondition, "%w", err).WithHint("stop venus-auth first")
		}
		return m, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	path := o.Config
	if path == "" {
		path = r.Path("config.toml")
	}
	cfg, _, err := LoadConfig(path)
	if err != nil {
		return m, err
	}
	if cfg.DB.Type == to {
		return m, api.Errorf(api.CodePrecondition, "the tokens are in %s already", to)
	}
	if cfg.DB.DSN == "" {
		return m, api.Errorf(api.CodePrecondition, "[db] DSN in %s names no MySQL database", path).WithHint("add it; the type is changed by this command")
	}
	source, err := o.OpenStore(ctx, r.Path("data"), cfg.DB)
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	other := cfg.DB
	other.Type = to
	target, err := o.OpenStore(ctx, r.Path("data"), other)
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, target.Close()) }()
	if m, err = Copy(ctx, source, target); err != nil {
		return m, err
	}
	return m, SetDBType(path, to)
}

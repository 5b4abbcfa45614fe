package auth

import (
	"context"
	"errors"
	"time"

	"github.com/filecoin-project/go-address"

	"github.com/filecoin-venus/venus/api"
)

// What a Store answers.
var (
	// ErrUnknown: it holds nothing of this id or name.
	ErrUnknown = errors.New("no such record")
	// ErrExists: the id or name is taken.
	ErrExists = errors.New("it is there already")
	// ErrStale: the user was changed since it was read.
	ErrStale = errors.New("changed meanwhile")
	// ErrOwned: a miner belongs to another user.
	ErrOwned = errors.New("the miner belongs to another user")
)

// Record is a token as it is kept: what it says, never its text.
type Record struct {
	ID        string
	Name      string
	Perm      api.Permission
	Extra     string
	CreatedAt time.Time
	ExpiresAt time.Time // zero: never
	Removed   bool
	RemovedAt time.Time
	// Scope narrows what the token may touch, nil = as its user.
	Scope *api.Scope
}

// Query selects records, oldest first; ties by id.
type Query struct {
	Skip, Limit int
	Search      string // part of a name
	Name        string // a whole name
	Removed     bool   // also removed ones
}

// User is somebody who has tokens and, perhaps, miners and signers. Who has tokens need not be a user.
type User struct {
	Name     string
	Comment  string
	Disabled bool // its tokens count no more
	// Miners belong to one user only; Signers may be shared. nil = all, empty = none.
	Miners  []address.Address
	Signers []address.Address
	Limits  []api.RateLimit
	Created time.Time
	Updated time.Time
	// Rev is the revision that was read, 0 = none.
	Rev uint64
}

// UserQuery selects users, by name.
type UserQuery struct {
	Skip, Limit int
	Search      string // part of a name
}

// Kind is what an address is to a user.
type Kind string

// The kinds.
const (
	KindMiner  Kind = "miner"
	KindSigner Kind = "signer"
)

// Entry is one call that manages tokens or users, in the audit log.
type Entry struct {
	// ID orders entries: time, then a random part, in hex.
	ID string    `json:"id"`
	At time.Time `json:"at"`
	// Caller is the name of the token that was shown, From the address it came from.
	Caller string `json:"caller"`
	From   string `json:"from"`
	Action string `json:"action"`
	// Subject is the token id or the name it was about.
	Subject string `json:"subject"`
	// Result is ok or the code of the refusal.
	Result string `json:"result"`
	Detail string `json:"detail,omitempty"`
}

// AuditQuery selects entries, newest first.
type AuditQuery struct {
	Skip, Limit int
	Search      string // part of caller, action or subject
}

// Tokens keeps records. Changes are durable when they return, and so is the entry that tells of them: one is never
// there without the other. An entry without an ID is not kept.
type Tokens interface {
	// Put adds records; ErrExists, and none is added, when an id is taken.
	Put(ctx context.Context, e Entry, rs ...Record) error
	// Get returns a record; ErrUnknown when there is none.
	Get(ctx context.Context, id string) (Record, error)
	// Change lets change alter a record, and adds others in the same step. change may run more than once. ErrUnknown when
	// there is none; an error of change is returned and nothing happened.
	Change(ctx context.Context, e Entry, id string, change func(*Record) error, add ...Record) error
	// List returns a page of records.
	List(ctx context.Context, q Query) ([]Record, error)
}

// Users keeps users, with the same promise.
type Users interface {
	// User returns a user; ErrUnknown when there is none.
	User(ctx context.Context, name string) (User, error)
	// PutUser writes a user over the revision u.Rev. ErrExists when Rev is 0 and the name is taken, ErrStale when it is
	// another revision by now, ErrOwned when another user has one of its miners.
	PutUser(ctx context.Context, e Entry, u User) error
	// Users returns a page of users.
	Users(ctx context.Context, q UserQuery) ([]User, error)
	// Owners returns the names of the users that have an address.
	Owners(ctx context.Context, kind Kind, addr address.Address) ([]string, error)
}

// Audit keeps entries.
type Audit interface {
	// Append adds entries; one that is there already, by its ID, is left as it is.
	Append(ctx context.Context, es ...Entry) error
	// Entries returns a page of entries.
	Entries(ctx context.Context, q AuditQuery) ([]Entry, error)
	// Prune removes entries older than a time.
	Prune(ctx context.Context, before time.Time) (int, error)
}

// Store keeps everything that venus-auth knows. Every implementation passes the suite of package storetest.
type Store interface {
	Tokens
	Users
	Audit
	// Close frees the store.
	Close() error
}

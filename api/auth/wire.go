package auth

import (
	"time"

	"github.com/filecoin-project/go-address"

	"github.com/filecoin-venus/venus/api"
)

// Identity is who a token speaks for. Perm is one of read, write, sign, admin
// and includes all below it. Scope is what it may touch beside, nil = everything;
// Limits are what services bound its user with.
type Identity struct {
	Name   string          `json:"name"`
	Perm   string          `json:"perm"`
	Ext    string          `json:"ext"`
	Scope  *api.Scope      `json:"scope,omitempty"`
	Limits []api.RateLimit `json:"limits,omitempty"`
}

// GenRequest asks for a token. Name is at most 50 bytes, Extra at most 255.
type GenRequest struct {
	Name  string
	Perm  string
	Extra string
	// Lifetime ends the token after so long, 0 = never.
	Lifetime time.Duration
	// Scope narrows what the token may touch, nil = as its user.
	Scope *api.Scope
}

// GenResponse is a new token, with the id it is listed under.
type GenResponse struct {
	Token      string    `json:"token"`
	ID         string    `json:"id"`
	ExpireTime time.Time `json:"expireTime,omitzero"`
}

// RotateRequest asks for a token in place of another one, which ends after
// Grace, 0 = at once.
type RotateRequest struct {
	TokenRef
	Grace time.Duration
}

// TokenInfo is a token as it may be listed: never the token itself. Custom is
// the Extra it was made with.
type TokenInfo struct {
	ID         string    `json:"id"`
	Name       string    `json:"name"`
	Perm       string    `json:"perm"`
	Custom     string    `json:"custom"`
	CreateTime time.Time `json:"createTime"`
	// ExpireTime is when it ends, zero = never.
	ExpireTime time.Time  `json:"expireTime,omitzero"`
	Removed    bool       `json:"removed"`
	Scope      *api.Scope `json:"scope,omitempty"`
}

// ListQuery selects tokens, oldest first. Limit 0 means 100, the most is 1000.
type ListQuery struct {
	Skip    int
	Limit   int
	Search  string // part of a name; of the audit log, part of caller, action or subject
	Name    string // a whole name
	Removed bool   // also the removed ones
}

// TokenRef names one token: by its text or by its id.
type TokenRef struct {
	Token string `json:"token,omitempty"`
	ID    string `json:"id,omitempty"`
}

// ErrorBody is what a refused request answers. Error is the field's own key.
type ErrorBody struct {
	Error string `json:"error"`
	Code  string `json:"code"`
	Hint  string `json:"hint,omitempty"`
}

// UserState tells whether a user's tokens count.
type UserState int

// The states.
const (
	StateDisabled UserState = 0
	StateEnabled  UserState = 1
)

// UserRequest makes or changes a user. Nil fields stay as they are; Miners are
// added.
type UserRequest struct {
	Name    string
	Comment *string
	State   *UserState
	Miners  []string
}

// UserInfo is a user. Miners and Signers: null = all, an empty list = none.
type UserInfo struct {
	Name       string            `json:"name"`
	Comment    string            `json:"comment"`
	State      UserState         `json:"state"`
	Miners     []address.Address `json:"miners"`
	Signers    []address.Address `json:"signers"`
	Limits     []api.RateLimit   `json:"limits,omitempty"`
	CreateTime int64             `json:"createTime"` // unix seconds
	UpdateTime int64             `json:"updateTime"`
}

// AuditEntry is one call that managed something. Result is ok or the code of
// the refusal.
type AuditEntry struct {
	ID      string    `json:"id"`
	At      time.Time `json:"at"`
	Caller  string    `json:"caller"`
	From    string    `json:"from"`
	Action  string    `json:"action"`
	Subject string    `json:"subject"`
	Result  string    `json:"result"`
	Detail  string    `json:"detail,omitempty"`
}

// LimitInfo is a rate limit in the original's shape.
type LimitInfo struct {
	ID       string `json:"Id"`
	Name     string
	Service  string
	API      string
	ReqLimit ReqLimit
}

// ReqLimit is Cap calls in each ResetDur, in nanoseconds on the wire.
type ReqLimit struct {
	Cap      int64
	ResetDur time.Duration
}

// NewLimitInfo tells of a user's limit.
func NewLimitInfo(user string, l api.RateLimit) LimitInfo {
	return LimitInfo{l.ID, user, l.Service, l.Method, ReqLimit{l.Cap, l.Per}}
}

package auth

import "time"

// Identity is who a token speaks for. Perm is one of read, write, sign, admin
// and includes all below it.
type Identity struct {
	Name string `json:"name"`
	Perm string `json:"perm"`
	Ext  string `json:"ext"`
}

// GenRequest asks for a token. Name is at most 50 bytes, Extra at most 255.
type GenRequest struct {
	Name  string `json:"name"`
	Perm  string `json:"perm"`
	Extra string `json:"extra"`
}

// GenResponse is a new token, with the id it is listed under.
type GenResponse struct {
	Token string `json:"token"`
	ID    string `json:"id"`
}

// TokenInfo is a token as it may be listed: never the token itself. Custom is
// the Extra it was made with.
type TokenInfo struct {
	ID         string    `json:"id"`
	Name       string    `json:"name"`
	Perm       string    `json:"perm"`
	Custom     string    `json:"custom"`
	CreateTime time.Time `json:"createTime"`
	Removed    bool      `json:"removed"`
}

// ListQuery selects tokens, oldest first. Limit 0 means 100, the most is 1000.
type ListQuery struct {
	Skip    int
	Limit   int
	Search  string // part of a name
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

package auth

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/filecoin-venus/venus/api"
)

const (
	// callTimeout bounds one request.
	callTimeout = 10 * time.Second
	// maxAnswer bounds what a client reads of an answer, in bytes.
	maxAnswer = 8 << 20
)

// Client talks to a venus-auth. It is safe for concurrent use.
type Client struct {
	base  string
	token string
	http  *http.Client
}

// New makes a client of the venus-auth at base (http://host:port). The token is
// only needed to manage tokens; it may be empty.
func New(base, token string) (*Client, error) {
	u, err := url.Parse(strings.TrimRight(base, "/"))
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return nil, api.Errorf(api.CodeInvalid, "auth URL %q is not of the form http://host:port", base).
			WithHint("pass the address of venus-auth, for example http://127.0.0.1:8989")
	}
	tr := &http.Transport{MaxIdleConnsPerHost: 16, IdleConnTimeout: time.Minute}
	return &Client{base: u.String(), token: token, http: &http.Client{Timeout: callTimeout, Transport: tr}}, nil
}

// Close drops idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Verify asks who a token speaks for. A token that is unknown, removed or
// forged gives an error with code unauthenticated.
func (c *Client) Verify(ctx context.Context, token string) (Identity, error) {
	var id Identity
	form := url.Values{"token": {token}}
	err := c.call(ctx, http.MethodPost, "/verify", "application/x-www-form-urlencoded", strings.NewReader(form.Encode()), &id)
	return id, err
}

// GenToken makes a token.
func (c *Client) GenToken(ctx context.Context, r GenRequest) (GenResponse, error) {
	in := map[string]any{"name": r.Name, "perm": r.Perm, "extra": r.Extra, "lifetime": r.Lifetime.String()}
	if r.Scope != nil {
		in["scope"] = r.Scope
	}
	var out GenResponse
	err := c.send(ctx, http.MethodPost, "/genToken", in, &out)
	return out, err
}

// Rotate makes a token in place of another one.
func (c *Client) Rotate(ctx context.Context, r RotateRequest) (GenResponse, error) {
	var out GenResponse
	err := c.send(ctx, http.MethodPost, "/rotateToken", map[string]any{"id": r.ID, "token": r.Token, "grace": r.Grace.String()}, &out)
	return out, err
}

func (q ListQuery) encode() string {
	v := url.Values{"skip": {strconv.Itoa(q.Skip)}, "limit": {strconv.Itoa(q.Limit)}}
	if q.Search != "" {
		v.Set("search", q.Search)
	}
	if q.Name != "" {
		v.Set("name", q.Name)
	}
	if q.Removed {
		v.Set("removed", "true")
	}
	return "?" + v.Encode()
}

func get[T any](ctx context.Context, c *Client, path string) (T, error) {
	var out T
	err := c.call(ctx, http.MethodGet, path, "", nil, &out)
	return out, err
}

// Tokens lists tokens.
func (c *Client) Tokens(ctx context.Context, q ListQuery) ([]TokenInfo, error) {
	return get[[]TokenInfo](ctx, c, "/tokens"+q.encode())
}

// Audit lists managing calls, newest first.
func (c *Client) Audit(ctx context.Context, q ListQuery) ([]AuditEntry, error) {
	return get[[]AuditEntry](ctx, c, "/audit"+q.encode())
}

// Users lists users, by name.
func (c *Client) Users(ctx context.Context, q ListQuery) ([]UserInfo, error) {
	return get[[]UserInfo](ctx, c, "/user/list"+q.encode())
}

// User returns a user.
func (c *Client) User(ctx context.Context, name string) (UserInfo, error) {
	return get[UserInfo](ctx, c, "/user?"+url.Values{"name": {name}}.Encode())
}

// MinerOwner returns the user that has a miner.
func (c *Client) MinerOwner(ctx context.Context, miner string) (UserInfo, error) {
	return get[UserInfo](ctx, c, "/miner?"+url.Values{"miner": {miner}}.Encode())
}

// SignerOwners returns the users that have a signer.
func (c *Client) SignerOwners(ctx context.Context, signer string) ([]UserInfo, error) {
	return get[[]UserInfo](ctx, c, "/signer?"+url.Values{"signer": {signer}}.Encode())
}

func (r UserRequest) fields() map[string]any {
	in := map[string]any{"name": r.Name, "miners": append([]string{}, r.Miners...)}
	if r.Comment != nil {
		in["comment"] = *r.Comment
	}
	if r.State != nil {
		in["state"] = int(*r.State)
	}
	return in
}

// AddUser makes a user.
func (c *Client) AddUser(ctx context.Context, r UserRequest) (UserInfo, error) {
	var out UserInfo
	err := c.send(ctx, http.MethodPut, "/user/new", r.fields(), &out)
	return out, err
}

// UpdateUser changes a user.
func (c *Client) UpdateUser(ctx context.Context, r UserRequest) (UserInfo, error) {
	var out UserInfo
	err := c.send(ctx, http.MethodPost, "/user/update", r.fields(), &out)
	return out, err
}

// Grant gives a user addresses; kind is miner or signer.
func (c *Client) Grant(ctx context.Context, name, kind string, addresses []string) (UserInfo, error) {
	var out UserInfo
	err := c.send(ctx, http.MethodPost, "/user/"+kind+"/grant", map[string]any{"name": name, "addresses": addresses}, &out)
	return out, err
}

// Withdraw takes addresses from a user.
func (c *Client) Withdraw(ctx context.Context, name, kind string, addresses []string) (UserInfo, error) {
	var out UserInfo
	err := c.send(ctx, http.MethodPost, "/user/"+kind+"/withdraw", map[string]any{"name": name, "addresses": addresses}, &out)
	return out, err
}

// SetLimit adds a rate limit to a user, or replaces the one with its ID, and
// returns the ID.
func (c *Client) SetLimit(ctx context.Context, name string, l api.RateLimit) (string, error) {
	var out string
	err := c.send(ctx, http.MethodPost, "/user/ratelimit/upsert", NewLimitInfo(name, l), &out)
	return out, err
}

// DropLimit removes a rate limit.
func (c *Client) DropLimit(ctx context.Context, name, id string) error {
	return c.send(ctx, http.MethodPost, "/user/ratelimit/del", map[string]any{"name": name, "id": id}, nil)
}

// Remove revokes a token at once.
func (c *Client) Remove(ctx context.Context, ref TokenRef) error {
	return c.send(ctx, http.MethodDelete, "/token", ref, nil)
}

// Recover makes a removed token valid again.
func (c *Client) Recover(ctx context.Context, ref TokenRef) error {
	return c.send(ctx, http.MethodPost, "/recoverToken", ref, nil)
}

// Healthy returns nil when the service answers.
func (c *Client) Healthy(ctx context.Context) error {
	return c.call(ctx, http.MethodGet, "/healthz", "", nil, nil)
}

func (c *Client) send(ctx context.Context, method, path string, in, out any) error {
	b, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("encode request to %s: %w", path, err)
	}
	return c.call(ctx, method, path, "application/json", bytes.NewReader(b), out)
}

func (c *Client) call(ctx context.Context, method, path, contentType string, body io.Reader, out any) error {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return fmt.Errorf("make request to venus-auth: %w", err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return c.unreachable(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return c.unreachable(err)
	}
	if resp.StatusCode != http.StatusOK {
		return answerError(resp.StatusCode, b)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(b, out); err != nil {
		return api.Errorf(api.CodeUnavailable, "venus-auth at %s gave an answer that is not its own: %w", c.base, err).
			WithHint("check that the auth URL points to venus-auth and not to another service")
	}
	return nil
}

// unreachable hides the request's URL, which may carry what a log should not.
func (c *Client) unreachable(err error) error {
	var ue *url.Error
	if errors.As(err, &ue) {
		err = ue.Err
	}
	return api.Errorf(api.CodeUnavailable, "cannot reach venus-auth at %s: %w", c.base, err).
		WithHint("check that venus-auth runs and that the auth URL is right")
}

// answerError turns a refusal into an error.
func answerError(status int, body []byte) error {
	var e ErrorBody
	if json.Unmarshal(body, &e) != nil || e.Error == "" {
		e.Error = fmt.Sprintf("venus-auth answered with HTTP status %d", status)
	}
	code := api.ErrorCode(e.Code)
	if code == "" {
		switch status {
		case http.StatusUnauthorized:
			code = api.CodeUnauthenticated
		case http.StatusForbidden:
			code = api.CodePermission
		case http.StatusTooManyRequests:
			code = api.CodeLimit
		case http.StatusBadRequest:
			code = api.CodeInvalid
		default:
			code = api.CodeUnavailable
		}
	}
	return &api.Error{Code: code, Message: e.Error, Hint: e.Hint}
}

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
	var out GenResponse
	err := c.send(ctx, http.MethodPost, "/genToken", r, &out)
	return out, err
}

// Tokens lists tokens.
func (c *Client) Tokens(ctx context.Context, q ListQuery) ([]TokenInfo, error) {
	v := url.Values{"skip": {strconv.Itoa(q.Skip)}, "limit": {strconv.Itoa(q.Limit)}}
	if q.Search != "" {
		v.Set("search", q.Search)
	}
	if q.Removed {
		v.Set("removed", "true")
	}
	var out []TokenInfo
	err := c.call(ctx, http.MethodGet, "/tokens?"+v.Encode(), "", nil, &out)
	return out, err
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
		case http.StatusBadRequest:
			code = api.CodeInvalid
		default:
			code = api.CodeUnavailable
		}
	}
	return &api.Error{Code: code, Message: e.Error, Hint: e.Hint}
}

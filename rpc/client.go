package rpc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/filecoin-project/go-jsonrpc"

	"github.com/filecoin-venus/venus/api"
)

const (
	// defaultTimeout bounds a call whose context has no deadline of its own.
	defaultTimeout = time.Minute
	codeNoMethod   = -32601
	// idleConns is how many connections stay open between calls: callers side by side should not have to connect anew each time.
	idleConns = 64
)

// DialOptions are the settings of a client; the zero value is good.
type DialOptions struct {
	// Service is the name of the program at the other end, for error messages.
	Service string
	// Timeout bounds calls whose context has no deadline, 0 = one minute.
	// Methods with "Wait" in their name and BeaconGetEntry may take for ever.
	Timeout time.Duration
	// Path is used when the endpoint has none, "" = DefaultPath.
	Path string
	// Shared has all calls share one WebSocket connection, which is opened when a call needs it: for programs that call
	// often and side by side, and would pay more for requests of their own than for what they ask. Calls under way when
	// it breaks fail, and the next one connects again.
	Shared bool
}

// Dial fills a generated proxy with calls to the service at an endpoint (any
// form that ParseEndpoint takes) and returns a function that ends all of them.
//
// It does not connect: each call is a request of its own, or connects if need be
// (DialOptions.Shared), so a service may be away at this moment and restart at any
// time. A call that returns a channel
// opens a WebSocket of its own; when that breaks the channel closes, and the
// reader calls again. The context of such a call ends the subscription.
//
// Errors are api.Errors: what the method answered, with its code and hint, or
// what kept it from being asked.
func Dial(endpoint, token, namespace string, proxy any, o DialOptions) (func(), error) {
	target, err := ParseEndpoint(endpoint, o.Path)
	if err != nil {
		return nil, err
	}
	in, err := internals(proxy)
	if err != nil {
		return nil, err
	}
	if o.Timeout <= 0 {
		o.Timeout = defaultTimeout
	}
	if o.Service == "" {
		o.Service = "service"
	}
	c := &client{opts: o, url: target, namespace: namespace, header: http.Header{}}
	if token = CleanToken(token); token != "" {
		c.header.Set("Authorization", "Bearer "+token)
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	tr := &http.Transport{MaxIdleConnsPerHost: idleConns, IdleConnTimeout: time.Minute, ResponseHeaderTimeout: 0}
	hc := &http.Client{Transport: &refusals{next: tr, service: o.Service}}
	raw := reflect.New(in.Type())
	stop, err := jsonrpc.NewMergeClient(c.ctx, target, namespace, []any{raw.Interface()}, c.header,
		jsonrpc.WithHTTPClient(hc), jsonrpc.WithErrors(wireErrors()))
	if err != nil {
		c.cancel()
		return nil, fmt.Errorf("prepare client of %s: %w", o.Service, err)
	}
	var shared *line
	if o.Shared {
		shared = newLine(c)
	}
	for i := range in.NumField() {
		f := in.Type().Field(i)
		if f.Type.Out(0).Kind() == reflect.Chan {
			in.Field(i).Set(reflect.MakeFunc(f.Type, c.streaming(f)))
			continue
		}
		if shared != nil {
			in.Field(i).Set(reflect.MakeFunc(f.Type, shared.calling(f)))
			continue
		}
		in.Field(i).Set(reflect.MakeFunc(f.Type, c.calling(raw.Elem().Field(i), f)))
	}
	var once sync.Once
	return func() {
		once.Do(func() {
			c.cancel()
			stop()
			tr.CloseIdleConnections()
		})
	}, nil
}

type client struct {
	opts      DialOptions
	url       string
	namespace string
	header    http.Header
	ctx       context.Context
	cancel    context.CancelFunc
}

// unbounded tells which methods wait for something to happen.
func unbounded(method string) bool {
	return strings.Contains(method, "Wait") || method == "BeaconGetEntry"
}

// bounded ends a call's context with the client, and in time unless the method waits for something to happen.
func (c *client) bounded(ctx context.Context, method string) (context.Context, context.CancelFunc) {
	var cancel context.CancelFunc
	if _, ok := ctx.Deadline(); ok || unbounded(method) {
		ctx, cancel = context.WithCancel(ctx)
	} else {
		ctx, cancel = context.WithTimeout(ctx, c.opts.Timeout)
	}
	unhook := context.AfterFunc(c.ctx, cancel)
	return ctx, func() { unhook(); cancel() }
}

// calling wraps a plain method: a timeout, and errors that explain themselves.
func (c *client) calling(fn reflect.Value, f reflect.StructField) func([]reflect.Value) []reflect.Value {
	return func(args []reflect.Value) []reflect.Value {
		ctx, cancel := c.bounded(args[0].Interface().(context.Context), f.Name)
		defer cancel()
		args = withAmounts(args)
		args[0] = reflect.ValueOf(ctx)
		out := fn.Call(args)
		if err, ok := out[len(out)-1].Interface().(error); ok && err != nil {
			return c.failed(f, c.explain(f.Name, err))
		}
		return out
	}
}

// withAmounts copies arguments so that unset amounts can be read at the other end.
func withAmounts(args []reflect.Value) []reflect.Value {
	out := make([]reflect.Value, len(args))
	for i, a := range args {
		if out[i] = a; holdsAmount(a.Type()) {
			out[i] = setAmounts(a)
		}
	}
	return out
}

func (c *client) failed(f reflect.StructField, err error) []reflect.Value {
	out := make([]reflect.Value, f.Type.NumOut())
	for i := range out {
		out[i] = reflect.Zero(f.Type.Out(i))
	}
	e := reflect.New(errType).Elem()
	e.Set(reflect.ValueOf(err))
	out[len(out)-1] = e
	return out
}

// explain turns an error of the library into one for people. Cancellation stays
// recognisable.
func (c *client) explain(method string, err error) error {
	var answered *wireError
	if errors.As(err, &answered) {
		return &answered.inner
	}
	var refused *api.Error
	if errors.As(err, &refused) {
		return refused
	}
	var proto *jsonrpc.JSONRPCError
	if errors.As(err, &proto) {
		if told := new(wireError); told.FromJSONRPCError(*proto) == nil && told.inner.Code == api.CodeUnsupported {
			return &told.inner
		}
		if proto.Code == codeNoMethod {
			return api.Errorf(api.CodeInvalid, "%s at %s does not know the method %s: %w", c.opts.Service, c.url, method, api.ErrNotSupported).
				WithHint("check that the address is the right service's, and that both programs are of the same version")
		}
		code := api.CodeInternal
		if proto.Code == codeParse || proto.Code == codeInvalid || proto.Code == codeInvalidParams {
			code = api.CodeInvalid
		}
		return api.Errorf(code, "%s refused the call of %s: %w", c.opts.Service, method, err)
	}
	if errors.Is(err, context.Canceled) {
		return fmt.Errorf("call %s of %s: %w", method, c.opts.Service, context.Canceled)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return api.Errorf(api.CodeUnavailable, "%s at %s did not answer %s in time: %w", c.opts.Service, c.url, method, context.DeadlineExceeded).
			WithHint("look at its log; it may be busy or stuck")
	}
	if ue := (*url.Error)(nil); errors.As(err, &ue) {
		err = ue.Err
	}
	var syn *json.SyntaxError
	if errors.As(err, &syn) || errors.Is(err, io.ErrUnexpectedEOF) {
		return api.Errorf(api.CodeUnavailable, "the answer of %s at %s to %s cannot be read: %w", c.opts.Service, c.url, method, err).
			WithHint("check that the address is the right service's")
	}
	return api.Errorf(api.CodeUnavailable, "cannot reach %s at %s: %w", c.opts.Service, c.url, err).
		WithHint("check that %s runs and that its address is right", c.opts.Service)
}

// refusals turns HTTP answers that are no JSON-RPC into errors.
type refusals struct {
	next    http.RoundTripper
	service string
}

// RoundTrip sends a request.
func (t *refusals) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := t.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	switch resp.StatusCode {
	case http.StatusOK, http.StatusBadRequest, http.StatusInternalServerError:
		return resp, nil
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10)) // the status alone says enough
	return nil, refusal(t.service, resp.StatusCode, b)
}

func refusal(service string, status int, body []byte) error {
	var e struct {
		Error string        `json:"error"`
		Code  api.ErrorCode `json:"code"`
		Hint  string        `json:"hint"`
	}
	if json.Unmarshal(body, &e) == nil && e.Error != "" && e.Code != "" {
		return &api.Error{Code: e.Code, Message: service + ": " + e.Error, Hint: e.Hint}
	}
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return api.Errorf(api.CodeUnauthenticated, "%s refuses the token (HTTP status %d)", service, status).
			WithHint("pass a token that this service knows")
	case http.StatusRequestEntityTooLarge:
		return api.Errorf(api.CodeLimit, "the request is too big for %s", service).WithHint("send less at once")
	case http.StatusNotFound:
		return api.Errorf(api.CodeUnavailable, "%s has nothing at this path (HTTP status 404)", service).
			WithHint("check the path of the address; services listen at %s", DefaultPath)
	}
	return api.Errorf(api.CodeUnavailable, "%s answered with HTTP status %d", service, status).WithHint("try again later")
}

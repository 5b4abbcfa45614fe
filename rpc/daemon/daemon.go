// Package daemon is what the programs of the cluster have in common: they tell
// version and session, methods, log levels and tokens, listen where their
// directory says, and end in good order.
//
// Start at [New]; a service embeds the *Base it returns and so satisfies
// api.Common and api.Auth. [Serve] opens it to callers, [Closers] undoes what a
// start did. A program ends once: by Shutdown, or by the first part that calls
// Fail; Wait tells which.
package daemon

import (
	"context"
	"sync"

	"github.com/google/uuid"
	logging "github.com/ipfs/go-log/v2"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/rpc/openrpc"
)

// Tokens makes and judges a program's own tokens.
type Tokens interface {
	New(perms []api.Permission) ([]byte, error)
	Verify(token string) ([]api.Permission, error)
}

// Options describe a program.
type Options struct {
	// Program is its name, such as venus-sealer.
	Program string
	// Version is its release; the API's version, when it has one, goes beside it.
	Version    string
	APIVersion api.APIVersion
	// BlockDelaySecs is the length of an epoch, for programs that follow a chain.
	BlockDelaySecs uint64
	// Namespace and Proxy describe its contract: a pointer to a generated proxy.
	Namespace string
	Proxy     any
	Tokens    Tokens
}

// Base implements api.Common and api.Auth.
type Base struct {
	o       Options
	session string
	closing chan struct{}
	once    sync.Once
	failure error // set before closing is closed
}

// New makes the base of a program that starts now.
func New(o Options) *Base {
	return &Base{o: o, session: uuid.NewString(), closing: make(chan struct{})}
}

// Version names the program and the API it speaks.
func (b *Base) Version(context.Context) (api.Version, error) {
	return api.Version{Version: b.o.Version, APIVersion: b.o.APIVersion, BlockDelay: b.o.BlockDelaySecs}, nil
}

// Session is new at every start.
func (b *Base) Session(context.Context) (string, error) { return b.session, nil }

// Discover describes the methods as an OpenRPC document.
func (b *Base) Discover(context.Context) (map[string]any, error) {
	return openrpc.Document(b.o.Program, b.o.Version, b.o.Namespace, b.o.Proxy)
}

// Closing gives a channel that closes when the program is about to stop.
func (b *Base) Closing(context.Context) (<-chan struct{}, error) { return b.closing, nil }

// Done is closed once somebody asked the program to stop.
func (b *Base) Done() <-chan struct{} { return b.closing }

// Shutdown asks the program to stop.
func (b *Base) Shutdown(context.Context) error {
	b.Fail(nil)
	return nil
}

// Fail ends the program because a part of it cannot go on. Only the first end
// counts.
func (b *Base) Fail(err error) {
	b.once.Do(func() {
		b.failure = err
		close(b.closing)
	})
}

// Wait returns nil when ctx ends or somebody asked the program to stop, and
// what a part failed with when that ended it.
func (b *Base) Wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-b.closing:
		return b.failure
	}
}

// LogList names the log systems.
func (b *Base) LogList(context.Context) ([]string, error) { return logging.GetSubsystems(), nil }

// LogSetLevel sets the level of one log system, or of all with "*".
func (b *Base) LogSetLevel(_ context.Context, system, level string) error {
	if err := logging.SetLogLevel(system, level); err != nil {
		return api.Errorf(api.CodeInvalid, "set log level of %q to %q: %w", system, level, err)
	}
	return nil
}

// AuthVerify returns the permissions of one of this program's tokens.
func (b *Base) AuthVerify(_ context.Context, token string) ([]api.Permission, error) {
	return b.o.Tokens.Verify(token)
}

// AuthNew makes a token that carries exactly the given permissions.
func (b *Base) AuthNew(_ context.Context, perms []api.Permission) ([]byte, error) {
	if len(perms) == 0 {
		return nil, api.Errorf(api.CodeInvalid, "a token without permissions is of no use")
	}
	for _, p := range perms {
		if _, err := api.ParsePermission(string(p)); err != nil {
			return nil, api.Errorf(api.CodeInvalid, "%w", err)
		}
	}
	return b.o.Tokens.New(perms)
}

package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/repo"
	"github.com/filecoin-venus/venus/rpc"
)

// stopTimeout is how long a running request may hold up the end.
const stopTimeout = 10 * time.Second

// Listening says where a program listens.
type Listening struct {
	// Address is a multiaddr or host:port.
	Address string
	// Suffix is what the noted multiaddr ends in, such as /http.
	Suffix string
	// Choose tells people how to choose another address, such as "with --api".
	Choose string
}

// Server answers the callers of one program until Close.
type Server struct {
	// Address is the multiaddr it listens on, as the directory has it.
	Address string

	base *Base
	rpc  *rpc.Server
}

// Serve listens, notes the address in the program's directory and answers with
// srv, where everything is registered. When serving fails, base fails.
func Serve(dir *repo.Repo, base *Base, srv *rpc.Server, at Listening) (*Server, error) {
	hostport, err := rpc.ListenAddress(at.Address)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", hostport)
	if err != nil {
		return nil, api.Errorf(api.CodePrecondition, "listen on %s: %w", at.Address, err).
			WithHint("stop what uses the port, or choose another %s", at.Choose)
	}
	s := &Server{Address: rpc.Multiaddr(l.Addr()) + at.Suffix, base: base, rpc: srv}
	if err := dir.SetAPI(s.Address); err != nil {
		return nil, errors.Join(fmt.Errorf("note the listen address: %w", err), l.Close())
	}
	srv.Named(base.o.Program)
	go func() {
		if err := srv.Serve(l); err != nil {
			base.Fail(err)
		}
	}()
	return s, nil
}

// Close tells callers that the program ends, lets running requests end within
// ten seconds, and stops listening.
func (s *Server) Close() error {
	_ = s.base.Shutdown(context.Background()) // it has no errors
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	return s.rpc.Shutdown(ctx)
}

// PortAlone turns a port number into the multiaddr of that port for callers of
// the same machine, and leaves anything else as it is.
func PortAlone(s string) string {
	if port, err := strconv.ParseUint(s, 10, 16); err == nil && port > 0 {
		return fmt.Sprintf("/ip4/127.0.0.1/tcp/%d/http", port)
	}
	return s
}

// Closers undoes what a start did, in reverse. The zero value is ready.
type Closers struct{ closers []func() error }

// Add puts what was opened last on top.
func (c *Closers) Add(f func() error) { c.closers = append(c.closers, f) }

// Then is Add for what cannot fail.
func (c *Closers) Then(f func()) { c.Add(func() error { f(); return nil }) }

// Close calls all of them, the last added first, and joins their errors. A
// second call does nothing.
func (c *Closers) Close() error {
	var errs []error
	for i := len(c.closers) - 1; i >= 0; i-- {
		errs = append(errs, c.closers[i]())
	}
	c.closers = nil
	return errors.Join(errs...)
}

package service

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/rpc"
)

// starting answers in place of a sealer that is not up yet, at its address: it lives, it is not ready, and what it is
// doing. Calls are refused with that.
type starting struct {
	clk  clock.Clock
	srv  *rpc.Server
	done chan struct{} // closed when it serves no more

	mu    sync.Mutex // guards what follows
	doing string
	said  time.Time // when progress was last logged
}

// sayEvery lies between two lines of progress in the log.
const sayEvery = 2 * time.Second

// newStarting listens. Where that is not possible nobody is told; the sealer itself will say why.
func newStarting(clk clock.Clock, listen string) *starting {
	s := &starting{clk: clk, doing: "opening its directory", done: make(chan struct{})}
	hostport, err := rpc.ListenAddress(listen)
	if err != nil || strings.HasSuffix(hostport, ":0") { // nobody knows that port
		close(s.done)
		return s
	}
	l, err := net.Listen("tcp", hostport)
	if err != nil {
		close(s.done)
		return s
	}
	s.srv = rpc.NewServer(rpc.Options{Clock: clk, Health: rpc.NewHealth(clk, rpc.Check{Name: "start", Ready: true, Ask: func(context.Context) (string, error) {
		return "", errors.New(s.now())
	}})})
	s.srv.Handle(rpc.DefaultPath, http.HandlerFunc(s.refuse))
	go func() {
		defer close(s.done)
		if err := s.srv.Serve(l); err != nil {
			log.Warnf("nobody can ask how the start goes: %v", err)
		}
	}()
	return s
}

func (s *starting) now() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.doing
}

// refuse answers a call as package rpc's client understands.
func (s *starting) refuse(w http.ResponseWriter, _ *http.Request) {
	e := api.Errorf(api.CodeUnavailable, "it starts: %s", s.now()).WithHint("wait, or follow /readyz at its address")
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusServiceUnavailable)
	_ = json.NewEncoder(w).Encode(map[string]any{"error": e.Message, "code": e.Code, "hint": e.Hint}) // whoever asked may be gone
}

// does tells what the sealer is doing now.
func (s *starting) does(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.doing, s.said = fmt.Sprintf(format, args...), s.clk.Now()
}

// loaded tells of sectors read from the database, and logs that every two seconds.
func (s *starting) loaded(done, total int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.doing = fmt.Sprintf("loading sectors, %d of %d", done, total)
	if now := s.clk.Now(); now.Sub(s.said) >= sayEvery {
		s.said = now
		log.Info(s.doing)
	}
}

// end gives the address free.
func (s *starting) end() error {
	if s.srv != nil {
		ctx, cancel := context.WithTimeout(context.Background(), sayEvery)
		defer cancel()
		if err := s.srv.Shutdown(ctx); err != nil {
			return fmt.Errorf("end what answered during the start: %w", err)
		}
	}
	<-s.done
	return nil
}

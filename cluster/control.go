package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/filecoin-venus/venus/internal/clock"
)

// Supervise runs the supervisor of a cluster until it is told to stop or the
// context ends; then all programs end in good order. One supervisor a folder:
// its socket is the lock.
func Supervise(ctx context.Context, l Layout, bin string, c clock.Clock) error {
	st, err := LoadState(l)
	if err != nil {
		return err
	}
	if (Control{l}).Alive(ctx) {
		return fmt.Errorf("a supervisor runs for %s already", l.Data)
	}
	_ = os.Remove(l.socket()) // left over by one that was killed
	listener, err := net.Listen("unix", l.socket())
	if err != nil {
		return fmt.Errorf("listen on %s: %w", l.socket(), err)
	}
	s := NewSupervisor(l, Programs(l, st.Ports, bin), c)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	srv := &http.Server{Handler: handler(s, cancel), ReadHeaderTimeout: 5 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(listener) }()
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	s.StopAll()
	_ = srv.Close() // nobody is left to answer
	return err
}

func handler(s *Supervisor, stop func()) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) { reply(w, s.Status()) })
	mux.HandleFunc("POST /start/{name}", func(w http.ResponseWriter, r *http.Request) {
		if err := s.Start(r.PathValue("name")); err != nil {
			http.Error(w, err.Error(), http.StatusNotFound)
			return
		}
		reply(w, "ok")
	})
	mux.HandleFunc("POST /stop/{name}", func(w http.ResponseWriter, r *http.Request) {
		s.Stop(r.PathValue("name"))
		reply(w, "ok")
	})
	mux.HandleFunc("POST /shutdown", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, "ok")
		stop()
	})
	return mux
}

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(v); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

// Control talks to the supervisor of a cluster.
type Control struct{ Layout Layout }

// ErrDown says that no supervisor answers.
var ErrDown = errors.New("the cluster is down; start it with `venus-cluster up`")

func (c Control) call(ctx context.Context, method, path string, out any) error {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", c.Layout.socket())
	}}}
	req, err := http.NewRequestWithContext(ctx, method, "http://supervisor"+path, bytes.NewReader(nil))
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("%w (%w)", ErrDown, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("supervisor answers %s", resp.Status)
	}
	if out == nil {
		return nil
	}
	return json.NewDecoder(resp.Body).Decode(out)
}

// Alive tells whether a supervisor answers.
func (c Control) Alive(ctx context.Context) bool {
	_, err := c.Status(ctx)
	return err == nil
}

// Status lists the programs; ErrDown when no supervisor answers.
func (c Control) Status(ctx context.Context) ([]Status, error) {
	var out []Status
	return out, c.call(ctx, http.MethodGet, "/status", &out)
}

// Start runs a program.
func (c Control) Start(ctx context.Context, name string) error {
	return c.call(ctx, http.MethodPost, "/start/"+name, nil)
}

// Stop ends a program in good order.
func (c Control) Stop(ctx context.Context, name string) error {
	return c.call(ctx, http.MethodPost, "/stop/"+name, nil)
}

// Shutdown ends all programs and the supervisor and returns once it is gone.
func (c Control) Shutdown(ctx context.Context, clk clock.Clock) error {
	if err := c.call(ctx, http.MethodPost, "/shutdown", nil); err != nil {
		return err
	}
	for c.Alive(ctx) {
		if err := clk.Sleep(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// Launch starts the supervisor as a process of its own that outlives the
// caller, and returns once it answers.
func (c Control) Launch(ctx context.Context, self string, clk clock.Clock) error {
	if c.Alive(ctx) {
		return nil
	}
	log, err := os.OpenFile(c.Layout.Log("supervisor"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open the supervisor's log: %w", err)
	}
	defer log.Close()
	cmd := exec.Command(self, "supervise", "--data", c.Layout.Data)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the supervisor: %w", err)
	}
	gone := make(chan error, 1)
	go func() { gone <- cmd.Wait() }()
	for {
		if c.Alive(ctx) {
			return nil
		}
		select {
		case err := <-gone:
			return fmt.Errorf("the supervisor ended at once (%s); see %s", exitText(err), c.Layout.Log("supervisor"))
		default:
		}
		if err := clk.Sleep(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
}

// residentBytes is the memory a process holds; 0 when it cannot be told.
func residentBytes(pid int) uint64 {
	if pid == 0 {
		return 0
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(b))
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseUint(fields[1], 10, 64)
	if err != nil {
		return 0
	}
	return pages * uint64(os.Getpagesize())
}

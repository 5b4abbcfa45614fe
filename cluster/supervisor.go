package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/filecoin-venus/venus/internal/clock"
)

// Phases of a supervised program.
const (
	// Stopped: not asked to run.
	Stopped = "stopped"
	// Starting: the process runs and does not answer yet.
	Starting = "starting"
	// Healthy: the process answers.
	Healthy = "healthy"
	// Waiting: the process died and is started again after a while.
	Waiting = "waiting"
)

// Restart delays: doubled at each death, back to the first after a program
// lived for calm.
const (
	firstDelay = 500 * time.Millisecond
	maxDelay   = 30 * time.Second
	calm       = time.Minute
	// stopPatience is how long a program may take to end in good order.
	stopPatience = 20 * time.Second
	healthEvery  = 250 * time.Millisecond
	healthRest   = 2 * time.Second
)

// Status is what a supervisor knows of a program.
type Status struct {
	Name     string
	Phase    string
	PID      int
	Restarts int
	Since    time.Time
	// LastExit tells how the process ended the last time it did by itself.
	LastExit string `json:",omitempty"`
	Health   string `json:",omitempty"`
	Log      string
	RSS      uint64
}

// Supervisor runs programs and starts them again when they die.
type Supervisor struct {
	layout   Layout
	programs map[string]Program
	clock    clock.Clock

	mu      sync.Mutex
	running map[string]*child
}

type child struct {
	status Status
	stop   context.CancelFunc
	done   chan struct{}
}

// NewSupervisor makes a supervisor of a cluster's programs; none runs yet.
func NewSupervisor(l Layout, programs map[string]Program, c clock.Clock) *Supervisor {
	return &Supervisor{layout: l, programs: programs, clock: c, running: map[string]*child{}}
}

// Start runs a program until Stop; a running one is left alone.
func (s *Supervisor) Start(name string) error {
	p, ok := s.programs[name]
	if !ok {
		return fmt.Errorf("no program %q in this cluster", name)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.running[name]; ok {
		return nil
	}
	ctx, cancel := context.WithCancel(context.Background())
	c := &child{status: Status{Name: name, Phase: Starting, Since: s.clock.Now(), Log: s.layout.Log(name)}, stop: cancel, done: make(chan struct{})}
	s.running[name] = c
	go func() {
		defer close(c.done)
		s.keep(ctx, p, c)
	}()
	return nil
}

// Stop ends a program in good order: SIGTERM, and SIGKILL when it does not
// heed that.
func (s *Supervisor) Stop(name string) {
	s.mu.Lock()
	c, ok := s.running[name]
	s.mu.Unlock()
	if !ok {
		return
	}
	c.stop()
	<-c.done
	s.mu.Lock()
	delete(s.running, name)
	s.mu.Unlock()
}

// StopAll ends all programs, the last started first.
func (s *Supervisor) StopAll() {
	order := Order()
	for i := len(order) - 1; i >= 0; i-- {
		s.Stop(order[i])
	}
}

// Status lists all programs in starting order.
func (s *Supervisor) Status() []Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Status
	for _, name := range Order() {
		if c, ok := s.running[name]; ok {
			st := c.status
			st.RSS = residentBytes(st.PID)
			out = append(out, st)
		} else {
			out = append(out, Status{Name: name, Phase: Stopped, Log: s.layout.Log(name)})
		}
	}
	return out
}

func (s *Supervisor) update(c *child, change func(*Status)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&c.status)
}

func (s *Supervisor) keep(ctx context.Context, p Program, c *child) {
	delay := firstDelay
	for ctx.Err() == nil {
		began := s.clock.Now()
		how := s.runOnce(ctx, p, c)
		if ctx.Err() != nil {
			return
		}
		if s.clock.Now().Sub(began) > calm {
			delay = firstDelay
		}
		s.update(c, func(st *Status) {
			st.Phase, st.PID, st.LastExit, st.Since = Waiting, 0, how, s.clock.Now()
			st.Restarts++
		})
		if s.clock.Sleep(ctx, delay) != nil {
			return
		}
		delay = min(2*delay, maxDelay)
	}
}

func (s *Supervisor) runOnce(ctx context.Context, p Program, c *child) string {
	log, err := os.OpenFile(s.layout.Log(p.Name), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err.Error()
	}
	defer log.Close()
	cmd := exec.Command(p.Binary, p.Args...)
	cmd.Env = append(os.Environ(), p.Env...)
	cmd.Stdout, cmd.Stderr = log, log
	// A process group of its own: an interrupt at the terminal is for us alone.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		return err.Error()
	}
	s.update(c, func(st *Status) { st.Phase, st.PID, st.Since = Starting, cmd.Process.Pid, s.clock.Now() })
	life, cancel := context.WithCancel(ctx)
	defer cancel()
	go s.watch(life, p, c)
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		return exitText(err)
	case <-ctx.Done():
	}
	_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended this moment
	t := s.clock.NewTimer(stopPatience)
	defer t.Stop()
	select {
	case err := <-ended:
		return exitText(err)
	case <-t.C():
		_ = cmd.Process.Kill() // it may have ended this moment
		return exitText(<-ended)
	}
}

func exitText(err error) string {
	if err == nil {
		return "exit status 0"
	}
	return err.Error()
}

// watch asks a program for its health until it dies; ctx is the process's life.
// What it learns late must not be told of a process that is dead by then.
func (s *Supervisor) watch(ctx context.Context, p Program, c *child) {
	tell := func(reason string) {
		s.update(c, func(st *Status) {
			if ctx.Err() != nil {
				return
			}
			st.Health = reason
			if reason == "" {
				st.Phase = Healthy
			}
		})
	}
	if p.Health == "" {
		tell("")
		return
	}
	for {
		reason := ask(ctx, p.Health)
		tell(reason)
		rest := healthEvery
		if reason == "" {
			rest = healthRest
		}
		if s.clock.Sleep(ctx, rest) != nil {
			return
		}
	}
}

// ask returns "" when the URL answers 200, else why not.
func ask(ctx context.Context, url string) string {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err.Error()
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		var op interface{ Timeout() bool }
		if errors.As(err, &op) && op.Timeout() {
			return "does not answer in time"
		}
		return "does not answer"
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		b, _ := io.ReadAll(io.LimitReader(resp.Body, 512)) // the status tells enough without it
		return fmt.Sprintf("%s: %s", resp.Status, b)
	}
	return ""
}

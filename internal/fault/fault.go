// Package fault holds named failpoints: marks at the lines where something must
// be durable before something else becomes visible. In production a mark costs
// one atomic load. Tests arm marks in process ([Arm]); crash tests of whole
// programs arm them by environment, VENUS_FAILPOINT=name=kill or name=error,
// several separated by commas, with name=kill:3 meaning the third passage.
package fault

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
)

// ErrInjected is what an armed mark of kind error returns.
var ErrInjected = errors.New("injected fault")

var (
	armed  atomic.Bool
	mu     sync.Mutex
	points = fromEnvironment(os.Getenv("VENUS_FAILPOINT"))
)

type point struct {
	act  func() error
	skip int // passages to let through before acting
}

// Point passes the mark called name. It returns nil unless the mark is armed.
func Point(name string) error {
	if !armed.Load() {
		return nil
	}
	mu.Lock()
	p, ok := points[name]
	if !ok {
		mu.Unlock()
		return nil
	}
	if p.skip > 0 {
		p.skip--
		mu.Unlock()
		return nil
	}
	act := p.act
	mu.Unlock()
	return act()
}

// Arm makes every further passage of the mark run act, until the returned
// function is called.
func Arm(name string, act func() error) (disarm func()) {
	mu.Lock()
	defer mu.Unlock()
	points[name] = &point{act: act}
	armed.Store(true)
	return func() {
		mu.Lock()
		defer mu.Unlock()
		delete(points, name)
		armed.Store(len(points) > 0)
	}
}

func fromEnvironment(spec string) map[string]*point {
	out := map[string]*point{}
	for _, item := range strings.Split(spec, ",") {
		name, kind, ok := strings.Cut(strings.TrimSpace(item), "=")
		if !ok {
			continue
		}
		kind, count, _ := strings.Cut(kind, ":")
		n, _ := strconv.Atoi(count) // no count means the first passage
		p := &point{skip: max(n-1, 0)}
		switch kind {
		case "kill":
			// A real SIGKILL: nothing is flushed, no defer runs.
			p.act = func() error { return syscall.Kill(os.Getpid(), syscall.SIGKILL) }
		case "error":
			p.act = func() error { return fmt.Errorf("%s: %w", name, ErrInjected) }
		default:
			continue
		}
		out[name] = p
	}
	armed.Store(len(out) > 0)
	return out
}

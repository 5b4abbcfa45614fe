package rpc

import (
	"context"
	"fmt"
	"net/http"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/internal/clock"
)

// Check is one thing that may be wrong with a program. What it returns is shown
// to everybody who reaches the port: it holds no secrets.
type Check struct {
	Name string
	// Live: only a restart mends a failure; /livez tells of it.
	Live bool
	// Ready: after a failure answers are missing or old; /readyz tells of it.
	Ready bool
	// Every is the least time between two looks, 0 = a second: callers in
	// between get the last answer.
	Every time.Duration
	// Ask looks: what it saw, in a few words, or what is wrong.
	Ask func(ctx context.Context) (string, error)
}

// checkTimeout bounds one look of a check.
const checkTimeout = 5 * time.Second

// Condition is what a check saw last.
type Condition struct {
	Name string
	// Note is what is well, Err what is not.
	Note string
	Err  error
	// Since is when it became so; Resolved when it was last mended, if ever.
	Since, Resolved time.Time
}

// watched is a check with its memory.
type watched struct {
	Check
	mu    sync.Mutex
	asked time.Time
	last  Condition
}

// Health looks at checks and remembers since when they fail.
type Health struct {
	clk    clock.Clock
	checks []*watched
}

// NewHealth makes a health of checks, shown in their order.
func NewHealth(clk clock.Clock, checks ...Check) *Health {
	h := &Health{clk: clk}
	for _, c := range checks {
		if c.Every <= 0 {
			c.Every = time.Second
		}
		h.checks = append(h.checks, &watched{Check: c})
	}
	return h
}

// Conditions looks at every check that want selects; nil selects all.
func (h *Health) Conditions(ctx context.Context, want func(Check) bool) []Condition {
	var out []Condition
	for _, c := range h.checks {
		if want == nil || want(c.Check) {
			out = append(out, c.look(ctx, h.clk))
		}
	}
	return out
}

func (c *watched) look(ctx context.Context, clk clock.Clock) Condition {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := clk.Now()
	if !c.asked.IsZero() && now.Sub(c.asked) < c.Every {
		return c.last
	}
	// The answer is for all who ask: one hanging up must not make it a failure.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), checkTimeout)
	defer cancel()
	note, err := safely(ctx, c.Ask)
	next := Condition{Name: c.Name, Note: note, Err: err, Since: c.last.Since, Resolved: c.last.Resolved}
	if c.asked.IsZero() || (err == nil) != (c.last.Err == nil) {
		next.Since = now
		if err == nil && !c.asked.IsZero() {
			next.Resolved = now
		}
	}
	c.asked, c.last = now, next
	return next
}

// safely turns a panic of a check into its failure.
func safely(ctx context.Context, ask func(context.Context) (string, error)) (note string, err error) {
	defer func() {
		if r := recover(); r != nil {
			log.Errorf("a health check panicked: %v\n%s", r, debug.Stack())
			err = api.Errorf(api.CodeInternal, "the check failed inside")
		}
	}()
	return ask(ctx)
}

// handler serves the selected checks: status 200 and "ok", or 503 and what is
// wrong. With ?verbose every check has a line, [+] well or [!] not.
func (h *Health) handler(want func(Check) bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, verbose := r.URL.Query()["verbose"]
		well := true
		var b strings.Builder
		for _, c := range h.Conditions(r.Context(), want) {
			since := c.Since.UTC().Format(time.RFC3339)
			switch {
			case c.Err != nil:
				well = false
				fmt.Fprintf(&b, "[!] %s: %v (since %s)\n", c.Name, c.Err, since)
			case verbose:
				fmt.Fprintf(&b, "[+] %s: %s (since %s)\n", c.Name, c.Note, since)
			}
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		verdict := "ok\n"
		if !well {
			w.WriteHeader(http.StatusServiceUnavailable)
			verdict = "not well\n"
		}
		// Whoever asked may be gone.
		_, _ = w.Write([]byte(verdict + b.String()))
	}
}

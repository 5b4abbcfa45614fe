package render

import (
	"fmt"
	"sync"
	"time"
)

// Progress shows the phases of a long command on stderr: redrawn on a terminal,
// one line per phase elsewhere.
type Progress struct {
	p     *Printer
	total int

	mu     sync.Mutex
	index  int
	text   string
	detail string
	began  time.Time
	said   time.Time
}

// repeatEvery is how often a phase that lasts is mentioned where nothing can be
// redrawn.
const repeatEvery = 10 * time.Second

// Progress starts a display of total phases.
func (p *Printer) Progress(total int) *Progress { return &Progress{p: p, total: total} }

// Start ends the current phase, if any, and begins the next one.
func (g *Progress) Start(format string, args ...any) {
	g.Done()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.index++
	g.text, g.detail = fmt.Sprintf(format, args...), ""
	g.began = g.p.clk.Now()
	g.said = g.began
	if g.p.live {
		fmt.Fprintf(g.p.err, "%s", g.head())
		return
	}
	fmt.Fprintf(g.p.err, "%s\n", g.head())
}

func (g *Progress) head() string { return fmt.Sprintf("[%d/%d] %s", g.index, g.total, g.text) }

// Update tells how the current phase gets on. Off a terminal it is said when it
// changed and ten seconds passed.
func (g *Progress) Update(format string, args ...any) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.text == "" {
		return
	}
	detail := fmt.Sprintf(format, args...)
	if g.p.live {
		g.detail = detail
		fmt.Fprintf(g.p.err, "\r\x1b[K%s (%s)", g.head(), detail)
		return
	}
	now := g.p.clk.Now()
	if detail != g.detail && now.Sub(g.said) >= repeatEvery {
		g.detail, g.said = detail, now
		fmt.Fprintf(g.p.err, "%s (%s)\n", g.head(), detail)
	}
}

// Done ends the current phase well and tells how long it took.
func (g *Progress) Done() { g.end("✔ " + Took(g.p.clk.Now().Sub(g.began))) }

// Fail ends the current phase badly; the error itself is the command's to return.
func (g *Progress) Fail() { g.end("✘ after " + Took(g.p.clk.Now().Sub(g.began))) }

func (g *Progress) end(how string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.text == "" {
		return
	}
	if g.p.live {
		fmt.Fprintf(g.p.err, "\r\x1b[K%s %s\n", g.head(), how)
	} else {
		fmt.Fprintf(g.p.err, "%s %s\n", g.head(), how)
	}
	g.text = ""
}

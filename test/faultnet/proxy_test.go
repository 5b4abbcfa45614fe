//go:build linux

package faultnet

import (
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// line is the state of one direction between two nodes.
type line struct {
	// cut resets what there is and refuses what comes.
	cut bool
	// hold swallows: bytes wait, nobody is told.
	hold bool
	// delay and jitter are added to every chunk; order is kept.
	delay, jitter time.Duration
	// loss is the part of chunks that come late by the time that a lost packet takes to be sent again.
	loss float64
	// rate bounds bytes a second; 0 does not.
	rate int
}

const (
	// resent is what a lost packet costs.
	resent = 300 * time.Millisecond
	chunk  = 16 << 10
	// underway bounds the chunks on a line: beyond it the sender feels that nobody reads.
	underway = 64
)

// proxy stands before the swarm port of every node. It knows who dials by asking the kernel whose the other end is.
type proxy struct {
	who func(local, remote *net.TCPAddr) (int, error)

	mu    sync.Mutex
	lines map[[2]int]line
	// changed is closed and replaced whenever a line changes.
	changed chan struct{}
	conns   map[*pair]struct{}
	closed  bool
	stats   struct{ accepted, refused, unknown, reset int }
	running sync.WaitGroup
}

// pair is one proxied connection.
type pair struct {
	from, to int
	near     net.Conn // the dialler's
	far      net.Conn // the target's
	once     sync.Once
	gone     chan struct{} // closed when it was reset
}

func newProxy(who func(local, remote *net.TCPAddr) (int, error)) *proxy {
	return &proxy{who: who, lines: map[[2]int]line{}, changed: make(chan struct{}), conns: map[*pair]struct{}{}}
}

// serve takes connections for a node that listens at target.
func (p *proxy) serve(node int, l net.Listener, target string) {
	p.running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.running.Go(func() { p.take(node, c.(*net.TCPConn), target) })
		}
	})
}

func (p *proxy) take(node int, c *net.TCPConn, target string) {
	from, err := p.who(c.RemoteAddr().(*net.TCPAddr), c.LocalAddr().(*net.TCPAddr))
	p.mu.Lock()
	p.stats.accepted++
	refuse := p.lines[[2]int{from, node}].cut || p.lines[[2]int{node, from}].cut
	if err != nil {
		p.stats.unknown++
	}
	if refuse {
		p.stats.refused++
	}
	p.mu.Unlock()
	if err != nil || refuse {
		reset(c)
		return
	}
	far, err := net.Dial("tcp", target)
	if err != nil { // the target is not there: so the dialler shall see it
		reset(c)
		return
	}
	x := &pair{from: from, to: node, near: c, far: far, gone: make(chan struct{})}
	p.mu.Lock()
	if p.closed || p.lines[[2]int{from, node}].cut || p.lines[[2]int{node, from}].cut {
		p.mu.Unlock()
		x.reset()
		return
	}
	p.conns[x] = struct{}{}
	p.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { p.copy(x, x.near, x.far, [2]int{from, node}) })
	both.Go(func() { p.copy(x, x.far, x.near, [2]int{node, from}) })
	both.Wait()
	x.once.Do(func() { _ = x.near.Close(); _ = x.far.Close() }) // both said all they had
	p.mu.Lock()
	delete(p.conns, x)
	p.mu.Unlock()
}

func reset(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	_ = c.Close()
}

func (x *pair) reset() {
	x.once.Do(func() { close(x.gone); reset(x.near); reset(x.far) })
}

// parcel is a chunk on its way.
type parcel struct {
	data []byte
	due  time.Time
}

// copy carries one direction of a connection.
func (p *proxy) copy(x *pair, src, dst net.Conn, dir [2]int) {
	road := make(chan parcel, underway)
	gone := make(chan struct{})
	go func() {
		defer close(road)
		var last time.Time
		for {
			buf := make([]byte, chunk)
			n, err := src.Read(buf)
			if n > 0 {
				due := time.Now().Add(p.late(dir, n))
				if due.Before(last) {
					due = last
				}
				last = due
				select {
				case road <- parcel{buf[:n], due}:
				case <-gone:
					return
				}
			}
			if err != nil {
				if !errors.Is(err, io.EOF) {
					x.reset()
				}
				return
			}
		}
	}()
	defer close(gone)
	for b := range road {
		if !p.passable(x, dir, b.due) {
			return
		}
		if _, err := dst.Write(b.data); err != nil {
			x.reset()
			return
		}
	}
	if p.passable(x, dir, time.Time{}) {
		if t, ok := dst.(*net.TCPConn); ok {
			_ = t.CloseWrite()
		}
	}
}

// late is how long a chunk takes.
func (p *proxy) late(dir [2]int, n int) time.Duration {
	p.mu.Lock()
	l := p.lines[dir]
	p.mu.Unlock()
	d := l.delay
	if l.jitter > 0 {
		d += time.Duration(rand.Int64N(int64(l.jitter)))
	}
	if rand.Float64() < l.loss {
		d += resent
	}
	if l.rate > 0 {
		d += time.Duration(n) * time.Second / time.Duration(l.rate)
	}
	return d
}

// passable waits until something is due, and while a direction holds everything back; false once the connection is gone.
func (p *proxy) passable(x *pair, dir [2]int, due time.Time) bool {
	for {
		p.mu.Lock()
		l, changed := p.lines[dir], p.changed
		_, alive := p.conns[x]
		closed := p.closed
		p.mu.Unlock()
		if !alive || closed || l.cut {
			return false
		}
		var arrived <-chan time.Time
		if !l.hold {
			wait := time.Until(due)
			if wait <= 0 {
				return true
			}
			arrived = time.After(wait)
		}
		select {
		case <-arrived:
		case <-changed:
		case <-x.gone:
		}
	}
}

// set changes lines; connections over a cut one are reset.
func (p *proxy) set(change func(from, to int, l *line), nodes int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for a := range nodes {
		for b := range nodes {
			if a != b {
				l := p.lines[[2]int{a, b}]
				change(a, b, &l)
				p.lines[[2]int{a, b}] = l
			}
		}
	}
	for x := range p.conns {
		if p.lines[[2]int{x.from, x.to}].cut || p.lines[[2]int{x.to, x.from}].cut {
			p.drop(x)
		}
	}
	close(p.changed)
	p.changed = make(chan struct{})
}

// resetSome resets each connection with a probability.
func (p *proxy) resetSome(probability float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for x := range p.conns {
		if rand.Float64() < probability {
			p.drop(x)
		}
	}
}

func (p *proxy) drop(x *pair) {
	p.stats.reset++
	delete(p.conns, x)
	x.reset()
}

// close ends everything. The listeners are the caller's, and closed before.
func (p *proxy) close() {
	p.mu.Lock()
	p.closed = true
	for x := range p.conns {
		p.drop(x)
	}
	close(p.changed)
	p.changed = make(chan struct{})
	p.mu.Unlock()
	p.running.Wait()
}

// TestProxy is the network of the other tests on trial.
func TestProxy(t *testing.T) {
	echo, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer echo.Close()
	go func() {
		for {
			c, err := echo.Accept()
			if err != nil {
				return
			}
			go func() { defer c.Close(); _, _ = io.Copy(c, c) }()
		}
	}()
	var dialler atomic.Int64
	p := newProxy(func(_, _ *net.TCPAddr) (int, error) {
		if dialler.Load() < 0 {
			return 0, errors.New("a stranger")
		}
		return int(dialler.Load()), nil
	})
	front, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p.serve(1, front, echo.Addr().String())
	t.Cleanup(p.close)
	t.Cleanup(func() { _ = front.Close() })
	dial := func() net.Conn {
		c, err := net.Dial("tcp", front.Addr().String())
		require.NoError(t, err)
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	say := func(c net.Conn, patience time.Duration) (time.Duration, error) {
		began := time.Now()
		if _, err := c.Write([]byte("ping")); err != nil {
			return 0, err
		}
		require.NoError(t, c.SetReadDeadline(began.Add(patience)))
		_, err := io.ReadFull(c, make([]byte, 4))
		return time.Since(began), err
	}
	c := dial()
	_, err = say(c, 5*time.Second)
	require.NoError(t, err)
	p.set(func(from, _ int, l *line) { l.hold = from == 1 }, 2)
	_, err = say(c, 200*time.Millisecond)
	var slow net.Error
	require.ErrorAs(t, err, &slow)
	require.True(t, slow.Timeout(), "the answer is held back, nobody is told")
	p.set(func(_, _ int, l *line) { *l = line{delay: 100 * time.Millisecond} }, 2)
	require.NoError(t, c.SetReadDeadline(time.Now().Add(5*time.Second)))
	_, err = io.ReadFull(c, make([]byte, 4))
	require.NoError(t, err, "what was held back arrives")
	took, err := say(c, 5*time.Second)
	require.NoError(t, err)
	require.GreaterOrEqual(t, took, 200*time.Millisecond)
	p.set(func(from, _ int, l *line) { *l = line{cut: from == 0} }, 2)
	_, err = say(c, 5*time.Second)
	require.Error(t, err)
	// tried is a new connection that may be reset before it is used.
	tried := func() error {
		c, err := net.Dial("tcp", front.Addr().String())
		if err != nil {
			return err
		}
		defer c.Close()
		_, err = say(c, 5*time.Second)
		return err
	}
	require.Error(t, tried(), "a cut line takes no new connection")
	dialler.Store(3)
	require.NoError(t, tried(), "others are not concerned")
	dialler.Store(-1)
	require.Error(t, tried(), "strangers are not let in")
	dialler.Store(0)
	p.set(func(_, _ int, l *line) { *l = line{delay: time.Hour} }, 2)
	c = dial()
	_, err = c.Write([]byte("ping"))
	require.NoError(t, err)
	p.set(func(_, _ int, l *line) { *l = line{cut: true} }, 2)
	require.NoError(t, c.SetReadDeadline(time.Now().Add(5*time.Second)))
	_, err = c.Read(make([]byte, 1))
	require.ErrorIs(t, err, syscall.ECONNRESET, "a cut is felt at once, whatever is under way")
	p.set(func(_, _ int, l *line) { *l = line{} }, 2)
	c = dial()
	_, err = say(c, 5*time.Second)
	require.NoError(t, err)
	p.resetSome(1)
	_, err = say(c, 5*time.Second)
	require.Error(t, err)
}

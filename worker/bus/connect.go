package bus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	"github.com/nats-io/nats.go"

	"github.com/filecoin-venus/venus/rpc"
	"github.com/filecoin-venus/venus/worker"
)

// Options makes the options of every connection of this protocol: it reconnects
// for ever, also when credentials are refused, since they may be put right on the
// other side; what is asked meanwhile fails at once instead of piling up.
func Options(name string) []nats.Option {
	return []nats.Option{
		nats.Name(name), nats.MaxReconnects(-1), nats.ReconnectWait(worker.RetryPause), nats.ReconnectBufSize(-1),
		nats.PingInterval(10 * time.Second), nats.MaxPingsOutstanding(2), nats.Timeout(5 * time.Second), nats.RetryOnFailedConnect(true),
		nats.IgnoreAuthErrorAbort(),
	}
}

// ConnectCluster connects to a cluster, or goes on trying in the background:
// then Trouble tells why.
func ConnectCluster(l Login, opts ...nats.Option) (*nats.Conn, error) {
	opens, err := l.options()
	if err != nil {
		return nil, err
	}
	conn, err := nats.Connect(strings.Join(l.URLs, ","), append(opens, opts...)...)
	if err != nil {
		return nil, fmt.Errorf("connect to NATS at %s: %w", strings.Join(l.URLs, ", "), err)
	}
	return conn, nil
}

// Connect connects a worker to the NATS that its sealer told of: the sealer's own
// server, through the address and under the token by which the worker joined, or
// a cluster, where own replaces what the sealer told. A cluster that refuses the
// worker is an error; one that is away is tried in the background.
func Connect(w worker.Welcome, endpoint, token, name string, own Login) (*nats.Conn, error) {
	opts := append(Options(name),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				log.Warnf("the connection to NATS broke, it is made again: %v", err)
			}
		}),
		nats.ReconnectHandler(func(*nats.Conn) { log.Info("the connection to NATS is there again") }))
	if len(w.URLs) > 0 {
		l := own.Over(w)
		first, err := ConnectCluster(l, append(opts, nats.RetryOnFailedConnect(false))...)
		if err == nil {
			return first, nil
		}
		if err = explain(err); Refused(err) {
			return nil, err
		}
		log.Warnf("NATS is away, it is tried every second: %v", err)
		return ConnectCluster(l, opts...)
	}
	target, err := rpc.ParseEndpoint(endpoint, worker.BusPath)
	if err != nil {
		return nil, err
	}
	conn, err := nats.Connect("", append(opts, nats.InProcessServer(tunnel{"ws" + strings.TrimPrefix(target, "http"), rpc.CleanToken(token)}))...)
	if err != nil {
		return nil, fmt.Errorf("connect to the sealer's NATS: %w", err)
	}
	return conn, nil
}

// tunnel opens connections to a NATS server behind a WebSocket.
type tunnel struct{ url, token string }

// InProcessConn implements nats.InProcessConnProvider: the door by which the NATS
// client takes connections that it does not dial itself.
func (t tunnel) InProcessConn() (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	d := websocket.Dialer{Proxy: http.ProxyFromEnvironment, HandshakeTimeout: callTimeout}
	ws, res, err := d.DialContext(ctx, t.url, http.Header{"Authorization": {"Bearer " + t.token}})
	if err != nil {
		if res != nil {
			err = fmt.Errorf("%w (%s)", err, res.Status)
		}
		return nil, fmt.Errorf("open a connection to the sealer: %w", err)
	}
	return Stream(ws), nil
}

// Stream makes a byte stream of a WebSocket's binary messages.
func Stream(ws *websocket.Conn) net.Conn { return &stream{Conn: ws} }

type stream struct {
	*websocket.Conn
	reader io.Reader // of the message being read
	mu     sync.Mutex
}

// Read implements net.Conn.
func (s *stream) Read(b []byte) (int, error) {
	for {
		if s.reader == nil {
			_, r, err := s.NextReader()
			if err != nil {
				return 0, fmt.Errorf("read from WebSocket: %w", err)
			}
			s.reader = r
		}
		n, err := s.reader.Read(b)
		if errors.Is(err, io.EOF) {
			s.reader, err = nil, nil
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

// Write implements net.Conn.
func (s *stream) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.WriteMessage(websocket.BinaryMessage, b); err != nil {
		return 0, fmt.Errorf("write to WebSocket: %w", err)
	}
	return len(b), nil
}

// SetDeadline implements net.Conn.
func (s *stream) SetDeadline(t time.Time) error {
	return errors.Join(s.SetReadDeadline(t), s.SetWriteDeadline(t))
}

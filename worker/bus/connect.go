package bus

import (
	"context"
	"crypto/tls"
	"crypto/x509"
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

// Login is how to reach and open a NATS cluster.
type Login struct {
	URLs []string
	// Token, or Credentials, the content of a .creds file.
	Token, Credentials string
	// CA are certificate authorities in PEM; "" are the system's.
	CA string
	// Cert and Key are files of a client certificate, for clusters that want one.
	Cert, Key string
}

// Options makes the options of every connection of this protocol: it reconnects
// for ever, and what is asked meanwhile fails at once instead of piling up.
func Options(name string) []nats.Option {
	return []nats.Option{
		nats.Name(name), nats.MaxReconnects(-1), nats.ReconnectWait(worker.RetryPause), nats.ReconnectBufSize(-1),
		nats.PingInterval(10 * time.Second), nats.MaxPingsOutstanding(2), nats.Timeout(5 * time.Second), nats.RetryOnFailedConnect(true),
	}
}

// ConnectCluster connects to a cluster, or goes on trying in the background.
func ConnectCluster(l Login, opts ...nats.Option) (*nats.Conn, error) {
	switch {
	case l.Credentials != "":
		opts = append(opts, nats.UserCredentialBytes([]byte(l.Credentials)))
	case l.Token != "":
		opts = append(opts, nats.Token(l.Token))
	}
	if l.CA != "" {
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM([]byte(l.CA)) {
			return nil, errors.New("the certificate authorities of the NATS cluster are not in PEM form")
		}
		opts = append(opts, nats.Secure(&tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}))
	}
	if l.Cert != "" {
		opts = append(opts, nats.ClientCert(l.Cert, l.Key))
	}
	conn, err := nats.Connect(strings.Join(l.URLs, ","), opts...)
	if err != nil {
		return nil, fmt.Errorf("connect to NATS at %s: %w", strings.Join(l.URLs, ", "), err)
	}
	return conn, nil
}

// Connect connects a worker to the NATS that its sealer told of: a cluster, or
// the sealer's own server, through the address and under the token by which the
// worker joined. cert and key are for clusters that want a client certificate.
func Connect(w worker.Welcome, endpoint, token, name, cert, key string) (*nats.Conn, error) {
	opts := append(Options(name),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				log.Warnf("the connection to NATS broke, it is made again: %v", err)
			}
		}),
		nats.ReconnectHandler(func(*nats.Conn) { log.Info("the connection to NATS is there again") }))
	if len(w.URLs) > 0 {
		return ConnectCluster(Login{URLs: w.URLs, Token: w.Token, Credentials: w.Credentials, CA: w.CA, Cert: cert, Key: key}, opts...)
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

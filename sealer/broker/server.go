package broker

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"time"

	"github.com/gorilla/websocket"
	logging "github.com/ipfs/go-log/v2"
	"github.com/nats-io/nats-server/v2/server"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/rpc"
	"github.com/filecoin-venus/venus/worker/bus"
)

var log = logging.Logger("sealer/broker")

// Embedded is a NATS server inside this process. It listens on no port: workers
// reach it through the sealer's own address.
type Embedded struct{ server *server.Server }

// startTimeout is how long the server may take to read its streams.
const startTimeout = 30 * time.Second

// StartEmbedded starts a server with its streams in dir, each write synced. A
// folder that cannot be used is put aside: nothing in it is the only copy.
func StartEmbedded(dir string, clk clock.Clock) (*Embedded, error) {
	s, err := startServer(dir)
	if err == nil {
		return &Embedded{s}, nil
	}
	aside := fmt.Sprintf("%s.broken-%d", dir, clk.Now().Unix())
	log.Errorf("the task streams in %s cannot be used (%v): they are put aside as %s and made anew", dir, err, aside)
	if err := os.Rename(dir, aside); err != nil {
		return nil, fmt.Errorf("put the task streams aside: %w", err)
	}
	if s, err = startServer(dir); err != nil {
		return nil, err
	}
	return &Embedded{s}, nil
}

func startServer(dir string) (*server.Server, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of the task streams: %w", err)
	}
	s, err := server.NewServer(&server.Options{
		ServerName: "venus-sealer", DontListen: true, JetStream: true, StoreDir: dir, SyncAlways: true, NoSigs: true,
	})
	if err != nil {
		return nil, fmt.Errorf("prepare the NATS server: %w", err)
	}
	s.SetLoggerV2(natsLog{}, false, false, false)
	s.Start()
	if !s.ReadyForConnections(startTimeout) || !s.JetStreamEnabled() {
		s.Shutdown()
		s.WaitForShutdown()
		return nil, errors.New("the NATS server does not come up")
	}
	return s, nil
}

// InProcessConn opens a connection inside the process.
func (e *Embedded) InProcessConn() (net.Conn, error) { return e.server.InProcessConn() }

// Close ends the server and all its connections.
func (e *Embedded) Close() error {
	e.server.Shutdown()
	e.server.WaitForShutdown()
	return nil
}

// Handler lets workers in through a WebSocket under an admin token.
func (e *Embedded) Handler(srv *rpc.Server) http.Handler {
	up := websocket.Upgrader{HandshakeTimeout: startTimeout}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller, ok := srv.Authenticate(w, r)
		if !ok {
			return
		}
		if !slices.Contains(caller.Perms, api.PermAdmin) {
			http.Error(w, "workers need the sealer's admin token", http.StatusForbidden)
			return
		}
		ws, err := up.Upgrade(w, r, nil)
		if err != nil {
			log.Debugf("a worker's connection was not opened: %v", err)
			return
		}
		outside := bus.Stream(ws)
		defer outside.Close()
		inside, err := e.InProcessConn()
		if err != nil {
			log.Warnf("a worker cannot be let in: %v", err)
			return
		}
		defer inside.Close()
		go func() { // ends when either side closes
			_, _ = io.Copy(outside, inside)
			_ = outside.Close()
		}()
		_, _ = io.Copy(inside, outside)
	})
}

// natsLog writes what the server has to say; its notices are of no use to anybody.
type natsLog struct{}

func (natsLog) Noticef(f string, v ...any) { log.Debugf(f, v...) }
func (natsLog) Warnf(f string, v ...any)   { log.Warnf(f, v...) }
func (natsLog) Errorf(f string, v ...any)  { log.Errorf(f, v...) }
func (natsLog) Fatalf(f string, v ...any)  { log.Errorf(f, v...) }
func (natsLog) Debugf(f string, v ...any)  { log.Debugf(f, v...) }
func (natsLog) Tracef(f string, v ...any)  { log.Debugf(f, v...) }

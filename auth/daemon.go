package auth

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	logging "github.com/ipfs/go-log/v2"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/auth/token"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/repo"
	"github.com/filecoin-venus/venus/rpc"
)

// stopTimeout is how long running requests may take at the end.
const stopTimeout = 5 * time.Second

// Options are the settings of a daemon.
type Options struct {
	Repo   string // the daemon's directory
	Config string // the configuration file, "" = config.toml in the directory
	Listen string // overrides the configuration, "" = not
	Clock  clock.Clock
	// OpenStore opens the database that the configuration names; dir is where an embedded one lies.
	OpenStore func(ctx context.Context, dir string, c DBConfig) (Store, error)
	// Ready is called once the daemon answers; it may be nil.
	Ready func(Started)
}

// Started tells the operator where things are.
type Started struct {
	Repo, Config, API, TokenFile string
	Warnings                     []string
}

// Run serves until ctx ends. Everything it opens it closes again.
func Run(ctx context.Context, o Options) (err error) {
	r, err := repo.Open(o.Repo)
	if err != nil {
		if errors.Is(err, repo.ErrLocked) {
			return api.Errorf(api.CodePrecondition, "%w", err).WithHint("is venus-auth running already?")
		}
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	path := o.Config
	if path == "" {
		path = r.Path("config.toml")
	}
	cfg, unknown, err := LoadConfig(path)
	if err != nil {
		return err
	}
	if o.Listen != "" {
		cfg.Listen = o.Listen
	}
	if err := setLogLevel(cfg.Log.LogLevel); err != nil {
		return err
	}
	l, err := listen(cfg.Listen)
	if err != nil {
		return err
	}
	defer l.Close() // closed by the server in good order; this is for early returns
	store, err := o.OpenStore(ctx, r.Path("data"), cfg.DB)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	svc, err := newLocalService(ctx, r, store, o.Clock)
	if err != nil {
		return err
	}
	watch, stop, err := newWatch(cfg, o.Clock)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	running, cancel := context.WithCancel(ctx)
	defer cancel()
	pruned := make(chan struct{})
	go func() {
		defer close(pruned)
		svc.pruneAudit(running, time.Duration(cfg.Audit.Keep))
	}()
	defer func() { cancel(); <-pruned }()
	maddr := rpc.Multiaddr(l.Addr())
	if err := r.SetAPI(maddr); err != nil {
		return fmt.Errorf("note the address: %w", err)
	}
	st := Started{Repo: r.Root(), Config: path, API: maddr, TokenFile: r.Path("token")}
	for _, k := range unknown {
		st.Warnings = append(st.Warnings, fmt.Sprintf("%s: %s is not used", path, k))
	}
	srv := NewServer(svc, rpc.Options{Service: "venus-auth", Clock: o.Clock, Health: svc.health(), Meter: watch.Meters}, watch)
	srv.Handle("/metrics", watch.Handler())
	return serve(ctx, srv, l, func() {
		if o.Ready != nil {
			o.Ready(st)
		}
	})
}

// newLocalService makes the service and puts the admin token of the local
// command line in place.
func newLocalService(ctx context.Context, r *repo.Repo, store Store, clk clock.Clock) (*Service, error) {
	secret, err := r.Secret()
	if err != nil {
		return nil, fmt.Errorf("read the signing secret: %w", err)
	}
	signer, err := token.NewSigner(secret)
	if err != nil {
		return nil, err
	}
	svc := NewService(store, signer, clk)
	have := ""
	if b, err := os.ReadFile(r.Path("token")); err == nil {
		have = strings.TrimSpace(string(b))
	}
	t, fresh, err := svc.EnsureAdmin(ctx, have)
	if err != nil {
		return nil, err
	}
	if fresh {
		if err := r.SetToken(t); err != nil {
			return nil, fmt.Errorf("write the local admin token: %w", err)
		}
	}
	return svc, nil
}

func serve(ctx context.Context, srv *rpc.Server, l net.Listener, ready func()) error {
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	ready()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	return errors.Join(srv.Shutdown(stop), <-done)
}

func listen(addr string) (net.Listener, error) {
	hostport, err := rpc.ListenAddress(addr)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", hostport)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, api.Errorf(api.CodePrecondition, "cannot listen on %s: another program does", hostport).
			WithHint("stop it, or choose another address with --listen or Listen in config.toml")
	case err != nil:
		return nil, api.Errorf(api.CodePrecondition, "cannot listen on %s: %w", hostport, err).
			WithHint("choose another address with --listen or Listen in config.toml")
	}
	return l, nil
}

// setLogLevel accepts the original's level trace as debug.
func setLogLevel(level string) error {
	switch level {
	case "":
		return nil
	case "trace":
		level = "debug"
	}
	lvl, err := logging.Parse(level)
	if err != nil {
		return api.Errorf(api.CodeInvalid, "[log] logLevel %q is no level", level).WithHint("use debug, info, warn or error")
	}
	cfg := logging.GetConfig()
	cfg.Level = lvl
	logging.SetupLogging(cfg)
	return nil
}

package messager

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/filecoin-venus/venus/api"
	authapi "github.com/filecoin-venus/venus/api/auth"
	msgapi "github.com/filecoin-venus/venus/api/messager"
	nodeapi "github.com/filecoin-venus/venus/api/node"
	walletapi "github.com/filecoin-venus/venus/api/wallet"
	"github.com/filecoin-venus/venus/auth/localtoken"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/internal/fsutil"
	"github.com/filecoin-venus/venus/messager/store"
	"github.com/filecoin-venus/venus/repo"
	"github.com/filecoin-venus/venus/rpc"
)

// stopTimeout is how long a running request may hold up the end.
const stopTimeout = 10 * time.Second

// nodePath is the API version the messager speaks with nodes.
const nodePath = "/rpc/v1"

// DaemonOptions are what the command line may say.
type DaemonOptions struct {
	Repo    string // directory; "" = DefaultRepo
	Config  Config // given values win over the file
	Version string
	Clock   clock.Clock
}

// Daemon is a messager that listens. Close ends it.
type Daemon struct {
	Service *Service
	API     *API
	// Address is the multiaddr it listens on.
	Address string

	repo    *repo.Repo
	db      *store.DB
	server  *rpc.Server
	closers []func()
	cancel  context.CancelFunc
	ran     chan error
	failed  chan error
}

// Start opens directory and database and listens. It returns once calls are
// answered; the node, the wallets and venus-auth may come up later.
func Start(ctx context.Context, o DaemonOptions) (*Daemon, error) {
	if o.Repo == "" {
		o.Repo = DefaultRepo
	}
	dir, err := repo.Open(o.Repo)
	if errors.Is(err, repo.ErrLocked) {
		return nil, api.Errorf(api.CodePrecondition, "%w", err).WithHint("stop the other venus-messager, or choose another --repo")
	}
	if err != nil {
		return nil, err
	}
	d := &Daemon{repo: dir, ran: make(chan error, 1), failed: make(chan error, 1)}
	if err := d.start(ctx, o); err != nil {
		_ = d.Close() // the reason why it did not start matters more
		return nil, err
	}
	return d, nil
}

func (d *Daemon) start(ctx context.Context, o DaemonOptions) error {
	cfg, err := loadConfig(d.repo, o.Config)
	if err != nil {
		return err
	}
	tokens, err := localtoken.Open(d.repo)
	if err != nil {
		return err
	}
	verify, err := d.verifier(cfg.Auth.URL, tokens, o.Clock)
	if err != nil {
		return err
	}
	if d.db, err = store.Open(ctx, store.Config{Type: cfg.DB.Type, Path: d.repo.Path(databaseName), DSN: cfg.DB.DSN}); err != nil {
		return err
	}
	holder, err := instance(d.repo)
	if err != nil {
		return err
	}
	node, closer, err := dialNode(cfg.Node.URL, cfg.Node.Token)
	if err != nil {
		return err
	}
	d.closers = append(d.closers, closer)
	if err := learnNetwork(ctx, d.repo, node); err != nil {
		return err
	}
	d.Service, err = New(ctx, Options{
		DB: d.db, Node: node, Clock: o.Clock, NodeName: cfg.Node.URL, Holder: holder, DialWallet: dialWallet,
		DialNode: func(url, token string) (Publisher, func(), error) { return dialNode(url, token) },
	})
	if err != nil {
		return err
	}
	d.API = NewAPI(d.Service, tokens, o.Version)
	if err := d.listen(cfg, verify, o.Clock); err != nil {
		return err
	}
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	d.cancel = cancel
	go func() { d.ran <- d.Service.Run(run) }()
	log.Infof("venus-messager listens on %s, node %s, database %s, directory %s; admin token in %s",
		d.Address, cfg.Node.URL, cfg.DB.Type, d.repo.Root(), d.repo.Path("token"))
	return nil
}

// verifier accepts the messager's own tokens and those that venus-auth knows.
func (d *Daemon) verifier(authURL string, tokens *localtoken.Issuer, clk clock.Clock) (rpc.Verifier, error) {
	if authURL == "" {
		log.Warn("no --auth-url: only tokens of this messager itself are valid")
		return tokens.Verifier, nil
	}
	auth, err := authapi.New(authURL, "")
	if err != nil {
		return nil, err
	}
	d.closers = append(d.closers, auth.Close)
	remote := func(ctx context.Context, token string) (rpc.Caller, error) {
		id, err := auth.Verify(ctx, token)
		if err != nil {
			return rpc.Caller{}, err
		}
		return rpc.Caller{Name: id.Name, Perms: api.Permission(id.Perm).Expand()}, nil
	}
	return rpc.FirstOf(tokens.Verifier, rpc.Cached(remote, clk)), nil
}

// instance is this messager's name in the lease on nonces: the same after every
// restart, so that it need not wait for its own lease to run out.
func instance(r *repo.Repo) (string, error) {
	path := r.Path(holderName)
	raw, err := os.ReadFile(path)
	if err == nil && len(strings.TrimSpace(string(raw))) > 0 {
		return strings.TrimSpace(string(raw)), nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read instance name: %w", err)
	}
	name := uuid.NewString()
	return name, fsutil.WriteFileAtomic(path, []byte(name+"\n"), 0o600)
}

func dialNode(url, token string) (*nodeapi.FullNodeProxy, func(), error) {
	p := new(nodeapi.FullNodeProxy)
	closer, err := rpc.Dial(url, token, nodeapi.Namespace, p, rpc.DialOptions{Service: "venus", Path: nodePath})
	return p, closer, err
}

func dialWallet(url, token string) (Signer, func(), error) {
	p := new(walletapi.WalletProxy)
	closer, err := rpc.Dial(url, token, walletapi.Namespace, p, rpc.DialOptions{Service: "venus-wallet"})
	return p, closer, err
}

func (d *Daemon) listen(cfg Config, verify rpc.Verifier, clk clock.Clock) error {
	hostport, err := rpc.ListenAddress(cfg.API.ListenAddress)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", hostport)
	if err != nil {
		return api.Errorf(api.CodePrecondition, "listen on %s: %w", cfg.API.ListenAddress, err).
			WithHint("stop what uses the port, or choose another with --listen or in %s", d.repo.Path(configName))
	}
	d.server = rpc.NewServer(rpc.Options{Verify: verify, Clock: clk, Health: d.Service.Health})
	if err := d.server.Register(rpc.DefaultPath, d.API, new(msgapi.MessagerProxy), msgapi.Namespace, nodeapi.Namespace); err != nil {
		_ = l.Close()
		return err
	}
	d.Address = rpc.Multiaddr(l.Addr())
	if err := d.repo.SetAPI(d.Address); err != nil {
		_ = l.Close()
		return fmt.Errorf("note the listen address: %w", err)
	}
	go func() { d.failed <- d.server.Serve(l) }()
	return nil
}

// Wait returns when ctx ends, a caller asked for shutdown, or a part failed.
func (d *Daemon) Wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-d.API.Done():
		return nil
	case err := <-d.failed:
		return err
	case err := <-d.ran:
		d.ran <- err
		return err
	}
}

// Close stops serving and delivering and releases the directory.
func (d *Daemon) Close() error {
	var errs []error
	if d.API != nil {
		_ = d.API.Shutdown(context.Background())
	}
	if d.server != nil {
		ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
		defer cancel()
		errs = append(errs, d.server.Shutdown(ctx))
	}
	if d.cancel != nil {
		d.cancel()
		if err := <-d.ran; !errors.Is(err, context.Canceled) {
			errs = append(errs, err)
		}
	}
	for _, c := range d.closers {
		c()
	}
	if d.db != nil {
		errs = append(errs, d.db.Close())
	}
	errs = append(errs, d.repo.Close())
	return errors.Join(errs...)
}

// Run serves until ctx ends or a caller asks for shutdown.
func Run(ctx context.Context, o DaemonOptions) error {
	d, err := Start(ctx, o)
	if err != nil {
		return err
	}
	return errors.Join(d.Wait(ctx), d.Close())
}

package messager

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"

	"github.com/google/uuid"

	"github.com/filecoin-venus/venus/api"
	msgapi "github.com/filecoin-venus/venus/api/messager"
	nodeapi "github.com/filecoin-venus/venus/api/node"
	walletapi "github.com/filecoin-venus/venus/api/wallet"
	"github.com/filecoin-venus/venus/auth/localtoken"
	"github.com/filecoin-venus/venus/auth/remote"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/internal/fsutil"
	"github.com/filecoin-venus/venus/messager/store"
	"github.com/filecoin-venus/venus/repo"
	"github.com/filecoin-venus/venus/rpc"
	"github.com/filecoin-venus/venus/rpc/daemon"
)

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

	repo   *repo.Repo
	opened daemon.Closers
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
	d := &Daemon{repo: dir}
	d.opened.Add(dir.Close)
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
	key, err := databaseKey(d.repo)
	if err != nil {
		return err
	}
	db, err := store.Open(ctx, store.Config{Type: cfg.DB.Type, Path: d.repo.Path(databaseName), DSN: cfg.DB.DSN, Key: key})
	if err != nil {
		return err
	}
	d.opened.Add(db.Close)
	holder, err := instance(d.repo)
	if err != nil {
		return err
	}
	nodes, err := d.dialNodes(ctx, cfg)
	if err != nil {
		return err
	}
	d.Service, err = New(ctx, Options{
		DB: db, Nodes: nodes, Clock: o.Clock, Holder: holder, DialWallet: dialWallet,
		DialNode: func(url, token string) (Publisher, func(), error) { return dialNode(url, token) },
	})
	if err != nil {
		return err
	}
	d.API = NewAPI(d.Service, tokens, o.Version)
	// Delivering begins when callers are answered, and ends after them.
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var delivering sync.WaitGroup
	var ended error
	d.opened.Add(func() error { cancel(); delivering.Wait(); return ended })
	if err := d.listen(cfg, verify, o.Clock); err != nil {
		return err
	}
	delivering.Go(func() {
		if err := d.Service.Run(run); !errors.Is(err, context.Canceled) {
			ended = err
			d.API.Fail(err)
		}
	})
	log.Infof("venus-messager listens on %s, node %s, database %s, directory %s; admin token in %s",
		d.Address, cfg.Node.URL, cfg.DB.Type, d.repo.Root(), d.repo.Path("token"))
	return nil
}

// dialNodes makes clients of all nodes, and learns the network from the first.
func (d *Daemon) dialNodes(ctx context.Context, cfg Config) ([]Endpoint, error) {
	var out []Endpoint
	for i, n := range append([]NodeConfig{{cfg.Node.URL, cfg.Node.Token}}, cfg.Node.Others...) {
		node, closer, err := dialNode(n.URL, n.Token)
		if err != nil {
			return nil, err
		}
		d.opened.Then(closer)
		if i == 0 {
			if err := learnNetwork(ctx, d.repo, node); err != nil {
				return nil, err
			}
		}
		out = append(out, Endpoint{Name: n.URL, Node: node})
	}
	return out, nil
}

// verifier accepts the messager's own tokens and those that venus-auth knows.
func (d *Daemon) verifier(authURL string, tokens *localtoken.Issuer, clk clock.Clock) (rpc.Verifier, error) {
	if authURL == "" {
		log.Warn("no --auth-url: only tokens of this messager itself are valid")
		return tokens.Verifier, nil
	}
	judge, stop, err := remote.Verifier(authURL, clk)
	if err != nil {
		return nil, err
	}
	d.opened.Then(stop)
	return rpc.FirstOf(tokens.Verifier, judge), nil
}

// databaseKey seals the tokens in the database. It is made at the first start, before the database has anything sealed with it.
func databaseKey(r *repo.Repo) (store.Key, error) {
	secret, err := r.Keystore().GetOrMake(keyName, func() ([]byte, error) {
		b := make([]byte, store.KeySize)
		_, err := rand.Read(b)
		return b, err
	})
	if err != nil {
		return store.Key{}, err
	}
	key, err := store.NewKey(secret)
	if err != nil {
		return store.Key{}, fmt.Errorf("secret %s: %w", keyName, err)
	}
	return key, nil
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
	closer, err := rpc.Dial(url, token, walletapi.Namespace, p, rpc.DialOptions{Service: "venus-wallet", Shared: true})
	return p, closer, err
}

func (d *Daemon) listen(cfg Config, verify rpc.Verifier, clk clock.Clock) error {
	srv := rpc.NewServer(rpc.Options{Verify: verify, Clock: clk, Health: rpc.NewHealth(clk, rpc.Check{
		Name: "node", Ready: true, Ask: func(ctx context.Context) (string, error) { return "messages can be delivered", d.Service.Health(ctx) },
	})})
	srv.Handle("/metrics", d.Service.meters.handler())
	if err := srv.Register(rpc.DefaultPath, d.API, new(msgapi.MessagerProxy), msgapi.Namespace, nodeapi.Namespace); err != nil {
		return err
	}
	for _, namespace := range []string{msgapi.Namespace, nodeapi.Namespace} {
		if err := srv.Exclude(rpc.DefaultPath, namespace, msgapi.Excluded()); err != nil {
			return err
		}
	}
	s, err := daemon.Serve(d.repo, d.API.Base, srv, daemon.Listening{
		Address: cfg.API.ListenAddress, Choose: "with --listen or in " + d.repo.Path(configName),
	})
	if err != nil {
		return err
	}
	d.opened.Add(s.Close)
	d.Address = s.Address
	return nil
}

// Wait returns when ctx ends, a caller asked for shutdown, or a part failed.
func (d *Daemon) Wait(ctx context.Context) error { return d.API.Wait(ctx) }

// Close stops serving and delivering and releases the directory.
func (d *Daemon) Close() error { return d.opened.Close() }

// Run serves until ctx ends or a caller asks for shutdown.
func Run(ctx context.Context, o DaemonOptions) error {
	d, err := Start(ctx, o)
	if err != nil {
		return err
	}
	return errors.Join(d.Wait(ctx), d.Close())
}

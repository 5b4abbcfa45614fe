package wallet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/filecoin-venus/venus/api"
	walletapi "github.com/filecoin-venus/venus/api/wallet"
	"github.com/filecoin-venus/venus/auth/localtoken"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/repo"
	"github.com/filecoin-venus/venus/rpc"
	"github.com/filecoin-venus/venus/wallet/keystore"
	"github.com/filecoin-venus/venus/wallet/signlog"
)

// SignLog is where a wallet's directory keeps its signature log.
func SignLog(d repo.Dir) string { return d.Path("signlog") }

// stopTimeout is how long a running request may hold up the end.
const stopTimeout = 10 * time.Second

// Options are what the command line may say.
type Options struct {
	Repo    string // directory; "" = DefaultRepo
	API     string // multiaddr or port to listen on; "" = as configured
	Network string // how addresses are printed; "" = as last time
	// Password unlocks at start when it is set and the wallet has one. It is wiped.
	Password []byte
	Version  string
	Clock    clock.Clock
}

// Daemon is a wallet that listens. Close ends it.
type Daemon struct {
	Service *Service
	// Address is the multiaddr it listens on.
	Address string

	repo    *repo.Repo
	records *signlog.Log
	server  *rpc.Server
	failed  chan error
}

// Start opens the directory and listens. It returns once calls are answered.
func Start(o Options) (*Daemon, error) {
	defer keystore.Wipe(o.Password)
	if o.Repo == "" {
		o.Repo = DefaultRepo
	}
	dir, err := repo.Open(o.Repo)
	if errors.Is(err, repo.ErrLocked) {
		return nil, api.Errorf(api.CodePrecondition, "%w", err)
	}
	if err != nil {
		return nil, err
	}
	d := &Daemon{repo: dir, failed: make(chan error, 1)}
	if err := d.start(o); err != nil {
		_ = d.Close() // the reason why it did not start matters more
		return nil, err
	}
	return d, nil
}

func (d *Daemon) start(o Options) error {
	cfg, err := loadConfig(d.repo)
	if err != nil {
		return err
	}
	network, err := chooseNetwork(d.repo, o.Network)
	if err != nil {
		return err
	}
	if err := printAs(network); err != nil {
		return err
	}
	tokens, err := localtoken.Open(d.repo)
	if err != nil {
		return err
	}
	factor := keystore.Params{N: cfg.Factor.ScryptN, R: cfg.Factor.ScryptR, P: cfg.Factor.ScryptP}
	keys, err := keystore.Open(d.repo.Path("wallet"), factor)
	if err != nil {
		return err
	}
	if d.records, err = signlog.Open(SignLog(d.repo.Dir), o.Clock); err != nil {
		return err
	}
	d.Service = NewService(keys, d.records, tokens, o.Clock, o.Version)
	if err := unlockAtStart(keys, o.Password); err != nil {
		return err
	}
	listen := cfg.API.ListenAddress
	if o.API != "" {
		if listen, err = listenAddress(o.API); err != nil {
			return err
		}
	}
	if err := d.listen(listen, tokens, o.Clock); err != nil {
		return err
	}
	d.announce(network, keys)
	return nil
}

func unlockAtStart(keys *keystore.Store, password []byte) error {
	if len(password) == 0 {
		return nil
	}
	if !keys.HasPassword() {
		log.Warn("a password was given but none is set yet; set it with: venus-wallet setpwd")
		return nil
	}
	if err := keys.Unlock(password); err != nil {
		return fmt.Errorf("unlock at start: %w", explain(err))
	}
	return nil
}

func (d *Daemon) listen(listen string, tokens *localtoken.Issuer, c clock.Clock) error {
	hostport, err := rpc.ListenAddress(listen)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", hostport)
	if err != nil {
		return api.Errorf(api.CodePrecondition, "listen on %s: %w", listen, err).
			WithHint("stop what uses the port, or choose another with --api or in %s", d.repo.Path(configName))
	}
	d.server = rpc.NewServer(rpc.Options{Verify: tokens.Verifier, Clock: c})
	if err := d.server.Register(rpc.DefaultPath, d.Service, new(walletapi.WalletProxy), walletapi.Namespace); err != nil {
		_ = l.Close()
		return err
	}
	d.Address = rpc.Multiaddr(l.Addr()) + "/http"
	if err := d.repo.SetAPI(d.Address); err != nil {
		_ = l.Close()
		return fmt.Errorf("note the listen address: %w", err)
	}
	go func() { d.failed <- d.server.Serve(l) }()
	return nil
}

func (d *Daemon) announce(network string, keys *keystore.Store) {
	state := "unlocked"
	switch {
	case !keys.HasPassword():
		state = "without a password: set one with `venus-wallet setpwd`"
	case keys.Locked():
		state = "locked: unlock it with `venus-wallet unlock`"
	}
	log.Infof("venus-wallet listens on %s, network %s, directory %s, %d keys, %s; admin token in %s",
		d.Address, network, d.repo.Root(), len(keys.List()), state, d.repo.Path("token"))
	for _, bad := range keys.Damaged() {
		log.Errorf("key file %s cannot be used: %s", bad.File, bad.Reason)
	}
}

// Wait returns when ctx ends, a caller asked for shutdown, or serving failed.
func (d *Daemon) Wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-d.Service.Done():
		return nil
	case err := <-d.failed:
		return err
	}
}

// Close stops serving, locks the keys and releases the directory.
func (d *Daemon) Close() error {
	var errs []error
	if d.server != nil {
		ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
		defer cancel()
		errs = append(errs, d.server.Shutdown(ctx))
	}
	if d.Service != nil {
		_ = d.Service.Shutdown(context.Background())
		if err := d.Service.keys.Lock(); err != nil && !errors.Is(err, keystore.ErrAlreadyLocked) {
			errs = append(errs, err)
		}
	}
	if d.records != nil {
		errs = append(errs, d.records.Close())
	}
	errs = append(errs, d.repo.Close())
	return errors.Join(errs...)
}

// Run serves until ctx ends or a caller asks for shutdown.
func Run(ctx context.Context, o Options) error {
	d, err := Start(o)
	if err != nil {
		return err
	}
	return errors.Join(d.Wait(ctx), d.Close())
}

package wallet

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/filecoin-venus/venus/api"
	walletapi "github.com/filecoin-venus/venus/api/wallet"
	"github.com/filecoin-venus/venus/auth/localtoken"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/repo"
	"github.com/filecoin-venus/venus/rpc"
	"github.com/filecoin-venus/venus/rpc/daemon"
	"github.com/filecoin-venus/venus/wallet/backup"
	"github.com/filecoin-venus/venus/wallet/keystore"
	"github.com/filecoin-venus/venus/wallet/policy"
	"github.com/filecoin-venus/venus/wallet/signlog"
)

// Policies is where a wallet's directory keeps its policies.
func Policies(d repo.Dir) string { return d.Path("policies.json") }

// SignLog is where a wallet's directory keeps its signature log.
func SignLog(d repo.Dir) string { return d.Path("signlog") }

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

	repo   *repo.Repo
	opened daemon.Closers
}

// Start opens the directory and listens. It returns once calls are answered.
func Start(o Options) (*Daemon, error) {
	defer keystore.Wipe(o.Password)
	if o.Repo == "" {
		o.Repo = DefaultRepo
	}
	dir, err := repo.Open(o.Repo)
	if err != nil {
		return nil, err
	}
	d := &Daemon{repo: dir}
	d.opened.Add(dir.Close)
	if err := d.start(o); err != nil {
		_ = d.Close() // the reason why it did not start matters more
		return nil, err
	}
	return d, nil
}

func (d *Daemon) start(o Options) error {
	if backup.Interrupted(d.repo.Root()) {
		return api.Errorf(api.CodePrecondition, "a restore into %s was interrupted", d.repo.Root()).WithHint("run it again: venus-wallet restore FILE")
	}
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
	d.opened.Add(func() error { return lockAtEnd(keys) })
	records, err := signlog.Open(SignLog(d.repo.Dir), o.Clock)
	if err != nil {
		return err
	}
	d.opened.Add(records.Close)
	book, err := policy.Open(Policies(d.repo.Dir))
	if err != nil {
		return err
	}
	watch := newWatch(o.Version, network, keys)
	d.Service, err = NewService(Parts{
		Keys: keys, Records: records, Policies: book, Tokens: tokens, Clock: o.Clock, Version: o.Version, Watch: watch, IdleLock: cfg.Lock.After.Duration,
	})
	if err != nil {
		return err
	}
	if err := unlockAtStart(keys, o.Password); err != nil {
		return err
	}
	listen := cfg.API.ListenAddress
	if o.API != "" {
		if listen, err = listenAddress(o.API); err != nil {
			return err
		}
	}
	if err := d.listen(listen, tokens, o.Clock, watch); err != nil {
		return err
	}
	d.background(o.Clock, cfg.SignLog.Keep.Duration)
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

func lockAtEnd(keys *keystore.Store) error {
	if err := keys.Lock(); !errors.Is(err, keystore.ErrAlreadyLocked) {
		return err
	}
	return nil
}

func (d *Daemon) listen(listen string, tokens *localtoken.Issuer, c clock.Clock, w *watch) error {
	srv := rpc.NewServer(rpc.Options{Service: "venus-wallet", Verify: tokens.Verifier, Clock: c, Health: d.Service.health(), Meter: w.Meters})
	srv.Handle("/metrics", w.Handler())
	if err := srv.Register(rpc.DefaultPath, d.Service, new(walletapi.WalletProxy), walletapi.Namespace); err != nil {
		return err
	}
	s, err := daemon.Serve(d.repo, d.Service.Base, srv, daemon.Listening{
		Address: listen, Suffix: "/http", Choose: "with --api or in " + d.repo.Path(configName),
	})
	if err != nil {
		return err
	}
	d.opened.Add(s.Close)
	d.Address = s.Address
	return nil
}

// pruneInterval is how often old records of signatures are looked for.
const pruneInterval = time.Hour

// background locks idle keys and removes old records until Close.
func (d *Daemon) background(c clock.Clock, keep time.Duration) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { d.Service.idle.run(ctx) })
	if keep > 0 {
		wg.Go(func() {
			for {
				n, err := d.Service.records.Prune(c.Now().Add(-keep))
				switch {
				case err != nil:
					log.Errorf("old records of signatures cannot be removed: %s", err)
				case n > 0:
					log.Infof("%d segments of the signature log were older than %s and are removed", n, keep)
				}
				if c.Sleep(ctx, pruneInterval) != nil {
					return
				}
			}
		})
	}
	d.opened.Then(func() { cancel(); wg.Wait() })
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
func (d *Daemon) Wait(ctx context.Context) error { return d.Service.Wait(ctx) }

// Close stops serving, locks the keys and releases the directory.
func (d *Daemon) Close() error { return d.opened.Close() }

// Run serves until ctx ends or a caller asks for shutdown.
func Run(ctx context.Context, o Options) error {
	d, err := Start(o)
	if err != nil {
		return err
	}
	return errors.Join(d.Wait(ctx), d.Close())
}

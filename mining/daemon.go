package mining

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/filecoin-venus/venus/api"
	miningapi "github.com/filecoin-venus/venus/api/mining"
	sealerapi "github.com/filecoin-venus/venus/api/sealer"
	walletapi "github.com/filecoin-venus/venus/api/wallet"
	"github.com/filecoin-venus/venus/auth/localtoken"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/mining/record"
	"github.com/filecoin-venus/venus/repo"
	"github.com/filecoin-venus/venus/rpc"
	"github.com/filecoin-venus/venus/rpc/daemon"
)

// Options are what the command line may say.
type Options struct {
	Repo    string
	API     string // multiaddr to listen on; "" = as configured
	Version string
	Clock   clock.Clock
}

// Daemon is a running venus-miner. Close ends it.
type Daemon struct {
	Service *Service
	// Address is the multiaddr it listens on.
	Address string

	repo   *repo.Repo
	opened daemon.Closers
}

// Start opens an initialised directory and mines. It returns once calls are answered; the node may be away still.
func Start(ctx context.Context, o Options) (*Daemon, error) {
	if o.Repo == "" {
		o.Repo = DefaultRepo
	}
	dir, err := repo.Read(o.Repo)
	if errors.Is(err, repo.ErrAbsent) {
		path, _ := repo.Expand(o.Repo)
		return nil, errNotInitialised(path)
	}
	if err != nil {
		return nil, err
	}
	cfg, err := readConfig(dir)
	if err != nil {
		return nil, err
	}
	r, err := repo.Open(o.Repo)
	if err != nil {
		return nil, err
	}
	d := &Daemon{repo: r}
	d.opened.Add(r.Close)
	if err := d.start(ctx, o, cfg); err != nil {
		_ = d.Close() // the reason why it did not start matters more
		return nil, err
	}
	return d, nil
}

func (d *Daemon) start(ctx context.Context, o Options, cfg config) error {
	printAs(cfg.Network.Name)
	tokens, err := localtoken.Open(d.repo)
	if err != nil {
		return err
	}
	nodes, judge, err := d.dialNodes(ctx, cfg)
	if err != nil {
		return err
	}
	records, err := record.Open(ctx, cfg.database(d.repo))
	if err != nil {
		return err
	}
	d.opened.Add(records.Close)
	d.Service, err = NewService(Parts{
		Nodes: nodes, Timing: Timing{BlockDelay: cfg.Network.BlockDelay.Duration, Propagation: cfg.Network.PropagationDelay.Duration},
		Connect: connector(o.Clock, cfg.Network.BlockDelay.Duration, judge), Tokens: tokens, Clock: o.Clock, Version: o.Version,
		MinersFile: d.repo.Path("miners.json"), Records: records, Network: cfg.Network.Name,
	})
	if err != nil {
		return err
	}
	d.opened.Add(d.Service.Close)
	listen := cfg.API.ListenAddress
	if o.API != "" {
		listen = o.API
	}
	if err := d.listen(listen, tokens, o.Clock); err != nil {
		return err
	}
	miners, err := d.Service.ListAddress(ctx)
	if err != nil {
		return err
	}
	log.Infof("venus-miner listens on %s, network %s, epochs of %s, directory %s, %d miners; admin token in %s",
		d.Address, cfg.Network.Name, cfg.Network.BlockDelay, d.repo.Root(), len(miners), d.repo.Path("token"))
	return nil
}

// dialNodes opens clients of all nodes. One that follows another network keeps the daemon from starting; one that does not
// answer yet is checked when it does. Proofs are judged by what the nodes say of their network.
func (d *Daemon) dialNodes(ctx context.Context, cfg config) ([]NamedNode, *judge, error) {
	var out []NamedNode
	judge := &judge{name: cfg.Network.Name}
	for _, e := range cfg.nodes() {
		n, stop, err := dialNode(e.ListenAPI, e.Token)
		if err != nil {
			return nil, nil, err
		}
		d.opened.Then(stop)
		judge.nodes = append(judge.nodes, n)
		check := func(ctx context.Context) error {
			name, delay, err := askNetwork(ctx, n)
			if err == nil && (name != cfg.Network.Name || delay != cfg.Network.BlockDelay.Duration) {
				err = api.Errorf(api.CodePrecondition, "the node at %s follows network %q with epochs of %s, this directory was set up for %q with %s",
					e.ListenAPI, name, delay, cfg.Network.Name, cfg.Network.BlockDelay).
					WithHint("point [FullNode] in %s to the right node, or use another directory for the other network", d.repo.Path(configName))
			}
			return err
		}
		switch err := check(ctx); {
		case err == nil:
		case api.Explain(err).Code == api.CodePrecondition:
			return nil, nil, err
		default:
			log.Warnf("the node at %s does not answer yet: %s", e.ListenAPI, err)
		}
		out = append(out, NamedNode{Name: e.ListenAPI, Node: n, Check: check})
	}
	return out, judge, nil
}

func (d *Daemon) listen(listen string, tokens *localtoken.Issuer, c clock.Clock) error {
	srv := rpc.NewServer(rpc.Options{Verify: tokens.Verifier, Clock: c, Health: d.Service.health(c)})
	srv.Handle("/metrics", d.Service.meters.handler())
	if err := srv.Register(rpc.DefaultPath, d.Service, new(miningapi.MiningProxy), miningapi.Namespace); err != nil {
		return err
	}
	s, err := daemon.Serve(d.repo, d.Service.Base, srv, daemon.Listening{
		Address: listen, Suffix: "/http", Choose: "with --miner-api or in " + d.repo.Path(configName),
	})
	if err != nil {
		return err
	}
	d.opened.Add(s.Close)
	d.Address = s.Address
	return nil
}

// connector opens the clients of one miner's services; v judges what its sealers prove.
func connector(c clock.Clock, delay time.Duration, v Verifier) func(miningapi.MinerSpec) (Services, error) {
	return func(m miningapi.MinerSpec) (Services, error) {
		var stops []func()
		stop := func() {
			for _, s := range stops {
				s()
			}
		}
		wallet := new(walletapi.WalletProxy)
		stopWallet, err := rpc.Dial(m.Wallet.ListenAPI, m.Wallet.Token, walletapi.Namespace, wallet, rpc.DialOptions{Service: "the wallet", Shared: true})
		if err != nil {
			return Services{}, fmt.Errorf("wallet of %s: %w", m.Addr, err)
		}
		stops = append(stops, stopWallet)
		var provers []NamedProver
		for _, e := range append([]miningapi.Endpoint{m.Sealer}, m.MoreSealers...) {
			sealer := new(sealerapi.SealerProxy)
			stopSealer, err := rpc.Dial(e.ListenAPI, e.Token, sealerapi.Namespace, sealer, rpc.DialOptions{Service: "the sealer"})
			if err != nil {
				stop()
				return Services{}, fmt.Errorf("sealer of %s: %w", m.Addr, err)
			}
			stops = append(stops, stopSealer)
			prover, err := Checked(sealer, v, m.Addr)
			if err != nil {
				stop()
				return Services{}, err
			}
			provers = append(provers, NamedProver{Name: e.ListenAPI, Prover: prover})
		}
		return Services{Wallet: wallet, Sealer: NewSealers(c, delay/3, provers...), Close: stop}, nil
	}
}

// Wait returns when ctx ends, a caller asked for shutdown, or serving failed.
func (d *Daemon) Wait(ctx context.Context) error { return d.Service.Wait(ctx) }

// Close stops serving and mining and releases the directory.
func (d *Daemon) Close() error { return d.opened.Close() }

// Run mines until ctx ends or a caller asks for shutdown.
func Run(ctx context.Context, o Options) error {
	d, err := Start(ctx, o)
	if err != nil {
		return err
	}
	return errors.Join(d.Wait(ctx), d.Close())
}

package node

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/ipfs/go-cid"
	logging "github.com/ipfs/go-log/v2"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/filecoin-venus/venus/api"
	apinode "github.com/filecoin-venus/venus/api/node"
	"github.com/filecoin-venus/venus/auth/localtoken"
	"github.com/filecoin-venus/venus/beacon"
	"github.com/filecoin-venus/venus/chain"
	"github.com/filecoin-venus/venus/chainsync"
	"github.com/filecoin-venus/venus/consensus"
	"github.com/filecoin-venus/venus/crypto"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/internal/fsutil"
	"github.com/filecoin-venus/venus/ipld"
	"github.com/filecoin-venus/venus/mpool"
	"github.com/filecoin-venus/venus/p2p"
	"github.com/filecoin-venus/venus/p2p/exchange"
	"github.com/filecoin-venus/venus/p2p/hello"
	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/proofs/verify"
	"github.com/filecoin-venus/venus/repo"
	"github.com/filecoin-venus/venus/rpc"
	"github.com/filecoin-venus/venus/rpc/daemon"
	"github.com/filecoin-venus/venus/rpc/openrpc"
	"github.com/filecoin-venus/venus/types"
)

var log = logging.Logger("node")

// Node is a running venus daemon.
type Node struct {
	// API is the contract it serves.
	API *API
	// Address is the multiaddr it listens on.
	Address string
	// Network is what it serves.
	Network params.Network

	base   *daemon.Base
	clock  clock.Clock // by which the chain goes; Options.Clock unless that is to be wrong
	blocks *ipld.Disk
	disk   *fsutil.Reserve
	opened daemon.Closers
}

// New opens a directory and starts everything in it. On the first start the
// genesis is imported and the network recorded; a later start with another
// genesis or network is refused and changes nothing.
func New(ctx context.Context, o Options) (*Node, error) {
	if o.Clock == nil {
		o.Clock = clock.Real()
	}
	if o.Repo == "" {
		o.Repo = DefaultRepo
	}
	n := new(Node)
	if err := n.start(ctx, o); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

func (n *Node) start(ctx context.Context, o Options) error {
	r, err := repo.Open(o.Repo)
	if err != nil {
		return err
	}
	n.opened.Add(r.Close)
	cfg, err := loadConfig(r)
	if err != nil {
		return err
	}
	overlay(&cfg, o)
	if err := n.keepRoom(r, cfg, o); err != nil {
		return err
	}
	store, err := n.openChain(ctx, r, o)
	if err != nil {
		return err
	}
	if n.clock, err = chainClock(n.Network, o); err != nil {
		return err
	}
	tokens, err := localtoken.Open(r)
	if err != nil {
		return err
	}
	n.base = daemon.New(daemon.Options{
		Program: "venus", Version: o.Version, APIVersion: apinode.VersionV1, BlockDelaySecs: n.Network.BlockDelaySecs(),
		Namespace: apinode.Namespace, Proxy: new(apinode.FullNodeProxy), Tokens: tokens,
	})
	beacons, err := beacon.FromNetwork(&n.Network, store.Genesis().MinTimestamp(), cfg.Beacon.Servers, n.clock)
	if err != nil {
		return err
	}
	verifier := verify.New(n.Network, o.ProofCache)
	go n.warm(verifier)
	exec, err := chain.NewExecutor(chain.ExecutorConfig{Store: store, Rounds: beacons, Verifier: verifier, Clock: n.clock})
	if err != nil {
		return err
	}
	n.opened.Then(exec.Close)
	base := reader{net: n.Network, store: store, exec: exec, clock: n.clock}
	validator, err := consensus.New(exec, beacons, verifier, n.clock)
	if err != nil {
		return err
	}
	if err := n.importChain(ctx, store, validator, o.Chain); err != nil {
		return err
	}
	meters := newMeters(o.Version, n.Network.Name)
	validator.Observe(meters.checked)
	talk := &gossip{reader: base}
	pool, err := n.openPool(ctx, r, base, talk, validator.Signatures(), n.clock)
	if err != nil {
		return err
	}
	talk.pool = pool
	host, err := n.joinPeers(ctx, r, cfg, o, base, validator, talk)
	if err != nil {
		return err
	}
	prune := n.newPruner(base, cfg.Prune, meters, o)
	watch := vitals{
		objectAPI: objectAPI{reader: base, disk: n.blocks, exports: make(chan struct{}, maxExports), prune: prune}, sync: talk.sync, peers: func() int { return len(host.Network().Peers()) },
		room: n.disk, skew: talk.greetings.Skew,
		lonely: o.Offline || len(n.Network.Bootstrap)+len(cfg.Bootstrap.Addresses) == 0,
	}
	if err := n.dialOthers(cfg, &watch); err != nil {
		return err
	}
	meters.watch(watch, pool)
	n.run(prune.follow)
	x := parts{base: base, beacons: beacons, exec: exec, validator: validator, pool: pool, host: host, talk: talk, watch: watch}
	x.health = rpc.NewHealth(o.Clock, watch.checks()...)
	if err := n.assemble(r, x); err != nil {
		return err
	}
	return n.listen(r, cfg, o, serving{tokens: tokens, health: x.health, meters: meters})
}

// chainClock is the clock by which the chain goes.
func chainClock(net params.Network, o Options) (clock.Clock, error) {
	switch {
	case o.ClockOffset == 0:
		return o.Clock, nil
	case !net.Devnet:
		return nil, api.Errorf(api.CodeInvalid, "network %s is public: there a clock is not made wrong on purpose", net.Name).WithHint("leave --clock-offset out")
	}
	return clock.Shifted(o.Clock, o.ClockOffset), nil
}

// parts are what the API is made of.
type parts struct {
	base      reader
	beacons   beacon.Schedule
	exec      *chain.Executor
	validator *consensus.Validator
	pool      *mpool.Pool
	host      *p2p.Host
	talk      *gossip
	watch     vitals
	health    *rpc.Health
}

// assemble makes the API of its topics.
func (n *Node) assemble(r *repo.Repo, x parts) error {
	peers, err := newPeersAPI(x.host, r.Path(blockedName))
	if err != nil {
		return err
	}
	base, est := x.base, mpool.NewEstimator(x.pool, poolChain{x.base})
	keys := walletAPI{reader: base, chosen: r.Path(defaultAddressName)}
	if x.watch.wallet != nil {
		keys.keys = x.watch.wallet
	}
	n.API = &API{
		commonAPI: commonAPI{n.base}, chainAPI: chainAPI{base}, objectAPI: x.watch.objectAPI, stateAPI: stateAPI{base},
		minerStateAPI: minerStateAPI{base}, marketAPI: marketAPI{base}, messageAPI: messageAPI{base}, msigAPI: msigAPI{base},
		mpoolAPI:  mpoolAPI{reader: base, pool: x.pool, publish: x.talk.publishMessage},
		gasAPI:    gasAPI{reader: base, est: est},
		syncAPI:   syncAPI{reader: base, sync: x.talk.sync, validate: x.validator, own: &ownBlocks{seen: map[ownKey]cid.Cid{}}, gossip: x.talk},
		miningAPI: miningAPI{reader: base, beacons: x.beacons, produce: consensus.NewProducer(x.exec, x.beacons)},
		netAPI:    netAPI{x.host}, peersAPI: peers, alertsAPI: alertsAPI{x.health},
		sendAPI: sendAPI{walletAPI: keys, pool: x.pool, est: est, sending: new(sync.Mutex)},
	}
	return nil
}

// commonAPI is what every program answers.
type commonAPI struct{ *daemon.Base }

// Discover describes version 1; the other dialect describes itself.
func (commonAPI) Discover(context.Context) (map[string]any, error) {
	return openrpc.Document("venus", apinode.VersionV1.String(), apinode.Namespace, new(apinode.FullNodeProxy))
}

// Close stops everything in reverse order.
func (n *Node) Close() error { return n.opened.Close() }

// Wait returns when the context ends, a caller asked for shutdown, or a part
// failed.
func (n *Node) Wait(ctx context.Context) error { return n.base.Wait(ctx) }

func overlay(cfg *FileConfig, o Options) {
	if o.AuthURL != "" {
		cfg.API.VenusAuthURL = o.AuthURL
	}
	if o.API != "" {
		cfg.API.APIAddress = o.API
	}
	if o.Swarm != "" {
		cfg.Swarm.Address = o.Swarm
	}
	if len(o.Announce) > 0 {
		cfg.Swarm.Announce = o.Announce
	}
	if len(o.Bootstrap) > 0 {
		cfg.Bootstrap.Addresses = o.Bootstrap
	}
	if len(o.BeaconServers) > 0 {
		cfg.Beacon.Servers = o.BeaconServers
	}
	if o.WalletURL != "" {
		cfg.Wallet = WalletConfig{URL: o.WalletURL, Token: o.WalletToken}
	}
}

// warm derives verifying keys ahead of the first proof.
func (n *Node) warm(v *verify.Verifier) {
	defer func() {
		if p := recover(); p != nil {
			log.Errorw("preparing verifying keys panicked", "panic", p)
		}
	}()
	if err := v.Warm(context.Background(), n.Network.SectorSizes[0]); err != nil {
		log.Warnw("verifying keys are not ready; proofs will be judged once they are", "error", err)
	}
}

func (n *Node) openPool(ctx context.Context, r *repo.Repo, base reader, talk *gossip, signatures *crypto.Verifier, c clock.Clock) (*mpool.Pool, error) {
	kept, err := mpool.OpenStore(r.Path("mpool"))
	if err != nil {
		return nil, err
	}
	n.opened.Add(kept.Close)
	kept.Guard(n.disk.Room)
	pool, err := mpool.New(ctx, mpool.Options{
		Chain: poolChain{base}, Store: kept, Clock: c, BlockDelay: n.Network.BlockDelay, PropagationDelay: n.Network.PropagationDelay,
		Head: base.store.Head(), Publish: talk.publishMessage, Verify: signatures.Verify, Config: mpool.DefaultConfig(), Seed: c.Now().UnixNano(),
	})
	if err != nil {
		return nil, err
	}
	n.run(func(ctx context.Context) { followHead(ctx, base.store, pool) })
	n.run(func(ctx context.Context) {
		if err := pool.Run(ctx); err != nil && ctx.Err() == nil {
			log.Errorw("the message pool's housekeeping stopped", "error", err)
		}
	})
	return pool, nil
}

// run starts a part that works until the node closes.
func (n *Node) run(work func(context.Context)) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		defer func() {
			if p := recover(); p != nil {
				n.base.Fail(fmt.Errorf("internal error: %v", p))
			}
		}()
		work(ctx)
	})
	n.opened.Then(func() { cancel(); wg.Wait() })
}

func (n *Node) joinPeers(ctx context.Context, r *repo.Repo, cfg FileConfig, o Options, base reader, v *consensus.Validator, talk *gossip) (*p2p.Host, error) {
	key, err := r.Keystore().GetOrMake("self", p2p.NewKey)
	if err != nil {
		return nil, err
	}
	pc := p2p.Config{Key: key, Network: n.Network.GenesisName, Agent: "venus/" + o.Version, Clock: o.Clock, Redial: n.Network.BlockDelay}
	if !o.Offline {
		pc.Listen, pc.Announce = []string{cfg.Swarm.Address}, cfg.Swarm.Announce
		pc.Bootstrap = append(append([]string{}, n.Network.Bootstrap...), cfg.Bootstrap.Addresses...)
	}
	host, err := p2p.New(ctx, pc)
	if err != nil {
		return nil, err
	}
	n.opened.Then(talk.end) // after the peers are gone
	n.opened.Add(host.Close)
	client := exchange.NewClient(host, o.Clock)
	talk.sync, err = chainsync.New(chainsync.Config{
		Chain: base.store, Weigh: base.store.Weigh, Checkpoint: func() abi.ChainEpoch { return base.store.Checkpoint().Height() }, Validator: v, Fetch: client, Network: n.Network, Clock: n.clock, Genesis: base.store.Genesis().MinTimestamp(),
	})
	if err != nil {
		return nil, err
	}
	life, cancel := context.WithCancel(context.Background())
	n.opened.Then(cancel)
	talk.life = life
	n.run(talk.sync.Run)
	exchange.Serve(host, exchangeSource{base.store})
	greetings := hello.New(host, n.clock, func(ctx context.Context) (*hello.Hello, error) {
		head := base.store.Head()
		return &hello.Hello{Head: head.Cids(), Height: head.Height(), Weight: head.ParentWeight(), Genesis: base.store.Genesis().Cids()[0]}, nil
	}, func(p peer.ID, h *hello.Hello) {
		client.AddPeer(p)
		host.Remember(p)
		talk.sync.Hear(chainsync.Target{Key: types.NewTipSetKey(h.Head...), Height: h.Height, From: p})
	})
	talk.greetings = greetings
	if !o.Offline {
		topics, err := host.Join(ctx, talk.handlers())
		if err != nil {
			return nil, err
		}
		talk.topics.Store(topics)
	}
	return host, nil
}

package service

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	actors "github.com/filecoin-project/specs-actors/v7/actors/builtin/miner"
	logging "github.com/ipfs/go-log/v2"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/api/messager"
	"github.com/filecoin-venus/venus/api/node"
	sealerapi "github.com/filecoin-venus/venus/api/sealer"
	"github.com/filecoin-venus/venus/auth/localtoken"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/proofs/prove"
	"github.com/filecoin-venus/venus/proofs/seal"
	"github.com/filecoin-venus/venus/proofs/verify"
	"github.com/filecoin-venus/venus/repo"
	"github.com/filecoin-venus/venus/rpc"
	"github.com/filecoin-venus/venus/rpc/daemon"
	"github.com/filecoin-venus/venus/sealer/broker"
	"github.com/filecoin-venus/venus/sealer/config"
	"github.com/filecoin-venus/venus/sealer/db"
	"github.com/filecoin-venus/venus/sealer/deals"
	"github.com/filecoin-venus/venus/sealer/heads"
	"github.com/filecoin-venus/venus/sealer/messages"
	"github.com/filecoin-venus/venus/sealer/pipeline"
	"github.com/filecoin-venus/venus/sealer/sector"
	"github.com/filecoin-venus/venus/sealer/setup"
	"github.com/filecoin-venus/venus/sealer/spread"
	"github.com/filecoin-venus/venus/sealer/store"
	"github.com/filecoin-venus/venus/sealer/task"
	"github.com/filecoin-venus/venus/sealer/wdpost"
	"github.com/filecoin-venus/venus/types"
	"github.com/filecoin-venus/venus/worker"
)

var log = logging.Logger("sealer")

// Options are what the command line may say.
type Options struct {
	Dir     string // "" = config.DefaultDir
	API     string // multiaddr or port to listen on; "" = as configured
	Version string
	Clock   clock.Clock
}

// Service is a running sealer. Close ends it.
type Service struct {
	*daemon.Base
	// Address is the multiaddr it listens on.
	Address string

	opts    Options
	cfg     config.Config
	network params.Network
	miner   address.Address
	actorID abi.ActorID
	size    abi.SectorSize
	// partitionSectors is how many sectors a partition holds.
	partitionSectors uint64

	repo     *repo.Repo
	tokens   *localtoken.Issuer
	node     *node.FullNodeProxy
	messager *messager.MessagerProxy
	db       *db.DB
	store    *store.Store
	moves    chan struct{} // pokes carryMoves
	queue    *task.Queue
	nats     *broker.Embedded // nil when a cluster is configured
	broker   *broker.Broker
	welcome  worker.Welcome
	executor *worker.Executor // nil when this process runs no tasks
	heads    *heads.Follower
	sender   *messages.Sender
	sealer   *seal.Sealer
	prover   *fileProver
	spread   *spread.Prover
	verifier *verify.Verifier
	pipeline *pipeline.Pipeline
	deals    *deals.Book
	rules    map[sector.Kind]sector.BatchRule
	wdpost   *wdpost.Shell
	windows  windowCounts

	viewMu sync.Mutex // guards ends, of the head at endsAt
	ends   map[abi.SectorNumber]abi.ChainEpoch
	endsAt abi.ChainEpoch

	starting *starting

	stop   context.CancelFunc
	wg     sync.WaitGroup
	opened daemon.Closers
}

// Start brings a sealer up. It returns once calls are answered; until node and
// messager answer it waits, and says for whom.
func Start(ctx context.Context, o Options) (*Service, error) {
	if o.Dir == "" {
		o.Dir = config.DefaultDir
	}
	s := &Service{opts: o, stop: func() {}, windows: newWindowCounts()}
	if err := s.start(ctx); err != nil {
		_ = s.Close() // why it did not start matters more
		return nil, err
	}
	return s, nil
}

func (s *Service) start(ctx context.Context) error {
	if err := s.openDir(); err != nil {
		return err
	}
	s.starting = newStarting(s.opts.Clock, s.address())
	s.opened.Add(s.starting.end)
	s.starting.does("opening its database and storage paths")
	if err := s.openStores(ctx); err != nil {
		return err
	}
	if err := s.dial(); err != nil {
		return err
	}
	s.starting.does("waiting for the node at %s", s.cfg.Node.URL)
	if err := s.meetChain(ctx); err != nil {
		return err
	}
	s.starting.does("loading sectors")
	if err := s.assemble(ctx); err != nil {
		return err
	}
	s.starting.does("comparing sectors with the chain")
	if err := s.settle(ctx); err != nil {
		return err
	}
	// The background parts outlive ctx only until Close.
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.stop = cancel
	if err := s.listen(); err != nil {
		return err
	}
	s.background(run)
	log.Infof("venus-sealer of miner %s listens on %s, network %s, directory %s; admin token in %s", s.miner, s.Address, s.network.Name, s.repo.Root(), s.repo.Path("token"))
	return nil
}

// openDir takes the directory and reads what setup left in it.
func (s *Service) openDir() error {
	dir, err := repo.Read(s.opts.Dir)
	if err != nil {
		return api.Errorf(api.CodePrecondition, "%w", err).WithHint("set it up with 'venus-sealer init'")
	}
	if _, err := os.Stat(dir.Path(config.FileName)); err != nil {
		return api.Errorf(api.CodePrecondition, "%s is not set up: %w", dir.Root(), err).WithHint("set it up with 'venus-sealer init'")
	}
	if s.repo, err = repo.Open(s.opts.Dir); err != nil {
		return api.Errorf(api.CodePrecondition, "%w", err).WithHint("another sealer runs with this directory: stop it first")
	}
	s.opened.Add(s.repo.Close)
	if s.cfg, err = config.Load(dir.Path(config.FileName)); err != nil {
		return api.Errorf(api.CodeInvalid, "%w", err)
	}
	if s.network, err = s.cfg.Network.Params(); err != nil {
		return api.Errorf(api.CodeInvalid, "%w", err)
	}
	progress, err := setup.Load(dir)
	if err != nil {
		return err
	}
	if !progress.Done {
		return api.Errorf(api.CodePrecondition, "the setup of %s is not finished", dir.Root()).WithHint("run the same 'venus-sealer init' command again; it goes on where it stopped")
	}
	s.miner = progress.Miner
	id, err := address.IDFromAddress(s.miner)
	if err != nil {
		return fmt.Errorf("miner %s: %w", s.miner, err)
	}
	s.actorID = abi.ActorID(id)
	s.tokens, err = localtoken.Open(s.repo)
	return err
}

func (s *Service) openStores(ctx context.Context) error {
	var err error
	if s.db, err = db.Open(ctx, s.cfg.DB); err != nil {
		return err
	}
	s.opened.Add(s.db.Close)
	if err := s.openStorage(); err != nil {
		return err
	}
	ttl, err := config.Span("Sealing.LeaseTerm", s.cfg.Sealing.LeaseTerm, 30*time.Second)
	if err != nil {
		return err
	}
	if s.queue, err = task.New(ctx, s.db, s.opts.Clock, ttl); err != nil {
		return err
	}
	return s.queue.Reclaim(ctx)
}

func (s *Service) dial() error {
	s.node, s.messager = new(node.FullNodeProxy), new(messager.MessagerProxy)
	stop, err := rpc.Dial(s.cfg.Node.URL, s.cfg.Node.Token, node.Namespace, s.node, rpc.DialOptions{Service: "venus", Path: "/rpc/v1"})
	if err != nil {
		return fmt.Errorf("Node.Url in the configuration: %w", err)
	}
	s.opened.Then(stop)
	stop, err = rpc.Dial(s.cfg.Messager.URL, s.cfg.Messager.Token, messager.Namespace, s.messager, rpc.DialOptions{Service: "venus-messager"})
	if err != nil {
		return fmt.Errorf("Messager.Url in the configuration: %w", err)
	}
	s.opened.Then(stop)
	return nil
}

// meetPause lies between two tries to reach a service at start.
const meetPause = time.Second

// meetChain waits for the node and reads the miner.
func (s *Service) meetChain(ctx context.Context) error {
	said := ""
	for {
		info, err := s.node.StateMinerInfo(ctx, s.miner, types.EmptyTSK)
		if err == nil {
			s.size, s.partitionSectors = info.SectorSize, info.WindowPoStPartitionSectors
			break
		}
		if code := api.Explain(err).Code; code == api.CodeUnauthenticated || code == api.CodePermission {
			return fmt.Errorf("read miner %s: %w", s.miner, err)
		}
		if err.Error() != said {
			said = err.Error()
			s.starting.does("waiting for the node: %v", err)
			log.Warnf("waiting for the node: %v", err)
		}
		if err := s.opts.Clock.Sleep(ctx, meetPause); err != nil {
			return fmt.Errorf("interrupted while waiting for the node: %w", err)
		}
	}
	name, err := s.node.StateNetworkName(ctx)
	if err != nil {
		return fmt.Errorf("ask the node for its network: %w", err)
	}
	if name != s.network.GenesisName {
		return api.Errorf(api.CodePrecondition, "the node serves network %q, this sealer was set up for %q", name, s.network.GenesisName).WithHint("point Node.Url in %s at the right node", s.repo.Path(config.FileName))
	}
	return nil
}

// assemble makes the parts; nothing runs yet.
func (s *Service) assemble(ctx context.Context) error {
	proofType, err := s.network.SealProof(s.size)
	if err != nil {
		return err
	}
	var refused error
	openTimeout, err := config.Span("Proving.OpenTimeout", s.cfg.Proving.OpenTimeout, 5*time.Minute)
	if err != nil {
		return err
	}
	options := worker.Options{ParentCache: s.cfg.Sealing.ParentCache, Proofs: prove.Backend(s.cfg.Sealing.Proofs), Open: s.store.OpenFile, SectorTimeout: openTimeout, Clock: s.opts.Clock}
	if s.sealer, refused = worker.NewSealer(s.network, options); refused != nil {
		log.Warnf("this program can seal but not prove here: %v", refused)
	}
	s.opened.Add(s.sealer.Close)
	s.verifier = verify.New(s.network, "")
	timeout, err := config.Span("Proving.CheckTimeout", s.cfg.Proving.CheckTimeout, 30*time.Second)
	if err != nil {
		return err
	}
	if err := s.assembleTasks(ctx); err != nil {
		return err
	}
	s.prover = &fileProver{miner: s.actorID, store: s.store, sealer: s.sealer, clk: s.opts.Clock, timeout: timeout, parallel: s.cfg.Proving.ParallelChecks, reserve: s.queue.Reserve}
	fees, err := s.cfg.Fees.MaxFees()
	if err != nil {
		return err
	}
	controls, err := s.cfg.Addresses.Controls()
	if err != nil {
		return err
	}
	s.sender = messages.New(messages.Config{
		Miner: s.miner, Wallet: s.cfg.Messager.Wallet, Controls: controls, MaxFee: fees, Confidence: config.Confidence(s.network),
	}, s.messager, s.node)
	s.heads = heads.New(s.node, s.opts.Clock)
	if s.rules, err = s.cfg.Sealing.Rules(s.network); err != nil {
		return err
	}
	policy := config.Policy(s.network)
	policy.BatchPreCommits = s.cfg.Sealing.BatchPreCommits
	aggregator, err := prove.New(s.network, worker.BackendOf(s.network, options.Proofs))
	if err == nil {
		policy.AggregateCommits = s.cfg.Sealing.AggregateCommits
	}
	rule, err := s.openDeals(ctx)
	if err != nil {
		return err
	}
	s.pipeline, err = pipeline.New(ctx, pipeline.Config{
		Miner: s.miner, ActorID: s.actorID, SealProof: proofType, SectorSize: s.size, Policy: policy, Batch: s.rules,
		TicketLookback: s.network.SealRandomnessLookback, Lifetime: s.cfg.Sealing.Lifetime(), MaxSealing: s.cfg.Sealing.MaxSealingSectors,
		WatchEvery: s.network.ChallengeWindow, Deals: rule, MaxWaitDeals: s.cfg.Sealing.NewForDeals(),
	}, pipeline.Parts{
		DB: s.db, Queue: s.queue, Store: s.store, Messages: s.sender, Chain: s.node, Verifier: s.verifier, Aggregator: aggregator, Heads: s.heads, Clock: s.opts.Clock,
		Replicas: seal.New(seal.Config{Open: s.openMade, Clock: s.opts.Clock}),
		Loaded:   s.starting.loaded, Deals: s.deals, Pieces: s.sealer,
	})
	if err != nil {
		return err
	}
	s.prover.found = s.findings
	return s.assembleProofs(ctx)
}

// assembleProofs makes what window proofs are planned and made by.
func (s *Service) assembleProofs(ctx context.Context) error {
	mode, err := spread.ParseMode(s.cfg.Proving.Workers)
	if err != nil {
		return api.Errorf(api.CodeInvalid, "Proving.Workers = %w", err).WithHint("correct %s", s.repo.Path(config.FileName))
	}
	s.spread = spread.New(spread.Config{Miner: s.actorID, Mode: mode, Slots: s.cfg.Proving.ParallelProofs}, spread.Parts{
		Here: s.prover, Queue: s.queue, Verifier: s.verifier, Clock: s.opts.Clock, Told: s.windows.proven,
	})
	atOnce := s.cfg.Proving.ParallelProofs
	if mode != spread.Local { // workers make as many as they can, the prover keeps to the limit here
		atOnce = 0
	}
	s.wdpost, err = wdpost.New(ctx, wdpost.Settings{
		Config: windowMargins(s.network, s.actorID), Miner: s.miner,
		MaxPartitions: s.partitionLimit(), ParallelProofs: atOnce, DeclareFaults: s.cfg.Proving.DeclareFaults,
		BlockDelay: s.network.BlockDelay,
	}, wdpost.Parts{
		Chain: s.node, Messages: s.sender, Prover: s.spread, Verifier: s.verifier, Store: s.db, Heads: s.heads, Clock: s.opts.Clock,
		Alert: s.windows.alerted, Lost: s.windows.lostPartitions,
	})
	return err
}

// openMade opens what a task made: in its own folder, which is no storage path, or on the machine of a worker that keeps its
// sectors to itself.
func (s *Service) openMade(name string) (seal.File, error) {
	if strings.HasPrefix(name, store.AfarPrefix) {
		return s.store.OpenFile(name)
	}
	return store.Machine().Open(name)
}

// partitionLimit is how many partitions go into one message: what is configured,
// within what the actor takes.
func (s *Service) partitionLimit() int {
	limit := uint64(actors.AddressedPartitionsMax)
	if s.partitionSectors > 0 {
		limit = min(limit, actors.AddressedSectorsMax/s.partitionSectors)
	}
	return max(min(s.cfg.Proving.MaxPartitionsPerMessage, int(limit)), 1) // limit is at most 3000
}

// windowMargins are the planner's margins on a network: short windows leave no
// time for confidence, and the beacon makes it needless.
func windowMargins(n params.Network, id abi.ActorID) wdpost.Config {
	c := wdpost.Config{Miner: id, SubmitConfidence: 4, ChallengeConfidence: 1, StuckAfter: 15, CheckLead: 2 * n.ChallengeWindow, Keep: 10}
	if n.ChallengeWindow < 60 || n.Devnet {
		c.SubmitConfidence, c.ChallengeConfidence, c.StuckAfter = 0, 0, n.ChallengeWindow/3
	}
	return c
}

// address is where it shall listen.
func (s *Service) address() string {
	if s.opts.API != "" {
		return daemon.PortAlone(s.opts.API)
	}
	return s.cfg.API.ListenAddress
}

func (s *Service) listen() error {
	if err := s.starting.end(); err != nil {
		return err
	}
	s.Base = daemon.New(daemon.Options{
		Program: "venus-sealer", Version: s.opts.Version, APIVersion: sealerapi.Version, BlockDelaySecs: s.network.BlockDelaySecs(),
		Namespace: sealerapi.Namespace, Proxy: new(sealerapi.SealerProxy), Tokens: s.tokens,
	})
	m := s.meter()
	srv := rpc.NewServer(rpc.Options{Verify: s.tokens.Verifier, Clock: s.opts.Clock, Meter: m, Health: s.health()})
	srv.Handle("/metrics", m.Handler())
	if err := srv.Register(rpc.DefaultPath, s, new(sealerapi.SealerProxy), sealerapi.Namespace); err != nil {
		return err
	}
	if err := s.serveWorkers(srv); err != nil {
		return err
	}
	server, err := daemon.Serve(s.repo, s.Base, srv, daemon.Listening{
		Address: s.address(), Suffix: "/http", Choose: "with --miner-api or API.ListenAddress in " + s.repo.Path(config.FileName),
	})
	if err != nil {
		return err
	}
	s.opened.Add(server.Close)
	s.Address = server.Address
	return nil
}

// background starts everything that works by itself.
func (s *Service) background(ctx context.Context) {
	s.wg.Go(func() { s.pipeline.Run(ctx) })
	s.wg.Go(func() { s.wdpost.Run(ctx) })
	s.wg.Go(func() { s.deals.Run(ctx) })
	s.wg.Go(func() { s.heads.Run(ctx) })
	s.backgroundStorage(ctx)
	s.backgroundTasks(ctx)
	s.wg.Go(func() { s.warm(ctx) })
}

// warm makes the keys of the miner's circuits, so that the first proof that
// matters does not wait for them.
func (s *Service) warm(ctx context.Context) {
	start := s.opts.Clock.Now()
	if err := s.verifier.Warm(ctx, s.size); err != nil {
		if ctx.Err() == nil {
			log.Warnf("verifying keys are not at hand: %v", err)
		}
		return
	}
	log.Infof("verifying keys ready after %s", s.opts.Clock.Now().Sub(start).Round(time.Millisecond))
	s.warmWinning(ctx)
}

// Close stops everything in reverse order. Running tasks are given back.
func (s *Service) Close() error {
	s.stop()
	s.wg.Wait()
	return s.opened.Close()
}

// Run serves until ctx ends or a caller asks for shutdown.
func Run(ctx context.Context, o Options) error {
	s, err := Start(ctx, o)
	if err != nil {
		return err
	}
	return errors.Join(s.Wait(ctx), s.Close())
}

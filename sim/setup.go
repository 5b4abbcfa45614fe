package sim

import (
	"context"
	"errors"
	"fmt"
	"math/rand"
	"time"

	"github.com/filecoin-project/go-address"
	commcid "github.com/filecoin-project/go-fil-commcid"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	gscrypto "github.com/filecoin-project/go-state-types/crypto"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/filecoin-venus/venus/beacon"
	"github.com/filecoin-venus/venus/chain"
	"github.com/filecoin-venus/venus/consensus"
	"github.com/filecoin-venus/venus/crypto"
	"github.com/filecoin-venus/venus/genesis"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/ipld"
	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/state/check"
	"github.com/filecoin-venus/venus/types"
)

// genesisTime is when every simulation starts, Unix seconds.
const genesisTime = 1_700_000_000

const (
	sectorSize = abi.SectorSize(2 << 10)
	firstMiner = 1000
	maxMiners  = 64
	faucetFIL  = 20_000_000
	ownerFIL   = 1_000_000
)

// Config is all that a simulation depends on.
type Config struct {
	// Epochs to mine. One epoch is a second of simulated time.
	Epochs abi.ChainEpoch
	// Miners, each with one sector more than the one before, the first with one.
	Miners int
	// Seed makes keys, sectors, beacon and traffic.
	Seed int64
	// Quiet leaves out the transfers between accounts.
	Quiet bool
	// Operations has people and miners send all kinds of messages besides, of which each outcome is foretold.
	Operations bool
	// Pace multiplies how often they act; 0 stands for 1.
	Pace int
	// Spot has one block of each tipset validated, each miner's in turn, not all: half of the time goes into signatures.
	Spot bool
	// Blocks and Meta hold the chain; nil keeps it in memory.
	Blocks ipld.Blockstore
	Meta   chain.Meta
	// Progress is told of the chain's head now and then; may be nil.
	Progress func(epoch abi.ChainEpoch, head *types.TipSet)
}

// Network is the network of simulations: the parameters of "local" with the simulation's beacon. What takes weeks there
// is cut to a few proving periods, so that pre-commits expire, faults end sectors and rewards vest while one watches.
func Network(cfg Config) (params.Network, error) {
	net, err := params.ByName("local")
	if err != nil {
		return params.Network{}, err
	}
	net.GenesisName = "sim"
	period := net.ProvingPeriod()
	net.MaxProveCommitDuration = 2*period + net.PreCommitChallengeDelay
	net.FaultMaxAge = 4 * period
	net.RewardVestPeriod = 12 * period
	_, info, err := beaconOf(cfg, net)
	if err != nil {
		return params.Network{}, err
	}
	net.Beacons = []params.Beacon{info.Params()}
	return net, net.Validate()
}

func beaconOf(cfg Config, net params.Network) (*beacon.Key, beacon.Info, error) {
	key, err := beacon.NewKey(digest("beacon", number(uint64(cfg.Seed))))
	if err != nil {
		return nil, beacon.Info{}, err
	}
	// Two periods before genesis, so that epoch e draws from round e+1.
	return key, key.Info("sim", genesisTime-2*int64(net.BlockDelaySecs()), net.BlockDelay), nil
}

// Key is an account that the simulation signs for.
type Key struct {
	Address address.Address
	sigType gscrypto.SigType
	secret  []byte
}

func newKey(t gscrypto.SigType, seed int64, label string) (Key, error) {
	secret, err := crypto.GenerateKeyFromSeed(t, digest(label, number(uint64(seed)))[:32])
	if err != nil {
		return Key{}, fmt.Errorf("key %s: %w", label, err)
	}
	addr, err := crypto.AddressFor(t, secret)
	if err != nil {
		return Key{}, fmt.Errorf("key %s: %w", label, err)
	}
	return Key{Address: addr, sigType: t, secret: secret}, nil
}

// newKey makes a key that the world signs with.
func (w *World) newKey(t gscrypto.SigType, label string) (Key, error) {
	k, err := newKey(t, w.cfg.Seed, label)
	if err == nil {
		w.keys[k.Address] = k
	}
	return k, err
}

// Sign signs bytes.
func (k Key) Sign(b []byte) (*gscrypto.Signature, error) { return crypto.Sign(k.sigType, k.secret, b) }

// SignMessage signs a message of the key's address.
func (k Key) SignMessage(m types.Message) (*types.SignedMessage, error) {
	sig, err := k.Sign(m.Cid().Bytes())
	if err != nil {
		return nil, err
	}
	return &types.SignedMessage{Message: m, Signature: *sig}, nil
}

// Miner is a simulated miner. Owner and worker are one key, until operations change them.
type Miner struct {
	ID      address.Address
	Actor   abi.ActorID
	Key     Key
	Sectors int
	stats   MinerReport
	sent    map[abi.ChainEpoch]*postRecord
	// born is the epoch that created the miner; blocks may name it once a later tipset shows it.
	born abi.ChainEpoch
	// postsFrom is the epoch from which the next deadline may be open.
	postsFrom abi.ChainEpoch
	// worker signed the last try for a block.
	worker Key
	// ops is what operations keep of the miner.
	ops minerBook
	// idle miners send no window proofs; reckless ones mine although they may not. Tests make them so.
	idle, reckless bool
}

// World is a chain with its miners.
type World struct {
	Net       params.Network
	Clock     *clock.Sim
	Store     *chain.Store
	Exec      *chain.Executor
	Validator *consensus.Validator
	Producer  *consensus.Producer
	Schedule  beacon.Schedule
	Miners    []*Miner
	Faucet    Key

	cfg  Config
	rng  *rand.Rand
	pool *pool
	// epoch is the last epoch that was mined.
	epoch abi.ChainEpoch
	// settled is the newest tipset whose receipts were looked at.
	settled *types.TipSet
	report  Report
	// keys are all the keys that sign, by address.
	keys map[address.Address]Key
	// sent are the messages whose outcome someone waits for.
	sent    map[cid.Cid]*draft
	checker *check.Checker
	// ops is nil without operations, as is root, the root key of the verified registry.
	ops  *operator
	root Key
}

// NewWorld builds genesis, chain and miners. The chain stands at epoch 0.
func NewWorld(ctx context.Context, cfg Config) (*World, error) {
	if cfg.Miners < 1 || cfg.Miners > maxMiners {
		return nil, fmt.Errorf("simulation of %d miners: between 1 and %d are possible", cfg.Miners, maxMiners)
	}
	net, err := Network(cfg)
	if err != nil {
		return nil, err
	}
	w := &World{
		Net: net, Clock: clock.NewSim(time.Unix(genesisTime, 0)), cfg: cfg, rng: rand.New(rand.NewSource(cfg.Seed)),
		pool: newPool(), sent: map[cid.Cid]*draft{}, keys: map[address.Address]Key{}, checker: check.New(),
	}
	if cfg.Blocks == nil {
		w.cfg.Blocks, w.cfg.Meta = ipld.NewMemory(), chain.NewMemoryMeta()
	}
	tmpl, err := w.template()
	if err != nil {
		return nil, err
	}
	header, err := genesis.Build(ctx, w.cfg.Blocks, net, *tmpl)
	if err != nil {
		return nil, err
	}
	if err := w.openChain(ctx, header); err != nil {
		return nil, err
	}
	w.settled = w.Store.Genesis()
	if cfg.Operations {
		w.ops, err = newOperator(ctx, w)
	}
	return w, err
}

// template describes the genesis: the miners with sectors, their owners, a faucet.
func (w *World) template() (*genesis.Template, error) {
	tmpl, err := genesis.NewTemplate(w.Net.GenesisName, genesisTime)
	if err != nil {
		return nil, err
	}
	if w.Faucet, err = w.newKey(gscrypto.SigTypeSecp256k1, "faucet"); err != nil {
		return nil, err
	}
	account, err := genesis.NewAccount(w.Faucet.Address, big.Mul(big.NewInt(faucetFIL), oneFIL()))
	if err != nil {
		return nil, err
	}
	tmpl.Accounts = append(tmpl.Accounts, account)
	if w.cfg.Operations {
		if w.root, err = w.newKey(gscrypto.SigTypeSecp256k1, "registry root"); err != nil {
			return nil, err
		}
		if tmpl.VerifregRootKey, err = genesis.NewAccount(w.root.Address, big.Mul(big.NewInt(rootFIL), oneFIL())); err != nil {
			return nil, err
		}
	}
	seal, err := w.Net.SealProof(sectorSize)
	if err != nil {
		return nil, err
	}
	for i := range w.cfg.Miners {
		m, plan, err := w.newMiner(i, seal)
		if err != nil {
			return nil, fmt.Errorf("simulated miner %d: %w", i, err)
		}
		owner, err := genesis.NewAccount(m.Key.Address, big.Mul(big.NewInt(ownerFIL), oneFIL()))
		if err != nil {
			return nil, err
		}
		tmpl.Miners, tmpl.Accounts = append(tmpl.Miners, plan), append(tmpl.Accounts, owner)
		w.Miners = append(w.Miners, m)
	}
	return tmpl, nil
}

func (w *World) newMiner(i int, seal abi.RegisteredSealProof) (*Miner, genesis.Miner, error) {
	fail := func(err error) (*Miner, genesis.Miner, error) { return nil, genesis.Miner{}, err }
	key, err := w.newKey(gscrypto.SigTypeBLS, fmt.Sprintf("miner %d", i))
	if err != nil {
		return fail(err)
	}
	id, err := address.NewIDAddress(uint64(firstMiner + i))
	if err != nil {
		return fail(err)
	}
	m := &Miner{ID: id, Actor: abi.ActorID(firstMiner + i), Key: key, Sectors: i + 1, sent: map[abi.ChainEpoch]*postRecord{}}
	m.stats = MinerReport{Miner: id, Sectors: m.Sectors}
	plan := genesis.Miner{
		ID: id, Owner: key.Address, Worker: key.Address, PeerId: peer.ID(fmt.Sprintf("sim %d", i)),
		MarketBalance: big.Zero(), PowerBalance: big.Zero(), SectorSize: sectorSize,
	}
	for n := range m.Sectors {
		c := digest("sector", number(uint64(w.cfg.Seed)), number(uint64(i)), number(uint64(n)))[:32]
		c[31] &= 0x3f
		commR, err := commcid.ReplicaCommitmentV1ToCID(c)
		if err != nil {
			return fail(err)
		}
		commD, err := commcid.DataCommitmentV1ToCID(c)
		if err != nil {
			return fail(err)
		}
		plan.Sectors = append(plan.Sectors, &genesis.PreSeal{CommR: commR, CommD: commD, SectorID: abi.SectorNumber(n), ProofType: seal})
	}
	return m, plan, nil
}

func (w *World) openChain(ctx context.Context, header *types.BlockHeader) error {
	store, err := chain.Open(ctx, chain.Config{Network: w.Net, Blocks: w.cfg.Blocks, Meta: w.cfg.Meta})
	if err != nil && !errors.Is(err, chain.ErrNoGenesis) {
		return err
	}
	if err := store.SetGenesis(ctx, header); err != nil {
		return err
	}
	key, info, err := beaconOf(w.cfg, w.Net)
	if err != nil {
		return err
	}
	source, err := beacon.NewPrivate(key, info, beacon.Timing{GenesisTime: genesisTime, BlockDelay: w.Net.BlockDelay}, w.Clock)
	if err != nil {
		return err
	}
	if w.Schedule, err = beacon.NewSchedule(beacon.Point{Start: 0, Source: source}); err != nil {
		return err
	}
	w.Store = store
	if w.Exec, err = chain.NewExecutor(chain.ExecutorConfig{Store: store, Rounds: w.Schedule, Verifier: Verifier{}, Machine: w.machine}); err != nil {
		return err
	}
	w.Producer = consensus.NewProducer(w.Exec, w.Schedule)
	w.Validator, err = consensus.New(w.Exec, w.Schedule, Verifier{}, w.Clock)
	return err
}

func oneFIL() big.Int { return big.NewInt(1_000_000_000_000_000_000) }

// Package config is the sealer's config.toml and what follows from it and from
// the network: margins, back-offs, fees.
//
// Start at Config and Load. Invariants: the file holds tokens, so it is written
// with mode 0600; unknown keys are errors that name the key; every default works
// unchanged.
package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/miner"
	"github.com/pelletier/go-toml/v2"

	"github.com/filecoin-venus/venus/internal/fsutil"
	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/sealer/db"
	"github.com/filecoin-venus/venus/sealer/sector"
	"github.com/filecoin-venus/venus/types"
)

// DefaultDir is the sealer's directory unless said otherwise.
const DefaultDir = "~/.venussealer"

// DirEnv is the environment variable that names the directory.
const DirEnv = "VENUS_SEALER_PATH"

// FileName is the configuration's name in the directory.
const FileName = "config.toml"

// Config is the content of config.toml.
type Config struct {
	API       API       `toml:"API"`
	Network   Network   `toml:"Network"`
	Node      Service   `toml:"Node"`
	Messager  Messager  `toml:"Messager"`
	Sealing   Sealing   `toml:"Sealing"`
	Proving   Proving   `toml:"Proving"`
	Storage   Storage   `toml:"Storage"`
	Workers   Workers   `toml:"Workers"`
	Fees      Fees      `toml:"Fees"`
	Addresses Addresses `toml:"Addresses"`
	DB        db.Config `toml:"DB"`
}

// API is where the sealer listens.
type API struct {
	ListenAddress string `toml:"ListenAddress" comment:"multiaddr; 0.0.0.0 lets other machines in"`
}

// Network chooses the network by name, or by a network file.
type Network struct {
	Name string `toml:"Name" comment:"local, 2k, nerpa, calibnet, mainnet"`
	File string `toml:"File" comment:"a network file as 'venus genesis new' writes it; it wins over Name"`
}

// Service is another program with the token it wants.
type Service struct {
	URL   string `toml:"Url"`
	Token string `toml:"Token"`
}

// Messager is the messager and the name under which it knows the miner's wallet.
type Messager struct {
	URL    string `toml:"Url"`
	Token  string `toml:"Token"`
	Wallet string `toml:"Wallet"`
}

// Sealing are the pipeline's settings.
type Sealing struct {
	MaxSealingSectors int            `toml:"MaxSealingSectors" comment:"sectors under way at once, 0 = no limit"`
	Slots             int            `toml:"Slots" comment:"tasks that this process runs at once, 0 = as many as cores and memory allow"`
	Limits            map[string]int `toml:"Limits,omitempty" comment:"tasks of a kind that this process runs at once, such as PC1 = 1"`
	Tasks             []string       `toml:"Tasks" comment:"tasks that this process runs: AP PC1 PC2 C1 C2 FIN RU PRU; empty leaves all to venus-worker"`
	LeaseTerm         string         `toml:"LeaseTerm" comment:"a worker that is silent for so long loses its task"`
	LifetimeEpochs    int64          `toml:"LifetimeEpochs" comment:"life of a new sector, 0 = as long as the chain allows"`
	ParentCache       string         `toml:"ParentCache" comment:"folder of parent caches, for sectors above 8 MiB; empty is $FIL_PROOFS_PARENT_CACHE or where all Filecoin programs look"`
	Batching
	Deals
	Proofs string `toml:"Proofs" comment:"how proofs are made: trapdoor or crs (parameter files); empty = trapdoor on private networks, crs elsewhere"`
}

// Batching says when sectors share messages. Where the base fee is lower than the
// Above, messages of their own are cheaper, and nobody waits.
type Batching struct {
	BatchPreCommits            bool   `toml:"BatchPreCommits" comment:"let sectors share pre-commit messages when that is cheaper"`
	MinPreCommitBatch          int    `toml:"MinPreCommitBatch"`
	MaxPreCommitBatch          int    `toml:"MaxPreCommitBatch" comment:"at most 256"`
	PreCommitBatchWait         string `toml:"PreCommitBatchWait" comment:"longest wait for company"`
	PreCommitBatchSlack        string `toml:"PreCommitBatchSlack" comment:"a ticket that is good for no longer ends the wait"`
	BatchPreCommitAboveBaseFee string `toml:"BatchPreCommitAboveBaseFee" comment:"base fee from which sharing is cheaper: 0.25 nFIL by the actors' own fee"`
	AggregateCommits           bool   `toml:"AggregateCommits" comment:"aggregate proofs when that is cheaper; public networks need the file v28-fil-inner-product-v1.srs for it"`
	MinCommitBatch             int    `toml:"MinCommitBatch" comment:"at least 4"`
	MaxCommitBatch             int    `toml:"MaxCommitBatch" comment:"at most 819"`
	CommitBatchWait            string `toml:"CommitBatchWait"`
	CommitBatchSlack           string `toml:"CommitBatchSlack" comment:"a pre-commit that is good for no longer ends the wait"`
	AggregateAboveBaseFee      string `toml:"AggregateAboveBaseFee"`
	TerminateBatchMax          int    `toml:"TerminateBatchMax"`
	TerminateBatchWait         string `toml:"TerminateBatchWait"`
}

// Deals are the settings of data for sectors.
type Deals struct {
	MakeNewSectorForDeals   bool   `toml:"MakeNewSectorForDeals" comment:"begin new sectors for deals that no offered one has room for"`
	MaxWaitDealsSectors     int    `toml:"MaxWaitDealsSectors" comment:"how many new sectors may wait for deals at once"`
	WaitDealsDelay          string `toml:"WaitDealsDelay" comment:"longest wait of a deal for others to fill its sector with"`
	StartEpochSealingBuffer int64  `toml:"StartEpochSealingBuffer" comment:"deals that start in fewer epochs are refused, and sectors wait no longer at twice as many; 0 = 480, on private networks 60"`
}

// NewForDeals is how many new sectors may wait for deals.
func (d Deals) NewForDeals() int {
	if !d.MakeNewSectorForDeals {
		return 0
	}
	return max(d.MaxWaitDealsSectors, 1)
}

// Rule is the rule by which deals get their sectors, and how many epochs before its start a deal is still taken.
func (d Deals) Rule(n params.Network, size abi.SectorSize) (rule sector.DealRule, buffer abi.ChainEpoch, err error) {
	buffer = abi.ChainEpoch(d.StartEpochSealingBuffer)
	switch {
	case buffer < 0:
		return rule, 0, fmt.Errorf("Sealing.StartEpochSealingBuffer = %d: want 0 or more", d.StartEpochSealingBuffer)
	case buffer == 0 && n.Devnet:
		buffer = 60
	case buffer == 0:
		buffer = 480
	}
	rule = sector.DealRule{Size: abi.PaddedPieceSize(size), Most: int(miner.SectorDealsMax(size)), Buffer: 2 * buffer} // some hundred
	rule.Wait, err = Span("Sealing.WaitDealsDelay", d.WaitDealsDelay, 6*time.Hour)
	return rule, buffer, err
}

// Proving are the settings of window proofs.
type Proving struct {
	MaxPartitionsPerMessage int    `toml:"MaxPartitionsPerMessage" comment:"partitions in one proof and message; the chain's own limit (10 of 32 GiB) is kept in any case"`
	ParallelProofs          int    `toml:"ParallelProofs" comment:"window proofs that this process makes at once, 0 = no limit; each takes the memory of one, see 'venus-worker proofs bench'"`
	Workers                 string `toml:"Workers" comment:"who makes window proofs: prefer = workers that run with --window-post, and this process what none of them has begun or they fail at; local = this process; only = such workers, this process never: without them the deadline is lost"`
	DeclareFaults           bool   `toml:"DeclareFaults" comment:"declare bad sectors before the cutoff; else they are skipped in the proof, at the same cost"`
	CheckTimeout            string `toml:"CheckTimeout" comment:"a sector whose files cannot be read for so long is skipped"`
	OpenTimeout             string `toml:"OpenTimeout" comment:"a sector whose openings for a proof take so long is skipped; one read that hangs is given up after Storage.ReadTimeout"`
	ParallelChecks          int    `toml:"ParallelChecks"`
}

// Fees limit what messages may cost; FIL as text, empty = the messager's limit.
type Fees struct {
	MaxPreCommitGasFee  string `toml:"MaxPreCommitGasFee"`
	MaxCommitGasFee     string `toml:"MaxCommitGasFee" comment:"also for updates of sectors"`
	MaxWindowPoStGasFee string `toml:"MaxWindowPoStGasFee"`
	MaxTerminateGasFee  string `toml:"MaxTerminateGasFee" comment:"also for extensions and compactions"`
	MaxActorGasFee      string `toml:"MaxActorGasFee" comment:"withdrawals, debt, owner, worker, control addresses, peer id, multiaddrs"`
}

// Addresses pay before the worker does.
type Addresses struct {
	PreCommitControl []string `toml:"PreCommitControl"`
	CommitControl    []string `toml:"CommitControl" comment:"also for updates of sectors"`
	TerminateControl []string `toml:"TerminateControl" comment:"also for extensions and compactions; control addresses of the miner that stand in no list pay for window proofs"`
}

// Default is the configuration before any choice.
func Default() Config {
	return Config{
		API:     API{ListenAddress: "/ip4/127.0.0.1/tcp/2345/http"},
		Network: Network{Name: "mainnet"},
		Node:    Service{URL: "/ip4/127.0.0.1/tcp/3453"},
		Sealing: Sealing{LeaseTerm: "30s", Tasks: taskNames(), Batching: Batching{
			BatchPreCommits: true, MinPreCommitBatch: 2, MaxPreCommitBatch: 256, PreCommitBatchWait: "24h", PreCommitBatchSlack: "3h", BatchPreCommitAboveBaseFee: "0.25 nFIL",
			AggregateCommits: true, MinCommitBatch: 4, MaxCommitBatch: 819, CommitBatchWait: "24h", CommitBatchSlack: "1h", AggregateAboveBaseFee: "0.25 nFIL",
			TerminateBatchMax: 100, TerminateBatchWait: "5m",
		}, Deals: Deals{MaxWaitDealsSectors: 2, WaitDealsDelay: "6h"}},
		Proving:   Proving{MaxPartitionsPerMessage: 10, ParallelProofs: 2, Workers: "prefer", CheckTimeout: "30s", OpenTimeout: "5m", ParallelChecks: 32},
		Fees:      Fees{MaxPreCommitGasFee: "0.025", MaxCommitGasFee: "0.05", MaxWindowPoStGasFee: "5", MaxTerminateGasFee: "0.5", MaxActorGasFee: "0.05"},
		Addresses: Addresses{PreCommitControl: []string{}, CommitControl: []string{}, TerminateControl: []string{}},
		Storage:   Storage{StopAtPercent: 95, ReadOnlyAtPercent: 98, ReadTimeout: "30s", LookEvery: "10s"},
		Workers:   Workers{NATS: []string{}},
		DB:        db.Config{Type: "sqlite"},
	}
}

func taskNames() []string {
	var out []string
	for _, k := range sector.TaskKinds() {
		out = append(out, string(k))
	}
	return out
}

// Load reads a configuration over the defaults.
func Load(file string) (Config, error) {
	c := Default()
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return c, fmt.Errorf("%s is missing: run 'venus-sealer init' first: %w", file, err)
	}
	if err != nil {
		return c, fmt.Errorf("read configuration: %w", err)
	}
	dec := toml.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&c); err != nil {
		var strict *toml.StrictMissingError
		if errors.As(err, &strict) {
			return c, fmt.Errorf("configuration %s holds keys that do not exist:\n%s", file, strict.String())
		}
		return c, fmt.Errorf("read configuration %s: %w", file, err)
	}
	return c, nil
}

// Save writes a configuration durably, readable by its owner only.
func (c Config) Save(file string) error {
	b, err := toml.Marshal(c)
	if err != nil {
		return fmt.Errorf("encode configuration: %w", err)
	}
	return fsutil.WriteFileAtomic(file, b, 0o600)
}

// Params returns the network's parameters.
func (n Network) Params() (params.Network, error) {
	if n.File != "" {
		return params.Load(n.File)
	}
	return params.ByName(n.Name)
}

// NetworkOf tells a name from a file.
func NetworkOf(s string) Network {
	if strings.ContainsAny(s, "/\\") || strings.HasSuffix(s, ".json") {
		return Network{File: s}
	}
	return Network{Name: s}
}

// Policy are the machine's margins on a network. Devnets have short epochs and
// shallow reorgs: they wait less for certainty.
func Policy(n params.Network) sector.Policy {
	p := sector.Policy{
		PreCommitChallengeDelay: n.PreCommitChallengeDelay, SeedConfidence: 6,
		MaxTicketAge: n.MaxPreCommitRandLookback, TicketMargin: min(n.MaxPreCommitRandLookback/10, 120),
		MaxProveCommitDuration: n.MaxProveCommitDuration,
		BackoffBase:            max(2*n.BlockDelay, 2*time.Second), TaskBudget: 10, MessageBudget: 10, ResealBudget: 5,
		Finality: n.Finality,
	}
	if n.Devnet {
		p.SeedConfidence = 1
	}
	p.BackoffMax = 32 * p.BackoffBase
	return p
}

// Rules are the rules by which sectors share messages, by kind.
func (b Batching) Rules(n params.Network) (map[sector.Kind]sector.BatchRule, error) {
	out := map[sector.Kind]sector.BatchRule{}
	for _, x := range []struct {
		kind               sector.Kind
		name               string
		least, most        int
		min, max           int
		wait, slack, above string
		on                 bool
	}{
		{sector.KindPreCommit, "PreCommitBatch", 2, 256, b.MinPreCommitBatch, b.MaxPreCommitBatch, b.PreCommitBatchWait, b.PreCommitBatchSlack, b.BatchPreCommitAboveBaseFee, b.BatchPreCommits},
		{sector.KindCommit, "CommitBatch", 4, 819, b.MinCommitBatch, b.MaxCommitBatch, b.CommitBatchWait, b.CommitBatchSlack, b.AggregateAboveBaseFee, b.AggregateCommits},
		{sector.KindTerminate, "TerminateBatch", 1, 3000, 1, b.TerminateBatchMax, b.TerminateBatchWait, "", "", true},
	} {
		if !x.on {
			continue
		}
		if x.min < x.least || x.max > x.most || x.min > x.max {
			return nil, fmt.Errorf("Sealing: Min%s = %d and Max%s = %d: want %d <= min <= max <= %d", x.name, x.min, x.name, x.max, x.least, x.most)
		}
		r := sector.BatchRule{Min: x.min, Max: x.max}
		var err error
		if r.MaxWait, err = Span("Sealing."+x.name+"Wait", x.wait, time.Hour); err != nil {
			return nil, err
		}
		slack, err := Span("Sealing."+x.name+"Slack", x.slack, time.Hour)
		if err != nil {
			return nil, err
		}
		r.Slack = abi.ChainEpoch(slack / n.BlockDelay)
		if x.above != "" {
			fee, err := types.ParseFIL(x.above)
			if err != nil {
				return nil, fmt.Errorf("Sealing: base fee from which %s messages are shared: %w", x.kind, err)
			}
			r.Above = fee.Atto()
		}
		out[x.kind] = r
	}
	return out, nil
}

// Confidence is how deep a message must lie to count as landed.
func Confidence(n params.Network) int64 {
	if n.Devnet {
		return 1
	}
	return params.MessageConfidence
}

// Lifetime is the life of a new sector: what the chain allows from a pre-commit
// on, less two days of margin (sealer-miner.md 3).
func (s Sealing) Lifetime() abi.ChainEpoch {
	if s.LifetimeEpochs > 0 {
		return abi.ChainEpoch(s.LifetimeEpochs)
	}
	return 540*2880 - 2*2880
}

// Kinds are the tasks this process runs.
func (s Sealing) Kinds() ([]sector.TaskKind, error) { return KindsOf(s.Tasks) }

// KindsOf reads names of tasks: those of sealing, and those that are named beside.
func KindsOf(names []string, beside ...sector.TaskKind) ([]sector.TaskKind, error) {
	known := append(sector.TaskKinds(), beside...)
	var out []sector.TaskKind
	for _, name := range names {
		k := sector.TaskKind(strings.ToUpper(name))
		if !slices.Contains(known, k) {
			return nil, fmt.Errorf("task %q: want some of %v", name, known)
		}
		out = append(out, k)
	}
	return out, nil
}

// MaxFees are the limits by kind of message.
func (f Fees) MaxFees() (map[sector.Kind]abi.TokenAmount, error) {
	out := map[sector.Kind]abi.TokenAmount{}
	for kind, text := range map[sector.Kind]string{
		sector.KindPreCommit: f.MaxPreCommitGasFee, sector.KindCommit: f.MaxCommitGasFee, sector.KindUpdate: f.MaxCommitGasFee,
		sector.KindWindowPoSt: f.MaxWindowPoStGasFee, sector.KindRecover: f.MaxWindowPoStGasFee, sector.KindFault: f.MaxWindowPoStGasFee,
		sector.KindTerminate: f.MaxTerminateGasFee, sector.KindExtend: f.MaxTerminateGasFee, sector.KindCompact: f.MaxTerminateGasFee,
		sector.KindActor: f.MaxActorGasFee,
	} {
		if text == "" {
			continue
		}
		v, err := types.ParseFIL(text)
		if err != nil {
			return nil, fmt.Errorf("fee limit of %s messages: %w", kind, err)
		}
		out[kind] = v.Atto()
	}
	return out, nil
}

// Controls are the addresses that pay first, by kind of message.
func (a Addresses) Controls() (map[sector.Kind][]address.Address, error) {
	out := map[sector.Kind][]address.Address{}
	for kind, list := range map[sector.Kind][]string{sector.KindPreCommit: a.PreCommitControl, sector.KindCommit: a.CommitControl, sector.KindUpdate: a.CommitControl,
		sector.KindTerminate: a.TerminateControl, sector.KindExtend: a.TerminateControl, sector.KindCompact: a.TerminateControl} {
		for _, s := range list {
			addr, err := address.NewFromString(s)
			if err != nil {
				return nil, fmt.Errorf("control address %q: %w", s, err)
			}
			out[kind] = append(out[kind], addr)
		}
	}
	return out, nil
}

// Span parses a duration of the configuration.
func Span(name, text string, fallback time.Duration) (time.Duration, error) {
	if text == "" {
		return fallback, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("%s = %q: want a duration such as 30s", name, text)
	}
	return d, nil
}

package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/internal/fsutil"
	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/repo"
)

// FileConfig is config.json in the daemon's directory. What a flag says wins
// for one run; the network is fixed at the first start and lies in
// network.json.
type FileConfig struct {
	API       APIConfig       `json:"api"`
	Swarm     SwarmConfig     `json:"swarm"`
	Bootstrap BootstrapConfig `json:"bootstrap"`
	Beacon    BeaconConfig    `json:"beacon"`
	Wallet    WalletConfig    `json:"wallet"`
	Disk      DiskConfig      `json:"disk"`
	Prune     PruneConfig     `json:"prune"`
}

// PruneConfig says when the node drops what it does not need from its store, and what it keeps beside that. By itself it
// drops nothing: old states and messages are of use to those who ask for them.
type PruneConfig struct {
	// EveryHours and AboveMiB begin a pruning by themselves, the latter when that much was written since the last one; 0
	// never does.
	EveryHours uint64 `json:"everyHours"`
	AboveMiB   uint64 `json:"aboveMiB"`
	// KeepEpochs is for how many epochs states, receipts and messages stay; what finality and elections look back to stays
	// in any case. KeepMessages keeps the messages of all epochs.
	KeepEpochs   uint64 `json:"keepEpochs"`
	KeepMessages bool   `json:"keepMessages"`
}

// DiskConfig says how much of the disk is left alone. Below ReserveMiB nothing is written to the stores until there is
// room again: they would not survive a full disk. 0 writes to the end.
type DiskConfig struct {
	ReserveMiB uint64 `json:"reserveMiB"`
}

// WalletConfig names the venus-wallet that signs for callers of this node; empty
// for none. What the token may do there bounds what the node can be asked for.
type WalletConfig struct {
	URL   string `json:"url"`
	Token string `json:"token"`
}

// APIConfig says where clients reach the node.
type APIConfig struct {
	// VenusAuthURL is the venus-auth that judges tokens this node did not make.
	VenusAuthURL string `json:"venusAuthURL"`
	// APIAddress is a multiaddr.
	APIAddress string `json:"apiAddress"`
	// AccessControlAllowOrigin lists web origins whose pages may call.
	AccessControlAllowOrigin []string `json:"accessControlAllowOrigin"`
}

// SwarmConfig says where peers reach the node.
type SwarmConfig struct {
	Address string `json:"address"`
	// Announce are multiaddrs that peers are told instead, where they reach us by others than Address.
	Announce []string `json:"announce"`
}

// BootstrapConfig lists the peers to start from, beside those of the network.
type BootstrapConfig struct {
	Addresses []string `json:"addresses"`
}

// BeaconConfig lists drand servers to ask instead of the network's own.
type BeaconConfig struct {
	Servers []string `json:"servers"`
}

// DefaultRepo is where the daemon lives unless told otherwise.
const DefaultRepo = "~/.venus"

const (
	configName  = "config.json"
	networkName = "network.json"
)

func defaultConfig() FileConfig {
	return FileConfig{
		API: APIConfig{APIAddress: "/ip4/127.0.0.1/tcp/3453", AccessControlAllowOrigin: []string{
			"http://localhost:8080", "https://localhost:8080", "http://127.0.0.1:8080", "https://127.0.0.1:8080",
		}},
		Swarm:     SwarmConfig{Address: "/ip4/0.0.0.0/tcp/0", Announce: []string{}},
		Bootstrap: BootstrapConfig{Addresses: []string{}},
		Beacon:    BeaconConfig{Servers: []string{}},
		Disk:      DiskConfig{ReserveMiB: 256},
	}
}

// loadConfig reads config.json, and writes the defaults on the first start.
func loadConfig(r *repo.Repo) (FileConfig, error) {
	cfg := defaultConfig()
	b, err := os.ReadFile(r.Path(configName))
	if errors.Is(err, fs.ErrNotExist) {
		return cfg, saveJSON(r.Path(configName), cfg)
	}
	if err != nil {
		return cfg, fmt.Errorf("read %s: %w", r.Path(configName), err)
	}
	if err := json.Unmarshal(b, &cfg); err != nil {
		return cfg, fmt.Errorf("%s is not valid JSON: %w; mend it or move it away to get a fresh one", r.Path(configName), err)
	}
	return cfg, nil
}

func saveJSON(path string, v any) error {
	b, err := json.MarshalIndent(v, "", "\t")
	if err != nil {
		return fmt.Errorf("encode %s: %w", path, err)
	}
	return fsutil.WriteFileAtomic(path, append(b, '\n'), 0o600)
}

// Options are what a start of the daemon may say; empty fields mean "as
// configured".
type Options struct {
	Repo string
	// Network is a name (params.ByName) or the path of a network file. It is
	// needed at the first start unless the genesis file carries its network.
	Network string
	// GenesisFile is a genesis CAR, needed at the first start.
	GenesisFile string
	// Snapshot is a chain to take in before anything else starts. Chain is one to run from the beginning then, without
	// trusting its states.
	Snapshot, Chain SnapshotOptions
	AuthURL         string
	API             string // multiaddr
	Swarm           string // multiaddr
	Announce        []string
	Bootstrap       []string
	// BeaconServers replace the network's drand servers.
	BeaconServers []string
	// WalletURL and WalletToken name a venus-wallet.
	WalletURL, WalletToken string
	// Offline keeps the node away from peers.
	Offline bool
	Version string
	Clock   clock.Clock
	// ClockOffset makes this node's clock wrong on purpose; devnets only.
	ClockOffset time.Duration
	// ProofCache keeps verifying keys; empty means the machine's cache.
	ProofCache string

	// free replaces the look at the disk in tests.
	free func() (uint64, error)
	// grace replaces what prunings wait, for tests.
	grace time.Duration
}

// chooseNetwork finds the network's parameters: recorded at the first start,
// from the genesis file, or by name.
func chooseNetwork(r *repo.Repo, o Options, fromGenesis *params.Network) (params.Network, error) {
	recorded, err := params.Load(r.Path(networkName))
	switch {
	case err == nil:
		if o.Network != "" && !sameNetwork(o.Network, recorded) {
			return recorded, api.Errorf(api.CodePrecondition, "%s holds network %s, not %s", r.Root(), recorded.Name, o.Network).
				WithHint("use another --repo for another network")
		}
		return recorded, nil
	case !errors.Is(err, fs.ErrNotExist):
		return params.Network{}, err
	}
	var net params.Network
	switch {
	case fromGenesis != nil:
		if o.Network != "" && !sameNetwork(o.Network, *fromGenesis) {
			return net, api.Errorf(api.CodeInvalid, "genesis file %s is of network %s, not %s", o.GenesisFile, fromGenesis.Name, o.Network).
				WithHint("leave --network out, or give the genesis of that network")
		}
		net = *fromGenesis
	case o.Network == "":
		return net, api.Errorf(api.CodeInvalid, "which network?").WithHint("say --network NAME, or give a --genesisfile made by `venus genesis new`")
	case isFile(o.Network):
		if net, err = params.Load(o.Network); err != nil {
			return net, err
		}
	default:
		if net, err = params.ByName(o.Network); err != nil {
			return net, api.Errorf(api.CodeInvalid, "--network: %w", err)
		}
	}
	return net, net.Validate()
}

func isFile(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.Mode().IsRegular()
}

// sameNetwork compares what an operator typed with parameters at hand.
func sameNetwork(typed string, net params.Network) bool {
	if isFile(typed) {
		n, err := params.Load(typed)
		return err == nil && n.GenesisCID == net.GenesisCID
	}
	n, err := params.ByName(typed)
	return err == nil && n.Name == net.Name
}

// epochAge is how old a head may be before health calls the node behind.
func epochAge(delay time.Duration) time.Duration { return 30*time.Second + 20*delay }

package params

import (
	"encoding/json"
	"fmt"
	"os"
	"sort"
	"strings"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/go-state-types/network"

	"github.com/filecoin-venus/venus/internal/fsutil"
)

const (
	epochsPerDay = abi.ChainEpoch(2880)
	kib          = 1 << 10
	mib          = 1 << 20
	gib          = 1 << 30
	tib          = 1 << 40
)

var builders = map[string]func() Network{
	"local": local, "2k": twoK, "nerpa": nerpa, "calibnet": calibnet, "mainnet": mainnet,
}

// aliases are names that older commands and guides use.
var aliases = map[string]string{"cali": "calibnet", "calibration": "calibnet", "testnetnet": "mainnet", "nerpanet": "nerpa", "devnet": "2k"}

// Names lists the networks in alphabetical order.
func Names() []string {
	out := make([]string, 0, len(builders))
	for n := range builders {
		out = append(out, n)
	}
	sort.Strings(out)
	return out
}

// ByName returns the parameters of a named network, each call a fresh value.
func ByName(name string) (Network, error) {
	key := strings.ToLower(strings.TrimSpace(name))
	if a, ok := aliases[key]; ok {
		key = a
	}
	build, ok := builders[key]
	if !ok {
		return Network{}, fmt.Errorf("network %q is unknown; choose one of %s, or pass a network file", name, strings.Join(Names(), ", "))
	}
	return build(), nil
}

// Load reads a network file, the JSON of a Network as `venus genesis new`
// writes it, and validates it.
func Load(path string) (Network, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return Network{}, fmt.Errorf("read network file: %w", err)
	}
	var n Network
	if err := json.Unmarshal(b, &n); err != nil {
		return Network{}, fmt.Errorf("read network file %s: %w", path, err)
	}
	if err := n.Validate(); err != nil {
		return Network{}, fmt.Errorf("network file %s: %w", path, err)
	}
	return n, nil
}

// Save writes a network file.
func (n *Network) Save(path string) error {
	b, err := json.MarshalIndent(n, "", "\t")
	if err != nil {
		return fmt.Errorf("encode network %s: %w", n.Name, err)
	}
	return fsutil.WriteFileAtomic(path, append(b, '\n'), 0o644)
}

// public is what mainnet and its test networks share (node.md 7,
// actors-v7-miner.md 2).
func public() Network {
	return Network{
		AddressPrefix: "t", BlockDelay: 30 * time.Second, PropagationDelay: 6 * time.Second,
		Finality: 900, WinningPoStLookback: 900, SealRandomnessLookback: 900,
		ChallengeWindow: 60, DisputeWindow: 1800, FaultMaxAge: 42 * epochsPerDay,
		PreCommitChallengeDelay: 150, MaxProveCommitDuration: 30*epochsPerDay + 150, MaxPreCommitRandLookback: epochsPerDay + 900,
		RewardVestPeriod: 180 * epochsPerDay, RewardVestStep: epochsPerDay, RewardVestQuantization: 1440,
		DealMinDuration: 180 * epochsPerDay, DealMaxDuration: 540 * epochsPerDay,
		MinVerifiedDealSize: big.NewInt(mib),
		Beacons:             []Beacon{drandMainnet(0)},
		Vesting: []Vesting{
			{0, 10_632_000}, {183 * epochsPerDay, 19_015_887 + 32_787_700}, {365 * epochsPerDay, 22_421_712 + 9_400_000},
			{730 * epochsPerDay, 7_223_364}, {1095 * epochsPerDay, 87_637_883 + 898_958}, {2190 * epochsPerDay, 100_000_000 + 300_000_000 + 9_805_053},
		},
	}
}

func drandMainnet(start abi.ChainEpoch) Beacon {
	return Beacon{
		Start: start, Scheme: BeaconChained, Period: 30 * time.Second, GenesisTime: 1595431050,
		ChainHash: "8990e7a9aaed2ffed73dbd7092123d6f289930540d7651336225dc172e51b2ce",
		PublicKey: "868f005eb8e6e4ca0a47c8a77ceaa5309a47978a7c71bc5cce96366b5d7a569937c529eeda66c7293784a9402801af31",
		Servers:   []string{"https://api.drand.sh", "https://api2.drand.sh", "https://api3.drand.sh", "https://drand.cloudflare.com"},
	}
}

func mainnet() Network {
	n := public()
	n.Name, n.GenesisName, n.AddressPrefix = "mainnet", "testnetnet", "f"
	n.GenesisCID = "bafy2bzacecnamqgqmifpluoeldx7zzglxcljo6oja4vrmtj7432rphldpdmm2"
	n.MinConsensusPower = big.NewInt(10 * tib)
	n.SectorSizes = []abi.SectorSize{32 * gib, 64 * gib}
	n.Liftoff = 148888
	n.Upgrades = versions(41280, 51000, 94000, 138720, 148888, 170000, 265200, 272400, 336458, 550321, 665280, 712320, 892800, 1231620, 1594680)
	n.Beacons = []Beacon{{
		Start: 0, Scheme: BeaconChained, Period: 30 * time.Second, GenesisTime: 1595873820,
		ChainHash: "80c8b872c714f4c00fdd3daa465d5514049f457f01f85a4caf68cdcd394ba039",
		PublicKey: "8cad0c72c606ab27d36ee06de1d5b2db1faf92e447025ca37575ab3a8aac2eaae83192f846fc9e158bc738423753d000",
	}, drandMainnet(51000)}
	return n
}

func calibnet() Network {
	n := public()
	n.Name, n.GenesisName = "calibnet", "calibrationnet"
	n.GenesisCID = "bafy2bzacecz3trtejxtzix4f4eebs7dekm6snfsmvffiqz2rfx7iwgsgtieq4"
	n.MinConsensusPower = big.NewInt(32 * gib)
	n.SectorSizes = []abi.SectorSize{32 * gib, 64 * gib}
	n.Liftoff = -5
	n.Upgrades = versions(-1, -2, -3, 30, -5, 90, 120, 240, 300, 330, 360, 390, 420, never, never)
	return n
}

func nerpa() Network {
	n := public()
	n.Name, n.GenesisName = "nerpa", "nerpanet"
	n.GenesisCID = "bafy2bzacedmcupeo44orsday5hgxcgyqxh7ooorsxbp7y3sbpthfpsz6jdjoq"
	n.MinConsensusPower = big.NewInt(4 * tib)
	n.SectorSizes = []abi.SectorSize{512 * mib, 32 * gib, 64 * gib}
	n.PreCommitChallengeDelay = 10
	n.Liftoff = -5
	n.Upgrades = versions(-1, -1, -2, 30, -5, 90, 100, 220, 300, 600, 201000, 203000, 379178, never, never)
	return n
}

// Private gives a network's parameters to a private network, to rehearse with sector sizes, windows and lookbacks of a public
// one: a devnet of another name, with network version 15 from the start, where one sector is power enough, and whose beacon,
// proof seed and genesis are yet to be made. A private network is its own already.
func (n Network) Private() Network {
	if n.Devnet {
		return n
	}
	two := twoK()
	n.Name, n.GenesisName, n.AddressPrefix, n.GenesisCID = n.Name+"-private", n.GenesisName+"-private", two.AddressPrefix, ""
	n.Devnet, n.ProofSeed = true, []byte("venus "+n.Name+" devnet")
	n.MinConsensusPower = big.NewInt(int64(n.SectorSizes[0]))
	n.Liftoff, n.Upgrades, n.Beacons = two.Liftoff, two.Upgrades, nil
	return n
}

// versions pairs upgrade heights with the network versions they bring, in the
// order of node.md 7: Breeze, Smoke, Ignition/Refuel, Assembly, Liftoff/Tape,
// Kumquat, Calico, Persian, Orange, Trust, Norwegian, Turbo, Hyperdrive,
// Chocolate, OhSnap.
func versions(heights ...abi.ChainEpoch) []Upgrade {
	out := make([]Upgrade, 0, len(heights))
	for i, h := range heights {
		if h != never {
			out = append(out, Upgrade{Height: h, Version: network.Version(i + 1)})
		}
	}
	return out
}

func twoK() Network {
	n := public()
	n.Name, n.GenesisName = "2k", "localnet"
	n.Devnet, n.ProofSeed = true, []byte("venus 2k devnet")
	n.BlockDelay, n.PropagationDelay = 4*time.Second, time.Second
	n.MinConsensusPower, n.MinVerifiedDealSize = big.NewInt(2*kib), big.NewInt(256)
	n.SectorSizes = []abi.SectorSize{2 * kib, 8 * mib}
	n.PreCommitChallengeDelay = 10
	n.Liftoff = -6
	n.Upgrades = []Upgrade{{Height: -1, Version: network.Version15}}
	return n
}

// local is the network of venus-cluster. Every duration that the actors let us
// set is shortened together: at one second an epoch a proving period lasts
// 16 minutes (48 windows of 20, the least the challenge lookback allows), and
// power counts in elections 60 epochs after it appears. Min and max sector
// lifetimes stay the actors' constants.
func local() Network {
	n := public()
	n.Name, n.GenesisName = "local", "local"
	n.Devnet, n.ProofSeed = true, []byte("venus local devnet")
	n.BlockDelay, n.PropagationDelay = time.Second, 0
	n.MinConsensusPower, n.MinVerifiedDealSize = big.NewInt(2*kib), big.NewInt(256)
	n.SectorSizes = []abi.SectorSize{2 * kib, 8 * mib}
	n.Finality, n.WinningPoStLookback, n.SealRandomnessLookback = 120, 60, 60
	n.ChallengeWindow, n.DisputeWindow = 20, 240
	n.FaultMaxAge = 42 * n.ProvingPeriod()
	n.PreCommitChallengeDelay = 10
	n.MaxProveCommitDuration = 30*n.ProvingPeriod() + n.PreCommitChallengeDelay
	n.MaxPreCommitRandLookback = n.ProvingPeriod() + n.Finality
	n.RewardVestPeriod, n.RewardVestStep, n.RewardVestQuantization = 180*n.ProvingPeriod(), n.ProvingPeriod(), n.ProvingPeriod()/2
	n.DealMinDuration, n.DealMaxDuration = 2*n.ProvingPeriod(), 540*epochsPerDay
	n.Liftoff = -6
	n.Upgrades = []Upgrade{{Height: -1, Version: network.Version15}}
	n.Beacons = nil // made with the genesis
	return n
}

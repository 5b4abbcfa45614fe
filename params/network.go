// Package params holds what distinguishes one Filecoin network from another,
// as one value: [Network]. It is made once, by [ByName] or from a network file
// ([Load]), and handed down through constructors; no part of the program keeps
// network parameters of its own, and one binary serves every network.
//
// The one exception is forced by the actors' library, whose policy lives in
// package variables: params/policy sets them, once, before anything else.
//
// Invariant: a value that passes [Network.Validate] satisfies every relation
// between parameters that actors and consensus rely on.
package params

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/go-state-types/network"
)

// What no network changes: the protocol's own numbers (node.md 7).
const (
	// BlockGasLimit bounds the sum of gas limits in one block.
	BlockGasLimit = 10_000_000_000
	// BlockGasTarget is where the base fee stands still.
	BlockGasTarget = BlockGasLimit / 2
	// BlockMessageLimit bounds the messages of one block.
	BlockMessageLimit = 10_000
	// MinimumBaseFee is in attoFIL per gas unit.
	MinimumBaseFee = 100
	// InitialBaseFee is the base fee of a genesis block.
	InitialBaseFee = 100_000_000
	// ExpectedLeadersPerEpoch is the mean number of wins of an epoch.
	ExpectedLeadersPerEpoch = 5
	// PostDeadlines is the number of deadlines of a proving period.
	PostDeadlines = 48
	// PostChallengeLookback is how far before a deadline opens its challenge is
	// drawn; a constant of the actors.
	PostChallengeLookback = abi.ChainEpoch(20)
	// TicketRandomnessLookback separates a block from the epoch its ticket draws on.
	TicketRandomnessLookback = abi.ChainEpoch(1)
	// AllowableClockDrift is how far in the future a block's time may lie.
	AllowableClockDrift = time.Second
	// MessageConfidence is the number of epochs after which services call an
	// execution settled.
	MessageConfidence = 5
	// MaxMessageSize bounds a signed message in the pool, in bytes.
	MaxMessageSize = 64 << 10
	// TotalFIL is the supply that can ever exist, in whole FIL.
	TotalFIL = 2_000_000_000
	// MiningReserveFIL is what the reward actor starts with.
	MiningReserveFIL = 1_100_000_000
	// ReserveFIL is the initial balance of f090 on public networks.
	ReserveFIL = 300_000_000
)

// Upgrade is a change of the network version. The version holds for epochs
// above Height; a negative height means from genesis.
type Upgrade struct {
	Height  abi.ChainEpoch
	Version network.Version
}

// BeaconScheme names how a randomness beacon signs (facts: node.md 5).
type BeaconScheme string

// The drand schemes a node can verify.
const (
	// BeaconChained signs sha256(previous signature || round), signatures on G2.
	BeaconChained BeaconScheme = "pedersen-bls-chained"
	// BeaconUnchained signs sha256(round), signatures on G2.
	BeaconUnchained BeaconScheme = "pedersen-bls-unchained"
	// BeaconQuicknet signs sha256(round), signatures on G1 (RFC 9380).
	BeaconQuicknet BeaconScheme = "bls-unchained-g1-rfc9380"
)

// Beacon is a drand chain: its public facts and where to fetch it.
type Beacon struct {
	// Start is the first epoch that uses this beacon.
	Start       abi.ChainEpoch
	Scheme      BeaconScheme
	PublicKey   string // hex
	ChainHash   string // hex
	GenesisTime int64  // Unix seconds of round 1
	Period      time.Duration
	Servers     []string
}

// Vesting is a row of the genesis vesting schedule: Amount whole FIL released
// linearly over Duration epochs from the lift-off epoch; all at once when 0.
type Vesting struct {
	Duration abi.ChainEpoch
	Amount   int64
}

// Network is everything a program must know about the network it serves.
// Durations counted in epochs are abi.ChainEpoch.
type Network struct {
	// Name is what operators type: local, 2k, nerpa, calibnet, mainnet.
	Name string
	// GenesisName is the network's name in the init actor's state and in topics.
	GenesisName string
	// Devnet marks networks whose proofs may be made with the trapdoor prover.
	// Public networks never set it, and nodes and provers refuse the trapdoor
	// without it.
	Devnet bool
	// ProofSeed derives the verifying keys of a devnet.
	ProofSeed []byte `json:",omitempty"`
	// AddressPrefix is "f" or "t"; it only concerns printing.
	AddressPrefix string
	// GenesisCID is the CID of the genesis block, empty when any is accepted.
	GenesisCID string `json:",omitempty"`
	// Bootstrap lists multiaddrs of peers to start from.
	Bootstrap []string `json:",omitempty"`

	BlockDelay       time.Duration
	PropagationDelay time.Duration
	Upgrades         []Upgrade

	// Finality is the depth below which a fork is refused.
	Finality abi.ChainEpoch
	// WinningPoStLookback is how far back election power and sectors are read.
	WinningPoStLookback abi.ChainEpoch
	// SealRandomnessLookback is how far behind the head a seal ticket is drawn.
	SealRandomnessLookback abi.ChainEpoch

	ChallengeWindow          abi.ChainEpoch
	DisputeWindow            abi.ChainEpoch
	FaultMaxAge              abi.ChainEpoch
	PreCommitChallengeDelay  abi.ChainEpoch
	MaxProveCommitDuration   abi.ChainEpoch
	MaxPreCommitRandLookback abi.ChainEpoch
	RewardVestPeriod         abi.ChainEpoch
	RewardVestStep           abi.ChainEpoch
	RewardVestQuantization   abi.ChainEpoch
	DealMinDuration          abi.ChainEpoch
	DealMaxDuration          abi.ChainEpoch

	// MinConsensusPower is the raw power, in bytes, from which a miner counts.
	MinConsensusPower abi.StoragePower
	// MinVerifiedDealSize is in bytes.
	MinVerifiedDealSize abi.StoragePower
	// SectorSizes are the sizes new sectors may have.
	SectorSizes []abi.SectorSize

	Beacons []Beacon
	// Liftoff is the epoch the vesting schedule starts from.
	Liftoff abi.ChainEpoch
	Vesting []Vesting
}

// ProvingPeriod is the time in which every sector is proven once.
func (n *Network) ProvingPeriod() abi.ChainEpoch { return n.ChallengeWindow * PostDeadlines }

// VersionAt is the network version that judges epoch h.
func (n *Network) VersionAt(h abi.ChainEpoch) network.Version {
	v := network.Version0
	for _, u := range n.Upgrades {
		if h > u.Height || u.Height < 0 {
			v = u.Version
		}
	}
	return v
}

// MachineVersion is the one network version this program can execute.
const MachineVersion = network.Version15

// CanExecute returns an error that names the version needed when epoch h is
// outside of what this program can execute.
func (n *Network) CanExecute(h abi.ChainEpoch) error {
	if v := n.VersionAt(h); v != MachineVersion {
		return fmt.Errorf("epoch %d of network %s is network version %d; this node executes version %d only", h, n.Name, v, MachineVersion)
	}
	return nil
}

// SealProof is the proof type of new sectors of a size (V1_1).
func (n *Network) SealProof(size abi.SectorSize) (abi.RegisteredSealProof, error) {
	for _, s := range n.SectorSizes {
		if s == size {
			return sealProofs[size], nil
		}
	}
	return 0, fmt.Errorf("sector size %d is not used on network %s; it has %v", size, n.Name, n.SectorSizes)
}

var sealProofs = map[abi.SectorSize]abi.RegisteredSealProof{
	2 << 10:   abi.RegisteredSealProof_StackedDrg2KiBV1_1,
	8 << 20:   abi.RegisteredSealProof_StackedDrg8MiBV1_1,
	512 << 20: abi.RegisteredSealProof_StackedDrg512MiBV1_1,
	32 << 30:  abi.RegisteredSealProof_StackedDrg32GiBV1_1,
	64 << 30:  abi.RegisteredSealProof_StackedDrg64GiBV1_1,
}

// AddressNetwork is the prefix as the address library has it.
func (n *Network) AddressNetwork() address.Network {
	if n.AddressPrefix == address.MainnetPrefix {
		return address.Mainnet
	}
	return address.Testnet
}

// AddressNetworkOf is the prefix of addresses on the network that nodes call
// genesisName; networks that are not known here are test networks.
func AddressNetworkOf(genesisName string) address.Network {
	if main, err := ByName("mainnet"); err == nil && main.GenesisName == genesisName {
		return address.Mainnet
	}
	return address.Testnet
}

// BeaconAt is the beacon in force at an epoch.
func (n *Network) BeaconAt(h abi.ChainEpoch) (Beacon, error) {
	for i := len(n.Beacons) - 1; i >= 0; i-- {
		if h >= n.Beacons[i].Start {
			return n.Beacons[i], nil
		}
	}
	return Beacon{}, fmt.Errorf("network %s has no beacon at epoch %d", n.Name, h)
}

// BlockDelaySecs is the length of an epoch in seconds.
func (n *Network) BlockDelaySecs() uint64 { return uint64(n.BlockDelay / time.Second) }

// Validate checks the relations that the actors and consensus rely on
// (node-nv15.md 4.9).
func (n *Network) Validate() error {
	w, p := n.ChallengeWindow, n.ProvingPeriod()
	switch {
	case n.Name == "" || n.GenesisName == "":
		return errors.New("network without a name")
	case n.BlockDelay < time.Second || n.BlockDelay%time.Second != 0:
		return fmt.Errorf("network %s: block delay %s is not a whole number of seconds", n.Name, n.BlockDelay)
	case n.PropagationDelay < 0 || n.PropagationDelay >= n.BlockDelay:
		return fmt.Errorf("network %s: propagation delay %s must be shorter than the block delay %s", n.Name, n.PropagationDelay, n.BlockDelay)
	case w < PostChallengeLookback:
		return fmt.Errorf("network %s: challenge window of %d epochs is shorter than the challenge lookback %d", n.Name, w, PostChallengeLookback)
	case 3*w+n.DisputeWindow > p:
		return fmt.Errorf("network %s: three challenge windows and the dispute window (%d) exceed the proving period (%d)", n.Name, n.DisputeWindow, p)
	case n.DisputeWindow <= n.Finality:
		return fmt.Errorf("network %s: the dispute window (%d) must exceed finality (%d)", n.Name, n.DisputeWindow, n.Finality)
	case n.WinningPoStLookback > n.Finality:
		return fmt.Errorf("network %s: the election lookback (%d) exceeds finality (%d)", n.Name, n.WinningPoStLookback, n.Finality)
	case n.MaxProveCommitDuration <= n.PreCommitChallengeDelay:
		return fmt.Errorf("network %s: no time to prove between challenge delay %d and %d", n.Name, n.PreCommitChallengeDelay, n.MaxProveCommitDuration)
	case n.AddressPrefix != "f" && n.AddressPrefix != "t":
		return fmt.Errorf("network %s: address prefix %q, want f or t", n.Name, n.AddressPrefix)
	case len(n.SectorSizes) == 0:
		return fmt.Errorf("network %s: no sector sizes", n.Name)
	case n.Devnet && len(n.ProofSeed) == 0:
		return fmt.Errorf("network %s: a devnet needs a proof seed", n.Name)
	case !n.Devnet && len(n.ProofSeed) != 0:
		return fmt.Errorf("network %s: a proof seed on a network that is not a devnet", n.Name)
	case n.MinConsensusPower.Int == nil || n.MinVerifiedDealSize.Int == nil:
		return fmt.Errorf("network %s: minimum power and minimum verified deal size must be set", n.Name)
	}
	for _, s := range n.SectorSizes {
		if _, ok := sealProofs[s]; !ok {
			return fmt.Errorf("network %s: %d is not a Filecoin sector size", n.Name, s)
		}
	}
	return nil
}

// BaseFeeFloor is MinimumBaseFee as an amount.
func BaseFeeFloor() abi.TokenAmount { return big.NewInt(MinimumBaseFee) }

// never is the height of an upgrade that a network has not scheduled.
const never = abi.ChainEpoch(math.MaxInt64 - 1)

package node

import (
	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-bitfield"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/ipfs/go-cid"
)

// NetworkParams are the constants of a network (node-nv15.md 6.4).
// ForkUpgradeParams maps "Upgrade<Name>Height" to an epoch.
type NetworkParams struct {
	NetworkName             string
	BlockDelaySecs          uint64
	ConsensusMinerMinPower  big.Int
	SupportedProofTypes     []abi.RegisteredSealProof
	PreCommitChallengeDelay abi.ChainEpoch
	ForkUpgradeParams       map[string]abi.ChainEpoch
}

// ActorState is a decoded builtin actor.
type ActorState struct {
	Balance abi.TokenAmount
	Code    cid.Cid
	State   any
}

// CirculatingSupply is the supply as the VM sees it, in attoFIL.
type CirculatingSupply struct {
	FilVested           abi.TokenAmount
	FilMined            abi.TokenAmount
	FilBurnt            abi.TokenAmount
	FilLocked           abi.TokenAmount
	FilCirculating      abi.TokenAmount
	FilReserveDisbursed abi.TokenAmount
}

// MinerInfo is the public record of a miner. PeerId is null when unset;
// Multiaddrs are binary multiaddresses; WorkerChangeEpoch is -1 when no change
// is pending.
type MinerInfo struct {
	Owner                      address.Address
	Worker                     address.Address
	NewWorker                  address.Address
	ControlAddresses           []address.Address
	WorkerChangeEpoch          abi.ChainEpoch
	PeerId                     *string //nolint:revive // the field's spelling
	Multiaddrs                 []abi.Multiaddrs
	WindowPoStProofType        abi.RegisteredPoStProof
	SectorSize                 abi.SectorSize
	WindowPoStPartitionSectors uint64
	ConsensusFaultElapsed      abi.ChainEpoch
}

// Claim is a power in bytes.
type Claim struct {
	RawBytePower    abi.StoragePower
	QualityAdjPower abi.StoragePower
}

// MinerPower is the power of a miner and of the network. HasMinPower tells
// whether the miner may win blocks.
type MinerPower struct {
	MinerPower  Claim
	TotalPower  Claim
	HasMinPower bool
}

// Deadline is one proving window of a miner.
type Deadline struct {
	PostSubmissions      bitfield.BitField
	DisputableProofCount uint64
}

// Partition is the unit of a window proof.
type Partition struct {
	AllSectors        bitfield.BitField
	FaultySectors     bitfield.BitField
	RecoveringSectors bitfield.BitField
	LiveSectors       bitfield.BitField
	ActiveSectors     bitfield.BitField
}

// MinerSectors counts a miner's sectors.
type MinerSectors struct {
	Live   uint64
	Active uint64
	Faulty uint64
}

// SectorExpiration is an epoch on time and, when a fault will end the sector
// earlier, an early one; 0 = none.
type SectorExpiration struct {
	OnTime abi.ChainEpoch
	Early  abi.ChainEpoch
}

// SectorLocation is where a sector is proven.
type SectorLocation struct {
	Deadline  uint64
	Partition uint64
}

// SectorOnChainInfo is the record of a proven sector; weights in bytes times
// epochs, amounts in attoFIL.
type SectorOnChainInfo struct {
	SectorNumber          abi.SectorNumber
	SealProof             abi.RegisteredSealProof
	SealedCID             cid.Cid
	DealIDs               []abi.DealID
	Activation            abi.ChainEpoch
	Expiration            abi.ChainEpoch
	DealWeight            abi.DealWeight
	VerifiedDealWeight    abi.DealWeight
	InitialPledge         abi.TokenAmount
	ExpectedDayReward     abi.TokenAmount
	ExpectedStoragePledge abi.TokenAmount
	SectorKeyCID          *cid.Cid
}

// SectorPreCommitInfo is what a provider commits to before proving.
type SectorPreCommitInfo struct {
	SealProof              abi.RegisteredSealProof
	SectorNumber           abi.SectorNumber
	SealedCID              cid.Cid
	SealRandEpoch          abi.ChainEpoch
	DealIDs                []abi.DealID
	Expiration             abi.ChainEpoch
	ReplaceCapacity        bool
	ReplaceSectorDeadline  uint64
	ReplaceSectorPartition uint64
	ReplaceSectorNumber    abi.SectorNumber
}

// SectorPreCommitOnChainInfo is a pre-commit that landed.
type SectorPreCommitOnChainInfo struct {
	Info               SectorPreCommitInfo
	PreCommitDeposit   abi.TokenAmount
	PreCommitEpoch     abi.ChainEpoch
	DealWeight         abi.DealWeight
	VerifiedDealWeight abi.DealWeight
}

// MarketBalance is what an address holds in the storage market, in attoFIL.
type MarketBalance struct {
	Escrow big.Int
	Locked big.Int
}

// DealProposal is a deal as agreed.
type DealProposal struct {
	PieceCID             cid.Cid
	PieceSize            abi.PaddedPieceSize
	VerifiedDeal         bool
	Client               address.Address
	Provider             address.Address
	Label                string
	StartEpoch           abi.ChainEpoch
	EndEpoch             abi.ChainEpoch
	StoragePricePerEpoch abi.TokenAmount
	ProviderCollateral   abi.TokenAmount
	ClientCollateral     abi.TokenAmount
}

// DealState is how far a deal is; -1 = not yet.
type DealState struct {
	SectorStartEpoch abi.ChainEpoch
	LastUpdatedEpoch abi.ChainEpoch
	SlashEpoch       abi.ChainEpoch
}

// MarketDeal is a deal on the chain.
type MarketDeal struct {
	Proposal DealProposal
	State    DealState
}

// CollateralBounds are the least and the most a provider may put up, in attoFIL.
type CollateralBounds struct {
	Min abi.TokenAmount
	Max abi.TokenAmount
}

// MsigVesting is the lock of a multisig.
type MsigVesting struct {
	InitialBalance abi.TokenAmount
	StartEpoch     abi.ChainEpoch
	UnlockDuration abi.ChainEpoch
}

// MsigTransaction is a transaction that waits for approvals.
type MsigTransaction struct {
	ID       int64
	To       address.Address
	Value    abi.TokenAmount
	Method   abi.MethodNum
	Params   []byte
	Approved []address.Address
}

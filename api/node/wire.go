package node

import (
	"encoding/json"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/go-state-types/proof"
	"github.com/ipfs/go-cid"

	"github.com/filecoin-venus/venus/types"
)

// Duration is a span of time that is a number of nanoseconds on the wire.
type Duration = time.Duration

// The types of a HeadChange.
const (
	HeadCurrent = "current"
	HeadApply   = "apply"
	HeadRevert  = "revert"
)

// HeadChange is one step of the head.
type HeadChange struct {
	Type string // HeadCurrent, HeadApply or HeadRevert
	Val  *types.TipSet
}

// Message is a message with its CID as included: of the signed form for
// secp256k1, of the bare form for BLS.
type Message struct {
	Cid     cid.Cid
	Message *types.Message
}

// BlockMessages are the messages of one block; Cids lists the BLS ones first.
type BlockMessages struct {
	BlsMessages   []*types.Message
	SecpkMessages []*types.SignedMessage
	Cids          []cid.Cid
}

// ObjStat is the size in bytes and the number of links of a graph.
type ObjStat struct {
	Size  uint64
	Links uint64
}

// PruneOpts is what ChainPrune keeps beside what the node needs. The field's own clients send it.
type PruneOpts struct {
	// MovingGC is ignored: what is kept is always moved.
	MovingGC bool
	// RetainState is for how many epochs states are kept; 0 and -1 mean as configured.
	RetainState int64
}

// PruneResult is what ChainPrune did: the blocks that were kept, their bytes, and what the store took on
// disk before and after.
type PruneResult struct {
	Kept      int64
	KeptBytes int64
	Before    int64
	After     int64
}

// SectorSizeInfo is a sector size that the network accepts, in bytes.
type SectorSizeInfo struct {
	Size         abi.SectorSize
	MaxPieceSize abi.UnpaddedPieceSize
}

// ProtocolParams names a network and what it accepts.
type ProtocolParams struct {
	Network          string
	BlockTime        Duration
	SupportedSectors []SectorSizeInfo
}

// MiningBaseInfo is what a miner needs to try for a block (node-nv15.md 5.1).
// Powers are quality-adjusted bytes.
type MiningBaseInfo struct {
	MinerPower        big.Int
	NetworkPower      big.Int
	Sectors           []proof.ExtendedSectorInfo
	WorkerKey         address.Address
	SectorSize        abi.SectorSize
	PrevBeaconEntry   types.BeaconEntry
	BeaconEntries     []types.BeaconEntry
	EligibleForMining bool
}

// BlockTemplate is a won election, to be made into a block.
type BlockTemplate struct {
	Miner            address.Address
	Parents          types.TipSetKey
	Ticket           *types.Ticket
	Eproof           *types.ElectionProof
	BeaconValues     []types.BeaconEntry
	Messages         []*types.SignedMessage
	Epoch            abi.ChainEpoch
	Timestamp        uint64
	WinningPoStProof []proof.PoStProof
}

// Stages of an ActiveSync.
const (
	StageIdle     = 0
	StageHeaders  = 1
	StagePersist  = 2
	StageMessages = 3
	StageComplete = 4
	StageError    = 5
	StageFetching = 6
)

// ActiveSync is one run of the syncer.
type ActiveSync struct {
	WorkerID uint64
	Base     *types.TipSet
	Target   *types.TipSet
	Stage    int
	Height   abi.ChainEpoch
	Start    time.Time
	End      time.Time
	Message  string
}

// SyncState is what the syncer does now; never without an entry.
type SyncState struct {
	ActiveSyncs []ActiveSync
	VMApplied   uint64
}

// NodeSyncStatus is how far the head is from the clock, in epochs.
type NodeSyncStatus struct {
	Epoch  uint64
	Behind uint64
}

// NodePeerStatus counts the peers of the two gossip topics.
type NodePeerStatus struct {
	PeersToPublishMsgs   int
	PeersToPublishBlocks int
}

// NodeChainStatus is the average number of blocks per tipset.
type NodeChainStatus struct {
	BlocksPerTipsetLast100      float64
	BlocksPerTipsetLastFinality float64
}

// NodeStatus sums up a node.
type NodeStatus struct {
	SyncStatus  NodeSyncStatus
	PeerStatus  NodePeerStatus
	ChainStatus NodeChainStatus
}

// AddrInfo is a peer id with its multiaddresses, all as strings.
type AddrInfo struct {
	ID    string
	Addrs []string
}

// MsgLookup is a message found on the chain. TipSet and Height are where it
// was executed: the child of the tipset that includes it.
type MsgLookup struct {
	Message   cid.Cid
	Receipt   types.MessageReceipt
	ReturnDec any
	TipSet    types.TipSetKey
	Height    abi.ChainEpoch
}

// MessageSendSpec limits what a message may cost. MaxFee is in attoFIL, 0 or
// null for the default; GasOverEstimation multiplies the gas limit, 0 for the default.
type MessageSendSpec struct {
	MaxFee            abi.TokenAmount
	GasOverEstimation float64
}

// EstimateMessage is one message of a batch.
type EstimateMessage struct {
	Msg  *types.Message
	Spec *MessageSendSpec
}

// EstimateResult is the filled message, or why there is none.
type EstimateResult struct {
	Msg *types.Message
	Err string
}

// Types of an MpoolUpdate.
const (
	MpoolAdd    = 0
	MpoolRemove = 1
)

// MpoolUpdate is a change of the pool.
type MpoolUpdate struct {
	Type    int
	Message *types.SignedMessage
}

// MpoolConfig are the limits of the pool.
type MpoolConfig struct {
	PriorityAddrs          []address.Address
	SizeLimitHigh          int
	SizeLimitLow           int
	ReplaceByFeeRatio      float64
	PruneCooldown          Duration
	GasLimitOverestimation float64
}

// GasCost is what a message cost, amounts in attoFIL.
type GasCost struct {
	Message            cid.Cid
	GasUsed            abi.TokenAmount
	BaseFeeBurn        abi.TokenAmount
	OverEstimationBurn abi.TokenAmount
	MinerPenalty       abi.TokenAmount
	MinerTip           abi.TokenAmount
	Refund             abi.TokenAmount
	TotalCost          abi.TokenAmount
}

// GasTrace is one gas charge: total, compute and storage gas, their virtual
// parts, and the time taken.
type GasTrace struct {
	Name              string
	Location          []json.RawMessage `json:"loc"`
	TotalGas          int64             `json:"tg"`
	ComputeGas        int64             `json:"cg"`
	StorageGas        int64             `json:"sg"`
	TotalVirtualGas   int64             `json:"vtg"`
	VirtualComputeGas int64             `json:"vcg"`
	VirtualStorageGas int64             `json:"vsg"`
	TimeTaken         Duration          `json:"tt"`
	Extra             any               `json:"ex,omitempty"`
}

// ExecutionTrace is a call with its charges and inner calls.
type ExecutionTrace struct {
	Msg        *types.Message
	MsgRct     *types.MessageReceipt
	Error      string
	Duration   Duration
	GasCharges []*GasTrace
	Subcalls   []ExecutionTrace
}

// InvocResult is a run of a message that changed nothing.
type InvocResult struct {
	MsgCid         cid.Cid
	Msg            *types.Message
	MsgRct         *types.MessageReceipt
	GasCost        GasCost
	ExecutionTrace ExecutionTrace
	Error          string
	Duration       Duration
}

// MessagePrototype is a message made for somebody to sign. ValidNonce tells
// whether its nonce is meant; a signer fills in another one otherwise.
type MessagePrototype struct {
	Message    types.Message
	ValidNonce bool
}

// The checks of MpoolCheckMessages (Code of a MessageCheck).
const (
	CheckSerialize     = 1  // it can be encoded
	CheckSize          = 2  // it is not too big
	CheckValidity      = 3  // its fields make sense
	CheckMinGas        = 4  // the gas limit pays for being on chain
	CheckMinBaseFee    = 5  // the fee cap is not below the least base fee
	CheckBaseFee       = 6  // the fee cap covers the base fee now
	CheckBaseFeeSoon   = 7  // ... and as it may be in 20 epochs at best
	CheckBaseFeeLate   = 8  // ... and at worst
	CheckNonceState    = 9  // the sender's nonce can be read
	CheckNonce         = 10 // the nonce is free
	CheckBalanceState  = 11 // the sender's balance can be read
	CheckBalance       = 12 // the sender can pay
	CheckReplacePayoff = 13 // it pays enough more than the message it replaces
)

// MessageCheck is the outcome of one check of a message. Hint holds numbers,
// such as the base fee, by name.
type MessageCheck struct {
	Cid  cid.Cid
	Code int
	OK   bool
	Err  string
	Hint map[string]any
}

// ChainNode is an object and what a path in it leads to: maps, lists, numbers,
// text, bytes in base64, links as {"/": "..."}.
type ChainNode struct {
	Cid cid.Cid
	Obj any
}

// MessageMatch selects messages; an empty address matches all, but not both.
type MessageMatch struct {
	To   address.Address
	From address.Address
}

// ComputeStateOutput is the state that messages led to, with what each did.
type ComputeStateOutput struct {
	Root  cid.Cid
	Trace []*InvocResult
}

// StateReport tells which invariants of the actors a state breaks: none, in a sound one.
type StateReport struct {
	Root   cid.Cid
	Epoch  abi.ChainEpoch
	Broken []string
}

// NatInfo tells whether others can dial this node (Reachability: 0 unknown,
// 1 yes, 2 no) and at which addresses. PublicAddr is the first of them, or "".
type NatInfo struct {
	Reachability int
	PublicAddr   string
	PublicAddrs  []string
}

// Bandwidth is traffic: bytes since the start, and bytes a second now.
type Bandwidth struct {
	TotalIn  int64
	TotalOut int64
	RateIn   float64
	RateOut  float64
}

// ConnInfo is what the connection manager thinks of a peer.
type ConnInfo struct {
	FirstSeen time.Time
	Value     int
	Tags      map[string]int
	Conns     map[string]time.Time
}

// PeerInfo is what is known of a peer. ConnMgrMeta is null when it is not connected.
type PeerInfo struct {
	ID          string
	Agent       string
	Addrs       []string
	Protocols   []string
	ConnMgrMeta *ConnInfo
}

// TopicScore is a peer's part in one gossip topic.
type TopicScore struct {
	TimeInMesh               Duration
	FirstMessageDeliveries   float64
	MeshMessageDeliveries    float64
	InvalidMessageDeliveries float64
}

// PeerScore is how gossip rates a peer.
type PeerScore struct {
	Score              float64
	Topics             map[string]TopicScore
	AppSpecificScore   float64
	IPColocationFactor float64
	BehaviourPenalty   float64
}

// PubsubScore is a peer with its rating.
type PubsubScore struct {
	ID    string
	Score PeerScore
}

// PeerFaults is what is held against a peer. At 500 points it is kept out for an hour; points halve every ten minutes.
type PeerFaults struct {
	ID     string
	Points float64
	// Reason is its last fault.
	Reason string
	// BannedUntil is until when it is kept out; null if it is not.
	BannedUntil *time.Time
}

// NetBlockList names peers by id, IP addresses, and subnets such as 10.0.0.0/8.
type NetBlockList struct {
	Peers     []string
	IPAddrs   []string
	IPSubnets []string
}

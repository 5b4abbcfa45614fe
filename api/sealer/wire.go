package sealer

import (
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/go-state-types/dline"
	"github.com/filecoin-project/go-state-types/exitcode"
	"github.com/ipfs/go-cid"
)

// AddressConfig lists the addresses that pay for messages besides the worker.
type AddressConfig struct {
	PreCommitControl []address.Address
	CommitControl    []address.Address
	TerminateControl []address.Address
}

// SealTicket is chain randomness with the epoch it is of.
type SealTicket struct {
	Value abi.SealRandomness
	Epoch abi.ChainEpoch
}

// SealSeed is interactive randomness with the epoch it is of.
type SealSeed struct {
	Value abi.InteractiveSealRandomness
	Epoch abi.ChainEpoch
}

// SectorLog is one event of a sector. Timestamp is in Unix seconds.
type SectorLog struct {
	Kind      string
	Timestamp uint64
	Trace     string
	Message   string
}

// SectorInfo is all that is known of a sector. PreCommitMsg and CommitMsg are
// messager ids, "" when none. The fields from Activation on are the chain's and
// only filled on request.
type SectorInfo struct {
	SectorID     abi.SectorNumber
	State        string
	CommD        *cid.Cid
	CommR        *cid.Cid
	Proof        []byte
	Deals        []abi.DealID
	Ticket       SealTicket
	Seed         SealSeed
	PreCommitMsg string
	CommitMsg    string
	Retries      uint64
	ToUpgrade    bool
	LastErr      string
	Log          []SectorLog
	CreatedAt    time.Time
	NextAction   string // what happens next, in plain words

	SealProof          abi.RegisteredSealProof
	Active             bool // has power: proven and not faulty
	Activation         abi.ChainEpoch
	Expiration         abi.ChainEpoch
	DealWeight         abi.DealWeight
	VerifiedDealWeight abi.DealWeight
	InitialPledge      abi.TokenAmount
	OnTime             abi.ChainEpoch
	Early              abi.ChainEpoch
}

// SectorWhy explains a sector. Times and epochs that are not known are zero.
type SectorWhy struct {
	SectorID   abi.SectorNumber
	State      string
	Means      string // what the state is about
	Waits      string // what would end it
	Since      time.Time
	Next       string // what happens next by itself
	NextAt     time.Time
	NextEpoch  abi.ChainEpoch
	Limit      string // what is over from LimitEpoch on
	LimitEpoch abi.ChainEpoch
	Retries    int
	LastErr    string
	ErrClass   string    // transient, operator, chain: who can mend LastErr
	Overcome   time.Time // when LastErr was over, zero while it is not
	Options    []SectorOption

	Epoch      abi.ChainEpoch // the head's, for comparison
	BlockDelay time.Duration
}

// SectorOption is a command that the operator can give, and what comes of it.
type SectorOption struct{ Do, Then string }

// SectorFilter chooses sectors. What is zero does not choose. Removed sectors are left out unless they are asked for.
type SectorFilter struct {
	States        []string
	Deadline      *uint64        // only sectors that are proven in this deadline
	ExpireBefore  abi.ChainEpoch // only live sectors that end before this epoch
	Faulty        bool           // only sectors that the chain counts as faulty
	Trouble       bool           // only sectors that wait for the operator or failed
	Offset, Limit int            // Limit 0 is 1000; more is not given
	ShowRemoved   bool
	LocalOnly     bool // do not ask the node; the chain's fields stay empty
}

// SectorPage is a part of the sectors that a filter admits.
type SectorPage struct {
	Sectors    []SectorRow
	Total      int // that the filter admits
	Epoch      abi.ChainEpoch
	BlockDelay time.Duration
}

// SectorRow is a sector in a list. The fields from OnChain on are the chain's.
type SectorRow struct {
	SectorID  abi.SectorNumber
	State     string
	CreatedAt time.Time
	Since     time.Time // of the state
	Retries   int
	Parked    bool   // waits for the operator
	LastErr   string // of a sector in trouble, its first line

	OnChain    bool
	Live       bool // must be proven
	Active     bool // has power
	Faulty     bool
	Recovering bool
	Deadline   uint64
	Partition  uint64
	Activation abi.ChainEpoch
	Expiration abi.ChainEpoch
	Pledge     abi.TokenAmount
	DealWeight abi.DealWeight
	Deals      int
}

// UnknownSector is a sector of the chain that this sealer does not know.
type UnknownSector struct {
	SectorID   abi.SectorNumber
	Live       bool
	Faulty     bool
	Deadline   uint64
	Partition  uint64
	Expiration abi.ChainEpoch
}

// BackupReport tells what a backup holds.
type BackupReport struct {
	Miner   string
	At      time.Time
	Sectors int
	Rows    map[string]int // by table
	Files   []string       // of the sealer's directory
	Bytes   int64          // before compression
	SHA256  string
}

// SectorTarget is how many sectors the sealer works towards, and how far it is. Total 0 is no target.
type SectorTarget struct {
	Total   int
	AtOnce  int
	Have    int // proven or under way
	Sealing int // under way
}

// Batching is the rule by which sectors share a message of a kind, and who waits. Above and BaseFee are attoFIL per
// unit of gas; below Above sectors go alone.
type Batching struct {
	Kind     string // precommit, provecommit, terminate
	On       bool
	Min, Max int
	MaxWait  time.Duration
	Slack    abi.ChainEpoch
	Above    abi.TokenAmount
	BaseFee  abi.TokenAmount
	Waiting  []BatchMember
}

// BatchMember is a sector that waits to share a message. Limit is the epoch after which the chain does not take it, 0 for none.
type BatchMember struct {
	Number abi.SectorNumber
	Since  time.Time
	Limit  abi.ChainEpoch
}

// SharedMessage is a message that concerns several sectors. ID is the messager's.
type SharedMessage struct {
	ID      string
	Kind    string
	State   string // intended, pushed, landed, dropped
	Sectors []abi.SectorNumber
	Value   abi.TokenAmount
	Why     string
	Created time.Time
	Ended   time.Time
	Exit    int64
	Error   string
}

// Balance is an address with what it holds, in attoFIL.
type Balance struct {
	Address address.Address
	Amount  abi.TokenAmount
}

// Info is what `info` shows. Powers are bytes, amounts attoFIL.
type Info struct {
	Miner           address.Address
	SectorSize      abi.SectorSize
	Epoch           abi.ChainEpoch
	HeadTime        time.Time
	BlockDelay      time.Duration
	BaseFee         abi.TokenAmount
	RawPower        big.Int
	QualityPower    big.Int
	NetworkRaw      big.Int
	NetworkQuality  big.Int
	HasMinPower     bool
	LiveSectors     uint64
	ActiveSectors   uint64
	FaultySectors   uint64
	ActorBalance    abi.TokenAmount
	PreCommit       abi.TokenAmount
	Pledge          abi.TokenAmount
	Vesting         abi.TokenAmount
	Available       abi.TokenAmount
	MarketEscrow    abi.TokenAmount
	MarketLocked    abi.TokenAmount
	Worker          Balance
	Controls        []Balance
	SectorsByState  map[string]int
	ExpectedPerWeek float64 // blocks per week
}

// ProvingInfo is the current deadline with the miner's faults.
type ProvingInfo struct {
	Deadline   *dline.Info
	Sectors    uint64
	Faults     uint64
	Recovering uint64
	InDeadline uint64 // sectors in the current deadline
	Alerts     []ProvingAlert
}

// DeadlineInfo is one deadline of the proving period.
type DeadlineInfo struct {
	Index            uint64
	Open             abi.ChainEpoch
	Close            abi.ChainEpoch
	Partitions       int
	Sectors          uint64
	Faults           uint64
	Recovering       uint64
	ProvenPartitions uint64
	Current          bool
	State            string // idle, waiting, proving, submitted, landed, missed
}

// WindowPoStRecord is one window proof.
type WindowPoStRecord struct {
	Deadline   uint64
	Open       abi.ChainEpoch
	Partitions []uint64
	Sectors    uint64
	Skipped    uint64
	Message    string // messager id
	State      string // computing, submitted, landed, failed
	Took       time.Duration
	Parts      []ProofPart // who proved
	Err        string
	At         time.Time
}

// StorageSpec describes a folder, or a bucket by its URL s3://BUCKET/PREFIX, to attach.
type StorageSpec struct {
	Path     string
	Init     bool
	CanSeal  bool
	CanStore bool
	Weight   uint64 // 0 = the default
	// MaxStorage is how many bytes sector files may take, 0 = what there is.
	MaxStorage uint64 `json:",omitempty"`
	// S3 is how to reach a bucket.
	S3 *StorageS3 `json:",omitempty"`
}

// StorageS3 is how to reach a bucket. Its keys stay where they are: in a file on the sealer's machine, or in its
// environment.
type StorageS3 struct {
	Endpoint    string // URL of the server
	Region      string `json:",omitempty"`
	Credentials string `json:",omitempty"` // file as other S3 programs have it; "" = AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY
	Profile     string `json:",omitempty"`
}

// StoragePath is a storage path with all that is known of it.
type StoragePath struct {
	StorageInfo
	Path       string
	MaxStorage uint64
	Stat       FsStat
	Detached   bool   `json:",omitempty"` // a worker's own path that an operator detached: it stays so until it is attached
	Offered    string `json:",omitempty"` // the worker that offers a detached path still
	Unsealed   int    // files of sectors, by kind
	Sealed     int
	Caches     int
	// Away tells why the path is not served; "" when it is.
	Away string
	// Full tells why it takes no new files; "" when it does.
	Full string
	// Stray are names that no sector has. They are never touched.
	Stray []string
}

// StorageTransfer is a move of a sector's files to another path, under way or ended lately.
type StorageTransfer struct {
	Sector abi.SectorNumber
	To     string // id of the path
	Began  time.Time
	Ended  time.Time // zero while it is under way
	Done   int64     // bytes
	Total  int64
	Err    string
}

// StorageVerdict is what a check of a sector's files found.
type StorageVerdict struct {
	Sector abi.SectorNumber
	// Why tells what is wrong; "" when nothing is.
	Why string
	// Checked tells what was compared.
	Checked string
	// Unsealed tells what is wrong with the unsealed copy, and what to do; "" when it is well, or there is none. It never
	// makes a sector faulty.
	Unsealed string
}

// StorageWaste is something in a path that is the sealer's own and not needed.
type StorageWaste struct {
	Path   string // id
	Name   string
	Sector abi.SectorNumber
	Bytes  int64
	Why    string
}

// StorageInfo are the settings of a storage path.
type StorageInfo struct {
	ID       string
	URLs     []string
	Weight   uint64
	CanSeal  bool
	CanStore bool
}

// SectorStorageInfo is a storage path that holds a sector.
type SectorStorageInfo struct {
	ID       string
	URLs     []string
	Weight   uint64
	CanSeal  bool
	CanStore bool
	Primary  bool
}

// File types of a sector, as bits.
const (
	FileUnsealed    = 1
	FileSealed      = 2
	FileCache       = 4
	FileUpdate      = 8
	FileUpdateCache = 16
)

// StorageDecl is a file of a sector in a path.
type StorageDecl struct {
	Miner          abi.ActorID
	Number         abi.SectorNumber
	SectorFileType int
}

// FsStat measures a storage path, in bytes.
type FsStat struct {
	Capacity  int64
	Available int64
	Reserved  int64
}

// WorkerResources is what a worker's machine has; memory in bytes.
type WorkerResources struct {
	MemPhysical uint64
	MemSwap     uint64
	MemReserved uint64
	CPUs        uint64
	GPUs        []string
}

// WorkerInfo names a worker.
type WorkerInfo struct {
	Hostname  string
	Resources WorkerResources
}

// WorkerStats is a connected worker.
type WorkerStats struct {
	Info       WorkerInfo
	Enabled    bool
	MemUsedMin uint64
	MemUsedMax uint64
	GpuUsed    bool
	CpuUse     uint64 //nolint:revive // the field's spelling
	Tasks      []string
	LastSeen   time.Time

	Running  int            // jobs it holds
	Slots    int            // most jobs at once, 0 = as its machine allows
	Limits   map[string]int // most jobs of a kind at once
	Disabled []string       // kinds that an operator took away
	Reaches  []string       // storage paths it can read and write
	Leaving  bool           // takes nothing new
	Silent   bool           // not heard of for the term of a lease
	Remote   bool           // not in the sealer's process
	Version  string
	// PassedOver tells why it gets no window proofs until PassedUntil; "" when it does.
	PassedOver  string
	PassedUntil time.Time
}

// WorkerSettings is what the workers of a name are given: nothing new unless
// Enabled, and none of DisabledTasks.
type WorkerSettings struct {
	Enabled       bool
	DisabledTasks []string
}

// CallID names a job.
type CallID struct {
	Sector abi.SectorID
	ID     string
}

// WorkerJob is a job of a worker. RunWait: >= 1 assigned (place in the queue),
// 0 running, -1 waits to be returned, -2 returned.
type WorkerJob struct {
	ID       CallID
	Sector   abi.SectorID
	Task     string
	RunWait  int
	Start    time.Time
	Hostname string

	Cores  int // what it takes while it runs; memory and disk in bytes
	Memory uint64
	Disk   uint64
	Path   string // the storage path it works in
	Losses int    // workers that fell silent over it
}

// JobReturned is the RunWait of a job whose result was not taken yet.
const JobReturned = -2

// JobWhy is how a job fares. State is queued, leased, done or failed; Since is
// when it was asked for, or begun. Obstacles are those of a queued job.
type JobWhy struct {
	ID        string
	Sector    abi.SectorID
	Task      string
	State     string
	Since     time.Time
	Worker    string
	Hostname  string
	Cores     int
	Memory    uint64
	Disk      uint64
	Path      string
	Losses    int
	Reason    string // of a failure
	Obstacles []JobObstacle
}

// JobObstacle is what keeps a worker from a job, "" for the one that gets it.
// ForNow obstacles go away by themselves.
type JobObstacle struct {
	Worker   string
	Hostname string
	Reason   string
	ForNow   bool
}

// MessageStatus is how a message of the messager fares.
type MessageStatus struct {
	ID         string
	Cid        *cid.Cid
	State      string
	Height     int64
	Confidence int64
	ExitCode   exitcode.ExitCode
	GasUsed    int64
	Return     []byte
	Error      string
}

// DealInfo is a deal whose data was brought.
type DealInfo struct {
	DealID abi.DealID
	// State is importing (its file is copied), failed (Err tells why; import it again), waiting (for a sector), sealing (a
	// sector takes it in), active (the chain has it in a sector), or expired (it started without one).
	State     string
	Err       string
	PieceCID  cid.Cid
	PieceSize abi.PaddedPieceSize
	Verified  bool
	Start     abi.ChainEpoch
	End       abi.ChainEpoch
	Source    string // the file it came from
	Bytes     int64  // of that file
	Done      int64  // bytes that are copied, while it is importing
	Imported  time.Time

	Sector      *abi.SectorNumber // nil for none
	SectorState string
	Epoch       abi.ChainEpoch // the head's, for comparison
	BlockDelay  time.Duration
}

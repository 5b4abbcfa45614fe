package sealer

import (
	"context"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
)

// Proving looks into single deadlines, and ahead.
type Proving interface {
	// ProvingDeadline returns a deadline's partitions with their sectors.
	//perm:read
	ProvingDeadline(ctx context.Context, index uint64) (*DeadlineDetail, error)
	// ProvingRehearse proves one message's worth of a deadline's partitions now, with the real files, and sends nothing.
	// It is given up when a real proof is due.
	//perm:admin
	ProvingRehearse(ctx context.Context, index uint64, message int) (*Rehearsal, error)
	// ProvingForecast returns what the deadlines of the next proving period will take, judged by the last proofs and messages.
	//perm:read
	ProvingForecast(ctx context.Context) (*Forecast, error)
}

// ProvingAlert is trouble with window proofs that can still be mended, until Cutoff.
type ProvingAlert struct {
	Deadline uint64
	Cutoff   abi.ChainEpoch
	Text     string
}

// DeadlineDetail is a deadline with its partitions.
type DeadlineDetail struct {
	Index      uint64
	Open       abi.ChainEpoch
	Close      abi.ChainEpoch
	Current    bool
	Proven     uint64 // partitions
	Partitions []PartitionDetail
	Epoch      abi.ChainEpoch
	BlockDelay time.Duration
}

// PartitionDetail is a partition with the numbers of its sectors.
type PartitionDetail struct {
	Index      uint64
	Proven     bool
	Live       []abi.SectorNumber
	Faulty     []abi.SectorNumber
	Recovering []abi.SectorNumber
}

// ProofPart tells who proved a part of a window proof.
type ProofPart struct {
	Host    string // "" is the sealer
	Sectors int
	Took    time.Duration
	Before  string // who was to prove it and did not, and why
}

// Rehearsal is what came of proving one message's worth of partitions.
type Rehearsal struct {
	Deadline   uint64
	Message    int // counted from 0
	Messages   int // that the deadline takes; 0 when it has nothing to prove
	Partitions []uint64
	Sectors    uint64 // to prove
	Proven     uint64
	Bad        map[abi.SectorNumber]string // why sectors would be left out
	Check      time.Duration               // reading the files
	Prove      time.Duration               // making and verifying the proof
	Parts      []ProofPart                 // who proved
	Err        string                      // why there is no proof
	Window     time.Duration               // from the challenge to the close
}

// Forecast is what a proving period will take. Parallel proofs are made at once.
type Forecast struct {
	Deadlines []DeadlineForecast // those with something to prove, the next first
	Parallel  int
	Time      time.Duration
	Gas       int64
	Fee       abi.TokenAmount // burnt at the present base fee; what miners are paid comes on top
	TimeFrom  int             // proofs that the time is judged by, 0 = not known
	GasFrom   int             // messages that the gas is judged by, 0 = not known
	BaseFee   abi.TokenAmount
}

// DeadlineForecast is what one deadline will take.
type DeadlineForecast struct {
	Index      uint64
	Open       abi.ChainEpoch
	Sectors    uint64
	Partitions int
	Messages   int
	Time       time.Duration
	Share      float64 // of the time between challenge and half of the window
	Gas        int64
	Fee        abi.TokenAmount
}

package worker

import (
	"context"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/ipfs/go-cid"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/proofs/seal"
	"github.com/filecoin-venus/venus/sealer/sector"
)

// Namespace is the first half of the method's name by which workers join.
const Namespace = "Worker"

// JoinPath is where a sealer is asked to be joined, and BusPath where it serves
// its own NATS server as a WebSocket, under the same token.
const (
	JoinPath = "/rpc/worker"
	BusPath  = "/rpc/worker/nats"
)

// Files are the absolute places of a sector's files. Those of an update are only told to tasks of one.
type Files struct {
	Unsealed, Sealed, Cache string
	Update                  string `json:",omitempty"`
	UpdateCache             string `json:",omitempty"`
}

// Key are the places of the sector as it was sealed.
func (f Files) Key() seal.Paths {
	return seal.Paths{Unsealed: f.Unsealed, Sealed: f.Sealed, Cache: f.Cache}
}

// Updated are those of the sector that has taken data in.
func (f Files) Updated() seal.Paths {
	return seal.Paths{Unsealed: f.Unsealed, Sealed: f.Update, Cache: f.UpdateCache}
}

// Task is a piece of proof work with all it needs. ID is unique to the sector,
// the kind and the attempt; Fence is the lease's.
type Task struct {
	ID        string
	Fence     uint64 `json:",omitempty"`
	Sector    abi.SectorID
	SealProof abi.RegisteredSealProof
	Kind      sector.TaskKind
	Attempt   int
	Files     Files
	// Reads are the storage paths that a task reads in which has no files of its own.
	Reads []string `json:",omitempty"`

	Pieces []abi.PieceInfo `json:",omitempty"`
	Ticket []byte          `json:",omitempty"`
	Seed   []byte          `json:",omitempty"`
	CommD  *cid.Cid        `json:",omitempty"`
	CommR  *cid.Cid        `json:",omitempty"`
	// Key is the commitment of the replica that an update is made from; CommD, CommR and Pieces are those of the update.
	Key *cid.Cid `json:",omitempty"`
	// Input is the output of the step before: PC1's for PC2, C1's for C2. For a window proof it is a Window.
	Input []byte `json:",omitempty"`
}

// Lease names the right to do a task.
type Lease struct {
	Task  string
	Fence uint64
}

// Lease is the lease that the task was given under.
func (t Task) Lease() Lease { return Lease{t.ID, t.Fence} }

// Result is what a task made. Output is opaque, for the next step.
type Result struct {
	Pieces []abi.PieceInfo `json:",omitempty"`
	CommD  *cid.Cid        `json:",omitempty"`
	CommR  *cid.Cid        `json:",omitempty"`
	Output []byte          `json:",omitempty"`
	Proof  []byte          `json:",omitempty"`
	// Faulty are sectors that a window proof leaves out.
	Faulty []abi.SectorNumber `json:",omitempty"`
}

// Outcome ends a lease: with a result, with the Reason of a failure, or Released,
// given back undone, which is no failure.
type Outcome struct {
	Worker   string
	Lease    Lease
	Result   Result
	Reason   string `json:",omitempty"`
	Released bool   `json:",omitempty"`
	// Full tells that it failed because there was no room to write.
	Full bool `json:",omitempty"`
}

// Info is what a worker tells of itself. ID is new in every process, Hostname is
// the name that people know it by.
type Info struct {
	ID       string
	Hostname string
	// Machine is whose cores and memory it uses; workers of one machine share them.
	Machine string
	Kinds   []sector.TaskKind
	// Limits bound the tasks of a kind at once, Slots all of them; 0 is no limit.
	Limits map[sector.TaskKind]int `json:",omitempty"`
	Slots  int
	CPUs   int    // cores it may use, 0 = not told
	Memory uint64 // bytes, 0 = not told
	// Reaches are the folders of the sealer's paths that it can read and write.
	Reaches []string `json:",omitempty"`
	// Own are the ids of sealing paths that only it reaches; they are called
	// OwnPrefix and the id.
	Own     []string `json:",omitempty"`
	Version string   `json:",omitempty"`
}

// Beat is a sign of life, with the leases the worker holds: those it works on and
// those whose outcome it handed in. A worker that is Leaving takes nothing new.
type Beat struct {
	Info    Info
	Holds   []Lease
	Leaving bool
}

// Path is a storage path of the sealer.
type Path struct{ ID, Dir string }

// Orders answer a beat.
type Orders struct {
	// Term is how long the sealer waits for the next beat before it gives the
	// worker's tasks to others.
	Term time.Duration
	// Over are leases that the worker told of and that are not in force.
	Over []Lease
	// Paths are the sealer's storage paths.
	Paths []Path
	// Detached are the worker's own paths that an operator of the sealer detached.
	Detached []string `json:",omitempty"`
}

// Source is where tasks come from, and where outcomes go. See the package comment
// for the rules.
type Source interface {
	// Beat tells the sealer of a worker.
	Beat(ctx context.Context, b Beat) (Orders, error)
	// Next waits for a task that the sealer gives to this worker. One task may be
	// given more than once under the same lease.
	Next(ctx context.Context, worker string) (Task, error)
	// HandIn ends a lease; the outcome is stored when it returns nil. An outcome
	// under a lease that is over is dropped without an error.
	HandIn(ctx context.Context, o Outcome) error
}

// Welcome is what a sealer tells a worker that joins: its network, and how to
// reach its NATS.
type Welcome struct {
	Network params.Network
	// Bus names the sealer's streams and subjects.
	Bus string
	// URLs are those of an existing NATS cluster; empty, the sealer's own server
	// is reached through BusPath.
	URLs []string `json:",omitempty"`
	// User with Password, or Token, or Credentials (the content of a .creds file),
	// or NKey (a seed) open the cluster; CA are its certificate authorities in PEM.
	User        string `json:",omitempty"`
	Password    string `json:",omitempty"`
	Token       string `json:",omitempty"`
	Credentials string `json:",omitempty"`
	NKey        string `json:",omitempty"`
	CA          string `json:",omitempty"`
}

// JoinProxy is how workers join over JSON-RPC: the client when dialled, the
// permission check when served.
type JoinProxy struct {
	Internal struct {
		Join func(p0 context.Context) (Welcome, error) `perm:"admin"`
	}
}

// Join asks the sealer for what a worker must know.
func (s *JoinProxy) Join(ctx context.Context) (Welcome, error) {
	if s.Internal.Join == nil {
		return Welcome{}, api.ErrNotSupported
	}
	return s.Internal.Join(ctx)
}

package worker

import (
	"context"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/ipfs/go-cid"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/sealer/sector"
)

// Namespace is the first half of the protocol's method names on the wire.
const Namespace = "Worker"

// Path is where a sealer serves the protocol.
const Path = "/rpc/worker"

// MaxWait bounds how long a TaskPull may hang for a task to come up.
const MaxWait = 20 * time.Second

// Files are the absolute places of a sector's files.
type Files struct{ Unsealed, Sealed, Cache string }

// Task is a piece of proof work with all it needs. ID is unique to the sector,
// the kind and the attempt.
type Task struct {
	ID        string
	Sector    abi.SectorID
	SealProof abi.RegisteredSealProof
	Kind      sector.TaskKind
	Attempt   int
	Files     Files

	Pieces []abi.PieceInfo `json:",omitempty"`
	Ticket []byte          `json:",omitempty"`
	Seed   []byte          `json:",omitempty"`
	CommD  *cid.Cid        `json:",omitempty"`
	CommR  *cid.Cid        `json:",omitempty"`
	// Input is the output of the step before: PC1's for PC2, C1's for C2.
	Input []byte `json:",omitempty"`
}

// Result is what a task made. Output is opaque, for the next step.
type Result struct {
	Pieces []abi.PieceInfo `json:",omitempty"`
	CommD  *cid.Cid        `json:",omitempty"`
	CommR  *cid.Cid        `json:",omitempty"`
	Output []byte          `json:",omitempty"`
	Proof  []byte          `json:",omitempty"`
}

// Lease is a task given to a worker until TTL after the last sign of life.
type Lease struct {
	Task  Task
	Fence uint64
	TTL   time.Duration
}

// Info is what a worker tells of itself. Kinds are the tasks it takes.
type Info struct {
	ID       string
	Hostname string
	Kinds    []sector.TaskKind
	Slots    int
	CPUs     int
	Memory   uint64 // bytes
}

// Source is where tasks come from, and go back to. See the package comment for
// the rules.
type Source interface {
	// TaskPull leases the most urgent task of the worker's kinds, waiting for one at most wait; nil when
	// there is none.
	TaskPull(ctx context.Context, w Info, wait time.Duration) (*Lease, error)
	// TaskHeartbeat renews a lease.
	TaskHeartbeat(ctx context.Context, worker, task string, fence uint64) error
	// TaskComplete hands a result in; it is stored when the call returns nil.
	TaskComplete(ctx context.Context, worker, task string, fence uint64, res Result) error
	// TaskFail hands an error in.
	TaskFail(ctx context.Context, worker, task string, fence uint64, reason string) error
	// TaskRelease gives a task back undone, which is not a failure.
	TaskRelease(ctx context.Context, worker, task string, fence uint64) error
}

// Networker tells a new worker which network it seals for.
type Networker interface {
	// TaskNetwork returns the network's parameters.
	TaskNetwork(ctx context.Context) (params.Network, error)
}

// ErrLost answers calls about a lease that is over: the task is done, cancelled
// or someone else's.
var ErrLost = (&api.Error{Code: api.CodeConflict, Message: "the lease of this task is over"}).
	WithHint("the worker drops the task and pulls another")

// Lost tells whether an error means that a lease is over, also over the wire.
func Lost(err error) bool { return err != nil && api.Explain(err).Code == api.CodeConflict }

// TasksProxy is Source over JSON-RPC: the client when dialled, the permission
// check when served.
type TasksProxy struct {
	Internal struct {
		TaskPull      func(p0 context.Context, p1 Info, p2 time.Duration) (*Lease, error) `perm:"admin"`
		TaskHeartbeat func(p0 context.Context, p1, p2 string, p3 uint64) error            `perm:"admin"`
		TaskComplete  func(p0 context.Context, p1, p2 string, p3 uint64, p4 Result) error `perm:"admin"`
		TaskFail      func(p0 context.Context, p1, p2 string, p3 uint64, p4 string) error `perm:"admin"`
		TaskRelease   func(p0 context.Context, p1, p2 string, p3 uint64) error            `perm:"admin"`
		TaskNetwork   func(p0 context.Context) (params.Network, error)                    `perm:"read"`
	}
}

// TaskPull implements Source.
func (s *TasksProxy) TaskPull(ctx context.Context, w Info, wait time.Duration) (*Lease, error) {
	if s.Internal.TaskPull == nil {
		return nil, api.ErrNotSupported
	}
	return s.Internal.TaskPull(ctx, w, wait)
}

// TaskHeartbeat implements Source.
func (s *TasksProxy) TaskHeartbeat(ctx context.Context, worker, task string, fence uint64) error {
	if s.Internal.TaskHeartbeat == nil {
		return api.ErrNotSupported
	}
	return s.Internal.TaskHeartbeat(ctx, worker, task, fence)
}

// TaskComplete implements Source.
func (s *TasksProxy) TaskComplete(ctx context.Context, worker, task string, fence uint64, res Result) error {
	if s.Internal.TaskComplete == nil {
		return api.ErrNotSupported
	}
	return s.Internal.TaskComplete(ctx, worker, task, fence, res)
}

// TaskFail implements Source.
func (s *TasksProxy) TaskFail(ctx context.Context, worker, task string, fence uint64, reason string) error {
	if s.Internal.TaskFail == nil {
		return api.ErrNotSupported
	}
	return s.Internal.TaskFail(ctx, worker, task, fence, reason)
}

// TaskRelease implements Source.
func (s *TasksProxy) TaskRelease(ctx context.Context, worker, task string, fence uint64) error {
	if s.Internal.TaskRelease == nil {
		return api.ErrNotSupported
	}
	return s.Internal.TaskRelease(ctx, worker, task, fence)
}

// TaskNetwork implements Networker.
func (s *TasksProxy) TaskNetwork(ctx context.Context) (params.Network, error) {
	if s.Internal.TaskNetwork == nil {
		return params.Network{}, api.ErrNotSupported
	}
	return s.Internal.TaskNetwork(ctx)
}

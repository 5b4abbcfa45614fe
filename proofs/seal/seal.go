// Package seal is the door for sealers and workers: sealing a sector as phases over files, unsealing, pieces, replica
// updates, and both proofs of spacetime from sealed sectors.
//
// Start at Sealer: AddPiece, PreCommit1, PreCommit2, Commit1, Commit2, Finalize in this order, then WindowPoSt and
// WinningPoSt for as long as the sector lives. A sector sealed without data takes some in by AddPiece, ReplicaUpdate,
// ProveReplicaUpdate1, ProveReplicaUpdate2.
//
// Invariants: each phase checks what it reads and names the file that is wrong; each file appears complete (temporary
// name, fsync, rename) or not at all; each phase may be repeated after a crash at any moment and gives the same result;
// phases of different sectors may run at the same time, phases of one sector one after another (the caller's locks).
package seal

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/ipfs/go-cid"

	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/internal/lazy"
	"github.com/filecoin-venus/venus/proofs/fr32"
	"github.com/filecoin-venus/venus/proofs/porep"
	"github.com/filecoin-venus/venus/proofs/post"
	"github.com/filecoin-venus/venus/proofs/sdr"
	"github.com/filecoin-venus/venus/proofs/shape"
	"github.com/filecoin-venus/venus/proofs/update"
)

// Sector names a sector and how it is sealed.
type Sector struct {
	ID    abi.SectorID            `json:"id"`
	Proof abi.RegisteredSealProof `json:"proof"`
}

// String is the sector's file name, s-t0MINER-NUMBER.
func (s Sector) String() string { return FileName(s.ID) }

// Paths are the places of a sector's files: two files and a folder.
type Paths struct{ Unsealed, Sealed, Cache string }

// FileName is the name of a sector's files in the folders of a storage path.
func FileName(id abi.SectorID) string { return fmt.Sprintf("s-t0%d-%d", id.Miner, id.Number) }

// PathsIn are the places of a sector in one storage path.
func PathsIn(root string, id abi.SectorID) Paths {
	name := FileName(id)
	return Paths{
		Unsealed: filepath.Join(root, "unsealed", name),
		Sealed:   filepath.Join(root, "sealed", name),
		Cache:    filepath.Join(root, "cache", name),
	}
}

// SectorCids are the commitments of a sealed sector.
type SectorCids struct {
	Unsealed cid.Cid `json:"unsealed"`
	Sealed   cid.Cid `json:"sealed"`
}

// Prover turns checked openings into Groth16 proofs, 192 bytes per partition.
type Prover interface {
	// ProvePoRep proves all partitions of a proof of replication; the statement is in v.
	ProvePoRep(ctx context.Context, v porep.Vanilla) ([]byte, error)
	// ProveUpdate proves all partitions of a replica update; the statement is in v.
	ProveUpdate(ctx context.Context, v update.Vanilla) ([]byte, error)
	// ProveWindowPoSt proves partitions of one window PoSt in order; first is the place of the first of them in the whole
	// proof. Randomness is already a field element.
	ProveWindowPoSt(ctx context.Context, randomness fr32.Node, first int, partitions []post.Partition) ([]byte, error)
	// ProveWinningPoSt proves a winning PoSt of one sector.
	ProveWinningPoSt(ctx context.Context, randomness fr32.Node, partition post.Partition) ([]byte, error)
}

// Progress tells how far a phase is. Done and Total count bytes of work; they only grow within a phase.
type Progress struct {
	Sector      abi.SectorID
	Phase       string
	Done, Total uint64
	// Left is the time to the end at the speed so far; 0 at the end, negative while it cannot be told.
	Left time.Duration
}

// Percent is Done of Total.
func (p Progress) Percent() float64 { return 100 * float64(p.Done) / float64(max(p.Total, 1)) }

// Config is what a Sealer works with.
type Config struct {
	// Prover makes the SNARKs; nil for programs that do not run Commit2 or PoSts.
	Prover Prover
	// ParentCache is the folder of parent caches, shared by all programs of a machine. Empty: parents of sectors up to 8 MiB
	// are kept in memory, those of others in sdr.CacheDir.
	ParentCache string
	// Progress, when not nil, is called from working goroutines, one call at a time; it must be quick.
	Progress func(Progress)
	// Open opens the files of sectors at rest, for proofs of spacetime and checks; nil opens them on the file system. It may
	// take the place of a file elsewhere, and should give up on one that does not answer: a failed read costs one sector, a
	// read that hangs costs all that are proven with it.
	Open func(path string) (File, error)
	// SectorTimeout is how long one sector may take to be opened for a proof of spacetime; 0 is for ever. One that takes
	// longer is left out like one that is damaged, and its reads are left behind.
	SectorTimeout time.Duration
	// Clock measures the time that is left; nil means the machine's.
	Clock clock.Clock
}

// Sealer runs the phases. Safe for concurrent use with different sectors.
type Sealer struct {
	cfg     Config
	parents lazy.Map[abi.RegisteredSealProof, *sdr.Cache]
}

// New makes a Sealer.
func New(cfg Config) *Sealer {
	if cfg.Clock == nil {
		cfg.Clock = clock.Real()
	}
	if cfg.Open == nil {
		cfg.Open = openDisk
	}
	return &Sealer{cfg: cfg}
}

// Close gives the parent caches back; no phase may be running.
func (s *Sealer) Close() error {
	var errs []error
	for _, c := range s.parents.Clear() {
		errs = append(errs, c.Close())
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close parent cache: %w", err)
	}
	return nil
}

// maxMemoryNodes is the largest graph whose parents are kept in memory.
const maxMemoryNodes = 8 << 20 / fr32.NodeSize

// parentsOf returns the parents of a proof type, made at first use and shared by all sectors.
func (s *Sealer) parentsOf(ctx context.Context, sh shape.Seal) (*sdr.Cache, error) {
	return s.parents.Get(sh.Type, func() (*sdr.Cache, error) {
		graph := sdr.NewGraph(sh)
		var c *sdr.Cache
		var err error
		switch {
		case s.cfg.ParentCache != "":
			c, err = sdr.OpenCache(ctx, s.cfg.ParentCache, graph)
		case graph.Nodes() <= maxMemoryNodes:
			c, err = sdr.NewMemoryCache(ctx, graph)
		default:
			c, err = sdr.OpenCache(ctx, sdr.CacheDir(), graph)
		}
		if err != nil {
			return nil, fmt.Errorf("parent cache: %w", err)
		}
		return c, nil
	})
}

// meter reports the progress of one phase.
type meter struct {
	report func(Progress)
	clock  clock.Clock
	began  time.Time
	mu     sync.Mutex
	p      Progress
	kept   uint64 // of Done, what an earlier run left
}

func (s *Sealer) meter(sector Sector, phase string, total uint64) *meter {
	return &meter{report: s.cfg.Progress, clock: s.cfg.Clock, began: s.cfg.Clock.Now(), p: Progress{Sector: sector.ID, Phase: phase, Total: total}}
}

// keep counts work that was found done.
func (m *meter) keep(n uint64) {
	m.kept += n
	m.add(n)
}

func (m *meter) add(n uint64) {
	if m.report == nil || n == 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.p.Done += n
	m.p.Left = -1
	if work := m.p.Done - m.kept; work > 0 {
		m.p.Left = time.Duration(float64(m.clock.Now().Sub(m.began)) * float64(m.p.Total-m.p.Done) / float64(work))
	}
	m.report(m.p)
}

// nodes counts the nodes of one layer as the labelling tells them.
func (m *meter) nodes() func(nodes uint64) {
	var reported uint64
	return func(nodes uint64) {
		m.add((nodes - reported) * fr32.NodeSize)
		reported = nodes
	}
}

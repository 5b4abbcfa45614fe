package machine

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"os"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/proof"

	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/internal/memory"
	"github.com/filecoin-venus/venus/params"
	keys "github.com/filecoin-venus/venus/proofs/params"
	"github.com/filecoin-venus/venus/proofs/prove"
	"github.com/filecoin-venus/venus/proofs/sdr"
	"github.com/filecoin-venus/venus/proofs/seal"
	"github.com/filecoin-venus/venus/proofs/shape"
	"github.com/filecoin-venus/venus/proofs/verify"
)

// SealOptions are what Seal does and where.
type SealOptions struct {
	Size abi.SectorSize
	// Backend is prove.Trapdoor or prove.CRS; empty means the former.
	Backend prove.Backend
	// Dir takes the sector's files, in a folder of their own that goes in the end unless Keep.
	Dir  string
	Keep bool
	// ParamsDir and ParentCache are the caches. Empty: the machine's parameter cache; parents in memory up to 8 MiB, and
	// in the machine's folder above. What is made there stays.
	ParamsDir, ParentCache string
	// Clock is nil for the machine's.
	Clock clock.Clock
	// Phase is told what begins, as number n of total, and Progress how far it is; both may be nil.
	Phase    func(n, total int, name string)
	Progress func(seal.Progress)
	// Done is told of each phase that ended; may be nil.
	Done func(Phase)
}

// Phase is one phase as it went.
type Phase struct {
	Name string        `json:"name"`
	Took time.Duration `json:"took"`
	// Bytes is how much data the phase is about: the sector, a parameter file; 0 where a speed would say nothing.
	Bytes uint64 `json:"bytes,omitempty"`
	// Peak is the most memory of the process in the phase; of its life so far if PeakOfProcess.
	Peak          uint64 `json:"peak"`
	PeakOfProcess bool   `json:"peakOfProcess,omitempty"`
}

// Speed is bytes per second.
func (p Phase) Speed() float64 { return float64(p.Bytes) / max(p.Took.Seconds(), 1e-9) }

// Sealed is what Seal did.
type Sealed struct {
	Size    abi.SectorSize `json:"size"`
	Backend prove.Backend  `json:"backend"`
	Phases  []Phase        `json:"phases"`
	Took    time.Duration  `json:"took"`
	Peak    uint64         `json:"peak"`
	// Dir holds the sector's files; empty if they are gone.
	Dir string `json:"dir,omitempty"`
	// Proof and Info are the proof of replication and its statement, as a chain would check them.
	Info proof.SealVerifyInfo `json:"seal"`
}

// ErrWrong marks a run that came to its end with a wrong result: this machine must not seal.
var ErrWrong = errors.New("the result is wrong; this machine must not seal")

// Seal seals one sector of random data from end to end, proves it in all ways, verifies every proof, and opens it again.
// The network is a private one made for the size. The report holds what was done also when a phase failed.
func Seal(ctx context.Context, o SealOptions) (out Sealed, err error) {
	r, err := newRun(o)
	if err != nil {
		return out, err
	}
	defer func() {
		err = errors.Join(err, r.close())
		if o.Keep {
			out.Dir = r.dir
		}
	}()
	began := r.o.Clock.Now()
	steps := r.steps()
	for i, step := range steps {
		if o.Phase != nil && ctx.Err() == nil {
			o.Phase(i+1, len(steps), step.name)
		}
		if err = r.phase(ctx, step); err != nil {
			err = fmt.Errorf("%s: %w", step.name, err)
			break
		}
	}
	r.out.Took = r.o.Clock.Now().Sub(began)
	return r.out, err
}

// miner is the number of the miner in benches; who it is has no influence.
const miner = 1000

// run is a sector on its way.
type run struct {
	o        SealOptions
	out      Sealed
	dir      string
	network  params.Network
	prover   *prove.Prover
	verifier *verify.Verifier
	sealer   *seal.Sealer
	sector   seal.Sector
	paths    seal.Paths

	dataSeed     [32]byte
	ticket, seed [32]byte
	pieces       []abi.PieceInfo
	pc1          seal.PreCommit1Out
	cids         seal.SectorCids
	c1           []byte
}

func newRun(o SealOptions) (*run, error) {
	if o.Clock == nil {
		o.Clock = clock.Real()
	}
	if o.Backend == "" {
		o.Backend = prove.Trapdoor
	}
	if o.ParamsDir == "" {
		o.ParamsDir = keys.CacheDir()
	}
	if o.ParentCache == "" && o.Size > memoryGraph {
		o.ParentCache = sdr.CacheDir()
	}
	r := &run{o: o, out: Sealed{Size: o.Size, Backend: o.Backend}}
	network, err := params.ByName("local")
	if err != nil {
		return nil, err
	}
	network.SectorSizes = []abi.SectorSize{o.Size}
	r.network = network
	if r.sector.Proof, err = network.SealProof(o.Size); err != nil {
		return nil, err
	}
	r.sector.ID = abi.SectorID{Miner: miner, Number: 1}
	if r.prover, err = prove.NewIn(o.ParamsDir, network, o.Backend); err != nil {
		return nil, err
	}
	r.verifier = verify.New(network, o.ParamsDir)
	for _, b := range []*[32]byte{&r.dataSeed, &r.ticket, &r.seed} {
		if _, err := rand.Read(b[:]); err != nil {
			return nil, fmt.Errorf("random data: %w", err)
		}
	}
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("folder for the sector: %w", err)
	}
	if r.dir, err = os.MkdirTemp(o.Dir, "bench-"); err != nil {
		return nil, fmt.Errorf("folder for the sector: %w", err)
	}
	r.paths = seal.PathsIn(r.dir, r.sector.ID)
	r.sealer = seal.New(seal.Config{Prover: r.prover, ParentCache: o.ParentCache, Progress: o.Progress, Clock: o.Clock})
	return r, nil
}

func (r *run) close() error {
	err := r.sealer.Close()
	if r.o.Keep {
		return err
	}
	return errors.Join(err, os.RemoveAll(r.dir))
}

// step is a phase to come.
type step struct {
	name  string
	bytes uint64
	do    func(ctx context.Context) error
}

// phase runs a step and writes down how it went.
func (r *run) phase(ctx context.Context, s step) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	var p memory.Meter
	p.Begin()
	began := r.o.Clock.Now()
	err := s.do(ctx)
	done := Phase{Name: s.name, Bytes: s.bytes, Took: r.o.Clock.Now().Sub(began)}
	var alone bool
	done.Peak, alone = p.End()
	done.PeakOfProcess = !alone
	if err != nil {
		return err
	}
	r.out.Phases = append(r.out.Phases, done)
	r.out.Peak = max(r.out.Peak, done.Peak)
	if r.o.Done != nil {
		r.o.Done(done)
	}
	return nil
}

func (r *run) steps() []step {
	size := uint64(r.o.Size)
	var steps []step
	if r.o.ParentCache != "" {
		steps = append(steps, step{"parent cache", size / node * parentBytes, r.parents})
	}
	steps = append(steps, r.keySteps()...)
	return append(steps,
		step{"add piece", size, r.addPiece},
		step{"precommit 1", size, r.preCommit1},
		step{"precommit 2", size, r.preCommit2},
		step{"commit 1", size, r.commit1},
		step{"commit 2", size, r.commit2},
		step{"verify the proof", 0, r.verifySeal},
		step{"unseal", size, r.unseal},
		step{"compare the data", size, r.compare},
		step{"window PoSt", 0, r.window},
		step{"winning PoSt", 0, r.winning},
	)
}

// parents makes the parent cache, or reads the one that is there to check it.
func (r *run) parents(ctx context.Context) error {
	sh, err := shape.OfSeal(r.sector.Proof)
	if err != nil {
		return err
	}
	c, err := sdr.OpenCache(ctx, r.o.ParentCache, sdr.NewGraph(sh))
	if err != nil {
		return err
	}
	return c.Close()
}

// keySteps make the keys, one step for each circuit.
func (r *run) keySteps() (steps []step) {
	circuits := circuitsOf[r.o.Size]
	for i, c := range MainCircuits(r.o.Size) {
		s := step{name: "key of " + c.Title, do: func(ctx context.Context) error { return r.prover.Warm(ctx, c) }}
		if r.o.Backend == prove.CRS {
			s.name, s.bytes = "parameters of "+c.Title, []Circuit{circuits.PoRep, circuits.Winning, circuits.Window}[i].FileBytes()
		}
		steps = append(steps, s)
	}
	return append(steps, step{name: "verifying keys", do: func(ctx context.Context) error {
		for _, c := range MainCircuits(r.o.Size) {
			if _, err := keys.NewDevnet(r.network.ProofSeed, r.o.ParamsDir).VerifyingKey(c); err != nil {
				return err
			}
		}
		return ctx.Err()
	}})
}

// data is the random data of the sector, the same each time.
func (r *run) data() io.Reader {
	return io.LimitReader(mathrand.NewChaCha8(r.dataSeed), int64(r.unpadded()))
}

func (r *run) unpadded() abi.UnpaddedPieceSize { return abi.PaddedPieceSize(r.o.Size).Unpadded() }

func (r *run) addPiece(ctx context.Context) error {
	p, err := r.sealer.AddPiece(ctx, r.sector, r.paths, nil, r.unpadded(), r.data())
	r.pieces = []abi.PieceInfo{p}
	return err
}

func (r *run) preCommit1(ctx context.Context) (err error) {
	r.ticket[31] &= 0x3f
	r.pc1, err = r.sealer.PreCommit1(ctx, r.sector, r.paths, r.ticket[:], r.pieces)
	return err
}

func (r *run) preCommit2(ctx context.Context) (err error) {
	r.cids, err = r.sealer.PreCommit2(ctx, r.sector, r.paths, r.pc1)
	return err
}

func (r *run) commit1(ctx context.Context) (err error) {
	r.c1, err = r.sealer.Commit1(ctx, r.sector, r.paths, r.ticket[:], r.seed[:], r.pieces, r.cids)
	return err
}

func (r *run) commit2(ctx context.Context) error {
	p, err := r.sealer.Commit2(ctx, r.sector, r.c1)
	r.out.Info = proof.SealVerifyInfo{
		SealProof: r.sector.Proof, SectorID: r.sector.ID, DealIDs: []abi.DealID{}, Randomness: r.ticket[:], InteractiveRandomness: r.seed[:],
		Proof: p, SealedCID: r.cids.Sealed, UnsealedCID: r.cids.Unsealed,
	}
	return err
}

func (r *run) verifySeal(ctx context.Context) error {
	return holds(r.verifier.VerifySeal(ctx, r.out.Info))
}

// holds makes an error of a verdict.
func holds(ok bool, err error) error {
	if err == nil && !ok {
		err = fmt.Errorf("the proof does not hold: %w", ErrWrong)
	}
	return err
}

// unseal forgets the data and all that only sealing needs, and makes the data again.
func (r *run) unseal(ctx context.Context) error {
	if err := r.sealer.Finalize(ctx, r.paths); err != nil {
		return err
	}
	if err := r.sealer.ReleaseUnsealed(r.paths); err != nil {
		return err
	}
	return r.sealer.Unseal(ctx, r.sector, r.paths, r.ticket[:], r.cids.Unsealed)
}

func (r *run) compare(ctx context.Context) error {
	got, err := r.sealer.ReadPiece(r.paths, 0, r.unpadded())
	if err != nil {
		return err
	}
	defer got.Close()
	want := bufio.NewReaderSize(r.data(), block)
	a, b := make([]byte, 127*kib), make([]byte, 127*kib)
	for at := uint64(0); ; {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := io.ReadFull(want, a)
		if n > 0 {
			if _, err := io.ReadFull(got, b[:n]); err != nil {
				return fmt.Errorf("read unsealed data behind byte %d: %w", at, err)
			}
			if string(a[:n]) != string(b[:n]) {
				return fmt.Errorf("unsealed data differs from byte %d on: %w", at, ErrWrong)
			}
			at += uint64(n)
		}
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return nil
		case err != nil:
			return err
		}
	}
}

func (r *run) ref() []seal.SectorRef {
	return []seal.SectorRef{{Sector: r.sector, SealedCID: r.cids.Sealed, Paths: r.paths}}
}

func (r *run) public() []proof.SectorInfo {
	return []proof.SectorInfo{{SealProof: r.sector.Proof, SectorNumber: r.sector.ID.Number, SealedCID: r.cids.Sealed}}
}

func (r *run) window(ctx context.Context) error {
	proofs, faulty, err := r.sealer.WindowPoSt(ctx, miner, r.ref(), r.seed[:])
	if err != nil {
		return err
	}
	if len(faulty) > 0 {
		return fmt.Errorf("the sector counts as faulty: %w", ErrWrong)
	}
	return holds(r.verifier.VerifyWindowPoSt(ctx, proof.WindowPoStVerifyInfo{Randomness: r.seed[:], Proofs: proofs, ChallengedSectors: r.public(), Prover: miner}))
}

func (r *run) winning(ctx context.Context) error {
	proofs, err := r.sealer.WinningPoSt(ctx, miner, r.ref(), r.seed[:])
	if err != nil {
		return err
	}
	return holds(r.verifier.VerifyWinningPoSt(ctx, proof.WinningPoStVerifyInfo{Randomness: r.seed[:], Proofs: proofs, ChallengedSectors: r.public(), Prover: miner}))
}

// Document is the proof of replication with its statement, as [verify.Verifier.Judge] takes it.
func (s Sealed) Document() (verify.Document, error) {
	return verify.NewDocument(verify.KindSeal, s.Info)
}

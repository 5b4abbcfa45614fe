package machine

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/consensys/gnark-crypto/ecc"
	bls "github.com/consensys/gnark-crypto/ecc/bls12-381"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"
	"github.com/filecoin-project/go-state-types/abi"
	"golang.org/x/sync/errgroup"

	"github.com/filecoin-venus/venus/crypto/wide"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/proofs/commp"
	"github.com/filecoin-venus/venus/proofs/fr32"
	"github.com/filecoin-venus/venus/proofs/groth16"
	"github.com/filecoin-venus/venus/proofs/groth16/prover"
	"github.com/filecoin-venus/venus/proofs/merkle"
	keys "github.com/filecoin-venus/venus/proofs/params"
	"github.com/filecoin-venus/venus/proofs/r1cs"
	"github.com/filecoin-venus/venus/proofs/sdr"
	"github.com/filecoin-venus/venus/proofs/shape"
)

// MeasureOptions say where and how long to measure.
type MeasureOptions struct {
	// Dir is the folder whose disk is measured; a file of DiskBytes lies there meanwhile.
	Dir string
	// DiskBytes is 0 for 128 MiB.
	DiskBytes int64
	// Each primitive is repeated for this long; 0 means 200 ms.
	Each time.Duration
	// Clock is nil for the machine's.
	Clock clock.Clock
	// Step, when not nil, is told what is measured next.
	Step func(what string)
}

// Steps is how often Measure calls Step.
const Steps = 7

// Measure times the primitives that all phases are made of, in a few seconds.
func Measure(ctx context.Context, o MeasureOptions) (Rates, error) {
	if o.Clock == nil {
		o.Clock = clock.Real()
	}
	if o.Each == 0 {
		o.Each = 200 * time.Millisecond
	}
	if o.DiskBytes == 0 {
		o.DiskBytes = 128 * mib
	}
	m := &measurer{MeasureOptions: o, ctx: ctx}
	r := Rates{Cores: runtime.GOMAXPROCS(0)}
	for _, step := range []struct {
		what string
		do   func(*Rates) error
	}{
		{"labels", m.labels}, {"parents", m.parents}, {"hashes", m.hashes}, {"disk", m.disk},
		{"sums and transforms", m.curve}, {"circuits", m.circuits}, {"verification", m.verification},
	} {
		if o.Step != nil {
			o.Step(step.what)
		}
		if err := ctx.Err(); err != nil {
			return r, err
		}
		if err := step.do(&r); err != nil {
			return r, fmt.Errorf("measure %s: %w", step.what, err)
		}
	}
	return r, nil
}

type measurer struct {
	MeasureOptions
	ctx context.Context
}

// repeat runs work, which tells how much it did, until time is up; it returns the amount per second.
func (m *measurer) repeat(work func() (float64, error)) (float64, error) {
	began, sum := m.Clock.Now(), 0.0
	for {
		n, err := work()
		if err != nil {
			return 0, err
		}
		sum += n
		took := m.Clock.Now().Sub(began)
		if m.ctx.Err() != nil {
			return 0, m.ctx.Err()
		}
		if took >= m.Each {
			return sum / took.Seconds(), nil
		}
	}
}

// both is repeat on one core and then on all; newWork makes the work of one goroutine.
func (m *measurer) both(newWork func() (func() (float64, error), error)) (r Rate, err error) {
	work, err := newWork()
	if err != nil {
		return r, err
	}
	if r.Core, err = m.repeat(work); err != nil {
		return r, err
	}
	r.All, err = m.all(newWork)
	return r, err
}

func (m *measurer) all(newWork func() (func() (float64, error), error)) (float64, error) {
	rates := make([]float64, runtime.GOMAXPROCS(0))
	var group errgroup.Group
	for i := range rates {
		group.Go(func() error {
			work, err := newWork()
			if err == nil {
				rates[i], err = m.repeat(work)
			}
			return err
		})
	}
	err := group.Wait()
	sum := 0.0
	for _, r := range rates {
		sum += r
	}
	return sum, err
}

// The layers that labels are measured on: the one before is far larger than the processor's caches, as in a real sector.
const (
	beforeNodes = 1 << 23
	labelNodes  = 1 << 17
)

// graph is a source of parents that costs about what reading them from a cache costs: near ones in the layer, and any of
// the layer before.
type graph struct{ seed uint64 }

// Reader implements sdr.Source.
func (g *graph) Reader() sdr.Read {
	x := g.seed
	return func(first uint32, rows []sdr.ParentList) error {
		for i := range rows {
			here := first + uint32(i)
			for k := range rows[i] {
				x = x*6364136223846793005 + 1442695040888963407
				if k < shape.BaseDegree {
					rows[i][k] = uint32(uint64(here) * (x >> 32) >> 32)
				} else {
					rows[i][k] = uint32(x >> 32 % beforeNodes)
				}
			}
			if here > 0 {
				rows[i][0] = here - 1
			}
		}
		return nil
	}
}

func (m *measurer) labels(r *Rates) (err error) {
	before := make([]byte, beforeNodes*node)
	for i := 0; i < len(before); i += 4 * kib {
		before[i] = byte(i >> 12) // so that every page is there
	}
	var seed atomic.Uint64
	r.Labels, err = m.both(func() (func() (float64, error), error) {
		out, src := make([]byte, labelNodes*node), &graph{seed: seed.Add(1)}
		return func() (float64, error) {
			return labelNodes, sdr.LabelLayer(m.ctx, src, fr32.Node{1}, 2, before, out, nil)
		}, nil
	})
	return err
}

func (m *measurer) parents(r *Rates) error {
	sh, err := shape.OfSeal(abi.RegisteredSealProof_StackedDrg32GiBV1_1)
	if err != nil {
		return err
	}
	g := sdr.NewGraph(sh)
	r.Parents, err = m.both(func() (func() (float64, error), error) {
		read, rows, at := g.Reader(), make([]sdr.ParentList, 1<<10), uint32(1<<20)
		return func() (float64, error) {
			at += uint32(len(rows))
			return float64(len(rows)), read(at, rows)
		}, nil
	})
	return err
}

func (m *measurer) hashes(r *Rates) error {
	const nodes = 11 * 1 << 10
	for _, h := range []struct {
		rate *Rate
		make func() (merkle.RowHasher, error)
	}{
		{&r.Poseidon2, func() (merkle.RowHasher, error) { return merkle.NewPoseidonRows(2) }},
		{&r.Poseidon8, func() (merkle.RowHasher, error) { return merkle.NewPoseidonRows(8) }},
		{&r.Poseidon11, func() (merkle.RowHasher, error) { return merkle.NewPoseidonRows(11) }},
		{&r.SHA256, func() (merkle.RowHasher, error) { return merkle.NewSHARows(), nil }},
	} {
		var err error
		*h.rate, err = m.both(func() (func() (float64, error), error) {
			hasher, err := h.make()
			if err != nil {
				return nil, err
			}
			count := nodes / hasher.Arity()
			in, out := make([]byte, count*hasher.Arity()*node), make([]byte, count*node)
			for i := range in {
				in[i] = byte(i*7) & 0x3f
			}
			return func() (float64, error) { return float64(count), hasher.HashRow(out, in) }, nil
		})
		if err != nil {
			return err
		}
	}
	buf := make([]byte, 127*8*kib)
	var err error
	if r.PieceBytes, err = m.repeat(func() (float64, error) {
		_, err := commp.Of(bytes.NewReader(buf))
		return float64(len(buf)), err
	}); err != nil {
		return err
	}
	r.DigestBytes, err = m.repeat(func() (float64, error) { sha256.Sum256(buf); return float64(len(buf)), nil })
	return err
}

// Sizes of the sums and the transform that are measured.
const (
	sumG1        = 1 << 18
	sumG2        = 1 << 13
	logDomain    = 18
	logTransform = 20 // beyond the processor's caches, as those of proofs are
)

func (m *measurer) curve(r *Rates) (err error) {
	random, bits := make(fr.Vector, sumG1), make(fr.Vector, sumG1)
	for i := range random {
		random[i].SetUint64(uint64(i) + 3).Inverse(&random[i])
		bits[i].SetUint64(uint64(i & 1))
	}
	raw := somePoints(random)
	for rate, scalars := range map[*float64]fr.Vector{&r.PointsG1: random, &r.BitsG1: bits} {
		if *rate, err = m.repeat(func() (float64, error) {
			sum := wide.NewSum(sumG1)
			if err := sum.Add(raw, scalars); err != nil {
				return 0, err
			}
			sum.Total()
			return sumG1, nil
		}); err != nil {
			return err
		}
	}
	if r.PointsG2, err = m.repeat(sumInG2(random[:sumG2])); err != nil {
		return err
	}
	values := make(fr.Vector, 1<<logTransform)
	copy(values, random)
	transform, err := prover.Transformer(logTransform)
	if err != nil {
		return err
	}
	r.Butterflies, err = m.repeat(func() (float64, error) {
		transform(values)
		return logTransform << (logTransform - 1), nil
	})
	return err
}

// somePoints are as many encoded points as there are scalars, without order: points in a row, each a step further than the
// one before, would meet in sums, which is slow.
func somePoints(scalars fr.Vector) []byte {
	jac, _, affine, _ := bls.Generators()
	raw := make([]byte, len(scalars)*wide.SizeG1)
	if wide.Available() {
		wide.NewComb(affine).Encode(raw, scalars)
		return raw
	}
	points := make([]bls.G1Jac, len(scalars)) // sums are the library's here, which does not mind
	for i := range points {
		points[i] = jac
		jac.AddMixed(&affine)
	}
	for i, p := range bls.BatchJacobianToAffineG1(points) {
		b := p.RawBytes()
		copy(raw[i*wide.SizeG1:], b[:])
	}
	return raw
}

func sumInG2(scalars []fr.Element) func() (float64, error) {
	_, jac, _, affine := bls.Generators()
	points := make([]bls.G2Affine, len(scalars))
	for i := range points {
		points[i].FromJacobian(&jac)
		jac.AddMixed(&affine)
	}
	return func() (float64, error) {
		var sum bls.G2Jac
		_, err := sum.MultiExp(points, scalars, ecc.MultiExpConfig{NbTasks: runtime.GOMAXPROCS(0)})
		return float64(len(points)), err
	}
}

// rowSink takes rows as a prover does and forgets them.
type rowSink struct{ rows float64 }

// Detail implements r1cs.Backend.
func (s *rowSink) Detail() r1cs.Detail { return r1cs.WantValues | r1cs.WantWitness }

// Small implements r1cs.Backend.
func (s *rowSink) Small(_, _, _ *r1cs.Small) { s.rows++ }

// Row implements r1cs.Backend.
func (s *rowSink) Row(_, _, _ *r1cs.LC) { s.rows++ }

func (m *measurer) circuits(r *Rates) (err error) {
	porep, winning, err := smallCircuits()
	if err != nil {
		return err
	}
	for rate, c := range map[*float64]keys.Circuit{&r.RowsSHA: porep, &r.RowsPoseidon: winning} {
		if *rate, err = m.repeat(func() (float64, error) {
			sink := &rowSink{}
			s := r1cs.New(sink)
			c.Blank().Synthesize(s)
			s.Close()
			return sink.rows, nil
		}); err != nil {
			return err
		}
	}
	var tau fr.Element
	tau.SetUint64(5)
	gen, err := groth16.NewLagrange(1<<logDomain, tau)
	if err != nil {
		return err
	}
	values := make(fr.Vector, groth16.BlockSize)
	left := 1 << logDomain / groth16.BlockSize
	r.Lagrange, err = m.repeat(func() (float64, error) {
		if left--; left < 0 { // the values of a domain end
			left = 1<<logDomain/groth16.BlockSize - 1
			if gen, err = groth16.NewLagrange(1<<logDomain, tau); err != nil {
				return 0, err
			}
		}
		block := gen.Block()
		for range 2 { // A and B
			sum := block.InnerProduct(values)
			values[0].Add(&values[0], &sum)
		}
		return groth16.BlockSize, nil
	})
	return err
}

// smallCircuits are the largest and the smallest circuit of 2 KiB sectors that every sector needs.
func smallCircuits() (porep, winning keys.Circuit, err error) {
	s, err := shape.OfSeal(abi.RegisteredSealProof_StackedDrg2KiBV1_1)
	if err != nil {
		return porep, winning, err
	}
	p, err := shape.OfPoSt(abi.RegisteredPoStProof_StackedDrgWinning2KiBV1)
	return keys.PoRep(s), keys.PoSt(p), err
}

// verification judges a proof that decodes and does not hold, which takes as long as one that does.
func (m *measurer) verification(r *Rates) error {
	sh, err := shape.OfPoSt(abi.RegisteredPoStProof_StackedDrgWindow2KiBV1)
	if err != nil {
		return err
	}
	_, derived, err := keys.NewDevnet([]byte("measure"), "").Derive(keys.PoSt(sh))
	if err != nil {
		return err
	}
	key := groth16.Prepare(derived.Key)
	p := groth16.Instance{
		Proof:  groth16.Proof{A: derived.Key.AlphaG1, B: derived.Key.BetaG2, C: derived.Key.DeltaG1},
		Inputs: make([]fr.Element, key.NumInputs()),
	}
	for i := range p.Inputs {
		p.Inputs[i].SetUint64(uint64(i) + 1)
	}
	r.Verifications, err = m.repeat(func() (float64, error) {
		if key.Verify(p) == nil {
			return 0, fmt.Errorf("a wrong proof of %d inputs was taken for a right one", key.NumInputs())
		}
		return 1, nil
	})
	return err
}

package aggregate

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"runtime"
	"slices"

	"github.com/consensys/gnark-crypto/ecc"
	bls "github.com/consensys/gnark-crypto/ecc/bls12-381"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"
	"golang.org/x/sync/errgroup"

	"github.com/filecoin-venus/venus/proofs/groth16"
	"github.com/filecoin-venus/venus/proofs/groth16/snarkpack"
)

// ErrCount marks a number of proofs that cannot be aggregated.
var ErrCount = errors.New("number of proofs to aggregate")

// Aggregate makes one aggregate of proofs, of one circuit and in this order, bound to the message; the last proof is
// repeated to fill the aggregate up. Keys may be larger than needed.
func (k *Keys) Aggregate(ctx context.Context, version snarkpack.Version, message []byte, proofs []groth16.Proof) (*snarkpack.Proof, error) {
	if !version.Known() {
		return nil, fmt.Errorf("aggregate of version %d is unknown", version)
	}
	n := snarkpack.Padded(len(proofs))
	if len(proofs) == 0 || n > min(snarkpack.MaxProofs, k.Capacity()) {
		return nil, fmt.Errorf("%w: %d, commitment keys are for up to %d", ErrCount, len(proofs), k.Capacity())
	}
	l := k.lists(proofs, n)
	p := &snarkpack.Proof{}
	if err := inParallel(ctx,
		commitTo(&p.AB, l.a, l.b, l.v, l.w),
		commitTo(&p.C, l.c, nil, l.v, l.w)); err != nil {
		return nil, err
	}
	transcript, weight := snarkpack.Begin(version, &p.AB, &p.C, message)
	if err := l.scale(ctx, &weight); err != nil {
		return nil, err
	}
	if err := inParallel(ctx, pairTo(&p.Z, l.a, l.b), sumTo(&p.S, l.c, l.r)); err != nil {
		return nil, err
	}
	transcript.Totals(&p.Z, &p.S)
	var lefts, rights []fr.Element
	for len(l.a) > 1 {
		round, err := l.crossTerms(ctx)
		if err != nil {
			return nil, err
		}
		p.Rounds = append(p.Rounds, *round)
		left, right := transcript.Round(round)
		if err := l.fold(ctx, &left, &right); err != nil {
			return nil, err
		}
		lefts, rights = append(lefts, left), append(rights, right)
	}
	p.LastA, p.LastB, p.LastC = l.a[0], l.b[0], l.c[0]
	for i := range 2 {
		p.LastV[i], p.LastW[i] = l.v[i][0], l.w[i][0]
	}
	point := transcript.Point(p)
	return p, k.open(ctx, p, lefts, rights, &weight, &point)
}

// lists are what the rounds fold: the proofs' points, the weights, and the commitment keys.
type lists struct {
	a, c []bls.G1Affine
	b    []bls.G2Affine
	r    []fr.Element
	v    [2][]bls.G2Affine
	w    [2][]bls.G1Affine
}

// lists are n proofs long, and so are v and w; w begins with power n.
func (k *Keys) lists(proofs []groth16.Proof, n int) *lists {
	l := &lists{a: make([]bls.G1Affine, n), b: make([]bls.G2Affine, n), c: make([]bls.G1Affine, n)}
	for i := range n {
		p := &proofs[min(i, len(proofs)-1)]
		l.a[i], l.b[i], l.c[i] = p.A, p.B, p.C
	}
	for i := range 2 {
		l.v[i] = append([]bls.G2Affine(nil), k.H[i][:n]...)
		l.w[i] = append([]bls.G1Affine(nil), k.G[i][n:2*n]...)
	}
	return l
}

// scale sets the weights to the powers of weight, multiplies B by them and w by their inverses.
func (l *lists) scale(ctx context.Context, weight *fr.Element) error {
	var inverse fr.Element
	inverse.Inverse(weight)
	l.r = powersOf(weight, len(l.a))
	back := powersOf(&inverse, len(l.a))
	return forEach(ctx, len(l.a), func(i int) {
		by, backBy := l.r[i].BigInt(new(big.Int)), back[i].BigInt(new(big.Int))
		l.b[i].ScalarMultiplication(&l.b[i], by)
		for j := range l.w {
			l.w[j][i].ScalarMultiplication(&l.w[j][i], backBy)
		}
	})
}

// crossTerms pairs each half of the lists with the other half of their partners. The left terms take the right half of
// what the challenge multiplies: A, C and w.
func (l *lists) crossTerms(ctx context.Context) (*snarkpack.Round, error) {
	r := &snarkpack.Round{}
	half := len(l.a) / 2
	var jobs []job
	for side := range 2 {
		near, far := span{0, half}, span{half, 2 * half}
		if side == 1 {
			near, far = far, near
		}
		a, b, c := l.a[far.from:far.to], l.b[near.from:near.to], l.c[far.from:far.to]
		var v [2][]bls.G2Affine
		var w [2][]bls.G1Affine
		for i := range 2 {
			v[i], w[i] = l.v[i][near.from:near.to], l.w[i][far.from:far.to]
		}
		jobs = append(jobs,
			commitTo(&r.AB[side], a, b, v, w), commitTo(&r.C[side], c, nil, v, w),
			pairTo(&r.Z[side], a, b), sumTo(&r.S[side], c, l.r[near.from:near.to]))
	}
	return r, inParallel(ctx, jobs...)
}

type span struct{ from, to int }

// fold adds the right half of every list, times left or right, to its left half.
func (l *lists) fold(ctx context.Context, left, right *fr.Element) error {
	half := len(l.a) / 2
	byLeft, byRight := left.BigInt(new(big.Int)), right.BigInt(new(big.Int))
	err := forEach(ctx, half, func(i int) {
		for _, list := range [][]bls.G1Affine{l.a, l.c, l.w[0], l.w[1]} {
			var p bls.G1Affine
			list[i].Add(&list[i], p.ScalarMultiplication(&list[half+i], byLeft))
		}
		for _, list := range [][]bls.G2Affine{l.b, l.v[0], l.v[1]} {
			var p bls.G2Affine
			list[i].Add(&list[i], p.ScalarMultiplication(&list[half+i], byRight))
		}
		var e fr.Element
		l.r[i].Add(&l.r[i], e.Mul(&l.r[half+i], right))
	})
	l.a, l.b, l.c, l.r = l.a[:half], l.b[:half], l.c[:half], l.r[:half]
	for i := range 2 {
		l.v[i], l.w[i] = l.v[i][:half], l.w[i][:half]
	}
	return err
}

// open shows that what is left of v and w are the polynomials of the challenges, at point.
func (k *Keys) open(ctx context.Context, p *snarkpack.Proof, lefts, rights []fr.Element, weight, point *fr.Element) error {
	n := p.NumProofs()
	var one, inverse fr.Element
	one.SetOne()
	inverse.Inverse(weight)
	v := quotient(foldedPowers(rights, &one), point)
	w := quotient(append(make([]fr.Element, n), foldedPowers(lefts, &inverse)...), point)
	var jobs []job
	for i := range 2 {
		jobs = append(jobs, sumTo(&p.OpenW[i], k.G[i][:len(w)], w), func() error {
			_, err := p.OpenV[i].MultiExp(k.H[i][:len(v)], v, ecc.MultiExpConfig{})
			return err
		})
	}
	return inParallel(ctx, jobs...)
}

// foldedPowers are the factors by which the rounds multiply the powers of scale*x on their way into one: the coefficients
// of the product of 1 + c*(scale*x)^(2^j), the last round's challenge with j = 0.
func foldedPowers(challenges []fr.Element, scale *fr.Element) []fr.Element {
	out := make([]fr.Element, 1<<len(challenges))
	out[0].SetOne()
	for i := range out[1:] {
		low := 0 // i+1 without its lowest bit has its factor already
		for (i+1)>>low&1 == 0 {
			low++
		}
		out[i+1].Mul(&out[(i+1)&i], &challenges[len(challenges)-1-low])
	}
	power := *scale
	for i := 1; i < len(out); i++ {
		out[i].Mul(&out[i], &power)
		power.Mul(&power, scale)
	}
	return out
}

// quotient is (f - f(z)) / (x - z), by Horner's rule, lowest coefficient first.
func quotient(f []fr.Element, z *fr.Element) []fr.Element {
	out := make([]fr.Element, len(f)-1)
	var value fr.Element
	for i := len(out); i > 0; i-- {
		value.Mul(&value, z).Add(&value, &f[i])
		out[i-1] = value
	}
	return out
}

// job is a part of the work that can run beside others.
type job func() error

func sumTo(out *bls.G1Affine, points []bls.G1Affine, scalars []fr.Element) job {
	return func() error {
		_, err := out.MultiExp(points, scalars, ecc.MultiExpConfig{})
		return err
	}
}

func pairTo(out *bls.GT, p []bls.G1Affine, q []bls.G2Affine) job {
	return func() (err error) {
		*out, err = pair(p, q)
		return err
	}
}

// commitTo commits to a alone, or to a and b: the product of e(a, v), and of e(w, b), under both keys.
func commitTo(out *snarkpack.Commitment, a []bls.G1Affine, b []bls.G2Affine, v [2][]bls.G2Affine, w [2][]bls.G1Affine) job {
	return func() (err error) {
		for i := range out {
			p, q := a, v[i]
			if b != nil {
				p, q = slices.Concat(a, w[i]), slices.Concat(v[i], b)
			}
			if out[i], err = pair(p, q); err != nil {
				return err
			}
		}
		return nil
	}
}

// pairShare is the smallest number of pairings worth a core of its own.
const pairShare = 32

// pair is the product of the pairings, shared out over the cores.
func pair(p []bls.G1Affine, q []bls.G2Affine) (bls.GT, error) {
	shares := make([]bls.GT, max(1, min(runtime.GOMAXPROCS(0), len(p)/pairShare)))
	var group errgroup.Group
	for s := range shares {
		from, to := s*len(p)/len(shares), (s+1)*len(p)/len(shares)
		group.Go(func() (err error) {
			shares[s], err = bls.MillerLoop(p[from:to], q[from:to])
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return bls.GT{}, fmt.Errorf("pairing: %w", err)
	}
	for s := range shares[1:] {
		shares[0].Mul(&shares[0], &shares[1+s])
	}
	return bls.FinalExponentiation(&shares[0]), nil
}

// inParallel runs jobs over all cores; it starts none when the context has ended.
func inParallel(ctx context.Context, jobs ...job) error {
	group, running := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for _, j := range jobs {
		group.Go(func() error {
			if err := running.Err(); err != nil {
				return err
			}
			return j()
		})
	}
	return group.Wait()
}

// forEach calls f for 0 to n-1, shared out over all cores.
func forEach(ctx context.Context, n int, f func(i int)) error {
	workers := min(n, runtime.GOMAXPROCS(0))
	jobs := make([]job, workers)
	for w := range jobs {
		jobs[w] = func() error {
			for i := w * n / workers; i < (w+1)*n/workers; i++ {
				f(i)
			}
			return nil
		}
	}
	return inParallel(ctx, jobs...)
}

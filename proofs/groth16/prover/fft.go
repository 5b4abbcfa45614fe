package prover

import (
	"fmt"
	"math/bits"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr/fft"
)

// domain transforms polynomials between coefficients and values at the powers of a root of unity omega of order m = 2^log.
// The library's transform does the same; this one works in vectors where the library works in elements, needs a quarter of
// its tables, and scales to a coset in vectors too, which made up two thirds of the time.
type domain struct {
	log int
	// twiddles of the stage with halves of 2^s elements: powers of omega^(m/2^(s+1)).
	twiddles []fr.Vector
}

const (
	// fftBlock is the size of sub-transforms that one core does alone, within its second cache.
	fftBlock = 1 << 14
	// fftStrip is how many butterflies a core does at a time in the stages above, and the most that are done as vectors.
	fftStrip = 1 << 11
	// fftSmall is the size of halves from which on vectors pay.
	fftSmall = 16
)

func newDomain(log int) (*domain, error) {
	omega, err := fft.Generator(1 << log)
	if err != nil {
		return nil, fmt.Errorf("domain of 2^%d: %w", log, err)
	}
	d := &domain{log: log, twiddles: make([]fr.Vector, log)}
	for s := log - 1; s >= 0; s-- {
		d.twiddles[s] = make(fr.Vector, 1<<s)
		if s == log-1 {
			powers(d.twiddles[s], omega)
			continue
		}
		above := d.twiddles[s+1]
		inStrips(1<<s, func(from, to int) {
			for i := from; i < to; i++ {
				d.twiddles[s][i] = above[2*i]
			}
		})
	}
	return d, nil
}

// powers fills out with the powers of base, from the 0th.
func powers(out fr.Vector, base fr.Element) {
	first := out[:min(len(out), fftStrip)]
	first[0].SetOne()
	for i := 1; i < len(first); i++ {
		first[i].Mul(&first[i-1], &base)
	}
	var step fr.Element
	step.Mul(&first[len(first)-1], &base)
	starts := make(fr.Vector, (len(out)+fftStrip-1)/fftStrip)
	starts[0].SetOne()
	for k := 1; k < len(starts); k++ {
		starts[k].Mul(&starts[k-1], &step)
	}
	inStrips(len(out), func(from, to int) {
		if from > 0 {
			strip := out[from:to]
			strip.ScalarMul(first[:to-from], &starts[from/fftStrip])
		}
	})
}

// inStrips calls work for strips of 0..n on all cores.
func inStrips(n int, work func(from, to int)) { inParts(n, fftStrip, work) }

func inParts(n, size int, work func(from, to int)) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), (n+size-1)/size) {
		wg.Go(func() {
			for {
				from := int(next.Add(int64(size))) - size
				if from >= n {
					return
				}
				work(from, min(from+size, n))
			}
		})
	}
	wg.Wait()
}

// coefficients turns the m values of a polynomial into its coefficients times m, in bit-reversed order.
func (d *domain) coefficients(v fr.Vector) {
	slices.Reverse(v[1:]) // the transform by the inverse of omega
	s := d.log - 1
	for ; 2<<s > fftBlock; s-- {
		d.wideStage(v, s, splitUp)
	}
	inParts(len(v), min(fftBlock, len(v)), func(from, to int) {
		t := make(fr.Vector, fftStrip)
		for s := s; s >= 0; s-- {
			for at := from; at < to; at += 2 << s {
				splitUp(v[at:at+1<<s], v[at+1<<s:at+2<<s], d.twiddles[s], t)
			}
		}
	})
}

// values turns coefficients in bit-reversed order into values.
func (d *domain) values(v fr.Vector) {
	top := min(bits.Len(fftBlock)-1, d.log)
	inParts(len(v), min(fftBlock, len(v)), func(from, to int) {
		t := make(fr.Vector, fftStrip)
		for s := range top {
			for at := from; at < to; at += 2 << s {
				unite(v[at:at+1<<s], v[at+1<<s:at+2<<s], d.twiddles[s], t)
			}
		}
	})
	for s := top; s < d.log; s++ {
		d.wideStage(v, s, unite)
	}
}

// wideStage does the butterflies of a stage strip by strip.
func (d *domain) wideStage(v fr.Vector, s int, butterflies func(lo, hi, twiddles, t fr.Vector)) {
	half := 1 << s
	inStrips(len(v)/2, func(from, to int) {
		t := make(fr.Vector, fftStrip)
		block, in := from>>s, from&(half-1)
		lo := v[block<<(s+1)+in:][:to-from]
		hi := v[block<<(s+1)+in+half:][:to-from]
		butterflies(lo, hi, d.twiddles[s][in:in+to-from], t)
	})
}

// splitUp sets (lo, hi) to (lo+hi, (lo-hi)*twiddle), with t for scratch.
func splitUp(lo, hi, twiddles, t fr.Vector) {
	if len(lo) < fftSmall {
		for i := range lo {
			fr.Butterfly(&lo[i], &hi[i])
			if i > 0 {
				hi[i].Mul(&hi[i], &twiddles[i])
			}
		}
		return
	}
	for len(lo) > 0 {
		n := min(len(lo), len(t))
		l, h, d := lo[:n], hi[:n], t[:n]
		d.Sub(l, h)
		l.Add(l, h)
		h.Mul(d, twiddles[:n])
		lo, hi, twiddles = lo[n:], hi[n:], twiddles[n:]
	}
}

// unite sets (lo, hi) to (lo+hi*twiddle, lo-hi*twiddle), with t for scratch.
func unite(lo, hi, twiddles, t fr.Vector) {
	if len(lo) < fftSmall {
		for i := range lo {
			if i > 0 {
				hi[i].Mul(&hi[i], &twiddles[i])
			}
			fr.Butterfly(&lo[i], &hi[i])
		}
		return
	}
	for len(lo) > 0 {
		n := min(len(lo), len(t))
		l, h, p := lo[:n], hi[:n], t[:n]
		p.Mul(h, twiddles[:n])
		h.Sub(l, p)
		l.Add(l, p)
		lo, hi, twiddles = lo[n:], hi[n:], twiddles[n:]
	}
}

// scale multiplies coefficient i, in bit-reversed order, by factor*base^i.
func (d *domain) scale(v fr.Vector, base, factor fr.Element) {
	// Position p is hi*2^low+lo; its coefficient's number is the reversed lo, shifted, plus the reversed hi.
	low := d.log / 2
	high := d.log - low
	step := base
	for range high {
		step.Square(&step)
	}
	lows, highs := make(fr.Vector, 1<<low), make(fr.Vector, 1<<high)
	powers(lows, step)
	powers(highs, base)
	fft.BitReverse(lows)
	fft.BitReverse(highs)
	highs.ScalarMul(highs, &factor)
	inParts(len(v), 1<<low, func(from, to int) {
		part := v[from:to]
		part.Mul(part, lows)
		part.ScalarMul(part, &highs[from>>low])
	})
}

// Transformer returns the transform of 2^log values that a proof takes six of, for who measures it.
func Transformer(log int) (func(v fr.Vector), error) {
	d, err := newDomain(log)
	if err != nil {
		return nil, err
	}
	return d.coefficients, nil
}

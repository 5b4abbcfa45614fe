package wide

import (
	"runtime"
	"sync"

	bls "github.com/consensys/gnark-crypto/ecc/bls12-381"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"
)

// Comb multiplies one point by many scalars. Scalars are cut into signed digits, and every window has a table of its
// multiples of the point, so that a product is one addition per window. Safe for concurrent use.
type Comb struct{ table []point }

const (
	combWidth = 13
	combRow   = 1 << (combWidth - 1)
	// combBlock products are computed side by side.
	combBlock = 8 * batchSize
)

// Available tells whether this processor has the instructions for a Comb.
func Available() bool { return wide }

// NewComb makes the tables of a point (10 MiB).
func NewComb(p bls.G1Affine) *Comb {
	c := &Comb{}
	var base bls.G1Jac
	base.FromAffine(&p)
	for range windowsOf(combWidth) {
		multiples := make([]bls.G1Jac, combRow)
		multiples[0] = base
		for k := 1; k < combRow; k++ {
			multiples[k].Set(&multiples[k-1]).AddAssign(&base)
		}
		for _, m := range bls.BatchJacobianToAffineG1(multiples) {
			c.table = append(c.table, fromLibrary(&m))
		}
		for range combWidth {
			base.DoubleAssign()
		}
	}
	return c
}

// Encode writes the encoded multiples to raw, SizeG1 bytes for each scalar, on all cores.
func (c *Comb) Encode(raw []byte, scalars []fr.Element) {
	blocks := make(chan int)
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			w := combWorker{c: c, sums: make([]point, combBlock), digits: make([]digits, combBlock)}
			for at := range blocks {
				to := min(at+combBlock, len(scalars))
				w.encode(raw[at*SizeG1:to*SizeG1], scalars[at:to])
			}
		})
	}
	for at := 0; at < len(scalars); at += combBlock {
		blocks <- at
	}
	close(blocks)
	wg.Wait()
}

type combWorker struct {
	c      *Comb
	adder  adder
	sums   []point
	digits []digits
	empty  [combBlock]bool // sums that are infinite
}

func (w *combWorker) encode(raw []byte, scalars []fr.Element) {
	for i := range scalars {
		cut(&w.digits[i], &scalars[i], combWidth)
		w.empty[i] = true
	}
	w.adder.dst, w.adder.src = w.sums, w.c.table
	w.adder.vanished = func(i uint32) { w.empty[i] = true }
	for k := range windowsOf(combWidth) {
		for i := range scalars {
			d := int(w.digits[i][k])
			if d == 0 {
				continue
			}
			at := k*combRow + max(d, -d) - 1
			if !w.empty[i] {
				w.adder.add(uint32(i), uint32(at), d < 0)
				continue
			}
			w.sums[i], w.empty[i] = w.c.table[at], false
			if d < 0 {
				w.sums[i].negate()
			}
		}
		w.adder.flush()
	}
	encode(raw, w.sums[:(len(scalars)+7)/8*8])
	for i := range scalars {
		if w.empty[i] {
			b := raw[i*SizeG1 : (i+1)*SizeG1]
			clear(b)
			b[0] = infinityFlag
		}
	}
}

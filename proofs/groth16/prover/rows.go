package prover

import (
	"errors"
	"fmt"

	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"

	"github.com/filecoin-venus/venus/proofs/groth16"
	"github.com/filecoin-venus/venus/proofs/r1cs"
)

// ErrUnsatisfied marks a witness that breaks its circuit: the vanilla proof it came from is wrong.
var ErrUnsatisfied = errors.New("witness does not satisfy the circuit")

// evaluator checks rows in blocks and hands their values on. It keeps no row beyond its block.
type evaluator struct {
	detail  r1cs.Detail
	sink    func(a, b, c fr.Vector)
	a, b, c fr.Vector
	ab      fr.Vector
	n, done int
	bad     int // first row that does not hold, or -1
}

const evaluatorBlock = groth16.BlockSize

func newEvaluator(detail r1cs.Detail, sink func(a, b, c fr.Vector)) *evaluator {
	mk := func() fr.Vector { return make(fr.Vector, evaluatorBlock) }
	return &evaluator{detail: detail, sink: sink, a: mk(), b: mk(), c: mk(), ab: mk(), bad: -1}
}

// Detail implements r1cs.Backend.
func (e *evaluator) Detail() r1cs.Detail { return e.detail }

const smallRange = 4

var smallElements = func() (t [2*smallRange + 1]fr.Element) {
	for i := range t {
		t[i].SetInt64(int64(i - smallRange))
	}
	return t
}()

// Small implements r1cs.Backend.
func (e *evaluator) Small(a, b, c *r1cs.Small) {
	e.a[e.n] = smallElements[a.Value+smallRange]
	e.b[e.n] = smallElements[b.Value+smallRange]
	e.c[e.n] = smallElements[c.Value+smallRange]
	e.advance()
}

// Row implements r1cs.Backend.
func (e *evaluator) Row(a, b, c *r1cs.LC) {
	e.a[e.n], e.b[e.n], e.c[e.n] = a.Value, b.Value, c.Value
	e.advance()
}

func (e *evaluator) advance() {
	if e.n++; e.n == evaluatorBlock {
		e.flush()
	}
}

func (e *evaluator) flush() {
	if e.n == 0 {
		return
	}
	a, b, c, ab := e.a[:e.n], e.b[:e.n], e.c[:e.n], e.ab[:e.n]
	ab.Mul(a, b)
	if e.bad < 0 {
		for i := range ab {
			if ab[i] != c[i] {
				e.bad = e.done + i
				break
			}
		}
	}
	e.sink(a, b, c)
	e.done += e.n
	e.n = 0
}

// finish flushes and reports whether all rows held.
func (e *evaluator) finish() error {
	e.flush()
	if e.bad >= 0 {
		return fmt.Errorf("row %d of %d: %w", e.bad, e.done, ErrUnsatisfied)
	}
	return nil
}

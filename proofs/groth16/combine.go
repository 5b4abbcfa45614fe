package groth16

import (
	"math/bits"

	"github.com/consensys/gnark-crypto/ecc"
	bls "github.com/consensys/gnark-crypto/ecc/bls12-381"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"

	"github.com/filecoin-venus/venus/crypto/wide"
)

// manyPoints is the number of different large scalars from which the library's bucket method wins.
const manyPoints = 48

// tooMany is the number from which it wins over the lanes, too.
const tooMany = 512

// combine is the sum of scalars[i]*points[i]. Public inputs are of two kinds, commitments, which often repeat, and small
// numbers; so points with equal large scalars are added first, and small scalars cost by their length.
func combine(points []bls.G1Affine, scalars []fr.Element) bls.G1Affine {
	return combineWith(nil, points, scalars)
}

// combineWith is combine with tables for some of the points.
func combineWith(tables map[int]*fixedTable, points []bls.G1Affine, scalars []fr.Element) bls.G1Affine {
	var sum bls.G1Jac
	groups := map[fr.Element]int{}
	var large []bls.G1Jac
	var largeBy []fr.Element
	var alone []int // of each group, its point while it has but one, else -1
	var small []bls.G1Affine
	var smallBy []uint64
	for i := range points {
		if scalars[i].IsUint64() {
			if v := scalars[i].Uint64(); v != 0 {
				small, smallBy = append(small, points[i]), append(smallBy, v)
			}
			continue
		}
		g, ok := groups[scalars[i]]
		if !ok {
			g = len(large)
			groups[scalars[i]] = g
			large, largeBy, alone = append(large, bls.G1Jac{}), append(largeBy, scalars[i]), append(alone, i)
			large[g].FromAffine(&points[i])
			continue
		}
		large[g].AddMixed(&points[i])
		alone[g] = -1
	}
	kept := 0
	for g := range large {
		if t, ok := tables[alone[g]]; ok {
			t.addTo(&sum, &largeBy[g])
			continue
		}
		large[kept], largeBy[kept] = large[g], largeBy[g]
		kept++
	}
	if kept > 0 {
		others := sumLarge(bls.BatchJacobianToAffineG1(large[:kept]), largeBy[:kept])
		sum.AddAssign(&others)
	}
	rest := sumSmall(small, smallBy)
	sum.AddAssign(&rest)
	return *new(bls.G1Affine).FromJacobian(&sum)
}

// fixedTable multiplies one point without doublings: for each four bits of a scalar it has the multiples that they can
// stand for.
type fixedTable struct{ multiples []bls.G1Affine }

func newFixedTable(p *bls.G1Affine) *fixedTable {
	const windows, size = (fr.Bits + strausBits - 1) / strausBits, 1<<strausBits - 1
	jac := make([]bls.G1Jac, windows*size)
	var base bls.G1Jac
	base.FromAffine(p)
	for w := range windows {
		row := jac[w*size : (w+1)*size]
		row[0] = base
		for i := 1; i < size; i++ {
			row[i] = row[i-1]
			row[i].AddAssign(&base)
		}
		for range strausBits {
			base.DoubleAssign()
		}
	}
	return &fixedTable{bls.BatchJacobianToAffineG1(jac)}
}

func (t *fixedTable) addTo(sum *bls.G1Jac, scalar *fr.Element) {
	const size = 1<<strausBits - 1
	limbs := scalar.Bits()
	for w := 0; w < len(t.multiples)/size; w++ {
		at := w * strausBits
		if d := limbs[at/64] >> (at % 64) & size; d != 0 {
			sum.AddMixed(&t.multiples[w*size+int(d)-1])
		}
	}
}

// sumSmall adds the points bit by bit of their scalars, all together.
func sumSmall(points []bls.G1Affine, scalars []uint64) (sum bls.G1Jac) {
	var all uint64
	for _, v := range scalars {
		all |= v
	}
	for b := bits.Len64(all) - 1; b >= 0; b-- {
		sum.DoubleAssign()
		for i, v := range scalars {
			if v>>b&1 == 1 {
				sum.AddMixed(&points[i])
			}
		}
	}
	return sum
}

// strausBits is the window of the joint multiplication.
const strausBits = 4

func sumLarge(points []bls.G1Affine, scalars []fr.Element) (sum bls.G1Jac) {
	if inLanes(len(points)) && len(points) < tooMany {
		p := wide.CombineG1(points, inWords(scalars))
		return *sum.FromAffine(&p)
	}
	if len(points) >= manyPoints {
		if _, err := sum.MultiExp(points, scalars, ecc.MultiExpConfig{NbTasks: 1}); err != nil {
			panic(err) // only for lists of different length
		}
		return sum
	}
	// Joint multiplication: doublings are shared, each point has a table of its multiples 1..15.
	const size = 1<<strausBits - 1
	jac := make([]bls.G1Jac, size*len(points))
	limbs := make([][4]uint64, len(points))
	for i := range points {
		limbs[i] = scalars[i].Bits()
		t := jac[size*i : size*(i+1)]
		t[0].FromAffine(&points[i])
		for j := 1; j < size; j++ {
			t[j] = t[j-1]
			t[j].AddMixed(&points[i])
		}
	}
	table := bls.BatchJacobianToAffineG1(jac)
	for w := (bits256(limbs) - 1) / strausBits; w >= 0; w-- {
		for range strausBits {
			sum.DoubleAssign()
		}
		for i := range limbs {
			at := w * strausBits
			if d := limbs[i][at/64] >> (at % 64) & size; d != 0 {
				sum.AddMixed(&table[size*i+int(d)-1])
			}
		}
	}
	return sum
}

func inWords(scalars []fr.Element) []wide.Scalar {
	out := make([]wide.Scalar, len(scalars))
	for i := range scalars {
		out[i] = scalars[i].Bits()
	}
	return out
}

// bits256 is the length of the longest number.
func bits256(limbs [][4]uint64) (n int) {
	for _, l := range limbs {
		for j := 3; j >= 0; j-- {
			if l[j] != 0 {
				n = max(n, 64*j+bits.Len64(l[j]))
				break
			}
		}
	}
	return n
}

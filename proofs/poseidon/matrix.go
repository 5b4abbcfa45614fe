package poseidon

import "github.com/consensys/gnark-crypto/ecc/bls12-381/fr"

func newMatrix(n int) [][]fr.Element {
	flat := make([]fr.Element, n*n)
	m := make([][]fr.Element, n)
	for i := range m {
		m[i] = flat[i*n : (i+1)*n : (i+1)*n]
	}
	return m
}

// vecMat returns the row vector v times m.
func vecMat(v []fr.Element, m [][]fr.Element) []fr.Element {
	out := make([]fr.Element, len(v))
	var t fr.Element
	for i := range v {
		for j := range out {
			t.Mul(&v[i], &m[i][j])
			out[j].Add(&out[j], &t)
		}
	}
	return out
}

// matVec returns m times the column vector v.
func matVec(m [][]fr.Element, v []fr.Element) []fr.Element {
	out := make([]fr.Element, len(v))
	var t fr.Element
	for i := range m {
		for j := range v {
			t.Mul(&m[i][j], &v[j])
			out[i].Add(&out[i], &t)
		}
	}
	return out
}

func matMul(a, b [][]fr.Element) [][]fr.Element {
	out := newMatrix(len(a))
	for i := range a {
		copy(out[i], vecMat(a[i], b))
	}
	return out
}

// invert returns the inverse of m by Gauss-Jordan elimination; the matrices met here are all regular.
func invert(m [][]fr.Element) [][]fr.Element {
	n := len(m)
	a, inv := newMatrix(n), newMatrix(n)
	for i := range m {
		copy(a[i], m[i])
		inv[i][i].SetOne()
	}
	for col := range n {
		p := col
		for p < n && a[p][col].IsZero() {
			p++
		}
		if p == n {
			panic("poseidon: singular matrix")
		}
		a[col], a[p] = a[p], a[col]
		inv[col], inv[p] = inv[p], inv[col]
		var d fr.Element
		d.Inverse(&a[col][col])
		scale(a[col], &d)
		scale(inv[col], &d)
		for r := range n {
			if r != col && !a[r][col].IsZero() {
				f := a[r][col]
				subScaled(a[r], a[col], &f)
				subScaled(inv[r], inv[col], &f)
			}
		}
	}
	return inv
}

func scale(v []fr.Element, by *fr.Element) {
	for i := range v {
		v[i].Mul(&v[i], by)
	}
}

// subScaled does dst -= f*src.
func subScaled(dst, src []fr.Element, f *fr.Element) {
	var t fr.Element
	for i := range dst {
		t.Mul(&src[i], f)
		dst[i].Sub(&dst[i], &t)
	}
}

package aggregate

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"

	bls "github.com/consensys/gnark-crypto/ecc/bls12-381"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"

	"github.com/filecoin-venus/venus/proofs/groth16/snarkpack"
)

// Keys are commitment keys: the powers 0, 1, 2 and so on of alpha (index 0) and of beta (index 1) times the generators.
// Aggregates of n proofs take 2n powers of G1 and n of G2.
type Keys struct {
	G [2][]bls.G1Affine
	H [2][]bls.G2Affine
}

// FromSecret makes the keys for aggregates of up to n proofs, n a power of two. Time and memory grow with n; 1024 take
// about a second.
func FromSecret(s snarkpack.Secret, n int) *Keys {
	k := &Keys{}
	_, _, g, h := bls.Generators()
	for i, e := range []fr.Element{s.Alpha, s.Beta} {
		powers := powersOf(&e, 2*n)
		k.G[i] = bls.BatchScalarMultiplicationG1(&g, powers)
		k.H[i] = bls.BatchScalarMultiplicationG2(&h, powers)
	}
	return k
}

// powersOf are e^0 to e^(n-1).
func powersOf(e *fr.Element, n int) []fr.Element {
	out := make([]fr.Element, n)
	out[0].SetOne()
	for i := 1; i < n; i++ {
		out[i].Mul(&out[i-1], e)
	}
	return out
}

// ReadKeys reads as many powers as aggregates of n proofs take, in the layout of Filecoin's .srs file.
func ReadKeys(r io.ReaderAt, n int) (*Keys, error) {
	f, err := snarkpack.OpenFile(r)
	if err != nil {
		return nil, err
	}
	k := &Keys{}
	for i := range 2 {
		if k.G[i], err = f.G1(i, 0, 2*n); err != nil {
			return nil, err
		}
		if k.H[i], err = f.G2(i, 0, n); err != nil {
			return nil, err
		}
	}
	return k, nil
}

// Write writes the keys in the layout that ReadKeys reads.
func (k *Keys) Write(w io.Writer) error {
	out := bufio.NewWriterSize(w, 1<<20)
	for i := range k.G {
		out.Write(binary.BigEndian.AppendUint32(nil, uint32(len(k.G[i])))) // the writer keeps its first error for Flush
		for j := range k.G[i] {
			b := k.G[i][j].Bytes()
			out.Write(b[:])
		}
	}
	for i := range k.H {
		out.Write(binary.BigEndian.AppendUint32(nil, uint32(len(k.H[i]))))
		for j := range k.H[i] {
			b := k.H[i][j].Bytes()
			out.Write(b[:])
		}
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write commitment keys: %w", err)
	}
	return nil
}

// Capacity is the number of proofs in the largest aggregate that the keys can make, not rounded to a power of two.
func (k *Keys) Capacity() int {
	return min(len(k.G[0])/2, len(k.G[1])/2, len(k.H[0]), len(k.H[1]))
}

// VerifierKey is the verifier's part of the keys.
func (k *Keys) VerifierKey() *snarkpack.Key {
	out := &snarkpack.Key{}
	for i := range 2 {
		out.G[i], out.H[i] = k.G[i][1], k.H[i][1]
	}
	return out
}

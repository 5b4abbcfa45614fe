package groth16

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	bls "github.com/consensys/gnark-crypto/ecc/bls12-381"

	"github.com/filecoin-venus/venus/crypto/wide"
)

// ProofSize is the length of one proof: A (48), B (96) and C (48), compressed.
const ProofSize = 192

// ErrEncoding marks bytes that are no proof or key.
var ErrEncoding = errors.New("wrong encoding")

// Proof is one Groth16 proof.
type Proof struct {
	A bls.G1Affine
	B bls.G2Affine
	C bls.G1Affine
}

// ParseProof reads a proof of exactly 192 bytes: canonical compressed points of the right subgroups, none at infinity.
func ParseProof(b []byte) (Proof, error) {
	var p Proof
	if len(b) != ProofSize {
		return p, fmt.Errorf("proof of %d bytes, want %d: %w", len(b), ProofSize, ErrEncoding)
	}
	if err := readPoint(&p.A, b[:48]); err != nil {
		return p, fmt.Errorf("proof point A: %w", err)
	}
	if err := readPoint(&p.B, b[48:144]); err != nil {
		return p, fmt.Errorf("proof point B: %w", err)
	}
	if err := readPoint(&p.C, b[144:]); err != nil {
		return p, fmt.Errorf("proof point C: %w", err)
	}
	return p, nil
}

// ParseProofs reads the proofs of n partitions, one after the other.
func ParseProofs(b []byte, n int) ([]Proof, error) {
	if len(b) != n*ProofSize {
		return nil, fmt.Errorf("proof of %d bytes, want %d partitions of %d: %w", len(b), n, ProofSize, ErrEncoding)
	}
	out, errs := ParseEach(slices.Collect(slices.Chunk(b, ProofSize)))
	for i, err := range errs {
		if err != nil {
			return nil, fmt.Errorf("partition %d: %w", i, err)
		}
	}
	return out, nil
}

// ParseEach is ParseProof for many proofs that have nothing to do with each other; together they take a fifth of the time
// where the processor allows.
func ParseEach(raw [][]byte) ([]Proof, []error) {
	out, errs := make([]Proof, len(raw)), make([]error, len(raw))
	var g1, g2 [][]byte
	for _, b := range raw {
		if len(b) != ProofSize {
			b = make([]byte, ProofSize) // no point, as ParseProof will tell
		}
		g1, g2 = append(g1, b[:48], b[144:]), append(g2, b[48:144])
	}
	ac, bs := wide.DecodeG1(g1), wide.DecodeG2(g2)
	for i, b := range raw {
		out[i] = Proof{A: ac[2*i], B: bs[i], C: ac[2*i+1]}
		if p := &out[i]; p.A.IsInfinity() || p.B.IsInfinity() || p.C.IsInfinity() {
			out[i], errs[i] = ParseProof(b)
		}
	}
	return out, errs
}

// Bytes is the 192-byte form of p.
func (p *Proof) Bytes() []byte {
	a, b, c := p.A.Bytes(), p.B.Bytes(), p.C.Bytes()
	out := make([]byte, 0, ProofSize)
	out = append(out, a[:]...)
	out = append(out, b[:]...)
	return append(out, c[:]...)
}

// point is what curve points of both groups can do here.
type point interface {
	SetBytes(b []byte) (int, error)
	IsInfinity() bool
}

// readPoint reads one point that fills b; the three flag bits must announce the form that b has the length for.
func readPoint(p point, b []byte) error {
	compressed := len(b) == bls.SizeOfG1AffineCompressed
	if _, ok := p.(*bls.G2Affine); ok {
		compressed = len(b) == bls.SizeOfG2AffineCompressed
	}
	if (b[0]&0x80 != 0) != compressed {
		return fmt.Errorf("compression flag does not fit %d bytes: %w", len(b), ErrEncoding)
	}
	n, err := p.SetBytes(b)
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", ErrEncoding, err)
	case n != len(b):
		return fmt.Errorf("point took %d of %d bytes: %w", n, len(b), ErrEncoding)
	case p.IsInfinity():
		return fmt.Errorf("point at infinity: %w", ErrEncoding)
	}
	return nil
}

// VerifyingKey is what a verifier of one circuit needs, as in a .vk file.
type VerifyingKey struct {
	AlphaG1, BetaG1 bls.G1Affine
	BetaG2, GammaG2 bls.G2Affine
	DeltaG1         bls.G1Affine
	DeltaG2         bls.G2Affine
	IC              []bls.G1Affine // one per input, the constant one first
}

// maxInputs bounds the inputs that a key may claim; the largest real circuit has 25,840.
const maxInputs = 1 << 20

// ReadVerifyingKey reads a key in the layout of a .vk file (also the head of a .params file).
func ReadVerifyingKey(r io.Reader) (*VerifyingKey, error) {
	vk := &VerifyingKey{}
	for _, f := range []struct {
		name string
		p    point
		size int
	}{
		{"alpha_g1", &vk.AlphaG1, 96}, {"beta_g1", &vk.BetaG1, 96}, {"beta_g2", &vk.BetaG2, 192},
		{"gamma_g2", &vk.GammaG2, 192}, {"delta_g1", &vk.DeltaG1, 96}, {"delta_g2", &vk.DeltaG2, 192},
	} {
		if err := readNext(r, f.p, f.size); err != nil {
			return nil, fmt.Errorf("verifying key, %s: %w", f.name, err)
		}
	}
	var n [4]byte
	if _, err := io.ReadFull(r, n[:]); err != nil {
		return nil, fmt.Errorf("verifying key, number of inputs: %w", err)
	}
	count := binary.BigEndian.Uint32(n[:])
	if count == 0 || count > maxInputs {
		return nil, fmt.Errorf("verifying key claims %d inputs: %w", count, ErrEncoding)
	}
	for i := range count {
		var p bls.G1Affine
		if err := readNext(r, &p, 96); err != nil {
			return nil, fmt.Errorf("verifying key, input %d of %d: %w", i, count, err)
		}
		vk.IC = append(vk.IC, p)
	}
	return vk, nil
}

func readNext(r io.Reader, p point, size int) error {
	var buf [192]byte
	if _, err := io.ReadFull(r, buf[:size]); err != nil {
		return err
	}
	return readPoint(p, buf[:size])
}

// Bytes is the key in the layout of a .vk file: 868 bytes and 96 per input.
func (vk *VerifyingKey) Bytes() []byte {
	out := make([]byte, 0, 868+96*len(vk.IC))
	for _, p := range []any{&vk.AlphaG1, &vk.BetaG1, &vk.BetaG2, &vk.GammaG2, &vk.DeltaG1, &vk.DeltaG2} {
		switch p := p.(type) {
		case *bls.G1Affine:
			raw := p.RawBytes()
			out = append(out, raw[:]...)
		case *bls.G2Affine:
			raw := p.RawBytes()
			out = append(out, raw[:]...)
		}
	}
	out = binary.BigEndian.AppendUint32(out, uint32(len(vk.IC)))
	for i := range vk.IC {
		raw := vk.IC[i].RawBytes()
		out = append(out, raw[:]...)
	}
	return out
}

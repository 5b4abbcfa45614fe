package prover

import (
	"testing"

	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/proofs/groth16"
	"github.com/filecoin-venus/venus/proofs/r1cs"
)

// squareOrHash is a small circuit with every kind of row: SHA-256, Poseidon, a path and public numbers.
type squareOrHash struct {
	x     fr.Element
	wrong bool
}

func (c squareOrHash) Synthesize(s *r1cs.System) {
	x := s.AllocNum(c.x)
	s.Inputize(x)
	h := s.Sha256Num(r1cs.ReverseBytes(s.ToBits(x)))
	p := s.Poseidon([]r1cs.Num{x, h})
	s.Inputize(p)
	path := []r1cs.Row{{Siblings: make([]fr.Element, 7), Slot: 3}}
	probe := r1cs.New(&r1cs.Counter{})
	root := r1csRoot(probe, p.Value(), path)
	if c.wrong {
		root = c.x
	}
	s.Path(p, path, s.AllocNum(root), r1cs.PoseidonNode)
}

func r1csRoot(s *r1cs.System, leaf fr.Element, path []r1cs.Row) fr.Element {
	var children []r1cs.Num
	for _, e := range path[0].Siblings {
		children = append(children, s.AllocNum(e))
	}
	children = append(children, r1cs.Num{})
	copy(children[path[0].Slot+1:], children[path[0].Slot:])
	children[path[0].Slot] = s.AllocNum(leaf)
	root := s.Poseidon(children)
	return root.Value()
}

func TestTrapdoorProofsVerify(t *testing.T) {
	secret, err := groth16.SecretFromSeed([]byte("a seed of sixteen bytes or more"), "test circuit")
	require.NoError(t, err)
	d, err := groth16.Derive(secret, squareOrHash{})
	require.NoError(t, err)
	key := groth16.Prepare(d.Key)
	tp := NewTrapdoor(secret, d)

	var batch []groth16.Instance
	for i := range uint64(6) {
		p, inputs, err := tp.Prove(squareOrHash{x: fr.NewElement(i + 5)})
		require.NoError(t, err)
		parsed, err := groth16.ParseProof(p.Bytes())
		require.NoError(t, err)
		batch = append(batch, groth16.Instance{Proof: parsed, Inputs: inputs})
		require.NoError(t, key.Verify(batch[i]))
	}
	require.NoError(t, key.Verify(batch...))

	bad := append([]fr.Element(nil), batch[2].Inputs...)
	bad[1].Double(&bad[1])
	require.ErrorIs(t, key.Verify(groth16.Instance{Proof: batch[2].Proof, Inputs: bad}), groth16.ErrInvalid)
	batch[2].Inputs = bad
	require.ErrorIs(t, key.Verify(batch...), groth16.ErrInvalid)
	require.ErrorIs(t, key.Verify(groth16.Instance{Proof: batch[2].Proof, Inputs: bad[:2]}), groth16.ErrInvalid)

	_, _, err = tp.Prove(squareOrHash{x: fr.NewElement(9), wrong: true})
	require.ErrorIs(t, err, ErrUnsatisfied)

	other, err := groth16.SecretFromSeed([]byte("another seed of sixteen bytes"), "test circuit")
	require.NoError(t, err)
	foreign, err := groth16.Derive(other, squareOrHash{})
	require.NoError(t, err)
	require.ErrorIs(t, groth16.Prepare(foreign.Key).Verify(batch[0]), groth16.ErrInvalid)
}

func BenchmarkVerify(b *testing.B) {
	secret, _ := groth16.SecretFromSeed([]byte("a seed of sixteen bytes or more"), "test circuit")
	d, _ := groth16.Derive(secret, squareOrHash{})
	key := groth16.Prepare(d.Key)
	p, inputs, err := NewTrapdoor(secret, d).Prove(squareOrHash{x: fr.NewElement(5)})
	require.NoError(b, err)
	raw := p.Bytes()
	b.Run("parse", func(b *testing.B) {
		for b.Loop() {
			_, _ = groth16.ParseProof(raw)
		}
	})
	in := groth16.Instance{Proof: *p, Inputs: inputs}
	b.Run("one", func(b *testing.B) {
		for b.Loop() {
			_ = key.Verify(in)
		}
	})
	hundred := make([]groth16.Instance, 100)
	for i := range hundred {
		hundred[i] = in
	}
	b.Run("hundred", func(b *testing.B) {
		for b.Loop() {
			_ = key.Verify(hundred...)
		}
	})
}

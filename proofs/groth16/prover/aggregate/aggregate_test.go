package aggregate

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"testing"

	bls "github.com/consensys/gnark-crypto/ecc/bls12-381"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/proofs/groth16"
	"github.com/filecoin-venus/venus/proofs/groth16/prover"
	"github.com/filecoin-venus/venus/proofs/groth16/snarkpack"
	"github.com/filecoin-venus/venus/proofs/r1cs"
)

// hashOf is y = Poseidon(x, x) with both public.
type hashOf struct{ x fr.Element }

func (c hashOf) Synthesize(s *r1cs.System) {
	x := s.AllocNum(c.x)
	s.Inputize(x)
	s.Inputize(s.Poseidon([]r1cs.Num{x, x}))
}

// workshop has everything that aggregates of hashOf need.
type workshop struct {
	keys     *Keys
	verifier *snarkpack.Verifier
	key      *groth16.PreparedKey
	proofs   []groth16.Proof
	inputs   [][]fr.Element
}

var message = []byte("what the statement hashes to")

func newWorkshop(t testing.TB, n int) *workshop {
	t.Helper()
	secret, err := groth16.SecretFromSeed([]byte("seed"), "hash")
	require.NoError(t, err)
	d, err := groth16.Derive(secret, hashOf{})
	require.NoError(t, err)
	trapdoor, err := snarkpack.SecretFromSeed([]byte("seed"))
	require.NoError(t, err)
	w := &workshop{keys: FromSecret(trapdoor, snarkpack.Padded(n)), verifier: snarkpack.NewVerifier(trapdoor.Key()), key: groth16.Prepare(d.Key)}
	maker := prover.NewTrapdoor(secret, d)
	for i := range n {
		p, in, err := maker.Prove(hashOf{fr.NewElement(uint64(i + 5))})
		require.NoError(t, err)
		w.proofs, w.inputs = append(w.proofs, *p), append(w.inputs, in)
	}
	return w
}

func (w *workshop) statement(v snarkpack.Version) snarkpack.Statement {
	return snarkpack.Statement{Version: v, Message: message, Inputs: w.inputs}
}

func (w *workshop) aggregate(t testing.TB, v snarkpack.Version) *snarkpack.Proof {
	t.Helper()
	p, err := w.keys.Aggregate(context.Background(), v, message, w.proofs)
	require.NoError(t, err)
	return p
}

// TestAggregatesVerify for whole powers of two and for numbers that are filled up; and every aggregate survives its
// encoding, whose length depends on the number alone.
func TestAggregatesVerify(t *testing.T) {
	for _, n := range []int{1, 2, 3, 4, 8, 13, 16} {
		w := newWorkshop(t, n)
		for _, v := range []snarkpack.Version{snarkpack.V1, snarkpack.V2} {
			p := w.aggregate(t, v)
			require.NoError(t, w.verifier.Verify(w.key, w.statement(v), p), "%d proofs, version %d", n, v)
			require.NoError(t, w.verifier.VerifyArgument(w.statement(v), p), "%d proofs, version %d", n, v)
			other := w.statement(snarkpack.V1 + snarkpack.V2 - v)
			require.ErrorIs(t, w.verifier.Verify(w.key, other, p), snarkpack.ErrInvalid, "other version")
			require.ErrorIs(t, w.verifier.VerifyArgument(other, p), snarkpack.ErrInvalid, "other version")
			b, err := p.Bytes()
			require.NoError(t, err)
			require.Len(t, b, snarkpack.Size(snarkpack.Padded(n)))
			again, err := snarkpack.Parse(b)
			require.NoError(t, err)
			require.Equal(t, p, again)
		}
	}
}

func TestOtherStatementsAreRefused(t *testing.T) {
	w := newWorkshop(t, 5)
	p := w.aggregate(t, snarkpack.V1)
	for name, change := range map[string]func(s *snarkpack.Statement){
		"message": func(s *snarkpack.Statement) { s.Message = message[1:] },
		"input": func(s *snarkpack.Statement) {
			s.Inputs[3] = append([]fr.Element(nil), s.Inputs[3]...)
			s.Inputs[3][1].Double(&s.Inputs[3][1])
		},
		"order":     func(s *snarkpack.Statement) { s.Inputs[0], s.Inputs[1] = s.Inputs[1], s.Inputs[0] },
		"one less":  func(s *snarkpack.Statement) { s.Inputs = s.Inputs[:4] },
		"last gone": func(s *snarkpack.Statement) { s.Inputs[4] = s.Inputs[3] },
		"one more":  func(s *snarkpack.Statement) { s.Inputs = append(s.Inputs, s.Inputs[0]) },
		"too many":  func(s *snarkpack.Statement) { s.Inputs = append(s.Inputs, s.Inputs...) },
		"none":      func(s *snarkpack.Statement) { s.Inputs = nil },
		"too short": func(s *snarkpack.Statement) { s.Inputs[2] = s.Inputs[2][:1] },
		"version":   func(s *snarkpack.Statement) { s.Version = 3 },
	} {
		s := w.statement(snarkpack.V1)
		s.Inputs = append([][]fr.Element(nil), s.Inputs...)
		change(&s)
		require.ErrorIs(t, w.verifier.Verify(w.key, s, p), snarkpack.ErrInvalid, name)
	}
	bad := w.statement(3)
	require.ErrorIs(t, w.verifier.VerifyArgument(bad, p), snarkpack.ErrInvalid, "version")
	bad = w.statement(snarkpack.V1)
	bad.Message = message[1:]
	require.ErrorIs(t, w.verifier.VerifyArgument(bad, p), snarkpack.ErrInvalid, "message")
	s := w.statement(snarkpack.V1)
	s.Inputs = append(append([][]fr.Element(nil), s.Inputs...), s.Inputs[4]) // the last again is what fills up
	require.NoError(t, w.verifier.Verify(w.key, s, p))

	trapdoor, err := snarkpack.SecretFromSeed([]byte("another seed"))
	require.NoError(t, err)
	stranger := snarkpack.NewVerifier(trapdoor.Key())
	require.ErrorIs(t, stranger.Verify(w.key, w.statement(snarkpack.V1), p), snarkpack.ErrInvalid)
	require.ErrorIs(t, stranger.VerifyArgument(w.statement(snarkpack.V1), p), snarkpack.ErrInvalid)
}

// TestEveryFieldCounts changes each value of an aggregate to another of its group.
func TestEveryFieldCounts(t *testing.T) {
	w := newWorkshop(t, 4)
	for _, v := range []snarkpack.Version{snarkpack.V1, snarkpack.V2} {
		good, err := w.aggregate(t, v).Bytes()
		require.NoError(t, err)
		fields := fieldsOf(t, good)
		require.Len(t, fields, 5+1+2*12+6+5)
		for i := range fields {
			p, err := snarkpack.Parse(good)
			require.NoError(t, err)
			switch f := fieldsIn(p)[i].(type) {
			case *bls.GT:
				f.Square(f)
			case *bls.G1Affine:
				f.Double(f)
			case *bls.G2Affine:
				f.Double(f)
			}
			require.ErrorIs(t, w.verifier.Verify(w.key, w.statement(v), p), snarkpack.ErrInvalid, "field %d", i)
			require.ErrorIs(t, w.verifier.VerifyArgument(w.statement(v), p), snarkpack.ErrInvalid, "field %d", i)
		}
	}
}

func fieldsOf(t testing.TB, b []byte) []any {
	t.Helper()
	p, err := snarkpack.Parse(b)
	require.NoError(t, err)
	return fieldsIn(p)
}

func fieldsIn(p *snarkpack.Proof) (out []any) {
	out = append(out, &p.AB[0], &p.AB[1], &p.C[0], &p.C[1], &p.Z, &p.S, &p.LastA, &p.LastB, &p.LastC)
	for i := range 2 {
		out = append(out, &p.LastV[i], &p.LastW[i], &p.OpenV[i], &p.OpenW[i])
		for k := range p.Rounds {
			r := &p.Rounds[k]
			out = append(out, &r.AB[i][0], &r.AB[i][1], &r.C[i][0], &r.C[i][1], &r.Z[i], &r.S[i])
		}
	}
	return out
}

// TestAWrongProofIsNotHidden: among proofs that hold, one that does not spoils the aggregate, which only the verifying key
// shows.
func TestAWrongProofIsNotHidden(t *testing.T) {
	w := newWorkshop(t, 4)
	for name, change := range map[string]func(p *groth16.Proof){
		"A": func(p *groth16.Proof) { p.A.Double(&p.A) }, "B": func(p *groth16.Proof) { p.B.Double(&p.B) }, "C": func(p *groth16.Proof) { p.C.Neg(&p.C) },
	} {
		wrong := *w
		wrong.proofs = append([]groth16.Proof(nil), w.proofs...)
		change(&wrong.proofs[2])
		p := wrong.aggregate(t, snarkpack.V1)
		require.ErrorIs(t, w.verifier.Verify(w.key, w.statement(snarkpack.V1), p), snarkpack.ErrInvalid, name)
		require.NoError(t, w.verifier.VerifyArgument(w.statement(snarkpack.V1), p), name)
	}
}

func TestAggregateRefuses(t *testing.T) {
	w := newWorkshop(t, 4)
	ctx, cancel := context.WithCancel(context.Background())
	_, err := w.keys.Aggregate(ctx, snarkpack.V1, message, nil)
	require.ErrorIs(t, err, ErrCount)
	_, err = w.keys.Aggregate(ctx, snarkpack.V1, message, append(w.proofs, w.proofs[0]))
	require.ErrorIs(t, err, ErrCount)
	_, err = w.keys.Aggregate(ctx, 3, message, w.proofs)
	require.Error(t, err)
	cancel()
	_, err = w.keys.Aggregate(ctx, snarkpack.V1, message, w.proofs)
	require.ErrorIs(t, err, context.Canceled)
}

// TestKeysKeepTheirFile: keys made, written and read again make the same aggregates, also when only some are read.
func TestKeysKeepTheirFile(t *testing.T) {
	trapdoor, err := snarkpack.SecretFromSeed([]byte("seed"))
	require.NoError(t, err)
	keys := FromSecret(trapdoor, 8)
	require.Equal(t, 8, keys.Capacity())
	var file bytes.Buffer
	require.NoError(t, keys.Write(&file))
	require.Equal(t, 4*4+16*2*48+16*2*96, file.Len())
	again, err := ReadKeys(bytes.NewReader(file.Bytes()), 4)
	require.NoError(t, err)
	require.Equal(t, keys.G[1][:8], again.G[1])
	require.Equal(t, keys.H[0][:4], again.H[0])
	require.Equal(t, 4, again.Capacity())

	f, err := snarkpack.OpenFile(bytes.NewReader(file.Bytes()))
	require.NoError(t, err)
	key, err := f.Key()
	require.NoError(t, err)
	require.Equal(t, trapdoor.Key(), key)
	_, err = ReadKeys(bytes.NewReader(file.Bytes()), 16)
	require.ErrorIs(t, err, snarkpack.ErrEncoding)
	_, err = ReadKeys(bytes.NewReader(file.Bytes()[:file.Len()-96*9]), 8)
	require.Error(t, err)

	full, err := os.OpenFile(os.DevNull, os.O_RDONLY, 0)
	require.NoError(t, err)
	defer full.Close()
	require.Error(t, keys.Write(full))
}

func BenchmarkVerify(b *testing.B) {
	for _, n := range []int{4, 16, 128} {
		w := newWorkshop(b, n)
		raw, err := w.aggregate(b, snarkpack.V1).Bytes()
		require.NoError(b, err)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				p, err := snarkpack.Parse(raw)
				require.NoError(b, err)
				require.NoError(b, w.verifier.Verify(w.key, w.statement(snarkpack.V1), p))
			}
		})
	}
}

func BenchmarkAggregate(b *testing.B) {
	for _, n := range []int{4, 16, 128} {
		w := newWorkshop(b, n)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				w.aggregate(b, snarkpack.V1)
			}
		})
	}
}

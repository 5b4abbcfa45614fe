package snarkpack

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"os"
	"testing"

	"github.com/consensys/gnark-crypto/ecc"
	bls "github.com/consensys/gnark-crypto/ecc/bls12-381"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/internal/vectors"
)

// recorded is an aggregate that the network's own software made, with its challenges.
type recorded struct {
	raw   []byte
	proof *Proof
	c     *challenges
}

// loadRecords finds the aggregates among the recorded seals: the proofs of sectors sealed without interaction, which are
// aggregates of version 2 over the partitions, with the hash of CommR for message.
func loadRecords(t testing.TB) (out []recorded) {
	t.Helper()
	const name = "proofs/seal-records-v18.json.gz"
	if len(vectors.Glob(t, name)) == 0 {
		t.Skipf("recorded aggregates are not at hand: no %s among the vectors", name)
	}
	lines := bufio.NewScanner(bytes.NewReader(vectors.Bytes(t, name)))
	lines.Buffer(nil, 1<<20)
	others := 0
	for lines.Scan() {
		var r struct {
			Config struct {
				Features []string `json:"api_features"`
			} `json:"porep_config"`
			CommR []int `json:"comm_r"` // JSON arrays of numbers
			Proof []int
		}
		require.NoError(t, json.Unmarshal(lines.Bytes(), &r))
		if len(r.Config.Features) != 1 || r.Config.Features[0] != "NonInteractivePoRep" {
			others++
			continue
		}
		raw := toBytes(r.Proof)
		p, err := Parse(raw)
		require.NoError(t, err)
		message := sha256.Sum256(toBytes(r.CommR))
		out = append(out, recorded{raw, p, replay(Statement{Version: V2, Message: message[:]}, p)})
	}
	require.NoError(t, lines.Err())
	vectors.NotApplicable(t, name, others, "not an aggregate")
	vectors.Count(t, name, len(out))
	return out
}

func toBytes(v []int) []byte {
	out := make([]byte, len(v))
	for i := range v {
		out[i] = byte(v[i])
	}
	return out
}

// TestRecordedAggregates checks aggregates of the network's own software as far as no verifying key is needed: encoding,
// transcript, and every equation but that of the statements. The commitment keys follow from the aggregates themselves.
func TestRecordedAggregates(t *testing.T) {
	records := loadRecords(t)
	require.GreaterOrEqual(t, len(records), 24)
	v := NewVerifier(solveKey(t, records))
	require.NoError(t, v.key.Check())
	require.Equal(t, filecoinKey(t), v.key)
	for i, r := range records {
		again, err := r.proof.Bytes()
		require.NoError(t, err)
		require.Equal(t, r.raw, again, "record %d", i)
		require.True(t, holds(t, v, r.c, r.proof), "record %d", i)

		wrong := *r.c
		wrong.point.Double(&wrong.point)
		require.False(t, holds(t, v, &wrong, r.proof), "record %d", i)
	}
}

// filecoinKey reads what solveKey found: the file holds powers 0 and 1 of every list of Filecoin's commitment keys, in the
// layout of Filecoin's own file (v28-fil-inner-product-v1.srs).
func filecoinKey(t testing.TB) *Key {
	t.Helper()
	b, err := os.ReadFile("testdata/filecoin.srs")
	require.NoError(t, err)
	file, err := OpenFile(bytes.NewReader(b))
	require.NoError(t, err)
	key, err := file.Key()
	require.NoError(t, err)
	return key
}

// holds checks all equations but that of the statements.
func holds(t testing.TB, v *Verifier, c *challenges, p *Proof) bool {
	t.Helper()
	open, want, err := v.argument(c, p)
	require.NoError(t, err)
	got := bls.FinalExponentiation(&open)
	return got.Equal(&want)
}

// solveKey finds the commitment keys under which the aggregates of 16 proofs were made. What is left of v and w, and the
// openings of w, are known combinations of the unknown powers; there are more aggregates than powers.
func solveKey(t testing.TB, records []recorded) *Key {
	t.Helper()
	const n = 16
	var some []recorded
	for _, r := range records {
		if r.proof.NumProofs() == n {
			some = append(some, r)
		}
	}
	_, _, g, h := bls.Generators()
	var v, w, open [][]fr.Element // coefficients, a row for each aggregate
	for _, r := range some {
		var scale fr.Element
		scale.Inverse(&r.c.weight)
		v = append(v, unfold(r.c.right, new(fr.Element).SetOne()))
		w = append(w, unfold(r.c.left, &scale))
		shifted := append(make([]fr.Element, n), w[len(w)-1]...)
		open = append(open, quotient(shifted, &r.c.point))
	}
	key := &Key{}
	for s := range 2 {
		points2 := make([]bls.G2Affine, len(some))
		points1 := make([]bls.G1Affine, len(some))
		opens := make([]bls.G1Affine, len(some))
		for k, r := range some {
			points2[k], points1[k], opens[k] = r.proof.LastV[s], r.proof.LastW[s], r.proof.OpenW[s]
		}
		lv := leftInverse(t, v)
		require.Equal(t, h, combine2(points2, lv[0]), "power 0 is the generator")
		key.H[s] = combine2(points2, lv[1])

		high := make([]bls.G1Affine, n) // powers n and up
		for i, row := range leftInverse(t, w) {
			high[i] = sum(points1, row)
		}
		low := make([][]fr.Element, len(some)) // of the openings: powers 1 to n-1 are left
		for k := range some {
			low[k] = open[k][1:n]
			known := sum(append([]bls.G1Affine{g}, high[:n-1]...), append([]fr.Element{open[k][0]}, open[k][n:]...))
			opens[k].Sub(&opens[k], &known)
		}
		key.G[s] = sum(opens, leftInverse(t, low)[0])
	}
	return key
}

// unfold are the coefficients of the polynomial that folded evaluates, in scale*x.
func unfold(challenges []fr.Element, scale *fr.Element) []fr.Element {
	out := make([]fr.Element, 1, 1<<len(challenges))
	out[0].SetOne()
	power := *scale
	for i := len(challenges) - 1; i >= 0; i-- {
		var c fr.Element
		c.Mul(&challenges[i], &power)
		for _, e := range out[:len(out):len(out)] {
			out = append(out, *e.Mul(&e, &c))
		}
		power.Square(&power)
	}
	return out
}

// quotient are the coefficients of (f - f(z)) / (x - z).
func quotient(f []fr.Element, z *fr.Element) []fr.Element {
	out := make([]fr.Element, len(f)-1)
	var carry fr.Element
	for i := len(f) - 1; i > 0; i-- {
		carry.Mul(&carry, z).Add(&carry, &f[i])
		out[i-1] = carry
	}
	return out
}

// leftInverse solves m*x = y for any y: x = leftInverse*y. It fails unless the columns are independent.
func leftInverse(t testing.TB, m [][]fr.Element) [][]fr.Element {
	t.Helper()
	rows, columns := len(m), len(m[0])
	a := make([][]fr.Element, rows)
	for i := range a {
		a[i] = append(append([]fr.Element(nil), m[i]...), make([]fr.Element, rows)...)
		a[i][columns+i].SetOne()
	}
	for c := range columns {
		pivot := c
		for pivot < rows && a[pivot][c].IsZero() {
			pivot++
		}
		require.Less(t, pivot, rows, "column %d depends on others", c)
		a[c], a[pivot] = a[pivot], a[c]
		var inv fr.Element
		inv.Inverse(&a[c][c])
		for j := range a[c] {
			a[c][j].Mul(&a[c][j], &inv)
		}
		for i := range a {
			if i == c || a[i][c].IsZero() {
				continue
			}
			f := a[i][c]
			for j := range a[i] {
				var x fr.Element
				a[i][j].Sub(&a[i][j], x.Mul(&f, &a[c][j]))
			}
		}
	}
	out := make([][]fr.Element, columns)
	for c := range out {
		out[c] = a[c][columns:]
	}
	return out
}

func combine2(points []bls.G2Affine, scalars []fr.Element) (out bls.G2Affine) {
	if _, err := out.MultiExp(points, scalars, ecc.MultiExpConfig{}); err != nil {
		panic(err)
	}
	return out
}

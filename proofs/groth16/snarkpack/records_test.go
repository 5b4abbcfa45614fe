package snarkpack

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"testing"

	"github.com/consensys/gnark-crypto/ecc"
	bls "github.com/consensys/gnark-crypto/ecc/bls12-381"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"
	"github.com/filecoin-project/go-state-types/proof"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/internal/vectors"
	"github.com/filecoin-venus/venus/proofs/porep"
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
		require.NoError(t, r.c.checkSum(r.proof), "record %d", i)
		require.True(t, holds(t, v, r.c, r.proof), "record %d", i)

		wrong := *r.c
		wrong.point.Double(&wrong.point)
		require.False(t, holds(t, v, &wrong, r.proof), "record %d", i)
	}
}

// TestMainnetAggregates is TestRecordedAggregates for aggregates of version 1 in blocks of the public network, of 320 and
// of 2560 proofs, which their message binds to all seeds and commitments.
func TestMainnetAggregates(t *testing.T) {
	const name = "proofs/aggregates-nv15.json"
	if len(vectors.Glob(t, name)) == 0 {
		t.Skipf("aggregates of the public network are not at hand: no %s among the vectors", name)
	}
	var file struct{ Aggregates [][]byte }
	vectors.JSON(t, name, &file)
	require.NotEmpty(t, file.Aggregates)
	v := NewVerifier(filecoinKey(t))
	for i, b := range file.Aggregates {
		var info proof.AggregateSealVerifyProofAndInfos
		require.NoError(t, info.UnmarshalCBOR(bytes.NewReader(b)))
		sectors, err := porep.AggregateOf(info)
		require.NoError(t, err)
		proofs, err := sectors.NumProofs()
		require.NoError(t, err)
		p, err := Parse(info.Proof)
		require.NoError(t, err)
		require.Equal(t, Padded(proofs), p.NumProofs())
		again, err := p.Bytes()
		require.NoError(t, err)
		require.Equal(t, info.Proof, again, "aggregate %d", i)

		digest := sectors.Digest()
		c := replay(Statement{Version: V1, Message: digest[:]}, p)
		require.NoError(t, c.checkSum(p), "aggregate %d", i)
		require.True(t, holds(t, v, c, p), "aggregate %d", i)
		require.Error(t, replay(Statement{Version: V2, Message: digest[:]}, p).checkSum(p), "aggregate %d", i)
		require.Error(t, replay(Statement{Version: V1, Message: digest[1:]}, p).checkSum(p), "aggregate %d", i)
	}
	vectors.Count(t, name, len(file.Aggregates))
}

// filecoinKey is what solveKey found: powers 1 of the keys in Filecoin's file v28-fil-inner-product-v1.srs.
func filecoinKey(t testing.TB) *Key {
	t.Helper()
	k := &Key{}
	for i, text := range [][2]string{
		{"8626cc1d12a23b7886a4f0b0ef67959b7741bf3cfb2c4a020c7d4cc363796a0a7c0f6ea5ac673865de74a88058e9326e",
			"916b2250fc4b3098ccadf9ec58526aecf307d21e233f65110554ee04460f72a616f4d070941b0796de5defda29196e40013645b8518e5568e75d320da8b83a87e12406956b9c74491ee5ecf06dc297ba1186016209d78fd832c16ef62fc49eff"},
		{"94d6c498d574d2097591fd25d857e6d40c23e8a8c1bda9934ad9d4b1eabf450d033df590a8040f173660fbd9bdbad57f",
			"ab7f40735039f5dc0402d11e22dd2afcac550518aba5d20abb9cbb2ef5eea9f24dcaa705f55d676789eca507c74ea70b0eb7399ac5daac0cd0bf50380fafe490785e8addeb99e87f0da9039d460999085369a1c2337470d7d496e47d5c2f4690"},
	} {
		for _, p := range []struct {
			point interface{ SetBytes(b []byte) (int, error) }
			hex   string
		}{{&k.G[i], text[0]}, {&k.H[i], text[1]}} {
			b, err := hex.DecodeString(p.hex)
			require.NoError(t, err)
			require.NoError(t, readPoint(p.point, b))
		}
	}
	return k
}

// holds checks all equations but that of the statements.
func holds(t testing.TB, v *Verifier, c *challenges, p *Proof) bool {
	t.Helper()
	var rho [equations]fr.Element
	require.NoError(t, v.draw(rho[:]))
	f, err := v.pairings(c, p, &rho)
	require.NoError(t, err)
	got, want := bls.FinalExponentiation(&f), multiply(c.terms(p, &rho))
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

package groth16

import (
	"bufio"
	"bytes"
	"encoding/json"
	"testing"

	bls "github.com/consensys/gnark-crypto/ecc/bls12-381"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/internal/vectors"
	"github.com/filecoin-venus/venus/proofs/r1cs"
)

// TestSealRecords reads every recorded proof of the real network's software: each decodes, lies in the right subgroups
// and is written again byte for byte.
func TestSealRecords(t *testing.T) {
	lines := bufio.NewScanner(bytes.NewReader(vectors.Bytes(t, "proofs/seal-records-v16.json.gz")))
	lines.Buffer(nil, 1<<20)
	records, proofs := 0, 0
	for lines.Scan() {
		var r struct {
			Config struct{ Partitions int } `json:"porep_config"`
			Proof  []int                    // a JSON array of numbers
		}
		require.NoError(t, json.Unmarshal(lines.Bytes(), &r))
		raw := make([]byte, len(r.Proof))
		for i, v := range r.Proof {
			raw[i] = byte(v)
		}
		parsed, err := ParseProofs(raw, r.Config.Partitions)
		require.NoError(t, err, "record %d", records)
		var again []byte
		for i := range parsed {
			again = append(again, parsed[i].Bytes()...)
		}
		require.Equal(t, raw, again, "record %d", records)
		records++
		proofs += len(parsed)
	}
	require.NoError(t, lines.Err())
	require.GreaterOrEqual(t, records, 300)
	vectors.Count(t, "proofs/seal-records-v16.json.gz", records)
	t.Logf("%d records with %d proofs", records, proofs)
}

func generatorProof() Proof {
	_, _, g1, g2 := bls.Generators()
	return Proof{A: g1, B: g2, C: g1}
}

func TestParseProofRefuses(t *testing.T) {
	p := generatorProof()
	good := p.Bytes()
	_, err := ParseProof(good)
	require.NoError(t, err)
	infinity := bytes.Clone(good)
	copy(infinity, append([]byte{0xc0}, make([]byte, 47)...))
	uncompressed := bytes.Clone(good)
	uncompressed[0] &^= 0x80
	outside := bytes.Clone(good) // x = 4 is on the curve but not in the subgroup
	copy(outside, append([]byte{0x80}, make([]byte, 47)...))
	outside[47] = 4
	large := bytes.Clone(good) // x above the modulus
	copy(large, bytes.Repeat([]byte{0xff}, 48))
	large[0] = 0x9f
	for name, b := range map[string][]byte{
		"short": good[:191], "long": append(bytes.Clone(good), 0), "empty": nil,
		"infinity": infinity, "uncompressed": uncompressed, "outside the subgroup": outside, "not reduced": large,
	} {
		_, err := ParseProof(b)
		require.ErrorIs(t, err, ErrEncoding, name)
	}
}

// pair is y = Poseidon(x, x) with both public.
type pair struct{ x fr.Element }

func (c pair) Synthesize(s *r1cs.System) {
	x := s.AllocNum(c.x)
	s.Inputize(x)
	s.Inputize(s.Poseidon([]r1cs.Num{x, x}))
}

func testKey(t testing.TB) *VerifyingKey {
	t.Helper()
	secret, err := SecretFromSeed([]byte("seed"), "pair")
	require.NoError(t, err)
	d, err := Derive(secret, pair{})
	require.NoError(t, err)
	return d.Key
}

func TestVerifyingKeyRoundTrip(t *testing.T) {
	vk := testKey(t)
	b := vk.Bytes()
	require.Len(t, b, 868+96*3)
	again, err := ReadVerifyingKey(bytes.NewReader(b))
	require.NoError(t, err)
	require.Equal(t, vk, again)
	for _, n := range []int{0, 95, 96, 500, 767, 770, 771, 867, 868, len(b) - 1} {
		_, err := ReadVerifyingKey(bytes.NewReader(b[:n]))
		require.Error(t, err, "cut to %d bytes", n)
	}
	many := bytes.Clone(b)
	many[768] = 0xff
	_, err = ReadVerifyingKey(bytes.NewReader(many))
	require.ErrorIs(t, err, ErrEncoding)
}

func TestSecretsDiffer(t *testing.T) {
	a, err := SecretFromSeed([]byte("one"), "circuit")
	require.NoError(t, err)
	for _, other := range [][2]string{{"two", "circuit"}, {"one", "Circuit"}, {"onec", "ircuit"}} {
		b, err := SecretFromSeed([]byte(other[0]), other[1])
		require.NoError(t, err)
		require.NotEqual(t, a.Tau, b.Tau)
	}
	_, err = SecretFromSeed(nil, "circuit")
	require.Error(t, err)
}

func FuzzParseProof(f *testing.F) {
	p := generatorProof()
	f.Add(p.Bytes())
	f.Add(make([]byte, ProofSize))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := ParseProof(b)
		if err != nil {
			return
		}
		require.Equal(t, b, p.Bytes())
		require.True(t, p.A.IsInSubGroup() && p.B.IsInSubGroup() && p.C.IsInSubGroup())
	})
}

func FuzzReadVerifyingKey(f *testing.F) {
	f.Add(testKey(f).Bytes())
	f.Add(make([]byte, 1000))
	f.Fuzz(func(t *testing.T, b []byte) {
		vk, err := ReadVerifyingKey(bytes.NewReader(b))
		if err != nil {
			return
		}
		out := vk.Bytes()
		require.Equal(t, b[:len(out)], out)
	})
}

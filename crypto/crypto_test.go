package crypto

import (
	"encoding/hex"
	"math/big"
	"slices"
	"testing"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	gscrypto "github.com/filecoin-project/go-state-types/crypto"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/internal/vectors"
)

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	require.NoError(t, err)
	return b
}

func TestBLSVectors(t *testing.T) {
	var file struct {
		Cases []struct {
			Message, Signature string
			PrivateKey         string `json:"private_key_decimal"`
			PublicKey          string `json:"public_key"`
		}
	}
	vectors.JSON(t, "primitives/bls-signatures.json", &file)
	require.Len(t, file.Cases, 52)
	for _, c := range file.Cases {
		scalar, ok := new(big.Int).SetString(c.PrivateKey, 10)
		require.True(t, ok)
		priv := reverse(scalar.FillBytes(make([]byte, 32)))
		pub, err := PublicKey(gscrypto.SigTypeBLS, priv)
		require.NoError(t, err)
		require.Equal(t, c.PublicKey, hex.EncodeToString(pub))
		sig, err := Sign(gscrypto.SigTypeBLS, priv, unhex(t, c.Message))
		require.NoError(t, err)
		require.Equal(t, c.Signature, hex.EncodeToString(sig.Data))
		addr, err := AddressFor(gscrypto.SigTypeBLS, priv)
		require.NoError(t, err)
		require.NoError(t, Verify(sig, addr, unhex(t, c.Message)))
		require.ErrorIs(t, Verify(sig, addr, []byte("another message")), ErrBadSignature)
	}
	vectors.Count(t, "primitives/bls-signatures.json", len(file.Cases))
}

func TestSecpVectors(t *testing.T) {
	var file struct {
		Cases []struct {
			Address, Message, Signature string
			PrivateKey                  string `json:"private_key"`
			PublicKey                   string `json:"public_key"`
			Valid                       bool
		}
	}
	vectors.JSON(t, "primitives/secp256k1.json", &file)
	require.Len(t, file.Cases, 40)
	for i, c := range file.Cases {
		addr, err := address.NewFromString(c.Address)
		require.NoError(t, err)
		pub, err := PublicKey(gscrypto.SigTypeSecp256k1, unhex(t, c.PrivateKey))
		require.NoError(t, err)
		require.Equal(t, c.PublicKey, hex.EncodeToString(pub))
		given := &gscrypto.Signature{Type: gscrypto.SigTypeSecp256k1, Data: unhex(t, c.Signature)}
		require.Equal(t, c.Valid, Verify(given, addr, unhex(t, c.Message)) == nil, "case %d", i)
		own, err := Sign(gscrypto.SigTypeSecp256k1, unhex(t, c.PrivateKey), unhex(t, c.Message))
		require.NoError(t, err)
		signer, err := AddressFor(gscrypto.SigTypeSecp256k1, unhex(t, c.PrivateKey))
		require.NoError(t, err)
		require.NoError(t, Verify(own, signer, unhex(t, c.Message)))
	}
	vectors.Count(t, "primitives/secp256k1.json", len(file.Cases))
}

func TestDrawRandomnessVectors(t *testing.T) {
	var file struct {
		Cases []struct {
			Base, Entropy, Randomness string
			Epoch                     abi.ChainEpoch
			Tag                       gscrypto.DomainSeparationTag
		}
	}
	vectors.JSON(t, "primitives/draw-randomness.json", &file)
	require.Len(t, file.Cases, 40)
	for _, c := range file.Cases {
		got := DrawRandomness(unhex(t, c.Base), c.Tag, c.Epoch, unhex(t, c.Entropy))
		require.Equal(t, c.Randomness, hex.EncodeToString(got))
	}
	vectors.Count(t, "primitives/draw-randomness.json", len(file.Cases))
}

func TestBlockSignatureVectors(t *testing.T) {
	var file struct {
		Cases []struct {
			PublicKey    string `json:"public_key"`
			Signature    string
			SigningBytes string `json:"signing_bytes"`
			Valid        bool
		}
	}
	vectors.JSON(t, "chain/block-signatures.json", &file)
	require.Len(t, file.Cases, 24)
	for _, c := range file.Cases {
		worker, err := address.NewBLSAddress(unhex(t, c.PublicKey))
		require.NoError(t, err)
		sig := &gscrypto.Signature{Type: gscrypto.SigTypeBLS, Data: unhex(t, c.Signature)}
		require.Equal(t, c.Valid, Verify(sig, worker, unhex(t, c.SigningBytes)) == nil)
	}
	vectors.Count(t, "chain/block-signatures.json", len(file.Cases))
}

func TestBLSAggregateVectors(t *testing.T) {
	var file struct {
		Cases []struct {
			Aggregate  string
			Messages   []string
			PublicKeys []string `json:"public_keys"`
			Valid      bool
		}
	}
	vectors.JSON(t, "chain/bls-aggregates.json", &file)
	require.Len(t, file.Cases, 7)
	for _, c := range file.Cases {
		var pubs, msgs [][]byte
		for i := range c.Messages {
			pubs, msgs = append(pubs, unhex(t, c.PublicKeys[i])), append(msgs, unhex(t, c.Messages[i]))
		}
		require.Equal(t, c.Valid, VerifyBLSAggregate(unhex(t, c.Aggregate), pubs, msgs) == nil)
	}
	vectors.Count(t, "chain/bls-aggregates.json", len(file.Cases))
}

// signedBy is n messages, each with the signature of one of so many keys, in turn.
func signedBy(t *testing.T, n, keys byte) (sigs, pubs, msgs [][]byte) {
	t.Helper()
	for i := range n {
		seed := make([]byte, 32)
		seed[0] = 1 + i%keys
		priv, err := GenerateKeyFromSeed(gscrypto.SigTypeBLS, seed)
		require.NoError(t, err)
		pub, err := PublicKey(gscrypto.SigTypeBLS, priv)
		require.NoError(t, err)
		sig, err := Sign(gscrypto.SigTypeBLS, priv, []byte{i})
		require.NoError(t, err)
		sigs, pubs, msgs = append(sigs, sig.Data), append(pubs, pub), append(msgs, []byte{i})
	}
	return sigs, pubs, msgs
}

func TestAggregate(t *testing.T) {
	sigs, pubs, msgs := signedBy(t, 5, 5)
	agg, err := AggregateBLS(sigs)
	require.NoError(t, err)
	require.NoError(t, VerifyBLSAggregate(agg, pubs, msgs))
	msgs[3] = []byte("changed")
	require.ErrorIs(t, VerifyBLSAggregate(agg, pubs, msgs), ErrBadSignature)
	msgs[3] = []byte{3}
	pubs[1], pubs[2] = pubs[2], pubs[1]
	require.ErrorIs(t, VerifyBLSAggregate(agg, pubs, msgs), ErrBadSignature, "each message by its own key")
	none, err := AggregateBLS(nil)
	require.NoError(t, err)
	require.Equal(t, byte(0xc0), none[0], "the point at infinity")
}

// TestAggregateOfFewSigners: messages of one key are verified together, and each of them is.
func TestAggregateOfFewSigners(t *testing.T) {
	sigs, pubs, msgs := signedBy(t, 12, 3)
	agg, err := AggregateBLS(sigs)
	require.NoError(t, err)
	require.NoError(t, VerifyBLSAggregate(agg, pubs, msgs))
	for i := range msgs {
		bad := slices.Clone(msgs)
		bad[i] = []byte("changed")
		require.ErrorIs(t, VerifyBLSAggregate(agg, pubs, bad), ErrBadSignature)
		require.ErrorIs(t, VerifyBLSAggregate(agg, slices.Delete(slices.Clone(pubs), i, i+1), slices.Delete(slices.Clone(msgs), i, i+1)), ErrBadSignature)
		keys := slices.Clone(pubs)
		keys[i] = append([]byte{0xc0}, make([]byte, 47)...)
		require.ErrorIs(t, VerifyBLSAggregate(agg, keys, msgs), ErrBadSignature, "a key at infinity")
	}
}

// TestBatch: all hold, or the batch does not, whatever is wrong with which one.
func TestBatch(t *testing.T) {
	t.Run("few", func(t *testing.T) { testBatch(t, 6, 3) })
	t.Run("many", func(t *testing.T) { testBatch(t, worthLanes+3, 5) })
}

func testBatch(t *testing.T, signatures, keys byte) {
	type signed struct {
		sig  []byte
		from address.Address
		msg  []byte
	}
	var all []signed
	sigs, pubs, msgs := signedBy(t, signatures, keys)
	for i := range sigs {
		from, err := address.NewBLSAddress(pubs[i])
		require.NoError(t, err)
		all = append(all, signed{sigs[i], from, msgs[i]})
	}
	verify := func(list []signed) error {
		var b Batch
		for _, s := range list {
			require.NoError(t, b.Add(s.sig, s.from, s.msg))
		}
		return b.Verify()
	}
	require.NoError(t, verify(nil))
	for n := range all {
		require.NoError(t, verify(all[:n+1]))
	}
	for i := range all {
		for name, spoil := range map[string]func(s *signed){
			"message":   func(s *signed) { s.msg = []byte("another") },
			"signer":    func(s *signed) { s.from = all[(i+2)%len(all)].from },
			"signature": func(s *signed) { s.sig = all[(i+1)%len(all)].sig },
			"length":    func(s *signed) { s.sig = s.sig[:95] },
			"no point":  func(s *signed) { s.sig = make([]byte, 96) },
			"infinity":  func(s *signed) { s.sig = append([]byte{0xc0}, make([]byte, 95)...) },
		} {
			list := slices.Clone(all)
			spoil(&list[i])
			require.ErrorIs(t, verify(list), ErrBadSignature, "%s of %d", name, i)
		}
	}
	// Two wrongs that cancel each other in a plain sum.
	list := slices.Clone(all)
	list[0].sig, list[2].sig = all[2].sig, all[0].sig
	require.ErrorIs(t, verify(list), ErrBadSignature)

	id, err := address.NewIDAddress(100)
	require.NoError(t, err)
	var b Batch
	require.ErrorIs(t, b.Add(all[0].sig, id, nil), ErrBadSignature)
}

func BenchmarkBatch(b *testing.B) {
	priv, err := GenerateKey(gscrypto.SigTypeBLS)
	require.NoError(b, err)
	from, err := AddressFor(gscrypto.SigTypeBLS, priv)
	require.NoError(b, err)
	const n = 15
	sigs := make([]*gscrypto.Signature, n)
	for i := range sigs {
		sigs[i], err = Sign(gscrypto.SigTypeBLS, priv, []byte{byte(i)})
		require.NoError(b, err)
	}
	b.Run("one by one", func(b *testing.B) {
		for b.Loop() {
			for i, s := range sigs {
				require.NoError(b, Verify(s, from, []byte{byte(i)}))
			}
		}
	})
	b.Run("together", func(b *testing.B) {
		for b.Loop() {
			var batch Batch
			for i, s := range sigs {
				require.NoError(b, batch.Add(s.Data, from, []byte{byte(i)}))
			}
			require.NoError(b, batch.Verify())
		}
	})
}

func TestRefusesMalformed(t *testing.T) {
	priv, err := GenerateKey(gscrypto.SigTypeBLS)
	require.NoError(t, err)
	addr, err := AddressFor(gscrypto.SigTypeBLS, priv)
	require.NoError(t, err)
	id, err := address.NewIDAddress(100)
	require.NoError(t, err)
	sig, err := Sign(gscrypto.SigTypeBLS, priv, []byte("m"))
	require.NoError(t, err)
	require.ErrorIs(t, Verify(nil, addr, nil), ErrBadSignature)
	require.ErrorIs(t, Verify(sig, id, []byte("m")), ErrBadSignature)
	require.ErrorIs(t, Verify(&gscrypto.Signature{Type: sig.Type, Data: sig.Data[:95]}, addr, []byte("m")), ErrBadSignature)
	zeros := make([]byte, 32)
	for _, typ := range []gscrypto.SigType{gscrypto.SigTypeBLS, gscrypto.SigTypeSecp256k1} {
		_, err = Sign(typ, zeros, []byte("m"))
		require.ErrorIs(t, err, ErrBadKey)
		_, err = Sign(typ, zeros[:31], []byte("m"))
		require.ErrorIs(t, err, ErrBadKey)
	}
	_, err = GenerateKey(gscrypto.SigTypeUnknown)
	require.Error(t, err)
}

func FuzzVerify(f *testing.F) {
	addr, err := address.NewFromString("t1jrbsqvi7qq3zznrjd6g4smoyflcefbtczvt4cpy")
	if err != nil {
		f.Fatal(err)
	}
	bls, err := address.NewBLSAddress(make([]byte, 48))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(make([]byte, 65), []byte("m"))
	f.Add(make([]byte, 96), []byte("m"))
	f.Fuzz(func(t *testing.T, sig, msg []byte) {
		if Verify(&gscrypto.Signature{Type: gscrypto.SigTypeSecp256k1, Data: sig}, addr, msg) == nil ||
			Verify(&gscrypto.Signature{Type: gscrypto.SigTypeBLS, Data: sig}, bls, msg) == nil {
			t.Fatal("random bytes verify")
		}
	})
}

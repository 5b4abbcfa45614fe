package crypto

import (
	"slices"
	"testing"

	"github.com/filecoin-project/go-address"
	gscrypto "github.com/filecoin-project/go-state-types/crypto"
	"github.com/stretchr/testify/require"
)

// TestVerifierRemembers: what held is known again, and nothing that differs from it in any part.
func TestVerifierRemembers(t *testing.T) {
	for _, kind := range []gscrypto.SigType{gscrypto.SigTypeBLS, gscrypto.SigTypeSecp256k1} {
		v, err := NewVerifier()
		require.NoError(t, err)
		priv, err := GenerateKeyFromSeed(kind, make([]byte, 32))
		require.NoError(t, err)
		from, err := AddressFor(kind, priv)
		require.NoError(t, err)
		sig, err := Sign(kind, priv, []byte("message"))
		require.NoError(t, err)
		other, err := Sign(kind, priv, []byte("another"))
		require.NoError(t, err)

		bad := func() {
			t.Helper()
			require.ErrorIs(t, v.Verify(nil, from, []byte("message")), ErrBadSignature)
			require.ErrorIs(t, v.Verify(sig, from, []byte("messagE")), ErrBadSignature)
			require.ErrorIs(t, v.Verify(other, from, []byte("message")), ErrBadSignature)
			require.ErrorIs(t, v.Verify(&gscrypto.Signature{Type: 3, Data: sig.Data}, from, []byte("message")), ErrBadSignature)
			require.ErrorIs(t, v.Verify(&gscrypto.Signature{Type: 3 - kind, Data: sig.Data}, from, []byte("message")), ErrBadSignature)
			require.ErrorIs(t, v.Verify(&gscrypto.Signature{Type: kind}, from, []byte("message")), ErrBadSignature)
			require.Error(t, v.Verify(sig, address.TestAddress, []byte("message")))
		}
		bad()
		require.Zero(t, v.held.Len(), "what is bad is not remembered")
		for range 2 {
			require.NoError(t, v.Verify(sig, from, []byte("message")))
			require.Equal(t, 1, v.held.Len())
			bad()
		}
		caller := slices.Clone(sig.Data)
		sig.Data[5] ^= 1 // the caller's bytes are the caller's
		require.ErrorIs(t, v.Verify(sig, from, []byte("message")), ErrBadSignature)
		require.NoError(t, v.Verify(&gscrypto.Signature{Type: kind, Data: caller}, from, []byte("message")))
	}
}

// signersOf are the addresses of public keys.
func signersOf(t *testing.T, pubs [][]byte) []address.Address {
	t.Helper()
	out := make([]address.Address, len(pubs))
	for i, pub := range pubs {
		var err error
		out[i], err = address.NewBLSAddress(pub)
		require.NoError(t, err)
	}
	return out
}

// TestVerifierAggregate: whichever of the messages are known, the verdict is that of the plain check.
func TestVerifierAggregate(t *testing.T) {
	const n = 5
	sigs, pubs, msgs := signedBy(t, n, 3)
	// One message twice, as no honest block has it: the aggregate counts it twice.
	sigs, pubs, msgs = append(sigs, sigs[1]), append(pubs, pubs[1]), append(msgs, msgs[1])
	signers := signersOf(t, pubs)
	agg, err := AggregateBLS(sigs)
	require.NoError(t, err)
	once, err := AggregateBLS(sigs[:n])
	require.NoError(t, err)
	infinity, err := AggregateBLS(nil)
	require.NoError(t, err)

	for known := range 1 << n {
		v, err := NewVerifier()
		require.NoError(t, err)
		for i := range n {
			if known>>i&1 == 1 {
				require.NoError(t, v.Verify(&gscrypto.Signature{Type: gscrypto.SigTypeBLS, Data: sigs[i]}, signers[i], msgs[i]))
			}
		}
		require.NoError(t, v.VerifyAggregate(agg, signers, msgs), "known %05b", known)
		require.NoError(t, v.VerifyAggregate(once, signers[:n], msgs[:n]), "known %05b", known)
		for name, err := range map[string]error{
			"one counted once":     v.VerifyAggregate(once, signers, msgs),
			"one counted twice":    v.VerifyAggregate(agg, signers[:n], msgs[:n]),
			"one left out":         v.VerifyAggregate(once, signers[1:n], msgs[1:n]),
			"changed message":      v.VerifyAggregate(once, signers[:n], append([][]byte{[]byte("changed")}, msgs[1:n]...)),
			"another's message":    v.VerifyAggregate(once, signers[1:n+1], msgs[:n]),
			"infinity":             v.VerifyAggregate(infinity, signers, msgs),
			"no point":             v.VerifyAggregate(make([]byte, BLSSignatureSize), signers, msgs),
			"a single signature":   v.VerifyAggregate(sigs[0], signers[:n], msgs[:n]),
			"a signer without key": v.VerifyAggregate(once, append([]address.Address{address.TestAddress}, signers[1:n]...), msgs[:n]),
			"lengths":              v.VerifyAggregate(once, signers[:n], msgs),
		} {
			require.Error(t, err, "%s with known %05b", name, known)
		}
	}
}

// TestAggregateOutsideTheGroup: a point of the curve that is none of the group is refused, alone and in a sum.
func TestAggregateOutsideTheGroup(t *testing.T) {
	sigs, _, _ := signedBy(t, 3, 3)
	outside := outsideGroup(t)
	for _, list := range [][][]byte{{outside}, append(slices.Clone(sigs), outside)} {
		_, err := AggregateBLS(list)
		require.ErrorIs(t, err, ErrBadSignature)
	}
	_, err := AggregateBLS([][]byte{sigs[0], sigs[1][:95]})
	require.ErrorIs(t, err, ErrBadSignature)
	_, err = AggregateBLS([][]byte{sigs[0], make([]byte, BLSSignatureSize)})
	require.ErrorIs(t, err, ErrBadSignature)
}

// outsideGroup finds a point of the curve over Fp2 that is not in the group of signatures, as nearly all are: the first x
// that has a y.
func outsideGroup(t *testing.T) []byte {
	t.Helper()
	for x := range byte(255) {
		b := make([]byte, BLSSignatureSize)
		b[0], b[len(b)-1] = 0x80, x
		if onCurve(b) {
			_, err := blsSignaturePoint(b)
			require.ErrorIs(t, err, ErrBadSignature)
			return b
		}
	}
	t.Fatal("no point found")
	return nil
}

// TestVerifierRemembersAggregates: an aggregate that held is known again; nothing that differs from it in any part is.
func TestVerifierRemembersAggregates(t *testing.T) {
	sigs, pubs, msgs := signedBy(t, 6, 2)
	signers := signersOf(t, pubs)
	agg, err := AggregateBLS(sigs)
	require.NoError(t, err)
	v, err := NewVerifier()
	require.NoError(t, err)
	joined := slices.Clone(msgs)
	joined[0], joined[1] = append(slices.Clone(msgs[0]), msgs[1][0]), msgs[1][1:]
	bad := func() {
		t.Helper()
		other, err := AggregateBLS(sigs[1:])
		require.NoError(t, err)
		require.ErrorIs(t, v.VerifyAggregate(other, signers, msgs), ErrBadSignature)
		require.ErrorIs(t, v.VerifyAggregate(agg, signers[1:], msgs[1:]), ErrBadSignature)
		require.ErrorIs(t, v.VerifyAggregate(agg, signers, joined), ErrBadSignature, "the same bytes in a row")
		require.ErrorIs(t, v.VerifyAggregate(agg, append(signers[1:len(signers):len(signers)], signers[0]), msgs), ErrBadSignature)
		require.Error(t, v.VerifyAggregate(agg, signers, msgs[1:]))
	}
	bad()
	require.Zero(t, v.whole.Len(), "what is bad is not remembered")
	for range 2 {
		require.NoError(t, v.VerifyAggregate(agg, signers, msgs))
		require.Equal(t, 1, v.whole.Len())
		bad()
	}
}

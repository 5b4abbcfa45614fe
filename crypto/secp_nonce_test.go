package crypto

import (
	"math/rand"
	"testing"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"
	"github.com/stretchr/testify/require"
)

// TestSignsLikeTheLibrary compares with the library's signer over many keys and
// digests, the largest ones included, where reductions matter.
func TestSignsLikeTheLibrary(t *testing.T) {
	rng := rand.New(rand.NewSource(1))
	for i := range 2000 {
		var priv, digest [32]byte
		rng.Read(priv[:])
		rng.Read(digest[:])
		switch i % 8 {
		case 6: // digests above the order
			for j := range 16 {
				digest[j] = 0xff
			}
		case 7: // small keys
			priv = [32]byte{31: byte(1 + i%250)}
		}
		k, err := secpSecret(priv[:])
		require.NoError(t, err)
		want := ecdsa.SignCompact(k, digest[:], false)
		got := secpSignDigest(&k.Key, &digest)
		require.Equal(t, want[1:], got[:64])
		require.Equal(t, want[0]-compactBase, got[64])
	}
}

// TestNonceSequence compares further nonces, which signing almost never needs.
func TestNonceSequence(t *testing.T) {
	priv, digest := [32]byte{31: 7}, [32]byte{0: 9}
	k, err := secpSecret(priv[:])
	require.NoError(t, err)
	var gen nonceGenerator
	gen.start(&k.Key, &digest)
	for i := range uint32(5) {
		want := secp256k1.NonceRFC6979(priv[:], digest[:], nil, nil, i)
		require.True(t, want.Equals(gen.next()), "nonce %d", i)
	}
	gen.wipe()
	require.Zero(t, gen)
}

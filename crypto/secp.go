package crypto

import (
	"fmt"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"
	"github.com/filecoin-project/go-address"
	"golang.org/x/crypto/blake2b"
)

// SecpSignatureSize is r (32) || s (32) || v (1), in bytes.
const SecpSignatureSize = 65

// compactBase is what the library adds to v in its own v||r||s form for
// uncompressed keys.
const compactBase = 27

func secpGenerate() ([]byte, error) {
	k, err := secp256k1.GeneratePrivateKey()
	if err != nil {
		return nil, fmt.Errorf("read randomness: %w", err)
	}
	defer k.Zero()
	return k.Serialize(), nil
}

func secpFromSeed(seed []byte) ([]byte, error) {
	// Hash until the digest is a scalar in range; the first almost always is.
	digest := blake2b.Sum256(seed)
	for {
		if k, err := secpSecret(digest[:]); err == nil {
			defer k.Zero()
			return k.Serialize(), nil
		}
		digest = blake2b.Sum256(digest[:])
	}
}

func secpSecret(priv []byte) (*secp256k1.PrivateKey, error) {
	if len(priv) != PrivateKeySize {
		return nil, fmt.Errorf("%d bytes: %w", len(priv), ErrBadKey)
	}
	var s secp256k1.ModNScalar
	if overflow := s.SetByteSlice(priv); overflow || s.IsZero() {
		return nil, ErrBadKey
	}
	return secp256k1.NewPrivateKey(&s), nil
}

func secpPublic(priv []byte) ([]byte, error) {
	k, err := secpSecret(priv)
	if err != nil {
		return nil, err
	}
	defer k.Zero()
	return k.PubKey().SerializeUncompressed(), nil
}

func secpSign(priv, msg []byte) ([]byte, error) {
	k, err := secpSecret(priv)
	if err != nil {
		return nil, err
	}
	defer k.Zero()
	digest := blake2b.Sum256(msg)
	return secpSignDigest(&k.Key, &digest), nil
}

func secpVerify(sig []byte, signer address.Address, msg []byte) error {
	if len(sig) != SecpSignatureSize {
		return fmt.Errorf("secp256k1 signature of %d bytes: %w", len(sig), ErrBadSignature)
	}
	if sig[64] > 3 {
		return fmt.Errorf("secp256k1 recovery id %d: %w", sig[64], ErrBadSignature)
	}
	digest := blake2b.Sum256(msg)
	compact := append([]byte{sig[64] + compactBase}, sig[:64]...)
	pub, _, err := ecdsa.RecoverCompact(compact, digest[:])
	if err != nil {
		return fmt.Errorf("recover secp256k1 key: %w", ErrBadSignature)
	}
	got, err := address.NewSecp256k1Address(pub.SerializeUncompressed())
	if err != nil {
		return fmt.Errorf("address of recovered key: %w", err)
	}
	if got != signer {
		return ErrBadSignature
	}
	return nil
}

// Package crypto signs and verifies with the two schemes of Filecoin, BLS12-381
// and secp256k1, and draws randomness the way the protocol does.
//
// Start at [Sign] and [Verify], the one door for both schemes; a [Verifier]
// also remembers what held. Each kind of
// signature has one encoding: BLS points are compressed, canonical and in their
// subgroup; secp256k1 signatures are 65 bytes r||s||v. We make low-s signatures
// only, and accept what the network accepts, which includes high s. Keys never
// appear in errors.
package crypto

import (
	"errors"
	"fmt"

	"github.com/filecoin-project/go-address"
	gscrypto "github.com/filecoin-project/go-state-types/crypto"
)

// ErrBadSignature says that a well-formed signature does not fit key and
// message, or that it is not well formed.
var ErrBadSignature = errors.New("signature does not verify")

// ErrBadKey says that a private key is not a valid scalar of its scheme.
var ErrBadKey = errors.New("not a valid private key")

// PrivateKeySize is the size of a private key of either scheme, in bytes: BLS
// little-endian, secp256k1 big-endian.
const PrivateKeySize = 32

// GenerateKey makes a private key from the system's randomness.
func GenerateKey(t gscrypto.SigType) ([]byte, error) {
	switch t {
	case gscrypto.SigTypeBLS:
		return blsGenerate()
	case gscrypto.SigTypeSecp256k1:
		return secpGenerate()
	}
	return nil, unknownType(t)
}

// GenerateKeyFromSeed derives a private key from at least 32 secret bytes; the
// same seed gives the same key.
func GenerateKeyFromSeed(t gscrypto.SigType, seed []byte) ([]byte, error) {
	if len(seed) < PrivateKeySize {
		return nil, fmt.Errorf("key seed of %d bytes: want at least %d", len(seed), PrivateKeySize)
	}
	switch t {
	case gscrypto.SigTypeBLS:
		return blsFromSeed(seed)
	case gscrypto.SigTypeSecp256k1:
		return secpFromSeed(seed)
	}
	return nil, unknownType(t)
}

// PublicKey returns 48 bytes for BLS, 65 bytes (uncompressed) for secp256k1.
func PublicKey(t gscrypto.SigType, priv []byte) ([]byte, error) {
	switch t {
	case gscrypto.SigTypeBLS:
		return blsPublic(priv)
	case gscrypto.SigTypeSecp256k1:
		return secpPublic(priv)
	}
	return nil, unknownType(t)
}

// AddressFor returns the key address (f1 or f3) of a private key.
func AddressFor(t gscrypto.SigType, priv []byte) (address.Address, error) {
	pub, err := PublicKey(t, priv)
	if err != nil {
		return address.Undef, err
	}
	if t == gscrypto.SigTypeBLS {
		return address.NewBLSAddress(pub)
	}
	return address.NewSecp256k1Address(pub)
}

// Sign signs msg. For chain messages msg is the CID bytes of the unsigned
// message.
func Sign(t gscrypto.SigType, priv, msg []byte) (*gscrypto.Signature, error) {
	var data []byte
	var err error
	switch t {
	case gscrypto.SigTypeBLS:
		data, err = blsSign(priv, msg)
	case gscrypto.SigTypeSecp256k1:
		data, err = secpSign(priv, msg)
	default:
		err = unknownType(t)
	}
	if err != nil {
		return nil, err
	}
	return &gscrypto.Signature{Type: t, Data: data}, nil
}

// Verify checks a signature against the key address of its signer. An address
// that is not a key (f0, f2) is an error: resolve it first.
func Verify(sig *gscrypto.Signature, signer address.Address, msg []byte) error {
	_, err := verify(sig, signer, msg)
	return err
}

// verify also returns the point of a BLS signature that holds.
func verify(sig *gscrypto.Signature, signer address.Address, msg []byte) (*blsSignature, error) {
	if sig == nil {
		return nil, fmt.Errorf("no signature: %w", ErrBadSignature)
	}
	switch {
	case sig.Type == gscrypto.SigTypeBLS && signer.Protocol() == address.BLS:
		return blsVerify(sig.Data, signer.Payload(), msg)
	case sig.Type == gscrypto.SigTypeSecp256k1 && signer.Protocol() == address.SECP256K1:
		return nil, secpVerify(sig.Data, signer, msg)
	}
	return nil, fmt.Errorf("signature of type %d by address of protocol %d: %w", sig.Type, signer.Protocol(), ErrBadSignature)
}

func unknownType(t gscrypto.SigType) error {
	return fmt.Errorf("signature type %d: want 1 (secp256k1) or 2 (bls)", t)
}

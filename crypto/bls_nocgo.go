//go:build !cgo

package crypto

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"math/big"

	bls "github.com/consensys/gnark-crypto/ecc/bls12-381"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"
)

// Without cgo the same signatures are made and checked in Go, byte for byte.
// Its scalar multiplication is not constant-time: wallets that hold money
// should be built with a C compiler at hand.

func blsGenerate() ([]byte, error) {
	seed := make([]byte, 32)
	if _, err := rand.Read(seed); err != nil {
		return nil, fmt.Errorf("read randomness: %w", err)
	}
	return blsFromSeed(seed)
}

// blsFromSeed is KeyGen of the BLS signature draft: HKDF until the scalar is
// not zero, the salt hashed before each round.
func blsFromSeed(seed []byte) ([]byte, error) {
	const length = 48
	salt := []byte("BLS-SIG-KEYGEN-SALT-")
	for {
		sum := sha256.Sum256(salt)
		salt = sum[:]
		okm, err := hkdf.Key(sha256.New, append(append([]byte{}, seed...), 0), salt, string([]byte{0, length}), length)
		if err != nil {
			return nil, fmt.Errorf("derive key: %w", err)
		}
		k := new(big.Int).SetBytes(okm)
		if k.Mod(k, fr.Modulus()).Sign() != 0 {
			return reverse(k.FillBytes(make([]byte, PrivateKeySize))), nil
		}
	}
}

func blsSecret(priv []byte) (*big.Int, error) {
	if len(priv) != PrivateKeySize {
		return nil, fmt.Errorf("%d bytes: %w", len(priv), ErrBadKey)
	}
	k := new(big.Int).SetBytes(reverse(priv))
	if k.Sign() == 0 || k.Cmp(fr.Modulus()) >= 0 {
		return nil, ErrBadKey
	}
	return k, nil
}

func blsPublic(priv []byte) ([]byte, error) {
	k, err := blsSecret(priv)
	if err != nil {
		return nil, err
	}
	var p bls.G1Affine
	b := p.ScalarMultiplicationBase(k).Bytes()
	return b[:], nil
}

func blsSign(priv, msg []byte) ([]byte, error) {
	k, err := blsSecret(priv)
	if err != nil {
		return nil, err
	}
	h, err := bls.HashToG2(msg, blsDomain)
	if err != nil {
		return nil, fmt.Errorf("hash to curve: %w", err)
	}
	var s bls.G2Affine
	b := s.ScalarMultiplication(&h, k).Bytes()
	return b[:], nil
}

func blsPublicPoint(b []byte) (*bls.G1Affine, error) {
	if len(b) != BLSPublicKeySize {
		return nil, fmt.Errorf("bls public key of %d bytes: %w", len(b), ErrBadSignature)
	}
	p := new(bls.G1Affine)
	if _, err := p.SetBytes(b); err != nil || p.IsInfinity() {
		return nil, fmt.Errorf("bls public key is not a point of its group: %w", ErrBadSignature)
	}
	return p, nil
}

func blsSignaturePoint(b []byte) (*bls.G2Affine, error) {
	if len(b) != BLSSignatureSize {
		return nil, fmt.Errorf("bls signature of %d bytes: %w", len(b), ErrBadSignature)
	}
	p := new(bls.G2Affine)
	if _, err := p.SetBytes(b); err != nil {
		return nil, fmt.Errorf("bls signature is not a point of its group: %w", ErrBadSignature)
	}
	return p, nil
}

// forLibrary are a signature and a key as points of the library's, as which they are here from the start.
func forLibrary(s *blsSignature) (bls.G2Affine, error) { return *s, nil }

func keyForLibrary(pub []byte) (p bls.G1Affine, err error) {
	k, err := blsPublicPoint(pub)
	if err != nil {
		return p, err
	}
	return *k, nil
}

// blsSignature is a decoded signature.
type blsSignature = bls.G2Affine

// blsVerify returns the signature's point when it holds.
func blsVerify(sig, pub, msg []byte) (*blsSignature, error) {
	s, err := blsSignaturePoint(sig)
	if err != nil {
		return nil, err
	}
	return s, blsVerifyAggregate(s, [][]byte{pub}, [][]byte{msg})
}

// AggregateBLS adds signatures into one. The aggregate of none is the point at
// infinity, as blocks without BLS messages carry it.
func AggregateBLS(sigs [][]byte) ([]byte, error) {
	var sum bls.G2Jac
	sum.FromAffine(new(bls.G2Affine))
	for i, b := range sigs {
		p, err := blsSignaturePoint(b)
		if err != nil {
			return nil, fmt.Errorf("signature %d: %w", i, err)
		}
		sum.AddMixed(p)
	}
	out := new(bls.G2Affine).FromJacobian(&sum).Bytes()
	return out[:], nil
}

// blsLess takes signatures out of an aggregate.
func blsLess(agg *blsSignature, known []*blsSignature) *blsSignature {
	var rest, minus bls.G2Jac
	rest.FromAffine(agg)
	for _, p := range known {
		rest.AddAssign(minus.FromAffine(new(bls.G2Affine).Neg(p)))
	}
	return new(bls.G2Affine).FromJacobian(&rest)
}

// blsVerifyAggregate checks one aggregate over pairs of public key and message; of no pairs it is infinity.
func blsVerifyAggregate(s *blsSignature, pubs, msgs [][]byte) error {
	if holdsWide(s, bySigner(pubs, msgs, len(pubs))) {
		return nil
	}
	_, _, base, _ := bls.Generators()
	var minus bls.G1Affine
	left, right := []bls.G1Affine{*minus.Neg(&base)}, []bls.G2Affine{*s}
	for i, b := range pubs {
		p, err := blsPublicPoint(b)
		if err != nil {
			return fmt.Errorf("key %d: %w", i, err)
		}
		h, err := bls.HashToG2(msgs[i], blsDomain)
		if err != nil {
			return fmt.Errorf("hash to curve: %w", err)
		}
		left, right = append(left, *p), append(right, h)
	}
	if ok, err := bls.PairingCheck(left, right); err != nil || !ok {
		return ErrBadSignature
	}
	return nil
}

// blsVerifyBatch verifies one after the other what the lanes do not find good together.
func blsVerifyBatch(sigs, pubs, msgs [][]byte) error {
	if batchHoldsWide(sigs, pubs, msgs) {
		return nil
	}
	for i := range sigs {
		if _, err := blsVerify(sigs[i], pubs[i], msgs[i]); err != nil {
			return err
		}
	}
	return nil
}

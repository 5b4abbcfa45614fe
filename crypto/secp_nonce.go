package crypto

import (
	"crypto/sha256"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
)

// The library's signer leaves a copy of the private key in garbage that nobody
// can wipe (its nonce function's buffer). This file makes the same signatures,
// bit for bit (secp_nonce_test.go), with buffers that are wiped, on the
// library's field and curve arithmetic.

// secpSignDigest signs a 32-byte digest and returns r || s || v with a low s.
func secpSignDigest(key *secp256k1.ModNScalar, digest *[32]byte) []byte {
	var gen nonceGenerator
	gen.start(key, digest)
	defer gen.wipe()
	for {
		k := gen.next()
		sig := secpSignWith(key, k, digest)
		k.Zero()
		if sig != nil {
			return sig
		}
	}
}

// secpSignWith is ECDSA with a given nonce; nil when the nonce does not serve.
func secpSignWith(key, k *secp256k1.ModNScalar, digest *[32]byte) []byte {
	var point secp256k1.JacobianPoint
	secp256k1.ScalarBaseMultNonConst(k, &point)
	point.ToAffine()
	var x [32]byte
	point.X.PutBytes(&x)
	var r, e secp256k1.ModNScalar
	overflow := r.SetBytes(&x)
	if r.IsZero() {
		return nil
	}
	e.SetBytes(digest)
	inverse := new(secp256k1.ModNScalar).InverseValNonConst(k)
	s := new(secp256k1.ModNScalar).Mul2(key, &r).Add(&e).Mul(inverse)
	inverse.Zero()
	if s.IsZero() {
		return nil
	}
	v := byte(overflow<<1) | byte(point.Y.IsOddBit())
	if s.IsOverHalfOrder() {
		s.Negate()
		v ^= 1
	}
	out := make([]byte, SecpSignatureSize)
	r.PutBytesUnchecked(out[:32])
	s.PutBytesUnchecked(out[32:64])
	out[64] = v
	return out
}

// nonceGenerator makes the deterministic nonces of RFC 6979 with HMAC-SHA-256.
type nonceGenerator struct {
	k, v [32]byte
	// used is set once a nonce was given out: the next one needs another round.
	used bool
	// inner and outer are the HMAC's hash inputs; inner holds the private key.
	inner [64 + 32 + 1 + 32 + 32]byte
	outer [64 + 32]byte
}

// start seeds the generator (RFC 6979, 3.2 b to g).
func (g *nonceGenerator) start(key *secp256k1.ModNScalar, digest *[32]byte) {
	for i := range g.v {
		g.v[i], g.k[i] = 1, 0
	}
	for _, round := range []byte{0, 1} {
		n := copy(g.inner[64:], g.v[:])
		g.inner[64+n] = round
		key.PutBytesUnchecked(g.inner[97:129])
		copy(g.inner[129:161], digest[:]) // as it is, like the library and libsecp256k1
		g.k = g.mac(161)
		copy(g.inner[64:], g.v[:])
		g.v = g.mac(96)
	}
}

// next returns the next nonce in [1, order-1] (RFC 6979, 3.2 h).
func (g *nonceGenerator) next() *secp256k1.ModNScalar {
	for {
		if g.used {
			n := copy(g.inner[64:], g.v[:])
			g.inner[64+n] = 0
			g.k = g.mac(97)
			copy(g.inner[64:], g.v[:])
			g.v = g.mac(96)
		}
		g.used = true
		copy(g.inner[64:], g.v[:])
		g.v = g.mac(96)
		k := new(secp256k1.ModNScalar)
		if overflow := k.SetBytes(&g.v); overflow == 0 && !k.IsZero() {
			return k
		}
	}
}

// mac is HMAC-SHA-256 under k of inner[64:end].
func (g *nonceGenerator) mac(end int) [32]byte {
	for i := range 64 {
		var b byte
		if i < len(g.k) {
			b = g.k[i]
		}
		g.inner[i], g.outer[i] = b^0x36, b^0x5c
	}
	sum := sha256.Sum256(g.inner[:end])
	copy(g.outer[64:], sum[:])
	return sha256.Sum256(g.outer[:])
}

func (g *nonceGenerator) wipe() { *g = nonceGenerator{} }

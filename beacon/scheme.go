package beacon

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"

	bls "github.com/consensys/gnark-crypto/ecc/bls12-381"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"

	"github.com/filecoin-venus/venus/crypto/wide"
)

// The names of drand's signature schemes, as they stand in a chain's info under "schemeID".
const (
	// SchemeChained has keys on G1, signatures on G2, and signs each round together with the signature before it.
	SchemeChained = "pedersen-bls-chained"
	// SchemeUnchained has keys on G1, signatures on G2, and signs the round number alone.
	SchemeUnchained = "pedersen-bls-unchained"
	// SchemeG1Legacy has keys on G2 and signatures on G1, hashed under the G2 domain (an early mistake kept for its users).
	SchemeG1Legacy = "bls-unchained-on-g1"
	// SchemeQuicknet has keys on G2 and signatures on G1 hashed under the proper domain; quicknet and our private beacons use it.
	SchemeQuicknet = "bls-unchained-g1-rfc9380"
)

const (
	domainG1 = "BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_"
	domainG2 = "BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_NUL_"
)

// ErrBadSignature is returned when an entry's signature does not belong to its round and chain.
var ErrBadSignature = errors.New("beacon signature does not verify")

// Scheme is one way of signing rounds. The zero value is no scheme; get one by SchemeByID.
type Scheme struct {
	id      string
	chained bool
	sigOnG1 bool
	domain  string
}

// SchemeByID returns the scheme of that drand name. The empty name means the chained one, as in the infos of early chains.
func SchemeByID(id string) (Scheme, error) {
	switch id {
	case SchemeChained, "":
		return Scheme{id: SchemeChained, chained: true, domain: domainG2}, nil
	case SchemeUnchained:
		return Scheme{id: id, domain: domainG2}, nil
	case SchemeG1Legacy:
		return Scheme{id: id, sigOnG1: true, domain: domainG2}, nil
	case SchemeQuicknet:
		return Scheme{id: id, sigOnG1: true, domain: domainG1}, nil
	}
	return Scheme{}, fmt.Errorf("beacon scheme %q is not known", id)
}

// ID is the scheme's drand name.
func (s Scheme) ID() string { return s.id }

// Chained tells whether a round's message contains the previous signature.
func (s Scheme) Chained() bool { return s.chained }

// PublicKeySize is the length of a compressed public key in bytes: 48 on G1, 96 on G2.
func (s Scheme) PublicKeySize() int {
	if s.sigOnG1 {
		return bls.SizeOfG2AffineCompressed
	}
	return bls.SizeOfG1AffineCompressed
}

// Message is the 32-byte digest that is signed for a round: sha256 of the previous signature (chained only) and the
// round number in eight big-endian bytes.
func (s Scheme) Message(round uint64, previous []byte) []byte {
	h := sha256.New()
	if s.chained {
		h.Write(previous)
	}
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], round)
	h.Write(n[:])
	return h.Sum(nil)
}

// Verify checks the signature of a round under a compressed public key. It returns ErrBadSignature when the points are
// fine but do not match, and another error when key or signature is no canonical group element.
func (s Scheme) Verify(publicKey []byte, round uint64, previous, signature []byte) error {
	return s.verifyAll(publicKey, [][]byte{s.Message(round, previous)}, [][]byte{signature})
}

// verifyAll checks signatures of digests under one key: whether a random combination of them all holds, which is so only if
// each holds, but for one chance in 2^64. It takes two pairings however many there are. Errors are those of Verify.
func (s Scheme) verifyAll(publicKey []byte, digests, signatures [][]byte) error {
	if len(digests) == 0 {
		return nil
	}
	factors, err := randomFactors(len(digests))
	if err != nil {
		return err
	}
	if s.sigOnG1 {
		return s.verifyOnG1(publicKey, digests, signatures, factors)
	}
	return s.verifyOnG2(publicKey, digests, signatures, factors)
}

// randomFactors draws numbers of 64 bits that nobody could foresee; one alone is 1.
func randomFactors(n int) ([]wide.Scalar, error) {
	if n == 1 {
		return []wide.Scalar{{1}}, nil
	}
	raw := make([]byte, 8*n)
	if _, err := rand.Read(raw); err != nil {
		return nil, fmt.Errorf("draw factors: %w", err)
	}
	out := make([]wide.Scalar, n)
	for i := range out {
		out[i] = wide.Scalar{binary.LittleEndian.Uint64(raw[8*i:])}
	}
	return out, nil
}

func (s Scheme) verifyOnG1(publicKey []byte, digests, signatures [][]byte, factors []wide.Scalar) error {
	key, err := parseG2(publicKey)
	if err != nil {
		return fmt.Errorf("beacon public key: %w", err)
	}
	points, err := decoded(wide.DecodeG1(signatures), signatures, parseG1)
	if err != nil {
		return err
	}
	hashed, err := wide.HashToG1(digests, []byte(s.domain))
	if err != nil {
		return fmt.Errorf("hash beacon rounds: %w", err)
	}
	sigs, rounds := wide.CombineG1(points, factors), wide.CombineG1(hashed, factors)
	_, _, _, g2 := bls.Generators()
	return pairsToOne([]bls.G1Affine{*sigs.Neg(&sigs), rounds}, []bls.G2Affine{g2, key})
}

// decoded are signatures that were decoded together; those that came out as infinity are parsed, which tells what is wrong.
func decoded[P interface {
	*A
	IsInfinity() bool
}, A any](points []A, raw [][]byte, parse func([]byte) (A, error)) ([]A, error) {
	for i := range points {
		if !P(&points[i]).IsInfinity() {
			continue
		}
		var err error
		if points[i], err = parse(raw[i]); err != nil {
			return nil, fmt.Errorf("beacon signature: %w", err)
		}
	}
	return points, nil
}

func (s Scheme) verifyOnG2(publicKey []byte, digests, signatures [][]byte, factors []wide.Scalar) error {
	key, err := parseG1(publicKey)
	if err != nil {
		return fmt.Errorf("beacon public key: %w", err)
	}
	points, err := decoded(wide.DecodeG2(signatures), signatures, parseG2)
	if err != nil {
		return err
	}
	hashed, err := wide.HashToG2(digests, []byte(s.domain))
	if err != nil {
		return fmt.Errorf("hash beacon rounds: %w", err)
	}
	_, _, g1, _ := bls.Generators()
	right := []bls.G2Affine{wide.CombineG2(points, factors), wide.CombineG2(hashed, factors)}
	return pairsToOne([]bls.G1Affine{*g1.Neg(&g1), key}, right)
}

func pairsToOne(left []bls.G1Affine, right []bls.G2Affine) error {
	ok, err := bls.PairingCheck(left, right)
	if err != nil {
		return fmt.Errorf("pair beacon signature: %w", err)
	}
	if !ok {
		return ErrBadSignature
	}
	return nil
}

// sign makes the signature of a round with a secret scalar; only a beacon's owner can call it (see Key).
func (s Scheme) sign(secret *fr.Element, round uint64, previous []byte) ([]byte, error) {
	digest := s.Message(round, previous)
	k := secret.BigInt(new(big.Int))
	if s.sigOnG1 {
		point, err := bls.HashToG1(digest, []byte(s.domain))
		if err != nil {
			return nil, fmt.Errorf("hash beacon round: %w", err)
		}
		point.ScalarMultiplication(&point, k)
		out := point.Bytes()
		return out[:], nil
	}
	point, err := bls.HashToG2(digest, []byte(s.domain))
	if err != nil {
		return nil, fmt.Errorf("hash beacon round: %w", err)
	}
	point.ScalarMultiplication(&point, k)
	out := point.Bytes()
	return out[:], nil
}

func (s Scheme) publicKey(secret *fr.Element) []byte {
	_, _, g1, g2 := bls.Generators()
	k := secret.BigInt(new(big.Int))
	if s.sigOnG1 {
		g2.ScalarMultiplication(&g2, k)
		out := g2.Bytes()
		return out[:]
	}
	g1.ScalarMultiplication(&g1, k)
	out := g1.Bytes()
	return out[:]
}

// parseG1 reads a compressed point and refuses other lengths, points outside the subgroup and the point at infinity.
func parseG1(b []byte) (p bls.G1Affine, err error) {
	if len(b) != bls.SizeOfG1AffineCompressed {
		return p, fmt.Errorf("%d bytes where %d are due", len(b), bls.SizeOfG1AffineCompressed)
	}
	if b[0]&0x80 == 0 {
		return p, errors.New("point is not in compressed form")
	}
	if _, err = p.SetBytes(b); err != nil {
		return p, err
	}
	if p.IsInfinity() {
		return p, errors.New("point at infinity")
	}
	return p, nil
}

// parseG2 is parseG1 for the other group.
func parseG2(b []byte) (p bls.G2Affine, err error) {
	if len(b) != bls.SizeOfG2AffineCompressed {
		return p, fmt.Errorf("%d bytes where %d are due", len(b), bls.SizeOfG2AffineCompressed)
	}
	if b[0]&0x80 == 0 {
		return p, errors.New("point is not in compressed form")
	}
	if _, err = p.SetBytes(b); err != nil {
		return p, err
	}
	if p.IsInfinity() {
		return p, errors.New("point at infinity")
	}
	return p, nil
}

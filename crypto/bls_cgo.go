//go:build cgo

package crypto

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync"

	bls "github.com/consensys/gnark-crypto/ecc/bls12-381"
	lru "github.com/hashicorp/golang-lru/v2"
	blst "github.com/supranational/blst/bindings/go"
	"golang.org/x/sync/errgroup"

	"github.com/filecoin-venus/venus/crypto/wide"
	"github.com/filecoin-venus/venus/internal/procs"
)

func blsGenerate() ([]byte, error) {
	seed := make([]byte, 32)
	if _, err := rand.Read(seed); err != nil {
		return nil, fmt.Errorf("read randomness: %w", err)
	}
	return blsFromSeed(seed)
}

func blsFromSeed(seed []byte) ([]byte, error) {
	sk := blst.KeyGen(seed)
	if sk == nil {
		return nil, ErrBadKey
	}
	defer sk.Zeroize()
	return reverse(sk.Serialize()), nil
}

func blsSecret(priv []byte) (*blst.SecretKey, error) {
	if len(priv) != PrivateKeySize {
		return nil, fmt.Errorf("%d bytes: %w", len(priv), ErrBadKey)
	}
	be := reverse(priv)
	sk := new(blst.SecretKey).Deserialize(be)
	clear(be)
	if sk == nil {
		return nil, ErrBadKey
	}
	return sk, nil
}

func blsPublic(priv []byte) ([]byte, error) {
	sk, err := blsSecret(priv)
	if err != nil {
		return nil, err
	}
	defer sk.Zeroize()
	return new(blst.P1Affine).From(sk).Compress(), nil
}

func blsSign(priv, msg []byte) ([]byte, error) {
	sk, err := blsSecret(priv)
	if err != nil {
		return nil, err
	}
	defer sk.Zeroize()
	return new(blst.P2Affine).Sign(sk, msg, blsDomain).Compress(), nil
}

// publicKey is a key that was found good; library is the same point for the arithmetic in wide.
type publicKey struct {
	point   *blst.P1Affine
	library bls.G1Affine
}

// validKeys remembers public keys that were found good: the same few senders and miners sign again and again, and to decode
// and check a key takes a third as long as the pairing it is for.
var validKeys = sync.OnceValues(func() (*lru.Cache[[BLSPublicKeySize]byte, publicKey], error) {
	return lru.New[[BLSPublicKeySize]byte, publicKey](validKeyCache)
})

// validKeyCache is how many keys are remembered, 0.3 KiB each.
const validKeyCache = 16384

// blsPublicPoint decodes and checks a public key; infinity is refused, it
// would verify anything. The point is shared.
func blsPublicPoint(b []byte) (*blst.P1Affine, error) {
	k, err := blsPublicKey(b)
	return k.point, err
}

func blsPublicKey(b []byte) (publicKey, error) {
	if len(b) != BLSPublicKeySize {
		return publicKey{}, fmt.Errorf("bls public key of %d bytes: %w", len(b), ErrBadSignature)
	}
	known, err := validKeys()
	if err != nil {
		return publicKey{}, err
	}
	name := [BLSPublicKeySize]byte(b)
	if k, ok := known.Get(name); ok {
		return k, nil
	}
	p := new(blst.P1Affine).Uncompress(b)
	if p == nil || !p.KeyValidate() {
		return publicKey{}, fmt.Errorf("bls public key is not a point of its group: %w", ErrBadSignature)
	}
	k := publicKey{point: p}
	if err := unchecked(p.Serialize()).Decode(&k.library); err != nil {
		return publicKey{}, fmt.Errorf("bls public key: %w", err)
	}
	known.Add(name, k)
	return k, nil
}

// unchecked reads points of which it was seen already that they lie in their group.
func unchecked(raw []byte) *bls.Decoder {
	return bls.NewDecoder(bytes.NewReader(raw), bls.NoSubgroupChecks())
}

// forLibrary are a signature and a key as points of the library's.
func forLibrary(s *blsSignature) (p bls.G2Affine, err error) {
	return p, unchecked(s.Serialize()).Decode(&p)
}

func keyForLibrary(pub []byte) (bls.G1Affine, error) {
	k, err := blsPublicKey(pub)
	return k.library, err
}

func blsSignaturePoint(b []byte) (*blst.P2Affine, error) {
	if len(b) != BLSSignatureSize {
		return nil, fmt.Errorf("bls signature of %d bytes: %w", len(b), ErrBadSignature)
	}
	p := new(blst.P2Affine).Uncompress(b)
	if p == nil || !p.SigValidate(false) {
		return nil, fmt.Errorf("bls signature is not a point of its group: %w", ErrBadSignature)
	}
	return p, nil
}

// blsSignature is a decoded signature.
type blsSignature = blst.P2Affine

// blsVerify returns the signature's point when it holds.
func blsVerify(sig, pub, msg []byte) (*blsSignature, error) {
	s, err := blsSignaturePoint(sig)
	if err != nil {
		return nil, err
	}
	p, err := blsPublicPoint(pub)
	if err != nil {
		return nil, err
	}
	if !s.Verify(false, p, false, msg, blsDomain) {
		return nil, ErrBadSignature
	}
	return s, nil
}

// AggregateBLS adds signatures into one. The aggregate of none is the point at infinity, as blocks without BLS messages carry
// it. Only the sum is checked to be in its group: that is all a verifier sees of it.
func AggregateBLS(sigs [][]byte) ([]byte, error) {
	if len(sigs) == 0 {
		return new(blst.P2Affine).Compress(), nil
	}
	for i, b := range sigs {
		if len(b) != BLSSignatureSize {
			return nil, fmt.Errorf("signature %d: bls signature of %d bytes: %w", i, len(b), ErrBadSignature)
		}
	}
	points := new(blst.P2Affine).BatchUncompress(sigs)
	if points == nil {
		return nil, fmt.Errorf("one of %d bls signatures is not a point of the curve: %w", len(sigs), ErrBadSignature)
	}
	agg := new(blst.P2Aggregate)
	if !agg.Aggregate(points, false) {
		return nil, errors.New("aggregate bls signatures: points do not add up")
	}
	sum := agg.ToAffine()
	if !sum.InG2() {
		return nil, fmt.Errorf("one of %d bls signatures is not a point of its group: %w", len(sigs), ErrBadSignature)
	}
	return sum.Compress(), nil
}

// blsLess takes signatures out of an aggregate.
func blsLess(agg *blsSignature, known []*blsSignature) *blsSignature {
	sum := new(blst.P2Aggregate)
	sum.Aggregate(known, false)
	rest := new(blst.P2)
	rest.FromAffine(agg)
	return rest.SubAssign(sum.ToAffine()).ToAffine()
}

// blsVerifyAggregate checks one aggregate over pairs of public key and message; of no pairs it is infinity.
func blsVerifyAggregate(s *blsSignature, pubs, msgs [][]byte) error {
	if len(pubs) == 0 {
		if !s.Equals(new(blst.P2Affine)) {
			return ErrBadSignature
		}
		return nil
	}
	groups := bySigner(pubs, msgs, wide.Full((len(pubs)-1)/procs.Cores()+1))
	if holdsWide(s, groups) {
		return nil
	}
	workers := min(procs.Cores(), len(groups))
	parts := make([]blst.Pairing, workers)
	var group errgroup.Group
	for w := range workers {
		group.Go(contained(func() (err error) {
			parts[w], err = pairAll(groups[w*len(groups)/workers : (w+1)*len(groups)/workers])
			return err
		}))
	}
	if err := group.Wait(); err != nil {
		return err
	}
	whole := blst.PairingCtx(true, blsDomain)
	blst.PairingRawAggregate(whole, s, minusGenerator())
	blst.PairingCommit(whole)
	for _, p := range parts {
		if blst.PairingMerge(whole, p) != 0 {
			return ErrBadSignature
		}
	}
	if !blst.PairingFinalVerify(whole) {
		return ErrBadSignature
	}
	return nil
}

// pairAll is the product of e(key, sum of the hashed messages) over the groups.
func pairAll(groups []signed) (blst.Pairing, error) {
	lists := make([][][]byte, len(groups))
	for i, g := range groups {
		lists[i] = g.msgs
	}
	sums, err := sumHashes(lists)
	if err != nil {
		return nil, err
	}
	p := blst.PairingCtx(true, blsDomain)
	for i := range sums {
		key, err := blsPublicPoint(groups[i].pub)
		if err != nil {
			return nil, fmt.Errorf("key %d: %w", groups[i].index, err)
		}
		blst.PairingRawAggregate(p, &sums[i], key)
	}
	blst.PairingCommit(p)
	return p, nil
}

// sumHashes is the sum of the hashed messages of each group, none empty, hashed eight at a time where that can be done.
func sumHashes(groups [][][]byte) ([]blst.P2Affine, error) {
	if !wide.Available() || len(groups) == 1 && len(groups[0]) == 1 {
		sums := make([]*blst.P2, len(groups))
		for i, g := range groups {
			sums[i] = blst.HashToG2(g[0], blsDomain)
			for _, m := range g[1:] {
				sums[i].AddAssign(blst.HashToG2(m, blsDomain))
			}
		}
		return blst.P2sToAffine(sums), nil // together they cost one inversion
	}
	points, err := wide.SumHashes(groups, blsDomain)
	if err != nil {
		return nil, err
	}
	out := make([]blst.P2Affine, len(groups))
	for i := range points {
		if raw := points[i].RawBytes(); out[i].Deserialize(raw[:]) == nil {
			return nil, errors.New("sum of hashes is no point")
		}
	}
	return out, nil
}

// minusGenerator is -1 times the generator of G1: a compressed point with its sign bit flipped.
var minusGenerator = sync.OnceValue(func() *blst.P1Affine {
	b := blst.P1Generator().ToAffine().Compress()
	b[0] ^= 0x20
	return new(blst.P1Affine).Uncompress(b)
})

// batchBits is how long the weights of a batch are.
const batchBits = 64

// blsVerifyBatch checks that, for weights w that nobody could foresee, the product over all keys of e(key, sum of w times the
// key's hashed messages) is e(generator, sum of w times all signatures). Signatures outside their group could cancel each
// other out and are refused first.
func blsVerifyBatch(sigs, pubs, msgs [][]byte) error {
	if batchHoldsWide(sigs, pubs, msgs) {
		return nil
	}
	weights := make([]byte, batchBits/8*len(sigs))
	if _, err := rand.Read(weights); err != nil {
		return fmt.Errorf("draw weights: %w", err)
	}
	points := make([]*blst.P2Affine, len(sigs))
	for i, b := range sigs {
		var err error
		if points[i], err = blsSignaturePoint(b); err != nil {
			return err
		}
	}
	hashes, err := sumHashes(slices.Collect(slices.Chunk(msgs, 1)))
	if err != nil {
		return err
	}
	groups := map[string]*weighted{} // the blocks of a chain have few signers
	for i := range sigs {
		g := groups[string(pubs[i])]
		if g == nil {
			g = new(weighted)
			groups[string(pubs[i])] = g
		}
		g.hashes, g.weights = append(g.hashes, hashes[i]), append(g.weights, weights[batchBits/8*i:batchBits/8*(i+1)]...)
	}
	p := blst.PairingCtx(true, blsDomain)
	blst.PairingRawAggregate(p, blst.P2AffinesMult(points, weights, batchBits).ToAffine(), minusGenerator())
	for pub, g := range groups {
		key, err := blsPublicPoint([]byte(pub))
		if err != nil {
			return err
		}
		blst.PairingRawAggregate(p, blst.P2Affines(g.hashes).Mult(g.weights, batchBits).ToAffine(), key)
	}
	blst.PairingCommit(p)
	if !blst.PairingFinalVerify(p) {
		return ErrBadSignature
	}
	return nil
}

// weighted is what one key signed, and the weights of it.
type weighted struct {
	hashes  []blst.P2Affine
	weights []byte
}

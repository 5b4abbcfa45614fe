package crypto

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"slices"

	bls "github.com/consensys/gnark-crypto/ecc/bls12-381"
	"golang.org/x/sync/errgroup"

	"github.com/filecoin-venus/venus/crypto/wide"
	"github.com/filecoin-venus/venus/internal/procs"
)

// signed is what one key signed.
type signed struct {
	index int // of the key's first message
	pub   []byte
	msgs  [][]byte
}

// bySigner groups messages by key, most in one group: those of a group cost one pairing together, but one worker hashes them
// all.
func bySigner(pubs, msgs [][]byte, most int) []signed {
	at := make(map[string]int, len(pubs))
	var out []signed
	for i, pub := range pubs {
		g, known := at[string(pub)]
		if !known || len(out[g].msgs) == most {
			g = len(out)
			at[string(pub)] = g
			out = append(out, signed{index: i, pub: pub})
		}
		out[g].msgs = append(out[g].msgs, msgs[i])
	}
	return out
}

// worthLanes is for how many keys the pairings of an aggregate go into lanes.
const worthLanes = 8

// holdsWide tells that an aggregate holds over what the groups signed, found eight pairings at a time where the processor can
// do that. False says nothing: who gets it asks the library, which also knows what is wrong.
func holdsWide(s *blsSignature, groups []signed) bool {
	if len(groups) < worthLanes || !wide.Available() {
		return false
	}
	workers := min(procs.Cores(), len(groups))
	parts := make([]bls.GT, workers+1)
	var group errgroup.Group
	for w := range workers {
		group.Go(contained(func() (err error) {
			parts[w], err = pairWide(groups[w*len(groups)/workers : (w+1)*len(groups)/workers])
			return err
		}))
	}
	sig, err := forLibrary(s)
	if err == nil {
		_, _, base, _ := bls.Generators()
		base.Neg(&base)
		parts[workers], err = bls.MillerLoop([]bls.G1Affine{base}, []bls.G2Affine{sig})
	}
	if group.Wait() != nil || err != nil {
		return false
	}
	product := parts[0]
	for i := range parts[1:] {
		product.Mul(&product, &parts[1+i])
	}
	product = bls.FinalExponentiation(&product)
	return product.IsOne()
}

// contained is f with a panic made its error, which is not ErrBadSignature: what goroutines work on comes from strangers, but a
// mistake of ours proves nothing.
func contained(f func() error) func() error {
	return func() (err error) {
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("panic while verifying signatures: %v", p)
			}
		}()
		return f()
	}
}

// batchHoldsWide tells that each of many signatures holds: that for weights w that nobody could foresee, 64 bits long, the product
// over all keys of e(key, sum of w times the key's hashed messages) is e(generator, sum of w times all signatures). Signatures
// outside their group could cancel each other out, and are none here. False says nothing, as of holdsWide.
func batchHoldsWide(sigs, pubs, msgs [][]byte) bool {
	if len(sigs) < worthLanes || !wide.Available() {
		return false
	}
	weights := make([]byte, 8*len(sigs))
	if _, err := rand.Read(weights); err != nil {
		return false
	}
	points := wide.DecodeG2(sigs)
	hashes, err := wide.HashToG2(msgs, blsDomain)
	if err != nil {
		return false
	}
	type weighted struct {
		points []bls.G2Affine
		by     []wide.Scalar
	}
	var all weighted
	of := map[string]*weighted{} // the blocks of a chain have few signers
	for i := range sigs {
		if points[i].IsInfinity() {
			p, err := blsSignaturePoint(sigs[i])
			if err != nil {
				return false
			}
			if points[i], err = forLibrary(p); err != nil {
				return false
			}
		}
		w := wide.Scalar{binary.LittleEndian.Uint64(weights[8*i:])}
		all.points, all.by = append(all.points, points[i]), append(all.by, w)
		key := of[string(pubs[i])]
		if key == nil {
			key = new(weighted)
			of[string(pubs[i])] = key
		}
		key.points, key.by = append(key.points, hashes[i]), append(key.by, w)
	}
	_, _, base, _ := bls.Generators()
	left, right := []bls.G1Affine{*base.Neg(&base)}, []bls.G2Affine{wide.CombineG2(all.points, all.by)}
	for pub, key := range of {
		k, err := keyForLibrary([]byte(pub))
		if err != nil {
			return false
		}
		left, right = append(left, k), append(right, wide.CombineG2(key.points, key.by))
	}
	product, err := millerLoop(left, right)
	if err != nil {
		return false
	}
	product = bls.FinalExponentiation(&product)
	return product.IsOne()
}

// millerLoop is the library's, or that of the lanes where there are enough pairs and none is infinity.
func millerLoop(p []bls.G1Affine, q []bls.G2Affine) (bls.GT, error) {
	if len(p) >= worthLanes && wide.Available() && !slices.ContainsFunc(q, func(p bls.G2Affine) bool { return p.IsInfinity() }) {
		return wide.MillerLoop(p, q), nil
	}
	return bls.MillerLoop(p, q)
}

// pairWide is the product of the Miller loops of each key and the sum of what it signed, hashed.
func pairWide(groups []signed) (product bls.GT, err error) {
	keys, lists := make([]bls.G1Affine, len(groups)), make([][][]byte, len(groups))
	for i, g := range groups {
		if keys[i], err = keyForLibrary(g.pub); err != nil {
			return product, err
		}
		lists[i] = g.msgs
	}
	sums, err := wide.SumHashes(lists, blsDomain)
	if err != nil {
		return product, err
	}
	for i := range sums {
		if sums[i].IsInfinity() {
			return product, ErrBadSignature // nobody can make such messages
		}
	}
	return wide.MillerLoop(keys, sums), nil
}

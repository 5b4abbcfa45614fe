package crypto

import (
	"fmt"
	"runtime"

	bls "github.com/consensys/gnark-crypto/ecc/bls12-381"
	"golang.org/x/sync/errgroup"

	"github.com/filecoin-venus/venus/crypto/wide"
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
	workers := min(runtime.GOMAXPROCS(0), len(groups))
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

package snarkpack

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/big"
	"runtime"

	bls "github.com/consensys/gnark-crypto/ecc/bls12-381"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"
	"golang.org/x/sync/errgroup"
)

// Key is what a verifier needs of the commitment keys, for aggregates of any size: the generators times alpha and beta.
type Key struct {
	G [2]bls.G1Affine
	H [2]bls.G2Affine
}

// Secret is the trapdoor of commitment keys. Whoever knows it can forge aggregates: only private networks, whose seed is
// public among their members, may use keys whose secret is known.
type Secret struct{ Alpha, Beta fr.Element }

// secretDomain separates this use of hash-to-field from every other.
const secretDomain = "venus aggregation keys v1"

// SecretFromSeed derives the trapdoor of a private network's commitment keys.
func SecretFromSeed(seed []byte) (s Secret, err error) {
	if len(seed) == 0 {
		return s, errors.New("proof seed is empty: a private network needs one")
	}
	h, err := fr.Hash(seed, []byte(secretDomain), 2)
	if err != nil {
		return s, fmt.Errorf("derive commitment keys: %w", err)
	}
	if h[0].IsZero() || h[1].IsZero() || h[0].Equal(&h[1]) {
		return s, errors.New("derive commitment keys: degenerate; choose another seed")
	}
	return Secret{Alpha: h[0], Beta: h[1]}, nil
}

// Key is the verifier's part of the keys that s makes.
func (s *Secret) Key() *Key {
	k := &Key{}
	_, _, _, h := bls.Generators()
	for i, e := range []*fr.Element{&s.Alpha, &s.Beta} {
		b := e.BigInt(new(big.Int))
		k.G[i].ScalarMultiplicationBase(b)
		k.H[i].ScalarMultiplication(&h, b)
	}
	return k
}

// Check tells whether the points of G1 and of G2 are the generators times the same two numbers.
func (k *Key) Check() error {
	_, _, g, h := bls.Generators()
	for i := range k.G {
		var minus bls.G1Affine
		minus.Neg(&k.G[i])
		ok, err := bls.PairingCheck([]bls.G1Affine{g, minus}, []bls.G2Affine{k.H[i], h})
		if err != nil {
			return fmt.Errorf("pairing: %w", err)
		}
		if !ok || k.G[i].IsInfinity() {
			return fmt.Errorf("commitment keys of G1 and G2 do not belong together: %w", ErrEncoding)
		}
	}
	return nil
}

// File reads commitment keys in the layout of Filecoin's .srs file: four lists, each with its length in four big-endian
// bytes before it, of compressed points: powers 0, 1, 2 and so on of alpha and of beta times the generator of G1, then of
// alpha and of beta times that of G2.
type File struct {
	r     io.ReaderAt
	lists [4]list
}

type list struct {
	at    int64
	count int
}

// maxPowers bounds a list; Filecoin's file is from ceremonies with that many.
const maxPowers = 2<<19 + 1

// OpenFile finds the lists and checks that each begins with its generator. It does not look at the points behind.
func OpenFile(r io.ReaderAt) (*File, error) {
	f := &File{r: r}
	at := int64(0)
	for i := range f.lists {
		var b [4]byte
		if _, err := r.ReadAt(b[:], at); err != nil {
			return nil, fmt.Errorf("length of list %d of commitment keys: %w", i, err)
		}
		n := binary.BigEndian.Uint32(b[:])
		if n < 2 || n > maxPowers {
			return nil, fmt.Errorf("list %d of commitment keys has %d powers: %w", i, n, ErrEncoding)
		}
		f.lists[i] = list{at: at + 4, count: int(n)}
		at += 4 + int64(n)*pointSize(i)
	}
	_, _, g, h := bls.Generators()
	for i := range 2 {
		first1, err := f.G1(i, 0, 1)
		if err != nil {
			return nil, err
		}
		first2, err := f.G2(i, 0, 1)
		if err != nil {
			return nil, err
		}
		if first1[0] != g || first2[0] != h {
			return nil, fmt.Errorf("commitment keys do not begin with the generators: %w", ErrEncoding)
		}
	}
	return f, nil
}

// pointSize is the length of a point of a list: two lists of G1, then two of G2.
func pointSize(list int) int64 {
	if list < 2 {
		return bls.SizeOfG1AffineCompressed
	}
	return bls.SizeOfG2AffineCompressed
}

// G1 reads the powers from to from+n-1 of alpha (0) or beta (1) times the generator of G1, each checked.
func (f *File) G1(secret, from, n int) ([]bls.G1Affine, error) {
	out := make([]bls.G1Affine, n)
	return out, f.read(secret, from, n, func(i int, b []byte) error { return readPoint(&out[i], b) })
}

// G2 is G1 for the generator of G2.
func (f *File) G2(secret, from, n int) ([]bls.G2Affine, error) {
	out := make([]bls.G2Affine, n)
	return out, f.read(2+secret, from, n, func(i int, b []byte) error { return readPoint(&out[i], b) })
}

func (f *File) read(list, from, n int, parse func(i int, b []byte) error) error {
	l, size := f.lists[list], int(pointSize(list))
	if from < 0 || n < 0 || from+n > l.count {
		return fmt.Errorf("commitment keys have %d powers in list %d, want %d: %w", l.count, list, from+n, ErrEncoding)
	}
	b := make([]byte, n*size)
	if _, err := f.r.ReadAt(b, l.at+int64(from*size)); err != nil {
		return fmt.Errorf("list %d of commitment keys: %w", list, err)
	}
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i := range n {
		group.Go(func() error {
			if err := parse(i, b[i*size:(i+1)*size]); err != nil {
				return fmt.Errorf("power %d in list %d of commitment keys: %w", from+i, list, err)
			}
			return nil
		})
	}
	return group.Wait()
}

// Key reads and checks the verifier's part.
func (f *File) Key() (*Key, error) {
	k := &Key{}
	for i := range 2 {
		g, err := f.G1(i, 1, 1)
		if err != nil {
			return nil, err
		}
		h, err := f.G2(i, 1, 1)
		if err != nil {
			return nil, err
		}
		k.G[i], k.H[i] = g[0], h[0]
	}
	if err := k.Check(); err != nil {
		return nil, err
	}
	return k, nil
}

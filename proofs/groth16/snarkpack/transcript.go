package snarkpack

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"

	bls "github.com/consensys/gnark-crypto/ecc/bls12-381"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"
	"github.com/filecoin-project/go-state-types/abi"
)

// Version chooses the transcript. The encoding is the same.
type Version int

const (
	// V1 is what the actors of network version 15 ask for (SnarkPackV1): the first round's challenge does not depend on
	// the round's cross terms, and the last challenge not on what is left of the lists.
	V1 Version = 1
	// V2 puts both into the transcript (SnarkPackV2).
	V2 Version = 2
)

// Known tells whether v is one of the versions above.
func (v Version) Known() bool { return v == V1 || v == V2 }

// VersionOf is the transcript that a registered type of aggregates prescribes.
func VersionOf(t abi.RegisteredAggregationProof) (Version, error) {
	switch t {
	case abi.RegisteredAggregationProof_SnarkPackV1:
		return V1, nil
	case abi.RegisteredAggregationProof_SnarkPackV2:
		return V2, nil
	}
	return 0, fmt.Errorf("aggregate proof type %d: want 0 or 1 (SnarkPack V1, V2)", t)
}

// oracle hashes a labelled list of values to a challenge. Values have no separators, their lengths are fixed.
type oracle struct{ h hash.Hash }

const oraclePrefix = "snarkpack-v1" // of both versions

func ask(label string) *oracle {
	o := &oracle{sha256.New()}
	o.h.Write([]byte(oraclePrefix + label))
	return o
}

func (o *oracle) scalar(e *fr.Element) *oracle {
	var b [fr.Bytes]byte
	fr.LittleEndian.PutElement(&b, *e)
	o.h.Write(b[:])
	return o
}

func (o *oracle) target(xs ...*bls.GT) *oracle {
	b := make([]byte, 0, targetSize)
	for _, x := range xs {
		o.h.Write(appendTarget(b, x))
	}
	return o
}

func (o *oracle) commitments(cs ...*Commitment) *oracle {
	for _, c := range cs {
		o.target(&c[0], &c[1])
	}
	return o
}

func (o *oracle) g1(ps ...*bls.G1Affine) *oracle {
	for _, p := range ps {
		b := p.Bytes()
		o.h.Write(b[:])
	}
	return o
}

func (o *oracle) g2(ps ...*bls.G2Affine) *oracle {
	for _, p := range ps {
		b := p.Bytes()
		o.h.Write(b[:])
	}
	return o
}

// message writes bytes of any length, after the length.
func (o *oracle) message(b []byte) *oracle {
	o.h.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(b))))
	o.h.Write(b)
	return o
}

// challenge is the answer: a counter is appended until the hash without its highest bit, as a little-endian number, is a
// field element other than 0 and 1.
func (o *oracle) challenge() fr.Element {
	for n := uint64(1); ; n++ {
		o.h.Write(binary.BigEndian.AppendUint64(nil, n))
		digest := [sha256.Size]byte(o.h.Sum(nil))
		digest[sha256.Size-1] &= 0x7f
		e, err := fr.LittleEndian.Element(&digest)
		if err == nil && !e.IsZero() && !e.IsOne() {
			return e
		}
	}
}

// Transcript yields the challenges of one aggregate, in the order in which prover and verifier need them: Begin, Totals,
// Round for each round, Point.
type Transcript struct {
	version Version
	bound   fr.Element // what the commitments hash to
	weight  fr.Element
	last    fr.Element // the latest challenge's inverse: it is what was hashed
	rounds  int
}

// Begin starts with the commitments to A and B and to C, and with the message, which stands for the statement. It yields
// r, whose powers weight the proofs.
func Begin(v Version, ab, c *Commitment, message []byte) (*Transcript, fr.Element) {
	t := &Transcript{version: v, bound: ask("hcom").commitments(ab, c).challenge()}
	t.weight = ask("random-r").scalar(&t.bound).message(message).challenge()
	return t, t.weight
}

// Totals takes the weighted product of A and B and the weighted sum of C.
func (t *Transcript) Totals(z *bls.GT, s *bls.G1Affine) {
	t.last = ask("gipa-0").scalar(&t.bound).target(z).g1(s).scalar(&t.weight).challenge()
}

// Round takes the next round's cross terms. Left is the challenge, by which the right half of A, C and w is multiplied
// before it is added to the left half; right is its inverse, for B, v and the weights.
func (t *Transcript) Round(r *Round) (left, right fr.Element) {
	if t.rounds > 0 || t.version == V2 {
		t.last = crossTerms(ask(fmt.Sprintf("gipa-%d", t.rounds)).scalar(&t.last), r).challenge()
	}
	t.rounds++
	left.Inverse(&t.last)
	return left, t.last
}

func crossTerms(o *oracle, r *Round) *oracle {
	return o.target(&r.Z[0], &r.Z[1]).g1(&r.S[0], &r.S[1]).commitments(&r.AB[0], &r.AB[1], &r.C[0], &r.C[1])
}

// Point takes what the rounds left, of which p must be filled in up to the openings, and yields where the keys'
// polynomials are opened.
func (t *Transcript) Point(p *Proof) fr.Element {
	var left fr.Element
	left.Inverse(&t.last)
	if t.version == V1 {
		return ask("random-z").scalar(&left).g2(&p.LastV[0], &p.LastV[1]).g1(&p.LastW[0], &p.LastW[1]).challenge()
	}
	link := ask("gipa-extra-link").scalar(&left).g1(&p.LastA).g2(&p.LastB).g1(&p.LastC)
	e := crossTerms(link, &p.Rounds[len(p.Rounds)-1]).challenge()
	return ask("random-z").scalar(&e).g2(&p.LastV[0], &p.LastV[1]).g1(&p.LastW[0], &p.LastW[1]).
		g1(&p.LastA).g2(&p.LastB).g1(&p.LastC).challenge()
}

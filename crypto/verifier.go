package crypto

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"github.com/filecoin-project/go-address"
	gscrypto "github.com/filecoin-project/go-state-types/crypto"
	lru "github.com/hashicorp/golang-lru/v2"
)

// Verifier verifies signatures and remembers those that held: a message that came by gossip is not judged again in each of
// its blocks. Bad ones are not remembered. Safe for concurrent use.
type Verifier struct {
	held *lru.Cache[string, heldSignature]
	// whole are aggregates that held, with whose they are and over what.
	whole *lru.Cache[aggregateName, struct{}]
}

// aggregateName is a hash of an aggregate with its signers and messages.
type aggregateName [32]byte

// heldSignature is one that was found good; point is nil for secp256k1.
type heldSignature struct {
	kind  gscrypto.SigType
	data  []byte
	point *blsSignature
}

// verifierCache is how many signatures a Verifier remembers, half a KiB each.
const verifierCache = 32768

// aggregateCache is how many aggregates a Verifier remembers: those of the blocks of a few hundred epochs.
const aggregateCache = 2048

// NewVerifier returns one that remembers nothing yet.
func NewVerifier() (*Verifier, error) {
	held, err := lru.New[string, heldSignature](verifierCache)
	if err != nil {
		return nil, fmt.Errorf("make signature cache: %w", err)
	}
	whole, err := lru.New[aggregateName, struct{}](aggregateCache)
	if err != nil {
		return nil, fmt.Errorf("make signature cache: %w", err)
	}
	return &Verifier{held: held, whole: whole}, nil
}

// heldName joins signer and message; the length of a signer's bytes follows from their first.
func heldName(signer address.Address, msg []byte) string { return string(signer.Bytes()) + string(msg) }

// Verify is the function Verify, at the price of a look-up for what held before.
func (v *Verifier) Verify(sig *gscrypto.Signature, signer address.Address, msg []byte) error {
	name := heldName(signer, msg)
	if h, ok := v.held.Get(name); ok && sig != nil && h.kind == sig.Type && bytes.Equal(h.data, sig.Data) {
		return nil
	}
	point, err := verify(sig, signer, msg)
	if err != nil {
		return err
	}
	v.held.Add(name, heldSignature{sig.Type, bytes.Clone(sig.Data), point})
	return nil
}

// nameAggregate hashes an aggregate with its signers and messages, each with its length.
func nameAggregate(agg []byte, signers []address.Address, msgs [][]byte) (name aggregateName) {
	h := sha256.New()
	add := func(b []byte) {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(b))))
		h.Write(b)
	}
	add(agg)
	for i, signer := range signers {
		add(signer.Bytes())
		add(msgs[i])
	}
	h.Sum(name[:0])
	return name
}

// VerifyAggregate is VerifyBLSAggregate for signers by address, at the price of a hash if the same held before, and of an
// addition for each message whose signature held before: a BLS signature is unique, so that what a good aggregate is without
// the known ones is the aggregate of the others.
func (v *Verifier) VerifyAggregate(agg []byte, signers []address.Address, msgs [][]byte) error {
	if len(signers) != len(msgs) {
		return fmt.Errorf("%d signers for %d messages", len(signers), len(msgs))
	}
	name := nameAggregate(agg, signers, msgs)
	if v.whole.Contains(name) {
		return nil
	}
	err := v.verifyAggregate(agg, signers, msgs)
	if err == nil {
		v.whole.Add(name, struct{}{})
	}
	return err
}

func (v *Verifier) verifyAggregate(agg []byte, signers []address.Address, msgs [][]byte) error {
	var known []*blsSignature
	var pubs, rest [][]byte
	for i, signer := range signers {
		if signer.Protocol() != address.BLS {
			return fmt.Errorf("address of protocol %d in an aggregate of bls: %w", signer.Protocol(), ErrBadSignature)
		}
		if h, ok := v.held.Get(heldName(signer, msgs[i])); ok && h.point != nil {
			known = append(known, h.point)
		} else {
			pubs, rest = append(pubs, signer.Payload()), append(rest, msgs[i])
		}
	}
	if len(known) == 0 {
		return VerifyBLSAggregate(agg, pubs, rest)
	}
	s, err := blsSignaturePoint(agg)
	if err != nil {
		return err
	}
	return blsVerifyAggregate(blsLess(s, known), pubs, rest)
}

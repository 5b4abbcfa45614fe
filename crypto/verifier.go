package crypto

import (
	"bytes"
	"fmt"

	"github.com/filecoin-project/go-address"
	gscrypto "github.com/filecoin-project/go-state-types/crypto"
	lru "github.com/hashicorp/golang-lru/v2"
)

// Verifier verifies signatures and remembers those that held: a message that came by gossip is not judged again in each of
// its blocks. Bad ones are not remembered. Safe for concurrent use.
type Verifier struct {
	held *lru.Cache[string, heldSignature]
}

// heldSignature is one that was found good; point is nil for secp256k1.
type heldSignature struct {
	kind  gscrypto.SigType
	data  []byte
	point *blsSignature
}

// verifierCache is how many signatures a Verifier remembers, half a KiB each.
const verifierCache = 32768

// NewVerifier returns one that remembers nothing yet.
func NewVerifier() (*Verifier, error) {
	held, err := lru.New[string, heldSignature](verifierCache)
	if err != nil {
		return nil, fmt.Errorf("make signature cache: %w", err)
	}
	return &Verifier{held: held}, nil
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

// VerifyAggregate is VerifyBLSAggregate for signers by address, at the price of an addition for each message whose signature
// held before: a BLS signature is unique, so that what a good aggregate is without the known ones is the aggregate of the
// others.
func (v *Verifier) VerifyAggregate(agg []byte, signers []address.Address, msgs [][]byte) error {
	if len(signers) != len(msgs) {
		return fmt.Errorf("%d signers for %d messages", len(signers), len(msgs))
	}
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

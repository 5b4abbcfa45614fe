package crypto

import (
	"fmt"

	"github.com/filecoin-project/go-address"
)

// BLSDomain is the domain separation tag of every BLS signature on chain:
// public keys in G1, signatures in G2.
const BLSDomain = "BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_NUL_"

// Sizes of compressed points, in bytes.
const (
	BLSPublicKeySize = 48
	BLSSignatureSize = 96
)

var blsDomain = []byte(BLSDomain)

// reverse turns big-endian scalars into the little-endian form that
// Filecoin's key files hold, and back.
func reverse(b []byte) []byte {
	out := make([]byte, len(b))
	for i := range b {
		out[len(b)-1-i] = b[i]
	}
	return out
}

// VerifyVRF checks that proof is the worker's VRF output over base: in Filecoin
// a BLS signature of the drawn randomness.
func VerifyVRF(worker address.Address, base, proof []byte) error {
	if worker.Protocol() != address.BLS {
		return fmt.Errorf("vrf by an address of protocol %d, want a bls key: %w", worker.Protocol(), ErrBadSignature)
	}
	_, err := blsVerify(proof, worker.Payload(), base)
	return err
}

// VerifyBLSAggregate checks one aggregate over pairs of public key and message.
// With no pairs anything of the right length passes: consensus does not look at
// it (node.md 4.6), callers decide.
func VerifyBLSAggregate(agg []byte, pubs, msgs [][]byte) error {
	if len(pubs) != len(msgs) {
		return fmt.Errorf("%d keys for %d messages", len(pubs), len(msgs))
	}
	if len(pubs) == 0 {
		if len(agg) != BLSSignatureSize {
			return fmt.Errorf("bls aggregate of %d bytes: %w", len(agg), ErrBadSignature)
		}
		return nil
	}
	s, err := blsSignaturePoint(agg)
	if err != nil {
		return err
	}
	return blsVerifyAggregate(s, pubs, msgs)
}

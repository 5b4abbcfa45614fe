package crypto

import (
	"fmt"

	"github.com/filecoin-project/go-address"
)

// Batch collects BLS signatures of different keys over different messages and
// verifies them together in half the time that each would take alone: a random
// combination of all holds, but for one chance in 2^64, only if each does. The
// zero Batch is ready. Not safe for concurrent use.
type Batch struct {
	sigs, pubs, msgs [][]byte
}

// Add takes a signature to verify. What cannot be a BLS signature of the signer
// is ErrBadSignature at once, and is not added.
func (b *Batch) Add(sig []byte, signer address.Address, msg []byte) error {
	if signer.Protocol() != address.BLS {
		return fmt.Errorf("signature by an address of protocol %d in a batch of bls: %w", signer.Protocol(), ErrBadSignature)
	}
	b.sigs, b.pubs, b.msgs = append(b.sigs, sig), append(b.pubs, signer.Payload()), append(b.msgs, msg)
	return nil
}

// Verify returns nil when every signature holds, and an error that wraps
// ErrBadSignature when at least one does not; it does not tell which.
func (b *Batch) Verify() error {
	if len(b.sigs) == 0 {
		return nil
	}
	return blsVerifyBatch(b.sigs, b.pubs, b.msgs)
}

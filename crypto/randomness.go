package crypto

import (
	"encoding/binary"

	"github.com/filecoin-project/go-state-types/abi"
	gscrypto "github.com/filecoin-project/go-state-types/crypto"
	"golang.org/x/crypto/blake2b"
)

// DrawRandomness derives 32 bytes for one purpose from a base (a ticket's proof
// or a beacon entry): blake2b-256 over tag, hashed base, round and entropy
// (node.md 4.2).
func DrawRandomness(base []byte, tag gscrypto.DomainSeparationTag, round abi.ChainEpoch, entropy []byte) []byte {
	digest := blake2b.Sum256(base)
	return DrawRandomnessFromDigest(digest, tag, round, entropy)
}

// DrawRandomnessFromDigest is DrawRandomness for a base that is hashed already.
func DrawRandomnessFromDigest(digest [32]byte, tag gscrypto.DomainSeparationTag, round abi.ChainEpoch, entropy []byte) []byte {
	buf := make([]byte, 0, 48+len(entropy))
	buf = binary.BigEndian.AppendUint64(buf, uint64(tag))
	buf = append(buf, digest[:]...)
	buf = binary.BigEndian.AppendUint64(buf, uint64(round))
	buf = append(buf, entropy...)
	sum := blake2b.Sum256(buf)
	return sum[:]
}

package sdr

import (
	"crypto/sha256"
	"encoding/hex"
	"testing"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-venus/venus/proofs/shape"
	"github.com/stretchr/testify/require"
)

func digest(t *testing.T, typ abi.RegisteredSealProof) string {
	s, err := shape.OfSeal(typ)
	require.NoError(t, err)
	g := NewGraph(s)
	h := sha256.New()
	buf := make([]byte, 0, 56)
	for n := range uint32(s.Nodes()) {
		h.Write(appendParents(buf, g.Parents(n)))
	}
	return hex.EncodeToString(h.Sum(nil))
}

func TestParentDigest2KiB(t *testing.T) {
	require.Equal(t, "3da49221e2ed55371b86d0bf3d6526fcf128af61bed904f966428db1b531750d", digest(t, 0))
	require.Equal(t, "840057702eea7652cf97e04306c30fe57174714d90de156a25eddd6075c25b97", digest(t, 5))
}

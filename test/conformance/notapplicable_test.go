package conformance

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/internal/vectors"
	"github.com/filecoin-venus/venus/sealer/store"
)

// TestNotApplicable records the vectors that judge nothing this house does.
func TestNotApplicable(t *testing.T) {
	const smoke = "chain/base-fee-before-smoke.json"
	old := casesOf[[]json.RawMessage](t, smoke)
	vectors.NotApplicable(t, smoke, len(old), "base fee rule of mainnet's first weeks: every network here starts after it")
}

// TestSectorStoreFile reads the settings of the storage path that came with the
// public genesis sectors.
func TestSectorStoreFile(t *testing.T) {
	const file = "proofs/genesis-sectors/sectorstore.json"
	var meta store.Meta
	vectors.JSON(t, file, &meta)
	require.Equal(t, store.Meta{ID: "25baacb2-e4eb-42a1-8e66-587910bcced5"}, meta)
	vectors.Count(t, file, 1)
}

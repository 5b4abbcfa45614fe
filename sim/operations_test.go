package sim

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestOperationsOf300Epochs(t *testing.T) {
	t.Parallel()
	r, err := Run(context.Background(), Config{Epochs: 300, Miners: 5, Seed: 1, Operations: true})
	require.NoError(t, err)
	require.Empty(t, r.Problems())
	for _, op := range r.Operations {
		t.Logf("%+v", op)
	}
}

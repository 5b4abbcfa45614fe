package sim

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/params"
)

func TestMain(m *testing.M) {
	net, err := Network(Config{})
	if err == nil {
		err = params.ApplyActorPolicy(net)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func TestChainOf200Epochs(t *testing.T) {
	r, err := Run(context.Background(), Config{Epochs: 200, Miners: 4, Seed: 1})
	require.NoError(t, err)
	t.Logf("%+v", *r)
	require.Empty(t, r.Problems())
}

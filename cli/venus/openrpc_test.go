package venus

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/urfave/cli/v3"
)

func TestOpenRPCIsTheCommittedDocument(t *testing.T) {
	for file, args := range map[string][]string{"openrpc-v1.json": nil, "openrpc-v0.json": {"--v0"}} {
		var out bytes.Buffer
		app := &cli.Command{Name: "venus", Writer: &out, Commands: Commands()}
		require.NoError(t, app.Run(t.Context(), append([]string{"venus", "openrpc"}, args...)))
		want, err := os.ReadFile(filepath.Join("..", "..", "docs", "api", file))
		require.NoError(t, err)
		require.Equal(t, string(want), out.String())
	}
}

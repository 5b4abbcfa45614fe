package conformance

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"testing"

	"github.com/filecoin-project/go-state-types/cbor"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/internal/vectors"
)

// hexBytes are bytes that a vector file writes as hex.
type hexBytes []byte

func (h *hexBytes) UnmarshalText(text []byte) error {
	b, err := hex.DecodeString(string(text))
	if err != nil {
		return fmt.Errorf("hex: %w", err)
	}
	*h = b
	return nil
}

func (h hexBytes) String() string { return hex.EncodeToString(h) }

// casesOf reads the cases of a file of vectors/primitives or known-answers.
func casesOf[T any](t *testing.T, name string) T {
	t.Helper()
	var file struct {
		Cases T `json:"cases"`
	}
	vectors.JSON(t, name, &file)
	return file.Cases
}

func encoded(t *testing.T, v cbor.Marshaler) string {
	t.Helper()
	var buf bytes.Buffer
	require.NoError(t, v.MarshalCBOR(&buf))
	return hex.EncodeToString(buf.Bytes())
}

func decode(t *testing.T, raw hexBytes, into cbor.Unmarshaler) {
	t.Helper()
	require.NoError(t, into.UnmarshalCBOR(bytes.NewReader(raw)))
}

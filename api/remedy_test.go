package api

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRemedied(t *testing.T) {
	locked, gone, other := errors.New("locked"), errors.New("gone"), errors.New("other")
	list := []Remedy{{locked, CodePrecondition, "unlock it: 100% safe"}, {gone, CodeNotFound, ""}}
	require.NoError(t, Remedied(nil, list))

	err := Remedied(fmt.Errorf("sign: %w", locked), list)
	require.ErrorIs(t, err, locked)
	require.Equal(t, &Error{Code: CodePrecondition, Message: "sign: locked", Hint: "unlock it: 100% safe", cause: err}, Explain(err))
	require.Equal(t, CodeNotFound, Explain(Remedied(gone, list)).Code)
	require.Empty(t, Explain(Remedied(gone, list)).Hint)
	require.Equal(t, other, Remedied(other, list))
}

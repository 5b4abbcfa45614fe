package api_test

import (
	"encoding/json"
	"testing"

	"github.com/filecoin-project/go-address"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/api"
)

func TestScope(t *testing.T) {
	id := func(n uint64) address.Address {
		a, err := address.NewIDAddress(n)
		require.NoError(t, err)
		return a
	}
	var all *api.Scope
	some := &api.Scope{Miners: []address.Address{id(1), id(2)}}
	none := &api.Scope{Miners: []address.Address{}, Signers: []address.Address{}}
	require.True(t, all.AllowsMiner(id(9)) && all.AllowsSigner(id(9)))
	require.True(t, some.AllowsMiner(id(2)) && some.AllowsSigner(id(9)))
	require.False(t, some.AllowsMiner(id(3)))
	require.False(t, none.AllowsMiner(id(1)) || none.AllowsSigner(id(1)))

	other := &api.Scope{Miners: []address.Address{id(2), id(3)}, Signers: []address.Address{id(4)}}
	require.Equal(t, &api.Scope{Miners: []address.Address{id(2)}, Signers: []address.Address{id(4)}}, some.Within(other))
	require.Equal(t, some, all.Within(some))
	require.Equal(t, some, some.Within(nil))
	require.Equal(t, none, other.Within(none), "nothing stays nothing")

	for _, s := range []*api.Scope{some, none, other} {
		b, err := json.Marshal(s)
		require.NoError(t, err)
		var back api.Scope
		require.NoError(t, json.Unmarshal(b, &back))
		require.Equal(t, *s, back, "a list that is empty does not become one that is absent: %s", b)
	}
}

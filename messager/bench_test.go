package messager

import (
	"fmt"
	"testing"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/messager/machine"
	"github.com/filecoin-venus/venus/types"
)

// BenchmarkAccept takes messages into a SQLite database, each on disk before the next.
func BenchmarkAccept(b *testing.B) {
	r := newRig(b)
	to, err := address.NewIDAddress(7)
	require.NoError(b, err)
	b.ResetTimer()
	for i := range b.N {
		_, err := r.Accept(b.Context(), fmt.Sprint("b", i), "u", "w", &types.Message{From: r.addr, To: to, Value: big.Zero()}, machine.Limits{})
		require.NoError(b, err)
	}
}

// BenchmarkSend estimates, signs, stores and pushes.
func BenchmarkSend(b *testing.B) {
	r := newRig(b)
	require.NoError(b, NewAPI(r.Service, nil, "").SetSelectMsgNum(b.Context(), r.addr, 1<<20))
	for i := range b.N {
		r.push(fmt.Sprint("b", i), r.addr, 16)
	}
	b.ResetTimer()
	require.NoError(b, r.drain(r.addr))
}

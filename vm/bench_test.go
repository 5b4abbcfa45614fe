package vm

import (
	"testing"

	"github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin"
	"github.com/stretchr/testify/require"
)

// BenchmarkSend applies plain transfers, as a busy tipset has them.
func BenchmarkSend(b *testing.B) {
	w := newWorld(b, nil)
	m := w.message(w.bls.addr, big.NewInt(1), builtin.MethodSend, nil)
	m.GasFeeCap, m.GasPremium, m.GasLimit = big.NewInt(100), big.NewInt(1), 1_000_000
	b.ReportAllocs()
	for b.Loop() {
		res, err := w.vm.ApplyMessage(w.ctx, m)
		require.NoError(b, err)
		require.Zero(b, res.Receipt.ExitCode)
		m.Nonce++
	}
}

// BenchmarkCall applies a method call that reads its actor's state.
func BenchmarkCall(b *testing.B) {
	w := newWorld(b, nil)
	m := w.message(w.bls.addr, big.Zero(), builtin.MethodsAccount.PubkeyAddress, nil)
	m.GasFeeCap, m.GasPremium, m.GasLimit = big.NewInt(100), big.NewInt(1), 1_000_000
	b.ReportAllocs()
	for b.Loop() {
		res, err := w.vm.ApplyMessage(w.ctx, m)
		require.NoError(b, err)
		require.Zero(b, res.Receipt.ExitCode)
		m.Nonce++
	}
}

package wallet

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/filecoin-project/go-address"
	gscrypto "github.com/filecoin-project/go-state-types/crypto"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/api"
	walletapi "github.com/filecoin-venus/venus/api/wallet"
	"github.com/filecoin-venus/venus/crypto"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/rpc"
	"github.com/filecoin-venus/venus/types"
	"github.com/filecoin-venus/venus/wallet/keystore"
	"github.com/filecoin-venus/venus/wallet/policy"
	"github.com/filecoin-venus/venus/wallet/signlog"
)

// BenchmarkSign compares raw BLS signing on all cores with signing messages over RPC, where every signature's record is
// on disk before it leaves; the client runs on the same cores. 32 callers share one WebSocket connection, or come by HTTP.
func BenchmarkSign(b *testing.B) {
	priv, err := crypto.GenerateKey(gscrypto.SigTypeBLS)
	require.NoError(b, err)
	b.Run("raw", func(b *testing.B) {
		b.RunParallel(func(pb *testing.PB) {
			msg := make([]byte, 38)
			for pb.Next() {
				if _, err := crypto.Sign(gscrypto.SigTypeBLS, priv, msg); err != nil {
					b.Error(err)
				}
			}
		})
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "sig/s")
	})
	for _, scheme := range []string{"ws", "http"} {
		b.Run(scheme, func(b *testing.B) { overRPC(b, scheme, priv) })
	}
}

func overRPC(b *testing.B, scheme string, priv []byte) {
	dir := b.TempDir()
	keys, err := keystore.Open(filepath.Join(dir, "wallet"), cheap)
	require.NoError(b, err)
	require.NoError(b, keys.SetPassword([]byte("pw")))
	signer, err := keys.Put(types.KeyInfo{Type: types.KeyBLS, PrivateKey: priv})
	require.NoError(b, err)
	records, err := signlog.Open(filepath.Join(dir, "signlog"), clock.Real())
	require.NoError(b, err)
	defer records.Close()
	book, err := policy.Open(filepath.Join(dir, "policies.json"))
	require.NoError(b, err)
	s, err := NewService(Parts{Keys: keys, Records: records, Policies: book, Clock: clock.Real()})
	require.NoError(b, err)
	srv := rpc.NewServer(rpc.Options{Anonymous: api.AllPermissions()})
	require.NoError(b, srv.Register("/rpc/v0", s, new(walletapi.WalletProxy), walletapi.Namespace))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(b, err)
	go func() { _ = srv.Serve(l) }()
	defer func() { _ = srv.Shutdown(context.Background()) }()
	var w walletapi.WalletProxy
	stop, err := rpc.Dial(fmt.Sprintf("%s://%s/rpc/v0", scheme, l.Addr()), "", walletapi.Namespace, &w, rpc.DialOptions{})
	require.NoError(b, err)
	defer stop()

	var nonce atomic.Uint64
	b.SetParallelism(16)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			signOne(b, &w, signer, nonce.Add(1))
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "sig/s")
}

func signOne(b *testing.B, w *walletapi.WalletProxy, signer address.Address, nonce uint64) {
	_, meta := message(signer, nonce)
	if _, err := w.WalletSign(context.Background(), signer, nil, meta); err != nil {
		b.Error(err)
	}
}

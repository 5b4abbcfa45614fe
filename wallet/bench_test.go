package wallet

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/filecoin-project/go-address"
	gscrypto "github.com/filecoin-project/go-state-types/crypto"
	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/filecoin-venus/venus/api"
	walletapi "github.com/filecoin-venus/venus/api/wallet"
	"github.com/filecoin-venus/venus/crypto"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/internal/memory"
	"github.com/filecoin-venus/venus/rpc"
	"github.com/filecoin-venus/venus/types"
	"github.com/filecoin-venus/venus/wallet/keystore"
	"github.com/filecoin-venus/venus/wallet/policy"
	"github.com/filecoin-venus/venus/wallet/signlog"
)

// BenchmarkSign compares raw BLS signing on all cores with signing messages over RPC, where every signature's record is
// on disk before it leaves; the client runs on the same cores. 32 callers share one WebSocket connection, or come by HTTP, a
// request each, as the programs of the house do; raw, a caller a core is fastest. The three take turns, so that a machine that
// slows down slows all, and the figures are signatures/s raw and the parts of it that are reached.
func BenchmarkSign(b *testing.B) {
	priv, err := crypto.GenerateKey(gscrypto.SigTypeBLS)
	require.NoError(b, err)
	from, addr := serveKey(b, priv)
	ws, http := overWebSocket(b, addr), overHTTP(b, addr)
	raw := func(address.Address, walletapi.MsgMeta) error {
		_, err := crypto.Sign(gscrypto.SigTypeBLS, priv, make([]byte, 38))
		return err
	}
	const callers, signatures = 32, 960
	var nonce atomic.Uint64
	var spent [3]time.Duration
	for b.Loop() {
		for way, sign := range []signer{raw, ws, http} {
			callers := callers
			if way == 0 {
				callers = runtime.GOMAXPROCS(0)
			}
			begun := clock.Real().Now()
			var group errgroup.Group
			for range callers {
				group.Go(func() error {
					for range signatures / callers {
						_, meta := message(from, nonce.Add(1))
						if err := sign(from, meta); err != nil {
							return err
						}
					}
					return nil
				})
			}
			require.NoError(b, group.Wait())
			spent[way] += clock.Real().Now().Sub(begun)
		}
	}
	b.ReportMetric(float64(b.N*signatures)/spent[0].Seconds(), "raw-sig/s")
	b.ReportMetric(100*spent[0].Seconds()/spent[1].Seconds(), "%ws")
	b.ReportMetric(100*spent[0].Seconds()/spent[2].Seconds(), "%http")
}

// signer asks for the signature of a message.
type signer func(from address.Address, meta walletapi.MsgMeta) error

// serveKey serves a wallet with one key.
func serveKey(b *testing.B, priv []byte) (from address.Address, addr string) {
	memory.RelaxFew() // as the program does
	dir := b.TempDir()
	keys, err := keystore.Open(filepath.Join(dir, "wallet"), cheap)
	require.NoError(b, err)
	require.NoError(b, keys.SetPassword([]byte("pw")))
	from, err = keys.Put(types.KeyInfo{Type: types.KeyBLS, PrivateKey: append([]byte{}, priv...)})
	require.NoError(b, err)
	records, err := signlog.Open(filepath.Join(dir, "signlog"), clock.Real())
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, records.Close()) })
	book, err := policy.Open(filepath.Join(dir, "policies.json"))
	require.NoError(b, err)
	s, err := NewService(Parts{Keys: keys, Records: records, Policies: book, Clock: clock.Real()})
	require.NoError(b, err)
	srv := rpc.NewServer(rpc.Options{Anonymous: api.AllPermissions()})
	require.NoError(b, srv.Register("/rpc/v0", s, new(walletapi.WalletProxy), walletapi.Namespace))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(b, err)
	go func() { _ = srv.Serve(l) }()
	b.Cleanup(func() { _ = srv.Shutdown(context.Background()) })
	return from, l.Addr().String()
}

func overHTTP(b *testing.B, addr string) signer {
	var w walletapi.WalletProxy
	stop, err := rpc.Dial("http://"+addr+"/rpc/v0", "", walletapi.Namespace, &w, rpc.DialOptions{})
	require.NoError(b, err)
	b.Cleanup(stop)
	return func(from address.Address, meta walletapi.MsgMeta) error {
		_, err := w.WalletSign(context.Background(), from, nil, meta)
		return err
	}
}

// overWebSocket writes requests to one connection and hands answers to whoever waits for them.
func overWebSocket(b *testing.B, addr string) signer {
	conn, resp, err := websocket.DefaultDialer.Dial("ws://"+addr+"/rpc/v0", nil)
	require.NoError(b, err)
	require.NoError(b, resp.Body.Close())
	b.Cleanup(func() { conn.Close() })
	type answer struct {
		ID     uint64              `json:"id"`
		Result *gscrypto.Signature `json:"result"`
		Error  json.RawMessage     `json:"error"`
	}
	var mu sync.Mutex
	var last uint64
	waiting := map[uint64]chan answer{}
	go func() {
		for {
			var a answer
			if conn.ReadJSON(&a) != nil {
				return
			}
			mu.Lock()
			to := waiting[a.ID]
			delete(waiting, a.ID)
			mu.Unlock()
			if to != nil {
				to <- a
			}
		}
	}()
	return func(from address.Address, meta walletapi.MsgMeta) error {
		got := make(chan answer, 1)
		mu.Lock()
		last++
		waiting[last] = got
		err := conn.WriteJSON(map[string]any{"jsonrpc": "2.0", "id": last, "method": "Filecoin.WalletSign", "params": []any{from, nil, meta}})
		mu.Unlock()
		if err != nil {
			return err
		}
		if a := <-got; a.Result == nil || len(a.Result.Data) != 96 {
			return fmt.Errorf("no signature: %s", a.Error)
		}
		return nil
	}
}

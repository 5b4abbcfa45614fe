package wallet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/filecoin-project/go-address"
	gscrypto "github.com/filecoin-project/go-state-types/crypto"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/filecoin-venus/venus/api"
	walletapi "github.com/filecoin-venus/venus/api/wallet"
	"github.com/filecoin-venus/venus/crypto"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/internal/memory"
	"github.com/filecoin-venus/venus/internal/procs"
	"github.com/filecoin-venus/venus/rpc"
	"github.com/filecoin-venus/venus/types"
	"github.com/filecoin-venus/venus/wallet/keystore"
	"github.com/filecoin-venus/venus/wallet/policy"
	"github.com/filecoin-venus/venus/wallet/signlog"
)

// BenchmarkSign compares raw BLS signing on all cores with signing messages over RPC, where every signature's record is
// on disk before it leaves; the wallet is a process of its own on the same cores. 32 callers share one WebSocket connection,
// as in the programs of the house, or make an HTTP request each; raw, a caller a core is fastest. The three take turns, so
// that a machine that slows down slows all, and the figures are signatures/s raw and the parts of it that are reached.
func BenchmarkSign(b *testing.B) {
	priv, err := crypto.GenerateKey(gscrypto.SigTypeBLS)
	require.NoError(b, err)
	from, addr := startWallet(b)
	shared, requests := overRPC(b, addr, true), overRPC(b, addr, false)
	raw := func(address.Address, walletapi.MsgMeta) error {
		_, err := crypto.Sign(gscrypto.SigTypeBLS, priv, make([]byte, 38))
		return err
	}
	const callers, signatures = 32, 960
	var nonce atomic.Uint64
	var spent [3]time.Duration
	for b.Loop() {
		for way, sign := range []signer{raw, shared, requests} {
			callers := callers
			if way == 0 {
				callers = runtime.NumCPU()
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
	b.ReportMetric(100*spent[0].Seconds()/spent[1].Seconds(), "%shared")
	b.ReportMetric(100*spent[0].Seconds()/spent[2].Seconds(), "%requests")
}

// signer asks for the signature of a message.
type signer func(from address.Address, meta walletapi.MsgMeta) error

// servesKey names the environment variable with the directory in which a process of this test binary keeps the wallet that it
// serves: the callers of the benchmark are another program than the wallet, as in a cluster.
const servesKey = "VENUS_BENCH_WALLET"

func TestMain(m *testing.M) {
	if dir := os.Getenv(servesKey); dir != "" {
		if err := serveKey(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// serveKey serves a wallet with one key until its input ends, and says where, and which.
func serveKey(dir string) error {
	memory.RelaxFew() // both as the program does
	procs.More()
	priv, err := crypto.GenerateKey(gscrypto.SigTypeBLS)
	if err != nil {
		return err
	}
	keys, err := keystore.Open(filepath.Join(dir, "wallet"), cheap)
	if err != nil {
		return err
	}
	if err := keys.SetPassword([]byte("pw")); err != nil {
		return err
	}
	from, err := keys.Put(types.KeyInfo{Type: types.KeyBLS, PrivateKey: priv})
	if err != nil {
		return err
	}
	records, err := signlog.Open(filepath.Join(dir, "signlog"), clock.Real())
	if err != nil {
		return err
	}
	book, err := policy.Open(filepath.Join(dir, "policies.json"))
	if err != nil {
		return err
	}
	s, err := NewService(Parts{Keys: keys, Records: records, Policies: book, Clock: clock.Real()})
	if err != nil {
		return err
	}
	srv := rpc.NewServer(rpc.Options{Anonymous: api.AllPermissions()})
	if err := srv.Register("/rpc/v0", s, new(walletapi.WalletProxy), walletapi.Namespace); err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go func() { _ = srv.Serve(l) }()
	fmt.Println(from, l.Addr())
	_, _ = io.Copy(io.Discard, os.Stdin) // it ends with the benchmark
	return errors.Join(srv.Shutdown(context.Background()), records.Close())
}

// startWallet starts serveKey in a process of its own.
func startWallet(b *testing.B) (from address.Address, addr string) {
	self, err := os.Executable()
	require.NoError(b, err)
	cmd := exec.Command(self)
	cmd.Env, cmd.Stderr = append(os.Environ(), servesKey+"="+b.TempDir()), os.Stderr
	in, err := cmd.StdinPipe()
	require.NoError(b, err)
	out, err := cmd.StdoutPipe()
	require.NoError(b, err)
	require.NoError(b, cmd.Start())
	b.Cleanup(func() {
		require.NoError(b, in.Close())
		require.NoError(b, cmd.Wait())
	})
	var signer string
	_, err = fmt.Fscan(out, &signer, &addr)
	require.NoError(b, err)
	from, err = address.NewFromString(signer)
	require.NoError(b, err)
	return from, addr
}

// overRPC signs as programs do that make requests, or, as those of the house, share a connection.
func overRPC(b *testing.B, addr string, shared bool) signer {
	var w walletapi.WalletProxy
	stop, err := rpc.Dial(addr, "", walletapi.Namespace, &w, rpc.DialOptions{Shared: shared})
	require.NoError(b, err)
	b.Cleanup(stop)
	return func(from address.Address, meta walletapi.MsgMeta) error {
		_, err := w.WalletSign(context.Background(), from, nil, meta)
		return err
	}
}

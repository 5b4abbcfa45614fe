package wallet

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/api"
	walletapi "github.com/filecoin-venus/venus/api/wallet"
	"github.com/filecoin-venus/venus/rpc"
	"github.com/filecoin-venus/venus/types"
	"github.com/filecoin-venus/venus/wallet/keystore"
	"github.com/filecoin-venus/venus/wallet/policy"
	"github.com/filecoin-venus/venus/wallet/signlog"
)

// The holes of the original wallet (auth-wallet-messager.md E), attacked one by one. E7, anonymous callers, and E8, pprof on
// the public port, are attacked over real sockets by TestPermissions of the program and by rpc's matrix of every method and
// permission; E11, keys in memory after lock, by TestLockLeavesNoKeyInMemory.

// TestHoleRootToken is E9: the original had one token for every wallet, derived from constant bytes, that went past all
// rules. A token is as good as its signature, and no token goes past a policy, be it an admin's.
func TestHoleRootToken(t *testing.T) {
	r, bls, _ := ready(t)
	require.NoError(t, r.PolicySet(t.Context(), walletapi.Policy{Name: "none", Types: []walletapi.MsgType{}}))
	require.NoError(t, r.PolicyBindKey(t.Context(), bls, "none"))
	_, meta := message(bls, 1)
	for _, name := range []string{"", "local token", "7b226369-7068-4572-a23a-226165732d31", "root", "admin"} {
		ctx := rpc.WithCaller(t.Context(), rpc.Caller{Name: name, Perms: api.AllPermissions()})
		_, err := r.WalletSign(ctx, bls, nil, meta)
		require.ErrorIs(t, err, policy.ErrRefused, name)
		require.Equal(t, api.CodePermission, code(err))
	}
}

// TestHoleRawSigning is E10: whoever could have any bytes signed could sign any message by its CID. Neither the type
// unknown nor any other kind lets the bytes of a message through, whatever a policy allows.
func TestHoleRawSigning(t *testing.T) {
	r, bls, secp := ready(t)
	raw := []walletapi.MsgType{walletapi.TypeUnknown, walletapi.TypeMessage, walletapi.TypeText}
	require.NoError(t, r.PolicySet(t.Context(), walletapi.Policy{Name: "all", Types: raw}))
	for _, signer := range []address.Address{bls, secp} {
		m, meta := message(signer, 1)
		real, err := r.WalletSign(t.Context(), signer, nil, meta)
		require.NoError(t, err)
		attack := func(what string) {
			for _, kind := range append(typesOf(), "", "made-up") {
				for _, b := range [][]byte{m.Cid().Bytes(), meta.Extra} {
					sig, err := r.WalletSign(t.Context(), signer, b, walletapi.MsgMeta{Type: kind})
					if err == nil {
						require.NotEqual(t, real.Data, sig.Data, "%s: %q gave the signature of a message", what, kind)
					}
				}
			}
		}
		attack("by default")
		require.NoError(t, r.PolicyBindKey(t.Context(), signer, "all"))
		attack("with raw bytes allowed")
	}
}

func typesOf() []walletapi.MsgType {
	return []walletapi.MsgType{
		walletapi.TypeUnknown, walletapi.TypeMessage, walletapi.TypeBlock, walletapi.TypeDealProposal, walletapi.TypeClientDeal,
		walletapi.TypeDrawRandomParam, walletapi.TypeSignedVoucher, walletapi.TypeStorageAsk, walletapi.TypeAskResponse,
		walletapi.TypeNetworkResponse, walletapi.TypeProviderDealState, walletapi.TypeVerifyAddress, walletapi.TypeText,
	}
}

// TestHolePasswordTypo is E12: a typo after a restart made a second password for new keys, and the store fell apart.
func TestHolePasswordTypo(t *testing.T) {
	r, bls, _ := ready(t)
	require.NoError(t, r.records.Close())
	r = newRig(t, r.dir)
	require.ErrorIs(t, r.SetPassword(t.Context(), "typo"), keystore.ErrPasswordExists)
	require.ErrorIs(t, r.Unlock(t.Context(), "typo"), keystore.ErrWrongPassword)
	_, err := r.WalletNew(t.Context(), types.KeyBLS)
	require.ErrorIs(t, err, keystore.ErrLocked, "no key is made under a password that was not proven")
	require.NoError(t, r.Unlock(t.Context(), "pw"))
	fresh, err := r.WalletNew(t.Context(), types.KeyBLS)
	require.NoError(t, err)
	require.NoError(t, r.Lock(t.Context()))
	require.NoError(t, r.Unlock(t.Context(), "pw"))
	for _, a := range []address.Address{bls, fresh} {
		_, meta := message(a, 1)
		_, err = r.WalletSign(t.Context(), a, nil, meta)
		require.NoError(t, err)
	}
}

// TestHolePrefix is E16: state keyed by printed addresses came apart when the network's prefix changed.
func TestHolePrefix(t *testing.T) {
	was := address.CurrentNetwork
	defer func() { address.CurrentNetwork = was }()
	address.CurrentNetwork = address.Testnet
	r, bls, _ := ready(t)
	require.NoError(t, r.PolicySet(t.Context(), walletapi.Policy{Name: "none", Types: []walletapi.MsgType{}}))
	require.NoError(t, r.PolicyBindKey(t.Context(), bls, "none"))
	require.NoError(t, r.records.Close())

	address.CurrentNetwork = address.Mainnet
	r = newRig(t, r.dir)
	require.NoError(t, r.Unlock(t.Context(), "pw"))
	require.True(t, strings.HasPrefix(bls.String(), "f3"))
	has, err := r.WalletHas(t.Context(), bls)
	require.NoError(t, err)
	require.True(t, has)
	_, meta := message(bls, 1)
	_, err = r.WalletSign(t.Context(), bls, nil, meta)
	require.ErrorIs(t, err, policy.ErrRefused, "the binding is the key's, not the text's")
	for _, name := range []string{"policies.json", "signlog/00000001.log"} {
		raw, err := os.ReadFile(filepath.Join(r.dir, name))
		require.NoError(t, err)
		require.NotContains(t, string(raw), `"t3`, name)
	}
}

// TestSpendingIsRememberedOverRestarts: a bound cannot be passed by restarting the wallet, nor by a crash between record
// and signature.
func TestSpendingIsRememberedOverRestarts(t *testing.T) {
	r, bls, _ := ready(t)
	day := big.NewInt(2*2010 + 1) // two messages: value 10, and gas for 2000
	require.NoError(t, r.PolicySet(t.Context(), walletapi.Policy{Name: "p", PerDay: &day}))
	require.NoError(t, r.PolicyBindKey(t.Context(), bls, "p"))
	sign := func(nonce uint64) error {
		_, meta := message(bls, nonce)
		_, err := r.WalletSign(t.Context(), bls, nil, meta)
		return err
	}
	for nonce := range uint64(2) {
		require.NoError(t, sign(nonce))
		require.NoError(t, r.records.Close())
		again := newRig(t, r.dir)
		again.clock.Advance(r.clock.Now().Sub(again.clock.Now()))
		r = again
		require.NoError(t, r.Unlock(t.Context(), "pw"))
	}
	require.NoError(t, sign(1), "again the same is free")
	require.ErrorIs(t, sign(2), policy.ErrRefused)
	r.clock.Advance(policy.Day)
	require.NoError(t, sign(2))
}

// TestIdleLock: the keys lock themselves, and not while they are used.
func TestIdleLock(t *testing.T) {
	r, bls, _ := ready(t)
	l := newIdleLock(r.clock, time.Hour, r.keys)
	r.idle = l
	done := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { defer close(done); l.run(ctx) }()
	tick := func() {
		require.NoError(t, r.clock.WaitFor(t.Context(), 1))
		r.clock.Advance(15 * time.Minute)
		require.NoError(t, r.clock.WaitFor(t.Context(), 1))
	}
	for range 8 {
		_, meta := message(bls, 1)
		_, err := r.WalletSign(t.Context(), bls, nil, meta)
		require.NoError(t, err)
		tick()
	}
	tick()
	tick()
	require.False(t, r.keys.Locked())
	tick()
	require.True(t, r.keys.Locked(), "an hour without a signature")
	require.NoError(t, r.Unlock(t.Context(), "pw"))
	tick()
	require.False(t, r.keys.Locked(), "unlocking begins the hour anew")
	cancel()
	<-done
}

// TestRecordsArePrunedWithoutLosingTheMemory: old segments go, what they said of blocks stays, and that they went is told.
func TestRecordsArePrunedWithoutLosingTheMemory(t *testing.T) {
	r, bls, _ := ready(t)
	meta := walletapi.MsgMeta{Type: walletapi.TypeBlock}
	_, err := r.WalletSign(t.Context(), bls, header(5, 100), meta)
	require.NoError(t, err)
	dir := r.records.Dir()
	require.NoError(t, r.records.Close())
	small, err := signlog.OpenSmall(dir, r.clock, 600)
	require.NoError(t, err)
	r.records = small
	defer small.Close()
	for h := range 20 {
		r.clock.Advance(time.Hour)
		_, err := r.WalletSign(t.Context(), bls, header(abi.ChainEpoch(10+h), 100), meta)
		require.NoError(t, err)
	}
	before, err := os.ReadDir(dir)
	require.NoError(t, err)
	n, err := small.Prune(r.clock.Now().Add(-5 * time.Hour))
	require.NoError(t, err)
	require.Greater(t, n, 5)
	after, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.LessOrEqual(t, len(after), len(before)-n+1)
	_, err = r.WalletSign(t.Context(), bls, header(5, 101), meta)
	require.ErrorContains(t, err, "another block", "what is gone is still remembered")
	_, err = signlog.Verify(dir)
	require.NoError(t, err)
	require.NoError(t, os.Remove(filepath.Join(dir, after[0].Name())))
	_, err = signlog.Verify(dir)
	require.ErrorContains(t, err, "are missing", "what somebody else removed shows")
}

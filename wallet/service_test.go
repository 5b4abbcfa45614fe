package wallet

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/api"
	walletapi "github.com/filecoin-venus/venus/api/wallet"
	"github.com/filecoin-venus/venus/crypto"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/internal/fault"
	"github.com/filecoin-venus/venus/types"
	"github.com/filecoin-venus/venus/wallet/keystore"
	"github.com/filecoin-venus/venus/wallet/policy"
	"github.com/filecoin-venus/venus/wallet/signlog"
)

var cheap = keystore.Params{N: 1 << 4, R: 8, P: 1}

type rig struct {
	*Service
	clock *clock.Sim
	dir   string
}

func newRig(t *testing.T, dir string) *rig {
	t.Helper()
	c := clock.NewSim(time.Unix(1_600_000_000, 0))
	keys, err := keystore.Open(filepath.Join(dir, "wallet"), cheap)
	require.NoError(t, err)
	records, err := signlog.Open(filepath.Join(dir, "signlog"), c)
	require.NoError(t, err)
	t.Cleanup(func() { _ = records.Close() })
	book, err := policy.Open(filepath.Join(dir, "policies.json"))
	require.NoError(t, err)
	s, err := NewService(Parts{Keys: keys, Records: records, Policies: book, Clock: c, Version: "test"})
	require.NoError(t, err)
	return &rig{s, c, dir}
}

// ready has a password and one key of each type.
func ready(t *testing.T) (r *rig, bls, secp address.Address) {
	r = newRig(t, t.TempDir())
	require.NoError(t, r.SetPassword(t.Context(), "pw"))
	bls, err := r.WalletNew(t.Context(), types.KeyBLS)
	require.NoError(t, err)
	secp, err = r.WalletNew(t.Context(), types.KeySecp256k1)
	require.NoError(t, err)
	return r, bls, secp
}

func message(from address.Address, nonce uint64) (*types.Message, walletapi.MsgMeta) {
	to, _ := address.NewIDAddress(99)
	m := &types.Message{To: to, From: from, Nonce: nonce, Value: big.NewInt(10), GasLimit: 1000, GasFeeCap: big.NewInt(2), GasPremium: big.NewInt(1)}
	raw, err := m.Serialize()
	if err != nil {
		panic(err)
	}
	return m, walletapi.MsgMeta{Type: walletapi.TypeMessage, Extra: raw}
}

func header(height abi.ChainEpoch, timestamp uint64) []byte {
	miner, _ := address.NewIDAddress(1000)
	m, _ := message(miner, 0)
	h := types.BlockHeader{
		Miner: miner, Ticket: &types.Ticket{VRFProof: []byte{1}}, ParentWeight: big.Zero(), Height: height, ParentStateRoot: m.Cid(),
		ParentMessageReceipts: m.Cid(), Messages: m.Cid(), Timestamp: timestamp, ParentBaseFee: big.NewInt(100),
	}
	raw, err := h.Serialize()
	if err != nil {
		panic(err)
	}
	return raw
}

func code(err error) api.ErrorCode { return api.Explain(err).Code }

func TestSignMessages(t *testing.T) {
	r, bls, secp := ready(t)
	for _, signer := range []address.Address{bls, secp} {
		m, meta := message(signer, 7)
		sig, err := r.WalletSign(t.Context(), signer, m.Cid().Bytes(), meta)
		require.NoError(t, err)
		require.NoError(t, crypto.Verify(sig, signer, m.Cid().Bytes()))
		again, err := r.WalletSign(t.Context(), signer, nil, meta)
		require.NoError(t, err)
		require.Equal(t, sig, again, "signing is deterministic")
	}
	_, meta := message(bls, 7)
	_, err := r.WalletSign(t.Context(), secp, nil, meta)
	require.ErrorContains(t, err, "not from the signer")
	require.Equal(t, api.CodeInvalid, code(err))
	_, err = r.WalletSign(t.Context(), secp, []byte("raw"), walletapi.MsgMeta{Type: walletapi.TypeUnknown})
	require.ErrorContains(t, err, "raw bytes are never signed")

	records, err := r.records.Tail(100)
	require.NoError(t, err)
	require.Len(t, records, 2+4+2)
	require.Equal(t, "7", records[2].Facts["nonce"])
	require.Equal(t, signlog.Refused, records[7].Decision)
	require.Contains(t, records[7].Reason, "raw bytes")
}

func TestUnknownSigner(t *testing.T) {
	r, _, _ := ready(t)
	other, err := address.NewSecp256k1Address([]byte("x"))
	require.NoError(t, err)
	_, meta := message(other, 1)
	_, err = r.WalletSign(t.Context(), other, nil, meta)
	require.Equal(t, api.CodeNotFound, code(err))
}

func TestOneBlockAtAHeight(t *testing.T) {
	r, bls, _ := ready(t)
	meta := walletapi.MsgMeta{Type: walletapi.TypeBlock}
	sig, err := r.WalletSign(t.Context(), bls, header(5, 100), meta)
	require.NoError(t, err)
	require.NoError(t, crypto.Verify(sig, bls, header(5, 100)))
	_, err = r.WalletSign(t.Context(), bls, header(5, 100), meta)
	require.NoError(t, err)
	_, err = r.WalletSign(t.Context(), bls, header(5, 101), meta)
	require.ErrorContains(t, err, "another block of this miner at height 5")
	_, err = r.WalletSign(t.Context(), bls, header(6, 101), meta)
	require.NoError(t, err)

	require.NoError(t, r.records.Close())
	r = newRig(t, r.dir)
	require.NoError(t, r.Unlock(t.Context(), "pw"))
	_, err = r.WalletSign(t.Context(), bls, header(5, 101), meta)
	require.ErrorContains(t, err, "another block", "also after a restart")
}

// Racing requests for different blocks at one height: exactly one is signed.
func TestRacingBlocks(t *testing.T) {
	r, bls, _ := ready(t)
	var mu sync.Mutex
	signed := 0
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			if _, err := r.WalletSign(context.Background(), bls, header(9, uint64(i)), walletapi.MsgMeta{Type: walletapi.TypeBlock}); err == nil {
				mu.Lock()
				defer mu.Unlock()
				signed++
			}
		})
	}
	wg.Wait()
	require.Equal(t, 1, signed)
}

func TestNoRecordNoSignature(t *testing.T) {
	r, bls, _ := ready(t)
	defer fault.Arm("wallet/auditSync", func() error { return errors.New("disk full") })()
	_, meta := message(bls, 1)
	_, err := r.WalletSign(t.Context(), bls, nil, meta)
	require.ErrorIs(t, err, signlog.ErrBroken)
}

func TestLockedWallet(t *testing.T) {
	r, bls, _ := ready(t)
	ctx := t.Context()
	locked, err := r.LockState(ctx)
	require.NoError(t, err)
	require.False(t, locked)
	require.NoError(t, r.Lock(ctx))
	_, meta := message(bls, 1)
	for name, err := range map[string]error{
		"new":    second(r.WalletNew(ctx, types.KeyBLS)),
		"sign":   second(r.WalletSign(ctx, bls, nil, meta)),
		"export": second(r.WalletExport(ctx, bls)),
		"delete": r.WalletDelete(ctx, bls),
	} {
		require.ErrorIs(t, err, keystore.ErrLocked, name)
		require.Equal(t, api.CodePrecondition, code(err), name)
		require.Contains(t, api.Explain(err).Hint, "unlock", name)
	}
	has, err := r.WalletHas(ctx, bls)
	require.NoError(t, err)
	require.True(t, has)
	require.NoError(t, r.Unlock(ctx, "pw"))
	_, err = r.WalletSign(ctx, bls, nil, meta)
	require.NoError(t, err)
}

func second[T any](_ T, err error) error { return err }

func TestNewWalletSaysSo(t *testing.T) {
	r := newRig(t, t.TempDir())
	_, err := r.WalletNew(t.Context(), types.KeyBLS)
	require.ErrorContains(t, err, "password not set")
	require.Contains(t, api.Explain(err).Hint, "setpwd")
	require.ErrorContains(t, r.Unlock(t.Context(), "x"), "password not set")
	_, err = r.WalletNew(t.Context(), "rsa")
	require.Equal(t, api.CodeInvalid, code(err))
}

func TestGuessingIsSlow(t *testing.T) {
	r, _, _ := ready(t)
	ctx := t.Context()
	require.NoError(t, r.Lock(ctx))
	for range freeAttempts {
		require.ErrorIs(t, r.Unlock(ctx, "guess"), keystore.ErrWrongPassword)
	}
	require.Equal(t, api.CodeLimit, code(r.Unlock(ctx, "pw")), "even the right one waits")
	require.Equal(t, api.CodeLimit, code(r.VerifyPassword(ctx, "pw")), "and there is no other door")
	r.clock.Advance(time.Second)
	require.ErrorIs(t, r.Unlock(ctx, "guess"), keystore.ErrWrongPassword)
	r.clock.Advance(time.Second)
	require.Equal(t, api.CodeLimit, code(r.Unlock(ctx, "pw")), "the wait doubled")
	r.clock.Advance(time.Second)
	require.NoError(t, r.Unlock(ctx, "pw"))
}

func TestExportImportDelete(t *testing.T) {
	r, bls, _ := ready(t)
	ctx := t.Context()
	ki, err := r.WalletExport(ctx, bls)
	require.NoError(t, err)
	require.NotContains(t, fmt.Sprintf("%v %+v %#v", ki, *ki, ki), fmt.Sprint(ki.PrivateKey[0], ki.PrivateKey[1]))
	require.NoError(t, r.WalletDelete(ctx, bls))
	has, err := r.WalletHas(ctx, bls)
	require.NoError(t, err)
	require.False(t, has)
	back, err := r.WalletImport(ctx, ki)
	require.NoError(t, err)
	require.Equal(t, bls, back)
	records, err := r.records.Tail(3)
	require.NoError(t, err)
	require.Equal(t, []string{"export", "delete", "import"}, []string{records[0].Type, records[1].Type, records[2].Type})
}

// After Lock no byte string in the process is a private key. A signal that comes while a key is in a register, as the
// scheduler sends them, has the system save it on a stack that Go cannot wipe; that does not happen to the keys of three
// wallets one after the other.
func TestLockLeavesNoKeyInMemory(t *testing.T) {
	if _, err := os.Stat("/proc/self/mem"); err != nil {
		t.Skip("no /proc/self/mem on this system")
	}
	var left []string
	for range 3 {
		if left = keysLeft(t); len(left) == 0 {
			return
		}
		t.Logf("in memory: %s", left)
	}
	require.Empty(t, left)
}

// keysLeft uses the keys of a new wallet, locks it and tells which of them are in memory still.
func keysLeft(t *testing.T) (left []string) {
	t.Helper()
	r, bls, secp := ready(t)
	ctx := t.Context()
	var inverted [][]byte // the keys, bit by bit inverted, so that the search does not find itself
	for _, a := range []address.Address{bls, secp} {
		ki, err := r.WalletExport(ctx, a)
		require.NoError(t, err)
		inv := make([]byte, len(ki.PrivateKey))
		for i, b := range ki.PrivateKey {
			inv[i] = ^b
		}
		inverted = append(inverted, inv)
		keystore.Wipe(ki.PrivateKey)
		_, meta := message(a, 3)
		_, err = r.WalletSign(ctx, a, nil, meta)
		require.NoError(t, err)
	}
	require.NoError(t, r.Lock(ctx))
	for i, inv := range inverted {
		if n := countInMemory(t, inv); n > 0 {
			left = append(left, fmt.Sprintf("%s %d times", []string{"bls", "secp256k1"}[i], n))
		}
	}
	return left
}

func countInMemory(t *testing.T, inverted []byte) int {
	t.Helper()
	maps, err := os.Open("/proc/self/maps")
	require.NoError(t, err)
	defer maps.Close()
	mem, err := os.Open("/proc/self/mem")
	require.NoError(t, err)
	defer mem.Close()
	count := 0
	sc := bufio.NewScanner(maps)
	buf := make([]byte, 1<<20)
	for sc.Scan() {
		var from, to int64
		var perms string
		if _, err := fmt.Sscanf(sc.Text(), "%x-%x %s", &from, &to, &perms); err != nil || !strings.HasPrefix(perms, "rw") {
			continue
		}
		for at := from; at < to; at += int64(len(buf)) - 64 {
			n, _ := mem.ReadAt(buf[:min(int64(len(buf)), to-at)], at)
			count += countInverted(buf[:n], inverted)
		}
	}
	clear(buf)
	return count
}

func countInverted(buf, inverted []byte) int {
	count := 0
	first := []byte{^inverted[0]}
	for off := 0; ; {
		i := bytes.Index(buf[off:], first)
		if i < 0 || off+i+len(inverted) > len(buf) {
			return count
		}
		off += i
		match := true
		for j, b := range inverted {
			if buf[off+j] != ^b {
				match = false
				break
			}
		}
		if match {
			count++
		}
		off++
	}
}

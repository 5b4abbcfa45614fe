package backup

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/crypto"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/api"
	walletapi "github.com/filecoin-venus/venus/api/wallet"
	venuscrypto "github.com/filecoin-venus/venus/crypto"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/internal/fault"
	"github.com/filecoin-venus/venus/types"
	"github.com/filecoin-venus/venus/wallet/keystore"
	"github.com/filecoin-venus/venus/wallet/policy"
	"github.com/filecoin-venus/venus/wallet/signlog"
)

var (
	cheap    = keystore.Params{N: 1 << 4, R: 8, P: 1}
	password = []byte("backup password")
	t0       = time.Unix(1_700_000_000, 0)
)

func block(h int, digest string, at time.Time) signlog.Record {
	return signlog.Record{Decision: signlog.Signed, Signer: "aa", Type: "block", Block: &signlog.Block{Miner: "00e807", Height: abi.ChainEpoch(h), Digest: digest, Timestamp: uint64(at.Unix())}}
}

// wallet makes a directory with two keys, a policy and a signed block.
func wallet(t *testing.T, clk clock.Clock) (dir string, addrs []address.Address) {
	dir = t.TempDir()
	keys, err := keystore.Open(filepath.Join(dir, keysDir), cheap)
	require.NoError(t, err)
	require.NoError(t, keys.SetPassword([]byte("wallet password")))
	for _, kind := range []crypto.SigType{crypto.SigTypeBLS, crypto.SigTypeSecp256k1} {
		priv, err := venuscrypto.GenerateKey(kind)
		require.NoError(t, err)
		kt := types.KeyBLS
		if kind == crypto.SigTypeSecp256k1 {
			kt = types.KeySecp256k1
		}
		a, err := keys.Put(types.KeyInfo{Type: kt, PrivateKey: priv})
		require.NoError(t, err)
		addrs = append(addrs, a)
	}
	book, err := policy.Open(filepath.Join(dir, policyName))
	require.NoError(t, err)
	require.NoError(t, book.Set(walletapi.Policy{Name: "p"}))
	require.NoError(t, book.BindKey(addrs[0], "p"))
	l, err := signlog.Open(filepath.Join(dir, logDir), clk)
	require.NoError(t, err)
	require.NoError(t, l.Append(block(5, "x", t0)))
	require.NoError(t, l.Close())
	require.NoError(t, os.WriteFile(filepath.Join(dir, network), []byte("test\n"), 0o600))
	return dir, addrs
}

// whole looks at a restored wallet.
func whole(t *testing.T, dir string, addrs []address.Address, clk clock.Clock) {
	t.Helper()
	keys, err := keystore.Open(filepath.Join(dir, keysDir), cheap)
	require.NoError(t, err)
	require.Empty(t, keys.Damaged())
	require.ElementsMatch(t, addrs, keys.List())
	require.ErrorIs(t, keys.Unlock(password), keystore.ErrWrongPassword, "the keys keep the wallet's password")
	require.NoError(t, keys.Unlock([]byte("wallet password")))
	for _, a := range addrs {
		_, err := keys.Get(a)
		require.NoError(t, err)
	}
	book, err := policy.Open(filepath.Join(dir, policyName))
	require.NoError(t, err)
	all, err := book.List()
	require.NoError(t, err)
	require.Len(t, all.Keys, 1)
	l, err := signlog.Open(filepath.Join(dir, logDir), clk)
	require.NoError(t, err)
	defer l.Close()
	var double *signlog.DoubleBlockError
	require.ErrorAs(t, l.Append(block(5, "y", clk.Now().Add(time.Hour))), &double, "it remembers the block that the other signed")
	require.ErrorAs(t, l.Append(block(6, "y", clk.Now())), &double, "and refuses what the other may have signed since")
	require.NoError(t, l.Append(block(7, "y", clk.Now().Add(time.Second))))
	require.False(t, Interrupted(dir))
}

func TestBackupAndRestore(t *testing.T) {
	clk := clock.NewSim(t0)
	dir, addrs := wallet(t, clk)
	path := filepath.Join(t.TempDir(), "b")
	s, err := Write(dir, path, password, cheap, clk)
	require.NoError(t, err)
	require.Equal(t, 2, s.Keys)
	_, err = Write(dir, path, password, cheap, clk)
	require.Equal(t, api.CodePrecondition, api.Explain(err).Code, "a file that is there is not overwritten")
	st, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), st.Mode().Perm())
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NotContains(t, string(raw), "keys", "what is in it does not show")
	_, err = Check(path, []byte("wrong"))
	require.Equal(t, api.CodePermission, api.Explain(err).Code)

	clk.Advance(time.Hour)
	to := t.TempDir()
	_, err = Restore(to, path, password, clk)
	require.NoError(t, err)
	whole(t, to, addrs, clk)
	_, err = Restore(to, path, password, clk)
	require.ErrorContains(t, err, "holds a wallet already")
	_, err = Restore(dir, path, password, clk)
	require.ErrorContains(t, err, "holds a wallet already")
}

// TestPartsAreRefused: a backup cut anywhere, or with a bit turned over, restores nothing.
func TestPartsAreRefused(t *testing.T) {
	clk := clock.NewSim(t0)
	dir, _ := wallet(t, clk)
	path := filepath.Join(t.TempDir(), "b")
	_, err := Write(dir, path, password, cheap, clk)
	require.NoError(t, err)
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	to := t.TempDir()
	bad := filepath.Join(t.TempDir(), "bad")
	refused := func(b []byte, what string, at int) {
		require.NoError(t, os.WriteFile(bad, b, 0o600))
		_, err := Restore(to, bad, password, clk)
		require.Error(t, err, "%s at %d", what, at)
	}
	for at := 0; at < len(raw); at += 1 + len(raw)/200 {
		refused(raw[:at], "cut", at)
		flipped := append([]byte(nil), raw...)
		flipped[at] ^= 0x40
		refused(flipped, "bit", at)
	}
	left, err := os.ReadDir(to)
	require.NoError(t, err)
	require.Empty(t, left)
}

// TestInterruptedAnywhere ends backup and restore at every step they can end at: there is never half a backup under its
// name, never a usable key in half a restore, and a second run makes it whole.
func TestInterruptedAnywhere(t *testing.T) {
	clk := clock.NewSim(t0)
	dir, addrs := wallet(t, clk)
	cut := func(point string, after int) func() {
		passed := 0
		return fault.Arm(point, func() error {
			if passed++; passed > after {
				return errors.New("interrupted")
			}
			return nil
		})
	}
	path := filepath.Join(t.TempDir(), "b")
	disarm := cut("wallet/backupWrite", 0)
	_, err := Write(dir, path, password, cheap, clk)
	disarm()
	require.ErrorContains(t, err, "interrupted")
	require.NoFileExists(t, path)
	disarm = cut("wallet/backupCheck", 0)
	_, err = Write(dir, path, password, cheap, clk)
	disarm()
	require.ErrorContains(t, err, "interrupted")
	_, err = Check(path, password)
	require.NoError(t, err, "what bears the name is whole")

	steps := 0
	for _, point := range []string{"wallet/restoreClear", "wallet/restoreWrite", "wallet/restoreLog", "wallet/restoreMove", "wallet/restoreDone"} {
		for after := 0; ; after++ {
			to := t.TempDir()
			disarm := cut(point, after)
			_, err := Restore(to, path, password, clk)
			disarm()
			if err == nil {
				require.Positive(t, after, "%s was never passed", point)
				break
			}
			steps++
			require.ErrorContains(t, err, "interrupted")
			require.True(t, Interrupted(to))
			if point != "wallet/restoreDone" {
				require.NoFileExists(t, filepath.Join(to, keysDir, "master.json"))
			}
			other := filepath.Join(t.TempDir(), "other")
			_, err = Write(dir, other, password, cheap, clk)
			require.NoError(t, err)
			_, err = Restore(to, other, password, clk)
			require.Error(t, err, "another backup does not go on with it")
			_, err = Restore(to, path, password, clk)
			require.NoError(t, err, "%s %d", point, after)
			whole(t, to, addrs, clk)
		}
	}
	require.GreaterOrEqual(t, steps, 14)
}

// TestDamagedKeysAreNotLeftOut: a wallet with a key file that cannot be read has no backup that looks whole.
func TestDamagedKeysAreNotLeftOut(t *testing.T) {
	clk := clock.NewSim(t0)
	dir, _ := wallet(t, clk)
	entries, err := os.ReadDir(filepath.Join(dir, keysDir, "keys"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, keysDir, "keys", entries[0].Name()), []byte("{"), 0o600))
	_, err = Write(dir, filepath.Join(t.TempDir(), "b"), password, cheap, clk)
	require.ErrorContains(t, err, entries[0].Name())
	_, err = Write(t.TempDir(), filepath.Join(t.TempDir(), "b"), password, cheap, clk)
	require.ErrorIs(t, err, keystore.ErrNoPassword, "an empty wallet")
}

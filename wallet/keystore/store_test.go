package keystore

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/filecoin-project/go-address"
	gscrypto "github.com/filecoin-project/go-state-types/crypto"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/crypto"
	"github.com/filecoin-venus/venus/internal/fault"
	"github.com/filecoin-venus/venus/types"
)

var cheap = Params{N: 1 << 4, R: 8, P: 1}

func openStore(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(dir, cheap)
	require.NoError(t, err)
	return s
}

func newStore(t *testing.T) *Store {
	t.Helper()
	s := openStore(t, t.TempDir())
	require.NoError(t, s.SetPassword([]byte("open sesame")))
	return s
}

func testKey(t *testing.T, kind types.KeyType, n byte) types.KeyInfo {
	t.Helper()
	sigType, err := kind.SigType()
	require.NoError(t, err)
	priv, err := crypto.GenerateKeyFromSeed(sigType, bytes.Repeat([]byte{n}, 32))
	require.NoError(t, err)
	return types.KeyInfo{Type: kind, PrivateKey: priv}
}

func TestLifeOfAKey(t *testing.T) {
	s := newStore(t)
	for _, kind := range []types.KeyType{types.KeyBLS, types.KeySecp256k1} {
		ki := testKey(t, kind, 7)
		a, err := s.Put(ki)
		require.NoError(t, err)
		again, err := s.Put(ki)
		require.NoError(t, err)
		require.Equal(t, a, again)
		got, err := s.Get(a)
		require.NoError(t, err)
		require.Equal(t, ki.PrivateKey, got.PrivateKey)
		require.Equal(t, kind, got.Type)
	}
	require.Len(t, s.List(), 2)

	reopened := openStore(t, s.dir)
	require.True(t, reopened.Locked())
	require.Equal(t, s.List(), reopened.List(), "listing works while locked")
	_, err := reopened.Get(s.List()[0])
	require.ErrorIs(t, err, ErrLocked)
	_, err = reopened.Put(testKey(t, types.KeyBLS, 8))
	require.ErrorIs(t, err, ErrLocked)
	_, err = reopened.Delete(s.List()[0])
	require.ErrorIs(t, err, ErrLocked)
	require.ErrorIs(t, reopened.SetPassword([]byte("other")), ErrPasswordExists)
	require.NoError(t, reopened.Unlock([]byte("open sesame")))
	for _, a := range s.List() {
		_, err := reopened.Get(a)
		require.NoError(t, err)
	}
}

func TestPasswords(t *testing.T) {
	s := openStore(t, t.TempDir())
	require.ErrorIs(t, s.Unlock([]byte("x")), ErrNoPassword)
	require.ErrorIs(t, s.SetPassword(nil), ErrEmptyPassword)
	_, err := s.Put(testKey(t, types.KeyBLS, 1))
	require.ErrorIs(t, err, ErrNoPassword)
	require.NoError(t, s.SetPassword([]byte("first")))
	require.False(t, s.Locked(), "the first password also unlocks")
	a, err := s.Put(testKey(t, types.KeyBLS, 1))
	require.NoError(t, err)
	require.ErrorIs(t, s.Unlock([]byte("first")), ErrUnlocked)
	require.NoError(t, s.Lock())
	require.ErrorIs(t, s.Lock(), ErrAlreadyLocked)
	require.ErrorIs(t, s.Unlock([]byte("typo")), ErrWrongPassword)
	require.ErrorIs(t, s.VerifyPassword([]byte("typo")), ErrWrongPassword)
	require.NoError(t, s.VerifyPassword([]byte("first")))
	require.True(t, s.Locked(), "verifying does not unlock")

	require.ErrorIs(t, s.ChangePassword([]byte("typo"), []byte("second")), ErrWrongPassword)
	require.NoError(t, s.ChangePassword([]byte("first"), []byte("second")))
	s = openStore(t, s.dir)
	require.ErrorIs(t, s.Unlock([]byte("first")), ErrWrongPassword)
	require.NoError(t, s.Unlock([]byte("second")))
	_, err = s.Get(a)
	require.NoError(t, err)
}

func TestModes(t *testing.T) {
	s := newStore(t)
	a, err := s.Put(testKey(t, types.KeyBLS, 1))
	require.NoError(t, err)
	key := filepath.Join(s.dir, keysDir, addressHex(a)+keySuffix)
	for _, f := range []string{key, filepath.Join(s.dir, masterName)} {
		st, err := os.Stat(f)
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), st.Mode().Perm(), f)
		require.NoError(t, os.Chmod(f, 0o644))
	}
	openStore(t, s.dir)
	for _, f := range []string{key, filepath.Join(s.dir, masterName)} {
		st, err := os.Stat(f)
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), st.Mode().Perm(), "tightened: %s", f)
	}
}

func TestNothingReadableOnDisk(t *testing.T) {
	s := newStore(t)
	ki := testKey(t, types.KeySecp256k1, 9)
	_, err := s.Put(ki)
	require.NoError(t, err)
	b64, err := json.Marshal(ki.PrivateKey)
	require.NoError(t, err)
	require.NoError(t, filepath.Walk(s.dir, func(path string, info os.FileInfo, err error) error {
		require.NoError(t, err)
		if info.IsDir() {
			return nil
		}
		raw, err := os.ReadFile(path)
		require.NoError(t, err)
		for _, canary := range [][]byte{ki.PrivateKey, bytes.Trim(b64, `"`), []byte("open sesame")} {
			require.False(t, bytes.Contains(raw, canary), path)
		}
		return nil
	}))
}

// A damaged file costs that key alone, and says which and why.
func TestDamage(t *testing.T) {
	other := newStore(t)
	foreign, err := other.Put(testKey(t, types.KeyBLS, 1))
	require.NoError(t, err)
	foreignFile, err := os.ReadFile(filepath.Join(other.dir, keysDir, addressHex(foreign)+keySuffix))
	require.NoError(t, err)

	for name, tc := range map[string]struct {
		spoil  func(raw []byte) []byte
		reason string // "" = only opening the box can tell
	}{
		"truncated":      {func(raw []byte) []byte { return raw[:len(raw)/2] }, "not a key file"},
		"empty":          {func([]byte) []byte { return nil }, "not a key file"},
		"newer version":  {func(raw []byte) []byte { return bytes.Replace(raw, []byte(`"version": 1`), []byte(`"version": 2`), 1) }, "version 2"},
		"other store":    {func([]byte) []byte { return foreignFile }, "another keystore"},
		"type changed":   {func(raw []byte) []byte { return bytes.Replace(raw, []byte(`"bls"`), []byte(`"secp256k1"`), 1) }, ""},
		"trailing bytes": {func(raw []byte) []byte { return append(raw, "{}"...) }, "not a key file"},
		"copied to other": {func(raw []byte) []byte {
			return bytes.Replace(raw, []byte(`"address": "03`), []byte(`"address": "0300`), 1)
		}, "address"},
		"larger": {func(raw []byte) []byte { return append(raw, make([]byte, maxFileSize)...) }, "plain file"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			good, err := s.Put(testKey(t, types.KeySecp256k1, 2))
			require.NoError(t, err)
			bad, err := s.Put(testKey(t, types.KeyBLS, 1))
			require.NoError(t, err)
			path := filepath.Join(s.dir, keysDir, addressHex(bad)+keySuffix)
			raw, err := os.ReadFile(path)
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(path, tc.spoil(raw), 0o600))
			s = openStore(t, s.dir)
			require.NoError(t, s.Unlock([]byte("open sesame")))
			_, err = s.Get(good)
			require.NoError(t, err)
			_, err = s.Get(bad)
			require.Error(t, err)
			if tc.reason != "" {
				require.Len(t, s.Damaged(), 1)
				require.Contains(t, s.Damaged()[0].Reason, tc.reason)
				// The key comes back by import; the damaged file is kept aside.
				_, err = s.Put(testKey(t, types.KeyBLS, 1))
				require.NoError(t, err)
				require.Empty(t, s.Damaged())
				entries, err := os.ReadDir(filepath.Join(s.dir, deletedDir))
				require.NoError(t, err)
				require.Len(t, entries, 1)
			}
		})
	}
}

func TestEveryBitFlipIsSeen(t *testing.T) {
	s := newStore(t)
	a, err := s.Put(testKey(t, types.KeyBLS, 1))
	require.NoError(t, err)
	k := *s.keys[a]
	for i := range k.Sealed.Box {
		for _, bit := range []byte{1, 0x80} {
			k.Sealed.Box[i] ^= bit
			_, err := s.Get(a)
			require.Error(t, err)
			k.Sealed.Box[i] ^= bit
		}
	}
	_, err = s.Get(a)
	require.NoError(t, err)
}

func TestMissingMaster(t *testing.T) {
	s := newStore(t)
	_, err := s.Put(testKey(t, types.KeyBLS, 1))
	require.NoError(t, err)
	require.NoError(t, os.Remove(filepath.Join(s.dir, masterName)))
	_, err = Open(s.dir, cheap)
	require.ErrorContains(t, err, "master.json is missing")
}

func TestDeleteKeepsATombstone(t *testing.T) {
	s := newStore(t)
	ki := testKey(t, types.KeyBLS, 1)
	for range 2 {
		a, err := s.Put(ki)
		require.NoError(t, err)
		tombstone, err := s.Delete(a)
		require.NoError(t, err)
		require.FileExists(t, tombstone)
		_, err = s.Get(a)
		require.ErrorIs(t, err, ErrNotFound)
		require.Empty(t, openStore(t, s.dir).List())
	}
	a, err := s.Put(ki)
	require.NoError(t, err)
	tombstone, err := s.Delete(a)
	require.NoError(t, err)
	require.NoError(t, os.Rename(tombstone, filepath.Join(s.dir, keysDir, addressHex(a)+keySuffix)))
	s = openStore(t, s.dir)
	require.NoError(t, s.Unlock([]byte("open sesame")))
	_, err = s.Get(a)
	require.NoError(t, err, "moving the tombstone back is the undo")
}

// A failed or killed write leaves the key wholly there or wholly not, and the store usable.
func TestCrashPoints(t *testing.T) {
	for point, there := range map[string]bool{"wallet/keyWrite": false, "wallet/keyRename": true} {
		t.Run(point, func(t *testing.T) {
			s := newStore(t)
			disarm := fault.Arm(point, func() error { return fault.ErrInjected })
			_, err := s.Put(testKey(t, types.KeyBLS, 1))
			require.ErrorIs(t, err, fault.ErrInjected)
			disarm()
			s = openStore(t, s.dir)
			require.Len(t, s.List(), map[bool]int{true: 1, false: 0}[there])
			require.Empty(t, s.Damaged())
			require.NoError(t, s.Unlock([]byte("open sesame")))
			a, err := s.Put(testKey(t, types.KeyBLS, 1))
			require.NoError(t, err)
			_, err = s.Get(a)
			require.NoError(t, err)
		})
	}
	t.Run("leftover temporary file", func(t *testing.T) {
		s := newStore(t)
		left := filepath.Join(s.dir, keysDir, ".03aa.key.tmp-123")
		require.NoError(t, os.WriteFile(left, []byte("{"), 0o600))
		require.Empty(t, openStore(t, s.dir).Damaged())
		require.NoFileExists(t, left)
	})
	t.Run("password", func(t *testing.T) {
		s := newStore(t)
		disarm := fault.Arm("wallet/masterWrite", func() error { return fault.ErrInjected })
		require.ErrorIs(t, s.ChangePassword([]byte("open sesame"), []byte("new")), fault.ErrInjected)
		disarm()
		require.NoError(t, openStore(t, s.dir).Unlock([]byte("open sesame")))
	})
}

// TestKilled runs itself as a child that dies at the mark.
func TestKilled(t *testing.T) {
	if dir := os.Getenv("KEYSTORE_CHILD"); dir != "" {
		s := openStore(t, dir)
		require.NoError(t, s.Unlock([]byte("open sesame")))
		_, _ = s.Put(testKey(t, types.KeyBLS, 3))
		t.Fatal("the mark was not reached")
	}
	for point, there := range map[string]int{"wallet/keyWrite": 0, "wallet/keyRename": 1} {
		s := newStore(t)
		cmd := exec.Command(os.Args[0], "-test.run=^TestKilled$")
		cmd.Env = append(os.Environ(), "KEYSTORE_CHILD="+s.dir, "VENUS_FAILPOINT="+point+"=kill")
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		require.True(t, errors.As(err, &exit), "%s", out)
		require.Equal(t, -1, exit.ExitCode(), "%s", out)
		require.Len(t, openStore(t, s.dir).List(), there, point)
	}
}

func TestLockWipesTheDataKey(t *testing.T) {
	s := newStore(t)
	page := s.dataKey.page
	require.NotEmpty(t, page)
	before := s.dataKey.bytes()
	require.NotEqual(t, make([]byte, keySize), before)
	require.NoError(t, s.Lock())
	require.Nil(t, s.dataKey)
}

func TestParallelUse(t *testing.T) {
	s := newStore(t)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			a, err := s.Put(testKey(t, types.KeySecp256k1, byte(i+1)))
			if err != nil {
				t.Error(err)
				return
			}
			for range 50 {
				if _, err := s.Get(a); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	require.Len(t, s.List(), 8)
}

func TestBadKeys(t *testing.T) {
	s := newStore(t)
	for name, ki := range map[string]types.KeyInfo{
		"type":      {Type: "rsa", PrivateKey: make([]byte, 32)},
		"zero":      {Type: types.KeyBLS, PrivateKey: make([]byte, 32)},
		"short":     {Type: types.KeySecp256k1, PrivateKey: []byte{1}},
		"too large": {Type: types.KeyBLS, PrivateKey: bytes.Repeat([]byte{0xff}, 32)},
	} {
		_, err := s.Put(ki)
		require.Error(t, err, name)
	}
	require.Empty(t, s.List())
}

func TestParamsAreBounded(t *testing.T) {
	for _, p := range []Params{{}, {N: 3, R: 8, P: 1}, {N: 1 << 40, R: 8, P: 1}, {N: 16, R: 1 << 40, P: 1}, {N: 16, R: 8, P: 1000}} {
		require.Error(t, p.check(), "%+v", p)
	}
	require.NoError(t, DefaultParams.check())
}

func FuzzFiles(f *testing.F) {
	f.Add([]byte(`{"version":1,"store":"AA==","address":"0300","type":"bls","sealed":{"nonce":"","box":""}}`))
	f.Add([]byte(`{"version":1,"id":"AA==","scrypt":{"n":16,"r":8,"p":1},"salt":"AA==","wrapped":{}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		_, _ = decodeMaster(raw)
		if k, a, err := decodeKey(raw); err == nil && (a == address.Undef || !strings.EqualFold(k.Address, addressHex(a))) {
			t.Fatal("accepted a key file for no address")
		}
	})
}

func BenchmarkGetAndSign(b *testing.B) {
	s, err := Open(b.TempDir(), cheap)
	require.NoError(b, err)
	require.NoError(b, s.SetPassword([]byte("x")))
	priv, err := crypto.GenerateKey(gscrypto.SigTypeBLS)
	require.NoError(b, err)
	a, err := s.Put(types.KeyInfo{Type: types.KeyBLS, PrivateKey: priv})
	require.NoError(b, err)
	for b.Loop() {
		ki, err := s.Get(a)
		require.NoError(b, err)
		_, err = crypto.Sign(gscrypto.SigTypeBLS, ki.PrivateKey, []byte("message"))
		require.NoError(b, err)
	}
}

// FuzzOpenBox: bytes of somebody else's making open nothing and break nothing. Costs are bounded before they are paid.
func FuzzOpenBox(f *testing.F) {
	box, err := SealBox("test", Params{N: 2, R: 1, P: 1}, []byte("pw"), []byte("plain"))
	if err != nil {
		f.Fatal(err)
	}
	raw, err := box.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add([]byte(`{"version":1,"scrypt":{"n":1073741824,"r":8,"p":1}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var b Box
		if decodeStrict(raw, &b) == nil && b.Params.N*b.Params.R > 1<<12 {
			return // slow, and no decoding
		}
		if plain, err := OpenBox("test", raw, []byte("pw")); err == nil && string(plain) != "plain" {
			t.Fatal("something else was opened")
		}
	})
}

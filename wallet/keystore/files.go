package keystore

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/filecoin-project/go-address"

	"github.com/filecoin-venus/venus/types"
)

const (
	masterName  = "master.json"
	keysDir     = "keys"
	deletedDir  = "deleted"
	keySuffix   = ".key"
	maxFileSize = 64 << 10
	fileMode    = 0o600
	dirMode     = 0o700
)

// masterFile is the stored check value: it opens under the right password only, and what it holds opens the keys.
type masterFile struct {
	Version int    `json:"version"`
	ID      []byte `json:"id"`
	Params  Params `json:"scrypt"`
	Salt    []byte `json:"salt"`
	Wrapped sealed `json:"wrapped"`
}

func (m *masterFile) context() []byte {
	return fmt.Appendf(nil, "venus-wallet master v%d %x n=%d r=%d p=%d", m.Version, m.ID, m.Params.N, m.Params.R, m.Params.P)
}

func (m *masterFile) check() error {
	if m.Version != formatVersion {
		return fmt.Errorf("version %d: this program reads version %d", m.Version, formatVersion)
	}
	if len(m.ID) != idSize || len(m.Salt) != saltSize {
		return errors.New("store id or salt has a wrong length")
	}
	return m.Params.check()
}

// keyFile is one key. Everything but the box is bound to the box as associated data: a file renamed to another address,
// given another type or copied from another store does not open.
type keyFile struct {
	Version int           `json:"version"`
	Store   []byte        `json:"store"`
	Address string        `json:"address"`
	Type    types.KeyType `json:"type"`
	Sealed  sealed        `json:"sealed"`
}

func (k *keyFile) context() []byte {
	return fmt.Appendf(nil, "venus-wallet key v%d %x %s %s", k.Version, k.Store, k.Address, k.Type)
}

// addressHex is the network-neutral name of an address.
func addressHex(a address.Address) string { return hex.EncodeToString(a.Bytes()) }

func parseAddressHex(s string) (address.Address, error) {
	raw, err := hex.DecodeString(s)
	if err != nil {
		return address.Undef, fmt.Errorf("address %q: %w", s, err)
	}
	a, err := address.NewFromBytes(raw)
	if err != nil {
		return address.Undef, fmt.Errorf("address %q: %w", s, err)
	}
	if a.Protocol() != address.BLS && a.Protocol() != address.SECP256K1 || addressHex(a) != s {
		return address.Undef, fmt.Errorf("%q is not the address of a key", s)
	}
	return a, nil
}

// decodeStrict reads exactly one JSON object without unknown fields.
func decodeStrict(raw []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("bytes follow the object")
	}
	return nil
}

func decodeMaster(raw []byte) (*masterFile, error) {
	var m masterFile
	if err := decodeStrict(raw, &m); err != nil {
		return nil, fmt.Errorf("not a master file: %w", err)
	}
	if err := m.check(); err != nil {
		return nil, err
	}
	return &m, nil
}

func decodeKey(raw []byte) (*keyFile, address.Address, error) {
	var k keyFile
	if err := decodeStrict(raw, &k); err != nil {
		return nil, address.Undef, fmt.Errorf("not a key file: %w", err)
	}
	if k.Version != formatVersion {
		return nil, address.Undef, fmt.Errorf("version %d: this program reads version %d", k.Version, formatVersion)
	}
	if _, err := k.Type.SigType(); err != nil {
		return nil, address.Undef, err
	}
	a, err := parseAddressHex(k.Address)
	if err != nil {
		return nil, address.Undef, err
	}
	return &k, a, nil
}

// readPrivate reads a small file of ours. One that others may read is tightened to 0600 and reported.
func readPrivate(path string) (raw []byte, loose bool, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, false, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, false, err
	}
	if !st.Mode().IsRegular() || st.Size() > maxFileSize {
		return nil, false, fmt.Errorf("%s is not a plain file of at most %d bytes", filepath.Base(path), maxFileSize)
	}
	if st.Mode().Perm()&0o077 != 0 {
		loose = true
		if err := f.Chmod(fileMode); err != nil {
			return nil, true, fmt.Errorf("tighten mode of %s: %w", filepath.Base(path), err)
		}
	}
	raw, err = io.ReadAll(io.LimitReader(f, maxFileSize+1))
	return raw, loose, err
}

func newKeys() map[address.Address]*keyFile { return map[address.Address]*keyFile{} }

// files returns master and key files as they are on disk.
func (s *Store) files() (map[string][]byte, error) {
	out := map[string][]byte{}
	raw, _, err := readPrivate(filepath.Join(s.dir, masterName))
	if err != nil {
		return nil, err
	}
	out[masterName] = raw
	entries, err := os.ReadDir(filepath.Join(s.dir, keysDir))
	if err != nil {
		return nil, fmt.Errorf("list keys: %w", err)
	}
	for _, e := range entries {
		if filepath.Ext(e.Name()) != keySuffix {
			continue
		}
		if err := s.loadKey(filepath.Join(s.dir, keysDir), e.Name()); err != nil {
			return nil, fmt.Errorf("key file %s: %w", e.Name(), err)
		}
		raw, _, err := readPrivate(filepath.Join(s.dir, keysDir, e.Name()))
		if err != nil {
			return nil, err
		}
		out[filepath.Join(keysDir, e.Name())] = raw
	}
	return out, nil
}

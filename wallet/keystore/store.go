package keystore

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"

	"github.com/filecoin-project/go-address"
	logging "github.com/ipfs/go-log/v2"

	"github.com/filecoin-venus/venus/crypto"
	"github.com/filecoin-venus/venus/internal/fault"
	"github.com/filecoin-venus/venus/internal/fsutil"
	"github.com/filecoin-venus/venus/types"
)

var log = logging.Logger("wallet")

// What a store refuses. The texts are what a person reads.
var (
	ErrNoPassword     = errors.New("password not set")
	ErrPasswordExists = errors.New("the password already exists")
	ErrWrongPassword  = errors.New("password mismatch")
	ErrEmptyPassword  = errors.New("the password is empty")
	ErrLocked         = errors.New("wallet locked")
	ErrUnlocked       = errors.New("wallet already unlocked")
	ErrAlreadyLocked  = errors.New("wallet already locked")
	ErrNotFound       = errors.New("no key for this address")
)

// Damage is a file that could not be used, and why.
type Damage struct {
	File   string
	Reason string
}

// Store is an encrypted keystore on one directory. It is safe for concurrent use; the directory belongs to one process
// (the caller holds the lock of its daemon's folder).
type Store struct {
	dir    string
	params Params

	// kdf admits one scrypt at a time: parallel attempts cannot multiply its memory.
	kdf sync.Mutex

	mu      sync.RWMutex
	master  *masterFile // nil: no password yet
	dataKey *secret     // nil: locked
	keys    map[address.Address]*keyFile
	damaged []Damage
	// proven holds, by address, the key file whose inside was seen to be that address's key; its box is bound to it.
	proven sync.Map
}

// Open reads the store at dir, creating the folders when absent. p is the cost of passwords set from now on; what is
// stored keeps its own. Damaged key files are set aside in Damaged; a damaged master file is an error because nothing
// could be opened.
func Open(dir string, p Params) (*Store, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	for _, d := range []string{dir, filepath.Join(dir, keysDir), filepath.Join(dir, deletedDir)} {
		if err := os.MkdirAll(d, dirMode); err != nil {
			return nil, fmt.Errorf("make keystore folder: %w", err)
		}
		if err := os.Chmod(d, dirMode); err != nil {
			return nil, fmt.Errorf("tighten keystore folder: %w", err)
		}
	}
	s := &Store{dir: dir, params: p, keys: map[address.Address]*keyFile{}}
	if err := s.loadMaster(); err != nil {
		return nil, err
	}
	if err := s.loadKeys(); err != nil {
		return nil, err
	}
	if s.master == nil && len(s.keys)+len(s.damaged) > 0 {
		return nil, fmt.Errorf("keystore %s holds keys but %s is missing: put it back from a backup, without it they cannot be opened", dir, masterName)
	}
	return s, nil
}

func (s *Store) loadMaster() error {
	path := filepath.Join(s.dir, masterName)
	raw, loose, err := readPrivate(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read keystore %s: %w", masterName, err)
	}
	if loose {
		log.Warnf("%s was readable by others; its mode is now 0600", path)
	}
	m, err := decodeMaster(raw)
	if err != nil {
		return fmt.Errorf("keystore %s: %w", path, err)
	}
	s.master = m
	return nil
}

func (s *Store) loadKeys() error {
	dir := filepath.Join(s.dir, keysDir)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("list keys: %w", err)
	}
	for _, e := range entries {
		name := e.Name()
		if !strings.HasSuffix(name, keySuffix) {
			// The rest of an interrupted write: the key was never announced.
			if strings.Contains(name, ".tmp") {
				_ = os.Remove(filepath.Join(dir, name))
			}
			continue
		}
		if err := s.loadKey(dir, name); err != nil {
			s.damaged = append(s.damaged, Damage{File: name, Reason: err.Error()})
			log.Errorf("key file %s cannot be used: %s", name, err)
		}
	}
	return nil
}

func (s *Store) loadKey(dir, name string) error {
	raw, loose, err := readPrivate(filepath.Join(dir, name))
	if err != nil {
		return err
	}
	if loose {
		log.Warnf("key file %s was readable by others; its mode is now 0600", name)
	}
	k, a, err := decodeKey(raw)
	if err != nil {
		return err
	}
	if addressHex(a)+keySuffix != name {
		return fmt.Errorf("holds the key of %s, not the one it is named for", k.Address)
	}
	if s.master != nil && !bytes.Equal(k.Store, s.master.ID) {
		return errors.New("comes from another keystore and its password; export it there and import it here")
	}
	s.keys[a] = k
	return nil
}

// Damaged lists the key files that Open or a later use set aside.
func (s *Store) Damaged() []Damage {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Clone(s.damaged)
}

// HasPassword tells whether a password was ever set.
func (s *Store) HasPassword() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.master != nil
}

// Locked is true while no key can be used, also before the first password.
func (s *Store) Locked() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.dataKey == nil
}

// SetPassword sets the first password and unlocks. ErrPasswordExists if there is one.
func (s *Store) SetPassword(password []byte) error {
	if len(password) == 0 {
		return ErrEmptyPassword
	}
	s.kdf.Lock()
	defer s.kdf.Unlock()
	if s.HasPassword() {
		return ErrPasswordExists
	}
	id, err := randomBytes(idSize)
	if err != nil {
		return err
	}
	dataKey, err := randomBytes(keySize)
	if err != nil {
		return err
	}
	defer Wipe(dataKey)
	m, err := s.wrap(id, dataKey, password)
	if err != nil {
		return err
	}
	if err := s.writeMaster(m); err != nil {
		return err
	}
	held, err := newSecret(dataKey)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.master, s.dataKey = m, held
	return nil
}

// ChangePassword re-wraps the data key: one atomic write, the key files stay as they are. It leaves the lock as it was.
func (s *Store) ChangePassword(old, fresh []byte) error {
	if len(fresh) == 0 {
		return ErrEmptyPassword
	}
	s.kdf.Lock()
	defer s.kdf.Unlock()
	dataKey, err := s.unwrap(old)
	if err != nil {
		return err
	}
	defer Wipe(dataKey)
	m, err := s.wrap(s.master.ID, dataKey, fresh)
	if err != nil {
		return err
	}
	if err := s.writeMaster(m); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.master = m
	return nil
}

// VerifyPassword returns nil for the right password, ErrWrongPassword for another, ErrNoPassword when none is set.
func (s *Store) VerifyPassword(password []byte) error {
	s.kdf.Lock()
	defer s.kdf.Unlock()
	dataKey, err := s.unwrap(password)
	Wipe(dataKey)
	return err
}

// Unlock makes the keys usable until Lock. ErrUnlocked when they are.
func (s *Store) Unlock(password []byte) error {
	s.kdf.Lock()
	defer s.kdf.Unlock()
	if s.HasPassword() && !s.Locked() {
		return ErrUnlocked
	}
	dataKey, err := s.unwrap(password)
	if err != nil {
		return err
	}
	held, err := newSecret(dataKey)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dataKey = held
	return nil
}

// Lock zeroes the data key and asks the runtime to give freed memory back to the system, so that what signing left in
// dead heap pages is gone as well.
func (s *Store) Lock() error {
	s.mu.Lock()
	held := s.dataKey
	s.dataKey = nil
	held.wipe()
	s.mu.Unlock()
	if held == nil {
		return ErrAlreadyLocked
	}
	debug.FreeOSMemory()
	return nil
}

// unwrap needs kdf held. The result is a fresh slice for the caller to wipe.
func (s *Store) unwrap(password []byte) ([]byte, error) {
	s.mu.RLock()
	m := s.master
	s.mu.RUnlock()
	if m == nil {
		return nil, ErrNoPassword
	}
	key, err := stretch(password, m.Salt, m.Params)
	if err != nil {
		return nil, err
	}
	defer Wipe(key)
	dataKey, err := m.Wrapped.open(key, m.context())
	if errors.Is(err, errUnsealed) {
		return nil, ErrWrongPassword
	}
	if err != nil {
		return nil, err
	}
	if len(dataKey) != keySize {
		Wipe(dataKey)
		return nil, fmt.Errorf("keystore %s holds a key of a wrong length", masterName)
	}
	return dataKey, nil
}

func (s *Store) wrap(id, dataKey, password []byte) (*masterFile, error) {
	salt, err := randomBytes(saltSize)
	if err != nil {
		return nil, err
	}
	m := &masterFile{Version: formatVersion, ID: id, Params: s.params, Salt: salt}
	key, err := stretch(password, salt, m.Params)
	if err != nil {
		return nil, err
	}
	defer Wipe(key)
	if m.Wrapped, err = seal(key, dataKey, m.context()); err != nil {
		return nil, err
	}
	return m, nil
}

func (s *Store) writeMaster(m *masterFile) error {
	raw, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("encode %s: %w", masterName, err)
	}
	if err := fault.Point("wallet/masterWrite"); err != nil {
		return fmt.Errorf("write %s: %w", masterName, err)
	}
	if err := fsutil.WriteFileAtomic(filepath.Join(s.dir, masterName), raw, fileMode); err != nil {
		return fmt.Errorf("write %s: %w", masterName, err)
	}
	return nil
}

// List returns the addresses of usable keys, sorted by their bytes. It works while locked.
func (s *Store) List() []address.Address {
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := make([]address.Address, 0, len(s.keys))
	for a := range s.keys {
		out = append(out, a)
	}
	slices.SortFunc(out, func(a, b address.Address) int { return bytes.Compare(a.Bytes(), b.Bytes()) })
	return out
}

// Has tells whether there is a usable key for a. It works while locked.
func (s *Store) Has(a address.Address) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	_, ok := s.keys[a]
	return ok
}

// Put stores a key and returns its address once the file is durable and was read back. A key that is there already is
// left untouched and is no error. The caller wipes ki.PrivateKey.
func (s *Store) Put(ki types.KeyInfo) (address.Address, error) {
	sigType, err := ki.Type.SigType()
	if err != nil {
		return address.Undef, err
	}
	addr, err := crypto.AddressFor(sigType, ki.PrivateKey)
	if err != nil {
		return address.Undef, fmt.Errorf("import key: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.master == nil {
		return address.Undef, ErrNoPassword
	}
	if s.dataKey == nil {
		return address.Undef, ErrLocked
	}
	if _, ok := s.keys[addr]; ok {
		return addr, nil
	}
	k := &keyFile{Version: formatVersion, Store: s.master.ID, Address: addressHex(addr), Type: ki.Type}
	if k.Sealed, err = seal(s.dataKey.bytes(), ki.PrivateKey, k.context()); err != nil {
		return address.Undef, err
	}
	if err := s.writeKey(k); err != nil {
		return address.Undef, fmt.Errorf("store key of %s: %w", addr, err)
	}
	s.keys[addr] = k
	s.damaged = slices.DeleteFunc(s.damaged, func(d Damage) bool { return d.File == k.Address+keySuffix })
	return addr, nil
}

func (s *Store) writeKey(k *keyFile) error {
	raw, err := json.MarshalIndent(k, "", "  ")
	if err != nil {
		return err
	}
	path := filepath.Join(s.dir, keysDir, k.Address+keySuffix)
	if _, err := os.Lstat(path); err == nil {
		// A damaged file of the same key may still be of use to its owner: set aside, never overwritten.
		if _, err := s.bury(k.Address); err != nil {
			return err
		}
	}
	if err := fault.Point("wallet/keyWrite"); err != nil {
		return err
	}
	if err := fsutil.WriteFileAtomic(path, raw, fileMode); err != nil {
		return err
	}
	if err := fault.Point("wallet/keyRename"); err != nil {
		return err
	}
	back, _, err := readPrivate(path)
	if err != nil {
		return fmt.Errorf("read back: %w", err)
	}
	got, _, err := decodeKey(back)
	if err != nil {
		return fmt.Errorf("read back: %w", err)
	}
	plain, err := got.Sealed.open(s.dataKey.bytes(), got.context())
	Wipe(plain)
	if err != nil {
		return fmt.Errorf("read back: %w", err)
	}
	return nil
}

// Get opens the key of a. The caller wipes PrivateKey. ErrNotFound, ErrLocked or ErrNoPassword say why not; a file whose
// box does not open is set aside as damaged.
func (s *Store) Get(a address.Address) (types.KeyInfo, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	k, ok := s.keys[a]
	if !ok {
		return types.KeyInfo{}, fmt.Errorf("%w: %s", ErrNotFound, a)
	}
	if s.dataKey == nil {
		return types.KeyInfo{}, ErrLocked
	}
	plain, err := k.Sealed.open(s.dataKey.bytes(), k.context())
	if err != nil {
		return types.KeyInfo{}, fmt.Errorf("key file of %s is damaged, restore it from a backup: %w", a, err)
	}
	sigType, err := k.Type.SigType()
	if err != nil {
		Wipe(plain)
		return types.KeyInfo{}, err
	}
	// Deriving the address costs a fifth of a signature: once is enough, the box opens for this address alone.
	if seen, ok := s.proven.Load(a); !ok || seen != k {
		got, err := crypto.AddressFor(sigType, plain)
		if err != nil || got != a {
			Wipe(plain)
			return types.KeyInfo{}, fmt.Errorf("key file of %s does not hold its key", a)
		}
		s.proven.Store(a, k)
	}
	return types.KeyInfo{Type: k.Type, PrivateKey: plain}, nil
}

// Delete turns the key file into a tombstone, still encrypted, and returns its path.
func (s *Store) Delete(a address.Address) (tombstone string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.master == nil {
		return "", ErrNoPassword
	}
	if s.dataKey == nil {
		return "", ErrLocked
	}
	if _, ok := s.keys[a]; !ok {
		return "", fmt.Errorf("%w: %s", ErrNotFound, a)
	}
	path, err := s.bury(addressHex(a))
	if err != nil {
		return "", fmt.Errorf("delete key of %s: %w", a, err)
	}
	delete(s.keys, a)
	return path, nil
}

// bury moves a key file out of the way under the first free name. Needs mu held.
func (s *Store) bury(hexAddr string) (string, error) {
	from := filepath.Join(s.dir, keysDir, hexAddr+keySuffix)
	for n := 1; ; n++ {
		to := filepath.Join(s.dir, deletedDir, fmt.Sprintf("%s%s.%d", hexAddr, keySuffix, n))
		if _, err := os.Lstat(to); err == nil {
			continue
		} else if !errors.Is(err, os.ErrNotExist) {
			return "", err
		}
		if err := fault.Point("wallet/keyDelete"); err != nil {
			return "", err
		}
		if err := os.Rename(from, to); err != nil {
			return "", err
		}
		for _, d := range []string{deletedDir, keysDir} {
			if err := fsutil.SyncDir(filepath.Join(s.dir, d)); err != nil {
				return "", err
			}
		}
		return to, nil
	}
}

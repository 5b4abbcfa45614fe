// Package backup writes a wallet into one file and makes a wallet out of it again.
//
// Start reading at Write and Restore. A backup is sealed under a password of its own; inside are the keystore's files,
// still sealed under the wallet's password, the policies, the network, and what the signature log knows of signed blocks.
//
// Invariants:
//   - a backup is read back and opened before Write returns; it is wholly there or wholly not;
//   - Restore changes nothing in a directory that holds a wallet; interrupted anywhere it can be run again, and until it is
//     done the directory holds no usable key;
//   - the memory of signed blocks is there before the keys are, and blocks of a time before the restore are refused: a
//     wallet restored from an old backup signs no second block at a height.
//
// Sources: reliability.md 3.6 W2, 3.8 K7.
package backup

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"crypto/rand"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/internal/fault"
	"github.com/filecoin-venus/venus/internal/fsutil"
	"github.com/filecoin-venus/venus/wallet/keystore"
	"github.com/filecoin-venus/venus/wallet/policy"
	"github.com/filecoin-venus/venus/wallet/signlog"
)

// purpose binds a box to being a backup.
const purpose = "backup"

// What lies where in a wallet's directory.
const (
	keysDir    = "wallet"
	logDir     = "signlog"
	policyName = "policies.json"
	network    = "network"
	// marker tells of a restore that is under way; staging holds what it prepares.
	marker  = "restoring"
	staging = "restoring.d"
)

// content is what is inside a backup.
type content struct {
	Version int               `json:"version"`
	ID      string            `json:"id"`
	Made    time.Time         `json:"made"`
	Keys    map[string][]byte `json:"keys"` // file names below the keystore
	Policy  []byte            `json:"policy,omitempty"`
	Network []byte            `json:"network,omitempty"`
	Memory  []signlog.Carried `json:"memory"`
}

const version = 1

// Summary tells what is in a backup.
type Summary struct {
	ID   string    `json:"id"`
	Made time.Time `json:"made"`
	Keys int       `json:"keys"`
}

func (c content) summary() Summary { return Summary{c.ID, c.Made, len(c.Keys) - 1} }

// Write puts the wallet in dir into a new file at path. It may run beside the wallet.
func Write(dir, path string, password []byte, p keystore.Params, clk clock.Clock) (Summary, error) {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return Summary{}, errors.Join(api.Errorf(api.CodePrecondition, "%s is there already", path).WithHint("name a new file"), err)
	}
	c, err := collect(dir, clk)
	if err != nil {
		return Summary{}, err
	}
	plain, err := json.Marshal(c)
	if err != nil {
		return Summary{}, fmt.Errorf("encode backup: %w", err)
	}
	box, err := keystore.SealBox(purpose, p, password, plain)
	if err != nil {
		return Summary{}, err
	}
	raw, err := box.Encode()
	if err != nil {
		return Summary{}, fmt.Errorf("encode backup: %w", err)
	}
	if err := fault.Point("wallet/backupWrite"); err != nil {
		return Summary{}, err
	}
	if err := fsutil.WriteFileAtomic(path, raw, 0o600); err != nil {
		return Summary{}, err
	}
	if err := fault.Point("wallet/backupCheck"); err != nil {
		return Summary{}, err
	}
	back, err := read(path, password)
	if err != nil {
		return Summary{}, fmt.Errorf("read the backup back: %w", err)
	}
	return back.summary(), nil
}

func collect(dir string, clk clock.Clock) (content, error) {
	id := make([]byte, 16)
	if _, err := rand.Read(id); err != nil {
		return content{}, fmt.Errorf("draw an id: %w", err)
	}
	c := content{Version: version, ID: hex.EncodeToString(id), Made: clk.Now().UTC()}
	var err error
	if c.Keys, err = keystore.Files(filepath.Join(dir, keysDir)); err != nil {
		return c, err
	}
	for name, into := range map[string]*[]byte{policyName: &c.Policy, network: &c.Network} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return c, fmt.Errorf("read %s: %w", name, err)
		}
		*into = b
	}
	// The log after the keys: a key's blocks are not missed.
	c.Memory, err = signlog.ReadMemory(filepath.Join(dir, logDir))
	return c, err
}

// maxBackup bounds a backup in bytes: a hundred thousand keys stay below.
const maxBackup = 256 << 20

func read(path string, password []byte) (content, error) {
	st, err := os.Stat(path)
	if err != nil {
		return content{}, api.Errorf(api.CodeInvalid, "open backup: %w", err)
	}
	if !st.Mode().IsRegular() || st.Size() > maxBackup {
		return content{}, api.Errorf(api.CodeInvalid, "%s is not a file of at most %d bytes", path, maxBackup)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return content{}, api.Errorf(api.CodeInvalid, "read backup: %w", err)
	}
	plain, err := keystore.OpenBox(purpose, raw, password)
	if errors.Is(err, keystore.ErrWrongPassword) {
		return content{}, api.Errorf(api.CodePermission, "the backup does not open: another password, or it was altered")
	}
	if err != nil {
		return content{}, api.Errorf(api.CodeInvalid, "backup %s: %w", path, err)
	}
	var c content
	d := json.NewDecoder(bytes.NewReader(plain))
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		return content{}, fmt.Errorf("decode backup: %w", err)
	}
	if c.Version != version {
		return content{}, api.Errorf(api.CodeInvalid, "backup of version %d: this program reads version %d", c.Version, version)
	}
	for name := range c.Keys {
		if !filepath.IsLocal(name) || (name != "master.json" && !strings.HasPrefix(name, "keys"+string(filepath.Separator))) {
			return content{}, fmt.Errorf("the backup holds a file of a wrong name")
		}
	}
	return c, nil
}

// Check opens a backup and tells what is in it.
func Check(path string, password []byte) (Summary, error) {
	c, err := read(path, password)
	if err != nil {
		return Summary{}, err
	}
	return c.summary(), nil
}

// Restore makes a wallet out of a backup, in a directory without one. The caller holds the directory's lock.
func Restore(dir, path string, password []byte, clk clock.Clock) (Summary, error) {
	c, err := read(path, password)
	if err != nil {
		return Summary{}, err
	}
	if err := claim(dir, c.ID); err != nil {
		return Summary{}, err
	}
	if err := prepare(filepath.Join(dir, staging), c, clk); err != nil {
		return Summary{}, err
	}
	// The keys come last: whoever can sign remembers what was signed.
	for _, name := range []string{logDir, policyName, network, keysDir} {
		if err := fault.Point("wallet/restoreMove"); err != nil {
			return Summary{}, err
		}
		err := os.Rename(filepath.Join(dir, staging, name), filepath.Join(dir, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return Summary{}, fmt.Errorf("put %s in place: %w", name, err)
		}
		if err := fsutil.SyncDir(dir); err != nil {
			return Summary{}, err
		}
	}
	if err := fault.Point("wallet/restoreDone"); err != nil {
		return Summary{}, err
	}
	for _, name := range []string{staging, marker} {
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			return Summary{}, fmt.Errorf("remove %s: %w", name, err)
		}
	}
	return c.summary(), fsutil.SyncDir(dir)
}

// claim makes sure that the directory holds nothing but, perhaps, the parts of an interrupted restore of this backup,
// and clears those away.
func claim(dir, id string) error {
	have, err := os.ReadFile(filepath.Join(dir, marker))
	switch {
	case err == nil && string(have) == id:
	case err == nil:
		return api.Errorf(api.CodePrecondition, "the restore of another backup was interrupted in %s", dir).WithHint("finish it with that backup, or choose an empty directory")
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("look for an interrupted restore: %w", err)
	default:
		if err := unused(dir); err != nil {
			return err
		}
		if err := fsutil.WriteFileAtomic(filepath.Join(dir, marker), []byte(id), 0o600); err != nil {
			return err
		}
	}
	for _, name := range []string{keysDir, logDir, policyName, network, staging} {
		if err := fault.Point("wallet/restoreClear"); err != nil {
			return err
		}
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("clear %s: %w", name, err)
		}
	}
	return fsutil.SyncDir(dir)
}

// unused refuses a directory with any file of a wallet in it, be it a key that was deleted or one without its master.
func unused(dir string) error {
	held := api.Errorf(api.CodePrecondition, "%s holds a wallet already", dir).WithHint("restore into an empty directory: --repo DIR")
	for _, name := range []string{keysDir, logDir, policyName} {
		err := filepath.WalkDir(filepath.Join(dir, name), func(_ string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				return held
			}
			return err
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// prepare writes everything below a folder beside the wallet's, and opens it as the wallet will.
func prepare(to string, c content, clk clock.Clock) error {
	if err := os.MkdirAll(filepath.Join(to, keysDir, "keys"), 0o700); err != nil {
		return fmt.Errorf("make %s: %w", to, err)
	}
	files := map[string][]byte{}
	for name, raw := range c.Keys {
		files[filepath.Join(keysDir, name)] = raw
	}
	if c.Policy != nil {
		files[policyName] = c.Policy
	}
	if c.Network != nil {
		files[network] = c.Network
	}
	for _, name := range sorted(files) {
		if err := fault.Point("wallet/restoreWrite"); err != nil {
			return err
		}
		if err := fsutil.WriteFileAtomic(filepath.Join(to, name), files[name], 0o600); err != nil {
			return err
		}
	}
	if err := fault.Point("wallet/restoreLog"); err != nil {
		return err
	}
	if err := signlog.Restore(filepath.Join(to, logDir), clk, c.Memory); err != nil {
		return err
	}
	if _, err := policy.Open(filepath.Join(to, policyName)); err != nil {
		return err
	}
	if _, err := keystore.Files(filepath.Join(to, keysDir)); err != nil {
		return fmt.Errorf("the restored keys cannot be read: %w", err)
	}
	return nil
}

func sorted(m map[string][]byte) []string {
	out := make([]string, 0, len(m))
	for name := range m {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// Interrupted tells whether a restore into dir was not finished.
func Interrupted(dir string) bool {
	_, err := os.Lstat(filepath.Join(dir, marker))
	return err == nil
}

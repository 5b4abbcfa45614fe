// Package repo is a daemon's directory: one lock, a version, secrets with mode
// 0600, the address its API listens on and the token that the local command
// line uses.
//
// Start at [Open], which makes what is missing, and [Read], which a command
// line uses to find a running daemon without taking its lock. What a file holds
// is the daemon's business; this package gives it a durable place.
package repo

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/internal/fault"
	"github.com/filecoin-venus/venus/internal/fsutil"
)

// Layouts. A directory begins with the first; a daemon that needs a later one takes it there with [Repo.Migrate].
const (
	// Version is the newest layout this program knows: since 2 the blocks of a chain node lie in parts, since 3 all that are
	// written are packs.
	Version      = 3
	firstVersion = 1
)

// Names inside a repo.
const (
	lockFile     = "repo.lock"
	versionFile  = "version"
	apiFile      = "api"
	tokenFile    = "token"
	secretFile   = "jwt-hmac-secret"
	keystoreName = "keystore"
)

// ErrLocked says that another process has the directory open.
var ErrLocked = errors.New("another process is using this directory")

// ErrAbsent says that the directory has not been set up.
var ErrAbsent = errors.New("not set up yet")

// Repo is an open directory. Close releases its lock.
type Repo struct {
	Dir
	lock *os.File
}

// Dir is a directory seen without its lock.
type Dir struct{ path string }

// Expand turns a leading ~ into the home directory and makes the path absolute.
func Expand(path string) (string, error) {
	if path == "~" || strings.HasPrefix(path, "~/") {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("find the home directory: %w", err)
		}
		path = filepath.Join(home, strings.TrimPrefix(path[1:], "/"))
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("resolve %s: %w", path, err)
	}
	return abs, nil
}

// Open makes the directory (0700) if need be, takes its lock and checks its
// version. ErrLocked means another process is at it.
func Open(path string) (*Repo, error) {
	path, err := Expand(path)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("make %s: %w", path, err)
	}
	lock, err := fsutil.Lock(filepath.Join(path, lockFile))
	if errors.Is(err, fsutil.ErrLocked) {
		return nil, api.Errorf(api.CodePrecondition, "%s: %w; stop it or choose another --repo", path, ErrLocked)
	}
	if err != nil {
		return nil, err
	}
	r := &Repo{Dir: Dir{path}, lock: lock}
	if err := r.checkVersion(); err != nil {
		lock.Close()
		return nil, err
	}
	return r, nil
}

// Read gives access without the lock; ErrAbsent when there is nothing there.
func Read(path string) (Dir, error) {
	path, err := Expand(path)
	if err != nil {
		return Dir{}, err
	}
	if _, err := os.Stat(filepath.Join(path, versionFile)); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return Dir{}, api.Errorf(api.CodePrecondition, "%s: %w", path, ErrAbsent)
		}
		return Dir{}, fmt.Errorf("look at %s: %w", path, err)
	}
	return Dir{path}, nil
}

func (r *Repo) checkVersion() error {
	have, err := r.version()
	if errors.Is(err, fs.ErrNotExist) {
		return r.setVersion(firstVersion)
	}
	if err != nil {
		return err
	}
	if have > Version {
		return fmt.Errorf("%s has layout version %d, this program knows up to %d; use a newer program", r.path, have, Version)
	}
	return nil
}

func (r *Repo) version() (int, error) {
	b, err := os.ReadFile(r.Path(versionFile))
	if err != nil {
		return 0, fmt.Errorf("read version: %w", err)
	}
	var have int
	if _, err := fmt.Sscanf(string(b), "%d", &have); err != nil {
		return 0, fmt.Errorf("version file of %s holds %q, not a number", r.path, strings.TrimSpace(string(b)))
	}
	return have, nil
}

func (r *Repo) setVersion(v int) error {
	return fsutil.WriteFileAtomic(r.Path(versionFile), fmt.Appendf(nil, "%d\n", v), 0o600)
}

// Migrate runs step unless the directory has the layout already, and records it then: older programs refuse the directory
// from there on. A crash in between lets step run again.
func (r *Repo) Migrate(to int, step func() error) error {
	have, err := r.version()
	if err != nil || have >= to {
		return err
	}
	if err := step(); err != nil {
		return fmt.Errorf("migrate %s from layout %d to %d: %w", r.path, have, to, err)
	}
	if err := fault.Point("repo/migrated"); err != nil {
		return err
	}
	return r.setVersion(to)
}

// Close releases the lock.
func (r *Repo) Close() error {
	if err := r.lock.Close(); err != nil {
		return fmt.Errorf("unlock %s: %w", r.path, err)
	}
	return nil
}

// Root is the directory's absolute path.
func (d Dir) Root() string { return d.path }

// Path joins names below the directory.
func (d Dir) Path(names ...string) string {
	return filepath.Join(append([]string{d.path}, names...)...)
}

// API returns the multiaddr the daemon listens on, or an error that says it
// has not run yet.
func (d Dir) API() (string, error) {
	return d.read(apiFile, "the daemon has not been started from this directory")
}

// SetAPI records where the daemon listens.
func (r *Repo) SetAPI(maddr string) error {
	return fsutil.WriteFileAtomic(r.Path(apiFile), []byte(maddr), 0o600)
}

// Token returns the local command line's token.
func (d Dir) Token() (string, error) {
	return d.read(tokenFile, "the daemon has not been started from this directory")
}

// SetToken stores the local command line's token, readable by the owner only.
func (r *Repo) SetToken(token string) error {
	return fsutil.WriteFileAtomic(r.Path(tokenFile), []byte(token), 0o600)
}

func (d Dir) read(name, absent string) (string, error) {
	b, err := os.ReadFile(d.Path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%s: %s", d.Path(name), absent)
	}
	if err != nil {
		return "", fmt.Errorf("read %s: %w", name, err)
	}
	return strings.TrimSpace(string(b)), nil
}

// Secret returns the 32 random bytes that sign this daemon's tokens, made on
// first use.
func (r *Repo) Secret() ([]byte, error) {
	return r.Keystore().GetOrMake(secretFile, func() ([]byte, error) {
		b := make([]byte, 32)
		_, err := rand.Read(b)
		return b, err
	})
}

// Keystore holds small secrets by name, one 0600 file each.
type Keystore struct{ dir string }

// Keystore opens the directory's keystore.
func (r *Repo) Keystore() Keystore { return Keystore{r.Path(keystoreName)} }

// GetOrMake returns the secret called name; when there is none it stores what
// build returns, durably, before returning it.
func (k Keystore) GetOrMake(name string, build func() ([]byte, error)) ([]byte, error) {
	path := filepath.Join(k.dir, name)
	text, err := os.ReadFile(path)
	if err == nil {
		b, err := hex.DecodeString(strings.TrimSpace(string(text)))
		if err != nil {
			return nil, fmt.Errorf("secret %s is damaged: %w", path, err)
		}
		return b, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read secret %s: %w", name, err)
	}
	if err := os.MkdirAll(k.dir, 0o700); err != nil {
		return nil, fmt.Errorf("make keystore: %w", err)
	}
	b, err := build()
	if err != nil {
		return nil, fmt.Errorf("make secret %s: %w", name, err)
	}
	if err := fsutil.WriteFileAtomic(path, []byte(hex.EncodeToString(b)), 0o600); err != nil {
		return nil, fmt.Errorf("keep secret %s: %w", name, err)
	}
	return b, nil
}

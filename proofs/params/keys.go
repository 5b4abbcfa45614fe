package params

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	logging "github.com/ipfs/go-log/v2"
	"golang.org/x/crypto/blake2b"

	"github.com/filecoin-venus/venus/internal/fsutil"
	"github.com/filecoin-venus/venus/internal/lazy"
	"github.com/filecoin-venus/venus/proofs/groth16"
)

var log = logging.Logger("proofs/params")

// ErrMissing marks parameters that are not in the cache.
var ErrMissing = errors.New("proof parameters are missing")

// CacheEnv is the environment variable that names the parameter cache, for us as for every Filecoin program.
const CacheEnv = "FIL_PROOFS_PARAMETER_CACHE"

const defaultCache = "/var/tmp/filecoin-proof-parameters"

// CacheDir is the parameter cache of this machine.
func CacheDir() string {
	if dir := os.Getenv(CacheEnv); dir != "" {
		return dir
	}
	return defaultCache
}

// fileDigest is the digest of a parameter file as published.
func fileDigest(b []byte) string {
	sum := blake2b.Sum512(b)
	return hex.EncodeToString(sum[:16])
}

// Official are Filecoin's own keys, read from a parameter cache.
type Official struct{ dir string }

// NewOfficial reads keys from dir; empty means CacheDir.
func NewOfficial(dir string) *Official {
	if dir == "" {
		dir = CacheDir()
	}
	return &Official{dir}
}

// VerifyingKey reads and checks the key of c. A file that is absent gives ErrMissing with what to put where; one whose
// digest differs is refused.
func (o *Official) VerifyingKey(c Circuit) (*groth16.VerifyingKey, error) {
	want, ok := c.Digest("vk")
	if !ok {
		return nil, fmt.Errorf("%s has no official parameters: %w", c.Title, ErrMissing)
	}
	path := filepath.Join(o.dir, c.Name()+".vk")
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("verifying key of %s: put Filecoin's file %s (digest %s) into %s, or set %s to where it is: %w",
			c.Title, filepath.Base(path), want, o.dir, CacheEnv, ErrMissing)
	}
	if err != nil {
		return nil, fmt.Errorf("verifying key of %s: %w", c.Title, err)
	}
	if got := fileDigest(b); got != want {
		return nil, fmt.Errorf("verifying key of %s: %s has digest %s, want %s: fetch it again", c.Title, path, got, want)
	}
	return parseKey(b)
}

func parseKey(b []byte) (*groth16.VerifyingKey, error) {
	r := bytes.NewReader(b)
	vk, err := groth16.ReadVerifyingKey(r)
	if err == nil && r.Len() > 0 {
		err = fmt.Errorf("%d bytes after the verifying key", r.Len())
	}
	return vk, err
}

// ParamsFile checks the digest of the parameter file of c, which reads the whole file, and returns its path.
func (o *Official) ParamsFile(_ context.Context, c Circuit) (string, error) {
	want, ok := c.Digest("params")
	if !ok {
		return "", fmt.Errorf("%s has no official parameters: %w", c.Title, ErrMissing)
	}
	path := filepath.Join(o.dir, c.Name()+".params")
	got, err := digestOf(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("parameters of %s: put Filecoin's file %s (digest %s) into %s, or set %s to where it is: %w",
			c.Title, filepath.Base(path), want, o.dir, CacheEnv, ErrMissing)
	}
	if err != nil {
		return "", fmt.Errorf("parameters of %s: %w", c.Title, err)
	}
	if got != want {
		return "", fmt.Errorf("parameters of %s: %s has digest %s, want %s: fetch it again", c.Title, path, got, want)
	}
	return path, nil
}

// digestOf is fileDigest of a file too large for memory.
func digestOf(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h, err := blake2b.New512(nil)
	if err != nil {
		return "", fmt.Errorf("digest of %s: %w", path, err)
	}
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("digest of %s: %w", path, err)
	}
	return hex.EncodeToString(h.Sum(nil)[:16]), nil
}

// Devnet are the parameters of a private network, derived from its seed when first used. Safe for concurrent use.
type Devnet struct {
	seed []byte
	dir  string

	derived lazy.Map[string, derivation]
}

type derivation struct {
	secret groth16.Secret
	result *groth16.Derived
}

// NewDevnet derives parameters from seed. Verifying keys are kept in a folder of their own inside dir, so that the next
// start need not derive them; with an empty dir nothing is kept.
func NewDevnet(seed []byte, dir string) *Devnet {
	d := &Devnet{seed: seed}
	if dir != "" {
		tag := blake2b.Sum256(seed)
		d.dir = filepath.Join(dir, "private-"+hex.EncodeToString(tag[:8]))
	}
	return d
}

// Derive is everything about c that follows from the seed; the first call per circuit takes from 0.05 to 0.5 seconds at
// sizes up to 512 MiB.
func (d *Devnet) Derive(c Circuit) (groth16.Secret, *groth16.Derived, error) {
	e, err := d.derived.Get(c.Identifier, func() (e derivation, err error) {
		if e.secret, err = groth16.SecretFromSeed(d.seed, c.Identifier); err == nil {
			e.result, err = groth16.Derive(e.secret, c.Blank())
		}
		return e, err
	})
	if err != nil {
		return groth16.Secret{}, nil, fmt.Errorf("parameters of %s from the network's proof seed: %w", c.Title, err)
	}
	return e.secret, e.result, nil
}

// VerifyingKey is the key of c: from the folder if it is there and whole, else derived and kept.
func (d *Devnet) VerifyingKey(c Circuit) (*groth16.VerifyingKey, error) {
	if vk, err := d.load(c); err == nil {
		return vk, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		log.Warnw("kept verifying key is unusable, deriving it anew", "circuit", c.Title, "reason", err)
	}
	_, derived, err := d.Derive(c)
	if err != nil {
		return nil, err
	}
	if err := d.save(c, derived.Key); err != nil {
		log.Warnw("verifying key could not be kept for the next start", "circuit", c.Title, "reason", err)
	}
	return derived.Key, nil
}

// WriteParams makes a parameter file; it is prover.WriteParams, which this package must not link.
type WriteParams func(ctx context.Context, w io.Writer, secret groth16.Secret, c groth16.Circuit) error

// ParamsFile is the path of the parameter file of c in the private network's folder; a file that is missing, or does not
// match its digest, is made by write first (2 KiB: seconds for proofs of spacetime, minutes for the proof of replication).
func (d *Devnet) ParamsFile(ctx context.Context, c Circuit, write WriteParams) (string, error) {
	if d.dir == "" {
		return "", fmt.Errorf("parameters of %s: no folder to keep them in", c.Title)
	}
	path := filepath.Join(d.dir, c.Name()+".params")
	meta := path + ".meta"
	if want, err := os.ReadFile(meta); err == nil {
		got, err := digestOf(path)
		if err == nil && string(want) == metaText(got) {
			return path, nil
		}
		log.Warnw("kept parameters are unusable, making them anew", "circuit", c.Title, "file", path, "reason", err)
	}
	secret, _, err := d.Derive(c)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(d.dir, 0o755); err != nil {
		return "", fmt.Errorf("folder of proof parameters: %w", err)
	}
	err = fsutil.Fill(path, 0o644, func(f *os.File) error { return write(ctx, f, secret, c.Blank()) })
	if err != nil {
		return "", fmt.Errorf("make parameters of %s: %w", c.Title, err)
	}
	digest, err := digestOf(path)
	if err != nil {
		return "", err
	}
	return path, fsutil.WriteFileAtomic(meta, []byte(metaText(digest)), 0o644)
}

// A kept key is the .vk file and the digest of it, bound to the circuit, in a file beside it.
func (d *Devnet) paths(c Circuit) (key, meta string) {
	base := filepath.Join(d.dir, c.Name())
	return base + ".vk", base + ".meta"
}

func (d *Devnet) load(c Circuit) (*groth16.VerifyingKey, error) {
	if d.dir == "" {
		return nil, fs.ErrNotExist
	}
	key, meta := d.paths(c)
	want, err := os.ReadFile(meta)
	if err != nil {
		return nil, err
	}
	b, err := os.ReadFile(key)
	if err != nil {
		return nil, err
	}
	if got := metaOf(b); got != string(want) {
		return nil, fmt.Errorf("%s does not match its .meta file", key)
	}
	return parseKey(b)
}

func metaOf(key []byte) string { return metaText(fileDigest(key)) }

// metaHead stands before the digest in a .meta file.
const metaHead = "private network parameters, not Filecoin's\nblake2b-128 "

func metaText(digest string) string { return metaHead + digest + "\n" }

func (d *Devnet) save(c Circuit, vk *groth16.VerifyingKey) error {
	if d.dir == "" {
		return nil
	}
	if err := os.MkdirAll(d.dir, 0o755); err != nil {
		return fmt.Errorf("folder of verifying keys: %w", err)
	}
	key, meta := d.paths(c)
	b := vk.Bytes()
	if err := fsutil.WriteFileAtomic(key, b, 0o644); err != nil {
		return err
	}
	return fsutil.WriteFileAtomic(meta, []byte(metaOf(b)), 0o644)
}

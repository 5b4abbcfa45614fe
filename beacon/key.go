package beacon

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"
	"golang.org/x/crypto/hkdf"
)

// SecretSize is the length of a beacon's secret in bytes (a big-endian scalar).
const SecretSize = fr.Bytes

// Key is the one secret of a private beacon. It signs rounds in the quicknet scheme.
type Key struct {
	secret fr.Element
	scheme Scheme
}

// NewKey derives a beacon key from seed material of at least 32 bytes; the same seed gives the same key.
func NewKey(seed []byte) (*Key, error) {
	if len(seed) < 32 {
		return nil, fmt.Errorf("beacon seed has %d bytes, at least 32 are needed", len(seed))
	}
	// 64 bytes reduced modulo the group order leave no visible bias.
	wide := make([]byte, 64)
	if _, err := io.ReadFull(hkdf.New(sha256.New, seed, nil, []byte("venus private beacon key")), wide); err != nil {
		return nil, fmt.Errorf("derive beacon key: %w", err)
	}
	var k Key
	k.secret.SetBytes(wide)
	return k.finish()
}

// KeyFromBytes reads a key written by Bytes.
func KeyFromBytes(b []byte) (*Key, error) {
	if len(b) != SecretSize {
		return nil, fmt.Errorf("beacon key has %d bytes where %d are due", len(b), SecretSize)
	}
	var k Key
	if err := k.secret.SetBytesCanonical(b); err != nil {
		return nil, fmt.Errorf("beacon key: %w", err)
	}
	return k.finish()
}

func (k *Key) finish() (*Key, error) {
	if k.secret.IsZero() {
		return nil, errors.New("beacon key is zero")
	}
	scheme, err := SchemeByID(SchemeQuicknet)
	if err != nil {
		return nil, err
	}
	k.scheme = scheme
	return k, nil
}

// Bytes is the secret, SecretSize bytes; keep it in a file of mode 0600.
func (k *Key) Bytes() []byte {
	b := k.secret.Bytes()
	return b[:]
}

// PublicKey is the compressed G2 key, 96 bytes.
func (k *Key) PublicKey() []byte { return k.scheme.publicKey(&k.secret) }

// Info describes the chain this key signs when round 1 is due at genesisTime (unix seconds).
func (k *Key) Info(id string, genesisTime int64, period time.Duration) Info {
	pub := k.PublicKey()
	seed := sha256.Sum256(pub)
	return Info{PublicKey: pub, Period: period, GenesisTime: genesisTime, Seed: seed[:], SchemeID: SchemeQuicknet, BeaconID: id}
}

// Sign makes the signature of a round. Callers keep the rule that no round is signed before it is due.
func (k *Key) Sign(round uint64) ([]byte, error) {
	if round == 0 {
		return nil, errors.New("beacon round 0 has no signature")
	}
	return k.scheme.sign(&k.secret, round, nil)
}

package keystore

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"runtime/debug"

	"golang.org/x/crypto/chacha20poly1305"
	"golang.org/x/crypto/scrypt"
)

const (
	formatVersion = 1
	keySize       = chacha20poly1305.KeySize
	saltSize      = 32
	idSize        = 16
	// maxScryptMemory bounds what a master file may make the process allocate, in bytes (128·N·R).
	maxScryptMemory = 1 << 30
	// freeAbove is what stretching may leave behind, in bytes, before the system gets it back at once.
	freeAbove = 16 << 20
)

// Params are the costs of stretching a password: memory is 128·N·R bytes.
type Params struct {
	N int `json:"n"`
	R int `json:"r"`
	P int `json:"p"`
}

// DefaultParams costs 128 MiB and about half a second on one core.
var DefaultParams = Params{N: 1 << 17, R: 8, P: 1}

func (p Params) check() error {
	if p.N < 2 || p.N&(p.N-1) != 0 || p.R < 1 || p.P < 1 || p.P > 16 || p.N > maxScryptMemory/128/p.R {
		return fmt.Errorf("scrypt parameters n=%d r=%d p=%d are out of range", p.N, p.R, p.P)
	}
	return nil
}

// sealed is an AEAD box: XChaCha20-Poly1305 with a random 24-byte nonce.
type sealed struct {
	Nonce []byte `json:"nonce"`
	Box   []byte `json:"box"`
}

var errUnsealed = errors.New("box does not open")

func seal(key, plain, context []byte) (sealed, error) {
	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		return sealed{}, fmt.Errorf("seal: %w", err)
	}
	nonce, err := randomBytes(chacha20poly1305.NonceSizeX)
	if err != nil {
		return sealed{}, err
	}
	return sealed{Nonce: nonce, Box: aead.Seal(nil, nonce, plain, context)}, nil
}

func (s sealed) open(key, context []byte) ([]byte, error) {
	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	if len(s.Nonce) != chacha20poly1305.NonceSizeX {
		return nil, errUnsealed
	}
	plain, err := aead.Open(nil, s.Nonce, s.Box, context)
	if err != nil {
		return nil, errUnsealed
	}
	return plain, nil
}

func stretch(password, salt []byte, p Params) ([]byte, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	key, err := scrypt.Key(password, salt, p.N, p.R, p.P, keySize)
	if err != nil {
		return nil, fmt.Errorf("stretch password: %w", err)
	}
	if 128*p.N*p.R > freeAbove {
		debug.FreeOSMemory() // a signing wallet needs a fifth of what one password cost
	}
	return key, nil
}

func randomBytes(n int) ([]byte, error) {
	b := make([]byte, n)
	if _, err := io.ReadFull(rand.Reader, b); err != nil {
		return nil, fmt.Errorf("read randomness: %w", err)
	}
	return b, nil
}

package keystore

import (
	"encoding/json"
	"errors"
	"fmt"
)

// Box is something sealed under a password of its own, such as a backup.
type Box struct {
	Version int    `json:"version"`
	Params  Params `json:"scrypt"`
	Salt    []byte `json:"salt"`
	Sealed  sealed `json:"sealed"`
}

func boxContext(what string, p Params) []byte {
	return fmt.Appendf(nil, "venus-wallet %s v%d n=%d r=%d p=%d", what, formatVersion, p.N, p.R, p.P)
}

// SealBox seals plain under a password; what names its purpose and is needed to open it.
func SealBox(what string, p Params, password, plain []byte) (Box, error) {
	if len(password) == 0 {
		return Box{}, ErrEmptyPassword
	}
	salt, err := randomBytes(saltSize)
	if err != nil {
		return Box{}, err
	}
	key, err := stretch(password, salt, p)
	if err != nil {
		return Box{}, err
	}
	defer Wipe(key)
	b := Box{Version: formatVersion, Params: p, Salt: salt}
	b.Sealed, err = seal(key, plain, boxContext(what, p))
	return b, err
}

// OpenBox returns what SealBox sealed; ErrWrongPassword for another password or altered bytes.
func OpenBox(what string, raw, password []byte) ([]byte, error) {
	var b Box
	if err := decodeStrict(raw, &b); err != nil {
		return nil, fmt.Errorf("not a sealed %s, or only a part of one: %w", what, err)
	}
	if b.Version != formatVersion {
		return nil, fmt.Errorf("version %d: this program reads version %d", b.Version, formatVersion)
	}
	if len(b.Salt) != saltSize {
		return nil, errors.New("the salt has a wrong length")
	}
	key, err := stretch(password, b.Salt, b.Params)
	if err != nil {
		return nil, err
	}
	defer Wipe(key)
	plain, err := b.Sealed.open(key, boxContext(what, b.Params))
	if err != nil {
		return nil, ErrWrongPassword
	}
	return plain, nil
}

// Encode writes a box down.
func (b Box) Encode() ([]byte, error) { return json.Marshal(b) }

// Files reads the keystore in dir as it is, for a backup: the master file and the key files, by their names below dir. Each
// is decoded first; one that cannot be is an error, a backup without it would look whole. It may run beside a wallet.
func Files(dir string) (map[string][]byte, error) {
	s := &Store{dir: dir, params: DefaultParams, keys: newKeys()}
	if err := s.loadMaster(); err != nil {
		return nil, err
	}
	if s.master == nil {
		return nil, ErrNoPassword
	}
	return s.files()
}

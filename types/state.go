package types

import (
	"encoding/json"
	"fmt"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/crypto"
	"github.com/ipfs/go-cid"
)

// Actor is one entry of the state tree. Balance is in attoFIL.
type Actor struct {
	Code    cid.Cid
	Head    cid.Cid
	Nonce   uint64
	Balance abi.TokenAmount
}

// StateRoot is the object a state root CID names: a HAMT of actors with the
// version of the tree's layout (4 at network version 15).
type StateRoot struct {
	Version uint64
	Actors  cid.Cid
	Info    cid.Cid
}

// StateTreeVersion4 is the layout used since actors v5.
const StateTreeVersion4 = 4

// KeyType names a signature scheme in key files.
type KeyType string

// The key types a wallet can hold.
const (
	KeyBLS       KeyType = "bls"
	KeySecp256k1 KeyType = "secp256k1"
)

// SigType is the signature type that keys of this type make.
func (t KeyType) SigType() (crypto.SigType, error) {
	switch t {
	case KeyBLS:
		return crypto.SigTypeBLS, nil
	case KeySecp256k1:
		return crypto.SigTypeSecp256k1, nil
	}
	return crypto.SigTypeUnknown, fmt.Errorf("key type %q: want bls or secp256k1", string(t))
}

// UnmarshalJSON accepts the name and the number older key files hold.
func (t *KeyType) UnmarshalJSON(b []byte) error {
	var name string
	if err := json.Unmarshal(b, &name); err == nil {
		*t = KeyType(name)
	} else {
		var n crypto.SigType
		if err := json.Unmarshal(b, &n); err != nil {
			return fmt.Errorf("key type: want a name or a number, have %s", b)
		}
		switch n {
		case crypto.SigTypeBLS:
			*t = KeyBLS
		case crypto.SigTypeSecp256k1:
			*t = KeySecp256k1
		default:
			return fmt.Errorf("key type %d: want 1 (secp256k1) or 2 (bls)", n)
		}
	}
	_, err := t.SigType()
	return err
}

// KeyInfo is a private key as the field's tools export it: 32 bytes, base64 in
// JSON.
type KeyInfo struct {
	Type       KeyType
	PrivateKey []byte
}

// String never shows the key.
func (k KeyInfo) String() string { return fmt.Sprintf("%s key (hidden)", k.Type) }

// GoString never shows the key.
func (k KeyInfo) GoString() string { return k.String() }

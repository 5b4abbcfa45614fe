package wallet

import (
	"context"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/crypto"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/types"
)

// Namespace is the first half of every method name on the wire.
const Namespace = "Filecoin"

// Version is what the wallet reports as API version: 1.1.0.
const Version = api.APIVersion(1<<16 | 1<<8)

// Wallet is the whole contract of venus-wallet.
//
//api:service
type Wallet interface {
	api.Common
	api.Auth
	Keys
	Lock
	Rules
}

// Keys makes, lists and uses keys.
type Keys interface {
	// WalletNew makes a key of type "bls" or "secp256k1" and returns its address.
	//perm:admin
	WalletNew(ctx context.Context, keyType types.KeyType) (address.Address, error)
	// WalletHas tells whether the wallet holds the key of an address.
	//perm:write
	WalletHas(ctx context.Context, addr address.Address) (bool, error)
	// WalletList returns the addresses of all keys.
	//perm:write
	WalletList(ctx context.Context) ([]address.Address, error)
	// WalletSign signs what meta.Type and meta.Extra describe; the wallet computes the signed bytes
	// itself and refuses what does not belong to signer.
	//perm:sign
	WalletSign(ctx context.Context, signer address.Address, toSign []byte, meta MsgMeta) (*crypto.Signature, error)
	// WalletExport returns the private key of an address.
	//perm:admin
	WalletExport(ctx context.Context, addr address.Address) (*types.KeyInfo, error)
	// WalletImport stores a private key and returns its address.
	//perm:admin
	WalletImport(ctx context.Context, key *types.KeyInfo) (address.Address, error)
	// WalletDelete destroys the key of an address.
	//perm:admin
	WalletDelete(ctx context.Context, addr address.Address) error
}

// Lock guards the keys with a password.
type Lock interface {
	// SetPassword sets the password of a new keystore and unlocks it.
	//perm:admin
	SetPassword(ctx context.Context, password string) error
	// ChangePassword replaces the password; the keys stay as they are, and so does the lock.
	//perm:admin
	ChangePassword(ctx context.Context, old, fresh string) error
	// Unlock makes the keys usable until Lock or the end of the program.
	//perm:admin
	Unlock(ctx context.Context, password string) error
	// Lock wipes the decrypted keys from memory.
	//perm:admin
	Lock(ctx context.Context) error
	// LockState tells whether the wallet is locked.
	//perm:admin
	LockState(ctx context.Context) (bool, error)
	// VerifyPassword returns an error when the password is not the keystore's.
	//perm:admin
	VerifyPassword(ctx context.Context, password string) error
}

// MsgType says what a signature is for.
type MsgType string

// The kinds of things a wallet may be asked to sign. For TypeMessage Extra is
// the CBOR of the unsigned message and toSign, unless empty, the bytes of its
// CID; for the others toSign is the CBOR of the thing, for TypeText any text.
// TypeUnknown is raw bytes: refused, unless a policy of the key names it.
const (
	TypeUnknown           MsgType = "unknown"
	TypeMessage           MsgType = "message"
	TypeBlock             MsgType = "block"
	TypeDealProposal      MsgType = "dealproposal"
	TypeClientDeal        MsgType = "clientdeal"
	TypeDrawRandomParam   MsgType = "drawrandomparam"
	TypeSignedVoucher     MsgType = "signedvoucher"
	TypeStorageAsk        MsgType = "storageask"
	TypeAskResponse       MsgType = "askresponse"
	TypeNetworkResponse   MsgType = "networkresposne" // the field's own spelling
	TypeProviderDealState MsgType = "providerdealstate"
	TypeVerifyAddress     MsgType = "verifyaddress"
	TypeText              MsgType = "text" // signed inside the envelope of FRC-0102
)

// MsgMeta describes what is to be signed.
type MsgMeta struct {
	Type  MsgType
	Extra []byte
}

package wallet

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"

	"github.com/filecoin-project/go-address"
	gscrypto "github.com/filecoin-project/go-state-types/crypto"
	logging "github.com/ipfs/go-log/v2"

	"github.com/filecoin-venus/venus/api"
	walletapi "github.com/filecoin-venus/venus/api/wallet"
	"github.com/filecoin-venus/venus/crypto"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/internal/fault"
	"github.com/filecoin-venus/venus/rpc/daemon"
	"github.com/filecoin-venus/venus/types"
	"github.com/filecoin-venus/venus/wallet/keystore"
	"github.com/filecoin-venus/venus/wallet/signlog"
	"github.com/filecoin-venus/venus/wallet/typed"
)

var log = logging.Logger("wallet")

// Service answers the wallet API. Permissions are checked in front of it, method by method.
type Service struct {
	*daemon.Base
	keys     *keystore.Store
	records  *signlog.Log
	attempts *attempts
}

var _ walletapi.Wallet = (*Service)(nil)

// NewService joins the parts. version is what Version reports.
func NewService(keys *keystore.Store, records *signlog.Log, tokens daemon.Tokens, c clock.Clock, version string) *Service {
	return &Service{
		Base: daemon.New(daemon.Options{
			Program: "venus-wallet", Version: version, APIVersion: walletapi.Version,
			Namespace: walletapi.Namespace, Proxy: new(walletapi.WalletProxy), Tokens: tokens,
		}),
		keys: keys, records: records, attempts: newAttempts(c),
	}
}

// WalletNew makes a key and returns its address once its file is durable.
func (s *Service) WalletNew(_ context.Context, keyType types.KeyType) (address.Address, error) {
	sigType, err := keyType.SigType()
	if err != nil {
		return address.Undef, api.Errorf(api.CodeInvalid, "%w", err)
	}
	if err := s.usable(); err != nil {
		return address.Undef, err
	}
	priv, err := crypto.GenerateKey(sigType)
	if err != nil {
		return address.Undef, fmt.Errorf("make key: %w", err)
	}
	return s.store("new", types.KeyInfo{Type: keyType, PrivateKey: priv})
}

// WalletImport stores a key; one that is there already is no error.
func (s *Service) WalletImport(_ context.Context, key *types.KeyInfo) (address.Address, error) {
	if key == nil {
		return address.Undef, api.Errorf(api.CodeInvalid, "no key given")
	}
	return s.store("import", *key)
}

func (s *Service) store(how string, ki types.KeyInfo) (address.Address, error) {
	defer keystore.Wipe(ki.PrivateKey)
	addr, err := s.keys.Put(ki)
	if err != nil {
		return address.Undef, explain(err)
	}
	// The key is safe already; a log that cannot be written must not hide its address.
	if err := s.records.Append(signlog.Record{Decision: signlog.Done, Signer: hexAddr(addr), Type: how}); err != nil {
		log.Errorf("key %s is stored, but: %s", addr, err)
	}
	return addr, nil
}

// WalletHas tells whether the key of addr can be used once unlocked.
func (s *Service) WalletHas(_ context.Context, addr address.Address) (bool, error) {
	return s.keys.Has(addr), nil
}

// WalletList returns the addresses of all keys, also while locked.
func (s *Service) WalletList(context.Context) ([]address.Address, error) { return s.keys.List(), nil }

// WalletExport returns a private key; the export is on record before.
func (s *Service) WalletExport(_ context.Context, addr address.Address) (*types.KeyInfo, error) {
	ki, err := s.keys.Get(addr)
	if err != nil {
		return nil, explain(err)
	}
	if err := s.records.Append(signlog.Record{Decision: signlog.Done, Signer: hexAddr(addr), Type: "export"}); err != nil {
		keystore.Wipe(ki.PrivateKey)
		return nil, err
	}
	return &ki, nil
}

// WalletDelete turns the key into a tombstone below deleted/, which can be moved back.
func (s *Service) WalletDelete(_ context.Context, addr address.Address) error {
	tombstone, err := s.keys.Delete(addr)
	if err != nil {
		return explain(err)
	}
	log.Warnf("key %s was deleted; its encrypted file is kept as %s", addr, tombstone)
	return s.records.Append(signlog.Record{Decision: signlog.Done, Signer: hexAddr(addr), Type: "delete"})
}

// WalletSign signs what meta describes, or refuses with the reason. The decision is durable before it returns.
func (s *Service) WalletSign(_ context.Context, signer address.Address, toSign []byte, meta walletapi.MsgMeta) (*gscrypto.Signature, error) {
	rec := signlog.Record{Signer: hexAddr(signer), Type: string(meta.Type)}
	p, err := typed.Prepare(meta.Type, signer, toSign, meta.Extra)
	if err != nil {
		return nil, s.refuse(rec, err)
	}
	if err := s.usable(); err != nil {
		return nil, err
	}
	ki, err := s.keys.Get(signer)
	if err != nil {
		return nil, explain(err)
	}
	defer keystore.Wipe(ki.PrivateKey)
	sigType, err := ki.Type.SigType()
	if err != nil {
		return nil, err
	}
	rec.Decision, rec.Digest, rec.Facts, rec.Block = signlog.Signed, p.Digest(), maps.Clone(p.Facts), p.Block
	if err := s.record(rec); err != nil {
		return nil, err
	}
	if err := fault.Point("wallet/sign"); err != nil {
		return nil, err
	}
	sig, err := crypto.Sign(sigType, ki.PrivateKey, p.Bytes)
	if err != nil {
		return nil, fmt.Errorf("sign with %s: %w", signer, err)
	}
	return sig, nil
}

func (s *Service) record(rec signlog.Record) error {
	if rec.Block == nil {
		return s.records.Append(rec)
	}
	err := s.records.Reserve(rec)
	var double *signlog.DoubleBlockError
	if errors.As(err, &double) {
		rec.Block = nil
		return s.refuse(rec, fmt.Errorf("%w: %w", typed.ErrRefused, err))
	}
	return err
}

// refuse records why and returns it.
func (s *Service) refuse(rec signlog.Record, reason error) error {
	rec.Decision, rec.Reason = signlog.Refused, reason.Error()
	log.Warnf("refused to sign a %q for %s: %s", rec.Type, rec.Signer, reason)
	return errors.Join(api.Errorf(api.CodeInvalid, "%w", reason), s.records.Append(rec))
}

// usable says in words why no key can be used now.
func (s *Service) usable() error {
	if !s.keys.HasPassword() {
		return explain(keystore.ErrNoPassword)
	}
	if s.keys.Locked() {
		return explain(keystore.ErrLocked)
	}
	return nil
}

// explain gives the keystore's refusals a code and a remedy.
func explain(err error) error {
	for _, e := range []struct {
		is   error
		code api.ErrorCode
		hint string
	}{
		{keystore.ErrNoPassword, api.CodePrecondition, "set one with: venus-wallet setpwd"},
		{keystore.ErrLocked, api.CodePrecondition, "unlock it with: venus-wallet unlock"},
		{keystore.ErrPasswordExists, api.CodePrecondition, "unlock with it: venus-wallet unlock"},
		{keystore.ErrWrongPassword, api.CodePermission, ""},
		{keystore.ErrEmptyPassword, api.CodeInvalid, ""},
		{keystore.ErrUnlocked, api.CodePrecondition, ""},
		{keystore.ErrAlreadyLocked, api.CodePrecondition, ""},
		{keystore.ErrNotFound, api.CodeNotFound, "list the addresses with: venus-wallet list"},
		{crypto.ErrBadKey, api.CodeInvalid, ""},
	} {
		if errors.Is(err, e.is) {
			out := api.Errorf(e.code, "%w", err)
			if e.hint != "" {
				out = out.WithHint("%s", e.hint)
			}
			return out
		}
	}
	return err
}

func hexAddr(a address.Address) string { return hex.EncodeToString(a.Bytes()) }

package wallet

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/big"
	gscrypto "github.com/filecoin-project/go-state-types/crypto"
	logging "github.com/ipfs/go-log/v2"

	"github.com/filecoin-venus/venus/api"
	walletapi "github.com/filecoin-venus/venus/api/wallet"
	"github.com/filecoin-venus/venus/crypto"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/internal/fault"
	"github.com/filecoin-venus/venus/rpc"
	"github.com/filecoin-venus/venus/rpc/daemon"
	"github.com/filecoin-venus/venus/types"
	"github.com/filecoin-venus/venus/wallet/keystore"
	"github.com/filecoin-venus/venus/wallet/policy"
	"github.com/filecoin-venus/venus/wallet/signlog"
	"github.com/filecoin-venus/venus/wallet/typed"
)

var log = logging.Logger("wallet")

// Service answers the wallet API. Permissions are checked in front of it, method by method.
type Service struct {
	*daemon.Base
	keys     *keystore.Store
	records  *signlog.Log
	policies *policy.Book
	tokens   Tokens
	clock    clock.Clock
	attempts *attempts
	idle     *idleLock
	watch    Watcher
}

var _ walletapi.Wallet = (*Service)(nil)

// Tokens makes and judges the wallet's tokens.
type Tokens interface {
	daemon.Tokens
	NewNamed(name string, perms []api.Permission) ([]byte, error)
}

// Watcher hears of decisions; it does not block.
type Watcher interface {
	Decided(kind string, d signlog.Decision, took time.Duration)
}

// Parts are what a service is made of. Watch may be nil.
type Parts struct {
	Keys     *keystore.Store
	Records  *signlog.Log
	Policies *policy.Book
	Tokens   Tokens
	Clock    clock.Clock
	Version  string // what Version reports
	Watch    Watcher
	// IdleLock locks the keys after so long without a signature, 0 = never.
	IdleLock time.Duration
}

// NewService joins the parts. The bounds of policies go on from what the log says was signed.
func NewService(p Parts) (*Service, error) {
	s := &Service{
		Base: daemon.New(daemon.Options{
			Program: "venus-wallet", Version: p.Version, APIVersion: walletapi.Version,
			Namespace: walletapi.Namespace, Proxy: new(walletapi.WalletProxy), Tokens: p.Tokens,
		}),
		keys: p.Keys, records: p.Records, policies: p.Policies, tokens: p.Tokens, clock: p.Clock, attempts: newAttempts(p.Clock), watch: p.Watch,
	}
	s.idle = newIdleLock(p.Clock, p.IdleLock, p.Keys)
	if s.watch == nil {
		s.watch = nobody{}
	}
	var bad error
	err := signlog.Since(p.Records.Dir(), p.Clock.Now().Add(-policy.Day), func(r *signlog.Record) {
		if r.Decision != signlog.Signed || r.Spend == nil {
			return
		}
		cost, err := big.FromString(r.Spend.Cost)
		if err != nil {
			bad = fmt.Errorf("signature log: the cost in record %d: %w", r.Seq, err)
			return
		}
		for _, name := range r.Policies {
			p.Policies.Count(name, r.Signer, r.Spend.Slot, cost, r.Time)
		}
	})
	return s, errors.Join(err, bad)
}

// nobody hears of nothing.
type nobody struct{}

// Decided does nothing.
func (nobody) Decided(string, signlog.Decision, time.Duration) {}

// WalletNew makes a key and returns its address once its file is durable.
func (s *Service) WalletNew(ctx context.Context, keyType types.KeyType) (address.Address, error) {
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
	return s.store(ctx, "new", types.KeyInfo{Type: keyType, PrivateKey: priv})
}

// WalletImport stores a key; one that is there already is no error.
func (s *Service) WalletImport(ctx context.Context, key *types.KeyInfo) (address.Address, error) {
	if key == nil {
		return address.Undef, api.Errorf(api.CodeInvalid, "no key given")
	}
	return s.store(ctx, "import", *key)
}

func (s *Service) store(ctx context.Context, how string, ki types.KeyInfo) (address.Address, error) {
	defer keystore.Wipe(ki.PrivateKey)
	addr, err := s.keys.Put(ki)
	if err != nil {
		return address.Undef, explain(err)
	}
	// The key is safe already; a log that cannot be written must not hide its address.
	if err := s.records.Append(signlog.Record{Decision: signlog.Done, Signer: hexAddr(addr), Token: tokenOf(ctx), Type: how}); err != nil {
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
func (s *Service) WalletExport(ctx context.Context, addr address.Address) (*types.KeyInfo, error) {
	ki, err := s.keys.Get(addr)
	if err != nil {
		return nil, explain(err)
	}
	if err := s.records.Append(signlog.Record{Decision: signlog.Done, Signer: hexAddr(addr), Token: tokenOf(ctx), Type: "export"}); err != nil {
		keystore.Wipe(ki.PrivateKey)
		return nil, err
	}
	return &ki, nil
}

// WalletDelete turns the key into a tombstone below deleted/, which can be moved back.
func (s *Service) WalletDelete(ctx context.Context, addr address.Address) error {
	tombstone, err := s.keys.Delete(addr)
	if err != nil {
		return explain(err)
	}
	log.Warnf("key %s was deleted; its encrypted file is kept as %s", addr, tombstone)
	return s.records.Append(signlog.Record{Decision: signlog.Done, Signer: hexAddr(addr), Token: tokenOf(ctx), Type: "delete"})
}

// WalletSign signs what meta describes, or refuses with the reason. The decision is durable before it returns.
func (s *Service) WalletSign(ctx context.Context, signer address.Address, toSign []byte, meta walletapi.MsgMeta) (*gscrypto.Signature, error) {
	begun := s.clock.Now()
	caller, _ := rpc.CallerFrom(ctx)
	rec := signlog.Record{Signer: hexAddr(signer), Type: string(meta.Type), Token: caller.Name}
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
	rec.Digest, rec.Facts, rec.Block = p.Digest(), maps.Clone(p.Facts), p.Block
	kind := meta.Type
	if kind == "" {
		kind = walletapi.TypeUnknown
	}
	rec.Policies, err = s.policies.Judge(policy.Request{Signer: signer, Token: caller.Name, Type: kind, Spend: p.Spend}, begun)
	if err != nil {
		rec.Block = nil
		return nil, s.refuse(rec, err)
	}
	if p.Spend != nil {
		rec.Spend = &signlog.Spend{Cost: p.Spend.Cost.String(), Slot: p.Spend.Slot}
	}
	rec.Decision = signlog.Signed
	durable, err := s.record(rec)
	if err != nil {
		return nil, err
	}
	// The signature is made while its record is on the way to the disk, and leaves when it is there.
	sig, err := crypto.Sign(sigType, ki.PrivateKey, p.Bytes)
	if err != nil {
		return nil, fmt.Errorf("sign with %s: %w", signer, err)
	}
	if err := durable(); err != nil {
		return nil, err
	}
	if err := fault.Point("wallet/sign"); err != nil {
		return nil, err
	}
	s.idle.used()
	s.watch.Decided(string(kind), signlog.Signed, s.clock.Now().Sub(begun))
	return sig, nil
}

// record writes what is about to be signed and returns how to wait until that is durable.
func (s *Service) record(rec signlog.Record) (durable func() error, err error) {
	durable, err = s.records.Begin(rec)
	var double *signlog.DoubleBlockError
	if errors.As(err, &double) {
		rec.Block = nil
		return nil, s.refuse(rec, fmt.Errorf("%w: %w", typed.ErrRefused, err))
	}
	return durable, err
}

// refuse records why and returns it.
func (s *Service) refuse(rec signlog.Record, reason error) error {
	rec.Decision, rec.Reason = signlog.Refused, reason.Error()
	log.Warnf("refused to sign a %q for %s: %s", rec.Type, rec.Signer, reason)
	s.watch.Decided(kindLabel(rec.Type), signlog.Refused, 0)
	code, hint := api.CodeInvalid, ""
	if errors.Is(reason, policy.ErrRefused) {
		code, hint = api.CodePermission, "an administrator of the wallet may change it: venus-wallet policy list"
	}
	return errors.Join(api.Errorf(code, "%w", reason).WithHint("%s", hint), s.records.Append(rec))
}

// kindLabel keeps what callers make up out of the names of numbers.
func kindLabel(kind string) string {
	if slices.Contains(typed.Kinds(), walletapi.MsgType(kind)) {
		return kind
	}
	return string(walletapi.TypeUnknown)
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
	return api.Remedied(err, []api.Remedy{
		{Is: keystore.ErrNoPassword, Code: api.CodePrecondition, Hint: "set one with: venus-wallet setpwd"},
		{Is: keystore.ErrLocked, Code: api.CodePrecondition, Hint: "unlock it with: venus-wallet unlock"},
		{Is: keystore.ErrPasswordExists, Code: api.CodePrecondition, Hint: "unlock with it: venus-wallet unlock"},
		{Is: keystore.ErrWrongPassword, Code: api.CodePermission},
		{Is: keystore.ErrEmptyPassword, Code: api.CodeInvalid},
		{Is: keystore.ErrUnlocked, Code: api.CodePrecondition},
		{Is: keystore.ErrAlreadyLocked, Code: api.CodePrecondition},
		{Is: keystore.ErrNotFound, Code: api.CodeNotFound, Hint: "list the addresses with: venus-wallet list"},
		{Is: crypto.ErrBadKey, Code: api.CodeInvalid},
	})
}

// tokenOf is the name of the caller's token.
func tokenOf(ctx context.Context) string {
	c, _ := rpc.CallerFrom(ctx)
	return c.Name
}

func hexAddr(a address.Address) string { return hex.EncodeToString(a.Bytes()) }

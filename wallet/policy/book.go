package policy

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"

	walletapi "github.com/filecoin-venus/venus/api/wallet"
	"github.com/filecoin-venus/venus/internal/fault"
	"github.com/filecoin-venus/venus/internal/fsutil"
)

// Day is the stretch that bounds on spending look at.
const Day = 24 * time.Hour

// What a Book answers.
var (
	ErrUnknown = errors.New("there is no such policy")
	ErrBound   = errors.New("keys or tokens are bound to the policy")
)

// file is what is on disk. Addresses, and keys of the map, are bytes in hex: no network's prefix matters.
type file struct {
	Version  int               `json:"version"`
	Policies []stored          `json:"policies"`
	Keys     map[string]string `json:"keys"`
	Tokens   map[string]string `json:"tokens"`
}

type stored struct {
	Name       string              `json:"name"`
	Types      []walletapi.MsgType `json:"types,omitzero"`
	Methods    []uint64            `json:"methods,omitzero"`
	Recipients []string            `json:"recipients,omitzero"`
	Signers    []string            `json:"signers,omitzero"`
	PerDay     *big.Int            `json:"perDay,omitempty"`
}

const version = 1

// Book holds the policies of a wallet. It is safe for concurrent use.
type Book struct {
	path string

	mu       sync.Mutex
	policies map[string]walletapi.Policy
	keys     map[string]string // address in hex
	tokens   map[string]string
	spent    map[account]window
}

// account is what a bound counts for: one key under one policy.
type account struct{ policy, signer string }

// Open reads the policies at path. Without a file there are none.
func Open(path string) (*Book, error) {
	b := &Book{path: path, policies: map[string]walletapi.Policy{}, keys: map[string]string{}, tokens: map[string]string{}, spent: map[account]window{}}
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return b, nil
	}
	if err == nil {
		err = b.decode(raw)
	}
	if err != nil {
		return nil, fmt.Errorf("policies %s: %w", path, err)
	}
	return b, nil
}

func (b *Book) decode(raw []byte) error {
	var f file
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("bytes follow the object")
	}
	if f.Version != version {
		return fmt.Errorf("version %d: this program reads version %d", f.Version, version)
	}
	for _, s := range f.Policies {
		p, err := s.policy()
		if err == nil {
			err = Validate(p)
		}
		if err != nil {
			return fmt.Errorf("policy %q: %w", s.Name, err)
		}
		b.policies[p.Name] = p
	}
	for _, m := range []map[string]string{f.Keys, f.Tokens} {
		for subject, name := range m {
			if _, ok := b.policies[name]; !ok {
				return fmt.Errorf("%q is bound to %q: %w", subject, name, ErrUnknown)
			}
		}
	}
	maps.Copy(b.keys, f.Keys)
	maps.Copy(b.tokens, f.Tokens)
	return nil
}

func (s stored) policy() (p walletapi.Policy, err error) {
	p = walletapi.Policy{Name: s.Name, Types: s.Types, PerDay: s.PerDay}
	if s.Methods != nil {
		p.Methods = []abi.MethodNum{}
		for _, m := range s.Methods {
			p.Methods = append(p.Methods, abi.MethodNum(m))
		}
	}
	if p.Recipients, err = unhex(s.Recipients); err != nil {
		return p, err
	}
	p.Signers, err = unhex(s.Signers)
	return p, err
}

func toStored(p walletapi.Policy) stored {
	s := stored{Name: p.Name, Types: p.Types, PerDay: p.PerDay, Recipients: toHex(p.Recipients), Signers: toHex(p.Signers)}
	if p.Methods != nil {
		s.Methods = []uint64{}
		for _, m := range p.Methods {
			s.Methods = append(s.Methods, uint64(m))
		}
	}
	return s
}

func toHex(as []address.Address) []string {
	if as == nil {
		return nil
	}
	out := make([]string, len(as))
	for i, a := range as {
		out[i] = hexOf(a)
	}
	return out
}

func hexOf(a address.Address) string { return hex.EncodeToString(a.Bytes()) }

func unhex(texts []string) ([]address.Address, error) {
	if texts == nil {
		return nil, nil
	}
	out := make([]address.Address, len(texts))
	for i, t := range texts {
		raw, err := hex.DecodeString(t)
		if err == nil {
			out[i], err = address.NewFromBytes(raw)
		}
		if err != nil {
			return nil, fmt.Errorf("address %q: %w", t, err)
		}
	}
	return out, nil
}

// write makes the state durable. Needs mu held.
func (b *Book) write() error {
	f := file{Version: version, Policies: []stored{}, Keys: b.keys, Tokens: b.tokens}
	for _, name := range slices.Sorted(maps.Keys(b.policies)) {
		f.Policies = append(f.Policies, toStored(b.policies[name]))
	}
	raw, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return fmt.Errorf("encode policies: %w", err)
	}
	if err := fault.Point("wallet/policyWrite"); err != nil {
		return err
	}
	return fsutil.WriteFileAtomic(b.path, raw, 0o600)
}

// change applies a change and takes it back when it cannot be made durable.
func (b *Book) change(apply func() error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	policies, keys, tokens := maps.Clone(b.policies), maps.Clone(b.keys), maps.Clone(b.tokens)
	err := apply()
	if err == nil {
		err = b.write()
	}
	if err != nil {
		b.policies, b.keys, b.tokens = policies, keys, tokens
	}
	return err
}

// Set adds a policy or replaces the one of its name. What was spent under the name stays counted.
func (b *Book) Set(p walletapi.Policy) error {
	if err := Validate(p); err != nil {
		return err
	}
	return b.change(func() error { b.policies[p.Name] = p; return nil })
}

// Remove removes a policy that nothing is bound to.
func (b *Book) Remove(name string) error {
	return b.change(func() error {
		if _, ok := b.policies[name]; !ok {
			return fmt.Errorf("%w: %q", ErrUnknown, name)
		}
		for _, m := range []map[string]string{b.keys, b.tokens} {
			for _, p := range m {
				if p == name {
					return ErrBound
				}
			}
		}
		delete(b.policies, name)
		return nil
	})
}

// BindKey binds a key to a policy; an empty name frees it.
func (b *Book) BindKey(a address.Address, name string) error {
	return b.bind(b.keysMap, hexOf(a), name)
}

// BindToken binds the tokens of a name to a policy; an empty policy frees them.
func (b *Book) BindToken(token, name string) error { return b.bind(b.tokensMap, token, name) }

func (b *Book) keysMap() map[string]string   { return b.keys }
func (b *Book) tokensMap() map[string]string { return b.tokens }

func (b *Book) bind(in func() map[string]string, subject, name string) error {
	return b.change(func() error {
		if name == "" {
			delete(in(), subject)
			return nil
		}
		if _, ok := b.policies[name]; !ok {
			return fmt.Errorf("%w: %q", ErrUnknown, name)
		}
		in()[subject] = name
		return nil
	})
}

// List returns everything, keys as addresses.
func (b *Book) List() (walletapi.Policies, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := walletapi.Policies{Policies: []walletapi.Policy{}, Keys: map[string]string{}, Tokens: maps.Clone(b.tokens)}
	for _, name := range slices.Sorted(maps.Keys(b.policies)) {
		out.Policies = append(out.Policies, b.policies[name])
	}
	for h, name := range b.keys {
		as, err := unhex([]string{h})
		if err != nil {
			return out, err
		}
		out.Keys[as[0].String()] = name
	}
	return out, nil
}

// unbound is what keys without a policy go by.
func unbound() walletapi.Policy { return walletapi.Policy{Name: "default"} }

// Judge refuses a request, or counts what it may cost and returns the names of the policies that were asked. What it
// counted stays counted, also if no signature is made after all.
func (b *Book) Judge(r Request, now time.Time) (asked []string, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	key, ok := b.policies[b.keys[hexOf(r.Signer)]]
	if !ok {
		key = unbound()
	}
	all := []walletapi.Policy{key}
	if t, ok := b.policies[b.tokens[r.Token]]; ok && t.Name != key.Name {
		all = append(all, t)
	}
	for _, p := range all {
		asked = append(asked, p.Name)
		if err := Check(p, r); err != nil {
			return asked, err
		}
		if p.PerDay == nil || r.Spend == nil {
			continue
		}
		w := b.spent[account{p.Name, hexOf(r.Signer)}]
		if total := w.with(r.Spend.Slot, r.Spend.Cost, now); total.GreaterThan(*p.PerDay) {
			return asked, refuse(p.Name, "it may cost %s attoFIL, and with what was signed in the last 24 hours that is %s of %s allowed", r.Spend.Cost, total, p.PerDay)
		}
	}
	if r.Spend != nil {
		for _, name := range asked {
			b.count(account{name, hexOf(r.Signer)}, r.Spend.Slot, r.Spend.Cost, now)
		}
	}
	return asked, nil
}

// Count restores what was signed before a restart.
func (b *Book) Count(policy, signerHex, slot string, cost big.Int, at time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.count(account{policy, signerHex}, slot, cost, at)
}

func (b *Book) count(a account, slot string, cost big.Int, at time.Time) {
	w, ok := b.spent[a]
	if !ok {
		w = window{}
		b.spent[a] = w
	}
	w.add(slot, cost, at)
}

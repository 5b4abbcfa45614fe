package wallet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/filecoin-project/go-address"

	"github.com/filecoin-venus/venus/api"
	walletapi "github.com/filecoin-venus/venus/api/wallet"
	"github.com/filecoin-venus/venus/wallet/policy"
	"github.com/filecoin-venus/venus/wallet/signlog"
)

// explainPolicy gives the refusals of the book a code.
func explainPolicy(err error) error {
	switch {
	case errors.Is(err, policy.ErrUnknown):
		return api.Errorf(api.CodeNotFound, "%w", err).WithHint("list them with: venus-wallet policy list")
	case errors.Is(err, policy.ErrBound):
		return api.Errorf(api.CodePrecondition, "%w", err).WithHint("bind them to another policy, or to none, first")
	}
	return err
}

// rule makes a change of policies that is on record before it takes effect.
func (s *Service) rule(ctx context.Context, what string, facts map[string]string, change func() error) error {
	if err := s.records.Append(signlog.Record{Decision: signlog.Done, Type: what, Token: tokenOf(ctx), Facts: facts}); err != nil {
		return err
	}
	return explainPolicy(change())
}

// PolicySet adds a policy or replaces one.
func (s *Service) PolicySet(ctx context.Context, p walletapi.Policy) error {
	if err := policy.Validate(p); err != nil {
		return api.Errorf(api.CodeInvalid, "%w", err)
	}
	return s.rule(ctx, "policy-set", map[string]string{"policy": p.Name}, func() error { return s.policies.Set(p) })
}

// PolicyRemove removes a policy that nothing is bound to.
func (s *Service) PolicyRemove(ctx context.Context, name string) error {
	return s.rule(ctx, "policy-remove", map[string]string{"policy": name}, func() error { return s.policies.Remove(name) })
}

// PolicyBindKey binds a key of this wallet, or one still to come, to a policy.
func (s *Service) PolicyBindKey(ctx context.Context, addr address.Address, name string) error {
	if p := addr.Protocol(); addr.Empty() || (p != address.BLS && p != address.SECP256K1) {
		return api.Errorf(api.CodeInvalid, "%s is not the address of a key", addr)
	}
	return s.rule(ctx, "policy-bind", map[string]string{"policy": name, "key": hexAddr(addr)}, func() error { return s.policies.BindKey(addr, name) })
}

// PolicyBindToken binds the tokens of a name to a policy.
func (s *Service) PolicyBindToken(ctx context.Context, token, name string) error {
	if err := checkTokenName(token); err != nil {
		return err
	}
	return s.rule(ctx, "policy-bind", map[string]string{"policy": name, "token": token}, func() error { return s.policies.BindToken(token, name) })
}

// maxTokenName bounds the name of a token, in bytes.
const maxTokenName = 64

func checkTokenName(name string) error {
	if name == "" || len(name) > maxTokenName || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return api.Errorf(api.CodeInvalid, "the name of a token has 1 to %d printable bytes", maxTokenName)
	}
	return nil
}

// PolicyList returns all policies and bindings.
func (s *Service) PolicyList(context.Context) (walletapi.Policies, error) { return s.policies.List() }

// AuthNewNamed makes a token with a name.
func (s *Service) AuthNewNamed(ctx context.Context, name string, perms []api.Permission) ([]byte, error) {
	if err := checkTokenName(name); err != nil {
		return nil, err
	}
	if len(perms) == 0 {
		return nil, api.Errorf(api.CodeInvalid, "a token without permissions is of no use")
	}
	for _, p := range perms {
		if _, err := api.ParsePermission(string(p)); err != nil {
			return nil, api.Errorf(api.CodeInvalid, "%w", err)
		}
	}
	err := s.records.Append(signlog.Record{
		Decision: signlog.Done, Type: "token", Token: tokenOf(ctx), Facts: map[string]string{"name": name, "permissions": fmt.Sprint(perms)},
	})
	if err != nil {
		return nil, err
	}
	return s.tokens.NewNamed(name, perms)
}

// Bounds of a page of records.
const (
	pageSize = 100
	maxPage  = 1000
)

// SignRecords returns a page of the signature log.
func (s *Service) SignRecords(_ context.Context, q walletapi.SignQuery) ([]walletapi.SignRecord, error) {
	f := signlog.Query{
		Type: string(q.Type), Token: q.Token, Decision: signlog.Decision(q.Decision), Since: q.Since, Until: q.Until,
		Skip: max(0, q.Skip), Limit: min(q.Limit, maxPage),
	}
	if f.Limit <= 0 {
		f.Limit = pageSize
	}
	if !q.Signer.Empty() {
		f.Signer = hexAddr(q.Signer)
	}
	rs, err := signlog.Find(s.records.Dir(), f)
	if err != nil {
		return nil, err
	}
	out := make([]walletapi.SignRecord, len(rs))
	for i, r := range rs {
		out[i] = walletapi.SignRecord{
			Seq: r.Seq, Time: r.Time, Decision: string(r.Decision), Signer: r.Signer, Type: r.Type, Token: r.Token, Policies: slices.Clone(r.Policies),
			Digest: r.Digest, Facts: r.Facts, Reason: r.Reason,
		}
	}
	return out, nil
}

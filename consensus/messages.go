package consensus

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"github.com/filecoin-project/go-address"
	gscrypto "github.com/filecoin-project/go-state-types/crypto"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin"
	"golang.org/x/sync/errgroup"

	"github.com/filecoin-venus/venus/chain"
	"github.com/filecoin-venus/venus/crypto"
	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/state"
	"github.com/filecoin-venus/venus/types"
	"github.com/filecoin-venus/venus/vm"
)

// CheckMessageSyntax is vm.CheckSyntax as a rule of blocks. The error is a *Reject.
func CheckMessageSyntax(m *types.Message, length int) error {
	if err := vm.CheckSyntax(m, length); err != nil {
		return reject(RuleMessageSyntax, "message %s: %s", m.Cid(), err)
	}
	return nil
}

// checkMessageRoot compares the delivered messages with the header.
func checkMessageRoot(ctx context.Context, full *types.FullBlock) error {
	if n := len(full.BlsMessages) + len(full.SecpkMessages); n > params.BlockMessageLimit {
		return reject(RuleMessageRoot, "%d messages were delivered, a block holds at most %d", n, params.BlockMessageLimit)
	}
	root, err := chain.MessageRoot(ctx, full.BlsMessages, full.SecpkMessages)
	if err != nil {
		return fmt.Errorf("message root: %w", err)
	}
	if root != full.Header.Messages {
		return reject(RuleMessageRoot, "the messages make root %s, the header names %s", root, full.Header.Messages)
	}
	return nil
}

// checkMessages is rule 7 with all its parts (node-nv15.md 3.3).
func (v *Validator) checkMessages(ctx context.Context, c *candidate) error {
	if err := checkMessageRoot(ctx, c.full); err != nil {
		return err // nothing can be said about messages that are not the block's
	}
	res, err := v.exec.Execute(ctx, c.base)
	if err != nil {
		return err
	}
	after := v.store.View(res.State)
	return merge([]error{
		checkMessageOrder(ctx, after, c.full),
		v.checkSignatures(c.full, func(from address.Address) (address.Address, error) { return keyOf(ctx, after, from) }),
	})
}

// checkMessageOrder walks the messages in block order: syntax, gas sum, senders, nonces.
func checkMessageOrder(ctx context.Context, after *state.View, full *types.FullBlock) error {
	gas := int64(0)
	next := map[address.Address]uint64{}
	for _, m := range (chain.BlockMessages{Bls: full.BlsMessages, Secpk: full.SecpkMessages}).All() {
		msg := m.VMMessage()
		if err := CheckMessageSyntax(msg, m.ChainLength()); err != nil {
			return err
		}
		if gas += msg.GasLimit; gas > params.BlockGasLimit {
			return reject(RuleMessageGas, "gas limits exceed %d at message %s", int64(params.BlockGasLimit), m.Cid())
		}
		id, err := after.LookupID(ctx, msg.From)
		if errors.Is(err, state.ErrActorNotFound) {
			return reject(RuleMessageSender, "message %s: sender %s does not exist", m.Cid(), msg.From)
		}
		if err != nil {
			return fmt.Errorf("sender of message %s: %w", m.Cid(), err)
		}
		expected, seen := next[id]
		if !seen {
			if expected, err = accountNonce(ctx, after, id); err != nil {
				return err
			}
		}
		if msg.Nonce != expected {
			return reject(RuleMessageNonce, "message %s of %s has nonce %d, next is %d", m.Cid(), msg.From, msg.Nonce, expected)
		}
		next[id] = expected + 1
	}
	return nil
}

func accountNonce(ctx context.Context, view *state.View, id address.Address) (uint64, error) {
	act, err := view.Actor(ctx, id)
	if errors.Is(err, state.ErrActorNotFound) {
		return 0, reject(RuleMessageSender, "sender %s does not exist", id)
	}
	if err != nil {
		return 0, fmt.Errorf("sender %s: %w", id, err)
	}
	if act.Code != builtin.AccountActorCodeID {
		return 0, reject(RuleMessageSender, "sender %s is no account", id)
	}
	return act.Nonce, nil
}

// keyOf resolves a sender by a state.
func keyOf(ctx context.Context, view *state.View, from address.Address) (address.Address, error) {
	key, err := view.ResolveToKey(ctx, from)
	if errors.Is(err, state.ErrActorNotFound) || errors.Is(err, state.ErrWrongActor) {
		return address.Undef, reject(RuleMessageSender, "sender %s has no key: %v", from, err)
	}
	if err != nil {
		return address.Undef, fmt.Errorf("key of sender %s: %w", from, err)
	}
	return key, nil
}

// keys resolves a sender for a signature check.
type keys func(from address.Address) (address.Address, error)

// checkSignatures verifies those of all messages.
func (v *Validator) checkSignatures(full *types.FullBlock, keyOf keys) error {
	return merge([]error{v.checkMessageSignatures(full, keyOf), v.checkAggregate(full, keyOf)})
}

// checkMessageSignatures verifies each secp256k1 message, several at a time. Of several bad ones it names the first.
func (v *Validator) checkMessageSignatures(full *types.FullBlock, keyOf keys) error {
	keys := make([]address.Address, len(full.SecpkMessages))
	for i, m := range full.SecpkMessages {
		if m.Signature.Type != gscrypto.SigTypeSecp256k1 {
			return reject(RuleMessageSignature, "message %s in the secp256k1 list has a signature of type %d", m.Cid(), m.Signature.Type)
		}
		var err error
		if keys[i], err = keyOf(m.Message.From); err != nil {
			return err
		}
	}
	errs := make([]error, len(keys))
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i, m := range full.SecpkMessages {
		group.Go(func() error {
			return guarded(func() error {
				if err := v.signatures.Verify(&m.Signature, keys[i], m.Message.Cid().Bytes()); err != nil {
					errs[i] = reject(RuleMessageSignature, "message %s: %v", m.Cid(), err)
				}
				return nil
			})
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// checkAggregate verifies the block's aggregate over all BLS messages. Without such messages only its form counts.
func (v *Validator) checkAggregate(full *types.FullBlock, keyOf keys) error {
	agg := full.Header.BLSAggregate
	if agg.Type != gscrypto.SigTypeBLS || len(agg.Data) != crypto.BLSSignatureSize {
		return reject(RuleBLSAggregate, "aggregate of type %d with %d bytes", agg.Type, len(agg.Data))
	}
	if len(full.BlsMessages) == 0 {
		return nil
	}
	keys := make([]address.Address, len(full.BlsMessages))
	bodies := make([][]byte, len(full.BlsMessages))
	for i, m := range full.BlsMessages {
		key, err := keyOf(m.From)
		if err != nil {
			return err
		}
		if key.Protocol() != address.BLS {
			return reject(RuleMessageSender, "BLS message %s comes from %s, which has no BLS key", m.Cid(), m.From)
		}
		keys[i], bodies[i] = key, m.Cid().Bytes()
	}
	if err := v.signatures.VerifyAggregate(agg.Data, keys, bodies); err != nil {
		return reject(RuleBLSAggregate, "%v", err)
	}
	return nil
}

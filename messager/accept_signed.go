package messager

import (
	"context"
	"errors"
	"fmt"

	"github.com/filecoin-project/go-address"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/internal/fault"
	"github.com/filecoin-venus/venus/messager/machine"
	"github.com/filecoin-venus/venus/messager/store"
	"github.com/filecoin-venus/venus/types"
)

// AcceptSigned takes a message that was signed elsewhere, reserves its nonce, and
// returns its id, the CID, once that is durable. From then on it is pushed and
// followed like any other. A nonce that would leave a gap is refused.
func (s *Service) AcceptSigned(ctx context.Context, user string, sm *types.SignedMessage) (string, error) {
	if sm == nil {
		return "", api.Errorf(api.CodeInvalid, "no message given")
	}
	if err := checkMessage(&sm.Message); err != nil {
		return "", err
	}
	from := sm.Message.From
	if p := from.Protocol(); p != address.BLS && p != address.SECP256K1 {
		return "", api.Errorf(api.CodeInvalid, "the sender %s of a signed message must be a key address", from)
	}
	if err := s.o.Verify(&sm.Signature, from, sm.Message.Cid().Bytes()); err != nil {
		return "", api.Errorf(api.CodeInvalid, "the signature is not by %s for this message: %w", from, err)
	}
	if sender, err := s.db.Sender(ctx, from); err == nil && sender.Paused {
		return "", errPaused(from)
	}
	m := machine.NewSigned(user, sm, s.clk.Now())
	if have, err := s.db.ByNonce(ctx, from, sm.Message.Nonce); err == nil {
		return ownerOf(&m, &have)
	} else if !errors.Is(err, store.ErrNotFound) {
		return "", err
	}
	cctx, cancel := context.WithTimeout(ctx, nodeTimeout)
	defer cancel()
	node, err := s.node().MpoolGetNonce(cctx, from)
	if err != nil {
		return "", fmt.Errorf("ask the node for the nonce of %s: %w", from, err)
	}
	if err := fault.Point("messager/accept"); err != nil {
		return "", err
	}
	err = s.db.Update(ctx, func(tx *store.Tx) error { return s.reserve(tx, &m, node) })
	if errors.Is(err, store.ErrExists) || errors.Is(err, store.ErrStale) {
		return "", api.Errorf(api.CodeConflict, "the nonces of %s changed meanwhile", from).WithHint("try again")
	}
	if err != nil {
		return "", err
	}
	s.meters.event("queued", &m)
	s.worker(from).wake()
	return m.ID, fault.Point("messager/accepted")
}

// reserve writes a signed message and gives it its nonce, if that leaves no gap.
func (s *Service) reserve(tx *store.Tx, m *machine.Message, node uint64) error {
	from, nonce := m.Msg.From, m.Msg.Nonce
	if err := tx.EnsureSender(from, m.Created); err != nil {
		return err
	}
	next, err := tx.NextNonce(from)
	if err != nil {
		return err
	}
	switch expected := max(next, node); {
	case nonce < node:
		return api.Errorf(api.CodePrecondition, "nonce %d of %s is used already; the next one is %d", nonce, from, expected)
	case nonce > expected:
		return api.Errorf(api.CodePrecondition, "nonce %d of %s would leave a gap; the next one is %d", nonce, from, expected).
			WithHint("push the messages of a sender in the order of their nonces")
	}
	if err := tx.SetNonce(from, next, max(next, nonce+1)); err != nil {
		return err
	}
	if err := tx.Insert(m, machine.Note{At: m.Created, Kind: "signed", Text: fmt.Sprintf("elsewhere, with nonce %d, fee cap %s, premium %s", nonce, m.Msg.GasFeeCap, m.Msg.GasPremium)}); err != nil {
		return err
	}
	return tx.Attempt(m)
}

// ownerOf answers for a nonce that has an owner: the same message is answered again.
func ownerOf(m, have *machine.Message) (string, error) {
	if have.ID == m.ID || have.SignedCid == m.SignedCid {
		return have.ID, nil
	}
	return "", api.Errorf(api.CodeConflict, "nonce %d of %s belongs to message %s", m.Msg.Nonce, m.Msg.From, have.ID).
		WithHint("sign it again with the next nonce, or have that message replaced")
}

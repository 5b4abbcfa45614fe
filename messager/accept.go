package messager

import (
	"context"
	"errors"
	"fmt"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/google/uuid"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/internal/fault"
	"github.com/filecoin-venus/venus/messager/machine"
	"github.com/filecoin-venus/venus/messager/store"
	"github.com/filecoin-venus/venus/types"
)

const (
	maxIDLength = 128
	// maxMessageBytes leaves room for nonce, gas and signature below the 64 KiB
	// that nodes relay.
	maxMessageBytes = 64<<10 - 512
)

// Accept takes a message under an id of the caller's, or a new one if id is "",
// and returns the id once the message is durable. The same request under the same
// id is answered again; another one is an error of kind conflict.
func (s *Service) Accept(ctx context.Context, id, user, walletName string, msg *types.Message, lim machine.Limits) (string, error) {
	m, err := s.checked(ctx, id, user, walletName, msg, lim)
	if err != nil {
		return "", err
	}
	if err := fault.Point("messager/accept"); err != nil {
		return "", err
	}
	err = s.intake.add(&m)
	if errors.Is(err, store.ErrExists) {
		return s.acceptAgain(ctx, &m)
	}
	if errors.Is(err, errSenderPaused) {
		return "", errPaused(m.Msg.From)
	}
	if err != nil {
		return "", fmt.Errorf("store message: %w", err)
	}
	// On disk: the id may be told.
	s.meters.event("queued", &m)
	s.worker(m.Msg.From).wake()
	return m.ID, fault.Point("messager/accepted")
}

func (s *Service) acceptAgain(ctx context.Context, m *machine.Message) (string, error) {
	have, err := s.db.Get(ctx, m.ID)
	if err != nil {
		return "", fmt.Errorf("look up message %s: %w", m.ID, err)
	}
	if !have.SameRequest(m) {
		return "", api.Errorf(api.CodeConflict, "id %s was already used for another message", m.ID).WithHint("use a new id for a new message")
	}
	return m.ID, nil
}

func errPaused(a address.Address) error {
	return api.Errorf(api.CodePrecondition, "address %s is paused", a).WithHint("resume it with `venus-messager address active %s`", a)
}

// checked turns a request into a message, resolving its sender and wallet.
func (s *Service) checked(ctx context.Context, id, user, walletName string, msg *types.Message, lim machine.Limits) (machine.Message, error) {
	var none machine.Message
	if id == "" {
		id = uuid.NewString()
	}
	if len(id) > maxIDLength {
		return none, api.Errorf(api.CodeInvalid, "id is longer than %d bytes", maxIDLength)
	}
	if err := checkMessage(msg); err != nil {
		return none, err
	}
	own := *msg
	var err error
	if own.From, err = s.keyOf(ctx, msg.From); err != nil {
		return none, err
	}
	if walletName, err = s.wallets.holder(ctx, walletName, own.From); err != nil {
		return none, err
	}
	m := machine.New(id, user, walletName, own, lim, s.clk.Now())
	raw, err := m.Msg.Serialize()
	if err != nil {
		return none, api.Errorf(api.CodeInvalid, "message cannot be encoded: %w", err)
	}
	if len(raw) > maxMessageBytes {
		return none, api.Errorf(api.CodeLimit, "message has %d bytes, the network takes %d", len(raw), maxMessageBytes)
	}
	return m, nil
}

func checkMessage(msg *types.Message) error {
	switch {
	case msg == nil:
		return api.Errorf(api.CodeInvalid, "no message given")
	case msg.From == address.Undef:
		return api.Errorf(api.CodeInvalid, "message has no sender")
	case msg.To == address.Undef:
		return api.Errorf(api.CodeInvalid, "message has no recipient")
	case msg.Version != types.MessageVersion:
		return api.Errorf(api.CodeInvalid, "message version %d is unknown", msg.Version)
	case msg.Value.Int != nil && msg.Value.LessThan(big.Zero()):
		return api.Errorf(api.CodeInvalid, "message value %s is negative", msg.Value)
	case msg.GasLimit < 0 || msg.GasLimit > 10_000_000_000:
		return api.Errorf(api.CodeInvalid, "gas limit %d is outside a block's 10000000000", msg.GasLimit)
	}
	return nil
}

// keyOf turns a sender into its key address. ID addresses are looked up on chain.
func (s *Service) keyOf(ctx context.Context, a address.Address) (address.Address, error) {
	if p := a.Protocol(); p == address.BLS || p == address.SECP256K1 {
		return a, nil
	}
	cctx, cancel := context.WithTimeout(ctx, nodeTimeout)
	defer cancel()
	key, err := s.node().StateAccountKey(cctx, a, types.EmptyTSK)
	if err != nil {
		return address.Undef, fmt.Errorf("find the key of sender %s: %w", a, err)
	}
	return key, nil
}

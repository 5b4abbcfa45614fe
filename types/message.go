package types

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/go-state-types/crypto"
	"github.com/filecoin-project/go-state-types/exitcode"
	"github.com/ipfs/go-cid"
)

// MessageVersion is the only message version the network accepts.
const MessageVersion = 0

// Message is an unsigned transfer of value and a method call. Amounts are in
// attoFIL, gas prices in attoFIL per unit of gas.
type Message struct {
	Version    uint64
	To         address.Address
	From       address.Address
	Nonce      uint64
	Value      abi.TokenAmount
	GasLimit   int64
	GasFeeCap  abi.TokenAmount
	GasPremium abi.TokenAmount
	Method     abi.MethodNum
	Params     []byte
}

// ChainMsg is a message in the form a block carries it: bare when its
// signature is part of the block's BLS aggregate, signed otherwise.
type ChainMsg interface {
	Cid() cid.Cid
	VMMessage() *Message
	// ChainLength is the number of CBOR bytes the message pays gas for.
	ChainLength() int
}

// Serialize returns the canonical CBOR of the message.
func (m *Message) Serialize() ([]byte, error) {
	raw, err := Encode(m)
	if err != nil {
		return nil, fmt.Errorf("encode message: %w", err)
	}
	return raw, nil
}

// Cid is the identity of the unsigned message: what gets signed, and what a
// BLS message is known by on chain.
func (m *Message) Cid() cid.Cid { return cidOf(m) }

// VMMessage returns the message itself.
func (m *Message) VMMessage() *Message { return m }

// ChainLength is the length of the unsigned encoding.
func (m *Message) ChainLength() int { return lengthOf(m) }

// RequiredFunds is what the sender must own before execution: the gas limit at
// the fee cap. Value is not part of it (node.md 4.10).
func (m *Message) RequiredFunds() big.Int {
	return big.Mul(m.GasFeeCap, big.NewInt(m.GasLimit))
}

// DecodeMessage reads one message and refuses trailing bytes.
func DecodeMessage(b []byte) (*Message, error) {
	m := new(Message)
	if err := decodeExact(b, m); err != nil {
		return nil, fmt.Errorf("decode message: %w", err)
	}
	return m, nil
}

// rawMessage drops the methods of Message so that encoding/json sees the fields.
type rawMessage Message

// MarshalJSON adds the CID beside the fields, as the field's clients expect.
func (m *Message) MarshalJSON() ([]byte, error) {
	return json.Marshal(&struct {
		*rawMessage
		CID cid.Cid
	}{(*rawMessage)(m), m.Cid()})
}

// UnmarshalJSON reads the fields and ignores any CID given.
func (m *Message) UnmarshalJSON(b []byte) error {
	return json.Unmarshal(b, (*rawMessage)(m))
}

// SignedMessage is a message with its sender's signature over the CID bytes of
// the unsigned message.
type SignedMessage struct {
	Message   Message
	Signature crypto.Signature
}

// Serialize returns the canonical CBOR of the signed message.
func (m *SignedMessage) Serialize() ([]byte, error) {
	raw, err := Encode(m)
	if err != nil {
		return nil, fmt.Errorf("encode signed message: %w", err)
	}
	return raw, nil
}

// Cid is the on-chain identity: of the bare message when BLS-signed (the
// signature moves into the block's aggregate), of the whole otherwise.
func (m *SignedMessage) Cid() cid.Cid {
	if m.Signature.Type == crypto.SigTypeBLS {
		return m.Message.Cid()
	}
	return cidOf(m)
}

// VMMessage returns the unsigned message.
func (m *SignedMessage) VMMessage() *Message { return &m.Message }

// ChainLength is the length in the form a block carries the message.
func (m *SignedMessage) ChainLength() int {
	if m.Signature.Type == crypto.SigTypeBLS {
		return m.Message.ChainLength()
	}
	return lengthOf(m)
}

// DecodeSignedMessage reads one signed message and refuses trailing bytes.
func DecodeSignedMessage(b []byte) (*SignedMessage, error) {
	m := new(SignedMessage)
	if err := decodeExact(b, m); err != nil {
		return nil, fmt.Errorf("decode signed message: %w", err)
	}
	return m, nil
}

type rawSignedMessage SignedMessage

// MarshalJSON adds the on-chain CID beside the fields.
func (m *SignedMessage) MarshalJSON() ([]byte, error) {
	return json.Marshal(&struct {
		Message   *Message
		Signature crypto.Signature
		CID       cid.Cid
	}{&m.Message, m.Signature, m.Cid()})
}

// UnmarshalJSON reads the fields and ignores any CID given.
func (m *SignedMessage) UnmarshalJSON(b []byte) error {
	return json.Unmarshal(b, (*rawSignedMessage)(m))
}

// MessageReceipt is the outcome of one explicit message. Gas is in units.
type MessageReceipt struct {
	ExitCode exitcode.ExitCode
	Return   []byte
	GasUsed  int64
}

// Equals tells whether two receipts are the same outcome.
func (r *MessageReceipt) Equals(o *MessageReceipt) bool {
	return r.ExitCode == o.ExitCode && r.GasUsed == o.GasUsed && bytes.Equal(r.Return, o.Return)
}

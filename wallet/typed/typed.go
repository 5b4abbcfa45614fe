// Package typed decides what bytes a wallet may put a signature on. It is pure: a request in, the exact bytes and the
// facts for the signature log out, or a refusal with a reason.
//
// Start reading at Prepare. The rule behind all of it: the wallet never signs bytes that a caller composed. A request
// names a kind; the wallet decodes the object of that kind, encodes it again itself and signs its own encoding. The
// encodings of different kinds cannot be mistaken for each other:
//
//	message           38 CID bytes, beginning 01 71 a0 e4 02 20
//	block             CBOR list of 16 (90), signature null
//	dealproposal      CBOR list of 11 (8b) beginning with a CID
//	signedvoucher     CBOR list of 11 (8b) beginning with an address, signature null
//	drawrandomparam   32 bytes, the hash the wallet draws itself, for tickets and elections only
//	text              an envelope beginning with 0x19 (FRC-0102)
//
// Bytes of no kind ("unknown", the raw signing of old wallets) are prepared only when they cannot be one of those kinds
// but a draw, and policies refuse them unless a key's policy names them: whoever could have any bytes signed could sign any message by
// its CID (auth-wallet-messager.md E10).
package typed

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/go-state-types/crypto"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/market"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/paych"
	cbg "github.com/whyrusleeping/cbor-gen"
	"golang.org/x/crypto/blake2b"

	walletapi "github.com/filecoin-venus/venus/api/wallet"
	venuscrypto "github.com/filecoin-venus/venus/crypto"
	"github.com/filecoin-venus/venus/types"
	"github.com/filecoin-venus/venus/wallet/signlog"
)

// Kinds lists what Prepare accepts, in the words of the wallet API's MsgMeta.Type.
func Kinds() []walletapi.MsgType {
	return []walletapi.MsgType{
		walletapi.TypeMessage, walletapi.TypeBlock, walletapi.TypeDrawRandomParam, walletapi.TypeDealProposal,
		walletapi.TypeSignedVoucher, walletapi.TypeText,
	}
}

// maxRequest bounds what is decoded, in bytes; messages and headers are far smaller.
const maxRequest = 1 << 20

// ErrRefused is wrapped by every refusal.
var ErrRefused = errors.New("refused to sign")

// Prepared is what may be signed.
type Prepared struct {
	Bytes []byte
	// Facts are for the log and for people: address bytes in hex, numbers in decimal.
	Facts map[string]string
	// Block is set for a block header: the wallet must reserve its height first.
	Block *signlog.Block
	// Spend is set for what moves money.
	Spend *Spend
}

// Spend is what signing something may cost its signer.
type Spend struct {
	To     address.Address
	Method uint64
	// Cost in attoFIL: the value and, of a message, all that its gas may take.
	Cost big.Int
	// Slot names what can be spent only once: of things with one slot at most one takes effect.
	Slot string
}

// Digest is the hex blake2b-256 of what is signed.
func (p *Prepared) Digest() string { return digest(p.Bytes) }

func digest(b []byte) string {
	sum := blake2b.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func refuse(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrRefused, fmt.Errorf(format, args...))
}

// Prepare judges a request of signer. For a message the object is extra, and toSign, when given, must be the bytes of
// its CID; for every other kind the object is toSign.
func Prepare(kind walletapi.MsgType, signer address.Address, toSign, extra []byte) (p *Prepared, err error) {
	defer func() {
		// The decoders of the actors' types are foreign code on foreign bytes.
		if r := recover(); r != nil {
			p, err = nil, refuse("%s cannot be decoded: %v", kind, r)
		}
	}()
	if len(toSign) > maxRequest || len(extra) > maxRequest {
		return nil, refuse("the request is larger than %d bytes", maxRequest)
	}
	switch kind {
	case walletapi.TypeMessage:
		return prepareMessage(signer, toSign, extra)
	case walletapi.TypeBlock:
		return prepareBlock(signer, toSign)
	case walletapi.TypeDealProposal:
		return prepareDeal(signer, toSign)
	case walletapi.TypeDrawRandomParam:
		return prepareDraw(signer, toSign)
	case walletapi.TypeSignedVoucher:
		return prepareVoucher(toSign)
	case walletapi.TypeText:
		return prepareText(toSign), nil
	case walletapi.TypeUnknown, "":
		return prepareRaw(toSign)
	}
	return nil, refuse("kind %q is not one of %v", string(kind), Kinds())
}

func prepareMessage(signer address.Address, toSign, extra []byte) (*Prepared, error) {
	if len(extra) == 0 {
		return nil, refuse("the message itself is missing (MsgMeta.Extra holds its CBOR)")
	}
	m, err := types.DecodeMessage(extra)
	if err != nil {
		return nil, refuse("%w", err)
	}
	if m.From != signer {
		return nil, refuse("the message is from %s, not from the signer %s", m.From, signer)
	}
	if m.Version != types.MessageVersion {
		return nil, refuse("message version %d is not accepted by the network", m.Version)
	}
	if m.Value.LessThan(big.Zero()) || m.GasFeeCap.LessThan(big.Zero()) || m.GasPremium.LessThan(big.Zero()) || m.GasLimit < 0 {
		return nil, refuse("the message has a negative amount")
	}
	raw, err := m.Serialize()
	if err != nil {
		return nil, refuse("%w", err)
	}
	c, err := types.CidPrefix.Sum(raw)
	if err != nil {
		return nil, refuse("hash message: %w", err)
	}
	if len(toSign) > 0 && !bytes.Equal(toSign, c.Bytes()) {
		return nil, refuse("the bytes to sign are not the CID of the message in MsgMeta.Extra")
	}
	spend := &Spend{
		To: m.To, Method: uint64(m.Method), Cost: big.Add(m.Value, big.Mul(m.GasFeeCap, big.NewInt(m.GasLimit))),
		Slot: "nonce " + strconv.FormatUint(m.Nonce, 10),
	}
	return &Prepared{Bytes: c.Bytes(), Spend: spend, Facts: map[string]string{
		"cid": c.String(), "to": hexAddr(m.To), "value": m.Value.String(), "nonce": strconv.FormatUint(m.Nonce, 10),
		"method": strconv.FormatUint(uint64(m.Method), 10), "gaslimit": strconv.FormatInt(m.GasLimit, 10), "feecap": m.GasFeeCap.String(),
	}}, nil
}

// prepareRaw takes bytes that look like nothing else.
func prepareRaw(toSign []byte) (*Prepared, error) {
	switch {
	case len(toSign) == 0:
		return nil, refuse("there is nothing to sign")
	case len(toSign) == cidLength && bytes.HasPrefix(toSign, cidStart):
		return nil, refuse("raw bytes are never signed when they are the CID of a message; use the type message")
	case toSign[0] == cborList16 || toSign[0] == cborList11 || toSign[0] == textPrefix[0]:
		return nil, refuse("raw bytes are never signed when they could be a block, a deal, a voucher or a text; name what it is: %v", Kinds())
	}
	return &Prepared{Bytes: bytes.Clone(toSign), Facts: map[string]string{"length": strconv.Itoa(len(toSign))}}, nil
}

// How the bytes of other kinds begin.
const (
	cidLength  = 38
	cborList11 = 0x8b
	cborList16 = 0x90
)

var cidStart = []byte{0x01, 0x71, 0xa0, 0xe4, 0x02, 0x20}

func prepareBlock(signer address.Address, toSign []byte) (*Prepared, error) {
	if signer.Protocol() != address.BLS {
		return nil, refuse("blocks are signed by BLS keys only, %s is another", signer)
	}
	h, err := types.DecodeBlock(toSign)
	if err != nil {
		return nil, refuse("%w", err)
	}
	if h.BlockSig != nil {
		return nil, refuse("the block header carries a signature already")
	}
	if h.Miner.Protocol() != address.ID {
		return nil, refuse("the block's miner %s is not an ID address", h.Miner)
	}
	if h.Height <= 0 {
		return nil, refuse("no block is mined at height %d", h.Height)
	}
	raw, err := h.SigningBytes()
	if err != nil {
		return nil, refuse("%w", err)
	}
	d := digest(raw)
	return &Prepared{
		Bytes: raw,
		Facts: map[string]string{"miner": hexAddr(h.Miner), "height": strconv.FormatInt(int64(h.Height), 10)},
		Block: &signlog.Block{Miner: hexAddr(h.Miner), Height: h.Height, Digest: d, Timestamp: h.Timestamp},
	}, nil
}

func prepareDraw(signer address.Address, toSign []byte) (*Prepared, error) {
	if signer.Protocol() != address.BLS {
		return nil, refuse("tickets and election proofs are made by BLS keys only, %s is another", signer)
	}
	p, err := types.DecodeDrawRandomParams(toSign)
	if err != nil {
		return nil, refuse("%w", err)
	}
	if p.Pers != crypto.DomainSeparationTag_TicketProduction && p.Pers != crypto.DomainSeparationTag_ElectionProofProduction {
		return nil, refuse("randomness of tag %d is not signed by miners, only tickets (1) and election proofs (2) are", p.Pers)
	}
	if p.Round < 0 {
		return nil, refuse("round %d is negative", p.Round)
	}
	return &Prepared{
		Bytes: venuscrypto.DrawRandomness(p.Rbase, p.Pers, p.Round, p.Entropy),
		Facts: map[string]string{"tag": strconv.FormatInt(int64(p.Pers), 10), "round": strconv.FormatInt(int64(p.Round), 10)},
	}, nil
}

func prepareDeal(signer address.Address, toSign []byte) (*Prepared, error) {
	var d market.DealProposal
	if err := decodeOne(toSign, &d); err != nil {
		return nil, refuse("decode deal proposal: %w", err)
	}
	if signer.Protocol() == d.Client.Protocol() && d.Client != signer {
		return nil, refuse("the deal's client is %s, not the signer %s", d.Client, signer)
	}
	raw, err := encodeOne(&d)
	if err != nil {
		return nil, refuse("encode deal proposal: %w", err)
	}
	return &Prepared{Bytes: raw, Facts: map[string]string{
		"client": hexAddr(d.Client), "provider": hexAddr(d.Provider), "piece": d.PieceCID.String(),
		"start": strconv.FormatInt(int64(d.StartEpoch), 10), "end": strconv.FormatInt(int64(d.EndEpoch), 10), "price": d.StoragePricePerEpoch.String(),
	}}, nil
}

func prepareVoucher(toSign []byte) (*Prepared, error) {
	var v paych.SignedVoucher
	if err := decodeOne(toSign, &v); err != nil {
		return nil, refuse("decode voucher: %w", err)
	}
	if v.Signature != nil {
		return nil, refuse("the voucher carries a signature already")
	}
	raw, err := v.SigningBytes()
	if err != nil {
		return nil, refuse("encode voucher: %w", err)
	}
	if v.Amount.Int == nil || v.Amount.LessThan(big.Zero()) {
		return nil, refuse("the voucher has no amount or a negative one")
	}
	// Vouchers of a lane add up to the last one's amount.
	spend := &Spend{To: v.ChannelAddr, Cost: v.Amount, Slot: fmt.Sprintf("voucher %s %d", hexAddr(v.ChannelAddr), v.Lane)}
	return &Prepared{Bytes: raw, Spend: spend, Facts: map[string]string{
		"channel": hexAddr(v.ChannelAddr), "lane": strconv.FormatUint(v.Lane, 10), "nonce": strconv.FormatUint(v.Nonce, 10), "amount": v.Amount.String(),
	}}, nil
}

// textPrefix begins the envelope of FRC-0102. No other kind begins with its first byte.
const textPrefix = "\x19Filecoin Signed Message:\n"

func prepareText(toSign []byte) *Prepared {
	b := append([]byte(textPrefix), strconv.Itoa(len(toSign))...)
	return &Prepared{Bytes: append(b, toSign...), Facts: map[string]string{"length": strconv.Itoa(len(toSign))}}
}

// TextEnvelope returns the bytes that a signature of kind text covers, for those who verify one.
func TextEnvelope(text []byte) []byte { return prepareText(text).Bytes }

func hexAddr(a address.Address) string { return hex.EncodeToString(a.Bytes()) }

func decodeOne(raw []byte, into cbg.CBORUnmarshaler) error {
	r := bytes.NewReader(raw)
	if err := into.UnmarshalCBOR(r); err != nil {
		return err
	}
	if r.Len() != 0 {
		return fmt.Errorf("%d bytes: %w", r.Len(), types.ErrTrailingBytes)
	}
	return nil
}

func encodeOne(v cbg.CBORMarshaler) ([]byte, error) {
	var b bytes.Buffer
	err := v.MarshalCBOR(&b)
	return b.Bytes(), err
}

package types

import (
	"bytes"
	"fmt"
	"math/big"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	fbig "github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/go-state-types/crypto"
	"github.com/filecoin-project/go-state-types/proof"
	"github.com/ipfs/go-cid"
	"golang.org/x/crypto/blake2b"
)

// Ticket is a block's VRF output; the smallest of a tipset is its randomness.
type Ticket struct {
	VRFProof []byte
}

// Digest is the ordering value of the ticket: blake2b-256 of the proof.
func (t *Ticket) Digest() [32]byte { return blake2b.Sum256(t.VRFProof) }

// Less orders tickets by digest.
func (t *Ticket) Less(o *Ticket) bool {
	a, b := t.Digest(), o.Digest()
	return bytes.Compare(a[:], b[:]) < 0
}

// Quality is in [0,1]: the likelihood that a random ticket is larger
// (node.md 4.2). Message selection weighs rivals with it.
func (t *Ticket) Quality() float64 {
	d := t.Digest()
	ratio, _ := new(big.Float).Quo(
		new(big.Float).SetInt(new(big.Int).SetBytes(d[:])),
		new(big.Float).SetInt(new(big.Int).Lsh(big.NewInt(1), 256)),
	).Float64()
	return 1 - ratio
}

// ElectionProof is the VRF output that won a miner its block and the number of
// wins drawn from it.
type ElectionProof struct {
	WinCount int64
	VRFProof []byte
}

// BeaconEntry is one round of the randomness beacon; Data is its signature.
type BeaconEntry struct {
	Round uint64
	Data  []byte
}

// BlockHeader is the consensus-relevant part of a block, a 16-tuple in CBOR
// (node.md 4.1). Nil pointers encode as null.
type BlockHeader struct {
	Miner                 address.Address
	Ticket                *Ticket
	ElectionProof         *ElectionProof
	BeaconEntries         []BeaconEntry
	WinPoStProof          []proof.PoStProof
	Parents               []cid.Cid
	ParentWeight          fbig.Int
	Height                abi.ChainEpoch
	ParentStateRoot       cid.Cid
	ParentMessageReceipts cid.Cid
	Messages              cid.Cid
	BLSAggregate          *crypto.Signature
	Timestamp             uint64
	BlockSig              *crypto.Signature
	ForkSignaling         uint64
	ParentBaseFee         abi.TokenAmount
}

// Serialize returns the canonical CBOR of the header.
func (h *BlockHeader) Serialize() ([]byte, error) {
	raw, err := Encode(h)
	if err != nil {
		return nil, fmt.Errorf("encode block header: %w", err)
	}
	return raw, nil
}

// Cid is the identity of the block.
func (h *BlockHeader) Cid() cid.Cid { return cidOf(h) }

// SigningBytes is what the miner's worker signs: the header with a null
// signature.
func (h *BlockHeader) SigningBytes() ([]byte, error) {
	unsigned := *h
	unsigned.BlockSig = nil
	return unsigned.Serialize()
}

// LastBeaconEntry returns the newest entry the block itself carries, or nil.
func (h *BlockHeader) LastBeaconEntry() *BeaconEntry {
	if len(h.BeaconEntries) == 0 {
		return nil
	}
	return &h.BeaconEntries[len(h.BeaconEntries)-1]
}

// DecodeBlock reads one header and refuses trailing bytes.
func DecodeBlock(b []byte) (*BlockHeader, error) {
	h := new(BlockHeader)
	if err := decodeExact(b, h); err != nil {
		return nil, fmt.Errorf("decode block header: %w", err)
	}
	return h, nil
}

// TxMeta names the two message lists of a block: AMTs of message CIDs in the
// v0 layout.
type TxMeta struct {
	BlsMessages   cid.Cid
	SecpkMessages cid.Cid
}

// Cid is what the header's Messages field holds.
func (m *TxMeta) Cid() cid.Cid { return cidOf(m) }

// BlockMsg is a block as gossip carries it: the header and the CIDs of its
// messages.
type BlockMsg struct {
	Header        *BlockHeader
	BlsMessages   []cid.Cid
	SecpkMessages []cid.Cid
}

// Cid is the CID of the header.
func (m *BlockMsg) Cid() cid.Cid { return m.Header.Cid() }

// Serialize returns the CBOR of the block message.
func (m *BlockMsg) Serialize() ([]byte, error) {
	var b bytes.Buffer
	if err := m.MarshalCBOR(&b); err != nil {
		return nil, fmt.Errorf("encode block message: %w", err)
	}
	return b.Bytes(), nil
}

// DecodeBlockMsg reads one block message and refuses trailing bytes.
func DecodeBlockMsg(b []byte) (*BlockMsg, error) {
	m := new(BlockMsg)
	if err := decodeExact(b, m); err != nil {
		return nil, fmt.Errorf("decode block message: %w", err)
	}
	if m.Header == nil {
		return nil, fmt.Errorf("decode block message: no header")
	}
	return m, nil
}

// FullBlock is a header with the messages themselves.
type FullBlock struct {
	Header        *BlockHeader
	BlsMessages   []*Message
	SecpkMessages []*SignedMessage
}

// Cid is the CID of the header.
func (b *FullBlock) Cid() cid.Cid { return b.Header.Cid() }

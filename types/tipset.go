package types

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sort"
	"strings"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/ipfs/go-cid"
	cbg "github.com/whyrusleeping/cbor-gen"
)

// TipSetKey names a tipset: the CIDs of its blocks in ticket order. It is
// comparable and fit as a map key; the zero value is the empty key, which APIs
// read as "the current head".
type TipSetKey struct {
	// value is the concatenation of the CIDs' bytes.
	value string
}

// EmptyTSK is the key of no tipset.
var EmptyTSK = TipSetKey{}

// NewTipSetKey builds a key from CIDs already in order.
func NewTipSetKey(cids ...cid.Cid) TipSetKey {
	var b strings.Builder
	for _, c := range cids {
		b.WriteString(c.KeyString())
	}
	return TipSetKey{b.String()}
}

// TipSetKeyFromBytes reads the form that Bytes returns.
func TipSetKeyFromBytes(b []byte) (TipSetKey, error) {
	for rest := b; len(rest) > 0; {
		n, _, err := cid.CidFromBytes(rest)
		if err != nil {
			return EmptyTSK, fmt.Errorf("decode tipset key: %w", err)
		}
		rest = rest[n:]
	}
	return TipSetKey{string(b)}, nil
}

// Bytes is the concatenation of the CIDs' bytes.
func (k TipSetKey) Bytes() []byte { return []byte(k.value) }

// IsEmpty tells whether the key names no block.
func (k TipSetKey) IsEmpty() bool { return k.value == "" }

// Cids returns the blocks' CIDs in ticket order.
func (k TipSetKey) Cids() []cid.Cid {
	var out []cid.Cid
	for rest := []byte(k.value); len(rest) > 0; {
		n, c, err := cid.CidFromBytes(rest)
		if err != nil {
			panic(fmt.Sprintf("tipset key holds a broken cid: %v", err)) // constructors admit whole CIDs only
		}
		out = append(out, c)
		rest = rest[n:]
	}
	return out
}

// Cid is the identity of the key itself: the CBOR list of its CIDs, hashed.
func (k TipSetKey) Cid() cid.Cid { return cidOf(k) }

// String lists the CIDs in braces.
func (k TipSetKey) String() string {
	parts := make([]string, 0, 1)
	for _, c := range k.Cids() {
		parts = append(parts, c.String())
	}
	return "{" + strings.Join(parts, ",") + "}"
}

// MarshalJSON writes the list of CIDs.
func (k TipSetKey) MarshalJSON() ([]byte, error) {
	cids := k.Cids()
	if cids == nil {
		cids = []cid.Cid{}
	}
	return json.Marshal(cids)
}

// UnmarshalJSON reads a list of CIDs; null and [] are the empty key.
func (k *TipSetKey) UnmarshalJSON(b []byte) error {
	var cids []cid.Cid
	if err := json.Unmarshal(b, &cids); err != nil {
		return fmt.Errorf("decode tipset key: %w", err)
	}
	for _, c := range cids {
		if !c.Defined() {
			return errors.New("decode tipset key: undefined cid")
		}
	}
	*k = NewTipSetKey(cids...)
	return nil
}

// MarshalCBOR writes the list of CIDs.
func (k TipSetKey) MarshalCBOR(w io.Writer) error {
	cw := cbg.NewCborWriter(w)
	cids := k.Cids()
	if err := cw.WriteMajorTypeHeader(cbg.MajArray, uint64(len(cids))); err != nil {
		return err
	}
	for _, c := range cids {
		if err := cbg.WriteCid(cw, c); err != nil {
			return err
		}
	}
	return nil
}

// maxTipSetBlocks bounds what a decoder allocates for one key. Fifteen wins
// are the most one miner can draw; real tipsets stay far below.
const maxTipSetBlocks = 1024

// UnmarshalCBOR reads a list of CIDs.
func (k *TipSetKey) UnmarshalCBOR(r io.Reader) error {
	cr := cbg.NewCborReader(r)
	maj, n, err := cr.ReadHeader()
	if err != nil {
		return err
	}
	if maj != cbg.MajArray || n > maxTipSetBlocks {
		return fmt.Errorf("decode tipset key: not a list of at most %d cids", maxTipSetBlocks)
	}
	cids := make([]cid.Cid, n)
	for i := range cids {
		if cids[i], err = cbg.ReadCid(cr); err != nil {
			return err
		}
	}
	*k = NewTipSetKey(cids...)
	return nil
}

// TipSet is a non-empty set of blocks with the same height, parents and parent
// weight, in ticket order.
type TipSet struct {
	key    TipSetKey
	blocks []*BlockHeader
	cids   []cid.Cid
}

// NewTipSet checks that the blocks belong together and puts them into ticket
// order (ties by CID bytes). The slice is copied, the headers are shared and
// must not change afterwards.
func NewTipSet(blocks []*BlockHeader) (*TipSet, error) {
	if len(blocks) == 0 {
		return nil, errors.New("tipset of no blocks")
	}
	sorted := append([]*BlockHeader(nil), blocks...)
	cidOfBlock := make(map[*BlockHeader]cid.Cid, len(sorted))
	first := sorted[0]
	for _, b := range sorted {
		if b.Height != first.Height || !b.ParentWeight.Equals(first.ParentWeight) || !slices.Equal(b.Parents, first.Parents) {
			return nil, fmt.Errorf("blocks %s and %s differ in height, parents or parent weight", first.Cid(), b.Cid())
		}
		if b.Ticket == nil && len(sorted) > 1 {
			return nil, fmt.Errorf("block %s has no ticket", b.Cid())
		}
		cidOfBlock[b] = b.Cid()
	}
	sort.SliceStable(sorted, func(i, j int) bool {
		a, b := sorted[i].Ticket.Digest(), sorted[j].Ticket.Digest()
		if c := bytes.Compare(a[:], b[:]); c != 0 {
			return c < 0
		}
		return cidOfBlock[sorted[i]].KeyString() < cidOfBlock[sorted[j]].KeyString()
	})
	ts := &TipSet{blocks: sorted, cids: make([]cid.Cid, len(sorted))}
	for i, b := range sorted {
		ts.cids[i] = cidOfBlock[b]
		if i > 0 && ts.cids[i] == ts.cids[i-1] {
			return nil, fmt.Errorf("block %s appears twice", ts.cids[i])
		}
	}
	ts.key = NewTipSetKey(ts.cids...)
	return ts, nil
}

// Key returns the tipset's name.
func (ts *TipSet) Key() TipSetKey { return ts.key }

// Cids returns the blocks' CIDs in ticket order; do not change the slice.
func (ts *TipSet) Cids() []cid.Cid { return ts.cids }

// Blocks returns the headers in ticket order; do not change them.
func (ts *TipSet) Blocks() []*BlockHeader { return ts.blocks }

// Height is the epoch of all blocks.
func (ts *TipSet) Height() abi.ChainEpoch { return ts.blocks[0].Height }

// Parents is the key of the tipset these blocks build on.
func (ts *TipSet) Parents() TipSetKey { return NewTipSetKey(ts.blocks[0].Parents...) }

// ParentState is the state root before any message of this tipset.
func (ts *TipSet) ParentState() cid.Cid { return ts.blocks[0].ParentStateRoot }

// ParentWeight is the weight of the chain below.
func (ts *TipSet) ParentWeight() big.Int { return ts.blocks[0].ParentWeight }

// ParentBaseFee is the base fee, in attoFIL per gas unit, that this tipset's
// messages pay.
func (ts *TipSet) ParentBaseFee() abi.TokenAmount { return ts.blocks[0].ParentBaseFee }

// MinTicketBlock is the block with the smallest ticket.
func (ts *TipSet) MinTicketBlock() *BlockHeader { return ts.blocks[0] }

// MinTicket is the smallest ticket.
func (ts *TipSet) MinTicket() *Ticket { return ts.blocks[0].Ticket }

// MinTimestamp is the earliest block timestamp, in Unix seconds.
func (ts *TipSet) MinTimestamp() uint64 {
	least := ts.blocks[0].Timestamp
	for _, b := range ts.blocks[1:] {
		least = min(least, b.Timestamp)
	}
	return least
}

// Contains tells whether the block is part of the tipset.
func (ts *TipSet) Contains(c cid.Cid) bool {
	for _, o := range ts.cids {
		if o == c {
			return true
		}
	}
	return false
}

// Equals compares by key; two nil tipsets are equal.
func (ts *TipSet) Equals(o *TipSet) bool {
	if ts == nil || o == nil {
		return ts == o
	}
	return ts.key == o.key
}

// IsChildOf tells whether parent is the tipset this one builds on.
func (ts *TipSet) IsChildOf(parent *TipSet) bool {
	return ts.Parents() == parent.key && ts.Height() > parent.Height()
}

// String shows height and key.
func (ts *TipSet) String() string { return fmt.Sprintf("%d%s", ts.Height(), ts.key) }

type tipSetJSON struct {
	Cids   []cid.Cid
	Blocks []*BlockHeader
	Height abi.ChainEpoch
}

// MarshalJSON writes {Cids, Blocks, Height}.
func (ts *TipSet) MarshalJSON() ([]byte, error) {
	return json.Marshal(tipSetJSON{ts.cids, ts.blocks, ts.Height()})
}

// UnmarshalJSON rebuilds and checks the tipset from its blocks.
func (ts *TipSet) UnmarshalJSON(b []byte) error {
	var raw tipSetJSON
	if err := json.Unmarshal(b, &raw); err != nil {
		return fmt.Errorf("decode tipset: %w", err)
	}
	for i, h := range raw.Blocks {
		if h == nil {
			return fmt.Errorf("decode tipset: block %d is null", i)
		}
	}
	built, err := NewTipSet(raw.Blocks)
	if err != nil {
		return fmt.Errorf("decode tipset: %w", err)
	}
	*ts = *built
	return nil
}

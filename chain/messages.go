package chain

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/filecoin-project/go-address"
	amt "github.com/filecoin-project/go-amt-ipld/v2"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/crypto"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	cbor "github.com/ipfs/go-ipld-cbor"
	cbg "github.com/whyrusleeping/cbor-gen"

	"github.com/filecoin-venus/venus/ipld"
	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/types"
)

// ErrMissingMessage: a message is not in the store.
var ErrMissingMessage = errors.New("message is not in the chain store")

// PutMessage stores a message in its on-chain form and returns its on-chain CID. A BLS-signed message is stored bare: its
// signature lives on in the aggregate of its block.
func (s *Store) PutMessage(ctx context.Context, m types.ChainMsg) (cid.Cid, error) {
	blk, err := messageBlock(m)
	if err != nil {
		return cid.Undef, err
	}
	if err := s.blocks.Put(ctx, blk.Cid(), blk.RawData()); err != nil {
		return cid.Undef, fmt.Errorf("store message %s: %w", blk.Cid(), err)
	}
	return blk.Cid(), nil
}

func messageBlock(m types.ChainMsg) (blocks.Block, error) {
	var raw []byte
	var err error
	if sm, ok := m.(*types.SignedMessage); ok && sm.Signature.Type != crypto.SigTypeBLS {
		raw, err = sm.Serialize()
	} else {
		raw, err = m.VMMessage().Serialize()
	}
	if err != nil {
		return nil, err
	}
	return blocks.NewBlockWithCid(raw, types.Sum(raw))
}

// carried are the messages that a block carries, and their CIDs on chain, BLS first.
type carried struct {
	bls   []*types.Message
	secpk []*types.SignedMessage
	cids  []cid.Cid
}

// carriedCache is of how many blocks the messages stay in memory: between a block's coming and the judgement of its children they
// are asked for twice, for the base fee and for execution.
const carriedCache = 16

// PutFullBlock stores the messages and the message lists of a block, not its header.
func (s *Store) PutFullBlock(ctx context.Context, b *types.FullBlock) error {
	buffer, kept, err := s.bufferBlock(ctx, b)
	if err != nil {
		return err
	}
	if err := buffer.Flush(ctx, b.Header.Messages); err != nil {
		return fmt.Errorf("store messages of block %s: %w", b.Cid(), err)
	}
	s.messages.Add(b.Header.Messages, kept)
	return nil
}

// bufferBlock puts messages and lists before the store, to be flushed in one go, and returns what to keep in memory then.
func (s *Store) bufferBlock(ctx context.Context, b *types.FullBlock) (*ipld.Buffered, carried, error) {
	buffer := ipld.NewBuffered(s.blocks)
	kept := carried{bls: slices.Clip(b.BlsMessages), secpk: slices.Clip(b.SecpkMessages)}
	for _, m := range (BlockMessages{Bls: kept.bls, Secpk: kept.secpk}).All() {
		blk, err := messageBlock(m)
		if err != nil {
			return nil, carried{}, err
		}
		if err := buffer.Put(ctx, blk.Cid(), blk.RawData()); err != nil {
			return nil, carried{}, err
		}
		kept.cids = append(kept.cids, blk.Cid())
	}
	root, err := writeLists(ctx, buffer, kept.cids[:len(kept.bls)], kept.cids[len(kept.bls):])
	if err != nil {
		return nil, carried{}, err
	}
	if root != b.Header.Messages {
		return nil, carried{}, fmt.Errorf("messages of block %s make the root %s, the header says %s", b.Cid(), root, b.Header.Messages)
	}
	return buffer, kept, nil
}

// PutMessageLists stores the two message lists of a block and returns the root that its header names.
func (s *Store) PutMessageLists(ctx context.Context, bls []*types.Message, secpk []*types.SignedMessage) (cid.Cid, error) {
	return writeMessageLists(ctx, s.blocks, bls, secpk)
}

// MessageRoot computes the root that a header must name for the given messages, without storing anything.
func MessageRoot(ctx context.Context, bls []*types.Message, secpk []*types.SignedMessage) (cid.Cid, error) {
	return writeMessageLists(ctx, ipld.NewMemory(), bls, secpk)
}

// MessageRootOf is MessageRoot for messages known by their CIDs.
func MessageRootOf(ctx context.Context, bls, secpk []cid.Cid) (cid.Cid, error) {
	return writeLists(ctx, ipld.NewMemory(), bls, secpk)
}

func writeMessageLists(ctx context.Context, into ipld.Blockstore, bls []*types.Message, secpk []*types.SignedMessage) (cid.Cid, error) {
	blsCids := make([]cid.Cid, len(bls))
	for i, m := range bls {
		blsCids[i] = m.Cid()
	}
	secpkCids := make([]cid.Cid, len(secpk))
	for i, m := range secpk {
		secpkCids[i] = m.Cid()
	}
	return writeLists(ctx, into, blsCids, secpkCids)
}

// writeLists collects the small nodes in memory and stores them in one go.
func writeLists(ctx context.Context, into ipld.Blockstore, bls, secpk []cid.Cid) (cid.Cid, error) {
	buffer := ipld.NewBuffered(into)
	store := ipld.NewStore(ctx, buffer)
	var meta types.TxMeta
	var err error
	if meta.BlsMessages, err = cidArray(ctx, store, bls); err != nil {
		return cid.Undef, fmt.Errorf("list of BLS messages: %w", err)
	}
	if meta.SecpkMessages, err = cidArray(ctx, store, secpk); err != nil {
		return cid.Undef, fmt.Errorf("list of secp256k1 messages: %w", err)
	}
	root, err := store.Put(ctx, &meta)
	if err != nil {
		return cid.Undef, fmt.Errorf("message lists: %w", err)
	}
	if err := buffer.Flush(ctx, root); err != nil {
		return cid.Undef, fmt.Errorf("message lists: %w", err)
	}
	return root, nil
}

func cidArray(ctx context.Context, store cbor.IpldStore, cids []cid.Cid) (cid.Cid, error) {
	values := make([]cbg.CBORMarshaler, len(cids))
	for i, c := range cids {
		v := cbg.CborCid(c)
		values[i] = &v
	}
	return amt.FromArray(ctx, store, values)
}

// MessageCids reads the two lists that a header's Messages root names.
func (s *Store) MessageCids(ctx context.Context, root cid.Cid) (bls, secpk []cid.Cid, err error) {
	var meta types.TxMeta
	if err := s.cbor.Get(ctx, root, &meta); err != nil {
		return nil, nil, fmt.Errorf("message lists %s: %w", root, err)
	}
	if bls, err = s.cidList(ctx, meta.BlsMessages); err != nil {
		return nil, nil, fmt.Errorf("list of BLS messages: %w", err)
	}
	if secpk, err = s.cidList(ctx, meta.SecpkMessages); err != nil {
		return nil, nil, fmt.Errorf("list of secp256k1 messages: %w", err)
	}
	return bls, secpk, nil
}

func (s *Store) cidList(ctx context.Context, root cid.Cid) ([]cid.Cid, error) {
	list, err := amt.LoadAMT(ctx, s.cbor, root)
	if err != nil {
		return nil, err
	}
	if list.Count > params.BlockMessageLimit {
		return nil, fmt.Errorf("%d messages, at most %d are allowed", list.Count, params.BlockMessageLimit)
	}
	out := make([]cid.Cid, 0, list.Count)
	err = list.ForEach(ctx, func(i uint64, v *cbg.Deferred) error {
		if i != uint64(len(out)) {
			return fmt.Errorf("gap before index %d", i)
		}
		var c cbg.CborCid
		if err := c.UnmarshalCBOR(bytes.NewReader(v.Raw)); err != nil {
			return fmt.Errorf("entry %d: %w", i, err)
		}
		out = append(out, cid.Cid(c))
		return nil
	})
	return out, err
}

// Message loads a message by its on-chain CID: *types.Message or *types.SignedMessage. ErrMissingMessage when absent.
func (s *Store) Message(ctx context.Context, c cid.Cid) (types.ChainMsg, error) {
	raw, err := s.blocks.Get(ctx, c)
	if errors.Is(err, ipld.ErrNotFound) {
		return nil, fmt.Errorf("%s: %w", c, ErrMissingMessage)
	}
	if err != nil {
		return nil, fmt.Errorf("load message %s: %w", c, err)
	}
	if m, err := types.DecodeMessage(raw); err == nil {
		return m, nil
	}
	m, err := types.DecodeSignedMessage(raw)
	if err != nil {
		return nil, fmt.Errorf("load message %s: %w", c, err)
	}
	return m, nil
}

// FullBlock loads a header's messages.
func (s *Store) FullBlock(ctx context.Context, h *types.BlockHeader) (*types.FullBlock, error) {
	m, err := s.carried(ctx, h)
	if err != nil {
		return nil, err
	}
	return &types.FullBlock{Header: h, BlsMessages: m.bls, SecpkMessages: m.secpk}, nil
}

func (s *Store) carried(ctx context.Context, h *types.BlockHeader) (carried, error) {
	if m, ok := s.messages.Get(h.Messages); ok {
		return m, nil
	}
	bls, secpk, err := s.MessageCids(ctx, h.Messages)
	if err != nil {
		return carried{}, fmt.Errorf("block %s: %w", h.Cid(), err)
	}
	full, err := s.AssembleBlock(ctx, &types.BlockMsg{Header: h, BlsMessages: bls, SecpkMessages: secpk})
	if err != nil {
		return carried{}, err
	}
	return carried{bls: full.BlsMessages, secpk: full.SecpkMessages, cids: slices.Concat(bls, secpk)}, nil
}

// AssembleBlock loads the messages that a block message lists.
func (s *Store) AssembleBlock(ctx context.Context, b *types.BlockMsg) (*types.FullBlock, error) {
	out := &types.FullBlock{Header: b.Header}
	for _, c := range b.BlsMessages {
		m, err := s.Message(ctx, c)
		if err != nil {
			return nil, fmt.Errorf("block %s: %w", b.Cid(), err)
		}
		bare, ok := m.(*types.Message)
		if !ok {
			return nil, fmt.Errorf("block %s: message %s in the BLS list is a signed one", b.Cid(), c)
		}
		out.BlsMessages = append(out.BlsMessages, bare)
	}
	for _, c := range b.SecpkMessages {
		m, err := s.Message(ctx, c)
		if err != nil {
			return nil, fmt.Errorf("block %s: %w", b.Cid(), err)
		}
		signed, ok := m.(*types.SignedMessage)
		if !ok {
			return nil, fmt.Errorf("block %s: message %s in the secp256k1 list is a bare one", b.Cid(), c)
		}
		out.SecpkMessages = append(out.SecpkMessages, signed)
	}
	return out, nil
}

// AllMessages returns everything that the blocks of a tipset carry, also what will not be executed.
func (s *Store) AllMessages(ctx context.Context, ts *types.TipSet) ([]BlockMessages, error) {
	out := make([]BlockMessages, 0, len(ts.Blocks()))
	for _, h := range ts.Blocks() {
		m, err := s.carried(ctx, h)
		if err != nil {
			return nil, err
		}
		out = append(out, BlockMessages{Header: h, Bls: m.bls, Secpk: m.secpk, cids: m.cids})
	}
	return out, nil
}

// ExecutionList selects from a tipset what gets executed, block by block in ticket order (node.md 4.7): per sender only
// consecutive nonces, starting with the first one seen, and every unsigned message once. Receipts follow this list.
func (s *Store) ExecutionList(ctx context.Context, ts *types.TipSet) ([]BlockMessages, error) {
	all, err := s.AllMessages(ctx, ts)
	if err != nil {
		return nil, fmt.Errorf("messages of tipset %s: %w", ts.Key(), err)
	}
	view := s.View(ts.ParentState())
	pick := newPicker(func(a address.Address) (address.Address, error) { return view.LookupID(ctx, a) })
	out := make([]BlockMessages, len(all))
	for i, b := range all {
		out[i].Header = b.Header
		for k, m := range b.Bls {
			take, err := pick.takes(m, b.cids[k])
			if err != nil {
				return nil, fmt.Errorf("messages of tipset %s: %w", ts.Key(), err)
			}
			if take {
				out[i].Bls = append(out[i].Bls, m)
			}
		}
		for _, m := range b.Secpk {
			take, err := pick.takes(&m.Message, m.Message.Cid())
			if err != nil {
				return nil, fmt.Errorf("messages of tipset %s: %w", ts.Key(), err)
			}
			if take {
				out[i].Secpk = append(out[i].Secpk, m)
			}
		}
	}
	return out, nil
}

// picker is the state of one selection over a tipset.
type picker struct {
	resolve func(address.Address) (address.Address, error)
	ids     map[address.Address]address.Address
	next    map[address.Address]uint64
	seen    map[cid.Cid]struct{}
}

func newPicker(resolve func(address.Address) (address.Address, error)) *picker {
	return &picker{resolve: resolve, ids: map[address.Address]address.Address{}, next: map[address.Address]uint64{}, seen: map[cid.Cid]struct{}{}}
}

// takes judges a message with its CID, unsigned.
func (p *picker) takes(m *types.Message, c cid.Cid) (bool, error) {
	id, ok := p.ids[m.From]
	if !ok {
		var err error
		if id, err = p.resolve(m.From); err != nil {
			return false, fmt.Errorf("sender of message %s: %w", c, err)
		}
		p.ids[m.From] = id
	}
	next, started := p.next[id]
	if started && m.Nonce != next {
		return false, nil
	}
	if _, dup := p.seen[c]; dup {
		return false, nil
	}
	p.seen[c] = struct{}{}
	p.next[id] = m.Nonce + 1
	return true, nil
}

// NextBaseFee is the base fee that children of ts must name.
func (s *Store) NextBaseFee(ctx context.Context, ts *types.TipSet) (abi.TokenAmount, error) {
	if fee, ok := s.baseFees.Get(ts.Key()); ok {
		return fee, nil
	}
	all, err := s.AllMessages(ctx, ts)
	if err != nil {
		return abi.TokenAmount{}, fmt.Errorf("base fee after %s: %w", ts.Key(), err)
	}
	fee := BaseFeeAfter(ts.ParentBaseFee(), gasDemand(all), len(ts.Blocks()))
	s.baseFees.Add(ts.Key(), fee)
	return fee, nil
}

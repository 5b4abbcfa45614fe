package chain

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/ipfs/go-cid"

	"github.com/filecoin-venus/venus/ipld"
	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/state"
	"github.com/filecoin-venus/venus/types"
)

// Errors of the store. Callers tell them apart with errors.Is.
var (
	// ErrNoGenesis: the store is empty and needs a genesis first.
	ErrNoGenesis = errors.New("chain has no genesis")
	// ErrOtherGenesis: the store belongs to a network with another genesis.
	ErrOtherGenesis = errors.New("chain belongs to another genesis")
	// ErrMissingBlock: a block that a tipset names is not in the store.
	ErrMissingBlock = errors.New("block is not in the chain store")
	// ErrNotATipSet: the blocks of a key are there but do not form a tipset in that order.
	ErrNotATipSet = errors.New("blocks do not form a tipset")
	// ErrForkTooLong: the switch would undo more epochs than finality allows.
	ErrForkTooLong = errors.New("fork is longer than finality")
)

const (
	tipsetCache = 4096
	jumpCache   = 1 << 16
	weightCache = 2048
)

var (
	keyHead    = []byte("head")
	keyGenesis = []byte("genesis")
	// prefixExec precedes a tipset key; the value is state root and receipts root.
	prefixExec = []byte("exec/")
)

// Config is what a Store is made of.
type Config struct {
	Network params.Network
	// Blocks must be durable when a Put returns, or have a Sync(ctx) error that makes them so (or its owner does not mind
	// losing the chain, as tests do).
	Blocks ipld.Blockstore
	Meta   Meta
}

// Store holds tipsets and messages by CID and knows the head. Safe for concurrent use.
type Store struct {
	net    params.Network
	blocks ipld.Blockstore
	cbor   *ipld.Store
	meta   Meta

	tipsets *lru.Cache[types.TipSetKey, *types.TipSet]
	jumps   *lru.Cache[types.TipSetKey, *types.TipSet]
	weights *lru.Cache[types.TipSetKey, big.Int]
	// baseFees are those after a tipset, which each of its children asks for.
	baseFees *lru.Cache[types.TipSetKey, abi.TokenAmount]
	// messages are those of the last blocks, by the root that their headers name.
	messages *lru.Cache[cid.Cid, carried]

	results lateResults

	// switchMu makes head changes one at a time; it is taken before headMu.
	switchMu sync.Mutex
	// headMu guards genesis, head, checkpoint, subs and the order of notifications.
	headMu  sync.RWMutex
	genesis *types.TipSet
	head    *types.TipSet
	// checkpoint is nil where the operator set none.
	checkpoint *types.TipSet
	subs       map[*Subscription]struct{}

	siblings siblingIndex
}

// Open reads genesis and head. ErrNoGenesis comes with a usable store: call SetGenesis on it next.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	s := &Store{
		net: cfg.Network, blocks: cfg.Blocks, cbor: ipld.NewStore(context.Background(), cfg.Blocks), meta: cfg.Meta,
		subs: map[*Subscription]struct{}{}, siblings: siblingIndex{byHeight: map[abi.ChainEpoch][]*types.BlockHeader{}},
	}
	var err error
	if s.tipsets, err = lru.New[types.TipSetKey, *types.TipSet](tipsetCache); err != nil {
		return nil, err
	}
	if s.jumps, err = lru.New[types.TipSetKey, *types.TipSet](jumpCache); err != nil {
		return nil, err
	}
	if s.weights, err = lru.New[types.TipSetKey, big.Int](weightCache); err != nil {
		return nil, err
	}
	if s.baseFees, err = lru.New[types.TipSetKey, abi.TokenAmount](weightCache); err != nil {
		return nil, err
	}
	if s.messages, err = lru.New[cid.Cid, carried](carriedCache); err != nil {
		return nil, err
	}
	if s.genesis, err = s.stored(ctx, keyGenesis); err != nil {
		return nil, fmt.Errorf("load genesis: %w", err)
	}
	if s.genesis == nil {
		return s, ErrNoGenesis
	}
	if s.head, err = s.stored(ctx, keyHead); err != nil {
		return nil, fmt.Errorf("load head: %w", err)
	}
	if s.head == nil {
		s.head = s.genesis
	}
	if s.checkpoint, err = s.stored(ctx, keyCheckpoint); err != nil {
		return nil, fmt.Errorf("load checkpoint: %w", err)
	}
	return s, nil
}

// stored loads the tipset whose key stands in the metadata under name; nil when there is none.
func (s *Store) stored(ctx context.Context, name []byte) (*types.TipSet, error) {
	raw, err := s.meta.Get(ctx, name)
	if err != nil || raw == nil {
		return nil, err
	}
	key, err := types.TipSetKeyFromBytes(raw)
	if err != nil {
		return nil, err
	}
	return s.TipSet(ctx, key)
}

// SetGenesis makes a header the start of the chain and, on an empty store, its head. Setting the same genesis again changes
// nothing; another one is ErrOtherGenesis.
func (s *Store) SetGenesis(ctx context.Context, h *types.BlockHeader) error {
	ts, err := types.NewTipSet([]*types.BlockHeader{h})
	if err != nil {
		return fmt.Errorf("genesis: %w", err)
	}
	if h.Height != 0 {
		return fmt.Errorf("genesis %s stands at height %d, not 0", h.Cid(), h.Height)
	}
	if want := s.net.GenesisCID; want != "" && want != h.Cid().String() {
		return fmt.Errorf("network %s starts with %s, not %s: %w", s.net.Name, want, h.Cid(), ErrOtherGenesis)
	}
	s.headMu.Lock()
	defer s.headMu.Unlock()
	if s.genesis != nil {
		if s.genesis.Key() != ts.Key() {
			return fmt.Errorf("have %s, given %s: %w", s.genesis.Cids()[0], h.Cid(), ErrOtherGenesis)
		}
		return nil
	}
	if err := s.PutHeader(ctx, h); err != nil {
		return err
	}
	if err := s.record(ctx, Entry{keyGenesis, ts.Key().Bytes()}); err != nil {
		return fmt.Errorf("record genesis: %w", err)
	}
	s.genesis = ts
	if s.head == nil {
		s.head = ts
	}
	return nil
}

// Network is the parameters that the store was opened with.
func (s *Store) Network() *params.Network { return &s.net }

// Blocks is the block store below.
func (s *Store) Blocks() ipld.Blockstore { return s.blocks }

// Objects is the block store as a store of CBOR objects.
func (s *Store) Objects() *ipld.Store { return s.cbor }

// Genesis is the first tipset; nil before SetGenesis.
func (s *Store) Genesis() *types.TipSet {
	s.headMu.RLock()
	defer s.headMu.RUnlock()
	return s.genesis
}

// View reads the state under a root.
func (s *Store) View(root cid.Cid) *state.View { return state.NewView(s.cbor, root) }

// KeptView is View for the few actors of consensus; see [state.NewKeptView].
func (s *Store) KeptView(root cid.Cid) *state.View { return state.NewKeptView(s.cbor, root) }

// PutHeader stores a header's bytes. It says nothing about the block being good.
func (s *Store) PutHeader(ctx context.Context, h *types.BlockHeader) error {
	raw, err := h.Serialize()
	if err != nil {
		return err
	}
	if err := s.blocks.Put(ctx, h.Cid(), raw); err != nil {
		return fmt.Errorf("store block %s: %w", h.Cid(), err)
	}
	return nil
}

// Header loads a header; ErrMissingBlock when the store lacks it.
func (s *Store) Header(ctx context.Context, c cid.Cid) (*types.BlockHeader, error) {
	raw, err := s.blocks.Get(ctx, c)
	if errors.Is(err, ipld.ErrNotFound) {
		return nil, fmt.Errorf("%s: %w", c, ErrMissingBlock)
	}
	if err != nil {
		return nil, fmt.Errorf("load block %s: %w", c, err)
	}
	h, err := types.DecodeBlock(raw)
	if err != nil {
		return nil, fmt.Errorf("load block %s: %w", c, err)
	}
	return h, nil
}

// TipSet loads a tipset by key; the empty key is the head. ErrMissingBlock when a block is not in the store.
func (s *Store) TipSet(ctx context.Context, key types.TipSetKey) (*types.TipSet, error) {
	if key.IsEmpty() {
		return s.Head(), nil
	}
	if ts, ok := s.tipsets.Get(key); ok {
		return ts, nil
	}
	ts, err := s.loadTipSet(ctx, key)
	if err != nil {
		return nil, err
	}
	s.tipsets.Add(key, ts)
	return ts, nil
}

func (s *Store) loadTipSet(ctx context.Context, key types.TipSetKey) (*types.TipSet, error) {
	cids := key.Cids()
	headers := make([]*types.BlockHeader, len(cids))
	for i, c := range cids {
		h, err := s.Header(ctx, c)
		if err != nil {
			return nil, fmt.Errorf("load tipset %s: %w", key, err)
		}
		headers[i] = h
	}
	ts, err := types.NewTipSet(headers)
	if err != nil {
		return nil, fmt.Errorf("load tipset %s: %w: %w", key, ErrNotATipSet, err)
	}
	if ts.Key() != key {
		return nil, fmt.Errorf("load tipset %s: %w: ticket order is %s", key, ErrNotATipSet, ts.Key())
	}
	return ts, nil
}

// Parent loads the tipset that ts builds on. The genesis has none.
func (s *Store) Parent(ctx context.Context, ts *types.TipSet) (*types.TipSet, error) {
	if ts.Height() == 0 {
		return nil, fmt.Errorf("genesis has no parent: %w", ErrMissingBlock)
	}
	return s.TipSet(ctx, ts.Parents())
}

// Has tells whether all blocks of a tipset are stored.
func (s *Store) Has(ctx context.Context, key types.TipSetKey) (bool, error) {
	for _, c := range key.Cids() {
		ok, err := s.blocks.Has(ctx, c)
		if err != nil || !ok {
			return false, err
		}
	}
	return true, nil
}

// Weigh computes the weight of a chain ending in ts. The parent state must be in the store.
func (s *Store) Weigh(ctx context.Context, ts *types.TipSet) (big.Int, error) {
	if w, ok := s.weights.Get(ts.Key()); ok {
		return w, nil
	}
	power, err := s.View(ts.ParentState()).TotalPower(ctx)
	if err != nil {
		return big.Int{}, fmt.Errorf("weigh tipset %s: %w", ts.Key(), err)
	}
	w, err := Weight(ts, power.QualityAdjPower)
	if err != nil {
		return big.Int{}, err
	}
	s.weights.Add(ts.Key(), w)
	return w, nil
}

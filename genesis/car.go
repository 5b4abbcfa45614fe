package genesis

import (
	"context"
	"errors"
	"fmt"
	"io"

	init7 "github.com/filecoin-project/specs-actors/v7/actors/builtin/init"

	"github.com/filecoin-project/specs-actors/v7/actors/builtin"
	"github.com/ipfs/go-cid"

	"github.com/filecoin-venus/venus/ipld"
	"github.com/filecoin-venus/venus/state"
	"github.com/filecoin-venus/venus/types"
)

// ErrNotGenesis says that a CAR file does not hold a genesis.
var ErrNotGenesis = errors.New("not a genesis file")

// WriteCAR writes a genesis with all its state as a CAR file.
func WriteCAR(ctx context.Context, w io.Writer, bs ipld.Blockstore, header *types.BlockHeader) error {
	if err := ipld.WriteCAR(ctx, w, bs, header.Cid()); err != nil {
		return fmt.Errorf("write genesis %s: %w", header.Cid(), err)
	}
	return nil
}

// LoadCAR copies a genesis file into the blockstore and returns its header. The
// blocks are checked against their CIDs, the header against the rules of a
// genesis, and the state for being there. Errors that blame the file wrap
// ErrNotGenesis.
func LoadCAR(ctx context.Context, r io.Reader, bs ipld.Blockstore) (*types.BlockHeader, error) {
	roots, err := ipld.ReadCAR(ctx, r, bs)
	if err != nil {
		return nil, fmt.Errorf("load genesis: %w", err)
	}
	if len(roots) == 0 {
		return nil, fmt.Errorf("load genesis: no roots: %w", ErrNotGenesis)
	}
	return header(ctx, bs, roots[0])
}

// header reads and judges a genesis header that is in the store.
func header(ctx context.Context, bs ipld.Blockstore, root cid.Cid) (*types.BlockHeader, error) {
	data, err := bs.Get(ctx, root)
	if err != nil {
		return nil, fmt.Errorf("load genesis %s: %w: %w", root, ErrNotGenesis, err)
	}
	h, err := types.DecodeBlock(data)
	if err != nil {
		return nil, fmt.Errorf("load genesis %s: %w: %w", root, ErrNotGenesis, err)
	}
	switch {
	case h.Cid() != root:
		return nil, fmt.Errorf("load genesis %s: the header's canonical form has CID %s: %w", root, h.Cid(), ErrNotGenesis)
	case h.Height != 0:
		return nil, fmt.Errorf("load genesis %s: height %d: %w", root, h.Height, ErrNotGenesis)
	case h.Ticket == nil || len(h.BeaconEntries) == 0:
		return nil, fmt.Errorf("load genesis %s: no ticket or beacon entry: %w", root, ErrNotGenesis)
	}
	if _, err := NetworkName(ctx, bs, h); err != nil {
		return nil, fmt.Errorf("load genesis %s: %w: %w", root, ErrNotGenesis, err)
	}
	return h, nil
}

// NetworkName reads the network's name from the init actor of a genesis, of any
// actor version.
func NetworkName(ctx context.Context, bs ipld.Blockstore, h *types.BlockHeader) (string, error) {
	store := ipld.NewStore(ctx, bs)
	tree, err := state.Load(ctx, store, h.ParentStateRoot)
	if err != nil {
		return "", fmt.Errorf("state of genesis: %w", err)
	}
	act, err := tree.GetActor(ctx, builtin.InitActorAddr)
	if err != nil {
		return "", fmt.Errorf("init actor of genesis: %w", err)
	}
	var st init7.State
	if err := store.Get(ctx, act.Head, &st); err != nil {
		return "", fmt.Errorf("init actor of genesis: %w", err)
	}
	return st.NetworkName, nil
}

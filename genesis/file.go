package genesis

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	mh "github.com/multiformats/go-multihash"

	"github.com/filecoin-venus/venus/ipld"
	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/types"
)

// rawPrefix names the network parameters inside of a genesis file.
var rawPrefix = cid.Prefix{Version: 1, Codec: cid.Raw, MhType: mh.BLAKE2B_MIN + 31, MhLength: 32}

// WriteFile writes a genesis together with its network's parameters: a CAR file
// whose second root is their JSON. Whoever has the file can join the network;
// other programs see an ordinary genesis.
func WriteFile(ctx context.Context, w io.Writer, bs ipld.Blockstore, h *types.BlockHeader, net params.Network) error {
	text, err := json.Marshal(net)
	if err != nil {
		return fmt.Errorf("encode network: %w", err)
	}
	c, err := rawPrefix.Sum(text)
	if err != nil {
		return fmt.Errorf("hash network: %w", err)
	}
	if err := bs.Put(ctx, c, text); err != nil {
		return err
	}
	if err := ipld.WriteCAR(ctx, w, bs, h.Cid(), c); err != nil {
		return fmt.Errorf("write genesis %s: %w", h.Cid(), err)
	}
	return nil
}

// LoadFile reads what WriteFile wrote, or a plain genesis, for which it returns
// no network. Everything is checked before anything reaches the store.
func LoadFile(ctx context.Context, r io.Reader, bs ipld.Blockstore) (*types.BlockHeader, *params.Network, error) {
	mem := ipld.NewMemory()
	roots, err := ipld.ReadCAR(ctx, r, mem)
	if err != nil {
		return nil, nil, fmt.Errorf("load genesis: %w: %w", ErrNotGenesis, err)
	}
	if len(roots) == 0 {
		return nil, nil, fmt.Errorf("load genesis: no roots: %w", ErrNotGenesis)
	}
	h, err := header(ctx, mem, roots[0])
	if err != nil {
		return nil, nil, err
	}
	var net *params.Network
	if len(roots) > 1 && roots[1].Prefix() == rawPrefix {
		if net, err = networkOf(ctx, mem, roots[1], h); err != nil {
			return nil, nil, err
		}
	}
	var all []blocks.Block
	err = ipld.Walk(ctx, mem, func(c cid.Cid, data []byte) error {
		b, err := blocks.NewBlockWithCid(data, c)
		all = append(all, b)
		return err
	}, h.ParentStateRoot, h.ParentMessageReceipts, h.Messages)
	if err != nil {
		return nil, nil, fmt.Errorf("load genesis %s: incomplete: %w: %w", h.Cid(), ErrNotGenesis, err)
	}
	if err := bs.PutMany(ctx, all); err != nil {
		return nil, nil, fmt.Errorf("store genesis %s: %w", h.Cid(), err)
	}
	return h, net, nil
}

func networkOf(ctx context.Context, bs ipld.Blockstore, c cid.Cid, h *types.BlockHeader) (*params.Network, error) {
	text, err := bs.Get(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("network of genesis: %w: %w", ErrNotGenesis, err)
	}
	net := new(params.Network)
	if err := json.Unmarshal(text, net); err != nil {
		return nil, fmt.Errorf("network of genesis: %w: %w", ErrNotGenesis, err)
	}
	if err := net.Validate(); err != nil {
		return nil, fmt.Errorf("network of genesis: %w: %w", ErrNotGenesis, err)
	}
	if net.GenesisCID != "" && net.GenesisCID != h.Cid().String() {
		return nil, fmt.Errorf("the file says it is network %s with genesis %s but holds genesis %s: %w", net.Name, net.GenesisCID, h.Cid(), ErrNotGenesis)
	}
	return net, nil
}

package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/chain"
	"github.com/filecoin-venus/venus/genesis"
	"github.com/filecoin-venus/venus/internal/fsutil"
	"github.com/filecoin-venus/venus/ipld"
	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/params/policy"
	"github.com/filecoin-venus/venus/repo"
	"github.com/filecoin-venus/venus/types"
)

// openChain opens the stores and, on the first start, imports the genesis.
// Everything that may refuse the start comes before the import.
func (n *Node) openChain(ctx context.Context, r *repo.Repo, o Options) (*chain.Store, error) {
	if err := r.Migrate(layoutPacks, func() error { return adoptBadger(r) }); err != nil {
		return nil, err
	}
	blocks, err := ipld.OpenDisk(r.Path(blocksName))
	if errors.Is(err, ipld.ErrLost) {
		return nil, api.Errorf(api.CodeInternal, "%w", err).WithHint("%s", lostHint)
	}
	if err != nil {
		return nil, err
	}
	n.opened.Add(blocks.Close)
	blocks.Guard(n.disk.Room)
	n.blocks = blocks
	meta, err := chain.OpenMeta(r.Path("chain"))
	if err != nil {
		return nil, err
	}
	n.opened.Add(meta.Close)
	meta.Guard(n.disk.Room)
	given, err := readGenesis(ctx, o.GenesisFile)
	if err != nil {
		return nil, err
	}
	if n.Network, err = chooseNetwork(r, o, given.network); err != nil {
		return nil, err
	}
	if given.header != nil && n.Network.GenesisCID != "" && n.Network.GenesisCID != given.header.Cid().String() {
		return nil, api.Errorf(api.CodePrecondition, "genesis file %s holds %s; network %s has genesis %s", o.GenesisFile, given.header.Cid(), n.Network.Name, n.Network.GenesisCID).
			WithHint("give the genesis file of network %s, or use another --repo for another network", n.Network.Name)
	}
	if err := policy.Apply(n.Network); err != nil {
		return nil, err
	}
	store, err := chain.Open(ctx, chain.Config{Network: n.Network, Blocks: blocks, Meta: meta})
	if errors.Is(err, chain.ErrNoGenesis) {
		switch {
		case given.header != nil:
			err = given.importInto(ctx, store)
		case o.Snapshot.From != "" && n.Network.GenesisCID != "":
			err = nil // the snapshot brings it
		default:
			return nil, api.Errorf(api.CodePrecondition, "network %s has no genesis here yet", n.Network.Name).
				WithHint("%s", genesisHint(n.Network))
		}
	} else if err == nil && given.header != nil && store.Genesis().Cids()[0] != given.header.Cid() {
		err = api.Errorf(api.CodePrecondition, "%s holds the chain of genesis %s; the file has %s", r.Root(), store.Genesis().Cids()[0], given.header.Cid()).
			WithHint("use another --repo for another network")
	}
	if err != nil {
		return nil, err
	}
	if g := store.Genesis(); g != nil { // else the snapshot must bring the one that the network names
		n.Network.GenesisCID = g.Cids()[0].String()
	}
	// Before an import, which may take hours and be killed: the next start knows whose chain this is.
	if err := n.Network.Save(r.Path(networkName)); err != nil {
		return nil, err
	}
	if err := n.importSnapshot(ctx, store, o.Snapshot); err != nil {
		return nil, err
	}
	if err := n.Network.CanExecute(store.Head().Height() + 1); err != nil {
		return nil, fmt.Errorf("%w; its data is kept", err)
	}
	return store, nil
}

// Where the blocks lie, since which layout as they do now, and where they lay in the first.
const (
	blocksName  = "blocks"
	layoutPacks = 3
	badgerName  = "badger"
)

// lostHint is what to do when a disk does not keep what it took.
const lostHint = "the disk or its file system lost data: start a new node from a snapshot on another disk"

// adoptBadger moves the one badger store of the first layout to where it is a part of the blocks; what the second layout had
// there the blocks' store takes as it is.
func adoptBadger(r *repo.Repo) error {
	if _, err := os.Stat(r.Path(badgerName)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := os.MkdirAll(r.Path(blocksName), 0o700); err != nil {
		return err
	}
	if err := os.Rename(r.Path(badgerName), r.Path(blocksName, ipld.FirstHot)); err != nil {
		return err
	}
	return errors.Join(fsutil.SyncDir(r.Path(blocksName)), fsutil.SyncDir(r.Root()))
}

// wholeFile is what to do about a genesis file that cannot be used.
const wholeFile = "give the whole file as `venus genesis new` wrote it, or as the network's makers publish it"

func genesisHint(net params.Network) string {
	if net.Devnet {
		return "make one with `venus genesis new --network " + net.Name + " --out FOLDER`, or give the CAR of an existing network with --genesisfile FILE"
	}
	return "get the network's genesis CAR, " + net.GenesisCID + ", and give it with --genesisfile FILE"
}

// genesisFile is a genesis that was read and checked; nil fields when none was
// given, or when it carries no network.
type genesisFile struct {
	raw     []byte
	header  *types.BlockHeader
	network *params.Network
}

// readGenesis leaves the node's stores alone: the file may yet be refused.
func readGenesis(ctx context.Context, path string) (genesisFile, error) {
	var out genesisFile
	if path == "" {
		return out, nil
	}
	var err error
	if out.raw, err = os.ReadFile(path); err != nil {
		return out, api.Errorf(api.CodeInvalid, "read genesis file: %w", err).WithHint(wholeFile)
	}
	if out.header, out.network, err = genesis.LoadFile(ctx, bytes.NewReader(out.raw), ipld.NewMemory()); err != nil {
		return out, api.Errorf(api.CodeInvalid, "%s: %w", path, err).WithHint(wholeFile)
	}
	return out, nil
}

// importInto makes the genesis the start of an empty chain.
func (g genesisFile) importInto(ctx context.Context, store *chain.Store) error {
	if _, _, err := genesis.LoadFile(ctx, bytes.NewReader(g.raw), store.Blocks()); err != nil {
		return err
	}
	return store.SetGenesis(ctx, g.header)
}

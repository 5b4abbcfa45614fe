package node

import (
	"context"
	"errors"
	"io"
	"os"

	"github.com/filecoin-project/go-state-types/abi"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/chain"
	"github.com/filecoin-venus/venus/internal/fsutil"
	"github.com/filecoin-venus/venus/ipld"
	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/repo"
	"github.com/filecoin-venus/venus/rpc/daemon"
	"github.com/filecoin-venus/venus/snapshot"
	"github.com/filecoin-venus/venus/types"
)

// SnapshotOptions name a chain to take in.
type SnapshotOptions struct {
	// From is a file or a URL; empty for none.
	From string
	// Recent is for how many epochs it must hold states; zero means the network's finality.
	Recent abi.ChainEpoch
	// Must makes it an error when the snapshot holds nothing new; otherwise the flag may stay in the command that starts
	// the node.
	Must bool
	// Progress is told how far the import is; may be nil.
	Progress func(snapshot.Progress)
	// Done is told what was imported; may be nil.
	Done func(snapshot.Imported)
}

// importSnapshot takes a chain in before anything else uses the stores.
func (n *Node) importSnapshot(ctx context.Context, store *chain.Store, o SnapshotOptions) error {
	if o.From == "" {
		if left := n.blocks.Unfinished(); left != "" {
			log.Warnw("an import was interrupted; the chain is as it was before", "source", left, "remedy", "import it again, or venus chain import --discard")
		}
		return nil
	}
	done, err := importInto(ctx, n.blocks, store, o)
	if errors.Is(err, snapshot.ErrNothingNew) && !o.Must {
		log.Infow("the snapshot is not taken in", "reason", err)
		return nil
	}
	if err == nil && o.Done != nil {
		o.Done(done)
	}
	return err
}

// importChain runs a chain from an archive, judging all of it.
func (n *Node) importChain(ctx context.Context, store *chain.Store, judge snapshot.Judge, o SnapshotOptions) error {
	if o.From == "" {
		return nil
	}
	src, err := snapshot.Open(ctx, o.From)
	if err != nil {
		return explainImport(err, store.Network())
	}
	done, err := snapshot.Execute(ctx, n.blocks, store, src, judge, snapshot.ImportOptions{Progress: o.Progress})
	err = errors.Join(err, src.Close())
	if errors.Is(err, snapshot.ErrNothingNew) {
		log.Infow("the chain is not taken in", "reason", err)
		return nil
	}
	if err == nil && o.Done != nil {
		o.Done(done)
	}
	return explainImport(err, store.Network())
}

func importInto(ctx context.Context, disk *ipld.Disk, store *chain.Store, o SnapshotOptions) (snapshot.Imported, error) {
	src, err := snapshot.Open(ctx, o.From)
	if err != nil {
		return snapshot.Imported{}, explainImport(err, store.Network())
	}
	out, err := snapshot.Import(ctx, disk, store, src, snapshot.ImportOptions{Recent: o.Recent, Progress: o.Progress})
	return out, explainImport(errors.Join(err, src.Close()), store.Network())
}

// explainImport says what an operator can do about an import that failed.
func explainImport(err error, net *params.Network) error {
	return api.Remedied(err, []api.Remedy{
		{Is: snapshot.ErrForeign, Code: api.CodePrecondition, Hint: "get a snapshot of network " + net.Name + ", or use another --repo for another network"},
		{Is: snapshot.ErrNothingNew, Code: api.CodeConflict, Hint: "nothing needs to be done; venus chain set-head moves the head to an older tipset"},
		{Is: snapshot.ErrIncomplete, Code: api.CodeInvalid, Hint: "get a snapshot that was made with more --recent-stateroots, or say with the same flag how many are enough"},
		{Is: snapshot.ErrNoChain, Code: api.CodeInvalid, Hint: "get a snapshot that `venus chain export` or another node of the field made"},
		{Is: ipld.ErrNotCAR, Code: api.CodeInvalid, Hint: "give a snapshot as CAR, plain or compressed with zstd"},
		{Is: ipld.ErrDamagedCAR, Code: api.CodeInvalid, Hint: "fetch the file again; what was good of it is kept, the next import goes on there"},
		{Is: snapshot.ErrSource, Code: api.CodeUnavailable, Hint: "look at the name and try again; what came is kept, the next import goes on there"},
		{Is: fsutil.ErrNoRoom, Code: api.CodePrecondition, Hint: "make room on the disk; what came is kept, the next import goes on there"},
		{Is: ipld.ErrImporting, Code: api.CodeConflict, Hint: "import the same file again to end it, or venus chain import --discard to forget it"},
		{Is: chain.ErrCheckpoint, Code: api.CodePrecondition, Hint: "lift the checkpoint first: SyncCheckpoint of the genesis"},
	})
}

// Offline is a node's directory whose daemon does not run: its chain, without peers, pool and clients.
type Offline struct {
	n     Node
	store *chain.Store
}

// OpenOffline opens a directory as New does, and starts nothing. What the options say of network and genesis counts.
func OpenOffline(ctx context.Context, o Options) (*Offline, error) {
	if o.Repo == "" {
		o.Repo = DefaultRepo
	}
	off := new(Offline)
	if err := off.open(ctx, o); err != nil {
		return nil, errors.Join(err, off.Close())
	}
	return off, nil
}

func (o *Offline) open(ctx context.Context, with Options) error {
	r, err := repo.Open(with.Repo)
	if err != nil {
		return err
	}
	o.n.opened.Add(r.Close)
	cfg, err := loadConfig(r)
	if err != nil {
		return err
	}
	if err := o.n.keepRoom(r, cfg, with); err != nil {
		return err
	}
	o.store, err = o.n.openChain(ctx, r, with)
	return err
}

// Close releases the directory.
func (o *Offline) Close() error { return o.n.opened.Close() }

// Network is what the directory belongs to.
func (o *Offline) Network() params.Network { return o.n.Network }

// Chain is the chain in the directory.
func (o *Offline) Chain() *chain.Store { return o.store }

// Size is what the blocks take on disk, in bytes.
func (o *Offline) Size() int64 { return o.n.blocks.Size() }

// Export writes the chain that ends in a tipset, the head for the empty key.
func (o *Offline) Export(ctx context.Context, w io.Writer, key types.TipSetKey, with snapshot.ExportOptions) (snapshot.Exported, error) {
	ts, err := o.store.TipSet(ctx, key)
	if err != nil {
		return snapshot.Exported{}, err
	}
	return snapshot.Export(ctx, w, o.store, ts, with)
}

// Discard forgets an interrupted import of a directory's chain, and removes what came of it.
func Discard(path string) (source string, err error) {
	r, err := repo.Open(path)
	if err != nil {
		return "", err
	}
	var opened daemon.Closers
	opened.Add(r.Close)
	defer func() { err = errors.Join(err, opened.Close()) }()
	if _, err := os.Stat(r.Path(blocksName)); err != nil {
		return "", api.Errorf(api.CodeNotFound, "%s holds no chain", r.Root())
	}
	disk, err := ipld.OpenDisk(r.Path(blocksName))
	if err != nil {
		return "", err
	}
	opened.Add(disk.Close)
	source = disk.Unfinished()
	return source, disk.DropImport()
}

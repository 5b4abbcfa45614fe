package snapshot

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/ipfs/go-cid"

	"github.com/filecoin-venus/venus/chain"
	"github.com/filecoin-venus/venus/internal/fault"
	"github.com/filecoin-venus/venus/ipld"
	"github.com/filecoin-venus/venus/types"
)

// Verdicts on archives. An archive that gets one of them leaves nothing behind; one that cannot be read to its end (a
// disk, a connection, a truncated file) is kept as far as it was good, and the next import of it goes on there.
var (
	// ErrForeign: the archive is of a network with another genesis.
	ErrForeign = errors.New("the archive is of another network")
	// ErrNoChain: the roots and headers do not form a chain.
	ErrNoChain = errors.New("the archive holds no chain")
	// ErrIncomplete: blocks are missing that a node needs.
	ErrIncomplete = errors.New("the archive is incomplete")
	// ErrNothingNew: our head is at least as heavy as the archive's.
	ErrNothingNew = errors.New("the archive holds nothing new")
)

// ImportOptions say how an archive is judged.
type ImportOptions struct {
	// Recent is for how many epochs states and messages must be there; zero means the network's finality. A chain that is
	// shorter is there as a whole.
	Recent abi.ChainEpoch
	// Progress is told of now and then; may be nil.
	Progress func(Progress)
}

// Imported is what an import did.
type Imported struct {
	Head   types.TipSetKey `json:"head"`
	Height abi.ChainEpoch  `json:"height"`
	// Blocks and Bytes are those of the archive; Resumed of the bytes were there from an interrupted import.
	Blocks  int64 `json:"blocks"`
	Bytes   int64 `json:"bytes"`
	Resumed int64 `json:"resumed"`
	// States is for how many epochs states are there.
	States abi.ChainEpoch `json:"states"`
}

// Import takes an archive into the store over disk and makes its head the chain's. The store must be of the archive's
// network; it may have no genesis yet when the network names one. Nobody else may be using the chain.
func Import(ctx context.Context, disk *ipld.Disk, s *chain.Store, src *Source, o ImportOptions) (Imported, error) {
	t := newTaker(s, src, o)
	out, err := t.run(ctx, disk)
	if err != nil {
		return out, fmt.Errorf("import %s: %w", src.Name, err)
	}
	return out, nil
}

// taker takes one archive in.
type taker struct {
	store *chain.Store
	src   *Source
	o     ImportOptions
	in    *ipld.CARStream
	roots map[cid.Cid]bool
	wants *ipld.Wants
	out   Imported
	at    int64 // where in the archive the next block lies
	told  int64
	// headers counts the block headers that came.
	headers int
	// messages asks for the messages of all epochs instead of the states of the newest.
	messages bool
}

func newTaker(s *chain.Store, src *Source, o ImportOptions) *taker {
	if o.Recent == 0 {
		o.Recent = s.Network().Finality
	}
	return &taker{store: s, src: src, o: o}
}

func (t *taker) run(ctx context.Context, disk *ipld.Disk) (Imported, error) {
	if err := t.open(); err != nil {
		return t.out, err
	}
	if known, err := t.adoptKnown(ctx); known || err != nil {
		return t.out, err
	}
	im, err := disk.BeginImport(t.src.Name)
	if err != nil {
		return t.out, err
	}
	pack, err := t.take(ctx, im, disk.Room)
	if err != nil {
		return t.out, t.giveUp(im, err)
	}
	v, err := t.judge(ctx, pack)
	if err == nil {
		err = fault.Point("import/judged")
	}
	if err != nil {
		return t.out, t.giveUp(im, errors.Join(err, pack.Close()))
	}
	t.out.Head, t.out.Height, t.out.States, t.out.Blocks = v.head.Key(), v.head.Height(), v.states, int64(pack.Len())
	if err := im.Adopt(pack); err != nil {
		return t.out, err
	}
	if err := t.store.SetGenesis(ctx, v.genesis); err != nil {
		return t.out, err
	}
	// Last of all: the blocks are durable and judged.
	return t.out, t.store.Adopt(ctx, v.head)
}

// open reads the archive's header.
func (t *taker) open() error {
	var err error
	if t.in, err = ipld.OpenCAR(t.src); err != nil {
		return err
	}
	if n := len(t.in.Roots); n == 0 || n > maxRoots {
		return fmt.Errorf("%d roots: %w", n, ErrNoChain)
	}
	t.roots = map[cid.Cid]bool{}
	for _, c := range t.in.Roots {
		t.roots[c] = true
	}
	return nil
}

// maxRoots is more than a tipset can have blocks.
const maxRoots = 64

// adoptKnown moves the head to an archive's when all of it is in the store already: a crash came between the two.
func (t *taker) adoptKnown(ctx context.Context) (bool, error) {
	key := types.NewTipSetKey(t.in.Roots...)
	if known, err := t.store.Has(ctx, key); err != nil || !known {
		return false, err
	}
	ts, err := t.store.TipSet(ctx, key)
	if err != nil {
		return false, err
	}
	t.out.Head, t.out.Height = ts.Key(), ts.Height()
	if err := t.newer(ts.Blocks()[0]); err != nil {
		return true, err
	}
	state := ipld.Sweep{From: t.store.Blocks()}
	if err := state.Walk(ctx, ts.ParentState()); errors.Is(err, ipld.ErrNotFound) {
		return false, nil
	} else if err != nil {
		return false, fmt.Errorf("state of %s: %w", ts.Key(), err)
	}
	return true, t.store.Adopt(ctx, ts)
}

// giveUp ends an import that failed: verdicts clean up, anything else may be gone on with.
func (t *taker) giveUp(im *ipld.Import, err error) error {
	for _, verdict := range []error{ErrForeign, ErrNoChain, ErrIncomplete, ErrNothingNew} {
		if errors.Is(err, verdict) {
			return errors.Join(err, im.Drop())
		}
	}
	im.End()
	return err
}

// newer refuses an archive whose head is not heavier than ours.
func (t *taker) newer(h *types.BlockHeader) error {
	if head := t.store.Head(); head != nil && head.Height() > 0 && !h.ParentWeight.GreaterThan(head.ParentWeight()) {
		return fmt.Errorf("%w: it ends at height %d with weight %s, the head here is at %d with %s", ErrNothingNew, h.Height, h.ParentWeight, head.Height(), head.ParentWeight())
	}
	return nil
}

// resumeTail is how many bytes before the place of resumption are compared.
const resumeTail = 64 << 10

const (
	// syncEvery is how many bytes of a pack may be lost to a power failure.
	syncEvery = 1 << 30
	// roomEvery is how many bytes are written before the next look at the room on the disk.
	roomEvery = 16 << 20
)

// take copies the archive into a pack, resuming one that was begun.
func (t *taker) take(ctx context.Context, im *ipld.Import, room func() error) (*ipld.Pack, error) {
	var err error
	if t.wants, err = ipld.NewWants(im.Base + ".wants"); err != nil {
		return nil, err
	}
	defer t.wants.Close()
	w, err := t.begin(ctx, im)
	if err != nil {
		return nil, err
	}
	defer w.Close()
	t.in.Examine = examine
	synced, asked := w.Size(), int64(0)
	err = t.in.Each(ctx, func(b ipld.CARBlock) error {
		if w.Size()-asked >= roomEvery {
			asked = w.Size()
			if err := room(); err != nil {
				return err
			}
		}
		if err := w.PutSection(b.Cid, len(b.Data), b.Section); err != nil {
			return err
		}
		if w.Size()-synced >= syncEvery {
			synced = w.Size()
			if err := w.Sync(); err != nil {
				return err
			}
		}
		if err := fault.Point("import/block"); err != nil {
			return err
		}
		return t.visit(b)
	})
	t.out.Bytes = w.Size()
	if err != nil {
		return nil, errors.Join(err, w.Sync())
	}
	t.tell("index", t.src.Done())
	pack, err := w.Finish()
	if err != nil {
		return nil, err
	}
	t.tell("check", t.src.Done())
	if err := t.complete(ctx, pack); err != nil {
		return nil, errors.Join(err, pack.Close())
	}
	return pack, nil
}

// begin opens the pack, and skips what it has already.
func (t *taker) begin(ctx context.Context, im *ipld.Import) (*ipld.PackWriter, error) {
	t.at = t.in.Offset
	if im.Resumed {
		w, err := t.resume(ctx, im)
		if err == nil || ctx.Err() != nil {
			return w, err
		}
		// What is there is of no use: another archive of that name, or nothing at all. Begin anew.
		t.headers, t.at, t.out.Resumed = 0, int64(len(t.in.Header)), 0
		if err := t.reopen(ctx); err != nil {
			return nil, err
		}
		if err := t.wants.Reset(); err != nil {
			return nil, err
		}
	}
	return ipld.CreatePack(im.Base, t.in.Header)
}

// reopen starts the source again.
func (t *taker) reopen(ctx context.Context) error {
	fresh, err := Open(ctx, t.src.Name)
	if err != nil {
		return err
	}
	if err := t.src.Close(); err != nil {
		return errors.Join(err, fresh.Close())
	}
	t.src.replace(fresh)
	return t.open()
}

func (t *taker) resume(ctx context.Context, im *ipld.Import) (*ipld.PackWriter, error) {
	w, err := ipld.ResumePack(ctx, im.Base, examine, t.visit)
	if err != nil {
		return nil, err
	}
	have, err := w.Tail(resumeTail)
	if err != nil {
		return nil, errors.Join(err, w.Close())
	}
	// The skipped part was hashed when it came: only its end is compared.
	tail, err := t.in.Skip(w.Size(), resumeTail)
	if err == nil && !bytes.HasSuffix(have, tail) {
		err = errors.New("another archive")
	}
	if err != nil {
		return nil, errors.Join(err, w.Close())
	}
	t.out.Resumed = w.Size()
	return w, nil
}

// seen is what the examination of a block finds: a header, or where it leads.
type seen struct {
	header *types.BlockHeader
	links  []ipld.Key
}

func examine(b ipld.CARBlock) (any, error) {
	if h := chain.AsHeader(b.Cid, b.Data); h != nil {
		return seen{header: h}, nil
	}
	links, err := ipld.Children(b.Cid, b.Data)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ipld.ErrDamagedCAR, err)
	}
	keys := make([]ipld.Key, len(links))
	for i, l := range links {
		keys[i] = ipld.KeyOf(l)
	}
	return seen{links: keys}, nil
}

// visit takes note of a block: what it wants, and of the head whether it is of our network and new.
func (t *taker) visit(b ipld.CARBlock) error {
	start := t.at
	if t.at += int64(len(b.Section)); t.at-t.told >= tellEvery {
		t.told = t.at
		t.tell("import", t.src.Done())
	}
	note := b.Note.(seen)
	for _, k := range note.links {
		if err := t.wants.Add(k, start); err != nil {
			return err
		}
	}
	if note.header == nil {
		return nil
	}
	t.headers++
	if !t.roots[b.Cid] {
		return nil
	}
	if err := t.timely(note.header); err != nil {
		return err
	}
	if err := t.store.Network().CanExecute(note.header.Height + 1); err != nil {
		return err
	}
	return t.newer(note.header)
}

// timely compares a header's time with the time that our genesis and the network's delay give to its height.
func (t *taker) timely(h *types.BlockHeader) error {
	g := t.store.Genesis()
	if g == nil {
		return nil
	}
	due := g.MinTimestamp() + uint64(h.Height)*t.store.Network().BlockDelaySecs()
	if h.Timestamp == due {
		return nil
	}
	return fmt.Errorf("%w: its block %s at height %d is of %s, ours of that height are of %s", ErrForeign, h.Cid(), h.Height,
		time.Unix(int64(h.Timestamp), 0).UTC().Format(time.DateTime), time.Unix(int64(due), 0).UTC().Format(time.DateTime))
}

func (t *taker) tell(phase string, done int64) {
	if t.o.Progress != nil {
		t.o.Progress(Progress{Phase: phase, Done: done, Total: t.src.Size})
	}
}

// complete checks that every link leads to a block of the archive.
func (t *taker) complete(ctx context.Context, p *ipld.Pack) error {
	n, first, at, err := t.wants.Missing(ctx, p)
	if err != nil || n == 0 {
		return err
	}
	from, lost, err := p.LinkAt(at, first)
	if err != nil {
		return err
	}
	return fmt.Errorf("%w: %d blocks are missing, the first is %s, to which %s leads", ErrIncomplete, n, lost, from)
}

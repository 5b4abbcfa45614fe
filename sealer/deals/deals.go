// Package deals takes the data of storage deals in: it checks a deal against the chain, copies its file to a storage path,
// and compares the file's piece commitment with the deal's.
//
// Start at Book.Import, then Book.take, which copies. Which sector gets a deal is sealer/pipeline's matter.
//
// Invariants: a deal is in the database before the first byte of its file is copied (failpoint deals/recorded); the copy
// gets its name once it is complete, synced and proven to be the deal's, and only then it counts as here (deals/copied); a
// copy is deleted only when its sector is final or the chain takes the deal no more (deals/deleted).
package deals

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	logging "github.com/ipfs/go-log/v2"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/api/node"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/internal/fault"
	"github.com/filecoin-venus/venus/internal/fsutil"
	"github.com/filecoin-venus/venus/proofs/commp"
	"github.com/filecoin-venus/venus/sealer/db"
	"github.com/filecoin-venus/venus/sealer/sector"
	"github.com/filecoin-venus/venus/types"
)

var log = logging.Logger("sealer/deals")

// Chain is the part of the node that is used.
type Chain interface {
	ChainHead(ctx context.Context) (*types.TipSet, error)
	StateMarketStorageDeal(ctx context.Context, deal abi.DealID, tsk types.TipSetKey) (*node.MarketDeal, error)
}

// Store keeps deals; the sealer's database does.
type Store interface {
	PutDeal(ctx context.Context, r db.DealRecord) error
	Deals(ctx context.Context) ([]db.DealRecord, error)
}

// Config tells whose deals are taken, and until when.
type Config struct {
	Miner      address.Address // ID address
	SectorSize abi.SectorSize
	// Buffer is how many epochs must be left before a deal's start.
	Buffer abi.ChainEpoch
	// Place chooses a folder for so many bytes.
	Place func(bytes int64) (string, error)
}

// Entry is a deal, and how many bytes of its file are copied.
type Entry struct {
	db.DealRecord
	Done int64
}

// Book is all deals whose data was brought. It is safe for concurrent use.
type Book struct {
	cfg   Config
	chain Chain
	store Store
	clk   clock.Clock
	poke  chan struct{} // holds a signal when a file waits to be copied

	mu    sync.Mutex // guards what follows, and is held while a deal is stored
	deals map[abi.DealID]*Entry
}

// Open loads the deals. Files are copied while Run runs.
func Open(ctx context.Context, cfg Config, chain Chain, store Store, clk clock.Clock) (*Book, error) {
	b := &Book{cfg: cfg, chain: chain, store: store, clk: clk, poke: make(chan struct{}, 1), deals: map[abi.DealID]*Entry{}}
	list, err := store.Deals(ctx)
	if err != nil {
		return nil, err
	}
	for _, r := range list {
		b.deals[r.ID] = &Entry{DealRecord: r}
	}
	b.poke <- struct{}{}
	return b, nil
}

// List returns all deals by id.
func (b *Book) List() []Entry {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []Entry
	for _, id := range slices.Sorted(maps.Keys(b.deals)) {
		out = append(out, *b.deals[id])
	}
	return out
}

func (b *Book) get(id abi.DealID) (Entry, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e, ok := b.deals[id]; ok {
		return *e, true
	}
	return Entry{}, false
}

// Here are the deals whose data is here, those that sectors have with them.
func (b *Book) Here() []sector.Deal {
	var out []sector.Deal
	for _, e := range b.List() {
		if e.State == db.DealHere {
			out = append(out, e.Deal)
		}
	}
	return out
}

// Import checks a deal, records it and begins to copy its file, an absolute name on this machine. List tells how that fares.
func (b *Book) Import(ctx context.Context, id abi.DealID, file string) error {
	size, err := fileSize(file)
	if err != nil {
		return err
	}
	r, err := b.check(ctx, id, size)
	if err != nil {
		return err
	}
	dir, err := b.cfg.Place(size)
	if err != nil {
		return api.Errorf(api.CodePrecondition, "there is no room for the data of deal %d: %w", id, err).WithHint("free some, or attach another path: venus-sealer storage attach --init --store PATH")
	}
	r.Source, r.Bytes, r.File, r.State, r.Created = file, size, filepath.Join(dir, fmt.Sprintf("deal-%d", id)), db.DealImporting, b.clk.Now().UTC()
	b.mu.Lock()
	defer b.mu.Unlock()
	if old, ok := b.deals[id]; ok && old.State != db.DealFailed {
		return api.Errorf(api.CodeConflict, "deal %d was imported already, from %s: it is %s", id, old.Source, old.State).WithHint("see 'venus-sealer deals list'")
	}
	if err := b.store.PutDeal(ctx, r); err != nil {
		return err
	}
	// Recorded: only now may anything appear on the path.
	if err := fault.Point("deals/recorded"); err != nil {
		return err
	}
	b.deals[id] = &Entry{DealRecord: r}
	select {
	case b.poke <- struct{}{}:
	default: // it is poked already
	}
	return nil
}

func fileSize(file string) (int64, error) {
	if !filepath.IsAbs(file) {
		return 0, api.Errorf(api.CodeInvalid, "%s: the sealer opens the file itself and needs its absolute name", file).WithHint("begin the name with /")
	}
	info, err := os.Stat(file)
	switch {
	case err != nil:
		return 0, api.Errorf(api.CodeNotFound, "the file cannot be read: %w", err).WithHint("it must lie on the sealer's machine, readable by the sealer")
	case !info.Mode().IsRegular():
		return 0, api.Errorf(api.CodeInvalid, "%s is no regular file", file).WithHint("name the file that the deal's client gave")
	case info.Size() == 0:
		return 0, api.Errorf(api.CodeInvalid, "%s is empty", file).WithHint("name the file that the deal's client gave")
	}
	return info.Size(), nil
}

// check asks the chain whether a deal can still be taken, with a file of so many bytes.
func (b *Book) check(ctx context.Context, id abi.DealID, bytes int64) (db.DealRecord, error) {
	none := db.DealRecord{}
	head, err := b.chain.ChainHead(ctx)
	if err != nil {
		return none, fmt.Errorf("ask for the head: %w", err)
	}
	deal, err := b.chain.StateMarketStorageDeal(ctx, id, head.Key())
	if err != nil && api.Explain(err).Code != api.CodeNotFound {
		return none, fmt.Errorf("read deal %d: %w", id, err)
	}
	if err != nil || deal == nil {
		return none, api.Errorf(api.CodeNotFound, "the chain knows no deal %d: it was never published, or it ended", id).WithHint("wait until the message that publishes it has landed; its receipt tells the number")
	}
	p := deal.Proposal
	room := abi.PaddedPieceSize(b.cfg.SectorSize)
	switch left := p.StartEpoch - head.Height(); {
	case p.Provider != b.cfg.Miner:
		return none, api.Errorf(api.CodePrecondition, "deal %d is made with miner %s, this sealer is of %s", id, p.Provider, b.cfg.Miner).WithHint("import it at that miner's sealer")
	case deal.State.SlashEpoch != -1:
		return none, api.Errorf(api.CodePrecondition, "deal %d was ended by the chain at epoch %d", id, deal.State.SlashEpoch).WithHint("its client has to make another one")
	case deal.State.SectorStartEpoch != -1:
		return none, api.Errorf(api.CodePrecondition, "deal %d is active since epoch %d: a sector has its data already", id, deal.State.SectorStartEpoch).
			WithHint("nothing is to be done; see 'venus-sealer deals list'")
	case left <= 0:
		return none, api.Errorf(api.CodePrecondition, "deal %d started at epoch %d, the head is at %d: the chain takes it no more", id, p.StartEpoch, head.Height()).
			WithHint("its client has to make another one, with a later start")
	case left <= b.cfg.Buffer:
		return none, api.Errorf(api.CodePrecondition, "deal %d starts at epoch %d, in %d epochs: an update may take %d", id, p.StartEpoch, left, b.cfg.Buffer).
			WithHint("Sealing.StartEpochSealingBuffer in config.toml says how many are kept")
	case p.PieceSize > room:
		return none, api.Errorf(api.CodePrecondition, "deal %d has a piece of %d bytes, a sector only room for %d", id, p.PieceSize, room).WithHint("its client has to cut the data into smaller deals")
	case bytes > int64(p.PieceSize.Unpadded()):
		return none, api.Errorf(api.CodeInvalid, "the file has %d bytes, the piece of deal %d holds only %d: it is another's", bytes, id, p.PieceSize.Unpadded()).WithHint("import the file that its client gave for it")
	}
	return db.DealRecord{
		Deal:     sector.Deal{ID: id, Piece: abi.PieceInfo{Size: p.PieceSize, PieceCID: p.PieceCID}, Start: p.StartEpoch, End: p.EndEpoch},
		Verified: p.VerifiedDeal,
	}, nil
}

// Same tells why the chain's deal of a number is not, or not yet again, the one whose data was brought: a reorg gives numbers
// to other deals. "" is that it is.
func (b *Book) Same(ctx context.Context, d sector.Deal) (why string, err error) {
	deal, err := b.chain.StateMarketStorageDeal(ctx, d.ID, types.EmptyTSK)
	switch {
	case err != nil && api.Explain(err).Code == api.CodeNotFound:
		return fmt.Sprintf("the chain has no deal %d at present", d.ID), nil
	case err != nil:
		return "", fmt.Errorf("read deal %d: %w", d.ID, err)
	}
	if p := deal.Proposal; p.Provider != b.cfg.Miner || !p.PieceCID.Equals(d.Piece.PieceCID) || p.PieceSize != d.Piece.Size {
		return fmt.Sprintf("deal %d is about piece %s with %s on the chain now, not about the one whose data was brought: a reorg gave its number to another", d.ID, p.PieceCID, p.Provider), nil
	}
	return "", nil
}

// Run copies files, one at a time and the deals that start first, until ctx ends.
func (b *Book) Run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-b.poke:
		}
		for {
			e, ok := b.next()
			if !ok {
				break
			}
			if err := b.take(ctx, e); err != nil {
				if ctx.Err() == nil {
					log.Errorf("deal %d: %v", e.ID, err)
				}
				break // the next import or start takes it up
			}
		}
	}
}

func (b *Book) next() (db.DealRecord, bool) {
	list := slices.DeleteFunc(b.List(), func(e Entry) bool { return e.State != db.DealImporting })
	if len(list) == 0 {
		return db.DealRecord{}, false
	}
	return slices.MinFunc(list, func(x, y Entry) int { return cmp.Compare(x.Start, y.Start) }).DealRecord, true
}

// errOther is returned for a file that is not the deal's.
var errOther = errors.New("the file is not that of the deal")

// take copies the file of a deal and stores how that ended. Its error is that of storing.
func (b *Book) take(ctx context.Context, r db.DealRecord) error {
	err := b.copy(ctx, r)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	r.State, r.Since, r.Err = db.DealHere, b.clk.Now().UTC(), ""
	if errors.Is(err, fault.ErrInjected) {
		return err
	}
	if err != nil {
		r.State, r.Err = db.DealFailed, err.Error()
		log.Errorf("deal %d is not imported: %v", r.ID, err)
	}
	return b.put(ctx, r)
}

func (b *Book) put(ctx context.Context, r db.DealRecord) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.store.PutDeal(ctx, r); err != nil {
		return err
	}
	b.deals[r.ID].DealRecord = r
	return nil
}

// copy brings the file to its path under a hidden name, then, if it is the deal's, under its own.
func (b *Book) copy(ctx context.Context, r db.DealRecord) error {
	if _, err := os.Stat(r.File); err == nil {
		return nil // an earlier run got this far
	}
	in, err := os.Open(r.Source)
	if err != nil {
		return fmt.Errorf("open the file: %w; import it again once it can be read", err)
	}
	defer in.Close()
	tmp := filepath.Join(filepath.Dir(r.File), "."+filepath.Base(r.File)+".part")
	err = b.fill(ctx, r, in, tmp)
	if err != nil {
		if rerr := os.Remove(tmp); rerr != nil && !errors.Is(rerr, fs.ErrNotExist) {
			err = errors.Join(err, rerr)
		}
		return err
	}
	if err := os.Rename(tmp, r.File); err != nil {
		return fmt.Errorf("name the copy: %w", err)
	}
	if err := fsutil.SyncDir(filepath.Dir(r.File)); err != nil {
		return err
	}
	// Named, synced and compared: only now may the record say that it is here.
	return fault.Point("deals/copied")
}

func (b *Book) fill(ctx context.Context, r db.DealRecord, in io.Reader, tmp string) (err error) {
	out, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("open the copy: %w", err)
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	piece := commp.NewWriter()
	n, err := io.CopyBuffer(io.MultiWriter(out, piece, &counter{b, r.ID}), reader{ctx, in}, make([]byte, 1<<20))
	if err != nil {
		return fmt.Errorf("copy the file: %w; import it again", err)
	}
	if n != r.Bytes {
		return fmt.Errorf("the file had %d bytes and has %d now: %w; import it again once nobody writes it", r.Bytes, n, errOther)
	}
	sum, err := piece.Sum()
	if err != nil {
		return fmt.Errorf("piece commitment: %w", err)
	}
	node, err := commp.FromCID(sum.PieceCID)
	if err == nil {
		node, err = commp.Extend(node, sum.Size, r.Piece.Size)
	}
	if err != nil {
		return fmt.Errorf("piece commitment: %w", err)
	}
	if got := commp.CID(node); !got.Equals(r.Piece.PieceCID) {
		return fmt.Errorf("the file has the piece commitment %s, the deal is about %s: %w; import the one that its client gave", got, r.Piece.PieceCID, errOther)
	}
	return out.Sync()
}

// reader stops once ctx ends.
type reader struct {
	ctx context.Context
	r   io.Reader
}

func (r reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}

// counter counts what is copied of a deal.
type counter struct {
	b  *Book
	id abi.DealID
}

func (c *counter) Write(p []byte) (int, error) {
	c.b.mu.Lock()
	defer c.b.mu.Unlock()
	c.b.deals[c.id].Done += int64(len(p))
	return len(p), nil
}

// Data opens the data of a deal, with the zeros that fill its piece behind it.
func (b *Book) Data(id abi.DealID) (io.ReadCloser, error) {
	e, ok := b.get(id)
	if !ok || e.State != db.DealHere {
		return nil, fmt.Errorf("the data of deal %d is not here", id)
	}
	f, err := os.Open(e.File)
	if err != nil {
		return nil, fmt.Errorf("open the data of deal %d: %w", id, err)
	}
	zeros := io.LimitReader(nothing{}, int64(e.Piece.Size.Unpadded())-e.Bytes)
	return struct {
		io.Reader
		io.Closer
	}{io.MultiReader(io.LimitReader(f, e.Bytes), zeros), f}, nil
}

// nothing reads as zeros for ever.
type nothing struct{}

func (nothing) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// Done tells that a sector holds a deal for good: the copy goes.
func (b *Book) Done(ctx context.Context, id abi.DealID) error { return b.end(ctx, id, db.DealDone, "") }

// Expire ends the deals that have started and that no sector has.
func (b *Book) Expire(ctx context.Context, epoch abi.ChainEpoch, taken func(abi.DealID) bool) error {
	var errs []error
	for _, d := range b.Here() {
		if d.Start <= epoch && !taken(d.ID) {
			errs = append(errs, b.end(ctx, d.ID, db.DealExpired, fmt.Sprintf("it started at epoch %d and no sector had it on the chain by then", d.Start)))
		}
	}
	return errors.Join(errs...)
}

// end deletes the copy of a deal's data, then says so: a crash between leaves it to be done once more.
func (b *Book) end(ctx context.Context, id abi.DealID, st db.DealState, why string) error {
	e, ok := b.get(id)
	if !ok || e.State != db.DealHere {
		return nil
	}
	if err := os.Remove(e.File); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("delete the copy of deal %d: %w", id, err)
	}
	if err := fault.Point("deals/deleted"); err != nil {
		return err
	}
	r := e.DealRecord
	r.State, r.Err = st, why
	return b.put(ctx, r)
}

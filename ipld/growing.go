package ipld

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"

	"github.com/filecoin-venus/venus/internal/fault"
	"github.com/filecoin-venus/venus/internal/fsutil"
)

// growing is a pack that takes blocks: the archive of one, with the index in memory instead of beside it. What is appended is
// durable when append returns.
//
// A crash may leave anything behind what the disk had confirmed. How much that was stands in a small file beside the archive,
// written after every confirmation and never waited for: after a crash it tells too little perhaps, but never too much. Up
// to there the archive must be in sections, else the disk forgot something and opening fails; from there on blocks count as long
// as they match their names, and the rest goes.
type growing struct {
	*archive
	confirmed *os.File
	// adding is held while the file changes.
	adding sync.Mutex
	bytes  uint64 // of the blocks

	mu     sync.RWMutex
	places map[Key]uint64
}

// createGrowing makes an empty one at base.car, which a manifest may name.
func createGrowing(base string) (*growing, error) {
	head, err := CARHeader()
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(base+packData, head, 0o600); err != nil {
		return nil, fmt.Errorf("make pack: %w", err)
	}
	g, err := openGrowing(context.Background(), base)
	if err == nil {
		err = fsutil.SyncDir(filepath.Dir(base))
	}
	if err != nil {
		return nil, errors.Join(err, RemovePack(base))
	}
	return g, nil
}

// openGrowing opens one and cuts off what a crash left behind what is whole.
func openGrowing(ctx context.Context, base string) (*growing, error) {
	g := &growing{archive: &archive{name: base}, places: map[Key]uint64{}}
	if err := g.open(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open pack %s: %w", base, err), g.Close())
	}
	return g, nil
}

func (g *growing) open(ctx context.Context) (err error) {
	if g.data, err = os.OpenFile(g.name+packData, os.O_RDWR, 0o600); err != nil {
		return err
	}
	if g.confirmed, err = os.OpenFile(g.name+packLength, os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return err
	}
	sure, err := readLength(g.confirmed)
	if err != nil {
		return err
	}
	if err := g.scan(ctx, sure); err != nil {
		return err
	}
	return g.confirm()
}

// Close releases the files.
func (g *growing) Close() error {
	var errs []error
	for _, f := range []*os.File{g.data, g.confirmed} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(errs...)
}

// ErrLost: what the disk had confirmed to have is not there.
var ErrLost = errors.New("the disk lost blocks")

// scan finds the blocks, of which those before sure must be there. One of these that is damaged is an error when it is read, and
// told of: the others may be all that is ever asked for. After two in a row nobody knows where the next begins.
func (g *growing) scan(ctx context.Context, sure int64) error {
	in, err := OpenCAR(io.NewSectionReader(g.data, 0, maxPack))
	if err != nil {
		return err
	}
	var raw []byte
	lost := false // the last one
	for at := in.Offset; ; at = in.Offset {
		g.size.Store(at)
		if err := ctx.Err(); err != nil {
			return err
		}
		var c cid.Cid
		var data []byte
		c, data, raw, err = in.section(raw)
		switch bad := (badBlock{}); {
		case errors.As(err, &bad) && at < sure && !lost:
			lost = true
			log.Errorw("the disk lost a block that it had confirmed: who asks for it gets an error; have the disk looked at", "pack", g.name, "block", c, "error", err)
		case err != nil && at < sure:
			return fmt.Errorf("%w: of %d bytes that were durable, from byte %d on: %w", ErrLost, sure, at, early(err))
		case errors.Is(err, io.EOF), errors.Is(err, ErrDamagedCAR):
			return nil
		case err != nil:
			return err
		default:
			lost = false
		}
		if c.Defined() {
			g.note(entry{KeyOf(c), uint64(at)<<lengthBits | uint64(len(raw))})
			g.bytes += uint64(len(data))
		}
	}
}

// note takes a block into the index.
func (g *growing) note(e entry) {
	if _, twice := g.places[e.key]; !twice {
		g.places[e.key] = e.place
	}
}

// lengthBytes is the size of a length file: the length and a checksum.
const lengthBytes = 12

// readLength reads how much the disk had confirmed; zero when nobody knows.
func readLength(f *os.File) (int64, error) {
	b := make([]byte, lengthBytes)
	if _, err := f.ReadAt(b, 0); err != nil {
		if errors.Is(err, io.EOF) {
			return 0, nil
		}
		return 0, err
	}
	if binary.BigEndian.Uint32(b[8:]) != crc32.Checksum(b[:8], castagnoli) {
		return 0, nil
	}
	return int64(binary.BigEndian.Uint64(b)), nil
}

// confirm cuts off what lies behind the blocks that count, so that it can't come back behind others, waits for the disk, and
// notes what it has.
func (g *growing) confirm() error {
	if err := g.data.Truncate(g.size.Load()); err != nil {
		return err
	}
	if err := g.data.Sync(); err != nil {
		return err
	}
	return g.noteLength()
}

func (g *growing) noteLength() error {
	_, err := g.confirmed.WriteAt(checksummed(binary.BigEndian.AppendUint64(nil, uint64(g.size.Load()))), 0)
	return err
}

// append adds blocks that are not there yet. What of them a failure leaves in the file does not count, and the next append
// writes over it.
func (g *growing) append(list []blocks.Block) error {
	g.adding.Lock()
	defer g.adding.Unlock()
	at := g.size.Load()
	out := bufio.NewWriterSize(io.NewOffsetWriter(g.data, at), min(1<<20, 512*len(list)))
	fresh := make([]entry, 0, len(list))
	sum := 0
	var raw []byte
	for _, b := range list {
		c := b.Cid()
		k := KeyOf(c)
		if _, ok := inline(c); ok || g.has(k) {
			continue
		}
		raw = AppendSection(raw[:0], c, b.RawData())
		if _, err := out.Write(raw); err != nil {
			return err
		}
		fresh = append(fresh, entry{k, uint64(at)<<lengthBits | uint64(len(raw))})
		at, sum = at+int64(len(raw)), sum+len(b.RawData())
	}
	if err := out.Flush(); err != nil {
		return err
	}
	if err := fault.Point("store/appended"); err != nil {
		return err
	}
	if err := g.data.Sync(); err != nil {
		return err
	}
	g.bytes += uint64(sum)
	g.size.Store(at) // first: a reader may read on behind a block that it found
	g.mu.Lock()
	for _, e := range fresh {
		g.note(e)
	}
	g.mu.Unlock()
	return g.noteLength()
}

// seal makes a pack of it, which takes the archive over. Nothing is appended any more; reads go on here until all have changed
// to the pack.
func (g *growing) seal() (*Pack, error) {
	p, err := g.index()
	if err != nil {
		return nil, fmt.Errorf("finish pack %s: %w", g.name, err)
	}
	return p, nil
}

func (g *growing) index() (*Pack, error) {
	g.adding.Lock()
	defer g.adding.Unlock()
	if err := g.confirm(); err != nil {
		return nil, err
	}
	if err := fault.Point("store/seal"); err != nil {
		return nil, err
	}
	m := new(merger)
	if err := m.open(each(g.entries())); err != nil {
		return nil, err
	}
	if err := makeIndex(g.name, packHeader{size: uint64(g.size.Load()), bytes: g.bytes}, m); err != nil {
		return nil, err
	}
	return withIndex(g.archive)
}

// forgetLength removes the length file of a pack that has been sealed.
func (g *growing) forgetLength() error {
	return errors.Join(g.confirmed.Close(), os.Remove(g.name+packLength))
}

// find looks a key up.
func (g *growing) find(k Key) (entry, bool, error) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	place, ok := g.places[k]
	return entry{k, place}, ok, nil
}

func (g *growing) has(k Key) bool {
	_, ok, _ := g.find(k)
	return ok
}

// Get returns a block that was checked against its hash.
func (g *growing) Get(_ context.Context, c cid.Cid) ([]byte, error) {
	e, ok, _ := g.find(KeyOf(c))
	if !ok {
		return nil, notFound(c)
	}
	return g.read(e, c)
}

// Has tells whether a block is stored; 128 bits of its hash decide.
func (g *growing) Has(_ context.Context, c cid.Cid) (bool, error) {
	return g.has(KeyOf(c)), nil
}

// Size is how much of the disk it takes, in bytes.
func (g *growing) Size() int64 { return g.size.Load() }

// entries lists what there is now, in the order of the keys.
func (g *growing) entries() []entry {
	g.mu.RLock()
	list := make([]entry, 0, len(g.places))
	for k, place := range g.places {
		list = append(list, entry{k, place})
	}
	g.mu.RUnlock()
	slices.SortFunc(list, compareEntries)
	return list
}

// Check reads every block as [Pack.Check] does.
func (g *growing) Check(ctx context.Context) (int, error) {
	list := g.entries()
	for n, e := range list {
		if err := errors.Join(ctx.Err(), g.check(e)); err != nil {
			return n, err
		}
	}
	return len(list), nil
}

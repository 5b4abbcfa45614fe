package ipld

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"sort"
	"sync/atomic"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
)

// Names of the files of a pack: the archive, its index, and, while it grows, how much of it the disk has confirmed.
const (
	packData   = ".car"
	packIndex  = ".idx"
	packLength = ".len"
)

// Key stands for a block where whole hashes would be too long: the last 128 bits of its multihash.
type Key [16]byte

// KeyOf is the key of a block.
func KeyOf(c cid.Cid) (k Key) {
	if s := c.KeyString(); ordinary(s) {
		copy(k[:], s[ordinaryLength-len(k):])
		return k
	}
	return keyOf(c.Hash())
}

func keyOf(hash []byte) Key {
	var k Key
	if n := len(hash) - len(k); n > 0 {
		hash = hash[n:]
	}
	copy(k[len(k)-len(hash):], hash)
	return k
}

// Compare orders keys as bytes.
func (k Key) Compare(o Key) int { return bytes.Compare(k[:], o[:]) }

// Pack is a store that never changes: a CAR, version 1, with an index beside it. Reading a block costs one read of a page
// of the index and one of the archive. Blocks are checked against their hashes on every read, pages by a checksum: a disk
// that forgets is an error, never other data.
//
// The index is a header, pages of 4096 bytes with 170 entries (key, offset and length of the section) in rising order and
// a checksum, then the first key of every page, which stays in memory.
type Pack struct {
	*archive
	index *os.File
	head  packHeader
	first []Key
	lacks atomic.Pointer[filter] // nil until it has learned
	// pages are kept under a number; nil outside of a Disk.
	pages  *pageCache
	number uint64
}

// archive is a CAR, version 1, as the store reads it: blocks at known places up to a size.
type archive struct {
	name string
	data *os.File
	size atomic.Int64
}

// section reads what lies at a place.
func (a *archive) section(e entry) ([]byte, error) {
	raw := make([]byte, e.length())
	if _, err := a.data.ReadAt(raw, e.offset()); err != nil {
		return nil, fmt.Errorf("read pack %s at %d: %w", a.name, e.offset(), err)
	}
	return raw, nil
}

// read returns the block at a place if it is the one that is meant, after it was checked.
func (a *archive) read(e entry, c cid.Cid) ([]byte, error) {
	raw, err := a.section(e)
	if err != nil {
		return nil, fmt.Errorf("read block %s: %w", c, err)
	}
	return a.sound(raw, c)
}

// sound returns the block of a section if it is the one that is meant, after it was checked.
func (a *archive) sound(section []byte, c cid.Cid) ([]byte, error) {
	data, err := soundSection(section, c)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return nil, fmt.Errorf("pack %s: %w", a.name, err)
	}
	return data, err
}

// check reads the block at a place, which must match its name and have the entry's key.
func (a *archive) check(e entry) error {
	raw, err := a.section(e)
	if err != nil {
		return err
	}
	c, data, err := parseSection(raw)
	if err == nil {
		err = checkHash(c, data)
	}
	if err == nil && KeyOf(c) != e.key {
		err = fmt.Errorf("it holds block %s: %w", c, errIndex)
	}
	if err != nil {
		return fmt.Errorf("pack %s is damaged at %d: %w", a.name, e.offset(), err)
	}
	return nil
}

func (a *archive) file() *archive { return a }

const (
	pageBytes    = 4096
	entryBytes   = 24
	pageEntries  = (pageBytes - 4) / entryBytes
	lengthBits   = 24
	maxSection   = 1<<lengthBits - 1
	maxPack      = 1 << (64 - lengthBits)
	packMagic    = "venuspk1"
	headerBytes  = 40
	maxCarHeader = 1 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// packHeader opens an index.
type packHeader struct {
	entries uint64
	size    uint64 // of the archive
	bytes   uint64 // of the blocks alone
}

func (h packHeader) pages() int { return int((h.entries + pageEntries - 1) / pageEntries) }

func (h packHeader) encode() []byte {
	b := append(make([]byte, 0, headerBytes), packMagic...)
	b = binary.BigEndian.AppendUint64(b, h.entries)
	b = binary.BigEndian.AppendUint64(b, h.size)
	b = binary.BigEndian.AppendUint64(b, h.bytes)
	return binary.BigEndian.AppendUint64(b, uint64(crc32.Checksum(b, castagnoli)))
}

var errIndex = errors.New("the index is damaged")

func decodePackHeader(b []byte) (packHeader, error) {
	if len(b) != headerBytes || string(b[:8]) != packMagic || binary.BigEndian.Uint64(b[32:]) != uint64(crc32.Checksum(b[:32], castagnoli)) {
		return packHeader{}, errIndex
	}
	return packHeader{binary.BigEndian.Uint64(b[8:]), binary.BigEndian.Uint64(b[16:]), binary.BigEndian.Uint64(b[24:])}, nil
}

// entry says where a block lies.
type entry struct {
	key Key
	// place is offset<<lengthBits | length of the block's section.
	place uint64
}

func (e entry) offset() int64 { return int64(e.place >> lengthBits) }
func (e entry) length() int   { return int(e.place & maxSection) }

func (e entry) append(b []byte) []byte {
	return binary.BigEndian.AppendUint64(append(b, e.key[:]...), e.place)
}

func decodeEntry(b []byte) entry {
	return entry{Key(b[:16]), binary.BigEndian.Uint64(b[16:entryBytes])}
}

// OpenPack opens the pack whose files are base.car and base.idx.
func OpenPack(base string) (*Pack, error) {
	data, err := os.Open(base + packData)
	if err != nil {
		return nil, fmt.Errorf("open pack: %w", err)
	}
	p, err := withIndex(&archive{name: base, data: data})
	if err != nil {
		return nil, errors.Join(err, data.Close())
	}
	return p, nil
}

// withIndex makes a pack of an archive and the index beside it.
func withIndex(a *archive) (*Pack, error) {
	p := &Pack{archive: a}
	var err error
	if p.index, err = os.Open(a.name + packIndex); err != nil {
		return nil, fmt.Errorf("open pack: %w", err)
	}
	if err := p.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("open pack %s: %w", a.name, err), p.index.Close())
	}
	return p, nil
}

// load reads what stays in memory and compares the sizes of the files.
func (p *Pack) load() error {
	head := make([]byte, headerBytes)
	if _, err := io.ReadFull(io.NewSectionReader(p.index, 0, headerBytes), head); err != nil {
		return fmt.Errorf("%w: %w", errIndex, err)
	}
	var err error
	if p.head, err = decodePackHeader(head); err != nil {
		return err
	}
	info, err := p.data.Stat()
	if err != nil {
		return err
	}
	if uint64(info.Size()) != p.head.size {
		return fmt.Errorf("the archive has %d bytes, the index was made for %d", info.Size(), p.head.size)
	}
	p.size.Store(info.Size())
	if info, err = p.index.Stat(); err != nil {
		return err
	}
	pages := p.head.pages()
	at := int64(headerBytes) + int64(pages)*pageBytes
	if info.Size() != at+int64(pages)*16+4 {
		return fmt.Errorf("%w: %d bytes for %d pages", errIndex, info.Size(), pages)
	}
	raw := make([]byte, pages*16+4)
	if _, err := p.index.ReadAt(raw, at); err != nil {
		return fmt.Errorf("%w: %w", errIndex, err)
	}
	keys := raw[:pages*16]
	if binary.BigEndian.Uint32(raw[pages*16:]) != crc32.Checksum(keys, castagnoli) {
		return errIndex
	}
	p.first = make([]Key, pages)
	for i := range p.first {
		p.first[i] = Key(keys[i*16:])
	}
	return nil
}

// Close releases the files.
func (p *Pack) Close() error { return errors.Join(p.data.Close(), p.index.Close()) }

// Len is the number of blocks, Size the bytes on disk of archive and index.
func (p *Pack) Len() int { return int(p.head.entries) }

// Size is how much of the disk the pack takes, in bytes.
func (p *Pack) Size() int64 {
	return int64(p.head.size) + headerBytes + int64(p.head.pages())*(pageBytes+16) + 4
}

// Roots reads the roots that the archive names.
func (p *Pack) Roots() ([]cid.Cid, error) {
	h, err := readCarHeader(io.NewSectionReader(p.data, 0, int64(p.head.size)))
	return h.roots, err
}

// page reads and checks one page of the index.
func (p *Pack) page(i int, buf []byte) ([]byte, error) {
	if _, err := p.index.ReadAt(buf, headerBytes+int64(i)*pageBytes); err != nil {
		return nil, fmt.Errorf("read page %d of the index: %w", i, err)
	}
	if binary.BigEndian.Uint32(buf[pageBytes-4:]) != crc32.Checksum(buf[:pageBytes-4], castagnoli) {
		return nil, fmt.Errorf("page %d: %w", i, errIndex)
	}
	return buf[:min(pageEntries, int(p.head.entries)-i*pageEntries)*entryBytes], nil
}

// find looks a key up.
func (p *Pack) find(k Key) (entry, bool, error) {
	if f := p.lacks.Load(); f != nil && f.lacks(k) {
		return entry{}, false, nil
	}
	i := sort.Search(len(p.first), func(i int) bool { return p.first[i].Compare(k) > 0 }) - 1
	if i < 0 {
		return entry{}, false, nil
	}
	if p.pages != nil {
		if page, ok := p.pages.get(p.number, i); ok {
			e, ok := findIn(page, k)
			return e, ok, nil
		}
	}
	buf := pageBuffers.Get().(*[pageBytes]byte)
	defer pageBuffers.Put(buf)
	page, err := p.page(i, buf[:])
	if err != nil {
		return entry{}, false, err
	}
	if p.pages != nil {
		p.pages.offer(p.number, i, page)
	}
	e, ok := findIn(page, k)
	return e, ok, nil
}

// findIn looks a key up in a page.
func findIn(page []byte, k Key) (entry, bool) {
	n := len(page) / entryBytes
	j := sort.Search(n, func(j int) bool { return bytes.Compare(page[j*entryBytes:j*entryBytes+16], k[:]) >= 0 })
	if j == n {
		return entry{}, false
	}
	e := decodeEntry(page[j*entryBytes:])
	return e, e.key == k
}

// keepPages has lookups share a cache with those of other packs.
func (p *Pack) keepPages(c *pageCache) { p.pages, p.number = c, c.newPack() }

// Get returns a block that was checked against its hash.
func (p *Pack) Get(_ context.Context, c cid.Cid) ([]byte, error) {
	if data, ok := inline(c); ok {
		return data, nil
	}
	e, ok, err := p.find(KeyOf(c))
	if err != nil {
		return nil, fmt.Errorf("look up block %s in pack %s: %w", c, p.name, err)
	}
	if !ok {
		return nil, notFound(c)
	}
	return p.read(e, c)
}

// Has tells whether a block is stored; 128 bits of its hash decide.
func (p *Pack) Has(_ context.Context, c cid.Cid) (bool, error) {
	if _, ok := inline(c); ok {
		return true, nil
	}
	_, ok, err := p.find(KeyOf(c))
	if err != nil {
		return false, fmt.Errorf("look up block %s in pack %s: %w", c, p.name, err)
	}
	return ok, nil
}

// ErrReadOnly: packs take no writes.
var ErrReadOnly = errors.New("a pack takes no writes")

// Put fails: it makes a pack a blockstore that others can read through.
func (p *Pack) Put(context.Context, cid.Cid, []byte) error { return ErrReadOnly }

// PutMany fails like Put.
func (p *Pack) PutMany(context.Context, []blocks.Block) error { return ErrReadOnly }

// Check reads every block and compares it with its name. It returns the number of blocks read, and an error that names the
// first one that is wrong.
func (p *Pack) Check(ctx context.Context) (int, error) {
	n := 0
	err := p.each(ctx, func(e entry) error {
		if err := p.check(e); err != nil {
			return err
		}
		n++
		return nil
	})
	return n, err
}

// each visits all entries in the order of their keys.
func (p *Pack) each(ctx context.Context, visit func(entry) error) error {
	var buf [pageBytes]byte
	for i := range p.head.pages() {
		if err := ctx.Err(); err != nil {
			return err
		}
		page, err := p.page(i, buf[:])
		if err != nil {
			return fmt.Errorf("pack %s: %w", p.name, err)
		}
		for ; len(page) > 0; page = page[entryBytes:] {
			if err := visit(decodeEntry(page)); err != nil {
				return err
			}
		}
	}
	return nil
}

// EachKey visits the keys of all blocks in rising order.
func (p *Pack) EachKey(ctx context.Context, visit func(Key) error) error {
	return p.each(ctx, func(e entry) error { return visit(e.key) })
}

// RemovePack deletes the files of a pack, finished or not.
func RemovePack(base string) error {
	var errs []error
	for _, ext := range []string{packIndex, packData, packLength, packRuns} {
		if err := os.Remove(base + ext); err != nil && !os.IsNotExist(err) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

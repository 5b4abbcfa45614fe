package ipld

import (
	"context"
	"encoding/binary"
)

// filter tells which keys a pack surely lacks, so that one that is asked in vain costs no read: a Bloom filter whose bits for
// a key lie in one line of the processor's cache (Putze, Sanders, Singler: Cache-, Hash- and Space-Efficient Bloom Filters).
// Keys are hashes already, whose bits serve as they are.
type filter [][8]uint64

const (
	filterLine  = 512 // bits
	filterPer   = 10  // bits for a key
	filterMarks = 6   // of them set, in its line
	// filterMost is how many keys a pack may have that gets one: 10 MiB.
	filterMost = 8 << 20
)

func newFilter(keys int) filter { return make(filter, keys*filterPer/filterLine+1) }

// line is where the bits of a key lie, and marks which they are: nine bits of it each.
func (f filter) line(k Key) (line *[8]uint64, marks uint64) {
	return &f[binary.BigEndian.Uint64(k[:8])%uint64(len(f))], binary.BigEndian.Uint64(k[8:])
}

func (f filter) add(k Key) {
	line, marks := f.line(k)
	for range filterMarks {
		line[marks%filterLine/64] |= 1 << (marks % 64)
		marks /= filterLine
	}
}

// lacks tells that the key was not added; of other keys, one in eighty is taken for one that was.
func (f filter) lacks(k Key) bool {
	line, marks := f.line(k)
	for range filterMarks {
		if line[marks%filterLine/64]&(1<<(marks%64)) == 0 {
			return true
		}
		marks /= filterLine
	}
	return false
}

// learn reads the keys of a pack that is not too large, so that it can tell without a read what it lacks.
func (p *Pack) learn(ctx context.Context) error {
	f := newFilter(p.Len())
	err := p.each(ctx, func(e entry) error {
		f.add(e.key)
		return nil
	})
	if err != nil {
		return err
	}
	p.lacks.Store(&f)
	return nil
}

// learned tells whether there is nothing to learn.
func (p *Pack) learned() bool { return p.lacks.Load() != nil || p.Len() > filterMost }

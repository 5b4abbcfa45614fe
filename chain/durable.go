package chain

import (
	"context"
	"maps"
	"sync"

	"github.com/filecoin-venus/venus/ipld"
	"github.com/filecoin-venus/venus/types"
)

// lateBlocks is a block store whose writes are durable only after Sync, as those of ipld.Disk are.
type lateBlocks interface {
	ipld.Blockstore
	Sync(ctx context.Context) error
}

// mostResults is how many results may wait for a head to be written with.
const mostResults = 1024

// lateResults holds results of executions that are not in the table yet.
type lateResults struct {
	mu   sync.Mutex
	held map[types.TipSetKey]Result
}

func (l *lateResults) get(k types.TipSetKey) (Result, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r, ok := l.held[k]
	return r, ok
}

func (l *lateResults) add(k types.TipSetKey, r Result) (full bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held == nil {
		l.held = map[types.TipSetKey]Result{}
	}
	l.held[k] = r
	return len(l.held) >= mostResults
}

func (l *lateResults) all() map[types.TipSetKey]Result {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.held)
}

func (l *lateResults) written(done map[types.TipSetKey]Result) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for k := range done {
		delete(l.held, k)
	}
}

// record makes entries durable, in this order: the blocks they name, then the entries and the results that wait, at once.
func (s *Store) record(ctx context.Context, entries ...Entry) error {
	results := s.results.all() // before the sync, which then has their states
	if late, ok := s.blocks.(lateBlocks); ok {
		if err := late.Sync(ctx); err != nil {
			return err
		}
	}
	for k, r := range results {
		entries = append(entries, Entry{execKey(k), append(r.State.Bytes(), r.Receipts.Bytes()...)})
	}
	if len(entries) == 0 {
		return nil
	}
	if err := s.meta.Put(ctx, entries...); err != nil {
		return err
	}
	s.results.written(results)
	return nil
}

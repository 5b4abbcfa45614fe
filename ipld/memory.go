package ipld

import (
	"context"
	"sync"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
)

// Memory is a blockstore in memory.
type Memory struct {
	mu   sync.RWMutex
	data map[cid.Cid][]byte
}

// NewMemory returns an empty store.
func NewMemory() *Memory { return &Memory{data: map[cid.Cid][]byte{}} }

// Get returns a block.
func (m *Memory) Get(_ context.Context, c cid.Cid) ([]byte, error) {
	if b, ok := inline(c); ok {
		return b, nil
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	b, ok := m.data[c]
	if !ok {
		return nil, notFound(c)
	}
	return b, nil
}

// Has tells whether a block is stored.
func (m *Memory) Has(_ context.Context, c cid.Cid) (bool, error) {
	if _, ok := inline(c); ok {
		return true, nil
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	_, ok := m.data[c]
	return ok, nil
}

// Put stores a block.
func (m *Memory) Put(_ context.Context, c cid.Cid, data []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.data[c] = data
	return nil
}

// PutMany stores blocks.
func (m *Memory) PutMany(_ context.Context, blks []blocks.Block) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, b := range blks {
		m.data[b.Cid()] = b.RawData()
	}
	return nil
}

// Len is the number of blocks stored.
func (m *Memory) Len() int {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return len(m.data)
}

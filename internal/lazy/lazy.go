// Package lazy keeps what is costly to make: once for each key, at first use.
//
// Start at [Map].
package lazy

import "sync"

// Map holds values by key. The zero value is empty and ready; it is safe for
// concurrent use.
type Map[K comparable, V any] struct {
	mu      sync.Mutex
	entries map[K]*entry[V]
}

type entry[V any] struct {
	mu    sync.Mutex
	made  bool
	value V
}

// Get returns the value of a key, made with build when there is none. Who asks
// for the same key meanwhile waits; other keys do not. A failure is not
// remembered, so that the next caller tries again.
func (m *Map[K, V]) Get(key K, build func() (V, error)) (V, error) {
	m.mu.Lock()
	if m.entries == nil {
		m.entries = map[K]*entry[V]{}
	}
	e, ok := m.entries[key]
	if !ok {
		e = &entry[V]{}
		m.entries[key] = e
	}
	m.mu.Unlock()
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.made {
		return e.value, nil
	}
	v, err := build()
	if err != nil {
		return *new(V), err
	}
	e.value, e.made = v, true
	return v, nil
}

// Clear empties the map and returns what was in it. It waits for values that
// are being made.
func (m *Map[K, V]) Clear() []V {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []V
	for _, e := range m.entries {
		e.mu.Lock()
		if e.made {
			out = append(out, e.value)
		}
		e.mu.Unlock()
	}
	m.entries = nil
	return out
}

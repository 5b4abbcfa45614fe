package ipld

import (
	"sync"

	"github.com/ipfs/go-cid"
)

// writeLog remembers what is written while a collection runs. The nil log remembers nothing.
type writeLog struct {
	mu   sync.Mutex
	list []cid.Cid
}

func (l *writeLog) note(c cid.Cid) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, c)
}

// take returns what was noted since the last time.
func (l *writeLog) take() []cid.Cid {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := l.list
	l.list = nil
	return list
}

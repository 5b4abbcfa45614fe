package badgerstore

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/filecoin-project/go-address"

	"github.com/filecoin-venus/venus/auth"
)

// index is what lists are made of: a hundred thousand tokens take some ten megabytes of it.
type index struct {
	mu     sync.RWMutex
	byTime []line // tokens by creation, then id
	owners map[owned]map[string]struct{}
	owns   map[string][]owned
}

type line struct {
	at      time.Time
	id      string
	name    string
	removed bool
}

func lineOf(r auth.Record) line { return line{r.CreatedAt, r.ID, r.Name, r.Removed} }

func (a line) compare(b line) int {
	return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.id, b.id))
}

type owned struct {
	kind auth.Kind
	addr address.Address
}

func newIndex() *index {
	return &index{owners: map[owned]map[string]struct{}{}, owns: map[string][]owned{}}
}

// putToken adds tokens or replaces them; a token's time never changes.
func (x *index) putToken(rs ...auth.Record) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, r := range rs {
		l := lineOf(r)
		// New tokens are the newest.
		if n := len(x.byTime); n == 0 || x.byTime[n-1].compare(l) < 0 {
			x.byTime = append(x.byTime, l)
			continue
		}
		i, there := slices.BinarySearchFunc(x.byTime, l, line.compare)
		if there {
			x.byTime[i] = l
		} else {
			x.byTime = slices.Insert(x.byTime, i, l)
		}
	}
}

// tokenPage returns the ids of a page.
func (x *index) tokenPage(q auth.Query) []string {
	x.mu.RLock()
	defer x.mu.RUnlock()
	var out []string
	skip := q.Skip
	for _, l := range x.byTime {
		if len(out) >= q.Limit {
			break
		}
		if (l.removed && !q.Removed) || (q.Name != "" && l.name != q.Name) || !strings.Contains(l.name, q.Search) {
			continue
		}
		if skip > 0 {
			skip--
			continue
		}
		out = append(out, l.id)
	}
	return out
}

func (x *index) putUser(u auth.User) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, o := range x.owns[u.Name] {
		delete(x.owners[o], u.Name)
		if len(x.owners[o]) == 0 {
			delete(x.owners, o)
		}
	}
	var all []owned
	for _, a := range u.Miners {
		all = append(all, owned{auth.KindMiner, a})
	}
	for _, a := range u.Signers {
		all = append(all, owned{auth.KindSigner, a})
	}
	for _, o := range all {
		if x.owners[o] == nil {
			x.owners[o] = map[string]struct{}{}
		}
		x.owners[o][u.Name] = struct{}{}
	}
	x.owns[u.Name] = all
}

func (x *index) ownersOf(kind auth.Kind, addr address.Address) []string {
	x.mu.RLock()
	defer x.mu.RUnlock()
	out := []string{}
	for name := range x.owners[owned{kind, addr}] {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

func (x *index) ownedByOther(miner address.Address, name string) bool {
	for _, o := range x.ownersOf(auth.KindMiner, miner) {
		if o != name {
			return true
		}
	}
	return false
}

package messager

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/filecoin-project/go-address"

	"github.com/filecoin-venus/venus/messager/machine"
	"github.com/filecoin-venus/venus/messager/store"
)

// maxIntake bounds the messages that are made durable together.
const maxIntake = 200

// intake makes accepted messages durable. A commit costs a trip to the disk however
// much it carries, so whoever comes while one is under way waits for the next, which
// takes all of them: one of the callers leads, the others wait for it.
type intake struct {
	s  *Service
	mu sync.Mutex
	// waiting are not in any commit yet. leading: somebody will see to them.
	waiting []*arrival
	leading bool
}

// arrival is a message whose caller waits. done gets its result, or errLead when the
// caller is to lead the next commit.
type arrival struct {
	m    *machine.Message
	done chan error
}

var errLead = errors.New("lead the next commit")

// add returns once the message is durable, or why it is not; a taken id is
// store.ErrExists.
func (in *intake) add(m *machine.Message) error {
	a := &arrival{m: m, done: make(chan error, 1)}
	in.mu.Lock()
	in.waiting = append(in.waiting, a)
	lead := !in.leading
	in.leading = true
	in.mu.Unlock()
	if !lead {
		if err := <-a.done; !errors.Is(err, errLead) {
			return err
		}
	}
	in.lead()
	return <-a.done
}

// lead commits what waits, the leader's own message included, and passes the lead on.
func (in *intake) lead() {
	in.mu.Lock()
	n := min(len(in.waiting), maxIntake)
	batch := in.waiting[:n:n]
	in.waiting = in.waiting[n:]
	in.mu.Unlock()

	in.commit(batch)

	in.mu.Lock()
	defer in.mu.Unlock()
	if len(in.waiting) == 0 {
		in.leading, in.waiting = false, nil
		return
	}
	in.waiting[0].done <- errLead
}

// commit makes a batch durable. When that fails as a whole its halves are tried by
// themselves, so that a message with a taken id harms nobody.
func (in *intake) commit(batch []*arrival) {
	results, err := in.store(batch)
	if err != nil && len(batch) > 1 {
		in.commit(batch[:len(batch)/2])
		in.commit(batch[len(batch)/2:])
		return
	}
	for i, a := range batch {
		if err != nil {
			a.done <- err
		} else {
			a.done <- results[i]
		}
	}
}

var errSenderPaused = errors.New("the sender is paused")

// store writes a batch in one transaction and returns the result of each message; with
// an error none was written.
func (in *intake) store(batch []*arrival) (results []error, err error) {
	// Nobody's patience ends the commit of all.
	ctx, cancel := context.WithTimeout(context.Background(), intakeTimeout)
	defer cancel()
	var senders []address.Address
	for _, a := range batch {
		if !slices.Contains(senders, a.m.Msg.From) {
			senders = append(senders, a.m.Msg.From)
		}
	}
	err = in.s.db.Update(ctx, func(tx *store.Tx) error {
		results = make([]error, len(batch))
		paused, err := tx.Paused(senders)
		if err != nil {
			return err
		}
		var ms []*machine.Message
		for i, a := range batch {
			m := a.m
			if paused[m.Msg.From] {
				results[i] = errSenderPaused
				continue
			}
			if _, known := paused[m.Msg.From]; !known {
				if err := tx.EnsureSender(m.Msg.From, m.Created); err != nil {
					return err
				}
				paused[m.Msg.From] = false
			}
			ms = append(ms, m)
			tx.Note(m.ID, machine.Note{At: m.Created, Kind: "queued", Text: fmt.Sprintf("lane %s, wallet %s", m.Lane, m.Wallet)})
		}
		return tx.InsertAll(ms)
	})
	return results, err
}

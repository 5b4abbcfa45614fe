package messager

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/api/node"
	"github.com/filecoin-venus/venus/internal/fault"
	"github.com/filecoin-venus/venus/internal/fault/faulttest"
	"github.com/filecoin-venus/venus/internal/mariadb"
	"github.com/filecoin-venus/venus/messager/machine"
	"github.com/filecoin-venus/venus/messager/store"
	"github.com/filecoin-venus/venus/types"
)

// TestFaults plays every fault by its name. What must hold over all of them is in
// play.check and play.noGap: no nonce used twice, no gap for more than three epochs
// after the fault ended, every accepted id decided or explained.
func TestFaults(t *testing.T) {
	cases := slices.Concat(killFaults(t), nodeFaults(), slowFaults(), methodFaults(), walletFaults(), databaseFaults(), clientFaults(), marketFaults(), reorgFaults(), nonceFaults(), sharedFaults())
	require.Greater(t, len(cases), 90)
	seen := map[string]bool{}
	for i, f := range cases {
		require.False(t, seen[f.name], f.name)
		seen[f.name] = true
		t.Run(f.name, func(t *testing.T) {
			newPlay(t, sqliteAt(t), max(1, f.messagers), 2, uint64(i)).run(f)
		})
	}
}

// failpoints are all marks of the messager's durable steps.
func failpoints(t *testing.T) []string { return faulttest.Marks(t, 10, "*.go", "store/*.go") }

// killFaults kill the process at its first and fifth passage of each mark.
func killFaults(t *testing.T) []faultCase {
	var out []faultCase
	for _, point := range failpoints(t) {
		for _, n := range []int{1, 5} {
			f := faultCase{
				name: fmt.Sprintf("kill at passage %d of %s", n, strings.TrimPrefix(point, "messager/")), epochs: 8,
				begin: func(p *play) func() { return p.kill(point, n) },
				after: func(p *play) { require.Equal(p.t, 1, p.kills, "the mark was never reached") },
			}
			if point == "messager/repriced" {
				// Only a price that no longer meets the market is changed.
				times := int64(1)
				f.epochs = 12 * (n/3 + 2)
				f.each = func(p *play, i int) {
					if i%12 == 0 {
						times *= 20
						p.jump(times)
					}
				}
			}
			out = append(out, f)
		}
	}
	return out
}

// baseFee sets the chain's base fee to a multiple of the usual one.
func (p *play) baseFee(times int64) {
	p.node.mu.Lock()
	defer p.node.mu.Unlock()
	p.node.baseFee = big.Mul(big.NewInt(100_000), big.NewInt(times))
}

// jump sets the base fee while a message of every sender is on its way at the old price.
func (p *play) jump(times int64) {
	for _, a := range p.senders {
		p.order(a, 16)
	}
	p.ask()
	p.work()
	p.baseFee(times)
}

// nodeGone is a node that nobody can reach.
func nodeGone(p *play) func() {
	p.node.setFail("*", errAway)
	p.deaf()
	return func() { p.node.setFail("*", nil) }
}

// deaf makes all messagers miss head changes.
func (p *play) deaf() {
	for _, r := range p.rigs {
		p.deafRigs[r] = true
		r.resubscribe = true
		r.setNodeError("connection refused")
	}
}

func nodeFaults() []faultCase {
	return []faultCase{
		{name: "node gone for an epoch", epochs: 1, begin: nodeGone},
		{name: "node gone for five minutes", epochs: 10, begin: nodeGone},
		{name: "node gone for half an hour", epochs: 60, begin: nodeGone},
		{name: "node comes and goes every epoch", epochs: 12, each: func(p *play, i int) {
			if i%2 == 0 {
				nodeGone(p)
			} else {
				p.node.setFail("*", nil)
				clear(p.deafRigs)
			}
		}},
		{name: "node loses its pool every epoch", epochs: 6, begin: func(p *play) func() { p.before = p.node.losePool; return nil }},
		{name: "node takes messages and its answers are lost", epochs: 4, begin: func(p *play) func() { p.node.deaf = true; return nil }},
		{name: "node refuses every second message", epochs: 6, begin: func(p *play) func() {
			n := 0
			p.node.refuse = func(*types.SignedMessage) error {
				if n++; n%2 == 0 {
					return errors.New("message pool is full")
				}
				return nil
			}
			return nil
		}},
		{name: "node refuses all messages", epochs: 6, begin: func(p *play) func() {
			p.node.refuse = func(*types.SignedMessage) error { return errors.New("message pool is full") }
			return nil
		}},
		{name: "node says that every nonce is used", epochs: 4, begin: func(p *play) func() {
			p.node.refuse = func(*types.SignedMessage) error { return errors.New("nonce is already used on chain") }
			return nil
		}},
		{name: "node stands still", epochs: 8, begin: func(p *play) func() { p.nobodyMines = true; return nil }},
		{name: "blocks without messages", epochs: 8, begin: func(p *play) func() {
			p.take = func(*types.SignedMessage) bool { return false }
			return nil
		}},
		{name: "node knows an older nonce", epochs: 5, begin: func(p *play) func() {
			p.node.nonces = func(_ address.Address, n uint64) uint64 { return n - min(n, 3) }
			return nil
		}},
		{name: "node is restored to an earlier head", epochs: 1, begin: func(p *play) func() {
			ts := p.node.Head()
			for range 3 {
				ts = p.node.tipsets[ts.Parents()]
			}
			p.head(ts)
			return nil
		}},
		{name: "estimates fail for every message", epochs: 6, begin: func(p *play) func() {
			for _, m := range []abi.MethodNum{5, 6, 7, 16} {
				p.node.failMethod[m] = "message execution failed: exit 16, reason: no"
			}
			return nil
		}},
		{name: "proofs cannot be estimated", epochs: 6, begin: func(p *play) func() { p.node.failMethod[5] = "exit 20"; return nil }},
		{name: "senders vanish from the chain", epochs: 3, begin: func(p *play) func() {
			had := p.node.balances
			p.node.balances = map[address.Address]big.Int{}
			return func() { p.node.balances = had }
		}},
		{name: "senders have no money", epochs: 5, begin: func(p *play) func() {
			for _, a := range p.senders {
				p.node.balances[a] = big.NewInt(1)
			}
			return func() {
				for _, a := range p.senders {
					p.node.balances[a] = big.Mul(fil, big.NewInt(1000))
				}
			}
		}},
	}
}

// slowFaults make every call take its time, from a second to a minute.
func slowFaults() []faultCase {
	var out []faultCase
	for _, late := range []time.Duration{time.Second, 5 * time.Second, 20 * time.Second, time.Minute} {
		out = append(out,
			faultCase{name: fmt.Sprintf("node takes %s for a call", late), epochs: 3, begin: func(p *play) func() { p.node.late = late; return nil }},
			faultCase{name: fmt.Sprintf("wallet takes %s for a signature", late), epochs: 3, begin: func(p *play) func() { p.wallet.late = late; return nil }},
			faultCase{name: fmt.Sprintf("database takes %s for a transaction", late), epochs: 3, begin: slowDatabase(late)},
			faultCase{name: fmt.Sprintf("database takes %s for a transaction, two messagers", late), epochs: 3, messagers: 2, begin: slowDatabase(late)},
		)
	}
	return out
}

// slowDatabase lets time pass at the begin of every transaction, save those that time itself brings: the renewal of leases.
func slowDatabase(late time.Duration) func(*play) func() {
	return func(p *play) func() {
		passing := false
		return fault.Arm("messager/begin", func() error {
			if !passing {
				passing = true
				p.pass(late)
				passing = false
			}
			return nil
		})
	}
}

// methodFaults break one call of the node at a time.
func methodFaults() []faultCase {
	var out []faultCase
	for _, method := range []string{
		"MpoolPush", "MpoolBatchPush", "MpoolGetNonce", "GasBatchEstimateMessageGas", "GasEstimateFeeCap", "GasEstimateGasPremium", "StateGetActor",
		"StateSearchMsg", "ChainGetParentMessages", "ChainGetParentReceipts", "ChainGetPath", "ChainGetTipSet", "BlockTime", "SyncState",
	} {
		out = append(out, faultCase{name: method + " fails", epochs: 6, begin: func(p *play) func() {
			p.node.setFail(method, errAway)
			return func() { p.node.setFail(method, nil) }
		}})
	}
	for _, method := range []string{"ChainGetParentMessages", "ChainGetPath", "MpoolBatchPush", "StateSearchMsg"} {
		out = append(out, faultCase{name: method + " answers nonsense every second epoch", epochs: 8, each: func(p *play, i int) {
			if i%2 == 0 {
				p.node.setFail(method, errors.New("internal error: nil pointer"))
			} else {
				p.node.setFail(method, nil)
			}
		}})
	}
	return out
}

func walletFaults() []faultCase {
	fails := func(err error) func(*play) func() {
		return func(p *play) func() { p.wallet.set(err); return nil }
	}
	return []faultCase{
		{name: "wallet gone for a minute", epochs: 2, begin: fails(errAway)},
		{name: "wallet gone for ten minutes", epochs: 20, begin: fails(errAway)},
		{name: "wallet locked", epochs: 6, begin: fails(api.Errorf(api.CodePrecondition, "wallet locked"))},
		{name: "wallet refuses", epochs: 6, begin: fails(api.Errorf(api.CodePermission, "the policy forbids this"))},
		{name: "wallet signs other bytes", epochs: 4, begin: func(p *play) func() { p.wallet.wrong = true; return nil }},
		{name: "wallet signs with another key", epochs: 4, begin: func(p *play) func() { p.wallet.swap = true; return nil }},
		{name: "wallet loses its keys for a while", epochs: 5, begin: func(p *play) func() {
			had := p.wallet.keys
			p.wallet.keys = map[address.Address][]byte{}
			p.perEpoch = 0
			_ = p.rigs[0].wallets.refresh(context.Background(), p.rigs[0].wallets.get("w"))
			return func() { p.wallet.keys = had }
		}},
		{name: "wallet fails every second signature", epochs: 8, each: func(p *play, i int) {
			if i%2 == 0 {
				p.wallet.set(errAway)
			} else {
				p.wallet.set(nil)
			}
		}},
	}
}

// away makes every n-th passage of a mark fail, as a database does that is away or
// loses its answers.
func away(point string, every int) func(*play) func() {
	return func(*play) func() {
		n := 0
		return fault.Arm(point, func() error {
			if n++; n%every == 0 {
				return errors.New("bad connection")
			}
			return nil
		})
	}
}

func databaseFaults() []faultCase {
	return []faultCase{
		{name: "database takes no writes for five minutes", epochs: 10, begin: away("messager/begin", 1)},
		{name: "database takes no writes for half an hour", epochs: 60, begin: away("messager/begin", 1)},
		{name: "every second transaction fails", epochs: 8, begin: away("messager/begin", 2)},
		{name: "every third transaction fails", epochs: 8, begin: away("messager/begin", 3)},
		{name: "answers of all commits are lost", epochs: 4, begin: away("messager/committed", 1)},
		{name: "answers of every second commit are lost", epochs: 8, begin: away("messager/committed", 2)},
		{name: "answers of every fifth commit are lost", epochs: 10, begin: away("messager/committed", 5)},
		{name: "disk full", epochs: 6, begin: diskFull},
		{name: "restart every epoch", epochs: 8, each: func(p *play, _ int) { p.rigs[0].crash() }},
		{name: "yesterday's backup is restored", epochs: 4, begin: oldBackup, after: func(p *play) {
			require.NotEmpty(p.t, p.node.foreign, "what the backup does not know landed as foreign")
		}},
	}
}

// crash is kill -9 between two steps, and a start.
func (r *rig) crash() {
	require.NoError(r.t, r.db.Close())
	r.db = nil
	r.reopen()
}

// diskFull lets the database file grow no more.
func diskFull(p *play) func() {
	r := p.rigs[0]
	r.crash()
	require.NoError(p.t, r.db.LimitPages(context.Background(), 1))
	return func() { require.NoError(p.t, r.db.LimitPages(context.Background(), 1<<30)) }
}

// oldBackup puts the database back to what it was some epochs ago. What was signed
// since is foreign to it; the clients of what was accepted since ask again.
func oldBackup(p *play) func() {
	r := p.rigs[0]
	require.NoError(p.t, r.db.Close())
	old, err := os.ReadFile(r.at.Path)
	require.NoError(p.t, err)
	_ = os.Remove(r.at.Path + "-wal")
	r.db = nil
	r.reopen()
	known := len(p.accepted)
	for range 3 {
		p.epoch()
	}
	require.NoError(p.t, r.db.Close())
	r.db = nil
	for _, suffix := range []string{"-wal", "-shm"} {
		_ = os.Remove(r.at.Path + suffix)
	}
	require.NoError(p.t, os.WriteFile(r.at.Path, old, 0o600))
	r.reopen()
	for _, sm := range p.node.pushed {
		if _, err := r.db.BySignedCid(context.Background(), sm.Cid()); errors.Is(err, store.ErrNotFound) {
			p.node.foreign[sm.Cid()] = true
		}
	}
	p.accepted = p.accepted[:known]
	return nil
}

func clientFaults() []faultCase {
	return []faultCase{
		{name: "every message is pushed three times", epochs: 6, each: func(p *play, _ int) {
			for _, id := range p.accepted[max(0, len(p.accepted)-6):] {
				m := p.rigs[0].get(id)
				for range 2 {
					again, err := p.rigs[0].tryPush(id, m.Msg.From, m.Msg.Method)
					require.NoError(p.t, err)
					require.Equal(p.t, id, again)
				}
			}
		}},
		{name: "an id is used for another message", epochs: 4, each: func(p *play, _ int) {
			_, err := p.rigs[0].tryPush(p.accepted[0], p.senders[0], 99)
			require.Equal(p.t, api.CodeConflict, codeOf(err))
		}},
		{name: "a flood from one sender", epochs: 2, begin: func(p *play) func() {
			for range 150 {
				p.order(p.senders[0], 16)
			}
			return nil
		}},
		{name: "the operator replaces everything under way", epochs: 6, each: func(p *play, _ int) {
			for _, id := range p.accepted[max(0, len(p.accepted)-9):] {
				_, _ = p.rigs[0].Replace(context.Background(), id, Price{Auto: true}) // most have landed
			}
		}},
		{name: "an address is paused and resumed", epochs: 6, begin: func(p *play) func() {
			a := NewAPI(p.rigs[0].Service, nil, "")
			require.NoError(p.t, a.ForbiddenAddress(context.Background(), p.senders[0]))
			return func() { require.NoError(p.t, a.ActiveAddress(context.Background(), p.senders[0])) }
		}},
		{name: "200 messages that fail stand in front", epochs: 4, begin: func(p *play) func() {
			p.node.failMethod[66] = "exit 16"
			for range 200 {
				p.wanted = append(p.wanted, order{fmt.Sprint("bad", p.count), p.senders[0], 66})
				p.count++
			}
			return func() {
				for _, id := range p.accepted {
					if strings.HasPrefix(id, "bad") {
						require.NoError(p.t, p.rigs[0].MarkBad(context.Background(), id))
					} else if m := p.rigs[0].get(id); m.State == machine.Queued {
						require.Less(p.t, p.rigs[0].clk.Now().Sub(m.Created), 3*playEpoch, "%s waits behind failures", id)
					}
				}
			}
		}},
	}
}

func marketFaults() []faultCase {
	return []faultCase{
		{name: "base fee jumps to a hundred times", epochs: 40, each: func(p *play, i int) {
			if i == 0 {
				p.jump(100)
			}
		}, after: replacedSome},
		{name: "base fee jumps to a hundred times and back", epochs: 30, begin: func(p *play) func() {
			p.jump(100)
			return func() { p.baseFee(1) }
		}, after: replacedSome},
		{name: "base fee jumps up and down every epoch", epochs: 30, each: func(p *play, i int) { p.jump(1 + 99*int64(i%2)) }},
		{name: "base fee at twenty times for 200 epochs", epochs: 200, begin: func(p *play) func() {
			p.perEpoch = 0
			p.jump(20)
			return nil
		}, after: replacedSome},
		{name: "base fee above every limit", epochs: 10, begin: func(p *play) func() {
			p.baseFee(1_000_000_000)
			return func() { p.baseFee(1) }
		}},
		{name: "the premium jumps to a thousand times", epochs: 20, begin: func(p *play) func() {
			p.jump(1)
			p.node.premium = big.NewInt(100_000_000)
			p.take = func(m *types.SignedMessage) bool { return m.Message.GasPremium.GreaterThan(big.NewInt(50_000_000)) }
			return nil
		}, after: replacedSome},
	}
}

// replacedSome: what was on its way at the old price was signed again at a new one.
func replacedSome(p *play) {
	attempts := 0
	for _, id := range p.accepted {
		all, err := p.alive().db.Attempts(context.Background(), id)
		require.NoError(p.t, err)
		attempts += len(all)
	}
	require.Greater(p.t, attempts, len(p.accepted))
}

// reorg moves the head to another chain that leaves the current one depth tipsets
// down, and packs what of the pool take lets through.
func (p *play) reorg(depth int, take func(*types.SignedMessage) bool) {
	ts := p.node.Head()
	for range depth {
		if ts.Height() == 0 {
			break
		}
		ts = p.node.tipsets[ts.Parents()]
	}
	for range depth + 1 {
		ts = p.node.mine(ts, 0, take)
	}
	p.head(ts)
}

func reorgFaults() []faultCase {
	var out []faultCase
	for _, depth := range []int{1, 2, 5, 10, 50, 200, 900} {
		setup := func(p *play) {
			for range max(0, depth-3) { // a chain long enough
				p.head(p.node.mine(p.node.Head(), 0, nil))
				if p.node.Head().Height()%20 == 0 {
					p.ask()
					p.work()
				}
			}
		}
		out = append(out,
			faultCase{name: fmt.Sprintf("reorg of %d tipsets", depth), epochs: 3, each: func(p *play, i int) {
				if i == 0 {
					setup(p)
				}
				p.reorg(depth, nil)
			}},
			faultCase{name: fmt.Sprintf("reorg of %d tipsets to a chain without messages, unnoticed", depth), epochs: 2, each: func(p *play, i int) {
				if i > 0 {
					return
				}
				setup(p)
				p.deaf()
				p.reorg(depth, func(*types.SignedMessage) bool { return false })
				clear(p.deafRigs)
			}},
		)
	}
	return append(out,
		faultCase{name: "a reorg every epoch", epochs: 20, each: func(p *play, i int) { p.reorg(1+i%4, nil) }},
		faultCase{name: "head changes told twice", epochs: 6, each: func(p *play, _ int) {
			head := p.node.Head()
			p.tell(p.rigs[0], []*node.HeadChange{{Type: node.HeadApply, Val: head}})
		}},
		faultCase{name: "every second head change is lost", epochs: 10, each: func(p *play, i int) {
			if i%2 == 0 {
				p.deafRigs[p.rigs[0]] = true
			} else {
				clear(p.deafRigs)
			}
		}},
		faultCase{name: "a head that only reverts", epochs: 4, each: func(p *play, _ int) {
			p.head(p.node.tipsets[p.node.Head().Parents()])
		}},
		faultCase{name: "null rounds", epochs: 6, each: func(p *play, i int) { p.head(p.node.mine(p.node.Head(), abi.ChainEpoch(i), nil)) }},
		faultCase{name: "a restart during a reorg", epochs: 4, each: func(p *play, i int) {
			p.deaf()
			p.reorg(3, nil)
			p.rigs[0].crash()
			clear(p.deafRigs)
		}},
		faultCase{name: "unnoticed for a thousand epochs", epochs: 1, begin: func(p *play) func() {
			p.deaf()
			ts := p.node.Head()
			for range 1000 {
				ts = p.node.mine(ts, 0, nil)
			}
			p.head(ts)
			return nil
		}},
	)
}

func nonceFaults() []faultCase {
	return []faultCase{
		{name: "somebody else uses the key", epochs: 6, each: func(p *play, _ int) {
			a := p.senders[0]
			n, err := p.node.MpoolGetNonce(context.Background(), a)
			require.NoError(p.t, err)
			_, _ = p.node.MpoolPush(context.Background(), p.foreignMessage(a, n)) // a pool may refuse
		}},
		{name: "somebody else takes a nonce that was given out", epochs: 6, each: func(p *play, _ int) {
			a := p.senders[0]
			n := p.node.nonceAfter(a, p.node.Head())
			p.head(p.node.include(p.node.Head(), p.foreignMessage(a, n)))
		}},
		{name: "a foreign pending message vanishes", epochs: 2, each: func(p *play, i int) {
			a := p.senders[0]
			if i == 0 {
				p.take = func(m *types.SignedMessage) bool { return false }
				n, err := p.node.MpoolGetNonce(context.Background(), a)
				require.NoError(p.t, err)
				_, err = p.node.MpoolPush(context.Background(), p.foreignMessage(a, n))
				require.NoError(p.t, err)
				return
			}
			for n, m := range p.node.pool[a] {
				if p.node.foreign[m.Cid()] {
					delete(p.node.pool[a], n)
				}
			}
		}},
		{name: "the operator skips nonces", epochs: 1, begin: func(p *play) func() {
			a := NewAPI(p.rigs[0].Service, nil, "")
			s, err := p.rigs[0].db.Sender(context.Background(), p.senders[0])
			require.NoError(p.t, err)
			require.NoError(p.t, a.UpdateNonce(context.Background(), p.senders[0], s.NextNonce+3))
			return nil
		}},
		{name: "node says nonces far ahead", epochs: 2, begin: func(p *play) func() {
			p.node.nonces = func(a address.Address, n uint64) uint64 {
				if a == p.senders[0] {
					return n + 5
				}
				return n
			}
			return nil
		}},
	}
}

// stop makes a messager stand still without a word, for as long as it lasts.
func (p *play) stop(i int) func() {
	r := p.rigs[i]
	p.stopped[r] = true
	return func() {
		delete(p.stopped, r)
		r.resubscribe = true
	}
}

func sharedFaults() []faultCase {
	return []faultCase{
		{name: "two messagers on one database", epochs: 10, messagers: 2},
		{name: "three messagers on one database", epochs: 10, messagers: 3},
		{name: "the first of two dies", epochs: 4, messagers: 2, begin: func(p *play) func() { return p.stop(0) }},
		{name: "the second of two dies", epochs: 4, messagers: 2, begin: func(p *play) func() { return p.stop(1) }},
		{name: "two messagers take turns in standing still", epochs: 10, messagers: 2, each: func(p *play, i int) {
			clear(p.stopped)
			for _, r := range p.rigs {
				r.resubscribe = true
			}
			p.stop(i % 2)
		}, begin: func(p *play) func() {
			return func() { clear(p.stopped) }
		}},
		{name: "one of two restarts every epoch", epochs: 8, messagers: 2, each: func(p *play, i int) { p.rigs[i%2].crash() }},
		{name: "one of two hears nothing", epochs: 8, messagers: 2, begin: func(p *play) func() {
			p.deafRigs[p.rigs[0]] = true
			p.rigs[0].setNodeError("connection refused")
			return func() { p.rigs[0].resubscribe = true }
		}},
		{name: "two messagers, killed in turn after signing", epochs: 8, messagers: 2, each: func(p *play, _ int) {}, begin: func(p *play) func() {
			n := 0
			return fault.Arm("messager/signed", func() error {
				if n++; n%3 == 0 {
					return errKilled
				}
				return nil
			})
		}},
		{name: "two messagers and a reorg every epoch", epochs: 10, messagers: 2, each: func(p *play, i int) { p.reorg(1+i%5, nil) }},
		{name: "two messagers and lost commits", epochs: 6, messagers: 2, begin: away("messager/committed", 3)},
		{name: "two messagers and a slow node", epochs: 3, messagers: 2, begin: func(p *play) func() { p.node.late = 5 * time.Second; return nil }},
	}
}

// TestFaultsOnMariaDB kills a real database server in the middle of transactions, again
// and again, under two messagers.
func TestFaultsOnMariaDB(t *testing.T) {
	server := mariadb.Start(t)
	p := newPlay(t, store.Config{Type: store.MySQL, DSN: server.Database(t), Key: databaseKeyOf(t)}, 2, 3, 1)
	disarm, down := func() {}, false
	p.run(faultCase{epochs: 6, each: func(p *play, i int) {
		disarm()
		if down {
			server.Restart(t)
			down = false
		}
		if i == 5 {
			return
		}
		passed := 0
		disarm = fault.Arm("messager/begin", func() error {
			if passed++; passed == 7+5*i {
				server.Kill()
				down = true
			}
			return nil
		})
	}})
}

package messager

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/stretchr/testify/require"

	msgapi "github.com/filecoin-venus/venus/api/messager"
	"github.com/filecoin-venus/venus/messager/machine"
	"github.com/filecoin-venus/venus/messager/store"
	"github.com/filecoin-venus/venus/types"
)

// onBoth runs a benchmark on both kinds of database, durable as in production.
func onBoth(b *testing.B, f func(b *testing.B, r *rig)) {
	b.Run(store.SQLite, func(b *testing.B) {
		f(b, newRigOn(b, store.Config{Type: store.SQLite, Path: filepath.Join(b.TempDir(), "m.db"), Key: databaseKeyOf(b)}))
	})
	b.Run(store.MySQL, func(b *testing.B) { f(b, newRigOn(b, mariadbAt(b))) })
}

// BenchmarkAccept takes messages of many senders from 64 callers at once; each is on
// disk before its caller is answered.
func BenchmarkAccept(b *testing.B) {
	onBoth(b, func(b *testing.B, r *rig) {
		senders := r.senders(b, 50)
		to, err := address.NewIDAddress(7)
		require.NoError(b, err)
		var n atomic.Int64
		b.SetParallelism(32)
		b.ResetTimer()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				i := n.Add(1)
				_, err := r.Accept(context.Background(), fmt.Sprint("b", i), "u", "w", &types.Message{From: senders[i%50], To: to, Value: big.Zero()}, machine.Limits{})
				if err != nil {
					b.Error(err)
				}
			}
		})
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
	})
}

// senders makes keys in the rig's wallet, funded and known.
func (r *rig) senders(tb testing.TB, n int) []address.Address {
	out := []address.Address{r.addr}
	for len(out) < n {
		out = append(out, r.fund(r.wallet.newKey(tb)))
	}
	require.NoError(tb, r.wallets.refresh(context.Background(), r.wallets.get("w")))
	return out
}

// BenchmarkSend estimates, has signed, stores, pushes and records, for 50 senders by two
// workers at a time. What was pushed lands while the clock of the benchmark stands.
func BenchmarkSend(b *testing.B) {
	onBoth(b, func(b *testing.B, r *rig) {
		senders := r.senders(b, 50)
		for i, a := range senders {
			r.node.balances[a] = big.Mul(fil, big.NewInt(1_000_000))
			for k := i; k < b.N; k += len(senders) {
				r.push(fmt.Sprint(a, k), a, 16)
			}
		}
		b.ResetTimer()
		for sent := 0; sent < b.N; {
			r.sendAll(b, senders)
			b.StopTimer()
			sent = len(r.node.pushed)
			r.step()
			r.step()
			b.StartTimer()
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
	})
}

// sendAll lets every worker send until its limit, two workers at a time.
func (r *rig) sendAll(b *testing.B, senders []address.Address) {
	r.tick()
	next := make(chan address.Address, len(senders))
	for _, a := range senders {
		next <- a
	}
	close(next)
	var working sync.WaitGroup
	for range 2 {
		working.Go(func() {
			for a := range next {
				for again := true; again; {
					var err error
					if again, err = r.worker(a).round(context.Background()); err != nil {
						b.Error(err)
						return
					}
				}
			}
		})
	}
	working.Wait()
}

// double copies every message under another id and later nonces, so many times: 2000 become a million in half a minute.
func (r *rig) double(b *testing.B, times int) {
	driver, at := "sqlite", "file:"+r.at.Path
	if r.at.Type == store.MySQL {
		driver, at = "mysql", r.at.DSN+"&readTimeout=10m"
	}
	db, err := sql.Open(driver, at)
	require.NoError(b, err)
	defer db.Close()
	rows, err := db.QueryContext(b.Context(), "SELECT * FROM messages LIMIT 1")
	require.NoError(b, err)
	columns, err := rows.Columns()
	require.NoError(b, errors.Join(err, rows.Err(), rows.Close()))
	for k := range times {
		shift := 2000 << k
		values := slices.Clone(columns)
		for i, c := range columns {
			switch c {
			case "id":
				if values[i] = fmt.Sprintf("'%d-' || id", k); r.at.Type == store.MySQL {
					values[i] = fmt.Sprintf("CONCAT('%d-', id)", k)
				}
			case "nonce":
				values[i] = fmt.Sprintf("nonce + %d", shift)
			case "created_at":
				values[i] = fmt.Sprintf("created_at + %d", shift*int(time.Millisecond))
			}
		}
		_, err := db.ExecContext(b.Context(), "INSERT INTO messages ("+strings.Join(columns, ",")+") SELECT "+strings.Join(values, ",")+" FROM messages")
		require.NoError(b, err)
	}
}

// BenchmarkFirstPage lists the first page of a million messages, of all and of one
// sender, and those under way.
func BenchmarkFirstPage(b *testing.B) {
	onBoth(b, func(b *testing.B, r *rig) {
		senders := r.senders(b, 50)
		r.fillWith(b, senders, 2000)
		r.double(b, 9)
		a := NewAPI(r.Service, nil, "")
		for name, q := range map[string]msgapi.MsgQuery{
			"all": {}, "sender": {From: senders[:1]}, "pending": {States: []msgapi.State{msgapi.StatePending}}, "oldest": {Ascending: true},
		} {
			b.Run(name, func(b *testing.B) {
				for b.Loop() {
					got, err := a.ListMessage(b.Context(), q)
					require.NoError(b, err)
					require.NotEmpty(b, got)
				}
			})
		}
	})
}

// fillWith stores messages that landed long ago, and a thousand that are queued or
// under way.
func (r *rig) fillWith(tb testing.TB, senders []address.Address, n int) {
	const batch = 1000
	for i := 0; i < n; i += batch {
		err := r.db.Update(context.Background(), func(tx *store.Tx) error {
			for k := i; k < i+batch; k++ {
				from := senders[k%len(senders)]
				m := machine.New(fmt.Sprint("old", k), "u", "w", types.Message{From: from, To: from, Value: big.Zero(), Method: 16}, machine.Limits{}, r.clk.Now().Add(time.Duration(k)*time.Millisecond))
				if k%1000 != 0 {
					m.State, m.Msg.Nonce = machine.OnChain, uint64(k/len(senders))
					m.Receipt = &types.MessageReceipt{GasUsed: 1}
				} else if k%2000 == 0 {
					m.State, m.Msg.Nonce = machine.Pending, uint64(k/len(senders))
				}
				if err := tx.Insert(&m, machine.Note{}); err != nil {
					return err
				}
			}
			return nil
		})
		require.NoError(tb, err)
	}
}

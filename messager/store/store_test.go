package store

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/go-state-types/crypto"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/internal/mariadb"
	"github.com/filecoin-venus/venus/messager/machine"
	"github.com/filecoin-venus/venus/types"
)

var t0 = time.Unix(1_700_000_000, 5).UTC()

func TestMain(m *testing.M) { os.Exit(mariadb.Run(m)) }

// each runs a test on every kind of database, MySQL's with the guide's form of connection string.
func each(t *testing.T, f func(t *testing.T, db *DB)) {
	for _, kind := range []string{SQLite, MySQL} {
		t.Run(kind, func(t *testing.T) {
			c := Config{Type: kind, Path: filepath.Join(t.TempDir(), "a b?c.db"), NoSync: true, Key: keyOf(t, 0)}
			if kind == MySQL {
				c.DSN = mariadb.Database(t)
			}
			db, err := Open(t.Context(), c)
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, db.Close()) })
			f(t, db)
		})
	}
}

func addr(t testing.TB, name string) address.Address {
	a, err := address.NewSecp256k1Address([]byte(name))
	require.NoError(t, err)
	return a
}

func message(t testing.TB, id, from string, at time.Time) machine.Message {
	return machine.New(id, "user", "wallet", types.Message{
		From: addr(t, from), To: addr(t, "to"), Value: big.NewInt(7), Method: 5, Params: []byte{1, 2, 3},
	}, machine.Limits{ExpireEpoch: 9, GasOverEstimation: 1.5, MaxFee: big.NewInt(1e18), MaxFeeCap: big.Zero()}, at)
}

func insert(t testing.TB, db *DB, m *machine.Message) {
	t.Helper()
	require.NoError(t, db.Update(context.Background(), func(tx *Tx) error { return tx.Insert(m, machine.Note{At: t0, Kind: "queued", Text: "x"}) }))
}

// step applies an event and writes it.
func step(t testing.TB, db *DB, id string, ev machine.Event) machine.Message {
	t.Helper()
	var out machine.Message
	require.NoError(t, db.Update(context.Background(), func(tx *Tx) error {
		m, err := tx.Get(id)
		require.NoError(t, err)
		next, note, err := m.Step(ev, t0.Add(time.Second))
		require.NoError(t, err)
		out = next
		return tx.Write(&out, note)
	}))
	return out
}

func assigned(m *machine.Message, nonce uint64) machine.Assigned {
	msg := m.Msg
	msg.Nonce, msg.GasLimit, msg.GasFeeCap, msg.GasPremium = nonce, 1e6, big.NewInt(1000), big.NewInt(10)
	return machine.Assigned{Msg: msg, Sig: crypto.Signature{Type: crypto.SigTypeSecp256k1, Data: make([]byte, 65)}}
}

func TestMessageRoundTrip(t *testing.T) {
	each(t, func(t *testing.T, db *DB) {
		m := message(t, "m1", "a", t0)
		insert(t, db, &m)
		got, err := db.Get(t.Context(), "m1")
		require.NoError(t, err)
		m.NextTry, m.Created, m.Updated = m.NextTry.UTC(), m.Created.UTC(), m.Updated.UTC()
		require.Equal(t, m, got)

		step(t, db, "m1", machine.Delayed{Reason: machine.EstimateFails, Text: "exit 16 ☂"})
		step(t, db, "m1", assigned(&m, 3))
		want := step(t, db, "m1", machine.Pushed{Node: "n"})
		key, err := types.TipSetKeyFromBytes(types.NewTipSetKey(m.UnsignedCid).Bytes())
		require.NoError(t, err)
		want = step(t, db, "m1", machine.Landed{
			Msg: want.Msg, Sig: *want.Sig, Receipt: types.MessageReceipt{ExitCode: 16, Return: []byte{9}, GasUsed: 5},
			Included: machine.TipSetRef{Key: key, Height: 7}, Executed: machine.TipSetRef{Key: key, Height: 8},
		})
		got, err = db.Get(t.Context(), "m1")
		require.NoError(t, err)
		require.Equal(t, want.SignedCid, got.SignedCid)
		require.Equal(t, want.Receipt, got.Receipt)
		require.Equal(t, want.Executed, got.Executed)
		require.Equal(t, want.Sig, got.Sig)
		require.EqualValues(t, 4, got.Rev)
		notes, err := db.Notes(t.Context(), "m1")
		require.NoError(t, err)
		require.Len(t, notes, 5)
		require.Equal(t, "exit 16 ☂", notes[1].Text)
		_, err = db.Get(t.Context(), "no")
		require.ErrorIs(t, err, ErrNotFound)
	})
}

func TestUniqueness(t *testing.T) {
	each(t, func(t *testing.T, db *DB) {
		a, b := message(t, "a", "s", t0), message(t, "b", "s", t0)
		insert(t, db, &a)
		insert(t, db, &b)
		err := db.Update(t.Context(), func(tx *Tx) error { return tx.Insert(&a, machine.Note{}) })
		require.ErrorIs(t, err, ErrExists, "an id")
		step(t, db, "a", assigned(&a, 3))
		err = db.Update(t.Context(), func(tx *Tx) error {
			m, err := tx.Get("b")
			require.NoError(t, err)
			next, note, err := m.Step(assigned(&m, 3), t0)
			require.NoError(t, err)
			return tx.Write(&next, note)
		})
		require.ErrorIs(t, err, ErrExists, "a nonce of a sender")
		stale := b
		step(t, db, "b", machine.Delayed{Text: "x"})
		err = db.Update(t.Context(), func(tx *Tx) error { return tx.Write(&stale, machine.Note{}) })
		require.ErrorIs(t, err, ErrStale)
		require.Zero(t, stale.Rev)
	})
}

func TestAttemptsAreKept(t *testing.T) {
	each(t, func(t *testing.T, db *DB) {
		m := message(t, "m", "s", t0)
		insert(t, db, &m)
		m = step(t, db, "m", assigned(&m, 0))
		require.NoError(t, db.Update(t.Context(), func(tx *Tx) error { return tx.Attempt(&m) }))
		first := m.SignedCid
		repriced := m.Msg
		repriced.GasPremium = big.NewInt(20)
		m = step(t, db, "m", machine.Repriced{Msg: repriced, Sig: crypto.Signature{Type: crypto.SigTypeSecp256k1, Data: make([]byte, 65)}})
		require.NoError(t, db.Update(t.Context(), func(tx *Tx) error { return tx.Attempt(&m) }))
		all, err := db.Attempts(t.Context(), "m")
		require.NoError(t, err)
		require.Len(t, all, 2)
		for _, c := range []struct{ signed, unsigned bool }{{true, false}, {false, true}} {
			find := db.BySignedCid
			if c.unsigned {
				find = db.ByUnsignedCid
			}
			for _, sm := range all {
				k := sm.Cid()
				if c.unsigned {
					k = sm.Message.Cid()
				}
				got, err := find(t.Context(), k)
				require.NoError(t, err)
				require.Equal(t, "m", got.ID)
			}
		}
		require.NotEqual(t, first, m.SignedCid)
		_, err = db.BySignedCid(t.Context(), m.UnsignedCid)
		require.ErrorIs(t, err, ErrNotFound)
	})
}

func TestQueries(t *testing.T) {
	each(t, func(t *testing.T, db *DB) {
		for i := range 10 {
			m := message(t, fmt.Sprint("m", i), []string{"a", "b"}[i%2], t0.Add(time.Duration(i)*time.Second))
			if i >= 6 {
				m.Lane = machine.LaneNormal
			}
			insert(t, db, &m)
		}
		ids := func(ms []machine.Message, err error) []string {
			require.NoError(t, err)
			var out []string
			for _, m := range ms {
				out = append(out, m.ID)
			}
			return out
		}
		ctx := t.Context()
		require.Equal(t, []string{"m9", "m8", "m7"}, ids(db.List(ctx, Query{Limit: 3})))
		require.Equal(t, []string{"m3", "m4"}, ids(db.List(ctx, Query{Limit: 2, Offset: 3, Ascending: true})))
		require.Equal(t, []string{"m1", "m3"}, ids(db.List(ctx, Query{From: []address.Address{addr(t, "b")}, Ascending: true, Before: t0.Add(5 * time.Second)})))
		require.Equal(t, []string{"m0", "m2", "m4", "m6", "m8"}, ids(db.Due(ctx, addr(t, "a"), t0.Add(time.Hour), 100)), "by lane, then age")
		require.Empty(t, ids(db.Due(ctx, addr(t, "a"), t0.Add(-time.Second), 100)))
		step(t, db, "m0", machine.Delayed{Reason: machine.NoFunds, Text: "poor"})
		require.Equal(t, []string{"m0"}, ids(db.List(ctx, Query{Failing: true})))
		require.Empty(t, ids(db.List(ctx, Query{Wallet: "other"})))
		require.Empty(t, ids(db.List(ctx, Query{User: "other"})))
		n, err := db.Count(ctx, Query{States: []machine.State{machine.Queued}, Wallet: "wallet", User: "user"})
		require.NoError(t, err)
		require.Equal(t, 10, n)
		next, err := db.NextTry(ctx, addr(t, "a"), t0.Add(8*time.Second))
		require.NoError(t, err)
		require.True(t, next.IsZero())
		next, err = db.NextTry(ctx, addr(t, "a"), t0)
		require.NoError(t, err)
		require.Equal(t, t0.Add(1500*time.Millisecond), next)
		senders, err := db.Senders(ctx)
		require.NoError(t, err)
		require.Len(t, senders, 2)

		m := message(t, "n", "c", t0)
		insert(t, db, &m)
		m = step(t, db, "n", assigned(&m, 5))
		got, err := db.ByNonce(ctx, addr(t, "c"), 5)
		require.NoError(t, err)
		require.Equal(t, "n", got.ID)
		step(t, db, "n", machine.Landed{Msg: m.Msg, Sig: *m.Sig, Executed: machine.TipSetRef{Height: 50}})
		require.NoError(t, db.Update(ctx, func(tx *Tx) error {
			for height, want := range map[abi.ChainEpoch]int{50: 1, 51: 0, 0: 1} {
				ms, err := tx.ExecutedAt(height)
				require.NoError(t, err)
				require.Len(t, ms, want)
			}
			_, err := tx.ByNonce(addr(t, "c"), 6)
			require.ErrorIs(t, err, ErrNotFound)
			return nil
		}))
	})
}

func TestSenders(t *testing.T) {
	each(t, func(t *testing.T, db *DB) {
		ctx, a := t.Context(), addr(t, "a")
		_, err := db.Sender(ctx, a)
		require.ErrorIs(t, err, ErrNotFound)
		up := func(f func(tx *Tx) error) error { return db.Update(ctx, f) }
		require.NoError(t, up(func(tx *Tx) error { return tx.EnsureSender(a, t0) }))
		require.NoError(t, up(func(tx *Tx) error { return tx.EnsureSender(a, t0.Add(time.Hour)) }))
		require.NoError(t, up(func(tx *Tx) error { return tx.SetNonce(a, 0, 5) }))
		require.ErrorIs(t, up(func(tx *Tx) error { return tx.SetNonce(a, 0, 6) }), ErrStale)
		s, err := db.Sender(ctx, a)
		require.NoError(t, err)
		require.EqualValues(t, 5, s.NextNonce)
		require.Equal(t, t0, s.Created)
		s.Paused, s.SelNum, s.NextNonce, s.Limits.MaxFee = true, 7, 99, big.NewInt(11)
		require.NoError(t, up(func(tx *Tx) error { return tx.PutSender(s) }))
		s, err = db.Sender(ctx, a)
		require.NoError(t, err)
		require.True(t, s.Paused)
		require.EqualValues(t, []any{uint64(5), uint64(7), "11"}, []any{s.NextNonce, s.SelNum, s.Limits.MaxFee.String()}, "settings never touch the nonce")
		require.NoError(t, up(func(tx *Tx) error { return tx.PutSender(s) }), "unchanged values are no error")
		all, err := db.Addresses(ctx)
		require.NoError(t, err)
		require.Len(t, all, 1)
		require.NoError(t, up(func(tx *Tx) error { return tx.DropSender(a) }))
	})
}

func TestRegistry(t *testing.T) {
	each(t, func(t *testing.T, db *DB) {
		ctx := t.Context()
		up := func(f func(tx *Tx) error) error { return db.Update(ctx, f) }
		w := Wallet{Name: "w", URL: "u", Token: "secret", Created: t0, Updated: t0}
		require.NoError(t, up(func(tx *Tx) error { return tx.AddWallet(w) }))
		require.ErrorIs(t, up(func(tx *Tx) error { return tx.AddWallet(w) }), ErrExists)
		require.NotContains(t, fmt.Sprintf("%v %+v %#v", w, w, w), "secret")
		wa := WalletAddress{Wallet: "w", Addr: addr(t, "a"), Present: true}
		require.NoError(t, up(func(tx *Tx) error { return tx.PutWalletAddress(wa) }))
		wa.Present = false
		require.NoError(t, up(func(tx *Tx) error { return tx.PutWalletAddress(wa) }))
		was, err := db.WalletAddresses(ctx)
		require.NoError(t, err)
		require.Equal(t, []WalletAddress{wa}, was)
		require.NoError(t, up(func(tx *Tx) error { return tx.MarkWallet("w", t0.Add(time.Hour)) }))
		require.ErrorIs(t, up(func(tx *Tx) error { return tx.MarkWallet("x", t0) }), ErrNotFound)
		ws, err := db.Wallets(ctx)
		require.NoError(t, err)
		require.True(t, ws[0].Removing)
		require.NoError(t, up(func(tx *Tx) error { return tx.DropWallet("w") }))
		ws, err = db.Wallets(ctx)
		require.NoError(t, err)
		require.Empty(t, ws)

		n := Node{Name: "n", URL: "u", Token: "secret"}
		require.NoError(t, up(func(tx *Tx) error { return tx.AddNode(n) }))
		require.ErrorIs(t, up(func(tx *Tx) error { return tx.AddNode(n) }), ErrExists)
		require.NotContains(t, fmt.Sprintf("%v %+v %#v", n, n, n), "secret")
		ns, err := db.Nodes(ctx)
		require.NoError(t, err)
		require.Equal(t, []Node{n}, ns)
		require.NoError(t, up(func(tx *Tx) error { return tx.DropNode("n") }))
		require.ErrorIs(t, up(func(tx *Tx) error { return tx.DropNode("n") }), ErrNotFound)

		var got machine.Limits
		require.ErrorIs(t, db.Setting(ctx, "s", &got), ErrNotFound)
		for range 2 {
			require.NoError(t, up(func(tx *Tx) error { return tx.PutSetting("s", machine.DefaultLimits()) }))
		}
		require.NoError(t, db.Setting(ctx, "s", &got))
		require.Equal(t, machine.DefaultLimits(), got)
	})
}

func TestHeads(t *testing.T) {
	each(t, func(t *testing.T, db *DB) {
		m := message(t, "m", "a", t0)
		ref := func(h abi.ChainEpoch) machine.TipSetRef {
			return machine.TipSetRef{Key: types.NewTipSetKey(m.UnsignedCid), Height: h}
		}
		heights := func() []abi.ChainEpoch {
			hs, err := db.Heads(t.Context())
			require.NoError(t, err)
			var out []abi.ChainEpoch
			for _, h := range hs {
				require.Equal(t, ref(h.Height), h)
				out = append(out, h.Height)
			}
			return out
		}
		for _, h := range []abi.ChainEpoch{1, 2, 5, 6} {
			require.NoError(t, db.Update(t.Context(), func(tx *Tx) error { return tx.PutHead(ref(h), 4) }))
		}
		require.Equal(t, []abi.ChainEpoch{6, 5, 2}, heights(), "the oldest go")
		require.NoError(t, db.Update(t.Context(), func(tx *Tx) error { return tx.PutHead(ref(4), 4) }))
		require.Equal(t, []abi.ChainEpoch{4, 2}, heights(), "what stood above belonged to another chain")
		require.NoError(t, db.Update(t.Context(), func(tx *Tx) error { return tx.DropHeads(3) }))
		require.Equal(t, []abi.ChainEpoch{2}, heights())
	})
}

func TestRollback(t *testing.T) {
	each(t, func(t *testing.T, db *DB) {
		m := message(t, "m", "a", t0)
		err := db.Update(t.Context(), func(tx *Tx) error {
			require.NoError(t, tx.Insert(&m, machine.Note{}))
			return context.Canceled
		})
		require.ErrorIs(t, err, context.Canceled)
		_, err = db.Get(t.Context(), "m")
		require.ErrorIs(t, err, ErrNotFound)
	})
}

func TestOpenRefuses(t *testing.T) {
	key := keyOf(t, 0)
	_, err := Open(t.Context(), Config{Type: "oracle", Key: key})
	require.Equal(t, api.CodeInvalid, api.Explain(err).Code)
	_, err = Open(t.Context(), Config{Type: MySQL, DSN: "user:canary-password@nonsense", Key: key})
	require.Equal(t, api.CodeInvalid, api.Explain(err).Code)
	require.NotContains(t, err.Error(), "canary")
	_, err = Open(t.Context(), Config{Type: MySQL, DSN: "user:canary-password@tcp(127.0.0.1:1)/db?timeout=1s", Key: key})
	require.Equal(t, api.CodeUnavailable, api.Explain(err).Code)
	require.NotContains(t, err.Error(), "canary")

	path := filepath.Join(t.TempDir(), "m.db")
	_, err = Open(t.Context(), Config{Type: SQLite, Path: path})
	require.ErrorContains(t, err, "no key")
	require.NoFileExists(t, path)
	db, err := Open(t.Context(), Config{Type: SQLite, Path: path, Key: key})
	require.NoError(t, err)
	require.NoError(t, db.Close())
	st, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), st.Mode().Perm())
	db, err = Open(t.Context(), Config{Type: SQLite, Path: path, Key: key})
	require.NoError(t, err, "opens again")
	require.NoError(t, db.Close())
	require.NoError(t, os.WriteFile(path, []byte("this is not a database, it is a long enough text to be one"), 0o600))
	require.NoError(t, os.RemoveAll(path+"-wal"))
	_, err = Open(t.Context(), Config{Type: SQLite, Path: path, Key: key})
	require.Error(t, err)
}

package record

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/ipfs/go-cid"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/internal/fault"
	"github.com/filecoin-venus/venus/internal/mariadb"
	"github.com/filecoin-venus/venus/internal/sqldb"
	"github.com/filecoin-venus/venus/mining/guard"
	"github.com/filecoin-venus/venus/types"
)

func TestMain(m *testing.M) {
	if spec := os.Getenv(childEnv); spec != "" {
		childMain(spec)
		os.Exit(0)
	}
	os.Exit(mariadb.Run(m))
}

func name(s string) cid.Cid { return types.Sum([]byte(s)) }

func key(names ...string) types.TipSetKey {
	cids := make([]cid.Cid, len(names))
	for i, n := range names {
		cids[i] = name(n)
	}
	return types.NewTipSetKey(cids...)
}

func idAddr(n uint64) address.Address {
	a, err := address.NewIDAddress(n)
	if err != nil {
		panic(err)
	}
	return a
}

var one = idAddr(1000)

func hexOf(s string) string { return strings.Repeat(fmt.Sprintf("%02x", s[0]), 32) }

func prop(epoch int, digest string, parentEpoch int, parents, grand types.TipSetKey) guard.Proposal {
	return guard.Proposal{Epoch: abi.ChainEpoch(epoch), Digest: hexOf(digest), ParentEpoch: abi.ChainEpoch(parentEpoch), Parents: parents, Grandparents: grand}
}

// each runs a test on both kinds of database. open opens the same one again and again.
func each(t *testing.T, f func(t *testing.T, open func() *DB)) {
	run := func(name string, cfg func(t *testing.T) sqldb.Config) {
		t.Run(name, func(t *testing.T) {
			c := cfg(t)
			f(t, func() *DB {
				db, err := Open(t.Context(), c)
				require.NoError(t, err)
				t.Cleanup(func() { _ = db.Close() })
				return db
			})
		})
	}
	run("sqlite", func(t *testing.T) sqldb.Config { return sqldb.Config{Path: filepath.Join(t.TempDir(), "r.db")} })
	run("mariadb", func(t *testing.T) sqldb.Config { return sqldb.Config{Type: sqldb.MySQL, DSN: mariadb.Database(t)} })
}

func propose(t *testing.T, m *Miner, p guard.Proposal) guard.Verdict {
	t.Helper()
	v, why, err := m.Propose(t.Context(), p, 1, []byte("template"))
	require.NoError(t, err)
	require.Equal(t, v.Allowed(), why == "")
	return v
}

// The rules hold over restarts: what the transaction reads is what they need.
func TestRulesOverRestarts(t *testing.T) {
	own := prop(10, "a", 9, key("p9"), key("p8"))
	cases := []struct {
		p    guard.Proposal
		void bool
		want guard.Verdict
	}{
		{p: own, want: guard.Same},
		{p: prop(10, "b", 9, key("q9"), key("q8")), void: true, want: guard.SecondBlock},
		{p: prop(11, "b", 9, key("p9"), key("p8")), want: guard.SameParents},
		{p: prop(11, "b", 9, key("p9"), key("p8")), void: true, want: guard.Fresh},
		{p: prop(11, "b", 10, key("A", "B"), key("p9")), want: guard.Fresh},
		{p: prop(14, "b", 10, key("B", "C"), key("p9")), want: guard.SkipsOwn},
		{p: prop(9, "b", 8, key("p8"), key("p7")), want: guard.SkipsOwn},
		{p: prop(12, "b", 11, key("B11"), key("B")), want: guard.Fresh},
	}
	each(t, func(t *testing.T, open func() *DB) {
		for i, c := range cases {
			m := open().Miner(idAddr(uint64(2000 + i)))
			require.Equal(t, guard.Fresh, propose(t, m, own))
			require.NoError(t, m.Signed(t.Context(), 10, name("A")))
			require.NoError(t, m.Outcome(t.Context(), 10, Submitted, "", c.void))
			require.Equal(t, c.want, propose(t, open().Miner(m.addr), c.p), "case %d", i)
		}
	})
}

func TestFloorNeverFalls(t *testing.T) {
	each(t, func(t *testing.T, open func() *DB) {
		m := open().Miner(one)
		s, err := m.Status(t.Context())
		require.NoError(t, err)
		require.Equal(t, Status{}, s)
		require.NoError(t, m.RaiseFloor(t.Context(), 20, "a doubt"))
		require.NoError(t, m.RaiseFloor(t.Context(), 5, "lower"))
		at := time.Unix(1_700_000_000, 0).UTC()
		require.NoError(t, m.Live(t.Context(), at))
		m = open().Miner(one)
		s, err = m.Status(t.Context())
		require.NoError(t, err)
		require.Equal(t, Status{Floor: 20, Why: "a doubt", Alive: at}, s)
		require.Equal(t, guard.BelowFloor, propose(t, m, prop(20, "x", 19, key("p"), key("g"))))
		require.Equal(t, guard.Fresh, propose(t, m, prop(21, "x", 19, key("p"), key("g"))))
		other := open().Miner(idAddr(1001))
		require.Equal(t, guard.Fresh, propose(t, other, prop(3, "x", 2, key("p"), key("g"))), "another miner's floor is another's")
	})
}

// However many programs ask at once, one block of an epoch is allowed.
func TestManyAskAtOnce(t *testing.T) {
	each(t, func(t *testing.T, open func() *DB) {
		const programs, epochs = 4, 25
		allowed := make([][]guard.Verdict, programs)
		var wg sync.WaitGroup
		for i := range programs {
			m := open().Miner(one)
			wg.Go(func() {
				for e := range epochs {
					v, _, err := m.Propose(t.Context(), prop(e+1, string(rune('a'+i)), e, key(fmt.Sprint(e)), key("x")), 1, nil)
					if err != nil {
						t.Error(err)
					}
					allowed[i] = append(allowed[i], v)
				}
			})
		}
		wg.Wait()
		for e := range epochs {
			n := 0
			for i := range programs {
				if allowed[i][e].Allowed() {
					n++
				} else {
					require.Equal(t, guard.SecondBlock, allowed[i][e])
				}
			}
			require.Equal(t, 1, n, "epoch %d", e+1)
		}
	})
}

// An error anywhere in a decision forbids to sign; later decisions are not held up by it.
func TestFailsClosed(t *testing.T) {
	for _, point := range []string{"mining/propose", "mining/record", "mining/recorded"} {
		t.Run(point, func(t *testing.T) {
			db, err := Open(t.Context(), sqldb.Config{Path: filepath.Join(t.TempDir(), "r.db")})
			require.NoError(t, err)
			defer db.Close()
			m := db.Miner(one)
			disarm := fault.Arm(point, func() error { return errors.New("disk full") })
			v, _, err := m.Propose(t.Context(), prop(10, "a", 9, key("p"), key("q")), 1, nil)
			disarm()
			require.ErrorContains(t, err, "disk full")
			require.False(t, v.Allowed())
			want := guard.Fresh
			if point == "mining/recorded" {
				want = guard.SecondBlock
			}
			require.Equal(t, want, propose(t, m, prop(10, "b", 9, key("p"), key("q"))))
		})
	}
}

func TestBlocksAreKept(t *testing.T) {
	each(t, func(t *testing.T, open func() *DB) {
		m := open().Miner(one)
		for _, e := range []int{3, 7, 5} {
			require.Equal(t, guard.Fresh, propose(t, m, prop(e, fmt.Sprint(e), e-1, key(fmt.Sprint(e)), key("x"))))
		}
		require.NoError(t, m.Signed(t.Context(), 7, name("B7")))
		require.NoError(t, m.Outcome(t.Context(), 5, Failed, "no signature", false))
		require.ErrorContains(t, m.Signed(t.Context(), 6, name("B6")), "not in the record")
		m = open().Miner(one)
		got, err := m.Blocks(t.Context(), 2)
		require.NoError(t, err)
		require.Len(t, got, 2)
		require.EqualValues(t, 7, got[0].Epoch)
		require.Equal(t, name("B7"), got[0].Block)
		require.Equal(t, []byte("template"), got[0].Template)
		require.Equal(t, Failed, got[1].State)
		require.Equal(t, "no signature", got[1].Reason)
		require.Nil(t, got[1].Template)
		open5, err := m.Unsettled(t.Context())
		require.NoError(t, err)
		require.Len(t, open5, 2)
		on, err := m.On(t.Context(), key("7"), 6)
		require.NoError(t, err)
		require.Len(t, on, 1)
		for want, q := range map[bool]struct {
			e abi.ChainEpoch
			c string
		}{true: {7, "B7"}, false: {7, "other"}} {
			known, err := m.Knows(t.Context(), q.e, name(q.c))
			require.NoError(t, err)
			require.Equal(t, want, known)
		}
	})
}

func TestExportAndImport(t *testing.T) {
	each(t, func(t *testing.T, open func() *DB) {
		from := open()
		m := from.Miner(one)
		for e := 1; e < 4; e++ {
			require.Equal(t, guard.Fresh, propose(t, m, prop(e*10, fmt.Sprint(e), e*10-1, key(fmt.Sprint(e)), key("x"))))
		}
		require.NoError(t, m.Signed(t.Context(), 30, name("B30")))
		require.NoError(t, m.Outcome(t.Context(), 20, Failed, "refused", true))
		require.NoError(t, m.RaiseFloor(t.Context(), 8, "x"))
		f, err := from.Export(t.Context(), "local", time.Unix(1_700_000_000, 0))
		require.NoError(t, err)
		require.NoError(t, f.Verify())

		to, err := Open(t.Context(), sqldb.Config{Path: filepath.Join(t.TempDir(), "to.db")})
		require.NoError(t, err)
		defer to.Close()
		n := to.Miner(one)
		require.Equal(t, guard.Fresh, propose(t, n, prop(40, "z", 39, key("z"), key("x"))))
		added, err := to.Import(t.Context(), f, 50)
		require.NoError(t, err)
		require.Equal(t, 3, added)
		got, err := n.Blocks(t.Context(), 10)
		require.NoError(t, err)
		require.Len(t, got, 4)
		require.Equal(t, name("B30"), got[1].Block)
		require.True(t, got[2].Void)
		require.Equal(t, guard.SecondBlock, propose(t, n, prop(30, "y", 29, key("y"), key("x"))))
		require.Equal(t, guard.Same, propose(t, n, prop(30, "3", 29, key("3"), key("x"))))
		require.Equal(t, guard.BelowFloor, propose(t, n, prop(50, "y", 49, key("y"), key("x"))), "the watermark")
		require.Equal(t, guard.Fresh, propose(t, n, prop(51, "y", 49, key("y"), key("x"))))

		// Again, with a lower watermark: nothing new, and the floor stays.
		added, err = to.Import(t.Context(), f, 5)
		require.NoError(t, err)
		require.Zero(t, added)
		s, err := n.Status(t.Context())
		require.NoError(t, err)
		require.EqualValues(t, 50, s.Floor)

		// A file of another life of the same miner is refused as a whole.
		other, err := Open(t.Context(), sqldb.Config{Path: filepath.Join(t.TempDir(), "other.db")})
		require.NoError(t, err)
		defer other.Close()
		require.Equal(t, guard.Fresh, propose(t, other.Miner(one), prop(7, "n", 6, key("n"), key("x"))))
		require.Equal(t, guard.Fresh, propose(t, other.Miner(one), prop(10, "q", 9, key("q"), key("x"))))
		_, err = other.Import(t.Context(), f, 0)
		require.ErrorContains(t, err, "different blocks of epoch 10")
		require.Equal(t, api.CodeConflict, api.Explain(err).Code)
		have, err := other.Miner(one).Blocks(t.Context(), 10)
		require.NoError(t, err)
		require.Len(t, have, 2)

		f.Miners[0].Floor = 0
		_, err = to.Import(t.Context(), f, 0)
		require.ErrorContains(t, err, "checksum")
		raw, err := json.Marshal(f)
		require.NoError(t, err)
		require.NotContains(t, string(raw), "template")
	})
}

// A database that a later program wrote is left alone.
func TestLaterSchema(t *testing.T) {
	cfg := sqldb.Config{Path: filepath.Join(t.TempDir(), "r.db")}
	db, err := Open(t.Context(), cfg)
	require.NoError(t, err)
	require.NoError(t, db.sql.Update(t.Context(), func(tx *sql.Tx) error {
		_, err := tx.Exec("INSERT INTO goose_db_version (version_id, is_applied) VALUES (99, 1)")
		return err
	}))
	require.NoError(t, db.Close())
	_, err = Open(t.Context(), cfg)
	require.ErrorContains(t, err, "schema 99")
}

// Programs that open an empty database together all find it made, also after one that died while it made it.
func TestOpenedTogether(t *testing.T) {
	cfg := sqldb.Config{Type: sqldb.MySQL, DSN: mariadb.Database(t)}
	raw, err := sql.Open("mysql", cfg.DSN)
	require.NoError(t, err)
	_, err = raw.Exec("CREATE TABLE miners (miner VARBINARY(64) NOT NULL PRIMARY KEY, floor BIGINT NOT NULL, floor_why TEXT NOT NULL, alive_at BIGINT NOT NULL)")
	require.NoError(t, err)
	require.NoError(t, raw.Close())
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			db, err := Open(t.Context(), cfg)
			if err != nil {
				t.Error(err)
				return
			}
			defer db.Close()
			if err := db.Miner(one).RaiseFloor(t.Context(), 3, "x"); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

package store

import (
	"testing"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/messager/machine"
)

func TestRules(t *testing.T) {
	each(t, func(t *testing.T, db *DB) {
		put := func(r machine.Rule) {
			require.NoError(t, db.Update(t.Context(), func(tx *Tx) error { return tx.PutRule(r) }))
		}
		one := machine.Rule{Sender: addr(t, "s"), Method: machine.AnyMethod, Actor: addr(t, "a"), Limits: machine.Limits{GasOverEstimation: 1.5, MaxFee: big.NewInt(7), MaxFeeCap: big.Zero()}}
		two := machine.Rule{Sender: address.Undef, Actor: address.Undef, Method: 5, Limits: machine.Limits{MaxFee: big.Zero(), MaxFeeCap: big.NewInt(9)}}
		put(two)
		put(one)
		one.Limits.MaxFee = big.NewInt(8)
		put(one)
		got, err := db.Rules(t.Context())
		require.NoError(t, err)
		require.Equal(t, []machine.Rule{two, one}, got)
		require.NoError(t, db.Update(t.Context(), func(tx *Tx) error { return tx.DropRule(one) }))
		require.ErrorIs(t, db.Update(t.Context(), func(tx *Tx) error { return tx.DropRule(one) }), ErrNotFound)
	})
}

func TestLoad(t *testing.T) {
	each(t, func(t *testing.T, db *DB) {
		for i, id := range []string{"a", "b", "c"} {
			m := message(t, id, "s", t0.Add(time.Duration(i)*time.Minute)) // method 5: the lane of proofs
			insert(t, db, &m)
		}
		b := message(t, "b", "s", t0)
		step(t, db, "b", assigned(&b, 2))
		step(t, db, "c", machine.Delayed{Reason: machine.NoFunds, Text: "poor"})
		lanes, err := db.Lanes(t.Context())
		require.NoError(t, err)
		require.Equal(t, map[machine.Lane]LaneLoad{machine.LaneProof: {Queued: 2, Oldest: t0}}, lanes)
		l, err := db.Load(t.Context(), t0.Add(time.Hour))
		require.NoError(t, err)
		require.Equal(t, Load{Underway: 1, UnderwayStuck: 1, QueuedStuck: 1}, l)
		l, err = db.Load(t.Context(), t0)
		require.NoError(t, err)
		require.Equal(t, Load{Underway: 1}, l)
		n, err := db.Contenders(t.Context(), t0.Add(time.Hour))
		require.NoError(t, err)
		require.Equal(t, 1, n)
		n, err = db.Contenders(t.Context(), t0.Add(-time.Hour))
		require.NoError(t, err)
		require.Zero(t, n)
		nonces, err := db.Nonces(t.Context(), addr(t, "s"), 1)
		require.NoError(t, err)
		require.Equal(t, []uint64{2}, nonces)
		nonces, err = db.Nonces(t.Context(), addr(t, "s"), 3)
		require.NoError(t, err)
		require.Empty(t, nonces)
	})
}

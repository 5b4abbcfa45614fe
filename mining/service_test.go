package mining

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/filecoin-project/go-address"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/api"
	miningapi "github.com/filecoin-venus/venus/api/mining"
)

// service runs the API on a world's chain, with the world's wallet and sealers.
func (w *world) service(connect func(miningapi.MinerSpec) (Services, error)) *Service {
	w.t.Helper()
	if w.db == nil {
		w.db = openRecords(w.t, w.dir)
	}
	if connect == nil {
		connect = func(m miningapi.MinerSpec) (Services, error) {
			return Services{Wallet: w.wallet, Sealer: w.sealers[m.Addr], Close: func() {}}, nil
		}
	}
	s, err := NewService(Parts{
		Nodes: []NamedNode{{Name: "node", Node: w.chain}}, Timing: Timing{BlockDelay: testDelay, Propagation: testDelay / 5}, Connect: connect, Clock: w.clock, Version: "test",
		MinersFile: w.dir + "/miners.json", Records: w.db, Network: "test",
	})
	require.NoError(w.t, err)
	w.t.Cleanup(func() { _ = s.Close() })
	return s
}

// A record moves to another venus-miner: nothing is signed there until past the watermark, and a lower one changes nothing.
func TestGuardMoves(t *testing.T) {
	w := newTestWorld(t, 100)
	w.start(first)
	w.advance(20 * testDelay)
	w.stop[first]()
	old := w.service(nil)
	raw, err := old.GuardExport(t.Context(), nil)
	require.NoError(t, err)
	require.NoError(t, old.Close())

	height := w.chain.head.Height()
	w.dir, w.db = fastDir(t), nil
	s := w.service(nil)
	require.Eventually(t, func() bool { head, _, _ := s.heads.get(); return head != nil }, waitLong, waitShort)
	got, err := s.GuardImport(t.Context(), raw)
	require.NoError(t, err)
	require.Equal(t, []address.Address{first}, got.Miners)
	require.Greater(t, got.Blocks, 15)
	require.GreaterOrEqual(t, got.Floor, height+floorMargin)
	again, err := s.GuardImport(t.Context(), raw)
	require.NoError(t, err)
	require.Zero(t, again.Blocks)
	require.NoError(t, s.AddAddress(t.Context(), miningapi.MinerSpec{Addr: first}))
	st, err := s.GuardStatus(t.Context(), nil)
	require.NoError(t, err)
	require.GreaterOrEqual(t, st[0].Floor, got.Floor)
	require.NotZero(t, st[0].Last)
	require.NoError(t, s.Close())

	w.start(first)
	w.advance(50 * testDelay)
	for _, h := range w.ownHeights(first) {
		require.False(t, h > height && h <= got.Floor, "signed at %d, below the watermark %d", h, got.Floor)
	}
	own := w.ownHeights(first)
	require.Greater(t, own[len(own)-1], got.Floor, "it mines again")
	w.wallet.onlyOnce(t)
}

func TestGuardImportRefuses(t *testing.T) {
	w := newTestWorld(t, 100)
	s := w.service(nil)
	_, err := s.GuardImport(t.Context(), json.RawMessage(`{"Version":1}`))
	require.Equal(t, api.CodeInvalid, api.Explain(err).Code)
	f, err := w.db.Export(t.Context(), "another", w.clock.Now())
	require.NoError(t, err)
	raw, err := json.Marshal(f)
	require.NoError(t, err)
	_, err = s.GuardImport(t.Context(), raw)
	require.ErrorContains(t, err, `of network "another"`)

	raw, err = s.GuardExport(t.Context(), nil)
	require.NoError(t, err)
	s.heads.lost(s.heads.feeds[0], context.DeadlineExceeded)
	_, err = s.GuardImport(t.Context(), raw)
	require.Equal(t, api.CodeUnavailable, api.Explain(err).Code)
}

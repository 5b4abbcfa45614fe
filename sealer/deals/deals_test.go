package deals_test

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/api/node"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/internal/fault"
	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/proofs/commp"
	"github.com/filecoin-venus/venus/sealer/db"
	"github.com/filecoin-venus/venus/sealer/deals"
	"github.com/filecoin-venus/venus/sealer/sealertest"
	"github.com/filecoin-venus/venus/sealer/store"
)

// shelf is a book of deals in a model world.
type shelf struct {
	t     *testing.T
	dir   string
	chain *sealertest.Chain
	book  *deals.Book
	stop  func()
}

func onShelf(t *testing.T, f func(t *testing.T, s *shelf)) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		net, err := params.ByName("local")
		require.NoError(t, err)
		s := &shelf{t: t, dir: dir, chain: sealertest.NewChain(net, 1000, time.Now())}
		s.up()
		defer func() { s.stop() }()
		f(t, s)
	})
}

func (s *shelf) up() {
	ctx, cancel := context.WithCancel(context.Background())
	d, err := db.Open(ctx, db.Config{Path: filepath.Join(s.dir, "sealer.db"), NoSync: true})
	require.NoError(s.t, err)
	st, err := store.Open(filepath.Join(s.dir, store.FileName))
	require.NoError(s.t, err)
	path := filepath.Join(s.dir, "store")
	_, missing := os.Stat(path)
	_, err = st.Attach(store.Spec{Dir: path, Init: missing != nil, CanStore: true})
	require.NoError(s.t, err)
	s.book, err = deals.Open(ctx, deals.Config{Miner: sealertest.Miner(), SectorSize: 2048, Buffer: 20, Place: st.PlaceData}, s.chain, d, clock.Real())
	require.NoError(s.t, err)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.book.Run(ctx)
	}()
	s.stop = func() {
		cancel()
		<-ended
		require.NoError(s.t, d.Close())
	}
}

// publish puts a deal about data on the chain, and returns the client's file.
func (s *shelf) publish(id abi.DealID, data []byte) string {
	piece, err := commp.Of(bytes.NewReader(data))
	require.NoError(s.t, err)
	node, err := commp.FromCID(piece.PieceCID)
	require.NoError(s.t, err)
	node, err = commp.Extend(node, piece.Size, 1024) // the deal's piece is larger than the file needs
	require.NoError(s.t, err)
	s.chain.AddDeal(id, abi.PieceInfo{Size: 1024, PieceCID: commp.CID(node)}, 2000, 3000)
	file := filepath.Join(s.dir, "client")
	require.NoError(s.t, os.WriteFile(file, data, 0o600))
	return file
}

func (s *shelf) only() deals.Entry {
	s.t.Helper()
	synctest.Wait()
	list := s.book.List()
	require.Len(s.t, list, 1)
	return list[0]
}

func TestImport(t *testing.T) {
	onShelf(t, func(t *testing.T, s *shelf) {
		data := bytes.Repeat([]byte("deal "), 60)
		file := s.publish(7, data)
		require.NoError(t, s.book.Import(s.t.Context(), 7, file))
		e := s.only()
		require.Equal(t, db.DealHere, e.State, e.Err)
		require.EqualValues(t, len(data), e.Done)
		require.NoError(t, os.Remove(file), "the client's file is needed no more")
		f, err := s.book.Data(7)
		require.NoError(t, err)
		got, err := io.ReadAll(f)
		require.NoError(t, err)
		require.NoError(t, f.Close())
		require.Equal(t, append(data, make([]byte, 1016-len(data))...), got)
		require.ErrorContains(t, s.book.Import(s.t.Context(), 7, s.publish(7, data)), "imported already")
		s.stop()
		s.up()
		require.Equal(t, e.Deal.Piece, s.book.Here()[0].Piece)
		require.NoError(t, s.book.Expire(s.t.Context(), 2000, func(abi.DealID) bool { return true }))
		require.FileExists(t, e.File, "its sector needs it")
		require.NoError(t, s.book.Expire(s.t.Context(), 1999, func(abi.DealID) bool { return false }))
		require.FileExists(t, e.File, "it has time")
		require.NoError(t, s.book.Expire(s.t.Context(), 2000, func(abi.DealID) bool { return false }))
		require.NoFileExists(t, e.File)
		require.Equal(t, db.DealExpired, s.only().State)
		_, err = s.book.Data(7)
		require.Error(t, err)
	})
}

// TestSame: a number that the chain gives to another deal, or to none, is told, whatever part of the deal differs.
func TestSame(t *testing.T) {
	other, err := address.NewIDAddress(1001)
	require.NoError(t, err)
	onShelf(t, func(t *testing.T, s *shelf) {
		require.NoError(t, s.book.Import(t.Context(), 7, s.publish(7, []byte("deal"))))
		d, was := s.only().Deal, s.chain.Deal(7)
		same := func() string {
			why, err := s.book.Same(t.Context(), d)
			require.NoError(t, err)
			return why
		}
		require.Empty(t, same())
		for name, change := range map[string]func(*node.MarketDeal){
			"provider": func(d *node.MarketDeal) { d.Proposal.Provider = other },
			"piece":    func(d *node.MarketDeal) { d.Proposal.PieceCID = sealertest.Cid("another") },
			"size":     func(d *node.MarketDeal) { d.Proposal.PieceSize *= 2 },
		} {
			s.chain.SetDeal(7, change)
			require.Contains(t, same(), "a reorg gave its number to another", name)
			s.chain.SetDeal(7, func(d *node.MarketDeal) { *d = was })
		}
		d.ID = 8
		require.Contains(t, same(), "the chain has no deal 8")
	})
}

// TestRefusals: each says what is wrong, and nothing is recorded.
func TestRefusals(t *testing.T) {
	other, err := address.NewIDAddress(1001)
	require.NoError(t, err)
	for name, tc := range map[string]struct {
		spoil func(d *node.MarketDeal)
		file  func(file string) string
		say   string
		code  api.ErrorCode
	}{
		"another miner":   {spoil: func(d *node.MarketDeal) { d.Proposal.Provider = other }, say: "is made with miner f01001", code: api.CodePrecondition},
		"active":          {spoil: func(d *node.MarketDeal) { d.State.SectorStartEpoch = 900 }, say: "is active since epoch 900", code: api.CodePrecondition},
		"slashed":         {spoil: func(d *node.MarketDeal) { d.State.SlashEpoch = 900 }, say: "ended by the chain at epoch 900", code: api.CodePrecondition},
		"started":         {spoil: func(d *node.MarketDeal) { d.Proposal.StartEpoch = 1000 }, say: "started at epoch 1000", code: api.CodePrecondition},
		"about to start":  {spoil: func(d *node.MarketDeal) { d.Proposal.StartEpoch = 1020 }, say: "in 20 epochs", code: api.CodePrecondition},
		"too large":       {spoil: func(d *node.MarketDeal) { d.Proposal.PieceSize = 4096 }, say: "a sector only room for 2048", code: api.CodePrecondition},
		"file too large":  {spoil: func(d *node.MarketDeal) { d.Proposal.PieceSize = 128 }, say: "holds only 127", code: api.CodeInvalid},
		"no file":         {file: func(f string) string { return f + "-not" }, say: "cannot be read", code: api.CodeNotFound},
		"a folder":        {file: filepath.Dir, say: "no regular file", code: api.CodeInvalid},
		"a relative name": {file: filepath.Base, say: "absolute name", code: api.CodeInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			onShelf(t, func(t *testing.T, s *shelf) {
				file := s.publish(7, bytes.Repeat([]byte("deal "), 60))
				if tc.spoil != nil {
					s.chain.SetDeal(7, tc.spoil)
				}
				if tc.file != nil {
					file = tc.file(file)
				}
				err := s.book.Import(s.t.Context(), 7, file)
				require.ErrorContains(t, err, tc.say)
				require.Equal(t, tc.code, api.Explain(err).Code)
				require.NotEmpty(t, api.Explain(err).Hint, "what to do")
				require.Empty(t, s.book.List())
			})
		})
	}
	onShelf(t, func(t *testing.T, s *shelf) {
		err := s.book.Import(s.t.Context(), 8, s.publish(7, []byte("deal")))
		require.ErrorContains(t, err, "knows no deal 8")
		require.Equal(t, api.CodeNotFound, api.Explain(err).Code)
	})
}

// TestAnotherFile: the piece commitment tells it; the right one can be brought afterwards, and nothing of the other is left.
func TestAnotherFile(t *testing.T) {
	onShelf(t, func(t *testing.T, s *shelf) {
		data := bytes.Repeat([]byte("deal "), 60)
		file := s.publish(7, data)
		wrong := bytes.Clone(data)
		wrong[17] ^= 1
		require.NoError(t, os.WriteFile(file, wrong, 0o600))
		require.NoError(t, s.book.Import(s.t.Context(), 7, file))
		e := s.only()
		require.Equal(t, db.DealFailed, e.State)
		require.Contains(t, e.Err, "the deal is about "+e.Piece.PieceCID.String())
		left, err := os.ReadDir(filepath.Dir(e.File))
		require.NoError(t, err)
		require.Empty(t, left)
		require.Empty(t, s.book.Here())
		require.NoError(t, os.WriteFile(file, data, 0o600))
		require.NoError(t, s.book.Import(s.t.Context(), 7, file))
		require.Equal(t, db.DealHere, s.only().State)
	})
}

// TestKilled breaks an import at every mark: it goes on by itself, or was never heard of.
func TestKilled(t *testing.T) {
	for _, point := range []string{"deals/recorded", "deals/copied", "deals/deleted"} {
		t.Run(filepath.Base(point), func(t *testing.T) {
			onShelf(t, func(t *testing.T, s *shelf) {
				file := s.publish(7, bytes.Repeat([]byte("deal "), 60))
				hit := false
				disarm := fault.Arm(point, func() error {
					if hit {
						return nil
					}
					hit = true
					return fault.ErrInjected
				})
				defer disarm()
				err := s.book.Import(s.t.Context(), 7, file)
				require.Equal(t, point == "deals/recorded", err != nil)
				synctest.Wait()
				if point == "deals/deleted" {
					require.ErrorIs(t, s.book.Done(s.t.Context(), 7), fault.ErrInjected)
				}
				require.True(t, hit)
				s.stop()
				s.up()
				e := s.only()
				require.Equal(t, db.DealHere, e.State)
				require.NoError(t, s.book.Done(s.t.Context(), 7))
				require.Equal(t, db.DealDone, s.only().State)
				require.NoFileExists(t, e.File)
			})
		})
	}
}

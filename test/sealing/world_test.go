package sealing

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/crypto"
	"github.com/filecoin-project/go-state-types/proof"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/miner"
	"github.com/stretchr/testify/require"

	sealerapi "github.com/filecoin-venus/venus/api/sealer"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/proofs/commp"
	"github.com/filecoin-venus/venus/proofs/verify"
	"github.com/filecoin-venus/venus/repo"
	"github.com/filecoin-venus/venus/rpc"
	"github.com/filecoin-venus/venus/sealer/config"
	"github.com/filecoin-venus/venus/sealer/sealertest"
	"github.com/filecoin-venus/venus/sealer/service"
	"github.com/filecoin-venus/venus/sealer/setup"
	"github.com/filecoin-venus/venus/types"
)

// world is a sealer without executors of its own, and everything around it.
type world struct {
	t     *testing.T
	dir   string
	size  abi.SectorSize
	chain *sealertest.Chain
	s     *service.Service
	api   *sealerapi.SealerProxy
	token string
}

// epoch is how long an epoch lasts here.
const epoch = 200 * time.Millisecond

// newWorld is a world whose sealer has a path for storing, and for sealing if seal.
func newWorld(t *testing.T, size abi.SectorSize, natsURLs []string, seal bool) *world {
	network, err := params.ByName("local")
	require.NoError(t, err)
	w := &world{t: t, dir: t.TempDir(), size: size, chain: sealertest.NewChain(network, 1000, time.Now())}
	// New sectors are due late: here it is about sealing.
	w.chain.AnyProof, w.chain.FirstDeadline, w.chain.SectorSize = true, 30, size
	cfg := config.Default()
	cfg.API.ListenAddress = "/ip4/127.0.0.1/tcp/0"
	cfg.Network = config.NetworkOf("local")
	var stopServing func()
	cfg.Node.URL, cfg.Messager.URL, stopServing = w.chain.Serve()
	t.Cleanup(stopServing)
	cfg.Messager.Wallet = "w"
	cfg.Sealing.Tasks, cfg.Sealing.LeaseTerm = []string{}, "3s"
	cfg.DB.Path = filepath.Join(w.dir, "sealer.db")
	cfg.Workers.NATS = append(cfg.Workers.NATS, natsURLs...)
	if len(natsURLs) > 0 {
		cfg.Workers.TokenFile = filepath.Join(w.dir, "nats.token")
		require.NoError(t, os.WriteFile(cfg.Workers.TokenFile, []byte(clusterToken), 0o600))
	}
	home := filepath.Join(w.dir, "sealer")
	r, err := repo.Open(home)
	require.NoError(t, err)
	require.NoError(t, cfg.Save(r.Path(config.FileName)))
	b, err := json.Marshal(setup.Progress{Miner: sealertest.Miner(), Done: true})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(r.Path("init.json"), b, 0o600))
	require.NoError(t, r.Close())
	w.s, err = service.Start(t.Context(), service.Options{Dir: home, Version: "test", Clock: clock.Real()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, w.s.Close()) })
	token, err := os.ReadFile(filepath.Join(home, "token"))
	require.NoError(t, err)
	w.token, w.api = string(token), new(sealerapi.SealerProxy)
	stop, err := rpc.Dial(w.s.Address, w.token, sealerapi.Namespace, w.api, rpc.DialOptions{Service: "venus-sealer"})
	require.NoError(t, err)
	t.Cleanup(stop)
	_, err = w.api.StorageAttach(t.Context(), sealerapi.StorageSpec{Path: filepath.Join(w.dir, "files"), Init: true, CanSeal: seal, CanStore: true})
	require.NoError(t, err)
	return w
}

// live lets epochs pass until ctx ends.
func (w *world) live(ctx context.Context) {
	for ctx.Err() == nil {
		w.chain.Tick(time.Now())
		pause(ctx, epoch)
	}
}

func (w *world) pledge(n int) (out []abi.SectorNumber) {
	for range n {
		id, err := w.api.PledgeSector(w.t.Context())
		require.NoError(w.t, err)
		out = append(out, id.Number)
	}
	return out
}

// proven waits until all sectors are proving.
func (w *world) proven(ctx context.Context, n int) {
	last := ""
	all := func() bool {
		sum, err := w.api.SectorsSummary(w.t.Context())
		require.NoError(w.t, err)
		b, err := json.Marshal(sum)
		require.NoError(w.t, err)
		if string(b) != last && testing.Verbose() {
			w.t.Logf("epoch %d: %s", w.chain.Height(), b)
		}
		last = string(b)
		return sum["Proving"] == n
	}
	if !w.until(ctx, all) {
		w.explain()
		w.t.Fatalf("not all of %d sectors are proving: %s", n, last)
	}
}

// begun waits until a worker has done something.
func (w *world) begun(ctx context.Context, n int) {
	w.until(ctx, func() bool {
		sum, err := w.api.SectorsSummary(ctx)
		return err == nil && sum["Packing"] < n
	})
}

// until looks at every head whether something is so, and tells whether it became
// so before ctx ended.
func (w *world) until(ctx context.Context, so func() bool) bool {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	heads, err := w.chain.ChainNotify(ctx)
	require.NoError(w.t, err)
	for {
		select {
		case <-heads:
			if so() {
				return true
			}
		case <-ctx.Done():
			return false
		}
	}
}

func (w *world) explain() {
	ctx := context.Background()
	diag, err := w.api.SealingSchedDiag(ctx)
	b, _ := json.MarshalIndent(diag, "", " ")
	w.t.Logf("scheduler: %s %v", b, err)
}

// check holds the chain and the disk against what was pledged.
func (w *world) check(pledged []abi.SectorNumber, notes []note) {
	ctx, t := w.t.Context(), w.t
	seen := map[abi.SectorNumber]bool{}
	for _, n := range pledged {
		require.False(t, seen[n], "number %d was given out twice", n)
		seen[n] = true
	}
	commR := map[abi.SectorNumber]miner.PreCommitSectorParams{}
	for _, m := range w.chain.Messager().Pushed(builtin.MethodsMiner.PreCommitSector) {
		var p miner.PreCommitSectorParams
		require.NoError(t, p.UnmarshalCBOR(bytes.NewReader(m.Params)))
		require.True(t, seen[p.SectorNumber], "nobody pledged sector %d", p.SectorNumber)
		before, again := commR[p.SectorNumber]
		require.False(t, again && before.SealedCID != p.SealedCID, "sector %d was committed to two replicas", p.SectorNumber)
		commR[p.SectorNumber] = p
	}
	require.Len(t, commR, len(pledged))
	require.Equal(t, len(pledged), w.chain.Messager().Landed(builtin.MethodsMiner.PreCommitSector))
	require.Equal(t, len(pledged), w.chain.Messager().Landed(builtin.MethodsMiner.ProveCommitSector))
	made := map[uint64]map[string]string{}
	for _, n := range notes {
		if made[n.Sector] == nil {
			made[n.Sector] = map[string]string{}
		}
		before, again := made[n.Sector][string(n.Ticket)]
		require.False(t, again && before != n.CommR, "two workers made different replicas of sector %d from one ticket", n.Sector)
		made[n.Sector][string(n.Ticket)] = n.CommR
	}
	for _, m := range w.chain.Messager().Pushed(builtin.MethodsMiner.ProveCommitSector) {
		var p miner.ProveCommitSectorParams
		require.NoError(t, p.UnmarshalCBOR(bytes.NewReader(m.Params)))
		w.verify(commR[p.SectorNumber], p, made[uint64(p.SectorNumber)])
	}
	bad, err := w.api.CheckProvable(ctx, nil, true)
	require.NoError(t, err)
	require.Empty(t, bad, "the files on the disk are those that were proven")
	require.Eventually(t, func() bool {
		left, err := filepath.Glob(filepath.Join(w.dir, "files", "work", "*"))
		return err == nil && len(left) == 0
	}, 30*time.Second, epoch, "folders of dead workers stay behind")
}

// verify judges a proof as the chain would.
func (w *world) verify(pre miner.PreCommitSectorParams, p miner.ProveCommitSectorParams, made map[string]string) {
	ctx, t := w.t.Context(), w.t
	var entropy bytes.Buffer
	m := sealertest.Miner()
	require.NoError(t, m.MarshalCBOR(&entropy))
	ticket, err := w.chain.StateGetRandomnessFromTickets(ctx, crypto.DomainSeparationTag_SealRandomness, pre.SealRandEpoch, entropy.Bytes(), types.EmptyTSK)
	require.NoError(t, err)
	require.Equal(t, pre.SealedCID.String(), made[string(ticket)], "the replica on the chain is one that a worker made")
	status, err := w.api.SectorsStatus(ctx, p.SectorNumber, true)
	require.NoError(t, err)
	unsealed, err := commp.UnsealedCID(pre.SealProof, nil)
	require.NoError(t, err)
	ok, err := verify.New(w.chain.Network, "").VerifySeal(ctx, proof.SealVerifyInfo{
		SealProof: pre.SealProof, SectorID: abi.SectorID{Miner: sealertest.MinerID, Number: p.SectorNumber}, Randomness: abi.SealRandomness(ticket),
		InteractiveRandomness: status.Seed.Value, Proof: p.Proof, SealedCID: pre.SealedCID, UnsealedCID: unsealed,
	})
	require.NoError(t, err)
	require.True(t, ok, "the proof of sector %d does not hold", p.SectorNumber)
}

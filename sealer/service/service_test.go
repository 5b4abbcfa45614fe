package service

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/go-state-types/proof"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/api/node"
	sealerapi "github.com/filecoin-venus/venus/api/sealer"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/internal/mariadb"
	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/repo"
	"github.com/filecoin-venus/venus/rpc"
	"github.com/filecoin-venus/venus/sealer/config"
	"github.com/filecoin-venus/venus/sealer/db"
	"github.com/filecoin-venus/venus/sealer/sealertest"
	"github.com/filecoin-venus/venus/sealer/setup"
	"github.com/filecoin-venus/venus/worker"
	"github.com/filecoin-venus/venus/worker/bus"
)

func TestMain(m *testing.M) { os.Exit(mariadb.Run(m)) }

// TestOnMariaDB seals a sector with the database on a server, through a restart.
func TestOnMariaDB(t *testing.T) {
	s, chain, dir := daemonOn(t, db.Config{Type: "mysql", DSN: mariadb.Database(t)})
	ctx := t.Context()
	_, err := s.StorageAttach(ctx, sealerapi.StorageSpec{Path: filepath.Join(dir, "files"), Init: true, CanSeal: true, CanStore: true})
	require.NoError(t, err)
	id, err := s.PledgeSector(ctx)
	require.NoError(t, err)
	token, err := os.ReadFile(filepath.Join(dir, "token"))
	require.NoError(t, err)
	sealUntilCommitted(t, dialSealer(t, s, string(token)), chain, id.Number)
	before, err := s.SectorsStatus(ctx, id.Number, false)
	require.NoError(t, err)
	require.NoError(t, s.Close())
	s = runIn(t, dir)
	after, err := s.SectorsStatus(ctx, id.Number, false)
	require.NoError(t, err)
	require.Equal(t, before.CommR, after.CommR)
	require.NotEmpty(t, after.Log)
	next, err := s.PledgeSector(ctx)
	require.NoError(t, err)
	require.Equal(t, id.Number+1, next.Number)
}

// daemonUp starts a sealer, set up for the model's miner, with the real sealing code.
func daemonUp(t *testing.T) (*Service, *sealertest.Chain, string) {
	return daemonOn(t, db.Config{})
}

// daemonOn is daemonUp with the database elsewhere.
func daemonOn(t *testing.T, database db.Config) (*Service, *sealertest.Chain, string) {
	network, err := params.ByName("local")
	require.NoError(t, err)
	chain := sealertest.NewChain(network, 1000, time.Now())
	dir := filepath.Join(t.TempDir(), "sealer")
	cfg := config.Default()
	cfg.API.ListenAddress = "/ip4/127.0.0.1/tcp/0"
	cfg.Network = config.NetworkOf("local")
	var stop func()
	cfg.Node.URL, cfg.Messager.URL, stop = chain.Serve()
	t.Cleanup(stop)
	cfg.Messager.Wallet = "w"
	if cfg.DB = database; cfg.DB.Type == "" {
		cfg.DB.Path = filepath.Join(dir, "sealer.db")
	}
	r, err := repo.Open(dir)
	require.NoError(t, err)
	require.NoError(t, cfg.Save(r.Path(config.FileName)))
	b, err := json.Marshal(setup.Progress{Miner: sealertest.Miner(), Done: true})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(r.Path("init.json"), b, 0o600))
	require.NoError(t, r.Close())
	return runIn(t, dir), chain, dir
}

// runIn starts a sealer in a directory that is set up.
func runIn(t *testing.T, dir string) *Service {
	s, err := Start(t.Context(), Options{Dir: dir, Version: "test", Clock: clock.Real()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func dialSealer(t *testing.T, s *Service, token string) *sealerapi.SealerProxy {
	c := new(sealerapi.SealerProxy)
	stop, err := rpc.Dial(s.Address, token, sealerapi.Namespace, c, rpc.DialOptions{Service: "venus-sealer"})
	require.NoError(t, err)
	t.Cleanup(stop)
	return c
}

func TestDaemon(t *testing.T) {
	s, chain, dir := daemonUp(t)
	ctx := t.Context()
	st, err := os.Stat(filepath.Join(dir, "token"))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), st.Mode().Perm())
	token, err := os.ReadFile(filepath.Join(dir, "token"))
	require.NoError(t, err)

	_, err = dialSealer(t, s, "").SectorsList(ctx)
	require.Equal(t, api.CodePermission, api.Explain(err).Code, "nobody may look without a token")
	_, err = dialSealer(t, s, "a.b.c").SectorsList(ctx)
	require.Equal(t, api.CodeUnauthenticated, api.Explain(err).Code)
	c := dialSealer(t, s, string(token))
	reader, err := c.AuthNew(ctx, []api.Permission{api.PermRead})
	require.NoError(t, err)
	r := dialSealer(t, s, string(reader))
	_, err = r.SectorsList(ctx)
	require.NoError(t, err)
	_, err = r.PledgeSector(ctx)
	require.Equal(t, api.CodePermission, api.Explain(err).Code)

	_, err = c.PledgeSector(ctx)
	require.Equal(t, api.CodePrecondition, api.Explain(err).Code)
	require.Contains(t, api.Explain(err).Hint, "storage attach")
	info, err := c.StorageAttach(ctx, sealerapi.StorageSpec{Path: filepath.Join(dir, "files"), Init: true, CanSeal: true, CanStore: true})
	require.NoError(t, err)
	id, err := c.PledgeSector(ctx)
	require.NoError(t, err)
	sealUntilCommitted(t, c, chain, id.Number)
	files, err := c.StorageList(ctx)
	require.NoError(t, err)
	require.Len(t, files[info.ID], 3)
	sum, err := c.SectorsSummary(ctx)
	require.NoError(t, err)
	require.Len(t, sum, 1)
	status, err := c.SectorsStatus(ctx, id.Number, true)
	require.NoError(t, err)
	require.NotNil(t, status.CommR)
	require.NotEmpty(t, status.Log)
	_, err = c.SectorsStatus(ctx, 99, false)
	require.Equal(t, api.CodeNotFound, api.Explain(err).Code)
	require.Equal(t, api.CodeInvalid, api.Explain(c.SectorsUpdate(ctx, id.Number, "Nonsense")).Code)
	why, err := c.SectorWhy(ctx, id.Number)
	require.NoError(t, err)
	require.Equal(t, status.State, why.State)
	require.NotEmpty(t, why.Means)
	_, err = c.SectorWhy(ctx, 99)
	require.Equal(t, api.CodeNotFound, api.Explain(err).Code)
	err = c.SectorRemove(ctx, id.Number)
	require.Equal(t, api.CodePrecondition, api.Explain(err).Code)
	require.Contains(t, api.Explain(err).Hint, "--abandon")
	require.Equal(t, api.CodePrecondition, api.Explain(c.SectorRedo(ctx, id.Number)).Code, "only what is proven is made anew")
	checkWinning(t, c, status)
	checkWorkers(t, s, c, string(token))
	require.NoError(t, c.SectorAbandon(ctx, id.Number))
}

// sealUntilCommitted lets epochs pass until the real sealing code is done and
// the pre-commit is on the chain.
func sealUntilCommitted(t *testing.T, c *sealerapi.SealerProxy, chain *sealertest.Chain, n abi.SectorNumber) {
	require.Eventually(t, func() bool {
		chain.Tick(time.Now())
		st, err := c.SectorsStatus(t.Context(), n, false)
		return err == nil && (st.State == "WaitSeed" || st.State == "Committing")
	}, time.Minute, 20*time.Millisecond, "the sector was not pre-committed in time") // real sealing on a busy machine
}

// checkWinning proves the sealed sector for a block, with the real prover.
func checkWinning(t *testing.T, c *sealerapi.SealerProxy, s sealerapi.SectorInfo) {
	ctx := t.Context()
	challenge := []proof.ExtendedSectorInfo{{SealProof: s.SealProof, SectorNumber: s.SectorID, SealedCID: *s.CommR}}
	proofs, err := c.ComputeProof(ctx, challenge, make([]byte, 32))
	require.NoError(t, err)
	require.Len(t, proofs, 1)
	require.Len(t, proofs[0].ProofBytes, 192)
	start := time.Now()
	_, err = c.ComputeProof(ctx, challenge, make([]byte, 32))
	require.NoError(t, err)
	require.Less(t, time.Since(start), 2*time.Second)
	_, err = c.ComputeProof(ctx, challenge, make([]byte, 31))
	require.Equal(t, api.CodeInvalid, api.Explain(err).Code)
	challenge[0].SectorNumber = 77
	_, err = c.ComputeProof(ctx, challenge, make([]byte, 32))
	require.ErrorContains(t, err, "no storage path has the file")
	bad, err := c.CheckProvable(ctx, []abi.SectorNumber{s.SectorID, 5}, true)
	require.NoError(t, err)
	require.Equal(t, map[abi.SectorNumber]string{5: "this sealer does not know it"}, bad)
}

// checkWorkers joins as a worker over the wire, and as one without the token.
func checkWorkers(t *testing.T, s *Service, c *sealerapi.SealerProxy, token string) {
	ctx := t.Context()
	door := new(worker.JoinProxy)
	stop, err := rpc.Dial(s.Address, token, worker.Namespace, door, rpc.DialOptions{Service: "venus-sealer", Path: worker.JoinPath})
	require.NoError(t, err)
	defer stop()
	w, err := door.Join(ctx)
	require.NoError(t, err)
	require.Equal(t, s.network.ProofSeed, w.Network.ProofSeed)
	conn, err := bus.Connect(w, s.Address, token, "test", bus.Login{})
	require.NoError(t, err)
	defer conn.Close()
	remote, err := bus.NewClient(conn, w.Bus)
	require.NoError(t, err)
	lost := worker.Lease{Task: "none", Fence: 1}
	o, err := remote.Beat(ctx, worker.Beat{Info: worker.Info{ID: "remote", Hostname: "far"}, Holds: []worker.Lease{lost}})
	require.NoError(t, err)
	require.Equal(t, []worker.Lease{lost}, o.Over)
	require.Len(t, o.Paths, 1)
	stats, err := c.WorkerStats(ctx)
	require.NoError(t, err)
	require.True(t, stats["remote"].Remote)
	require.Len(t, stats, 2, "the built-in one is there too")

	require.NoError(t, c.WorkerSet(ctx, "far", sealerapi.WorkerSettings{DisabledTasks: []string{"pc1"}}))
	have, err := c.WorkerGet(ctx, "far")
	require.NoError(t, err)
	require.Equal(t, sealerapi.WorkerSettings{DisabledTasks: []string{"PC1"}}, have)
	stats, err = c.WorkerStats(ctx)
	require.NoError(t, err)
	require.False(t, stats["remote"].Enabled)
	require.Equal(t, api.CodeInvalid, api.Explain(c.WorkerSet(ctx, "far", sealerapi.WorkerSettings{DisabledTasks: []string{"PC3"}})).Code)
	require.Equal(t, api.CodeInvalid, api.Explain(c.WorkerSet(ctx, "", sealerapi.WorkerSettings{})).Code)
	_, err = c.SealingWhy(ctx, "none")
	require.Equal(t, api.CodeNotFound, api.Explain(err).Code)
	require.Equal(t, api.CodeNotFound, api.Explain(c.SealingAbort(ctx, "none")).Code)
	diag, err := c.SealingSchedDiag(ctx)
	require.NoError(t, err)
	require.Equal(t, true, diag.(map[string]any)["NATS"])

	url, err := rpc.ParseEndpoint(s.Address, "/metrics")
	require.NoError(t, err)
	res, err := http.Get(url)
	require.NoError(t, err)
	defer res.Body.Close()
	metrics, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	for _, want := range []string{`venus_sealer_tasks_total{kind="PC1",result="done"} 1`, `venus_sealer_workers{state="disabled"} 1`, "venus_sealer_nats_up 1", `venus_sealer_task_seconds_count{kind="PC2"} 1`} {
		require.Contains(t, string(metrics), want)
	}

	bare := new(worker.JoinProxy)
	stop, err = rpc.Dial(s.Address, "", worker.Namespace, bare, rpc.DialOptions{Path: worker.JoinPath})
	require.NoError(t, err)
	defer stop()
	_, err = bare.Join(ctx)
	require.Equal(t, api.CodePermission, api.Explain(err).Code)
	reader, err := c.AuthNew(ctx, []api.Permission{api.PermRead})
	require.NoError(t, err)
	for _, bad := range []string{"", "a.b.c", string(reader)} {
		conn, err := bus.Connect(w, s.Address, bad, "stranger", bus.Login{})
		require.NoError(t, err, "it goes on trying")
		defer conn.Close()
		stranger, err := bus.NewClient(conn, w.Bus)
		require.NoError(t, err)
		try, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
		_, err = stranger.Beat(try, worker.Beat{Info: worker.Info{ID: "stranger"}})
		cancel()
		require.Error(t, err)
	}
	stats, err = c.WorkerStats(ctx)
	require.NoError(t, err)
	require.NotContains(t, stats, "stranger")
}

func TestRefusesToStart(t *testing.T) {
	dir := t.TempDir()
	_, err := Start(t.Context(), Options{Dir: filepath.Join(dir, "none"), Clock: clock.Real()})
	require.Contains(t, api.Explain(err).Hint, "venus-sealer init")
	r, err := repo.Open(dir)
	require.NoError(t, err)
	require.NoError(t, config.Default().Save(r.Path(config.FileName)))
	_, err = Start(t.Context(), Options{Dir: dir, Clock: clock.Real()})
	require.True(t, errors.Is(err, repo.ErrLocked))
	require.NoError(t, r.Close())
	_, err = Start(t.Context(), Options{Dir: dir, Clock: clock.Real()})
	require.ErrorContains(t, err, "not finished")
}

func TestExpectedBlocks(t *testing.T) {
	p := func(mine, all int64, min bool) *node.MinerPower {
		return &node.MinerPower{MinerPower: node.Claim{QualityAdjPower: big.NewInt(mine)}, TotalPower: node.Claim{QualityAdjPower: big.NewInt(all)}, HasMinPower: min}
	}
	day := 24 * time.Hour
	require.InDelta(t, 0.7, expected(p(1, 50, true), day), 1e-9) // a tenth of a block an epoch
	require.InDelta(t, 7, expected(p(1, 2, true), day), 1e-9)    // at most one
	require.Zero(t, expected(p(1, 2, false), day))
	require.Zero(t, expected(p(0, 0, true), day))
}

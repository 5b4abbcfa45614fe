package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dgraph-io/badger/v4"
	"github.com/filecoin-project/go-state-types/abi"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	"github.com/stretchr/testify/require"

	apinode "github.com/filecoin-venus/venus/api/node"
	"github.com/filecoin-venus/venus/chain"
	"github.com/filecoin-venus/venus/cli/render"
	"github.com/filecoin-venus/venus/genesis"
	"github.com/filecoin-venus/venus/ipld"
	"github.com/filecoin-venus/venus/node"
	"github.com/filecoin-venus/venus/params/policy"
	"github.com/filecoin-venus/venus/sim"
	"github.com/filecoin-venus/venus/snapshot"
	"github.com/filecoin-venus/venus/types"
)

// proofs keeps verifying keys, which nodes derive in the background even while they close.
var proofs string

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	var err error
	if proofs, err = os.MkdirTemp("", "venus-cmd-"); err != nil {
		panic(err)
	}
	code := m.Run()
	_ = os.RemoveAll(proofs) // what is being written to it now is nobody's loss
	os.Exit(code)
}

// venus runs the program in this process.
func venus(t *testing.T, args ...string) (code int, out, errOut string) {
	t.Helper()
	var o, e bytes.Buffer
	code = render.Run(t.Context(), app(), append([]string{"venus"}, args...), &o, &e)
	return code, o.String(), e.String()
}

// homestead is a directory in which a node has followed a chain, as the first layout had it, and the network's genesis file.
type homestead struct {
	repo, genesis string
	head          *types.TipSet
}

// former writes blocks as the first layout had them: by their hashes, to badger.
type former struct {
	*ipld.Memory
	db *badger.DB
}

func (f former) Put(ctx context.Context, c cid.Cid, data []byte) error {
	return errors.Join(f.Memory.Put(ctx, c, data), f.db.Update(func(tx *badger.Txn) error { return tx.Set(c.Hash(), data) }))
}

func (f former) PutMany(ctx context.Context, list []blocks.Block) error {
	for _, b := range list {
		if err := f.Put(ctx, b.Cid(), b.RawData()); err != nil {
			return err
		}
	}
	return nil
}

// lived mines a chain into a directory.
func lived(t *testing.T, seed int64, height abi.ChainEpoch) homestead {
	t.Helper()
	ctx := t.Context()
	out := homestead{repo: t.TempDir(), genesis: filepath.Join(t.TempDir(), "genesis.car")}
	db, err := badger.Open(badger.DefaultOptions(filepath.Join(out.repo, "badger")).WithLogger(nil))
	require.NoError(t, err)
	store := former{ipld.NewMemory(), db}
	meta, err := chain.OpenMeta(filepath.Join(out.repo, "chain"))
	require.NoError(t, err)
	cfg := sim.Config{Miners: 1, Seed: seed, Blocks: store, Meta: meta}
	params, err := sim.Network(cfg)
	require.NoError(t, err)
	require.NoError(t, policy.Apply(params))
	w, err := sim.NewWorld(ctx, cfg)
	require.NoError(t, err)
	for w.Store.Head().Height() < height {
		_, err := w.Step(ctx)
		require.NoError(t, err)
	}
	_, err = w.Exec.Execute(ctx, w.Store.Head())
	require.NoError(t, err)
	out.head = w.Store.Head()
	params.GenesisCID = w.Store.Genesis().Cids()[0].String()
	require.NoError(t, params.Save(filepath.Join(out.repo, "network.json")))
	f, err := os.Create(out.genesis)
	require.NoError(t, err)
	require.NoError(t, genesis.WriteFile(ctx, f, store, w.Store.Genesis().Blocks()[0], params))
	require.NoError(t, f.Close())
	w.Exec.Close()
	require.NoError(t, db.Close())
	require.NoError(t, meta.Close())
	require.NoError(t, os.WriteFile(filepath.Join(out.repo, "version"), []byte("1\n"), 0o600))
	return out
}

func decode(t *testing.T, text string, into any) {
	t.Helper()
	require.NoError(t, json.Unmarshal([]byte(text), into), text)
}

func TestExportAndImport(t *testing.T) {
	n := lived(t, 3, 150)
	dir := t.TempDir()
	car, zst := filepath.Join(dir, "chain.car"), filepath.Join(dir, "chain.car.zst")

	// Offline: the directory is of the first layout, and becomes one of the newest.
	code, out, errOut := venus(t, "--repo", n.repo, "--json", "chain", "export", car)
	require.Zero(t, code, errOut)
	var wrote exportResult
	decode(t, out, &wrote)
	require.Equal(t, n.head.Key(), wrote.Head)
	require.EqualValues(t, n.head.Height()+1, wrote.States, "the chain is shorter than what a node needs")
	require.Contains(t, errOut, "writing the archive")
	version, err := os.ReadFile(filepath.Join(n.repo, "version"))
	require.NoError(t, err)
	require.Equal(t, "3\n", string(version))
	code, _, errOut = venus(t, "--repo", n.repo, "chain", "export", car)
	require.Equal(t, render.ExitPrecondition, code)
	require.Contains(t, errOut, "exists already")

	// Online: the same bytes.
	daemon, err := node.New(t.Context(), node.Options{Repo: n.repo, API: "/ip4/127.0.0.1/tcp/0", Offline: true, Version: "test", ProofCache: proofs})
	require.NoError(t, err)
	code, out, errOut = venus(t, "--repo", n.repo, "--json", "chain", "export", zst)
	require.Zero(t, code, errOut)
	decode(t, out, &wrote)
	require.Less(t, wrote.FileSize, wrote.Bytes)
	code, _, errOut = venus(t, "--repo", n.repo, "chain", "import", car)
	require.Equal(t, render.ExitPrecondition, code, "the daemon runs")
	require.Contains(t, errOut, "another process")
	code, out, errOut = venus(t, "--repo", n.repo, "--json", "chain", "gc", "--keep-epochs", "5")
	require.Zero(t, code, errOut)
	var pruned apinode.PruneResult
	decode(t, out, &pruned)
	require.Positive(t, pruned.Kept)
	require.NoError(t, daemon.Close())
	plain, err := os.ReadFile(car)
	require.NoError(t, err)
	src, err := snapshot.Open(context.Background(), zst)
	require.NoError(t, err)
	var unpacked bytes.Buffer
	_, err = unpacked.ReadFrom(src)
	require.NoError(t, err)
	require.NoError(t, src.Close())
	require.True(t, bytes.Equal(plain, unpacked.Bytes()), "a running node writes what its directory does")

	// Import, from a file.
	home := t.TempDir()
	code, out, errOut = venus(t, "--repo", home, "--json", "chain", "import", "--genesisfile", n.genesis, zst)
	require.Zero(t, code, errOut)
	var took snapshot.Imported
	decode(t, out, &took)
	require.Equal(t, n.head.Key(), took.Head)
	code, _, errOut = venus(t, "--repo", home, "chain", "import", zst)
	require.Equal(t, render.ExitPrecondition, code)
	require.Contains(t, errOut, "nothing new")
	code, out, _ = venus(t, "--repo", home, "chain", "import", "--discard")
	require.Zero(t, code)
	require.Contains(t, out, "no import was interrupted")

	// Import by the daemon, from the web; its flag may stay.
	web := httptest.NewServer(http.FileServer(http.Dir(dir)))
	defer web.Close()
	home = t.TempDir()
	for range 2 {
		daemon, err = node.New(t.Context(), node.Options{
			Repo: home, API: "/ip4/127.0.0.1/tcp/0", Offline: true, Version: "test", ProofCache: proofs, GenesisFile: n.genesis,
			Snapshot: node.SnapshotOptions{From: web.URL + "/chain.car.zst"},
		})
		require.NoError(t, err)
		head, err := daemon.API.ChainHead(t.Context())
		require.NoError(t, err)
		require.Equal(t, n.head.Key(), head.Key())
		require.NoError(t, daemon.Close())
	}
}

func TestImportRefuses(t *testing.T) {
	n, other := lived(t, 4, 10), lived(t, 5, 10)
	dir := t.TempDir()
	foreign := filepath.Join(dir, "foreign.car")
	code, _, errOut := venus(t, "--repo", other.repo, "chain", "export", foreign)
	require.Zero(t, code, errOut)
	noCAR := filepath.Join(dir, "text")
	require.NoError(t, os.WriteFile(noCAR, []byte(strings.Repeat("words, words ", 100)), 0o600))
	for name, c := range map[string]struct {
		arg, says string
		code      int
	}{
		"another network": {foreign, "another network", render.ExitPrecondition},
		"no archive":      {noCAR, "not a CAR", render.ExitUsage},
		"no file":         {noCAR + "x", "cannot read", render.ExitUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			code, _, errOut := venus(t, "--repo", n.repo, "chain", "import", c.arg)
			require.Equal(t, c.code, code, errOut)
			require.Contains(t, errOut, c.says)
			require.Contains(t, errOut, "hint:")
			off, err := node.OpenOffline(t.Context(), node.Options{Repo: n.repo})
			require.NoError(t, err)
			require.Equal(t, n.head.Key(), off.Chain().Head().Key(), "the chain is as it was")
			require.NoError(t, off.Close())
		})
	}
}

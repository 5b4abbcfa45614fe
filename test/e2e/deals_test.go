package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	gscrypto "github.com/filecoin-project/go-state-types/crypto"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/market"
	"github.com/stretchr/testify/require"
	cbg "github.com/whyrusleeping/cbor-gen"

	apinode "github.com/filecoin-venus/venus/api/node"
	apisealer "github.com/filecoin-venus/venus/api/sealer"
	"github.com/filecoin-venus/venus/cluster"
	"github.com/filecoin-venus/venus/crypto"
	"github.com/filecoin-venus/venus/internal/drill"
	"github.com/filecoin-venus/venus/proofs/commp"
	"github.com/filecoin-venus/venus/proofs/seal"
	"github.com/filecoin-venus/venus/sealer/config"
	"github.com/filecoin-venus/venus/types"
)

// dealing is what a client and the genesis miner do on the cluster's chain.
type dealing struct {
	t       *testing.T
	c       *testCluster
	node    *apinode.FullNodeProxy
	clients cluster.Clients
	faucet  address.Address
	miner   address.Address
}

// send sends a message through the messager, waits until it has landed, and returns what it returned.
func (d *dealing) send(from, to address.Address, value abi.TokenAmount, method abi.MethodNum, params cbg.CBORMarshaler) []byte {
	d.t.Helper()
	var raw bytes.Buffer
	require.NoError(d.t, params.MarshalCBOR(&raw))
	m, stop, err := d.clients.Messager()
	require.NoError(d.t, err)
	defer stop()
	ctx, cancel := context.WithTimeout(d.t.Context(), 2*time.Minute)
	defer cancel()
	id, err := m.PushMessage(ctx, &types.Message{From: from, To: to, Value: value, Method: method, Params: raw.Bytes(), GasFeeCap: big.Zero(), GasPremium: big.Zero()}, nil, "testminer")
	require.NoError(d.t, err)
	msg, err := m.WaitMessage(ctx, id, 1)
	require.NoError(d.t, err)
	require.Zero(d.t, msg.Receipt.ExitCode, "message of method %d", method)
	return msg.Receipt.Return
}

// publish makes a deal about data and puts it on the chain, with all the money it needs.
func (d *dealing) publish(data []byte, start, end abi.ChainEpoch) (abi.DealID, abi.PieceInfo) {
	t := d.t
	key, err := crypto.GenerateKey(gscrypto.SigTypeBLS)
	require.NoError(t, err)
	client, err := crypto.AddressFor(gscrypto.SigTypeBLS, key)
	require.NoError(t, err)
	d.c.fund(t, client.String(), 5)
	piece, err := commp.Of(bytes.NewReader(data))
	require.NoError(t, err)
	bounds, err := d.node.StateDealProviderCollateralBounds(t.Context(), piece.Size, false, types.EmptyTSK)
	require.NoError(t, err)
	p := market.DealProposal{
		PieceCID: piece.PieceCID, PieceSize: piece.Size, Client: client, Provider: d.miner, Label: "e2e", StartEpoch: start, EndEpoch: end,
		StoragePricePerEpoch: big.NewInt(1000), ProviderCollateral: big.Mul(bounds.Min, big.NewInt(2)), ClientCollateral: big.Zero(),
	}
	for _, whose := range []address.Address{client, d.miner} {
		d.send(d.faucet, builtin.StorageMarketActorAddr, types.NewFIL(10).Atto(), builtin.MethodsMarket.AddBalance, &whose)
	}
	var body bytes.Buffer
	require.NoError(t, p.MarshalCBOR(&body))
	sig, err := crypto.Sign(gscrypto.SigTypeBLS, key, body.Bytes())
	require.NoError(t, err)
	info, err := d.node.StateMinerInfo(t.Context(), d.miner, types.EmptyTSK)
	require.NoError(t, err)
	worker, err := d.node.StateAccountKey(t.Context(), info.Worker, types.EmptyTSK)
	require.NoError(t, err)
	raw := d.send(worker, builtin.StorageMarketActorAddr, big.Zero(), builtin.MethodsMarket.PublishStorageDeals,
		&market.PublishStorageDealsParams{Deals: []market.ClientDealProposal{{Proposal: p, ClientSignature: *sig}}})
	var out market.PublishStorageDealsReturn
	require.NoError(t, out.UnmarshalCBOR(bytes.NewReader(raw)))
	require.Len(t, out.IDs, 1)
	return out.IDs[0], piece
}

// soon chooses the miner's sector whose window comes first among those that can be updated before it, with its deadline and
// the window's first epoch, and another sector.
func (d *dealing) soon() (first, other abi.SectorNumber, deadline uint64, window abi.ChainEpoch) {
	t, ctx := d.t, d.t.Context()
	now, err := d.node.StateMinerProvingDeadline(ctx, d.miner, types.EmptyTSK)
	require.NoError(t, err)
	active, err := d.node.StateMinerActiveSectors(ctx, d.miner, types.EmptyTSK)
	require.NoError(t, err)
	require.Greater(t, len(active), 1)
	best := abi.ChainEpoch(-1)
	for _, s := range active {
		require.Empty(t, s.DealIDs)
		at, err := d.node.StateSectorPartition(ctx, d.miner, s.SectorNumber, types.EmptyTSK)
		require.NoError(t, err)
		away := (abi.ChainEpoch(at.Deadline)*now.WPoStChallengeWindow + now.PeriodStart - now.CurrentEpoch) % now.WPoStProvingPeriod
		for away < 150 { // epochs of a second: the update has to land a window before
			away += now.WPoStProvingPeriod
		}
		if best < 0 || away < best {
			best, deadline, first, other = away, at.Deadline, s.SectorNumber, first
		} else {
			other = s.SectorNumber
		}
	}
	return first, other, deadline, now.CurrentEpoch + best
}

// dealsEnv, set to long, has TestDeals wait for the window proof of the sector, which may be 18 minutes away.
const dealsEnv = "VENUS_E2E_DEALS"

// TestDeals takes the data of a deal into a sector on a real chain, typing docs/guide/deals.md: published by messages, it
// is imported, encoded, proven and active; window proofs are made from the new replica; the old one goes, and the data is read
// back from both replicas and from the unsealed file.
func TestDeals(t *testing.T) {
	t.Parallel()
	c, st := living(t)
	d := &dealing{t: t, c: c, node: c.node(t), clients: cluster.NewClients(c.layout, st.Ports)}
	var err error
	d.faucet, err = address.NewFromString(st.Faucet)
	require.NoError(t, err)
	d.miner, err = address.NewFromString(st.GenesisMiner)
	require.NoError(t, err)
	head, err := d.node.ChainHead(t.Context())
	require.NoError(t, err)
	data := bytes.Repeat([]byte("what the client wants kept "), 30)
	deal, piece := d.publish(data, head.Height()+3000, head.Height()+10000)
	file := filepath.Join(t.TempDir(), "client.car")
	require.NoError(t, os.WriteFile(file, data, 0o600))
	n, other, deadline, window := d.soon()
	t.Logf("deal %d of %d bytes for sector %d, whose deadline %d opens at epoch %d", deal, piece.Size, n, deadline, window)

	sealer := func(args ...string) (string, int) {
		r := c.w.command(t, c.w.tmp, "venus-sealer", append([]string{"--repo", c.layout.Home(cluster.GenesisSealer)}, args...)...)
		return r.all(), r.code
	}
	status := func(n abi.SectorNumber) (s apisealer.SectorInfo) {
		out := c.w.must(t, c.w.tmp, "venus-sealer", "--repo", c.layout.Home(cluster.GenesisSealer), "sectors", "status", "--json", strconv.Itoa(int(n)))
		require.NoError(t, json.Unmarshal([]byte(out), &s))
		return s
	}
	reach := func(n abi.SectorNumber, states ...string) {
		t.Helper()
		eventually(t, 6*time.Minute, fmt.Sprintf("sector %d reaches %s", n, states), func() error {
			s := status(n)
			for _, want := range states {
				if s.State == want {
					return nil
				}
			}
			return fmt.Errorf("it is in %s; last error: %s", s.State, s.LastErr)
		})
	}
	before, err := d.node.StateSectorGetInfo(t.Context(), d.miner, n, types.EmptyTSK)
	require.NoError(t, err)
	says := func(what string) func(string) { return func(out string) { require.Contains(t, out, what) } }
	root := c.net().MinerDir(d.miner)
	id := abi.SectorID{Miner: 1000, Number: n}
	sector := seal.Sector{ID: id, Proof: before.SealProof}
	s := seal.New(seal.Config{})
	defer s.Close()
	read := func(paths seal.Paths) []byte {
		f, err := s.ReadPiece(paths, 0, piece.Size.Unpadded())
		require.NoError(t, err)
		defer f.Close()
		got, err := io.ReadAll(f)
		require.NoError(t, err)
		return got[:len(data)]
	}
	drill.Run(t, drill.Drill{
		Page:     filepath.Join(c.w.root, "docs", "guide", "deals.md"),
		Fill:     strings.NewReplacer("/data/4711.car", file, "4711", strconv.Itoa(int(deal)), " 7", fmt.Sprintf(" %d", n), " 8", fmt.Sprintf(" %d", other)),
		Programs: map[string]drill.Program{"venus-sealer": sealer},
		Steps: []drill.Step{
			{Type: "venus-sealer deals import 4711 /data/4711.car", After: says("is here")},
			{Type: "venus-sealer deals list", After: says("waiting")},
			{Type: "venus-sealer sectors snap-up 7"},
			{Type: "venus-sealer sectors why 7", After: says("SnapDealsWaitDeals")},
			{Type: "venus-sealer sectors seal 7", Before: func() {
				eventually(t, time.Minute, "the deal has its sector", func() error {
					if out, _ := sealer("deals", "list"); !strings.Contains(out, "sealing") {
						return fmt.Errorf("%s", out)
					}
					return nil
				})
			}},
			{Type: "venus-sealer deals list", Before: func() { reach(n, "UpdateActivating", "ReleaseSectorKey", "Proving") }, After: says("active")},
			{Type: "venus-sealer proving check 7"},
			{Type: "venus-sealer sectors abort-upgrade 8", Before: func() {
				_, code := sealer("sectors", "snap-up", strconv.Itoa(int(other)))
				require.Zero(t, code)
			}, After: func(string) { reach(other, "Proving") }},
		},
	})

	after, err := d.node.StateSectorGetInfo(t.Context(), d.miner, n, types.EmptyTSK)
	require.NoError(t, err)
	require.NotEqual(t, before.SealedCID, after.SealedCID)
	require.Equal(t, []abi.DealID{deal}, after.DealIDs)
	on, err := d.node.StateMarketStorageDeal(t.Context(), deal, types.EmptyTSK)
	require.NoError(t, err)
	require.Positive(t, on.State.SectorStartEpoch, "the deal is active")
	key, upd := seal.PathsIn(root, id), seal.UpdatePathsIn(root, id)
	require.Equal(t, data, read(upd), "the unsealed file")
	if _, err := os.Stat(key.Sealed); err == nil { // both replicas together give the data, too
		decoded := seal.Paths{Unsealed: filepath.Join(t.TempDir(), "unsealed", "decoded"), Sealed: upd.Sealed, Cache: upd.Cache}
		commD, err := commp.UnsealedCID(before.SealProof, []abi.PieceInfo{piece})
		require.NoError(t, err)
		require.NoError(t, s.DecodeUpdate(t.Context(), sector, key, decoded, seal.UpdateCids{Key: before.SealedCID, SectorCids: seal.SectorCids{Unsealed: commD, Sealed: after.SealedCID}}))
		require.Equal(t, data, read(decoded), "what the two replicas give")
	}
	reach(n, "Proving")
	require.NoFileExists(t, key.Sealed)
	require.NoDirExists(t, key.Cache)
	out, code := sealer("proving", "check", "--slow", strconv.Itoa(int(n)))
	require.Zero(t, code, out)

	out, code = sealer("proving", "rehearse", strconv.Itoa(int(deadline)))
	require.Zero(t, code, "a window proof with the new replica: %s", out)
	if os.Getenv(dealsEnv) == "" {
		return
	}
	// Its next window: the sector is proven, and stays active when it has closed.
	eventually(t, 18*time.Minute, fmt.Sprintf("the window of epoch %d is over", window), func() error {
		head, err := d.node.ChainHead(t.Context())
		require.NoError(t, err)
		if head.Height() < window+25 {
			return fmt.Errorf("the head is at %d", head.Height())
		}
		return nil
	})
	require.Greater(t, window, after.Activation, "the window came after the update")
	active, err := d.node.StateMinerActiveSectors(t.Context(), d.miner, types.EmptyTSK)
	require.NoError(t, err)
	found := false
	for _, x := range active {
		found = found || x.SectorNumber == n && x.SealedCID.Equals(after.SealedCID)
	}
	require.True(t, found, "the updated sector has power after its window")
	history, _ := sealer("proving", "history", "--json")
	t.Logf("window proofs: %.2000s", history)
}

// TestDealInNewSector seals a new sector with the data of a deal on a real chain. Only the long form runs it: its sealer is
// restarted with another configuration.
func TestDealInNewSector(t *testing.T) {
	if os.Getenv(dealsEnv) == "" {
		t.Skip("the cluster's sealer is restarted for it; VENUS_E2E_DEALS=long runs it")
	}
	t.Parallel()
	c, _ := living(t)
	st := c.await(t, "proving", 5*time.Minute)
	<-c.upDone
	d := &dealing{t: t, c: c, node: c.node(t), clients: cluster.NewClients(c.layout, st.Ports)}
	var err error
	d.faucet, err = address.NewFromString(st.Faucet)
	require.NoError(t, err)
	d.miner, err = address.NewFromString(st.Miner)
	require.NoError(t, err)
	head, err := d.node.ChainHead(t.Context())
	require.NoError(t, err)
	data := bytes.Repeat([]byte("what the client wants kept "), 70) // fills the sector
	deal, piece := d.publish(data, head.Height()+3000, head.Height()+10000)
	file := filepath.Join(t.TempDir(), "client.car")
	require.NoError(t, os.WriteFile(file, data, 0o600))

	home := c.layout.Home(cluster.Sealer)
	cfg, err := config.Load(filepath.Join(home, config.FileName))
	require.NoError(t, err)
	cfg.Sealing.MakeNewSectorForDeals = true
	require.NoError(t, cfg.Save(filepath.Join(home, config.FileName)))
	sealer := func(args ...string) string {
		return c.w.must(t, c.w.tmp, "venus-sealer", append([]string{"--repo", home}, args...)...)
	}
	sealer("stop") // the supervisor starts it again
	eventually(t, time.Minute, "the sealer is back with a deal", func() error {
		r := c.w.command(t, c.w.tmp, "venus-sealer", "--repo", home, "deals", "import", strconv.Itoa(int(deal)), file)
		if r.code != 0 && !strings.Contains(r.all(), "imported already") {
			return fmt.Errorf("%s", r.all())
		}
		return nil
	})
	var list []apisealer.DealInfo
	eventually(t, 5*time.Minute, "the deal is active", func() error {
		require.NoError(t, json.Unmarshal([]byte(sealer("deals", "list", "--json")), &list))
		if list[0].State != "active" {
			return fmt.Errorf("%s, sector in state %s", list[0].State, list[0].SectorState)
		}
		return nil
	})
	on, err := d.node.StateMarketStorageDeal(t.Context(), deal, types.EmptyTSK)
	require.NoError(t, err)
	require.Positive(t, on.State.SectorStartEpoch)
	info, err := d.node.StateSectorGetInfo(t.Context(), d.miner, *list[0].Sector, types.EmptyTSK)
	require.NoError(t, err)
	require.Equal(t, []abi.DealID{deal}, info.DealIDs)
	require.Positive(t, info.DealWeight.Sign())
	miner, err := address.IDFromAddress(d.miner)
	require.NoError(t, err)
	eventually(t, time.Minute, "it rests", func() error {
		var s apisealer.SectorInfo
		require.NoError(t, json.Unmarshal([]byte(sealer("sectors", "status", "--json", strconv.Itoa(int(*list[0].Sector)))), &s))
		if s.State != "Proving" {
			return fmt.Errorf("it is in %s: %s", s.State, s.LastErr)
		}
		return nil
	})
	s := seal.New(seal.Config{})
	defer s.Close()
	f, err := s.ReadPiece(seal.PathsIn(c.layout.Sectors(), abi.SectorID{Miner: abi.ActorID(miner), Number: *list[0].Sector}), 0, piece.Size.Unpadded())
	require.NoError(t, err)
	defer f.Close()
	got, err := io.ReadAll(f)
	require.NoError(t, err)
	require.Equal(t, data, got[:len(data)])
	sealer("proving", "check", "--slow", strconv.Itoa(int(*list[0].Sector)))
}

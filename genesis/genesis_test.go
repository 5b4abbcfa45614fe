package genesis

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/filecoin-project/go-address"
	commcid "github.com/filecoin-project/go-fil-commcid"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	gscrypto "github.com/filecoin-project/go-state-types/crypto"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/market"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/miner"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/power"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/reward"
	"github.com/filecoin-project/specs-actors/v7/actors/states"
	"github.com/filecoin-project/specs-actors/v7/actors/util/adt"
	"github.com/ipfs/go-cid"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/crypto"
	"github.com/filecoin-venus/venus/internal/vectors"
	"github.com/filecoin-venus/venus/ipld"
	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/params/policy"
	"github.com/filecoin-venus/venus/state"
	"github.com/filecoin-venus/venus/types"
	"github.com/filecoin-venus/venus/vm"
)

// policyEnv names the network whose policy this test process follows; the
// policy is global, so another network needs another process.
const policyEnv = "GENESIS_TEST_NETWORK"

func policyNetwork() string {
	if n := os.Getenv(policyEnv); n != "" {
		return n
	}
	return "local"
}

func TestMain(m *testing.M) {
	net, err := policyParams(policyNetwork())
	if err == nil {
		err = policy.Apply(net)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func policyParams(name string) (params.Network, error) {
	if name == butterfly {
		return butterflyNetwork()
	}
	return params.ByName(name)
}

func testKey(t testing.TB, label string) address.Address {
	t.Helper()
	seed := sha256.Sum256([]byte(label))
	priv, err := crypto.GenerateKeyFromSeed(gscrypto.SigTypeBLS, seed[:])
	require.NoError(t, err)
	a, err := crypto.AddressFor(gscrypto.SigTypeBLS, priv)
	require.NoError(t, err)
	return a
}

func testCommR(t testing.TB, label string) cid.Cid {
	t.Helper()
	sum := sha256.Sum256([]byte(label))
	sum[31] &= 0x3f
	c, err := commcid.ReplicaCommitmentV1ToCID(sum[:])
	require.NoError(t, err)
	return c
}

func testCommD(t testing.TB, label string) cid.Cid {
	t.Helper()
	sum := sha256.Sum256([]byte(label))
	sum[31] &= 0x3f
	c, err := commcid.DataCommitmentV1ToCID(sum[:])
	require.NoError(t, err)
	return c
}

// testTemplate has the given miners of 2 KiB sectors; deals fill every sector
// of miners below dealt.
func testTemplate(t testing.TB, net params.Network, miners, sectors, dealt int) Template {
	t.Helper()
	tmpl, err := NewTemplate(net.GenesisName, 1_600_000_000)
	require.NoError(t, err)
	for i := range miners {
		id, err := address.NewIDAddress(uint64(firstMinerID + i))
		require.NoError(t, err)
		key := testKey(t, id.String())
		m := Miner{ID: id, Owner: key, Worker: key, MarketBalance: big.Zero(), PowerBalance: big.Zero(), SectorSize: 2048}
		for s := range sectors {
			label := fmt.Sprintf("%d/%d", i, s)
			pre := &PreSeal{
				CommR: testCommR(t, label), CommD: testCommD(t, label), SectorID: abi.SectorNumber(s),
				ProofType: abi.RegisteredSealProof_StackedDrg2KiBV1_1,
			}
			if i < dealt {
				pre.Deal = &market.DealProposal{
					PieceCID: pre.CommD, PieceSize: 2048, Client: key, Provider: id, Label: label,
					StoragePricePerEpoch: big.Zero(), ProviderCollateral: big.Zero(), ClientCollateral: big.Zero(),
				}
			}
			m.Sectors = append(m.Sectors, pre)
		}
		require.NoError(t, tmpl.AddMiner(m))
	}
	return *tmpl
}

func testNetwork(t testing.TB) params.Network {
	t.Helper()
	net, err := policyParams(policyNetwork())
	require.NoError(t, err)
	return net
}

func build(t testing.TB, tmpl Template) (*types.BlockHeader, *ipld.Memory) {
	t.Helper()
	bs := ipld.NewMemory()
	h, err := Build(context.Background(), bs, testNetwork(t), tmpl)
	require.NoError(t, err)
	return h, bs
}

// readState decodes an actor's state and returns its balance.
func readState(t *testing.T, bs ipld.Blockstore, root cid.Cid, a address.Address, into any) abi.TokenAmount {
	t.Helper()
	ctx := context.Background()
	store := ipld.NewStore(ctx, bs)
	tree, err := state.Load(ctx, store, root)
	require.NoError(t, err)
	act, err := tree.GetActor(ctx, a)
	require.NoError(t, err)
	require.NoError(t, store.Get(ctx, act.Head, into))
	return act.Balance
}

// requireInvariants runs the actors' own consistency checks over a state.
func requireInvariants(t *testing.T, bs ipld.Blockstore, root cid.Cid, prior abi.ChainEpoch) {
	t.Helper()
	ctx := context.Background()
	store := adt.WrapStore(ctx, ipld.NewStore(ctx, bs))
	var sr types.StateRoot
	require.NoError(t, store.Get(ctx, root, &sr))
	tree, err := states.LoadTree(store, sr.Actors)
	require.NoError(t, err)
	msgs, err := states.CheckStateInvariants(tree, builtin.TotalFilecoin, prior)
	require.NoError(t, err)
	var bad []string
	for _, m := range msgs.Messages() {
		if !knownRemark(m, prior) {
			bad = append(bad, m)
		}
	}
	require.Empty(t, bad)
}

// knownRemark tells the two remarks that every genesis of the reference earns:
// the remainder multisig records its balance as initial although nothing vests
// (public genesis files show the same), and at epoch 0 the reward actor's
// effective baseline stands one above its first baseline (node-nv15.md 4.5).
func knownRemark(m string, prior abi.ChainEpoch) bool {
	return strings.HasPrefix(m, "f090 multisig: non-zero locked balance") ||
		prior < 0 && m == "f02 reward: effective baseline power > baseline power"
}

// runCron applies the cron of empty epochs.
func runCron(t testing.TB, bs ipld.Blockstore, root cid.Cid, from, to abi.ChainEpoch) cid.Cid {
	t.Helper()
	ctx := context.Background()
	for e := from; e <= to; e++ {
		m, err := vm.New(ctx, vm.Config{Blocks: bs, StateRoot: root, Epoch: e, Network: testNetwork(t), Rand: noRand{}})
		require.NoError(t, err)
		res, err := m.ApplyImplicit(ctx, &types.Message{
			From: builtin.SystemActorAddr, To: builtin.CronActorAddr, Method: builtin.MethodsCron.EpochTick,
			Value: big.Zero(), GasLimit: 1e14, GasFeeCap: big.Zero(), GasPremium: big.Zero(), Nonce: uint64(e),
		})
		require.NoError(t, err)
		require.Zero(t, res.Receipt.ExitCode, "%v", res.Err)
		root, err = m.Flush(ctx)
		require.NoError(t, err)
	}
	return root
}

func TestBuildIsSoundAndLives(t *testing.T) {
	for name, dealt := range map[string]int{"capacity": 0, "deals": 2, "mixed": 1} {
		t.Run(name, func(t *testing.T) {
			h, bs := build(t, testTemplate(t, testNetwork(t), 2, 4, dealt))
			requireInvariants(t, bs, h.ParentStateRoot, -1)
			root := runCron(t, bs, h.ParentStateRoot, 1, 50)
			requireInvariants(t, bs, root, 50)
			var pow power.State
			readState(t, bs, root, builtin.StoragePowerActorAddr, &pow)
			require.Equal(t, big.NewInt(8*2048), pow.TotalRawBytePower)
		})
	}
}

func TestBuildIsDeterministic(t *testing.T) {
	tmpl := testTemplate(t, testNetwork(t), 2, 4, 1)
	a, bsA := build(t, tmpl)
	b, bsB := build(t, tmpl)
	require.Equal(t, a.Cid(), b.Cid())
	var carA, carB bytes.Buffer
	require.NoError(t, WriteCAR(context.Background(), &carA, bsA, a))
	require.NoError(t, WriteCAR(context.Background(), &carB, bsB, b))
	require.Equal(t, carA.Bytes(), carB.Bytes())

	other := tmpl
	other.Timestamp++
	c, _ := build(t, other)
	require.NotEqual(t, a.Ticket.VRFProof, c.Ticket.VRFProof)
}

func TestCARRoundTrip(t *testing.T) {
	ctx := context.Background()
	h, bs := build(t, testTemplate(t, testNetwork(t), 1, 2, 1))
	var car bytes.Buffer
	require.NoError(t, WriteCAR(ctx, &car, bs, h))
	back := ipld.NewMemory()
	got, err := LoadCAR(ctx, bytes.NewReader(car.Bytes()), back)
	require.NoError(t, err)
	require.Equal(t, h.Cid(), got.Cid())
	require.Equal(t, bs.Len(), back.Len())
	requireInvariants(t, back, got.ParentStateRoot, -1)

	for _, cut := range []int{car.Len() - 1, car.Len() / 2, 10} {
		_, err := LoadCAR(ctx, bytes.NewReader(car.Bytes()[:cut]), ipld.NewMemory())
		require.Error(t, err, "cut at %d", cut)
	}
	// A flipped bit inside a block is found by its hash.
	bad := bytes.Clone(car.Bytes())
	bad[len(bad)-3] ^= 1
	_, err = LoadCAR(ctx, bytes.NewReader(bad), ipld.NewMemory())
	require.Error(t, err)
}

// TestSectorValue compares with a public genesis: the miners of butterflynet
// hold 480 times this value for their 512 MiB sectors full of verified data.
func TestSectorValue(t *testing.T) {
	pow, err := power.ConstructState(adt.WrapStore(context.Background(), ipld.NewStore(context.Background(), ipld.NewMemory())))
	require.NoError(t, err)
	got := sectorValue(reward.ConstructState(big.Zero()), pow, big.NewInt(10*512<<20))
	require.Equal(t, "203969414933277382080", big.Mul(got, big.NewInt(480)).String())
}

func TestFixedParent(t *testing.T) {
	c, err := putParent(context.Background(), ipld.NewMemory())
	require.NoError(t, err)
	require.Equal(t, "bafyreiaqpwbbyjo4a42saasj36kkrpv4tsherf2e7bvezkert2a7dhonoi", c.String())
}

func TestRefusals(t *testing.T) {
	ctx := context.Background()
	net := testNetwork(t)
	for name, change := range map[string]func(*Template){
		"no timestamp":     func(x *Template) { x.Timestamp = 0 },
		"other network":    func(x *Template) { x.NetworkName = "elsewhere" },
		"other version":    func(x *Template) { x.NetworkVersion = 16 },
		"miner out of row": func(x *Template) { x.Miners[0].ID = builtin.CronActorAddr },
		"unknown worker":   func(x *Template) { x.Miners[0].Worker = testKey(t, "stranger") },
		"too much money":   func(x *Template) { x.Accounts[0].Balance = fil(params.TotalFIL) },
		"key twice":        func(x *Template) { x.Accounts = append(x.Accounts, x.Accounts[0]) },
		"poor owner":       func(x *Template) { x.Accounts[0].Balance = big.Zero() },
		"wrong size":       func(x *Template) { x.Miners[0].SectorSize = 3000 },
	} {
		t.Run(name, func(t *testing.T) {
			tmpl := testTemplate(t, net, 1, 2, 0)
			change(&tmpl)
			_, err := Build(ctx, ipld.NewMemory(), net, tmpl)
			require.Error(t, err)
			t.Log(err)
		})
	}
	other, err := params.ByName("nerpa")
	require.NoError(t, err)
	tmpl := testTemplate(t, other, 1, 2, 0)
	_, err = Build(ctx, ipld.NewMemory(), other, tmpl)
	require.ErrorContains(t, err, "policy.Apply")
}

// TestTwoKProcess checks the sheet's tables under the usual durations, in a
// process of its own.
func TestTwoKProcess(t *testing.T) {
	cmd := exec.Command(os.Args[0], "-test.run=^TestTwoKTables$", "-test.v")
	cmd.Env = append(os.Environ(), policyEnv+"=2k")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "--- PASS: TestTwoKTables")
}

func TestTwoKTables(t *testing.T) {
	if policyNetwork() != "2k" {
		t.Skip("runs in a process that follows the 2k policy: see TestTwoKProcess")
	}
	h, bs := build(t, testTemplate(t, testNetwork(t), 3, 4, 3))
	requireInvariants(t, bs, h.ParentStateRoot, -1)
	for i, want := range []struct{ start, expiration abi.ChainEpoch }{
		{-2222, 1550097}, {-2726, 1549593}, {-1520, 1550799},
	} {
		id, err := address.NewIDAddress(uint64(firstMinerID + i))
		require.NoError(t, err)
		var st miner.State
		readState(t, bs, h.ParentStateRoot, id, &st)
		require.Equal(t, want.start, st.ProvingPeriodStart)
		require.True(t, st.DeadlineCronActive)
		require.Equal(t, big.NewInt(4), st.InitialPledge)
		sectors, err := miner.LoadSectors(adt.WrapStore(context.Background(), ipld.NewStore(context.Background(), bs)), st.Sectors)
		require.NoError(t, err)
		var info miner.SectorOnChainInfo
		found, err := sectors.Array.Get(0, &info)
		require.NoError(t, err)
		require.True(t, found)
		require.Equal(t, want.expiration, info.Expiration)
		require.Equal(t, big.NewInt(1), info.InitialPledge)
		require.True(t, info.ExpectedDayReward.IsZero())
	}
	var pow power.State
	readState(t, bs, h.ParentStateRoot, builtin.StoragePowerActorAddr, &pow)
	require.Equal(t, big.NewInt(12*20480), pow.TotalQualityAdjPower)
	require.Equal(t, big.NewInt(12*20480), pow.TotalQABytesCommitted)
	require.Equal(t, big.NewInt(12), pow.TotalPledgeCollateral)
	require.EqualValues(t, 3, pow.MinerAboveMinPowerCount)
	var rew reward.State
	balance := readState(t, bs, h.ParentStateRoot, builtin.RewardActorAddr, &rew)
	require.Equal(t, fil(params.MiningReserveFIL), balance)
	require.Equal(t, "36266264293777134739", rew.ThisEpochReward.String())
	require.Equal(t, "2888888879999999999", rew.ThisEpochBaselinePower.String())
	require.Zero(t, rew.Epoch)
	var deals market.State
	readState(t, bs, h.ParentStateRoot, builtin.StorageMarketActorAddr, &deals)
	require.EqualValues(t, 12, deals.NextID)
	// The table's first cron events: nothing may fall due before epoch 33.
	root := runCron(t, bs, h.ParentStateRoot, 1, 60)
	requireInvariants(t, bs, root, 60)
}

// TestPublicNetworks imports real genesis files, of actors v0 and v5.
func TestPublicNetworks(t *testing.T) {
	ctx := context.Background()
	var index []struct {
		File        string         `json:"file"`
		CID         string         `json:"genesis_cid"`
		Timestamp   uint64         `json:"timestamp"`
		StateRoot   string         `json:"state_root"`
		TreeVersion uint64         `json:"state_tree_version"`
		Blocks      int            `json:"blocks"`
		Name        string         `json:"network_name"`
		Actors      map[string]int `json:"actors"`
		BaseFee     string         `json:"base_fee"`
	}
	vectors.JSON(t, "genesis/index.json", &index)
	require.Len(t, index, 4)
	for _, want := range index {
		t.Run(want.File, func(t *testing.T) {
			bs := ipld.NewMemory()
			h, err := LoadCAR(ctx, bytes.NewReader(vectors.Bytes(t, "genesis/"+want.File+".gz")), bs)
			require.NoError(t, err)
			require.Equal(t, want.CID, h.Cid().String())
			require.Equal(t, want.Timestamp, h.Timestamp)
			require.Equal(t, want.StateRoot, h.ParentStateRoot.String())
			require.Equal(t, want.BaseFee, h.ParentBaseFee.String())
			require.Equal(t, want.Blocks, bs.Len())
			name, err := NetworkName(ctx, bs, h)
			require.NoError(t, err)
			require.Equal(t, want.Name, name)

			tree, err := state.Load(ctx, ipld.NewStore(ctx, bs), h.ParentStateRoot)
			require.NoError(t, err)
			require.Equal(t, want.TreeVersion, tree.Version())
			counts, total := map[string]int{}, big.Zero()
			err = tree.ForEach(ctx, func(id address.Address, act *types.Actor) error {
				counts[string(act.Code.Hash()[2:])]++
				total = big.Add(total, act.Balance)
				again, err := tree.GetActor(ctx, id)
				require.NoError(t, err)
				require.Equal(t, act.Head, again.Head)
				return nil
			})
			require.NoError(t, err)
			require.Equal(t, want.Actors, counts)
			require.Equal(t, builtin.TotalFilecoin, total)

			var car bytes.Buffer
			require.NoError(t, WriteCAR(ctx, &car, bs, h))
			back, err := LoadCAR(ctx, &car, ipld.NewMemory())
			require.NoError(t, err)
			require.Equal(t, h.Cid(), back.Cid())
			vectors.Count(t, "genesis/index.json", 1)
		})
	}
}

func TestLoadRefusesOthers(t *testing.T) {
	ctx := context.Background()
	bs := ipld.NewMemory()
	c, err := putParent(ctx, bs)
	require.NoError(t, err)
	var car bytes.Buffer
	require.NoError(t, ipld.WriteCAR(ctx, &car, bs, c))
	_, err = LoadCAR(ctx, &car, ipld.NewMemory())
	require.True(t, errors.Is(err, ErrNotGenesis), "%v", err)
}

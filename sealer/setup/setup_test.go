package setup

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/go-state-types/exitcode"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/power"
	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"
	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/api/messager"
	"github.com/filecoin-venus/venus/api/node"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/internal/fault"
	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/repo"
	"github.com/filecoin-venus/venus/sealer/config"
	"github.com/filecoin-venus/venus/sealer/db"
	"github.com/filecoin-venus/venus/sealer/sector"
	"github.com/filecoin-venus/venus/sealer/store"
	"github.com/filecoin-venus/venus/types"
)

// world is a node and a messager that know just enough.
type world struct {
	net      params.Network
	accounts map[address.Address]bool
	balance  abi.TokenAmount
	keys     map[address.Address]bool
	msgs     map[string]*messager.Message
	polls    map[string]int
	created  int
	exit     exitcode.ExitCode
	lose     bool // the answer to the next push gets lost
	apiMajor uint8
	genesis  string
	down     bool
}

func addr(t *testing.T, n int) address.Address {
	b := make([]byte, 48)
	b[0] = byte(n)
	a, err := address.NewBLSAddress(b)
	require.NoError(t, err)
	return a
}

func idAddr(t *testing.T, n uint64) address.Address {
	a, err := address.NewIDAddress(n)
	require.NoError(t, err)
	return a
}

var errAway = api.Errorf(api.CodeUnavailable, "away")

func (w *world) ChainHead(context.Context) (*types.TipSet, error) {
	h, _ := multihash.Sum([]byte("x"), multihash.SHA2_256, -1) // cannot fail
	c := cid.NewCidV1(cid.Raw, h)
	m, _ := address.NewIDAddress(1000) // cannot fail
	return types.NewTipSet([]*types.BlockHeader{{
		Miner: m, Ticket: &types.Ticket{VRFProof: []byte{1}}, Parents: []cid.Cid{c}, ParentWeight: big.Zero(), Height: 9, ParentStateRoot: c, ParentMessageReceipts: c, Messages: c,
		Timestamp: uint64(time.Now().Unix()), ParentBaseFee: big.Zero(),
	}})
}

func (w *world) StateLookupID(_ context.Context, a address.Address, _ types.TipSetKey) (address.Address, error) {
	if w.down {
		return address.Undef, errAway
	}
	if a.Protocol() == address.ID {
		return a, nil
	}
	if !w.accounts[a] {
		return address.Undef, api.Errorf(api.CodeNotFound, "no actor %s", a)
	}
	return address.NewIDAddress(101)
}

func (w *world) StateAccountKey(_ context.Context, a address.Address, _ types.TipSetKey) (address.Address, error) {
	return a, nil
}

func (w *world) StateMinerInfo(_ context.Context, a address.Address, _ types.TipSetKey) (node.MinerInfo, error) {
	if a.String() != "t01000" {
		return node.MinerInfo{}, api.Errorf(api.CodeNotFound, "no miner")
	}
	var worker address.Address
	for k := range w.keys {
		worker = k
	}
	return node.MinerInfo{Worker: worker, Owner: worker, SectorSize: 2048}, nil
}

func (w *world) WalletBalance(context.Context, address.Address) (abi.TokenAmount, error) {
	return w.balance, nil
}

func (w *world) Version(context.Context) (api.Version, error) {
	return api.Version{APIVersion: api.NewAPIVersion(w.apiMajor, 2, 0)}, nil
}
func (w *world) StateNetwork(context.Context) (*params.Network, error) {
	n, err := params.ByName("local")
	n.GenesisName = w.genesis
	return &n, err
}

func (w *world) PushMessageWithId(_ context.Context, id string, m *types.Message, _ *messager.MsgMeta, wallet string) (string, error) { //nolint:revive // the field's spelling
	if w.down {
		return "", errAway
	}
	if wallet != "testminer" {
		return "", errors.New("no such wallet")
	}
	if w.msgs[id] != nil {
		return "", api.Errorf(api.CodeConflict, "%s exists", id)
	}
	w.msgs[id] = &messager.Message{ID: id, To: m.To, From: m.From, Method: m.Method, Params: m.Params, State: messager.StateQueued}
	if w.lose {
		w.lose = false
		return "", errAway
	}
	return id, nil
}

func (w *world) HasMessageByUid(_ context.Context, id string) (bool, error) { //nolint:revive // the field's spelling
	if w.down {
		return false, errAway
	}
	return w.msgs[id] != nil, nil
}

func (w *world) GetMessageByUid(_ context.Context, id string) (*messager.Message, error) { //nolint:revive // the field's spelling
	m := w.msgs[id]
	if m == nil {
		return nil, api.Errorf(api.CodeNotFound, "no message")
	}
	w.polls[id]++
	if w.polls[id] < 3 || m.State == messager.StateOnChain {
		return m, nil
	}
	m.State, m.Height, m.Confidence = messager.StateOnChain, 20, 5
	m.Receipt = &types.MessageReceipt{ExitCode: w.exit}
	if m.Method == 0 {
		m.Receipt.ExitCode = exitcode.Ok
		w.accounts[m.To] = true
	}
	if m.Method == builtin.MethodsPower.CreateMiner && w.exit == exitcode.Ok {
		w.created++
		id, _ := address.NewIDAddress(uint64(1639 + w.created)) // cannot fail
		robust, _ := address.NewActorAddress([]byte{1})         // cannot fail
		var b bytes.Buffer
		if err := (&power.CreateMinerReturn{IDAddress: id, RobustAddress: robust}).MarshalCBOR(&b); err != nil {
			return nil, err
		}
		m.Receipt.Return = b.Bytes()
	}
	return m, nil
}

func (w *world) HasWalletAddress(_ context.Context, wallet string, a address.Address) (bool, error) {
	if w.down {
		return false, errAway
	}
	return wallet == "testminer" && w.keys[a], nil
}

type rig struct {
	t     *testing.T
	w     *world
	dir   string
	req   Request
	lines []string
}

// bubble runs a test on simulated time; address printing is global, so tests of
// this package do not run in parallel.
func bubble(t *testing.T, f func(t *testing.T, r *rig)) {
	dir := t.TempDir()
	address.CurrentNetwork = address.Testnet
	synctest.Test(t, func(t *testing.T) {
		net, err := params.ByName("2k")
		require.NoError(t, err)
		owner, worker := addr(t, 1), addr(t, 2)
		w := &world{
			net: net, accounts: map[address.Address]bool{owner: true}, balance: types.NewFIL(5).Atto(), keys: map[address.Address]bool{owner: true, worker: true},
			msgs: map[string]*messager.Message{}, polls: map[string]int{}, apiMajor: 2, genesis: net.GenesisName,
		}
		cfg := config.Default()
		cfg.Network = config.NetworkOf("2k")
		cfg.Messager.Wallet = "testminer"
		r := &rig{t: t, w: w, dir: filepath.Join(dir, "sealer"), req: Request{Owner: owner, Worker: worker, SectorSize: 2048, NoLocalStorage: true, Config: cfg, Network: net}}
		f(t, r)
	})
}

func (r *rig) run() (address.Address, error) {
	d, err := repo.Open(r.dir)
	require.NoError(r.t, err)
	defer d.Close()
	r.lines = nil
	return Run(r.t.Context(), r.req, Parts{
		Repo: d, Node: r.w, Messager: r.w, Clock: clock.Real(),
		Log:  func(format string, args ...any) { r.lines = append(r.lines, fmt.Sprintf(format, args...)) },
		Wait: func(string, ...any) {},
	})
}

func TestNewMiner(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		m, err := r.run()
		require.NoError(t, err)
		require.Equal(t, "t01640", m.String())
		var id, transfer string
		for k, msg := range r.w.msgs {
			if msg.Method == 0 {
				transfer = k
			} else {
				id = k
			}
		}
		require.Equal(t, []string{
			"Checking if repo exists", "Checking full node version", "Initializing repo", "Initializing libp2p identity",
			"Initializing worker account " + r.req.Worker.String() + ", message uid: " + transfer, "Waiting for confirmation",
			"Pushed CreateMiner message: " + id, "Waiting for confirmation",
			"New miners address is: t01640 (" + mustRobust() + ")", "Created new miner: t01640",
			"Sealer successfully created, you can now start it with 'venus-sealer run'",
		}, r.lines)
		var p power.CreateMinerParams
		require.NoError(t, p.UnmarshalCBOR(bytes.NewReader(r.w.msgs[id].Params)))
		require.Equal(t, r.req.Owner, p.Owner)
		require.Equal(t, abi.RegisteredPoStProof_StackedDrgWindow2KiBV1, p.WindowPoStProofType)
		require.NotEmpty(t, p.Peer)
		st, err := os.Stat(filepath.Join(r.dir, config.FileName))
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), st.Mode().Perm())
		require.NoFileExists(t, filepath.Join(r.dir, store.MetaFile))

		_, err = r.run()
		require.ErrorContains(t, err, "t01640")
		require.Equal(t, api.CodeConflict, api.Explain(err).Code)
		require.Equal(t, 1, r.w.created)
	})
}

func mustRobust() string {
	a, err := address.NewActorAddress([]byte{1})
	if err != nil {
		panic(err)
	}
	return a.String()
}

// TestEveryInterruption fails at every durable step and at lost answers; running
// again ends well and creates one miner.
func TestEveryInterruption(t *testing.T) {
	for k := 1; ; k++ {
		hit := false
		t.Run(fmt.Sprint(k), func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				n := 0
				disarm := fault.Arm("sealer/init", func() error {
					n++
					if n == k {
						hit = true
						return fault.ErrInjected
					}
					return nil
				})
				_, err := r.run()
				disarm()
				if hit {
					require.ErrorIs(t, err, fault.ErrInjected)
					r.w.lose = true
					_, err = r.run()
					if err != nil && api.Explain(err).Code == api.CodeUnavailable {
						_, err = r.run()
					}
					if err != nil { // the last step was stored before it failed
						require.Equal(t, api.CodeConflict, api.Explain(err).Code)
					}
				}
				require.Equal(t, 1, r.w.created)
				d, err := repo.Read(r.dir)
				require.NoError(t, err)
				p, err := Load(d)
				require.NoError(t, err)
				require.True(t, p.Done)
				require.Equal(t, "t01640", p.Miner.String())
			})
		})
		if !hit || t.Failed() {
			require.Greater(t, k, 3)
			return
		}
	}
}

func TestLandsWithAnError(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.w.exit = exitcode.SysErrOutOfGas
		_, err := r.run()
		require.ErrorContains(t, err, "exit code 7")
		require.Contains(t, api.Explain(err).Hint, "run the same command again")
		r.w.exit = exitcode.Ok
		_, err = r.run()
		require.NoError(t, err)
		require.Equal(t, 1, r.w.created)
	})
}

func TestRefusals(t *testing.T) {
	cases := map[string]struct {
		change func(r *rig)
		want   string
	}{
		"no owner":     {func(r *rig) { r.req.Owner = address.Undef }, "--owner"},
		"no wallet":    {func(r *rig) { r.req.Config.Messager.Wallet = "" }, "--wallet-name"},
		"other wallet": {func(r *rig) { r.req.Config.Messager.Wallet = "x" }, "no key"},
		"no funds":     {func(r *rig) { r.w.balance = big.Zero() }, "no funds"},
		"size":         {func(r *rig) { r.req.SectorSize = 512 << 20 }, "sector size"},
		"network":      {func(r *rig) { r.w.genesis = "calibrationnet" }, "calibrationnet"},
		"version":      {func(r *rig) { r.w.apiMajor = 1 }, "version 1.2"},
		"away":         {func(r *rig) { r.w.down = true }, "away"},
		"no miner":     {func(r *rig) { r.req.Actor = idAddr(r.t, 1234) }, "no miner"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				c.change(r)
				_, err := r.run()
				require.ErrorContains(t, err, c.want)
				require.Empty(t, r.w.msgs, "nothing was sent")
				require.NoFileExists(t, filepath.Join(r.dir, progressFile))
			})
		})
	}
}

func TestOtherValuesAreRefused(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.w.exit = exitcode.SysErrOutOfGas
		_, err := r.run()
		require.Error(t, err)
		r.req.Worker = r.req.Owner
		_, err = r.run()
		require.ErrorContains(t, err, "begun with other values")
	})
}

func TestExistingMinerWithPreSealedSectors(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		dir := filepath.Join(filepath.Dir(r.dir), "pre")
		for n := range 2 {
			for _, f := range []string{"sealed", "unsealed"} {
				require.NoError(t, os.MkdirAll(filepath.Join(dir, f), 0o755))
				require.NoError(t, os.WriteFile(filepath.Join(dir, f, fmt.Sprintf("s-t01000-%d", n)), nil, 0o644))
			}
			require.NoError(t, os.MkdirAll(filepath.Join(dir, "cache", fmt.Sprintf("s-t01000-%d", n)), 0o755))
		}
		list := preSealed{ID: idAddr(t, 1000), SectorSize: 2048}
		h, err := multihash.Sum([]byte("r"), multihash.SHA2_256, -1)
		require.NoError(t, err)
		for n := range 2 {
			c := cid.NewCidV1(cid.Raw, h)
			list.Sectors = append(list.Sectors, preSealedSector{CommR: c, CommD: c, SectorID: abi.SectorNumber(n), ProofType: abi.RegisteredSealProof_StackedDrg2KiBV1_1})
		}
		b, err := json.Marshal(map[string]preSealed{"t01000": list})
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, "pre-seal-t01000.json"), b, 0o644))
		r.req = Request{Actor: idAddr(t, 1000), Genesis: true, PreSealed: []string{dir}, Config: r.req.Config, Network: r.req.Network}
		m, err := r.run()
		require.NoError(t, err)
		require.Equal(t, "t01000", m.String())
		require.Empty(t, r.w.msgs)
		d, err := db.Open(t.Context(), db.Config{Path: filepath.Join(r.dir, "sealer.db")})
		require.NoError(t, err)
		defer d.Close()
		recs, err := d.Sectors(t.Context())
		require.NoError(t, err)
		require.Len(t, recs, 2)
		require.Equal(t, sector.Proving, recs[1].State)
		st, err := store.Open(filepath.Join(r.dir, store.FileName))
		require.NoError(t, err)
		require.Len(t, st.Paths(), 2, "the folder of pre-sealed sectors and the sealer's own")
		f, err := st.Find(abi.SectorID{Miner: 1000, Number: 1}, store.Sealed, store.Cache)
		require.NoError(t, err)
		require.True(t, strings.HasPrefix(f.Sealed, dir))
	})
}

func FuzzPreSealedList(f *testing.F) {
	f.Add([]byte(`{"t01000":{"ID":"t01000","SectorSize":2048,"Sectors":[{"CommR":{"/":"bagboea4b5abcatlxechwbp7kjpjguna6r6q7ejrhe6mdp3lf34pmswn27pkkiekz"},"CommD":{"/":"bagboea4b5abcatlxechwbp7kjpjguna6r6q7ejrhe6mdp3lf34pmswn27pkkiekz"},"SectorID":0,"ProofType":5}]}}`))
	f.Add([]byte(`{"ID":"t01000"}`))
	f.Add([]byte(`null`))
	miner, err := address.NewIDAddress(1000)
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := parsePreSealed(b, miner)
		if err != nil {
			return
		}
		require.Equal(t, miner, list.ID)
		for _, s := range list.Sectors {
			require.True(t, s.CommR.Defined())
		}
	})
}

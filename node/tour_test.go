package node

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"reflect"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	gscrypto "github.com/filecoin-project/go-state-types/crypto"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/market"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/miner"
	"github.com/ipfs/go-cid"
	"github.com/stretchr/testify/require"
	cbg "github.com/whyrusleeping/cbor-gen"

	"github.com/filecoin-venus/venus/api"
	apinode "github.com/filecoin-venus/venus/api/node"
	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/types"
)

// tour is a chain on which everything that the API tells of has happened once.
type tour struct {
	*running
	ctx context.Context
	net params.Network
	// saver is an account that a transfer made; its own transfer is signed with secp256k1.
	saver account
	// paid made the saver, saved is the saver's transfer, escrow put money into
	// the market, offered is a pre-commit of sector 7.
	paid, saved, escrow, offered *types.SignedMessage
	preCommit                    apinode.SectorPreCommitInfo
	deposit                      abi.TokenAmount
	genesis, head                *types.TipSet
}

const offeredSector = 7

func newTour(t *testing.T) *tour {
	t.Helper()
	w := theWorld(t)
	x := &tour{running: w.first(t, keysOf(t, w.faucet, w.worker)), ctx: t.Context(), net: w.net, saver: newAccount(t, types.KeySecp256k1, 0)}
	x.genesis = x.running.head(t)
	x.mine(t, 2)
	x.paid = w.faucet.transfer(t, x.saver.addr, 0, 5e18)
	x.escrow = x.call(t, w.faucet, 1, builtin.StorageMarketActorAddr, 1000, builtin.MethodsMarket.AddBalance, &w.faucet.addr)
	x.push(t, x.paid, x.escrow)
	x.mine(t, 2) // the second executes the messages of the first
	x.saved = x.saver.transfer(t, w.faucet.addr, 0, 77)
	x.preCommit = apinode.SectorPreCommitInfo{
		SealProof: abi.RegisteredSealProof_StackedDrg2KiBV1_1, SectorNumber: offeredSector, SealedCID: x.sectors(t)[0].SealedCID,
		SealRandEpoch: 1, DealIDs: []abi.DealID{}, Expiration: 200 * builtin.EpochsInDay,
	}
	var err error
	x.deposit, err = x.v1.StateMinerPreCommitDepositForPower(x.ctx, w.miner, x.preCommit, types.EmptyTSK)
	require.NoError(t, err)
	p := x.preCommit
	body := &miner.PreCommitSectorParams{
		SealProof: p.SealProof, SectorNumber: p.SectorNumber, SealedCID: p.SealedCID, SealRandEpoch: p.SealRandEpoch, Expiration: p.Expiration,
	}
	x.offered = x.call(t, w.worker, 0, w.miner, 0, builtin.MethodsMiner.PreCommitSector, body)
	x.push(t, x.saved, x.offered)
	x.head = x.mine(t, 3)
	return x
}

func (x *tour) sectors(t *testing.T) []*apinode.SectorOnChainInfo {
	t.Helper()
	out, err := x.v1.StateMinerSectors(x.ctx, x.w.miner, nil, types.EmptyTSK)
	require.NoError(t, err)
	require.Len(t, out, 2)
	return out
}

// call is a signed message that runs a method, with as much gas as it needs.
func (x *tour) call(t *testing.T, from account, nonce uint64, to address.Address, atto int64, method abi.MethodNum, body cbg.CBORMarshaler) *types.SignedMessage {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, body.MarshalCBOR(&b))
	m := from.transfer(t, to, nonce, atto).Message
	m.Method, m.Params, m.GasLimit = method, b.Bytes(), 100_000_000
	return from.signMessage(t, m)
}

func (x *tour) push(t *testing.T, msgs ...*types.SignedMessage) {
	t.Helper()
	for _, m := range msgs {
		c, err := x.v1.MpoolPush(x.ctx, m)
		require.NoError(t, err)
		require.Equal(t, m.Cid(), c)
	}
}

// raw sends a call as a client of another make might, and returns the answer.
func (x *tour) raw(t *testing.T, method string, args ...string) string {
	t.Helper()
	body := `{"jsonrpc":"2.0","id":1,"method":"Filecoin.` + method + `","params":[` + strings.Join(args, ",") + `]}`
	res, err := (&http.Client{Timeout: 10 * time.Second}).Post(x.http+"/rpc/v1", "application/json", strings.NewReader(body))
	require.NoError(t, err, body)
	out, err := io.ReadAll(res.Body)
	require.NoError(t, errors.Join(err, res.Body.Close()))
	return string(out)
}

// including is the tipset that carries a message.
func (x *tour) including(t *testing.T, m *types.SignedMessage) *types.TipSet {
	t.Helper()
	found, err := x.v1.StateSearchMsg(x.ctx, types.EmptyTSK, m.Cid(), -1, false)
	require.NoError(t, err)
	require.NotNil(t, found)
	ts, err := x.v1.ChainGetTipSet(x.ctx, found.TipSet)
	require.NoError(t, err)
	ts, err = x.v1.ChainGetTipSet(x.ctx, ts.Parents())
	require.NoError(t, err)
	return ts
}

func code(err error) api.ErrorCode {
	if err == nil {
		return ""
	}
	return api.Explain(err).Code
}

// TestEveryMethod asks each method of the contract over HTTP, or WebSocket where
// it streams, and looks at the answer. Streams and what changes the node beyond
// this test have tests of their own, which the table names.
func TestEveryMethod(t *testing.T) {
	x := newTour(t)
	asked := map[string]func(*testing.T, *tour){}
	for _, topic := range []map[string]func(*testing.T, *tour){
		commonTable, chainTable, objectTable, stateTable, minerTable, marketTable, mpoolTable, checkTable, msigTable, walletTable, syncTable, netTable,
	} {
		for name, ask := range topic {
			require.Nil(t, asked[name], "%s is asked twice", name)
			asked[name] = ask
		}
	}
	in := reflect.TypeOf(apinode.FullNodeProxy{}.Internal)
	var names []string
	for i := range in.NumField() {
		names = append(names, in.Field(i).Name)
		require.NotNil(t, asked[in.Field(i).Name], "nobody tests %s", in.Field(i).Name)
	}
	require.Equal(t, len(names), len(asked), "a test of a method that does not exist")
	sort.Strings(names)
	for _, name := range names {
		t.Run(name, func(t *testing.T) { asked[name](t, x) })
	}
	for _, name := range names { // some are called by the test of another
		_, called := x.w.asked.Load(name)
		require.True(t, called, "%s was not called", name)
	}
	require.Equal(t, x.head.Key(), x.running.head(t).Key(), "asking changes nothing")
}

var commonTable = map[string]func(*testing.T, *tour){
	"Version": func(t *testing.T, x *tour) {
		v, err := x.v1.Version(x.ctx)
		require.NoError(t, err)
		require.Equal(t, api.Version{Version: "test", APIVersion: apinode.VersionV1, BlockDelay: 1}, v)
	},
	"Session": func(t *testing.T, x *tour) {
		a, err := x.v1.Session(x.ctx)
		require.NoError(t, err)
		b, err := x.v1.Session(x.ctx)
		require.NoError(t, err)
		require.Equal(t, a, b)
		require.Len(t, a, 36)
	},
	"Discover": func(t *testing.T, x *tour) {
		doc, err := x.v1.Discover(x.ctx)
		require.NoError(t, err)
		require.Len(t, doc["methods"], reflect.TypeOf(apinode.FullNodeProxy{}.Internal).NumField())
	},
	"Closing":  func(t *testing.T, x *tour) { TestShutdownThroughTheAPI(t) },
	"Shutdown": func(t *testing.T, x *tour) {}, // with Closing
	"LogList": func(t *testing.T, x *tour) {
		all, err := x.v1.LogList(x.ctx)
		require.NoError(t, err)
		require.Subset(t, all, []string{"node", "chainsync", "mpool"})
	},
	"LogSetLevel": func(t *testing.T, x *tour) {
		require.NoError(t, x.v1.LogSetLevel(x.ctx, "node", "error"))
		require.Equal(t, api.CodeInvalid, code(x.v1.LogSetLevel(x.ctx, "node", "loud")))
	},
	"AuthNew": func(t *testing.T, x *tour) {
		token, err := x.v1.AuthNew(x.ctx, []api.Permission{api.PermRead, api.PermSign})
		require.NoError(t, err)
		perms, err := x.v1.AuthVerify(x.ctx, string(token))
		require.NoError(t, err)
		require.Equal(t, []api.Permission{api.PermRead, api.PermSign}, perms)
		_, err = x.v1.AuthNew(x.ctx, []api.Permission{"root"})
		require.Equal(t, api.CodeInvalid, code(err))
	},
	"AuthVerify": func(t *testing.T, x *tour) {
		_, err := x.v1.AuthVerify(x.ctx, "nonsense")
		require.Error(t, err)
	},
	"WalletBalance": func(t *testing.T, x *tour) {
		// The saver got 5 FIL and gave 77 atto and a fee.
		b, err := x.v1.WalletBalance(x.ctx, x.saver.addr)
		require.NoError(t, err)
		require.True(t, b.LessThan(big.NewInt(5e18-77)) && b.GreaterThan(big.NewInt(49e17)), b)
		b, err = x.v1.WalletBalance(x.ctx, newAccount(t, types.KeyBLS, 9).addr)
		require.NoError(t, err)
		require.Zero(t, b.Int.Sign())
	},
	"WalletVerify": func(t *testing.T, x *tour) {
		data := []byte("signed")
		sig := &gscrypto.Signature{Type: gscrypto.SigTypeSecp256k1, Data: x.saver.sign(t, data)}
		id, err := x.v1.StateLookupID(x.ctx, x.saver.addr, types.EmptyTSK)
		require.NoError(t, err)
		for _, who := range []address.Address{x.saver.addr, id} {
			ok, err := x.v1.WalletVerify(x.ctx, who, data, sig)
			require.NoError(t, err)
			require.True(t, ok)
		}
		ok, err := x.v1.WalletVerify(x.ctx, x.saver.addr, []byte("other"), sig)
		require.NoError(t, err)
		require.False(t, ok)
		ok, err = x.v1.WalletVerify(x.ctx, x.saver.addr, data, nil)
		require.NoError(t, err)
		require.False(t, ok)
	},
	"WalletValidateAddress": func(t *testing.T, x *tour) {
		a, err := x.v1.WalletValidateAddress(x.ctx, x.saver.addr.String())
		require.NoError(t, err)
		require.Equal(t, x.saver.addr, a)
		_, err = x.v1.WalletValidateAddress(x.ctx, x.saver.addr.String()+"x")
		require.Equal(t, api.CodeInvalid, code(err))
	},
}

func nowhere(t *testing.T) cid.Cid {
	t.Helper()
	c, err := abi.CidBuilder.Sum([]byte("nowhere"))
	require.NoError(t, err)
	return c
}

// marketTable also holds the multisigs.
var marketTable = map[string]func(*testing.T, *tour){
	"StateMarketBalance": func(t *testing.T, x *tour) {
		b, err := x.v1.StateMarketBalance(x.ctx, x.w.faucet.addr, types.EmptyTSK)
		require.NoError(t, err)
		require.Equal(t, big.NewInt(1000), b.Escrow)
		require.Zero(t, b.Locked.Int.Sign())
		b, err = x.v1.StateMarketBalance(x.ctx, x.w.faucet.addr, x.genesis.Key())
		require.NoError(t, err)
		require.Zero(t, b.Escrow.Int.Sign())
	},
	"StateMarketParticipants": func(t *testing.T, x *tour) {
		all, err := x.v1.StateMarketParticipants(x.ctx, types.EmptyTSK)
		require.NoError(t, err)
		id, err := x.v1.StateLookupID(x.ctx, x.w.faucet.addr, types.EmptyTSK)
		require.NoError(t, err)
		require.Equal(t, big.NewInt(1000), all[id.String()].Escrow)
	},
	"StateMarketDeals": func(t *testing.T, x *tour) {
		deals, err := x.v1.StateMarketDeals(x.ctx, types.EmptyTSK)
		require.NoError(t, err)
		require.Empty(t, deals)
		wire := wireDeal(&market.DealProposal{Label: "l", PieceSize: 2048, StartEpoch: 5}, &market.DealState{SectorStartEpoch: 6, LastUpdatedEpoch: -1, SlashEpoch: -1})
		require.Equal(t, "l", wire.Proposal.Label)
		require.Equal(t, apinode.DealState{SectorStartEpoch: 6, LastUpdatedEpoch: -1, SlashEpoch: -1}, wire.State)
	},
	"StateMarketStorageDeal": func(t *testing.T, x *tour) {
		_, err := x.v1.StateMarketStorageDeal(x.ctx, 3, types.EmptyTSK)
		require.Equal(t, api.CodeNotFound, code(err))
	},
	"StateVerifiedClientStatus": func(t *testing.T, x *tour) {
		capacity, err := x.v1.StateVerifiedClientStatus(x.ctx, x.saver.addr, types.EmptyTSK)
		require.NoError(t, err)
		require.Nil(t, capacity)
		_, err = x.v1.StateVerifiedClientStatus(x.ctx, newAccount(t, types.KeyBLS, 9).addr, types.EmptyTSK)
		require.Equal(t, api.CodeNotFound, code(err))
	},
	"StateVerifierStatus": func(t *testing.T, x *tour) {
		capacity, err := x.v1.StateVerifierStatus(x.ctx, x.saver.addr, types.EmptyTSK)
		require.NoError(t, err)
		require.Nil(t, capacity)
	},
	"StateVerifiedRegistryRootKey": func(t *testing.T, x *tour) {
		root, err := x.v1.StateVerifiedRegistryRootKey(x.ctx, types.EmptyTSK)
		require.NoError(t, err)
		require.Equal(t, "t080", root.String())
	},
	"MsigGetAvailableBalance": func(t *testing.T, x *tour) {
		free, err := x.v1.MsigGetAvailableBalance(x.ctx, reserve(t), types.EmptyTSK)
		require.NoError(t, err)
		act, err := x.v1.StateGetActor(x.ctx, reserve(t), types.EmptyTSK)
		require.NoError(t, err)
		require.Equal(t, act.Balance, free, "nothing of the reserve is locked")
		_, err = x.v1.MsigGetAvailableBalance(x.ctx, x.saver.addr, types.EmptyTSK)
		require.Error(t, err, "an account is no multisig")
	},
	"MsigGetVestingSchedule": func(t *testing.T, x *tour) {
		v, err := x.v1.MsigGetVestingSchedule(x.ctx, reserve(t), types.EmptyTSK)
		require.NoError(t, err)
		require.Zero(t, v.UnlockDuration)
	},
	"MsigGetVested": func(t *testing.T, x *tour) {
		v, err := x.v1.MsigGetVested(x.ctx, reserve(t), x.genesis.Key(), types.EmptyTSK)
		require.NoError(t, err)
		require.Zero(t, v.Int.Sign())
		_, err = x.v1.MsigGetVested(x.ctx, reserve(t), types.EmptyTSK, x.genesis.Key())
		require.Equal(t, api.CodeInvalid, code(err))
	},
	"MsigGetPending": func(t *testing.T, x *tour) {
		txs, err := x.v1.MsigGetPending(x.ctx, reserve(t), types.EmptyTSK)
		require.NoError(t, err)
		require.Empty(t, txs)
		unknown, err := address.NewIDAddress(987654)
		require.NoError(t, err)
		_, err = x.v1.MsigGetPending(x.ctx, unknown, types.EmptyTSK)
		require.Equal(t, api.CodeNotFound, code(err))
	},
}

// reserve is a multisig of every genesis.
func reserve(t *testing.T) address.Address {
	t.Helper()
	a, err := address.NewIDAddress(90)
	require.NoError(t, err)
	return a
}

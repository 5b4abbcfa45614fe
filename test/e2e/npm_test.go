package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/stretchr/testify/require"

	walletapi "github.com/filecoin-venus/venus/api/wallet"
	"github.com/filecoin-venus/venus/cluster"
	"github.com/filecoin-venus/venus/internal/npm"
	"github.com/filecoin-venus/venus/rpc"
	"github.com/filecoin-venus/venus/types"
)

func TestNpmClients(t *testing.T) {
	t.Parallel()
	shared.chain.launch(t) // it comes up while npm works
	clients := npm.Install(t, filepath.Join(shared.root, "test", "e2e", "npm"))
	c, st := living(t)
	t.Run("lotus", func(t *testing.T) { lotusClient(t, clients, c, st) })
	t.Run("journeys", func(t *testing.T) { journeys(t, clients, c, st) })
	t.Run("drand", func(t *testing.T) { drandClient(t, clients, st) })
	t.Run("zondax", func(t *testing.T) { signingTools(t, clients, c, st) })
}

// TestNpmSchema: the names that the surface test of the node goes by are those of
// the Lotus client's schema.
func TestNpmSchema(t *testing.T) {
	t.Parallel()
	clients := npm.Install(t, filepath.Join(shared.root, "test", "e2e", "npm"))
	var got []string
	clients.Script(t, nil, nil, &got, "schema.mjs")
	want, err := os.ReadFile(filepath.Join(shared.root, "api", "node", "testdata", "lotus-schema-3.0.2.txt"))
	require.NoError(t, err)
	require.Equal(t, strings.Fields(string(want)), got)
}

// lotusClient reads head, notifications and a miner with the Lotus JS client.
func lotusClient(t *testing.T, clients npm.Clients, c *testCluster, st *cluster.State) {
	for _, version := range []string{"v0", "v1"} {
		t.Run(version, func(t *testing.T) {
			var got struct {
				Version struct{ Version string }
				Head    struct {
					Cids   []map[string]string
					Blocks []struct{ Miner string }
					Height int64
				}
				Notes []struct {
					Type   string
					Height int64
				}
				Info struct {
					Owner, Worker string
					SectorSize    uint64
				}
			}
			url := fmt.Sprintf("ws://127.0.0.1:%d/rpc/%s", st.Ports.Node, version)
			clients.Script(t, []string{"VENUS_TOKEN=" + c.secret(t, "cluster.token")}, nil, &got, "lotus.mjs", url, st.GenesisMiner)
			require.NotEmpty(t, got.Version.Version)
			require.NotEmpty(t, got.Head.Cids)
			require.Len(t, got.Head.Blocks, len(got.Head.Cids))
			require.Equal(t, "t0", got.Head.Blocks[0].Miner[:2])
			require.Equal(t, "current", got.Notes[0].Type, "the first notification tells where the chain stands")
			require.GreaterOrEqual(t, got.Notes[0].Height, got.Head.Height)
			applied, last := 0, got.Notes[0].Height
			for _, n := range got.Notes[1:] {
				if n.Type == "apply" {
					require.True(t, n.Height >= last, "heads grow: %v", got.Notes)
					applied++
				}
				last = n.Height
			}
			require.GreaterOrEqual(t, applied, 5)
			require.Equal(t, uint64(2048), got.Info.SectorSize)
			require.Equal(t, "t0", got.Info.Owner[:2])
		})
	}
}

// drandClient reads and verifies the beacon with drand's own client.
func drandClient(t *testing.T, clients npm.Clients, st *cluster.State) {
	type beacon struct {
		Round      uint64
		Randomness string
		Signature  string
	}
	var got struct {
		Info          struct{ Hash, Public_key, SchemeID string }
		Third, Latest beacon
	}
	clients.Script(t, nil, nil, &got, "drand.mjs", fmt.Sprintf("http://127.0.0.1:%d", st.Ports.Beacon))
	require.NotEmpty(t, got.Info.Hash)
	require.Equal(t, uint64(3), got.Third.Round)
	require.NotEmpty(t, got.Third.Signature)
	require.Greater(t, got.Latest.Round, uint64(3))
	require.NotEqual(t, got.Third.Randomness, got.Latest.Randomness)
}

// keyPair is a key of the signing tools.
type keyPair struct{ Address, Key string }

// toolMessage is a message as the signing tools read it.
type toolMessage struct {
	To, From              string
	Nonce                 uint64
	Value                 string
	GasLimit              int64
	GasFeeCap, GasPremium string
	Method                uint64
	Params                string
	Version               uint64 `json:",omitempty"`
}

// signingTools sends messages that were signed there, and has signatures of
// our wallet verified there.
func signingTools(t *testing.T, clients npm.Clients, c *testCluster, st *cluster.State) {
	var keys map[string]keyPair
	clients.Script(t, nil, nil, &keys, "zondax.mjs", "keys")
	require.Len(t, keys, 2)
	for kind, key := range keys {
		t.Run("signed there, "+kind, func(t *testing.T) {
			c.fund(t, key.Address, 10)
			msg := toolMessage{To: st.Owner, From: key.Address, Value: "1000000000000000000", GasLimit: 3_000_000, GasFeeCap: "1000000", GasPremium: "100000"}
			if msg.To == "" { // the journey has not made the owner yet
				msg.To = st.Faucet
			}
			var signed struct{ Signed json.RawMessage }
			clients.Script(t, nil, map[string]any{"message": msg, "key": key.Key}, &signed, "zondax.mjs", "sign")
			token := c.secret(t, "cluster.token")
			pushed := callNode(t, st, token, "Filecoin.MpoolPush", signed.Signed)
			var look struct {
				Message json.RawMessage
				Receipt struct{ ExitCode int64 }
				Height  int64
			}
			require.NoError(t, json.Unmarshal(callNode(t, st, token, "Filecoin.StateWaitMsg", pushed, json.RawMessage("2")), &look))
			require.Zero(t, look.Receipt.ExitCode)
			require.JSONEq(t, string(pushed), string(look.Message))
			require.Positive(t, look.Height)
		})
	}
	w := walletOf(t, c, st)
	for _, kind := range []types.KeyType{types.KeyBLS, types.KeySecp256k1} {
		t.Run("signed here, "+string(kind), func(t *testing.T) { verifiedThere(t, clients, w, kind) })
	}
}

// landed is what StateWaitMsg and StateSearchMsg answer.
type landed struct {
	Message map[string]string
	Receipt struct{ ExitCode, GasUsed int64 }
	Height  int64
}

// gasOf is what a client made of our estimate.
type gasOf struct {
	Limit           int64
	FeeCap, Premium string
}

// paid is what a payment leaves to its sender at least and at most: fees are estimated, so they are not known ahead.
func paid(t *testing.T, before, after, sent string) {
	t.Helper()
	had, err := big.FromString(before)
	require.NoError(t, err)
	has, err := big.FromString(after)
	require.NoError(t, err)
	value, err := big.FromString(sent)
	require.NoError(t, err)
	fee := big.Sub(big.Sub(had, value), has)
	require.Positive(t, fee.Sign(), "a fee was paid")
	require.True(t, fee.LessThan(big.NewInt(1e17)), "fee of %s attoFIL", fee)
}

// journeys: what wallets and programs do with the field's libraries, end to end: estimate, sign, push, wait, read state,
// subscribe, connect again.
func journeys(t *testing.T, clients npm.Clients, c *testCluster, st *cluster.State) {
	env := []string{"VENUS_TOKEN=" + c.secret(t, "cluster.token")}
	url := fmt.Sprintf("127.0.0.1:%d/rpc/", st.Ports.Node)
	var accounts map[string]struct{ Address, Key, Type string }
	clients.Script(t, env, nil, &accounts, "iso.mjs", "keys", "http://"+url+"v0")
	require.Len(t, accounts, 2)
	for kind, account := range accounts {
		t.Run("iso, "+kind, func(t *testing.T) {
			c.fund(t, account.Address, 2)
			var got struct {
				Version          struct{ Version string }
				Network, ID, Key string
				Gas              gasOf
				Before, After    string
				Cid              map[string]string
				Look             landed
				Nonce            uint64
				Height           int64
			}
			input := map[string]string{"key": account.Key, "type": account.Type, "to": st.Faucet}
			clients.Script(t, env, input, &got, "iso.mjs", "send", "http://"+url+"v1")
			require.NotEmpty(t, got.Version.Version)
			require.NotEmpty(t, got.Network)
			require.Positive(t, got.Gas.Limit)
			require.Equal(t, got.Cid, got.Look.Message)
			require.Zero(t, got.Look.Receipt.ExitCode)
			require.LessOrEqual(t, got.Look.Receipt.GasUsed, got.Gas.Limit)
			require.Equal(t, "t0", got.ID[:2])
			require.Equal(t, account.Address, got.Key)
			require.EqualValues(t, 1, got.Nonce)
			require.GreaterOrEqual(t, got.Height, got.Look.Height)
			paid(t, got.Before, got.After, "250000000000000000")
		})
	}
	var keys map[string]keyPair
	clients.Script(t, nil, nil, &keys, "zondax.mjs", "keys")
	t.Run("glif", func(t *testing.T) {
		key := keys["secp256k1"]
		c.fund(t, key.Address, 2)
		var got struct {
			Before, After, Refusal string
			Cid                    map[string]string
			Look                   landed
			Gas                    gasOf
			Actor                  struct{ Nonce uint64 }
			Same                   bool
		}
		clients.Script(t, env, map[string]string{"from": key.Address, "key": key.Key, "to": st.Faucet}, &got, "glif.mjs", "http://"+url+"v0")
		require.True(t, got.Same)
		require.Zero(t, got.Look.Receipt.ExitCode)
		require.Equal(t, got.Cid, got.Look.Message)
		require.Positive(t, got.Gas.Limit)
		require.Contains(t, got.Refusal, "nonce", "what has landed is not taken again")
		require.EqualValues(t, 1, got.Actor.Nonce)
		paid(t, got.Before, got.After, "500000000000000000")
	})
	clients.Script(t, nil, nil, &keys, "zondax.mjs", "keys")
	t.Run("lotus", func(t *testing.T) { lotusSends(t, clients, c, env, "ws://"+url+"v0", keys["secp256k1"], st.Faucet) })
}

// lotusSends: what the second connection reads is what the first one did.
func lotusSends(t *testing.T, clients npm.Clients, c *testCluster, env []string, url string, key keyPair, to string) {
	c.fund(t, key.Address, 2)
	type note struct {
		Type   string
		Height int64
	}
	var got struct {
		Estimated     toolMessage
		Cid           map[string]string
		Look, Again   landed
		Before, After []note
		Actor         struct {
			Nonce   uint64
			Balance string
		}
		State struct{ State struct{ Address string } }
	}
	clients.Script(t, env, map[string]string{"from": key.Address, "key": key.Key, "to": to}, &got, "lotus-send.mjs", url)
	require.Positive(t, got.Estimated.GasLimit)
	require.Equal(t, got.Cid, got.Look.Message)
	require.Equal(t, got.Look, got.Again)
	require.Zero(t, got.Look.Receipt.ExitCode)
	require.EqualValues(t, 1, got.Actor.Nonce)
	require.Equal(t, key.Address, got.State.State.Address)
	for _, notes := range [][]note{got.Before, got.After} {
		require.Equal(t, "current", notes[0].Type)
	}
	require.Greater(t, got.After[0].Height, got.Before[0].Height, "the chain went on between the connections")
}

// walletOf connects to the cluster's wallet.
func walletOf(t *testing.T, c *testCluster, st *cluster.State) *walletapi.WalletProxy {
	t.Helper()
	w := new(walletapi.WalletProxy)
	stop, err := rpc.Dial(st.Ports.WalletURL(), c.secret(t, "wallet.token"), walletapi.Namespace, w, rpc.DialOptions{Service: "venus-wallet"})
	require.NoError(t, err)
	t.Cleanup(stop)
	return w
}

func verifiedThere(t *testing.T, clients npm.Clients, w *walletapi.WalletProxy, kind types.KeyType) {
	from, err := w.WalletNew(t.Context(), kind)
	require.NoError(t, err)
	to, err := address.NewIDAddress(1000)
	require.NoError(t, err)
	msg := &types.Message{
		To: to, From: from, Nonce: 7, Value: big.NewInt(12345), GasLimit: 1_000_000, GasFeeCap: big.NewInt(300), GasPremium: big.NewInt(200),
	}
	raw, err := msg.Serialize()
	require.NoError(t, err)
	sig, err := w.WalletSign(t.Context(), from, msg.Cid().Bytes(), walletapi.MsgMeta{Type: walletapi.TypeMessage, Extra: raw})
	require.NoError(t, err)
	ask := func(nonce uint64) bool {
		m := toolMessage{
			To: to.String(), From: from.String(), Nonce: nonce, Value: "12345", GasLimit: msg.GasLimit, GasFeeCap: "300", GasPremium: "200",
		}
		var got struct{ Valid bool }
		clients.Script(t, nil, map[string]any{"message": m, "signature": sig.Data}, &got, "zondax.mjs", "verify")
		return got.Valid
	}
	require.True(t, ask(7))
	require.False(t, ask(8), "another message is not covered")
}

// callNode calls the node as any HTTP client would, with raw JSON.
func callNode(t *testing.T, st *cluster.State, token, method string, args ...json.RawMessage) json.RawMessage {
	t.Helper()
	body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": method, "params": args})
	require.NoError(t, err)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, fmt.Sprintf("http://127.0.0.1:%d/rpc/v0", st.Ports.Node), bytes.NewReader(body))
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := (&http.Client{Timeout: 2 * time.Minute}).Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	var answer struct {
		Result json.RawMessage
		Error  *struct{ Message string }
	}
	require.NoError(t, json.Unmarshal(raw, &answer), "%s answers %s: %s", method, resp.Status, raw)
	require.Nil(t, answer.Error, "%s: %s", method, raw)
	return answer.Result
}

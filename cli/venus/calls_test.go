package venus

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-bitfield"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/go-state-types/crypto"
	"github.com/filecoin-project/go-state-types/dline"
	"github.com/ipfs/go-cid"
	"github.com/stretchr/testify/require"
	"github.com/urfave/cli/v3"

	apinode "github.com/filecoin-venus/venus/api/node"
	"github.com/filecoin-venus/venus/cli/connect"
	"github.com/filecoin-venus/venus/cli/render"
	"github.com/filecoin-venus/venus/types"
)

// run has one of our commands ask a client, with its flags and arguments.
func run(t *testing.T, c *client, list []*cli.Command, name string, act connect.Action[*client], args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	for _, cmd := range list {
		if cmd.Name != name {
			continue
		}
		cmd.Action = func(ctx context.Context, cmd *cli.Command) error { return act(ctx, cmd, c, render.New(&out, &out)) }
		cmd.Writer, cmd.ErrWriter, cmd.ExitErrHandler = &out, &out, func(context.Context, *cli.Command, error) {}
		err := cmd.Run(t.Context(), append([]string{name}, args...))
		return out.String(), err
	}
	t.Fatalf("no command %s", name)
	return "", nil
}

func idAddress(t *testing.T, id uint64) address.Address {
	t.Helper()
	a, err := address.NewIDAddress(id)
	require.NoError(t, err)
	return a
}

func TestStateCheckFailsOnWhatItFinds(t *testing.T) {
	c := new(client)
	broken := []string{}
	c.Internal.StateCheck = func(context.Context, types.TipSetKey) (*apinode.StateReport, error) {
		return &apinode.StateReport{Root: types.Sum([]byte("root")), Epoch: 7, Broken: broken}, nil
	}
	out, err := run(t, c, callCommands(), "check", stateCheck)
	require.NoError(t, err)
	require.Contains(t, out, "after epoch 7: every invariant holds")
	broken = []string{"t04: the claims do not sum to the power"}
	out, err = run(t, c, callCommands(), "check", stateCheck)
	require.ErrorContains(t, err, "1 invariants are broken")
	require.Contains(t, out, "broken: t04")
}

func TestStateCall(t *testing.T) {
	c := new(client)
	code := types.Sum([]byte("code"))
	var asked *types.Message
	c.Internal.StateGetActor = func(context.Context, address.Address, types.TipSetKey) (*types.Actor, error) {
		return &types.Actor{Code: code}, nil
	}
	c.Internal.StateEncodeParams = func(_ context.Context, got cid.Cid, m abi.MethodNum, params json.RawMessage) ([]byte, error) {
		require.Equal(t, code, got)
		return append([]byte{byte(m)}, params...), nil
	}
	c.Internal.StateCall = func(_ context.Context, m *types.Message, _ types.TipSetKey) (*apinode.InvocResult, error) {
		asked = m
		return &apinode.InvocResult{MsgRct: &types.MessageReceipt{ExitCode: 16, GasUsed: 99, Return: []byte{0xca}}, Error: "no such thing"}, nil
	}
	out, err := run(t, c, callCommands(), "call", stateCall, "--from", "t0101", "--value", "1.5", "t0100", "3", `{"A":1}`)
	require.NoError(t, err)
	for _, want := range []string{"16", "99", "ca", "no such thing"} {
		require.Contains(t, out, want)
	}
	require.Equal(t, idAddress(t, 101), asked.From)
	require.Equal(t, idAddress(t, 100), asked.To)
	require.EqualValues(t, 3, asked.Method)
	require.Equal(t, big.NewInt(1_500_000_000_000_000_000), asked.Value)
	require.Equal(t, "\x03{\"A\":1}", string(asked.Params))

	_, err = run(t, c, callCommands(), "call", stateCall, "t0100")
	require.NoError(t, err)
	require.Equal(t, idAddress(t, 0), asked.From)
	for _, bad := range [][]string{{"nobody"}, {"t0100", "x"}, {"t0100", "2", "{"}, {"--value", "much", "t0100"}, {"--from", "x", "t0100"}} {
		_, err := run(t, c, callCommands(), "call", stateCall, bad...)
		require.Error(t, err, bad)
	}
}

// The estimate of a network's power may be anything; a page about power says what it is and when it strayed.
func TestPowerTellsTheEstimate(t *testing.T) {
	c := new(client)
	c.Internal.StateMinerPower = func(context.Context, address.Address, types.TipSetKey) (*apinode.MinerPower, error) {
		total := apinode.Claim{RawBytePower: big.NewInt(8 << 10), QualityAdjPower: big.NewInt(8 << 10)}
		return &apinode.MinerPower{MinerPower: total, TotalPower: total}, nil
	}
	var state any
	c.Internal.StateReadState = func(_ context.Context, a address.Address, _ types.TipSetKey) (*apinode.ActorState, error) {
		require.Equal(t, idAddress(t, 4), a)
		return &apinode.ActorState{State: state}, nil
	}
	for _, x := range []struct {
		bytes   int64
		text    string
		strayed bool
	}{{8 << 10, "8 KiB", false}, {5 << 10, "5 KiB", false}, {0, "0 B", true}, {3 << 10, "3 KiB", true}, {13 << 10, "13 KiB", true}, {-5 << 40, "-5 TiB", true}, {732 << 40, "732 TiB", true}} {
		state = map[string]any{"ThisEpochQAPowerSmoothed": map[string]string{"PositionEstimate": big.Lsh(big.NewInt(x.bytes), 128).String()}}
		out, err := run(t, c, stateCommands().Commands, "power", power)
		require.NoError(t, err)
		require.Contains(t, out, "quality-adjusted 8 KiB\nthe actors' estimate of it: "+x.text+"\n")
		require.Equal(t, x.strayed, strings.Contains(out, "one attoFIL"), x.text)
	}
	for _, odd := range []any{nil, "text", map[string]any{}, map[string]any{"ThisEpochQAPowerSmoothed": map[string]string{"PositionEstimate": "much"}}} {
		state = odd
		_, err := run(t, c, stateCommands().Commands, "power", power)
		require.ErrorContains(t, err, "power actor's state", "%v", odd)
	}
}

func TestDecodeParamsReadsHexAndBase64(t *testing.T) {
	c := new(client)
	c.Internal.StateDecodeParams = func(_ context.Context, _ address.Address, m abi.MethodNum, raw []byte, _ types.TipSetKey) (any, error) {
		return map[string]any{"method": m, "raw": raw}, nil
	}
	for _, text := range []string{"81f6", "0x81f6", "gfY="} {
		out, err := run(t, c, callCommands(), "decode-params", decodeParams, "t0100", "5", text)
		require.NoError(t, err)
		require.Contains(t, out, `"gfY="`, text)
	}
	_, err := run(t, c, callCommands(), "decode-params", decodeParams, "t0100", "5", "!!")
	require.ErrorContains(t, err, "neither hex nor base64")
}

func TestDeadlinesCountSectors(t *testing.T) {
	c := new(client)
	set := func(n ...uint64) bitfield.BitField { return bitfield.NewFromSet(n) }
	c.Internal.StateMinerDeadlines = func(context.Context, address.Address, types.TipSetKey) ([]apinode.Deadline, error) {
		return []apinode.Deadline{{PostSubmissions: set()}, {PostSubmissions: set(1)}}, nil
	}
	c.Internal.StateMinerProvingDeadline = func(context.Context, address.Address, types.TipSetKey) (*dline.Info, error) {
		return &dline.Info{Index: 1}, nil
	}
	c.Internal.StateMinerPartitions = func(_ context.Context, _ address.Address, i uint64, _ types.TipSetKey) ([]apinode.Partition, error) {
		if i == 0 {
			return nil, nil
		}
		return []apinode.Partition{
			{LiveSectors: set(1, 2, 3), ActiveSectors: set(1, 2), FaultySectors: set(3), RecoveringSectors: set()},
			{LiveSectors: set(9), ActiveSectors: set(), FaultySectors: set(9), RecoveringSectors: set(9)},
		}, nil
	}
	out, err := run(t, c, provingCommands(), "deadlines", deadlines, "t01000")
	require.NoError(t, err)
	require.Regexp(t, `0 +0 +0 +0 +0 +0 +0`, out)
	require.Regexp(t, `1 +open +2 +1 +4 +2 +2 +1`, out)
}

func TestRunsOf(t *testing.T) {
	require.Equal(t, "none", runsOf(bitfield.New()))
	require.Equal(t, "0-2,7,9-10", runsOf(bitfield.NewFromSet([]uint64{0, 1, 2, 7, 9, 10})))
}

func pending(t *testing.T, from, to, nonce uint64, feeCap int64) *types.SignedMessage {
	return &types.SignedMessage{
		Message: types.Message{
			From: idAddress(t, from), To: idAddress(t, to), Nonce: nonce, Value: big.NewInt(5), GasLimit: 10, GasFeeCap: big.NewInt(feeCap), GasPremium: big.Zero(),
		},
		Signature: crypto.Signature{Type: crypto.SigTypeBLS, Data: make([]byte, 96)},
	}
}

func TestStatOf(t *testing.T) {
	from := idAddress(t, 100)
	got := statOf(from, 4, big.NewInt(100), []*types.SignedMessage{
		pending(t, 100, 1, 7, 50), pending(t, 100, 1, 4, 100), pending(t, 100, 1, 3, 100), pending(t, 100, 1, 5, 99),
	})
	require.Equal(t, senderStat{Sender: from, Nonce: 4, Next: 2, Gap: 1, Past: 1, Underpriced: 2, GasLimit: 40, Most: big.NewInt(4*5 + 10*(50+100+100+99))}, got)
}

func TestMpoolFind(t *testing.T) {
	c := new(client)
	list := []*types.SignedMessage{pending(t, 100, 1, 0, 1), pending(t, 100, 2, 1, 1), pending(t, 101, 2, 0, 1)}
	c.Internal.MpoolPending = func(context.Context, types.TipSetKey) ([]*types.SignedMessage, error) { return list, nil }
	out, err := run(t, c, mpoolCommands().Commands, "find", mpoolFind, "--from", "t0100", "--to", "t02")
	require.NoError(t, err)
	require.Contains(t, out, list[1].Cid().String())
	require.NotContains(t, out, list[0].Cid().String())
	require.NotContains(t, out, list[2].Cid().String())
	_, err = run(t, c, mpoolCommands().Commands, "find", mpoolFind)
	require.ErrorContains(t, err, "say what to find")
}

func TestMessagesOfATipsetOnce(t *testing.T) {
	c := new(client)
	m := pending(t, 100, 1, 0, 1)
	c.Internal.ChainGetBlockMessages = func(_ context.Context, b cid.Cid) (*apinode.BlockMessages, error) {
		if b == types.Sum([]byte("none")) {
			return nil, errors.New("no such block")
		}
		return &apinode.BlockMessages{SecpkMessages: []*types.SignedMessage{m}, Cids: []cid.Cid{m.Cid()}}, nil
	}
	one, two := types.Sum([]byte("1")), types.Sum([]byte("2"))
	out, err := run(t, c, chainReading(), "messages", chainMessages, "--tipset", one.String()+","+two.String())
	require.NoError(t, err)
	require.Equal(t, 1, bytes.Count([]byte(out), []byte(m.Cid().String())))
	_, err = run(t, c, chainReading(), "messages", chainMessages, types.Sum([]byte("none")).String())
	require.ErrorContains(t, err, "no such block")
}

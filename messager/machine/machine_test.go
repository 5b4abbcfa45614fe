package machine

import (
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/go-state-types/crypto"
	"github.com/filecoin-project/go-state-types/exitcode"
	"github.com/ipfs/go-cid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/filecoin-venus/venus/types"
)

var rewrite = flag.Bool("rewrite", false, "write what was seen into the golden scripts")

var t0 = time.Unix(1_600_000_000, 0)

func testMessage(t testing.TB, id string) Message {
	t.Helper()
	from, err := address.NewSecp256k1Address([]byte("sender"))
	require.NoError(t, err)
	to, err := address.NewIDAddress(1000)
	require.NoError(t, err)
	return New(id, "user", "wallet", types.Message{From: from, To: to, Value: big.Zero(), Method: 16}, Limits{}, t0)
}

func attemptOf(m *Message, nonce uint64, premium int64) (types.Message, crypto.Signature) {
	msg := m.Msg
	msg.Nonce, msg.GasLimit, msg.GasFeeCap, msg.GasPremium = nonce, 1e6, big.NewInt(1000), big.NewInt(premium)
	return msg, crypto.Signature{Type: crypto.SigTypeSecp256k1, Data: []byte(fmt.Sprint("signature ", nonce, premium))}
}

// event reads one word of a script: name or name:number.
func event(t *testing.T, m *Message, word string) Event {
	name, arg, _ := strings.Cut(word, ":")
	n, _ := strconv.Atoi(arg) // no number means 0
	ref := TipSetRef{Height: abi.ChainEpoch(n)}
	switch name {
	case "delay":
		return Delayed{Reason: EstimateFails, Text: "exit 16"}
	case "locked":
		return Delayed{Reason: WalletLocked, Text: "wallet locked"}
	case "assign":
		msg, sig := attemptOf(m, uint64(n), 10)
		return Assigned{Msg: msg, Sig: sig}
	case "push":
		return Pushed{Node: "node"}
	case "refuse":
		return PushFailed{Reason: PushRefused, Text: "no"}
	case "reprice":
		msg, sig := attemptOf(m, m.Msg.Nonce, int64(n))
		return Repriced{Msg: msg, Sig: sig, Why: "stuck"}
	case "land":
		msg, sig := m.Msg, crypto.Signature{}
		if m.Sig != nil {
			sig = *m.Sig
		}
		return Landed{Msg: msg, Sig: sig, Receipt: types.MessageReceipt{GasUsed: 7}, Executed: ref, Included: TipSetRef{Height: ref.Height - 1}}
	case "fail":
		msg, sig := m.Msg, crypto.Signature{}
		if m.Sig != nil {
			sig = *m.Sig
		}
		return Landed{Msg: msg, Sig: sig, Receipt: types.MessageReceipt{ExitCode: 16}, Executed: ref}
	case "taken":
		return NonceTaken{Executed: ref}
	case "revert":
		return Reverted{Tipset: ref}
	case "bad":
		return MarkedBad{}
	case "expire":
		return Expired{Epoch: ref.Height}
	case "gone":
		return WalletGone{Text: "wallet removed"}
	}
	t.Fatalf("unknown event %q", word)
	return nil
}

// TestStepGolden runs testdata/steps.txt: each line is a list of events, below it
// what became of the message.
func TestStepGolden(t *testing.T) {
	const file = "testdata/steps.txt"
	raw, err := os.ReadFile(file)
	require.NoError(t, err)
	var out strings.Builder
	for _, line := range strings.Split(strings.TrimSpace(string(raw)), "\n") {
		if strings.HasPrefix(line, "  ") {
			continue
		}
		out.WriteString(line + "\n")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		m := testMessage(t, "m")
		now := t0
		for _, w := range strings.Fields(line) {
			now = now.Add(time.Second)
			next, note, err := m.Step(event(t, &m, w), now)
			if err != nil {
				require.ErrorIs(t, err, ErrIllegal)
				require.Equal(t, m, next, "an illegal step changes nothing")
				fmt.Fprintf(&out, "  %-10s %-9s refused\n", w, m.State)
				continue
			}
			m = next
			tries := ""
			if m.Tries > 0 {
				tries = fmt.Sprintf(", failure %d, again in %s, %s", m.Tries, m.NextTry.Sub(now), m.Reason)
			}
			fmt.Fprintf(&out, "  %-10s %-9s %s%s\n", w, m.State, note.Kind, tries)
		}
		reason, advice := Explain(&m, 100, 0, now)
		fmt.Fprintf(&out, "  why: %s %s\n", reason, advice)
	}
	if *rewrite {
		require.NoError(t, os.WriteFile(file, []byte(out.String()), 0o644))
		return
	}
	require.Equal(t, string(raw), out.String())
}

// TestStepProperty: whatever happens in whatever order, the invariants of the
// package hold.
func TestStepProperty(t *testing.T) {
	words := []string{"delay", "locked", "assign:3", "push", "refuse", "reprice:20", "land:50", "fail:51", "taken:52", "revert:50", "bad", "expire:9", "gone"}
	rapid.Check(t, func(rt *rapid.T) {
		m := testMessage(t, "m")
		for _, w := range rapid.SliceOfN(rapid.SampledFrom(words), 1, 25).Draw(rt, "events") {
			before := m
			next, note, err := m.Step(event(t, &m, w), t0)
			if err != nil {
				require.Equal(rt, before, next)
				continue
			}
			m = next
			require.NotEmpty(rt, note.Kind)
			require.Equal(rt, m.State.HasNonce(), m.Sig != nil, "nonce and signature come together")
			if before.State.HasNonce() {
				require.True(rt, m.State.HasNonce(), "a nonce is never given back")
				require.Equal(rt, before.Msg.Nonce, m.Msg.Nonce)
			}
			require.Equal(rt, m.State == OnChain, m.Receipt != nil)
			if before.State == Failed || before.State == NoWallet {
				rt.Fatalf("%s left %s", w, before.State)
			}
		}
	})
}

func TestLandedTakesTheAttemptThatLanded(t *testing.T) {
	m := testMessage(t, "m")
	first, sig1 := attemptOf(&m, 5, 10)
	m, _, err := m.Step(Assigned{Msg: first, Sig: sig1}, t0)
	require.NoError(t, err)
	second, sig2 := attemptOf(&m, 5, 20)
	m, _, err = m.Step(Repriced{Msg: second, Sig: sig2}, t0)
	require.NoError(t, err)
	require.Equal(t, Signed, m.State)
	m, _, err = m.Step(Landed{Msg: first, Sig: sig1, Executed: TipSetRef{Height: 9}}, t0)
	require.NoError(t, err)
	require.Equal(t, first.Cid(), m.UnsignedCid)
	require.Equal(t, "10", m.Msg.GasPremium.String())
	other, sig3 := attemptOf(&m, 6, 20)
	_, _, err = m.Step(Repriced{Msg: other, Sig: sig3}, t0)
	require.Error(t, err, "a replacement keeps the nonce")
}

func TestStateNames(t *testing.T) {
	for text, want := range map[string]State{
		"queued": Queued, "UnFillMsg": Queued, "FillMsg": Pending, "on-chain": OnChain, "OnChainMsg": OnChain, "ReplacedMsg": Conflict,
		"NonceConflictMsg": Conflict, "NoWalletMsg": NoWallet, "failed": Failed, " Signed ": Signed,
	} {
		got, err := ParseState(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
	_, err := ParseState("odd")
	require.Error(t, err)
	require.Equal(t, "state 99", State(99).String())
}

// TestM4_NextNonce is the boundary table: stored is the next one to give out.
func TestM4_NextNonce(t *testing.T) {
	for _, c := range []struct {
		stored, node, want uint64
		foreign            bool
	}{{0, 0, 0, false}, {5, 4, 5, false}, {5, 5, 5, false}, {5, 6, 6, true}, {0, 7, 7, true}} {
		next, foreign := NextNonce(c.stored, c.node)
		require.Equal(t, c.want, next, "%+v", c)
		require.Equal(t, c.foreign, foreign, "%+v", c)
	}
	require.Equal(t, 0, Room(0, 0))
	require.Equal(t, 0, Room(5, 5))
	require.Equal(t, 2, Room(5, 3))
	require.Equal(t, 1<<20, Room(1<<63, 0))
}

func TestChoose(t *testing.T) {
	mk := func(id string, lane Lane, age, wait time.Duration) Message {
		m := testMessage(t, id)
		m.Lane, m.Created, m.NextTry = lane, t0.Add(-age), t0.Add(wait)
		return m
	}
	queue := []Message{
		mk("young", LaneNormal, time.Second, 0), mk("old", LaneNormal, time.Hour, 0), mk("parked", LaneNormal, 2*time.Hour, time.Second),
		mk("commit", LaneCommit, time.Second, -time.Second), mk("proof", LaneProof, 0, 0),
	}
	done := mk("done", LaneProof, time.Hour, 0)
	done.State = OnChain
	var ids []string
	for _, m := range Choose(append(queue, done), t0, 10) {
		ids = append(ids, m.ID)
	}
	require.Equal(t, []string{"proof", "commit", "old", "young"}, ids)
	require.Len(t, Choose(queue, t0, 2), 2)
	require.Empty(t, Choose(queue, t0, -1))
}

func TestLanes(t *testing.T) {
	miner, err := address.NewIDAddress(1000)
	require.NoError(t, err)
	power, err := address.NewIDAddress(4)
	require.NoError(t, err)
	robust, err := address.NewActorAddress([]byte("miner"))
	require.NoError(t, err)
	for _, c := range []struct {
		to     address.Address
		method abi.MethodNum
		want   Lane
	}{{miner, 5, LaneProof}, {robust, 5, LaneProof}, {miner, 11, LaneProof}, {miner, 6, LaneCommit}, {miner, 26, LaneCommit}, {miner, 0, LaneNormal}, {power, 5, LaneNormal}} {
		require.Equal(t, c.want, LaneOf(&types.Message{To: c.to, Method: c.method}), "%+v", c)
	}
	require.Equal(t, []string{"proof", "commit", "normal"}, []string{LaneProof.String(), LaneCommit.String(), LaneNormal.String()})
}

func TestBackoff(t *testing.T) {
	require.Equal(t, 500*time.Millisecond, Backoff(1, LaneNormal, EstimateFails))
	require.Equal(t, time.Second, Backoff(2, LaneNormal, EstimateFails))
	require.Equal(t, time.Minute, Backoff(100, LaneNormal, EstimateFails))
	require.Equal(t, 10*time.Second, Backoff(100, LaneNormal, WalletLocked))
	require.Equal(t, 5*time.Second, Backoff(100, LaneProof, WalletLocked))
	require.Equal(t, 20*time.Second, Backoff(100, LaneCommit, EstimateFails))
}

func TestFees(t *testing.T) {
	m := testMessage(t, "m")
	shared := Limits{GasOverEstimation: 1.25, MaxFee: big.NewInt(1000), MaxFeeCap: big.NewInt(9)}
	addr := Limits{MaxFee: big.NewInt(500)}
	f := Resolve(&m, nil, addr, shared)
	require.Equal(t, []string{"address", "shared"}, []string{f.MaxFeeFrom, f.MaxFeeCapFrom})
	require.EqualValues(t, 1.25, f.GasOverEstimation)
	m.Limits = Limits{MaxFee: big.NewInt(300), MaxFeeCap: big.NewInt(5), GasOverEstimation: 2}
	f = Resolve(&m, nil, addr, shared)
	require.Equal(t, []string{"message", "message"}, []string{f.MaxFeeFrom, f.MaxFeeCapFrom})

	msg := types.Message{GasLimit: 100, GasFeeCap: big.NewInt(7), GasPremium: big.NewInt(6)}
	require.Contains(t, f.Bound(&msg), "maxFee of the message")
	require.Equal(t, "3", msg.GasFeeCap.String())
	require.Equal(t, "3", msg.GasPremium.String())
	msg = types.Message{GasLimit: 10, GasFeeCap: big.NewInt(7), GasPremium: big.NewInt(1)}
	require.Contains(t, f.Bound(&msg), "maxFeeCap of the message")
	require.Equal(t, "5", msg.GasFeeCap.String())
	msg = types.Message{GasLimit: 10, GasFeeCap: big.NewInt(4), GasPremium: big.NewInt(1)}
	require.Empty(t, f.Bound(&msg))

	proof := testMessage(t, "p")
	proof.Lane = LaneProof
	require.Empty(t, Resolve(&proof, nil, addr, shared).MaxFeeCapFrom, "a window proof is above the shared fee cap")
}

func TestReprice(t *testing.T) {
	old := &types.Message{GasLimit: 100, GasFeeCap: big.NewInt(1000), GasPremium: big.NewInt(100)}
	require.Equal(t, "126", MinReplacement(old.GasPremium).String())
	rich := Fees{Limits: Limits{MaxFee: big.NewInt(1e9)}, MaxFeeFrom: "shared"}
	out, err := Reprice(old, big.NewInt(50), big.NewInt(2000), rich)
	require.NoError(t, err)
	require.Equal(t, []string{"126", "2000"}, []string{out.GasPremium.String(), out.GasFeeCap.String()})
	out, err = Reprice(old, big.NewInt(500), big.NewInt(100), rich)
	require.NoError(t, err)
	require.Equal(t, []string{"500", "1000"}, []string{out.GasPremium.String(), out.GasFeeCap.String()})
	_, err = Reprice(old, big.NewInt(500), big.NewInt(100), Fees{Limits: Limits{MaxFee: big.NewInt(100 * 125)}, MaxFeeFrom: "address"})
	require.ErrorContains(t, err, "maxFee of the address")
}

func TestStuck(t *testing.T) {
	mk := func(nonce uint64, premium, feeCap int64, pushed time.Duration) Message {
		m := testMessage(t, fmt.Sprint(nonce))
		m.State, m.Msg.Nonce, m.PushedAt = Pending, nonce, t0.Add(-pushed)
		m.Msg.GasPremium, m.Msg.GasFeeCap = big.NewInt(premium), big.NewInt(feeCap)
		return m
	}
	epoch := time.Second
	low, high := mk(3, 100, 150, time.Minute), mk(4, 1, 2, time.Hour)
	all := []Message{high, low}
	require.Nil(t, Stuck(all, t0, epoch, big.NewInt(20), big.NewInt(200)), "still pays")
	require.Equal(t, "3", Stuck(all, t0, epoch, big.NewInt(150), big.NewInt(1)).ID, "fee cap at the base fee; only the lowest nonce matters")
	require.Equal(t, "3", Stuck(all, t0, epoch, big.NewInt(20), big.NewInt(301)).ID, "premium below a third of the going one")
	require.Nil(t, Stuck([]Message{mk(3, 1, 2, 9*time.Second)}, t0, epoch, big.NewInt(150), big.NewInt(1)), "young")
	proof := mk(3, 1, 2, 5*time.Second)
	proof.Lane = LaneProof
	require.NotNil(t, Stuck([]Message{proof}, t0, epoch, big.NewInt(150), big.NewInt(1)), "a window proof has less patience")
	require.Nil(t, Stuck(nil, t0, epoch, big.Zero(), big.Zero()))
}

func TestAffordable(t *testing.T) {
	m := func(limit, value int64) *types.Message {
		return &types.Message{GasLimit: limit, GasFeeCap: big.NewInt(10), Value: big.NewInt(value)}
	}
	under := []Message{{Msg: *m(10, 50)}}
	n, short := Affordable(big.NewInt(400), under, []*types.Message{m(10, 0), m(5, 101), m(1, 0)})
	require.Equal(t, 1, n)
	require.Contains(t, short, "needs")
	n, short = Affordable(big.NewInt(1000), under, []*types.Message{m(10, 0)})
	require.Equal(t, 1, n)
	require.Empty(t, short)
}

func TestReasons(t *testing.T) {
	code, ok := ExitCode("message execution failed: exit 16, reason: no sector")
	require.True(t, ok)
	require.Equal(t, exitcode.ExitCode(16), code)
	code, ok = ExitCode("call: exit SysErrSenderStateInvalid(2)")
	require.True(t, ok)
	require.Equal(t, exitcode.ExitCode(2), code)
	_, ok = ExitCode("the exit was closed")
	require.False(t, ok)
	for text, want := range map[string]Reason{
		"message execution failed: exit 16": EstimateFails, "message execution failed: exit 6": NoFunds, "exit 19": NoFunds,
		"sender is not an account on chain": NoActor, "actor not found": NoActor, "boom": EstimateFails,
	} {
		require.Equal(t, want, ReasonOfEstimate(text), text)
	}
	require.Equal(t, WalletLocked, ReasonOfSign("wallet w: wallet locked", true))
	require.Equal(t, WalletUnreachable, ReasonOfSign("connection refused", true))
	require.Equal(t, WalletRefused, ReasonOfSign("policy", false))
	for c, want := range map[exitcode.ExitCode]string{16: "an argument is illegal", 7: "it runs out of gas", 40: "an error of the called actor's own", 9: "a system error"} {
		require.Equal(t, want, DescribeExit(c))
	}
}

func TestSameRequest(t *testing.T) {
	a, b := testMessage(t, "a"), testMessage(t, "a")
	require.True(t, a.SameRequest(&b))
	b.Msg.Params = []byte{1}
	require.False(t, a.SameRequest(&b))
	require.Equal(t, cid.Undef, a.SignedCid)
	require.Nil(t, a.Signed())
}

// TestPreferred: everybody names the same holder, shares are even, and a messager
// that goes moves only what it held.
func TestPreferred(t *testing.T) {
	require.Empty(t, Preferred(nil, "x"))
	three, two := []string{"a", "b", "c"}, []string{"c", "a"}
	count := map[string]int{}
	for i := range 3000 {
		lease := fmt.Sprint("nonces/", i)
		who := Preferred(three, lease)
		count[who]++
		require.Equal(t, who, Preferred([]string{"c", "b", "a"}, lease), "in any order")
		if who != "b" {
			require.Equal(t, who, Preferred(two, lease))
		}
	}
	for _, name := range three {
		require.InDelta(t, 1000, count[name], 150)
	}
}

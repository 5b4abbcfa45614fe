package mpool

import (
	"flag"
	"fmt"
	"math/rand"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/types"
)

var rewrite = flag.Bool("rewrite", false, "write what was seen into the golden scripts")

// script is one case of testdata/*.txt.
type script struct {
	params SelectParams
	queues []Queue
	names  map[address.Address]string
}

func amount(t *testing.T, s string) big.Int {
	f, err := strconv.ParseFloat(s, 64)
	require.NoError(t, err, s)
	b, err := big.FromString(strconv.FormatFloat(f, 'f', 0, 64))
	require.NoError(t, err)
	return b
}

func readCase(t *testing.T, text string) script {
	s := script{names: map[address.Address]string{}, params: SelectParams{Rand: rand.New(rand.NewSource(1))}}
	at := map[string]int{}
	for _, raw := range strings.Split(text, "\n") {
		f := strings.Fields(raw)
		if len(f) == 0 || f[0] == "#" || f[0] == "expect:" {
			continue
		}
		kv := map[string]string{}
		for _, w := range f {
			if k, v, ok := strings.Cut(w, "="); ok {
				kv[k] = v
			}
		}
		switch f[0] {
		case "base-fee":
			s.params.BaseFee = amount(t, f[1])
		case "quality":
			q, err := strconv.ParseFloat(f[1], 64)
			require.NoError(t, err)
			s.params.Quality = q
		case "priority":
			s.params.Priority = append(s.params.Priority, testAddr(t, f[1]))
		case "sender":
			a := testAddr(t, f[1])
			s.names[a], at[f[1]] = f[1], len(s.queues)
			s.queues = append(s.queues, Queue{Sender: a, Actor: Actor{Nonce: amount(t, kv["nonce"]).Uint64(), Balance: amount(t, kv["balance"])}})
		case "msg":
			q := &s.queues[at[f[1]]]
			m := blsMsg(q.Sender, amount(t, f[2]).Uint64(), amount(t, kv["limit"]).Int64(), amount(t, kv["cap"]).Int64(), amount(t, kv["premium"]).Int64())
			if v := kv["value"]; v != "" {
				m.Message.Value = amount(t, v)
			}
			q.Msgs = append(q.Msgs, m)
		default:
			t.Fatalf("unknown word %q", f[0])
		}
	}
	return s
}

func TestSelectGolden(t *testing.T) {
	const file = "testdata/greedy.txt"
	raw, err := os.ReadFile(file)
	require.NoError(t, err)
	cases := strings.Split(string(raw), "---\n")
	for i, c := range cases {
		s := readCase(t, c)
		words := []string{"expect:"}
		for _, m := range SelectMessages(s.queues, s.params) {
			words = append(words, fmt.Sprintf("%s/%d", s.names[m.Message.From], m.Message.Nonce))
		}
		head, want, ok := strings.Cut(c, "expect:")
		require.True(t, ok, "case %d has no expectation", i)
		got := strings.Join(words, " ")
		if *rewrite {
			cases[i] = head + got + "\n"
			continue
		}
		require.Equal(t, strings.TrimSpace("expect:"+want), strings.TrimSpace(got), "case %d:\n%s", i, c)
	}
	if *rewrite {
		require.NoError(t, os.WriteFile(file, []byte(strings.Join(cases, "---\n")), 0o644))
	}
}

// checkBlock is the dumb second opinion: whatever the strategy, a block must obey these.
func checkBlock(t require.TestingT, queues []Queue, p SelectParams, got []*types.SignedMessage) {
	next, balance := map[address.Address]uint64{}, map[address.Address]big.Int{}
	for _, q := range queues {
		next[q.Sender], balance[q.Sender] = q.Actor.Nonce, q.Actor.Balance
	}
	gas := int64(0)
	for _, m := range got {
		from := m.Message.From
		require.Equal(t, next[from], m.Message.Nonce, "nonces of %s in order", from)
		next[from]++
		require.False(t, balance[from].LessThan(m.Message.RequiredFunds()), "fees affordable")
		balance[from] = big.Sub(balance[from], m.Message.RequiredFunds())
		if !balance[from].LessThan(m.Message.Value) {
			balance[from] = big.Sub(balance[from], m.Message.Value)
		}
		gas += m.Message.GasLimit
	}
	require.LessOrEqual(t, gas, int64(BlockGasLimit))
	require.LessOrEqual(t, len(got), BlockMessageLimit)
	total := big.Zero()
	for _, m := range got {
		total = big.Add(total, big.NewFromGo(gasReward(&m.Message, p.BaseFee)))
	}
	require.False(t, total.LessThan(big.Zero()), "a block never costs the miner")
}

func TestSelectProperty(t *testing.T) {
	addrs := []address.Address{testAddr(t, "A"), testAddr(t, "B"), testAddr(t, "C"), testAddr(t, "D")}
	rapid.Check(t, func(rt *rapid.T) {
		var queues []Queue
		for _, a := range addrs {
			q := Queue{Sender: a, Actor: Actor{
				Nonce:   rapid.Uint64Range(0, 3).Draw(rt, "nonce"),
				Balance: big.Mul(big.NewInt(rapid.Int64Range(0, 40).Draw(rt, "balance")), big.NewInt(1e12)),
			}}
			n := q.Actor.Nonce
			for i := rapid.IntRange(0, 6).Draw(rt, "count"); i > 0; i-- {
				if rapid.IntRange(0, 9).Draw(rt, "gap") == 0 {
					n++
				}
				m := blsMsg(a, n, rapid.SampledFrom([]int64{1000, 1e6, 5e8, 3e9, 9e9}).Draw(rt, "limit"),
					rapid.Int64Range(50, 2000).Draw(rt, "cap"), rapid.Int64Range(0, 500).Draw(rt, "premium"))
				m.Message.Value = big.NewInt(rapid.Int64Range(0, 1e13).Draw(rt, "value"))
				q.Msgs = append(q.Msgs, m)
				n++
			}
			queues = append(queues, q)
		}
		p := SelectParams{
			BaseFee: big.NewInt(rapid.Int64Range(100, 1000).Draw(rt, "baseFee")),
			Quality: rapid.Float64Range(0, 1).Draw(rt, "quality"), Rand: rand.New(rand.NewSource(1)),
		}
		if rapid.Bool().Draw(rt, "priority") {
			p.Priority = addrs[2:3]
		}
		checkBlock(rt, queues, p, SelectMessages(queues, p))
	})
}

// With single messages per sender and room for all, greedy is the sort by
// performance: the simplest possible rule.
func TestSelectGreedyEqualsSort(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var queues []Queue
		n := rapid.IntRange(1, 12).Draw(rt, "n")
		for i := range n {
			a := testAddr(t, fmt.Sprint("S", i))
			queues = append(queues, Queue{Sender: a, Actor: Actor{Balance: fil}, Msgs: []*types.SignedMessage{
				blsMsg(a, 0, 1e6, 5000, rapid.Int64Range(0, 50).Draw(rt, "premium")),
			}})
		}
		got := SelectMessages(queues, SelectParams{BaseFee: big.NewInt(100), Quality: 1})
		require.Len(rt, got, n)
		for i := 1; i < n; i++ {
			require.False(rt, got[i-1].Message.GasPremium.LessThan(got[i].Message.GasPremium))
		}
	})
}

func TestPlaceProbabilities(t *testing.T) {
	best := placeProbabilities(1)
	require.InDelta(t, 1, best[0], 1e-3)
	require.Zero(t, best[1])
	for _, q := range []float64{0, 0.3, 0.84} {
		sum := 0.0
		for _, p := range placeProbabilities(q) {
			sum += p
		}
		require.InDelta(t, 1, sum, 1e-3)
	}
}

func TestSelectManySenders(t *testing.T) {
	var queues []Queue
	for i := range 5000 {
		a := testAddr(t, fmt.Sprint("S", i))
		q := Queue{Sender: a, Actor: Actor{Balance: fil}}
		for n := range uint64(4) {
			q.Msgs = append(q.Msgs, blsMsg(a, n, 1e6, 5000, int64(i%97)))
		}
		queues = append(queues, q)
	}
	for _, quality := range []float64{0, 0.5, 0.9} {
		start := clock.Real().Now()
		p := SelectParams{BaseFee: big.NewInt(100), Quality: quality, Rand: rand.New(rand.NewSource(1))}
		got := SelectMessages(queues, p)
		require.Len(t, got, BlockSignatureLimit)
		checkBlock(t, queues, p, got)
		require.Less(t, clock.Real().Now().Sub(start), 5*time.Second)
	}
}

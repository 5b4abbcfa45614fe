package mpool

import (
	"container/heap"
	"math"
	"math/big"
	"math/rand"
	"sort"

	"github.com/filecoin-project/go-address"
	fbig "github.com/filecoin-project/go-state-types/big"
	stcrypto "github.com/filecoin-project/go-state-types/crypto"

	"github.com/filecoin-venus/venus/types"
)

const (
	// greedyQuality: with a ticket better than this our block is almost surely
	// executed first, so the best messages are simply taken.
	greedyQuality = 0.84
	// maxPartitions is how many blocks of a tipset the optimal selection considers.
	maxPartitions = 15
	// expectedBlocks is the network's expected number of winners per epoch.
	expectedBlocks = 5
)

// SelectParams are the conditions a block is filled under.
type SelectParams struct {
	// BaseFee is what the block's messages will pay, attoFIL per gas.
	BaseFee fbig.Int
	// Quality is the chance, 0 to 1, that the ticket is the tipset's best.
	Quality float64
	// Priority senders are served first.
	Priority []address.Address
	// Rand shuffles the final fill of the optimal selection.
	Rand *rand.Rand
}

// SelectMessages fills a block from the senders' queues: valid nonces, gas and
// counts within a block's limits, best payers first. It never takes messages that
// would cost the miner more than they bring. The result is in block order.
func SelectMessages(queues []Queue, p SelectParams) []*types.SignedMessage {
	b := newFill(p.BaseFee)
	priority := make(map[address.Address]bool, len(p.Priority))
	for _, a := range p.Priority {
		priority[a] = true
	}
	var first, rest [][]*chain
	for i, q := range queues {
		chains := buildChains(q, i, p.BaseFee)
		if len(chains) == 0 {
			continue
		}
		if priority[q.Sender] {
			first = append(first, chains)
		} else {
			rest = append(rest, chains)
		}
	}
	b.greedy(first)
	if p.Quality > greedyQuality {
		b.greedy(rest)
	} else {
		b.optimal(rest, p.Quality, p.Rand)
	}
	return b.msgs
}

// fill is a block in the making.
type fill struct {
	baseFee   fbig.Int
	msgs      []*types.SignedMessage
	gas       int64
	secp, bls int
}

func newFill(baseFee fbig.Int) *fill { return &fill{baseFee: baseFee} }

func (b *fill) full() bool { return BlockGasLimit-b.gas < minSelectGas }

// prefix is how many of the messages, in order, the block still has room for.
func (b *fill) prefix(msgs []*types.SignedMessage) int {
	gas, secp, bls := b.gas, b.secp, b.bls
	for i, m := range msgs {
		gas += m.Message.GasLimit
		if m.Signature.Type == stcrypto.SigTypeBLS {
			bls++
		} else {
			secp++
		}
		if gas > BlockGasLimit || secp+bls > BlockMessageLimit || secp > BlockSignatureLimit || bls > BlockSignatureLimit {
			return i
		}
	}
	return len(msgs)
}

func (b *fill) take(msgs []*types.SignedMessage) {
	for _, m := range msgs {
		b.gas += m.Message.GasLimit
		if m.Signature.Type == stcrypto.SigTypeBLS {
			b.bls++
		} else {
			b.secp++
		}
	}
	b.msgs = append(b.msgs, msgs...)
}

// trim shortens a chain to what fits; it returns nil when nothing worth taking is left.
func (b *fill) trim(c *chain) *chain {
	t := &chain{sender: c.sender, place: c.place, trimmed: true, reward: new(big.Int)}
	for _, m := range c.msgs[:b.prefix(c.msgs)] {
		t.push(m, gasReward(&m.Message, b.baseFee))
	}
	for len(t.msgs) > 0 && t.perf < 0 {
		last := t.msgs[len(t.msgs)-1]
		t.msgs = t.msgs[:len(t.msgs)-1]
		t.gas -= last.Message.GasLimit
		t.reward.Sub(t.reward, gasReward(&last.Message, b.baseFee))
		t.perf = gasPerf(t.reward, t.gas)
	}
	if len(t.msgs) == 0 {
		return nil
	}
	return t
}

// fronts is a heap of each sender's first chain not yet taken.
type fronts []*chain

func (f fronts) Len() int           { return len(f) }
func (f fronts) Less(i, j int) bool { return better(f[i], f[j]) }
func (f fronts) Swap(i, j int)      { f[i], f[j] = f[j], f[i] }

// Push and Pop serve container/heap.
func (f *fronts) Push(x any) { *f = append(*f, x.(*chain)) }

// Pop removes the last element, as container/heap asks.
func (f *fronts) Pop() any {
	old := *f
	c := old[len(old)-1]
	*f = old[:len(old)-1]
	return c
}

// greedy takes the best chain that is left again and again; a chain too large for
// the room left is trimmed and competes again with what remains of it.
func (b *fill) greedy(senders [][]*chain) {
	var f fronts
	bySender := make(map[int][]*chain, len(senders))
	for _, chains := range senders {
		bySender[chains[0].sender] = chains
		f = append(f, chains[0])
	}
	heap.Init(&f)
	for f.Len() > 0 && !b.full() {
		c := heap.Pop(&f).(*chain)
		if c.perf < 0 {
			return
		}
		if b.prefix(c.msgs) < len(c.msgs) {
			if t := b.trim(c); t != nil {
				heap.Push(&f, t)
			}
			continue
		}
		b.take(c.msgs)
		// Behind a trimmed chain the sender's nonces have a gap.
		if chains := bySender[c.sender]; !c.trimmed && c.place+1 < len(chains) {
			heap.Push(&f, chains[c.place+1])
		}
	}
}

// optimal fills a block that may be executed after others of its tipset: chains
// that better tickets will probably carry are worth less to us.
func (b *fill) optimal(senders [][]*chain, quality float64, rng *rand.Rand) {
	bySender := make(map[int][]*chain, len(senders))
	var all []*chain
	for _, chains := range senders {
		bySender[chains[0].sender] = chains
		all = append(all, chains...)
	}
	weigh(all, bySender, placeProbabilities(quality))
	sort.SliceStable(all, func(i, j int) bool {
		if all[i].effPerf != all[j].effPerf {
			return all[i].effPerf > all[j].effPerf
		}
		return better(all[i], all[j])
	})
	taken := make(map[int]int)
	i := 0
	for ; i < len(all) && !b.full(); i++ {
		c := all[i]
		if c.perf < 0 || c.place < taken[c.sender] {
			continue
		}
		need := withDependencies(bySender[c.sender], taken[c.sender], c.place)
		if b.prefix(need) < len(need) {
			break
		}
		b.take(need)
		taken[c.sender] = c.place + 1
	}
	left := remaining(all[i:], bySender, taken)
	if rng != nil {
		rng.Shuffle(len(left), func(i, j int) { left[i], left[j] = left[j], left[i] })
	}
	b.fillTail(left)
}

// weigh cuts the chains, best first, into block-sized partitions and weighs each
// with the probability that our block takes that place in the tipset.
func weigh(all []*chain, bySender map[int][]*chain, places []float64) {
	sort.SliceStable(all, func(i, j int) bool { return better(all[i], all[j]) })
	part, gas, count := 0, int64(0), 0
	for _, c := range all {
		if gas+c.gas > BlockGasLimit || count+len(c.msgs) > BlockMessageLimit {
			part, gas, count = part+1, 0, 0
		}
		gas += c.gas
		count += len(c.msgs)
		if part < maxPartitions && part < len(places) {
			c.effPerf = c.perf * places[part]
		}
	}
	// A chain is only reachable through its predecessors: it is worth at most the
	// gas-weighted mean with the one before it.
	for _, chains := range bySender {
		for i := 1; i < len(chains); i++ {
			p, c := chains[i-1], chains[i]
			mean := (p.effPerf*float64(p.gas) + c.effPerf*float64(c.gas)) / float64(p.gas+c.gas)
			c.effPerf = math.Min(c.effPerf, mean)
		}
	}
}

func withDependencies(chains []*chain, from, to int) []*types.SignedMessage {
	var out []*types.SignedMessage
	for _, c := range chains[from : to+1] {
		out = append(out, c.msgs...)
	}
	return out
}

// remaining lists, for each sender that still has an untaken chain, its chains
// from that one on, in the order the weighing gave.
func remaining(rest []*chain, bySender map[int][]*chain, taken map[int]int) [][]*chain {
	seen := make(map[int]bool)
	var out [][]*chain
	for _, c := range rest {
		if chains := bySender[c.sender][taken[c.sender]:]; !seen[c.sender] && len(chains) > 0 {
			seen[c.sender] = true
			out = append(out, chains)
		}
	}
	return out
}

// fillTail takes whatever still fits and does not cost the miner, sender by sender.
func (b *fill) fillTail(left [][]*chain) {
	for _, chains := range left {
		for _, c := range chains {
			if b.full() {
				return
			}
			t := b.trim(c)
			if t == nil {
				break
			}
			b.take(t.msgs)
			if len(t.msgs) < len(c.msgs) {
				break
			}
		}
	}
}

// placeProbabilities returns, for a ticket of the given quality, the chance that
// i better tickets stand before it, given that its miner is among the winners:
// the number of winners is Poisson distributed, each other ticket is better with
// probability 1-quality.
func placeProbabilities(quality float64) []float64 {
	out := make([]float64, maxPartitions)
	someone := 1 - math.Exp(-expectedBlocks)
	for others := 0; others < maxPartitions; others++ {
		winners := float64(others + 1)
		lg, _ := math.Lgamma(winners + 1)
		p := math.Exp(winners*math.Log(expectedBlocks)-expectedBlocks-lg) / someone
		for place := 0; place <= others; place++ {
			out[place] += p * binomial(others, place, 1-quality)
		}
	}
	return out
}

func binomial(n, k int, p float64) float64 {
	a, _ := math.Lgamma(float64(n + 1))
	b, _ := math.Lgamma(float64(k + 1))
	c, _ := math.Lgamma(float64(n - k + 1))
	return math.Exp(a-b-c) * math.Pow(p, float64(k)) * math.Pow(1-p, float64(n-k))
}

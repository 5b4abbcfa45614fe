package consensus

import (
	"bytes"
	"fmt"
	"math/big"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	gscrypto "github.com/filecoin-project/go-state-types/crypto"
	"golang.org/x/crypto/blake2b"

	"github.com/filecoin-venus/venus/crypto"
	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/types"
)

// Election probabilities are fixed-point numbers with 256 binary digits after the point; the coefficients of the
// exponential have 128 (node.md 4.3).
const (
	fraction     = 256
	coefficients = 128
	// maxWins is the most wins that one election can give.
	maxWins = 3 * params.ExpectedLeadersPerEpoch
)

// expTerms are the polynomials whose quotient approximates exp(-x), highest power first, scaled to fraction digits.
type expTerms struct{ num, den []*big.Int }

func newExpTerms() expTerms {
	read := func(digits ...string) []*big.Int {
		out := make([]*big.Int, len(digits))
		for i, d := range digits {
			n, ok := new(big.Int).SetString(d, 10)
			if !ok {
				panic("consensus: coefficient " + d) // constants below
			}
			out[i] = n.Lsh(n, fraction-coefficients)
		}
		return out
	}
	return expTerms{
		num: read("-648770010757830093818553637600", "67469480939593786226847644286976", "-3197587544499098424029388939001856",
			"89244641121992890118377641805348864", "-1579656163641440567800982336819953664", "17685496037279256458459817590917169152",
			"-115682590513835356866803355398940131328", "340282366920938463463374607431768211456"),
		den: read("1225524182432722209606361", "114095592300906098243859450", "5665570424063336070530214243", "194450132448609991765137938448",
			"5068267641632683791026134915072", "104716890604972796896895427629056", "1748338658439454459487681798864896", "23704654329841312470660182937960448",
			"259380097567996910282699886670381056", "2250336698853390384720606936038375424", "14978272436876548034486263159246028800",
			"72144088983913131323343765784380833792", "224599776407103106596571252037123047424", "340282366920938463463374607431768211456"),
	}
}

// exponential is built once; nothing changes it.
var exponential = newExpTerms()

func horner(x *big.Int, terms []*big.Int) *big.Int {
	acc := new(big.Int).Set(terms[0])
	for _, t := range terms[1:] {
		acc.Mul(acc, x)
		acc.Rsh(acc, fraction) // rounds down also below zero, which the rule relies on
		acc.Add(acc, t)
	}
	return acc
}

// expNeg is exp(-x) for x >= 0 in fixed point.
func expNeg(x *big.Int) *big.Int {
	num := horner(x, exponential.num)
	num.Lsh(num, fraction)
	return num.Quo(num, horner(x, exponential.den))
}

// rate is the mean number of wins in an epoch of a miner with a share power/total, in fixed point.
func rate(power, total *big.Int) *big.Int {
	out := new(big.Int).Mul(power, big.NewInt(params.ExpectedLeadersPerEpoch))
	out.Lsh(out, fraction)
	return out.Quo(out, total)
}

// poisson walks the upper tail of a Poisson distribution: tail is the probability of more than k wins.
type poisson struct {
	lambda, pmf, tail *big.Int
	k                 int64
}

func newPoisson(lambda *big.Int) *poisson {
	pmf := expNeg(lambda)
	one := new(big.Int).Lsh(big.NewInt(1), fraction)
	return &poisson{lambda: lambda, pmf: pmf, tail: one.Sub(one, pmf)}
}

// next moves to one more win. The division comes before the multiplication; that order is part of the rule.
func (p *poisson) next() {
	p.k++
	p.pmf = new(big.Int).Quo(p.pmf, big.NewInt(p.k))
	p.pmf.Mul(p.pmf, p.lambda).Rsh(p.pmf, fraction)
	p.tail = new(big.Int).Sub(p.tail, p.pmf)
}

// WinCount draws the number of wins, 0 to 15, from an election proof: its hash, as a number in [0,1), is looked up in the
// distribution of a miner with minerQA of totalQA power (node.md 4.3). A total that is not positive gives no wins.
func WinCount(vrfProof []byte, minerQA, totalQA abi.StoragePower) int64 {
	if totalQA.Sign() <= 0 || minerQA.Sign() <= 0 {
		return 0
	}
	hash := blake2b.Sum256(vrfProof)
	drawn := new(big.Int).SetBytes(hash[:])
	p := newPoisson(rate(minerQA.Int, totalQA.Int))
	for p.k < maxWins && drawn.Cmp(p.tail) < 0 {
		p.next()
	}
	return p.k
}

// minerEntropy is what ties a draw to a miner: the CBOR of its address.
func minerEntropy(miner address.Address) ([]byte, error) {
	var b bytes.Buffer
	if err := miner.MarshalCBOR(&b); err != nil {
		return nil, fmt.Errorf("encode miner address: %w", err)
	}
	return b.Bytes(), nil
}

// ElectionBase is what a miner's worker signs to take part in the election of an epoch.
func ElectionBase(beacon types.BeaconEntry, epoch abi.ChainEpoch, miner address.Address) ([]byte, error) {
	entropy, err := minerEntropy(miner)
	if err != nil {
		return nil, err
	}
	return crypto.DrawRandomness(beacon.Data, gscrypto.DomainSeparationTag_ElectionProofProduction, epoch, entropy), nil
}

// TicketBase is what a miner's worker signs to make the ticket of a block at epoch on a tipset with the given smallest
// ticket.
func TicketBase(beacon types.BeaconEntry, epoch abi.ChainEpoch, miner address.Address, parentTicket *types.Ticket) ([]byte, error) {
	entropy, err := minerEntropy(miner)
	if err != nil {
		return nil, err
	}
	if parentTicket != nil {
		entropy = append(entropy, parentTicket.VRFProof...)
	}
	return crypto.DrawRandomness(beacon.Data, gscrypto.DomainSeparationTag_TicketProduction, epoch-params.TicketRandomnessLookback, entropy), nil
}

// WinningPoStRandomness seeds the challenge of a winning proof. Its last byte is cut so that it is a field element.
func WinningPoStRandomness(beacon types.BeaconEntry, epoch abi.ChainEpoch, miner address.Address) (abi.PoStRandomness, error) {
	entropy, err := minerEntropy(miner)
	if err != nil {
		return nil, err
	}
	seed := crypto.DrawRandomness(beacon.Data, gscrypto.DomainSeparationTag_WinningPoStChallengeSeed, epoch, entropy)
	seed[len(seed)-1] &= 0x3f
	return seed, nil
}

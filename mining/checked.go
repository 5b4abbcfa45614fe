package mining

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/proof"

	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/proofs/verify"
)

// ErrWrongProof is returned for a winning proof that does not hold. No block is made of it.
var ErrWrongProof = errors.New("the winning proof does not hold")

// Verifier judges winning proofs. An error means that it cannot tell, which is never held against the prover.
type Verifier interface {
	VerifyWinningPoSt(ctx context.Context, info proof.WinningPoStVerifyInfo) (bool, error)
}

// checked is a sealer whose proofs are judged by what was asked of it, before anything is signed over them: a block with a
// wrong proof is refused by everybody, and no other may be signed in its place.
type checked struct {
	Prover
	verifier Verifier
	miner    abi.ActorID
	said     atomic.Bool // that proofs go unjudged
}

// Checked makes a sealer's wrong proofs errors, ErrWrongProof. Proofs that the verifier cannot judge pass, and the log tells
// once.
func Checked(p Prover, v Verifier, miner address.Address) (Prover, error) {
	id, err := address.IDFromAddress(miner)
	if err != nil {
		return nil, fmt.Errorf("miner %s: want its id address: %w", miner, err)
	}
	return &checked{Prover: p, verifier: v, miner: abi.ActorID(id)}, nil
}

// ComputeProof implements Prover.
func (c *checked) ComputeProof(ctx context.Context, sectors []proof.ExtendedSectorInfo, r abi.PoStRandomness) ([]proof.PoStProof, error) {
	asked := proof.WinningPoStVerifyInfo{Randomness: append(abi.PoStRandomness{}, r...), Prover: c.miner}
	for _, s := range sectors {
		asked.ChallengedSectors = append(asked.ChallengedSectors, proof.SectorInfo{SealProof: s.SealProof, SectorNumber: s.SectorNumber, SealedCID: s.SealedCID})
	}
	proofs, err := c.Prover.ComputeProof(ctx, sectors, r)
	if err != nil || len(proofs) == 0 {
		return proofs, err
	}
	asked.Proofs = proofs
	ok, err := c.verifier.VerifyWinningPoSt(ctx, asked)
	switch {
	case err != nil && ctx.Err() == nil && !c.said.Swap(true):
		log.Warnf("winning proofs of miner %d go into blocks unjudged: %s", c.miner, err)
	case err == nil && !ok:
		return nil, fmt.Errorf("%w for sector %d, and no block is made of it: look whether that sealer serves this network and `venus-sealer proving check --slow` finds the sector's files sound",
			ErrWrongProof, asked.ChallengedSectors[0].SectorNumber)
	}
	return proofs, nil
}

// networkSource tells the parameters of the network that it serves.
type networkSource interface {
	StateNetwork(ctx context.Context) (*params.Network, error)
}

// judge verifies with the keys of the network that the nodes serve; a private network's follow from its proof seed, which
// the name does not tell. The node is asked once.
type judge struct {
	name     string // the network that this directory was set up for
	nodes    []networkSource
	verifier atomic.Pointer[verify.Verifier]
}

// judgeTimeout bounds the question for the network's parameters: a win waits for the answer.
const judgeTimeout = 2 * time.Second

// VerifyWinningPoSt implements Verifier.
func (j *judge) VerifyWinningPoSt(ctx context.Context, info proof.WinningPoStVerifyInfo) (bool, error) {
	v := j.verifier.Load()
	if v == nil {
		network, err := j.network(ctx)
		if err != nil {
			return false, err
		}
		j.verifier.CompareAndSwap(nil, verify.New(*network, ""))
		v = j.verifier.Load() // two that came at once share its keys
	}
	return v.VerifyWinningPoSt(ctx, info)
}

func (j *judge) network(ctx context.Context) (*params.Network, error) {
	ctx, cancel := context.WithTimeout(ctx, judgeTimeout)
	defer cancel()
	var errs error
	for _, n := range j.nodes {
		network, err := n.StateNetwork(ctx)
		switch {
		case err != nil:
		case network == nil:
			err = errors.New("the answer is empty")
		case network.GenesisName != j.name:
			err = fmt.Errorf("it serves %q, not %q", network.GenesisName, j.name)
		default:
			err = network.Validate()
		}
		if err == nil {
			return network, nil
		}
		errs = errors.Join(errs, fmt.Errorf("ask a node for its network's parameters: %w", err))
	}
	return nil, errs
}

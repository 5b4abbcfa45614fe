package chain

import (
	"errors"
	"fmt"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"

	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/types"
)

// ErrNoPower says that a state has no power at all, so that chains on it have no weight and nobody can win a block.
var ErrNoPower = errors.New("network has no power")

const (
	weightShift = 8
	// winRatioDen over winRatioNum is the worth of a win against the worth of the power behind the block.
	winRatioNum = 1
	winRatioDen = 2
)

// Weight is the weight of a chain that ends in ts when the total quality-adjusted power in its parent state is totalQA
// (node.md 4.5). ErrNoPower when totalQA is not positive.
func Weight(ts *types.TipSet, totalQA abi.StoragePower) (big.Int, error) {
	wins := int64(0)
	for _, b := range ts.Blocks() {
		if b.ElectionProof == nil {
			return big.Int{}, fmt.Errorf("weigh tipset %s: block %s has no election proof", ts.Key(), b.Cid())
		}
		wins += b.ElectionProof.WinCount
	}
	w, err := weight(ts.ParentWeight(), wins, totalQA)
	if err != nil {
		return big.Int{}, fmt.Errorf("weigh tipset %s: %w", ts.Key(), err)
	}
	return w, nil
}

func weight(parent big.Int, wins int64, totalQA abi.StoragePower) (big.Int, error) {
	if totalQA.Sign() <= 0 {
		return big.Int{}, ErrNoPower
	}
	log2P := big.Lsh(big.NewInt(int64(totalQA.BitLen()-1)), weightShift)
	forWins := big.Div(big.Mul(log2P, big.NewInt(wins*winRatioNum)), big.NewInt(params.ExpectedLeadersPerEpoch*winRatioDen))
	return big.Sum(parent, log2P, forWins), nil
}

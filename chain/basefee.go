package chain

import (
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/ipfs/go-cid"

	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/types"
)

// baseFeeStep bounds the change of the base fee from one epoch to the next: an eighth.
const baseFeeStep = 8

// BaseFeeAfter is the base fee, in attoFIL per gas, of the epoch after one with the given base fee, sum of gas limits of
// unique messages and number of blocks (node.md 4.8).
func BaseFeeAfter(baseFee abi.TokenAmount, gasLimits int64, blocks int) abi.TokenAmount {
	delta := gasLimits/int64(blocks) - params.BlockGasTarget
	delta = max(-params.BlockGasTarget, min(params.BlockGasTarget, delta))
	change := big.Mul(baseFee, big.NewInt(delta))
	// Both divisions round down, also below zero: an amount never falls by less than its share.
	change = floorDiv(change, params.BlockGasTarget)
	change = floorDiv(change, baseFeeStep)
	next := big.Add(baseFee, change)
	return big.Max(next, params.BaseFeeFloor())
}

func floorDiv(a big.Int, b int64) big.Int {
	out := big.Zero()
	out.Int.Div(a.Int, big.NewInt(b).Int)
	return out
}

// gasDemand sums the gas limits of the messages of a tipset, each counted once by its on-chain CID.
func gasDemand(lists []BlockMessages) int64 {
	seen := map[cid.Cid]struct{}{}
	total := int64(0)
	for _, l := range lists {
		for i, m := range l.All() {
			var c cid.Cid
			if l.cids != nil {
				c = l.cids[i]
			} else {
				c = m.Cid()
			}
			if _, dup := seen[c]; dup {
				continue
			}
			seen[c] = struct{}{}
			total += m.VMMessage().GasLimit
		}
	}
	return total
}

// BlockMessages are the messages of one block of a tipset, in the block's order.
type BlockMessages struct {
	Header *types.BlockHeader
	Bls    []*types.Message
	Secpk  []*types.SignedMessage

	// cids are those on chain, in the order of All; nil where nobody knows them yet.
	cids []cid.Cid
}

// All lists the messages in execution order: BLS first.
func (b BlockMessages) All() []types.ChainMsg {
	out := make([]types.ChainMsg, 0, len(b.Bls)+len(b.Secpk))
	for _, m := range b.Bls {
		out = append(out, m)
	}
	for _, m := range b.Secpk {
		out = append(out, m)
	}
	return out
}

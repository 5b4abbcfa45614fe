package chain

import (
	"context"
	"fmt"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"

	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/state"
)

// attoPerFIL is the number of smallest units in one FIL.
var attoPerFIL = big.NewInt(1_000_000_000_000_000_000)

// Supply is the circulating supply and its parts, all in attoFIL (node-nv15.md 4.7).
type Supply struct {
	Vested           abi.TokenAmount
	Mined            abi.TokenAmount
	Burnt            abi.TokenAmount
	Locked           abi.TokenAmount
	ReserveDisbursed abi.TokenAmount
	Circulating      abi.TokenAmount
}

// Vested is what the network's genesis schedule has released at an epoch. Each row is divided before it is multiplied:
// the truncation is part of the rule.
func Vested(net *params.Network, epoch abi.ChainEpoch) abi.TokenAmount {
	elapsed := epoch - net.Liftoff
	total := big.Zero()
	if elapsed < 0 {
		return total
	}
	for _, row := range net.Vesting {
		amount := big.Mul(big.NewInt(row.Amount), attoPerFIL)
		if elapsed < row.Duration {
			perEpoch := big.Div(amount, big.NewInt(int64(row.Duration)))
			locked := big.Mul(perEpoch, big.NewInt(int64(row.Duration-elapsed)))
			amount = big.Sub(amount, locked)
		}
		total = big.Add(total, amount)
	}
	return total
}

// CirculatingSupply computes the supply that actors see when a machine starts on the viewed state at an epoch.
func CirculatingSupply(ctx context.Context, net *params.Network, view *state.View, epoch abi.ChainEpoch) (Supply, error) {
	parts, err := view.SupplyParts(ctx)
	if err != nil {
		return Supply{}, fmt.Errorf("circulating supply at epoch %d: %w", epoch, err)
	}
	reserve := big.Mul(big.NewInt(params.ReserveFIL), attoPerFIL)
	s := Supply{
		Vested: Vested(net, epoch), Mined: parts.Mined, Burnt: parts.Burnt, Locked: parts.Locked,
		ReserveDisbursed: big.Sub(reserve, parts.Reserve),
	}
	circ := big.Sum(s.Vested, s.Mined, s.ReserveDisbursed)
	circ = big.Sub(circ, big.Add(s.Burnt, s.Locked))
	s.Circulating = big.Max(circ, big.Zero())
	return s, nil
}

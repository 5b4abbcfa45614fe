package vm

import (
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
)

// GasOutputs says where a message's gas deposit goes (node.md 4.9, with the
// base fee always burnt). Amounts are in attoFIL; the first four sum to
// GasLimit*GasFeeCap, MinerPenalty is the block producer's to pay.
type GasOutputs struct {
	BaseFeeBurn        abi.TokenAmount
	OverEstimationBurn abi.TokenAmount
	MinerTip           abi.TokenAmount
	Refund             abi.TokenAmount
	MinerPenalty       abi.TokenAmount
	// GasRefund and GasBurned split the unused gas, in units.
	GasRefund, GasBurned int64
}

// The overestimation rule: gas up to a tenth above what was used is free of
// burning; beyond, the burnt share grows to everything at twice the use.
const (
	overestimationNum   = 11
	overestimationDenom = 10
)

func zeroOutputs() GasOutputs {
	return GasOutputs{
		BaseFeeBurn: big.Zero(), OverEstimationBurn: big.Zero(), MinerTip: big.Zero(),
		Refund: big.Zero(), MinerPenalty: big.Zero(),
	}
}

// ComputeGasOutputs splits the deposit of a message that used gasUsed of
// gasLimit.
func ComputeGasOutputs(gasUsed, gasLimit int64, baseFee, feeCap, premium abi.TokenAmount) GasOutputs {
	used := big.NewInt(gasUsed)
	out := zeroOutputs()

	toPay := baseFee
	if baseFee.GreaterThan(feeCap) {
		toPay = feeCap
		out.MinerPenalty = big.Mul(big.Sub(baseFee, feeCap), used)
	}
	out.BaseFeeBurn = big.Mul(toPay, used)

	tip := premium
	if big.Add(toPay, tip).GreaterThan(feeCap) {
		tip = big.Sub(feeCap, toPay)
	}
	out.MinerTip = big.Mul(tip, big.NewInt(gasLimit))

	out.GasRefund, out.GasBurned = unusedGas(gasUsed, gasLimit)
	if out.GasBurned != 0 {
		burned := big.NewInt(out.GasBurned)
		out.OverEstimationBurn = big.Mul(toPay, burned)
		out.MinerPenalty = big.Add(out.MinerPenalty, big.Mul(big.Sub(baseFee, toPay), burned))
	}

	deposit := big.Mul(big.NewInt(gasLimit), feeCap)
	out.Refund = big.Sub(deposit, big.Sum(out.BaseFeeBurn, out.MinerTip, out.OverEstimationBurn))
	return out
}

// unusedGas splits gasLimit-gasUsed into refunded and burnt units.
func unusedGas(gasUsed, gasLimit int64) (refund, burned int64) {
	if gasUsed == 0 {
		return 0, gasLimit
	}
	over := gasLimit - overestimationNum*gasUsed/overestimationDenom
	if over < 0 {
		return gasLimit - gasUsed, 0
	}
	over = min(over, gasUsed)
	b := big.Mul(big.NewInt(gasLimit-gasUsed), big.NewInt(over))
	b = big.Div(b, big.NewInt(gasUsed))
	return gasLimit - gasUsed - b.Int64(), b.Int64()
}

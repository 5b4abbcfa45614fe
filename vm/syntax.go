package vm

import (
	"errors"
	"fmt"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/big"

	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/types"
)

// TotalSupply is all that can ever exist, in attoFIL.
func TotalSupply() big.Int { return big.Mul(big.NewInt(params.TotalFIL), types.AttoPerFIL) }

// CheckSyntax applies what a message must satisfy by itself to stand in a block
// (node-nv15.md 1.3). length is its ChainLength. Block validation and the
// message pool share this one rule.
func CheckSyntax(m *types.Message, length int) error {
	switch {
	case m.Version != types.MessageVersion:
		return fmt.Errorf("version %d", m.Version)
	case m.To == address.Undef || m.From == address.Undef:
		return errors.New("no sender or no recipient")
	case m.To.Protocol() == address.Delegated || m.From.Protocol() == address.Delegated:
		// The address library of later networks reads them.
		return errors.New("delegated addresses are unknown to this network version")
	case isZeroBLS(m.To):
		return errors.New("recipient is the zero BLS address")
	case m.Value.Int == nil || m.Value.Sign() < 0 || m.Value.GreaterThan(TotalSupply()):
		return errors.New("value is missing, negative or above the total supply")
	case m.GasFeeCap.Int == nil || m.GasFeeCap.Sign() < 0:
		return errors.New("gas fee cap is missing or negative")
	case m.GasPremium.Int == nil || m.GasPremium.Sign() < 0:
		return errors.New("gas premium is missing or negative")
	case m.GasPremium.GreaterThan(m.GasFeeCap):
		return fmt.Errorf("gas premium %s exceeds the fee cap %s", m.GasPremium, m.GasFeeCap)
	case m.GasLimit > params.BlockGasLimit:
		return fmt.Errorf("gas limit %d exceeds a whole block's %d", m.GasLimit, int64(params.BlockGasLimit))
	case m.GasLimit < OnChainMessageGas(length):
		return fmt.Errorf("gas limit %d is below the inclusion cost %d", m.GasLimit, OnChainMessageGas(length))
	}
	return nil
}

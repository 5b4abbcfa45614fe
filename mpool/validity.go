package mpool

import (
	"fmt"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/big"
	stcrypto "github.com/filecoin-project/go-state-types/crypto"

	"github.com/filecoin-venus/venus/types"
)

// CheckSyntax tells whether a message may stand in a block, as far as the message
// alone shows it (node-nv15.md 1.3). minGas is the cost of including it.
func CheckSyntax(m *types.Message, minGas int64) error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrInvalid, fmt.Sprintf(format, args...))
	}
	switch {
	case m.Version != types.MessageVersion:
		return bad("version %d", m.Version)
	case m.To == address.Undef:
		return bad("no recipient")
	case m.From == address.Undef:
		return bad("no sender")
	case isZeroBLS(m.To):
		return bad("recipient is the zero BLS address")
	case m.Value.Int == nil || m.Value.LessThan(big.Zero()) || m.Value.GreaterThan(totalSupply):
		return bad("value is not an amount that can exist")
	case m.GasFeeCap.Int == nil || m.GasFeeCap.LessThan(big.Zero()):
		return bad("gas fee cap is missing or negative")
	case m.GasPremium.Int == nil || m.GasPremium.LessThan(big.Zero()):
		return bad("gas premium is missing or negative")
	case m.GasPremium.GreaterThan(m.GasFeeCap):
		return bad("gas premium %s exceeds the fee cap %s", m.GasPremium, m.GasFeeCap)
	case m.GasLimit > BlockGasLimit:
		return bad("gas limit %d exceeds the block's %d", m.GasLimit, int64(BlockGasLimit))
	case m.GasLimit < minGas:
		return bad("gas limit %d is below the inclusion cost %d", m.GasLimit, minGas)
	}
	return nil
}

// isZeroBLS knows the BLS address of the point at infinity, f3yaaa…aby2smx7a: no
// key signs for it, and nothing may be sent there.
func isZeroBLS(a address.Address) bool {
	if a.Protocol() != address.BLS {
		return false
	}
	for i, b := range a.Payload() {
		if (i == 0 && b != 0xc0) || (i > 0 && b != 0) {
			return false
		}
	}
	return true
}

// checkRelay is CheckSyntax and the pool's own rules that need no chain.
func checkRelay(m *types.SignedMessage) error {
	raw, err := m.Serialize()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if len(raw) > MaxMessageBytes {
		return fmt.Errorf("%w: %d", ErrTooBig, len(raw))
	}
	if t := m.Signature.Type; t != stcrypto.SigTypeBLS && t != stcrypto.SigTypeSecp256k1 {
		return fmt.Errorf("%w: type %d is not used here", ErrSignature, t)
	}
	if err := CheckSyntax(&m.Message, OnChainGas(m.ChainLength())); err != nil {
		return err
	}
	if !m.Message.Value.LessThan(totalSupply) {
		return fmt.Errorf("%w: value is the whole supply", ErrInvalid)
	}
	if m.Message.GasFeeCap.LessThan(big.NewInt(MinGasFeeCap)) {
		return fmt.Errorf("%w: %s", ErrFeeCapTooLow, m.Message.GasFeeCap)
	}
	return nil
}

// feeCapLowerBound is the least fee cap that is worth relaying under a base fee.
func feeCapLowerBound(baseFee big.Int) big.Int {
	return big.Max(big.Div(baseFee, big.NewInt(baseFeeLowerBoundFactor)), big.NewInt(MinGasFeeCap))
}

package mpool

import (
	"fmt"

	"github.com/filecoin-project/go-state-types/big"
	stcrypto "github.com/filecoin-project/go-state-types/crypto"

	"github.com/filecoin-venus/venus/types"
	"github.com/filecoin-venus/venus/vm"
)

// checkRelay is vm.CheckSyntax and the pool's own rules that need no chain.
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
	if err := vm.CheckSyntax(&m.Message, m.ChainLength()); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if !m.Message.Value.LessThan(vm.TotalSupply()) {
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

package types

import (
	"bytes"
	"fmt"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/crypto"
)

// DrawRandomParams is the preimage of a VRF: what a wallet is asked to sign for
// a ticket or an election proof. The wallet draws the randomness itself, so it
// knows what it signs (auth-wallet-messager.md B3).
type DrawRandomParams struct {
	Rbase   []byte // data of the beacon entry
	Pers    crypto.DomainSeparationTag
	Round   abi.ChainEpoch
	Entropy []byte
}

// Serialize returns the CBOR 4-tuple of the parameters.
func (p *DrawRandomParams) Serialize() ([]byte, error) {
	var b bytes.Buffer
	if err := p.MarshalCBOR(&b); err != nil {
		return nil, fmt.Errorf("encode draw-random parameters: %w", err)
	}
	return b.Bytes(), nil
}

// DecodeDrawRandomParams reads the parameters and refuses trailing bytes.
func DecodeDrawRandomParams(b []byte) (*DrawRandomParams, error) {
	p := new(DrawRandomParams)
	if err := decodeExact(b, p); err != nil {
		return nil, fmt.Errorf("decode draw-random parameters: %w", err)
	}
	return p, nil
}

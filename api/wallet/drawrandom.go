package wallet

import (
	"bytes"
	"fmt"
	"io"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/crypto"
	cbg "github.com/whyrusleeping/cbor-gen"
)

// maxRandomField bounds each byte string of DrawRandomParams.
const maxRandomField = 1024

// DrawRandomParams is what a miner's ticket or election proof is drawn from.
// The wallet hashes it itself, so that nobody can pass a message's bytes off as
// randomness (sheet sealer-miner.md 6.3). CBOR: [Rbase, Pers, Round, Entropy].
type DrawRandomParams struct {
	Rbase   []byte
	Pers    crypto.DomainSeparationTag
	Round   abi.ChainEpoch
	Entropy []byte
}

// Serialize returns the CBOR of the parameters: what WalletSign takes as toSign.
func (p *DrawRandomParams) Serialize() ([]byte, error) {
	var b bytes.Buffer
	if err := p.MarshalCBOR(&b); err != nil {
		return nil, fmt.Errorf("encode randomness parameters: %w", err)
	}
	return b.Bytes(), nil
}

// DecodeDrawRandomParams reads exactly one record; trailing bytes are refused.
func DecodeDrawRandomParams(b []byte) (*DrawRandomParams, error) {
	r := bytes.NewReader(b)
	p := new(DrawRandomParams)
	if err := p.UnmarshalCBOR(r); err != nil {
		return nil, fmt.Errorf("decode randomness parameters: %w", err)
	}
	if r.Len() != 0 {
		return nil, fmt.Errorf("decode randomness parameters: %d bytes follow the record", r.Len())
	}
	return p, nil
}

// MarshalCBOR writes the tuple.
func (p *DrawRandomParams) MarshalCBOR(w io.Writer) error {
	cw := cbg.NewCborWriter(w)
	if len(p.Rbase) > maxRandomField || len(p.Entropy) > maxRandomField {
		return fmt.Errorf("field longer than %d bytes", maxRandomField)
	}
	if err := cw.WriteMajorTypeHeader(cbg.MajArray, 4); err != nil {
		return err
	}
	if err := cbg.WriteByteArray(cw, p.Rbase); err != nil {
		return err
	}
	if err := cbg.CborInt(p.Pers).MarshalCBOR(cw); err != nil {
		return err
	}
	if err := cbg.CborInt(p.Round).MarshalCBOR(cw); err != nil {
		return err
	}
	return cbg.WriteByteArray(cw, p.Entropy)
}

// UnmarshalCBOR reads the tuple.
func (p *DrawRandomParams) UnmarshalCBOR(r io.Reader) error {
	cr := cbg.NewCborReader(r)
	maj, n, err := cr.ReadHeader()
	if err != nil {
		return err
	}
	if maj != cbg.MajArray || n != 4 {
		return fmt.Errorf("want an array of 4, have major type %d with %d", maj, n)
	}
	if p.Rbase, err = cbg.ReadByteArray(cr, maxRandomField); err != nil {
		return fmt.Errorf("randomness base: %w", err)
	}
	var pers, round cbg.CborInt
	if err := pers.UnmarshalCBOR(cr); err != nil {
		return fmt.Errorf("personalisation: %w", err)
	}
	if err := round.UnmarshalCBOR(cr); err != nil {
		return fmt.Errorf("round: %w", err)
	}
	if p.Entropy, err = cbg.ReadByteArray(cr, maxRandomField); err != nil {
		return fmt.Errorf("entropy: %w", err)
	}
	p.Pers, p.Round = crypto.DomainSeparationTag(pers), abi.ChainEpoch(round)
	return nil
}

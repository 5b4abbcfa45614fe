package mining

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/crypto"
	"golang.org/x/crypto/blake2b"

	nodeapi "github.com/filecoin-venus/venus/api/node"
	walletapi "github.com/filecoin-venus/venus/api/wallet"
	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/types"
)

// randomBase is the beacon entry a round draws on: the newest that its block will carry, or the one before.
func randomBase(info *nodeapi.MiningBaseInfo) types.BeaconEntry {
	if n := len(info.BeaconEntries); n > 0 {
		return info.BeaconEntries[n-1]
	}
	return info.PrevBeaconEntry
}

// entropy ties a draw to the miner.
func entropy(miner address.Address) ([]byte, error) {
	var b bytes.Buffer
	if err := miner.MarshalCBOR(&b); err != nil {
		return nil, fmt.Errorf("encode miner address: %w", err)
	}
	return b.Bytes(), nil
}

// electionDraw is what the worker's VRF runs over to take part in the election of a round.
func electionDraw(beacon types.BeaconEntry, miner address.Address, round abi.ChainEpoch) (*types.DrawRandomParams, error) {
	e, err := entropy(miner)
	if err != nil {
		return nil, err
	}
	return &types.DrawRandomParams{Rbase: beacon.Data, Pers: crypto.DomainSeparationTag_ElectionProofProduction, Round: round, Entropy: e}, nil
}

// ticketDraw is what the worker's VRF runs over to make the ticket of a block on a base.
func ticketDraw(beacon types.BeaconEntry, miner address.Address, round abi.ChainEpoch, base *types.TipSet) (*types.DrawRandomParams, error) {
	e, err := entropy(miner)
	if err != nil {
		return nil, err
	}
	if t := base.MinTicket(); t != nil {
		e = append(e, t.VRFProof...)
	}
	return &types.DrawRandomParams{
		Rbase: beacon.Data, Pers: crypto.DomainSeparationTag_TicketProduction, Round: round - params.TicketRandomnessLookback, Entropy: e,
	}, nil
}

// vrf asks the wallet to run the worker's VRF. The wallet draws the randomness itself.
func vrf(ctx context.Context, w Signer, worker address.Address, d *types.DrawRandomParams) ([]byte, error) {
	raw, err := d.Serialize()
	if err != nil {
		return nil, err
	}
	sig, err := w.WalletSign(ctx, worker, raw, walletapi.MsgMeta{Type: walletapi.TypeDrawRandomParam})
	if err != nil {
		return nil, err
	}
	if sig == nil || sig.Type != crypto.SigTypeBLS {
		return nil, fmt.Errorf("the wallet did not answer with a BLS signature")
	}
	return sig.Data, nil
}

// signingBytes are a header's bytes without its signature, and their digest for the guard.
func signingBytes(h *types.BlockHeader) (raw []byte, digest string, err error) {
	raw, err = h.SigningBytes()
	if err != nil {
		return nil, "", err
	}
	sum := blake2b.Sum256(raw)
	return raw, hex.EncodeToString(sum[:]), nil
}

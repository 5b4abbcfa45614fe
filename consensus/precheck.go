package consensus

import (
	"context"
	"errors"
	"fmt"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	gscrypto "github.com/filecoin-project/go-state-types/crypto"
	"github.com/filecoin-project/go-state-types/proof"
	"github.com/ipfs/go-cid"
	"golang.org/x/sync/errgroup"

	"github.com/filecoin-venus/venus/beacon"
	"github.com/filecoin-venus/venus/crypto"
	"github.com/filecoin-venus/venus/types"
)

// Ahead is for how many epochs behind a judged tipset Precheck can work: the
// states that decide over their miners are all known by then.
func (v *Validator) Ahead() abi.ChainEpoch { return v.net.WinningPoStLookback }

// Precheck verifies what in the headers of a chain is signatures and winning
// proofs, all of them together, which takes a third of the time that one by one
// would take. chain holds consecutive tipsets, oldest first, that build on
// stored, a tipset that was judged; nothing else is believed of them.
//
// Blocks whose signatures and proofs hold are remembered, and ValidateBlock
// spares them these checks: the rules ticket, election proof (but for its win
// count), winning proof and signature; so are beacon entries. Of all others nothing is remembered, and
// ValidateBlock judges them in full and says what is wrong. So Precheck
// decides nothing; it only makes a catch-up faster. An error says why it could
// not help.
func (v *Validator) Precheck(ctx context.Context, stored *types.TipSet, chain []*types.TipSet) error {
	return guarded(func() error { return v.precheck(ctx, stored, chain) })
}

// PrecheckMessages verifies the signatures of the messages in a block whose header Precheck found good, as far as the
// senders' addresses are their keys; ValidateBlock will know them again. A chain that somebody made up has no such blocks,
// and costs nothing here.
func (v *Validator) PrecheckMessages(ctx context.Context, full *types.FullBlock) error {
	if !v.proven.Contains(full.Cid()) {
		return errors.New("the header was not found good")
	}
	return guarded(func() error {
		if err := checkMessageRoot(ctx, full); err != nil {
			return err
		}
		return v.checkSignatures(full, keyAddress)
	})
}

// keyAddress is the key of a sender that is named by it.
func keyAddress(from address.Address) (address.Address, error) {
	if p := from.Protocol(); p != address.BLS && p != address.SECP256K1 {
		return address.Undef, fmt.Errorf("the key of %s stands in a state", from)
	}
	return from, nil
}

func (v *Validator) precheck(ctx context.Context, stored *types.TipSet, chain []*types.TipSet) error {
	previous, err := v.store.LatestBeaconEntry(ctx, stored)
	if err != nil {
		return err
	}
	var all claims
	base := stored
	for _, ts := range chain {
		if ts.Parents() != base.Key() {
			return fmt.Errorf("tipset %s does not build on %s", ts.Key(), base.Key())
		}
		for _, h := range ts.Blocks() {
			if c := h.Cid(); v.good.Contains(c) || v.proven.Contains(c) {
				continue
			}
			// A block that cannot be claimed for is ValidateBlock's to refuse.
			if err := v.claim(ctx, &all, stored, base, previous, h); err != nil {
				log.Debugw("block not prechecked", "block", h.Cid(), "height", h.Height, "reason", err)
			}
		}
		if e := ts.Blocks()[0].LastBeaconEntry(); e != nil {
			previous = *e
		}
		base = ts
	}
	return v.prove(ctx, &all)
}

// claims are what Precheck verifies: beacon entries, three signatures and one proof a block.
type claims struct {
	blocks     []cid.Cid
	beacon     []beacon.Claim
	signatures crypto.Batch
	proofs     []proof.WinningPoStVerifyInfo
}

// claim adds what a header on base claims, from the same lookback that prepare takes.
func (v *Validator) claim(ctx context.Context, into *claims, stored, base *types.TipSet, previous types.BeaconEntry, h *types.BlockHeader) error {
	if err := checkPresence(h); err != nil {
		return err
	}
	if h.Height-stored.Height() > v.Ahead() {
		return fmt.Errorf("%d epochs above the last judged tipset", h.Height-stored.Height())
	}
	_, root, err := v.exec.Lookback(ctx, stored, h.Height)
	if err != nil {
		return err
	}
	c := &candidate{head: h, base: base, lookbackState: v.view(root), beacon: previous}
	if e := h.LastBeaconEntry(); e != nil {
		c.beacon = *e
	}
	if c.worker, err = v.workerOf(ctx, c.lookbackState, h.Miner); err != nil {
		return err
	}
	ticket, err := TicketBase(c.beacon, h.Height, h.Miner, base.MinTicket())
	if err != nil {
		return err
	}
	election, err := ElectionBase(c.beacon, h.Height, h.Miner)
	if err != nil {
		return err
	}
	body, err := h.SigningBytes()
	if err != nil {
		return err
	}
	info, err := v.winningInfo(ctx, c)
	if err != nil {
		return err
	}
	if c.worker.Protocol() != address.BLS || h.BlockSig.Type != gscrypto.SigTypeBLS {
		return fmt.Errorf("signature is not of BLS")
	}
	for _, s := range []struct{ sig, msg []byte }{{h.Ticket.VRFProof, ticket}, {h.ElectionProof.VRFProof, election}, {h.BlockSig.Data, body}} {
		if err := into.signatures.Add(s.sig, c.worker, s.msg); err != nil {
			return err
		}
	}
	into.beacon = append(into.beacon, beacon.Claim{Epoch: h.Height, ParentEpoch: base.Height(), Prev: previous, Entries: h.BeaconEntries})
	into.blocks, into.proofs = append(into.blocks, h.Cid()), append(into.proofs, info)
	return nil
}

// prove verifies the claims and remembers the blocks for which all hold. One bad signature spoils the batch: then nothing
// is remembered.
func (v *Validator) prove(ctx context.Context, all *claims) error {
	var verdicts []bool
	var group errgroup.Group
	group.Go(func() error { return guarded(func() error { return v.beacon.Ahead(all.beacon) }) })
	group.Go(func() error { return guarded(all.signatures.Verify) })
	group.Go(func() error {
		return guarded(func() (err error) {
			verdicts, err = v.proofs.VerifyWinningPoStBatch(ctx, all.proofs)
			return err
		})
	})
	if err := group.Wait(); err != nil {
		return err
	}
	for i, c := range all.blocks {
		if verdicts[i] {
			v.proven.Add(c, struct{}{})
		}
	}
	return nil
}

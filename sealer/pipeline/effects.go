package pipeline

import (
	"bytes"
	"context"
	"fmt"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/go-state-types/proof"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/miner"
	cbg "github.com/whyrusleeping/cbor-gen"

	"github.com/filecoin-venus/venus/internal/fault"
	"github.com/filecoin-venus/venus/sealer/heads"
	"github.com/filecoin-venus/venus/sealer/messages"
	"github.com/filecoin-venus/venus/sealer/sector"
)

// pushPreCommit sends the pre-commit unless it was sent or is on the chain.
func (p *Pipeline) pushPreCommit(ctx context.Context, rec sector.Record) (sector.Event, error) {
	known, err := p.parts.Messages.Known(ctx, rec.PreCommit.ID)
	if err != nil {
		return nil, err
	}
	if known != nil {
		return sector.Pushed{ID: rec.PreCommit.ID, Value: known.Value}, nil
	}
	info, deposit, ev, err := p.preCommitParams(ctx, rec, p.parts.Heads.Latest())
	if ev != nil || err != nil {
		return ev, err
	}
	params, err := Encode(info)
	if err != nil {
		return nil, err
	}
	if err := fault.Point("sealer/intent"); err != nil {
		return nil, err
	}
	value, err := p.parts.Messages.Push(ctx, messages.Request{
		ID: rec.PreCommit.ID, Kind: sector.KindPreCommit, Method: builtin.MethodsMiner.PreCommitSector, Value: deposit, Params: params,
		// After this epoch the chain would refuse the ticket.
		Expire: rec.Ticket.Epoch + p.cfg.Policy.MaxTicketAge,
	})
	if err != nil {
		return nil, err
	}
	return sector.Pushed{ID: rec.PreCommit.ID, Value: value}, nil
}

// preCommitParams looks whether a sector may be committed to, and with what. An
// event tells why it must not be.
func (p *Pipeline) preCommitParams(ctx context.Context, rec sector.Record, head heads.Head) (*miner.PreCommitSectorParams, abi.TokenAmount, sector.Event, error) {
	fact, err := p.facts(ctx, rec.Number, head.Key)
	if err != nil {
		return nil, big.Zero(), nil, err
	}
	if gone, ok := fact.(sector.OnChainAbsent); !ok || gone.Allocated || p.cfg.Policy.TicketExpired(rec, head.Epoch) {
		return nil, big.Zero(), fact, nil
	}
	if sector.Begun(rec.Deals, head.Epoch) {
		return nil, big.Zero(), sector.GiveUp{}, nil
	}
	if ev, err := p.sameDeals(ctx, rec.Deals); ev != nil || err != nil {
		return nil, big.Zero(), ev, err
	}
	info, err := p.preCommitInfo(rec, head.Epoch)
	if err != nil {
		return nil, big.Zero(), nil, err
	}
	deposit, err := p.parts.Chain.StateMinerPreCommitDepositForPower(ctx, p.cfg.Miner, info, head.Key)
	if err != nil {
		return nil, big.Zero(), nil, fmt.Errorf("ask for the pre-commit deposit: %w", err)
	}
	return &miner.PreCommitSectorParams{
		SealProof: info.SealProof, SectorNumber: info.SectorNumber, SealedCID: info.SealedCID,
		SealRandEpoch: info.SealRandEpoch, Expiration: info.Expiration, DealIDs: info.DealIDs,
	}, deposit, nil, nil
}

// awaitMessage asks the messager for the fate of a message, and the chain for
// what it did.
func (p *Pipeline) awaitMessage(ctx context.Context, rec sector.Record, x sector.AwaitMessage) (sector.Event, error) {
	fate, err := p.fate(ctx, x.ID)
	if err != nil {
		return nil, err
	}
	// The messager may be ahead of us: judge only once our own head has seen the message's epoch.
	if fate.Waiting || (fate.Landed && p.parts.Heads.Latest().Epoch <= fate.Height) {
		return nil, nil
	}
	landed := sector.Landed{ID: x.ID, Cid: fate.Cid, Exit: fate.Exit, Height: fate.Height}
	if x.Kind == sector.KindTerminate && fate.Landed {
		return landed, nil
	}
	fact, err := p.facts(ctx, rec.Number, p.parts.Heads.Latest().Key)
	if err != nil {
		return nil, err
	}
	// Another message of ours may have done the work: only the chain's record counts.
	switch f := fact.(type) {
	case sector.OnChainProven:
		if x.Kind != sector.KindTerminate && (x.Kind != sector.KindUpdate || rec.Update.CommR != nil && f.CommR.Equals(*rec.Update.CommR)) {
			return fact, nil
		}
	case sector.OnChainPreCommitted:
		if x.Kind == sector.KindPreCommit {
			return fact, nil
		}
	}
	if fate.Landed {
		return landed, nil
	}
	return sector.Dropped{ID: x.ID, Err: fate.Why}, nil
}

// readSeed draws the seed if the pre-commit is still where it was.
func (p *Pipeline) readSeed(ctx context.Context, rec sector.Record, x sector.ReadSeed) (sector.Event, error) {
	head := p.parts.Heads.Latest()
	fact, err := p.facts(ctx, rec.Number, head.Key)
	if err != nil {
		return nil, err
	}
	if pre, ok := fact.(sector.OnChainPreCommitted); !ok || pre.Epoch != rec.PreCommitEpoch || !pre.CommR.Equals(*rec.CommR) {
		return fact, nil
	}
	seed, err := p.seedAt(ctx, x.Epoch, head.Key)
	if err != nil {
		return nil, err
	}
	return sector.SeedRead{Seed: seed}, nil
}

// pushCommit sends the proof unless it was sent, the sector is proven, the seed
// or the pre-commit changed, or our own check refuses it.
func (p *Pipeline) pushCommit(ctx context.Context, rec sector.Record) (sector.Event, error) {
	known, err := p.parts.Messages.Known(ctx, rec.Commit.ID)
	if err != nil {
		return nil, err
	}
	if known != nil {
		return sector.Pushed{ID: rec.Commit.ID, Value: known.Value}, nil
	}
	if sector.Begun(rec.Deals, p.parts.Heads.Latest().Epoch) {
		return sector.GiveUp{}, nil // nothing was sent
	}
	value, ev, err := p.readyToProve(ctx, rec, p.parts.Heads.Latest())
	if ev != nil || err != nil {
		return ev, err
	}
	params, err := Encode(&miner.ProveCommitSectorParams{SectorNumber: rec.Number, Proof: rec.Proof})
	if err != nil {
		return nil, err
	}
	if err := fault.Point("sealer/intent"); err != nil {
		return nil, err
	}
	value, err = p.parts.Messages.Push(ctx, messages.Request{
		ID: rec.Commit.ID, Kind: sector.KindCommit, Method: builtin.MethodsMiner.ProveCommitSector, Params: params,
		Value:  value,
		Expire: rec.PreCommitEpoch + p.cfg.Policy.MaxProveCommitDuration,
	})
	if err != nil {
		return nil, err
	}
	return sector.Pushed{ID: rec.Commit.ID, Value: value}, nil
}

// readyToProve looks whether a sector's proof may be sent, and with how much. An
// event tells why it must not be.
func (p *Pipeline) readyToProve(ctx context.Context, rec sector.Record, head heads.Head) (abi.TokenAmount, sector.Event, error) {
	fact, pre, err := p.factsWith(ctx, rec.Number, head.Key)
	if err != nil {
		return big.Zero(), nil, err
	}
	if pre == nil || pre.PreCommitEpoch != rec.PreCommitEpoch || !pre.Info.SealedCID.Equals(*rec.CommR) {
		return big.Zero(), fact, nil
	}
	seed, err := p.seedAt(ctx, rec.Seed.Epoch, head.Key)
	if err != nil {
		return big.Zero(), nil, err
	}
	if !bytes.Equal(seed.Value, rec.Seed.Value) {
		return big.Zero(), sector.SeedRead{Seed: seed}, nil
	}
	if ev, err := p.checkProof(ctx, rec); ev != nil || err != nil {
		return big.Zero(), ev, err
	}
	pledge, err := p.parts.Chain.StateMinerInitialPledgeCollateral(ctx, p.cfg.Miner, pre.Info, head.Key)
	if err != nil {
		return big.Zero(), nil, fmt.Errorf("ask for the pledge: %w", err)
	}
	return big.Max(big.Zero(), big.Sub(pledge, pre.PreCommitDeposit)), nil, nil
}

// checkProof verifies the proof as the chain will.
func (p *Pipeline) checkProof(ctx context.Context, rec sector.Record) (sector.Event, error) {
	ok, err := p.parts.Verifier.VerifySeal(ctx, proof.SealVerifyInfo{
		SealProof: rec.SealProof, SectorID: rec.ID(), Randomness: rec.Ticket.Value, InteractiveRandomness: rec.Seed.Value,
		Proof: rec.Proof, SealedCID: *rec.CommR, UnsealedCID: *rec.CommD, DealIDs: []abi.DealID{},
	})
	if err != nil {
		return nil, fmt.Errorf("check the proof of sector %d: %w", rec.Number, err)
	}
	if !ok {
		return sector.ProofInvalid{Err: "our own check refused the proof; it was not sent"}, nil
	}
	return nil, nil
}

// Encode encodes the parameters of a message.
func Encode(v cbg.CBORMarshaler) ([]byte, error) {
	var b bytes.Buffer
	if err := v.MarshalCBOR(&b); err != nil {
		return nil, fmt.Errorf("encode message parameters: %w", err)
	}
	return b.Bytes(), nil
}

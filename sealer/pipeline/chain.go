package pipeline

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/crypto"
	"github.com/filecoin-project/go-state-types/dline"
	"github.com/filecoin-project/go-state-types/proof"
	"github.com/ipfs/go-cid"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/api/node"
	"github.com/filecoin-venus/venus/proofs/seal"
	"github.com/filecoin-venus/venus/sealer/sector"
	"github.com/filecoin-venus/venus/types"
)

// Randomness is the part of the node that draws randomness.
type Randomness interface {
	StateGetRandomnessFromTickets(ctx context.Context, tag crypto.DomainSeparationTag, epoch abi.ChainEpoch, entropy []byte, tsk types.TipSetKey) (abi.Randomness, error)
	StateGetRandomnessFromBeacon(ctx context.Context, tag crypto.DomainSeparationTag, epoch abi.ChainEpoch, entropy []byte, tsk types.TipSetKey) (abi.Randomness, error)
}

// Sectors is the part of the node that knows sectors and what they cost.
type Sectors interface {
	StateMinerSectorAllocated(ctx context.Context, miner address.Address, n abi.SectorNumber, tsk types.TipSetKey) (bool, error)
	StateSectorPreCommitInfo(ctx context.Context, miner address.Address, n abi.SectorNumber, tsk types.TipSetKey) (node.SectorPreCommitOnChainInfo, error)
	StateSectorGetInfo(ctx context.Context, miner address.Address, n abi.SectorNumber, tsk types.TipSetKey) (*node.SectorOnChainInfo, error)
	StateMinerPreCommitDepositForPower(ctx context.Context, miner address.Address, info node.SectorPreCommitInfo, tsk types.TipSetKey) (abi.TokenAmount, error)
	StateMinerInitialPledgeCollateral(ctx context.Context, miner address.Address, info node.SectorPreCommitInfo, tsk types.TipSetKey) (abi.TokenAmount, error)
}

// Partitions is the part of the node that knows which sectors must be proven.
type Partitions interface {
	StateMinerPartitions(ctx context.Context, miner address.Address, deadline uint64, tsk types.TipSetKey) ([]node.Partition, error)
	StateMinerProvingDeadline(ctx context.Context, miner address.Address, tsk types.TipSetKey) (*dline.Info, error)
}

// Chain is the part of the node that is used.
type Chain interface {
	Randomness
	Sectors
	Partitions
}

// Verifier checks proofs before they are sent.
type Verifier interface {
	VerifySeal(ctx context.Context, info proof.SealVerifyInfo) (bool, error)
	VerifyReplicaUpdate(ctx context.Context, info proof.ReplicaUpdateInfo) (bool, error)
}

// Deals are the deals whose data was brought.
type Deals interface {
	// Here lists those whose data is here, also those that sectors have.
	Here() []sector.Deal
	// Data opens the data of one: as many bytes as its piece holds.
	Data(id abi.DealID) (io.ReadCloser, error)
	// Same tells why the chain's deal of a number is another one at present, "" if it is not.
	Same(ctx context.Context, d sector.Deal) (why string, err error)
	// Done tells that a sector holds a deal for good.
	Done(ctx context.Context, id abi.DealID) error
	// Expire ends those that have started and that no sector has taken.
	Expire(ctx context.Context, epoch abi.ChainEpoch, taken func(abi.DealID) bool) error
}

// Pieces writes pieces into unsealed files; proofs/seal does.
type Pieces interface {
	AddPiece(ctx context.Context, sector seal.Sector, paths seal.Paths, existing []abi.UnpaddedPieceSize, size abi.UnpaddedPieceSize, r io.Reader) (abi.PieceInfo, error)
}

// Replicas looks into the files of a sector that was just sealed.
type Replicas interface {
	// CheckProvable tells why sectors' files are not those of their commitments; slow opens some leaves.
	CheckProvable(ctx context.Context, sectors []seal.SectorRef, slow bool) (map[abi.SectorID]string, error)
}

// entropy is the miner's address as draws of randomness take it.
func (p *Pipeline) entropy() ([]byte, error) {
	var b bytes.Buffer
	if err := p.cfg.Miner.MarshalCBOR(&b); err != nil {
		return nil, fmt.Errorf("encode miner address: %w", err)
	}
	return b.Bytes(), nil
}

// facts asks what the chain knows of a sector.
func (p *Pipeline) facts(ctx context.Context, n abi.SectorNumber, at types.TipSetKey) (sector.Event, error) {
	ev, _, err := p.factsWith(ctx, n, at)
	return ev, err
}

// factsWith also returns the pre-commit, if that is what the chain has.
func (p *Pipeline) factsWith(ctx context.Context, n abi.SectorNumber, at types.TipSetKey) (sector.Event, *node.SectorPreCommitOnChainInfo, error) {
	used, err := p.parts.Chain.StateMinerSectorAllocated(ctx, p.cfg.Miner, n, at)
	if err != nil {
		return nil, nil, fmt.Errorf("ask whether sector number %d is used: %w", n, err)
	}
	if !used {
		return sector.OnChainAbsent{}, nil, nil
	}
	info, err := p.parts.Chain.StateSectorGetInfo(ctx, p.cfg.Miner, n, at)
	if err != nil && api.Explain(err).Code != api.CodeNotFound {
		return nil, nil, fmt.Errorf("read sector %d on chain: %w", n, err)
	}
	if err == nil && info != nil {
		return sector.OnChainProven{CommR: info.SealedCID}, nil, nil
	}
	pre, err := p.parts.Chain.StateSectorPreCommitInfo(ctx, p.cfg.Miner, n, at)
	if err != nil {
		if api.Explain(err).Code == api.CodeNotFound {
			return sector.OnChainAbsent{Allocated: true}, nil, nil
		}
		return nil, nil, fmt.Errorf("read pre-commit of sector %d: %w", n, err)
	}
	return sector.OnChainPreCommitted{Epoch: pre.PreCommitEpoch, CommR: pre.Info.SealedCID}, &pre, nil
}

// readTicket draws the ticket behind the head, once the number is known to be free.
func (p *Pipeline) readTicket(ctx context.Context, rec sector.Record) (sector.Event, error) {
	head := p.parts.Heads.Latest()
	used, err := p.parts.Chain.StateMinerSectorAllocated(ctx, p.cfg.Miner, rec.Number, head.Key)
	if err != nil {
		return nil, fmt.Errorf("ask whether sector number %d is free: %w", rec.Number, err)
	}
	if used {
		return sector.OnChainAbsent{Allocated: true}, nil
	}
	ent, err := p.entropy()
	if err != nil {
		return nil, err
	}
	epoch := head.Epoch - p.cfg.TicketLookback
	r, err := p.parts.Chain.StateGetRandomnessFromTickets(ctx, crypto.DomainSeparationTag_SealRandomness, epoch, ent, head.Key)
	if err != nil {
		return nil, fmt.Errorf("draw the ticket of epoch %d: %w", epoch, err)
	}
	return sector.TicketRead{Ticket: sector.Randomness{Value: r, Epoch: epoch}}, nil
}

func (p *Pipeline) seedAt(ctx context.Context, epoch abi.ChainEpoch, at types.TipSetKey) (sector.Randomness, error) {
	ent, err := p.entropy()
	if err != nil {
		return sector.Randomness{}, err
	}
	r, err := p.parts.Chain.StateGetRandomnessFromBeacon(ctx, crypto.DomainSeparationTag_InteractiveSealChallengeSeed, epoch, ent, at)
	if err != nil {
		return sector.Randomness{}, fmt.Errorf("draw the seed of epoch %d: %w", epoch, err)
	}
	return sector.Randomness{Value: r, Epoch: epoch}, nil
}

// preCommitInfo is the statement of the pre-commit message.
func (p *Pipeline) preCommitInfo(rec sector.Record, now abi.ChainEpoch) (node.SectorPreCommitInfo, error) {
	if rec.CommR == nil || rec.CommR.Equals(cid.Undef) {
		return node.SectorPreCommitInfo{}, fmt.Errorf("sector %d has no CommR", rec.Number)
	}
	return node.SectorPreCommitInfo{
		SealProof: rec.SealProof, SectorNumber: rec.Number, SealedCID: *rec.CommR, SealRandEpoch: rec.Ticket.Epoch,
		Expiration: now + p.cfg.Lifetime, DealIDs: sector.IDsOf(rec.Deals),
	}, nil
}

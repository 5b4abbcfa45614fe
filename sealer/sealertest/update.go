package sealertest

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/proof"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/miner"
	"github.com/ipfs/go-cid"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/api/node"
	"github.com/filecoin-venus/venus/proofs/commp"
	"github.com/filecoin-venus/venus/sealer/sector"
	"github.com/filecoin-venus/venus/types"
	"github.com/filecoin-venus/venus/worker"
)

// UpdateProof is what the model takes for a proof of a replica update.
func UpdateProof(key, commR, commD cid.Cid) []byte {
	return Cid("update" + key.String() + commR.String() + commD.String()).Hash()
}

// AddDeal publishes a deal of the model's miner.
func (c *Chain) AddDeal(id abi.DealID, piece abi.PieceInfo, start, end abi.ChainEpoch) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now.deals[id] = node.MarketDeal{
		Proposal: node.DealProposal{PieceCID: piece.PieceCID, PieceSize: piece.Size, Provider: Miner(), StartEpoch: start, EndEpoch: end},
		State:    node.DealState{SectorStartEpoch: -1, LastUpdatedEpoch: -1, SlashEpoch: -1},
	}
}

// Deal is the chain's record of a deal.
func (c *Chain) Deal(id abi.DealID) node.MarketDeal {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now.deals[id]
}

// SetDeal changes the chain's record of a deal.
func (c *Chain) SetDeal(id abi.DealID, change func(*node.MarketDeal)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	d := c.now.deals[id]
	change(&d)
	c.now.deals[id] = d
}

// StateMarketStorageDeal implements the node's method.
func (c *Chain) StateMarketStorageDeal(_ context.Context, id abi.DealID, _ types.TipSetKey) (*node.MarketDeal, error) {
	done, err := c.enter()
	defer done()
	if err != nil {
		return nil, err
	}
	d, ok := c.now.deals[id]
	if !ok {
		return nil, api.Errorf(api.CodeNotFound, "no deal %d", id)
	}
	return &d, nil
}

// proveUpdates does what the actor does: updates that cannot be are passed over, and nothing at all fails the message.
func (c *Chain) proveUpdates(p *miner.ProveReplicaUpdatesParams, h abi.ChainEpoch) error {
	done := 0
	for _, u := range p.Updates {
		s := c.now.sectors[u.SectorID]
		loc := c.now.place[u.SectorID]
		if len(u.Deals) == 0 || c.mutable(u.Deadline, h) != nil || loc.Deadline != u.Deadline || loc.Partition != u.Partition ||
			!c.now.active[u.SectorID] || c.now.ended[u.SectorID] || len(s.DealIDs) > 0 {
			continue
		}
		var pieces []abi.PieceInfo
		for _, id := range u.Deals {
			p := c.now.deals[id].Proposal
			pieces = append(pieces, abi.PieceInfo{Size: p.PieceSize, PieceCID: p.PieceCID})
		}
		before := maps.Clone(c.now.deals)
		if !c.activate(u.Deals, s.Expiration, h) {
			continue
		}
		commD, err := commp.UnsealedCID(s.SealProof, pieces)
		if err != nil {
			return err
		}
		if !c.AnyProof && !bytes.Equal(u.ReplicaProof, UpdateProof(s.SealedCID, u.NewSealedSectorCID, commD)) {
			c.now.deals = before
			return errIllegal
		}
		s.SealedCID, s.DealIDs, s.Activation = u.NewSealedSectorCID, slices.Clone(u.Deals), h
		c.now.sectors[u.SectorID] = s
		done++
	}
	if done == 0 {
		return errIllegal
	}
	return nil
}

// activate takes deals into a sector that lives until an epoch: all or none.
func (c *Chain) activate(ids []abi.DealID, until, h abi.ChainEpoch) bool {
	for _, id := range ids {
		d, ok := c.now.deals[id]
		if !ok || d.State.SectorStartEpoch != -1 || d.Proposal.StartEpoch < h || d.Proposal.EndEpoch > until {
			return false
		}
	}
	for _, id := range ids {
		d := c.now.deals[id]
		d.State.SectorStartEpoch = h
		c.now.deals[id] = d
	}
	return true
}

// update does the tasks of an update.
func (p *Prover) update(t worker.Task) (worker.Result, error) {
	commD, err := commp.UnsealedCID(t.SealProof, t.Pieces)
	if err != nil {
		return worker.Result{}, err
	}
	if t.Kind == sector.TaskProveUpdate {
		return worker.Result{Proof: UpdateProof(*t.Key, *t.CommR, commD)}, nil
	}
	key, err := os.ReadFile(t.Files.Sealed)
	if err != nil {
		return worker.Result{}, err
	}
	if string(key) != t.Key.String() {
		return worker.Result{}, fmt.Errorf("the key's file holds %s", key)
	}
	if _, err := os.Stat(t.Files.Unsealed); err != nil {
		return worker.Result{}, err
	}
	work, commR := t.Work(), Cid("updated "+t.Key.String()+commD.String())
	if err := os.MkdirAll(work.UpdateCache, 0o755); err != nil {
		return worker.Result{}, err
	}
	if err := os.WriteFile(filepath.Join(work.UpdateCache, "p_aux"), []byte(t.ID), 0o644); err != nil {
		return worker.Result{}, err
	}
	return worker.Result{CommD: &commD, CommR: &commR}, os.WriteFile(work.Update, []byte(commR.String()), 0o644)
}

// VerifyReplicaUpdate implements pipeline.Verifier.
func (p *Prover) VerifyReplicaUpdate(_ context.Context, i proof.ReplicaUpdateInfo) (bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.Reject && bytes.Equal(i.Proof, UpdateProof(i.OldSealedSectorCID, i.NewSealedSectorCID, i.NewUnsealedSectorCID)), nil
}

package sealertest

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/filecoin-project/go-bitfield"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/miner"
	cbg "github.com/whyrusleeping/cbor-gen"

	"github.com/filecoin-venus/venus/types"
)

// run executes a message of the miner actor by the model's rules: all of it or
// nothing.
func (c *Chain) run(m *types.Message, h abi.ChainEpoch) error {
	methods := map[abi.MethodNum]func() error{
		builtin.MethodsMiner.PreCommitSector: with(m, func(p *miner.PreCommitSectorParams) error { return c.preCommit(*p, h) }),
		builtin.MethodsMiner.PreCommitSectorBatch: with(m, func(p *miner.PreCommitSectorBatchParams) error {
			for _, s := range p.Sectors {
				if err := c.preCommit(miner.PreCommitSectorParams(s), h); err != nil {
					return err
				}
			}
			return nil
		}),
		builtin.MethodsMiner.ProveCommitSector:    with(m, func(p *miner.ProveCommitSectorParams) error { return c.proveCommit(*p, h) }),
		builtin.MethodsMiner.ProveCommitAggregate: with(m, func(p *miner.ProveCommitAggregateParams) error { return c.proveAggregate(p, h) }),
		builtin.MethodsMiner.SubmitWindowedPoSt:   with(m, func(p *miner.SubmitWindowedPoStParams) error { return c.submit(*p, h) }),
		builtin.MethodsMiner.DeclareFaultsRecovered: with(m, func(p *miner.DeclareFaultsRecoveredParams) error {
			return c.declareRecovered(p, h)
		}),
		builtin.MethodsMiner.DeclareFaults:          with(m, func(p *miner.DeclareFaultsParams) error { return c.declareFaults(p, h) }),
		builtin.MethodsMiner.TerminateSectors:       with(m, func(p *miner.TerminateSectorsParams) error { return c.terminate(p, h) }),
		builtin.MethodsMiner.ExtendSectorExpiration: with(m, func(p *miner.ExtendSectorExpirationParams) error { return c.extend(p, h) }),
		builtin.MethodsMiner.CompactPartitions:      with(m, c.compact),
		builtin.MethodsMiner.ProveReplicaUpdates: with(m, func(p *miner.ProveReplicaUpdatesParams) error {
			return c.proveUpdates(p, h)
		}),
	}
	f := methods[m.Method]
	if f == nil {
		return fmt.Errorf("method %d: %w", m.Method, errIllegal)
	}
	before := c.now.clone()
	if err := f(); err != nil {
		c.now = before
		return err
	}
	return nil
}

// with decodes a message's parameters for f.
func with[P any, PP interface {
	*P
	cbg.CBORUnmarshaler
}](m *types.Message, f func(PP) error) func() error {
	return func() error {
		p := PP(new(P))
		if err := p.UnmarshalCBOR(bytes.NewReader(m.Params)); err != nil {
			return err
		}
		return f(p)
	}
}

func numbers(b bitfield.BitField) ([]abi.SectorNumber, error) {
	all, err := b.All(1 << 20)
	var out []abi.SectorNumber
	for _, n := range all {
		out = append(out, abi.SectorNumber(n))
	}
	return out, err
}

// AggregateProof is what the model takes for an aggregate of proofs, in the order of their sectors.
func AggregateProof(proofs [][]byte) []byte {
	return Cid("aggregate" + string(bytes.Join(proofs, nil))).Hash()
}

func (c *Chain) proveAggregate(p *miner.ProveCommitAggregateParams, h abi.ChainEpoch) error {
	list, err := numbers(p.SectorNumbers)
	if err != nil || len(list) < miner.MinAggregatedSectors {
		return errIllegal
	}
	var proofs [][]byte
	for _, n := range list {
		pre, ok := c.now.pre[n]
		if !ok {
			return errIllegal
		}
		seed, err := c.draw(seedTag, pre.PreCommitEpoch+c.Network.PreCommitChallengeDelay, entropy(), false)
		if err != nil {
			return err
		}
		proofs = append(proofs, SealProof(pre.Info.SealedCID, seed))
	}
	if !bytes.Equal(p.AggregateProof, AggregateProof(proofs)) {
		return errIllegal
	}
	for i, n := range list {
		if err := c.proveCommit(miner.ProveCommitSectorParams{SectorNumber: n, Proof: proofs[i]}, h); err != nil {
			return err
		}
	}
	return nil
}

func (c *Chain) declareRecovered(p *miner.DeclareFaultsRecoveredParams, h abi.ChainEpoch) error {
	for _, d := range p.Recoveries {
		if err := c.cutoff(d.Deadline, h); err != nil {
			return err
		}
		list, err := numbers(d.Sectors)
		if err != nil {
			return err
		}
		for _, n := range list {
			if c.now.faulty[n] {
				c.now.recover[n] = true
			}
		}
	}
	return nil
}

func (c *Chain) declareFaults(p *miner.DeclareFaultsParams, h abi.ChainEpoch) error {
	for _, d := range p.Faults {
		err := c.cutoff(d.Deadline, h)
		if err != nil {
			return err
		}
		list, err := c.at(d.Deadline, d.Partition, d.Sectors)
		if err != nil {
			return err
		}
		for _, n := range list {
			c.now.faulty[n], c.now.active[n] = true, false
			delete(c.now.recover, n)
		}
	}
	return nil
}

// mutable refuses changes of the deadline that is open and the one before it.
func (c *Chain) mutable(deadline uint64, h abi.ChainEpoch) error {
	if d := c.deadline(h); deadline == d.Index || deadline == (d.Index+1)%d.WPoStPeriodDeadlines {
		return errIllegal
	}
	return nil
}

// at lists the named sectors of a partition, which must all be live in it.
func (c *Chain) at(deadline, partition uint64, b bitfield.BitField) ([]abi.SectorNumber, error) {
	list, err := numbers(b)
	if err != nil {
		return nil, err
	}
	for _, n := range list {
		if loc, ok := c.now.place[n]; !ok || loc.Deadline != deadline || loc.Partition != partition || c.now.ended[n] {
			return nil, errIllegal
		}
	}
	return list, nil
}

func (c *Chain) terminate(p *miner.TerminateSectorsParams, h abi.ChainEpoch) error {
	for _, d := range p.Terminations {
		list, err := c.at(d.Deadline, d.Partition, d.Sectors)
		if err == nil {
			err = c.mutable(d.Deadline, h)
		}
		if err != nil {
			return err
		}
		for _, n := range list {
			c.end(n)
		}
	}
	return nil
}

func (c *Chain) extend(p *miner.ExtendSectorExpirationParams, h abi.ChainEpoch) error {
	for _, d := range p.Extensions {
		list, err := c.at(d.Deadline, d.Partition, d.Sectors)
		if err != nil {
			return err
		}
		for _, n := range list {
			s := c.now.sectors[n]
			if d.NewExpiration < s.Expiration || s.Expiration < h || d.NewExpiration-h > miner.MaxSectorExpirationExtension || c.now.faulty[n] {
				return errIllegal
			}
			s.Expiration = d.NewExpiration
			c.now.sectors[n] = s
		}
	}
	return nil
}

func (c *Chain) compact(p *miner.CompactPartitionsParams) error {
	parts := c.partitions(p.Deadline)
	for i, list := range parts {
		in, err := p.Partitions.IsSet(uint64(i))
		if err != nil {
			return err
		}
		if !in {
			continue
		}
		if slices.ContainsFunc(list, func(n abi.SectorNumber) bool { return c.now.faulty[n] }) {
			return errIllegal
		}
		for _, n := range list {
			if c.now.ended[n] {
				delete(c.now.place, n)
				delete(c.now.sectors, n)
				delete(c.now.ended, n)
			}
		}
	}
	return nil
}

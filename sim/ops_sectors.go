package sim

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/filecoin-project/go-bitfield"
	commcid "github.com/filecoin-project/go-fil-commcid"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	gscrypto "github.com/filecoin-project/go-state-types/crypto"
	"github.com/filecoin-project/go-state-types/exitcode"
	"github.com/filecoin-project/go-state-types/proof"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/miner"
	miner7 "github.com/filecoin-project/specs-actors/v7/actors/builtin/miner"
	"github.com/ipfs/go-cid"

	"github.com/filecoin-venus/venus/proofs/commp"
	"github.com/filecoin-venus/venus/state"
	"github.com/filecoin-venus/venus/types"
)

// How often, once in so many, a window goes unproven, a sector is missing from its proof, a proof does not hold, a seal is
// proven too early or wrongly, and a pre-commit is left to expire.
const (
	missedPosts   = 40
	missedSectors = 40
	badPosts      = 25
	badSeals      = 15
	earlySeals    = 10
	abandoned     = 12
)

// sectorCap is how many sector numbers a miner uses at most.
const sectorCap = 400

const (
	kindPost      = "prove window"
	kindPreCommit = "pre-commit"
)

func (o *operator) sectorOperations() []operation {
	return []operation{
		{kindPreCommit, 30, o.preCommit},
		{"prove commit", 90, o.proveCommit},
		{"prove commit aggregate", 20, o.proveAggregate},
		{"prove replica update", 25, o.replicaUpdate},
		{kindPost, 0, nil},
	}
}

// preCommit is a promise of sectors that were sealed together.
type preCommit struct {
	numbers     []abi.SectorNumber
	sealed      []cid.Cid
	unsealed    []cid.Cid
	deals       [][]abi.DealID
	ticketEpoch abi.ChainEpoch
	// epoch is where the pre-commit was executed.
	epoch     abi.ChainEpoch
	abandoned bool
}

// sealedCID makes a replica commitment that no other sector has.
func (o *operator) sealedCID() (cid.Cid, error) {
	o.made++
	c := digest("replica", number(uint64(o.w.cfg.Seed)), number(uint64(o.made)))[:32]
	c[31] &= 0x3f
	return commcid.ReplicaCommitmentV1ToCID(c)
}

func (o *operator) preCommit(t *turn) (*draft, error) {
	m := o.freeMiner()
	ticketEpoch := t.head.Height() - o.w.Net.SealRandomnessLookback
	if m == nil || ticketEpoch < 0 || m.ops.next > sectorCap {
		return nil, nil
	}
	from, err := o.sender(t, m)
	if err != nil {
		return nil, err
	}
	kind, err := o.w.Net.SealProof(sectorSize)
	if err != nil {
		return nil, err
	}
	p := &preCommit{ticketEpoch: ticketEpoch, abandoned: o.chance(abandoned)}
	first := m.ops.next
	if first > 0 && o.chance(20) {
		first-- // used before, unless that message was refused
	}
	var params []miner.SectorPreCommitInfo
	count := []int{1, 1, 1, 2, 5}[o.rng.Intn(5)]
	expiration := t.epoch() + miner7.MinSectorExpiration + o.w.Net.MaxProveCommitDuration + 100 + abi.ChainEpoch(o.rng.Intn(50_000))
	for i := range count {
		var deals []abi.DealID
		var pieces []abi.PieceInfo
		if o.chance(2) {
			deals, pieces = o.market.take(m, t.epoch()+dealSlack)
		}
		sealed, err := o.sealedCID()
		if err != nil {
			return nil, err
		}
		unsealed, err := commp.UnsealedCID(kind, pieces)
		if err != nil {
			return nil, err
		}
		n := first + abi.SectorNumber(i)
		p.numbers, p.sealed = append(p.numbers, n), append(p.sealed, sealed)
		p.unsealed, p.deals = append(p.unsealed, unsealed), append(p.deals, deals)
		params = append(params, miner.SectorPreCommitInfo{
			SealProof: kind, SectorNumber: n, SealedCID: sealed, SealRandEpoch: ticketEpoch, DealIDs: deals, Expiration: expiration,
		})
	}
	m.ops.next = max(m.ops.next, first+abi.SectorNumber(count))
	msg, err := preCommitCall(m, params)
	if err != nil {
		return nil, err
	}
	offer := state.SectorOffer{Proof: kind, Expiration: expiration}
	return &draft{from: from, msg: msg, miner: m, judge: o.preCommitExit(m, from, offer, p.numbers), done: func(x *execution) error {
		if !x.ok() {
			o.market.giveBack(p.deals)
			return nil
		}
		p.epoch = x.epoch
		m.ops.pre = append(m.ops.pre, p)
		return nil
	}}, nil
}

// preCommitExit is the fate of a pre-commit of sectors. The numbers may have been used before.
func (o *operator) preCommitExit(m *Miner, from Key, offer state.SectorOffer, numbers []abi.SectorNumber) func(*execution) (exits, error) {
	count, numbers := len(numbers), slices.Clone(numbers)
	return o.ruled(m, func(s *standing, x *execution) exits {
		switch {
		case s.indebted():
			return only(exitcode.ErrInsufficientFunds)
		case !s.admits(o, from):
			return only(exitcode.SysErrForbidden)
		case s.convicted(x.epoch):
			return only(exitcode.ErrForbidden)
		}
		deposit, err := x.before.PreCommitDeposit(x.ctx, m.ID, offer, x.epoch)
		if err != nil {
			return nil
		}
		done := exitcode.Ok
		for _, n := range numbers {
			used, err := x.before.SectorAllocated(x.ctx, m.ID, n)
			if err != nil {
				return nil
			}
			if used {
				done = exitcode.ErrIllegalArgument
			}
		}
		// Deals raise the deposit up to tenfold, a batch costs a fee.
		need := big.Add(big.Mul(deposit, big.NewInt(int64(10*count))), oneFIL())
		if big.Sub(s.free, s.st.FeeDebt).LessThan(need) {
			return exits{done, exitcode.ErrInsufficientFunds}
		}
		return only(done)
	})
}

func preCommitCall(m *Miner, params []miner.SectorPreCommitInfo) (types.Message, error) {
	if len(params) > 1 {
		var batch miner7.PreCommitSectorBatchParams
		for _, p := range params {
			batch.Sectors = append(batch.Sectors, preCommitParams(p))
		}
		return call(m.ID, big.Zero(), builtin.MethodsMiner.PreCommitSectorBatch, &batch, largeGas)
	}
	one := preCommitParams(params[0])
	return call(m.ID, big.Zero(), builtin.MethodsMiner.PreCommitSector, &one, largeGas)
}

func preCommitParams(p miner.SectorPreCommitInfo) miner7.PreCommitSectorParams {
	return miner7.PreCommitSectorParams{
		SealProof: p.SealProof, SectorNumber: p.SectorNumber, SealedCID: p.SealedCID, SealRandEpoch: p.SealRandEpoch,
		DealIDs: p.DealIDs, Expiration: p.Expiration,
	}
}

// due picks a pre-commit of a free miner whose time to be proven has come, or sometimes has not.
func (o *operator) due(t *turn, aggregate bool) (*Miner, *preCommit) {
	m := o.freeMiner()
	if m == nil {
		return nil, nil
	}
	for _, p := range m.ops.pre {
		if p.abandoned || (len(p.numbers) >= miner7.MinAggregatedSectors) != aggregate {
			continue
		}
		if t.head.Height() > p.epoch+o.w.Net.PreCommitChallengeDelay || o.chance(earlySeals) {
			return m, p
		}
	}
	return nil, nil
}

// sealInfo is the statement of a seal. Before its seed is drawn the statement is of no use, and neither is the proof.
func (o *operator) sealInfo(t *turn, m *Miner, p *preCommit, i int) (proof.SealVerifyInfo, error) {
	kind, err := o.w.Net.SealProof(sectorSize)
	if err != nil {
		return proof.SealVerifyInfo{}, err
	}
	var entropy bytes.Buffer
	if err := m.ID.MarshalCBOR(&entropy); err != nil {
		return proof.SealVerifyInfo{}, err
	}
	seed := min(p.epoch+o.w.Net.PreCommitChallengeDelay, t.head.Height())
	rand := o.w.Exec.Randomness(t.head)
	ticket, err := rand.TicketRandomness(t.ctx, gscrypto.DomainSeparationTag_SealRandomness, p.ticketEpoch, entropy.Bytes())
	if err != nil {
		return proof.SealVerifyInfo{}, err
	}
	interactive, err := rand.BeaconRandomness(t.ctx, gscrypto.DomainSeparationTag_InteractiveSealChallengeSeed, seed, entropy.Bytes())
	if err != nil {
		return proof.SealVerifyInfo{}, err
	}
	return proof.SealVerifyInfo{
		SealProof: kind, SectorID: abi.SectorID{Miner: m.Actor, Number: p.numbers[i]}, Randomness: ticket, InteractiveRandomness: interactive,
		SealedCID: p.sealed[i], UnsealedCID: p.unsealed[i],
	}, nil
}

// proveCommit proves the last sector of a pre-commit; the verdict on the proof falls in the same epoch's cron.
func (o *operator) proveCommit(t *turn) (*draft, error) {
	m, p := o.due(t, false)
	if m == nil {
		return nil, nil
	}
	last := len(p.numbers) - 1
	info, err := o.sealInfo(t, m, p, last)
	if err != nil {
		return nil, err
	}
	answer, bad := sealProof(info), o.chance(badSeals)
	if bad {
		answer[0] ^= 1
	}
	from, err := o.sender(t, m) // anyone may prove
	if err != nil {
		return nil, err
	}
	n := p.numbers[last]
	msg, err := call(m.ID, big.Zero(), builtin.MethodsMiner.ProveCommitSector, &miner7.ProveCommitSectorParams{SectorNumber: n, Proof: answer}, largeGas)
	if err != nil {
		return nil, err
	}
	return &draft{from: from, msg: msg, miner: m, judge: func(x *execution) (exits, error) {
		return o.proveExit(x, m, p, n, p.deals[last:], false)
	}, done: func(x *execution) error {
		switch {
		case x.receipt.ExitCode == exitcode.ErrNotFound || x.receipt.ExitCode == exitcode.ErrIllegalArgument:
			m.ops.drop(p)
			return nil
		case !x.ok():
			return nil
		}
		_, proven, err := x.after.Sector(x.ctx, m.ID, n)
		if err != nil {
			return err
		}
		if bad && proven {
			return fmt.Errorf("sector %d of %s is proven by a proof that does not hold", n, m.ID)
		}
		if !bad && !proven && len(p.deals[last]) == 0 {
			return fmt.Errorf("sector %d of %s was proven, and is not there", n, m.ID)
		}
		if proven {
			p.pop()
		}
		if len(p.numbers) == 0 || bad && o.chance(3) {
			m.ops.drop(p)
		}
		return nil
	}}, nil
}

// proveExit is the fate of the proof of a pre-committed sector, alone or with the others of its pre-commit. The market
// knows what is in it until its deals run out; in an aggregate it is asked before the time is looked at.
func (o *operator) proveExit(x *execution, m *Miner, p *preCommit, n abi.SectorNumber, deals [][]abi.DealID, aggregate bool) (exits, error) {
	_, found, err := x.before.PreCommit(x.ctx, m.ID, n)
	gone, ending := o.market.dropped(deals, x.epoch)
	late, early := x.epoch > p.epoch+o.w.Net.MaxProveCommitDuration, x.epoch <= p.epoch+o.w.Net.PreCommitChallengeDelay
	switch {
	case err != nil:
		return nil, err
	case x.nulls > 0 && (late || ending):
		return exits{exitcode.Ok, exitcode.ErrNotFound, exitcode.ErrIllegalArgument, exitcode.ErrForbidden}, nil
	case !found, gone && aggregate:
		return only(exitcode.ErrNotFound), nil
	case late:
		return only(exitcode.ErrIllegalArgument), nil
	case early:
		return only(exitcode.ErrForbidden), nil
	case gone:
		return only(exitcode.ErrNotFound), nil
	}
	return only(exitcode.Ok), nil
}

// pop forgets the last sector.
func (p *preCommit) pop() {
	last := len(p.numbers) - 1
	p.numbers, p.sealed, p.unsealed, p.deals = p.numbers[:last], p.sealed[:last], p.unsealed[:last], p.deals[:last]
}

func (b *minerBook) drop(p *preCommit) {
	for i, q := range b.pre {
		if q == p {
			b.pre = append(b.pre[:i:i], b.pre[i+1:]...)
			return
		}
	}
}

func (o *operator) proveAggregate(t *turn) (*draft, error) {
	m, p := o.due(t, true)
	if m == nil {
		return nil, nil
	}
	agg := proof.AggregateSealVerifyProofAndInfos{Miner: m.Actor, AggregateProof: abi.RegisteredAggregationProof_SnarkPackV1}
	numbers := bitfield.New()
	for i, n := range p.numbers {
		info, err := o.sealInfo(t, m, p, i)
		if err != nil {
			return nil, err
		}
		agg.SealProof = info.SealProof
		agg.Infos = append(agg.Infos, proof.AggregateSealVerifyInfo{
			Number: n, Randomness: info.Randomness, InteractiveRandomness: info.InteractiveRandomness,
			SealedCID: info.SealedCID, UnsealedCID: info.UnsealedCID,
		})
		numbers.Set(uint64(n))
	}
	answer, bad := aggregateProof(agg), o.chance(badSeals)
	if bad {
		answer[0] ^= 1
	}
	from, err := o.sender(t, m)
	if err != nil {
		return nil, err
	}
	msg, err := call(m.ID, big.Zero(), builtin.MethodsMiner.ProveCommitAggregate, &miner7.ProveCommitAggregateParams{
		SectorNumbers: numbers, AggregateProof: answer,
	}, hugeGas)
	if err != nil {
		return nil, err
	}
	return &draft{from: from, msg: msg, miner: m, judge: o.ruled(m, func(s *standing, x *execution) exits {
		if !s.admits(o, from) {
			return only(exitcode.SysErrForbidden)
		}
		want, err := o.proveExit(x, m, p, p.numbers[0], p.deals, true)
		if err != nil || want[0] != exitcode.Ok {
			return want
		}
		switch {
		case bad:
			return only(exitcode.ErrIllegalArgument)
		case !o.market.anyBegins(p.deals, x.epoch):
			return only(exitcode.ErrIllegalArgument)
		case !s.rich():
			return exits{exitcode.Ok, exitcode.ErrInsufficientFunds}
		}
		return want
	}), done: func(x *execution) error {
		if x.ok() || x.receipt.ExitCode == exitcode.ErrNotFound || x.receipt.ExitCode == exitcode.ErrIllegalArgument && !bad {
			m.ops.drop(p)
		}
		return nil
	}}, nil
}

// replicaUpdate puts deals into a sector that has none.
func (o *operator) replicaUpdate(t *turn) (*draft, error) {
	m := o.freeMiner()
	if m == nil {
		return nil, nil
	}
	where, err := o.findPlot(t, m, 1, anywhere, active)
	if err != nil || where == nil {
		return nil, err
	}
	old, found, err := t.view.Sector(t.ctx, m.ID, abi.SectorNumber(where.numbers[0]))
	if err != nil || !found || len(old.DealIDs) > 0 {
		return nil, err
	}
	deals, pieces := o.market.take(m, t.epoch()+dealSlack)
	if len(deals) == 0 {
		return nil, nil
	}
	from, err := o.sender(t, m)
	if err != nil {
		return nil, err
	}
	kind, err := old.SealProof.RegisteredUpdateProof()
	if err != nil {
		return nil, err
	}
	sealed, err := o.sealedCID()
	if err != nil {
		return nil, err
	}
	unsealed, err := commp.UnsealedCID(old.SealProof, pieces)
	if err != nil {
		return nil, err
	}
	answer, bad := updateProof(proof.ReplicaUpdateInfo{
		UpdateProofType: kind, OldSealedSectorCID: old.SealedCID, NewSealedSectorCID: sealed, NewUnsealedSectorCID: unsealed,
	}), o.chance(badSeals)
	if bad {
		answer[0] ^= 1
	}
	msg, err := call(m.ID, big.Zero(), builtin.MethodsMiner.ProveReplicaUpdates, &miner7.ProveReplicaUpdatesParams{Updates: []miner7.ReplicaUpdate{{
		SectorID: old.SectorNumber, Deadline: where.deadline, Partition: where.partition, NewSealedSectorCID: sealed, Deals: deals,
		UpdateProofType: kind, ReplicaProof: answer,
	}}}, largeGas)
	if err != nil {
		return nil, err
	}
	return &draft{from: from, msg: msg, miner: m, judge: o.ruled(m, func(s *standing, x *execution) exits {
		switch {
		case !s.admits(o, from):
			return only(exitcode.SysErrForbidden)
		case bad || !mutable(s.deadline(where.deadline, x.epoch)):
			return only(exitcode.ErrIllegalArgument)
		case !s.rich():
			return exits{exitcode.Ok, exitcode.ErrInsufficientFunds}
		}
		return only(exitcode.Ok)
	}), done: func(x *execution) error {
		if !x.ok() {
			o.market.giveBack([][]abi.DealID{deals})
			return nil
		}
		m.ops.altered(where.deadline)
		now, found, err := x.after.Sector(x.ctx, m.ID, old.SectorNumber)
		if err == nil && (!found || now.SealedCID != sealed || now.SectorKeyCID == nil || *now.SectorKeyCID != old.SealedCID) {
			return fmt.Errorf("sector %d of %s was updated, and does not show it", old.SectorNumber, m.ID)
		}
		return err
	}}, nil
}

// skipped draws the sectors of a partition that its owner finds missing while proving.
func (o *operator) skipped(p state.Partition) (bitfield.BitField, error) {
	out := bitfield.New()
	err := p.Active.ForEach(func(n uint64) error {
		if o.chance(missedSectors) {
			out.Set(n)
		}
		return nil
	})
	return out, err
}

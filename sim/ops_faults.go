package sim

import (
	"fmt"
	"slices"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-bitfield"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/go-state-types/dline"
	"github.com/filecoin-project/go-state-types/exitcode"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/miner"

	"github.com/filecoin-venus/venus/state"
)

func (o *operator) minerOperations() []operation {
	return []operation{
		{"declare faults", 60, o.declareFaults},
		{"declare recoveries", 150, o.declareRecoveries},
		{"terminate sectors", 12, o.terminate},
		{"extend sectors", 20, o.extend},
		{"compact partitions", 12, o.compact},
		{"compact sector numbers", 6, o.compactNumbers},
		{"dispute window proof", 40, o.dispute},
		{"report consensus fault", 3, o.reportFault},
		{"withdraw miner balance", 20, o.withdraw},
		{"repay debt", 12, o.repay},
		{"change worker", 8, o.changeWorker},
		{"confirm worker", 8, o.confirmWorker},
		{"change owner", 8, o.changeOwner},
		{"change peer id", 6, o.changePeer},
		{"create miner", 1, o.createMiner},
	}
}

// declareFaults declares active sectors faulty; some declarations lie about the partition, or come too late.
func (o *operator) declareFaults(t *turn) (*draft, error) {
	m := o.frailMiner()
	if m == nil {
		return nil, nil
	}
	fits := declarable
	if o.chance(15) {
		fits = anywhere
	}
	where, err := o.findPlot(t, m, 2, fits, active)
	if err != nil || where == nil {
		return nil, err
	}
	good := exitcode.Ok
	switch {
	case o.chance(25):
		where.partition, good = 1000, exitcode.ErrNotFound
	case o.chance(25):
		where.sectors.Set(1 << 20)
		good = exitcode.ErrIllegalArgument
	}
	d, err := o.toMiner(t, m, big.Zero(), builtin.MethodsMiner.DeclareFaults, &miner.DeclareFaultsParams{Faults: []miner.FaultDeclaration{{
		Deadline: where.deadline, Partition: where.partition, Sectors: where.sectors,
	}}}, func(from Key, s *standing, x *execution) exits {
		switch {
		case !s.admits(o, from):
			return only(exitcode.SysErrForbidden)
		case !declarable(s.deadline(where.deadline, x.epoch)):
			return only(exitcode.ErrIllegalArgument)
		}
		return only(good)
	})
	if err != nil {
		return nil, err
	}
	d.done = func(x *execution) error {
		if !x.ok() {
			return nil
		}
		return o.expectIn(x, m, where, "faulty", func(p state.Partition) bitfield.BitField { return p.Faulty })
	}
	return d, nil
}

// expectIn demands that sectors are in a set of their partition after the tipset. They may have left it by the end of the
// window, whose cron also counts: then the next message will tell.
func (o *operator) expectIn(x *execution, m *Miner, where *plot, set string, of func(state.Partition) bitfield.BitField) error {
	dl, err := x.after.Deadline(x.ctx, m.ID, where.deadline)
	if err != nil {
		return err
	}
	for _, n := range where.numbers {
		in, err := of(dl.Partitions[where.partition]).IsSet(n)
		if err != nil {
			return err
		}
		if !in {
			return fmt.Errorf("sector %d of %s is not %s after the message", n, m.ID, set)
		}
	}
	return nil
}

func (o *operator) declareRecoveries(t *turn) (*draft, error) {
	m := o.freeMiner()
	if m == nil {
		return nil, nil
	}
	where, err := o.findPlot(t, m, 2, declarable, lost)
	if err != nil || where == nil {
		return nil, err
	}
	d, err := o.toMiner(t, m, big.Zero(), builtin.MethodsMiner.DeclareFaultsRecovered, &miner.DeclareFaultsRecoveredParams{Recoveries: []miner.RecoveryDeclaration{{
		Deadline: where.deadline, Partition: where.partition, Sectors: where.sectors,
	}}}, func(from Key, s *standing, x *execution) exits {
		switch {
		case s.indebted():
			return only(exitcode.ErrInsufficientFunds)
		case !s.admits(o, from):
			return only(exitcode.SysErrForbidden)
		case s.convicted(x.epoch):
			return only(exitcode.ErrForbidden)
		case !declarable(s.deadline(where.deadline, x.epoch)):
			return only(exitcode.ErrIllegalArgument)
		}
		return only(exitcode.Ok)
	})
	if err != nil {
		return nil, err
	}
	d.done = func(x *execution) error {
		if !x.ok() {
			return nil
		}
		return o.expectIn(x, m, where, "recovering", func(p state.Partition) bitfield.BitField { return p.Recovering })
	}
	return d, nil
}

func (o *operator) terminate(t *turn) (*draft, error) {
	m := o.frailMiner()
	if m == nil {
		return nil, nil
	}
	fits := mutable
	if o.chance(10) {
		fits = anywhere
	}
	where, err := o.findPlot(t, m, 2, fits, live)
	if err != nil || where == nil {
		return nil, err
	}
	d, err := o.toMiner(t, m, big.Zero(), builtin.MethodsMiner.TerminateSectors, &miner.TerminateSectorsParams{Terminations: []miner.TerminationDeclaration{{
		Deadline: where.deadline, Partition: where.partition, Sectors: where.sectors,
	}}}, func(from Key, s *standing, x *execution) exits {
		switch {
		case !s.admits(o, from):
			return only(exitcode.SysErrForbidden)
		case !mutable(s.deadline(where.deadline, x.epoch)):
			return only(exitcode.ErrIllegalArgument)
		}
		return only(exitcode.Ok)
	})
	if err != nil {
		return nil, err
	}
	d.done = func(x *execution) error {
		if !x.ok() {
			return nil
		}
		var ret miner.TerminateSectorsReturn
		if err := x.returned(&ret); err != nil {
			return err
		}
		if !ret.Done {
			return fmt.Errorf("termination of %d sectors of %s is not done at once", len(where.numbers), m.ID)
		}
		return o.expectIn(x, m, where, "terminated", func(p state.Partition) bitfield.BitField { return p.Terminated })
	}
	return d, nil
}

func (o *operator) extend(t *turn) (*draft, error) {
	m := o.freeMiner()
	if m == nil {
		return nil, nil
	}
	where, err := o.findPlot(t, m, 1, anywhere, active)
	if err != nil || where == nil {
		return nil, err
	}
	old, found, err := t.view.Sector(t.ctx, m.ID, abi.SectorNumber(where.numbers[0]))
	if err != nil || !found {
		return nil, err
	}
	good, until := exitcode.Ok, min(old.Expiration+abi.ChainEpoch(o.rng.Intn(100_000)), t.epoch()+miner.MaxSectorExpirationExtension)
	switch {
	case o.chance(20):
		until, good = old.Expiration-1, exitcode.ErrIllegalArgument
	case o.chance(20):
		until, good = t.epoch()+miner.MaxSectorExpirationExtension+1000, exitcode.ErrIllegalArgument
	case until < old.Expiration:
		good = exitcode.ErrIllegalArgument // it lives as long as anything may already
	}
	d, err := o.toMiner(t, m, big.Zero(), builtin.MethodsMiner.ExtendSectorExpiration, &miner.ExtendSectorExpirationParams{Extensions: []miner.ExpirationExtension{{
		Deadline: where.deadline, Partition: where.partition, Sectors: where.sectors, NewExpiration: until,
	}}}, func(from Key, s *standing, _ *execution) exits {
		if !s.admits(o, from) {
			return only(exitcode.SysErrForbidden)
		}
		return only(good)
	})
	if err != nil {
		return nil, err
	}
	d.done = func(x *execution) error {
		if !x.ok() {
			return nil
		}
		m.ops.altered(where.deadline)
		now, found, err := x.after.Sector(x.ctx, m.ID, old.SectorNumber)
		if err == nil && (!found || now.Expiration != until) {
			return fmt.Errorf("sector %d of %s was extended to %d, and does not show it", old.SectorNumber, m.ID, until)
		}
		return err
	}
	return d, nil
}

func (o *operator) compact(t *turn) (*draft, error) {
	m := o.freeMiner()
	if m == nil {
		return nil, nil
	}
	fits := func(d *dline.Info) bool { return mutable(d) && !disputable(d, o.w.Net.DisputeWindow) }
	if o.chance(10) {
		fits = anywhere
	}
	where, err := o.findPlot(t, m, 1, fits, func(p state.Partition) (bitfield.BitField, error) { return p.Terminated, nil })
	if err != nil || where == nil {
		return nil, err
	}
	return o.toMiner(t, m, big.Zero(), builtin.MethodsMiner.CompactPartitions, &miner.CompactPartitionsParams{
		Deadline: where.deadline, Partitions: bitfield.NewFromSet([]uint64{where.partition}),
	}, func(from Key, s *standing, x *execution) exits {
		d := s.deadline(where.deadline, x.epoch)
		dl, err := x.before.Deadline(x.ctx, m.ID, where.deadline)
		if err != nil {
			return nil
		}
		p := dl.Partitions[where.partition]
		whole, err := empty(p.Faulty, p.Unproven)
		switch {
		case err != nil:
			return nil
		case !s.admits(o, from):
			return only(exitcode.SysErrForbidden)
		case !mutable(d) || disputable(d, o.w.Net.DisputeWindow):
			return only(exitcode.ErrForbidden)
		case !whole:
			return only(exitcode.ErrIllegalArgument)
		}
		return only(exitcode.Ok)
	})
}

func empty(sets ...bitfield.BitField) (bool, error) {
	for _, s := range sets {
		none, err := s.IsEmpty()
		if err != nil || !none {
			return false, err
		}
	}
	return true, nil
}

// compactNumbers gives up some sector numbers.
func (o *operator) compactNumbers(t *turn) (*draft, error) {
	m := o.freeMiner()
	if m == nil {
		return nil, nil
	}
	d, err := o.toMiner(t, m, big.Zero(), builtin.MethodsMiner.CompactSectorNumbers, &miner.CompactSectorNumbersParams{
		MaskSectorNumbers: bitfield.NewFromSet([]uint64{uint64(m.ops.next), uint64(m.ops.next + 1)}),
	}, func(from Key, s *standing, _ *execution) exits {
		if !s.admits(o, from) {
			return only(exitcode.SysErrForbidden)
		}
		return only(exitcode.Ok)
	})
	if err != nil {
		return nil, err
	}
	m.ops.next += 2
	return d, nil
}

// dispute challenges a window proof: one that is known to be bad, or now and then any.
func (o *operator) dispute(t *turn) (*draft, error) {
	m, p := o.freeMiner(), o.anyone()
	if m == nil || p == nil {
		return nil, nil
	}
	// A proof that nobody disputed in time counts as good; the next one of its deadline takes its place.
	late := func(b badPost, at abi.ChainEpoch) bool { return at >= b.close+o.w.Net.DisputeWindow }
	m.ops.bad = slices.DeleteFunc(m.ops.bad, func(b badPost) bool { return late(b, t.epoch()) })
	bad := len(m.ops.bad) > 0 && (t.epoch() >= m.ops.bad[0].close || o.chance(20))
	var target badPost
	switch {
	case bad:
		target = m.ops.bad[0]
	case o.chance(10):
		target = badPost{deadline: uint64(o.rng.Intn(int(miner.WPoStPeriodDeadlines)))}
	default:
		return nil, nil
	}
	msg, err := call(m.ID, big.Zero(), builtin.MethodsMiner.DisputeWindowedPoSt, &miner.DisputeWindowedPoStParams{Deadline: target.deadline}, largeGas)
	if err != nil {
		return nil, err
	}
	return &draft{from: p.Key, msg: msg, miner: m, judge: o.ruled(m, func(s *standing, x *execution) exits {
		switch {
		case !disputable(s.deadline(target.deadline, x.epoch), o.w.Net.DisputeWindow):
			return only(exitcode.ErrForbidden)
		case !bad || x.epoch < target.close:
			return only(exitcode.ErrIllegalArgument)
		case late(target, x.epoch):
			return exits{exitcode.Ok, exitcode.ErrIllegalArgument} // of the proof that is there now nothing is remembered
		}
		return only(exitcode.Ok)
	}), done: func(x *execution) error {
		if bad && x.epoch >= target.close {
			m.ops.bad = slices.DeleteFunc(m.ops.bad, func(b badPost) bool { return b == target })
		}
		return nil
	}}, nil
}

// reportFault accuses a miner of the head of a second block, which is made for the purpose, or of nothing.
func (o *operator) reportFault(t *turn) (*draft, error) {
	p := o.anyone()
	head := t.head.Blocks()[o.rng.Intn(len(t.head.Blocks()))]
	m := o.w.miner(head.Miner)
	if p == nil || m == nil || m.ops.busy || m.ops.steadfast || t.head.Height() == 0 {
		return nil, nil
	}
	other := *head
	proven := !o.chance(4)
	if proven {
		other.ForkSignaling++
		if err := o.w.Sign(m, &other); err != nil {
			return nil, err
		}
	}
	first, err := head.Serialize()
	if err != nil {
		return nil, err
	}
	second, err := other.Serialize()
	if err != nil {
		return nil, err
	}
	msg, err := call(m.ID, big.Zero(), builtin.MethodsMiner.ReportConsensusFault, &miner.ReportConsensusFaultParams{BlockHeader1: first, BlockHeader2: second}, largeGas)
	if err != nil {
		return nil, err
	}
	at := head.Height
	return &draft{from: p.Key, msg: msg, miner: m, judge: o.ruled(m, func(s *standing, _ *execution) exits {
		switch {
		case !proven:
			return only(exitcode.ErrIllegalArgument)
		case at < s.info.ConsensusFaultElapsed:
			return only(exitcode.ErrForbidden)
		}
		return only(exitcode.Ok)
	}), done: func(x *execution) error {
		info, err := x.after.MinerInfo(x.ctx, m.ID)
		if err == nil && x.ok() && info.ConsensusFaultElapsed != x.epoch+miner.ConsensusFaultIneligibilityDuration {
			return fmt.Errorf("%s was convicted, and may mine from %d on", m.ID, info.ConsensusFaultElapsed)
		}
		return err
	}}, nil
}

// miner finds a miner by its address.
func (w *World) miner(id address.Address) *Miner {
	for _, m := range w.Miners {
		if m.ID == id {
			return m
		}
	}
	return nil
}

package sim

import (
	"fmt"
	"slices"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-bitfield"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/go-state-types/cbor"
	"github.com/filecoin-project/go-state-types/dline"
	"github.com/filecoin-project/go-state-types/exitcode"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/miner"

	"github.com/filecoin-venus/venus/state"
)

// minerBook is what operations keep of a miner.
type minerBook struct {
	// busy while a message is under way whose outcome depends on the miner's state.
	busy bool
	// next is the sector number to use next.
	next abi.SectorNumber
	// pre are the pre-commits that are not proven.
	pre []*preCommit
	// bad are window proofs that do not hold and wait to be disputed.
	bad []badPost
	// handedOver is the last epoch in which a message changed who may speak for the miner.
	handedOver abi.ChainEpoch
	// steadfast miners lose no sectors and are never accused: one has to keep the chain alive.
	steadfast bool
	// heir is the proposed next owner.
	heir *person
}

type badPost struct {
	deadline uint64
	close    abi.ChainEpoch
}

// altered tells that sectors of a deadline are no longer what a proof was about. A dispute books faults with the sectors as
// they were when the window closed (actors-v7-miner.md 7.2, 29); what changed since makes it fail, or the actor's own sums
// of power come out wrong. So nobody disputes there any more.
func (b *minerBook) altered(deadline uint64) {
	b.bad = slices.DeleteFunc(b.bad, func(p badPost) bool { return p.deadline == deadline })
}

// freeMiner picks a miner that nothing is under way for; nil when the first try meets a busy one.
func (o *operator) freeMiner() *Miner {
	m := o.w.Miners[o.rng.Intn(len(o.w.Miners))]
	if m.ops.busy {
		return nil
	}
	return m
}

// frailMiner picks a free miner that may come to harm.
func (o *operator) frailMiner() *Miner {
	m := o.freeMiner()
	if m == nil || m.ops.steadfast {
		return nil
	}
	return m
}

// speakers are the keys that may speak for a miner: control keys, owner, worker.
func (o *operator) speakers(t *turn, m *Miner) ([]Key, error) {
	info, err := t.view.MinerInfo(t.ctx, m.ID)
	if err != nil {
		return nil, err
	}
	var out []Key
	for _, id := range append(info.ControlAddresses, info.Owner, info.Worker) {
		if k, ok := o.byID[id]; ok {
			out = append(out, k)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("nobody here speaks for %s", m.ID)
	}
	return out, nil
}

// caller picks someone who may speak for a miner.
func (o *operator) caller(t *turn, m *Miner) (Key, error) {
	keys, err := o.speakers(t, m)
	if err != nil {
		return Key{}, err
	}
	return keys[o.rng.Intn(len(keys))], nil
}

// strangers is how many calls of a miner, on average, hold one by someone who has no say.
const strangers = 12

// sender picks who sends a message to a miner: one who may, or now and then anyone.
func (o *operator) sender(t *turn, m *Miner) (Key, error) {
	if p := o.anyone(); p != nil && o.chance(strangers) {
		return p.Key, nil
	}
	return o.caller(t, m)
}

// toMiner drafts a message to a miner's actor, from somebody who mostly may send it, and how it must end.
func (o *operator) toMiner(t *turn, m *Miner, value abi.TokenAmount, method abi.MethodNum, args cbor.Marshaler, rule func(from Key, s *standing, x *execution) exits) (*draft, error) {
	from, err := o.sender(t, m)
	if err != nil {
		return nil, err
	}
	msg, err := call(m.ID, value, method, args, largeGas)
	if err != nil {
		return nil, err
	}
	return &draft{from: from, msg: msg, miner: m, judge: o.ruled(m, func(s *standing, x *execution) exits { return rule(from, s, x) })}, nil
}

// standing is a miner as a message met it.
type standing struct {
	info *miner.MinerInfo
	st   *miner.State
	// free is the balance that nothing locks; debt comes off it.
	free abi.TokenAmount
}

func (o *operator) standing(x *execution, m *Miner) (*standing, error) {
	act, st, err := x.before.MinerState(x.ctx, m.ID)
	if err != nil {
		return nil, err
	}
	info, err := x.before.MinerInfo(x.ctx, m.ID)
	if err != nil {
		return nil, err
	}
	free := big.Sub(act.Balance, big.Sum(st.LockedFunds, st.PreCommitDeposits, st.InitialPledge))
	return &standing{info: info, st: st, free: free}, nil
}

// admits tells whether a key may speak for the miner.
func (s *standing) admits(o *operator, k Key) bool {
	for _, id := range append(s.info.ControlAddresses, s.info.Owner, s.info.Worker) {
		if o.byID[id].Address == k.Address {
			return true
		}
	}
	return false
}

func (s *standing) owner(o *operator) address.Address { return o.byID[s.info.Owner].Address }

// indebted tells whether the miner cannot pay what it owes.
func (s *standing) indebted() bool { return s.free.LessThan(s.st.FeeDebt) }

// rich tells whether the miner has more than a FIL to spare, enough for every fee of these messages.
func (s *standing) rich() bool { return big.Sub(s.free, s.st.FeeDebt).GreaterThan(oneFIL()) }

// convicted tells whether the miner may not seal and recover because of a consensus fault.
func (s *standing) convicted(epoch abi.ChainEpoch) bool {
	return epoch <= s.info.ConsensusFaultElapsed
}

// deadline places one of the miner's deadlines relative to an epoch: the next window of it that has not closed.
func (s *standing) deadline(index uint64, epoch abi.ChainEpoch) *dline.Info {
	return deadlineAt(s.st, index, epoch)
}

func deadlineAt(st *miner.State, index uint64, epoch abi.ChainEpoch) *dline.Info {
	return miner.NewDeadlineInfo(st.DeadlineInfo(epoch).PeriodStart, index, epoch).NextNotElapsed()
}

// mutable: neither open nor next to open (actors-v7-miner.md 4.3).
func mutable(d *dline.Info) bool { return d.CurrentEpoch < d.Open-d.WPoStChallengeWindow }

func disputable(d *dline.Info, window abi.ChainEpoch) bool {
	return !d.IsOpen() && d.CurrentEpoch < d.Close-d.WPoStProvingPeriod+window
}

func declarable(d *dline.Info) bool { return d.CurrentEpoch < d.FaultCutoff }

// ruled foretells a message to a miner from its standing. After null rounds, whose cron is not in the state before, every
// exit that the rule gives for some epoch since is possible; success then always is.
func (o *operator) ruled(m *Miner, rule func(s *standing, x *execution) exits) func(*execution) (exits, error) {
	return func(x *execution) (exits, error) {
		s, err := o.standing(x, m)
		if err != nil {
			return nil, err
		}
		want := rule(s, x)
		if len(want) == 0 {
			return nil, fmt.Errorf("the state of %s before the message cannot be read", m.ID)
		}
		if x.nulls > 0 && want[0] == exitcode.Ok {
			want = append(want, exitcode.SysErrForbidden, exitcode.ErrIllegalArgument, exitcode.ErrNotFound, exitcode.ErrForbidden,
				exitcode.ErrInsufficientFunds, exitcode.ErrIllegalState)
		} else if x.nulls > 0 {
			want = append(want, exitcode.Ok)
		}
		return want, nil
	}
}

// plot is a part of a partition: where some sectors of a miner are.
type plot struct {
	deadline, partition uint64
	sectors             bitfield.BitField
	numbers             []uint64
}

// findPlot looks for up to some sectors of one partition, in a deadline that fits. The deadline order is drawn.
func (o *operator) findPlot(t *turn, m *Miner, most int, fits func(*dline.Info) bool, of func(state.Partition) (bitfield.BitField, error)) (*plot, error) {
	_, st, err := t.view.MinerState(t.ctx, m.ID)
	if err != nil {
		return nil, err
	}
	for _, i := range o.rng.Perm(int(miner.WPoStPeriodDeadlines)) {
		index := uint64(i)
		if !fits(deadlineAt(st, index, t.epoch())) {
			continue
		}
		dl, err := t.view.Deadline(t.ctx, m.ID, index)
		if err != nil {
			return nil, err
		}
		for _, j := range o.rng.Perm(len(dl.Partitions)) {
			set, err := of(dl.Partitions[j])
			if err != nil {
				return nil, err
			}
			numbers, err := set.All(1 << 16)
			if err != nil {
				return nil, err
			}
			if len(numbers) == 0 {
				continue
			}
			o.rng.Shuffle(len(numbers), func(a, b int) { numbers[a], numbers[b] = numbers[b], numbers[a] })
			numbers = numbers[:min(len(numbers), 1+o.rng.Intn(most))]
			return &plot{index, uint64(j), bitfield.NewFromSet(numbers), numbers}, nil
		}
	}
	return nil, nil
}

func anywhere(*dline.Info) bool { return true }

func active(p state.Partition) (bitfield.BitField, error) { return p.Active, nil }
func live(p state.Partition) (bitfield.BitField, error)   { return p.Live, nil }
func lost(p state.Partition) (bitfield.BitField, error) {
	return bitfield.SubtractBitField(p.Faulty, p.Recovering)
}

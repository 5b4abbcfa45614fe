package sim

import (
	"bytes"
	"context"
	"fmt"
	"math/rand"
	"slices"
	"sort"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/go-state-types/cbor"
	gscrypto "github.com/filecoin-project/go-state-types/crypto"
	"github.com/filecoin-project/go-state-types/exitcode"

	"github.com/filecoin-venus/venus/state"
	"github.com/filecoin-venus/venus/types"
)

// Gas limits of operations, by what they may cost.
const (
	smallGas = 100_000_000
	largeGas = 600_000_000
	hugeGas  = 2_000_000_000
)

// OperationReport is the record of one kind of message. Sent is the sum of the others once all are on chain.
type OperationReport struct {
	Kind string
	Sent int64
	// Succeeded and Refused count outcomes that were foretold; Refused are the exits that are not zero.
	Succeeded int64
	Refused   int64
	// Open counts outcomes where several exits were possible, success among them.
	Open int64
	// Exits counts the refusals by exit code.
	Exits map[exitcode.ExitCode]int64 `json:",omitempty"`
}

// execution is one message's execution as its sender sees it: the states before and after the tipset, and the receipt.
type execution struct {
	ctx           context.Context
	epoch         abi.ChainEpoch
	before, after *state.View
	// nulls are the null rounds before the tipset, whose cron ran on the state before.
	nulls   abi.ChainEpoch
	receipt types.MessageReceipt
	// touched are the parts of the model that messages of the tipset were about.
	touched []book
}

func (x *execution) ok() bool { return x.receipt.ExitCode == 0 }

// returned decodes the return value.
func (x *execution) returned(into cbor.Unmarshaler) error {
	if err := into.UnmarshalCBOR(bytes.NewReader(x.receipt.Return)); err != nil {
		return fmt.Errorf("return value %x: %w", x.receipt.Return, err)
	}
	return nil
}

// exits are the exit codes that a message may end with.
type exits []exitcode.ExitCode

// only foretells one exit.
func only(code exitcode.ExitCode) exits { return exits{code} }

// draft is a message with what its sender knows of its outcome.
type draft struct {
	kind string
	from Key
	msg  types.Message
	// judge foretells the exit from the model and the states around the execution.
	judge func(x *execution) (exits, error)
	// done takes the outcome into the model; may be nil.
	done func(x *execution) error
	// miner, when set, is sent nothing else meanwhile, so that its state before the tipset is the one the message meets.
	miner *Miner
	// touched, when set, is held against the chain after the tipset.
	touched book
	stats   *OperationReport
}

// book is a part of the model that can be held against the chain.
type book interface {
	compare(x *execution) error
}

// settle compares the outcome with the prophecy. failed tells of messages that should not fail on a quiet chain.
func (d *draft) settle(x *execution) (failed bool, err error) {
	if d.miner != nil {
		d.miner.ops.busy = false
	}
	want, err := d.judge(x)
	if err != nil {
		return false, err
	}
	if len(want) == 0 {
		return false, fmt.Errorf("no outcome can be foretold")
	}
	if !slices.Contains(want, x.receipt.ExitCode) {
		return false, fmt.Errorf("exit %d at epoch %d where %d was due", x.receipt.ExitCode, x.epoch, want)
	}
	if s := d.stats; s != nil {
		switch {
		case len(want) > 1:
			s.Open++
		case x.ok():
			s.Succeeded++
		default:
			s.Refused++
		}
		if !x.ok() {
			s.Exits[x.receipt.ExitCode]++
		}
	}
	if d.done != nil {
		if err := d.done(x); err != nil {
			return false, err
		}
	}
	if d.touched != nil && (x.ok() || want[0] != absent) {
		x.touched = append(x.touched, d.touched)
	}
	return false, nil
}

// operation is a kind of message: how often it is sent and who makes one. A nil draft means that there is no occasion.
type operation struct {
	kind string
	// rate is the number of tries in a thousand epochs, per ten miners.
	rate int
	draw func(t *turn) (*draft, error)
}

// operations is the table of all kinds. Rates are such that most of a miner's life happens within 20,000 epochs.
func (o *operator) operations() []operation {
	return slices.Concat(o.sectorOperations(), o.minerOperations(), o.marketOperations(), o.verifiedOperations(), o.channelOperations(), o.walletOperations(), o.sendOperations())
}

// turn is one epoch in which messages are made: the chain's head and the state after it.
type turn struct {
	ctx  context.Context
	head *types.TipSet
	view *state.View
}

// epoch is where a message of this turn will be executed, unless null rounds come between.
func (t *turn) epoch() abi.ChainEpoch { return t.head.Height() + 1 }

// operator sends the messages of simulated people and keeps the model that foretells what becomes of them.
type operator struct {
	w     *World
	rng   *rand.Rand
	table []operation
	stats map[string]*OperationReport

	people   []*person
	byID     map[address.Address]Key
	market   *marketBook
	caps     *capBook
	channels []*channel
	wallets  []*wallet
	// made counts what needs a fresh name.
	made int
}

// person is an account that takes part in operations.
type person struct {
	Key
	id address.Address
}

const (
	peopleCount = 12
	personFIL   = 20_000
	minerFIL    = 2_000
	escrowFIL   = 100
)

func newOperator(ctx context.Context, w *World) (*operator, error) {
	o := &operator{
		w: w, rng: rand.New(rand.NewSource(w.cfg.Seed ^ 0x6f7065726174)), stats: map[string]*OperationReport{},
		byID: map[address.Address]Key{}, caps: newCapBook(),
	}
	o.market = newMarketBook(o.caps)
	o.table = o.operations()
	for _, op := range o.table {
		o.stats[op.kind] = &OperationReport{Kind: op.kind, Exits: map[exitcode.ExitCode]int64{}}
	}
	view := w.Store.View(w.Store.Head().ParentState())
	for i, m := range w.Miners {
		id, err := view.LookupID(ctx, m.Key.Address)
		if err != nil {
			return nil, err
		}
		o.byID[id] = m.Key
		m.ops = minerBook{next: abi.SectorNumber(m.Sectors), steadfast: i == len(w.Miners)-1}
		if err := o.equip(m.ID); err != nil {
			return nil, err
		}
	}
	for i := range peopleCount {
		if err := o.makePerson(fmt.Sprintf("person %d", i)); err != nil {
			return nil, err
		}
	}
	return o, nil
}

// makePerson makes a key and an account for it; the person takes part once the account is on chain.
func (o *operator) makePerson(label string) error {
	key, err := o.w.newKey(gscrypto.SigType(1+o.rng.Intn(2)), label)
	if err != nil {
		return err
	}
	return o.endow(key.Address, personFIL, func(x *execution) error {
		id, err := x.after.LookupID(x.ctx, key.Address)
		if err != nil {
			return err
		}
		o.byID[id] = key
		o.people = append(o.people, &person{Key: key, id: id})
		return o.deposit(o.w.Faucet, id, big.Mul(big.NewInt(escrowFIL), oneFIL()))
	})
}

// equip gives a miner money of its own and in escrow.
func (o *operator) equip(m address.Address) error {
	if err := o.endow(m, minerFIL, nil); err != nil {
		return err
	}
	return o.deposit(o.w.Faucet, m, big.Mul(big.NewInt(escrowFIL), oneFIL()))
}

// endow sends whole FIL from the faucet.
func (o *operator) endow(to address.Address, fil int64, done func(x *execution) error) error {
	return o.post(&draft{
		kind: "endow", from: o.w.Faucet, msg: message(to, big.Mul(big.NewInt(fil), oneFIL()), 0, nil, smallGas), done: done,
		judge: func(*execution) (exits, error) { return only(exitcode.Ok), nil },
	})
}

// post signs a draft and puts it into the pool.
func (o *operator) post(d *draft) error {
	sm, err := o.w.pool.add(d.from, d.msg)
	if err != nil {
		return err
	}
	if d.stats = o.stats[d.kind]; d.stats != nil {
		d.stats.Sent++
	}
	if d.miner != nil {
		d.miner.ops.busy = true
	}
	o.w.sent[sm.Cid()] = d
	return nil
}

// send lets every kind of message have its chance.
func (o *operator) send(ctx context.Context, head *types.TipSet, after *state.View) error {
	t := &turn{ctx: ctx, head: head, view: after}
	for _, op := range o.table {
		for tries := o.rng.Intn(10_000); tries < op.rate*len(o.w.Miners)*max(o.w.cfg.Pace, 1); tries += 10_000 {
			d, err := op.draw(t)
			if err != nil {
				return fmt.Errorf("seed %d, %s at epoch %d: %w", o.w.cfg.Seed, op.kind, t.epoch(), err)
			}
			if d == nil {
				continue
			}
			d.kind = op.kind
			if err := o.post(d); err != nil {
				return err
			}
		}
	}
	return nil
}

// close takes what cron did at the end of a tipset into the model, and compares.
func (o *operator) close(x *execution) error {
	if err := o.market.close(x, o.w.cfg.Blocks); err != nil {
		return fmt.Errorf("seed %d: %w", o.w.cfg.Seed, err)
	}
	for _, b := range x.touched {
		if err := b.compare(x); err != nil {
			return fmt.Errorf("seed %d: %w", o.w.cfg.Seed, err)
		}
	}
	if err := o.caps.close(x, o.w.cfg.Blocks); err != nil {
		return fmt.Errorf("seed %d: %w", o.w.cfg.Seed, err)
	}
	return nil
}

// reports lists the records by kind.
func (o *operator) reports() []OperationReport {
	out := make([]OperationReport, 0, len(o.stats))
	for _, s := range o.stats {
		out = append(out, *s)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Kind < out[j].Kind })
	return out
}

// chance is true once in n times.
func (o *operator) chance(n int) bool { return o.rng.Intn(n) == 0 }

// some picks one of a list, nil while there is none.
func some[T any](o *operator, list []*T) *T {
	if len(list) == 0 {
		return nil
	}
	return list[o.rng.Intn(len(list))]
}

func (o *operator) anyone() *person { return some(o, o.people) }

// fil is a random amount of up to so many thousandths of a FIL, at least one attoFIL.
func (o *operator) fil(milli int64) abi.TokenAmount {
	nano := big.NewInt(o.rng.Int63n(milli * 1e6))
	return big.Add(big.Mul(nano, big.NewInt(1e9)), big.NewInt(1+o.rng.Int63n(1e9)))
}

// call encodes a method call.
func call(to address.Address, value abi.TokenAmount, method abi.MethodNum, args cbor.Marshaler, gas int64) (types.Message, error) {
	var body bytes.Buffer
	if args != nil {
		if err := args.MarshalCBOR(&body); err != nil {
			return types.Message{}, fmt.Errorf("encode call of method %d of %s: %w", method, to, err)
		}
	}
	return message(to, value, method, body.Bytes(), gas), nil
}

// always foretells one exit whatever happens.
func always(code exitcode.ExitCode) func(*execution) (exits, error) {
	return func(*execution) (exits, error) { return only(code), nil }
}

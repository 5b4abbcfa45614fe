package check

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"

	"github.com/filecoin-project/go-address"
	hamt "github.com/filecoin-project/go-hamt-ipld/v3"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/market"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/miner"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/power"
	"github.com/filecoin-project/specs-actors/v7/actors/states"
	"github.com/filecoin-project/specs-actors/v7/actors/util/adt"
	"github.com/ipfs/go-cid"
	cbor "github.com/ipfs/go-ipld-cbor"

	"github.com/filecoin-venus/venus/types"
)

// Checker judges states in a row. It keeps what it found about every actor and looks again only at those whose record in
// the actors' table changed. Not safe for concurrent use.
type Checker struct {
	// table is the root of the actors' table judged last, undefined before the first.
	table cid.Cid
	known map[address.Address]*entry

	// Sums and summaries across actors.
	total   abi.TokenAmount
	pledged abi.TokenAmount
	miners  map[address.Address]*miner.StateSummary
	power   *power.StateSummary
	pledge  abi.TokenAmount
	market  *market.StateSummary
}

// entry is what is known of one actor.
type entry struct {
	actor    types.Actor
	problems []string
	// miner is set for miners, market for the market.
	miner  *minerEntry
	market *market.State
}

// New makes a Checker that has seen no state.
func New() *Checker {
	return &Checker{
		known: map[address.Address]*entry{}, total: big.Zero(), pledged: big.Zero(), pledge: big.Zero(),
		miners: map[address.Address]*miner.StateSummary{},
	}
}

// TotalFIL is the sum of all balances of the state judged last, in attoFIL.
func (c *Checker) TotalFIL() abi.TokenAmount { return c.total }

// Check judges the state under root as the one after an epoch; see Full. The store must hold it and the one judged before.
// After an error the Checker must be given up.
func (c *Checker) Check(ctx context.Context, store cbor.IpldStore, root cid.Cid, epoch abi.ChainEpoch) ([]string, error) {
	s := adt.WrapStore(ctx, store)
	var sr types.StateRoot
	if err := s.Get(ctx, root, &sr); err != nil {
		return nil, fmt.Errorf("check state %s: %w", root, err)
	}
	changes, err := c.changes(ctx, store, sr.Actors)
	if err != nil {
		return nil, fmt.Errorf("check state %s: %w", root, err)
	}
	for _, ch := range changes {
		if err := c.apply(s, ch, epoch); err != nil {
			return nil, fmt.Errorf("check state %s: %w", root, err)
		}
	}
	c.table = sr.Actors
	return sorted(c.findings(), epoch, func(id abi.DealID) (abi.ChainEpoch, bool) {
		d, found := c.market.Deals[id]
		if !found {
			return 0, false
		}
		return d.EndEpoch, true
	}), nil
}

// findings joins what is wrong in actors and what does not fit between them.
func (c *Checker) findings() []string {
	acc := &builtin.MessageAccumulator{}
	for _, e := range c.known {
		for _, p := range e.problems {
			acc.Add(p)
		}
	}
	if c.power == nil || c.market == nil {
		acc.Add("no power or no market actor")
		return acc.Messages()
	}
	states.CheckMinersAgainstPower(acc, c.miners, c.power)
	states.CheckDealStatesAgainstSectors(acc, c.miners, c.market)
	if !c.total.Equals(builtin.TotalFilecoin) {
		acc.Addf("total token balance is %v, expected %v", c.total, builtin.TotalFilecoin)
	}
	return append(acc.Messages(), comparePledge(c.pledge, c.pledged)...)
}

// change is one difference between two actors' tables; now is nil when the actor is gone.
type change struct {
	id  address.Address
	now *types.Actor
}

func tableOptions() []hamt.Option {
	return []hamt.Option{
		hamt.UseTreeBitWidth(builtin.DefaultHamtBitwidth),
		hamt.UseHashFunction(func(in []byte) []byte {
			sum := sha256.Sum256(in)
			return sum[:]
		}),
	}
}

// changes compares the actors' table with the one judged last.
func (c *Checker) changes(ctx context.Context, store cbor.IpldStore, table cid.Cid) ([]change, error) {
	if !c.table.Defined() {
		return everything(ctx, store, table)
	}
	diff, err := hamt.Diff(ctx, store, store, c.table, table, tableOptions()...)
	if err != nil {
		return nil, fmt.Errorf("compare actors: %w", err)
	}
	out := make([]change, 0, len(diff))
	for _, d := range diff {
		var raw []byte
		if d.Type != hamt.Remove {
			raw = d.After.Raw
		}
		ch, err := decodeChange(d.Key, raw)
		if err != nil {
			return nil, err
		}
		out = append(out, ch)
	}
	return out, nil
}

func everything(ctx context.Context, store cbor.IpldStore, table cid.Cid) ([]change, error) {
	tree, err := states.LoadTree(adt.WrapStore(ctx, store), table)
	if err != nil {
		return nil, err
	}
	var out []change
	err = tree.ForEach(func(id address.Address, act *states.Actor) error {
		out = append(out, change{id, &types.Actor{Code: act.Code, Head: act.Head, Nonce: act.CallSeqNum, Balance: act.Balance}})
		return nil
	})
	return out, err
}

func decodeChange(key string, raw []byte) (change, error) {
	id, err := address.NewFromBytes([]byte(key))
	if err != nil {
		return change{}, fmt.Errorf("key %x: %w", key, err)
	}
	if raw == nil {
		return change{id: id}, nil
	}
	act := new(types.Actor)
	if err := act.UnmarshalCBOR(bytes.NewReader(raw)); err != nil {
		return change{}, fmt.Errorf("actor %s: %w", id, err)
	}
	return change{id, act}, nil
}

// apply takes an actor's old share out of the sums and puts its new one in.
func (c *Checker) apply(s adt.Store, ch change, epoch abi.ChainEpoch) error {
	old := c.known[ch.id]
	if old != nil {
		c.total = big.Sub(c.total, old.actor.Balance)
		if old.miner != nil {
			c.pledged = big.Sub(c.pledged, old.miner.pledge)
		}
	}
	if ch.now == nil {
		delete(c.known, ch.id)
		delete(c.miners, ch.id)
		return nil
	}
	now, err := c.judge(s, ch.id, ch.now, old, epoch)
	if err != nil {
		return fmt.Errorf("actor %s: %w", ch.id, err)
	}
	c.known[ch.id] = now
	c.total = big.Add(c.total, now.actor.Balance)
	if now.miner != nil {
		c.pledged = big.Add(c.pledged, now.miner.pledge)
		c.miners[ch.id] = now.miner.summary
	}
	return nil
}

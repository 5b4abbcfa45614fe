package sim

import (
	"fmt"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/market"
	"github.com/filecoin-project/specs-actors/v7/actors/util/adt"
	"github.com/ipfs/go-cid"

	"github.com/filecoin-venus/venus/ipld"
)

// balances are amounts by ID address.
type balances map[address.Address]abi.TokenAmount

func (b balances) of(a address.Address) abi.TokenAmount {
	if v, ok := b[a]; ok {
		return v
	}
	return big.Zero()
}

func (b balances) add(a address.Address, v abi.TokenAmount) { b[a] = big.Add(b.of(a), v) }

// marketDeal is a deal of the model.
type marketDeal struct {
	market.DealProposal
	client address.Address
	// started and updated are -1 until the deal is in a sector and was first paid; slashed is -1 unless its sector ended.
	started, updated, slashed abi.ChainEpoch
	// due is when cron looks at it next.
	due abi.ChainEpoch
}

func (d *marketDeal) fee() abi.TokenAmount {
	return big.Mul(d.StoragePricePerEpoch, big.NewInt(int64(d.EndEpoch-d.StartEpoch)))
}

// marketBook is the model of the market: who has what in escrow, how much of it is locked, and which deals there are.
type marketBook struct {
	escrow, locked balances
	deals          map[abi.DealID]*marketDeal
	// waiting are the deals by provider that no sector has taken up.
	waiting map[address.Address][]abi.DealID
	// caps is charged for verified deals.
	caps *capBook
	// ticked is the last epoch whose cron the model ran; states is the root of the deals' states it has seen.
	ticked abi.ChainEpoch
	states cid.Cid
	// The roots of the tables that the book was last held against.
	escrowRoot, lockedRoot cid.Cid
}

func newMarketBook(caps *capBook) *marketBook {
	return &marketBook{caps: caps, escrow: balances{}, locked: balances{}, deals: map[abi.DealID]*marketDeal{}, waiting: map[address.Address][]abi.DealID{}}
}

// acceptable lists the sound deals that both sides can cover. A deal that is dropped for want of cover still counts against
// the ones after it (actors-v7-others.md 6.7). The data cap of verified deals comes off a copy.
func (b *marketBook) acceptable(clientID address.Address, deals []market.ClientDealProposal, sound []bool) []int {
	var out []int
	caps := &capBook{clients: balances{}}
	if has, ok := b.caps.clients[clientID]; ok {
		caps.clients[clientID] = has
	}
	client, provider := big.Zero(), big.Zero()
	for i, d := range deals {
		if !sound[i] {
			continue
		}
		p := d.Proposal
		client = big.Sum(client, p.ClientCollateral, (&marketDeal{DealProposal: p}).fee())
		if big.Add(b.locked.of(clientID), client).GreaterThan(b.escrow.of(clientID)) {
			continue
		}
		provider = big.Add(provider, p.ProviderCollateral)
		if big.Add(b.locked.of(p.Provider), provider).GreaterThan(b.escrow.of(p.Provider)) {
			continue
		}
		if p.VerifiedDeal && !caps.use(clientID, p.PieceSize) {
			continue
		}
		out = append(out, i)
	}
	return out
}

// publish takes an accepted deal into the book and locks what it needs.
func (b *marketBook) publish(id abi.DealID, p market.DealProposal, client address.Address) {
	d := &marketDeal{DealProposal: p, client: client, started: -1, updated: -1, slashed: -1, due: firstDue(p.StartEpoch, id)}
	b.deals[id] = d
	if p.VerifiedDeal {
		b.caps.use(client, p.PieceSize)
	}
	b.locked.add(client, big.Add(d.fee(), p.ClientCollateral))
	b.locked.add(p.Provider, p.ProviderCollateral)
	b.waiting[p.Provider] = append(b.waiting[p.Provider], id)
}

// firstDue is the first epoch from start on that falls on the deal's place in the day (actors-v7-others.md 6.7).
func firstDue(start abi.ChainEpoch, id abi.DealID) abi.ChainEpoch {
	day := abi.ChainEpoch(market.DealUpdatesInterval)
	due := start - start%day + abi.ChainEpoch(id)%day
	if due < start {
		due += day
	}
	return due
}

// take gives a provider up to two deals to put into a sector, of those that start late enough.
func (b *marketBook) take(m *Miner, earliest abi.ChainEpoch) ([]abi.DealID, []abi.PieceInfo) {
	var ids []abi.DealID
	var pieces []abi.PieceInfo
	rest := b.waiting[m.ID][:0:0]
	for _, id := range b.waiting[m.ID] {
		d := b.deals[id]
		switch {
		case d == nil || d.StartEpoch < earliest:
		case len(ids) < 2:
			ids, pieces = append(ids, id), append(pieces, abi.PieceInfo{Size: d.PieceSize, PieceCID: d.PieceCID})
		default:
			rest = append(rest, id)
		}
	}
	b.waiting[m.ID] = rest
	return ids, pieces
}

// giveBack returns deals that were taken for a message that failed.
func (b *marketBook) giveBack(deals [][]abi.DealID) {
	for _, ids := range deals {
		for _, id := range ids {
			if d := b.deals[id]; d != nil {
				b.waiting[d.Provider] = append(b.waiting[d.Provider], id)
			}
		}
	}
}

// dropped tells whether the market forgot any of some deals, and whether cron looks at any before an epoch.
func (b *marketBook) dropped(deals [][]abi.DealID, before abi.ChainEpoch) (gone, ending bool) {
	for _, ids := range deals {
		for _, id := range ids {
			d := b.deals[id]
			gone = gone || d == nil
			ending = ending || d != nil && d.due < before
		}
	}
	return gone, ending
}

// anyBegins tells whether the deals of any of some sectors can still begin, all of its together; those of other sectors are
// left out of the proof. A sector without deals always can.
func (b *marketBook) anyBegins(deals [][]abi.DealID, epoch abi.ChainEpoch) bool {
	for _, ids := range deals {
		begins := true
		for _, id := range ids {
			d := b.deals[id]
			begins = begins && d != nil && d.started < 0 && d.StartEpoch >= epoch
		}
		if begins {
			return true
		}
	}
	return false
}

// close runs the market's cron of the tipset and of the null rounds before it in the model, and holds the result against
// the chain.
func (b *marketBook) close(x *execution, blocks ipld.Blockstore) error {
	st, err := x.after.MarketState(x.ctx)
	if err != nil {
		return err
	}
	var present map[abi.DealID]bool
	for e := b.ticked + 1; e <= x.epoch; e++ {
		for id, d := range b.deals {
			if d.due > e && st.States == b.states {
				continue
			}
			if present == nil {
				if present, err = b.sync(x); err != nil {
					return err
				}
			}
			if d.due == e {
				b.process(id, d, e, present[id])
			}
		}
	}
	b.ticked = x.epoch
	if present == nil && st.EscrowTable == b.escrowRoot && st.LockedTable == b.lockedRoot {
		return nil
	}
	b.states, b.escrowRoot, b.lockedRoot = st.States, st.EscrowTable, st.LockedTable
	store := adt.WrapStore(x.ctx, ipld.NewStore(x.ctx, blocks))
	if err := compareBalances("escrow", b.escrow, store, st.EscrowTable, adt.BalanceTableBitwidth); err != nil {
		return fmt.Errorf("market at epoch %d: %w", x.epoch, err)
	}
	if err := compareBalances("locked", b.locked, store, st.LockedTable, adt.BalanceTableBitwidth); err != nil {
		return fmt.Errorf("market at epoch %d: %w", x.epoch, err)
	}
	return nil
}

// sync reads when deals began and were slashed, which follows from sectors; it tells which have a state.
func (b *marketBook) sync(x *execution) (map[abi.DealID]bool, error) {
	present := map[abi.DealID]bool{}
	err := x.after.ForEachDeal(x.ctx, func(id abi.DealID, _ *market.DealProposal, st *market.DealState) error {
		d := b.deals[id]
		if d == nil {
			return fmt.Errorf("deal %d of the chain is unknown", id)
		}
		if st == nil || st.SectorStartEpoch < 0 {
			return nil
		}
		present[id] = true
		d.started, d.slashed = st.SectorStartEpoch, st.SlashEpoch
		return nil
	})
	return present, err
}

// process is what the market does about a deal that is due at an epoch (actors-v7-others.md 6.9).
func (b *marketBook) process(id abi.DealID, d *marketDeal, e abi.ChainEpoch, present bool) {
	if d.started < 0 {
		b.locked.add(d.client, big.Add(d.fee(), d.ClientCollateral).Neg())
		b.slash(d)
		if d.VerifiedDeal {
			b.caps.restore(d.client, d.PieceSize)
		}
		delete(b.deals, id)
		return
	}
	if !present && d.slashed < 0 && e < d.EndEpoch {
		d.slashed = e // its sector ended in this very epoch
	}
	ended := d.slashed >= 0 && d.slashed <= e
	until := min(e, d.EndEpoch)
	if ended {
		until = d.slashed
	}
	if n := until - max(d.StartEpoch, d.updated); n > 0 {
		pay := big.Mul(d.StoragePricePerEpoch, big.NewInt(int64(n)))
		b.escrow.add(d.client, pay.Neg())
		b.locked.add(d.client, pay.Neg())
		b.escrow.add(d.Provider, pay)
	}
	switch {
	case ended:
		left := big.Mul(d.StoragePricePerEpoch, big.NewInt(int64(d.EndEpoch-max(d.slashed, d.StartEpoch))))
		b.locked.add(d.client, big.Add(left, d.ClientCollateral).Neg())
		b.slash(d)
		delete(b.deals, id)
	case e >= d.EndEpoch:
		b.locked.add(d.client, d.ClientCollateral.Neg())
		b.locked.add(d.Provider, d.ProviderCollateral.Neg())
		delete(b.deals, id)
	default:
		d.updated, d.due = e, e+abi.ChainEpoch(market.DealUpdatesInterval)
	}
}

// slash takes the provider's collateral.
func (b *marketBook) slash(d *marketDeal) {
	b.locked.add(d.Provider, d.ProviderCollateral.Neg())
	b.escrow.add(d.Provider, d.ProviderCollateral.Neg())
}

// compareBalances holds a book against the chain's table.
func compareBalances(name string, book balances, store adt.Store, root cid.Cid, bits int) error {
	table, err := adt.AsMap(store, root, bits)
	if err != nil {
		return err
	}
	seen := 0
	var amount abi.TokenAmount
	err = table.ForEach(&amount, func(key string) error {
		a, err := address.NewFromBytes([]byte(key))
		if err != nil {
			return err
		}
		if !amount.Equals(book.of(a)) {
			return fmt.Errorf("%s of %s is %s, in the book %s", name, a, amount, book.of(a))
		}
		if !amount.IsZero() {
			seen++
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, v := range book {
		if !v.IsZero() {
			seen--
		}
	}
	if seen != 0 {
		return fmt.Errorf("%s lacks %d entries of the book", name, -seen)
	}
	return nil
}

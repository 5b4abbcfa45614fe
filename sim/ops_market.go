package sim

import (
	"bytes"
	"fmt"

	"github.com/filecoin-project/go-address"
	commcid "github.com/filecoin-project/go-fil-commcid"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/go-state-types/exitcode"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/market"
)

// dealSlack is how long before its start a deal must be taken up by a sector.
const dealSlack = 60

func (o *operator) marketOperations() []operation {
	return []operation{
		{"add market balance", 30, o.addBalance},
		{"withdraw market balance", 20, o.withdrawBalance},
		{"publish deals", 60, o.publish},
	}
}

// idAddress of the miner or person that an escrow belongs to.
func (o *operator) party() address.Address {
	if o.chance(2) && len(o.people) > 0 {
		return o.anyone().id
	}
	return o.w.Miners[o.rng.Intn(len(o.w.Miners))].ID
}

// addBalance puts money into anyone's escrow; none at all is refused.
func (o *operator) addBalance(*turn) (*draft, error) {
	from := o.anyone()
	if from == nil {
		return nil, nil
	}
	whose, value, judge := o.party(), o.fil(50_000), always(exitcode.Ok)
	if o.chance(20) {
		value, judge = big.Zero(), always(exitcode.ErrIllegalArgument)
	}
	d, err := o.depositDraft(from.Key, whose, value)
	if err == nil {
		d.judge = judge
	}
	return d, err
}

// deposit puts money into an escrow.
func (o *operator) deposit(from Key, whose address.Address, value abi.TokenAmount) error {
	d, err := o.depositDraft(from, whose, value)
	if err != nil {
		return err
	}
	return o.post(d)
}

func (o *operator) depositDraft(from Key, whose address.Address, value abi.TokenAmount) (*draft, error) {
	msg, err := call(builtin.StorageMarketActorAddr, value, builtin.MethodsMarket.AddBalance, &whose, smallGas)
	return &draft{from: from, msg: msg, judge: always(exitcode.Ok), done: func(x *execution) error {
		if x.ok() {
			o.market.escrow.add(whose, value)
		}
		return nil
	}}, err
}

// withdrawBalance takes money out of an escrow: what is free of it, at most.
func (o *operator) withdrawBalance(t *turn) (*draft, error) {
	whose, from := o.party(), o.anyone()
	if from == nil {
		return nil, nil
	}
	m := o.w.miner(whose)
	key := o.byID[whose]
	if m != nil {
		if m.ops.busy {
			return nil, nil
		}
		info, err := t.view.MinerInfo(t.ctx, whose)
		if err != nil {
			return nil, err
		}
		key = o.byID[info.Owner]
		if o.chance(2) {
			key = o.byID[info.Worker]
		}
	}
	if o.chance(strangers) {
		key = from.Key
	}
	ask := o.fil(100_000)
	msg, err := call(builtin.StorageMarketActorAddr, big.Zero(), builtin.MethodsMarket.WithdrawBalance, &market.WithdrawBalanceParams{
		ProviderOrClientAddress: whose, Amount: ask,
	}, smallGas)
	if err != nil {
		return nil, err
	}
	return &draft{from: key, msg: msg, miner: m, judge: o.withdrawExit(whose, m, key), done: func(x *execution) error {
		if !x.ok() {
			return nil
		}
		var got abi.TokenAmount
		if err := x.returned(&got); err != nil {
			return err
		}
		want := big.Min(ask, big.Max(big.Zero(), big.Sub(o.market.escrow.of(whose), o.market.locked.of(whose))))
		// The model runs the cron of null rounds after the messages of the tipset.
		if x.nulls == 0 && !got.Equals(want) {
			return fmt.Errorf("%s attoFIL were withdrawn from the escrow of %s, where %s of %s are free", got, whose, want, o.market.escrow.of(whose))
		}
		o.market.escrow.add(whose, got.Neg())
		return nil
	}}, nil
}

// withdrawExit: a miner's escrow opens to owner and worker, anyone's to himself.
func (o *operator) withdrawExit(whose address.Address, m *Miner, key Key) func(*execution) (exits, error) {
	if m == nil {
		if o.byID[whose].Address != key.Address {
			return always(exitcode.SysErrForbidden)
		}
		return always(exitcode.Ok)
	}
	return o.ruled(m, func(s *standing, _ *execution) exits {
		if o.byID[s.info.Owner].Address != key.Address && o.byID[s.info.Worker].Address != key.Address {
			return only(exitcode.SysErrForbidden)
		}
		return only(exitcode.Ok)
	})
}

// publish proposes one to three deals of one client and puts them on chain. Some are unsound in one way and get dropped;
// when none is left the message is refused.
func (o *operator) publish(t *turn) (*draft, error) {
	m, client := o.freeMiner(), o.anyone()
	if m == nil || client == nil {
		return nil, nil
	}
	from, err := o.sender(t, m)
	if err != nil {
		return nil, err
	}
	var params market.PublishStorageDealsParams
	var sound []bool
	for range 1 + o.rng.Intn(3) {
		d, ok, err := o.propose(t, m, client)
		if err != nil {
			return nil, err
		}
		params.Deals, sound = append(params.Deals, d), append(sound, ok)
	}
	msg, err := call(builtin.StorageMarketActorAddr, big.Zero(), builtin.MethodsMarket.PublishStorageDeals, &params, hugeGas)
	if err != nil {
		return nil, err
	}
	// The exit and the accepted deals follow from the escrow as the message meets it, so both are worked out then.
	var accepted []int
	return &draft{from: from, msg: msg, miner: m, judge: o.ruled(m, func(s *standing, _ *execution) exits {
		accepted = o.market.acceptable(client.id, params.Deals, sound)
		worker := o.byID[s.info.Worker].Address == from.Address
		for _, c := range s.info.ControlAddresses {
			worker = worker || o.byID[c].Address == from.Address
		}
		switch {
		case !worker:
			return only(exitcode.ErrForbidden)
		case len(accepted) == 0:
			return only(exitcode.ErrIllegalArgument)
		}
		return only(exitcode.Ok)
	}), done: func(x *execution) error {
		if !x.ok() {
			return nil
		}
		var ret market.PublishStorageDealsReturn
		if err := x.returned(&ret); err != nil {
			return err
		}
		if x.nulls == 0 && len(ret.IDs) != len(accepted) {
			return fmt.Errorf("%d of %d deals were accepted where %d are sound and covered", len(ret.IDs), len(params.Deals), len(accepted))
		}
		valid, err := ret.ValidDeals.All(uint64(len(params.Deals)))
		if err != nil {
			return err
		}
		for i, index := range valid {
			o.market.publish(ret.IDs[i], params.Deals[index].Proposal, client.id)
		}
		return nil
	}}, nil
}

// propose makes a deal and tells whether it is sound; whether both sides can cover it is another matter.
func (o *operator) propose(t *turn, m *Miner, client *person) (market.ClientDealProposal, bool, error) {
	o.made++
	c := digest("piece", number(uint64(o.w.cfg.Seed)), number(uint64(o.made)))[:32]
	c[31] &= 0x3f
	piece, err := commcid.PieceCommitmentV1ToCID(c)
	if err != nil {
		return market.ClientDealProposal{}, false, err
	}
	start := t.epoch() + dealSlack + abi.ChainEpoch(60+o.rng.Intn(1200))
	p := market.DealProposal{
		PieceCID: piece, PieceSize: abi.PaddedPieceSize(128 << o.rng.Intn(3)), Client: client.Address, Provider: m.ID,
		Label: fmt.Sprintf("deal %d", o.made), StartEpoch: start, EndEpoch: start + market.DealMinDuration + abi.ChainEpoch(o.rng.Intn(2000)),
		StoragePricePerEpoch: big.NewInt(o.rng.Int63n(1e15)), ProviderCollateral: big.Add(oneFIL(), o.fil(500)), ClientCollateral: o.fil(500),
		VerifiedDeal: o.caps.clients[client.id].Int != nil && o.chance(2),
	}
	sound := true
	switch o.rng.Intn(30) {
	case 0:
		p.EndEpoch, sound = start+market.DealMinDuration-1, false
	case 1:
		p.StartEpoch, sound = t.head.Height()-10, false
	case 2:
		p.PieceSize, sound = 129, false
	case 3:
		p.Client = client.id // as good as the key
	}
	var body bytes.Buffer
	if err := p.MarshalCBOR(&body); err != nil {
		return market.ClientDealProposal{}, false, err
	}
	sig, err := client.Sign(body.Bytes())
	if err != nil {
		return market.ClientDealProposal{}, false, err
	}
	if o.chance(30) {
		sig.Data[7] ^= 1
		sound = false
	}
	return market.ClientDealProposal{Proposal: p, ClientSignature: *sig}, sound, nil
}

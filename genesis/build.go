package genesis

import (
	"bytes"
	"context"
	"fmt"

	"github.com/filecoin-project/go-address"
	amt "github.com/filecoin-project/go-amt-ipld/v2"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/go-state-types/cbor"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/market"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/miner"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/verifreg"
	"github.com/ipfs/go-cid"

	"github.com/filecoin-venus/venus/ipld"
	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/state"
	"github.com/filecoin-venus/venus/types"
	"github.com/filecoin-venus/venus/vm"
)

// builder holds a genesis under construction. First the tree is written
// directly, then, for what actors do among themselves, through a machine.
type builder struct {
	ctx   context.Context
	net   params.Network
	tmpl  *Template
	store *ipld.Store
	buf   *ipld.Buffered
	tree  *state.Tree
	// ids maps key addresses to IDs, as the init actor's map does.
	ids map[address.Address]address.Address
	// nextID is the first free ID below the miners.
	nextID uint64
	// madeBy counts the miners an owner has made: each needs its own address.
	madeBy  map[address.Address]uint64
	machine *vm.VM
}

// Build makes the state and header of a genesis in the blockstore.
func Build(ctx context.Context, bs ipld.Blockstore, net params.Network, tmpl Template) (*types.BlockHeader, error) {
	if err := tmpl.Validate(); err != nil {
		return nil, err
	}
	if err := checkNetwork(&net, &tmpl); err != nil {
		return nil, err
	}
	buf := ipld.NewBuffered(bs)
	b := &builder{
		ctx: ctx, net: net, tmpl: &tmpl, buf: buf, store: ipld.NewStore(ctx, buf),
		ids: map[address.Address]address.Address{}, nextID: firstAccountID, madeBy: map[address.Address]uint64{},
	}
	for _, step := range []func() error{b.makeActors, b.startMachine, b.makeMiners} {
		if err := step(); err != nil {
			return nil, fmt.Errorf("build genesis of %s: %w", tmpl.NetworkName, err)
		}
	}
	root, err := b.machine.Flush(ctx)
	if err != nil {
		return nil, fmt.Errorf("build genesis of %s: %w", tmpl.NetworkName, err)
	}
	header, err := b.header(root)
	if err != nil {
		return nil, fmt.Errorf("build genesis of %s: %w", tmpl.NetworkName, err)
	}
	if err := buf.Flush(ctx, header.Cid()); err != nil {
		return nil, fmt.Errorf("store genesis of %s: %w", tmpl.NetworkName, err)
	}
	return header, nil
}

// checkNetwork refuses a template for another network and a process whose
// actors follow another network's policy.
func checkNetwork(net *params.Network, tmpl *Template) error {
	if net.GenesisName != tmpl.NetworkName {
		return fmt.Errorf("the genesis template is for network %q, the parameters are for %q", tmpl.NetworkName, net.GenesisName)
	}
	minPower := big.Zero()
	for _, p := range builtin.PoStProofPolicies {
		minPower = p.ConsensusMinerMinPower
		break
	}
	switch {
	case miner.WPoStProvingPeriod != net.ProvingPeriod(), miner.WPoStChallengeWindow != net.ChallengeWindow,
		miner.PreCommitChallengeDelay != net.PreCommitChallengeDelay,
		market.DealMinDuration != net.DealMinDuration,
		!verifreg.MinVerifiedDealSize.Equals(net.MinVerifiedDealSize),
		!minPower.Equals(net.MinConsensusPower):
		return fmt.Errorf("the actors' policy of this process is not that of network %s: call policy.Apply first", net.Name)
	}
	return nil
}

// header makes the genesis block over a state root and stores what it links to.
func (b *builder) header(root cid.Cid) (*types.BlockHeader, error) {
	parent, err := putParent(b.ctx, b.buf)
	if err != nil {
		return nil, err
	}
	empty, err := amt.NewAMT(b.store).Flush(b.ctx)
	if err != nil {
		return nil, fmt.Errorf("store empty receipts: %w", err)
	}
	messages, err := b.store.Put(b.ctx, &types.TxMeta{BlsMessages: empty, SecpkMessages: empty})
	if err != nil {
		return nil, fmt.Errorf("store empty messages: %w", err)
	}
	ticket, err := b.tmpl.derive("ticket")
	if err != nil {
		return nil, err
	}
	h := &types.BlockHeader{
		Miner:                 builtin.SystemActorAddr,
		Ticket:                &types.Ticket{VRFProof: ticket},
		ElectionProof:         &types.ElectionProof{},
		BeaconEntries:         []types.BeaconEntry{{Round: 0, Data: make([]byte, 32)}},
		Parents:               []cid.Cid{parent},
		ParentWeight:          big.Zero(),
		ParentStateRoot:       root,
		ParentMessageReceipts: empty,
		Messages:              messages,
		Timestamp:             b.tmpl.Timestamp,
		ParentBaseFee:         big.NewInt(params.InitialBaseFee),
	}
	if _, err := b.store.Put(b.ctx, h); err != nil {
		return nil, fmt.Errorf("store genesis header: %w", err)
	}
	return h, nil
}

// put stores an object.
func (b *builder) put(o cbor.Marshaler) (cid.Cid, error) { return b.store.Put(b.ctx, o) }

// setActor stores a state and the actor over it.
func (b *builder) setActor(id address.Address, code cid.Cid, balance abi.TokenAmount, st cbor.Marshaler) error {
	head, err := b.put(st)
	if err != nil {
		return fmt.Errorf("store state of %s: %w", id, err)
	}
	return b.tree.SetActor(b.ctx, id, &types.Actor{Code: code, Head: head, Balance: balance})
}

// load reads an actor's state from the machine's tree.
func (b *builder) load(a address.Address, st cbor.Unmarshaler) error {
	act, err := b.machine.Tree().GetActor(b.ctx, a)
	if err != nil {
		return err
	}
	return b.machine.Tree().Store().Get(b.ctx, act.Head, st)
}

// patch changes an actor's state by hand.
func (b *builder) patch(a address.Address, st cbor.Er, change func() error) error {
	tree := b.machine.Tree()
	if err := b.load(a, st); err != nil {
		return fmt.Errorf("load state of %s: %w", a, err)
	}
	if err := change(); err != nil {
		return err
	}
	act, err := tree.GetActor(b.ctx, a)
	if err != nil {
		return err
	}
	if act.Head, err = tree.Store().Put(b.ctx, st); err != nil {
		return fmt.Errorf("store state of %s: %w", a, err)
	}
	return tree.SetActor(b.ctx, a, act)
}

// setupGas is more than any set-up message uses.
const setupGas = 1 << 60

// exec runs an implicit message that must succeed.
func (b *builder) exec(from, to address.Address, nonce uint64, value abi.TokenAmount, method abi.MethodNum, p cbor.Marshaler) ([]byte, error) {
	var buf bytes.Buffer
	if err := p.MarshalCBOR(&buf); err != nil {
		return nil, fmt.Errorf("encode parameters: %w", err)
	}
	res, err := b.machine.ApplyImplicit(b.ctx, &types.Message{
		From: from, To: to, Nonce: nonce, Value: value, Method: method, Params: buf.Bytes(),
		GasLimit: setupGas, GasFeeCap: big.Zero(), GasPremium: big.Zero(),
	})
	if err != nil {
		return nil, err
	}
	if res.Receipt.ExitCode != 0 {
		return nil, fmt.Errorf("message from %s to %s, method %d, value %s: %w", from, to, method, value, res.Err)
	}
	return res.Receipt.Return, nil
}

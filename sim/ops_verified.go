package sim

import (
	"bytes"
	"fmt"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/go-state-types/exitcode"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/verifreg"
	"github.com/filecoin-project/specs-actors/v7/actors/util/adt"
	"github.com/ipfs/go-cid"

	"github.com/filecoin-venus/venus/ipld"
)

func (o *operator) verifiedOperations() []operation {
	return []operation{
		{"add verifier", 12, o.addVerifier},
		{"remove verifier", 4, o.removeVerifier},
		{"add verified client", 30, o.addVerifiedClient},
		{"remove data cap", 8, o.removeDataCap},
	}
}

// rootFIL is what the holder of the verified registry's root key begins with.
const rootFIL = 10_000

// capBook is the model of the verified registry, in bytes by ID address.
type capBook struct {
	verifiers, clients balances
	// removals counts the removals that a verifier signed against a client.
	removals map[[2]address.Address]uint64
	// head is the registry's state that the book was last held against.
	head cid.Cid
}

func newCapBook() *capBook {
	return &capBook{verifiers: balances{}, clients: balances{}, removals: map[[2]address.Address]uint64{}}
}

// use takes a deal out of a client's cap; what is left of it below the least deal is lost.
func (b *capBook) use(client address.Address, size abi.PaddedPieceSize) bool {
	n := big.NewInt(int64(size))
	has, ok := b.clients[client]
	if !ok || n.LessThan(verifreg.MinVerifiedDealSize) || n.GreaterThan(has) {
		return false
	}
	if b.clients[client] = big.Sub(has, n); b.clients[client].LessThan(verifreg.MinVerifiedDealSize) {
		delete(b.clients, client)
	}
	return true
}

// restore gives a client back what a deal used that never began.
func (b *capBook) restore(client address.Address, size abi.PaddedPieceSize) {
	n := big.NewInt(int64(size))
	if _, ok := b.verifiers[client]; !ok && n.GreaterThanEqual(verifreg.MinVerifiedDealSize) {
		b.clients.add(client, n)
	}
}

// close holds the book against the chain.
func (b *capBook) close(x *execution, blocks ipld.Blockstore) error {
	act, err := x.after.Actor(x.ctx, builtin.VerifiedRegistryActorAddr)
	if err != nil || act.Head == b.head {
		return err
	}
	b.head = act.Head
	store := adt.WrapStore(x.ctx, ipld.NewStore(x.ctx, blocks))
	var st verifreg.State
	if err := store.Get(x.ctx, act.Head, &st); err != nil {
		return err
	}
	if err := compareBalances("verifier's cap", b.verifiers, store, st.Verifiers, builtin.DefaultHamtBitwidth); err != nil {
		return fmt.Errorf("verified registry at epoch %d: %w", x.epoch, err)
	}
	if err := compareBalances("client's cap", b.clients, store, st.VerifiedClients, builtin.DefaultHamtBitwidth); err != nil {
		return fmt.Errorf("verified registry at epoch %d: %w", x.epoch, err)
	}
	return nil
}

// allowance draws a data cap, now and then one too small for any deal.
func (o *operator) allowance() (abi.StoragePower, bool) {
	if o.chance(15) {
		return big.Sub(verifreg.MinVerifiedDealSize, big.NewInt(1)), false
	}
	return big.Add(verifreg.MinVerifiedDealSize, big.NewInt(o.rng.Int63n(20_000))), true
}

// rootOr is the root key, or now and then anyone's.
func (o *operator) rootOr() Key {
	if p := o.anyone(); p != nil && o.chance(strangers) {
		return p.Key
	}
	return o.w.root
}

func (o *operator) addVerifier(*turn) (*draft, error) {
	p := o.anyone()
	if p == nil {
		return nil, nil
	}
	from, whom := o.rootOr(), p.id
	allowance, enough := o.allowance()
	if enough {
		allowance = big.Mul(allowance, big.NewInt(20))
	}
	msg, err := call(builtin.VerifiedRegistryActorAddr, big.Zero(), builtin.MethodsVerifiedRegistry.AddVerifier, &verifreg.AddVerifierParams{
		Address: whom, Allowance: allowance,
	}, smallGas)
	return &draft{from: from, msg: msg, judge: func(*execution) (exits, error) {
		_, client := o.caps.clients[whom]
		switch {
		case !enough:
			return only(exitcode.ErrIllegalArgument), nil
		case from.Address != o.w.root.Address:
			return only(exitcode.SysErrForbidden), nil
		case client:
			return only(exitcode.ErrIllegalArgument), nil
		}
		return only(exitcode.Ok), nil
	}, done: func(x *execution) error {
		if x.ok() {
			o.caps.verifiers[whom] = allowance
		}
		return nil
	}}, err
}

func (o *operator) removeVerifier(*turn) (*draft, error) {
	p := o.someone(o.caps.verifiers)
	if p == nil {
		return nil, nil
	}
	from := o.rootOr()
	msg, err := call(builtin.VerifiedRegistryActorAddr, big.Zero(), builtin.MethodsVerifiedRegistry.RemoveVerifier, &p.id, smallGas)
	return &draft{from: from, msg: msg, judge: func(*execution) (exits, error) {
		_, verifier := o.caps.verifiers[p.id]
		switch {
		case from.Address != o.w.root.Address:
			return only(exitcode.SysErrForbidden), nil
		case !verifier:
			return only(exitcode.ErrIllegalArgument), nil
		}
		return only(exitcode.Ok), nil
	}, done: func(x *execution) error {
		if x.ok() {
			delete(o.caps.verifiers, p.id)
		}
		return nil
	}}, err
}

// someone picks a person out of a book, or anyone when that fails.
func (o *operator) someone(book balances) *person {
	p := o.anyone()
	for range 10 {
		if p == nil || book[p.id].Int != nil {
			break
		}
		p = o.anyone()
	}
	return p
}

func (o *operator) addVerifiedClient(*turn) (*draft, error) {
	by, p := o.someone(o.caps.verifiers), o.anyone()
	if p == nil {
		return nil, nil
	}
	allowance, enough := o.allowance()
	msg, err := call(builtin.VerifiedRegistryActorAddr, big.Zero(), builtin.MethodsVerifiedRegistry.AddVerifiedClient, &verifreg.AddVerifiedClientParams{
		Address: p.id, Allowance: allowance,
	}, smallGas)
	return &draft{from: by.Key, msg: msg, judge: func(*execution) (exits, error) {
		left, verifier := o.caps.verifiers[by.id]
		_, rival := o.caps.verifiers[p.id]
		switch {
		case !enough:
			return only(exitcode.ErrIllegalArgument), nil
		case !verifier:
			return only(exitcode.ErrNotFound), nil
		case rival || left.LessThan(allowance):
			return only(exitcode.ErrIllegalArgument), nil
		}
		return only(exitcode.Ok), nil
	}, done: func(x *execution) error {
		if x.ok() {
			o.caps.verifiers[by.id] = big.Sub(o.caps.verifiers[by.id], allowance)
			o.caps.clients.add(p.id, allowance)
		}
		return nil
	}}, err
}

// removeDataCap takes data cap from a client, as the root key may with the signatures of two verifiers.
func (o *operator) removeDataCap(*turn) (*draft, error) {
	client, one, two := o.someone(o.caps.clients), o.someone(o.caps.verifiers), o.someone(o.caps.verifiers)
	if client == nil {
		return nil, nil
	}
	from := o.rootOr()
	amount := big.NewInt(1 + o.rng.Int63n(10_000))
	args := &verifreg.RemoveDataCapParams{VerifiedClientToRemove: client.id, DataCapAmountToRemove: amount}
	var signedFor [2]uint64
	for i, v := range []*person{one, two} {
		signedFor[i] = o.caps.removals[[2]address.Address{v.id, client.id}]
		body := bytes.NewBufferString(verifreg.SignatureDomainSeparation_RemoveDataCap)
		proposal := verifreg.RemoveDataCapProposal{
			VerifiedClient: client.id, DataCapAmount: amount, RemovalProposalID: verifreg.RmDcProposalID{ProposalID: signedFor[i]},
		}
		if err := proposal.MarshalCBOR(body); err != nil {
			return nil, err
		}
		sig, err := v.Sign(body.Bytes())
		if err != nil {
			return nil, err
		}
		request := verifreg.RemoveDataCapRequest{Verifier: v.id, VerifierSignature: *sig}
		if i == 0 {
			args.VerifierRequest1 = request
		} else {
			args.VerifierRequest2 = request
		}
	}
	msg, err := call(builtin.VerifiedRegistryActorAddr, big.Zero(), builtin.MethodsVerifiedRegistry.RemoveVerifiedClientDataCap, args, smallGas)
	return &draft{from: from, msg: msg, judge: func(*execution) (exits, error) {
		_, known := o.caps.clients[client.id]
		_, first := o.caps.verifiers[one.id]
		_, second := o.caps.verifiers[two.id]
		fresh := o.caps.removals[[2]address.Address{one.id, client.id}] == signedFor[0] && o.caps.removals[[2]address.Address{two.id, client.id}] == signedFor[1]
		switch {
		case one == two:
			return only(exitcode.ErrIllegalArgument), nil
		case from.Address != o.w.root.Address:
			return only(exitcode.SysErrForbidden), nil
		case !known:
			return only(exitcode.ErrNotFound), nil
		case !first || !second || !fresh:
			return only(exitcode.ErrIllegalArgument), nil
		}
		return only(exitcode.Ok), nil
	}, done: func(x *execution) error {
		if !x.ok() {
			return nil
		}
		for _, v := range []*person{one, two} {
			o.caps.removals[[2]address.Address{v.id, client.id}]++
		}
		left := big.Sub(o.caps.clients[client.id], amount)
		if o.caps.clients[client.id] = left; left.Sign() <= 0 {
			delete(o.caps.clients, client.id)
		}
		return nil
	}}, err
}

package genesis

import (
	"errors"
	"fmt"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/account"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/cron"
	init7 "github.com/filecoin-project/specs-actors/v7/actors/builtin/init"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/market"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/multisig"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/power"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/reward"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/system"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/verifreg"
	"github.com/filecoin-project/specs-actors/v7/actors/util/adt"
	cbg "github.com/whyrusleeping/cbor-gen"

	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/state"
	"github.com/filecoin-venus/venus/types"
)

func fil(n int64) abi.TokenAmount { return big.Mul(big.NewInt(n), builtin.TokenPrecision) }

func idAddress(n uint64) (address.Address, error) { return address.NewIDAddress(n) }

// makeActors writes all actors but the miners, in the reference's order:
// singletons, accounts, root key, first verifier, remainder.
func (b *builder) makeActors() (err error) {
	if b.tree, err = state.New(b.ctx, b.store); err != nil {
		return err
	}
	if err := b.makeInit(); err != nil {
		return fmt.Errorf("init actor: %w", err)
	}
	if err := b.makeSingletons(); err != nil {
		return err
	}
	for i := range b.tmpl.Accounts {
		if err := b.makeAccount(&b.tmpl.Accounts[i]); err != nil {
			return err
		}
	}
	if err := b.makeAt(rootVerifierID, &b.tmpl.VerifregRootKey); err != nil {
		return fmt.Errorf("verified registry root key: %w", err)
	}
	if err := b.makeFirstVerifier(); err != nil {
		return fmt.Errorf("first verifier: %w", err)
	}
	return b.makeRemainder()
}

// makeInit numbers every key of the template: accounts and multisig signers in
// order, then the signers of root key and remainder. A root key or remainder
// that is an account maps to its fixed ID.
func (b *builder) makeInit() error {
	st, err := init7.ConstructState(b.store, b.tmpl.NetworkName)
	if err != nil {
		return err
	}
	book, err := adt.AsMap(b.store, st.AddressMap, builtin.DefaultHamtBitwidth)
	if err != nil {
		return err
	}
	number := func(key address.Address, id uint64) error {
		a, err := idAddress(id)
		if err != nil {
			return err
		}
		n := cbg.CborInt(id)
		b.ids[key] = a
		return book.Put(abi.AddrKey(key), &n)
	}
	assign := func(a *Actor, fixed uint64) error { return b.numberKeys(a, fixed, number) }
	for i := range b.tmpl.Accounts {
		if err := assign(&b.tmpl.Accounts[i], 0); err != nil {
			return err
		}
	}
	if err := assign(&b.tmpl.VerifregRootKey, rootVerifierID); err != nil {
		return err
	}
	if err := assign(&b.tmpl.RemainderAccount, reserveID); err != nil {
		return err
	}
	if st.AddressMap, err = book.Root(); err != nil {
		return err
	}
	st.NextID = firstMinerID
	return b.setActor(builtin.InitActorAddr, builtin.InitActorCodeID, big.Zero(), st)
}

// numberKeys gives IDs to the keys of one initial actor. An account gets the
// fixed ID when there is one.
func (b *builder) numberKeys(a *Actor, fixed uint64, number func(address.Address, uint64) error) error {
	next := func(key address.Address) error {
		if err := number(key, b.nextID); err != nil {
			return err
		}
		b.nextID++
		return nil
	}
	switch a.Type {
	case KindAccount:
		m, err := a.account()
		if err != nil {
			return err
		}
		if _, dup := b.ids[m.Owner]; dup {
			return fmt.Errorf("%s stands twice in the template", m.Owner)
		}
		if fixed != 0 {
			return number(m.Owner, fixed)
		}
		return next(m.Owner)
	case KindMultisig:
		m, err := a.multisig()
		if err != nil {
			return err
		}
		for _, s := range m.Signers {
			if _, ok := b.ids[s]; ok {
				continue
			}
			if err := next(s); err != nil {
				return err
			}
		}
		return nil
	}
	return fmt.Errorf("genesis actor of type %q: want %s or %s", a.Type, KindAccount, KindMultisig)
}

func (b *builder) makeSingletons() error {
	if err := b.setActor(builtin.SystemActorAddr, builtin.SystemActorCodeID, big.Zero(), &system.State{}); err != nil {
		return err
	}
	rewards := reward.ConstructState(big.Zero())
	if err := b.setActor(builtin.RewardActorAddr, builtin.RewardActorCodeID, fil(params.MiningReserveFIL), rewards); err != nil {
		return err
	}
	entries := cron.ConstructState(cron.BuiltInEntries())
	if err := b.setActor(builtin.CronActorAddr, builtin.CronActorCodeID, big.Zero(), entries); err != nil {
		return err
	}
	pow, err := power.ConstructState(b.store)
	if err != nil {
		return fmt.Errorf("power actor: %w", err)
	}
	if err := b.setActor(builtin.StoragePowerActorAddr, builtin.StoragePowerActorCodeID, big.Zero(), pow); err != nil {
		return err
	}
	deals, err := market.ConstructState(b.store)
	if err != nil {
		return fmt.Errorf("market actor: %w", err)
	}
	if err := b.setActor(builtin.StorageMarketActorAddr, builtin.StorageMarketActorCodeID, big.Zero(), deals); err != nil {
		return err
	}
	root, err := idAddress(rootVerifierID)
	if err != nil {
		return err
	}
	registry, err := verifreg.ConstructState(b.store, root)
	if err != nil {
		return fmt.Errorf("verified registry: %w", err)
	}
	if err := b.setActor(builtin.VerifiedRegistryActorAddr, builtin.VerifiedRegistryActorCodeID, big.Zero(), registry); err != nil {
		return err
	}
	burnt := &account.State{Address: builtin.BurntFundsActorAddr}
	return b.setActor(builtin.BurntFundsActorAddr, builtin.AccountActorCodeID, big.Zero(), burnt)
}

// makeAccount makes an account at the ID of its key, or a multisig at the next
// free ID.
func (b *builder) makeAccount(a *Actor) error {
	if a.Type == KindAccount {
		m, err := a.account()
		if err != nil {
			return err
		}
		return b.setActor(b.ids[m.Owner], builtin.AccountActorCodeID, a.Balance, &account.State{Address: m.Owner})
	}
	id, err := idAddress(b.nextID)
	if err != nil {
		return err
	}
	b.nextID++
	if b.nextID > firstMinerID {
		return errors.New("the accounts and signers do not fit below the miners' IDs")
	}
	return b.makeMultisig(id, a, a.Balance)
}

// makeAt makes an actor at a fixed ID.
func (b *builder) makeAt(id uint64, a *Actor) error {
	at, err := idAddress(id)
	if err != nil {
		return err
	}
	if a.Type == KindMultisig {
		return b.makeMultisig(at, a, a.Balance)
	}
	m, err := a.account()
	if err != nil {
		return err
	}
	return b.setActor(at, builtin.AccountActorCodeID, a.Balance, &account.State{Address: m.Owner})
}

// makeMultisig makes a multisig and accounts for signers that have none.
func (b *builder) makeMultisig(id address.Address, a *Actor, balance abi.TokenAmount) error {
	m, err := a.multisig()
	if err != nil {
		return err
	}
	st := &multisig.State{
		NumApprovalsThreshold: uint64(m.Threshold), InitialBalance: balance,
		StartEpoch: abi.ChainEpoch(m.VestingStart), UnlockDuration: abi.ChainEpoch(m.VestingDuration),
	}
	for _, key := range m.Signers {
		signer := b.ids[key]
		st.Signers = append(st.Signers, signer)
		_, err := b.tree.GetActor(b.ctx, signer)
		if err == nil {
			continue
		}
		if !errors.Is(err, state.ErrActorNotFound) {
			return err
		}
		if b.accountFollows(key) {
			continue
		}
		if err := b.setActor(signer, builtin.AccountActorCodeID, big.Zero(), &account.State{Address: key}); err != nil {
			return err
		}
	}
	if st.PendingTxns, err = adt.StoreEmptyMap(b.store, builtin.DefaultHamtBitwidth); err != nil {
		return err
	}
	return b.setActor(id, builtin.MultisigActorCodeID, balance, st)
}

// accountFollows tells whether a key is an account of the template, which makes
// its actor itself, with its balance.
func (b *builder) accountFollows(key address.Address) bool {
	for _, a := range []*Actor{&b.tmpl.VerifregRootKey, &b.tmpl.RemainderAccount} {
		if m, err := a.account(); a.Type == KindAccount && err == nil && m.Owner == key {
			return true
		}
	}
	for i := range b.tmpl.Accounts {
		a := &b.tmpl.Accounts[i]
		if m, err := a.account(); a.Type == KindAccount && err == nil && m.Owner == key {
			return true
		}
	}
	return false
}

// makeFirstVerifier makes f081, which grants the genesis deals their data cap
// and never acts again. Its key address is derived from the template; no one
// holds a key for it.
func (b *builder) makeFirstVerifier() error {
	seed, err := b.tmpl.derive("first verifier")
	if err != nil {
		return err
	}
	key, err := address.NewSecp256k1Address(seed)
	if err != nil {
		return err
	}
	id, err := idAddress(firstVerifierID)
	if err != nil {
		return err
	}
	return b.setActor(id, builtin.AccountActorCodeID, big.Zero(), &account.State{Address: key})
}

// makeRemainder gives what is left of all FIL to f090.
func (b *builder) makeRemainder() error {
	if _, err := b.tree.Flush(b.ctx); err != nil {
		return err
	}
	left := fil(params.TotalFIL)
	err := b.tree.ForEach(b.ctx, func(_ address.Address, act *types.Actor) error {
		left = big.Sub(left, act.Balance)
		return nil
	})
	if err != nil {
		return err
	}
	if left.Sign() < 0 {
		return fmt.Errorf("the template hands out %s attoFIL more than exist", left.Neg())
	}
	remainder := b.tmpl.RemainderAccount
	remainder.Balance = left
	if err := b.makeAt(reserveID, &remainder); err != nil {
		return fmt.Errorf("remainder account: %w", err)
	}
	return nil
}

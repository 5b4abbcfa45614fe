package sim

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/go-state-types/cbor"
	"github.com/filecoin-project/go-state-types/exitcode"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin"
	init7 "github.com/filecoin-project/specs-actors/v7/actors/builtin/init"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/multisig"
)

func (o *operator) walletOperations() []operation {
	return []operation{
		{"create multisig", 8, o.createWallet},
		{"fund multisig", 20, o.fundWallet},
		{"multisig propose", 80, o.proposeWallet},
		{"multisig approve", 120, o.approve},
		{"multisig cancel", 20, o.cancel},
	}
}

// wallet is the model of a multisig.
type wallet struct {
	id        address.Address
	signers   []address.Address
	threshold int
	next      multisig.TxnID
	pending   map[multisig.TxnID]*walletTxn
	balance   abi.TokenAmount
	// What is locked at lockStart is free after lockFor epochs.
	locked             abi.TokenAmount
	lockStart, lockFor abi.ChainEpoch
}

// walletTxn is a proposal. effect is what it does to the wallet beside paying, and how it exits.
type walletTxn struct {
	multisig.Transaction
	effect func(epoch abi.ChainEpoch) exitcode.ExitCode
}

func (o *operator) createWallet(t *turn) (*draft, error) {
	if len(o.people) < 5 || len(o.wallets) >= mostWallets {
		return nil, nil
	}
	w := &wallet{pending: map[multisig.TxnID]*walletTxn{}, balance: o.fil(100_000), locked: big.Zero()}
	for _, i := range o.rng.Perm(len(o.people))[:1+o.rng.Intn(4)] {
		w.signers = append(w.signers, o.people[i].id)
	}
	w.threshold = 1 + o.rng.Intn(len(w.signers))
	args := &multisig.ConstructorParams{Signers: w.signers, NumApprovalsThreshold: uint64(w.threshold)}
	if o.chance(2) {
		w.lockStart, w.lockFor, w.locked = t.head.Height()-abi.ChainEpoch(o.rng.Intn(100)), abi.ChainEpoch(1+o.rng.Intn(5000)), w.balance
		args.StartEpoch, args.UnlockDuration = w.lockStart, w.lockFor
	}
	judge := always(exitcode.Ok)
	switch o.rng.Intn(20) {
	case 0:
		args.NumApprovalsThreshold, judge = uint64(len(w.signers)+1), always(exitcode.ErrIllegalArgument)
	case 1:
		args.Signers, judge = append(slices.Clone(w.signers), w.signers[0]), always(exitcode.ErrIllegalArgument)
	}
	msg, err := execCall(builtin.MultisigActorCodeID, args, w.balance)
	if err != nil {
		return nil, err
	}
	return &draft{from: o.anyone().Key, msg: msg, touched: w, judge: judge, done: func(x *execution) error {
		if !x.ok() {
			return nil
		}
		var ret init7.ExecReturn
		if err := x.returned(&ret); err != nil {
			return err
		}
		w.id = ret.IDAddress
		o.wallets = append(o.wallets, w)
		return nil
	}}, nil
}

func (o *operator) fundWallet(*turn) (*draft, error) {
	w := some(o, o.wallets)
	if w == nil {
		return nil, nil
	}
	value := o.fil(20_000)
	return &draft{from: o.anyone().Key, msg: message(w.id, value, 0, nil, smallGas), touched: w, judge: always(exitcode.Ok), done: func(*execution) error {
		w.balance = big.Add(w.balance, value)
		return nil
	}}, nil
}

// signer picks a signer of a wallet, or now and then anyone.
func (o *operator) signer(w *wallet) *person {
	if !o.chance(strangers) {
		id := w.signers[o.rng.Intn(len(w.signers))]
		for _, p := range o.people {
			if p.id == id {
				return p
			}
		}
	}
	return o.anyone()
}

func (w *wallet) signs(p *person) bool { return slices.Contains(w.signers, p.id) }

// lockedAt is what the schedule keeps at an epoch, rounded up (actors-v7-others.md 8.2).
func (w *wallet) lockedAt(epoch abi.ChainEpoch) abi.TokenAmount {
	elapsed := epoch - w.lockStart
	switch {
	case elapsed >= w.lockFor:
		return big.Zero()
	case elapsed <= 0:
		return w.locked
	}
	part := big.Mul(w.locked, big.NewInt(int64(w.lockFor-elapsed)))
	return big.Div(big.Add(part, big.NewInt(int64(w.lockFor-1))), big.NewInt(int64(w.lockFor)))
}

func (w *wallet) canPay(v abi.TokenAmount, epoch abi.ChainEpoch) bool {
	if w.balance.LessThan(v) {
		return false
	}
	return v.IsZero() || big.Sub(w.balance, v).GreaterThanEqual(w.lockedAt(epoch))
}

// ready tells whether a transaction goes out with its approvals, and whether the wallet can pay it.
func (w *wallet) ready(txn *walletTxn, approvals int, epoch abi.ChainEpoch) (out, paid bool) {
	return approvals >= w.threshold, w.canPay(txn.Value, epoch)
}

// execute plays a transaction that went out.
func (w *wallet) execute(id multisig.TxnID, txn *walletTxn, epoch abi.ChainEpoch) exitcode.ExitCode {
	code := exitcode.Ok
	if txn.effect != nil {
		code = txn.effect(epoch)
	} else {
		w.balance = big.Sub(w.balance, txn.Value)
	}
	delete(w.pending, id)
	return code
}

// propose makes a proposal: a payment, or a change of the wallet itself.
func (o *operator) proposeTxn(t *turn, w *wallet) (*walletTxn, error) {
	txn := &walletTxn{Transaction: multisig.Transaction{To: o.anyone().id, Value: o.fil(10_000)}}
	if o.chance(2) {
		return txn, nil
	}
	txn.To, txn.Value = w.id, big.Zero()
	who := o.anyone().id
	var args cbor.Marshaler
	switch o.rng.Intn(5) {
	case 0:
		grow := o.chance(2)
		txn.Method, args = builtin.MethodsMultisig.AddSigner, &multisig.AddSignerParams{Signer: who, Increase: grow}
		txn.effect = func(abi.ChainEpoch) exitcode.ExitCode { return w.addSigner(who, grow) }
	case 1:
		shrink := o.chance(2)
		txn.Method, args = builtin.MethodsMultisig.RemoveSigner, &multisig.RemoveSignerParams{Signer: who, Decrease: shrink}
		txn.effect = func(abi.ChainEpoch) exitcode.ExitCode { return w.removeSigner(who, shrink) }
	case 2:
		old := w.signers[o.rng.Intn(len(w.signers))]
		txn.Method, args = builtin.MethodsMultisig.SwapSigner, &multisig.SwapSignerParams{From: old, To: who}
		txn.effect = func(abi.ChainEpoch) exitcode.ExitCode { return w.swapSigner(old, who) }
	case 3:
		n := o.rng.Intn(len(w.signers) + 2)
		txn.Method, args = builtin.MethodsMultisig.ChangeNumApprovalsThreshold, &multisig.ChangeNumApprovalsThresholdParams{NewThreshold: uint64(n)}
		txn.effect = func(abi.ChainEpoch) exitcode.ExitCode {
			if n == 0 || n > len(w.signers) {
				return exitcode.ErrIllegalArgument
			}
			w.threshold = n
			return exitcode.Ok
		}
	case 4:
		amount, start, span := o.fil(20_000), t.head.Height(), abi.ChainEpoch(o.rng.Intn(3000))
		txn.Method, args = builtin.MethodsMultisig.LockBalance, &multisig.LockBalanceParams{StartEpoch: start, UnlockDuration: span, Amount: amount}
		txn.effect = func(abi.ChainEpoch) exitcode.ExitCode { return w.lock(start, span, amount) }
	}
	var body bytes.Buffer
	err := args.MarshalCBOR(&body)
	txn.Params = body.Bytes()
	return txn, err
}

func (o *operator) proposeWallet(t *turn) (*draft, error) {
	w := some(o, o.wallets)
	if w == nil {
		return nil, nil
	}
	by := o.signer(w)
	txn, err := o.proposeTxn(t, w)
	if err != nil {
		return nil, err
	}
	msg, err := call(w.id, big.Zero(), builtin.MethodsMultisig.Propose, &multisig.ProposeParams{To: txn.To, Value: txn.Value, Method: txn.Method, Params: txn.Params}, smallGas)
	if err != nil {
		return nil, err
	}
	return &draft{from: by.Key, msg: msg, touched: w, judge: func(x *execution) (exits, error) {
		if !w.signs(by) {
			return only(exitcode.ErrForbidden), nil
		}
		if out, paid := w.ready(txn, 1, x.epoch); out && !paid {
			return only(exitcode.ErrInsufficientFunds), nil
		}
		return only(exitcode.Ok), nil
	}, done: func(x *execution) error {
		if !x.ok() {
			return nil
		}
		var ret multisig.ProposeReturn
		if err := x.returned(&ret); err != nil {
			return err
		}
		if ret.TxnID != w.next {
			return fmt.Errorf("proposal of %s is number %d where %d was due", w.id, ret.TxnID, w.next)
		}
		txn.Approved = []address.Address{by.id}
		w.pending[w.next] = txn
		w.next++
		return w.went(x, ret.TxnID, txn, ret.Applied, ret.Code)
	}}, nil
}

// went compares what became of a transaction after an approval, and plays it.
func (w *wallet) went(x *execution, id multisig.TxnID, txn *walletTxn, applied bool, code exitcode.ExitCode) error {
	out, _ := w.ready(txn, len(txn.Approved), x.epoch)
	if out != applied {
		return fmt.Errorf("transaction %d of %s with %d approvals of %d: applied is %t", id, w.id, len(txn.Approved), w.threshold, applied)
	}
	if !out {
		return nil
	}
	if want := w.execute(id, txn, x.epoch); want != code {
		return fmt.Errorf("transaction %d of %s exits %d where %d was due", id, w.id, code, want)
	}
	return nil
}

// compare holds the wallet against the chain.
func (w *wallet) compare(x *execution) error {
	if w.id == address.Undef {
		return nil // its creation was refused
	}
	balance, st, err := x.after.Multisig(x.ctx, w.id)
	if err != nil {
		return err
	}
	wrong := func(what string, chain, book any) error {
		return fmt.Errorf("multisig %s has %s %v, in the book %v", w.id, what, chain, book)
	}
	switch {
	case !balance.Equals(w.balance):
		return wrong("balance", balance, w.balance)
	case !slices.Equal(st.Signers, w.signers):
		return wrong("signers", st.Signers, w.signers)
	case st.NumApprovalsThreshold != uint64(w.threshold):
		return wrong("threshold", st.NumApprovalsThreshold, w.threshold)
	case st.NextTxnID != w.next:
		return wrong("next transaction", st.NextTxnID, w.next)
	case st.UnlockDuration != w.lockFor || !st.InitialBalance.Equals(w.locked):
		return wrong("lock", st.InitialBalance, w.locked)
	}
	pending := 0
	err = x.after.MultisigPending(x.ctx, w.id, func(id int64, txn multisig.Transaction) error {
		pending++
		if known := w.pending[multisig.TxnID(id)]; known == nil || !slices.Equal(known.Approved, txn.Approved) {
			return wrong("a transaction", id, known)
		}
		return nil
	})
	if err == nil && pending != len(w.pending) {
		return wrong("pending transactions", pending, len(w.pending))
	}
	return err
}

// pick draws a pending transaction, or a number that is none.
func (o *operator) pick(w *wallet) multisig.TxnID {
	if w.next == 0 || o.chance(15) {
		return w.next + 5
	}
	ids := make([]multisig.TxnID, 0, len(w.pending))
	for id := range w.pending {
		ids = append(ids, id)
	}
	if len(ids) == 0 {
		return w.next - 1
	}
	slices.Sort(ids)
	return ids[o.rng.Intn(len(ids))]
}

func (o *operator) approve(*turn) (*draft, error) {
	w := some(o, o.wallets)
	if w == nil {
		return nil, nil
	}
	by, id, wrong := o.signer(w), o.pick(w), o.chance(15)
	args := &multisig.TxnIDParams{ID: id}
	if wrong {
		args.ProposalHash = digest("no proposal")[:32]
	}
	msg, err := call(w.id, big.Zero(), builtin.MethodsMultisig.Approve, args, smallGas)
	if err != nil {
		return nil, err
	}
	return &draft{from: by.Key, msg: msg, touched: w, judge: func(x *execution) (exits, error) {
		return only(w.approveExit(by, id, wrong, x.epoch)), nil
	}, done: func(x *execution) error {
		if !x.ok() {
			return nil
		}
		var ret multisig.ApproveReturn
		if err := x.returned(&ret); err != nil {
			return err
		}
		txn := w.pending[id]
		// A transaction whose approvals suffice already goes out without one more.
		if len(txn.Approved) < w.threshold {
			txn.Approved = append(txn.Approved, by.id)
		}
		return w.went(x, id, txn, ret.Applied, ret.Code)
	}}, nil
}

func (w *wallet) approveExit(by *person, id multisig.TxnID, wrong bool, epoch abi.ChainEpoch) exitcode.ExitCode {
	txn := w.pending[id]
	switch {
	case !w.signs(by):
		return exitcode.ErrForbidden
	case txn == nil:
		return exitcode.ErrNotFound
	case wrong:
		return exitcode.ErrIllegalArgument
	}
	approvals := len(txn.Approved)
	if approvals < w.threshold {
		if slices.Contains(txn.Approved, by.id) {
			return exitcode.ErrForbidden
		}
		approvals++
	}
	if out, paid := w.ready(txn, approvals, epoch); out && !paid {
		return exitcode.ErrInsufficientFunds
	}
	return exitcode.Ok
}

func (o *operator) cancel(*turn) (*draft, error) {
	w := some(o, o.wallets)
	if w == nil {
		return nil, nil
	}
	by, id, wrong := o.signer(w), o.pick(w), o.chance(15)
	args := &multisig.TxnIDParams{ID: id}
	if wrong {
		args.ProposalHash = digest("no proposal")[:32]
	}
	msg, err := call(w.id, big.Zero(), builtin.MethodsMultisig.Cancel, args, smallGas)
	if err != nil {
		return nil, err
	}
	return &draft{from: by.Key, msg: msg, touched: w, judge: func(*execution) (exits, error) {
		txn := w.pending[id]
		switch {
		case !w.signs(by):
			return only(exitcode.ErrForbidden), nil
		case txn == nil:
			return only(exitcode.ErrNotFound), nil
		case txn.Approved[0] != by.id:
			return only(exitcode.ErrForbidden), nil
		case wrong:
			return only(exitcode.ErrIllegalState), nil
		}
		return only(exitcode.Ok), nil
	}, done: func(x *execution) error {
		if x.ok() {
			delete(w.pending, id)
		}
		return nil
	}}, nil
}

func (w *wallet) addSigner(who address.Address, grow bool) exitcode.ExitCode {
	if slices.Contains(w.signers, who) {
		return exitcode.ErrForbidden
	}
	w.signers = append(w.signers, who)
	if grow {
		w.threshold++
	}
	return exitcode.Ok
}

func (w *wallet) removeSigner(who address.Address, shrink bool) exitcode.ExitCode {
	switch {
	case !slices.Contains(w.signers, who) || len(w.signers) == 1:
		return exitcode.ErrForbidden
	case !shrink && len(w.signers)-1 < w.threshold, shrink && w.threshold < 2:
		return exitcode.ErrIllegalArgument
	}
	if shrink {
		w.threshold--
	}
	w.forget(who)
	return exitcode.Ok
}

func (w *wallet) swapSigner(old, who address.Address) exitcode.ExitCode {
	switch {
	case !slices.Contains(w.signers, old):
		return exitcode.ErrForbidden
	case slices.Contains(w.signers, who):
		return exitcode.ErrIllegalArgument
	}
	w.forget(old)
	w.signers = append(w.signers, who)
	return exitcode.Ok
}

// forget takes out a signer with all approvals; proposals without any go.
func (w *wallet) forget(who address.Address) {
	is := func(a address.Address) bool { return a == who }
	w.signers = slices.DeleteFunc(slices.Clone(w.signers), is)
	for id, txn := range w.pending {
		if txn.Approved = slices.DeleteFunc(slices.Clone(txn.Approved), is); len(txn.Approved) == 0 {
			delete(w.pending, id)
		}
	}
}

func (w *wallet) lock(start, span abi.ChainEpoch, amount abi.TokenAmount) exitcode.ExitCode {
	switch {
	case span <= 0:
		return exitcode.ErrIllegalArgument
	case w.lockFor != 0:
		return exitcode.ErrForbidden
	}
	w.lockStart, w.lockFor, w.locked = start, span, amount
	return exitcode.Ok
}

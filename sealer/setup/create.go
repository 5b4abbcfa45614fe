package setup

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/go-state-types/exitcode"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/power"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/api/messager"
	"github.com/filecoin-venus/venus/repo"
	"github.com/filecoin-venus/venus/sealer/config"
	"github.com/filecoin-venus/venus/sealer/messages"
	"github.com/filecoin-venus/venus/types"
)

type writer = io.Writer

// identityName is the secret that holds the peer key.
const identityName = "libp2p-host"

// identity makes the peer key, or finds the one that was made.
func identity(r *repo.Repo) (peer.ID, error) {
	raw, err := r.Keystore().GetOrMake(identityName, func() ([]byte, error) {
		k, _, err := crypto.GenerateEd25519Key(rand.Reader)
		if err != nil {
			return nil, err
		}
		return crypto.MarshalPrivateKey(k)
	})
	if err != nil {
		return "", err
	}
	k, err := crypto.UnmarshalPrivateKey(raw)
	if err != nil {
		return "", fmt.Errorf("read libp2p identity: %w", err)
	}
	id, err := peer.IDFromPrivateKey(k)
	if err != nil {
		return "", fmt.Errorf("derive peer id: %w", err)
	}
	return id, nil
}

// maxCreateFee is what the creation of a miner may cost at most.
var maxCreateFee = types.AttoPerFIL

// create brings the miner into being. It may be repeated at any time: the ids of
// its messages are recorded, and the messager knows what became of them.
func create(ctx context.Context, req Request, p Parts, l *ledger, id peer.ID) error {
	if err := account(ctx, req, p, l); err != nil {
		return err
	}
	proof, err := req.Network.SealProof(req.SectorSize)
	if err != nil {
		return err
	}
	window, err := proof.RegisteredWindowPoStProof()
	if err != nil {
		return fmt.Errorf("window proof of %d byte sectors: %w", req.SectorSize, err)
	}
	params, err := cborOf(&power.CreateMinerParams{Owner: req.Owner, Worker: req.Worker, WindowPoStProofType: window, Peer: abi.PeerID(id)})
	if err != nil {
		return err
	}
	msg := &types.Message{
		To: builtin.StoragePowerActorAddr, From: req.From, Value: big.Zero(), Method: builtin.MethodsPower.CreateMiner, Params: params,
		GasFeeCap: big.Zero(), GasPremium: orZero(req.GasPremium),
	}
	ret, err := deliver(ctx, req, p, l, "create-miner", "CreateMiner", msg)
	if err != nil {
		return err
	}
	var made power.CreateMinerReturn
	if err := made.UnmarshalCBOR(bytes.NewReader(ret)); err != nil {
		return fmt.Errorf("read the result of CreateMiner: %w", err)
	}
	p.Log("New miners address is: %s (%s)", made.IDAddress, made.RobustAddress)
	l.Miner, l.Robust = made.IDAddress, made.RobustAddress.String()
	if err := l.save(); err != nil {
		return err
	}
	p.Log("Created new miner: %s", made.IDAddress)
	return nil
}

// account gives the worker an account on the chain: the power actor must be able
// to resolve it. A transfer of nothing does.
func account(ctx context.Context, req Request, p Parts, l *ledger) error {
	if l.Transferred {
		return nil
	}
	for _, a := range []address.Address{req.Owner, req.Worker} {
		_, err := p.Node.StateLookupID(ctx, a, types.EmptyTSK)
		if err == nil {
			continue
		}
		if api.Explain(err).Code == api.CodeUnavailable {
			return fmt.Errorf("look for account %s: %w", a, err)
		}
		msg := &types.Message{To: a, From: req.From, Value: big.Zero(), GasFeeCap: big.Zero(), GasPremium: orZero(req.GasPremium)}
		p.Log("Initializing worker account %s, message uid: %s", a, l.id("account-"+a.String()))
		if _, err := deliver(ctx, req, p, l, "account-"+a.String(), "", msg); err != nil {
			return err
		}
	}
	l.Transferred = true
	return l.save()
}

// deliver pushes a message under its recorded id, unless it was pushed, and
// waits for its success. After a failure that is final the record moves on to
// the next attempt, so that running again tries anew.
func deliver(ctx context.Context, req Request, p Parts, l *ledger, what, title string, msg *types.Message) ([]byte, error) {
	id := l.id(what)
	known, err := p.Messager.HasMessageByUid(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("ask for message %s: %w", id, err)
	}
	if !known {
		meta := &messager.MsgMeta{MaxFee: maxCreateFee, MaxFeeCap: big.Zero()}
		if _, err := p.Messager.PushMessageWithId(ctx, id, msg, meta, req.Config.Messager.Wallet); err != nil {
			return nil, fmt.Errorf("push message %s: %w", id, err)
		}
	}
	if title != "" {
		p.Log("Pushed %s message: %s", title, id)
	}
	p.Log("Waiting for confirmation")
	fate, err := await(ctx, req, p, id)
	if err != nil {
		return nil, err
	}
	if fate.Landed && fate.Exit == exitcode.Ok {
		return fate.Return, nil
	}
	l.Attempt++
	if err := l.save(); err != nil {
		return nil, err
	}
	if fate.Landed {
		return nil, api.Errorf(api.CodePrecondition, "message %s landed in epoch %d with exit code %d", id, fate.Height, fate.Exit).
			WithHint("look at it with 'venus-messager msg why %s', mend the cause, run the same command again", id)
	}
	return nil, api.Errorf(api.CodePrecondition, "message %s was not sent: %s", id, fate.Why).
		WithHint("mend the cause and run the same command again")
}

// tellEvery is how often the operator hears what is waited for.
const tellEvery = 10 * time.Second

// await polls the messager until the message's fate is sealed.
func await(ctx context.Context, req Request, p Parts, id string) (messages.Fate, error) {
	told := p.Clock.Now()
	for {
		m, err := p.Messager.GetMessageByUid(ctx, id)
		var text string
		if err == nil {
			fate := messages.FateOf(m, config.Confidence(req.Network))
			if fate.Landed || fate.Dropped {
				return fate, nil
			}
			text = fmt.Sprintf("message %s is %s", id, m.State)
			if m.ErrorMsg != "" {
				text += ": " + m.ErrorMsg
			}
		} else {
			text = fmt.Sprintf("cannot ask the messager: %v", err)
		}
		if p.Clock.Now().Sub(told) >= tellEvery {
			told = p.Clock.Now()
			p.Wait("%s", text)
		}
		if err := p.Clock.Sleep(ctx, max(req.Network.BlockDelay/2, 500*time.Millisecond)); err != nil {
			return messages.Fate{}, fmt.Errorf("interrupted while message %s was waited for; run the same command again to go on: %w", id, err)
		}
	}
}

func orZero(v big.Int) big.Int {
	if v.Int == nil {
		return big.Zero()
	}
	return v
}

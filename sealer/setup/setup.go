// Package setup prepares a sealer's directory: for a new miner, which it creates
// on the chain through the messager, or for an existing one.
//
// Start at Run. Every step is recorded in init.json before its side effect, and
// the ids of messages are part of the record: a run that died anywhere is taken
// up by running the same command again, and no second miner is ever created.
// Nothing is deleted, whatever fails.
package setup

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/google/uuid"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/api/messager"
	"github.com/filecoin-venus/venus/api/node"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/internal/fault"
	"github.com/filecoin-venus/venus/internal/fsutil"
	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/repo"
	"github.com/filecoin-venus/venus/sealer/config"
	"github.com/filecoin-venus/venus/sealer/store"
	"github.com/filecoin-venus/venus/types"
)

// Reads is the part of the node that setup asks for accounts and the head.
type Reads interface {
	ChainHead(ctx context.Context) (*types.TipSet, error)
	StateLookupID(ctx context.Context, addr address.Address, tsk types.TipSetKey) (address.Address, error)
	StateAccountKey(ctx context.Context, addr address.Address, tsk types.TipSetKey) (address.Address, error)
	StateMinerInfo(ctx context.Context, miner address.Address, tsk types.TipSetKey) (node.MinerInfo, error)
	WalletBalance(ctx context.Context, addr address.Address) (abi.TokenAmount, error)
}

// Node is the part of the node that is used.
type Node interface {
	Reads
	Version(ctx context.Context) (api.Version, error)
	StateNetwork(ctx context.Context) (*params.Network, error)
}

// Messager is the part of the messager that is used.
type Messager interface {
	PushMessageWithId(ctx context.Context, id string, msg *types.Message, meta *messager.MsgMeta, walletName string) (string, error)
	HasMessageByUid(ctx context.Context, id string) (bool, error)
	GetMessageByUid(ctx context.Context, id string) (*messager.Message, error)
	HasWalletAddress(ctx context.Context, walletName string, addr address.Address) (bool, error)
}

// Request is what the operator asked for.
type Request struct {
	// Actor is an existing miner, or undefined for a new one.
	Actor address.Address
	// Owner, Worker and From are for a new miner; Worker defaults to Owner, From to Owner.
	Owner, Worker, From address.Address
	SectorSize          abi.SectorSize
	// GasPremium is in attoFIL; nil leaves it to the messager.
	GasPremium abi.TokenAmount
	// NoLocalStorage keeps the directory itself from being a storage path.
	NoLocalStorage bool
	// NoSync skips waiting for the node.
	NoSync bool
	// Genesis marks the miner of a network's genesis, whose chain may not move yet.
	Genesis bool
	// PreSealed are folders with sectors sealed before, Metadata their lists.
	PreSealed []string
	Metadata  []string
	Config    config.Config
	Network   params.Network
}

// Parts are what setup works with. Log prints one step for the operator; Wait
// tells, now and then, what is waited for.
type Parts struct {
	Repo     *repo.Repo
	Node     Node
	Messager Messager
	Clock    clock.Clock
	Log      func(format string, args ...any)
	Wait     func(format string, args ...any)
}

// Progress is the content of init.json.
type Progress struct {
	// Wanted is the request that was begun; another one is refused.
	Wanted Wanted
	// Attempt counts tries to create the miner; each has ids of its own, made from Seed.
	Seed        string
	Attempt     int
	Transferred bool
	Miner       address.Address
	Robust      string `json:",omitempty"`
	Done        bool
}

// Wanted is what must not change between two runs.
type Wanted struct {
	Network    string
	Actor      string `json:",omitempty"`
	Owner      string `json:",omitempty"`
	Worker     string `json:",omitempty"`
	SectorSize uint64 `json:",omitempty"`
}

// networkFile holds the parameters of the network that the node served.
const networkFile = "network.json"

// progressFile is the record's name in the directory.
const progressFile = "init.json"

// Ledger is the open record.
type ledger struct {
	file string
	Progress
}

// Load reads how far a directory is; the zero Progress when nothing was begun.
func Load(dir repo.Dir) (Progress, error) {
	l, err := open(dir.Path(progressFile))
	return l.Progress, err
}

func open(file string) (*ledger, error) {
	l := &ledger{file: file}
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return l, nil
	}
	if err != nil {
		return l, fmt.Errorf("read %s: %w", progressFile, err)
	}
	if err := json.Unmarshal(b, &l.Progress); err != nil {
		return l, fmt.Errorf("read %s: %w", file, err)
	}
	return l, nil
}

func (l *ledger) save() error {
	b, err := json.MarshalIndent(l.Progress, "", "  ")
	if err != nil {
		return fmt.Errorf("encode %s: %w", progressFile, err)
	}
	if err := fsutil.WriteFileAtomic(l.file, append(b, '\n'), 0o600); err != nil {
		return err
	}
	return fault.Point("sealer/init")
}

// id names a message of this setup.
func (l *ledger) id(what string) string {
	space, err := uuid.Parse(l.Seed)
	if err != nil {
		space = uuid.NameSpaceOID // a hand-made record: still the same id every time
	}
	return uuid.NewSHA1(space, fmt.Appendf(nil, "%s/%d", what, l.Attempt)).String()
}

// Run brings a directory to the point where the sealer can run, and returns the
// miner's address.
func Run(ctx context.Context, req Request, p Parts) (address.Address, error) {
	p.Log("Checking if repo exists")
	l, err := open(p.Repo.Path(progressFile))
	if err != nil {
		return address.Undef, err
	}
	if l.Done {
		return address.Undef, api.Errorf(api.CodeConflict, "%s is set up already, for miner %s", p.Repo.Root(), l.Miner).
			WithHint("start it with 'venus-sealer run', or choose another directory with --data")
	}
	if req.Network, err = checkNode(ctx, req, p); err != nil {
		return address.Undef, err
	}
	if req, err = fill(ctx, req, p); err != nil {
		return address.Undef, err
	}
	if err := l.begin(req); err != nil {
		return address.Undef, err
	}
	p.Log("Initializing repo")
	if err := prepare(req, p); err != nil {
		return address.Undef, err
	}
	p.Log("Initializing libp2p identity")
	peer, err := identity(p.Repo)
	if err != nil {
		return address.Undef, err
	}
	if req.Actor != address.Undef {
		l.Miner = req.Actor
	} else if l.Miner == address.Undef {
		if err := create(ctx, req, p, l, peer); err != nil {
			return address.Undef, err
		}
	}
	if err := importSectors(ctx, req, p, l.Miner); err != nil {
		return address.Undef, err
	}
	l.Done = true
	if err := l.save(); err != nil {
		return address.Undef, err
	}
	p.Log("Sealer successfully created, you can now start it with 'venus-sealer run'")
	return l.Miner, nil
}

// begin records the request, or compares it with the one that was begun.
func (l *ledger) begin(req Request) error {
	w := Wanted{Network: req.Network.Name}
	if req.Actor != address.Undef {
		w.Actor = req.Actor.String()
	} else {
		w.Owner, w.Worker, w.SectorSize = req.Owner.String(), req.Worker.String(), uint64(req.SectorSize)
	}
	if l.Seed == "" {
		l.Seed, l.Attempt, l.Wanted = uuid.NewString(), 1, w
		return l.save()
	}
	if l.Wanted != w {
		have, _ := json.Marshal(l.Wanted) // plain strings always encode
		return api.Errorf(api.CodeConflict, "this directory was begun with other values: %s", have).
			WithHint("run the same command again to go on with it, or choose another directory with --data")
	}
	return nil
}

// checkNode looks at version, network and synchronization, and returns the
// parameters of the network that the node serves. A private network's name does
// not tell its proof seed and beacon; the node does.
func checkNode(ctx context.Context, req Request, p Parts) (params.Network, error) {
	p.Log("Checking full node version")
	v, err := p.Node.Version(ctx)
	if err != nil {
		return req.Network, fmt.Errorf("ask the node for its version: %w", err)
	}
	major, minor, _ := v.APIVersion.Parts()
	wantMajor, wantMinor, _ := node.VersionV1.Parts()
	if major != wantMajor || minor != wantMinor {
		return req.Network, api.Errorf(api.CodePrecondition, "the node speaks API version %d.%d, this sealer %d.%d", major, minor, wantMajor, wantMinor).
			WithHint("use programs of the same release")
	}
	served, err := p.Node.StateNetwork(ctx)
	if err == nil {
		err = served.Validate()
	}
	if err != nil {
		return req.Network, fmt.Errorf("ask the node for its network: %w", err)
	}
	wanted := req.Network
	if served.GenesisName != wanted.GenesisName || (wanted.GenesisCID != "" && served.GenesisCID != wanted.GenesisCID) {
		return wanted, api.Errorf(api.CodeInvalid, "the node serves network %q with genesis %s, but --network %s is %q with genesis %s",
			served.GenesisName, served.GenesisCID, wanted.Name, wanted.GenesisName, wanted.GenesisCID).
			WithHint("pass the network's name or its network file with --network")
	}
	if req.NoSync || req.Genesis || req.Actor != address.Undef {
		return *served, nil
	}
	return *served, waitSync(ctx, req, p)
}

// waitSync waits until the head is as young as blocks are.
func waitSync(ctx context.Context, req Request, p Parts) error {
	for first := true; ; first = false {
		head, err := p.Node.ChainHead(ctx)
		if err != nil {
			return fmt.Errorf("read the node's head: %w", err)
		}
		behind := p.Clock.Now().Sub(time.Unix(int64(head.MinTimestamp()), 0))
		if behind < max(5*req.Network.BlockDelay, 10*time.Second) {
			return nil
		}
		if first {
			p.Log("Waiting for the node to synchronize")
		}
		p.Wait("the node's head is epoch %d, %s behind (skip this with --nosync)", head.Height(), behind.Round(time.Second))
		if err := p.Clock.Sleep(ctx, req.Network.BlockDelay); err != nil {
			return fmt.Errorf("wait for the node to synchronize: %w", err)
		}
	}
}

// fill resolves addresses and checks, before anything is written or sent, that
// the messager can sign and that there is money.
func fill(ctx context.Context, req Request, p Parts) (Request, error) {
	if req.Config.Messager.Wallet == "" {
		return req, api.Errorf(api.CodeInvalid, "--wallet-name is missing").WithHint("it is the name given to 'venus-messager wallet add --name'")
	}
	if req.Actor != address.Undef {
		return fillExisting(ctx, req, p)
	}
	if req.Owner == address.Undef {
		return req, api.Errorf(api.CodeInvalid, "--owner is missing").WithHint("pass two addresses of the wallet with --owner and --worker, or an existing miner with --actor")
	}
	if req.Worker == address.Undef {
		req.Worker = req.Owner
	}
	if req.From == address.Undef {
		req.From = req.Owner
	}
	if _, err := req.Network.SealProof(req.SectorSize); err != nil {
		return req, api.Errorf(api.CodeInvalid, "%w", err).WithHint("choose one of them with --sector-size")
	}
	for name, a := range map[string]address.Address{"--owner": req.Owner, "--worker": req.Worker, "--from": req.From} {
		has, err := p.Messager.HasWalletAddress(ctx, req.Config.Messager.Wallet, a)
		if err != nil {
			return req, fmt.Errorf("ask the messager for %s %s: %w", name, a, err)
		}
		if !has {
			return req, api.Errorf(api.CodePrecondition, "the messager finds no key of %s %s in wallet %q", name, a, req.Config.Messager.Wallet).
				WithHint("make it with 'venus-wallet new bls', see that the wallet is unlocked, and look at 'venus-messager wallet list'")
		}
	}
	bal, err := p.Node.WalletBalance(ctx, req.From)
	if err != nil {
		return req, fmt.Errorf("read the balance of %s: %w", req.From, err)
	}
	if bal.Sign() <= 0 {
		return req, api.Errorf(api.CodePrecondition, "%s has no funds to pay for the creation of a miner", req.From).
			WithHint("send it some FIL first (on a local network: venus-cluster faucet)")
	}
	return req, nil
}

// fillExisting checks that a miner exists and that we can send for it.
func fillExisting(ctx context.Context, req Request, p Parts) (Request, error) {
	id, err := p.Node.StateLookupID(ctx, req.Actor, types.EmptyTSK)
	if err != nil {
		return req, api.Errorf(api.CodeNotFound, "miner %s: %w", req.Actor, err).WithHint("look at the address given with --actor")
	}
	req.Actor = id
	info, err := p.Node.StateMinerInfo(ctx, id, types.EmptyTSK)
	if err != nil {
		return req, api.Errorf(api.CodeNotFound, "%s is no miner: %w", id, err).WithHint("look at the address given with --actor")
	}
	if req.SectorSize != 0 && req.SectorSize != info.SectorSize {
		return req, api.Errorf(api.CodeInvalid, "miner %s has sectors of %d bytes, not %d", id, info.SectorSize, req.SectorSize).WithHint("leave --sector-size out")
	}
	req.SectorSize = info.SectorSize
	key, err := p.Node.StateAccountKey(ctx, info.Worker, types.EmptyTSK)
	if err != nil {
		return req, fmt.Errorf("resolve worker %s: %w", info.Worker, err)
	}
	has, err := p.Messager.HasWalletAddress(ctx, req.Config.Messager.Wallet, key)
	if err == nil && !has {
		err = api.Errorf(api.CodePrecondition, "the messager finds no key of worker %s in wallet %q", key, req.Config.Messager.Wallet).
			WithHint("import it with 'venus-wallet import' and look at 'venus-messager wallet list'")
	}
	if err != nil && !req.Genesis {
		return req, fmt.Errorf("check the worker's key: %w", err)
	}
	if err != nil {
		p.Wait("the worker's key is not at hand yet: %v", err)
	}
	return req, nil
}

// prepare writes the configuration and the directory's own storage path.
func prepare(req Request, p Parts) error {
	cfg := req.Config
	if cfg.DB.Path == "" {
		cfg.DB.Path = p.Repo.Path("sealer.db")
	}
	cfg.Network.File = p.Repo.Path(networkFile)
	if err := req.Network.Save(cfg.Network.File); err != nil {
		return err
	}
	if err := cfg.Save(p.Repo.Path(config.FileName)); err != nil {
		return err
	}
	st, err := store.Open(p.Repo.Path(store.FileName))
	if err != nil {
		return err
	}
	if req.NoLocalStorage || len(st.Paths()) > 0 {
		return nil
	}
	if _, err := os.Stat(p.Repo.Path(store.MetaFile)); err == nil {
		_, err = st.Attach(store.Spec{Dir: p.Repo.Root()})
		return err
	}
	_, err = st.Attach(store.Spec{Dir: p.Repo.Root(), Init: true, CanSeal: true, CanStore: true})
	return err
}

func cborOf(v interface{ MarshalCBOR(w writer) error }) ([]byte, error) {
	var b bytes.Buffer
	if err := v.MarshalCBOR(&b); err != nil {
		return nil, fmt.Errorf("encode message parameters: %w", err)
	}
	return b.Bytes(), nil
}

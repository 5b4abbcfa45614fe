package vm

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/go-state-types/crypto"
	"github.com/filecoin-project/go-state-types/proof"
	"github.com/ipfs/go-cid"

	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/ipld"
	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/state"
)

// Rand draws the chain's randomness as of the executed tipset. An error ends
// the execution: it means that the chain is not at hand.
type Rand interface {
	// TicketRandomness draws from the ticket chain at an epoch; negative epochs
	// mean genesis.
	TicketRandomness(ctx context.Context, tag crypto.DomainSeparationTag, round abi.ChainEpoch, entropy []byte) ([]byte, error)
	// BeaconRandomness draws from the beacon entry of an epoch.
	BeaconRandomness(ctx context.Context, tag crypto.DomainSeparationTag, round abi.ChainEpoch, entropy []byte) ([]byte, error)
}

// Verifier judges proofs. False means that the proof does not hold, for any
// reason that lies in the statement or the proof, however malformed. An error
// means that this machine cannot tell (a verifying key is missing, the context
// ended) and stops the execution. Methods may be called concurrently.
type Verifier interface {
	VerifySeal(ctx context.Context, info proof.SealVerifyInfo) (bool, error)
	// VerifySealBatch answers for each info in order.
	VerifySealBatch(ctx context.Context, infos []proof.SealVerifyInfo) ([]bool, error)
	VerifyWindowPoSt(ctx context.Context, info proof.WindowPoStVerifyInfo) (bool, error)
	VerifyAggregateSeals(ctx context.Context, info proof.AggregateSealVerifyProofAndInfos) (bool, error)
	VerifyReplicaUpdate(ctx context.Context, info proof.ReplicaUpdateInfo) (bool, error)
}

// Config is all that an execution depends on.
type Config struct {
	// Blocks is read, and written to by Flush alone.
	Blocks    ipld.Blockstore
	StateRoot cid.Cid
	Epoch     abi.ChainEpoch
	// BaseFee in attoFIL per gas.
	BaseFee abi.TokenAmount
	// CircSupply in attoFIL: constant for the whole execution (node-nv15.md 1.1).
	CircSupply abi.TokenAmount
	Network    params.Network
	// Rand and Verifier may be nil; then a message that needs them is an error.
	Rand     Rand
	Verifier Verifier
	// LookbackState gives the state root in which the worker of a block at an
	// epoch is looked up. Only consensus fault reports ask for it.
	LookbackState func(ctx context.Context, epoch abi.ChainEpoch) (cid.Cid, error)
	// Trace makes results carry the tree of calls.
	Trace bool
	// TraceGas adds every gas charge to the trace.
	TraceGas bool
	// Clock measures durations for results and traces; nil leaves them zero.
	Clock clock.Clock
	// Syscalls replaces the answers of the machine's primitives, prices kept.
	// Genesis set-up and recorded test vectors need it; nil on a chain.
	Syscalls func(Call) Syscalls
}

// VM executes messages over one state at one epoch. Not safe for concurrent use.
type VM struct {
	cfg     Config
	buffer  *ipld.Buffered
	tree    *state.Tree
	methods methodTable
}

// New opens the machine over a state root.
func New(ctx context.Context, cfg Config) (*VM, error) {
	if err := cfg.Network.CanExecute(cfg.Epoch); err != nil {
		return nil, err
	}
	if cfg.BaseFee.Int == nil {
		cfg.BaseFee = big.Zero()
	}
	if cfg.CircSupply.Int == nil {
		cfg.CircSupply = big.Zero()
	}
	if cfg.Blocks == nil {
		return nil, errors.New("vm: no blockstore")
	}
	if cfg.Rand == nil {
		cfg.Rand = nothing{}
	}
	if cfg.Verifier == nil {
		cfg.Verifier = nothing{}
	}
	buffer := ipld.NewBuffered(cfg.Blocks)
	tree, err := state.Load(ctx, ipld.NewStore(ctx, buffer), cfg.StateRoot)
	if err != nil {
		return nil, fmt.Errorf("vm at epoch %d: %w", cfg.Epoch, err)
	}
	return &VM{cfg: cfg, buffer: buffer, tree: tree, methods: builtinMethods()}, nil
}

// Tree is the live state. Changing it changes what later messages see; between
// messages the caller may read and, in genesis and tests, write it.
func (vm *VM) Tree() *state.Tree { return vm.tree }

// Epoch is the epoch the machine runs at.
func (vm *VM) Epoch() abi.ChainEpoch { return vm.cfg.Epoch }

// Flush writes the state to the blockstore and returns its root. Only blocks
// reachable from the root are written.
func (vm *VM) Flush(ctx context.Context) (cid.Cid, error) {
	root, err := vm.tree.Flush(ctx)
	if err != nil {
		return cid.Undef, err
	}
	if err := vm.buffer.Flush(ctx, root); err != nil {
		return cid.Undef, fmt.Errorf("write state %s: %w", root, err)
	}
	return root, nil
}

func (vm *VM) now() time.Time {
	if vm.cfg.Clock == nil {
		return time.Time{}
	}
	return vm.cfg.Clock.Now()
}

func (vm *VM) since(t time.Time) time.Duration { return vm.now().Sub(t) }

package sealer

import (
	"context"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
)

// Owner is what moves a miner's money and control. Each method tries the message on the head's state first, pushes it
// to the messager and returns its id there; MessagerWaitMessage tells how it ended.
type Owner interface {
	// ActorInfo returns who controls the miner, with which balances, and what it owes.
	//perm:read
	ActorInfo(ctx context.Context) (*ActorInfo, error)
	// ActorWithdraw sends free money of the miner to its owner; 0 is all of it.
	//perm:admin
	ActorWithdraw(ctx context.Context, amount abi.TokenAmount) (string, error)
	// ActorRepayDebt pays the miner's fee debt from an address, by default the worker; 0 is all of it.
	//perm:admin
	ActorRepayDebt(ctx context.Context, amount abi.TokenAmount, from address.Address) (string, error)
	// ActorSetOwner proposes a new owner as the present one, or accepts that as the new one.
	//perm:admin
	ActorSetOwner(ctx context.Context, owner, from address.Address) (string, error)
	// ActorProposeWorker proposes a new worker; it can be confirmed 900 epochs later.
	//perm:admin
	ActorProposeWorker(ctx context.Context, worker address.Address) (string, error)
	// ActorConfirmWorker makes the proposed worker the worker.
	//perm:admin
	ActorConfirmWorker(ctx context.Context) (string, error)
	// ActorSetControls replaces the control addresses.
	//perm:admin
	ActorSetControls(ctx context.Context, controls []address.Address) (string, error)
	// ActorSetPeerID tells the network the miner's peer id.
	//perm:admin
	ActorSetPeerID(ctx context.Context, peer string) (string, error)
	// ActorSetAddrs tells the network the miner's multiaddrs; none clears them.
	//perm:admin
	ActorSetAddrs(ctx context.Context, addrs []string) (string, error)
	// ActorCompactAllocated marks all sector numbers up to one as used, which shortens the chain's record of them.
	//perm:admin
	ActorCompactAllocated(ctx context.Context, upTo abi.SectorNumber) (string, error)
	// Maintenance tells whether the sealer can stand still for so long, and what speaks against it.
	//perm:read
	Maintenance(ctx context.Context, length time.Duration) (*Maintenance, error)
}

// ActorInfo is who controls a miner. NewWorker is undefined when no change is proposed.
type ActorInfo struct {
	Miner       address.Address
	SectorSize  abi.SectorSize
	NewWorker   address.Address
	WorkerFrom  abi.ChainEpoch // NewWorker can be confirmed from then on
	PeerID      string
	Multiaddrs  []string
	Available   abi.TokenAmount
	FeeDebt     abi.TokenAmount
	Ineligible  abi.ChainEpoch // a consensus fault bars it until then, -1 for never
	Controllers []Controller
	Epoch       abi.ChainEpoch
	BlockDelay  time.Duration
}

// Controller is an address that may send for the miner.
type Controller struct {
	Name     string // owner, worker, control-0, ...
	ID, Key  address.Address
	Uses     []string // post, precommit, commit, terminate, other
	Balance  abi.TokenAmount
	InWallet bool // the messager's wallet holds its key
}

// Maintenance tells whether the sealer can stand still.
type Maintenance struct {
	Safe       bool
	Epoch      abi.ChainEpoch
	Back       abi.ChainEpoch // the sealer is back at this epoch, when it stops now for as long as asked
	Until      abi.ChainEpoch // it has to be back by then; -1 when nothing asks for it
	BlockDelay time.Duration
	Reasons    []MaintenanceReason // against it
	Notes      []string            // what it costs all the same
}

// MaintenanceReason is something that would be lost. Kind is deadline, declaration, sealing or block.
type MaintenanceReason struct {
	Kind string
	Text string
	Over abi.ChainEpoch // it is over by then at the latest
}

package node

import (
	"context"
	"encoding/json"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-bitfield"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/go-state-types/dline"
	"github.com/filecoin-project/go-state-types/network"
	"github.com/ipfs/go-cid"

	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/types"
)

// State reads actors, addresses and the network.
type State interface {
	// StateNetworkName returns the name all peers of the network share.
	//perm:read
	StateNetworkName(ctx context.Context) (string, error)
	// StateNetwork returns the network's parameters, as its network file holds them.
	//perm:read
	StateNetwork(ctx context.Context) (*params.Network, error)
	// StateNetworkVersion returns the network version in force at a tipset.
	//perm:read
	StateNetworkVersion(ctx context.Context, tsk types.TipSetKey) (network.Version, error)
	// StateGetNetworkParams returns the network's constants.
	//perm:read
	StateGetNetworkParams(ctx context.Context) (*NetworkParams, error)
	// StateGetActor loads an actor; an error when there is none.
	//perm:read
	StateGetActor(ctx context.Context, actor address.Address, tsk types.TipSetKey) (*types.Actor, error)
	// StateReadState decodes the state of a builtin actor.
	//perm:read
	StateReadState(ctx context.Context, actor address.Address, tsk types.TipSetKey) (*ActorState, error)
	// StateListActors lists the ID addresses of all actors.
	//perm:read
	StateListActors(ctx context.Context, tsk types.TipSetKey) ([]address.Address, error)
	// StateListMiners lists the addresses of all miners with a claim.
	//perm:read
	StateListMiners(ctx context.Context, tsk types.TipSetKey) ([]address.Address, error)
	// StateLookupID resolves an address to its ID address.
	//perm:read
	StateLookupID(ctx context.Context, addr address.Address, tsk types.TipSetKey) (address.Address, error)
	// StateAccountKey resolves an account to its public key address.
	//perm:read
	StateAccountKey(ctx context.Context, addr address.Address, tsk types.TipSetKey) (address.Address, error)
	// StateLookupRobustAddress finds the address that an ID address was made from; it reads all
	// addresses of the chain.
	//perm:read
	StateLookupRobustAddress(ctx context.Context, id address.Address, tsk types.TipSetKey) (address.Address, error)
	// StateChangedActors lists by address the actors of a state that are not the same in an older one.
	//perm:read
	StateChangedActors(ctx context.Context, older, newer cid.Cid) (map[string]types.Actor, error)
	// StateCirculatingSupply returns the exact circulating supply in attoFIL.
	//perm:read
	StateCirculatingSupply(ctx context.Context, tsk types.TipSetKey) (abi.TokenAmount, error)
	// StateVMCirculatingSupplyInternal returns the supply as the VM sees it, by part.
	//perm:read
	StateVMCirculatingSupplyInternal(ctx context.Context, tsk types.TipSetKey) (CirculatingSupply, error)
}

// Calls runs messages without keeping anything, and reads their contents.
type Calls interface {
	// StateDecodeParams decodes the parameters of a method of the actor at an address.
	//perm:read
	StateDecodeParams(ctx context.Context, to address.Address, method abi.MethodNum, params []byte, tsk types.TipSetKey) (any, error)
	// StateCall runs a message on the state before a tipset, without fees and nonce, and keeps nothing.
	//perm:read
	StateCall(ctx context.Context, msg *types.Message, tsk types.TipSetKey) (*InvocResult, error)
	// StateReplay runs a message of the chain again and returns its trace.
	//perm:read
	StateReplay(ctx context.Context, tsk types.TipSetKey, c cid.Cid) (*InvocResult, error)
	// StateCompute runs a tipset again, then messages, with their fees and nonces, on the state after it as
	// at a later height; the trace holds all of them, and nothing is kept.
	//perm:read
	StateCompute(ctx context.Context, height abi.ChainEpoch, msgs []*types.Message, tsk types.TipSetKey) (*ComputeStateOutput, error)
	// StateListMessages lists the messages on the way back from a tipset to a height that have the given
	// sender and receiver, of which one may be left out.
	//perm:read
	StateListMessages(ctx context.Context, match *MessageMatch, tsk types.TipSetKey, toHeight abi.ChainEpoch) ([]cid.Cid, error)
	// StateEncodeParams encodes parameters of a builtin actor's method, given in the form StateDecodeParams returns.
	//perm:read
	StateEncodeParams(ctx context.Context, code cid.Cid, method abi.MethodNum, params json.RawMessage) ([]byte, error)
	// StateCheck holds the state after a tipset against every invariant of the builtin actors. It reads all of it.
	//perm:admin
	StateCheck(ctx context.Context, tsk types.TipSetKey) (*StateReport, error)
}

// MinerState reads storage miners: what they have, owe and must prove.
type MinerState interface {
	// StateMinerInfo returns owner, worker, controls and sector size.
	//perm:read
	StateMinerInfo(ctx context.Context, miner address.Address, tsk types.TipSetKey) (MinerInfo, error)
	// StateMinerPower returns the power of a miner and of the network.
	//perm:read
	StateMinerPower(ctx context.Context, miner address.Address, tsk types.TipSetKey) (*MinerPower, error)
	// StateMinerProvingDeadline returns the deadline that is open at a tipset.
	//perm:read
	StateMinerProvingDeadline(ctx context.Context, miner address.Address, tsk types.TipSetKey) (*dline.Info, error)
	// StateMinerDeadlines returns all deadlines of a miner, in order.
	//perm:read
	StateMinerDeadlines(ctx context.Context, miner address.Address, tsk types.TipSetKey) ([]Deadline, error)
	// StateMinerPartitions returns the partitions of one deadline, in order.
	//perm:read
	StateMinerPartitions(ctx context.Context, miner address.Address, deadline uint64, tsk types.TipSetKey) ([]Partition, error)
	// StateMinerSectors returns the on-chain records of the named sectors, or of all when filter is null.
	//perm:read
	StateMinerSectors(ctx context.Context, miner address.Address, filter *bitfield.BitField, tsk types.TipSetKey) ([]*SectorOnChainInfo, error)
	// StateMinerActiveSectors returns the records of the sectors that have power.
	//perm:read
	StateMinerActiveSectors(ctx context.Context, miner address.Address, tsk types.TipSetKey) ([]*SectorOnChainInfo, error)
	// StateMinerSectorCount counts live, active and faulty sectors.
	//perm:read
	StateMinerSectorCount(ctx context.Context, miner address.Address, tsk types.TipSetKey) (MinerSectors, error)
	// StateMinerFaults returns the faulty sectors.
	//perm:read
	StateMinerFaults(ctx context.Context, miner address.Address, tsk types.TipSetKey) (bitfield.BitField, error)
	// StateMinerRecoveries returns the sectors declared recovered and not yet proven again.
	//perm:read
	StateMinerRecoveries(ctx context.Context, miner address.Address, tsk types.TipSetKey) (bitfield.BitField, error)
	// StateMinerAvailableBalance returns what the owner could withdraw, in attoFIL.
	//perm:read
	StateMinerAvailableBalance(ctx context.Context, miner address.Address, tsk types.TipSetKey) (abi.TokenAmount, error)
	// StateMinerSectorAllocated tells whether a sector number was ever used.
	//perm:read
	StateMinerSectorAllocated(ctx context.Context, miner address.Address, sector abi.SectorNumber, tsk types.TipSetKey) (bool, error)
	// StateMinerPreCommitDepositForPower returns the deposit a pre-commit needs, with a tenth of reserve.
	//perm:read
	StateMinerPreCommitDepositForPower(ctx context.Context, miner address.Address, info SectorPreCommitInfo, tsk types.TipSetKey) (abi.TokenAmount, error)
	// StateMinerInitialPledgeCollateral returns the pledge a prove-commit needs, with a tenth of reserve.
	//perm:read
	StateMinerInitialPledgeCollateral(ctx context.Context, miner address.Address, info SectorPreCommitInfo, tsk types.TipSetKey) (abi.TokenAmount, error)
	// StateSectorPreCommitInfo returns the pre-commit of a sector; an error when there is none.
	//perm:read
	StateSectorPreCommitInfo(ctx context.Context, miner address.Address, sector abi.SectorNumber, tsk types.TipSetKey) (SectorPreCommitOnChainInfo, error)
	// StateSectorGetInfo returns the on-chain record of a sector, or null.
	//perm:read
	StateSectorGetInfo(ctx context.Context, miner address.Address, sector abi.SectorNumber, tsk types.TipSetKey) (*SectorOnChainInfo, error)
	// StateSectorExpiration returns when a sector expires on time, or early because of a fault (0 = not).
	//perm:read
	StateSectorExpiration(ctx context.Context, miner address.Address, sector abi.SectorNumber, tsk types.TipSetKey) (*SectorExpiration, error)
	// StateSectorPartition returns the deadline and partition of a sector.
	//perm:read
	StateSectorPartition(ctx context.Context, miner address.Address, sector abi.SectorNumber, tsk types.TipSetKey) (*SectorLocation, error)
	// StateMinerSectorSize returns the miner's sector size in bytes.
	//perm:read
	StateMinerSectorSize(ctx context.Context, miner address.Address, tsk types.TipSetKey) (abi.SectorSize, error)
	// StateMinerWorkerAddress returns the worker's public key address.
	//perm:read
	StateMinerWorkerAddress(ctx context.Context, miner address.Address, tsk types.TipSetKey) (address.Address, error)
}

// Market reads the storage market and the verified registry.
type Market interface {
	// StateMarketBalance returns what an address has in escrow and what of it is locked.
	//perm:read
	StateMarketBalance(ctx context.Context, addr address.Address, tsk types.TipSetKey) (MarketBalance, error)
	// StateMarketParticipants returns the balances of all participants by address.
	//perm:read
	StateMarketParticipants(ctx context.Context, tsk types.TipSetKey) (map[string]MarketBalance, error)
	// StateMarketDeals returns all deals by id.
	//perm:read
	StateMarketDeals(ctx context.Context, tsk types.TipSetKey) (map[string]*MarketDeal, error)
	// StateMarketStorageDeal returns one deal.
	//perm:read
	StateMarketStorageDeal(ctx context.Context, deal abi.DealID, tsk types.TipSetKey) (*MarketDeal, error)
	// StateDealProviderCollateralBounds returns what a provider must and may put up for a deal of a size
	// in bytes, the least with a tenth of reserve.
	//perm:read
	StateDealProviderCollateralBounds(ctx context.Context, size abi.PaddedPieceSize, verified bool, tsk types.TipSetKey) (CollateralBounds, error)
	// StateVerifiedClientStatus returns an address's data cap in bytes, or null.
	//perm:read
	StateVerifiedClientStatus(ctx context.Context, addr address.Address, tsk types.TipSetKey) (*big.Int, error)
	// StateVerifierStatus returns how many bytes a verifier may still grant, or null.
	//perm:read
	StateVerifierStatus(ctx context.Context, addr address.Address, tsk types.TipSetKey) (*big.Int, error)
	// StateVerifiedRegistryRootKey returns the address that names verifiers.
	//perm:read
	StateVerifiedRegistryRootKey(ctx context.Context, tsk types.TipSetKey) (address.Address, error)
}

// Messages finds messages on the chain, version 1.
type Messages interface {
	// StateSearchMsg looks back from a tipset for a message, at most limit epochs (-1 = all); null when
	// it is not found. With allowReplaced a message of the same sender and nonce counts as found.
	//perm:read
	StateSearchMsg(ctx context.Context, from types.TipSetKey, msg cid.Cid, limit abi.ChainEpoch, allowReplaced bool) (*MsgLookup, error)
	// StateWaitMsg waits until a message is confidence epochs deep, looking back at most limit epochs.
	//perm:read
	StateWaitMsg(ctx context.Context, msg cid.Cid, confidence uint64, limit abi.ChainEpoch, allowReplaced bool) (*MsgLookup, error)
}

// MessagesV0 finds messages on the chain, version 0.
type MessagesV0 interface {
	// StateSearchMsg looks back from the head for a message or its replacement; null when not found.
	//perm:read
	StateSearchMsg(ctx context.Context, msg cid.Cid) (*MsgLookup, error)
	// StateSearchMsgLimited is StateSearchMsg that looks back at most limit epochs.
	//perm:read
	StateSearchMsgLimited(ctx context.Context, msg cid.Cid, limit abi.ChainEpoch) (*MsgLookup, error)
	// StateWaitMsg waits until a message, or its replacement, is confidence epochs deep.
	//perm:read
	StateWaitMsg(ctx context.Context, msg cid.Cid, confidence uint64) (*MsgLookup, error)
	// StateWaitMsgLimited is StateWaitMsg that looks back at most limit epochs.
	//perm:read
	StateWaitMsgLimited(ctx context.Context, msg cid.Cid, confidence uint64, limit abi.ChainEpoch) (*MsgLookup, error)
	// StateGetReceipt returns the receipt of a message, looking back from a tipset; null when not found.
	//perm:read
	StateGetReceipt(ctx context.Context, msg cid.Cid, from types.TipSetKey) (*types.MessageReceipt, error)
}

// Multisig reads multisig wallets.
type Multisig interface {
	// MsigGetAvailableBalance returns what is not locked by vesting, in attoFIL.
	//perm:read
	MsigGetAvailableBalance(ctx context.Context, addr address.Address, tsk types.TipSetKey) (abi.TokenAmount, error)
	// MsigGetVestingSchedule returns the lock of a multisig.
	//perm:read
	MsigGetVestingSchedule(ctx context.Context, addr address.Address, tsk types.TipSetKey) (MsigVesting, error)
	// MsigGetVested returns what vested between two tipsets, in attoFIL.
	//perm:read
	MsigGetVested(ctx context.Context, addr address.Address, start, end types.TipSetKey) (abi.TokenAmount, error)
	// MsigGetPending lists the proposed transactions.
	//perm:read
	MsigGetPending(ctx context.Context, addr address.Address, tsk types.TipSetKey) ([]*MsigTransaction, error)
}

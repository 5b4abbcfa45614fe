package sealer

import (
	"context"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/proof"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/types"
)

// Namespace is the first half of every method name on the wire.
const Namespace = "Filecoin"

// Version is what the sealer reports as API version: 1.1.0.
const Version = api.APIVersion(1<<16 | 1<<8)

// Sealer is the whole contract of venus-sealer.
//
//api:service
type Sealer interface {
	api.Common
	api.Auth
	Proofs
	Actor
	Owner
	Proving
	Sectors
	SectorLife
	Deals
	Storage
	Backup
	Workers
	Messages
}

// Proofs is what venus-miner asks for when it won.
type Proofs interface {
	// ComputeProof proves the challenged sectors for a block. Randomness is 32 bytes.
	//perm:read
	ComputeProof(ctx context.Context, sectors []proof.ExtendedSectorInfo, randomness abi.PoStRandomness) ([]proof.PoStProof, error)
	// CheckProvable returns why sectors could not be proven now, by number; good ones are left out.
	//perm:admin
	CheckProvable(ctx context.Context, sectors []abi.SectorNumber, slow bool) (map[abi.SectorNumber]string, error)
}

// Actor is the miner on the chain, as the sealer sees it.
type Actor interface {
	// ActorAddress returns the miner's address.
	//perm:read
	ActorAddress(ctx context.Context) (address.Address, error)
	// ActorSectorSize returns the miner's sector size in bytes.
	//perm:read
	ActorSectorSize(ctx context.Context, addr address.Address) (abi.SectorSize, error)
	// ActorAddressConfig returns which addresses pay for which messages.
	//perm:read
	ActorAddressConfig(ctx context.Context) (AddressConfig, error)
	// Info gathers power, balances and sector counts.
	//perm:read
	Info(ctx context.Context) (*Info, error)
	// ProvingInfo returns the current deadline and the miner's faults.
	//perm:read
	ProvingInfo(ctx context.Context) (*ProvingInfo, error)
	// ProvingDeadlines returns all deadlines with what is proven of them.
	//perm:read
	ProvingDeadlines(ctx context.Context) ([]DeadlineInfo, error)
	// WindowPoStHistory returns the last window proofs, newest first, at most limit.
	//perm:read
	WindowPoStHistory(ctx context.Context, limit int) ([]WindowPoStRecord, error)
}

// Sectors is the sealing pipeline.
type Sectors interface {
	// PledgeSector starts a sector without deals and returns its number.
	//perm:write
	PledgeSector(ctx context.Context) (abi.SectorID, error)
	// PledgeSectors starts sectors without deals: all of them, or none when there is no room for so many.
	//perm:write
	PledgeSectors(ctx context.Context, count int) ([]abi.SectorID, error)
	// SectorsTarget returns how many sectors the sealer works towards by itself.
	//perm:read
	SectorsTarget(ctx context.Context) (SectorTarget, error)
	// SectorsSetTarget makes the sealer pledge, atOnce at a time, until it has total sectors; 0 ends that.
	//perm:admin
	SectorsSetTarget(ctx context.Context, total, atOnce int) error
	// SectorsList returns the numbers of all sectors.
	//perm:read
	SectorsList(ctx context.Context) ([]abi.SectorNumber, error)
	// SectorsListInStates returns the numbers of the sectors in the named states.
	//perm:read
	SectorsListInStates(ctx context.Context, states []string) ([]abi.SectorNumber, error)
	// SectorsPage returns sectors that a filter admits, by number, with what the chain knows of them.
	//perm:read
	SectorsPage(ctx context.Context, filter SectorFilter) (*SectorPage, error)
	// SectorsUnknown returns the sectors that the chain has for the miner and this sealer does not know.
	//perm:read
	SectorsUnknown(ctx context.Context) ([]UnknownSector, error)
	// SectorsAdopt takes the live ones of the unknown sectors into the sealer's database and returns their numbers.
	//perm:admin
	SectorsAdopt(ctx context.Context) ([]abi.SectorNumber, error)
	// SectorsSummary counts sectors by state.
	//perm:read
	SectorsSummary(ctx context.Context) (map[string]int, error)
	// SectorsStatus returns the record of one sector, with what the chain knows when showOnChain.
	//perm:read
	SectorsStatus(ctx context.Context, number abi.SectorNumber, showOnChain bool) (SectorInfo, error)
	// SectorsUpdate forces a sector into a state.
	//perm:admin
	SectorsUpdate(ctx context.Context, number abi.SectorNumber, state string) error
	// SectorWhy explains a sector: what it waits for, since when, what comes next and when, what the operator can do.
	//perm:read
	SectorWhy(ctx context.Context, number abi.SectorNumber) (SectorWhy, error)
	// SectorRetry takes a failed sector up again where it failed.
	//perm:admin
	SectorRetry(ctx context.Context, number abi.SectorNumber) error
}

// SectorLife is what becomes of sectors once they are sealed, or given up.
type SectorLife interface {
	// SectorRemove deletes the files of a sector that is not on the chain, or ended there.
	//perm:admin
	SectorRemove(ctx context.Context, number abi.SectorNumber) error
	// SectorAbandon deletes the files of a sector that is committed to and not proven, and gives up its deposit.
	//perm:admin
	SectorAbandon(ctx context.Context, number abi.SectorNumber) error
	// SectorRedo makes the files of a proven sector anew, from the ticket it was sealed with.
	//perm:admin
	SectorRedo(ctx context.Context, number abi.SectorNumber) error
	// SectorTerminate ends a sector on the chain, at a fee, and removes it.
	//perm:admin
	SectorTerminate(ctx context.Context, number abi.SectorNumber) error
	// SectorsTerminate ends sectors on the chain as SectorTerminate does: all of them, or none if one cannot be ended.
	//perm:admin
	SectorsTerminate(ctx context.Context, numbers []abi.SectorNumber) error
	// SectorsExtend lets sectors live until an epoch and returns the ids of the messages.
	//perm:admin
	SectorsExtend(ctx context.Context, numbers []abi.SectorNumber, until abi.ChainEpoch) ([]string, error)
	// SectorsCompact takes ended sectors out of partitions of a deadline and returns the id of the message.
	//perm:admin
	SectorsCompact(ctx context.Context, deadline uint64, partitions []uint64) (string, error)
	// SectorsBatching shows which sectors wait to share a message, and by what rule.
	//perm:read
	SectorsBatching(ctx context.Context) ([]Batching, error)
	// SectorsMessages returns the last messages that concern several sectors, newest first, at most limit.
	//perm:read
	SectorsMessages(ctx context.Context, limit int) ([]SharedMessage, error)
	// SectorsFlush sends what waits of a kind (precommit, provecommit, terminate), however few they are.
	//perm:admin
	SectorsFlush(ctx context.Context, kind string) error
}

// Deals is data for sectors that were sealed without.
type Deals interface {
	// DealsImportData checks a deal against the chain, records it and begins to copy its data from a file of the sealer's
	// machine. DealsList tells how that fares.
	//perm:write
	DealsImportData(ctx context.Context, deal abi.DealID, file string) error
	// DealsList returns the deals whose data was brought, by id, with their sectors.
	//perm:read
	DealsList(ctx context.Context) ([]DealInfo, error)
	// SectorMarkForUpgrade offers a proven sector without data to deals.
	//perm:admin
	SectorMarkForUpgrade(ctx context.Context, number abi.SectorNumber) error
	// SectorAbortUpgrade takes such a sector back while no message with its update is under way.
	//perm:admin
	SectorAbortUpgrade(ctx context.Context, number abi.SectorNumber) error
	// SectorStartSealing lets a sector with deals wait for no more of them.
	//perm:write
	SectorStartSealing(ctx context.Context, number abi.SectorNumber) error
}

// Backup saves what the sealer knows.
type Backup interface {
	// CreateBackup writes a backup of database and settings to a file of the sealer's machine, and reads it back.
	//perm:admin
	CreateBackup(ctx context.Context, path string) (*BackupReport, error)
}

// Storage is where sector files lie.
type Storage interface {
	// StorageAttach makes a folder of this machine a storage path; with Init it is prepared first.
	//perm:admin
	StorageAttach(ctx context.Context, spec StorageSpec) (StorageInfo, error)
	// StorageDetach forgets a storage path, by id or folder, and deletes nothing.
	//perm:admin
	StorageDetach(ctx context.Context, id string) error
	// StorageList returns which sector files each path holds.
	//perm:admin
	StorageList(ctx context.Context) (map[string][]StorageDecl, error)
	// StorageLocal returns the folder of each path.
	//perm:admin
	StorageLocal(ctx context.Context) (map[string]string, error)
	// StorageInfo returns the settings of a path.
	//perm:admin
	StorageInfo(ctx context.Context, id string) (StorageInfo, error)
	// StorageStat measures a path, in bytes.
	//perm:admin
	StorageStat(ctx context.Context, id string) (FsStat, error)
	// StorageFindSector returns the paths that hold files of a sector.
	//perm:admin
	StorageFindSector(ctx context.Context, sector abi.SectorID, fileType int) ([]SectorStorageInfo, error)
	// StoragePaths returns all that is known of every path, also of those that are away.
	//perm:admin
	StoragePaths(ctx context.Context) ([]StoragePath, error)
	// StorageMove begins to move a sector's files to a path for storing; "" is the best one. It goes on after a restart.
	//perm:admin
	StorageMove(ctx context.Context, sector abi.SectorNumber, to string) error
	// StorageTransfers returns moves under way and those that ended lately.
	//perm:admin
	StorageTransfers(ctx context.Context) ([]StorageTransfer, error)
	// StorageVerify compares a sector's files with its commitments; deep reads all of them, which takes long.
	//perm:admin
	StorageVerify(ctx context.Context, sector abi.SectorNumber, deep bool) (StorageVerdict, error)
	// StorageGarbage lists what is the sealer's own and not needed; it deletes nothing.
	//perm:admin
	StorageGarbage(ctx context.Context) ([]StorageWaste, error)
	// StorageCollect deletes what StorageGarbage listed under these names and still lists, and returns what is gone.
	//perm:admin
	StorageCollect(ctx context.Context, names []string) ([]StorageWaste, error)
}

// Workers shows who seals.
type Workers interface {
	// WorkerStats returns the connected workers.
	//perm:admin
	WorkerStats(ctx context.Context) (map[string]WorkerStats, error)
	// WorkerJobs returns what they do.
	//perm:admin
	WorkerJobs(ctx context.Context) (map[string][]WorkerJob, error)
	// SealingWhy returns how a job fares, and while it waits what keeps each worker from it.
	//perm:admin
	SealingWhy(ctx context.Context, jobID string) (JobWhy, error)
	// WorkerGet returns what the workers of a name are given.
	//perm:admin
	WorkerGet(ctx context.Context, name string) (WorkerSettings, error)
	// WorkerSet changes what the workers of a name are given; it lasts until it is changed again.
	//perm:admin
	WorkerSet(ctx context.Context, name string, settings WorkerSettings) error
	// SealingSchedDiag returns the inner state of the scheduler.
	//perm:admin
	SealingSchedDiag(ctx context.Context) (any, error)
	// SealingAbort gives a running job up.
	//perm:admin
	SealingAbort(ctx context.Context, jobID string) error
}

// Messages forwards to the messager with the sealer's own token.
type Messages interface {
	// MessagerPushMessage sends a message of the miner's wallet and returns its id.
	//perm:admin
	MessagerPushMessage(ctx context.Context, msg *types.Message, maxFee abi.TokenAmount) (string, error)
	// MessagerGetMessage returns how a message fares.
	//perm:read
	MessagerGetMessage(ctx context.Context, id string) (*MessageStatus, error)
	// MessagerWaitMessage waits until a message is confidence epochs deep.
	//perm:read
	MessagerWaitMessage(ctx context.Context, id string, confidence uint64) (*MessageStatus, error)
}

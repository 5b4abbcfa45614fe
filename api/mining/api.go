package mining

import (
	"context"
	"encoding/json"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/ipfs/go-cid"

	"github.com/filecoin-venus/venus/api"
)

// Namespace is the first half of every method name on the wire.
const Namespace = "Filecoin"

// Version is what the program reports as API version: 1.1.0.
const Version = api.APIVersion(1<<16 | 1<<8)

// Mining is the whole contract of venus-miner.
//
//api:service
type Mining interface {
	api.Common
	api.Auth
	Miners
	Guard
}

// Miners manages the miners that produce blocks.
type Miners interface {
	// AddAddress adds a miner after a trial proof with its sealer, and starts it.
	//perm:admin
	AddAddress(ctx context.Context, m MinerSpec) error
	// UpdateAddress replaces the endpoints of a miner; empty ones stay as they are.
	//perm:admin
	UpdateAddress(ctx context.Context, m MinerSpec) error
	// RemoveAddress stops a miner and forgets it; its record of signed heights stays.
	//perm:admin
	RemoveAddress(ctx context.Context, addr address.Address) error
	// ListAddress lists the miners without their tokens.
	//perm:read
	ListAddress(ctx context.Context) ([]MinerInfo, error)
	// StatesForMining tells of each named miner, or of all, whether it mines and what went wrong last.
	//perm:read
	StatesForMining(ctx context.Context, addrs []address.Address) ([]MinerState, error)
	// Start lets miners produce blocks.
	//perm:write
	Start(ctx context.Context, addrs []address.Address) error
	// Stop keeps miners from producing blocks.
	//perm:write
	Stop(ctx context.Context, addrs []address.Address) error
	// Records lists the blocks that were made, newest first: at most limit, of one miner or of all
	// (undefined address).
	//perm:read
	Records(ctx context.Context, addr address.Address, limit int) ([]Record, error)
}

// Guard is the record of what was signed, which keeps a miner from being slashed.
type Guard interface {
	// GuardStatus tells of each named miner, or of all, up to where its record may have holes.
	//perm:read
	GuardStatus(ctx context.Context, addrs []address.Address) ([]GuardStatus, error)
	// GuardExport returns the record of signed blocks of each named miner, or of all that
	// the database knows: a JSON document with a checksum and without secrets.
	//perm:read
	GuardExport(ctx context.Context, addrs []address.Address) (json.RawMessage, error)
	// GuardImport joins an exported record with the one here. Its miners sign nothing until a
	// little above the present epoch; a record that contradicts the one here changes nothing.
	//perm:admin
	GuardImport(ctx context.Context, file json.RawMessage) (GuardImported, error)
}

// GuardStatus is how complete the record of a miner's signed blocks is. Nothing
// new is signed at Floor or below, for the reason FloorWhy.
type GuardStatus struct {
	Addr     address.Address
	Floor    abi.ChainEpoch
	FloorWhy string
	// Last is the highest epoch recorded, 0 when there is none.
	Last abi.ChainEpoch
	// Alive is when the miner last mined with this record; the zero time when
	// it never did.
	Alive time.Time
}

// GuardImported is what an import changed. Nothing is signed up to Floor.
type GuardImported struct {
	Miners []address.Address
	Blocks int
	Floor  abi.ChainEpoch
}

// Endpoint is where a service listens, with the token it wants. ListenAPI is a
// multiaddress or a URL.
type Endpoint struct {
	ListenAPI string
	Token     string
}

// MinerSpec is a miner with the services that prove and sign for it.
type MinerSpec struct {
	Addr   address.Address
	Sealer Endpoint
	Wallet Endpoint
}

// String leaves the tokens out.
func (m MinerSpec) String() string {
	return m.Addr.String() + " sealer " + m.Sealer.ListenAPI + " wallet " + m.Wallet.ListenAPI
}

// GoString leaves the tokens out.
func (m MinerSpec) GoString() string { return m.String() }

// EndpointInfo is an endpoint as it may be shown.
type EndpointInfo struct {
	ListenAPI string
	HasToken  bool
}

// MinerInfo is a miner as it may be shown.
type MinerInfo struct {
	Addr     address.Address
	Sealer   EndpointInfo
	Wallet   EndpointInfo
	IsMining bool
}

// MinerState is the guide's answer of `address state`: IsMining is what the
// operator wants, Err says what is broken and is empty when nothing is.
// LastEpoch and LastResult tell of the last round that was tried and how it
// went, also where the miner has no power to win with.
type MinerState struct {
	Addr       address.Address
	IsMining   bool
	Err        string
	LastEpoch  abi.ChainEpoch
	LastResult string
}

// Record is one height at which a miner won: what it signed and how it went.
type Record struct {
	Miner    address.Address
	Epoch    abi.ChainEpoch
	Parents  []cid.Cid
	Block    cid.Cid // undefined when no block came of it
	WinCount int64
	State    string // "signing", "submitted", "failed", "lost", "landed"
	Err      string
}

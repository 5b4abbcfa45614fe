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
	Wins
}

// Miners manages the miners that produce blocks.
type Miners interface {
	// AddAddress adds a miner once node, wallet and sealers know it, and starts it.
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
	// NodeStates tells of each node whether it can be heard, and which is in use.
	//perm:read
	NodeStates(ctx context.Context) ([]NodeState, error)
	// Start lets miners produce blocks.
	//perm:write
	Start(ctx context.Context, addrs []address.Address) error
	// Stop keeps miners from producing blocks.
	//perm:write
	Stop(ctx context.Context, addrs []address.Address) error
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

// Wins tells what was won and what became of it.
type Wins interface {
	// WinList lists won elections of a miner, or of all (undefined address), and blocks whose record
	// was imported, newest first: at most limit, of epochs below before (0 = all).
	//perm:read
	WinList(ctx context.Context, addr address.Address, before abi.ChainEpoch, limit int) ([]Win, error)
	// WinWhy tells the story of one win, moment by moment.
	//perm:read
	WinWhy(ctx context.Context, addr address.Address, epoch abi.ChainEpoch) (WinStory, error)
	// WinStats compares the wins of each named miner, or of all, with what its power promised,
	// over the last epochs (0 = all that is counted), in steps of 2880.
	//perm:read
	WinStats(ctx context.Context, addrs []address.Address, epochs abi.ChainEpoch) ([]WinStats, error)
}

// Win is a won election and what came of it, or a block of another host whose record was imported.
type Win struct {
	Miner    address.Address
	Epoch    abi.ChainEpoch
	WinCount int64
	// State is "won" while no block was recorded, "missed" when none came of
	// it, or that of the block: "signing", "submitted", "failed", "orphaned",
	// "landed".
	State string
	// Why says why it did not land, as far as known.
	Why string
	// Block is undefined and Parents empty when nothing was signed.
	Block   cid.Cid
	Parents []cid.Cid
}

// WinMark is one moment. Seconds counts from the block's own timestamp, below
// zero before it.
type WinMark struct {
	At      time.Time
	Seconds float64
	What    string
}

// WinStory is a win with its moments.
type WinStory struct {
	Win
	Story []WinMark
}

// WinStats compares wins with expectation. Rounds elections were held from epoch
// From to To; Won of them were won, Expected on average, between Low and High
// in 95 of 100 cases. The same for the sums of win counts, which rewards go by.
type WinStats struct {
	Miner    address.Address
	From, To abi.ChainEpoch
	Rounds   int64

	Won       int64
	Expected  float64
	Low, High int64

	WinCount                  int64
	ExpectedWinCount          float64
	LowWinCount, HighWinCount int64
	Landed, Orphaned, Failed  int64
	// Missed wins have no block; Open ones may still land.
	Missed, Open int64
	// Verdict says in words what the numbers mean.
	Verdict string
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
	// MoreSealers prove when the first fails or is slow: they have the same
	// sectors' files.
	MoreSealers []Endpoint `json:",omitempty"`
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
	// MoreSealers prove when the first fails or is slow.
	MoreSealers []EndpointInfo `json:",omitempty"`
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

// NodeState is a node as mining sees it. Err says why it cannot be heard or has
// no beacon entry, and is empty when all is well.
type NodeState struct {
	Node string
	Head abi.ChainEpoch
	Used bool
	Err  string
}
